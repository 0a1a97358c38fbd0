//! Audits of this node: proves to the ledger, once an epoch, that it stores what it is paid for (ARCHITECTURE 5.8).
//!
//! In come blocks; out goes, as soon as the node's window is open, the [`proof`] of what the epoch's beacon asks for,
//! to every validator, until a block has it. It is checked before it is sent. Not here: what is asked for and what a
//! proof pays, which are the ledger's rules.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use futures::future::join_all;
use ostrakon_net::{Workers, ask};
use ostrakon_proto::{
    audit::StorageProof,
    id::{Epoch, NodeId},
    ledger::{AuditError, Challenge, proofs::ProofKey, state::Records},
    wire::{self, chain::Head},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{chain::Chain, store::Columns};

pub(crate) mod proof;

/// How often a proof that no block has yet is sent again, or made again if it could not be.
const AGAIN: Duration = Duration::from_secs(5);
/// The last time that can be shown as a date: the end of the year 9999, in milliseconds of Unix time.
const LAST_MS: u64 = 253_402_300_799_999;

/// How this epoch's proof is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditStatus {
    /// The epoch.
    pub epoch: Epoch,
    /// What is the case.
    #[serde(flatten)]
    pub state: AuditState,
}

/// What is the case with an epoch's proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum AuditState {
    /// The node stored nothing when the epoch began.
    Nothing,
    /// The node's window opens at this block time.
    Waits {
        /// In milliseconds of Unix time.
        opens_ms: u64,
    },
    /// It was sent, and no block has it yet.
    Sent,
    /// A block has it: the epoch is paid.
    Proven,
    /// It cannot be made.
    Failed {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for AuditStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}: ", self.epoch)?;
        match &self.state {
            AuditState::Nothing => f.write_str("nothing to prove"),
            AuditState::Waits { opens_ms } => {
                let opens = UNIX_EPOCH + Duration::from_millis((*opens_ms).min(LAST_MS));
                write!(f, "not sent yet; its window opens at {}", humantime::format_rfc3339_seconds(opens))
            }
            AuditState::Sent => f.write_str("sent, and in no block yet"),
            AuditState::Proven => f.write_str("proven"),
            AuditState::Failed { reason } => write!(f, "cannot be proven: {reason}"),
        }
    }
}

/// The task of audits.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The ledger.
    pub chain: Chain,
    /// This node, as commitments name it.
    pub node: NodeId,
    /// The stored columns.
    pub columns: Arc<dyn Columns>,
    /// Threads for the disk.
    pub workers: Workers,
    /// Gets how the proof of the epoch in progress is doing.
    pub status: watch::Sender<Option<AuditStatus>>,
}

/// The epoch that is being proven.
#[derive(Debug)]
struct Open {
    key: ProofKey,
    challenge: Arc<Challenge>,
    proof: Option<Arc<StorageProof>>,
    tried: Option<Instant>,
    warned: bool,
}

impl Audit {
    /// Proves each epoch until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        // Cancelled or not: a proof that was sent is with the validators.
        let _stopped = stop.run_until_cancelled(self.prove_epochs()).await;
    }

    async fn prove_epochs(&self) {
        let (mut heads, mut open) = (self.chain.subscribe(), None);
        loop {
            let head = heads.see();
            if self.chain.is_synced() && !self.is_done(head.epoch) {
                self.step(&head, &mut open).await;
            }
            heads.next().await;
        }
    }

    /// Whether nothing is left to do in this epoch.
    fn is_done(&self, epoch: Epoch) -> bool {
        let done = |state: &AuditState| matches!(state, AuditState::Nothing | AuditState::Proven);
        self.status.borrow().as_ref().is_some_and(|status| status.epoch == epoch && done(&status.state))
    }

    /// A block was decided.
    async fn step(&self, head: &Head, open: &mut Option<Open>) {
        let key = ProofKey { provider: self.node, epoch: head.epoch };
        if self.is_proven(key).await {
            return self.say(head.epoch, AuditState::Proven);
        }
        if open.as_ref().is_none_or(|open| open.key != key) {
            *open = match self.chain.challenge(key).await {
                Ok(challenge) => Some(Open { key, challenge, proof: None, tried: None, warned: false }),
                Err(AuditError::Nothing { .. } | AuditError::NoProvider(_)) => {
                    return self.say(head.epoch, AuditState::Nothing);
                }
                // The beacon is not complete, or the epoch turned meanwhile.
                Err(_) => None,
            };
        }
        let Some(open) = open else { return };
        let opens_ms = open.challenge.opens_ms;
        if head.time_ms < opens_ms {
            return self.say(head.epoch, AuditState::Waits { opens_ms });
        }
        self.warn_if_late(head, open);
        if open.tried.is_some_and(|tried| tried.elapsed() < AGAIN) {
            return;
        }
        open.tried = Some(Instant::now());
        if open.proof.is_none() {
            open.proof = self.make(open).await;
        }
        if let Some(proof) = &open.proof {
            self.send(open.key, proof).await;
            self.say(head.epoch, AuditState::Sent);
        }
    }

    /// Makes the proof, and checks it as a validator will.
    async fn make(&self, open: &Open) -> Option<Arc<StorageProof>> {
        let (columns, challenge) = (Arc::clone(&self.columns), Arc::clone(&open.challenge));
        let made = self.workers.run(move || proof::make(&*columns, &challenge.leaves)).await;
        match made {
            Ok(proof) => Some(Arc::new(proof)),
            Err(error) => {
                let epoch = open.key.epoch;
                tracing::error!(%epoch, %error, "cannot prove this epoch, so it is not paid");
                self.say(epoch, AuditState::Failed { reason: error.to_string() });
                None
            }
        }
    }

    /// Hands the proof to every validator: the next proposer can include it.
    async fn send(&self, key: ProofKey, proof: &Arc<StorageProof>) {
        let peers = self.chain.peers();
        let hand = |validator: NodeId| {
            let (peers, chain) = (Arc::clone(&peers), self.chain.clone());
            async move {
                let refused = if validator == peers.local() {
                    chain.take_proof(key, Arc::clone(proof)).await.map_err(|error| error.to_string())
                } else {
                    let call = wire::chain::prove(key.epoch, proof);
                    ask(&*peers, validator, call).await.map_err(|error| error.to_string())
                };
                if let Err(error) = refused {
                    tracing::debug!(%validator, %error, "validator did not take this epoch's storage proof");
                }
            }
        };
        join_all(self.chain.validators().into_iter().map(hand)).await;
    }

    async fn is_proven(&self, key: ProofKey) -> bool {
        let proven = move |records: &dyn Records| {
            let provider = records.provider(&key.provider);
            provider.is_some_and(|provider| provider.audited.pay.proofs.has(key.epoch))
        };
        self.chain.read(proven).await
    }

    /// Says once that half of the window is gone.
    fn warn_if_late(&self, head: &Head, open: &mut Open) {
        let Challenge { opens_ms, closes_ms, .. } = *open.challenge;
        if !open.warned && head.time_ms > opens_ms.midpoint(closes_ms) {
            open.warned = true;
            tracing::warn!(
                epoch = %head.epoch,
                "half of the time to prove this epoch is gone, and no block has this node's proof: check that it \
                 reaches the validators"
            );
        }
    }

    fn say(&self, epoch: Epoch, state: AuditState) {
        let status = Some(AuditStatus { epoch, state });
        self.status.send_if_modified(|before| {
            let changed = *before != status;
            *before = status.clone();
            changed
        });
    }
}

#[cfg(test)]
mod tests;
