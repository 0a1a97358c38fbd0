//! Multipart uploads: their beginning, their end, and their listing. Their parts are in `parts`.

use ostrakon::bucket::{
    Bucket, BucketError, CompletePart, ETag as Tag, MultipartId, NewUpload, PutDone, UploadsQuery, cid_of,
    etag_of_parts,
};
use s3s::{
    S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        self, AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
        CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, CreateMultipartUploadInput,
        CreateMultipartUploadOutput, ETag, Initiator, ListMultipartUploadsInput, ListMultipartUploadsOutput,
        MultipartUpload, StorageClass,
    },
};

use crate::{
    acl::owner,
    checksums::{given, kind_name, kind_of, name, named, sent},
    conditions::Conditions,
    described::{Expires, described, roots, time_of},
    errors::{error, told},
    fields::{kept, with_checksums},
    limits,
    listing::{Writing, page},
    parts::part_number,
    store::Store,
    upload_id,
};

/// `CreateMultipartUpload`.
pub(crate) async fn create(
    store: &Store,
    mut request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let expires = request.extensions.remove::<Expires>().map(|Expires(text)| text);
    let input = request.input;
    let algorithm = input.checksum_algorithm.as_ref().map(|algorithm| named(algorithm.as_str())).transpose()?;
    let asked = input.checksum_type.as_ref().map(ChecksumType::as_str);
    let checksum = match (algorithm, asked) {
        (Some(algorithm), asked) => Some((algorithm, kind_of(algorithm, asked)?)),
        (None, None) => None,
        (None, Some(_)) => {
            return Err(error(S3ErrorCode::InvalidRequest, "x-amz-checksum-type needs x-amz-checksum-algorithm"));
        }
    };
    let kept = kept!(input, expires);
    let described = described(kept, input.metadata, input.tagging.as_deref())?;
    let bucket = store.bucket(&input.bucket).await?;
    let id = bucket.begin_upload(&input.key, NewUpload { described, checksum }).await.map_err(told)?;
    Ok(S3Response::new(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(upload_id::text(&id, algorithm)),
        checksum_algorithm: algorithm.map(|algorithm| ChecksumAlgorithm::from_static(name(algorithm))),
        checksum_type: checksum.map(|(_, kind)| kind_name(kind)),
        ..CreateMultipartUploadOutput::default()
    }))
}

/// `CompleteMultipartUpload`.
pub(crate) async fn complete(
    store: &Store,
    mut request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let conditions = request.extensions.remove::<Conditions>().unwrap_or_default();
    let input = request.input;
    let (id, _) = upload_id::parse(&input.upload_id)?;
    let listed = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    if listed.is_empty() || listed.len() > usize::from(limits::PARTS) {
        return Err(error(S3ErrorCode::MalformedXML, format!("an upload has 1 to {} parts", limits::PARTS)));
    }
    let count = listed.len();
    let parts: Vec<CompletePart> = listed.into_iter().map(completed).collect::<S3Result<_>>()?;
    if !parts.is_sorted_by(|one, next| one.number < next.number) {
        return Err(told(BucketError::InvalidPartOrder));
    }
    let checksum = given(&with_checksums!(dto::Checksum { checksum_type: input.checksum_type }, input))?;
    let bucket = store.bucket(&input.bucket).await?;
    if let Some(size) = input.mpu_object_size {
        check_size(&bucket, &input.key, id, &parts, size).await?;
    }
    let etag = etag_of(&parts);
    let done = match bucket.complete_upload(&input.key, id, parts, (conditions.of_change()?, checksum)).await {
        Ok(done) => done,
        Err(BucketError::NoSuchUpload { key }) => {
            repeated(&bucket, &input.key, etag).await.ok_or_else(|| told(BucketError::NoSuchUpload { key }))?
        }
        Err(source) => return Err(conditions.refused(&bucket, &input.key, source).await),
    };
    let checksum = sent(done.checksum.as_ref(), count);
    let output = with_checksums!(
        CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, Writing::Url.write(&input.key))),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(done.etag.to_string())),
            checksum_type: checksum.checksum_type,
        },
        checksum,
        ..CompleteMultipartUploadOutput::default()
    );
    Ok(S3Response::with_headers(output, roots(done.cid)))
}

fn completed(part: CompletedPart) -> S3Result<CompletePart> {
    let none = || error(S3ErrorCode::MalformedXML, "a part has no number");
    let number = part_number(part.part_number.ok_or_else(none)?)?;
    let checksum = given(&with_checksums!(dto::Checksum { checksum_type: None }, part))?;
    Ok(CompletePart {
        number,
        etag: part.e_tag.map(ETag::into_value),
        checksum: checksum.map(|checksum| checksum.bytes),
    })
}

/// The entity tag that the object of these parts has, if all of them say theirs.
fn etag_of(parts: &[CompletePart]) -> Option<Tag> {
    let md5 = |part: &CompletePart| <[u8; 16]>::try_from(hex::decode(part.etag.as_ref()?).ok()?).ok();
    etag_of_parts(&parts.iter().map(md5).collect::<Option<Vec<_>>>()?)
}

