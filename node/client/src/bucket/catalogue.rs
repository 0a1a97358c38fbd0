//! An owner's buckets and access keys: settings of one more bucket, whose name is empty. So nothing but the owner's key
//! is needed to find them again, and the ledger shows no name.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use borsh::{BorshDeserialize, BorshSerialize};
use ostrakon_net::lock;
use ostrakon_proto::{
    bucket::{BucketSecret, Place, Value},
    codec,
    id::Epoch,
};
use tokio::{sync::Mutex, time::Instant};
use zeroize::Zeroizing;

use super::{
    Bucket, BucketError, Compacted, Leases,
    change::{Change, Done},
    depot::Depot,
    engine::Engine,
    index::{Index, View},
    public::FRESH,
};
use crate::{Client, Error, Received};

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
/// After a walk through a bucket the next one waits for so many times as long as it took, and for a change; but for
/// old uploads no longer than this.
const WALK_PAUSE: u32 = 50;
const WALK_LATEST: Duration = Duration::from_secs(3_600);
/// Epochs that objects are paid for at a time; the ledger renews them by itself.
const EPOCHS: u64 = 720;

/// An owner's buckets. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct Buckets {
    inner: Arc<Inner>,
}

struct Inner {
    owner: Client,
    max_stale: Duration,
    catalogue: Bucket,
    open: Mutex<BTreeMap<String, Bucket>>,
    keys: std::sync::Mutex<BTreeMap<String, (Instant, Option<AccessKey>)>>,
    /// What upkeep knows of each bucket.
    kept: std::sync::Mutex<BTreeMap<String, Kept>>,
}

/// What is known of a bucket since it was looked after last.
#[derive(Clone, Copy, Default)]
struct Kept {
    /// When its first lease ends.
    lease_end: Option<Epoch>,
    /// When it was compacted last.
    walk: Option<LastWalk>,
}

/// A walk through a bucket's index.
#[derive(Clone, Copy)]
struct LastWalk {
    /// Of which version.
    version: u64,
    ended: Instant,
    took: Duration,
}

impl LastWalk {
    /// Whether the next one is due: walks take a bounded part of the time, however large the bucket is.
    fn is_over(&self, version: u64) -> bool {
        let since = self.ended.elapsed();
        since >= WALK_LATEST || (version != self.version && since >= self.took * WALK_PAUSE)
    }
}

/// A bucket that an owner has.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BucketEntry {
    /// Its name.
    pub name: String,
    /// When it was created, in milliseconds of Unix time.
    pub created_ms: u64,
    /// Whether its objects can be read by their hashes, by anyone who asks a gateway.
    pub public: bool,
}

/// What upkeep did for a bucket.
#[derive(Clone, Debug)]
pub struct UpkeepReport {
    /// Its name; empty for the catalogue.
    pub bucket: String,
    /// What was freed.
    pub compacted: Result<Compacted, BucketError>,
    /// Its leases; `None` while all have more than half their term left.
    pub leases: Result<Option<Leases>, BucketError>,
    /// When its first lease ends, as far as that is known.
    pub lease_end: Option<Epoch>,
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
struct EntryBytes {
    created_ms: u64,
    public: bool,
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
        self.buckets_within(Duration::ZERO)
    }

    /// The same, where a read may see a state that was the newest so long ago, and need not ask the validators again.
    /// What was written through these buckets is always seen.
    ///
    /// # Errors
    /// As [`Client::buckets`].
    pub fn buckets_within(&self, max_stale: Duration) -> Result<Buckets, Error> {
        self.key()?;
        let (owner, (open, keys, kept)) = (self.clone(), Default::default());
        let catalogue = opened((&owner, max_stale), (CATALOGUE, false));
        Ok(Buckets { inner: Arc::new(Inner { owner, max_stale, catalogue, open, keys, kept }) })
    }
}

impl Buckets {
    /// What other nodes answered so far, for all of them.
    pub fn received(&self) -> Received {
        self.inner.owner.received().clone()
    }

