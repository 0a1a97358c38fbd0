//! One entry of a pack: a path, and what is there.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{PackError, PackPath};
use crate::{codec, limits};

/// Permission bits, set-user-id, set-group-id and sticky among them.
const MODE_MAX: u16 = 0o7777;
const NANOS: u32 = 1_000_000_000;

/// A path and what is there. Serialised, path and target are text, and where that loses bytes there are `path_hex` and
/// `target_hex` too; the mode is octal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path.
    pub path: PackPath,
    /// Its mode and time.
    pub stamp: Stamp,
    /// A file, a directory or a symlink.
    pub kind: Kind,
}

/// Mode, and time of the last change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Stamp {
    /// The twelve permission bits.
    pub mode: u16,
    /// Seconds of Unix time.
    pub seconds: i64,
    /// Nanoseconds after that.
    pub nanos: u32,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file, with where its bytes are.
    File(FileContent),
    /// A symlink, with the path it was given.
    Symlink {
        /// Any bytes but NUL.
        target: Vec<u8>,
    },
}

/// A file's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FileContent {
    /// Where in the pack they start.
    pub offset: u64,
    /// How many bytes.
    pub size: u64,
    /// Their BLAKE3.
    pub hash: [u8; 32],
}

impl Stamp {
    /// Bytes of its encoding.
    pub const LEN: usize = 14;

    /// Its canonical bytes.
    pub fn encode(&self) -> [u8; Self::LEN] {
        codec::encode(self).try_into().expect("three numbers of fixed length")
    }

    /// The stamp whose canonical bytes these are, if it is within bounds.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        codec::decode(bytes, Self::LEN).ok().filter(Self::is_valid)
    }

    /// Whether it is within bounds.
    pub fn is_valid(&self) -> bool {
        self.mode <= MODE_MAX && self.nanos < NANOS
    }
}

impl Entry {
    /// Checks what does not depend on other entries.
    pub(super) fn check(&self) -> Result<(), PackError> {
        let target = match &self.kind {
            Kind::Symlink { target } => (1..=limits::PACK_TARGET).contains(&target.len()) && !target.contains(&0),
            Kind::Directory | Kind::File(_) => true,
        };
        if self.stamp.is_valid() && target { Ok(()) } else { Err(PackError::Value(self.path.clone())) }
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        serialize_bytes(&mut map, "path", self.path.as_bytes())?;
        let kind = match &self.kind {
            Kind::Directory => "directory",
            Kind::File(_) => "file",
            Kind::Symlink { .. } => "symlink",
        };
        map.serialize_entry("kind", kind)?;
        map.serialize_entry("mode", &format!("{:04o}", self.stamp.mode))?;
        map.serialize_entry("mtime", &self.stamp.seconds)?;
        map.serialize_entry("mtime_nanos", &self.stamp.nanos)?;
        match &self.kind {
            Kind::Directory => {}
            Kind::File(file) => {
                map.serialize_entry("size", &file.size)?;
                map.serialize_entry("blake3", &hex::encode(file.hash))?;
            }
            Kind::Symlink { target } => serialize_bytes(&mut map, "target", target)?,
        }
        map.end()
    }
}

/// Bytes as the text `name`, and where they are not UTF-8 in hexadecimal as `name_hex` too.
///
/// # Errors
/// Those of the serializer.
pub fn serialize_bytes<M: SerializeMap>(map: &mut M, name: &str, bytes: &[u8]) -> Result<(), M::Error> {
    map.serialize_entry(name, &String::from_utf8_lossy(bytes))?;
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(_) => map.serialize_entry(&format!("{name}_hex"), &hex::encode(bytes)),
    }
}
