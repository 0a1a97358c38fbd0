//! Errors of buckets as the `object_store` crate names them: those that its own client of S3 would return.

use std::error::Error as StdError;

use object_store::{Error, path::Path};

use crate::bucket::BucketError;

/// What its errors are named by that have no name of their own.
const STORE: &str = "Ostrakon";

type Source = Box<dyn StdError + Send + Sync>;

/// Any other error.
pub(super) fn generic(source: impl Into<Source>) -> Error {
    Error::Generic { store: STORE, source: source.into() }
}

/// What the caller asked for is not supported, for whatever object.
pub(super) fn unsupported(source: impl Into<Source>) -> Error {
    Error::NotSupported { source: source.into() }
}

/// There is something where nothing was to be.
pub(super) fn exists(location: &Path, source: BucketError) -> Error {
    Error::AlreadyExists { path: location.to_string(), source: source.into() }
}

/// A condition is false.
pub(super) fn failed(location: &Path, source: BucketError) -> Error {
    Error::Precondition { path: location.to_string(), source: source.into() }
}

/// What an error means that concerns what is at a location.
pub(super) fn told(location: &Path) -> impl Fn(BucketError) -> Error + Send + 'static {
    let path = location.to_string();
    move |source| match source {
        BucketError::NoBucket { .. } | BucketError::NoSuchKey { .. } | BucketError::NoSuchUpload { .. } => {
            Error::NotFound { path: path.clone(), source: source.into() }
        }
        BucketError::Precondition => Error::Precondition { path: path.clone(), source: source.into() },
        source => generic(source),
    }
}
