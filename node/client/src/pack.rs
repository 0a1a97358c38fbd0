//! Packs: whole directories, added and restored, and single files read out of them.
//!
//! In goes a directory and out comes a link, or the other way round. [`walk`] lists the directory and knows every
//! length beforehand, [`source`] turns the list into the stream that an add reads, [`tree`] is the list, and [`cursor`]
//! the one open directory that all of them move. [`read`] finds entries in an index page by page and [`list`] walks
//! them; [`restore`] writes them to a hidden directory, and [`staged`] puts that where it belongs.
//!
//! Kept are names, contents, modes, times, symlinks and empty directories. Not kept are owners, extended attributes and
//! access times; hard links become files of their own, and holes in files zeroes. The modes and times of files that are
//! objects of their own are read and set here too.
//!
//! Not here: the format ([`ostrakon_proto::pack`]), and how bytes are stored and fetched.

use std::path::PathBuf;

use ostrakon_proto::pack::escape;
use serde::{Serialize, Serializer};

mod attributes;
mod cursor;
mod list;
mod read;
mod remove;
mod restore;
mod source;
mod staged;
mod tree;
mod walk;

pub use list::{Listing, PackEntries};
pub use read::{PackReadError, PackReader};
pub(crate) use source::PackSource;
pub use walk::WalkError;
pub(crate) use walk::walk;

pub(crate) use attributes::{FILE_BITS, SET_ID_BITS, holes, place_symlink, stamp, stamp_file};
pub(crate) use restore::Restore;

/// Something that was not stored, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its path in the directory.
    #[serde(serialize_with = "escaped")]
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

fn escaped<S: Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&escape(path.as_os_str().as_encoded_bytes()))
}

#[cfg(test)]
mod tests;
