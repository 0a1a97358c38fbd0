//! Reports equivocation to the ledger, which slashes a validator for it once.
//!
//! In comes what the order saw; out goes a transaction with the evidence, from this node's own account, until the
//! ledger has slashed the validator or rejects the evidence permanently. What is queued when the node stops is lost:
//! the other validators saw it too. Not here: what counts as evidence and what it costs, which are the ledger's rules.

use std::time::Duration;

use ostrakon_proto::{
    id::{AccountId, Height, VoteKey},
    ledger::{
        TxError,
        state::{Key, Records, ValidatorStatus},
        tx::{self, Action},
    },
    sign::Keypair,
};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{Chain, order::Equivocation, submit::SubmitError};

/// Queued evidence: one piece for each validator is enough, and few equivocate at the same time.
const WAITING: usize = 128;
/// Pause after a failure: the account may need money first.
const AGAIN: Duration = Duration::from_secs(15);

/// Where the order reports evidence.
#[derive(Clone, Debug)]
pub struct EvidenceReporter(mpsc::Sender<tx::Evidence>);

/// Submits evidence to the ledger.
#[derive(Debug)]
pub struct EvidenceSubmitter {
    account: Keypair,
    queue: mpsc::Receiver<tx::Evidence>,
}

/// Reports from the account of this key, which pays the fee and gets the reward.
pub fn reporting(account: Keypair) -> (EvidenceReporter, EvidenceSubmitter) {
    let (sender, queue) = mpsc::channel(WAITING);
    (EvidenceReporter(sender), EvidenceSubmitter { account, queue })
}

impl EvidenceReporter {
    /// Queues evidence. When the queue is full it is dropped: the other validators have it too.
    pub fn report(&self, found: Equivocation) {
        tracing::error!(?found, "validator equivocated");
        let Some(evidence) = in_order(found) else { return };
        if self.0.try_send(evidence).is_err() {
            tracing::warn!("evidence queue is full; evidence of equivocation dropped");
        }
    }
}

/// The evidence in the ledger's form, the lesser block first; `None` for the same block twice, which is no evidence.
fn in_order(found: Equivocation) -> Option<tx::Evidence> {
    match found {
        Equivocation::Votes(a, b) if a.vote.block < b.vote.block => Some(tx::Evidence::Votes(a, b)),
        Equivocation::Votes(a, b) if a.vote.block > b.vote.block => Some(tx::Evidence::Votes(b, a)),
        Equivocation::Proposals(a, b) if a.proposal.block < b.proposal.block => Some(tx::Evidence::Proposals(a, b)),
        Equivocation::Proposals(a, b) if a.proposal.block > b.proposal.block => Some(tx::Evidence::Proposals(b, a)),
        Equivocation::Votes(..) | Equivocation::Proposals(..) => None,
    }
}

impl EvidenceSubmitter {
    /// Submits evidence to the ledger, one piece after the other, until `stop`.
    pub async fn run(mut self, chain: Chain, stop: CancellationToken) {
        let submit = async {
            while let Some(evidence) = self.queue.recv().await {
                submit_until_settled(&chain, &self.account, evidence).await;
            }
        };
        stop.run_until_cancelled(submit).await;
    }
}

/// Submits the evidence again and again, until the ledger has acted on it or never will.
async fn submit_until_settled(chain: &Chain, account: &Keypair, evidence: tx::Evidence) {
    let (key, sender): (VoteKey, AccountId) = (evidence.accused(), account.public());
    loop {
        let height = evidence.height();
        let look = move |records: &dyn Records| (is_open(records, &key, height), records.account(&sender));
        let (open, from) = chain.read(look).await;
        if !open {
            return;
        }
        let body = chain.offered(sender, from.nonce, Action::Evidence(evidence.clone()));
        match chain.perform(account, body).await {
            Ok(()) => {}
            Err(SubmitError::Rules(error)) if is_final(&error) => {
                tracing::warn!(validator = %key, %error, "ledger rejected the evidence of equivocation");
                return;
            }
            Err(error) => {
                tracing::warn!(validator = %key, account = %sender, %error, "cannot report equivocation; retrying");
                sleep(AGAIN).await;
            }
        }
    }
}

/// Whether the validator has a bond that is liable for this height, and was not slashed yet.
fn is_open(records: &dyn Records, key: &VoteKey, height: Height) -> bool {
    let Some(validator) = records.validator(key).filter(|validator| validator.since <= height) else { return false };
    let unslashed = matches!(validator.status, ValidatorStatus::Active | ValidatorStatus::Left { .. });
    unslashed && records.get(&Key::Barred(*key)).is_none()
}

/// Whether the ledger will never accept the evidence.
const fn is_final(error: &TxError) -> bool {
    matches!(
        error,
        TxError::NoContradiction
            | TxError::EvidenceSignature
            | TxError::EvidenceHeight { .. }
            | TxError::EvidenceProof { .. }
            | TxError::NoValidator { .. }
            | TxError::Barred { .. }
    )
}

#[cfg(test)]
mod tests;
