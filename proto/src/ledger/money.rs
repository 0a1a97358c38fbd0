//! The only place where money moves: between accounts, or between an account and what is locked or burnt.
//!
//! Invariant "money is conserved": balances + bonds + escrow + pool + burnt = minted, after every function. As all of
//! it fits an [`Amount`], no part of it overflows.

use crate::{
    id::{AccountId, Amount},
    ledger::{
        draft::Draft,
        error::TxError,
        state::{Account, Key, Records, Running},
    },
};

/// Why no sum of money overflows, and no part is more than the whole.
pub(super) const CONSERVED: &str = "money is conserved";

/// Where money is that is not in an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pool {
    /// Locked by a provider or a validator, or for a proposal or a name.
    Bonds,
    /// Locked in a commitment.
    Escrow,
    /// The validators', until the epoch turns.
    Validators,
    /// Destroyed.
    Burnt,
}

impl Pool {
    const fn of(self, running: &mut Running) -> &mut Amount {
        match self {
            Self::Bonds => &mut running.bonded,
            Self::Escrow => &mut running.escrowed,
            Self::Validators => &mut running.pool,
            Self::Burnt => &mut running.burnt,
        }
    }
}

/// Moves `amount` from an account into a pool; the caller writes it into the record that holds it.
pub(super) fn lock(draft: &mut Draft<'_>, from: &AccountId, amount: Amount, pool: Pool) -> Result<(), TxError> {
    debit(draft, from, amount)?;
    let pool = pool.of(draft.running_mut());
    *pool = pool.plus(amount).expect("money is conserved: a pool is at most what was minted");
    Ok(())
}

/// Moves `amount` from a pool to an account.
pub(super) fn unlock(draft: &mut Draft<'_>, to: &AccountId, amount: Amount, pool: Pool) {
    let pool = pool.of(draft.running_mut());
    *pool = pool.minus(amount).expect("money is conserved: a record's money is in its pool");
    credit(draft, to, amount);
}

/// Pays `amount` from one account to another.
pub(super) fn pay(draft: &mut Draft<'_>, from: &AccountId, to: &AccountId, amount: Amount) -> Result<(), TxError> {
    debit(draft, from, amount)?;
    credit(draft, to, amount);
    Ok(())
}

/// Moves `amount` from one pool to another.
pub(super) fn shift(draft: &mut Draft<'_>, amount: Amount, (from, to): (Pool, Pool)) {
    let running = draft.running_mut();
    let (before, after) = (from.of(running).minus(amount), to.of(running).plus(amount));
    *from.of(running) = before.expect("money is conserved: a record's money is in its pool");
    *to.of(running) = after.expect("money is conserved: a pool is at most what was minted");
}

/// Shares the validators' pool among those who vote, by their power; what does not divide stays.
pub(super) fn share_pool(draft: &mut Draft<'_>) {
    let (pool, validators) = (draft.running().pool, draft.validators());
    let all: u128 = validators.iter().map(|validator| u128::from(validator.voting_power())).sum();
    for validator in validators {
        let part = u128::from(pool.0) * u128::from(validator.voting_power());
        let part = part.checked_div(all).and_then(|part| u64::try_from(part).ok()).unwrap_or(0);
        if part > 0 {
            unlock(draft, &validator.owner, Amount(part), Pool::Validators);
        }
    }
}

/// Ends a block: removes the accounts it touched that own nothing and have less than `least`, and burns that.
pub(super) fn sweep(draft: &mut Draft<'_>, least: Amount) {
    let poor = |account: &Account| account.owns == 0 && account.balance < least;
    let removed: Vec<_> = draft.touched_accounts().filter(|(_, account)| poor(account)).collect();
    for (id, account) in removed {
        draft.remove(Key::Account(id));
        let running = draft.running_mut();
        running.burnt = running.burnt.plus(account.balance).expect("money is conserved: no more is burnt than minted");
    }
}

fn debit(draft: &mut Draft<'_>, from: &AccountId, amount: Amount) -> Result<(), TxError> {
    let account = draft.account_mut(from);
    let have = account.balance;
    account.balance = have.minus(amount).ok_or(TxError::Funds { need: amount, have })?;
    Ok(())
}

fn credit(draft: &mut Draft<'_>, to: &AccountId, amount: Amount) {
    let account = draft.account_mut(to);
    account.balance = account.balance.plus(amount).expect("money is conserved: a balance is at most what was minted");
}
