//! The term of an object: extending it, having the ledger renew it, or releasing the object and getting the unused
//! escrow back.

use ostrakon_proto::{
    id::{AccountId, Amount, Epoch, ObjectId},
    ledger::{
        state::{Commitment, Renewal},
        tx::{Action, Extend, Release, SetRenewal, batches},
    },
};

use crate::{
    Client, Submit,
    chain::{ChainError, Included, Overtaken},
};

impl Client {
    /// Pays for `epochs` more, on every extent; returns the new first epoch that is not paid for. A holder that asks
    /// for more than before is paid what it asks, up to `most` for a GiB and an epoch: zero pays no more than before.
    ///
    /// Fails when the object is not this account's, the account cannot pay, or a holder asks for more.
    pub fn extend(&self, object: ObjectId, epochs: u64, most: Amount) -> Submit<Epoch> {
        self.prolong(object, None, (epochs, most))
    }

    /// Pays for `epochs` more of what `owner` stores, at the prices in force; returns the new first epoch that is not
    /// paid for. What is not used returns to the owner.
    ///
    /// Fails when `owner` does not store the object, the account cannot pay, or a holder asks for more than before.
    pub fn top_up(&self, object: ObjectId, owner: AccountId, epochs: u64) -> Submit<Epoch> {
        self.prolong(object, Some(owner), (epochs, Amount::ZERO))
    }

    fn prolong(&self, object: ObjectId, owner: Option<AccountId>, (epochs, most): (u64, Amount)) -> Submit<Epoch> {
        Submit::new(self, move |client, events| async move {
            let owner = owner.map_or_else(|| client.key().map(|key| key.public()), Ok)?;
            let all = client.commitments_of(object, owner).await?;
            // All extents get one end, so that none ends before the others.
            let end = all.iter().map(|commitment| commitment.end).max().unwrap_or_default().after(epochs);
            let extend = |commitment: &Commitment| Action::Extend(Extend { commitment: commitment.id, end, most });
            let actions = all.iter().map(extend).collect();
            client.chain.send(client.key()?, batches(actions), Overtaken::Repeat, &events).await?;
            Ok(end)
        })
    }

    /// Has the ledger renew every extent by itself whenever it would end, from this account's balance; `None` lets the
    /// object end. A renewal costs the network's base fee beside the price. One that the account cannot pay, or for
    /// which a holder asks for more than before and than [`Renewal::most`], is not made.
    ///
    /// Fails when the object is not this account's, or the term is longer than the network allows.
    pub fn set_renewal(&self, object: ObjectId, renewal: Option<Renewal>) -> Submit<Vec<Included>> {
        Submit::new(self, move |client, events| async move {
            let mine = client.own_commitments(object).await?;
            let set = |commitment: &Commitment| {
                Action::SetRenewal(SetRenewal { object, extent: commitment.id.extent, renewal })
            };
            let actions = mine.iter().map(set).collect();
            Ok(client.chain.send(client.key()?, batches(actions), Overtaken::Repeat, &events).await?)
        })
    }

    /// Ends the account's commitments of the object with the epoch in progress, which is still paid for; what else was
    /// locked returns immediately. Its holders delete the columns after the network's trash time.
    ///
    /// Fails when the object is not this account's, or ends with the epoch already.
    pub fn release(&self, object: ObjectId) -> Submit<Vec<Included>> {
        Submit::new(self, move |client, events| async move {
            let mut mine = client.own_commitments(object).await?;
            let last = client.chain.head().await?.epoch.after(1);
            mine.retain(|commitment| commitment.end > last);
            if mine.is_empty() {
                return Err(ChainError::Ending { object }.into());
            }
            let release = |commitment: &Commitment| Action::Release(Release { object, extent: commitment.id.extent });
            let actions = mine.iter().map(release).collect();
            Ok(client.chain.send(client.key()?, batches(actions), Overtaken::Repeat, &events).await?)
        })
    }

    async fn own_commitments(&self, object: ObjectId) -> Result<Vec<Commitment>, ChainError> {
        self.commitments_of(object, self.key()?.public()).await
    }

    async fn commitments_of(&self, object: ObjectId, owner: AccountId) -> Result<Vec<Commitment>, ChainError> {
        let mut all = self.chain.object(object).await?;
        all.retain(|commitment| commitment.id.owner == owner);
        if all.is_empty() { Err(ChainError::NotOwner { object, account: owner }) } else { Ok(all) }
    }
}
