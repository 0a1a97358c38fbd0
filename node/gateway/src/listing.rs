//! Listings of objects: both versions, and that of versions, of which each object has one.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ostrakon::bucket::{ListQuery, Listed, ListedObject};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{
    S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        ChecksumAlgorithm, CommonPrefix, ETag, EncodingType, ListObjectVersionsInput, ListObjectVersionsOutput,
        ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass,
        ObjectVersion, ObjectVersionStorageClass,
    },
};

use crate::{
    acl::owner,
    checksums::{kind_name, name},
    described::time_of,
    errors::{error, told},
    limits,
    store::Store,
};

/// What S3 does not encode in keys. A space is `%20` and not `+`, which some clients would keep.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b'*');

/// How a listing writes keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// As they are.
    Plain,
    /// Percent-encoded, for XML cannot have every character.
    Url,
}

impl Writing {
    /// What a request asks for.
    pub(crate) fn of(encoding: Option<&EncodingType>) -> S3Result<Self> {
        match encoding.map(EncodingType::as_str) {
            None | Some("") => Ok(Self::Plain),
            Some(EncodingType::URL) => Ok(Self::Url),
            Some(other) => {
                Err(error(S3ErrorCode::InvalidArgument, format!("invalid encoding-type {other}: url is the only one")))
            }
        }
    }

    /// A key or a part of one, as it is written.
    pub(crate) fn write(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Url => utf8_percent_encode(text, ENCODED).to_string(),
        }
    }

    /// The same of one that may be absent.
    pub(crate) fn write_opt(self, text: Option<&String>) -> Option<String> {
        text.filter(|text| !text.is_empty()).map(|text| self.write(text))
    }

    /// What the answer says of it.
    pub(crate) fn told(self) -> Option<EncodingType> {
        (self == Self::Url).then(|| EncodingType::from_static(EncodingType::URL))
    }

    /// Prefixes as they are written.
    pub(crate) fn prefixes(self, prefixes: &[String]) -> Vec<CommonPrefix> {
        prefixes.iter().map(|prefix| CommonPrefix { prefix: Some(self.write(prefix)) }).collect()
    }
}

/// How many entries a page may have: what is asked for, and what S3 allows.
pub(crate) fn page(asked: Option<i32>) -> S3Result<i32> {
    match asked {
        None => Ok(limits::PAGE),
        Some(asked) if asked < 0 => Err(error(S3ErrorCode::InvalidArgument, "the size of a page cannot be negative")),
        Some(asked) => Ok(asked.min(limits::PAGE)),
    }
}

/// What a listing asks for; empty is absent.
struct Query {
    bucket: String,
    prefix: Option<String>,
    delimiter: Option<String>,
    after: String,
    page: i32,
}

impl Store {
    async fn list(&self, query: &Query) -> S3Result<Listed> {
        let bucket = self.bucket(&query.bucket).await?;
        let Some(limit) = usize::try_from(query.page).ok().filter(|limit| *limit > 0) else {
            return Ok(Listed { objects: Vec::new(), prefixes: Vec::new(), next: None });
        };
        let (prefix, delimiter) =
            (query.prefix.clone().unwrap_or_default(), query.delimiter.clone().unwrap_or_default());
        let listed = bucket.list(ListQuery { prefix, delimiter, after: query.after.clone(), limit }).await;
        listed.map_err(told)
    }
}

fn object(listed: &ListedObject, writing: Writing, with_owner: bool) -> Object {
    let ListedObject { key, info } = listed;
    Object {
        key: Some(writing.write(key)),
        e_tag: Some(ETag::Strong(info.etag.to_string())),
        last_modified: Some(time_of(info.modified_ms)),
        size: i64::try_from(info.size()).ok(),
        storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
        owner: with_owner.then(owner),
        checksum_algorithm: info.checksum.as_ref().map(|sum| vec![ChecksumAlgorithm::from_static(name(sum.algorithm))]),
        checksum_type: info.checksum.as_ref().map(|sum| kind_name(sum.kind)),
        ..Object::default()
    }
}

/// `ListObjects`.
pub(crate) async fn objects(
    store: &Store,
    request: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let input = request.input;
    let (writing, page) = (Writing::of(input.encoding_type.as_ref())?, page(input.max_keys)?);
    let after = input.marker.clone().unwrap_or_default();
    let query = Query { bucket: input.bucket, prefix: input.prefix, delimiter: input.delimiter, after, page };
    let listed = store.list(&query).await?;
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(query.bucket),
        prefix: Some(writing.write(query.prefix.as_deref().unwrap_or_default())),
        marker: Some(writing.write(&query.after)),
        max_keys: Some(page),
        is_truncated: Some(listed.next.is_some()),
        contents: Some(listed.objects.iter().map(|listed| object(listed, writing, true)).collect()),
        common_prefixes: Some(writing.prefixes(&listed.prefixes)),
        delimiter: writing.write_opt(query.delimiter.as_ref()),
        next_marker: listed.next.map(|next| writing.write(&next)),
        encoding_type: writing.told(),
        request_charged: None,
    }))
}

