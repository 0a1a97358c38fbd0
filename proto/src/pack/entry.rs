//! One entry of a pack: a path, and what is there.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{PackError, PackPath};
use crate::limits;

/// Permission bits, set-user-id, set-group-id and sticky among them.
const MODE_MAX: u16 = 0o7777;
const NANOS: u32 = 1_000_000_000;

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: PackPath,
    /// Its mode and time.
    pub stamp: Stamp,
    /// What it is.
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
    /// Where in the pack they begin.
    pub offset: u64,
    /// How many they are.
    pub size: u64,
    /// Their BLAKE3.
    pub hash: [u8; 32],
}

impl Stamp {
    /// Whether it is within bounds.
    pub fn is_valid(&self) -> bool {
        self.mode <= MODE_MAX && self.nanos < NANOS
    }
}

impl Entry {
    /// Checks what can be said of it alone.
    pub(super) fn check(&self) -> Result<(), PackError> {
        let target = match &self.kind {
            Kind::Symlink { target } => (1..=limits::PACK_TARGET).contains(&target.len()) && !target.contains(&0),
            Kind::Directory | Kind::File(_) => true,
        };
        if self.stamp.is_valid() && target { Ok(()) } else { Err(PackError::Value(self.path.clone())) }
    }
}
