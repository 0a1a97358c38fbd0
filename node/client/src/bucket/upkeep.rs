//! What keeps a bucket: leases that are extended at half their term, bytes that few objects use written again, uploads
//! that nobody completes; and the check that nothing else is stored or paid. Any machine that has the bucket may do it.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use ostrakon_proto::{
    bucket::{Blob, BlobInfo, Piece, Place, Value},
    id::{Amount, Epoch, ObjectId},
    ledger::state::Commitment,
    limits,
};
use serde::Serialize;

use super::{
    Bucket, BucketError, Condition, ListedUploads, Put, UploadsQuery,
    change::{Change, Content, Done},
    draft::BODIES,
    index::{Distance, View},
    merge,
};

/// Objects of the network that are looked up at the same time.
const CONCURRENT: usize = 16;
/// Records that are read at a time.
const PAGE: usize = 1_000;
/// Objects of the network that are released together.
const RELEASED: usize = 8;
/// How long an upload may stay open, in milliseconds: 7 days.
const UPLOAD_MS: u64 = 7 * 86_400_000;

/// What was done about the leases of a bucket's objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Leases {
    /// Objects of the network that the bucket uses.
    pub objects: usize,
    /// Those whose lease was extended.
    pub extended: usize,
    /// The epoch in which the first lease ends.
    pub earliest_end: Option<Epoch>,
    /// Those that the ledger does not have.
    pub lost: Vec<ObjectId>,
}

/// What was freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// Uploads that were given up.
    pub aborted: usize,
    /// Objects and parts whose bytes were written again.
    pub rewritten: usize,
    /// Objects of the network that were used no more, and were not released before.
    pub released: usize,
}

/// What a bucket is, as found by reading all of its index and asking the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects of the network that they are in.
    pub stored_objects: usize,
    /// Bytes of the plaintext of these.
    pub stored_bytes: u64,
    /// What is locked for them on the ledger.
    pub escrow: Amount,
    /// The epoch in which the first of their leases ends.
    pub earliest_end: Option<Epoch>,
    /// What is wrong, one sentence each.
    pub problems: Vec<String>,
}

/// An object of the network, as the index has it.
type Used = (Blob, BlobInfo);

/// Whether less than half of it is used.
fn is_sparse((_, info): &Used) -> bool {
    info.live.saturating_mul(2) < info.size
}

impl Bucket {
    /// Extends the leases that are over half, to the full term; the bucket's account is filled for it from the owner's.
    ///
    /// # Errors
    /// [`BucketError::OwnerTooPoor`] when neither can pay, and when the ledger cannot be asked or told.
    pub async fn renew(&self) -> Result<Leases, BucketError> {
        let (depot, used) = (&self.engine().index.depot, self.used().await?);
        let look = |(blob, _): Used| async move { Ok::<_, BucketError>((blob, depot.leases(blob.object).await?)) };
        let found: Vec<_> = stream::iter(used.into_iter().map(look)).buffer_unordered(CONCURRENT).try_collect().await?;
        let mut leases = Leases { objects: found.len(), ..Leases::default() };
        let mut due = Vec::new();
        for (blob, commitments) in found {
            if commitments.is_empty() {
                leases.lost.push(blob.object);
            }
            due.extend(commitments);
        }
        (leases.extended, leases.earliest_end) = depot.extend(&due).await?;
        Ok(leases)
    }

