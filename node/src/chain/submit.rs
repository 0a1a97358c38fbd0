//! How a transaction gets to the validators: checked here, forwarded, and pooled until a block includes it.
//!
//! In come signed transactions, out goes for each that it is pooled, or why not. Submitting is idempotent. A node
//! checks by its own records, which may be a block behind: what they reject, a validator still decides. What fails
//! after costly checks is pooled to be charged, and its sender told why it fails: such checks are never free. A node
//! that does not validate forwards what its clients submit to one, and answers once that one has it; a validator
//! broadcasts what it accepts from other nodes than validators ([`super::broadcast`]). Not here: the rules (`proto`),
//! checking by this node's records ([`super::judge`]), and the limits of the pool ([`super::mempool`]).

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use futures::future::join_all;
use ostrakon_net::{AskError, Failure, ask};
use ostrakon_proto::{
    id::{AccountId, Amount, Height, NodeId},
    ledger::{
        CheckedTx, TxError,
        tx::{Action, Tx, TxBody, TxList},
    },
    sign::Keypair,
    wire::{self, Refusal, RefusalCode, chain::Relayed},
};
use tokio::time::{Instant, sleep};

use super::{
    Chain, Shared,
    broadcast::fitting,
    invalid_senders,
    judge::{Judged, TxVerdict},
    mempool::PoolError,
    store::LedgerError,
};

/// How often a node forwards again what still waits: validators may have been restarted.
const RELAY_EVERY: Duration = Duration::from_secs(10);
/// Transactions forwarded again each time.
const RELAY_COUNT: usize = 1_000;
/// Blocks for which a transaction of this node itself is valid.
const VALID_BLOCKS: u64 = 600;
/// Blocks within which it should be included.
const INCLUDED_IN: u64 = 5;
/// Further nonces that are tried, each a block later.
const NONCES: u32 = 10;
/// Transactions whose signatures one worker verifies as a batch.
const CHECKED_CONCURRENT: usize = 256;

/// Where a transaction was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// By this node itself.
    Here,
    /// By another node, or a client.
    Node {
        /// The node.
        from: NodeId,
        /// Whether that node forwards it to other validators itself.
        relayed: Relayed,
    },
}

