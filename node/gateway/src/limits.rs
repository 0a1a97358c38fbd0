//! What bounds the gateway, in one place.

use std::time::Duration;

/// Bytes of a request's line and headers. S3 takes 8 KiB of headers; presigned URLs come on top.
pub(crate) const HEAD_BYTES: usize = 32 * 1024;
/// How long the headers of a request may take, and an idle connection may wait for the next one.
pub(crate) const HEAD_TIME: Duration = Duration::from_secs(60);
/// How long a client may neither send nor take a byte.
pub(crate) const STALL: Duration = Duration::from_secs(60);
/// How long bytes are still taken, and dropped, after an answer that did not wait for the end of its request.
pub(crate) const LINGER: Duration = Duration::from_secs(5);
/// How long a TLS handshake may take.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);
/// Bytes of an XML body: 1,000 keys to delete, each of 1,024 bytes of which most are escaped.
pub(crate) const XML_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of a file in a form, which is held in memory.
pub(crate) const FORM_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// How long a form may take: strangers can begin one, for its signature is in it.
pub(crate) const FORM_TIME: Duration = Duration::from_secs(300);
/// Bytes of a form's other fields together.
pub(crate) const FORM_FIELDS_BYTES: usize = 256 * 1024;
/// Fields of a form.
pub(crate) const FORM_FIELDS: usize = 100;
/// Forms that are received at a time, each in memory.
pub(crate) const FORMS: usize = 4;
/// Bytes of a signed chunk, which is held in memory until its signature is verified.
pub(crate) const SIGNED_CHUNK_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of an unsigned chunk as it is handed on; clients send whole parts as one.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of the line before a chunk: a length, and a signature.
pub(crate) const CHUNK_LINE_BYTES: usize = 256;
/// Bytes of an object's metadata, names and values together, as in S3.
pub(crate) const METADATA_BYTES: usize = 2 * 1024;
/// Tags of an object, as in S3.
pub(crate) const TAGS: usize = 10;
/// Characters of a tag's key.
pub(crate) const TAG_KEY: usize = 128;
/// Characters of a tag's value.
pub(crate) const TAG_VALUE: usize = 256;
/// Entries of a page of a listing, as in S3.
pub(crate) const PAGE: i32 = 1000;
/// Keys of one request to delete many, as in S3.
pub(crate) const DELETES: usize = 1000;
/// Parts of an upload, as in S3.
pub(crate) const PARTS: u16 = 10_000;
/// Seconds that a presigned URL may be valid, as in S3.
pub(crate) const PRESIGNED_SECONDS: u64 = 7 * 24 * 3600;
/// Seconds by which a client's clock may differ, as in S3.
pub(crate) const SKEW_SECONDS: u32 = 900;
/// Rules of a bucket for other origins, as in S3.
pub(crate) const CORS_RULES: usize = 100;
/// How long the rules of a bucket for other origins are remembered.
pub(crate) const CORS_CACHE: Duration = Duration::from_secs(5);
/// Buckets whose rules are remembered.
pub(crate) const CORS_CACHED: usize = 256;
/// How long an answer about readiness is remembered: strangers may ask.
pub(crate) const READY_CACHE: Duration = Duration::from_secs(5);
/// How long the network may take to show that it is ready.
pub(crate) const READY_TIME: Duration = Duration::from_secs(10);
/// How long a request waits for its turn before it is told to slow down.
pub(crate) const TURN: Duration = Duration::from_secs(5);
/// How long to wait after a connection could not be accepted.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
