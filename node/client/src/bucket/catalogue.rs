//! An owner's buckets and access keys: settings of one more bucket, whose name is empty. So nothing but the owner's key
//! is needed to find them again, and the ledger shows no name.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use borsh::{BorshDeserialize, BorshSerialize};
use ostrakon_net::lock;
use ostrakon_proto::{
    bucket::{BucketSecret, Place, Value},
    codec,
    id::{AccountId, Amount},
    ledger::tx::{Action, DrawAs, DrawPermission, Release, SetName, Transfer, batches},
    sign::{Keypair, Purpose},
};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};
use zeroize::Zeroizing;

use super::{
    Bucket, BucketError, Compacted, Condition, Leases, change::Change, depot::Depot, engine::Engine, index::Index,
};
use crate::{Client, Error, Events, chain::Overtaken, profile::now_ms};

/// The catalogue's name, which no other bucket can have.
const CATALOGUE: &str = "";
/// How settings of the catalogue begin that are buckets, and access keys.
const BUCKET: &str = "bucket/";
const KEY: &str = "key/";
/// Most buckets, and most access keys, that are listed.
const MOST: usize = 10_000;
/// Bytes of an entry at most.
const ENTRY: usize = 1_024;
/// Access keys that are remembered, and ids that are none.
const KEYS: usize = 1_024;
/// How access keys' ids begin, and how many digits follow.
const KEY_ID: (&str, usize) = ("OK", 20);
/// How long an access key is believed without being looked up again.
const KEY_FRESH: Duration = Duration::from_secs(5);
/// What a bucket's account has at first, beside the deposits: enough for some batches and their fees.
const FIRST: Amount = Amount(10_000_000);
/// How often a deleted bucket's account is asked to return what it has, and the pause before the next time.
const RETURNS: usize = 3;
const RETURN_PAUSE: Duration = Duration::from_secs(1);
/// Epochs that objects are paid for at a time; the ledger renews them by itself.
const EPOCHS: u64 = 720;

/// An owner's buckets. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct Buckets {
    inner: Arc<Inner>,
}

struct Inner {
    owner: Client,
    catalogue: Bucket,
    open: Mutex<BTreeMap<String, Bucket>>,
    keys: std::sync::Mutex<BTreeMap<String, (Instant, Option<AccessKey>)>>,
}

/// A bucket that an owner has.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BucketEntry {
    /// Its name.
    pub name: String,
    /// When it was created, in milliseconds of Unix time.
    pub created_ms: u64,
}

/// What upkeep did for a bucket.
#[derive(Clone, Debug)]
pub struct Upkept {
    /// Its name; empty for the catalogue.
    pub bucket: String,
    /// What was freed.
    pub compacted: Result<Compacted, BucketError>,
    /// Its leases.
    pub leases: Result<Leases, BucketError>,
}

/// A key that applications sign requests with.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// What requests name it by.
    pub id: String,
    /// What they are signed with.
    pub secret: Zeroizing<String>,
    /// The only bucket that it may use; `None` for all of the owner's.
    pub bucket: Option<String>,
    /// Whether it may only read.
    pub read_only: bool,
    /// When it was created, in milliseconds of Unix time.
    pub created_ms: u64,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct KeyBytes {
    secret: String,
    bucket: Option<String>,
    read_only: bool,
    created_ms: u64,
}

impl Client {
    /// The buckets of this client's account.
    ///
    /// # Errors
    /// [`Error`] when the client has no account key.
    pub fn buckets(&self) -> Result<Buckets, Error> {
        self.key()?;
        let (owner, (open, keys)) = (self.clone(), Default::default());
        let catalogue = opened(&owner, CATALOGUE);
        Ok(Buckets { inner: Arc::new(Inner { owner, catalogue, open, keys }) })
    }
}

impl Buckets {
    /// All of them, in the order of their names.
    ///
    /// # Errors
    /// When the newest state cannot be read.
    pub async fn list(&self) -> Result<Vec<BucketEntry>, BucketError> {
        let entry = |(name, value): (String, Vec<u8>)| {
            let created_ms = codec::decode(&value, ENTRY).ok()?;
            Some(BucketEntry { name, created_ms })
        };
        Ok(self.settings(BUCKET).await?.into_iter().filter_map(entry).collect())
    }

