//! How a transaction gets to where blocks are made: judged here, handed on, and remembered until a block has it.
//!
//! In come signed transactions, out goes of each "it waits" or the reason why not. Saying it twice changes nothing. A
//! node judges by its own records, which may be a block behind: what they refuse, a validator still decides. Whoever is
//! no validator brings what its clients submit to one that is, and answers when that one has it; a validator passes on
//! what it takes from others than validators ([`super::gossip`]). Not here: the rules (`proto`), what a node thinks of
//! a transaction ([`super::judge`]), and what the pool may hold ([`super::mempool`]).

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use futures::future::join_all;
use ostrakon_net::peer_id_text;
use ostrakon_proto::{
    id::{AccountId, NodeId},
    ledger::{CheckedTx, TxError, tx::Tx},
    wire::{Refusal, RefusalCode, chain::Relayed},
};
use tokio::time::{Instant, sleep};

use super::{
    Chain, Shared,
    ask::{self, AskError},
    gossip::fitting,
    judge::{Judged, Verdict},
    mempool::PoolError,
    store::LedgerError,
    trust,
};

/// How often a node hands validators again what still waits: they may have been restarted.
const RELAY_EVERY: Duration = Duration::from_secs(10);
/// Transactions handed on again each time.
const RELAY_COUNT: usize = 1_000;
/// Transactions whose signatures one worker checks at once.
const CHECKED_AT_ONCE: usize = 256;

/// Who submits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This node itself.
    Here,
    /// Another node, or a client.
    Node {
        /// Which.
        from: NodeId,
        /// Whether it passes on what it keeps itself.
        relayed: Relayed,
    },
}

/// Why a transaction does not wait for a block.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The ledger's rules refuse it.
    #[error(transparent)]
    Rules(#[from] TxError),
    /// The pool refuses it.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The validator refuses it.
    #[error("validator {} refuses: {refusal}", peer_id_text(validator))]
    Refused {
        /// Who.
        validator: NodeId,
        /// Why.
        refusal: Refusal,
    },
    /// No validator is reached, so no block would have it: try again later.
    #[error("validator {} is not reached, so no block can take the transaction: {source}", peer_id_text(validator))]
    Unreachable {
        /// Who was tried last.
        validator: NodeId,
        /// What happened.
        source: AskError,
    },
    /// Who sends it sent too much that is invalid: wait, or ask another node.
    #[error("too many invalid transactions came from here: none is looked at for {} seconds", trust::IGNORED.as_secs())]
    Ignored,
    /// This node's disk failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl SubmitError {
    /// The refusal to answer with.
    pub fn refusal(&self) -> Refusal {
        let code = match self {
            Self::Refused { refusal, .. } => refusal.code,
            Self::Pool(PoolError::AccountFull { .. } | PoolError::Full) | Self::Unreachable { .. } => RefusalCode::Busy,
            Self::Rules(TxError::Nonce { .. }) | Self::Pool(_) => RefusalCode::Nonce,
            Self::Rules(_) => RefusalCode::Invalid,
            Self::Ignored => RefusalCode::Denied,
            Self::Ledger(_) => RefusalCode::Internal,
        };
        Refusal::new(code, self)
    }
}

impl Chain {
    /// Brings `tx` to where the next blocks are made. When it returns, a validator has it.
    ///
    /// # Errors
    /// [`SubmitError`] says whether to sign it again, to wait, or to ask elsewhere.
    pub async fn submit(&self, tx: Tx) -> Result<(), SubmitError> {
        self.submit_many(vec![tx], Origin::Here).await.pop().expect("one verdict for one transaction")
    }

    /// As [`Chain::submit`], each by itself and in their order.
    ///
    /// # Errors
    /// [`SubmitError`] in the place of each that does not wait.
    pub async fn submit_many(&self, txs: Vec<Tx>, origin: Origin) -> Vec<Result<(), SubmitError>> {
        if self.ignores(origin) {
            return txs.iter().map(|_| Err(SubmitError::Ignored)).collect();
        }
        let checked = self.check(txs).await;
        self.blame(origin, checked.iter().filter(|tx| tx.is_err()).count());
        let validators = self.validators();
        let local = self.shared.peers.local();
        if validators.contains(&local) {
            let (verdicts, new) = self.work(move |shared| shared.take_in(checked)).await;
            if !matches!(origin, Origin::Node { from, .. } if validators.contains(&from)) {
                let others: Vec<NodeId> = validators.into_iter().filter(|node| *node != local).collect();
                self.shared.gossip.push(&others, &new);
            }
            return verdicts;
        }
        if matches!(origin, Origin::Node { relayed: Relayed::Yes, .. }) {
            return self.work(move |shared| shared.take_in(checked)).await.0;
        }
        let judged = self.work(move |shared| shared.judge(checked)).await;
        self.bring(judged).await
    }

