//! What a command reads: an object, or a path in a directory that is one. In goes `LINK/path` or `name:NAME/path` as it
//! was typed, bytes and all; out come the object and the path.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, str::FromStr};

use clap::builder::{OsStringValueParser, TypedValueParser};
use ostrakon::Name;
use ostrakon_proto::{
    id::AccountId,
    link::{Link, LinkError},
    pack::PackPath,
};

use crate::cmd::{Home, name};

/// What a name is told from a link by: no CID has a colon, and no link begins so.
const NAME: &str = "name:";

/// `NAME` or `NAME@ACCOUNT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameOf {
    /// The name.
    pub(crate) word: Name,
    /// Whose; without, the profile's.
    pub(crate) owner: Option<AccountId>,
}

impl FromStr for NameOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, owner) = text.split_once('@').map_or((text, None), |(word, owner)| (word, Some(owner)));
        let owner = owner.map(str::parse).transpose().map_err(|error| format!("no account behind '@': {error}"))?;
        Ok(Self { word: word.parse().map_err(|error: ostrakon::InvalidName| error.to_string())?, owner })
    }
}

/// An object, by itself or by a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Object {
    Link(Link),
    Name(NameOf),
}

/// `LINK` or `LINK/path`, where `name:NAME` may stand for the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    object: Object,
    /// The path in it.
    pub(crate) path: Option<PackPath>,
}

impl Target {
    /// How the command line is parsed.
    pub(crate) fn parser() -> impl TypedValueParser<Value = Self> {
        OsStringValueParser::new().try_map(|text| Self::parse(&text))
    }

    /// The link; of a name, what it stands for now, which is asked of the network.
    ///
    /// # Errors
    /// When the name stands for no object, or no node answers with a proof.
    pub(crate) async fn link(&self, home: &Home) -> anyhow::Result<Link> {
        match &self.object {
            Object::Link(link) => Ok(link.clone()),
            Object::Name(of) => Ok(Link { object: name::object(of, home).await?, key: None }),
        }
    }

    /// Splits at the first `/`: there is none in a link or name. A `/` at the end says nothing.
    fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let slash = bytes.iter().position(|byte| *byte == b'/').unwrap_or(bytes.len());
        let (object, rest) = bytes.split_at(slash);
        let object = std::str::from_utf8(object).map_err(|_| "a link is plain text".to_owned())?;
        let object = match object.strip_prefix(NAME) {
            Some(name) => Object::Name(name.parse()?),
            None => Object::Link(object.parse().map_err(|error: LinkError| error.to_string())?),
        };
        let mut path = rest.strip_prefix(b"/").unwrap_or(rest);
        while let Some(shorter) = path.strip_suffix(b"/") {
            path = shorter;
        }
        let parsed = (!path.is_empty()).then(|| PackPath::new(path)).transpose();
        Ok(Self { object, path: parsed.map_err(|error| format!("no path in a directory: {error}"))? })
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::{id::ObjectId, seal::ObjectKey};

    use super::*;

    #[test]
    fn links_end_at_the_first_slash() {
        let cid = ObjectId::new([7; 32]);
        let private = Link { object: cid, key: Some(ObjectKey::from_bytes([1; 32])) };
        let check = |text: &[u8], link: &Link, path: Option<&[u8]>| {
            let target = Target::parse(OsStr::from_bytes(text)).expect("a target");
            let expected = Object::Link(link.clone());
            assert_eq!((target.object, target.path.as_ref().map(PackPath::as_bytes)), (expected, path));
        };
        let public = Link { object: cid, key: None };
        for link in [&private, &public] {
            let text = link.to_string().into_bytes();
            check(&text, link, None);
            check(&[&text[..], b"/"].concat(), link, None);
            check(&[&text[..], b"/a/b c"].concat(), link, Some(b"a/b c"));
            check(&[&text[..], b"/a//"].concat(), link, Some(b"a"));
            check(&[&text[..], b"/\xff\n#"].concat(), link, Some(b"\xff\n#"));
        }
        check(format!("{cid}/x").as_bytes(), &public, Some(b"x"));
    }

    #[test]
    fn names_stand_where_links_do() {
        let account = AccountId::new([7; 32]);
        let check = |text: &str, word: &str, owner, path: Option<&[u8]>| {
            let target = Target::parse(OsStr::new(text)).expect("a target");
            let of = NameOf { word: word.parse().expect("a name"), owner };
            assert_eq!((target.object, target.path.as_ref().map(PackPath::as_bytes)), (Object::Name(of), path));
        };
        check("name:photos", "photos", None, None);
        check("name:photos/2026/june", "photos", None, Some(b"2026/june"));
        check(&format!("name:photos@{account}/a"), "photos", Some(account), Some(b"a"));
        check("name:name:x", "name:x", None, None);
        for bad in ["name:", "name:/a", "name:a@", "name:a@ost1x", "name:a b", "Name:a"] {
            assert!(Target::parse(OsStr::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        let cid = ObjectId::new([7; 32]);
        for text in ["nonsense", "/", &format!("{cid}/../x"), &format!("{cid}//x"), &format!("{cid}/a/./b")] {
            assert!(Target::parse(OsStr::new(text)).is_err(), "{text}");
        }
        assert!(Target::parse(OsStr::from_bytes(b"\xff")).is_err());
    }
}
