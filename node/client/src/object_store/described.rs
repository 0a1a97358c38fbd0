//! Attributes and tags of the `object_store` crate as a bucket has them. Both are bounded as S3 bounds them, and are
//! what headers can carry, so that its clients can read what was put here.

use object_store::{Attribute, AttributeValue, Attributes, Result, TagSet};
use percent_encoding::percent_decode_str;

use super::errors::{generic, unsupported};
use crate::bucket::{Described, ObjectHeader, ObjectInfo};

/// Bytes of all headers together.
const HEADERS_BYTES: usize = 8 * 1024;
/// Bytes of the metadata, names and values together.
const METADATA_BYTES: usize = 2 * 1024;
/// Tags of an object.
const TAGS: usize = 10;
/// Characters of a tag's key and value.
const TAG: (usize, usize) = (128, 256);
/// The only class, by its name in S3.
const CLASS: &str = "STANDARD";

/// What an object with these attributes and tags is served with.
pub(super) fn described(attributes: &Attributes, tags: &TagSet) -> Result<Described> {
    let mut described = Described { tags: tags_of(tags)?, ..Described::default() };
    for (attribute, value) in attributes {
        let header = match attribute {
            Attribute::CacheControl => ObjectHeader::CacheControl,
            Attribute::ContentDisposition => ObjectHeader::ContentDisposition,
            Attribute::ContentEncoding => ObjectHeader::ContentEncoding,
            Attribute::ContentLanguage => ObjectHeader::ContentLanguage,
            Attribute::ContentType => ObjectHeader::ContentType,
            Attribute::StorageClass if value.as_ref() == CLASS => continue,
            Attribute::StorageClass => return Err(unsupported(format!("{CLASS} is the only storage class"))),
            Attribute::Metadata(name) => {
                described.metadata.push((checked_name(name)?, checked(value)?));
                continue;
            }
            other => return Err(unsupported(format!("the attribute {other:?} is not supported"))),
        };
        described.headers.push((header, checked(value)?));
    }
    described.headers.sort();
    described.metadata.sort();
    let headers: usize = described.headers.iter().map(|(_, value)| value.len()).sum();
    let metadata: usize = described.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers > HEADERS_BYTES || metadata > METADATA_BYTES {
        let text = format!(
            "attributes of {headers} bytes and metadata of {metadata} bytes: the limits are {HEADERS_BYTES} and \
             {METADATA_BYTES} bytes"
        );
        return Err(generic(text));
    }
    Ok(described)
}

/// The attributes of an object.
pub(super) fn attributes(info: &ObjectInfo) -> Attributes {
    let header = |(header, value): &(ObjectHeader, String)| {
        let attribute = match header {
            ObjectHeader::CacheControl => Attribute::CacheControl,
            ObjectHeader::ContentDisposition => Attribute::ContentDisposition,
            ObjectHeader::ContentEncoding => Attribute::ContentEncoding,
            ObjectHeader::ContentLanguage => Attribute::ContentLanguage,
            ObjectHeader::ContentType => Attribute::ContentType,
            // There is none for it.
            ObjectHeader::Expires => return None,
        };
        Some((attribute, AttributeValue::from(value.clone())))
    };
    let metadata = info
        .metadata
        .iter()
        .map(|(name, value)| (Attribute::Metadata(name.clone().into()), AttributeValue::from(value.clone())));
    info.headers.iter().filter_map(header).chain(metadata).collect()
}

/// A value that a header can have.
fn checked(value: &str) -> Result<String> {
    let is_sent = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    match value.bytes().all(is_sent) {
        true => Ok(value.to_owned()),
        false => Err(generic(format!("the attribute value {value:?} has control characters"))),
    }
}

/// A name that can be part of a header's. Those have no case.
fn checked_name(name: &str) -> Result<String> {
    let is_sent = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match !name.is_empty() && name.bytes().all(is_sent) {
        true => Ok(name.to_ascii_lowercase()),
        false => Err(generic(format!("the metadata name {name:?} has characters that a header's name cannot have"))),
    }
}

/// Tags, which are a query string.
fn tags_of(tags: &TagSet) -> Result<Vec<(String, String)>> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let tag = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key), decoded(value))
    };
    let mut found: Vec<_> = tags.encoded().split('&').filter(|pair| !pair.is_empty()).map(tag).collect();
    found.sort();
    let is_repeated = found.windows(2).any(|pair| matches!(pair, [(one, _), (other, _)] if one == other));
    let is_long = |(key, value): &(String, String)| key.chars().count() > TAG.0 || value.chars().count() > TAG.1;
    if found.len() > TAGS || is_repeated || found.iter().any(|tag| tag.0.is_empty() || is_long(tag)) {
        let (key, value) = TAG;
        let text = format!(
            "an object has up to {TAGS} tags with different keys of 1 to {key} characters, and values of up to {value}"
        );
        return Err(generic(text));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_they_were_pushed() {
        let set = |pairs: &[(&str, &str)]| {
            let mut tags = TagSet::default();
            pairs.iter().for_each(|(key, value)| tags.push(key, value));
            tags_of(&tags)
        };
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let read = set(&[("b=&", "ü /+"), ("a", "")]).expect("allowed");
        assert_eq!(read, [pair("a", ""), pair("b=&", "ü /+")]);
        for bad in [&[("a", "1"), ("a", "2")][..], &[("", "1")], &[("k", &"v".repeat(257))], &[(&"k".repeat(129), "")]]
        {
            assert!(set(bad).is_err(), "{bad:?}");
        }
        let keys: Vec<String> = (0..11).map(|number| format!("k{number}")).collect();
        let eleven: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "v")).collect();
        assert!(set(&eleven[..10]).is_ok() && set(&eleven).is_err());
    }

    #[test]
    fn attributes_are_what_headers_can_carry() {
        let check = |attribute: Attribute, value: &str| {
            described(&Attributes::from_iter([(attribute, value.to_owned())]), &TagSet::default())
        };
        let metadata = |name: &'static str| Attribute::Metadata(name.into());
        let kept = check(metadata("Key"), "ü").expect("allowed");
        assert_eq!(kept.metadata, [("key".to_owned(), "ü".to_owned())]);
        assert_eq!(check(Attribute::StorageClass, "STANDARD").expect("the only one"), Described::default());
        assert!(matches!(check(Attribute::StorageClass, "GLACIER"), Err(object_store::Error::NotSupported { .. })));
        for (bad, value) in [("", ""), ("a b", ""), ("a", "\n"), ("a", "\u{7f}"), ("a", &"v".repeat(2048))] {
            assert!(check(metadata(bad), value).is_err(), "{bad:?}");
        }
        assert!(check(Attribute::ContentType, &"t".repeat(8 * 1024 + 1)).is_err());
    }
}
