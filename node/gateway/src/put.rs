//! Writes of whole objects: `PutObject`, and forms.

use std::sync::{Arc, OnceLock};

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
    http::Extensions,
};
use ostrakon::bucket::{Bucket, BucketError, Checksum, ChecksumAlgorithm, Described, Put, PutDone};
use s3s::{
    S3Error, S3ErrorCode, S3Request, S3Response, S3Result, TrailingHeaders,
    dto::{
        ETag, Metadata, ObjectCannedACL, PostObjectInput, PostObjectOutput, PutObjectInput, PutObjectOutput,
        ServerSideEncryption, StorageClass, StreamingBlob, TimestampFormat,
    },
};

use crate::{
    acl::refuse_unsupported,
    auth::old_signature,
    body::{Reason, reader},
    checksums::{Expected, sent},
    conditions::Conditions,
    described::{Expires, Kept, described, roots},
    errors::{error, told},
    fields::{kept, with_checksums},
    forms::FileName,
    store::Store,
};

/// An upload of an object or a part: bytes, and what was said of them.
pub(crate) struct Upload {
    pub(crate) body: Option<StreamingBlob>,
    pub(crate) size: Option<i64>,
    pub(crate) expected: Expected,
    pub(crate) trailers: Option<TrailingHeaders>,
    pub(crate) reason: Reason,
    /// Where the checksum is written that the client sent, once it was checked.
    pub(crate) checked: Arc<OnceLock<Checksum>>,
}

impl Upload {
    /// What a bucket is to store. The first of `digests` is kept as the checksum.
    pub(crate) fn into_put(self, first: Option<ChecksumAlgorithm>) -> Put<'static> {
        let Self { body, size, expected, trailers, reason, checked } = self;
        let mut digests: Vec<ChecksumAlgorithm> = first.into_iter().chain(expected.algorithm()).collect();
        digests.dedup();
        if digests.is_empty() {
            digests.push(ChecksumAlgorithm::Crc64Nvme);
        }
        let mut put = Put::new(reader(body, reason.clone()));
        put.size = size.and_then(|size| u64::try_from(size).ok());
        put.digests = digests;
        put.check = Box::new(move |computed| {
            expected.check(computed, trailers.as_ref()).map_err(|why| {
                let text = why.message().unwrap_or_default().to_owned();
                reason.set(why);
                text
            })?;
            let sent = computed.checksums.iter().find(|checksum| Some(checksum.algorithm) == expected.algorithm());
            sent.cloned().into_iter().for_each(|sent| drop(checked.set(sent)));
            Ok(())
        });
        put
    }
}

/// What a client is told of an upload that failed: why its body was refused, or what the bucket says.
pub(crate) fn refused(reason: &Reason, source: BucketError) -> Result<S3Error, BucketError> {
    match source {
        BucketError::Body(_) | BucketError::Check(_) => Ok(reason.take().unwrap_or_else(|| told(source))),
        source => Err(source),
    }
}

async fn store_object(
    bucket: &Bucket,
    key: &str,
    upload: Upload,
    described: Described,
    conditions: &Conditions,
) -> S3Result<PutDone> {
    let condition = conditions.of_change()?;
    let reason = upload.reason.clone();
    let put = Put { described, condition, ..upload.into_put(None) };
    match bucket.put(key, put).await {
        Ok(done) => Ok(done),
        Err(source) => match refused(&reason, source) {
            Ok(why) => Err(why),
            Err(source) => Err(conditions.refused(bucket, key, source).await),
        },
    }
}

/// An object to be stored, with what was said of it.
struct Object {
    bucket: String,
    key: String,
    kept: Kept,
    metadata: Option<Metadata>,
    tagging: Option<String>,
    body: Option<StreamingBlob>,
    size: Option<i64>,
}

