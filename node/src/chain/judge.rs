//! Validates transactions by this node's own records and pool, before they enter the pool.
//!
//! In come transactions in the order they were submitted, out comes a verdict on each. First what needs no record: form
//! and signature, many at a time, and none that was verified before. Then nonce and balance, by the records of one
//! height, after what is pooled and what comes before it in the same batch. Nothing is stored here but the ids of what
//! was verified.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::{Arc, Mutex},
};

use ostrakon_net::lock;
use ostrakon_proto::{
    id::{AccountId, Amount, BlockId, TxId},
    ledger::{
        BegunBlock, CheckedTx, Execution, Rules, TxError,
        state::{Account, Key, Records, Tip},
        tx::{Action, Transfer, Tx, TxBody},
    },
};

use super::{Shared, submit::SubmitError};

/// What is to be done with a transaction.
pub(crate) enum TxVerdict {
    /// It is in a block or in the pool: nothing is left to do.
    Known,
    /// It is valid.
    Good(Arc<CheckedTx>),
    /// It fails after costly checks: it is pooled, and a block charges it.
    Charged(Arc<CheckedTx>, TxError),
    /// It is invalid as far as this node has followed the ledger.
    Doubtful(Arc<CheckedTx>, TxError),
}

pub(crate) type Judged = Result<TxVerdict, SubmitError>;

/// Why a transaction is invalid.
enum Rejection {
    /// On every node.
    Certain(TxError),
    /// As far as this node has followed the ledger.
    Now(TxError),
}

/// What a batch is checked against: the records of one height.
struct CheckContext<'a> {
    records: &'a dyn Records,
    rules: &'a Rules,
    tip: Tip,
    begun: &'a BegunBlocks,
}

/// The next block, begun on the newest state that a transaction was tried on: beginning it can end thousands of
/// commitments, which is done once a height and not for each transaction.
#[derive(Debug, Default)]
pub(super) struct BegunBlocks(Mutex<Option<(BlockId, Arc<BegunBlock>)>>);

impl BegunBlocks {
    /// The block after `tip`, which is that of `records`.
    fn on(&self, records: &dyn Records, rules: &Rules, tip: &Tip) -> Arc<BegunBlock> {
        // Locked while it is begun: others wait for it instead of doing the same.
        let mut newest = lock(&self.0);
        match &*newest {
            Some((block, begun)) if *block == tip.block => Arc::clone(begun),
            _ => {
                let begun = Arc::new(BegunBlock::new(rules, records, tip.running.time_ms.saturating_add(1), 0));
                *newest = Some((tip.block, Arc::clone(&begun)));
                begun
            }
        }
    }
}

/// An account as a batch sees it: by the ledger, and after what comes before in the pool and in the batch.
struct PendingBalance {
    account: Account,
    /// Transactions without a gap from the account's nonce on.
    run: Vec<Arc<CheckedTx>>,
    /// Those of them that fail after costly checks.
    charged: BTreeSet<TxId>,
    /// What the run spends, in micro-obols, where that follows from the transactions alone.
    spent: Option<u128>,
    /// Whether one of the batch was rejected: those after it must not wait for it.
    refused: bool,
}

impl Shared {
    /// Checks what needs no record; signatures that were verified before are not verified again.
    pub(super) fn check(&self, txs: Vec<Tx>) -> Vec<Result<Arc<CheckedTx>, TxError>> {
        // Locked for each lookup only: verifying signatures takes long.
        let checked = CheckedTx::check_many(&self.rules(), txs, |id| self.verified().contains(id));
        let mut verified = self.verified();
        let mut remember = |tx: CheckedTx| {
            verified.insert(tx.id());
            Arc::new(tx)
        };
        checked.into_iter().map(|tx| tx.map(&mut remember)).collect()
    }

