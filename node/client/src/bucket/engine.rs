//! Makes batches: takes the changes that wait, judges them against the newest state, writes them as one object, and
//! sends them on their way ([`Flight`]). While one is stored and committed, the next one's changes gather, and it is
//! built on the one before without waiting until that is final.
//!
//! Where another writer moved the cell first, the new state is read and every change judged again ([`Contest`]). Reads
//! need no batch: the newest state is asked for, and its index walked.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ostrakon_proto::bucket::{Blob, IndexPage, Reference, Run};
use tokio::{
    io::AsyncRead,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Instant, sleep},
};

use super::{
    BucketError,
    beginning::Beginnings,
    change::{Change, Done},
    contest::Contest,
    depot::{Commit, Depot},
    draft::{BODIES, Batch, Draft},
    flight::{Flight, Landing, Outcomes},
    index::{Index, View, named},
};

/// Bytes that are stored.
pub(super) type Body<'a> = Pin<Box<dyn AsyncRead + Send + 'a>>;

/// Changes that wait for a batch.
const QUEUE: usize = 1_024;
/// Changes in one batch.
const CHANGES: usize = 1_024;
/// How long a change is tried while others move the cell.
const PATIENCE: Duration = Duration::from_secs(10);
/// Batches on their way at most: more would be smaller ones, in more transactions.
const FLIGHTS: u32 = 3;
/// Changes that may come back: those of all batches on their way, and of the one that is made.
const LOST: usize = 4 * CHANGES;
/// While others are on their way, so long changes are waited for that may go together.
const GATHER: Duration = Duration::from_millis(4);

/// The writer of one bucket in this process.
pub(super) struct Engine {
    pub(super) index: Arc<Index>,
    queue: mpsc::Sender<Job>,
    pub(super) beginnings: Beginnings,
}

/// A change, and who waits for it.
pub(super) struct Job {
    change: Change,
    reply: oneshot::Sender<Result<Done, BucketError>>,
    /// When it was tried first.
    since: Option<Instant>,
}

impl Engine {
    /// Starts it. It ends when it is dropped, after what was given to it.
    pub(super) fn start(index: Index) -> Self {
        let (index, (queue, jobs)) = (Arc::new(index), mpsc::channel(QUEUE));
        let (lost, again) = mpsc::channel(LOST);
        let writer = Writer {
            index: Arc::clone(&index),
            queue: queue.downgrade(),
            lost,
            places: Arc::new(Semaphore::new(usize::try_from(FLIGHTS).expect("a few"))),
            contest: Contest::default(),
            is_merging: Arc::default(),
        };
        tokio::spawn(Arc::new(writer).run(jobs, again));
        Self { index, queue, beginnings: Beginnings::new() }
    }

    /// Makes a change; returns once it is final. Dropping this does not undo it.
    pub(super) async fn change(&self, change: Change) -> Result<Done, BucketError> {
        let (reply, done) = oneshot::channel();
        let ended = || BucketError::Unavailable("the bucket's writer has ended: open the bucket again".to_owned());
        self.queue.send(Job { change, reply, since: None }).await.map_err(|_| ended())?;
        done.await.map_err(|_| ended())?
    }
}

/// What makes batches, and waits for them.
pub(super) struct Writer {
    pub(super) index: Arc<Index>,
    queue: mpsc::WeakSender<Job>,
    /// Changes of batches that failed since others moved the cell.
    lost: mpsc::Sender<Job>,
    /// A place for each batch on its way.
    places: Arc<Semaphore>,
    /// Turns with other writers.
    pub(super) contest: Contest,
    is_merging: Arc<AtomicBool>,
}

/// The state that a batch is made of.
pub(super) struct Base {
    view: Arc<View>,
    /// The batch that makes it the state, where that is on its way.
    before: Option<Landing>,
    /// Whether it was the newest when this batch began.
    is_newest: bool,
}

/// A batch that is stored, or what is to be told where it would change nothing.
enum Prepared {
    Batch(Box<(Commit, View, Outcomes)>),
    Nothing(Outcomes),
}

impl Writer {
    async fn run(self: Arc<Self>, mut jobs: mpsc::Receiver<Job>, mut lost: mpsc::Receiver<Job>) {
        let (mut left, mut base) = (VecDeque::new(), None);
        while let Some(first) = self.next(&mut left, &mut jobs, &mut lost).await {
            left.push_front(first);
            if self.places.available_permits() < usize::try_from(FLIGHTS).expect("a few") {
                sleep(GATHER).await;
            }
            let place = self.place().await;
            if place.as_ref().is_some_and(is_whole) {
                let [chance] = self.index.depot.random();
                sleep(self.contest.pause(chance)).await;
                base = None;
            }
            while let Ok(job) = lost.try_recv() {
                left.push_front(job);
            }
            let began = Instant::now();
            base = Box::pin(self.write(gather(&mut left, &mut jobs), base, place)).await;
            if base.is_some() {
                self.contest.note_took(began.elapsed());
            }
        }
    }

