//! The sign state: what this validator signed last, recorded before it is sent, so that it never equivocates.
//!
//! In goes what the engine wants signed, out comes a signature, or a [`SignError`]. [`SignState`] is pure; a
//! [`SignStore`] stores it, in a file beside the vote key ([`SignFile`]) or in memory ([`SignMemory`]). Not here: what
//! a validator does whose file is missing or old ([`super::guard`]).
//!
//! Signatures only move forward: by height, then round, then proposal, prevote, precommit. The same content again gets
//! the same signature; anything else that is not later is refused.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use borsh::{BorshDeserialize, BorshSerialize};
use ostrakon_net::metrics::Seconds;
use ostrakon_proto::{
    codec,
    id::{ChainId, Height},
    ledger::vote::{BlockProposal, SignedProposal, SignedVote, Vote, VoteKind},
    sign::{Keypair, Purpose, Signature},
    wire::consensus::{Claim, Incarnation},
};
use tokio::time::Instant;

/// How far a validator has signed: height, round, and step within the round (0 proposal, 1 prevote, 2 precommit).
pub(super) type Progress = (Height, u32, u8);

/// What is signed: a proposal or a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Statement {
    /// A proposal.
    Proposal(BlockProposal),
    /// A vote.
    Vote(Vote),
}

impl Statement {
    /// How far a validator that signs this has signed.
    pub(super) fn progress(&self) -> Progress {
        match self {
            Self::Proposal(proposal) => (proposal.height, proposal.round, 0),
            Self::Vote(Vote { kind: VoteKind::Prevote, height, round, .. }) => (*height, *round, 1),
            Self::Vote(Vote { kind: VoteKind::Precommit, height, round, .. }) => (*height, *round, 2),
        }
    }
}

impl From<&SignedVote> for Statement {
    fn from(signed: &SignedVote) -> Self {
        Self::Vote(signed.vote)
    }
}

impl From<&SignedProposal> for Statement {
    fn from(signed: &SignedProposal) -> Self {
        Self::Proposal(signed.proposal)
    }
}

/// Why something must not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum SignError {
    /// Something else was signed for this height, round and step: to sign this, too, would be equivocation.
    #[error("this would be equivocation: another message was already signed for this height, round and step")]
    Conflict,
    /// A later height, round or step was signed.
    #[error("a message of a later height, round or step was already signed")]
    Backwards,
}

/// The last proposal, prevote and precommit that were signed.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct SignState {
    proposal: Option<(BlockProposal, Signature)>,
    prevote: Option<(Vote, Signature)>,
    precommit: Option<(Vote, Signature)>,
}

impl SignState {
    /// How far this validator has signed; `None` when it never signed.
    pub(super) fn progress(&self) -> Option<Progress> {
        self.statements().map(|statement| statement.progress()).max()
    }

    /// What was signed at this height.
    pub(super) fn of_height(&self, height: Height) -> impl Iterator<Item = Statement> {
        self.statements().filter(move |statement| statement.progress().0 == height)
    }

    fn statements(&self) -> impl Iterator<Item = Statement> {
        let proposal = self.proposal.map(|(proposal, _)| Statement::Proposal(proposal));
        let votes = [self.prevote, self.precommit].into_iter().flatten().map(|(vote, _)| Statement::Vote(vote));
        proposal.into_iter().chain(votes)
    }

    /// Signs `statement`, and remembers it. It may be sent only once the state is stored.
    ///
    /// # Errors
    /// [`SignError`] when it contradicts or precedes what is signed.
    pub(super) fn sign(
        &mut self,
        statement: Statement,
        key: &Keypair,
        chain: &ChainId,
    ) -> Result<Signature, SignError> {
        if let Some(signature) = self.signature(&statement) {
            return Ok(signature);
        }
        match self.progress().map(|last| statement.progress().cmp(&last)) {
            None | Some(std::cmp::Ordering::Greater) => {}
            Some(std::cmp::Ordering::Equal) => return Err(SignError::Conflict),
            Some(std::cmp::Ordering::Less) => return Err(SignError::Backwards),
        }
        let signature = match statement {
            Statement::Proposal(proposal) => key.sign(Purpose::Proposal, chain, &proposal),
            Statement::Vote(vote) => key.sign(Purpose::Vote, chain, &vote),
        };
        self.remember(statement, signature);
        Ok(signature)
    }