    /// Checks transactions in their order, each after the valid ones before it.
    pub(super) fn judge(&self, txs: Vec<Result<Arc<CheckedTx>, TxError>>) -> Vec<Judged> {
        let (records, rules) = (self.ledger.view(), self.rules());
        let context = CheckContext { records: &*records, rules: &rules, tip: records.tip(), begun: &self.checks.begun };
        let mut pendings = BTreeMap::new();
        txs.into_iter().map(|tx| self.judge_one(&context, &mut pendings, tx?)).collect()
    }

    fn judge_one(
        &self,
        context: &CheckContext<'_>,
        pendings: &mut BTreeMap<AccountId, PendingBalance>,
        tx: Arc<CheckedTx>,
    ) -> Judged {
        if self.pool().contains(&tx.id()) {
            return Ok(TxVerdict::Known);
        }
        let body = &tx.tx().body;
        let pending = match pendings.entry(body.account) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.pending(context.records, &body.account)),
        };
        // Only a transaction with a used nonce can be in a block.
        if body.nonce < pending.account.nonce && self.ledger.inclusion(&tx.id())?.is_some() {
            return Ok(TxVerdict::Known);
        }
        let next = pending.account.nonce;
        match context.judge_after(pending, &tx, || self.pool().has_space_for(&tx, next)) {
            Ok(()) => {
                pending.push(&tx);
                Ok(TxVerdict::Good(tx))
            }
            Err(Rejection::Now(error @ TxError::Charged(_))) => {
                pending.push_charged(&tx);
                Ok(TxVerdict::Charged(tx, error))
            }
            Err(refused) => {
                pending.refused = true;
                match refused {
                    Rejection::Certain(error) => Err(error.into()),
                    Rejection::Now(error) => Ok(TxVerdict::Doubtful(tx, error)),
                }
            }
        }
    }

    fn pending(&self, records: &dyn Records, id: &AccountId) -> PendingBalance {
        let account = records.account(id);
        let mut pending =
            PendingBalance { account, run: Vec::new(), charged: BTreeSet::new(), spent: Some(0), refused: false };
        let pool = self.pool();
        for tx in pool.run_of(id, account.nonce) {
            if pool.expects_charge(&tx.id()) { pending.push_charged(&tx) } else { pending.push(&tx) }
        }
        pending
    }
}

impl CheckContext<'_> {
    /// Checks `tx` after the pending transactions of its account; what the pool has no space for is not tried.
    fn judge_after(
        &self,
        pending: &PendingBalance,
        tx: &CheckedTx,
        has_space: impl FnOnce() -> bool,
    ) -> Result<(), Rejection> {
        tx.check_at(self.rules, self.tip.height.next()).map_err(Rejection::Certain)?;
        let body = &tx.tx().body;
        let Some(before) = pending.before(body.nonce) else {
            if pending.refused {
                return Err(Rejection::Now(TxError::Nonce { expected: pending.next(), got: body.nonce }));
            }
            // Others must come first, so nothing is certain yet but whether its fee could be paid.
            let (need, have) = (body.fee, pending.account.balance);
            return if have < need { Err(Rejection::Certain(TxError::Funds { need, have })) } else { Ok(()) };
        };
        let verdict = match pending.spent_before(body.nonce).zip(self.only_cost(body)) {
            Some((spent, outlay)) if body.nonce >= pending.account.nonce => pending.afford(spent, outlay),
            // Who decides says why not.
            _ if !has_space() => Ok(()),
            _ => self.dry_run(before, &pending.charged, tx),
        };
        verdict.map_err(Rejection::Now)
    }

    /// What a transaction spends, where a balance that covers it is all that it needs; a payment that may be too small
    /// to begin its recipient's account needs more.
    fn only_cost(&self, body: &TxBody) -> Option<u128> {
        let outlay = outlay(body)?;
        let Action::Transfer(Transfer { to, amount }) = &body.action else { return None };
        let begins = *amount >= self.rules.params.bonds.account;
        (begins || self.records.get(&Key::Account(*to)).is_some()).then_some(outlay)
    }

    /// Applies `tx` to an imaginary next block, after those of its account that come first.
    fn dry_run(&self, before: &[Arc<CheckedTx>], charged: &BTreeSet<TxId>, tx: &CheckedTx) -> Result<(), TxError> {
        let begun = self.begun.on(self.records, self.rules, &self.tip);
        let mut execution = Execution::after(self.records, BegunBlock::clone(&begun));
        for earlier in before {
            let is_charged = charged.contains(&earlier.id())
                || match execution.apply(earlier) {
                    Err(TxError::Charged(_)) => true,
                    other => other.map(|()| false)?,
                };
            if is_charged {
                execution.assume_charged(earlier)?;
            }
        }
        execution.apply(tx)
    }
}

