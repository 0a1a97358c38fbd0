//! Reads: `GetObject`, `HeadObject`, and who owns an object.

use std::{
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use hyper::{HeaderMap, StatusCode, header::HeaderValue};
use ostrakon::bucket::{Bucket, BucketError, ObjectHeader, ObjectInfo, cid_of};
use s3s::{
    S3ErrorCode, S3Request, S3Response, S3Result, StdError,
    dto::{
        ChecksumMode, ETag, GetObjectAclInput, GetObjectAclOutput, GetObjectInput, GetObjectOutput, HeadObjectInput,
        HeadObjectOutput, PutObjectAclInput, PutObjectAclOutput, StreamingBlob, Timestamp, TimestampFormat,
    },
    stream::{ByteStream, RemainingLength},
};

use crate::{
    access::{Granted, unsigned},
    acl,
    answers::with_status,
    checksums::sent,
    conditions::{Conditions, Verdict},
    described::{expires, header, metadata, roots, time_of},
    errors::{error, told},
    fields::with_checksums,
    ranges::{Wanted, Window},
    store::{Store, check_version},
};

/// How old the state may be by which strangers read.
const FRESH: Duration = Duration::from_secs(2);
/// How often an object is found again that was replaced before it was open.
const TRIES: usize = 3;

/// An object, and what a read is to send of it.
struct Found {
    bucket: Bucket,
    object: ObjectInfo,
    /// None where the client has it already.
    window: Option<Window>,
}

impl Store {
    /// Finds an object, as of now where it was replaced since it was found last (`again`).
    async fn find<T>(&self, request: &S3Request<T>, at: At<'_>, again: bool) -> S3Result<Found> {
        check_version(at.version)?;
        let bucket = self.bucket(at.bucket).await?;
        let object = match request.extensions.get() {
            Some(Granted::Anyone) => for_anyone(&bucket, at.key, again).await?,
            _ if again => bucket.head_within(Duration::ZERO, at.key).await.map_err(told)?,
            _ => bucket.head(at.key).await.map_err(told)?,
        };
        let conditions = request.extensions.get::<Conditions>().cloned().unwrap_or_default();
        let window = match conditions.judge(&object) {
            Verdict::Failed => {
                return Err(error(S3ErrorCode::PreconditionFailed, "precondition failed (If-Match or the like)"));
            }
            Verdict::NotModified => None,
            Verdict::Send => Some(Window::of(&object, request.extensions.get::<Wanted>().copied(), at.part)?),
        };
        Ok(Found { bucket, object, window })
    }
}

impl Store {
    /// Finds an object, and begins to read what is to be sent of it; again, where it was replaced in between.
    async fn open<T>(&self, request: &S3Request<T>, at: At<'_>) -> S3Result<(Found, Option<StreamingBlob>)> {
        let mut tries = 0;
        loop {
            let found = self.find(request, at, tries > 0).await?;
            let Some(window) = &found.window else { return Ok((found, None)) };
            match body(&found.bucket, &found.object, window).await {
                Err(BucketError::Replaced) if tries < TRIES => tries += 1,
                opened => {
                    let body = opened.map_err(told)?;
                    return Ok((found, Some(body)));
                }
            }
        }
    }
}

/// A public object, without a question to the validators for every stranger. One without a root was put through a
/// handle that was opened while its bucket was private: it is not public.
async fn for_anyone(bucket: &Bucket, key: &str, again: bool) -> S3Result<ObjectInfo> {
    let age = if again { Duration::ZERO } else { FRESH };
    let mut object = bucket.head_within(age, key).await.map_err(told)?;
    if object.root.is_none() {
        return Err(unsigned());
    }
    object.tags.clear();
    Ok(object)
}

/// What a read names.
#[derive(Clone, Copy)]
struct At<'a> {
    bucket: &'a str,
    key: &'a str,
    version: Option<&'a str>,
    part: Option<i32>,
}

/// The checksum that is sent: of all bytes, if the client asks for it.
fn checksum(object: &ObjectInfo, window: &Window, mode: Option<&ChecksumMode>) -> s3s::dto::Checksum {
    let wanted = mode.map(ChecksumMode::as_str) == Some(ChecksumMode::ENABLED);
    let whole = window.len() == object.size();
    sent(object.checksum.as_ref().filter(|_| wanted && whole), object.parts().len())
}

fn count<T: TryFrom<usize>>(number: usize) -> Option<T> {
    T::try_from(number).ok()
}

/// `GetObject`.
pub(crate) async fn get(store: &Store, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
    let input = &request.input;
    let at =
        At { bucket: &input.bucket, key: &input.key, version: input.version_id.as_deref(), part: input.part_number };
    let (Found { object, window, .. }, bytes) = store.open(&request, at).await?;
    let input = request.input;
    let output = GetObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        e_tag: Some(ETag::Strong(object.etag.to_string())),
        last_modified: Some(time_of(object.modified_ms)),
        cache_control: header(&object, ObjectHeader::CacheControl, None),
        metadata: metadata(&object),
        tag_count: count(object.tags.len()).filter(|count| *count > 0),
        ..GetObjectOutput::default()
    };
    let Some(window) = window else { return Ok(not_modified(output, &object)) };
    let checksum = checksum(&object, &window, input.checksum_mode.as_ref());
    let output = with_checksums!(
        GetObjectOutput {
            body: bytes,
            content_length: i64::try_from(window.len()).ok(),
            content_range: window.content_range(),
            content_disposition: header(&object, ObjectHeader::ContentDisposition, None),
            content_encoding: header(&object, ObjectHeader::ContentEncoding, None),
            content_language: header(&object, ObjectHeader::ContentLanguage, None),
            content_type: header(&object, ObjectHeader::ContentType, None),
            parts_count: window.parts.and_then(count),
            checksum_type: checksum.checksum_type,
        },
        checksum,
        ..output
    );
    // What the request overrides is written by s3s.
    let mut headers = if input.response_expires.is_some() { HeaderMap::new() } else { expires(&object) };
    headers.extend(roots(cid_of(&object)));
    Ok(S3Response::with_headers(output, headers))
}

