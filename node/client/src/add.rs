//! Add: from plaintext to a link.
//!
//! In goes a file, a directory, bytes or a reader; out comes a link, once the ledger has the object and enough nodes
//! have the ledger's block. An application says what it wants to a [`builder`]; [`run`] is the one path that all adds
//! take, first or resumed: it opens the source ([`input`]), finds the [`journal`] of an earlier run, and starts over
//! once when the source changed. The rest is a straight line: [`plan`] decides and checks before a byte is sent,
//! [`source`] cuts rows, [`upload`] encodes them and [`lanes`] carries them to the holders that [`placing`] chose,
//! [`finish`] brings the manifest and takes the receipts, [`rebuild`] makes up for holders that failed on the way,
//! [`commit`] tells the ledger. Memory is the same for any size.
//!
//! However an add ends, also when its future is dropped, its [`job`] tells holders what they may forget.

use std::{ffi::OsString, sync::Arc};

use ostrakon_proto::{
    id::{Amount, ColumnId, Epoch, Height, NodeId},
    ledger::state::{Domain, Renewal},
    link::Link,
    params::Code,
};
use serde::{Serialize, Serializer};

use crate::{FailedColumn, Survives, get::json, pack::Skipped};

mod apart;
mod builder;
mod chance;
mod commit;
mod error;
mod existing;
mod finish;
mod hash;
mod input;
mod job;
mod journal;
mod placing;
mod plan;
mod rebuild;
mod run;
mod source;
mod store;
mod upload;

pub(crate) use apart::Uploaded;
pub use builder::Add;
pub use error::AddError;
pub use journal::{JournalError, Journals, Unfinished};
pub use plan::Quote;

pub(crate) use job::row_memory;
use journal::Journal;
use ostrakon_transfer::lanes;
pub(crate) use plan::times;

/// What was added. Serialises to the JSON that `ostrakon add --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Added {
    /// How to read it again: it has the key, which nobody else has.
    #[serde(flatten, serialize_with = "cid_and_link")]
    pub link: Link,
    /// What the source is called.
    #[serde(flatten, serialize_with = "json::name")]
    pub name: OsString,
    /// Bytes of the file, or of the directory's pack.
    pub size: u64,
    /// Bytes of all columns together.
    pub stored_bytes: u64,
    /// Its code.
    pub code: Code,
    /// Every column of every extent.
    pub slots: Vec<AddedSlot>,
    /// What may be lost, with the columns that are stored now.
    pub survives: Survives,
    /// What the ledger has of it.
    #[serde(flatten)]
    pub term: AddedTerm,
    /// What of the source is in it.
    #[serde(flatten)]
    pub source: AddedSource,
    /// What it took.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// Objects that earlier runs had added of this source before it changed: they are stored and paid for too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Added>,
    /// Deletes the journal when the last clone is dropped.
    #[serde(skip)]
    _journal: Option<Arc<Journal>>,
}

/// What the ledger has of an added object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AddedTerm {
    /// The block that has the newest of its commitments.
    pub height: Height,
    /// First epoch that is not paid for.
    #[serde(rename = "expires_epoch")]
    pub end: Epoch,
    /// What all epochs cost together, in obols; nothing when the same object was paid for before.
    pub price: Amount,
    /// Holders that have the block: of the extent where they are fewest.
    #[serde(skip)]
    pub spread: usize,
    /// Whether this account had added the same public object before; nothing was paid now.
    pub existing: bool,
    /// How this add has the ledger renew the object whenever it would end; `None` where it does not ask for that.
    pub renewal: Option<Renewal>,
}

/// What of the source is in an added object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "content", rename_all = "snake_case")]
pub enum AddedSource {
    /// All of a file, or of a stream.
    File {
        /// Whether it grew while it was added: the object is what it had at first.
        grew: bool,
        /// Bytes of it that take no space on disk: they are stored and paid for as the others are.
        holes: u64,
    },
    /// A directory.
    Directory {
        /// How many entries are in it.
        entries: u64,
        /// What is not in it.
        skipped: Vec<Skipped>,
        /// Bytes of its files that take no space on disk: they are stored and paid for as the others are.
        holes: u64,
    },
}

impl Default for AddedSource {
    fn default() -> Self {
        Self::File { grew: false, holes: 0 }
    }
}

/// What an add sent, what it did not have to send, who failed, and how long it took.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Traffic {
    /// Bytes of columns that were sent, without those of earlier runs of the same add.
    pub sent_bytes: u64,
    /// Bytes of columns that holders had from an earlier run.
    pub held_bytes: u64,
    /// Whether it resumed an earlier run.
    pub resumed: bool,
    /// Holders that failed meanwhile; others may have their columns.
    pub columns_failed: Vec<FailedColumn>,
    /// Seconds from the start of this run to its end.
    pub seconds: f64,
}

/// One column of an added object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddedSlot {
    /// Of which extent.
    pub extent: u32,
    /// Its index in the code: 0 to n - 1.
    pub index: u8,
    /// Who holds it; where no holder was found, who is named to the ledger in its place.
    pub provider: NodeId,
    /// What that provider fails together with.
    #[serde(serialize_with = "text")]
    pub domain: Domain,
    /// The column.
    pub column: ColumnId,
    /// Whether it is stored; else it waits for repair.
    pub stored: bool,
}

impl Added {
    /// Columns that are stored, in the extent where they are fewest.
    pub fn stored(&self) -> usize {
        let of = |extent| self.slots.iter().filter(|slot| slot.extent == extent && slot.stored).count();
        self.extents().map(of).min().unwrap_or(0)
    }

    /// What is not in the object, of a directory.
    pub fn skipped(&self) -> &[Skipped] {
        match &self.source {
            AddedSource::Directory { skipped, .. } => skipped,
            AddedSource::File { .. } => &[],
        }
    }

    /// As if the process were killed before the link was safe: the journal stays, and its lock is gone.
    #[cfg(test)]
    pub(crate) fn killed(mut self) {
        self._journal.take().and_then(Arc::into_inner).expect("a journal that nothing shares").unfinished();
    }

    fn extents(&self) -> impl Iterator<Item = u32> {
        0..self.slots.last().map_or(0, |slot| slot.extent + 1)
    }
}

/// What an object of this code survives with these slots, which are in the order of extents.
fn survives(code: Code, slots: &[AddedSlot]) -> Survives {
    let extents = slots.chunk_by(|one, next| one.extent == next.extent);
    Survives::weakest(extents.map(|slots| {
        let stored = slots.iter().filter(|slot| slot.stored);
        Survives::of(code.k, stored.map(|slot| &slot.domain))
    }))
}

fn text<S: Serializer>(value: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn cid_and_link<S: Serializer>(link: &Link, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Fields {
        cid: String,
        link: String,
    }
    Fields { cid: link.object.to_string(), link: link.to_string() }.serialize(serializer)
}
