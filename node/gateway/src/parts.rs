//! Parts of multipart uploads.

use std::sync::{Arc, OnceLock};

use ostrakon::bucket::ListedPart;
use s3s::{
    S3ErrorCode, S3Request, S3Response, S3Result, TrailingHeaders,
    dto::{
        ChecksumAlgorithm, ETag, Initiator, ListPartsInput, ListPartsOutput, Part, StorageClass, UploadPartInput,
        UploadPartOutput,
    },
};

use crate::{
    acl::owner,
    body::Reason,
    checksums::{Expected, kind_name, name, sent},
    described::time_of,
    errors::{error, told},
    fields::with_checksums,
    limits,
    listing::page,
    put::{Upload, refused},
    store::Store,
    upload_id,
};

/// The number of a part.
pub(crate) fn part_number(number: i32) -> S3Result<u16> {
    let number = u16::try_from(number).ok().filter(|number| (1..=limits::PARTS).contains(number));
    let text = || format!("part numbers are from 1 to {}", limits::PARTS);
    number.ok_or_else(|| error(S3ErrorCode::InvalidArgument, text()))
}

/// `UploadPart`. A part may bring another checksum than its upload announced: both are computed, what it brought is
/// checked and told, and what was announced is kept.
pub(crate) async fn put(
    store: &Store,
    mut request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let expected = Expected::of_upload(&request.headers)?;
    let trailers = request.extensions.remove::<TrailingHeaders>();
    let reason = request.extensions.remove::<Reason>().unwrap_or_default();
    let input = request.input;
    let (id, announced) = upload_id::parse(&input.upload_id)?;
    let number = part_number(input.part_number)?;
    let bucket = store.bucket(&input.bucket).await?;
    let checked = Arc::new(OnceLock::new());
    let upload = Upload {
        body: input.body,
        size: input.content_length,
        expected,
        trailers,
        reason: reason.clone(),
        checked: Arc::clone(&checked),
    };
    let done = bucket.put_part(&input.key, id, number, upload.into_put(announced)).await;
    let done = done.map_err(|source| refused(&reason, source).unwrap_or_else(told))?;
    let checksum = sent(checked.get().or(done.checksum.as_ref()), 0);
    Ok(S3Response::new(with_checksums!(
        UploadPartOutput { e_tag: Some(ETag::Strong(done.etag.to_string())) },
        checksum,
        ..UploadPartOutput::default()
    )))
}

/// `ListParts`.
pub(crate) async fn list(store: &Store, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
    let input = request.input;
    let (id, _) = upload_id::parse(&input.upload_id)?;
    let (page, marker) = (page(input.max_parts)?, input.part_number_marker.unwrap_or(0));
    let after = u16::try_from(marker).map_err(|_| error(S3ErrorCode::InvalidArgument, "invalid part-number marker"))?;
    let bucket = store.bucket(&input.bucket).await?;
    let limit = usize::try_from(page).unwrap_or(0);
    let (upload, parts, truncated) = bucket.parts(&input.key, id, after, limit).await.map_err(told)?;
    let last = parts.last().map(|part| i32::from(part.number));
    Ok(S3Response::new(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        max_parts: Some(page),
        part_number_marker: Some(marker),
        next_part_number_marker: last.or(Some(0)),
        is_truncated: Some(truncated && limit > 0),
        parts: Some(parts.iter().map(listed).collect()),
        owner: Some(owner()),
        initiator: Some(Initiator { id: owner().id, display_name: owner().display_name }),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        checksum_algorithm: upload.checksum.map(|(algorithm, _)| ChecksumAlgorithm::from_static(name(algorithm))),
        checksum_type: upload.checksum.map(|(_, kind)| kind_name(kind)),
        ..ListPartsOutput::default()
    }))
}

fn listed(part: &ListedPart) -> Part {
    let ListedPart { number, info } = part;
    let checksum = sent(info.checksum.as_ref(), 0);
    with_checksums!(
        Part {
            part_number: Some(i32::from(*number)),
            e_tag: Some(ETag::Strong(hex::encode(info.md5))),
            last_modified: Some(time_of(info.modified_ms)),
            size: i64::try_from(info.size()).ok(),
        },
        checksum
    )
}
