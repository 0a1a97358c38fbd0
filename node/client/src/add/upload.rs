//! One extent from the source to its holders: read, encode, hash, send.

use bytes::Bytes;
use futures::{StreamExt, stream};
use ostrakon_proto::{id::ColumnId, limits, row, sign::Signature, tree};
use tokio::{io::AsyncRead, sync::OwnedSemaphorePermit};

use super::{
    AddError, AddOptions,
    job::Job,
    lanes::{self, RowOut, Upload},
    placing::Placing,
    source::{PlainRow, Source},
};
use crate::Event;

/// Rows that are encoded at once.
const DEPTH: usize = 4;

/// An extent whose columns are with holders, as far as these hold out.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) placing: Placing,
    pub(crate) column_len: u64,
    pub(crate) columns: Vec<ColumnId>,
    /// Columns that are sent, but for the receipt.
    pub(crate) uploads: Vec<Upload>,
    /// By index.
    pub(crate) receipts: Vec<Option<Signature>>,
}

/// One row, encoded and hashed.
struct Encoded {
    offset: u64,
    chunks: Vec<Bytes>,
    nodes: Vec<[u8; 32]>,
    permit: OwnedSemaphorePermit,
}

/// Stores the source's next extent.
pub(crate) async fn store_extent<R: AsyncRead + Unpin + Send>(
    job: &Job<'_>,
    options: &AddOptions,
    source: &mut Source<R>,
    extent: u32,
) -> Result<Stored, AddError> {
    let code = job.plan.code;
    let (need, all) = (job.plan.receipts_needed(), usize::from(code.n));
    let mut placing = job.plan.place(extent)?;
    job.client.chain.providers(&placing.providers()).await?;
    let indexes: Vec<u8> = (0..code.n).collect();
    let uploads = job.open(&mut placing, &indexes, reserve(source, extent)).await;
    if uploads.len() < need {
        return Err(Job::too_few(&placing, need));
    }
    if options.all && uploads.len() < all {
        return Err(AddError::Partial { missing: placing.failures() });
    }
    let (columns, sent) = send_rows(job, source, &uploads).await?;
    let column_len = source.layout().extent(extent).expect("the extent that was read").column_len;
    let uploads = keep_whole(job, &mut placing, (uploads, sent), column_len);
    if uploads.len() < usize::from(code.k) {
        return Err(Job::too_few(&placing, usize::from(code.k)));
    }
    Ok(Stored { placing, column_len, columns, uploads, receipts: vec![None; all] })
}

/// What a column of the extent may have at most.
fn reserve<R: AsyncRead + Unpin + Send>(source: &Source<R>, extent: u32) -> u64 {
    source.layout().extent(extent).map_or(limits::COLUMN, |extent| extent.column_len)
}

/// Sends the extent's rows to the uploads. Gives the columns' names, and how each lane ended.
async fn send_rows<R: AsyncRead + Unpin + Send>(
    job: &Job<'_>,
    source: &mut Source<R>,
    uploads: &[Upload],
) -> Result<(Vec<ColumnId>, Vec<Result<u64, String>>), AddError> {
    let code = job.plan.code;
    let mut nodes: Vec<Vec<[u8; 32]>> = vec![Vec::new(); usize::from(code.n)];
    let total = source.size();
    let plain = stream::unfold(Some(source), |source| async move {
        let source = source?;
        match source.next_row().await {
            Err(error) => Some((Err(AddError::from(error)), None)),
            Ok(None) => None,
            Ok(Some(row)) => {
                let permit = job.room(usize::from(code.n)).await;
                let rest = (!row.ends_extent).then_some(source);
                Some((Ok((row, permit)), rest))
            }
        }
    });
    let encoded = plain.map(|row| async move {
        let (row, permit) = row?;
        let done = row.done;
        Ok::<_, AddError>((encode(job, row, permit).await, done))
    });
    let rows = encoded.buffered(DEPTH).map(|row: Result<_, AddError>| {
        let (row, done): (Encoded, u64) = row?;
        job.events.tell(Event::Progress { done, total });
        nodes.iter_mut().zip(&row.nodes).for_each(|(column, node)| column.push(*node));
        let chunks = uploads.iter().map(|upload| row.chunks[usize::from(upload.index)].clone()).collect();
        Ok::<_, AddError>(RowOut { offset: row.offset, chunks, permit: row.permit })
    });
    let sent = lanes::send(job.peers(), uploads, rows.boxed(), usize::from(code.k)).await?;
    // Too few holders ended it early: nobody needs names then.
    let columns = nodes.iter().filter(|nodes| !nodes.is_empty()).map(|nodes| tree::root(nodes)).collect();
    Ok((columns, sent))
}

async fn encode(job: &Job<'_>, row: PlainRow, permit: OwnedSemaphorePermit) -> Encoded {
    let sealer = job.sealer.clone();
    let work = move || {
        let PlainRow { row, layout, plain, .. } = row;
        let chunks = row::encode(&layout, row, &plain, sealer.as_deref()).expect("the source cuts rows by this layout");
        let column_len = layout.extent(row.extent).expect("the row's extent").column_len;
        let nodes = chunks.iter().map(|chunk| tree::chunk_node(column_len, row.offset(), chunk)).collect();
        Encoded { offset: row.offset(), chunks, nodes, permit }
    };
    job.workers().run(work).await
}

/// The uploads whose holder took the whole column; the others are given up.
pub(crate) fn keep_whole(
    job: &Job<'_>,
    placing: &mut Placing,
    (uploads, sent): (Vec<Upload>, Vec<Result<u64, String>>),
    column_len: u64,
) -> Vec<Upload> {
    let mut whole = Vec::new();
    for (upload, sent) in uploads.into_iter().zip(sent) {
        match sent {
            Ok(taken) if taken == column_len => whole.push(upload),
            Ok(taken) => job.lose(placing, upload.index, format!("took {taken} of {column_len} bytes")),
            Err(reason) => job.lose(placing, upload.index, reason),
        }
    }
    whole
}
