//! Verify: reads every byte of all n columns of an object, verifies each, encodes them again and compares; and every
//! holder's copy of the manifest.
//!
//! In goes a link; out comes, column by column, whether it is there and right. What a get never reads is read here:
//! parity, and whether the columns are a codeword. Nothing is repaired.

use std::{sync::Mutex, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, future::join_all, stream};
use ostrakon_net::lock;
use ostrakon_proto::{
    id::{NodeId, ObjectId},
    layout::{Layout, RowId},
    link::Link,
    params::Code,
    row,
};
use serde::{Serialize, Serializer, ser::SerializeStruct};
use tokio::time::Instant;

use crate::{
    Client, Error, ErrorKind, Event, Events,
    get::{
        columns::{ColumnRead, Columns},
        open::Opened,
        rows::chunk_range,
    },
};

/// Bytes of chunks in flight at most.
const WINDOW_BYTES: usize = 64 * 1024 * 1024;

/// What verifying found. Serialised, it has `ok` too: whether [`Verified::problem`] is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The object.
    pub object: ObjectId,
    /// Bytes of its plaintext.
    pub size: u64,
    /// Its code.
    pub code: Code,
    /// Every column of every extent.
    pub columns: Vec<CheckedColumn>,
    /// Whether all columns are those that the manifest lists, and still not a codeword: the object was added so, and
    /// different columns decode to different bytes.
    pub inconsistent: bool,
    /// Holders that sent something other than the object's manifest; a copy of any other holder is enough to read it.
    pub wrong_manifests: Vec<NodeId>,
    /// How long it took.
    pub took: Duration,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckedColumn {
    /// The number of its extent, from 0.
    pub extent: u32,
    /// Its index in the extent, from 0; those from k on are parity.
    pub index: u8,
    /// The holder that the ledger lists; `None` when it lists none.
    pub provider: Option<NodeId>,
    /// Whether it is there and right.
    #[serde(flatten)]
    pub state: ColumnCheck,
}

/// Whether a column is there and right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "lowercase")]
pub enum ColumnCheck {
    /// Every byte was read and verified.
    Ok,
    /// It cannot be read, for this reason.
    Missing(String),
    /// Its holder sent wrong bytes.
    Corrupt(String),
}

impl Verified {
    /// What is wrong, if anything is: [`ErrorKind::Integrity`] for wrong bytes, [`ErrorKind::Partial`] for missing
    /// ones.
    pub fn problem(&self) -> Option<ErrorKind> {
        let has = |what: fn(&ColumnCheck) -> bool| self.columns.iter().any(|column| what(&column.state));
        if self.inconsistent
            || !self.wrong_manifests.is_empty()
            || has(|state| matches!(state, ColumnCheck::Corrupt(_)))
        {
            return Some(ErrorKind::Integrity);
        }
        has(|state| matches!(state, ColumnCheck::Missing(_))).then_some(ErrorKind::Partial)
    }
}

impl Serialize for Verified {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Verified", 8)?;
        fields.serialize_field("cid", &self.object)?;
        fields.serialize_field("ok", &self.problem().is_none())?;
        fields.serialize_field("size", &self.size)?;
        fields.serialize_field("code", &self.code)?;
        fields.serialize_field("inconsistent", &self.inconsistent)?;
        fields.serialize_field("columns", &self.columns)?;
        fields.serialize_field("wrong_manifests", &self.wrong_manifests)?;
        fields.serialize_field("seconds", &self.took.as_secs_f64())?;
        fields.end()
    }
}