    /// Creates a bucket.
    ///
    /// # Errors
    /// [`BucketError::InvalidName`], [`BucketError::BucketExists`], [`BucketError::Funds`] and others.
    pub async fn create(&self, name: &str) -> Result<Bucket, BucketError> {
        check_name(name)?;
        if self.setting(&format!("{BUCKET}{name}")).await?.is_some() {
            return Err(BucketError::BucketExists { name: name.to_owned() });
        }
        futures::try_join!(self.found(name), self.found(CATALOGUE))?;
        let (setting, value) = (format!("{BUCKET}{name}"), codec::encode(&now_ms()));
        let change = Change::Set { name: setting, value: Some(value), condition: Condition::Absent };
        match self.inner.catalogue.engine().change(change).await {
            Err(BucketError::Precondition) => Err(BucketError::BucketExists { name: name.to_owned() }),
            done => done.map(|_| ()),
        }?;
        Ok(self.opened(name).await)
    }

    /// Opens a bucket.
    ///
    /// # Errors
    /// [`BucketError::NoBucket`], and when the newest state cannot be read.
    pub async fn open(&self, name: &str) -> Result<Bucket, BucketError> {
        if let Some(bucket) = self.inner.open.lock().await.get(name) {
            return Ok(bucket.clone());
        }
        match self.setting(&format!("{BUCKET}{name}")).await? {
            Some(_) => Ok(self.opened(name).await),
            None => Err(BucketError::NoBucket { name: name.to_owned() }),
        }
    }

    /// Whether what was read last, of the catalogue or of this bucket, may be outdated ([`Bucket::is_stale`]).
    pub async fn is_stale(&self, name: &str) -> bool {
        let open = self.inner.open.lock().await;
        self.inner.catalogue.is_stale() || open.get(name).is_some_and(Bucket::is_stale)
    }

    /// Deletes a bucket that has no objects and no uploads. What its account has returns to the owner.
    ///
    /// # Errors
    /// [`BucketError::NotEmpty`], [`BucketError::NoBucket`] and others.
    pub async fn delete(&self, name: &str) -> Result<(), BucketError> {
        let bucket = self.open(name).await?;
        let index = &bucket.engine().index;
        for kind in [Place::objects(b""), Place::uploads_of(b"")] {
            if !index.page_of(&kind, &kind, 1).await?.is_empty() {
                return Err(BucketError::NotEmpty { name: name.to_owned() });
            }
        }
        self.dissolve(name, index).await?;
        self.inner.open.lock().await.remove(name);
        let setting = format!("{BUCKET}{name}");
        let change = Change::Set { name: setting, value: None, condition: Condition::None };
        self.inner.catalogue.engine().change(change).await.map(|_| ())
    }

    /// Creates an access key: for one bucket, or for all and to create and delete them.
    ///
    /// # Errors
    /// [`BucketError::NoBucket`] and others.
    pub async fn create_access_key(&self, bucket: Option<&str>, read_only: bool) -> Result<AccessKey, BucketError> {
        if let Some(bucket) = bucket {
            self.open(bucket).await?;
        }
        self.found(CATALOGUE).await?;
        let (id, secret) = (self.inner.owner.random::<10>(), self.inner.owner.random::<20>());
        let key = AccessKey {
            id: format!("{}{}", KEY_ID.0, hex::encode_upper(id)),
            secret: Zeroizing::new(hex::encode(secret)),
            bucket: bucket.map(ToOwned::to_owned),
            read_only,
            created_ms: now_ms(),
        };
        let AccessKey { bucket, read_only, created_ms, .. } = key.clone();
        let value = codec::encode(&KeyBytes { secret: key.secret.to_string(), bucket, read_only, created_ms });
        let change = Change::Set { name: format!("{KEY}{}", key.id), value: Some(value), condition: Condition::Absent };
        self.inner.catalogue.engine().change(change).await?;
        Ok(key)
    }

