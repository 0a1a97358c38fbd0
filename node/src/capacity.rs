//! What a node may still take: no more than its operator and the ledger have it offer, and no more than the disk has.
//!
//! In come the ledger's record and the operator's capacity, which the record may not have yet, or cannot have because
//! more is committed; out comes the lower of the two, and what to tell the operator. Not here: how much of it each
//! account gets ([`crate::serve::credit`]).

use std::fmt::{self, Display};

use ostrakon_proto::ledger::state::Provider;

use crate::store::Usage;

/// What a node offers, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its capacity.
    pub capacity: u64,
    /// What is committed of it.
    pub used: u64,
}

impl Offer {
    /// Of the ledger's record and the operator's capacity.
    pub fn of(provider: &Provider, own: Option<u64>) -> Self {
        Self { capacity: own.map_or(provider.capacity, |own| own.min(provider.capacity)), used: provider.used }
    }

    /// What may be committed yet.
    pub fn left(&self) -> u64 {
        self.capacity.saturating_sub(self.used)
    }

    /// Why less is taken than is offered, if that is so.
    pub fn shortfall(&self, usage: &Usage) -> Option<Shortfall> {
        let Self { capacity, used } = *self;
        // What is temporary is on the disk, and not committed yet.
        let (left, free) = (self.left(), usage.free_bytes);
        match self {
            _ if used > capacity => Some(Shortfall::Capacity { capacity, used }),
            _ if left > free.saturating_add(usage.temporary_bytes) => Some(Shortfall::Disk { capacity, left, free }),
            _ => None,
        }
    }
}

/// Why a node takes less than it offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// The capacity was lowered below what is stored.
    Capacity {
        /// Bytes offered.
        capacity: u64,
        /// Bytes committed.
        used: u64,
    },
    /// The disk does not have what is offered.
    Disk {
        /// Bytes offered.
        capacity: u64,
        /// Bytes of them that are not committed.
        left: u64,
        /// Bytes free on the disk, without the reserve.
        free: u64,
    },
}

impl Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capacity { capacity, used } => write!(
                f,
                "the capacity of {capacity} bytes is below the {used} bytes that are committed: nothing new is taken \
                 until enough of these have ended"
            ),
            Self::Disk { capacity, left, free } => write!(
                f,
                "the capacity of {capacity} bytes is beyond the disk: {left} bytes more are offered, and {free} are \
                 free above the reserve. No more is taken than fits; lower the capacity, or enlarge the disk"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_is_taken_than_is_offered_when_the_capacity_or_the_disk_is_too_small() {
        let check = |(capacity, used), (temporary_bytes, free_bytes), expect| {
            let usage = Usage { temporary_bytes, free_bytes, ..Usage::default() };
            assert_eq!(Offer { capacity, used }.shortfall(&usage), expect, "{capacity} {used}");
        };
        check((10, 4), (0, 6), None);
        check((10, 4), (1, 5), None);
        check((10, 4), (0, 5), Some(Shortfall::Disk { capacity: 10, left: 6, free: 5 }));
        check((10, 10), (0, 0), None);
        check((10, 11), (0, 100), Some(Shortfall::Capacity { capacity: 10, used: 11 }));
        check((u64::MAX, 0), (1, u64::MAX), None);
    }
}