/// Why a transaction is not pooled.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The ledger's rules reject it.
    #[error(transparent)]
    Rules(#[from] TxError),
    /// The pool rejects it.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// A validator rejects it.
    #[error("validator {validator} rejected the transaction: {refusal}")]
    Refused {
        /// The validator's node.
        validator: NodeId,
        /// Its reason.
        refusal: Refusal,
    },
    /// No validator responds, so no block could include it: try again later.
    #[error("no validator responds, so no block can include the transaction; the last one tried: {source}")]
    Unreachable {
        /// The validator that was tried last.
        validator: NodeId,
        /// Why it did not respond.
        source: AskError,
    },
    /// The sender sent too many invalid ones: wait, or use another node.
    #[error("too many invalid transactions from you; all are ignored for {} s", invalid_senders::IGNORED.as_secs())]
    Ignored,
    /// This node's disk failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What was submitted, once this node has checked it.
pub(crate) enum Received {
    /// This node decides.
    Decided(Vec<Result<(), SubmitError>>),
    /// A validator decides: [`Chain::submit_to_validator`].
    ForValidator(Vec<Judged>),
}

impl SubmitError {
    /// The refusal to answer with.
    pub fn refusal(&self) -> Refusal {
        let code = match self {
            Self::Refused { refusal, .. } => refusal.code,
            Self::Pool(PoolError::AccountFull { .. } | PoolError::Full) | Self::Unreachable { .. } => RefusalCode::Busy,
            Self::Rules(TxError::Nonce { .. }) | Self::Pool(_) => RefusalCode::Nonce,
            Self::Rules(TxError::Charged(_)) => RefusalCode::Charged,
            Self::Rules(_) => RefusalCode::Invalid,
            Self::Ignored => RefusalCode::Denied,
            Self::Ledger(_) => RefusalCode::Internal,
        };
        Refusal::new(code, self)
    }
}

impl Chain {
    /// Submits `tx` to the validators. When it returns, one of them has it.
    ///
    /// # Errors
    /// [`SubmitError`] says whether to sign it again, to wait, or to use another node.
    pub async fn submit(&self, tx: Tx) -> Result<(), SubmitError> {
        self.submit_many(vec![tx], Origin::Here).await.pop().expect("one verdict for one transaction")
    }

    /// A transaction with this action, and the fee to offer now.
    pub(crate) fn offered(&self, account: AccountId, nonce: u64, action: Action) -> TxBody {
        let valid_until = Height(self.head().height.0 + VALID_BLOCKS);
        // Another node of the same operator never signs the same.
        let salt = self.shared.peers.local().bytes().iter().take(8).fold(0, |salt, byte| salt << 8 | u64::from(*byte));
        let body = TxBody { account, nonce, valid_until, salt, fee: Amount::ZERO, action };
        TxBody { fee: self.rules().offer(&body), ..body }
    }

    /// Signs a transaction with its account's key and submits it, then waits for the blocks that should include it.
    ///
    /// # Errors
    /// As [`Chain::submit`].
    pub(crate) async fn perform(&self, key: &Keypair, body: TxBody) -> Result<(), SubmitError> {
        let height = self.head().height;
        self.submit(Tx::sign(body, key, &self.rules().chain)).await?;
        self.wait(Height(height.0 + INCLUDED_IN)).await;
        Ok(())
    }

    /// Signs an action with the next nonce of the key's account and submits it, then waits for the blocks that should
    /// include it. One after the other: and again with another nonce where the operator's other nodes were quicker.
    ///
    /// # Errors
    /// As [`Chain::submit`].
    pub(crate) async fn act(&self, key: &Keypair, action: Action) -> Result<(), SubmitError> {
        let _alone = self.shared.broadcast.own.lock().await;
        let account: AccountId = key.public();
        let next = async || self.read(move |records| records.account(&account).nonce).await;
        let (mut heads, mut attempts) = (self.subscribe(), 0);
        let (nonce, included_by) = loop {
            let (height, nonce) = (heads.see().height, next().await);
            let body = self.offered(account, nonce, action.clone());
            match self.submit(Tx::sign(body, key, &self.rules().chain)).await {
                Ok(()) => break (nonce, Height(height.0 + INCLUDED_IN)),
                Err(error) if error.refusal().code == RefusalCode::Nonce && attempts < NONCES => attempts += 1,
                Err(error) => return Err(error),
            }
            heads.next().await;
        };
        while next().await == nonce && heads.see().height < included_by {
            heads.next().await;
        }
        Ok(())
    }

    /// As [`Chain::submit`], for many, in their order.
    ///
    /// # Errors
    /// [`SubmitError`] for each that is not pooled.
    pub async fn submit_many(&self, txs: Vec<Tx>, origin: Origin) -> Vec<Result<(), SubmitError>> {
        match self.receive(txs, origin).await {
            Received::Decided(verdicts) => verdicts,
            Received::ForValidator(judged) => self.submit_to_validator(judged).await,
        }
    }

    /// Checks what was submitted, and decides if this node can.
    pub(crate) async fn receive(&self, txs: Vec<Tx>, origin: Origin) -> Received {
        if self.ignores(origin) {
            return Received::Decided(txs.iter().map(|_| Err(SubmitError::Ignored)).collect());
        }
        let checked = self.check(txs).await;
        self.blame(origin, checked.iter().filter(|tx| tx.is_err()).count());
        let validators = self.validators();
        let local = self.shared.peers.local();
        if validators.contains(&local) {
            let (verdicts, new) = self.work(move |shared| shared.accept_txs(checked)).await;
            if !matches!(origin, Origin::Node { from, .. } if validators.contains(&from)) {
                let others: Vec<NodeId> = validators.into_iter().filter(|node| *node != local).collect();
                self.shared.broadcast.push(&others, &new);
            }
            return Received::Decided(verdicts);
        }
        if matches!(origin, Origin::Node { relayed: Relayed::Yes, .. }) {
            return Received::Decided(self.work(move |shared| shared.accept_txs(checked)).await.0);
        }
        Received::ForValidator(self.work(move |shared| shared.judge(checked)).await)
    }

    /// Forwards what still waits here, every [`RELAY_EVERY`]. Never returns.
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
                self.shared.broadcast.push(&others, &waiting);
            } else {
                self.forward_again(&waiting).await;
            }
        }
    }

    async fn forward_again(&self, waiting: &[Arc<CheckedTx>]) {
        for (tx, result) in waiting.iter().zip(self.forward(waiting).await) {
            match result {
                Err(SubmitError::Refused { refusal, .. })
                    if matches!(refusal.code, RefusalCode::Invalid | RefusalCode::Nonce) =>
                {
                    tracing::debug!(tx = %tx.id(), %refusal, "validator rejected a pooled transaction; dropped");
                    self.shared.pool().drop_tx(&tx.id());
                }
                Err(error) => tracing::debug!(tx = %tx.id(), %error, "pooled transaction not forwarded"),
                Ok(()) => {}
            }
        }
    }

    /// Forwards what was checked here to a validator, and pools what that one accepted.
    pub(crate) async fn submit_to_validator(&self, judged: Vec<Judged>) -> Vec<Result<(), SubmitError>> {
        let open: Vec<Arc<CheckedTx>> = judged.iter().filter_map(|judged| judged.as_ref().ok()?.open()).collect();
        let mut answers = self.forward(&open).await.into_iter();
        let mut kept = Vec::new();
        let results = judged.into_iter().map(|judged| match judged? {
            TxVerdict::Known => Ok(()),
            TxVerdict::Good(tx) | TxVerdict::Charged(tx, _) => {
                let answer = answers.next().expect("one answer for each that was forwarded");
                match &answer {
                    Ok(()) => kept.push((tx, TxList::Applied)),
                    Err(error) if error.refusal().code == RefusalCode::Charged => kept.push((tx, TxList::Charged)),
                    Err(_) => {}
                }
                answer
            }
            // A validator may be a block ahead of this node. If none responds, this node's verdict counts.
            TxVerdict::Doubtful(_, error) => {
                answers.next().expect("one answer for each that was forwarded").map_err(|failed| match failed {
                    SubmitError::Unreachable { .. } => error.into(),
                    refused => refused,
                })
            }
        });
        let results = results.collect();
        // A validator has them, which is what counts; by now a block may include them too.
        let failed = self.work(move |shared| shared.pool_txs(kept)).await.into_iter().filter_map(Result::err);
        failed.for_each(
            |error| tracing::debug!(%error, "forwarded transaction not pooled here; it is not forwarded again"),
        );
        results
    }

    /// Forwards transactions to one validator after the other, until one answers.
    async fn forward(&self, txs: &[Arc<CheckedTx>]) -> Vec<Result<(), SubmitError>> {
        let (mut rest, mut results) = (txs, Vec::with_capacity(txs.len()));
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(fitting(rest.iter()));
            rest = later;
            match self.forward_batch(batch).await {
                Ok((validator, verdicts)) => results.extend(
                    verdicts
                        .into_iter()
                        .map(|verdict| verdict.map_err(|refusal| SubmitError::Refused { validator, refusal })),
                ),
                Err(error) => {
                    // The next batch would fail as well.
                    let failed = batch.len() + rest.len();
                    results.extend((0..failed).map(|_| Err(error.clone())));
                    break;
                }
            }
        }
        results
    }

    async fn forward_batch(&self, batch: &[Arc<CheckedTx>]) -> Result<(NodeId, Vec<Result<(), Refusal>>), SubmitError> {
        let mut validators = self.validators();
        // Entry nodes start with different validators, which spreads the load.
        let turn = usize::from(self.shared.peers.local().bytes()[0]) % validators.len().max(1);
        validators.rotate_left(turn);
        let mut failed = None;
        for validator in validators {
            match ask(&*self.shared.peers, validator, wire::chain::submit(batch.iter().map(|tx| tx.tx()), Relayed::Yes))
                .await
            {
                Ok(verdicts) => return Ok((validator, verdicts)),
                Err(source) => {
                    failed = Some(match source.failure {
                        Failure::Refused(refusal) => SubmitError::Refused { validator, refusal },
                        _ => SubmitError::Unreachable { validator, source },
                    });
                }
            }
        }
        Err(failed.expect("a valid genesis has a validator, and there is always one"))
    }

    fn ignores(&self, origin: Origin) -> bool {
        match origin {
            Origin::Here => false,
            Origin::Node { from, .. } => self.shared.invalid_senders().ignores(&from, Instant::now()),
        }
    }

    fn blame(&self, origin: Origin, invalid: usize) {
        if let Origin::Node { from, .. } = origin {
            self.shared.invalid_senders().blame(from, invalid, Instant::now());
        }
    }

    /// Checks what needs no record, concurrently.
    async fn check(&self, mut txs: Vec<Tx>) -> Vec<Result<Arc<CheckedTx>, TxError>> {
        let mut parts = Vec::new();
        while !txs.is_empty() {
            let rest = txs.split_off(txs.len().min(CHECKED_CONCURRENT));
            parts.push(std::mem::replace(&mut txs, rest));
        }
        let parts = parts.into_iter().map(|part| self.work(move |shared| shared.check(part)));
        join_all(parts).await.into_iter().flatten().collect()
    }
}

