//! The write-ahead log of the height in progress: everything that led to this validator's messages, in order.
//!
//! In go entries; after a crash they are read back, up to where the last write was torn. [`frame`] and [`read`] are the
//! format, pure; a [`Wal`] stores the bytes, in one file ([`WalFile`]) or in memory ([`WalMemory`]). No message is sent
//! before the entries that led to it are synced. Each height starts the log over: by then the previous one is in the
//! ledger. Not here: when to write ([`super::session`]).

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use borsh::{BorshDeserialize, BorshSerialize};
use ostrakon_net::metrics::Seconds;
use ostrakon_proto::{
    codec,
    id::{BlockId, ChainId, Height, VoteKey},
    ledger::vote::{SignedProposal, SignedVote},
    limits,
    wire::consensus::Polka,
};
use tokio::time::Instant;

/// Bytes of one entry at most: a whole block and its fields.
const ENTRY: usize = limits::CONSENSUS_BODY + 4096;
/// Length and checksum in front of each entry.
const HEAD: usize = 4 + 16;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum WalEntry {
    /// A block that was proposed or received, whole.
    Block {
        /// Its id.
        id: BlockId,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// This validator built this block for the round: it builds no other.
    Built {
        /// The round.
        round: u32,
        /// The block's id.
        id: BlockId,
    },
    /// A block was validated.
    Judged(JudgedBlock),
    /// A proposal was received or made.
    Proposal(SignedProposal),
    /// A vote was received or cast.
    Vote(SignedVote),
    /// A polka was received.
    Polka(Polka),
    /// A timeout elapsed.
    Timeout {
        /// The step that timed out.
        step: TimeoutStep,
        /// Its round.
        round: u32,
    },
}

/// A step of a round that can time out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum TimeoutStep {
    /// Waiting for the proposal.
    Propose,
    /// Waiting for prevotes.
    Prevote,
    /// Waiting for precommits.
    Precommit,
}

/// A block with the result of its validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct JudgedBlock {
    /// The round of its proposal.
    pub(super) round: u32,
    /// The earlier round in which it had a quorum of prevotes, if it was proposed again.
    pub(super) valid_round: Option<u32>,
    /// Its proposer.
    pub(super) proposer: VoteKey,
    /// Its id.
    pub(super) block: BlockId,
    /// Whether it is valid.
    pub(super) valid: bool,
}

/// The bytes of `entry` in the log of `height`.
pub(super) fn frame(chain: &ChainId, height: Height, entry: &WalEntry) -> Vec<u8> {
    let body = codec::encode(entry);
    let length = u32::try_from(body.len()).expect("invariant: entries are bounded by the wire");
    let mut bytes = Vec::with_capacity(HEAD + body.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(chain, height, &body));
    bytes.extend_from_slice(&body);
    bytes
}

/// The entries of `height`, and their length in bytes. What follows is torn, or of another height.
pub(super) fn read(chain: &ChainId, height: Height, mut bytes: &[u8]) -> (Vec<WalEntry>, usize) {
    let (mut entries, mut whole) = (Vec::new(), 0);
    while let Some((entry, length)) = first(chain, height, bytes) {
        entries.push(entry);
        whole += length;
        bytes = &bytes[length..];
    }
    (entries, whole)
}

fn first(chain: &ChainId, height: Height, bytes: &[u8]) -> Option<(WalEntry, usize)> {
    let length = usize::try_from(u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?)).ok()?;
    let body = bytes.get(HEAD..HEAD.checked_add(length)?)?;
    let entry = codec::decode(body, ENTRY).ok()?;
    (bytes[4..HEAD] == checksum(chain, height, body)).then_some((entry, HEAD + length))
}

/// Binds an entry to its height, so that the rest of an older log does not pass for a newer one.
fn checksum(chain: &ChainId, height: Height, body: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("ostrakon consensus log 1");
    hasher.update(chain.bytes());
    hasher.update(&height.0.to_le_bytes());
    hasher.update(body);
    let mut checksum = [0; 16];
    hasher.finalize_xof().fill(&mut checksum);
    checksum
}

/// Where the log's bytes are stored. One call at a time.
pub trait Wal: Send + Sync + std::fmt::Debug + 'static {
    /// The whole log.
    ///
    /// # Errors
    /// When it cannot be read.
    fn load(&self) -> io::Result<Vec<u8>>;

    /// Cuts the log after `length` bytes. Need not be durable before the next [`Wal::append`] is.
    ///
    /// # Errors
    /// When it cannot be written.
    fn cut(&self, length: usize) -> io::Result<()>;

    /// Appends bytes. When it returns they survive every crash; until then a part of them may.
    ///
    /// # Errors
    /// When it cannot be written: the node must stop, because it can no longer record what it signs.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
}

