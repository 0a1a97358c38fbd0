//! Why a bucket does not do what was asked.

use std::{io, sync::Arc};

use crate::{AddError, ChainError, Error, ErrorKind, TooPoor};

/// Bytes of an object's headers, metadata and tags: a record with them fits a page of the index.
pub(super) const DESCRIBED_MAX: usize = 32 * 1024;

/// Why a bucket does not do what was asked. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BucketError {
    /// There is no such bucket.
    #[error("this account has no bucket {name}: create it, or check the name")]
    NoBucket {
        /// Its name.
        name: String,
    },
    /// There is one already.
    #[error("this account already has a bucket {name}")]
    BucketExists {
        /// Its name.
        name: String,
    },
    /// It cannot be deleted yet.
    #[error("bucket {name} is not empty: delete its objects and abort its uploads first")]
    NotEmpty {
        /// Its name.
        name: String,
    },
    /// A bucket cannot be called this.
    #[error(
        "invalid bucket name {name:?}: need 3 to 63 lower-case letters, digits, dots and hyphens, with a letter or \
         digit at both ends"
    )]
    InvalidName {
        /// The name.
        name: String,
    },
    /// There is no such object.
    #[error("object {key:?} does not exist")]
    NoSuchKey {
        /// Its key.
        key: String,
    },
    /// There is no such upload.
    #[error("there is no such multipart upload to {key:?}: it was completed or aborted")]
    NoSuchUpload {
        /// The key that was named with it.
        key: String,
    },
    /// A condition is false.
    #[error("precondition failed (If-Match or the like): the object was changed, or exists already")]
    Precondition,
    /// A part that is to be completed is not there, or another.
    #[error("part {number} was not uploaded, or its ETag or checksum differs from that of the request")]
    InvalidPart {
        /// Its number.
        number: u16,
    },
    /// Parts are not in order.
    #[error("the parts are not in ascending order, or there are none")]
    InvalidPartOrder,
    /// A part that is not the last is too small.
    #[error("part {number} has {size} bytes, and all but the last need at least 5 MiB")]
    PartTooSmall {
        /// Its number.
        number: u16,
        /// Its bytes.
        size: u64,
    },
    /// A key is too long.
    #[error("the key has {bytes} bytes, and 1024 are allowed")]
    KeyTooLong {
        /// Its bytes.
        bytes: usize,
    },
    /// Headers, metadata and tags are too long.
    #[error("headers, metadata and tags have {bytes} bytes, and {max} are allowed", max = DESCRIBED_MAX)]
    DescriptionTooLong {
        /// Their bytes.
        bytes: usize,
    },
    /// The body broke off, or has another length than was announced.
    #[error("the body is incomplete: {0}")]
    Body(String),
    /// A check of the body failed.
    #[error("{0}")]
    Check(String),
    /// Others changed the bucket all the time.
    #[error("concurrent writers kept changing the bucket: try again")]
    Busy,
    /// What was to be read is released: the bucket was changed meanwhile, and its newest state says where it is now.
    #[error("what was read was replaced meanwhile: try again")]
    Replaced,
    /// The owner's account cannot give the bucket what it needs.
    #[error(
        "the bucket needs {amount} obols and a fee of {fee} from its owner, account {account}, which has {balance}: \
         fund it with `ostrakon wallet send {account} {lacking}`",
        amount = .0.amount, fee = .0.fee, account = .0.account, balance = .0.balance, lacking = .0.lacking()
    )]
    OwnerTooPoor(TooPoor),
    /// An account cannot pay.
    #[error("{0}")]
    Funds(String),
    /// Too few nodes respond.
    #[error("{0}")]
    Unavailable(String),
    /// What the bucket's cell refers to is not what was written.
    #[error("the bucket is damaged: {0}")]
    Damaged(#[from] ostrakon_proto::bucket::BucketError),
    /// Anything else.
    #[error(transparent)]
    Other(Arc<Error>),
}

impl BucketError {
    /// Why a body cannot be read to its end, or is not to be stored.
    pub(super) fn of_body(error: io::Error) -> Self {
        error.downcast().unwrap_or_else(|error| Self::Body(error.to_string()))
    }

    /// What it means for the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoBucket { .. } | Self::NoSuchKey { .. } | Self::NoSuchUpload { .. } => ErrorKind::NotFound,
            Self::InvalidName { .. } | Self::KeyTooLong { .. } | Self::DescriptionTooLong { .. } => ErrorKind::Usage,
            Self::OwnerTooPoor(_) | Self::Funds(_) => ErrorKind::Funds,
            Self::Unavailable(_) | Self::Busy | Self::Replaced => ErrorKind::Network,
            Self::Damaged(_) | Self::Check(_) => ErrorKind::Integrity,
            Self::Other(error) => error.kind(),
            Self::BucketExists { .. }
            | Self::NotEmpty { .. }
            | Self::Precondition
            | Self::InvalidPart { .. }
            | Self::InvalidPartOrder
            | Self::PartTooSmall { .. }
            | Self::Body(_) => ErrorKind::Other,
        }
    }
}

impl From<Error> for BucketError {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Funds => Self::Funds(error.to_string()),
            ErrorKind::Network => Self::Unavailable(error.to_string()),
            _ => Self::Other(Arc::new(error)),
        }
    }
}

impl From<ChainError> for BucketError {
    fn from(error: ChainError) -> Self {
        match error {
            // Who lies is not asked again: others may respond later.
            ChainError::InvalidProof { .. } => Self::Unavailable(error.to_string()),
            error => Error::from(error).into(),
        }
    }
}

impl From<AddError> for BucketError {
    fn from(error: AddError) -> Self {
        match error {
            AddError::Source(error) => Self::of_body(error),
            AddError::SourceChanged(why) => Self::Body(why),
            error => Error::from(error).into(),
        }
    }
}