fn not_modified<T>(output: T, object: &ObjectInfo) -> S3Response<T> {
    let mut response = with_status(output, StatusCode::NOT_MODIFIED);
    response.headers = expires(object);
    response
}

/// `HeadObject`.
pub(crate) async fn head(store: &Store, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
    let input = &request.input;
    let at =
        At { bucket: &input.bucket, key: &input.key, version: input.version_id.as_deref(), part: input.part_number };
    let Found { object, window, .. } = store.find(&request, at, false).await?;
    let input = request.input;
    let output = HeadObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        e_tag: Some(ETag::Strong(object.etag.to_string())),
        last_modified: Some(time_of(object.modified_ms)),
        cache_control: header(&object, ObjectHeader::CacheControl, input.response_cache_control),
        metadata: metadata(&object),
        ..HeadObjectOutput::default()
    };
    let Some(window) = window else { return Ok(not_modified(output, &object)) };
    let checksum = checksum(&object, &window, input.checksum_mode.as_ref());
    let range = window.content_range();
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let output = with_checksums!(
        HeadObjectOutput {
            content_length: i64::try_from(window.len()).ok(),
            content_range: range,
            content_disposition: header(&object, ObjectHeader::ContentDisposition, input.response_content_disposition),
            content_encoding: header(&object, ObjectHeader::ContentEncoding, input.response_content_encoding),
            content_language: header(&object, ObjectHeader::ContentLanguage, input.response_content_language),
            content_type: header(&object, ObjectHeader::ContentType, input.response_content_type),
            parts_count: window.parts.and_then(count),
            checksum_type: checksum.checksum_type,
        },
        checksum,
        ..output
    );
    let mut response = with_status(output, status);
    response.headers = head_headers(&object, input.response_expires.as_ref());
    Ok(response)
}

fn head_headers(object: &ObjectInfo, expiry: Option<&Timestamp>) -> HeaderMap {
    let mut headers = expires(object);
    headers.extend(roots(cid_of(object)));
    let mut text = Vec::new();
    let written = expiry.is_some_and(|expiry| expiry.format(TimestampFormat::HttpDate, &mut text).is_ok());
    if let Ok(value) = HeaderValue::from_bytes(&text)
        && written
    {
        headers.insert(hyper::header::EXPIRES, value);
    }
    if !object.tags.is_empty() {
        headers.insert("x-amz-tagging-count", HeaderValue::from(object.tags.len()));
    }
    headers
}

/// The bytes. The first are read before the answer begins, so that an error then is told as one.
async fn body(bucket: &Bucket, object: &ObjectInfo, window: &Window) -> Result<StreamingBlob, BucketError> {
    if window.len() == 0 {
        return Ok(StreamingBlob::new(Sending::empty()));
    }
    let mut rest = bucket.read(object, window.range.clone());
    let first = rest.next().await.transpose()?;
    let all = stream::iter(first.map(Ok)).chain(rest).boxed();
    Ok(StreamingBlob::new(Sending { stream: Mutex::new(all), left: window.len() }))
}

/// A stream of so many bytes. s3s wants it to be `Sync`, which a mutex that is never locked makes it.
struct Sending {
    stream: Mutex<BoxStream<'static, Result<Bytes, BucketError>>>,
    left: u64,
}

impl Sending {
    fn empty() -> Self {
        Self { stream: Mutex::new(stream::empty().boxed()), left: 0 }
    }
}

impl Stream for Sending {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = self.stream.get_mut().unwrap_or_else(PoisonError::into_inner);
        let polled = stream.poll_next_unpin(cx);
        match &polled {
            Poll::Ready(Some(Ok(bytes))) => {
                self.left = self.left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            }
            // The client sees a connection that ends early.
            Poll::Ready(Some(Err(source))) => {
                tracing::warn!(error = %source, "cannot read the rest of an object: the response ends early");
            }
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled.map(|item| item.map(|bytes| bytes.map_err(|source| Box::new(source) as StdError)))
    }
}

impl ByteStream for Sending {
    fn remaining_length(&self) -> RemainingLength {
        usize::try_from(self.left).map_or_else(|_| RemainingLength::unknown(), RemainingLength::new_exact)
    }
}

/// `GetObjectAcl`.
pub(crate) async fn acl(
    store: &Store,
    request: S3Request<GetObjectAclInput>,
) -> S3Result<S3Response<GetObjectAclOutput>> {
    check_version(request.input.version_id.as_deref())?;
    store.bucket(&request.input.bucket).await?.head(&request.input.key).await.map_err(told)?;
    let output = GetObjectAclOutput { grants: Some(acl::grants()), owner: Some(acl::owner()), request_charged: None };
    Ok(S3Response::new(output))
}

/// `PutObjectAcl`: nothing but what everything has.
pub(crate) async fn put_acl(
    store: &Store,
    request: S3Request<PutObjectAclInput>,
) -> S3Result<S3Response<PutObjectAclOutput>> {
    let input = request.input;
    check_version(input.version_id.as_deref())?;
    acl::check_grants(input.access_control_policy.as_ref().and_then(|policy| policy.grants.as_ref()))?;
    store.bucket(&input.bucket).await?.head(&input.key).await.map_err(told)?;
    Ok(S3Response::new(PutObjectAclOutput::default()))
}