    /// All of them, in the order of their names.
    ///
    /// # Errors
    /// When the newest state cannot be read.
    pub async fn list(&self) -> Result<Vec<BucketEntry>, BucketError> {
        let all = self.settings(&*self.newest().await?, BUCKET).await?;
        Ok(all.into_iter().filter_map(|(name, value)| bucket_entry(name, &value)).collect())
    }

    /// Creates a bucket, of which only who has the owner's key or an access key can read.
    ///
    /// # Errors
    /// [`BucketError::InvalidName`], [`BucketError::BucketExists`], [`BucketError::OwnerTooPoor`] and others.
    pub async fn create(&self, name: &str) -> Result<Bucket, BucketError> {
        self.create_one(name, false).await
    }

    /// Creates a public bucket: its objects have names in IPFS, by which anyone who asks a gateway can read them. It
    /// stays public.
    ///
    /// # Errors
    /// As [`Buckets::create`].
    pub async fn create_public(&self, name: &str) -> Result<Bucket, BucketError> {
        self.create_one(name, true).await
    }

    async fn create_one(&self, name: &str, public: bool) -> Result<Bucket, BucketError> {
        check_name(name)?;
        if self.inner.catalogue.setting(&format!("{BUCKET}{name}")).await?.is_some() {
            return Err(BucketError::BucketExists { name: name.to_owned() });
        }
        futures::try_join!(self.set_up_account(name), self.set_up_account(CATALOGUE))?;
        let entry = EntryBytes { created_ms: self.inner.owner.now_ms(), public };
        let (setting, value) = (format!("{BUCKET}{name}"), codec::encode(&entry));
        let change = Change::Set { name: setting, value: Some(value), must_be_new: true };
        match self.inner.catalogue.engine().change(change).await {
            Err(BucketError::Precondition) => Err(BucketError::BucketExists { name: name.to_owned() }),
            done => done.map(|_| ()),
        }?;
        Ok(self.opened(name, public).await)
    }

    /// Opens a bucket.
    ///
    /// # Errors
    /// [`BucketError::NoBucket`], and when the newest state cannot be read.
    pub async fn open(&self, name: &str) -> Result<Bucket, BucketError> {
        if let Some(bucket) = self.inner.open.lock().await.get(name) {
            return Ok(bucket.clone());
        }
        let value = self.inner.catalogue.setting(&format!("{BUCKET}{name}")).await?;
        match value.and_then(|value| bucket_entry(name.to_owned(), &value)) {
            Some(BucketEntry { public, .. }) => Ok(self.opened(name, public).await),
            None => Err(BucketError::NoBucket { name: name.to_owned() }),
        }
    }

    /// Deletes a bucket that has no objects and no uploads. What its account has returns to the owner.
    ///
    /// # Errors
    /// [`BucketError::NotEmpty`], [`BucketError::NoBucket`] and others.
    pub async fn delete(&self, name: &str) -> Result<(), BucketError> {
        let bucket = self.open(name).await?;
        let index = &bucket.engine().index;
        for kind in [Place::object(b""), Place::uploads_of(b"")] {
            if !index.page_of(&kind, &kind, 1).await?.is_empty() {
                return Err(BucketError::NotEmpty { name: name.to_owned() });
            }
        }
        self.close_account(&bucket).await?;
        self.inner.catalogue.set_setting(&format!("{BUCKET}{name}"), None).await?;
        self.inner.open.lock().await.remove(name);
        Ok(())
    }

