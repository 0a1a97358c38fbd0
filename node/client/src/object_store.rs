//! Buckets for programs that know the `object_store` crate: [`BucketStore`] implements its [`ObjectStore`]. With the
//! feature `object-store`.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use object_store::{ObjectStore, ObjectStoreExt, path::Path};
//! use ostrakon::{Client, object_store::BucketStore};
//!
//! let client = Client::open_default()?;
//! let store: Arc<dyn ObjectStore> = Arc::new(BucketStore::open(&client, "photos").await?);
//! store.put(&Path::from("2026/beach.jpg"), "a picture".into()).await?;
//! assert_eq!(store.get(&Path::from("2026/beach.jpg")).await?.bytes().await?, "a picture");
//! # Ok(())
//! # }
//! ```
//!
//! No gateway is needed, and one may serve the same bucket at the same time: a path is a key, as it is, and attributes,
//! tags, entity tags and checksums are what clients of S3 see. Errors are those of the crate's own client of S3.
//!
//! # Guarantees
//! What a call acknowledges is final on the ledger, and what it reads includes all that was acknowledged before.
//! Conditions are judged in the commit itself: of many that concurrently replace one version ([`PutMode::Update`]), one
//! succeeds. A copy and a rename move no bytes; a rename is one commit. A stream of deletions is committed in batches,
//! and so is all that clones of a store do at the same time.
//!
//! # Keys that are not paths
//! A bucket may have keys that other clients put and that are not paths: `a//b`, `../x`. Each is an error of its own in
//! [`list`](ObjectStore::list), and what comes after it follows; a listing that is returned as a whole fails. A slash
//! at the end of a key is ignored, as it is with S3.
//!
//! Not here: HTTP, and retries. An error that a retry helps against has a [`BucketError`] as its source, whose kind is
//! [`Network`](crate::ErrorKind::Network).

use std::{
    fmt,
    ops::Range,
    time::{Duration, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, RenameTargetMode, Result, coalesce_ranges, collect_bytes, path::Path,
};
use tokio_util::io::StreamReader;

use crate::{
    Client,
    bucket::{Bucket, BucketError, ChecksumAlgorithm, Condition, CopySource, ETag, NewCopy, ObjectInfo, Put, PutDone},
};

mod described;
mod errors;
mod listing;
mod upload;

use described::{attributes, described};
use errors::{exists, failed, generic, told};

/// Deletions of one stream that are in progress at the same time: as many as a batch has.
const DELETIONS: usize = 1_000;
/// The last time that is told, the end of the year 9999: later ones are another writer's mistake.
const LAST_MS: u64 = 253_402_300_799_999;

/// A bucket, as the `object_store` crate has stores. Cheap to clone; clones write together. Stores of one bucket that
/// were opened one by one are several writers, which wait for each other.
#[derive(Clone, Debug)]
pub struct BucketStore {
    bucket: Bucket,
}

impl BucketStore {
    /// Opens a bucket of the client's account.
    ///
    /// # Errors
    /// [`BucketError::NoBucket`], and when the client has no account key or the newest state cannot be read.
    pub async fn open(client: &Client, name: &str) -> Result<Self, BucketError> {
        Ok(client.buckets()?.open(name).await?.into())
    }

    /// The bucket, for what stores do not have: tags that can be read and changed, settings, upkeep.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    async fn info(&self, location: &Path) -> Result<ObjectInfo> {
        self.bucket.head(location.as_ref()).await.map_err(told(location))
    }

    fn read(&self, location: &Path, info: &ObjectInfo, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        self.bucket.read(info, range).map_err(told(location)).boxed()
    }
}

impl From<Bucket> for BucketStore {
    fn from(bucket: Bucket) -> Self {
        Self { bucket }
    }
}

impl fmt::Display for BucketStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ostrakon({})", self.bucket.name())
    }
}