/// `ListObjectsV2`.
pub(crate) async fn objects_v2(
    store: &Store,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let input = request.input;
    let (writing, page) = (Writing::of(input.encoding_type.as_ref())?, page(input.max_keys)?);
    let token = input.continuation_token.filter(|token| !token.is_empty());
    let after = match &token {
        Some(token) => read_token(token)?,
        None => input.start_after.clone().unwrap_or_default(),
    };
    let query = Query { bucket: input.bucket, prefix: input.prefix, delimiter: input.delimiter, after, page };
    let listed = store.list(&query).await?;
    let with_owner = input.fetch_owner == Some(true);
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(query.bucket),
        prefix: Some(writing.write(query.prefix.as_deref().unwrap_or_default())),
        max_keys: Some(page),
        key_count: i32::try_from(listed.objects.len() + listed.prefixes.len()).ok(),
        continuation_token: token,
        is_truncated: Some(listed.next.is_some()),
        contents: Some(listed.objects.iter().map(|listed| object(listed, writing, with_owner)).collect()),
        common_prefixes: Some(writing.prefixes(&listed.prefixes)),
        delimiter: writing.write_opt(query.delimiter.as_ref()),
        next_continuation_token: listed.next.map(|next| URL_SAFE_NO_PAD.encode(next)),
        start_after: writing.write_opt(input.start_after.as_ref()),
        encoding_type: writing.told(),
        request_charged: None,
    }))
}

fn read_token(token: &str) -> S3Result<String> {
    let decoded = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.ok_or_else(|| error(S3ErrorCode::InvalidArgument, "the continuation token is not one of this gateway"))
}

/// `ListObjectVersions`.
pub(crate) async fn versions(
    store: &Store,
    request: S3Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    let input = request.input;
    let (writing, page) = (Writing::of(input.encoding_type.as_ref())?, page(input.max_keys)?);
    let after = input.key_marker.clone().unwrap_or_default();
    let version = input.version_id_marker.filter(|marker| !marker.is_empty());
    if after.is_empty() && version.is_some() {
        let text = "a version-id marker cannot be specified without a key marker";
        return Err(error(S3ErrorCode::InvalidArgument, text));
    }
    let query = Query { bucket: input.bucket, prefix: input.prefix, delimiter: input.delimiter, after, page };
    let listed = store.list(&query).await?;
    let versions = listed.objects.iter().map(|listed| version_of(object(listed, writing, true))).collect();
    Ok(S3Response::new(ListObjectVersionsOutput {
        name: Some(query.bucket),
        prefix: Some(writing.write(query.prefix.as_deref().unwrap_or_default())),
        key_marker: Some(writing.write(&query.after)),
        version_id_marker: version.or_else(|| Some(String::new())),
        max_keys: Some(page),
        is_truncated: Some(listed.next.is_some()),
        versions: Some(versions),
        common_prefixes: Some(writing.prefixes(&listed.prefixes)),
        delimiter: writing.write_opt(query.delimiter.as_ref()),
        next_version_id_marker: listed.next.as_ref().map(|_| "null".to_owned()),
        next_key_marker: listed.next.map(|next| writing.write(&next)),
        encoding_type: writing.told(),
        ..ListObjectVersionsOutput::default()
    }))
}

fn version_of(object: Object) -> ObjectVersion {
    ObjectVersion {
        key: object.key,
        version_id: Some("null".to_owned()),
        is_latest: Some(true),
        e_tag: object.e_tag,
        last_modified: object.last_modified,
        size: object.size,
        storage_class: Some(ObjectVersionStorageClass::from_static(ObjectVersionStorageClass::STANDARD)),
        owner: object.owner,
        checksum_algorithm: object.checksum_algorithm,
        checksum_type: object.checksum_type,
        ..ObjectVersion::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_for_xml() {
        assert_eq!(Writing::Url.write("a b/ü+\n%~*"), "a%20b/%C3%BC%2B%0A%25~*");
        assert_eq!(Writing::Plain.write("a b"), "a b");
        assert!(Writing::of(Some(&EncodingType::from("xml".to_owned()))).is_err());
    }

    #[test]
    fn pages_are_bounded() {
        let asked = [None, Some(0), Some(5), Some(5000)].map(|asked| page(asked).ok());
        assert_eq!(asked, [Some(1000), Some(0), Some(5), Some(1000)]);
        assert!(page(Some(-1)).is_err());
    }

    #[test]
    fn a_token_is_where_a_page_ended() {
        for key in ["a", "ü/../\u{0}"] {
            assert_eq!(read_token(&URL_SAFE_NO_PAD.encode(key)).ok().as_deref(), Some(key));
        }
        assert!(read_token("?").is_err());
    }
}
