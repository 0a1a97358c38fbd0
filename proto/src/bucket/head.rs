//! The end of a batch: the list of all runs of the bucket.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Blob, BucketError, IndexRef};
use crate::{codec, limits};

/// The last bytes of a batch: the format and its version.
const MAGIC: [u8; 16] = *b"ostrakon bucket1";

/// All runs of a bucket, as of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BucketHead {
    /// How many batches there have been, with this one.
    pub sequence: u64,
    /// Bytes of this batch that objects, parts and runs refer to: the next batch records them.
    pub live: u64,
    /// The runs, the newest first: what a newer one says of a place is so, whatever older ones say.
    pub runs: Vec<Run>,
}

/// A sorted run of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Run {
    /// The object that has it; `None` for the batch itself.
    pub blob: Option<Blob>,
    /// The page that leads to all others.
    pub root: IndexRef,
    /// How many entries it has.
    pub entries: u64,
    /// Bytes of its pages, which end with the root.
    pub bytes: u64,
    /// How often entries were merged on their way to it.
    pub level: u8,
}

impl BucketHead {
    /// Bytes that a head takes at most: the end of a batch that a reader asks for.
    pub const MAX: usize = 8 * 1024;
    /// Bytes after the list: its length, and what ends every batch.
    const TAIL: usize = 4 + MAGIC.len();

    /// The bytes that end a batch.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = codec::encode(self);
        let length = u32::try_from(bytes.len()).expect("64 runs are a few KiB");
        bytes.extend(length.to_le_bytes());
        bytes.extend(MAGIC);
        bytes
    }

    /// The head of the batch that ends with these bytes.
    ///
    /// # Errors
    /// [`BucketError::BucketHead`] when they do not end with one, or it breaks the format's rules.
    pub fn decode(end: &[u8]) -> Result<Self, BucketError> {
        let wrong = BucketError::BucketHead;
        let (rest, magic) = end.split_last_chunk().ok_or(wrong)?;
        let (rest, length) = rest.split_last_chunk().filter(|_| *magic == MAGIC).ok_or(wrong)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| wrong)?;
        let start = rest.len().checked_sub(length).filter(|_| length + Self::TAIL <= Self::MAX).ok_or(wrong)?;
        let head: Self = codec::decode(&rest[start..], Self::MAX).map_err(|_| wrong)?;
        if head.is_sound() { Ok(head) } else { Err(wrong) }
    }

    fn is_sound(&self) -> bool {
        let of_run = |run: &Run| {
            let root = run.root;
            let is_sized = usize::try_from(root.length).is_ok_and(|len| (1..=limits::BUCKET_PAGE_MAX).contains(&len));
            is_sized && root.end().is_some_and(|end| end >= run.bytes && run.bytes >= u64::from(root.length))
        };
        let levels = self.runs.iter().map(|run| run.level);
        self.runs.len() <= limits::BUCKET_RUNS && levels.is_sorted() && self.runs.iter().all(of_run)
    }
}
