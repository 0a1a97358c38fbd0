//! A bucket's objects: put, get, delete, copy.

use std::{fmt, io, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{
    StreamExt, TryFutureExt, TryStreamExt,
    future::join_all,
    stream::{self, BoxStream},
};
use ostrakon_proto::bucket::{
    Checksum, ChecksumAlgorithm, ChecksumKind, ETag, ObjectHeader, ObjectInfo, Piece, Place, Value,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::{OwnedSemaphorePermit, oneshot},
};
use tokio_util::io::StreamReader;

use super::{
    BucketError, Computed,
    beginning::{Beginning, INLINE},
    change::{Change, Content, Done, NewBytes, ObjectVersion, cut, no_key},
    digest::{Digested, Digests},
    engine::{Body, Engine},
    error::DESCRIBED_MAX,
};
use crate::ipfs::Cid;

/// Bytes of a key, as S3 has it.
const KEY_MAX: usize = 1024;
/// Pieces of an object that are opened concurrently.
const OPENED: usize = 32;

/// A bucket that is open. Cheap to clone; clones write together.
#[derive(Clone)]
pub struct Bucket {
    name: Arc<str>,
    public: bool,
    engine: Arc<Engine>,
}

/// What an object is served with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// Headers, each once.
    pub headers: Vec<(ObjectHeader, String)>,
    /// What its user says of it.
    pub metadata: Vec<(String, String)>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

/// When a change may be made: judged when it is committed, and before its body is read, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    #[default]
    None,
    /// If there is nothing.
    Absent,
    /// If there is something.
    Present,
    /// If what is there has one of these entity tags.
    Matches(Vec<String>),
    /// Unless what is there has one of these entity tags.
    MatchesNone(Vec<String>),
}

/// What is checked once a body was read.
type Check<'a> = Box<dyn FnOnce(&Computed) -> Result<(), String> + Send + 'a>;

/// A body that is put, and how.
pub struct Put<'a> {
    /// Its bytes, which are read to their end.
    pub body: Body<'a>,
    /// How many they are, where that is known.
    pub size: Option<u64>,
    /// What the object is served with.
    pub described: Described,
    /// When it may be put.
    pub condition: Condition,
    /// What is computed of it, beside MD5. The first is stored with the object.
    pub digests: Vec<ChecksumAlgorithm>,
    /// Fails where the bytes are not what the client said; nothing is stored or paid then.
    pub check: Check<'a>,
}

/// What was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutDone {
    /// Its entity tag.
    pub etag: ETag,
    /// Its checksum.
    pub checksum: Option<Checksum>,
    /// When it was put, in milliseconds of Unix time.
    pub modified_ms: u64,
    /// Its bytes.
    pub size: u64,
    /// Its name in IPFS, if it is public.
    pub cid: Option<Cid>,
}

/// How an object is copied.
#[derive(Clone, Debug, Default)]
pub struct NewCopy {
    /// What the copy is served with; `None` as its source.
    pub described: Option<Described>,
    /// When it may be made.
    pub condition: Condition,
    /// The checksum that it is to have; `None` as its source.
    pub checksum: Option<ChecksumAlgorithm>,
}

/// An object that is copied.
#[derive(Clone, Copy, Debug)]
pub struct CopySource<'a> {
    /// Its bucket.
    pub bucket: &'a Bucket,
    /// Its key.
    pub key: &'a str,
    /// The object, as it was found.
    pub object: &'a ObjectInfo,
}

impl<'a> Put<'a> {
    /// These bytes, without conditions.
    pub fn new(body: impl AsyncRead + Send + 'a) -> Self {
        let (size, described, condition, digests) = Default::default();
        Self { body: Box::pin(body), size, described, condition, digests, check: Box::new(|_| Ok(())) }
    }
}