    /// The access key with this id, as it was a few seconds ago at most.
    ///
    /// # Errors
    /// When the newest state cannot be read.
    pub async fn access_key(&self, id: &str) -> Result<Option<AccessKey>, BucketError> {
        // Anyone can name an id: those that were never given out cost nothing.
        if !is_key_id(id) {
            return Ok(None);
        }
        let known = lock(&self.inner.keys).get(id).cloned();
        if let Some((_, key)) = known.filter(|(at, _)| at.elapsed() < KEY_FRESH) {
            return Ok(key);
        }
        let value = self.setting(&format!("{KEY}{id}")).await?;
        let key = value.and_then(|value| access_key(id.to_owned(), &value));
        let mut keys = lock(&self.inner.keys);
        keys.retain(|_, (at, _)| at.elapsed() < KEY_FRESH);
        if keys.len() >= KEYS {
            keys.clear();
        }
        keys.insert(id.to_owned(), (Instant::now(), key.clone()));
        Ok(key)
    }

    /// All access keys.
    ///
    /// # Errors
    /// When the newest state cannot be read.
    pub async fn access_keys(&self) -> Result<Vec<AccessKey>, BucketError> {
        let all = self.settings(KEY).await?;
        Ok(all.into_iter().filter_map(|(id, value)| access_key(id, &value)).collect())
    }

