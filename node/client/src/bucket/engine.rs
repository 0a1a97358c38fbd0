//! Makes batches: takes the changes that wait, judges them against the newest state, writes them as one object, and
//! moves the cell. While one batch is stored and committed, the next one's changes gather.
//!
//! Where another writer moved the cell first, the new state is read and every change is judged again. What is read is
//! read without a batch: the newest state is asked for, and its index walked.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ostrakon_proto::bucket::{Blob, IndexPage, Place, Reference, Run};
use tokio::{
    io::AsyncRead,
    sync::{Semaphore, mpsc, oneshot},
    time::{Instant, sleep},
};

use super::{
    BucketError,
    change::{Change, Done},
    depot::{Commit, CommitError, Depot},
    draft::{BODIES, Batch, Draft},
    index::{Index, View, named},
};
use crate::add::Uploaded;

/// Bytes that are stored.
pub(super) type Body<'a> = Pin<Box<dyn AsyncRead + Send + 'a>>;

/// Changes that wait for a batch.
const QUEUE: usize = 1_024;
/// Changes in one batch.
const CHANGES: usize = 1_024;
/// KiB of bodies that wait for a batch, or are written into one.
const WAITING_KIB: usize = 64 * 1024;
/// How long a change is tried while others move the cell.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest first pause after another moved the cell; it doubles.
const PAUSE_MS: u64 = 50;

/// The writer of one bucket in this process.
pub(super) struct Engine {
    pub(super) index: Arc<Index>,
    queue: mpsc::Sender<Job>,
    /// Memory for bodies that wait.
    pub(super) bodies: Arc<Semaphore>,
}

/// A change, and who waits for it.
struct Job {
    change: Change,
    reply: oneshot::Sender<Result<Done, BucketError>>,
}

impl Engine {
    /// Starts it. It ends when it is dropped, after what was given to it.
    pub(super) fn start(index: Index) -> Self {
        let (index, (queue, jobs)) = (Arc::new(index), mpsc::channel(QUEUE));
        let writer = Writer { index: Arc::clone(&index), queue: queue.downgrade(), is_merging: Arc::default() };
        tokio::spawn(writer.run(jobs));
        Self { index, queue, bodies: Arc::new(Semaphore::new(WAITING_KIB)) }
    }

    /// Makes a change; returns once it is final. Dropping this does not undo it.
    pub(super) async fn change(&self, change: Change) -> Result<Done, BucketError> {
        let (reply, done) = oneshot::channel();
        let ended = || BucketError::Unavailable("the bucket's writer has ended: open the bucket again".to_owned());
        self.queue.send(Job { change, reply }).await.map_err(|_| ended())?;
        done.await.map_err(|_| ended())?
    }
}

/// The task that makes batches.
struct Writer {
    index: Arc<Index>,
    queue: mpsc::WeakSender<Job>,
    is_merging: Arc<AtomicBool>,
}

