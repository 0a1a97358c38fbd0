//! The solo order: one validator proposes every block, and its vote alone decides it.
//!
//! In come waiting transactions and the clock, out go decided blocks. Not here: whether this node may propose at all,
//! which [`super::follow::catch_up`] finds out first: one that lost its disk must not decide a height twice.

use std::{sync::Arc, time::Duration};

use ostrakon_proto::{
    id::Height,
    ledger::{
        CheckedTx, Proposal, Proposer, TxError, propose,
        tx::{Decided, Tx},
        vote::{Certificate, SignedVote, ValidatorKeys, Vote, VoteKind},
    },
    limits,
};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Chain, Shared, store::LedgerError};
use crate::node::Clock;

/// Least time between two blocks: transactions gather, and the disk syncs ten times a second at most.
const PACE: Duration = Duration::from_millis(100);

/// The proposer's task.
#[derive(Debug)]
pub struct Solo {
    chain: Chain,
    keys: Arc<ValidatorKeys>,
    clock: Clock,
    interval: Duration,
}

/// What came of one proposal.
struct Proposed {
    height: Height,
    taken: usize,
    /// Whether more could be taken at once.
    more: bool,
}

impl Solo {
    /// The proposer of `chain`, with a block at least every `interval`.
    pub fn new(chain: Chain, keys: ValidatorKeys, clock: Clock, interval: Duration) -> Self {
        Self { chain, keys: Arc::new(keys), clock, interval }
    }

    /// Proposes until `stop`.
    ///
    /// # Errors
    /// [`LedgerError`] when a block can not be kept; it was shown to nobody.
    pub async fn run(self, stop: CancellationToken) -> Result<(), LedgerError> {
        while !stop.is_cancelled() {
            let began = Instant::now();
            let proposed = self.propose().await?;
            tracing::debug!(height = %proposed.height, transactions = proposed.taken, "proposed a block");
            if proposed.more {
                self.chain.shared.work.notify_one();
            }
            stop.run_until_cancelled(self.rest(began)).await;
        }
        Ok(())
    }

    /// Until there is work and the pace allows it, or the interval is over.
    async fn rest(&self, began: Instant) {
        tokio::select! {
            biased;
            () = async {
                self.chain.shared.work.notified().await;
                sleep_until(began + PACE.min(self.interval)).await;
            } => {}
            () = sleep_until(began + self.interval) => {}
        }
    }

    async fn propose(&self) -> Result<Proposed, LedgerError> {
        let (shared, keys, now_ms) = (Arc::clone(&self.chain.shared), Arc::clone(&self.keys), self.clock.now_ms());
        self.chain.shared.workers.run(move || shared.propose(&keys, now_ms)).await
    }
}

impl Shared {
    fn propose(&self, keys: &ValidatorKeys, now_ms: u64) -> Result<Proposed, LedgerError> {
        let records = self.ledger.view();
        let txs =
            self.pool().take(limits::BLOCK).into_iter().map(Arc::unwrap_or_clone).map(CheckedTx::into_tx).collect();
        let proposer = Proposer { key: keys.vote.public(), beacon: &keys.beacon, round: 0, now_ms };
        let Proposal { block, changes, rejected } = propose(&self.rules, &*records, txs, &proposer);
        drop(records);
        let (height, block_id) = (block.header.height, block.header.id());
        let vote = Vote { kind: VoteKind::Precommit, height, round: 0, block: Some(block_id) };
        let signed = SignedVote::sign(vote, &keys.vote, &self.rules.chain);
        let signatures = [(signed.voter, signed.signature)].into();
        let decided = Decided { block, certificate: Certificate { height, round: 0, block: block_id, signatures } };
        self.commit(&decided, &changes)?;
        self.reject(&rejected);
        let more = self.pool().is_ready();
        Ok(Proposed { height: changes.tip.height, taken: decided.block.txs.len(), more })
    }

    /// What the rules refuse now was valid when it came; it does not wait for better times.
    fn reject(&self, rejected: &[(Tx, TxError)]) {
        let mut pool = self.pool();
        for (tx, error) in rejected {
            tracing::debug!(tx = %tx.id(), %error, "a waiting transaction is dropped");
            pool.drop_tx(&tx.id());
        }
    }
}