    /// Deletes an access key; says whether there was one. Those who have asked for it lately may use it for seconds.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn delete_access_key(&self, id: &str) -> Result<bool, BucketError> {
        let there = self.setting(&format!("{KEY}{id}")).await?.is_some();
        let change = Change::Set { name: format!("{KEY}{id}"), value: None, condition: Condition::None };
        self.inner.catalogue.engine().change(change).await?;
        lock(&self.inner.keys).remove(id);
        Ok(there)
    }

    /// Keeps all buckets, and the catalogue: see [`Bucket::renew`] and [`Bucket::compact`]. Returns the outcome for
    /// each; what fails for one is left for the next time.
    ///
    /// # Errors
    /// When the newest state of the catalogue cannot be read.
    pub async fn upkeep(&self) -> Result<Vec<Upkept>, BucketError> {
        let mut all = vec![self.inner.catalogue.clone()];
        for BucketEntry { name, .. } in self.list().await? {
            match self.open(&name).await {
                Ok(bucket) => all.push(bucket),
                // It was deleted meanwhile.
                Err(BucketError::NoBucket { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let mut done = Vec::with_capacity(all.len());
        for bucket in all {
            let (compacted, leases) = (bucket.compact().await, bucket.renew().await);
            done.push(Upkept { bucket: bucket.name().to_owned(), compacted, leases });
        }
        Ok(done)
    }

    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, BucketError> {
        let index = &self.inner.catalogue.engine().index;
        let view = index.view().await?;
        Ok(match index.find(&view, &Place::setting(name)).await? {
            Some(Value::Setting(value)) => Some(value),
            _ => None,
        })
    }

    async fn settings(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, BucketError> {
        let place = Place::settings(prefix);
        let found = self.inner.catalogue.engine().index.page_of(&place, &place, MOST).await?;
        let entry = |(place, value): (Place, Value)| match value {
            Value::Setting(value) => Some((place.setting_of()?.strip_prefix(prefix)?.to_owned(), value)),
            _ => None,
        };
        Ok(found.into_iter().filter_map(entry).collect())
    }

    fn secret(&self, name: &str) -> BucketSecret {
        secret(&self.inner.owner, name)
    }

    async fn opened(&self, name: &str) -> Bucket {
        let mut open = self.inner.open.lock().await;
        open.entry(name.to_owned()).or_insert_with(|| opened(&self.inner.owner, name)).clone()
    }

    /// Gives a bucket's account money, and the owner's permission to draw holders as it.
    async fn found(&self, name: &str) -> Result<(), BucketError> {
        let (owner, key) = (&self.inner.owner, self.secret(name).keypair());
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
    async fn dissolve(&self, name: &str, index: &Index) -> Result<(), BucketError> {
        let (owner, key, events) = (&self.inner.owner, self.secret(name).keypair(), Events::none());
        let chain = &owner.chain;
        let view = index.view().await?;
        let (blobs, mut actions) = (Place::blobs(), Vec::new());
        let mut from = blobs.clone();
        let mut objects = Vec::new();
        loop {
            let found = index.page_of(&blobs, &from, 1_000).await?;
            let Some((last, _)) = found.last() else { break };
            from = last.successor();
            objects.extend(found.iter().filter_map(|(place, value)| match value {
                Value::Blob(info) => Some((place.blob_of()?, info.extents)),
                _ => None,
            }));
        }
        objects.extend(view.batch.map(|(blob, _)| (blob.object, 1)));
        if view.version > 0 && view.batch.is_some() {
            actions.push(Action::SetName(SetName {
                name: self.secret(name).cell(),
                version: view.version,
                value: None,
            }));
        }
        let release =
            |(object, extents): (_, u32)| (0..extents).map(move |extent| Action::Release(Release { object, extent }));
        actions.extend(objects.into_iter().flat_map(release));
        if !actions.is_empty() {
            chain.send(&key, batches(actions), Overtaken::Repeat, &events).await?;
        }
        for _ in 0..RETURNS {
            match self.give_back(&key).await {
                Ok(()) => return Ok(()),
                // Its balance was that of a block before.
                Err(error) => tracing::debug!(%error, "cannot return what a bucket's account has yet"),
            }
            sleep(RETURN_PAUSE).await;
        }
        tracing::warn!(bucket = name, "its account has money left, which returns when it is created and deleted again");
        Ok(())
    }

    /// Pays the owner what a bucket's account has.
    async fn give_back(&self, key: &Keypair) -> Result<(), BucketError> {
        let owner = &self.inner.owner;
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

fn secret(owner: &Client, name: &str) -> BucketSecret {
    BucketSecret::derive(owner.account.as_ref().expect("buckets have an owner"), name)
}

/// A bucket of this owner, whether it is there or not.
fn opened(owner: &Client, name: &str) -> Bucket {
    let secret = secret(owner, name);
    let client = owner.as_account(secret.keypair());
    let depot = Depot::new((client, owner.clone()), secret.keypair(), secret.cell(), EPOCHS);
    Bucket::new(name, Engine::start(Index::new(depot, secret)))
}

fn access_key(id: String, value: &[u8]) -> Option<AccessKey> {
    let KeyBytes { secret, bucket, read_only, created_ms } = codec::decode(value, ENTRY).ok()?;
    Some(AccessKey { id, secret: Zeroizing::new(secret), bucket, read_only, created_ms })
}

/// Whether an access key may have this id.
fn is_key_id(id: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    id.strip_prefix(KEY_ID.0).is_some_and(|digits| digits.len() == KEY_ID.1 && digits.bytes().all(is_digit))
}

/// Fails unless a bucket can be called this: as S3 has it, so that it can be part of a host's name.
fn check_name(name: &str) -> Result<(), BucketError> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let all = name.bytes().all(|byte| is_plain(byte) || matches!(byte, b'-' | b'.'));
    let ends = name.bytes().next().is_some_and(is_plain) && name.bytes().last().is_some_and(is_plain);
    let is_address = name.parse::<std::net::Ipv4Addr>().is_ok();
    match (3..=63).contains(&name.len()) && all && ends && !name.contains("..") && !is_address {
        true => Ok(()),
        false => Err(BucketError::InvalidName { name: name.to_owned() }),
    }
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").field("owner", &self.inner.owner).finish_non_exhaustive()
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, bucket, read_only, .. } = self;
        f.debug_struct("AccessKey")
            .field("id", id)
            .field("bucket", bucket)
            .field("read_only", read_only)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_s3() {
        for valid in ["abc", "a.b-c", "photos-2026", "1st", &"a".repeat(63)] {
            assert!(check_name(valid).is_ok(), "{valid}");
        }
        for bad in ["", "ab", "Abc", "-abc", "abc-", "a..b", "a_b", "192.168.1.1", "a/b", &"a".repeat(64)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
