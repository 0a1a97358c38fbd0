//! What happens while an operation runs: for progress bars and logs.
//!
//! Events are reported as they happen and decide nothing. Whatever is reported here and still matters at the end is in
//! the operation's result as well.

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
    /// An add waits: the account began so lately that it can draw holders only later.
    TooNew {
        /// Height of the block from which on it can.
        until: Height,
        /// The newest block.
        height: Height,
    },
    /// An add continues where an earlier run stopped.
    Resumed {
        /// Rows that the earlier run had read.
        rows: u64,
    },
    /// An add cannot be resumed: what was sent before is abandoned, and it starts over.
    Restarted {
        /// The reason, such as a source that has changed.
        why: String,
    },
    /// Bytes of the plaintext are done; reported more often than a screen needs to be drawn.
    Progress {
        /// Bytes so far.
        done: u64,
        /// Bytes in all, where that is known.
        total: Option<u64>,
    },
    /// A holder failed; another takes its column where there is one.
    HolderFailed {
        /// Number of the extent.
        extent: u32,
        /// Index of the column.
        index: u8,
        /// The holder.
        provider: NodeId,
        /// What happened, naming the holder.
        reason: String,
    },
    /// Columns that lost their holder during the add are rebuilt from the others, for the next holders of the draw.
    Rebuilding {
        /// Number of the extent.
        extent: u32,
        /// Number of columns.
        columns: usize,
    },
    /// No holder is left for some columns: they are committed as missing, to be repaired.
    Incomplete {
        /// Number of the extent.
        extent: u32,
        /// Number of columns.
        columns: usize,
    },
    /// A transaction was submitted seconds ago and is in no block yet.
    Pending {
        /// The transaction.
        tx: TxId,
        /// The height of the last block.
        height: Height,
    },
    /// The transaction is in a block.
    Included {
        /// Height of the block.
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

/// A listener for events; [`Events::none`] drops them.
#[derive(Clone, Default)]
pub struct Events(Option<Arc<dyn Fn(Event) + Send + Sync>>);

impl Events {
    /// Drops all events.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Calls `listener`, which must return immediately: it is called in the middle of the work.
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