    /// The signature over exactly this, when it is one of the last.
    pub(super) fn signature(&self, statement: &Statement) -> Option<Signature> {
        let vote = |last: &Option<(Vote, Signature)>, vote: &Vote| last.filter(|(last, _)| last == vote);
        match statement {
            Statement::Proposal(proposal) => self.proposal.filter(|(last, _)| last == proposal).map(|last| last.1),
            Statement::Vote(cast) if cast.kind == VoteKind::Prevote => vote(&self.prevote, cast).map(|last| last.1),
            Statement::Vote(cast) => vote(&self.precommit, cast).map(|last| last.1),
        }
    }

    fn remember(&mut self, statement: Statement, signature: Signature) {
        match statement {
            Statement::Proposal(proposal) => self.proposal = Some((proposal, signature)),
            Statement::Vote(vote) if vote.kind == VoteKind::Prevote => self.prevote = Some((vote, signature)),
            Statement::Vote(vote) => self.precommit = Some((vote, signature)),
        }
    }
}

/// What is stored on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct SignRecord {
    /// What was signed last; `None` when that is not known any more.
    pub(super) signed: Option<SignState>,
    /// The processes that signed it, the newest last.
    pub(super) incarnations: Vec<Incarnation>,
}

impl SignRecord {
    /// The record of a key that never signed anything.
    pub(super) fn unused() -> Self {
        Self { signed: Some(SignState::default()), incarnations: Vec::new() }
    }

    /// A process starts; the oldest are forgotten.
    pub(super) fn begin(&mut self, incarnation: Incarnation) {
        self.incarnations.push(incarnation);
        self.incarnations.drain(..self.incarnations.len().saturating_sub(Claim::EARLIER + 1));
    }

    /// How far this validator has signed; `None` when it never did, or when that is not known.
    pub(super) fn progress(&self) -> Option<Progress> {
        self.signed.as_ref()?.progress()
    }

    /// The bytes to store.
    pub(super) fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The record stored as these bytes.
    ///
    /// # Errors
    /// [`codec::DecodeError`] when they are not a record.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, codec::DecodeError> {
        codec::decode(bytes, PAYLOAD)
    }
}

/// Where the record is stored. One write at a time; after [`SignStore::save`] returns it survives every crash.
pub trait SignStore: Send + Sync + std::fmt::Debug + 'static {
    /// What was saved last; `None` if nothing was.
    ///
    /// # Errors
    /// When it cannot be read.
    fn load(&self) -> io::Result<Option<Vec<u8>>>;

    /// Replaces what was saved, durably.
    ///
    /// # Errors
    /// When it cannot be written: nothing more may be signed.
    fn save(&self, bytes: &[u8]) -> io::Result<()>;
}

/// Creates the file for a vote key that never signed anything: a validator without a file must assume that the file was
/// lost. An existing file is left as it is.
///
/// # Errors
/// [`OpenSignFileError`] says what to do.
pub fn begin(path: &Path) -> Result<(), OpenSignFileError> {
    let disk = |source| OpenSignFileError::Disk { path: path.to_owned(), source };
    begin_in(&SignFile::open(path)?).map_err(disk)
}

/// As [`begin`], for any store.
///
/// # Errors
/// When it cannot be read or written.
pub fn begin_in(store: &dyn SignStore) -> io::Result<()> {
    if store.load()?.is_none() { store.save(&SignRecord::unused().encode()) } else { Ok(()) }
}

/// Bytes of a record at most.
const PAYLOAD: usize = 900;
/// Bytes of one of the file's two slots: number, length, checksum, payload.
const SLOT: usize = 1024;
const HEAD: usize = 8 + 4 + 32;

/// A file with two slots, written in turn: if a crash tears one, the other is whole.
#[derive(Debug)]
pub struct SignFile {
    file: File,
    /// The number of the newest slot.
    newest: Mutex<u64>,
    sync: Seconds,
}

/// Why a sign-state file is not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenSignFileError {
    /// Another process has it open.
    #[error("{} is in use: another process runs this validator; stop it first", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be opened or read.
    #[error("cannot open {}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

impl SignFile {
    /// Opens or creates the file, for this process alone.
    ///
    /// # Errors
    /// [`OpenSignFileError`] says what to do.
    pub fn open(path: &Path) -> Result<Self, OpenSignFileError> {
        let disk = |source| OpenSignFileError::Disk { path: path.to_owned(), source };
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = opened.map_err(disk)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenSignFileError::InUse { path: path.to_owned() },
            TryLockError::Error(source) => disk(source),
        })?;
        if let Some(dir) = path.parent() {
            File::open(dir).and_then(|dir| dir.sync_all()).map_err(disk)?;
        }
        let newest = slots(&file).map_err(disk)?.map_or(0, |(number, _)| number);
        Ok(Self { file, newest: Mutex::new(newest), sync: Seconds::default() })
    }

    /// Counts in `sync` how long its syncs take.
    #[must_use]
    pub fn timed(self, sync: Seconds) -> Self {
        Self { sync, ..self }
    }
}