impl Object {
    async fn store(self, store: &Store, headers: &HeaderMap, extensions: &mut Extensions) -> S3Result<PutDone> {
        let upload = Upload {
            body: self.body,
            size: self.size,
            expected: Expected::of_upload(headers)?,
            trailers: extensions.remove(),
            reason: extensions.remove().unwrap_or_default(),
            checked: Arc::default(),
        };
        let conditions: Conditions = extensions.remove().unwrap_or_default();
        let described = described(self.kept, self.metadata, self.tagging.as_deref())?;
        let bucket = store.bucket(&self.bucket).await?;
        store_object(&bucket, &self.key, upload, described, &conditions).await
    }
}

/// `PutObject`.
pub(crate) async fn put(
    store: &Store,
    mut request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let input = request.input;
    let kept = kept!(input, request.extensions.remove().map(|Expires(text)| text));
    let object = Object {
        bucket: input.bucket,
        key: input.key,
        kept,
        metadata: input.metadata,
        tagging: input.tagging,
        body: input.body,
        size: input.content_length,
    };
    let done = object.store(store, &request.headers, &mut request.extensions).await?;
    let checksum = sent(done.checksum.as_ref(), 0);
    let output = with_checksums!(
        PutObjectOutput { e_tag: Some(ETag::Strong(done.etag.to_string())), checksum_type: checksum.checksum_type },
        checksum,
        ..PutObjectOutput::default()
    );
    Ok(S3Response::with_headers(output, roots(done.cid)))
}

/// A form, whose fields are what headers are of a `PutObject`. s3s has checked its policy.
pub(crate) async fn post(
    store: &Store,
    mut request: S3Request<PostObjectInput>,
) -> S3Result<S3Response<PostObjectOutput>> {
    if request.region.is_none() {
        // Only the second version of signatures has none.
        return Err(old_signature());
    }
    let form = request.input;
    let key = request.extensions.remove::<FileName>().unwrap_or_default().insert(&form.key);
    if key.is_empty() {
        return Err(error(S3ErrorCode::InvalidArgument, "the form's key is empty"));
    }
    let headers = form_headers(&form)?;
    refuse_unsupported(&headers)?;
    let mut expires = Vec::new();
    let expires = form.expires.and_then(|time| {
        time.format(TimestampFormat::HttpDate, &mut expires).ok()?;
        String::from_utf8(expires).ok()
    });
    let kept = kept!(form, expires);
    let object = Object {
        bucket: form.bucket,
        key,
        kept,
        metadata: form.metadata,
        tagging: form.tagging,
        body: form.body,
        size: form.content_length,
    };
    let done = object.store(store, &headers, &mut request.extensions).await?;
    let e_tag = Some(ETag::Strong(done.etag.to_string()));
    Ok(S3Response::new(PostObjectOutput { e_tag, ..PostObjectOutput::default() }))
}

/// The headers that say the same as a form's fields.
fn form_headers(form: &PostObjectInput) -> S3Result<HeaderMap> {
    let fields = [
        ("content-md5", form.content_md5.as_deref()),
        ("x-amz-acl", form.acl.as_ref().map(ObjectCannedACL::as_str)),
        ("x-amz-checksum-crc32", form.checksum_crc32.as_deref()),
        ("x-amz-checksum-crc32c", form.checksum_crc32c.as_deref()),
        ("x-amz-checksum-crc64nvme", form.checksum_crc64nvme.as_deref()),
        ("x-amz-checksum-sha1", form.checksum_sha1.as_deref()),
        ("x-amz-checksum-sha256", form.checksum_sha256.as_deref()),
        ("x-amz-server-side-encryption", form.server_side_encryption.as_ref().map(ServerSideEncryption::as_str)),
        ("x-amz-server-side-encryption-customer-algorithm", form.sse_customer_algorithm.as_deref()),
        ("x-amz-storage-class", form.storage_class.as_ref().map(StorageClass::as_str)),
        ("x-amz-website-redirect-location", form.website_redirect_location.as_deref()),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in fields.iter().filter_map(|(name, value)| Some((*name, (*value)?))) {
        let invalid = |_| error(S3ErrorCode::InvalidArgument, format!("the form's field {name} is invalid"));
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).map_err(invalid)?);
    }
    Ok(headers)
}