    /// The next change; `None` when there will be no more.
    async fn next(
        &self,
        left: &mut VecDeque<Job>,
        jobs: &mut mpsc::Receiver<Job>,
        lost: &mut mpsc::Receiver<Job>,
    ) -> Option<Job> {
        if let Some(job) = left.pop_front() {
            return Some(job);
        }
        let job = tokio::select! { biased;
            job = lost.recv() => job,
            job = jobs.recv() => job,
        };
        if job.is_some() {
            return job;
        }
        // What is on its way may come back.
        let _all = self.places.acquire_many(FLIGHTS).await;
        lost.try_recv().ok()
    }

    /// A place for a batch; where others write, all of them, so that none other is on its way.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let places = || Arc::clone(&self.places);
        let one = places().acquire_owned().await.ok();
        if !self.contest.is_on() {
            return one;
        }
        drop(one);
        places().acquire_many_owned(FLIGHTS).await.ok()
    }

    /// Sends a batch of these changes on its way, or tells who waits for them why not. Returns what the next batch is
    /// built on, if not on what is known then.
    async fn write(
        self: &Arc<Self>,
        jobs: Vec<Job>,
        base: Option<Base>,
        place: Option<OwnedSemaphorePermit>,
    ) -> Option<Base> {
        let jobs: Vec<Job> =
            jobs.into_iter().map(|job| Job { since: job.since.or_else(|| Some(Instant::now())), ..job }).collect();
        let mut base = match base.filter(|base| base.before.as_ref().is_some_and(Landing::is_on_its_way)) {
            Some(base) => base,
            None if self.contest.is_on() => match self.newest().await {
                Ok(base) => base,
                Err(error) => {
                    refuse(jobs, &error);
                    return None;
                }
            },
            None => Base { view: self.index.known(), before: None, is_newest: false },
        };
        loop {
            match self.prepare(&base, &jobs).await {
                // Nothing is committed, which would show whether this was the newest state.
                Ok(Prepared::Nothing(_)) if base.before.is_none() && !base.is_newest => {}
                Ok(Prepared::Nothing(outcomes)) => {
                    let (writer, before) = (Arc::clone(self), base.before.clone());
                    tokio::spawn(async move { writer.tell(before, (jobs, outcomes), place).await });
                    return Some(base);
                }
                Ok(Prepared::Batch(batch)) => return self.launch(base, *batch, (jobs, place)).await,
                Err(BucketError::Replaced) if let Some(before) = base.before.take() => {
                    // A merged run is an object of its own, which is on the ledger once the batch that commits it is.
                    if before.on_ledger().await {
                        continue;
                    }
                    self.again(jobs).await;
                    return None;
                }
                // What the state is in was released: others have moved on.
                Err(BucketError::Replaced) if !base.is_newest => {}
                Err(error) => {
                    refuse(jobs, &error);
                    return Some(base);
                }
            }
            base = match self.newest().await {
                Ok(base) => base,
                Err(error) => {
                    refuse(jobs, &error);
                    return None;
                }
            };
        }
    }

    async fn newest(&self) -> Result<Base, BucketError> {
        Ok(Base { view: self.index.view_to_judge().await?, before: None, is_newest: true })
    }

    /// Judges changes, and stores a batch of those that may be made.
    async fn prepare(&self, base: &Base, jobs: &[Job]) -> Result<Prepared, BucketError> {
        let (index, mut draft) = (&self.index, Draft::new(&self.index, &base.view));
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            match job.change.make(&mut draft).await {
                // The state could not be read, so nothing was judged; the draft may have half of the change.
                Err(
                    error @ (BucketError::Unavailable(_)
                    | BucketError::Replaced
                    | BucketError::Damaged(_)
                    | BucketError::Other(_)),
                ) => return Err(error),
                judged => outcomes.push(judged),
            }
        }
        if draft.is_empty() {
            return Ok(Prepared::Nothing(outcomes));
        }
        let extents = jobs.iter().map(|job| job.change.extents()).fold(0, usize::saturating_add);
        index.depot.check_quorum().await?;
        let Batch { bytes, head, mut stored, released } = draft.finish(Depot::releases(extents)).await?;
        let (size, salt) = (u64::try_from(bytes.len()).expect("a few MiB"), index.depot.random());
        let body = Box::pin(std::io::Cursor::new(bytes.clone()));
        let storing = index.depot.store(body, Some(size), index.secret.blob_key(&salt));
        // What the commit will ask for is asked for meanwhile.
        let (own, ()) = futures::try_join!(storing, index.depot.look_ahead())?;
        let blob = Blob { object: own.object, salt };
        stored.push(Arc::new(own));
        let value = Some(index.secret.seal(&Reference { blob, size }, index.depot.random()));
        let version = base.view.version;
        let after = base.before.as_ref().map(Landing::order);
        let commit = Commit { stored, released, after, version, value };
        let head = named(head, blob);
        head.runs.first().iter().for_each(|run| self.keep(run, &bytes));
        index.hold(blob.object, bytes);
        let view = View { version, batch: Some((blob, size)), head };
        Ok(Prepared::Batch(Box::new((commit, view, outcomes))))
    }

    /// Submits a batch, and has it waited for.
    async fn launch(
        self: &Arc<Self>,
        base: Base,
        (commit, mut view, outcomes): (Commit, View, Outcomes),
        (jobs, place): (Vec<Job>, Option<OwnedSemaphorePermit>),
    ) -> Option<Base> {
        let blob = view.batch.map(|(blob, _)| blob)?;
        let launched = match self.index.depot.launch(commit).await {
            Ok(launched) => launched,
            Err(error) => {
                self.index.let_go(&blob.object);
                refuse(jobs, &error);
                return Some(base);
            }
        };
        if launched.is_disturbed {
            self.contest.note_other();
        }
        let version = launched.version_after();
        view.version = version.unwrap_or(view.version);
        let view = Arc::new(view);
        let (flight, landing) = Flight::new(launched, (blob, Arc::clone(&view)), base.before);
        let landed = Box::pin(Arc::clone(self).land(flight, (jobs, outcomes), place));
        if version.is_none() {
            // No node took it, so none may follow it before its outcome is known.
            landed.await;
            return None;
        }
        tokio::spawn(landed);
        Some(Base { view, before: Some(landing), is_newest: false })
    }

    /// Has these judged again, unless they were for too long.
    pub(super) async fn again(&self, jobs: Vec<Job>) {
        self.contest.note_lost();
        for job in jobs {
            match job.since.is_some_and(|since| since.elapsed() >= PATIENCE) {
                true => _ = job.reply.send(Err(BucketError::Busy)),
                false => _ = self.lost.send(job).await,
            }
        }
    }

    /// Keeps the page that leads to what was just written.
    fn keep(&self, run: &Run, batch: &[u8]) {
        let (Some(blob), Ok(start)) = (run.blob, usize::try_from(run.root.offset)) else { return };
        let end = start.saturating_add(usize::try_from(run.root.length).unwrap_or(usize::MAX));
        if let Some(Ok(page)) = batch.get(start..end).map(|bytes| IndexPage::decode(bytes, blob)) {
            self.index.keep(&blob, run.root.offset, page);
        }
    }

    /// Merges runs in the background, where there are many of a level, unless that is in progress.
    pub(super) fn merge(&self) {
        let Some(runs) = super::merge::due(&self.index.known()) else { return };
        let Some(queue) = self.queue.upgrade() else { return };
        if self.is_merging.swap(true, Ordering::Relaxed) {
            return;
        }
        let (index, is_merging) = (Arc::clone(&self.index), Arc::clone(&self.is_merging));
        tokio::spawn(async move {
            match super::merge::merged(&index, runs).await {
                Ok(change) => {
                    let (reply, done) = oneshot::channel();
                    let _ended = queue.send(Job { change, reply, since: None }).await;
                    let _dropped = done.await;
                }
                Err(error) => tracing::warn!(%error, "cannot merge runs of a bucket's index: trying again later"),
            }
            is_merging.store(false, Ordering::Relaxed);
        });
    }
}

