//! Tells the ledger who signed two things: a validator that does is punished once, whoever saw it.
//!
//! In comes what the order found; out goes, from this node's own account, a transaction that proves it, until the
//! ledger has punished the validator or says that it never will. What waits when the node stops is lost: the other
//! validators saw it too. Not here: what proves something and what it costs, which is the ledger's business.

use std::time::Duration;

use ostrakon_proto::{
    id::{AccountId, Amount, Height, VoteKey},
    ledger::{
        Rules, TxError,
        state::{Account, Key, Records, ValidatorStatus},
        tx::{self, Action, Tx, TxBody},
    },
    sign::Keypair,
};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{Chain, order::Evidence, submit::SubmitError};

/// Proofs that wait while one is brought to a block: one of each validator is enough, and few go wrong at once.
const WAITING: usize = 128;
/// Blocks for which the transaction is good.
const VALID_BLOCKS: u64 = 600;
/// Blocks in which it should be taken.
const TAKEN_IN: u64 = 5;
/// Pause after a failure: the account may have to get money first.
const AGAIN: Duration = Duration::from_secs(15);

/// Where the order leaves its proofs.
#[derive(Clone, Debug)]
pub struct Accuser(mpsc::Sender<tx::Evidence>);

/// What brings them to the ledger.
#[derive(Debug)]
pub struct Accusations {
    account: Keypair,
    waiting: mpsc::Receiver<tx::Evidence>,
}

/// Accuses from the account of this key, which pays the fee and gets the reward.
pub fn accuse(account: Keypair) -> (Accuser, Accusations) {
    let (sender, waiting) = mpsc::channel(WAITING);
    (Accuser(sender), Accusations { account, waiting })
}

impl Accuser {
    /// Leaves a proof. When too many wait it is dropped: the others who saw it have it too.
    pub fn report(&self, found: Evidence) {
        tracing::error!(?found, "a validator signed two things of which an honest one signs one");
        let Some(evidence) = in_order(found) else { return };
        if self.0.try_send(evidence).is_err() {
            tracing::warn!("too many proofs wait already: this one is dropped");
        }
    }
}

/// As the ledger wants it: the lesser block first. `None` for one block twice, which is no contradiction there.
fn in_order(found: Evidence) -> Option<tx::Evidence> {
    match found {
        Evidence::Votes(a, b) if a.vote.block < b.vote.block => Some(tx::Evidence::Votes(a, b)),
        Evidence::Votes(a, b) if a.vote.block > b.vote.block => Some(tx::Evidence::Votes(b, a)),
        Evidence::Proposals(a, b) if a.proposal.block < b.proposal.block => Some(tx::Evidence::Proposals(a, b)),
        Evidence::Proposals(a, b) if a.proposal.block > b.proposal.block => Some(tx::Evidence::Proposals(b, a)),
        Evidence::Votes(..) | Evidence::Proposals(..) => None,
    }
}

impl Accusations {
    /// Brings proofs to the ledger, one after the other, until `stop`.
    pub async fn run(mut self, chain: Chain, stop: CancellationToken) {
        let bring = async {
            while let Some(evidence) = self.waiting.recv().await {
                bring(&chain, &self.account, evidence).await;
            }
        };
        stop.run_until_cancelled(bring).await;
    }
}

/// Submits the proof again and again, until nothing more comes of it.
async fn bring(chain: &Chain, account: &Keypair, evidence: tx::Evidence) {
    let (key, sender): (VoteKey, AccountId) = (evidence.accused(), account.public());
    loop {
        let (rules, height) = (chain.rules(), evidence.height());
        let look = move |records: &dyn Records| (is_open(&rules, records, &key, height), records.account(&sender));
        let (open, from) = chain.read(look).await;
        if !open {
            return;
        }
        match submit(chain, account, from, evidence.clone()).await {
            Ok(height) => {
                chain.wait(Height(height.0 + TAKEN_IN)).await;
            }
            Err(SubmitError::Rules(error)) if is_final(&error) => {
                tracing::warn!(%key, %error, "the ledger does not punish who signed two things");
                return;
            }
            Err(error) => {
                tracing::warn!(%key, account = %sender, %error, "a proof did not reach a block; trying again");
                sleep(AGAIN).await;
            }
        }
    }
}

/// Whether the validator has a bond, was not punished yet, and still answers for this height.
fn is_open(rules: &Rules, records: &dyn Records, key: &VoteKey, height: Height) -> bool {
    let ends = rules.epoch_of(height).after(rules.params.bonds.unbonding_epochs);
    let status = records.validator(key).map(|validator| validator.status);
    let unpunished = matches!(status, Some(ValidatorStatus::Active | ValidatorStatus::Left { .. }));
    unpunished && records.get(&Key::Barred(*key)).is_none() && records.tip().running.epoch <= ends
}

/// Whether the ledger will never say anything else.
const fn is_final(error: &TxError) -> bool {
    matches!(
        error,
        TxError::NoContradiction
            | TxError::EvidenceSignature
            | TxError::EvidenceHeight { .. }
            | TxError::NoValidator { .. }
            | TxError::Barred { .. }
    )
}

/// Submits the transaction; returns the height at which it was.
async fn submit(chain: &Chain, key: &Keypair, from: Account, evidence: tx::Evidence) -> Result<Height, SubmitError> {
    let (rules, height) = (chain.rules(), chain.head().height);
    let (nonce, valid_until, action) = (from.nonce, Height(height.0 + VALID_BLOCKS), Action::Evidence(evidence));
    let mut body = TxBody { account: key.public(), nonce, valid_until, fee: Amount::ZERO, action };
    body.fee = rules.offer(&body);
    chain.submit(Tx::sign(body, key, &rules.chain)).await.map(|()| height)
}

#[cfg(test)]
mod tests;