    /// Hands validators from time to time what still waits here. Never returns.
    pub(crate) async fn relay(&self) -> Infallible {
        let mut last = None;
        loop {
            sleep(RELAY_EVERY).await;
            let waiting = self.shared.pool().waiting(last, RELAY_COUNT);
            last = waiting.last().map(|(arrival, _)| *arrival).filter(|_| waiting.len() == RELAY_COUNT);
            let waiting: Vec<_> = waiting.into_iter().map(|(_, tx)| tx).collect();
            let (local, mut others) = (self.shared.peers.local(), self.validators());
            if others.contains(&local) {
                others.retain(|node| *node != local);
                self.shared.gossip.push(&others, &waiting);
            } else {
                self.bring_again(&waiting).await;
            }
        }
    }

    async fn bring_again(&self, waiting: &[Arc<CheckedTx>]) {
        for (tx, result) in waiting.iter().zip(self.hand_on(waiting).await) {
            match result {
                Err(SubmitError::Refused { refusal, .. })
                    if matches!(refusal.code, RefusalCode::Invalid | RefusalCode::Nonce) =>
                {
                    tracing::debug!(tx = %tx.id(), %refusal, "a waiting transaction is dropped");
                    self.shared.pool().drop_tx(&tx.id());
                }
                Err(error) => tracing::debug!(tx = %tx.id(), %error, "a waiting transaction is not handed on"),
                Ok(()) => {}
            }
        }
    }

    /// Brings what was judged here to a validator, and keeps what that one took.
    async fn bring(&self, judged: Vec<Judged>) -> Vec<Result<(), SubmitError>> {
        let open: Vec<Arc<CheckedTx>> = judged.iter().filter_map(|judged| judged.as_ref().ok()?.open()).collect();
        let mut answers = self.hand_on(&open).await.into_iter();
        let mut kept = Vec::new();
        let results = judged.into_iter().map(|judged| match judged? {
            Verdict::Known => Ok(()),
            Verdict::Good(tx) => {
                answers.next().expect("one answer for each that was handed on")?;
                kept.push(tx);
                Ok(())
            }
            // A validator may be a block ahead of this node. Where none can be asked, this node's word stands.
            Verdict::Doubtful(_, error) => {
                answers.next().expect("one answer for each that was handed on").map_err(|failed| match failed {
                    SubmitError::Unreachable { .. } => error.into(),
                    refused => refused,
                })
            }
        });
        let results = results.collect();
        // A validator has them, which is what counts; by now a block may have them too.
        let failed = self.work(move |shared| shared.keep(kept)).await.into_iter().filter_map(Result::err);
        failed.for_each(|error| tracing::debug!(%error, "a transaction is not kept for a second try"));
        results
    }

