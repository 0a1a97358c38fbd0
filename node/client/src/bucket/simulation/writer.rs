//! A writer: a series of random operations on a bucket, one after the other, by processes of which each new one has the
//! keys alone.

use std::{collections::BTreeMap, pin::pin, rc::Rc, task::Poll, time::Duration};

use bytes::Bytes;
use futures::future::poll_fn;
use ostrakon_proto::bucket::MultipartId;
use tokio::time::timeout;

use super::{
    model::{Object, Op, Part, Said},
    perform::{Answer, look, perform, read},
    process::Process,
    stage::{BUCKET, SeededRng, Stage},
};
use crate::bucket::{Bucket, BucketError, Computed, Condition, CopySource, ETag, ListQuery, etag_of_parts};

/// Keys of which one is the prefix of another, or folded with it.
pub(super) const KEYS: [&str; 8] = ["a", "a/", "a//b", "a/b", "a/c/d", "b", "c/1", "ä/ü"];
/// An operation that takes longer than this never ends.
const PATIENCE: Duration = Duration::from_secs(600);
/// Steps of the longest life of those that die.
const STEPS: u64 = 2_500;

/// An upload that a writer began.
#[derive(Clone, Debug)]
struct Upload {
    key: String,
    upload: MultipartId,
    parts: BTreeMap<u16, [u8; 16]>,
}

/// One writer.
pub(super) struct Writer<'a> {
    stage: &'a Stage,
    number: u64,
    chance: SeededRng,
    process: Option<(Rc<Process>, Bucket)>,
    upload: Option<Upload>,
    /// Entity tags that were there, by key.
    seen: BTreeMap<String, String>,
    made: u64,
}

impl<'a> Writer<'a> {
    pub(super) fn new(stage: &'a Stage, number: u64, chance: SeededRng) -> Self {
        let (process, upload, seen, made) = Default::default();
        Self { stage, number, chance, process, upload, seen, made }
    }

    /// Writes until it has made all of its operations.
    pub(super) async fn write(mut self) {
        for _ in 0..self.stage.plan.ops {
            if self.stage.history.borrow().is_full() {
                return;
            }
            self.stage.set_clock();
            if self.chance.one_in(4) {
                self.chance.pause(200).await;
            }
            let Some((process, bucket)) = self.opened().await else { return };
            let is_over = tokio::select! { biased;
                () = process.dead.cancelled() => Ok(()),
                over = timeout(PATIENCE, self.act(&bucket)) => over,
            };
            if is_over.is_err() {
                return self.stage.fail("an operation never ends");
            }
            if process.dead.is_cancelled() {
                self.process = None;
                if self.chance.one_in(2) {
                    // What it sent and has not arrived is lost.
                    self.stage.world.network.crash(process.node);
                }
                self.chance.pause(1_000).await;
            }
        }
    }

    /// The bucket, as the process in progress has it or a new one opens it.
    async fn opened(&mut self) -> Option<(Rc<Process>, Bucket)> {
        for _ in 0..200 {
            if let Some((process, bucket)) = &self.process {
                return Some((Rc::clone(process), bucket.clone()));
            }
            let steps = if self.stage.plan.crashes { 1 + self.chance.below(STEPS) } else { u64::MAX };
            let process = self.stage.process(steps);
            let opened = tokio::select! { biased;
                () = process.dead.cancelled() => continue,
                opened = timeout(PATIENCE, process.buckets.open(BUCKET)) => opened,
            };
            match opened {
                Ok(Ok(bucket)) => self.process = Some((process, bucket)),
                Ok(Err(BucketError::Unavailable(_))) => self.chance.pause(1_000).await,
                Ok(Err(error)) => self.stage.fail(format!("the bucket cannot be opened: {error}")),
                Err(_) => self.stage.fail("opening the bucket never ends"),
            }
        }
        self.stage.fail("the bucket cannot be opened for minutes");
        None
    }

    /// Performs one random operation.
    async fn act(&mut self, bucket: &Bucket) {
        match self.chance.below(40) {
            0..=7 => self.get(bucket).await,
            8 | 9 => self.keep(bucket).await,
            10 => {
                let renewed = bucket.renew().await;
                if let Some(lost) = renewed.ok().and_then(|leases| leases.lost.first().copied()) {
                    self.stage.fail(format!("object {lost} is used and not on the ledger"));
                }
            }
            11 => self.begin_or_continue(bucket, true).await,
            12..=15 => self.begin_or_continue(bucket, false).await,
            16..=19 => {
                let query = self.query();
                self.perform(bucket, Op::List(query)).await;
            }
            _ => {
                let op = self.choose();
                self.perform(bucket, op).await;
            }
        }
    }