impl Bucket {
    pub(super) fn new((name, public): (&str, bool), engine: Engine) -> Self {
        Self { name: name.into(), public, engine: Arc::new(engine) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its objects can be read by their hashes, by anyone who asks a gateway.
    pub fn is_public(&self) -> bool {
        self.public
    }

    /// Whether what was read last may be outdated: too few validators responded to know what others have changed. Of
    /// reads at the same time, [`super::noting_stale`] says which.
    pub fn is_stale(&self) -> bool {
        self.engine.index.is_stale()
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.engine, &other.engine)
    }

    /// Puts an object.
    ///
    /// # Errors
    /// [`BucketError::Precondition`], [`BucketError::Body`], [`BucketError::Check`], [`BucketError::OwnerTooPoor`] and
    /// others; nothing was changed then.
    pub async fn put(&self, key: &str, put: Put<'_>) -> Result<PutDone, BucketError> {
        check_key(key)?;
        put.described.check()?;
        let (described, condition) = (put.described.clone(), put.condition.clone());
        // Nobody is to send a body for nothing.
        self.judge(key, &condition).await?;
        let (_memory, new) = self.bring(put, self.judge(key, &condition)).await?;
        self.put_done(Change::Put { key: key.to_owned(), condition, described, new }).await
    }

    /// Fails where a condition is false now.
    async fn judge(&self, key: &str, condition: &Condition) -> Result<(), BucketError> {
        if *condition == Condition::None {
            return Ok(());
        }
        let (index, place) = (&self.engine.index, Place::object(key.as_bytes()));
        match index.find(&*index.view_to_judge().await?, &place).await? {
            Some(Value::Object(found)) => condition.check(key, Some(&found)),
            _ => condition.check(key, None),
        }
    }

    /// What is known of an object.
    ///
    /// # Errors
    /// [`BucketError::NoSuchKey`], and when the newest state cannot be read.
    pub async fn head(&self, key: &str) -> Result<ObjectInfo, BucketError> {
        object_at(key, self.engine.index.newest(&Place::object(key.as_bytes())).await?)
    }

    /// The same, as of at most `age` ago: saves a question to the validators where that was asked meanwhile.
    ///
    /// # Errors
    /// As [`Bucket::head`].
    pub async fn head_within(&self, age: Duration, key: &str) -> Result<ObjectInfo, BucketError> {
        object_at(key, self.engine.index.newest_within(age, &Place::object(key.as_bytes())).await?)
    }

    /// Reads bytes of an object, as it was found. Once the first of them are there, the rest is read whatever happens
    /// to the object meanwhile.
    ///
    /// # Errors
    /// The first item is [`BucketError::Replaced`] where the object was changed or moved since it was found.
    pub fn read(&self, object: &ObjectInfo, range: Range<u64>) -> BoxStream<'static, Result<Bytes, BucketError>> {
        let (index, blobs) = (Arc::clone(&self.engine.index), Arc::clone(&self.engine.index.depot.blobs));
        let open = move |Piece { blob, offset, length, .. }: Piece| {
            let (link, blobs) = (index.link(&blob), Arc::clone(&index.depot.blobs));
            async move { blobs.open(&link).await.map(|opened| (opened, link, offset..offset + length)) }
        };
        let opening = stream::iter(cut(&object.pieces, &range)).map(open).buffered(OPENED).try_collect();
        let read = move |(opened, link, range)| blobs.read_opened(opened, link, range);
        let all = opening.map_ok(move |all: Vec<_>| stream::iter(all).flat_map(read));
        stream::once(all).try_flatten().boxed()
    }

    /// Deletes an object; says whether there was one.
    ///
    /// # Errors
    /// [`BucketError::Precondition`] and others.
    pub async fn delete(&self, key: &str, condition: Condition) -> Result<bool, BucketError> {
        let done = self.engine.change(Change::Delete { key: key.to_owned(), condition }).await?;
        Ok(matches!(done, Done::Removed(true)))
    }

    /// Deletes several objects.
    pub async fn delete_all(&self, keys: Vec<(String, Condition)>) -> Vec<Result<bool, BucketError>> {
        join_all(keys.iter().map(|(key, condition)| self.delete(key, condition.clone()))).await
    }

