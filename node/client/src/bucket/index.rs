//! Reads a bucket's index: finds what is at a place, and walks places in order.
//!
//! Pages are read as they are needed and the last are kept, so memory does not grow with the bucket.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{TryStreamExt, stream::BoxStream};
use ostrakon_net::lock;
use ostrakon_proto::{
    bucket::{self, Blob, BucketHead, BucketSecret, IndexEntry, IndexPage, IndexRef, Place, Run, Value},
    id::ObjectId,
    link::Link,
};

use tokio::time::Instant;

use super::{
    BucketError,
    depot::{Cell, Depot},
    pages::Pages,
    rounds::Rounds,
    stale,
};

/// How far a walk is expected to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distance {
    /// Not beyond a page.
    Near,
    /// On and on: with each page the one after it is read too.
    Far,
}

impl Distance {
    /// Over so many entries, of which a page has hundreds.
    pub(super) const fn of(entries: usize) -> Self {
        if entries < 500 { Self::Near } else { Self::Far }
    }
}

/// The state of a bucket as of one version of its cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// The cell's version; 0 of a bucket that was never written.
    pub(super) version: u64,
    /// The newest batch and its bytes.
    pub(super) batch: Option<(Blob, u64)>,
    pub(super) head: BucketHead,
}

/// What was read.
#[derive(Clone)]
struct Read {
    view: Arc<View>,
    /// Whether others may have changed it since.
    is_stale: bool,
}

/// Reads the index of one bucket.
pub(super) struct Index {
    pub(super) depot: Depot,
    pub(super) secret: BucketSecret,
    pages: Mutex<Pages>,
    /// Batches on their way, which nobody else has yet.
    held: Mutex<BTreeMap<ObjectId, Bytes>>,
    /// The newest state that was read.
    newest: Mutex<Arc<View>>,
    /// When it was asked for.
    checked: Mutex<Option<Instant>>,
    /// Questions for the newest state.
    rounds: Rounds<Result<Read, BucketError>>,
    /// How old a state may be that is read.
    max_stale: Duration,
    is_stale: AtomicBool,
}

impl Index {
    /// Of what is in this depot; what is read may be a state that was the newest so long ago.
    pub(super) fn new(depot: Depot, secret: BucketSecret, max_stale: Duration) -> Self {
        let (held, newest, checked, is_stale) = Default::default();
        let (pages, rounds) = (Mutex::new(Pages::new()), Rounds::new());
        Self { depot, secret, pages, held, newest, checked, rounds, max_stale, is_stale }
    }

    /// The newest state, for reading: what was acknowledged to anyone before this is called is in it, unless it may be
    /// older. Where too few validators respond it is the newest that a node proves, and [`Index::is_stale`] is true.
    pub(super) async fn view(&self) -> Result<Arc<View>, BucketError> {
        self.view_within(self.max_stale).await
    }

    async fn ask(&self) -> Result<Read, BucketError> {
        let asked = Instant::now();
        let stale = |view| Ok(Read { view, is_stale: true });
        match self.newest_cell().await {
            // What any node proves is not older than what this process has seen.
            Err(BucketError::Unavailable(why)) => match self.depot.cell_as_known().await {
                Err(BucketError::Unavailable(_)) if self.known().version > 0 => stale(self.known()),
                Err(BucketError::Unavailable(_)) => Err(BucketError::Unavailable(why)),
                cell => stale(self.view_of(cell?).await?),
            },
            cell => {
                let view = self.view_of(cell?).await?;
                *lock(&self.checked) = Some(asked);
                Ok(Read { view, is_stale: false })
            }
        }
    }

    /// The newest state, for judging a change by it: an error where too few validators respond.
    pub(super) async fn view_to_judge(&self) -> Result<Arc<View>, BucketError> {
        self.view_of(self.newest_cell().await?).await
    }

    async fn newest_cell(&self) -> Result<Cell, BucketError> {
        let cell = self.depot.cell().await;
        self.is_stale.store(cell.is_err(), Ordering::Relaxed);
        cell
    }

