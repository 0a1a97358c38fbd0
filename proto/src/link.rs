//! Links: what a user keeps to read an object again (ARCHITECTURE 3; SPEC, "Links").
//!
//! `ostrakon:<cid>#<key>` for private objects, `ostrakon:<cid>` for public ones; a bare CID is read as the latter. The
//! part behind `#` is the secret: it never goes to a node, and `Debug` hides it.

use std::{fmt, str::FromStr};

use cid::multibase::Base;
use zeroize::Zeroizing;

use crate::{
    id::{ObjectId, ParseIdError},
    seal::ObjectKey,
};

const SCHEME: &str = "ostrakon:";
/// Unpadded lower-case base32 of RFC 4648.
const KEY: Base = Base::Base32Lower;
/// Characters of a key.
const KEY_LEN: usize = 52;

/// An object's name, with its key when it is private. Display shows the key: print it only to its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The object.
    pub object: ObjectId,
    /// Its key.
    pub key: Option<ObjectKey>,
}

/// The text is no link. It does not repeat the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The part before `#` is no object's CID.
    #[error("not a link (ostrakon:<cid>#<key>, ostrakon:<cid> or <cid>): {0}")]
    Object(#[from] ParseIdError),
    /// The part behind `#` is no key.
    #[error(
        "the key of the link, behind '#', is not {KEY_LEN} characters of lower-case base32: was it cut or changed?"
    )]
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

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let text = text.strip_prefix(SCHEME).unwrap_or(text);
        let (object, key) = match text.split_once('#') {
            Some((object, key)) => (object, Some(parse_key(key).ok_or(LinkError::Key)?)),
            None => (text, None),
        };
        Ok(Self { object: object.parse()?, key })
    }
}

/// The key that is written exactly so: no other case, no padding, no spare bits set.
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
    use crate::id::ColumnId;

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
    fn other_texts_are_refused() {
        let link = private().to_string();
        let (object, key) = link.split_once('#').expect("private");
        let check = |text: String, expect: fn(&LinkError) -> bool| {
            let error = text.parse::<Link>().expect_err(&text);
            assert!(expect(&error), "{text}: {error:?}");
            assert!(!error.to_string().contains(key), "the error repeats the key");
        };
        let no_key = |error: &LinkError| *error == LinkError::Key;
        let no_object = |error: &LinkError| matches!(error, LinkError::Object(_));
        check(String::new(), no_object);
        check("ostrakon:".into(), no_object);
        check(format!("ostrakon:{object}#{key}"), no_object);
        check(format!("OSTRAKON:{}", ObjectId::new([7; 32])), no_object);
        check(ColumnId::new([7; 32]).to_string(), no_object);
        check(format!("{object}#"), no_key);
        check(format!("{object}#{}", &key[1..]), no_key);
        check(format!("{object}#{key}a"), no_key);
        check(format!("{object}#{}", key.to_uppercase()), no_key);
        check(format!("{object}#{}1", &key[..51]), no_key);
        check(format!("{object}#{}=", &key[..51]), no_key);
        // 52 characters are 260 bits: the last four must be zero.
        check(format!("{object}#{}b", &key[..51]), no_key);
        check(format!("{object}#{key}#{key}"), no_key);
    }

    #[test]
    fn debug_hides_the_key() {
        assert!(format!("{:?}", private()).ends_with("key: Some(ObjectKey(..)) }"));
    }
}