    /// Creates an access key: for one bucket, or for all and to create and delete them.
    ///
    /// # Errors
    /// [`BucketError::NoBucket`] and others.
    pub async fn create_access_key(&self, bucket: Option<&str>, read_only: bool) -> Result<AccessKey, BucketError> {
        if let Some(bucket) = bucket {
            self.open(bucket).await?;
        }
        self.set_up_account(CATALOGUE).await?;
        let (id, secret) = (self.inner.owner.random::<10>(), self.inner.owner.random::<20>());
        let key = AccessKey {
            id: format!("{}{}", KEY_ID.0, hex::encode_upper(id)),
            secret: Zeroizing::new(hex::encode(secret)),
            bucket: bucket.map(ToOwned::to_owned),
            read_only,
            created_ms: self.inner.owner.now_ms(),
        };
        let AccessKey { bucket, read_only, created_ms, .. } = key.clone();
        let value = codec::encode(&KeyBytes { secret: key.secret.to_string(), bucket, read_only, created_ms });
        let change = Change::Set { name: format!("{KEY}{}", key.id), value: Some(value), must_be_new: true };
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
        let value = self.inner.catalogue.setting(&format!("{KEY}{id}")).await?;
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
        let all = self.settings(&*self.newest().await?, KEY).await?;
        Ok(all.into_iter().filter_map(|(id, value)| access_key(id, &value)).collect())
    }