    async fn get(&mut self, bucket: &Bucket) {
        let key = (*self.chance.of(&KEYS)).to_owned();
        let at = self.stage.history.borrow_mut().start(Op::Get { key: key.clone() });
        // A get that dies with its process said nothing.
        let mut unsaid = Unsaid { stage: self.stage, at: Some(at) };
        let (answer, info) = look(self.stage, bucket, &key).await;
        unsaid.at = None;
        self.note(at, answer);
        let Some(info) = info else { return };
        self.seen.insert(key, info.etag.to_string());
        let from = if self.chance.one_in(2) { 0 } else { self.chance.below(info.size() + 1) };
        let to = if self.chance.one_in(2) { info.size() } else { from + self.chance.below(info.size() + 1) };
        let _read = read(self.stage, bucket, &info, from..to.max(from).min(info.size())).await;
    }

    /// Upkeep, while others write. Where nodes do not respond it is left for the next time.
    async fn keep(&mut self, bucket: &Bucket) {
        if self.chance.one_in(2) {
            let checked = bucket.check().await.ok().filter(|_| !bucket.is_stale());
            if let Some(problem) = checked.and_then(|checked| checked.problems.first().cloned()) {
                self.stage.fail(format!("verify, while others write: {problem}"));
            }
        }
        if let Err(BucketError::Damaged(error)) = bucket.compact().await {
            self.stage.fail(format!("upkeep: {error}"));
        }
    }

    /// Performs it to its end, or until it is dropped after some polls.
    async fn perform(&mut self, bucket: &Bucket, op: Op) -> Option<Said> {
        let at = self.stage.history.borrow_mut().start(op.clone());
        let mut unsaid = Unsaid { stage: self.stage, at: op.reads().then_some(at) };
        let polls = if self.chance.one_in(12) { self.chance.below(60) } else { u64::MAX };
        let answer = for_polls(Box::pin(perform(self.stage, bucket, &op)), polls).await;
        unsaid.at = None;
        let answer = match answer {
            Some(Answer::Unknown) | None if op.reads() => Answer::Nothing,
            answer => answer.unwrap_or(Answer::Unknown),
        };
        self.note(at, answer)
    }

    fn note(&self, at: usize, answer: Answer) -> Option<Said> {
        let mut history = self.stage.history.borrow_mut();
        match answer {
            Answer::Said(Said::Uploads(uploads)) if history.is_begin(at) => {
                let upload = uploads.first().expect("one was begun").1;
                history.began(at, upload);
                history.answered(at, Said::Done);
                Some(Said::Uploads(uploads))
            }
            Answer::Said(said) => {
                history.answered(at, said.clone());
                Some(said)
            }
            Answer::Unknown => None,
            Answer::Nothing => {
                history.forget(at);
                None
            }
        }
    }

    /// A change of one key, or a copy.
    fn choose(&mut self) -> Op {
        let key = (*self.chance.of(&KEYS)).to_owned();
        let condition = self.condition(&key);
        match self.chance.below(20) {
            0..=3 => Op::Delete { key, condition },
            4..=6 => Op::Copy { from: (*self.chance.of(&KEYS)).to_owned(), key, condition },
            7 | 8 => Op::Tag { key, tag: self.chance.below(100).to_string() },
            _ => {
                let etag = ETag::Whole(self.body(false).md5).to_string();
                self.seen.insert(key.clone(), etag.clone());
                let tag = self.chance.one_in(4).then(|| self.chance.below(100).to_string());
                Op::Put { key, object: Object { etag, tag }, condition }
            }
        }
    }

    fn condition(&mut self, key: &str) -> Condition {
        let seen = self.seen.get(key).cloned().into_iter().collect();
        match self.chance.below(12) {
            0 | 1 => Condition::Absent,
            2 => Condition::Present,
            3 | 4 => Condition::Matches(seen),
            5 => Condition::MatchesNone(seen),
            _ => Condition::None,
        }
    }

    fn query(&mut self) -> ListQuery {
        let prefix = (*self.chance.of(&["", "", "a", "a/", "c/"])).to_owned();
        let delimiter = (*self.chance.of(&["", "/", "/", "/b"])).to_owned();
        let after = if self.chance.one_in(2) { "" } else { *self.chance.of(&KEYS) }.to_owned();
        let limit = *self.chance.of(&[1, 2, 3, 1_000, 1_000]);
        ListQuery { prefix, delimiter, after, limit }
    }

    /// New bytes, which are known from now on.
    fn body(&mut self, is_first_part: bool) -> Part {
        self.made += 1;
        let is_large = self.stage.plan.large && self.chance.one_in(6);
        let length = match self.chance.below(8) {
            _ if is_first_part && is_large => 5 * 1024 * 1024,
            _ if is_large => 1024 * 1024 + 1 + self.chance.below(300_000),
            0 => 0,
            1 => 20_000 + self.chance.below(40_000),
            _ => self.chance.below(300),
        };
        let mut bytes = vec![0; usize::try_from(length).expect("in memory")];
        let name = [self.stage.plan.seed, self.number, self.made].map(u64::to_le_bytes).concat();
        blake3::Hasher::new().update(&name).finalize_xof().fill(&mut bytes);
        self.known(bytes)
    }