    async fn view_of(&self, Cell { version, value }: Cell) -> Result<Arc<View>, BucketError> {
        let known = self.known();
        if known.version == version {
            return Ok(known);
        }
        let view = match value {
            None => View { version, ..View::default() },
            Some(value) => {
                let reference = self.secret.open(&value)?;
                let start = reference.size.saturating_sub(u64::try_from(BucketHead::MAX).expect("a few KiB"));
                let end = self.bytes(&reference.blob, start..reference.size).await?;
                let head = named(BucketHead::decode(&end)?, reference.blob);
                View { version, batch: Some((reference.blob, reference.size)), head }
            }
        };
        let view = Arc::new(view);
        self.learn(Arc::clone(&view));
        Ok(view)
    }

    /// The state as of at most `age` ago.
    pub(super) async fn view_within(&self, age: Duration) -> Result<Arc<View>, BucketError> {
        let checked = *lock(&self.checked);
        match checked.filter(|checked| checked.elapsed() < age) {
            Some(_) => Ok(self.known()),
            None => {
                let Read { view, is_stale } = self.rounds.join(self.ask()).await?;
                if is_stale {
                    stale::note();
                }
                Ok(view)
            }
        }
    }

    /// Whether others may have changed what was read last, for too few validators responded.
    pub(super) fn is_stale(&self) -> bool {
        self.is_stale.load(Ordering::Relaxed)
    }

    /// The newest state that was read or written, which others may have changed since.
    pub(super) fn known(&self) -> Arc<View> {
        Arc::clone(&lock(&self.newest))
    }

    /// This state is the newest, unless a newer one is known.
    pub(super) fn learn(&self, view: Arc<View>) {
        let mut newest = lock(&self.newest);
        if view.version > newest.version {
            *newest = view;
        }
    }

    /// Keeps a batch that is on its way, to be read before it is on the ledger.
    pub(super) fn hold(&self, object: ObjectId, batch: Bytes) {
        lock(&self.held).insert(object, batch);
    }

    /// The batch is on the ledger, or came to nothing.
    pub(super) fn let_go(&self, object: &ObjectId) {
        lock(&self.held).remove(object);
    }

    /// What is at a place, by the newest state.
    pub(super) async fn newest(&self, place: &Place) -> Result<Option<Value>, BucketError> {
        self.newest_within(self.max_stale, place).await
    }

    /// What is at a place, as of at most `age` ago.
    pub(super) async fn newest_within(&self, age: Duration, place: &Place) -> Result<Option<Value>, BucketError> {
        match self.find(&*self.view_within(age).await?, place).await {
            // What this state is in was released in between.
            Err(BucketError::Replaced) => self.find(&*self.view_within(Duration::ZERO).await?, place).await,
            found => found,
        }
    }

    /// What is at a place, as of a state.
    pub(super) async fn find(&self, view: &View, place: &Place) -> Result<Option<Value>, BucketError> {
        for run in &view.head.runs {
            if let Some(entry) = self.find_in(run, place).await? {
                return Ok(entry.value);
            }
        }
        Ok(None)
    }

    async fn find_in(&self, run: &Run, place: &Place) -> Result<Option<IndexEntry>, BucketError> {
        let (blob, mut at) = (blob_of(run), run.root);
        loop {
            at = match &*self.page(&blob, at).await? {
                IndexPage::Leaf(leaf) => return Ok(leaf.find(place).cloned()),
                IndexPage::Branch(branch) => match branch.find(place) {
                    Some(child) => checked(child.page, at)?,
                    None => return Ok(None),
                },
            };
        }
    }

    /// What is at places of a prefix, from one on: no more than so much.
    pub(super) async fn page_of(
        &self,
        prefix: &Place,
        from: &Place,
        limit: usize,
    ) -> Result<Vec<(Place, Value)>, BucketError> {
        self.page_in(&*self.view().await?, (prefix, from), limit).await
    }