impl PendingBalance {
    /// The transactions before `nonce`; `None` when one is missing.
    fn before(&self, nonce: u64) -> Option<&[Arc<CheckedTx>]> {
        let count = nonce.saturating_sub(self.account.nonce);
        self.run.get(..usize::try_from(count).ok()?)
    }

    /// What those spend, where it is known.
    fn spent_before(&self, nonce: u64) -> Option<u128> {
        let before = self.before(nonce)?;
        if before.len() == self.run.len() {
            return self.spent;
        }
        let spent = |tx: &Arc<CheckedTx>| match self.charged.contains(&tx.id()) {
            true => Some(u128::from(tx.tx().body.fee.0)),
            false => outlay(&tx.tx().body),
        };
        before.iter().map(spent).sum()
    }

    /// Whether the account can pay this after what it has spent.
    fn afford(&self, spent: u128, outlay: u128) -> Result<(), TxError> {
        let have = u128::from(self.account.balance.0).saturating_sub(spent);
        let amount = |micro: u128| Amount(u64::try_from(micro).unwrap_or(u64::MAX));
        if outlay <= have { Ok(()) } else { Err(TxError::Funds { need: amount(outlay), have: amount(have) }) }
    }

    /// The first nonce after the run.
    fn next(&self) -> u64 {
        self.account.nonce.saturating_add(u64::try_from(self.run.len()).expect("a count fits"))
    }

    /// Adds the transaction after the run. One that replaces another leaves the run as it is: what follows is checked
    /// again when a block includes it.
    fn push(&mut self, tx: &Arc<CheckedTx>) {
        if tx.tx().body.nonce == self.next() {
            self.spent = self.spent.zip(outlay(&tx.tx().body)).map(|(spent, outlay)| spent + outlay);
            self.run.push(Arc::clone(tx));
        }
    }

    /// As [`PendingBalance::push`], of one that is charged: it spends its fee alone.
    fn push_charged(&mut self, tx: &Arc<CheckedTx>) {
        let body = &tx.tx().body;
        if body.nonce == self.next() {
            self.spent = self.spent.map(|spent| spent + u128::from(body.fee.0));
            self.charged.insert(tx.id());
            self.run.push(Arc::clone(tx));
        }
    }
}

/// What a transaction spends, where that follows from it alone.
fn outlay(body: &TxBody) -> Option<u128> {
    match &body.action {
        // The recipient does not matter: money that comes back to the account is not counted.
        Action::Transfer(transfer) => Some(u128::from(body.fee.0) + u128::from(transfer.amount.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    #[tokio::test(start_paused = true)]
    async fn a_block_is_begun_once_on_each_state() {
        let world = World::new(1);
        let nodes = world.start_all().await;
        let (chain, begun) = (nodes[0].0.chain(), BegunBlocks::default());
        let on_newest = || {
            let (records, rules) = (chain.shared.ledger.view(), chain.rules());
            let tip = records.tip();
            (tip.height, begun.on(&*records, &rules, &tip))
        };
        let (height, first) = on_newest();
        assert!(Arc::ptr_eq(&first, &on_newest().1), "the same state");
        chain.wait(height.next()).await;
        assert!(!Arc::ptr_eq(&first, &on_newest().1), "the next one");
    }
}
