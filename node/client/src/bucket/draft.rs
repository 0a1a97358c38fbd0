//! A batch while it is made: changes over the newest state, and how much of each object of the network stays in use.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use ostrakon_proto::{
    bucket::{Blob, BlobInfo, BucketHead, FAN, IndexEntry, Merge, Piece, Place, Run, RunWriter, Value, WrittenRun},
    id::ObjectId,
};

use super::{
    BucketError,
    index::{Distance, Index, View},
};
use crate::add::Uploaded;

/// Bytes of the bodies in one batch, at most.
pub(super) const BODIES: usize = 8 * 1024 * 1024;

/// A batch that is being made.
pub(super) struct Draft<'a> {
    pub(super) index: &'a Index,
    pub(super) view: &'a View,
    /// What is at a place from now on; `None` deletes.
    changes: BTreeMap<Place, Option<Value>>,
    /// Bytes that came into use and went out of it.
    use_of: BTreeMap<Blob, i128>,
    bodies: Vec<u8>,
    /// Objects that are committed with it.
    stored: Vec<Arc<Uploaded>>,
    /// The runs that stay as they are.
    runs: Vec<Run>,
    pub(super) now_ms: u64,
}

/// A batch, ready to be stored.
pub(super) struct Batch {
    pub(super) bytes: Bytes,
    pub(super) head: BucketHead,
    pub(super) stored: Vec<Arc<Uploaded>>,
    /// Objects that nothing refers to any more, each with its extents.
    pub(super) released: Vec<(ObjectId, u32)>,
}

impl<'a> Draft<'a> {
    /// A batch over this state.
    pub(super) fn new(index: &'a Index, view: &'a View) -> Self {
        let mut draft = Self {
            index,
            view,
            changes: BTreeMap::new(),
            use_of: BTreeMap::new(),
            bodies: Vec::new(),
            stored: Vec::new(),
            runs: view.head.runs.clone(),
            now_ms: index.depot.now_ms(),
        };
        // The newest batch could not name itself.
        if let Some((Blob { object, salt }, size)) = view.batch {
            let info = BlobInfo { salt, size, extents: 1, live: view.head.live };
            draft.changes.insert(Place::blob(&object), Some(Value::Blob(info)));
        }
        draft
    }

    /// Whether nothing was changed.
    pub(super) fn is_empty(&self) -> bool {
        self.use_of.is_empty() && self.stored.is_empty() && self.changes.len() <= usize::from(self.view.batch.is_some())
    }

    /// What is at a place.
    pub(super) async fn get(&self, place: &Place) -> Result<Option<Value>, BucketError> {
        match self.changes.get(place) {
            Some(value) => Ok(value.clone()),
            None => self.index.find(self.view, place).await,
        }
    }

    /// All that is at places of this prefix, in order.
    pub(super) async fn all(&self, prefix: &Place) -> Result<Vec<(Place, Value)>, BucketError> {
        let mut found: BTreeMap<Place, Option<Value>> = BTreeMap::new();
        let mut walk = self.index.walk(&self.view.head.runs, prefix, Distance::Near).await?;
        while let Some((place, value)) = walk.next_live().await?.filter(|(place, _)| place.starts_with(prefix)) {
            found.insert(place, Some(value));
        }
        let newer = self.changes.range(prefix..).take_while(|(place, _)| place.starts_with(prefix));
        found.extend(newer.map(|(place, value)| (place.clone(), value.clone())));
        Ok(found.into_iter().filter_map(|(place, value)| Some((place, value?))).collect())
    }

    /// Puts a value at a place, or deletes what is there.
    pub(super) async fn put(&mut self, place: Place, value: Option<Value>) -> Result<(), BucketError> {
        let before = self.get(&place).await?;
        before.iter().for_each(|value| self.count(value, -1));
        value.iter().for_each(|value| self.count(value, 1));
        self.changes.insert(place, value);
        Ok(())
    }

    /// The same of what has no bytes.
    pub(super) fn note(&mut self, place: Place, value: Option<Value>) {
        self.changes.insert(place, value);
    }

    fn count(&mut self, value: &Value, sign: i128) {
        for Piece { blob, length, .. } in value.pieces() {
            *self.use_of.entry(*blob).or_default() += sign * i128::from(*length);
        }
    }

    /// Writes a body into the batch.
    pub(super) fn body(&mut self, bytes: &[u8]) -> Option<Piece> {
        let offset = u64::try_from(self.bodies.len()).expect("a few MiB");
        self.bodies.extend(bytes);
        let length = u64::try_from(bytes.len()).expect("a few MiB");
        (length > 0).then_some(Piece { blob: Blob::OWN, offset, length, ends_part: false })
    }

