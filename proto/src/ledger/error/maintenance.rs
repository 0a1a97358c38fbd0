//! Why a provider cannot be away then.

use crate::id::Epoch;

/// Why the ledger refuses a maintenance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MaintenanceError {
    /// Announce a shorter one.
    #[error("maintenance of {epochs} epochs: it lasts 1 to {max} on this network")]
    Length {
        /// Epochs asked for.
        epochs: u64,
        /// The most.
        max: u64,
    },
    /// Announce one that begins in this range.
    #[error("maintenance from epoch {from}: this provider's next one begins in epoch {earliest} to {latest}")]
    Begin {
        /// The first epoch asked for.
        from: Epoch,
        /// The earliest.
        earliest: Epoch,
        /// The latest.
        latest: Epoch,
    },
}