impl Writer {
    async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        let mut left = None;
        while let Some(first) = match left.take() {
            Some(job) => Some(job),
            None => jobs.recv().await,
        } {
            let mut batch = vec![first];
            while batch.len() < CHANGES
                && let Ok(job) = jobs.try_recv()
            {
                if !fits(&batch, &job) {
                    left = Some(job);
                    break;
                }
                batch.push(job);
            }
            Box::pin(self.write(batch)).await;
        }
    }

    /// Makes these changes, and tells who waits for them.
    async fn write(&self, jobs: Vec<Job>) {
        let (start, mut pause) = (Instant::now(), PAUSE_MS);
        let (mut view, mut is_newest) = (self.index.known(), false);
        loop {
            match self.try_write(&view, is_newest, &jobs).await {
                Ok(Tried::Done(outcomes)) => {
                    self.merge();
                    return jobs.into_iter().zip(outcomes).for_each(|(job, done)| _ = job.reply.send(done));
                }
                Ok(Tried::Moved) if start.elapsed() >= PATIENCE => return refuse(jobs, &BucketError::Busy),
                Ok(Tried::Moved) => {
                    let [chance] = self.index.depot.random::<1>();
                    sleep(Duration::from_millis(pause * u64::from(chance) / 255)).await;
                    pause = (pause * 2).min(2_000);
                }
                Ok(Tried::Outdated) => {}
                // What the state is in was released: others have moved on.
                Err(BucketError::Replaced) if start.elapsed() < PATIENCE => {}
                Err(error) => return refuse(jobs, &error),
            }
            view = match self.index.view_to_judge().await {
                Ok(view) => view,
                Err(error) => return refuse(jobs, &error),
            };
            is_newest = true;
        }
    }

    async fn try_write(&self, view: &View, is_newest: bool, jobs: &[Job]) -> Result<Tried, BucketError> {
        let mut draft = Draft::new(&self.index, view);
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
            // Nothing is committed, which would show whether this was the newest state.
            return Ok(if is_newest { Tried::Done(outcomes) } else { Tried::Outdated });
        }
        let extents = jobs.iter().map(|job| job.change.extents()).fold(0, usize::saturating_add);
        self.index.depot.check_quorum().await?;
        let batch = draft.finish(Depot::releases(extents)).await?;
        match self.commit(view, batch).await {
            Ok(()) => Ok(Tried::Done(outcomes)),
            Err(CommitError::Moved) => Ok(Tried::Moved),
            Err(CommitError::Failed(error)) => Err(error),
        }
    }

    async fn commit(&self, view: &View, batch: Batch) -> Result<(), CommitError> {
        let Batch { bytes, head, stored, released } = batch;
        let (index, size) = (&self.index, u64::try_from(bytes.len()).expect("a few MiB"));
        let salt = index.depot.random();
        let body = Box::pin(std::io::Cursor::new(bytes.clone()));
        let own = index.depot.store(body, Some(size), index.secret.blob_key(&salt)).await?;
        let blob = Blob { object: own.object, salt };
        let value = Some(index.secret.seal(&Reference { blob, size }, index.depot.random()));
        let stored: Vec<&Uploaded> = stored.iter().map(|stored| &**stored).chain([&own]).collect();
        let commit = Commit { stored, released: &released, version: view.version, value };
        match index.depot.commit(commit).await {
            Ok(version) => {
                let head = named(head, blob);
                head.runs.first().iter().for_each(|run| self.keep(run, &bytes));
                if let Some(version) = version {
                    index.learn(View { version, batch: Some((blob, size)), head });
                }
                Ok(())
            }
            // The next batch has recorded this one, if it was committed.
            Err(CommitError::Moved) => match self.was_committed(&blob).await? {
                true => Ok(()),
                false => Err(CommitError::Moved),
            },
            failed => failed.map(|_| ()),
        }
    }

    async fn was_committed(&self, blob: &Blob) -> Result<bool, BucketError> {
        let view = self.index.view_to_judge().await?;
        let is_newest = view.batch.is_some_and(|(newest, _)| newest == *blob);
        Ok(is_newest || self.index.find(&view, &Place::blob(&blob.object)).await?.is_some())
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
    fn merge(&self) {
        let Some(runs) = super::merge::due(&self.index.known()) else { return };
        let Some(queue) = self.queue.upgrade() else { return };
        if self.is_merging.swap(true, Ordering::Relaxed) {
            return;
        }
        let (index, is_merging) = (Arc::clone(&self.index), Arc::clone(&self.is_merging));
        tokio::spawn(async move {
            let merged = super::merge::merged(&index, runs).await;
            is_merging.store(false, Ordering::Relaxed);
            match merged {
                Ok(change) => _ = queue.send(Job { change, reply: oneshot::channel().0 }).await,
                Err(error) => tracing::warn!(%error, "cannot merge runs of a bucket's index: trying again later"),
            }
        });
    }
}

/// The outcome of an attempt.
enum Tried {
    Done(Vec<Result<Done, BucketError>>),
    /// Another moved the cell.
    Moved,
    /// Nothing is to be committed, by a state that may not be the newest.
    Outdated,
}

/// Whether a change fits the batch of these.
fn fits(batch: &[Job], job: &Job) -> bool {
    let all = || batch.iter().chain([job]).map(|job| &job.change);
    let bytes = all().map(Change::inline).fold(0, usize::saturating_add);
    let extents = all().map(Change::extents).fold(0, usize::saturating_add);
    bytes <= BODIES && extents <= Depot::extents()
}

fn refuse(jobs: Vec<Job>, error: &BucketError) {
    jobs.into_iter().for_each(|job| _ = job.reply.send(Err(error.clone())));
}