/// The log in one file.
#[derive(Debug)]
pub struct WalFile {
    file: Mutex<File>,
    sync: Seconds,
}

impl WalFile {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(Self { file: Mutex::new(file), sync: Seconds::default() })
    }

    /// Counts in `sync` how long its syncs take.
    #[must_use]
    pub fn timed(self, sync: Seconds) -> Self {
        Self { sync, ..self }
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wal for WalFile {
    fn load(&self) -> io::Result<Vec<u8>> {
        let (mut file, mut bytes) = (self.file(), Vec::new());
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn cut(&self, length: usize) -> io::Result<()> {
        self.file().set_len(u64::try_from(length).map_err(io::Error::other)?)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.file();
        file.seek(SeekFrom::End(0))?;
        file.write_all(bytes)?;
        let begun = Instant::now();
        file.sync_data()?;
        self.sync.observe(begun.elapsed());
        Ok(())
    }
}

/// The log in memory, for simulated machines.
#[derive(Debug, Default)]
pub struct WalMemory {
    bytes: Mutex<Vec<u8>>,
}

impl WalMemory {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wal for WalMemory {
    fn load(&self) -> io::Result<Vec<u8>> {
        Ok(self.bytes().clone())
    }

    fn cut(&self, length: usize) -> io::Result<()> {
        self.bytes().truncate(length);
        Ok(())
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.bytes().extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::{
        ledger::vote::{Vote, VoteKind},
        sign::Keypair,
    };

    use super::*;

    const CHAIN: ChainId = ChainId::new([7; 32]);

    fn entries() -> Vec<WalEntry> {
        let (key, id) = (Keypair::from_seed(&[1; 32]), BlockId::new([9; 32]));
        let vote = Vote { kind: VoteKind::Prevote, height: Height(3), round: 0, block: Some(id) };
        vec![
            WalEntry::Block { id, bytes: vec![5; 40] },
            WalEntry::Built { round: 0, id },
            WalEntry::Judged(JudgedBlock {
                round: 0,
                valid_round: None,
                proposer: key.public(),
                block: id,
                valid: true,
            }),
            WalEntry::Vote(SignedVote::sign(vote, &key, &CHAIN)),
            WalEntry::Timeout { step: TimeoutStep::Precommit, round: 2 },
        ]
    }

    fn log(height: u64, entries: &[WalEntry]) -> Vec<u8> {
        entries.iter().flat_map(|entry| frame(&CHAIN, Height(height), entry)).collect()
    }

    #[test]
    fn a_tail_that_is_torn_at_any_byte_is_cut() {
        let (entries, bytes) = (entries(), log(3, &entries()));
        let ends: Vec<usize> = (0..=entries.len()).map(|count| log(3, &entries[..count]).len()).collect();
        for cut in 0..=bytes.len() {
            let whole = ends.iter().rposition(|end| *end <= cut).expect("zero");
            assert_eq!(read(&CHAIN, Height(3), &bytes[..cut]), (entries[..whole].to_vec(), ends[whole]), "{cut}");
        }
    }

    #[test]
    fn a_byte_that_changed_anywhere_ends_the_log() {
        let (entries, bytes) = (entries(), log(3, &entries()));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let (read, length) = read(&CHAIN, Height(3), &changed);
            assert!(length <= at && read == entries[..read.len()], "{at}");
        }
    }

    #[test]
    fn what_is_left_of_another_height_or_chain_is_no_entry() {
        let bytes = [log(3, &entries()), log(2, &entries())].concat();
        assert_eq!(read(&CHAIN, Height(3), &bytes), (entries(), bytes.len() / 2));
        assert_eq!(read(&CHAIN, Height(4), &bytes).1, 0);
        assert_eq!(read(&ChainId::new([8; 32]), Height(3), &bytes).1, 0);
    }

    #[test]
    fn a_file_stores_what_was_appended() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("consensus.wal");
        let wal = WalFile::open(&path).expect("new");
        wal.append(b"one").expect("writes");
        wal.append(b"two").expect("writes");
        drop(wal);
        let wal = WalFile::open(&path).expect("opens");
        assert_eq!(wal.load().expect("reads"), b"onetwo");
        wal.cut(3).expect("writes");
        wal.append(b"new").expect("writes");
        assert_eq!(wal.load().expect("reads"), b"onenew");
    }
}
