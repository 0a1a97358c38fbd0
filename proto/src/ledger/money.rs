//! The only place where money moves: between accounts, or between an account and what is locked or burnt.
//!
//! Invariant "money is conserved": balances + bonds + escrow + burnt = minted, after every function. As all of it fits
//! an [`Amount`], no part of it overflows.

use crate::{
    id::{AccountId, Amount},
    ledger::{
        draft::Draft,
        error::TxError,
        state::{Account, Key, Running},
    },
};

/// Where money is that is not in an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pool {
    /// Locked by a provider or a validator, or for a proposal or a name.
    Bonds,
    /// Locked in a commitment.
    Escrow,
    /// Destroyed.
    Burnt,
}

impl Pool {
    const fn of(self, running: &mut Running) -> &mut Amount {
        match self {
            Self::Bonds => &mut running.bonded,
            Self::Escrow => &mut running.escrowed,
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

/// Burns `amount` of what is locked in bonds.
pub(super) fn burn_bond(draft: &mut Draft<'_>, amount: Amount) {
    let running = draft.running_mut();
    running.bonded = running.bonded.minus(amount).expect("money is conserved: a record's money is in its pool");
    running.burnt = running.burnt.plus(amount).expect("money is conserved: a pool is at most what was minted");
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