impl SignStore for SignFile {
    fn load(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(slots(&self.file)?.map(|(_, payload)| payload))
    }

    fn save(&self, bytes: &[u8]) -> io::Result<()> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let number = newest.checked_add(1).ok_or(io::ErrorKind::InvalidInput)?;
        let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        if bytes.len() > PAYLOAD {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut slot = number.to_le_bytes().to_vec();
        slot.extend_from_slice(&length.to_le_bytes());
        slot.extend_from_slice(&checksum(number, bytes));
        slot.extend_from_slice(bytes);
        slot.resize(SLOT, 0);
        self.file.write_all_at(&slot, offset(number))?;
        let begun = Instant::now();
        self.file.sync_data()?;
        self.sync.observe(begun.elapsed());
        *newest = number;
        Ok(())
    }
}

fn offset(number: u64) -> u64 {
    number % 2 * 1024
}

fn checksum(number: u64, payload: &[u8]) -> [u8; 32] {
    let mut hasher = blake3_keyed();
    hasher.update(&number.to_le_bytes());
    hasher.update(payload);
    hasher.finalize().into()
}

fn blake3_keyed() -> blake3::Hasher {
    blake3::Hasher::new_derive_key("ostrakon sign state 1")
}

/// The newest slot that is not torn.
fn slots(file: &File) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut bytes = vec![0; 2 * SLOT];
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], u64::try_from(read).map_err(io::Error::other)?)? {
            0 => break,
            more => read += more,
        }
    }
    Ok(bytes.chunks_exact(SLOT).filter_map(slot).max_by_key(|(number, _)| *number))
}

fn slot(bytes: &[u8]) -> Option<(u64, Vec<u8>)> {
    let number = u64::from_le_bytes(bytes[..8].try_into().ok()?);
    let length = usize::try_from(u32::from_le_bytes(bytes[8..12].try_into().ok()?)).ok()?;
    let payload = bytes.get(HEAD..HEAD.checked_add(length)?)?;
    (number > 0 && bytes[12..HEAD] == checksum(number, payload)).then(|| (number, payload.to_vec()))
}

/// A record in memory, for simulated machines.
#[derive(Debug, Default)]
pub struct SignMemory {
    bytes: Mutex<Option<Vec<u8>>>,
}