    /// Hands transactions to one validator after the other, until one answers.
    async fn hand_on(&self, txs: &[Arc<CheckedTx>]) -> Vec<Result<(), SubmitError>> {
        let (mut rest, mut results) = (txs, Vec::with_capacity(txs.len()));
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(fitting(rest.iter()));
            rest = later;
            match self.hand_batch_on(batch).await {
                Ok((validator, verdicts)) => results.extend(
                    verdicts
                        .into_iter()
                        .map(|verdict| verdict.map_err(|refusal| SubmitError::Refused { validator, refusal })),
                ),
                Err(error) => {
                    // The next batch would fare no better.
                    let failed = batch.len() + rest.len();
                    results.extend((0..failed).map(|_| Err(error.clone())));
                    break;
                }
            }
        }
        results
    }

    async fn hand_batch_on(&self, batch: &[Arc<CheckedTx>]) -> Result<(NodeId, Vec<Result<(), Refusal>>), SubmitError> {
        let mut validators = self.validators();
        // Not all entry nodes begin with the same.
        let turn = usize::from(self.shared.peers.local().bytes()[0]) % validators.len().max(1);
        validators.rotate_left(turn);
        let mut failed = None;
        for validator in validators {
            match ask::submit(&*self.shared.peers, validator, batch).await {
                Ok(verdicts) => return Ok((validator, verdicts)),
                Err(AskError::Refused { refusal, .. }) => failed = Some(SubmitError::Refused { validator, refusal }),
                Err(source) => failed = Some(SubmitError::Unreachable { validator, source }),
            }
        }
        Err(failed.expect("a valid genesis has a validator, and there is always one"))
    }

    fn ignores(&self, origin: Origin) -> bool {
        match origin {
            Origin::Here => false,
            Origin::Node { from, .. } => self.shared.trust().ignores(&from, Instant::now()),
        }
    }

    fn blame(&self, origin: Origin, invalid: usize) {
        if let Origin::Node { from, .. } = origin {
            self.shared.trust().blame(from, invalid, Instant::now());
        }
    }

    /// Checks what needs no record, side by side.
    async fn check(&self, mut txs: Vec<Tx>) -> Vec<Result<Arc<CheckedTx>, TxError>> {
        let mut parts = Vec::new();
        while !txs.is_empty() {
            let rest = txs.split_off(txs.len().min(CHECKED_AT_ONCE));
            parts.push(std::mem::replace(&mut txs, rest));
        }
        let parts = parts.into_iter().map(|part| self.work(move |shared| shared.check(part)));
        join_all(parts).await.into_iter().flatten().collect()
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce(&Shared) -> T + Send + 'static) -> T {
        let shared = Arc::clone(&self.shared);
        self.shared.workers.run(move || work(&shared)).await
    }
}

impl Verdict {
    /// The transaction, when something is left to do with it.
    fn open(&self) -> Option<Arc<CheckedTx>> {
        match self {
            Self::Known => None,
            Self::Good(tx) | Self::Doubtful(tx, _) => Some(Arc::clone(tx)),
        }
    }
}

impl Shared {
    /// Judges transactions and keeps those that are good; gives back which of them are new here.
    fn take_in(
        &self,
        checked: Vec<Result<Arc<CheckedTx>, TxError>>,
    ) -> (Vec<Result<(), SubmitError>>, Vec<Arc<CheckedTx>>) {
        let judged = self.judge(checked);
        let good = judged.iter().filter_map(|judged| match judged {
            Ok(Verdict::Good(tx)) => Some(Arc::clone(tx)),
            _ => None,
        });
        let good: Vec<_> = good.collect();
        let kept = self.keep(good.clone());
        let new = good.into_iter().zip(&kept).filter(|(_, kept)| kept.is_ok()).map(|(tx, _)| tx).collect();
        let mut kept = kept.into_iter();
        let results = judged.into_iter().map(|judged| match judged? {
            Verdict::Known => Ok(()),
            Verdict::Good(_) => Ok(kept.next().expect("one word for each that was kept")?),
            Verdict::Doubtful(_, error) => Err(error.into()),
        });
        (results.collect(), new)
    }

    /// Puts transactions into the pool.
    fn keep(&self, txs: Vec<Arc<CheckedTx>>) -> Vec<Result<(), PoolError>> {
        // The nonces are read under the pool's lock: a block that comes later will find the transaction, one that came
        // before shows in the nonce.
        let mut pool = self.pool();
        let records = self.ledger.view();
        let mut stuck: BTreeMap<AccountId, u64> = BTreeMap::new();
        let keep = |tx: Arc<CheckedTx>| {
            let (account, nonce) = (tx.tx().body.account, tx.tx().body.nonce);
            if let Some(next) = stuck.get(&account).copied().filter(|stuck| *stuck < nonce) {
                return Err(PoolError::Ahead { nonce, next });
            }
            let kept = pool.insert(tx, records.account(&account).nonce);
            // What follows it must not wait for it.
            if matches!(kept, Err(PoolError::Full | PoolError::AccountFull { .. })) {
                stuck.entry(account).or_insert(nonce);
            }
            kept
        };
        let kept: Vec<_> = txs.into_iter().map(keep).collect();
        if pool.is_ready() {
            self.work.notify_one();
        }
        kept
    }
}
