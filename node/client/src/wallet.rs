//! The account: its balance, payments to others, and any other action that it submits to the ledger.

use ostrakon_proto::{
    id::{AccountId, Amount},
    ledger::tx::{Action, Anchor, Transfer},
};

use crate::{
    Client, Error, Events,
    chain::{Included, Overtaken},
};

impl Client {
    /// What this client's account has.
    ///
    /// # Errors
    /// [`Error`] when there is no account or no node responds.
    pub async fn balance(&self) -> Result<Amount, Error> {
        let account = self.key()?.public();
        Ok(self.chain.account(account).await?.balance)
    }

    /// Pays another account, once: when another transaction of this account comes first, it is not repeated.
    ///
    /// # Errors
    /// [`Error`]; only with [`ChainError::NotIncluded`](crate::ChainError::NotIncluded) may it still happen.
    pub async fn transfer(&self, to: AccountId, amount: Amount, events: &Events) -> Result<Included, Error> {
        self.perform(Action::Transfer(Transfer { to, amount }), events).await
    }

    /// Submits an action, once: when another transaction of this account comes first, it is not repeated.
    ///
    /// # Errors
    /// As [`Client::transfer`].
    pub async fn perform(&self, action: Action, events: &Events) -> Result<Included, Error> {
        self.submit(action, Overtaken::Report, events).await
    }

    /// Writes a hash on the ledger: with the block's proof anyone can check that the hash was known by then.
    ///
    /// # Errors
    /// [`Error`] when there is no account, no node responds, or the ledger refuses.
    pub async fn anchor(&self, hash: [u8; 32], events: &Events) -> Result<Included, Error> {
        // Anchoring twice does no harm.
        self.submit(Action::Anchor(Anchor { hash }), Overtaken::Repeat, events).await
    }

    async fn submit(&self, action: Action, overtaken: Overtaken, events: &Events) -> Result<Included, Error> {
        let included = self.chain.send(self.key()?, vec![action], overtaken, events).await?;
        Ok(included.into_iter().next().expect("one transaction was sent"))
    }
}
