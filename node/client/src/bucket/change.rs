//! What can be done to a bucket, each judged against the newest state at the moment that it is committed.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use ostrakon_proto::bucket::{
    Blob, BlockHash, Checksum, ETag, MultipartId, ObjectInfo, PartInfo, Piece, Place, Run, UploadInfo, Value,
};

use super::{
    BucketError, Computed, Condition, Described, PutDone,
    draft::Draft,
    public,
    upload::{CompletePart, completed},
};
use crate::{add::Uploaded, ipfs::Tree};

/// A change of a bucket.
pub(super) enum Change {
    Put {
        key: String,
        condition: Condition,
        described: Described,
        new: NewBytes,
    },
    Delete {
        key: String,
        condition: Condition,
    },
    Copy {
        from: String,
        key: String,
        described: Option<Described>,
        condition: Condition,
        /// A checksum that was computed of that version of it.
        digested: Option<(ObjectVersion, Checksum)>,
    },
    Rename {
        from: String,
        key: String,
        condition: Condition,
    },
    Tag {
        key: String,
        tags: Vec<(String, String)>,
    },
    Set {
        name: String,
        value: Option<Vec<u8>>,
        must_be_new: bool,
    },
    Begin {
        key: String,
        upload: MultipartId,
        info: UploadInfo,
    },
    Part {
        key: String,
        upload: MultipartId,
        number: u16,
        new: NewBytes,
    },
    CopyPart {
        key: String,
        upload: MultipartId,
        number: u16,
        from: String,
        range: Range<u64>,
        /// What was computed of these bytes of that version of it.
        digested: (ObjectVersion, Computed),
    },
    Complete {
        key: String,
        upload: MultipartId,
        parts: Vec<CompletePart>,
        condition: Condition,
        checksum: Option<Checksum>,
    },
    Abort {
        key: String,
        upload: MultipartId,
    },
    /// Writes bytes again of what is at a place, if they are still where they were: those for which there is content.
    Rewrite {
        place: Place,
        before: Vec<Piece>,
        with: Vec<Option<Content>>,
    },
    /// Releases an object of the network that nothing refers to.
    Release {
        blob: Blob,
    },
    Merge {
        replaced: Vec<Run>,
        run: Option<Run>,
        new: Option<(Arc<Uploaded>, [u8; 16])>,
    },
}

/// Which bytes an object has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ObjectVersion {
    etag: ETag,
    modified_ms: u64,
    size: u64,
}

/// Bytes that were brought.
pub(super) struct NewBytes {
    pub(super) content: Content,
    pub(super) md5: [u8; 16],
    pub(super) checksum: Option<Checksum>,
    /// The hashes of its leaves, in a public bucket.
    pub(super) leaves: Vec<BlockHash>,
}

/// Where they are.
pub(super) enum Content {
    /// To be written into the batch.
    Inline(Bytes),
    /// An object of the network of its own, and what its key is derived from.
    Stored(Arc<Uploaded>, [u8; 16]),
}

/// What a change did.
#[derive(Clone, Debug)]
pub(super) enum Done {
    Put(PutDone),
    /// Whether there was something.
    Removed(bool),
    Nothing,
}

impl Change {
    /// Bytes that it writes into the batch.
    pub(super) fn inline(&self) -> usize {
        let bytes = |content: &Content| match content {
            Content::Inline(bytes) => bytes.len(),
            Content::Stored(..) => 0,
        };
        self.contents().map(bytes).fold(0, usize::saturating_add)
    }

    /// Extents that are committed with it.
    pub(super) fn extents(&self) -> usize {
        let of_content = self.contents().filter_map(|content| match content {
            Content::Stored(stored, _) => Some(stored),
            Content::Inline(_) => None,
        });
        let merged = match self {
            Self::Merge { new, .. } => new.as_ref().map(|(stored, _)| stored),
            _ => None,
        };
        let extents = |stored: &Arc<Uploaded>| usize::try_from(stored.extents()).unwrap_or(usize::MAX);
        of_content.chain(merged).map(extents).fold(0, usize::saturating_add)
    }