impl SignStore for SignMemory {
    fn load(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn save(&self, bytes: &[u8]) -> io::Result<()> {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes.to_vec());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::id::BlockId;

    use super::*;

    fn vote(kind: VoteKind, height: u64, round: u32, block: Option<u8>) -> Statement {
        let block = block.map(|byte| BlockId::new([byte; 32]));
        Statement::Vote(Vote { kind, height: Height(height), round, block })
    }

    fn proposal(height: u64, round: u32, block: u8) -> Statement {
        let block = BlockId::new([block; 32]);
        Statement::Proposal(BlockProposal { height: Height(height), round, valid_round: None, block })
    }

    /// Signs `before`, then `statement`.
    fn check(before: &[Statement], statement: Statement, expect: Result<(), SignError>) {
        let (key, chain) = (Keypair::from_seed(&[1; 32]), ChainId::new([2; 32]));
        let mut state = SignState::default();
        for statement in before {
            state.sign(*statement, &key, &chain).expect("in order");
        }
        let (before_it, signed) = (state.clone(), state.sign(statement, &key, &chain));
        assert_eq!(signed.map(|_| ()), expect, "{statement:?} after {before:?}");
        if expect.is_err() {
            assert_eq!(state, before_it, "a refusal changes nothing");
        }
        let record = SignRecord { signed: Some(state), incarnations: vec![Incarnation([7; 16])] };
        assert_eq!(SignRecord::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn signatures_only_move_forward() {
        use VoteKind::{Precommit, Prevote};
        let prevote = vote(Prevote, 5, 1, Some(1));
        check(&[], prevote, Ok(()));
        check(&[prevote], prevote, Ok(()));
        check(&[prevote], vote(Prevote, 5, 1, None), Err(SignError::Conflict));
        check(&[prevote], vote(Prevote, 5, 1, Some(2)), Err(SignError::Conflict));
        check(&[prevote], vote(Prevote, 5, 0, Some(1)), Err(SignError::Backwards));
        check(&[prevote], vote(Precommit, 4, 9, None), Err(SignError::Backwards));
        check(&[prevote], proposal(5, 1, 1), Err(SignError::Backwards));
        check(&[prevote], vote(Precommit, 5, 1, None), Ok(()));
        check(&[prevote], vote(Prevote, 5, 2, None), Ok(()));
        check(&[prevote], proposal(5, 2, 1), Ok(()));
        check(&[prevote], vote(Prevote, 6, 0, None), Ok(()));
        check(&[proposal(5, 1, 1), prevote, vote(Precommit, 5, 1, None)], prevote, Ok(()));
        check(&[proposal(5, 1, 1)], proposal(5, 1, 2), Err(SignError::Conflict));
        check(&[prevote, vote(Precommit, 5, 1, None)], vote(Precommit, 5, 1, Some(1)), Err(SignError::Conflict));
        check(&[prevote, vote(Prevote, 5, 2, None)], prevote, Err(SignError::Backwards));
    }

    #[test]
    fn the_same_content_has_the_same_signature() {
        let (key, chain, mut state) = (Keypair::from_seed(&[1; 32]), ChainId::new([2; 32]), SignState::default());
        let statement = vote(VoteKind::Prevote, 1, 0, None);
        let first = state.sign(statement, &key, &chain).expect("signed");
        let record = SignRecord { signed: Some(state), incarnations: Vec::new() };
        let mut restarted = SignRecord::decode(&record.encode()).expect("stored").signed.expect("known");
        assert_eq!(restarted.sign(statement, &key, &chain), Ok(first));
        assert_eq!(restarted.signature(&vote(VoteKind::Prevote, 1, 0, Some(1))), None);
    }

    #[test]
    fn a_new_key_begins_with_an_empty_memory() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sign-state");
        begin(&path).expect("new");
        let kept = SignFile::open(&path).expect("opens").load().expect("reads").expect("kept");
        assert_eq!(SignRecord::decode(&kept), Ok(SignRecord::unused()));
        SignFile::open(&path).expect("opens").save(b"statement").expect("writes");
        begin(&path).expect("there");
        assert_eq!(SignFile::open(&path).expect("opens").load().expect("reads").as_deref(), Some(&b"statement"[..]));
    }

    #[test]
    fn the_largest_state_fits() {
        let (key, chain, mut state) = (Keypair::from_seed(&[1; 32]), ChainId::new([2; 32]), SignState::default());
        let all = Statement::Proposal(BlockProposal {
            height: Height(1),
            round: 1,
            valid_round: Some(0),
            block: BlockId::new([1; 32]),
        });
        for statement in [all, vote(VoteKind::Prevote, 1, 1, Some(1)), vote(VoteKind::Precommit, 1, 1, Some(1))] {
            state.sign(statement, &key, &chain).expect("in order");
        }
        let mut kept = SignRecord { signed: Some(state), incarnations: Vec::new() };
        (0..99).for_each(|number| kept.begin(Incarnation([number; 16])));
        assert_eq!(
            (kept.incarnations.first(), kept.incarnations.last()),
            (Some(&Incarnation([90; 16])), Some(&Incarnation([98; 16])))
        );
        assert!(kept.encode().len() <= PAYLOAD);
    }

    #[test]
    fn a_write_that_is_torn_anywhere_leaves_the_one_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sign-state");
        let store = SignFile::open(&path).expect("new");
        assert_eq!(store.load().expect("reads"), None);
        store.save(b"first").expect("writes");
        store.save(b"second").expect("writes");
        let before = std::fs::read(&path).expect("reads");
        store.save(b"third").expect("writes");
        let after = std::fs::read(&path).expect("reads");
        drop(store);
        for cut in 0..=after.len() {
            let torn: Vec<u8> = (0..after.len())
                .map(|at| if at < cut { after[at] } else { before.get(at).copied().unwrap_or(0) })
                .collect();
            std::fs::write(&path, &torn).expect("writes");
            let loaded = SignFile::open(&path).expect("opens").load().expect("reads").expect("something");
            assert!(loaded == b"third" || (loaded == b"second" && torn != after), "cut at {cut}");
        }
        assert_eq!(SignFile::open(&path).expect("opens").load().expect("reads").as_deref(), Some(&b"third"[..]));
    }

    #[test]
    fn one_process_signs() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sign-state");
        let held = SignFile::open(&path).expect("new");
        assert!(matches!(SignFile::open(&path), Err(OpenSignFileError::InUse { .. })));
        drop(held);
        assert!(SignFile::open(&path).is_ok());
    }
}