    fn known(&self, bytes: Vec<u8>) -> Part {
        let Computed { md5, size, .. } = Computed::of(&bytes, &[]);
        self.stage.bodies.borrow_mut().insert(ETag::Whole(md5).to_string(), bytes.into());
        Part { md5, size }
    }

    async fn begin_or_continue(&mut self, bucket: &Bucket, is_over: bool) {
        let Some(Upload { key, upload, parts }) = self.upload.clone() else {
            let key = (*self.chance.of(&KEYS)).to_owned();
            let begun = self.perform(bucket, Op::Begin { key: key.clone(), upload: None }).await;
            if let Some(Said::Uploads(uploads)) = begun {
                self.upload = Some(Upload { key, upload: uploads[0].1, parts: BTreeMap::new() });
            }
            return;
        };
        if is_over && self.chance.one_in(2) {
            let said = self.perform(bucket, Op::Abort { key, upload }).await;
            self.upload = self.upload.take().filter(|_| said.is_none());
        } else if parts.len() < 2 && self.chance.one_in(3) {
            self.copy_part(bucket, (key, upload)).await;
        } else if parts.is_empty() || parts.len() < 2 && self.chance.one_in(2) {
            let number = 1 + u16::try_from(parts.len()).expect("few");
            let part = self.body(number == 1);
            let said = self.perform(bucket, Op::Part { key, upload, number, part }).await;
            self.took(number, part, said.as_ref());
        } else {
            let etag = self.joined(&parts);
            let said =
                self.perform(bucket, Op::Complete { key, upload, parts: parts.into_iter().collect(), etag }).await;
            // Where a part is too small, it is not over.
            self.upload = self.upload.take().filter(|_| matches!(said, None | Some(Said::TooSmall(_))));
            if matches!(said, Some(Said::TooSmall(_)))
                && let Some(upload) = &mut self.upload
            {
                let _left_out = if self.chance.one_in(2) { upload.parts.pop_first() } else { upload.parts.pop_last() };
            }
        }
    }

    fn took(&mut self, number: u16, part: Part, said: Option<&Said>) {
        match (&mut self.upload, said) {
            (Some(upload), Some(Said::Done)) => _ = upload.parts.insert(number, part.md5),
            (upload, Some(Said::NoUpload)) => *upload = None,
            _ => {}
        }
    }

    /// Has a range of an object be a part. For the model that is a part of these bytes.
    async fn copy_part(&mut self, bucket: &Bucket, (key, upload): (String, MultipartId)) {
        let from = *self.chance.of(&KEYS);
        let Ok(info) = bucket.head(from).await else { return };
        let Some(body) = self.stage.bodies.borrow().get(&info.etag.to_string()).cloned() else { return };
        let start = self.chance.below(info.size() + 1);
        let range = start..start + self.chance.below(info.size() - start + 1);
        let at = |byte: u64| usize::try_from(byte).expect("in memory");
        let part = self.known(body[at(range.start)..at(range.end)].to_vec());
        let number = 1 + u16::try_from(self.upload.as_ref().map_or(0, |upload| upload.parts.len())).expect("few");
        let at = self.stage.history.borrow_mut().start(Op::Part { key: key.clone(), upload, number, part });
        let source = CopySource { bucket, key: from, object: &info };
        let answer = match bucket.copy_part(&key, upload, number, (source, Some(range))).await {
            Ok(_) => Answer::Said(Said::Done),
            // The source was deleted or replaced meanwhile.
            Err(BucketError::NoSuchKey { .. } | BucketError::Precondition) => Answer::Nothing,
            Err(error) => super::perform::failed(self.stage, error, "copy part"),
        };
        let said = self.note(at, answer);
        self.took(number, part, said.as_ref());
    }

    /// The entity tag of the object of these parts, whose bytes are known from now on.
    fn joined(&self, parts: &BTreeMap<u16, [u8; 16]>) -> String {
        let md5s: Vec<[u8; 16]> = parts.values().copied().collect();
        let etag = etag_of_parts(&md5s).expect("few").to_string();
        let mut bodies = self.stage.bodies.borrow_mut();
        let all: Vec<Bytes> = md5s.iter().map(|md5| bodies[&ETag::Whole(*md5).to_string()].clone()).collect();
        bodies.insert(etag.clone(), all.concat().into());
        etag
    }
}

/// Forgets a read that ends with its process.
struct Unsaid<'a> {
    stage: &'a Stage,
    at: Option<usize>,
}

impl Drop for Unsaid<'_> {
    fn drop(&mut self) {
        if let Some(at) = self.at {
            self.stage.history.borrow_mut().forget(at);
        }
    }
}

/// What `work` returns, if it does before it was polled so often; else it is dropped.
async fn for_polls<T>(work: impl Future<Output = T>, mut left: u64) -> Option<T> {
    let mut work = pin!(work);
    let next = poll_fn(|context| {
        let Some(less) = left.checked_sub(1) else { return Poll::Ready(None) };
        left = less;
        work.as_mut().poll(context).map(Some)
    });
    next.await
}