    /// The same in a state.
    pub(super) async fn page_in(
        &self,
        view: &View,
        (prefix, from): (&Place, &Place),
        limit: usize,
    ) -> Result<Vec<(Place, Value)>, BucketError> {
        let mut found = Vec::new();
        let mut walk = self.walk(&view.head.runs, from.max(prefix), Distance::of(limit)).await?;
        while found.len() < limit
            && let Some(entry) = walk.next_live().await?.filter(|(place, _)| place.starts_with(prefix))
        {
            found.push(entry);
        }
        Ok(found)
    }

    /// All runs of a state, to be walked from this place on.
    pub(super) async fn walk(&self, runs: &[Run], from: &Place, distance: Distance) -> Result<Walk<'_>, BucketError> {
        let mut walk = Walk { cursors: runs.iter().map(|run| Cursor::new(self, run, distance)).collect() };
        walk.seek(from).await?;
        Ok(walk)
    }

    /// How an object of the network that the bucket uses is read.
    pub(super) fn link(&self, blob: &Blob) -> Link {
        Link { object: blob.object, key: Some(self.secret.blob_key(&blob.salt)) }
    }

    pub(super) fn stream(
        &self,
        blob: &Blob,
        range: std::ops::Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, BucketError>> {
        self.depot.blobs.read(self.link(blob), range)
    }

    /// A page that was just written.
    pub(super) fn keep(&self, blob: &Blob, offset: u64, page: IndexPage) {
        lock(&self.pages).set_ready((blob.object, offset), Arc::new(page));
    }

    async fn page(&self, blob: &Blob, at: IndexRef) -> Result<Arc<IndexPage>, BucketError> {
        let name = (blob.object, at.offset);
        if let Some(page) = lock(&self.pages).ready(&name) {
            return Ok(page);
        }
        let stored = lock(&self.pages).stored(&name);
        let bytes = match stored {
            Some(bytes) => bytes,
            None => {
                let end = at.end().ok_or(bucket::BucketError::Place { offset: at.offset })?;
                Bytes::from(self.bytes(blob, at.offset..end).await?)
            }
        };
        let page = Arc::new(IndexPage::decode(&bytes, *blob)?);
        let mut pages = lock(&self.pages);
        pages.set_stored(name, bytes);
        pages.set_ready(name, Arc::clone(&page));
        Ok(page)
    }

    async fn bytes(&self, blob: &Blob, range: std::ops::Range<u64>) -> Result<Vec<u8>, BucketError> {
        if let Some(batch) = lock(&self.held).get(&blob.object) {
            let bytes = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
            let bytes = bytes.and_then(|(start, end)| batch.get(start..end));
            return bytes.map(<[u8]>::to_vec).ok_or(bucket::BucketError::Place { offset: range.start }.into());
        }
        let parts: Vec<Bytes> = self.stream(blob, range).try_collect().await?;
        Ok(parts.concat())
    }
}

/// A head as a later batch says it: with the name of its own batch.
pub(super) fn named(mut head: BucketHead, own: Blob) -> BucketHead {
    for run in &mut head.runs {
        run.blob = Some(run.blob.unwrap_or(own));
    }
    head
}

/// The object that a run of a state is in.
fn blob_of(run: &Run) -> Blob {
    run.blob.unwrap_or(Blob::OWN)
}

fn checked(page: IndexRef, parent: IndexRef) -> Result<IndexRef, bucket::BucketError> {
    page.check_below(parent).map(|()| page)
}

/// Walks the entries of several runs in order; of one place the newest run's counts.
pub(super) struct Walk<'a> {
    cursors: Vec<Cursor<'a>>,
}

impl Walk<'_> {
    /// Goes to the first entry at this place or after it.
    pub(super) async fn seek(&mut self, place: &Place) -> Result<(), BucketError> {
        // Each run's pages are read at the same time.
        futures::future::try_join_all(self.cursors.iter_mut().map(|cursor| cursor.seek(place))).await?;
        Ok(())
    }

    /// The next entry, also one that says that something is deleted.
    pub(super) async fn next(&mut self) -> Result<Option<IndexEntry>, BucketError> {
        let places = self.cursors.iter().enumerate().filter_map(|(run, cursor)| Some((&cursor.peek()?.place, run)));
        let Some((place, newest)) = places.min().map(|(place, run)| (place.clone(), run)) else { return Ok(None) };
        let mut found = None;
        for cursor in &mut self.cursors[newest..] {
            if cursor.peek().is_some_and(|entry| entry.place == place) {
                let same = cursor.take().await?;
                found = found.or(same);
            }
        }
        Ok(found)
    }

    /// The next entry that is there.
    pub(super) async fn next_live(&mut self) -> Result<Option<(Place, Value)>, BucketError> {
        while let Some(IndexEntry { place, value }) = self.next().await? {
            if let Some(value) = value {
                return Ok(Some((place, value)));
            }
        }
        Ok(None)
    }
}

