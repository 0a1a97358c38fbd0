//! Columns that lost their holder, rebuilt from k of the others: row by row, as lanes take them.
//!
//! In go the columns that can be read, and the indexes of those that are wanted; out come rows of the latter. Not here:
//! who is to store them.

use std::future::Future;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use ostrakon_proto::{
    layout::{Layout, RowId},
    row,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    columns::Columns,
    lanes::RowOut,
    rows::{NotEnoughColumns, window},
};

/// The rows of the columns' extent, each with the chunks of the columns `indexes`, in their order. `ready` is awaited
/// before a row whose chunks have so many bytes is read: it returns the row's memory.
pub fn rebuilt_rows<'a, F: Future<Output = OwnedSemaphorePermit> + Send + 'a>(
    columns: &'a Columns,
    layout: Layout,
    indexes: Vec<u8>,
    ready: impl Fn(usize) -> F + Send + 'a,
) -> impl Stream<Item = Result<RowOut, NotEnoughColumns>> + Send + 'a {
    let rows = stream::iter(rows_of(&layout, columns.extent)).map(move |row| {
        let chunk_len = layout.row(row).expect("a row of the layout").chunk_len();
        let (ready, indexes) = (ready(chunk_len), indexes.clone());
        async move {
            let permit = Some(ready.await);
            let chunks = rebuild(columns, layout, (row, chunk_len)).await?;
            let chunks = indexes.iter().map(|index| Some(chunks[usize::from(*index)].clone())).collect();
            Ok(RowOut { offset: row.offset(), chunks, permit })
        }
    });
    rows.buffered(window(&layout))
}

/// The rows of an extent, in order.
pub fn rows_of(layout: &Layout, extent: u32) -> impl Iterator<Item = RowId> + Send + use<> {
    let rows = layout.extent(extent).map_or(0, |extent| extent.rows);
    (0..rows).map(move |row| RowId { extent, row })
}

/// All chunks of one row.
async fn rebuild(
    columns: &Columns,
    layout: Layout,
    (row, chunk_len): (RowId, usize),
) -> Result<Vec<Bytes>, NotEnoughColumns> {
    let chunks = columns.row(row, chunk_len).await?;
    let work = move || row::reconstruct(&layout, row, &chunks).expect("k chunks of the layout's length");
    Ok(columns.workers().run(work).await)
}
