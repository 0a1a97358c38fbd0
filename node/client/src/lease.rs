//! The term of an object: extending it, or releasing the object and getting the unused escrow back.

use ostrakon_proto::{
    id::{AccountId, Amount, Epoch, ObjectId},
    ledger::{
        state::Commitment,
        tx::{Action, Extend, Release, batches},
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
        Submit::new(self, move |client, events| async move {
            let mine = client.own_commitments(object).await?;
            // All extents get one end, so that none ends before the others.
            let end = mine.iter().map(|commitment| commitment.end).max().unwrap_or_default().after(epochs);
            let extend =
                |commitment: &Commitment| Action::Extend(Extend { object, extent: commitment.id.extent, end, most });
            let actions = mine.iter().map(extend).collect();
            client.chain.send(client.key()?, batches(actions), Overtaken::Repeat, &events).await?;
            Ok(end)
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
        let me: AccountId = self.key()?.public();
        let mut all = self.chain.object(object).await?;
        all.retain(|commitment| commitment.id.owner == me);
        if all.is_empty() { Err(ChainError::NotOwner { object }) } else { Ok(all) }
    }
}