/// A place in one run.
struct Cursor<'a> {
    index: &'a Index,
    blob: Blob,
    root: IndexRef,
    /// The branches above the leaf, each with which of its pages is next.
    above: Vec<(Arc<IndexPage>, usize, IndexRef)>,
    /// The leaf, and which of its entries is next.
    leaf: Option<(Arc<IndexPage>, usize)>,
    distance: Distance,
}

impl<'a> Cursor<'a> {
    fn new(index: &'a Index, run: &Run, distance: Distance) -> Self {
        Self { index, blob: blob_of(run), root: run.root, above: Vec::new(), leaf: None, distance }
    }

    fn peek(&self) -> Option<&IndexEntry> {
        let (page, next) = self.leaf.as_ref()?;
        let IndexPage::Leaf(leaf) = &**page else { return None };
        leaf.entries().get(*next)
    }

    async fn take(&mut self) -> Result<Option<IndexEntry>, BucketError> {
        let entry = self.peek().cloned();
        if let Some((_, next)) = &mut self.leaf {
            *next += 1;
        }
        self.settle().await?;
        Ok(entry)
    }

    async fn seek(&mut self, place: &Place) -> Result<(), BucketError> {
        self.above.clear();
        self.descend(self.root, Some(place)).await?;
        self.settle().await
    }

    /// Goes down from this page to a leaf: to the place, or to the first entry.
    async fn descend(&mut self, mut at: IndexRef, place: Option<&Place>) -> Result<(), BucketError> {
        let mut after = self.above.last().and_then(page_after);
        loop {
            let page = self.page(at, after.filter(|_| self.distance == Distance::Far)).await?;
            at = match &*page {
                IndexPage::Leaf(leaf) => {
                    let next = place.map_or(0, |place| leaf.seek(place));
                    self.leaf = Some((page, next));
                    return Ok(());
                }
                IndexPage::Branch(branch) => {
                    let which = place.map_or(0, |place| branch.seek(place));
                    let below = checked(branch.children()[which].page, at)?;
                    self.above.push((Arc::clone(&page), which + 1, at));
                    after = self.above.last().and_then(page_after);
                    below
                }
            };
        }
    }

    /// This page, while the one after it is read too: what is wrong with that shows when it is needed.
    async fn page(&self, at: IndexRef, after: Option<IndexRef>) -> Result<Arc<IndexPage>, BucketError> {
        let Some(after) = after else { return self.index.page(&self.blob, at).await };
        let (page, _after) = futures::join!(self.index.page(&self.blob, at), self.index.page(&self.blob, after));
        page
    }

    /// Where the leaf has no more entries, goes to the next one.
    async fn settle(&mut self) -> Result<(), BucketError> {
        while self.leaf.is_some() && self.peek().is_none() {
            self.leaf = None;
            while let Some((page, which, at)) = self.above.pop() {
                let IndexPage::Branch(branch) = &*page else { continue };
                let Some(child) = branch.children().get(which) else { continue };
                let below = checked(child.page, at)?;
                self.above.push((Arc::clone(&page), which + 1, at));
                self.descend(below, None).await?;
                break;
            }
        }
        Ok(())
    }
}

/// The page that follows the one that a branch leads to.
fn page_after((branch, which, at): &(Arc<IndexPage>, usize, IndexRef)) -> Option<IndexRef> {
    let IndexPage::Branch(branch) = &**branch else { return None };
    checked(branch.children().get(*which)?.page, *at).ok()
}