    /// Deletes an access key; says whether there was one. Those who have asked for it lately may use it for seconds.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn delete_access_key(&self, id: &str) -> Result<bool, BucketError> {
        let change = Change::Set { name: format!("{KEY}{id}"), value: None, must_be_new: false };
        let done = self.inner.catalogue.engine().change(change).await?;
        lock(&self.inner.keys).remove(id);
        Ok(matches!(done, Done::Removed(true)))
    }

    /// Keeps all buckets, and the catalogue: see [`Bucket::renew`] and [`Bucket::compact`]. Those are looked through
    /// that were changed since the last time, and large ones less often. Returns the outcome for each; what fails for
    /// one is left for the next time.
    ///
    /// # Errors
    /// When the newest state of the catalogue cannot be read.
    pub async fn upkeep(&self) -> Result<Vec<UpkeepReport>, BucketError> {
        let mut all = vec![self.inner.catalogue.clone()];
        for BucketEntry { name, .. } in self.list().await? {
            match self.open(&name).await {
                Ok(bucket) => all.push(bucket),
                // It was deleted meanwhile.
                Err(BucketError::NoBucket { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let half = self.inner.owner.chain.head().await?.epoch.after(EPOCHS.div_ceil(2));
        let mut done = Vec::with_capacity(all.len());
        for bucket in all {
            let compacted = self.compact(&bucket).await;
            let name = bucket.name().to_owned();
            // What was stored since the last look ends later than what there was.
            let is_early = self.kept(&name).lease_end.is_some_and(|end| end >= half);
            let leases = if is_early { Ok(None) } else { bucket.renew().await.map(Some) };
            if let Ok(Some(Leases { earliest_end: Some(end), .. })) = leases {
                lock(&self.inner.kept).entry(name.clone()).or_default().lease_end = Some(end);
            }
            let lease_end = self.kept(&name).lease_end;
            done.push(UpkeepReport { bucket: name, compacted, leases, lease_end });
        }
        Ok(done)
    }

    fn kept(&self, name: &str) -> Kept {
        lock(&self.inner.kept).get(name).copied().unwrap_or_default()
    }

    /// Compacts a bucket that was changed since it was looked at, unless that was a moment ago.
    async fn compact(&self, bucket: &Bucket) -> Result<Compacted, BucketError> {
        let (began, version) = (Instant::now(), bucket.engine().index.view().await?.version);
        if self.kept(bucket.name()).walk.is_some_and(|walk| !walk.is_over(version)) {
            return Ok(Compacted::default());
        }
        let done = bucket.compact().await?;
        let walk = LastWalk { version, ended: Instant::now(), took: began.elapsed() };
        lock(&self.inner.kept).entry(bucket.name().to_owned()).or_default().walk = Some(walk);
        Ok(done)
    }

    /// The buckets that are public, as of a few seconds ago.
    ///
    /// # Errors
    /// When no state can be read.
    pub async fn public(&self) -> Result<Vec<Bucket>, BucketError> {
        let view = self.inner.catalogue.engine().index.view_within(FRESH).await?;
        let mut public = Vec::new();
        for (name, value) in self.settings(&view, BUCKET).await? {
            if let Some(BucketEntry { name, public: true, .. }) = bucket_entry(name, &value) {
                public.push(self.opened(&name, true).await);
            }
        }
        Ok(public)
    }

    /// Whether a bucket is public, as of a few seconds ago; one that does not exist is not.
    ///
    /// # Errors
    /// When no state can be read.
    pub async fn is_public(&self, name: &str) -> Result<bool, BucketError> {
        let place = Place::setting(&format!("{BUCKET}{name}"));
        let value = self.inner.catalogue.engine().index.newest_within(FRESH, &place).await?;
        let Some(Value::Setting(value)) = value else { return Ok(false) };
        Ok(bucket_entry(name.to_owned(), &value).is_some_and(|entry| entry.public))
    }

    /// What readers of public buckets know the owner by: the same in every gateway, and unrelated to the account's key.
    pub fn public_name(&self) -> [u8; 32] {
        self.secret(CATALOGUE).public_name()
    }

    async fn newest(&self) -> Result<Arc<View>, BucketError> {
        self.inner.catalogue.engine().index.view().await
    }

    async fn settings(&self, view: &View, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, BucketError> {
        let place = Place::setting(prefix);
        let found = self.inner.catalogue.engine().index.page_in(view, (&place, &place), MOST).await?;
        let entry = |(place, value): (Place, Value)| match value {
            Value::Setting(value) => Some((place.setting_of()?.strip_prefix(prefix)?.to_owned(), value)),
            _ => None,
        };
        Ok(found.into_iter().filter_map(entry).collect())
    }

    pub(super) fn owner(&self) -> &Client {
        &self.inner.owner
    }

    pub(super) fn secret(&self, name: &str) -> BucketSecret {
        secret(&self.inner.owner, name)
    }

    async fn opened(&self, name: &str, public: bool) -> Bucket {
        let mut open = self.inner.open.lock().await;
        // Another gateway may have deleted it, and created it again with the other visibility.
        if open.get(name).is_some_and(|bucket| bucket.is_public() != public) {
            open.remove(name);
        }
        open.entry(name.to_owned())
            .or_insert_with(|| opened((&self.inner.owner, self.inner.max_stale), (name, public)))
            .clone()
    }
}

fn secret(owner: &Client, name: &str) -> BucketSecret {
    BucketSecret::derive(owner.account.as_ref().expect("buckets have an owner"), name)
}

/// A bucket of this owner, whether it is there or not.
fn opened((owner, max_stale): (&Client, Duration), (name, public): (&str, bool)) -> Bucket {
    let secret = secret(owner, name);
    let client = owner.as_account(secret.keypair());
    let depot = Depot::new((client, owner.clone()), secret.keypair(), secret.cell(), EPOCHS);
    Bucket::new((name, public), Engine::start(Index::new(depot, secret, max_stale)))
}

fn bucket_entry(name: String, value: &[u8]) -> Option<BucketEntry> {
    let EntryBytes { created_ms, public } = codec::decode(value, ENTRY).ok()?;
    Some(BucketEntry { name, created_ms, public })
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

    #[tokio::test(start_paused = true)]
    async fn walks_take_a_part_of_the_time() {
        let walk = LastWalk { version: 3, ended: Instant::now(), took: Duration::from_secs(2) };
        let check = async |after, version, expect| {
            tokio::time::sleep_until(walk.ended + Duration::from_secs(after)).await;
            assert_eq!(walk.is_over(version), expect, "{after} s, version {version}");
        };
        check(99, 4, false).await;
        check(100, 3, false).await;
        check(100, 4, true).await;
        check(3_599, 3, false).await;
        check(3_600, 3, true).await;
    }

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