impl Client {
    /// Reads and checks every column of the object, and every holder's manifest.
    ///
    /// # Errors
    /// [`Error`] when the object cannot even be opened; missing and wrong columns are in the result.
    pub async fn verify(&self, link: &Link, events: &Events) -> Result<Verified, Error> {
        let since = Instant::now();
        let opened = self.open(link).await?;
        let (layout, size) = (opened.layout, opened.size());
        let inconsistent = Mutex::new(false);
        let rows = layout.rows_of(0..layout.size()).map(|row| {
            let (opened, inconsistent) = (&opened, &inconsistent);
            async move {
                if !check_row(opened, row).await {
                    *lock(inconsistent) = true;
                }
                row
            }
        });
        let mut checked = stream::iter(rows).buffered(window(layout.code()));
        while let Some(row) = checked.next().await {
            let done = layout.row(row).map_or(0, |shape| shape.plain.end.min(size));
            events.tell(Event::Progress { done, total: Some(size) });
        }
        drop(checked);
        let columns = opened.extents.iter().flat_map(|extent| report(&extent.columns)).collect();
        let inconsistent = *lock(&inconsistent);
        let wrong_manifests = self.wrong_manifests(&opened).await;
        let (object, code, took) = (link.object, layout.code(), since.elapsed());
        Ok(Verified { object, size, code, columns, inconsistent, wrong_manifests, took })
    }
}

fn window(code: Code) -> usize {
    let row = 2 * usize::from(code.n) * ostrakon_proto::limits::CHUNK;
    (WINDOW_BYTES / row).clamp(1, 4)
}

/// Reads one row of all columns; whether the chunks that could be read are of one codeword. The columns record those
/// that could not.
async fn check_row(opened: &Opened, row: RowId) -> bool {
    let extent = usize::try_from(row.extent).ok().and_then(|at| opened.extents.get(at));
    let columns = &extent.expect("a manifest lists its layout's extents").columns;
    let shape = opened.layout.row(row).expect("a row of the layout");
    let read = |index| read_whole(columns, index, row, shape.chunk_len());
    let chunks = join_all((0..usize::from(columns.code.n)).map(read)).await;
    if chunks.iter().flatten().count() < usize::from(columns.code.k) {
        return true;
    }
    let layout = opened.layout;
    columns.workers().run(move || is_codeword(&layout, row, chunks)).await
}

/// A chunk of a column, from any holder that still has it.
async fn read_whole(columns: &Columns, index: usize, row: RowId, chunk_len: usize) -> Option<Bytes> {
    loop {
        match columns.read(index, chunk_range(row, chunk_len)).await {
            ColumnRead::Bytes(bytes) => return Some(bytes),
            ColumnRead::NoHolder => return None,
            ColumnRead::Retry => {}
        }
    }
}

/// Whether all chunks are what the first k of them encode to.
fn is_codeword(layout: &Layout, row: RowId, chunks: Vec<Option<Bytes>>) -> bool {
    let mut left = usize::from(layout.code().k);
    let first: Vec<Option<Bytes>> = chunks
        .iter()
        .map(|chunk| {
            let taken = chunk.clone().filter(|_| left > 0);
            left -= usize::from(taken.is_some());
            taken
        })
        .collect();
    let Ok(coded) = row::reconstruct(layout, row, &first) else { return false };
    coded.iter().zip(&chunks).all(|(coded, chunk)| chunk.as_ref().is_none_or(|chunk| chunk == coded))
}

fn report(columns: &Columns) -> Vec<CheckedColumn> {
    let (missing, failures) = (columns.missing(), columns.failures());
    let check = |index: u8| {
        let absent = missing.iter().find(|failed| failed.index == index);
        let wrong = failures.iter().find(|failed| failed.index == index && failed.corrupt);
        let (provider, state) = match (wrong, absent) {
            (Some(wrong), _) => (wrong.provider, ColumnCheck::Corrupt(wrong.reason.clone())),
            (None, Some(absent)) => (absent.provider, ColumnCheck::Missing(absent.reason.clone())),
            (None, None) => (columns.provider(index), ColumnCheck::Ok),
        };
        CheckedColumn { extent: columns.extent, index, provider, state }
    };
    (0..columns.code.n).map(check).collect()
}