    /// Copies an object: within the bucket without moving a byte, from another one by storing its bytes again. It is
    /// read, too, for a checksum that it does not have.
    ///
    /// # Errors
    /// [`BucketError::NoSuchKey`], [`BucketError::Busy`] when its source was replaced while it was read, and those of a
    /// put.
    pub async fn copy(&self, from: CopySource<'_>, key: &str, new: NewCopy) -> Result<PutDone, BucketError> {
        check_key(key)?;
        new.described.as_ref().map_or(Ok(()), Described::check)?;
        let NewCopy { described, condition, checksum: asked } = new;
        let own = from.object.checksum.as_ref();
        if !self.is(from.bucket) {
            let described = described.unwrap_or_else(|| Described::from(from.object));
            let digests = asked.or(own.map(|checksum| checksum.algorithm)).into_iter().collect();
            let body = from.body(0..from.object.size());
            return Box::pin(self.put(key, Put { described, condition, digests, ..body })).await;
        }
        let has = |asked: &ChecksumAlgorithm| {
            own.is_some_and(|own| own.algorithm == *asked && own.kind == ChecksumKind::Whole)
        };
        let digested = match asked.filter(|asked| !has(asked)) {
            None => None,
            Some(algorithm) => {
                self.judge(key, &condition).await?;
                let Computed { checksums, .. } = from.digest(0..from.object.size(), Digests::new(&[algorithm])).await?;
                checksums.into_iter().next().map(|checksum| (from.version(), checksum))
            }
        };
        let (from, key) = (from.key.to_owned(), key.to_owned());
        self.put_done(Change::Copy { from, key, described, condition, digested }).await
    }

    /// Gives an object another key, in one commit that moves no bytes.
    ///
    /// # Errors
    /// [`BucketError::NoSuchKey`], and those of a put; the condition is about what the other key has.
    pub async fn rename(&self, from: &str, key: &str, condition: Condition) -> Result<PutDone, BucketError> {
        check_key(key)?;
        self.put_done(Change::Rename { from: from.to_owned(), key: key.to_owned(), condition }).await
    }

    /// Replaces an object's tags.
    ///
    /// # Errors
    /// [`BucketError::NoSuchKey`] and others.
    pub async fn set_tags(&self, key: &str, tags: Vec<(String, String)>) -> Result<(), BucketError> {
        let described = Described { tags, ..Described::default() };
        described.check()?;
        self.engine.change(Change::Tag { key: key.to_owned(), tags: described.tags }).await.map(|_| ())
    }

    /// A setting of the bucket.
    ///
    /// # Errors
    /// When the newest state cannot be read.
    pub async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, BucketError> {
        match self.engine.index.newest(&Place::setting(name)).await? {
            Some(Value::Setting(value)) => Ok(Some(value)),
            _ => Ok(None),
        }
    }

    /// Sets or removes a setting of the bucket.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn set_setting(&self, name: &str, value: Option<Vec<u8>>) -> Result<(), BucketError> {
        let change = Change::Set { name: name.to_owned(), value, must_be_new: false };
        self.engine.change(change).await.map(|_| ())
    }

    pub(super) async fn put_done(&self, change: Change) -> Result<PutDone, BucketError> {
        match self.engine.change(change).await? {
            Done::Put(done) => Ok(done),
            Done::Removed(_) | Done::Nothing => unreachable!("a put says what was put"),
        }
    }

    /// Reads a body to its end: a small one into memory, of which it holds its part while it waits, a large one into an
    /// object of the network. `stands` says at the end of a large one whether it may still be stored: holders sign for
    /// it then, and keep it for a while if it is not committed.
    pub(super) async fn bring<'a>(
        &'a self,
        put: Put<'a>,
        stands: impl Future<Output = Result<(), BucketError>> + Send + 'a,
    ) -> Result<(Option<OwnedSemaphorePermit>, NewBytes), BucketError> {
        let Put { body, size, digests, check, .. } = put;
        let digests = Digests::new(&digests).with_leaves(self.public);
        let (tell, told) = oneshot::channel();
        let mut body = Digested::new(body, digests, move |computed| {
            let checked = check_size(size, &computed).and_then(|()| check(&computed).map_err(BucketError::Check));
            let is_large = computed.size > INLINE;
            let _nobody_waits = tell.send(computed);
            Box::pin(async move {
                checked?;
                if is_large { stands.await } else { Ok(()) }
            })
        });
        let (memory, content) = match self.engine.beginnings.read(&mut body, size).await? {
            Beginning::Small(bytes, memory) => (memory, Content::Inline(bytes.into())),
            Beginning::Large(first) => {
                let depot = &self.engine.index.depot;
                let salt = depot.random();
                let whole = Box::pin(io::Cursor::new(first).chain(body));
                let stored = depot.store(whole, size, self.engine.index.secret.blob_key(&salt)).await?;
                (None, Content::Stored(Arc::new(stored), salt))
            }
        };
        let Computed { md5, checksums, leaves, .. } = told.await.expect("the body was read to its end");
        Ok((memory, NewBytes { content, md5, checksum: checksums.into_iter().next(), leaves }))
    }
}

