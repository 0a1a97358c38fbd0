//! Links: what a user keeps to read an object again (ARCHITECTURE 3; SPEC, "Links").
//!
//! `ostrakon:<cid>#<key>` for private objects, `ostrakon:<cid>` for public ones; a bare CID is read as the latter. The
//! part behind `#` is the secret: it never goes to a node, and neither `Debug` nor an error shows it.
//!
//! There is one way to write a link, and several that are read: what mail programs, browsers and QR codes make of a
//! link on its way is undone where it cannot mean anything else.

use std::{fmt, str::FromStr};

use cid::multibase::Base;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::{
    id::{ColumnId, ObjectId},
    seal::ObjectKey,
};

const SCHEME: &str = "ostrakon:";
/// Unpadded lower-case base32 of RFC 4648.
const KEY: Base = Base::Base32Lower;
/// Characters of a key.
const KEY_LEN: usize = 52;

/// An object's name, with its key when it is private. Display and serde show the key: print it only to its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The object.
    pub object: ObjectId,
    /// Its key.
    pub key: Option<ObjectKey>,
}

/// The text is not a link. The error does not repeat it: what is not a CID may be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// There is no text.
    #[error("the link is empty: expected ostrakon:<cid>#<key>, ostrakon:<cid> or <cid>")]
    Empty,
    /// It names a column.
    #[error("{0} is the CID of a column, not of an object")]
    Column(ColumnId),
    /// The part before `#` is not an object's CID.
    #[error(
        "not a link: expected ostrakon:<cid>#<key>, ostrakon:<cid> or <cid>, with the CID of an object (bafyr4i..)"
    )]
    Object,
    /// The part behind `#` is not a key.
    #[error("the key of the link, behind '#', is not {KEY_LEN} characters of base32: copy the whole link again")]
    Key,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.object)?;
        match &self.key {
            Some(key) => write!(f, "#{}", Zeroizing::new(KEY.encode(key.bytes())).as_str()),
            None => Ok(()),
        }
    }
}

impl FromStr for Link {
    type Err = LinkError;

    /// Accepts, besides the canonical form: white space anywhere, `<...>` or quotes around it, upper case,
    /// `ostrakon://`, `%23` for `#`, and a `/` before it.
    fn from_str(text: &str) -> Result<Self, LinkError> {
        let text = plain(text);
        let (object, key) = match text.split_once('#') {
            Some((object, key)) => (object, Some(key)),
            None => (text.as_str(), None),
        };
        let object = object.parse().map_err(|_| match object.parse() {
            _ if object.is_empty() && key.is_none() => LinkError::Empty,
            Ok(column) => LinkError::Column(column),
            Err(_) => LinkError::Object,
        })?;
        let key = key.map(|key| parse_key(key).ok_or(LinkError::Key)).transpose()?;
        Ok(Self { object, key })
    }
}

/// The text without what the way it came added: `<cid>` or `<cid>#<key>`, if it is a link at all. A link has neither
/// white space nor upper case, so that both can go.
fn plain(text: &str) -> Zeroizing<String> {
    // Long enough that the secret is not left behind by growing.
    let mut plain = Zeroizing::new(String::with_capacity(text.len()));
    plain.extend(text.chars().filter(|char| !char.is_whitespace()).map(|char| char.to_ascii_lowercase()));
    let inner = [('<', '>'), ('"', '"'), ('\'', '\'')]
        .into_iter()
        .find_map(|(open, close)| plain.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)));
    let inner = inner.unwrap_or(&plain);
    let inner = inner.strip_prefix(SCHEME).map_or(inner, |rest| rest.strip_prefix("//").unwrap_or(rest));
    let inner = Zeroizing::new(inner.replacen("%23", "#", 1));
    Zeroizing::new(inner.replacen("/#", "#", 1))
}

impl Serialize for Link {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Zeroizing::new(<String as Deserialize>::deserialize(deserializer)?).parse().map_err(de::Error::custom)
    }
}

/// The key that is written exactly so: no padding, no spare bits set.
fn parse_key(text: &str) -> Option<ObjectKey> {
    if text.len() != KEY_LEN {
        return None;
    }
    let bytes = Zeroizing::new(KEY.decode(text).ok()?);
    let exact = Zeroizing::new(KEY.encode(bytes.as_slice())).as_str() == text;
    let bytes: [u8; 32] = bytes.as_slice().try_into().ok().filter(|_| exact)?;
    Some(ObjectKey::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private() -> Link {
        Link { object: ObjectId::new([7; 32]), key: Some(ObjectKey::from_bytes([0xa5; 32])) }
    }

    #[test]
    fn links_round_trip() {
        let public = Link { object: ObjectId::new([7; 32]), key: None };
        for link in [&private(), &public] {
            assert_eq!(link.to_string().parse().as_ref(), Ok(link));
        }
        assert_eq!(public.object.to_string().parse(), Ok(public));
    }

    #[test]
    fn what_happens_to_links_on_their_way_is_undone() {
        let link = private();
        let text = link.to_string();
        let (head, key) = text.split_once('#').expect("private");
        for same in [
            format!("  {text}\r\n"),
            format!("<{text}>"),
            format!("\"{text}\""),
            format!("{head}#{}\r\n  {}", &key[..20], &key[20..]),
            text.to_uppercase(),
            text.replace("ostrakon:", "ostrakon://"),
            text.replace("ostrakon:", "OSTRAKON://"),
            text.replace('#', "%23"),
            text.replace('#', "/#"),
            format!(" <{}> ", text.replace('#', "%23").to_uppercase()),
        ] {
            assert_eq!(same.parse().as_ref(), Ok(&link));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let link = private().to_string();
        let (object, key) = link.split_once('#').expect("private");
        let check = |text: String, expect: LinkError| {
            let error = text.parse::<Link>().expect_err(&text);
            assert_eq!(error, expect, "{text}");
            for part in [key, &key[..8], &key.to_uppercase()] {
                assert!(!format!("{error} {error:?}").contains(part), "the error repeats the key");
            }
        };
        check(String::new(), LinkError::Empty);
        check("ostrakon:".into(), LinkError::Empty);
        check(format!("ostrakon:{object}#{key}"), LinkError::Object);
        check(key.to_owned(), LinkError::Object);
        check(format!("#{key}"), LinkError::Object);
        check(format!("{object}{key}"), LinkError::Object);
        check(ColumnId::new([7; 32]).to_string(), LinkError::Column(ColumnId::new([7; 32])));
        check(format!("{object}#"), LinkError::Key);
        check(format!("{object}#{}", &key[1..]), LinkError::Key);
        check(format!("{object}#{key}a"), LinkError::Key);
        check(format!("{object}#{}1", &key[..51]), LinkError::Key);
        check(format!("{object}#{}=", &key[..51]), LinkError::Key);
        // 52 characters are 260 bits: the last four must be zero.
        check(format!("{object}#{}b", &key[..51]), LinkError::Key);
        check(format!("{object}#{key}#{key}"), LinkError::Key);
    }

    #[test]
    fn debug_hides_the_key() {
        assert!(format!("{:?}", private()).ends_with("key: Some(ObjectKey(..)) }"));
    }
}
