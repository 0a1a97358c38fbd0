//! What an object is described by: headers, metadata and tags, from requests and to responses.

use std::time::{Duration, UNIX_EPOCH};

use hyper::{
    HeaderMap, StatusCode,
    header::{HeaderName, HeaderValue},
};
use ostrakon::{
    bucket::{Described, ObjectHeader, ObjectInfo},
    ipfs::Cid,
};
use percent_encoding::percent_decode_str;
use s3s::{
    S3ErrorCode, S3Result,
    dto::{Metadata, Timestamp},
};

use crate::{
    errors::{custom, error},
    limits,
};

/// The type of an object whose client named none, as in S3.
const TYPE: &str = "binary/octet-stream";

/// `Expires`, which S3 keeps as it is; s3s would refuse what is not a time.
#[derive(Clone, Debug)]
pub(crate) struct Expires(pub(crate) String);

/// The headers of an upload that are kept, as s3s reads them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) cache_control: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) expires: Option<String>,
}

impl Kept {
    fn headers(self) -> Vec<(ObjectHeader, String)> {
        let encoding = self.content_encoding.as_deref().and_then(without_framing);
        let all = [
            (ObjectHeader::CacheControl, self.cache_control),
            (ObjectHeader::ContentDisposition, self.content_disposition),
            (ObjectHeader::ContentEncoding, encoding),
            (ObjectHeader::ContentLanguage, self.content_language),
            (ObjectHeader::ContentType, self.content_type),
            (ObjectHeader::Expires, self.expires),
        ];
        all.into_iter().filter_map(|(header, value)| Some((header, value?))).collect()
    }
}

/// The description of an upload.
pub(crate) fn described(kept: Kept, metadata: Option<Metadata>, tagging: Option<&str>) -> S3Result<Described> {
    let mut metadata: Vec<(String, String)> = metadata.unwrap_or_default().into_iter().collect();
    metadata.sort();
    let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > limits::METADATA_BYTES {
        let text = format!("metadata of {bytes} bytes is over the limit of {} bytes", limits::METADATA_BYTES);
        return Err(error(S3ErrorCode::MetadataTooLarge, text));
    }
    let tags = tagging.map(tags_of_header).transpose()?.unwrap_or_default();
    Ok(Described { headers: kept.headers(), metadata, tags })
}

/// The encodings of an object itself: how its upload was framed is not one.
fn without_framing(encoding: &str) -> Option<String> {
    let kept = |item: &&str| !item.is_empty() && !item.eq_ignore_ascii_case("aws-chunked");
    let kept: Vec<&str> = encoding.split(',').map(str::trim).filter(kept).collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

/// Tags of the header `x-amz-tagging`, which is a query string.
fn tags_of_header(header: &str) -> S3Result<Vec<(String, String)>> {
    let decoded = |text: &str| {
        let invalid = |_| error(S3ErrorCode::InvalidTag, "x-amz-tagging is not UTF-8");
        percent_decode_str(&text.replace('+', " ")).decode_utf8().map(String::from).map_err(invalid)
    };
    let pairs = header.split('&').filter(|pair| !pair.is_empty());
    let tag = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decoded(key)?, decoded(value)?))
    };
    tags(pairs.map(tag).collect::<S3Result<_>>()?)
}

/// Tags as S3 allows them.
pub(crate) fn tags(mut tags: Vec<(String, String)>) -> S3Result<Vec<(String, String)>> {
    if tags.len() > limits::TAGS {
        let text = format!("an object cannot have more than {} tags", limits::TAGS);
        return Err(custom("BadRequest", StatusCode::BAD_REQUEST, text));
    }
    for (key, value) in &tags {
        if key.is_empty() || key.chars().count() > limits::TAG_KEY {
            return Err(error(S3ErrorCode::InvalidTag, format!("a tag's key has 1 to {} characters", limits::TAG_KEY)));
        }
        if value.chars().count() > limits::TAG_VALUE {
            return Err(error(
                S3ErrorCode::InvalidTag,
                format!("a tag's value has up to {} characters", limits::TAG_VALUE),
            ));
        }
    }
    tags.sort();
    if tags.windows(2).any(|pair| matches!(pair, [(one, _), (other, _)] if one == other)) {
        return Err(error(S3ErrorCode::InvalidTag, "two tags have the same key"));
    }
    Ok(tags)
}

/// Metadata as it is sent.
pub(crate) fn metadata(object: &ObjectInfo) -> Option<Metadata> {
    (!object.metadata.is_empty()).then(|| object.metadata.iter().cloned().collect())
}

/// The value of a header of a response: what the request overrides it with, or what the object is kept with.
pub(crate) fn header(object: &ObjectInfo, header: ObjectHeader, overridden: Option<String>) -> Option<String> {
    let default = if header == ObjectHeader::ContentType { Some(TYPE) } else { None };
    overridden.or_else(|| object.header(header).or(default).map(str::to_owned))
}

/// `Expires` as it was put, for the headers of a response; s3s would write none but times.
pub(crate) fn expires(object: &ObjectInfo) -> HeaderMap {
    let value = object.header(ObjectHeader::Expires).and_then(|text| HeaderValue::from_str(text).ok());
    value.map(|value| (hyper::header::EXPIRES, value)).into_iter().collect()
}

/// The name in IPFS of what is public, for the headers of a response.
pub(crate) fn roots(cid: Option<Cid>) -> HeaderMap {
    let value = cid.and_then(|cid| HeaderValue::try_from(cid.to_string()).ok());
    value.map(|value| (HeaderName::from_static("x-ipfs-roots"), value)).into_iter().collect()
}

/// A time as s3s has it.
pub(crate) fn time_of(ms: u64) -> Timestamp {
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_is_no_encoding() {
        let steps = [
            ("aws-chunked", None),
            ("aws-chunked,gzip", Some("gzip")),
            ("gzip, AWS-Chunked", Some("gzip")),
            ("gzip,br", Some("gzip,br")),
            ("", None),
        ];
        for (encoding, kept) in steps {
            assert_eq!(without_framing(encoding).as_deref(), kept, "{encoding}");
        }
    }

    #[test]
    fn tags_are_a_query_string() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let read = tags_of_header("b=2&a=x%20y+z&c").expect("well-formed");
        assert_eq!(read, [pair("a", "x y z"), pair("b", "2"), pair("c", "")]);
        for bad in ["a=1&a=2".to_owned(), "=1".to_owned(), format!("{}=1", "k".repeat(129))] {
            assert_eq!(tags_of_header(&bad).expect_err("refused").code(), &S3ErrorCode::InvalidTag, "{bad}");
        }
        let eleven: Vec<String> = (0..11).map(|number| format!("k{number}=v")).collect();
        assert!(tags_of_header(&eleven.join("&")).is_err());
    }

    #[test]
    fn metadata_is_bounded() {
        let metadata = |bytes: usize| Some(Metadata::from([("name".to_owned(), "v".repeat(bytes - 4))]));
        assert!(described(Kept::default(), metadata(2048), None).is_ok());
        let refused = described(Kept::default(), metadata(2049), None).map(|_| ()).expect_err("too large");
        assert_eq!(refused.code(), &S3ErrorCode::MetadataTooLarge);
    }
}