    /// Gives up uploads that are older than a week, writes again what is in objects of the network of which less than
    /// half is used, and releases those of which nothing is.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn compact(&self) -> Result<Compacted, BucketError> {
        let aborted = self.abort_old_uploads().await?;
        let mut used = self.used().await?;
        let sparse: BTreeSet<Blob> = used.iter().filter(|one| is_sparse(one)).map(|(blob, _)| *blob).collect();
        let mut rewritten = 0;
        if !sparse.is_empty() {
            rewritten = self.rewrite(&sparse).await?;
            self.move_runs(&sparse).await?;
            used = self.used().await?;
        }
        Ok(Compacted { aborted, rewritten, released: self.release_unused(used).await? })
    }

    /// Releases what is used no more. Returns how many.
    async fn release_unused(&self, mut used: Vec<Used>) -> Result<usize, BucketError> {
        let mut released = BTreeSet::new();
        loop {
            let unused: Vec<Blob> = used.iter().filter(|(_, info)| info.live == 0).map(|(blob, _)| *blob).collect();
            let is_new = |blob: &Blob| !released.contains(blob);
            if !unused.iter().any(is_new) {
                return Ok(released.len());
            }
            // A batch releases no more than its transaction has space for; what is left is for the next one.
            for some in unused.chunks(RELEASED) {
                let changes = some.iter().map(|blob| self.engine().change(Change::Release { blob: *blob }));
                futures::future::try_join_all(changes).await?;
            }
            released.extend(unused);
            used = self.used().await?;
        }
    }

    /// Reads all of the index, counts what it refers to, and compares that with what is recorded and with the ledger.
    ///
    /// # Errors
    /// When the index or the ledger cannot be read: what is wrong with them is found, and not an error.
    pub async fn check(&self) -> Result<Checked, BucketError> {
        let (index, mut checked) = (&self.engine().index, Checked::default());
        // What others commit after the state that is looked at is no part of it.
        let committed = index.depot.committed().await?;
        let view = index.view().await?;
        let mut counted: BTreeMap<Blob, u64> = BTreeMap::new();
        let mut count = |blob: Blob, bytes: u64| *counted.entry(blob).or_default() += bytes;
        view.head.runs.iter().for_each(|run| count(run.blob.unwrap_or(Blob::OWN), run.bytes));
        let mut walk = index.walk(&view.head.runs, &Place::first(), Distance::Far).await?;
        while let Some((_, value)) = walk.next_live().await? {
            // An empty part keeps nothing in use.
            value.pieces().iter().filter(|piece| piece.length > 0).for_each(|piece| count(piece.blob, piece.length));
            if let Value::Object(info) = &value {
                checked.objects += 1;
                checked.bytes += info.size();
            }
        }
        let used = self.used_in(&view).await?;
        for (blob, info) in &used {
            let counted = counted.remove(blob).unwrap_or(0);
            if counted != info.live {
                let text =
                    format!("object {} has {counted} bytes in use, and {} in its record", blob.object, info.live);
                checked.problems.push(text);
            }
            checked.stored_bytes += info.size;
        }
        checked.stored_objects = used.len();
        let unlisted = |blob: &Blob| format!("the index refers to object {}, and does not list it", blob.object);
        checked.problems.extend(counted.keys().map(unlisted));
        self.check_ledger((&used, &committed), &mut checked).await?;
        Ok(checked)
    }

    async fn check_ledger(
        &self,
        (used, committed): (&[Used], &BTreeSet<ObjectId>),
        checked: &mut Checked,
    ) -> Result<(), BucketError> {
        let depot = &self.engine().index.depot;
        let look = |(blob, info): &Used| {
            let (object, extents) = (blob.object, info.extents);
            async move { Ok::<_, BucketError>((object, extents, depot.leases(object).await?)) }
        };
        let looks: Vec<_> = used.iter().map(look).collect();
        let found: Vec<(ObjectId, u32, Vec<Commitment>)> =
            stream::iter(looks).buffer_unordered(CONCURRENT).try_collect().await?;
        for (object, extents, commitments) in &found {
            let escrow = commitments.iter().map(|commitment| commitment.escrow);
            checked.escrow = escrow.fold(checked.escrow, |sum, one| sum.plus(one).unwrap_or(sum));
            let ends = commitments.iter().map(|commitment| commitment.end);
            checked.earliest_end = ends.chain(checked.earliest_end).min();
            if commitments.len() != usize::try_from(*extents).unwrap_or(usize::MAX) {
                let text = format!("object {object} has {} of {extents} commitments on the ledger", commitments.len());
                checked.problems.push(text);
            }
        }
        let known: BTreeSet<ObjectId> = used.iter().map(|(blob, _)| blob.object).collect();
        // What was released ends with the epoch in progress.
        let released = depot.epoch().await?.after(1);
        for object in committed.difference(&known) {
            if depot.leases(*object).await?.iter().any(|commitment| commitment.end > released) {
                checked.problems.push(format!("object {object} is paid for, and nothing in the index refers to it"));
            }
        }
        Ok(())
    }

    /// All objects of the network that the newest state uses.
    pub(super) async fn used(&self) -> Result<Vec<Used>, BucketError> {
        let view = self.engine().index.view().await?;
        self.used_in(&view).await
    }

    async fn used_in(&self, view: &View) -> Result<Vec<Used>, BucketError> {
        let (index, blobs, mut used) = (&self.engine().index, Place::blobs(), Vec::new());
        let mut walk = index.walk(&view.head.runs, &blobs, Distance::Far).await?;
        while let Some((place, value)) = walk.next_live().await?.filter(|(place, _)| place.starts_with(&blobs)) {
            let (Some(object), Value::Blob(info)) = (place.blob_of(), value) else { continue };
            used.push((Blob { object, salt: info.salt }, info));
        }
        used.extend(
            view.batch.map(|(blob, size)| (blob, BlobInfo { salt: blob.salt, size, extents: 1, live: view.head.live })),
        );
        Ok(used)
    }

    async fn abort_old_uploads(&self) -> Result<usize, BucketError> {
        let (before, mut aborted) = (self.engine().index.depot.now_ms().saturating_sub(UPLOAD_MS), 0);
        let (mut after_key, mut after_upload) = (String::new(), None);
        loop {
            let query = UploadsQuery { after_key, after_upload, limit: PAGE, ..UploadsQuery::default() };
            let ListedUploads { uploads, next, .. } = self.uploads(query).await?;
            for (key, upload, _) in uploads.into_iter().filter(|(_, _, info)| info.begun_ms < before) {
                match self.abort_upload(&key, upload).await {
                    Ok(()) => aborted += 1,
                    Err(BucketError::NoSuchUpload { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            let Some((key, upload)) = next else { return Ok(aborted) };
            (after_key, after_upload) = (key, upload);
        }
    }

    /// Writes again what objects and parts have in these objects of the network.
    async fn rewrite(&self, sparse: &BTreeSet<Blob>) -> Result<usize, BucketError> {
        let (mut from, mut rewritten) = (Place::first(), 0);
        loop {
            let (changes, next) = self.rewrites(&from, sparse).await?;
            let changes = changes.into_iter().map(|change| self.engine().change(change));
            let done = futures::future::try_join_all(changes).await?;
            rewritten += done.iter().filter(|done| matches!(done, Done::Removed(true))).count();
            let Some(next) = next else { return Ok(rewritten) };
            from = next;
        }
    }

    /// A batch of that, from a place on, and where the next one begins. Each is by the newest state: an older one is in
    /// objects that are released.
    async fn rewrites(
        &self,
        from: &Place,
        sparse: &BTreeSet<Blob>,
    ) -> Result<(Vec<Change>, Option<Place>), BucketError> {
        let index = &self.engine().index;
        let view = index.view().await?;
        let (mut walk, mut changes, mut bytes) =
            (index.walk(&view.head.runs, from, Distance::Far).await?, Vec::new(), 0);
        while let Some((place, value)) = walk.next_live().await? {
            if !value.pieces().iter().any(|piece| piece.length > 0 && sparse.contains(&piece.blob)) {
                continue;
            }
            let next = place.successor();
            let change = self.rewrite_one(place, value.pieces().to_vec(), sparse).await?;
            bytes += change.inline();
            changes.push(change);
            if changes.len() >= PAGE || bytes >= BODIES {
                return Ok((changes, Some(next)));
            }
        }
        Ok((changes, None))
    }

    /// Writes the runs again that are in these objects.
    async fn move_runs(&self, sparse: &BTreeSet<Blob>) -> Result<(), BucketError> {
        let index = &self.engine().index;
        for _ in 0..limits::BUCKET_RUNS {
            let view = index.view().await?;
            let Some(due) = merge::in_objects(&view, sparse) else { break };
            self.engine().change(merge::merged(index, due).await?).await?;
        }
        Ok(())
    }

    async fn rewrite_one(
        &self,
        place: Place,
        before: Vec<Piece>,
        sparse: &BTreeSet<Blob>,
    ) -> Result<Change, BucketError> {
        let mut with = Vec::with_capacity(before.len());
        for piece in &before {
            with.push(match sparse.contains(&piece.blob) {
                true => Some(self.brought_again(piece).await?),
                false => None,
            });
        }
        Ok(Change::Rewrite { place, before, with })
    }

    async fn brought_again(&self, piece: &Piece) -> Result<Content, BucketError> {
        let Piece { blob, offset, length, .. } = *piece;
        let bytes = self.engine().index.stream(&blob, offset..offset + length).map_err(std::io::Error::other);
        let put = Put {
            size: Some(length),
            condition: Condition::None,
            ..Put::new(tokio_util::io::StreamReader::new(bytes))
        };
        let (_memory, new) = self.bring(put, std::future::ready(Ok(()))).await?;
        Ok(new.content)
    }
}
