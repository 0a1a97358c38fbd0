//! Storage proofs that wait for a block, at a validator.
//!
//! In comes a provider's own proof, out go those that are valid and that no block has yet. A provider hands its proof
//! to every validator by itself, so nothing is relayed, and no stranger can make a validator verify any. What is asked
//! of a provider is looked up once an epoch. Bounded: when too many wait, providers come again.

use std::{collections::BTreeMap, sync::Arc};

use ostrakon_net::lock;
use ostrakon_proto::{
    audit::StorageProof,
    id::{Epoch, NodeId},
    ledger::{
        AuditError, Challenge, challenge,
        proofs::{ProofKey, Proofs},
    },
    wire::{Refusal, RefusalCode},
};
use tokio::time::Instant;

use super::Chain;

/// Proofs that wait at most: of some 50 full blocks.
const WAITING: usize = 1_024;
/// Challenges that are remembered.
const CHALLENGES: usize = 4_096;

/// Proofs of the epoch in progress, and what is asked of those who sent them.
#[derive(Debug, Default)]
pub(super) struct ProofPool {
    epoch: Epoch,
    challenges: BTreeMap<NodeId, Arc<Challenge>>,
    waiting: BTreeMap<ProofKey, Arc<StorageProof>>,
}

/// Why a proof does not wait for a block here.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum TakeProofError {
    /// It does not count.
    #[error(transparent)]
    Proof(#[from] AuditError),
    /// Hand it to a validator.
    #[error("this node is not a validator, so it takes no storage proofs")]
    NotValidator,
    /// Come again.
    #[error("too many storage proofs wait for a block; try again in a minute")]
    Full,
    /// The sender sent too many wrong ones.
    #[error("too many wrong storage proofs from you; all are ignored for a minute")]
    Ignored,
}

impl TakeProofError {
    /// The refusal to answer with.
    pub(crate) fn refusal(&self) -> Refusal {
        let code = match self {
            Self::Proof(_) => RefusalCode::Invalid,
            Self::NotValidator | Self::Ignored => RefusalCode::Denied,
            Self::Full => RefusalCode::Busy,
        };
        Refusal::new(code, self)
    }
}

impl ProofPool {
    /// A block was decided in this epoch, with these proofs.
    pub(super) fn advance(&mut self, epoch: Epoch, proven: &Proofs) {
        if epoch != self.epoch {
            *self = Self { epoch, ..Self::default() };
        }
        for key in proven.keys() {
            self.waiting.remove(key);
            self.challenges.remove(&key.provider);
        }
    }

    /// All that wait.
    pub(super) fn waiting(&self) -> BTreeMap<ProofKey, Arc<StorageProof>> {
        self.waiting.clone()
    }

    fn challenge_of(&self, key: &ProofKey) -> Option<Arc<Challenge>> {
        self.challenges.get(&key.provider).filter(|_| key.epoch == self.epoch).cloned()
    }

    fn remember(&mut self, key: &ProofKey, challenge: Arc<Challenge>) {
        if key.epoch == self.epoch && self.challenges.len() < CHALLENGES {
            self.challenges.insert(key.provider, challenge);
        }
    }

    fn put(&mut self, key: ProofKey, proof: Arc<StorageProof>) -> Result<(), TakeProofError> {
        if key.epoch != self.epoch {
            return Err(AuditError::Epoch { given: key.epoch, current: self.epoch }.into());
        }
        if self.waiting.len() >= WAITING && !self.waiting.contains_key(&key) {
            return Err(TakeProofError::Full);
        }
        self.waiting.insert(key, proof);
        Ok(())
    }
}

impl Chain {
    /// What this provider is asked for in the epoch in progress.
    ///
    /// # Errors
    /// [`AuditError`] when nothing is, or not yet.
    pub(crate) async fn challenge(&self, key: ProofKey) -> Result<Arc<Challenge>, AuditError> {
        if let Some(known) = lock(&self.shared.proofs).challenge_of(&key) {
            return Ok(known);
        }
        let found =
            self.work(move |shared| challenge(&*shared.ledger.view(), &shared.rules(), &key)).await.map(Arc::new)?;
        lock(&self.shared.proofs).remember(&key, Arc::clone(&found));
        Ok(found)
    }

    /// Takes the proof of the provider that hands it over, to put it into a block.
    ///
    /// # Errors
    /// [`TakeProofError`] when it does not count, or this node cannot put it into one.
    pub(crate) async fn take_proof(&self, key: ProofKey, proof: Arc<StorageProof>) -> Result<(), TakeProofError> {
        if !self.validators().contains(&self.shared.peers.local()) {
            return Err(TakeProofError::NotValidator);
        }
        let now = Instant::now();
        if self.shared.invalid_senders().ignores(&key.provider, now) {
            return Err(TakeProofError::Ignored);
        }
        let challenge = self.challenge(key).await?;
        let valid = {
            let proof = Arc::clone(&proof);
            // The block that it gets into decides whether it is too early.
            self.work(move |_| challenge.verify(key.provider, &proof, u64::MAX)).await
        };
        if let Err(error) = valid {
            self.shared.invalid_senders().blame(key.provider, 1, now);
            return Err(error.into());
        }
        lock(&self.shared.proofs).put(key, proof)
    }
}

#[cfg(test)]
mod tests;
