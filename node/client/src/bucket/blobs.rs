//! Objects of the network that a bucket reads: the last that were opened stay open, so that their manifests and holders
//! are not asked for again.
//!
//! Holders keep released columns for a while, but the ledger forgets who has them with the epoch. So what is open reads
//! to its end, whatever is deleted meanwhile, and what is released cannot be opened any more.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use hashlink::LruCache;
use ostrakon_net::lock;
use ostrakon_proto::{id::ObjectId, link::Link};
use tokio::time::Instant;

use super::BucketError;
use crate::{
    Client, Error,
    chain::ChainError,
    get::{
        GetError,
        open::{OpenError, Opened},
        stream_opened,
    },
};

/// For how long an object stays open: repair may have found other holders, and which are quick changes.
const FRESH: Duration = Duration::from_secs(60);
/// Bytes that open objects take at most, and what one takes beside its columns, and with each column.
const KEPT: usize = 8 * 1024 * 1024;
const EACH: usize = 1_024;
const COLUMN: usize = 320;

/// Opens and reads objects of the network.
pub(super) struct Blobs {
    client: Client,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    open: Option<LruCache<ObjectId, (Instant, Arc<Opened>)>>,
    bytes: usize,
}

impl Blobs {
    pub(super) fn new(client: Client) -> Self {
        Self { client, kept: Mutex::default() }
    }

    /// Opens an object.
    ///
    /// # Errors
    /// [`BucketError::Replaced`] when it is released, and others when it cannot be found out.
    pub(super) async fn open(&self, link: &Link) -> Result<Arc<Opened>, BucketError> {
        if let Some(opened) = lock(&self.kept).get(&link.object) {
            return Ok(opened);
        }
        let opened = self.client.open(link).await.map_err(|error| match error {
            OpenError::Chain(ChainError::NoObject { .. }) => BucketError::Replaced,
            error => Error::from(GetError::Open(error)).into(),
        })?;
        let opened = Arc::new(opened);
        lock(&self.kept).insert(Arc::clone(&opened));
        Ok(opened)
    }

    /// Reads bytes of an object's plaintext. What cannot be read from the holders as they were known is read from those
    /// that the ledger has now, once.
    pub(super) fn read(
        self: &Arc<Self>,
        link: Link,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, BucketError>> {
        let blobs = Arc::clone(self);
        let opening = async move { blobs.open(&link).await.map(|opened| blobs.read_opened(opened, link, range)) };
        stream::once(opening).try_flatten().boxed()
    }

    /// The same of an object that is open.
    pub(super) fn read_opened(
        self: &Arc<Self>,
        opened: Arc<Opened>,
        link: Link,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, BucketError>> {
        let rows = rows(&opened, range.clone());
        let reading = Reading { blobs: Arc::clone(self), opened, link, range, rows, is_again: false };
        stream::try_unfold(reading, Reading::next).boxed()
    }

    /// Opens it again the next time.
    fn forget(&self, opened: &Arc<Opened>) {
        lock(&self.kept).remove(&opened.object, |kept| Arc::ptr_eq(kept, opened));
    }
}

impl Kept {
    fn get(&mut self, object: &ObjectId) -> Option<Arc<Opened>> {
        self.remove(object, |_| false);
        self.open.as_mut()?.get(object).map(|(_, opened)| Arc::clone(opened))
    }

    fn insert(&mut self, opened: Arc<Opened>) {
        self.remove(&opened.object, |_| true);
        let (bytes, open) = (weight(&opened), self.open.get_or_insert_with(LruCache::new_unbounded));
        self.bytes += bytes;
        open.insert(opened.object, (Instant::now(), opened));
        while self.bytes > KEPT
            && let Some((_, (_, oldest))) = open.remove_lru()
        {
            self.bytes -= weight(&oldest);
        }
    }

    /// Removes it if it is that, or was opened too long ago.
    fn remove(&mut self, object: &ObjectId, is_that: impl Fn(&Arc<Opened>) -> bool) {
        let Some(open) = &mut self.open else { return };
        let is_old = |(since, opened): &(Instant, Arc<Opened>)| since.elapsed() > FRESH || is_that(opened);
        if open.peek(object).is_some_and(is_old)
            && let Some((_, opened)) = open.remove(object)
        {
            self.bytes -= weight(&opened);
        }
    }
}

fn weight(opened: &Opened) -> usize {
    let columns = opened.manifest.extents.iter().map(|extent| extent.columns.len());
    EACH + columns.sum::<usize>() * COLUMN
}

/// An object that is being read.
struct Reading {
    blobs: Arc<Blobs>,
    opened: Arc<Opened>,
    link: Link,
    /// What is left to read.
    range: Range<u64>,
    rows: BoxStream<'static, Result<Bytes, BucketError>>,
    /// Whether it was opened for the second time.
    is_again: bool,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, BucketError> {
        loop {
            match self.rows.next().await {
                None => return Ok(None),
                Some(Ok(bytes)) => {
                    self.range.start += u64::try_from(bytes.len()).expect("a row is at most 64 MiB");
                    return Ok(Some((bytes, self)));
                }
                Some(Err(error)) => {
                    self.blobs.forget(&self.opened);
                    if std::mem::replace(&mut self.is_again, true) {
                        return Err(error);
                    }
                    tracing::debug!(%error, object = %self.opened.object, "reading on from the holders as of now");
                    self.opened = self.blobs.open(&self.link).await.map_err(|_| error)?;
                    self.rows = rows(&self.opened, self.range.clone());
                }
            }
        }
    }
}

fn rows(opened: &Arc<Opened>, range: Range<u64>) -> BoxStream<'static, Result<Bytes, BucketError>> {
    stream_opened(Arc::clone(opened), range).map_err(BucketError::from).boxed()
}