impl TxVerdict {
    /// The transaction, when something is left to do with it.
    fn open(&self) -> Option<Arc<CheckedTx>> {
        match self {
            Self::Known => None,
            Self::Good(tx) | Self::Charged(tx, _) | Self::Doubtful(tx, _) => Some(Arc::clone(tx)),
        }
    }
}

impl Shared {
    /// Checks transactions and pools those that are valid or charged; returns which of them are new here.
    fn accept_txs(
        &self,
        checked: Vec<Result<Arc<CheckedTx>, TxError>>,
    ) -> (Vec<Result<(), SubmitError>>, Vec<Arc<CheckedTx>>) {
        let judged = self.judge(checked);
        let good = judged.iter().filter_map(|judged| match judged {
            Ok(TxVerdict::Good(tx)) => Some((Arc::clone(tx), TxList::Applied)),
            Ok(TxVerdict::Charged(tx, _)) => Some((Arc::clone(tx), TxList::Charged)),
            _ => None,
        });
        let good: Vec<_> = good.collect();
        let kept = self.pool_txs(good.clone());
        let new = good.into_iter().zip(&kept).filter(|(_, kept)| kept.is_ok()).map(|((tx, _), _)| tx).collect();
        let mut kept = kept.into_iter();
        let results = judged.into_iter().map(|judged| match judged? {
            TxVerdict::Known => Ok(()),
            TxVerdict::Good(_) => Ok(kept.next().expect("one result for each that was pooled")?),
            TxVerdict::Charged(_, error) => {
                kept.next().expect("one result for each that was pooled")?;
                Err(error.into())
            }
            TxVerdict::Doubtful(_, error) => Err(error.into()),
        });
        (results.collect(), new)
    }

    /// Adds transactions to the pool, each with the list of a block that it is for.
    fn pool_txs(&self, txs: Vec<(Arc<CheckedTx>, TxList)>) -> Vec<Result<(), PoolError>> {
        // The nonces are read under the pool's lock: a later block finds the transaction, an earlier one shows in the
        // nonce.
        let mut pool = self.pool();
        let records = self.ledger.view();
        let mut stuck: BTreeMap<AccountId, u64> = BTreeMap::new();
        let keep = |(tx, list): (Arc<CheckedTx>, TxList)| {
            let (id, account, nonce) = (tx.id(), tx.tx().body.account, tx.tx().body.nonce);
            if let Some(next) = stuck.get(&account).copied().filter(|stuck| *stuck < nonce) {
                return Err(PoolError::Ahead { nonce, next });
            }
            let kept = pool.insert(tx, records.account(&account).nonce);
            if list == TxList::Charged {
                pool.expect_charge(&id);
            }
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

#[cfg(test)]
mod tests;