/// As many of the changes that wait as fit one batch, at least one if there is one.
fn gather(left: &mut VecDeque<Job>, jobs: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let (mut batch, mut bytes, mut extents) = (Vec::new(), 0_usize, 0_usize);
    while batch.len() < CHANGES
        && let Some(job) = left.pop_front().or_else(|| jobs.try_recv().ok())
    {
        bytes = bytes.saturating_add(job.change.inline());
        extents = extents.saturating_add(job.change.extents());
        if !batch.is_empty() && (bytes > BODIES || extents > Depot::extents()) {
            left.push_front(job);
            break;
        }
        batch.push(job);
    }
    batch
}

/// Tells who waits for these the outcome of each.
pub(super) fn reply(jobs: Vec<Job>, outcomes: Outcomes) {
    jobs.into_iter().zip(outcomes).for_each(|(job, done)| _ = job.reply.send(done));
}

/// Tells who waits for these why they were not made.
pub(super) fn refuse(jobs: Vec<Job>, error: &BucketError) {
    jobs.into_iter().for_each(|job| _ = job.reply.send(Err(error.clone())));
}

/// Whether no other batch has a place.
fn is_whole(place: &OwnedSemaphorePermit) -> bool {
    u32::try_from(place.num_permits()) == Ok(FLIGHTS)
}
