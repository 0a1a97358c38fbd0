//! Copies: of objects, and of ranges of objects as parts of an upload.

use std::ops::Range;

use ostrakon::bucket::{Bucket, CopySource, Described, NewCopy, ObjectInfo};
use s3s::{
    S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        self, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopyPartResult, ETag, MetadataDirective,
        TaggingDirective, UploadPartCopyInput, UploadPartCopyOutput,
    },
};

use crate::{
    access::{Granted, unsigned},
    checksums::{named, sent},
    conditions::{Conditions, SourceConditions},
    described::{Expires, described, time_of},
    errors::{error, not_implemented, told},
    fields::{kept, with_checksums},
    parts::part_number,
    ranges::Wanted,
    store::{Store, check_version},
    upload_id,
};

/// The source of a copy, as it was found.
struct Source {
    bucket: Bucket,
    key: String,
    object: ObjectInfo,
}

impl Source {
    async fn find<T>(store: &Store, request: &S3Request<T>, named: &dto::CopySource) -> S3Result<Self> {
        let dto::CopySource::Bucket { bucket, key, version_id } = named else {
            return Err(not_implemented("access points"));
        };
        check_version(version_id.as_deref())?;
        let granted = request.extensions.get::<Granted>();
        granted.ok_or_else(unsigned)?.check_source(bucket)?;
        let bucket = store.bucket(bucket).await?;
        let object = bucket.head(key).await.map_err(told)?;
        request.extensions.get::<SourceConditions>().cloned().unwrap_or_default().check(&object)?;
        Ok(Self { bucket, key: key.to_string(), object })
    }

    fn as_source(&self) -> CopySource<'_> {
        CopySource { bucket: &self.bucket, object: &self.object, key: &self.key }
    }
}

/// `CopyObject`.
pub(crate) async fn object(
    store: &Store,
    mut request: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let source = Source::find(store, &request, &request.input.copy_source).await?;
    let conditions = request.extensions.remove::<Conditions>().unwrap_or_default();
    let expires = request.extensions.remove::<Expires>().map(|Expires(text)| text);
    let input = request.input;
    let bucket = store.bucket(&input.bucket).await?;
    let key = input.key.clone();
    // Who names an algorithm wants a checksum of it, whatever the source has.
    let asked = input.checksum_algorithm.as_ref().map(|algorithm| named(algorithm.as_str())).transpose()?;
    let described = new_description(input, expires, &source)?;
    if described.is_none() && source.bucket.name() == bucket.name() && source.key == key {
        let text = "an object is copied to itself without a change of its metadata or tags";
        return Err(error(S3ErrorCode::InvalidRequest, text));
    }
    let new = NewCopy { described, condition: conditions.of_change()?, checksum: asked };
    let done = match bucket.copy(source.as_source(), &key, new).await {
        Ok(done) => done,
        Err(failed) => return Err(conditions.refused(&bucket, &key, failed).await),
    };
    let checksum = sent(done.checksum.as_ref(), source.object.parts().len());
    let result = with_checksums!(
        CopyObjectResult {
            e_tag: Some(ETag::Strong(done.etag.to_string())),
            last_modified: Some(time_of(done.modified_ms)),
            checksum_type: checksum.checksum_type,
        },
        checksum
    );
    Ok(S3Response::new(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() }))
}

/// What the copy is described by, if not by all that its source is.
fn new_description(input: CopyObjectInput, expires: Option<String>, source: &Source) -> S3Result<Option<Described>> {
    let directive = |text: Option<&str>| match text {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => Err(error(S3ErrorCode::InvalidArgument, format!("{other} is neither COPY nor REPLACE"))),
    };
    let metadata = directive(input.metadata_directive.as_ref().map(MetadataDirective::as_str))?;
    let tags = directive(input.tagging_directive.as_ref().map(TaggingDirective::as_str))?;
    if !metadata && !tags {
        return Ok(None);
    }
    let kept = kept!(input, expires);
    let mut new = described(kept, input.metadata, input.tagging.as_deref())?;
    if !metadata {
        new.headers.clone_from(&source.object.headers);
        new.metadata.clone_from(&source.object.metadata);
    }
    if !tags {
        new.tags.clone_from(&source.object.tags);
    }
    Ok(Some(new))
}

/// `UploadPartCopy`.
pub(crate) async fn part(
    store: &Store,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let (upload, _) = upload_id::parse(&request.input.upload_id)?;
    let number = part_number(request.input.part_number)?;
    let source = Source::find(store, &request, &request.input.copy_source).await?;
    let input = request.input;
    let range =
        input.copy_source_range.as_deref().map(|range| source_range(range, source.object.size())).transpose()?;
    let bucket = store.bucket(&input.bucket).await?;
    let done = bucket.copy_part(&input.key, upload, number, (source.as_source(), range)).await.map_err(told)?;
    let checksum = sent(done.checksum.as_ref(), 0);
    let result = with_checksums!(
        CopyPartResult {
            e_tag: Some(ETag::Strong(done.etag.to_string())),
            last_modified: Some(time_of(done.modified_ms)),
        },
        checksum
    );
    Ok(S3Response::new(UploadPartCopyOutput { copy_part_result: Some(result), ..UploadPartCopyOutput::default() }))
}

/// A range of a source: unlike that of a read, it has both ends, and all of it is there.
fn source_range(text: &str, size: u64) -> S3Result<Range<u64>> {
    match Wanted::parse(text) {
        Some(Wanted::From(first, Some(last))) if last < size => Ok(first..last.saturating_add(1)),
        Some(Wanted::From(_, Some(_))) => {
            let text = format!("the range {text} is not within the source, which has {size} bytes");
            Err(error(S3ErrorCode::InvalidRange, text))
        }
        _ => Err(error(S3ErrorCode::InvalidArgument, "x-amz-copy-source-range has the form bytes=first-last")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_a_source_is_all_there() {
        let steps = [
            ("bytes=0-9", Ok(0..10)),
            ("bytes=3-3", Ok(3..4)),
            ("bytes=0-10", Err("InvalidRange")),
            ("bytes=0-", Err("InvalidArgument")),
            ("bytes=-3", Err("InvalidArgument")),
            ("0-9", Err("InvalidArgument")),
        ];
        for (text, range) in steps {
            let found = source_range(text, 10).map_err(|error| error.code().as_str().to_owned());
            assert_eq!(found, range.map_err(str::to_owned), "{text}");
        }
    }
}
