//! What a command reads: an object, or a path in a directory that is one. In goes `LINK/path` as it was typed, bytes
//! and all; out come the link and the path.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use clap::builder::{OsStringValueParser, TypedValueParser};
use ostrakon_proto::{link::Link, pack::PackPath};

/// `LINK` or `LINK/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The object.
    pub(crate) link: Link,
    /// The path in it.
    pub(crate) path: Option<PackPath>,
}

impl Target {
    /// How the command line is parsed.
    pub(crate) fn parser() -> impl TypedValueParser<Value = Self> {
        OsStringValueParser::new().try_map(|text| Self::parse(&text))
    }

    /// Splits at the first `/`: there is none in a link. A `/` at the end says nothing.
    fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let slash = bytes.iter().position(|byte| *byte == b'/').unwrap_or(bytes.len());
        let (link, rest) = bytes.split_at(slash);
        let link = std::str::from_utf8(link).map_err(|_| "a link is plain text".to_owned())?;
        let link = link.parse().map_err(|error: ostrakon_proto::link::LinkError| error.to_string())?;
        let mut path = rest.strip_prefix(b"/").unwrap_or(rest);
        while let Some(shorter) = path.strip_suffix(b"/") {
            path = shorter;
        }
        let parsed = (!path.is_empty()).then(|| PackPath::new(path)).transpose();
        Ok(Self { link, path: parsed.map_err(|error| format!("no path in a directory: {error}"))? })
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
            assert_eq!((&target.link, target.path.as_ref().map(PackPath::as_bytes)), (link, path));
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
    fn what_leads_elsewhere_is_refused() {
        let cid = ObjectId::new([7; 32]);
        for text in ["nonsense", "/", &format!("{cid}/../x"), &format!("{cid}//x"), &format!("{cid}/a/./b")] {
            assert!(Target::parse(OsStr::new(text)).is_err(), "{text}");
        }
        assert!(Target::parse(OsStr::from_bytes(b"\xff")).is_err());
    }
}
