//! How a transaction gets to the proposer: judged here, handed on, and remembered until a block has it.
//!
//! In comes a signed transaction, out goes "it waits" or the reason why not. Saying it twice changes nothing. A node
//! judges by its own records, which may be a block behind: what they refuse, the proposer still decides. Not here: the
//! rules (`proto`), and what the pool may hold ([`super::mempool`]).

use std::{convert::Infallible, sync::Arc, time::Duration};

use ostrakon_net::peer_id_text;
use ostrakon_proto::{
    id::NodeId,
    ledger::{self, Execution, TxError, state::Records, tx::Tx},
    wire::{Code, Refusal},
};
use tokio::time::sleep;

use super::{
    Chain, Shared,
    ask::{self, AskError},
    mempool::PoolError,
    store::LedgerError,
};

/// How often a node hands the proposer again what still waits: the proposer may have been restarted.
const RELAY_EVERY: Duration = Duration::from_secs(10);
/// Transactions handed on again each time.
const RELAY_COUNT: usize = 256;

/// Why a transaction does not wait for a block.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The ledger's rules refuse it.
    #[error(transparent)]
    Rules(#[from] TxError),
    /// The pool refuses it.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The proposer refuses it.
    #[error("validator {} refuses: {refusal}", peer_id_text(validator))]
    Refused {
        /// Who.
        validator: NodeId,
        /// Why.
        refusal: Refusal,
    },
    /// The proposer is not reached, so no block would have it: try again later.
    #[error("validator {} is not reached, so no block can take the transaction: {source}", peer_id_text(validator))]
    Unreachable {
        /// Who.
        validator: NodeId,
        /// What happened.
        source: AskError,
    },
    /// This node's disk failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl SubmitError {
    /// The refusal to answer with.
    pub fn refusal(&self) -> Refusal {
        let code = match self {
            Self::Refused { refusal, .. } => refusal.code,
            Self::Pool(PoolError::AccountFull { .. } | PoolError::Full) | Self::Unreachable { .. } => Code::Busy,
            Self::Rules(_) | Self::Pool(_) => Code::Invalid,
            Self::Ledger(_) => Code::Internal,
        };
        Refusal::new(code, self)
    }
}

/// What this node's own records and pool say of a transaction.
enum Verdict {
    /// A block has it, or it waits: nothing is left to do.
    Known,
    /// It may wait.
    Good,
    /// The rules refuse it as far as this node has followed the ledger.
    Doubtful(TxError),
}

impl Chain {
    /// Brings `tx` to where the next blocks are made. When it returns, the proposer has it.
    ///
    /// # Errors
    /// [`SubmitError`] says whether to sign it again, to wait, or to ask elsewhere.
    pub async fn submit(&self, tx: Tx) -> Result<(), SubmitError> {
        let (tx, verdict) = self.judge(tx).await;
        match verdict? {
            Verdict::Known => Ok(()),
            Verdict::Good if self.proposes() => self.keep(tx).await,
            Verdict::Doubtful(error) if self.proposes() => Err(error.into()),
            Verdict::Good => {
                self.hand_on(&tx).await?;
                let id = tx.id();
                // The proposer has it, which is what counts; by now a block may have it too.
                let kept = self.keep(tx).await;
                kept.unwrap_or_else(|error| tracing::debug!(tx = %id, %error, "not kept for a second try"));
                Ok(())
            }
            // The proposer may be a block ahead of this node. Where it can not be asked, this node's word stands.
            Verdict::Doubtful(error) => self.hand_on(&tx).await.map_err(|failed| match failed {
                SubmitError::Unreachable { .. } => error.into(),
                refused => refused,
            }),
        }
    }

    /// Hands the proposer from time to time what still waits here. Never returns.
    pub(crate) async fn relay(&self) -> Infallible {
        loop {
            sleep(RELAY_EVERY).await;
            let waiting = self.shared.pool().waiting();
            for tx in waiting.into_iter().take(RELAY_COUNT) {
                match self.hand_on(&tx).await {
                    Ok(()) => {}
                    Err(SubmitError::Refused { refusal, .. }) if refusal.code == Code::Invalid => {
                        self.forget(&tx, &refusal)
                    }
                    Err(error) => {
                        tracing::debug!(%error, "waiting transactions are not handed on");
                        break;
                    }
                }
            }
        }
    }

    fn forget(&self, tx: &Tx, refusal: &Refusal) {
        tracing::debug!(tx = %tx.id(), %refusal, "a waiting transaction is dropped");
        self.shared.pool().drop_tx(&tx.id());
    }

    fn proposes(&self) -> bool {
        self.shared.peers.local() == self.proposer()
    }

    async fn judge(&self, tx: Tx) -> (Tx, Result<Verdict, SubmitError>) {
        let shared = Arc::clone(&self.shared);
        let judged = self.shared.workers.run(move || {
            let verdict = shared.judge(&tx);
            (tx, verdict)
        });
        judged.await
    }

    async fn keep(&self, tx: Tx) -> Result<(), SubmitError> {
        let shared = Arc::clone(&self.shared);
        self.shared.workers.run(move || shared.keep(tx)).await?;
        self.shared.work.notify_one();
        Ok(())
    }

    async fn hand_on(&self, tx: &Tx) -> Result<(), SubmitError> {
        let validator = self.proposer();
        ask::submit(&*self.shared.peers, validator, tx).await.map_err(|source| match source {
            AskError::Refused { refusal, .. } => SubmitError::Refused { validator, refusal },
            source => SubmitError::Unreachable { validator, source },
        })
    }
}

impl Shared {
    fn judge(&self, tx: &Tx) -> Result<Verdict, SubmitError> {
        let id = tx.id();
        if self.pool().contains(&id) || self.ledger.inclusion(&id)?.is_some() {
            return Ok(Verdict::Known);
        }
        let records = self.ledger.view();
        ledger::check(&self.rules, records.tip().height.next(), tx)?;
        let account = records.account(&tx.body.account);
        let before = self.pool().run_of(&tx.body.account, account.nonce, tx.body.nonce);
        let next = account.nonce + u64::try_from(before.len()).expect("a count fits");
        if tx.body.nonce > next {
            // Others must come first, so the rules have no say yet: only that it could be paid for.
            let (need, have) = (tx.body.fee, account.balance);
            return if have < need { Err(TxError::Funds { need, have }.into()) } else { Ok(Verdict::Good) };
        }
        Ok(match self.dry_run(&*records, &before, tx) {
            Ok(()) => Verdict::Good,
            Err(error) => Verdict::Doubtful(error),
        })
    }

    fn keep(&self, tx: Tx) -> Result<(), PoolError> {
        // The nonce is read under the pool's lock: a block that comes later will find the transaction, one that came
        // before shows in the nonce.
        let mut pool = self.pool();
        let next = self.ledger.view().account(&tx.body.account).nonce;
        pool.insert(tx, next)
    }

    /// Applies `tx` to a block that nobody will make, after those of its account that come first.
    fn dry_run(&self, records: &dyn Records, before: &[Tx], tx: &Tx) -> Result<(), TxError> {
        let mut execution = Execution::new(&self.rules, records, records.tip().running.time_ms.saturating_add(1), 0);
        for earlier in before {
            execution.apply(earlier)?;
        }
        execution.apply(tx)
    }
}
