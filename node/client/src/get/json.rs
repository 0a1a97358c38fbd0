//! How results of reads are serialised, where that is not how their types are: hashes in hexadecimal, times in seconds,
//! and paths as text, with their bytes where those are not text.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    time::Duration,
};

use ostrakon_proto::pack::serialize_bytes;
use serde::{Serialize, Serializer, ser::SerializeMap};

pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

pub(crate) fn hash<S: Serializer>(hash: &Option<[u8; 32]>, serializer: S) -> Result<S::Ok, S::Error> {
    hash.map(hex::encode).serialize(serializer)
}

pub(crate) fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// `path`, and `path_hex` where the path is not UTF-8.
pub(crate) fn path<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    named("path", path.as_ref().map(|path| path.as_os_str()), serializer)
}

/// `name`, and `name_hex` where the name is not UTF-8.
pub(crate) fn name<S: Serializer>(name: &OsString, serializer: S) -> Result<S::Ok, S::Error> {
    named("name", Some(name), serializer)
}

fn named<S: Serializer>(field: &str, text: Option<&OsStr>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    if let Some(text) = text {
        serialize_bytes(&mut map, field, text.as_bytes())?;
    }
    map.end()
}