    /// Bytes that it brings.
    fn contents(&self) -> impl Iterator<Item = &Content> {
        let (one, several) = match self {
            Self::Put { new, .. } | Self::Part { new, .. } => (Some(&new.content), &[][..]),
            Self::Rewrite { with, .. } => (None, with.as_slice()),
            _ => (None, &[][..]),
        };
        one.into_iter().chain(several.iter().flatten())
    }
}

impl Change {
    /// Judges the change, and makes it.
    pub(super) async fn make(&self, draft: &mut Draft<'_>) -> Result<Done, BucketError> {
        match self {
            Self::Put { key, condition, described, new } => {
                condition.check(key, object(draft, key).await?.as_ref())?;
                let pieces = new.pieces(draft);
                let info = described.clone().of(draft.now_ms, ETag::Whole(new.md5), (new.checksum.clone(), pieces));
                put(draft, key, (info, &new.leaves)).await
            }
            Self::Delete { key, condition } => {
                let found = object(draft, key).await?;
                condition.check(key, found.as_ref())?;
                let Some(found) = found else { return Ok(Done::Removed(false)) };
                public::withdraw(draft, key, &found).await?;
                draft.put(Place::object(key.as_bytes()), None).await?;
                Ok(Done::Removed(true))
            }
            Self::Copy { .. } | Self::Rename { .. } => self.make_copy(draft).await,
            Self::Tag { key, tags } => {
                let found = object(draft, key).await?.ok_or_else(|| no_key(key))?;
                let leaves = public::leaves(draft, key, &found).await?;
                put(draft, key, (ObjectInfo { tags: tags.clone(), ..found }, &leaves)).await
            }
            Self::Set { name, value, must_be_new } => {
                let place = Place::setting(name);
                let there = draft.get(&place).await?.is_some();
                if there && *must_be_new {
                    return Err(BucketError::Precondition);
                }
                draft.put(place, value.clone().map(Value::Setting)).await?;
                Ok(Done::Removed(there))
            }
            Self::Rewrite { place, before, with } => {
                let found = draft.get(place).await?.filter(|value| value.pieces() == before);
                let Some(found) = found else { return Ok(Done::Removed(false)) };
                let mut pieces = Vec::with_capacity(before.len());
                for (piece, content) in before.iter().zip(with) {
                    let rewritten = content.as_ref().and_then(|content| content.piece(draft));
                    pieces.push(rewritten.map_or(*piece, |new| Piece { ends_part: piece.ends_part, ..new }));
                }
                draft.put(place.clone(), Some(found.moved(pieces))).await?;
                Ok(Done::Removed(true))
            }
            Self::Release { blob } => {
                draft.review(*blob);
                Ok(Done::Nothing)
            }
            Self::Merge { replaced, run, new } => {
                let blob = new.as_ref().map(|(stored, salt)| draft.commit(stored, *salt));
                let run = run.map(|run| Run { blob, ..run });
                // Where another merged them meanwhile, this one's object is of no use, and is not committed.
                draft.merged(replaced, run);
                Ok(Done::Nothing)
            }
            of_upload => of_upload.make_part(draft).await,
        }
    }

    /// Judges and makes an object of one that is there.
    async fn make_copy(&self, draft: &mut Draft<'_>) -> Result<Done, BucketError> {
        match self {
            Self::Copy { from, key, described, condition, digested } => {
                let source = object(draft, from).await?.ok_or_else(|| no_key(from))?;
                condition.check(key, object(draft, key).await?.as_ref())?;
                let described = described.clone().unwrap_or_else(|| Described::from(&source));
                let leaves = public::leaves(draft, from, &source).await?;
                let checksum = match digested {
                    Some((version, checksum)) => version.check(&source).map(|()| Some(checksum.clone()))?,
                    None => source.checksum,
                };
                put(draft, key, (described.of(draft.now_ms, source.etag, (checksum, source.pieces)), &leaves)).await
            }
            Self::Rename { from, key, condition } => {
                let source = object(draft, from).await?.ok_or_else(|| no_key(from))?;
                condition.check(key, object(draft, key).await?.as_ref())?;
                let leaves = public::leaves(draft, from, &source).await?;
                if from != key {
                    public::withdraw(draft, from, &source).await?;
                    draft.put(Place::object(from.as_bytes()), None).await?;
                }
                put(draft, key, (ObjectInfo { modified_ms: draft.now_ms, ..source }, &leaves)).await
            }
            _ => Ok(Done::Nothing),
        }
    }