#[async_trait]
impl ObjectStore for BucketStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let PutOptions { mode, tags, attributes, extensions: _ } = options;
        let described = described(&attributes, &tags)?;
        let condition = condition(&mode)?;
        let done = self.bucket.put(location.as_ref(), Put { described, condition, ..body(payload) }).await;
        done.map(put_result).map_err(|error| match (mode, error) {
            (PutMode::Create, error @ BucketError::Precondition) => exists(location, error),
            // Nothing has no version that could be replaced.
            (PutMode::Update(_), error @ BucketError::NoSuchKey { .. }) => failed(location, error),
            (_, error) => told(location)(error),
        })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(self.begin(location, options).await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.version.as_deref().is_some_and(|version| version != "null") {
            let source = "an object has one version, called null".into();
            return Err(Error::NotFound { path: location.to_string(), source });
        }
        let info = self.info(location).await?;
        let meta = meta(location.clone(), &info);
        options.check_preconditions(&meta)?;
        let range = options.range.map_or(Ok(0..meta.size), |range| range.as_range(meta.size)).map_err(generic)?;
        let bytes = if options.head { stream::empty().boxed() } else { self.read(location, &info, range.clone()) };
        let (payload, attributes) = (GetResultPayload::Stream(bytes), attributes(&info));
        Ok(GetResult { payload, attributes, meta, range, extensions: object_store::Extensions::default() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        // All are of one version, which is looked up once.
        let info = self.info(location).await?;
        let within = |range: &Range<u64>| GetRange::Bounded(range.clone()).as_range(info.size()).map_err(generic);
        let ranges: Vec<Range<u64>> = ranges.iter().map(within).collect::<Result<_>>()?;
        let fetch = |range: Range<u64>| {
            let length = range.end.saturating_sub(range.start);
            collect_bytes(self.read(location, &info, range), Some(length))
        };
        coalesce_ranges(&ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let bucket = self.bucket.clone();
        let delete = move |location: Result<Path>| {
            let bucket = bucket.clone();
            async move {
                let location = location?;
                bucket.delete(location.as_ref(), Condition::None).await.map_err(told(&location))?;
                Ok(location)
            }
        };
        locations.map(delete).buffered(DELETIONS).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_after(prefix, String::new())
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_after(prefix, offset.to_string())
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.list_folded(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let source = self.info(from).await?;
        let source = CopySource { bucket: &self.bucket, key: from.as_ref(), object: &source };
        let condition = if options.mode == CopyMode::Create { Condition::Absent } else { Condition::None };
        let copy = NewCopy { condition, ..NewCopy::default() };
        self.bucket.copy(source, to.as_ref(), copy).await.map_err(|error| moved((from, to), error))?;
        Ok(())
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let create = options.target_mode == RenameTargetMode::Create;
        let condition = if create { Condition::Absent } else { Condition::None };
        let renamed = self.bucket.rename(from.as_ref(), to.as_ref(), condition).await;
        renamed.map(|_| ()).map_err(|error| moved((from, to), error))
    }
}

/// Why nothing was copied or renamed: the only condition is that nothing is there.
fn moved((from, to): (&Path, &Path), error: BucketError) -> Error {
    match error {
        BucketError::Precondition => exists(to, error),
        BucketError::NoSuchKey { .. } => told(from)(error),
        error => told(to)(error),
    }
}

fn condition(mode: &PutMode) -> Result<Condition> {
    match mode {
        PutMode::Overwrite => Ok(Condition::None),
        PutMode::Create => Ok(Condition::Absent),
        PutMode::Update(version) => match version.e_tag.as_deref() {
            Some(etag) => Ok(Condition::Matches(vec![unquoted(etag).to_owned()])),
            None => Err(generic("an update needs the entity tag of what it replaces")),
        },
    }
}

/// A body to be put. It has the checksum that it would have if it came by S3.
fn body(payload: PutPayload) -> Put<'static> {
    let size = u64::try_from(payload.content_length()).ok();
    let chunks = stream::iter(payload.into_iter().map(Ok::<_, std::io::Error>));
    Put { size, digests: vec![ChecksumAlgorithm::Crc64Nvme], ..Put::new(StreamReader::new(chunks)) }
}

fn put_result(done: PutDone) -> PutResult {
    PutResult { e_tag: Some(quoted(done.etag)), version: None, extensions: object_store::Extensions::default() }
}

fn meta(location: Path, info: &ObjectInfo) -> ObjectMeta {
    let modified = UNIX_EPOCH + Duration::from_millis(info.modified_ms.min(LAST_MS));
    let (last_modified, e_tag) = (modified.into(), Some(quoted(info.etag)));
    ObjectMeta { location, last_modified, size: info.size(), e_tag, version: None }
}

/// Entity tags are quoted, as in a header.
fn quoted(etag: ETag) -> String {
    format!("\"{etag}\"")
}

fn unquoted(etag: &str) -> &str {
    etag.trim_matches('"')
}

#[cfg(test)]
mod tests;
