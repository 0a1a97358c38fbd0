//! Why nothing was added.

use std::{io, path::PathBuf};

use ostrakon_proto::{
    id::{AccountId, Amount, Height},
    layout::LayoutError,
    placement::PlacementError,
};

use super::{JournalError, source::SourceError};
use crate::{ErrorKind, FailedColumn, chain::ChainError, get::columns::list, pack::WalkError};

/// Why nothing was added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// The ledger could not be asked or told.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The network is too small for any code.
    #[error(
        "{have} providers with free space can be drawn, and the smallest code needs {need}: wait for more, or choose a \
         smaller code; a provider that has just registered is drawn from the next epoch on"
    )]
    TooFewProviders {
        /// Providers there are.
        have: usize,
        /// Providers that the smallest code needs.
        need: u32,
    },
    /// The network cannot carry the code.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The account cannot pay.
    #[error(
        "storing this costs {need} obols with fees, and the account {account} has {have}: fund the account, or store \
         it for fewer epochs"
    )]
    Funds {
        /// The account.
        account: AccountId,
        /// What it costs.
        need: Amount,
        /// What there is.
        have: Amount,
    },
    /// The account began so lately that what it draws holders by is not complete.
    #[error(
        "the account is new: it can draw holders from block {until} on, and the network is at block {height}; try \
         again then, or wait for it"
    )]
    TooNew {
        /// Height of the block that completes it.
        until: Height,
        /// The newest block.
        height: Height,
    },
    /// It costs more than there is money.
    #[error("the price exceeds the total money supply: store it for fewer epochs, or in smaller parts")]
    Price,
    /// The account's balance is no credit for so many bytes in flight.
    #[error(
        "{need} bytes would be in flight before they are paid, and the account's balance covers {have}: fund the \
         account, or store less at a time"
    )]
    Credit {
        /// Bytes in flight.
        need: u64,
        /// Bytes of credit.
        have: u64,
    },
    /// The term is not possible.
    #[error("invalid term of {asked} epochs: this network accepts 1 to {max}")]
    Term {
        /// What was asked.
        asked: u64,
        /// The longest term.
        max: u64,
    },
    /// Objects have a largest size.
    #[error(transparent)]
    TooLarge(#[from] LayoutError),
    /// Only a source of known length has a price beforehand.
    #[error("the price of a stream is known only at its end: give its length")]
    UnknownSize,
    /// There is no such file, or it cannot be opened.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// What was to be added.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// It is a fifo, a socket or a device.
    #[error("{0} is neither a regular file nor a directory: pipe its content to `ostrakon add -`")]
    NotAFile(PathBuf),
    /// The directory cannot be listed.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The source changed while it was read: its bytes would be no version of it.
    #[error("{0}: add it again when it no longer changes")]
    SourceChanged(String),
    /// The source could not be read to its end.
    #[error("cannot read the source: {0}")]
    Source(io::Error),
    /// The journal could not be written, or an earlier one cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Too few holders stored their column.
    #[error(
        "only {have} of the {need} holders needed stored their column of extent {extent}; try again later{}",
        list(failed)
    )]
    TooFewHolders {
        /// Which extent.
        extent: u32,
        /// Holders there are.
        have: usize,
        /// Holders that are needed.
        need: usize,
        /// Who did not, and why.
        failed: Vec<FailedColumn>,
    },
    /// Not all columns are stored, and all were asked for. Nothing was committed or paid.
    #[error(
        "nothing was stored: all columns were required, and {} have no holder; try again later, or do not require \
         all{}",
        missing.len(),
        list(missing)
    )]
    Partial {
        /// The columns.
        missing: Vec<FailedColumn>,
    },
}

impl AddError {
    /// What it means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Chain(error) => error.kind(),
            Self::TooFewProviders { .. }
            | Self::Placement(_)
            | Self::Term { .. }
            | Self::TooLarge(_)
            | Self::UnknownSize
            | Self::Unreadable { .. }
            | Self::NotAFile(_)
            | Self::Walk(_) => ErrorKind::Usage,
            Self::Funds { .. } | Self::Price | Self::Credit { .. } | Self::TooNew { .. } => ErrorKind::Funds,
            Self::TooFewHolders { .. } | Self::Partial { .. } => ErrorKind::Network,
            Self::Journal(error) => error.kind(),
            Self::SourceChanged(_) | Self::Source(_) => ErrorKind::Other,
        }
    }

    /// Rows that were sent before have other bytes now.
    pub(super) fn changed_rows() -> Self {
        Self::SourceChanged("the source changed since its add began".to_owned())
    }
}

impl From<SourceError> for AddError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Read(error) => Self::Source(error),
            SourceError::Length { .. } | SourceError::Changed { .. } => Self::SourceChanged(error.to_string()),
            SourceError::Layout(error) => Self::TooLarge(error),
            SourceError::Row(error) => Self::Source(io::Error::other(error)),
        }
    }
}