    /// Judges and makes what concerns an upload of parts.
    async fn make_part(&self, draft: &mut Draft<'_>) -> Result<Done, BucketError> {
        match self {
            Self::Begin { key, upload, info } => {
                draft.put(Place::upload(key.as_bytes(), upload), Some(Value::Upload(info.clone()))).await?;
                Ok(Done::Nothing)
            }
            Self::Part { key, upload, number, new } => {
                open_upload(draft, key, upload).await?;
                let (modified_ms, pieces) = (draft.now_ms, new.pieces(draft));
                let (md5, checksum, leaves) = (new.md5, new.checksum.clone(), new.leaves.clone());
                let info = PartInfo { modified_ms, md5, checksum, leaves, pieces };
                put_part(draft, (upload, *number), info).await
            }
            Self::CopyPart { key, upload, number, from, range, digested: (version, computed) } => {
                open_upload(draft, key, upload).await?;
                let source = object(draft, from).await?.ok_or_else(|| no_key(from))?;
                version.check(&source)?;
                let (modified_ms, pieces) = (draft.now_ms, cut(&source.pieces, range));
                let Computed { md5, checksums, leaves, .. } = computed.clone();
                let info = PartInfo { modified_ms, md5, checksum: checksums.into_iter().next(), leaves, pieces };
                put_part(draft, (upload, *number), info).await
            }
            Self::Complete { key, upload, parts, condition, checksum } => {
                let info = open_upload(draft, key, upload).await?;
                condition.check(key, object(draft, key).await?.as_ref())?;
                let (done, leaves) = completed(draft, upload, &info, (parts, checksum.as_ref())).await?;
                let put = put(draft, key, (done, &leaves)).await?;
                close_upload(draft, key, upload).await?;
                Ok(put)
            }
            Self::Abort { key, upload } => {
                open_upload(draft, key, upload).await?;
                close_upload(draft, key, upload).await?;
                Ok(Done::Nothing)
            }
            _ => Ok(Done::Nothing),
        }
    }
}

impl ObjectVersion {
    pub(super) fn of(info: &ObjectInfo) -> Self {
        Self { etag: info.etag, modified_ms: info.modified_ms, size: info.size() }
    }

    fn check(&self, found: &ObjectInfo) -> Result<(), BucketError> {
        if *self == Self::of(found) { Ok(()) } else { Err(BucketError::Busy) }
    }
}

impl NewBytes {
    fn pieces(&self, draft: &mut Draft<'_>) -> Vec<Piece> {
        self.content.piece(draft).into_iter().collect()
    }
}

impl Content {
    /// Brings it into the batch; `None` when it has no bytes.
    fn piece(&self, draft: &mut Draft<'_>) -> Option<Piece> {
        match self {
            Self::Inline(bytes) => draft.body(bytes),
            Self::Stored(stored, salt) => {
                let blob = draft.commit(stored, *salt);
                Some(Piece { blob, offset: 0, length: stored.size, ends_part: false })
            }
        }
    }
}

impl Condition {
    /// Fails unless it holds for what is there.
    pub(super) fn check(&self, key: &str, found: Option<&ObjectInfo>) -> Result<(), BucketError> {
        let etag = found.map(|info| info.etag.to_string());
        let names = |etags: &[String]| etag.as_ref().is_some_and(|etag| etags.contains(etag));
        match self {
            Self::None => Ok(()),
            Self::Present | Self::Matches(_) if found.is_none() => Err(no_key(key)),
            Self::Absent if found.is_some() => Err(BucketError::Precondition),
            Self::Matches(etags) if !names(etags) => Err(BucketError::Precondition),
            Self::MatchesNone(etags) if names(etags) => Err(BucketError::Precondition),
            Self::Absent | Self::Present | Self::Matches(_) | Self::MatchesNone(_) => Ok(()),
        }
    }
}

