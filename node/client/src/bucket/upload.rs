//! Multipart uploads: parts that come in any order and become one object, without being moved.

use std::ops::Range;

use ostrakon_proto::bucket::{
    Blob, BlockHash, Checksum, ChecksumAlgorithm, ChecksumKind, ETag, MultipartId, ObjectInfo, PartInfo, Piece, Place,
    UploadInfo, Value,
};

use super::{
    Bucket, BucketError, Condition, CopySource, Described, Put, PutDone,
    change::{Change, Done},
    digest::{Digests, checksum_of, etag_of_parts, joined},
    draft::Draft,
    object::check_key,
};
use crate::ipfs::LEAF;

/// Bytes that every part but the last has at least.
const LEAST: u64 = 5 * 1024 * 1024;

/// An upload that begins.
#[derive(Clone, Debug, Default)]
pub struct NewUpload {
    /// What its object is served with.
    pub described: Described,
    /// The checksum that its object is to have.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
}

/// A part that is to be in the object.
#[derive(Clone, Debug)]
pub struct CompletePart {
    /// Its number.
    pub number: u16,
    /// Its entity tag, if the client says it.
    pub etag: Option<String>,
    /// Its checksum, if the client says it.
    pub checksum: Option<Vec<u8>>,
}

/// A part that was uploaded.
#[derive(Clone, Debug)]
pub struct ListedPart {
    /// Its number.
    pub number: u16,
    /// What is known of it.
    pub info: PartInfo,
}

impl Bucket {
    /// Begins an upload of parts.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn begin_upload(&self, key: &str, new: NewUpload) -> Result<MultipartId, BucketError> {
        check_key(key)?;
        new.described.check()?;
        let upload: MultipartId = self.engine().index.depot.random();
        let Described { headers, metadata, tags } = new.described;
        let begun_ms = self.engine().index.depot.now_ms();
        let info = UploadInfo { begun_ms, checksum: new.checksum, headers, metadata, tags };
        self.engine().change(Change::Begin { key: key.to_owned(), upload, info }).await?;
        Ok(upload)
    }

    /// Puts a part; one with the same number is replaced.
    ///
    /// # Errors
    /// [`BucketError::NoSuchUpload`], and those of a put.
    pub async fn put_part(
        &self,
        key: &str,
        upload: MultipartId,
        number: u16,
        put: Put<'_>,
    ) -> Result<PutDone, BucketError> {
        self.upload_info(key, &upload).await?;
        let is_open = async { self.upload_info(key, &upload).await.map(|_| ()) };
        let (_memory, new) = self.bring(put, is_open).await?;
        self.put_done(Change::Part { key: key.to_owned(), upload, number, new }).await
    }

    /// Has bytes of an object be a part: of this bucket without moving them.
    ///
    /// # Errors
    /// [`BucketError::NoSuchUpload`], [`BucketError::NoSuchKey`], and those of a get and a put.
    pub async fn copy_part(
        &self,
        key: &str,
        upload: MultipartId,
        number: u16,
        (from, range): (CopySource<'_>, Option<Range<u64>>),
    ) -> Result<PutDone, BucketError> {
        let info = self.upload_info(key, &upload).await?;
        let algorithm = info.checksum.map(|(algorithm, _)| algorithm);
        let range = range.unwrap_or(0..from.object.size());
        if !self.is(from.bucket) {
            let put = Put { digests: algorithm.into_iter().collect(), ..from.body(range) };
            return self.put_part(key, upload, number, put).await;
        }
        // The entity tag is of these bytes, which nobody has digested yet.
        let digests = Digests::new(algorithm.as_slice()).with_leaves(self.is_public());
        let digested = (from.version(), from.digest(range.clone(), digests).await?);
        let (key, from) = (key.to_owned(), from.key.to_owned());
        self.put_done(Change::CopyPart { key, upload, number, from, range, digested }).await
    }

    /// The parts of an upload with greater numbers than `after`: no more than `limit`, and whether there are more.
    ///
    /// # Errors
    /// [`BucketError::NoSuchUpload`].
    pub async fn parts(
        &self,
        key: &str,
        upload: MultipartId,
        after: u16,
        limit: usize,
    ) -> Result<(UploadInfo, Vec<ListedPart>, bool), BucketError> {
        let info = self.upload_info(key, &upload).await?;
        let (prefix, from) = (Place::parts(&upload), Place::part(&upload, after).successor());
        let found = self.engine().index.page_of(&prefix, &from, limit.saturating_add(1)).await?;
        let part = |(place, value): (Place, Value)| match (place.part_of(), value) {
            (Some((_, number)), Value::Part(info)) => Some(ListedPart { number, info }),
            _ => None,
        };
        let mut parts: Vec<ListedPart> = found.into_iter().filter_map(part).collect();
        let is_truncated = parts.len() > limit;
        parts.truncate(limit);
        Ok((info, parts, is_truncated))
    }

    /// Makes the object of its parts. The upload is over then.
    ///
    /// # Errors
    /// [`BucketError::InvalidPart`], [`BucketError::InvalidPartOrder`], [`BucketError::PartTooSmall`],
    /// [`BucketError::Check`] when the object has another checksum than this, and those of a put.
    pub async fn complete_upload(
        &self,
        key: &str,
        upload: MultipartId,
        parts: Vec<CompletePart>,
        (condition, checksum): (Condition, Option<Checksum>),
    ) -> Result<PutDone, BucketError> {
        self.put_done(Change::Complete { key: key.to_owned(), upload, parts, condition, checksum }).await
    }

    /// Gives an upload up, with its parts.
    ///
    /// # Errors
    /// [`BucketError::NoSuchUpload`].
    pub async fn abort_upload(&self, key: &str, upload: MultipartId) -> Result<(), BucketError> {
        self.engine().change(Change::Abort { key: key.to_owned(), upload }).await.map(|_: Done| ())
    }

    async fn upload_info(&self, key: &str, upload: &MultipartId) -> Result<UploadInfo, BucketError> {
        match self.engine().index.newest(&Place::upload(key.as_bytes(), upload)).await? {
            Some(Value::Upload(info)) => Ok(info),
            _ => Err(BucketError::NoSuchUpload { key: key.to_owned() }),
        }
    }
}