/// What a client is told that repeats a completion whose answer it did not get: the object is there.
async fn repeated(bucket: &Bucket, key: &str, etag: Option<Tag>) -> Option<PutDone> {
    let object = bucket.head(key).await.ok().filter(|object| Some(object.etag) == etag)?;
    let (size, cid) = (object.size(), cid_of(&object));
    Some(PutDone { etag: object.etag, size, modified_ms: object.modified_ms, checksum: object.checksum, cid })
}

async fn check_size(bucket: &Bucket, key: &str, id: MultipartId, parts: &[CompletePart], said: i64) -> S3Result<()> {
    let (_, stored, _) = bucket.parts(key, id, 0, usize::from(limits::PARTS)).await.map_err(told)?;
    let named = |number| parts.iter().any(|part| part.number == number);
    let size: u64 = stored.iter().filter(|part| named(part.number)).map(|part| part.info.size()).sum();
    if u64::try_from(said).ok() == Some(size) {
        return Ok(());
    }
    let text = format!("the parts have {size} bytes, and x-amz-mp-object-size says {said}");
    Err(error(S3ErrorCode::InvalidRequest, text))
}

/// `AbortMultipartUpload`.
pub(crate) async fn abort(
    store: &Store,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let input = request.input;
    let (id, _) = upload_id::parse(&input.upload_id)?;
    store.bucket(&input.bucket).await?.abort_upload(&input.key, id).await.map_err(told)?;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}

/// `ListMultipartUploads`.
pub(crate) async fn list(
    store: &Store,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let input = request.input;
    let (writing, page) = (Writing::of(input.encoding_type.as_ref())?, page(input.max_uploads)?);
    let after_key = input.key_marker.clone().unwrap_or_default();
    // Without a key, S3 ignores it.
    let marker = input.upload_id_marker.filter(|marker| !marker.is_empty() && !after_key.is_empty());
    let after_upload = marker.as_deref().map(|marker| upload_id::parse(marker).map(|(id, _)| id)).transpose();
    let after_upload = after_upload.map_err(|_| error(S3ErrorCode::InvalidArgument, "invalid upload-id marker"))?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let delimiter = input.delimiter.clone().unwrap_or_default();
    let bucket = store.bucket(&input.bucket).await?;
    let limit = usize::try_from(page).unwrap_or(0);
    let listed = if limit == 0 {
        ostrakon::bucket::ListedUploads { uploads: Vec::new(), prefixes: Vec::new(), next: None }
    } else {
        let query =
            UploadsQuery { prefix: prefix.clone(), delimiter, after_key: after_key.clone(), after_upload, limit };
        bucket.uploads(query).await.map_err(told)?
    };
    let next = listed.next.as_ref();
    let next_id = next.and_then(|(key, id)| {
        let of_page = |upload: &&(String, MultipartId, _)| Some(upload.1) == *id && upload.0 == *key;
        let algorithm = listed.uploads.iter().find(of_page).and_then(|(.., info)| Some(info.checksum?.0));
        Some(upload_id::text(id.as_ref()?, algorithm))
    });
    let uploads = listed.uploads.iter().map(|(key, id, info)| MultipartUpload {
        key: Some(writing.write(key)),
        upload_id: Some(upload_id::text_of(id, info)),
        initiated: Some(time_of(info.begun_ms)),
        owner: Some(owner()),
        initiator: Some(Initiator { id: owner().id, display_name: owner().display_name }),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        checksum_algorithm: info.checksum.map(|(algorithm, _)| ChecksumAlgorithm::from_static(name(algorithm))),
        checksum_type: info.checksum.map(|(_, kind)| kind_name(kind)),
    });
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: Some(writing.write(&prefix)),
        delimiter: writing.write_opt(input.delimiter.as_ref()),
        key_marker: Some(writing.write(&after_key)),
        upload_id_marker: marker.or_else(|| Some(String::new())),
        max_uploads: Some(page),
        is_truncated: Some(next.is_some()),
        uploads: Some(uploads.collect()),
        common_prefixes: Some(writing.prefixes(&listed.prefixes)),
        next_key_marker: next.map(|(key, _)| writing.write(key)),
        next_upload_id_marker: next_id,
        encoding_type: writing.told(),
        request_charged: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_is_the_md5_of_md5s() {
        let part = |etag: &str| CompletePart { number: 1, etag: Some(etag.to_owned()), checksum: None };
        let (one, two) = ("5d41402abc4b2a76b9719d911017c592", "7d793037a0760186574b0282f2f435e7");
        let etag = etag_of(&[part(one), part(two)]).expect("both say theirs");
        assert_eq!(etag.to_string(), "065947336a2f2a95ba8899f3675c3be6-2");
        assert_eq!(etag_of(&[part(one), part("etag")]), None);
    }
}