/// These bytes of what the pieces are.
pub(super) fn cut(pieces: &[Piece], range: &Range<u64>) -> Vec<Piece> {
    let (mut found, mut start) = (Vec::new(), 0_u64);
    for piece in pieces {
        let end = start.saturating_add(piece.length);
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            let Piece { blob, offset, .. } = *piece;
            found.push(Piece { blob, offset: offset + (from - start), length: to - from, ends_part: false });
        }
        start = end;
    }
    found
}

pub(super) fn no_key(key: &str) -> BucketError {
    BucketError::NoSuchKey { key: key.to_owned() }
}

async fn object(draft: &Draft<'_>, key: &str) -> Result<Option<ObjectInfo>, BucketError> {
    Ok(match draft.get(&Place::object(key.as_bytes())).await? {
        Some(Value::Object(info)) => Some(info),
        _ => None,
    })
}

/// Puts an object; `leaves` are those of a public one.
async fn put(
    draft: &mut Draft<'_>,
    key: &str,
    (mut info, leaves): (ObjectInfo, &[BlockHash]),
) -> Result<Done, BucketError> {
    let (size, modified_ms) = (info.size(), info.modified_ms);
    let tree = Tree::new(size, leaves.to_vec());
    info.root = tree.as_ref().map(Tree::root_hash);
    if let Some(before) = object(draft, key).await?.filter(|before| before.root != info.root) {
        public::withdraw(draft, key, &before).await?;
    }
    public::publish(draft, key, (&info, leaves));
    let (etag, checksum, cid) = (info.etag, info.checksum.clone(), tree.map(|tree| tree.root()));
    let done = PutDone { etag, checksum, modified_ms, size, cid };
    draft.put(Place::object(key.as_bytes()), Some(Value::Object(info))).await?;
    Ok(Done::Put(done))
}

async fn put_part(
    draft: &mut Draft<'_>,
    (upload, number): (&MultipartId, u16),
    info: PartInfo,
) -> Result<Done, BucketError> {
    let done = PutDone {
        etag: ETag::Whole(info.md5),
        checksum: info.checksum.clone(),
        modified_ms: info.modified_ms,
        size: info.size(),
        cid: None,
    };
    draft.put(Place::part(upload, number), Some(Value::Part(info))).await?;
    Ok(Done::Put(done))
}

pub(super) async fn open_upload(draft: &Draft<'_>, key: &str, upload: &MultipartId) -> Result<UploadInfo, BucketError> {
    match draft.get(&Place::upload(key.as_bytes(), upload)).await? {
        Some(Value::Upload(info)) => Ok(info),
        _ => Err(BucketError::NoSuchUpload { key: key.to_owned() }),
    }
}

async fn close_upload(draft: &mut Draft<'_>, key: &str, upload: &MultipartId) -> Result<(), BucketError> {
    for (place, _) in draft.all(&Place::parts(upload)).await? {
        draft.put(place, None).await?;
    }
    draft.put(Place::upload(key.as_bytes(), upload), None).await
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::id::ObjectId;

    use super::*;

    #[test]
    fn a_range_of_pieces_is_cut_out_of_them() {
        let piece = |number: u8, offset, length| Piece {
            blob: Blob { object: ObjectId::new([number; 32]), salt: [0; 16] },
            offset,
            length,
            ends_part: false,
        };
        let pieces = [piece(1, 10, 5), piece(2, 0, 3), piece(3, 7, 100)];
        assert_eq!(cut(&pieces, &(0..108)), pieces);
        assert_eq!(cut(&pieces, &(2..6)), [piece(1, 12, 3), piece(2, 0, 1)]);
        assert_eq!(cut(&pieces, &(5..8)), [piece(2, 0, 3)]);
        assert_eq!(cut(&pieces, &(107..500)), [piece(3, 106, 1)]);
        assert_eq!(cut(&pieces, &(3..3)), []);
    }
}
