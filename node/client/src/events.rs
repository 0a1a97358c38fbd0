//! What happens while an operation runs: for progress bars, logs and curious people.
//!
//! Events are told as they happen and decide nothing. Whatever is told here and still matters at the end is in the
//! operation's result as well.

use std::{fmt, sync::Arc};

use ostrakon_proto::{
    id::{Height, NodeId, TxId},
    params::Code,
};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An add was checked and starts.
    Planned {
        /// Its code.
        code: Code,
        /// Bytes of the object, where they are known.
        size: Option<u64>,
    },
    /// An add goes on where an earlier run stopped.
    Resumed {
        /// Rows that were read before.
        rows: u64,
    },
    /// An add cannot go on: what was sent before is given up, and it starts from the beginning.
    Restarted {
        /// Why.
        why: String,
    },
    /// Bytes of the plaintext are done; more often than anybody wants to draw.
    Progress {
        /// How many.
        done: u64,
        /// Of how many, where it is known.
        total: Option<u64>,
    },
    /// A holder was given up; another takes its column where there is one.
    HolderFailed {
        /// Of which extent.
        extent: u32,
        /// Its column.
        index: u8,
        /// The holder.
        provider: NodeId,
        /// Why.
        reason: String,
    },
    /// Columns that lost their holder during the add are rebuilt from the others and given to the next of the draw.
    Rebuilding {
        /// Of which extent.
        extent: u32,
        /// How many.
        columns: usize,
    },
    /// No holder is left for some columns: the ledger takes them as missing, to be repaired.
    Incomplete {
        /// Of which extent.
        extent: u32,
        /// How many.
        columns: usize,
    },
    /// A transaction was submitted some time ago, and no block has it yet.
    Pending {
        /// The transaction.
        tx: TxId,
        /// The height of the last block.
        height: Height,
    },
    /// The ledger has it, in the block of this height.
    Included {
        /// The height.
        height: Height,
    },
    /// The block is on this many of the holders.
    Spread {
        /// Holders that have it.
        holders: usize,
        /// Holders that should have it before an add is acknowledged.
        wanted: usize,
    },
}

/// Who is told. [`Events::none`] tells nobody.
#[derive(Clone, Default)]
pub struct Events(Option<Arc<dyn Fn(Event) + Send + Sync>>);

impl Events {
    /// Tells nobody.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Tells `listener`, which must return at once: it is called in the middle of the work.
    pub fn to(listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    pub(crate) fn tell(&self, event: Event) {
        if let Some(listener) = &self.0 {
            listener(event);
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Events").field(&self.0.is_some()).finish()
    }
}
