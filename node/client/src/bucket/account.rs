//! The account of a bucket: it begins with the owner's money and permission to draw holders, and ends with what is left
//! going back.

use std::time::Duration;

use ostrakon_proto::{
    bucket::{Blob, BlobInfo},
    id::{AccountId, Amount},
    ledger::tx::{Action, DrawAs, DrawPermission, Release, SetName, Transfer, batches},
    sign::{Keypair, Purpose},
};
use tokio::time::sleep;

use super::{Bucket, BucketError, Buckets};
use crate::{Events, chain::Overtaken};

/// What a bucket's account has at first, beside the deposits: enough for some batches and their fees.
const FIRST: Amount = Amount(10_000_000);
/// How often a deleted bucket's account is asked to return what it has, and the pause before the next time.
const RETURNS: usize = 3;
const RETURN_PAUSE: Duration = Duration::from_secs(1);

impl Buckets {
    /// Gives a bucket's account money, and the owner's permission to draw holders as it.
    pub(super) async fn set_up_account(&self, name: &str) -> Result<(), BucketError> {
        let (owner, key) = (self.owner(), self.secret(name).keypair());
        let (account, events): (AccountId, _) = (key.public(), Events::none());
        let chain = &owner.chain;
        let there = chain.account(account).await?;
        let first = FIRST.plus(owner.rules().params.bonds.name).unwrap_or(FIRST);
        if there.balance < first {
            let pay = Action::Transfer(Transfer { to: account, amount: first });
            owner.check_funds(&pay).await?;
            owner.submit(pay, Overtaken::Repeat, &events).await?;
        }
        let owner_account: AccountId = owner.key()?.public();
        if there.draw_identity(account).account != owner_account {
            let signature = owner.key()?.sign(Purpose::DrawAs, &owner.rules().chain, &account);
            let permission = Some(DrawPermission { account: owner_account, signature });
            chain.send(&key, vec![Action::DrawAs(DrawAs { permission })], Overtaken::Repeat, &events).await?;
        }
        Ok(())
    }

    /// Ends what a bucket stores, and returns what its account has to the owner.
    pub(super) async fn close_account(&self, bucket: &Bucket) -> Result<(), BucketError> {
        let (secret, used) = (self.secret(bucket.name()), bucket.used().await?);
        let key = secret.keypair();
        let version = bucket.engine().index.known().version;
        let cell = SetName { name: secret.cell(), version, value: None };
        let release = |(blob, info): (Blob, BlobInfo)| {
            (0..info.extents).map(move |extent| Action::Release(Release { object: blob.object, extent }))
        };
        // A bucket that was written has a batch.
        let cell = (!used.is_empty()).then_some(Action::SetName(cell));
        let actions: Vec<Action> = cell.into_iter().chain(used.into_iter().flat_map(release)).collect();
        if !actions.is_empty() {
            self.owner().chain.send(&key, batches(actions), Overtaken::Repeat, &Events::none()).await?;
        }
        for _ in 0..RETURNS {
            match self.give_back(&key).await {
                Ok(()) => return Ok(()),
                // Its balance was that of a block before.
                Err(error) => {
                    tracing::debug!(
                        bucket = bucket.name(), %error,
                        "cannot return the balance of a deleted bucket's account yet"
                    );
                }
            }
            sleep(RETURN_PAUSE).await;
        }
        tracing::warn!(
            bucket = bucket.name(),
            "cannot return the balance of a deleted bucket's account: create and delete the bucket again"
        );
        Ok(())
    }

    /// Pays the owner what a bucket's account has.
    async fn give_back(&self, key: &Keypair) -> Result<(), BucketError> {
        let owner = self.owner();
        let (account, to): (AccountId, AccountId) = (key.public(), owner.key()?.public());
        let balance = owner.chain.account(account).await?.balance;
        let fee = owner.fee_of(&[Action::Transfer(Transfer { to, amount: balance })]);
        if let Some(amount) = balance.minus(fee).filter(|amount| *amount > Amount::ZERO) {
            let pay = Action::Transfer(Transfer { to, amount });
            owner.chain.send(key, vec![pay], Overtaken::Report, &Events::none()).await?;
        }
        Ok(())
    }
}
