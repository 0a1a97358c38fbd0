//! Reads a few cells instead of a row, where those hold what is wanted.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::future::join_all;
use ostrakon_proto::seal::{OpenError, Sealer};
use tokio::time::timeout;

use super::{
    columns::{ColumnRead, Columns},
    plan::{CellRead, CellReads, TailRead},
};

/// The wanted bytes; `None` when a data column is late or has no holder: whole chunks are read instead.
pub(super) async fn read(
    columns: &Columns,
    sealer: Option<&Arc<Sealer>>,
    short: CellReads,
) -> Option<Result<Bytes, OpenError>> {
    let CellReads { parts, tail } = short;
    let cells = parts.iter().map(|part| (part.column, part.range));
    let last = tail.iter().flat_map(|tail| tail.columns.clone().map(|column| (column, tail.range)));
    let reads = join_all(cells.chain(last).map(|(column, range)| columns.read(column, range)));
    let outcomes = timeout(2 * columns.late_after(), reads).await.ok()?;
    let read = |outcome| match outcome {
        ColumnRead::Bytes(bytes) => Some(bytes),
        ColumnRead::Retry | ColumnRead::NoHolder => None,
    };
    let mut cells = outcomes.into_iter().map(read).collect::<Option<Vec<Bytes>>>()?;
    let sealer = sealer.cloned();
    let cut = move || {
        let (mut plain, last) = (BytesMut::new(), cells.split_off(parts.len()));
        for (part, cell) in parts.into_iter().zip(cells) {
            cut_part(part, &cell, sealer.as_deref(), &mut plain)?;
        }
        if let Some(tail) = tail {
            cut_tail(tail, &last, sealer.as_deref(), &mut plain)?;
        }
        Ok(plain.freeze())
    };
    Some(columns.workers().run(cut).await)
}

fn cut_part(part: CellRead, cell: &Bytes, sealer: Option<&Sealer>, plain: &mut BytesMut) -> Result<(), OpenError> {
    match (part.sealed, sealer) {
        (Some((piece, len)), Some(sealer)) => {
            let mut opened = cell[..len].to_vec();
            let len = sealer.open(piece, &mut opened)?;
            plain.extend_from_slice(&opened[..len][part.wanted]);
        }
        _ => plain.extend_from_slice(&cell[part.wanted]),
    }
    Ok(())
}

fn cut_tail(tail: TailRead, cells: &[Bytes], sealer: Option<&Sealer>, plain: &mut BytesMut) -> Result<(), OpenError> {
    let mut stream: Vec<u8> = cells.iter().flat_map(|cell| &cell[..tail.cell]).copied().collect();
    let mut stream = &mut stream[tail.skip..];
    let Some(sealer) = sealer else {
        plain.extend_from_slice(&stream[tail.wanted]);
        return Ok(());
    };
    let mut opened = Vec::new();
    for (piece, len) in tail.sealed {
        let (sealed, rest) = stream.split_at_mut(len);
        let len = sealer.open(piece, sealed)?;
        opened.extend_from_slice(&sealed[..len]);
        stream = rest;
    }
    plain.extend_from_slice(&opened[tail.wanted]);
    Ok(())
}