    /// Looks at whether an object is still used.
    pub(super) fn review(&mut self, blob: Blob) {
        self.use_of.entry(blob).or_default();
    }

    /// Commits an object with the batch.
    pub(super) fn commit(&mut self, stored: &Arc<Uploaded>, salt: [u8; 16]) -> Blob {
        let Uploaded { object, size, .. } = **stored;
        let info = BlobInfo { salt, size, extents: stored.extents(), live: 0 };
        self.changes.insert(Place::blob(&object), Some(Value::Blob(info)));
        self.stored.push(Arc::clone(stored));
        let blob = Blob { object, salt };
        // If nothing comes to refer to it, it is left out again.
        self.review(blob);
        blob
    }

    /// Puts a merged run in the place of those it was made of, if they are still there.
    pub(super) fn merged(&mut self, replaced: &[Run], run: Option<Run>) -> bool {
        let at = self.runs.windows(replaced.len()).position(|runs| runs == replaced);
        let Some(at) = at.filter(|_| !replaced.is_empty()) else { return false };
        self.runs.splice(at..at + replaced.len(), run);
        for (run, sign) in replaced.iter().map(|run| (run, -1)).chain(run.iter().map(|run| (run, 1))) {
            self.count_run(run, sign);
        }
        true
    }

    fn count_run(&mut self, run: &Run, sign: i128) {
        let blob = run.blob.unwrap_or(Blob::OWN);
        *self.use_of.entry(blob).or_default() += sign * i128::from(run.bytes);
    }

    /// The batch's bytes: bodies, a run of the changes, the list of all runs. No more than so many extents are
    /// released.
    pub(super) async fn finish(mut self, may_release: usize) -> Result<Batch, BucketError> {
        let merged = self.merge_newest().await?;
        let level = u8::from(!merged.is_empty());
        let released = self.settle_use(may_release).await?;
        let mut bytes = std::mem::take(&mut self.bodies);
        let mut writer = RunWriter::new(u64::try_from(bytes.len()).expect("a few MiB"));
        let changes: Vec<IndexEntry> =
            self.changes.into_iter().map(|(place, value)| IndexEntry { place, value }).collect();
        for entry in Merge::new([changes.into_iter(), merged.into_iter()], self.runs.is_empty()) {
            writer.push(entry, &mut bytes)?;
        }
        let written = writer.finish(&mut bytes);
        let bodies = u64::try_from(self.use_of.get(&Blob::OWN).copied().unwrap_or(0)).unwrap_or(0);
        let live = bodies + written.map_or(0, |run| run.bytes);
        let run = written.map(|WrittenRun { root, entries, bytes }| Run { blob: None, root, entries, bytes, level });
        let runs = run.into_iter().chain(self.runs).collect();
        let head = BucketHead { sequence: self.view.head.sequence + 1, live, runs };
        bytes.extend(head.encode());
        Ok(Batch { bytes: bytes.into(), head, stored: self.stored, released })
    }

    /// Takes out the newest runs, where with the batch's own they are as many as are merged; returns what they have.
    async fn merge_newest(&mut self) -> Result<Vec<IndexEntry>, BucketError> {
        let newest = self.runs.iter().take_while(|run| run.level == 0).count();
        if newest + 1 < FAN {
            return Ok(Vec::new());
        }
        let runs: Vec<Run> = self.runs.drain(..newest).collect();
        runs.iter().for_each(|run| self.count_run(run, -1));
        let mut walk = self.index.walk(&runs, &Place::first(), Distance::Far).await?;
        let mut entries = Vec::new();
        while let Some(entry) = walk.next().await? {
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Records how much of each object stays in use. Returns those that are not used any more: no more extents than may
    /// be released now.
    async fn settle_use(&mut self, mut may_release: usize) -> Result<Vec<(ObjectId, u32)>, BucketError> {
        let mut released = Vec::new();
        for (blob, bytes) in self.use_of.clone().into_iter().filter(|(blob, _)| *blob != Blob::OWN) {
            let place = Place::blob(&blob.object);
            let Some(Value::Blob(info)) = self.get(&place).await? else { continue };
            let live = u64::try_from(i128::from(info.live) + bytes).unwrap_or(0);
            let extents = usize::try_from(info.extents).unwrap_or(usize::MAX);
            let is_new = self.stored.iter().any(|stored| stored.object == blob.object);
            let is_gone = live == 0 && (is_new || extents <= may_release);
            if is_gone && is_new {
                // It was replaced by a later change of this very batch.
                self.stored.retain(|stored| stored.object != blob.object);
            } else if is_gone {
                may_release -= extents;
                released.push((blob.object, info.extents));
            }
            self.changes.insert(place, (!is_gone).then_some(Value::Blob(BlobInfo { live, ..info })));
        }
        Ok(released)
    }
}
