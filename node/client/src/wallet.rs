//! The account: its balance, payments to others, and any other action that it submits to the ledger.

use ostrakon_proto::{
    id::{AccountId, Amount},
    ledger::tx::{Action, Anchor, Transfer},
};

use crate::{
    Client, Error, Events, Submit,
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
