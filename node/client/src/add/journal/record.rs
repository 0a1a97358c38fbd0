//! The bytes of a journal: a magic, a version, and records, each with its length and a checksum.
//!
//! The first record is the [`Header`]; what follows is appended as the add proceeds. A record that is cut off or
//! damaged ends the journal: what it said is done again.

use std::{fs::File, io, os::unix::fs::FileExt};

use super::super::hash::Node;
use crate::keystore::data_key::Sealed;
use borsh::{BorshDeserialize, BorshSerialize};
use ostrakon_proto::{
    codec,
    id::{AccountId, Amount, ChainId, ColumnId, NodeId, ObjectId},
    manifest::Content,
    params::{Code, CodeChoice},
    placement::Draw,
    sign::Signature,
    wire::put::UploadId,
};

/// The first bytes of every journal, whatever its version.
pub(super) const MAGIC: [u8; 8] = *b"ostr-add";
/// The version that this program writes and reads.
pub(super) const VERSION: u32 = 4;
/// Bytes before the first record: magic and version.
pub(super) const START: u64 = 12;

/// Bytes before a record: its length, and the first bytes of its BLAKE3.
const PREFIX: usize = 4 + CHECKSUM;
const CHECKSUM: usize = 8;
/// Bytes of a record at most: a path, or 510 hashes, with room.
const RECORD: usize = 64 * 1024;
/// How much of a journal is read at a time.
const BLOCK: usize = 64 * 1024;

/// What an add is about: all that must be the same for it to resume.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Header {
    pub(super) chain: ChainId,
    pub(super) account: AccountId,
    /// Where the source is: the bytes of an absolute path.
    pub(super) path: Vec<u8>,
    /// What the user calls it: bytes.
    pub(super) name: Vec<u8>,
    pub(super) fingerprint: Fingerprint,
    pub(super) terms: Terms,
    /// The code that the terms came to.
    pub(super) code: Code,
    /// The object's key under the profile's data key, when it is private.
    pub(super) key: Option<Sealed>,
}

/// How it is added.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Terms {
    /// What the object is.
    pub(super) content: Content,
    pub(super) public: bool,
    /// Which code was asked for.
    pub(super) asked: CodeChoice,
    pub(super) epochs: u64,
    pub(super) auto_renew: bool,
    pub(super) all: bool,
    /// Globs of what is left out of a directory.
    pub(super) exclude: Vec<String>,
}

/// Which version of the source it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Fingerprint {
    /// A file, by what the system says of it. Times are seconds and nanoseconds.
    File { size: u64, modified: (i64, i64), changed: (i64, i64), device: u64, inode: u64 },
    /// Anything else, by what its reader says of it.
    Other { size: u64, digest: [u8; 32] },
}

impl Fingerprint {
    pub(crate) const fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } | Self::Other { size, .. } => *size,
        }
    }
}

/// What is about to happen: written before a holder or the ledger is told what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Record {
    /// The extent's holders come from this draw, made by this beacon or pulse; uploads of other draws are void.
    Placed { extent: u32, draw: Draw, randomness: [u8; 32] },
    /// The column goes to this holder, and no longer to another.
    Upload { extent: u32, index: u8, provider: NodeId, id: UploadId, ask: Amount },
    /// The next row has these values: the n columns' chunks', then those of the plaintext where the object is public.
    Row { extent: u32, row: u32, nodes: Vec<Node> },
    /// Every row of the extent is known, and these are its columns.
    Sent { extent: u32, columns: Vec<ColumnId> },
    /// This is the object.
    Listed { object: ObjectId },
    /// The upload is a stored column.
    Receipt { extent: u32, id: UploadId, signature: Signature },
}

/// The bytes of a record, as they stand in the file.
pub(super) fn frame<T: BorshSerialize>(record: &T) -> Vec<u8> {
    let payload = codec::encode(record);
    let length = u32::try_from(payload.len()).expect("a record is small");
    let mut bytes = Vec::with_capacity(PREFIX + payload.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(&payload));
    bytes.extend_from_slice(&payload);
    bytes
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM] {
    let hash = blake3::hash(payload);
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

/// Reads records one after the other, without moving the file's own position.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    file: &'a File,
    /// Where the next record begins.
    at: u64,
    /// What is read from there on.
    ahead: Vec<u8>,
    used: usize,
}

impl<'a> Frames<'a> {
    pub(super) fn new(file: &'a File, at: u64) -> Self {
        Self { file, at, ahead: Vec::new(), used: 0 }
    }

    /// Where the next record begins; after the last whole one, where it ends.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The next record; `None` where whole ones end.
    pub(super) fn next<T: BorshDeserialize + BorshSerialize>(&mut self) -> io::Result<Option<T>> {
        if !self.want(PREFIX)? {
            return Ok(None);
        }
        let (length, rest) = self.ahead[self.used..].split_first_chunk::<4>().expect("a prefix is there");
        let expect: [u8; CHECKSUM] = *rest.first_chunk().expect("a prefix is there");
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > RECORD || !self.want(PREFIX + length)? {
            return Ok(None);
        }
        let payload = &self.ahead[self.used + PREFIX..self.used + PREFIX + length];
        let Some(record) = codec::decode(payload, RECORD).ok().filter(|_| checksum(payload) == expect) else {
            return Ok(None);
        };
        self.used += PREFIX + length;
        self.at += u64::try_from(PREFIX + length).expect("small");
        Ok(Some(record))
    }

    /// Reads until that much is ahead; says whether the file has it.
    fn want(&mut self, bytes: usize) -> io::Result<bool> {
        while self.ahead.len() - self.used < bytes {
            self.ahead.drain(..self.used);
            self.used = 0;
            let have = self.ahead.len();
            self.ahead.resize(have + BLOCK, 0);
            let read = self.file.read_at(&mut self.ahead[have..], self.at + u64::try_from(have).expect("small"));
            self.ahead.truncate(have + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_torn_or_damaged_ends_a_journal() {
        let mut file = tempfile::tempfile().expect("a file");
        let records = (0..40u32).map(|row| Record::Row { extent: 7, row, nodes: vec![[1; 32]; 100] });
        let frames: Vec<Vec<u8>> = records.map(|record| frame(&record)).collect();
        file.write_all(&frames.concat()).expect("written");
        let count = |file: &File| {
            let mut frames = Frames::new(file, 0);
            let mut rows = 0;
            while let Some(Record::Row { row, .. }) = frames.next().expect("read") {
                assert_eq!(row, rows);
                rows += 1;
            }
            (rows, frames.at())
        };
        let ends = |rows: usize| u64::try_from(frames[..rows].concat().len()).expect("small");
        assert_eq!(count(&file), (40, ends(40)));
        for cut in [1, 5, 100] {
            file.set_len(ends(40) - cut).expect("cut");
            assert_eq!(count(&file), (39, ends(39)));
        }
        file.write_all_at(&[9], ends(20) + 50).expect("damaged");
        assert_eq!(count(&file), (20, ends(20)));
        file.write_all_at(&[255; 4], ends(3)).expect("damaged");
        assert_eq!(count(&file), (3, ends(3)));
    }
}