/// What a place says of the object with this key.
fn object_at(key: &str, value: Option<Value>) -> Result<ObjectInfo, BucketError> {
    match value {
        Some(Value::Object(info)) => Ok(info),
        _ => Err(no_key(key)),
    }
}

/// Fails where a body has another length than was announced.
fn check_size(announced: Option<u64>, computed: &Computed) -> Result<(), BucketError> {
    match announced.filter(|size| *size != computed.size) {
        Some(size) => Err(BucketError::Body(format!("it has {} bytes, and {size} were announced", computed.size))),
        None => Ok(()),
    }
}

impl CopySource<'_> {
    /// What its bytes are named by: where they are may change.
    pub(super) fn version(&self) -> ObjectVersion {
        ObjectVersion::of(self.object)
    }

    /// Reads these of its bytes, and computes what was asked for.
    pub(super) async fn digest(&self, range: Range<u64>, mut digests: Digests) -> Result<Computed, BucketError> {
        let mut bytes = self.bucket.read(self.object, range);
        while let Some(bytes) = bytes.try_next().await? {
            digests.update(&bytes);
        }
        Ok(digests.finish())
    }

    /// Its bytes, to be put again.
    pub(super) fn body(&self, range: Range<u64>) -> Put<'static> {
        let size = range.end.min(self.object.size()).saturating_sub(range.start);
        let bytes = self.bucket.read(self.object, range).map_err(io::Error::other);
        Put { size: Some(size), ..Put::new(StreamReader::new(bytes)) }
    }
}

impl Described {
    /// Fails where it is longer than an object's record may be.
    pub(super) fn check(&self) -> Result<(), BucketError> {
        let headers = self.headers.iter().map(|(_, value)| value.len());
        let pairs = self.metadata.iter().chain(&self.tags).map(|(name, value)| name.len().saturating_add(value.len()));
        match headers.chain(pairs).fold(0, usize::saturating_add) {
            0..=DESCRIBED_MAX => Ok(()),
            bytes => Err(BucketError::DescriptionTooLong { bytes }),
        }
    }

    /// An object that is described so.
    pub(super) fn of(
        self,
        modified_ms: u64,
        etag: ETag,
        (checksum, pieces): (Option<Checksum>, Vec<Piece>),
    ) -> ObjectInfo {
        let Self { headers, metadata, tags } = self;
        ObjectInfo { modified_ms, etag, checksum, headers, metadata, tags, root: None, pieces }
    }
}

impl From<&ObjectInfo> for Described {
    fn from(info: &ObjectInfo) -> Self {
        Self { headers: info.headers.clone(), metadata: info.metadata.clone(), tags: info.tags.clone() }
    }
}

/// Fails where a key is empty or too long.
pub(super) fn check_key(key: &str) -> Result<(), BucketError> {
    match key.len() {
        1..=KEY_MAX => Ok(()),
        bytes => Err(BucketError::KeyTooLong { bytes }),
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Put<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Put").field("size", &self.size).field("condition", &self.condition).finish_non_exhaustive()
    }
}
