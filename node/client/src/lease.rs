//! The term of what was added: paying for longer, or ending it and getting the rest of the money back.

use ostrakon_proto::{
    id::{AccountId, Epoch, ObjectId},
    ledger::{
        state::Commitment,
        tx::{Action, Extend, Release},
    },
};

use crate::{
    Client, Events,
    chain::{ChainError, Included, Overtaken},
};

impl Client {
    /// Pays for `epochs` more, on every extent; gives the new first epoch that is not paid for.
    ///
    /// # Errors
    /// [`ChainError`], also when the object is not this account's.
    pub async fn extend(&self, object: ObjectId, epochs: u64, events: &Events) -> Result<Epoch, ChainError> {
        let mine = self.own_commitments(object).await?;
        // All extents get one end, so that none goes before the others.
        let end = mine.iter().map(|commitment| commitment.end).max().unwrap_or_default().after(epochs);
        let extend = |commitment: &Commitment| Action::Extend(Extend { object, extent: commitment.id.extent, end });
        self.chain.send(self.key()?, mine.iter().map(extend).collect(), Overtaken::Repeat, events).await?;
        Ok(end)
    }

    /// Ends the account's commitments of the object. Its holders forget the columns after the network's trash time.
    ///
    /// # Errors
    /// [`ChainError`], also when the object is not this account's.
    pub async fn release(&self, object: ObjectId, events: &Events) -> Result<Vec<Included>, ChainError> {
        let mine = self.own_commitments(object).await?;
        let release = |commitment: &Commitment| Action::Release(Release { object, extent: commitment.id.extent });
        self.chain.send(self.key()?, mine.iter().map(release).collect(), Overtaken::Repeat, events).await
    }

    async fn own_commitments(&self, object: ObjectId) -> Result<Vec<Commitment>, ChainError> {
        let me: AccountId = self.key()?.public();
        let mut all = self.chain.object(object).await?;
        all.retain(|commitment| commitment.id.owner == me);
        if all.is_empty() { Err(ChainError::NotOwner { object }) } else { Ok(all) }
    }
}
