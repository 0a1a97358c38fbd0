//! What this validator signs with, and the durable record of what it signed.
//!
//! In go entries of the write-ahead log and the engine's sign state; both are on disk when [`Signer::sync`] returns,
//! and no message may be sent before. [`super::wal`] and [`super::sign_state`] are the formats. Not here: whether this
//! process may sign at all ([`super::guard`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ostrakon_net::Workers;
use ostrakon_proto::{
    id::{ChainId, Height, VoteKey},
    sign::Keypair,
    wire::consensus::Incarnation,
};

use super::{
    OrderError,
    sign_state::{Progress, SignRecord, SignState, SignStore, Statement},
    wal::{self, Wal, WalEntry},
};

/// Recent heights of which it is known what this process signed: messages of another process with its key may arrive
/// late.
const HEIGHTS: usize = 64;

/// A validator's key, with what it signed.
pub(super) struct Signer {
    pub(super) key: Keypair,
    pub(super) chain: ChainId,
    incarnation: Incarnation,
    workers: Workers,
    wal: Arc<dyn Wal>,
    store: Arc<dyn SignStore>,
    /// What the store holds.
    record: SignRecord,
    /// How far this validator had signed when the process started.
    pub(super) started_at: Option<Progress>,
    /// What this process signed at each of the last [`HEIGHTS`] heights.
    history: BTreeMap<Height, BTreeSet<Statement>>,
    /// Framed log entries that are not written yet.
    unwritten: Vec<u8>,
}

/// What a validator shows the others to be allowed to sign.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// Its key.
    pub(super) key: Keypair,
    /// The network.
    pub(super) chain: ChainId,
    /// Its processes, this one last.
    pub(super) incarnations: Vec<Incarnation>,
}

impl Signer {
    /// The signer of a key whose record is not loaded yet.
    pub(super) fn new(
        (key, chain): (Keypair, ChainId),
        incarnation: Incarnation,
        workers: Workers,
        wal: Arc<dyn Wal>,
        store: Arc<dyn SignStore>,
    ) -> Self {
        let (record, history) = (SignRecord::default(), BTreeMap::new());
        let (started_at, unwritten) = (None, Vec::new());
        Self { key, chain, incarnation, workers, wal, store, record, started_at, history, unwritten }
    }

    /// Loads the sign state, and records that this process signs from now on.
    pub(super) async fn load(&mut self) -> Result<(), OrderError> {
        let store = Arc::clone(&self.store);
        let bytes = self.workers.run(move || store.load()).await.map_err(OrderError::SignState)?;
        let loaded = bytes.map(|bytes| SignRecord::decode(&bytes).map_err(|_| OrderError::Damaged)).transpose()?;
        let mut record = loaded.unwrap_or_default();
        self.started_at = record.progress();
        record.begin(self.incarnation);
        self.save(record).await
    }

    async fn save(&mut self, record: SignRecord) -> Result<(), OrderError> {
        let (store, bytes) = (Arc::clone(&self.store), record.encode());
        self.workers.run(move || store.save(&bytes)).await.map_err(OrderError::SignState)?;
        self.record = record;
        Ok(())
    }

    /// Records that nothing was ever signed, if there is no record: this validator is not taken for one that lost it.
    pub(super) async fn start_record(&mut self) -> Result<(), OrderError> {
        if self.record.signed.is_some() {
            return Ok(());
        }
        let signed = Some(SignState::default());
        self.save(SignRecord { signed, ..self.record.clone() }).await
    }

    /// The log's entries of this height; what is torn or of an earlier height is cut off.
    pub(super) async fn read_log(&mut self, height: Height) -> Result<Vec<WalEntry>, OrderError> {
        self.unwritten.clear();
        let (wal, chain) = (Arc::clone(&self.wal), self.chain);
        let read = move || {
            let bytes = wal.load()?;
            let (log, whole) = wal::read(&chain, height, &bytes);
            if whole < bytes.len() {
                wal.cut(whole)?;
            }
            Ok(log)
        };
        self.workers.run(read).await.map_err(OrderError::Wal)
    }

    /// Adds an entry to the log of `height`; durable after [`Signer::sync`].
    pub(super) fn log(&mut self, height: Height, entry: &WalEntry) {
        self.unwritten.extend(wal::frame(&self.chain, height, entry));
    }

    /// Makes the log and `signed` durable. The log first: a recorded signature without what led to it would keep this
    /// validator from signing until the next height.
    pub(super) async fn sync(&mut self, signed: &SignState) -> Result<(), OrderError> {
        let unwritten = std::mem::take(&mut self.unwritten);
        let is_new = *signed != self.signed();
        let record = is_new.then(|| SignRecord { signed: Some(signed.clone()), ..self.record.clone() });
        let bytes = record.as_ref().map(SignRecord::encode);
        let (wal, store) = (Arc::clone(&self.wal), Arc::clone(&self.store));
        let write = move || {
            if !unwritten.is_empty() {
                wal.append(&unwritten).map_err(OrderError::Wal)?;
            }
            bytes.map_or(Ok(()), |bytes| store.save(&bytes).map_err(OrderError::SignState))
        };
        self.workers.run(write).await?;
        if let Some(record) = record {
            self.record = record;
        }
        Ok(())
    }

    /// The height is over, and this is what was signed at it.
    pub(super) fn remember(&mut self, height: Height, signed: BTreeSet<Statement>) {
        self.history.insert(height, signed);
        while self.history.len() > HEIGHTS {
            self.history.pop_first();
        }
    }

    /// Whether this process may have signed this, of a height below `now`.
    pub(super) fn knows(&self, statement: &Statement, now: Height) -> bool {
        let height = statement.progress().0;
        height < now && self.history.get(&height).is_none_or(|known| known.contains(statement))
    }

    /// The validator's public key.
    pub(super) fn me(&self) -> VoteKey {
        self.key.public()
    }

    /// Who signs, for the other validators.
    pub(super) fn identity(&self) -> Identity {
        Identity { key: self.key.clone(), chain: self.chain, incarnations: self.record.incarnations.clone() }
    }

    /// What was signed last.
    pub(super) fn signed(&self) -> SignState {
        self.record.signed.clone().unwrap_or_default()
    }

    /// How far this validator has signed; `None` when it never did, or when that is not recorded.
    pub(super) fn progress(&self) -> Option<Progress> {
        self.record.progress()
    }

    /// Whether this process has signed anything.
    pub(super) fn has_signed(&self) -> bool {
        self.progress() != self.started_at
    }

    /// Whether it is recorded what was signed: without a record, it may be anything.
    pub(super) fn has_record(&self) -> bool {
        self.record.signed.is_some()
    }
}