/// The object that these parts make, and its leaves.
pub(super) async fn completed(
    draft: &Draft<'_>,
    upload: &MultipartId,
    info: &UploadInfo,
    (parts, expected): (&[CompletePart], Option<&Checksum>),
) -> Result<(ObjectInfo, Vec<BlockHash>), BucketError> {
    if parts.is_empty() || !parts.is_sorted_by(|one, other| one.number < other.number) {
        return Err(BucketError::InvalidPartOrder);
    }
    let mut found: Vec<PartInfo> = Vec::with_capacity(parts.len());
    for part in parts {
        let number = part.number;
        let Some(Value::Part(info)) = draft.get(&Place::part(upload, number)).await? else {
            return Err(BucketError::InvalidPart { number });
        };
        let is_other = part.etag.as_ref().is_some_and(|etag| *etag != ETag::Whole(info.md5).to_string())
            || part.checksum.as_ref().is_some_and(|said| info.checksum.as_ref().is_some_and(|own| own.bytes != *said));
        if is_other {
            return Err(BucketError::InvalidPart { number });
        }
        found.push(info);
    }
    let small = parts.iter().zip(&found).rev().skip(1).find(|(_, info)| info.size() < LEAST);
    if let Some((part, info)) = small {
        return Err(BucketError::PartTooSmall { number: part.number, size: info.size() });
    }
    let checksum = checksum_of_parts(info, &found);
    if let (Some(expected), Some(own)) = (expected, &checksum)
        && expected.algorithm == own.algorithm
        && expected.bytes != own.bytes
    {
        return Err(BucketError::Check("the object's checksum differs from that of the request".to_owned()));
    }
    let md5s: Vec<[u8; 16]> = found.iter().map(|part| part.md5).collect();
    let etag = etag_of_parts(&md5s).ok_or(BucketError::InvalidPartOrder)?;
    let leaves = leaves_of(&found);
    let pieces = found.into_iter().flat_map(of_part).collect();
    let described =
        Described { headers: info.headers.clone(), metadata: info.metadata.clone(), tags: info.tags.clone() };
    Ok((described.of(draft.now_ms, etag, (checksum, pieces)), leaves))
}

/// The leaves of an object of these parts: theirs, where each part but the last ends where a leaf does. Of others it is
/// known only by reading all of it again; such an object has no name in IPFS.
fn leaves_of(parts: &[PartInfo]) -> Vec<BlockHash> {
    let filled: Vec<&PartInfo> = parts.iter().filter(|part| part.size() > 0).collect();
    let is_whole = |part: &&PartInfo| usize::try_from(part.size()).is_ok_and(|size| size.is_multiple_of(LEAF));
    match filled.split_last() {
        Some((_, before)) if before.iter().all(is_whole) => {
            filled.iter().flat_map(|part| part.leaves.clone()).collect()
        }
        Some(_) => Vec::new(),
        None => parts.first().map(|part| part.leaves.clone()).unwrap_or_default(),
    }
}

/// The pieces of a part, of which the last ends it: of an empty one too.
fn of_part(part: PartInfo) -> Vec<Piece> {
    let mut pieces = part.pieces;
    if pieces.is_empty() {
        pieces.push(Piece { blob: Blob::OWN, offset: 0, length: 0, ends_part: true });
    }
    if let Some(last) = pieces.last_mut() {
        last.ends_part = true;
    }
    pieces
}

/// The checksum of an object of these parts, where its upload announced one or all parts have one of the same kind.
fn checksum_of_parts(info: &UploadInfo, parts: &[PartInfo]) -> Option<Checksum> {
    let of_parts = || parts.first()?.checksum.as_ref().map(|checksum| checksum.algorithm);
    let is_crc64 = |algorithm: ChecksumAlgorithm| algorithm == ChecksumAlgorithm::Crc64Nvme;
    let usual = |algorithm| if is_crc64(algorithm) { ChecksumKind::Whole } else { ChecksumKind::Composite };
    let (algorithm, kind) = info.checksum.or_else(|| of_parts().map(|algorithm| (algorithm, usual(algorithm))))?;
    let own: Vec<&[u8]> = parts
        .iter()
        .map(|part| part.checksum.as_ref().filter(|checksum| checksum.algorithm == algorithm))
        .map(|checksum| checksum.map(|checksum| checksum.bytes.as_slice()))
        .collect::<Option<_>>()?;
    let bytes = match kind {
        ChecksumKind::Composite => checksum_of(algorithm, &own.concat()),
        ChecksumKind::Whole => {
            let (first, rest) = own.split_first()?;
            let sizes = parts.iter().skip(1).map(PartInfo::size);
            rest.iter()
                .zip(sizes)
                .try_fold(first.to_vec(), |all, (next, size)| joined(algorithm, &all, (next, size)))?
        }
    };
    Some(Checksum { algorithm, kind, bytes })
}
