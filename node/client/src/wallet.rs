//! The account: its money, paying others, and whatever else it says to the ledger.

use ostrakon_proto::{
    id::{AccountId, Amount},
    ledger::tx::{Action, Anchor, Transfer},
};

use crate::{
    Client, Events,
    chain::{ChainError, Included, Overtaken},
};

impl Client {
    /// What this client's account has.
    ///
    /// # Errors
    /// [`ChainError`] when there is no account or no node answers.
    pub async fn balance(&self) -> Result<Amount, ChainError> {
        let account = self.key()?.public();
        Ok(self.chain.account(account).await?.balance)
    }

    /// Pays another account, once: when another transaction of this account comes first, it is not repeated.
    ///
    /// # Errors
    /// [`ChainError`]; only [`ChainError::NotIncluded`] leaves open whether it will happen.
    pub async fn transfer(&self, to: AccountId, amount: Amount, events: &Events) -> Result<Included, ChainError> {
        self.perform(Action::Transfer(Transfer { to, amount }), events).await
    }

    /// Says this to the ledger, once: when another transaction of this account comes first, it is not repeated.
    ///
    /// # Errors
    /// As [`Client::transfer`].
    pub async fn perform(&self, action: Action, events: &Events) -> Result<Included, ChainError> {
        let included = self.chain.send(self.key()?, vec![action], Overtaken::Report, events).await?;
        Ok(included.into_iter().next().expect("one transaction was sent"))
    }

    /// Says a hash on the ledger: whoever has the block's proof can show that it was known by then.
    ///
    /// # Errors
    /// [`ChainError`] when there is no key, no node answers, or the ledger refuses.
    pub async fn anchor(&self, hash: [u8; 32], events: &Events) -> Result<Included, ChainError> {
        let action = Action::Anchor(Anchor { hash });
        // Saying it twice does no harm.
        let included = self.chain.send(self.key()?, vec![action], Overtaken::Repeat, events).await?;
        included.into_iter().next().ok_or(ChainError::Unknown { what: "anchor" })
    }
}
