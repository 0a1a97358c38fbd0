//! The account: its balance, payments to others, and any other action that it submits to the ledger.

use ostrakon_proto::{
    id::{AccountId, Amount, Height},
    ledger::tx::{Action, Anchor, SetName, Transfer, TxBody},
};

use crate::{
    Client, Error, Events, Submit,
    chain::{Included, Overtaken},
};

/// The account cannot pay for an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("account {account} has {balance} obols, which do not cover {amount} and a fee of {fee}: fund the account")]
pub struct TooPoor {
    /// The account.
    pub account: AccountId,
    /// What the account has.
    pub balance: Amount,
    /// What the action moves or locks.
    pub amount: Amount,
    /// What it costs besides.
    pub fee: Amount,
}

impl TooPoor {
    /// The account cannot pay for this action and another, which was tried later.
    #[must_use]
    pub fn with(self, later: Self) -> Self {
        let add = |one: Amount, other| one.plus(other).unwrap_or(Amount(u64::MAX));
        Self { amount: add(self.amount, later.amount), fee: add(self.fee, later.fee), ..later }
    }

    /// What the account lacks, in whole obols: a little more than that, as fees may rise meanwhile.
    pub fn lacking(&self) -> Amount {
        let need = self.amount.0.saturating_add(self.fee.0);
        Amount((need.saturating_sub(self.balance.0) / Amount::OBOL.0).saturating_add(1).saturating_mul(Amount::OBOL.0))
    }
}

impl Client {
    /// What this client's account has.
    ///
    /// # Errors
    /// [`Error`] when there is no account or no node responds.
    pub async fn balance(&self) -> Result<Amount, Error> {
        let account = self.key()?.public();
        Ok(self.chain.account(account).await?.balance)
    }

    /// Checks that the account can pay the fee of the action and what it moves or locks, before anything is signed; the
    /// ledger checks again. What storing costs is not looked at: an add has a [quote](crate::Add::quote).
    ///
    /// # Errors
    /// [`Error`] with [`TooPoor`] when it cannot; others when there is no account or no node responds.
    pub async fn check_funds(&self, action: &Action) -> Result<(), Error> {
        self.chain.head().await?;
        let (balance, rules) = (self.balance().await?, self.rules());
        let moved = |part: &Action| match part {
            Action::Transfer(transfer) => transfer.amount,
            Action::Join(join) => join.bond,
            Action::Bond(bond) => bond.amount,
            Action::Propose(_) => rules.params.bonds.proposal,
            Action::SetName(SetName { version: 0, value: Some(_), .. }) => rules.params.bonds.name,
            _ => Amount::ZERO,
        };
        let add = |sum: Amount, amount| sum.plus(amount).unwrap_or(Amount(u64::MAX));
        let amount = action.parts().iter().map(moved).fold(Amount::ZERO, add);
        let fee = self.fee_of(std::slice::from_ref(action));
        match amount.plus(fee) {
            Some(need) if need <= balance => Ok(()),
            _ => Err(TooPoor { account: self.key()?.public(), balance, amount, fee }.into()),
        }
    }

    /// What these cost in fees, each in a transaction of its own.
    pub(crate) fn fee_of(&self, actions: &[Action]) -> Amount {
        let (rules, account) = (self.rules(), self.account().unwrap_or(AccountId::new([0; 32])));
        let fee = |action: &Action| {
            let (nonce, valid_until, salt, fee, action) = (0, Height(0), 0, Amount::ZERO, action.clone());
            rules.offer(&TxBody { account, nonce, valid_until, salt, fee, action })
        };
        actions.iter().map(fee).fold(Amount::ZERO, |sum, fee| sum.plus(fee).unwrap_or(Amount(u64::MAX)))
    }

    /// Pays another account, once: when another transaction of this account comes first, it is not repeated.
    ///
    /// Fails with [`ChainError::NotIncluded`](crate::ChainError::NotIncluded) when it may still happen.
    pub fn transfer(&self, to: AccountId, amount: Amount) -> Submit<Included> {
        self.perform(Action::Transfer(Transfer { to, amount }))
    }

    /// Submits an action, once: when another transaction of this account comes first, it is not repeated.
    pub fn perform(&self, action: Action) -> Submit<Included> {
        Submit::new(self, |client, events| async move { client.submit(action, Overtaken::Report, &events).await })
    }

    /// Writes a hash on the ledger: with the block's proof anyone can check that the hash was known by then.
    pub fn anchor(&self, hash: [u8; 32]) -> Submit<Included> {
        let action = Action::Anchor(Anchor { hash });
        // Anchoring twice does no harm.
        Submit::new(self, |client, events| async move { client.submit(action, Overtaken::Repeat, &events).await })
    }

    pub(crate) async fn submit(
        &self,
        action: Action,
        overtaken: Overtaken,
        events: &Events,
    ) -> Result<Included, Error> {
        let included = self.chain.send(self.key()?, vec![action], overtaken, events).await?;
        Ok(included.into_iter().next().expect("one transaction was sent"))
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::ledger::tx::Together;

    use super::*;
    use crate::{ErrorKind, fake::World};

    #[tokio::test(start_paused = true)]
    async fn a_payment_needs_its_fee_as_well() {
        let world = World::new(1);
        let client = world.client();
        let balance = client.balance().await.expect("answered");
        let pay = |amount| Action::Transfer(Transfer { to: AccountId::new([1; 32]), amount });
        let check = async |amount| client.check_funds(&pay(amount)).await.err();
        let poor = check(balance).await.expect("nothing is left for the fee");
        let Some(TooPoor { fee, .. }) = poor.downcast_ref() else { panic!("{poor}") };
        let most = balance.minus(*fee).expect("less than all");
        assert!(poor.kind() == ErrorKind::Funds && *fee > Amount::ZERO);
        assert!(check(most).await.is_none(), "the fee is the same for every amount");
        assert!(check(Amount(most.0 + 1)).await.is_some() && check(Amount(u64::MAX)).await.is_some());
        let half = pay(Amount(balance.0 / 2));
        let both = Together::new(vec![half.clone(), half.clone()]).expect("two payments");
        assert!(client.check_funds(&half).await.is_ok());
        assert!(client.check_funds(&Action::Together(both)).await.is_err(), "what all move is needed");
    }
}
