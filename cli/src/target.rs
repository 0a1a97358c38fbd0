//! What a command is about: an object, or a path in a directory. The one place that reads links.
//!
//! In goes `LINK/path` or `name:NAME/path` as it was typed, bytes and all; or, since others can see the command line,
//! `-` for stdin, a file, or the environment. Out come the object and the path. No message repeats what is not a link:
//! it may be a key, or a part of one.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::{
    Args, Command,
    builder::TypedValueParser,
    error::{Error as ClapError, ErrorKind as ClapKind},
};
use ostrakon::{AccountId, Link, LinkError, Name, PackPath};
use zeroize::Zeroizing;

use crate::{
    cmd::{Home, name},
    exit::usage,
};

/// What a name is told from a link by: no CID has a colon, and no link begins so.
const NAME: &str = "name:";
/// How a link begins that comes with its scheme.
const SCHEME: &[u8] = b"ostrakon:";
/// The environment variable with a link.
const VARIABLE: &str = "OSTRAKON_LINK";
/// What stands before the name of such a variable on the command line.
pub(crate) const FROM: &str = "env:";
/// Bytes of a link with a path at most.
const MAX: usize = 64 * 1024;

/// `NAME` or `NAME@ACCOUNT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameOf {
    /// The name.
    pub(crate) word: Name,
    /// The account that owns it; without, the profile's.
    pub(crate) owner: Option<AccountId>,
}

impl FromStr for NameOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, owner) = text.split_once('@').map_or((text, None), |(word, owner)| (word, Some(owner)));
        let owner = owner.map(str::parse).transpose().map_err(|error| format!("invalid account after '@': {error}"))?;
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

/// Why a text names nothing. The text itself is never in it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("invalid link: it is not UTF-8 text")]
    NotText,
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("{0}")]
    Name(String),
    #[error("invalid path after the link: it has an empty part, '.', '..' or a NUL byte, or is too long")]
    Path,
}

/// What stands on the command line for an object: itself, or where it is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Given {
    Target(Target),
    Stdin,
    Environment(String),
}

/// The object of a command that takes a path in it as well.
#[derive(Clone, Debug, Args)]
pub(crate) struct TargetArgs {
    /// Link, CID (of an object that is public or listed by `ostrakon ls`), or name:NAME; with /PATH, an entry of a
    /// directory; - reads the link from stdin
    #[arg(value_name = "LINK[/PATH]|-", value_parser = GivenParser)]
    given: Option<Given>,
    /// Read the link from a file: the command line is visible to others, and stays in the shell's history
    #[arg(long, value_name = "FILE", conflicts_with = "given")]
    link_file: Option<PathBuf>,
}

/// The objects of a command that takes several, or none.
#[derive(Clone, Debug, Args)]
pub(crate) struct TargetsArgs {
    /// A directory's link, CID or name:NAME; with /PATH, a subdirectory or file; - reads the link from stdin
    #[arg(value_name = "LINK[/PATH]|-", value_parser = GivenParser)]
    given: Vec<Given>,
    /// Read the link from a file: the command line is visible to others, and stays in the shell's history
    #[arg(long, value_name = "FILE", conflicts_with = "given")]
    link_file: Option<PathBuf>,
}

/// The object of a command that takes no path in it.
#[derive(Clone, Debug, Args)]
pub(crate) struct ObjectArgs {
    /// CID or link of the object, or name:NAME; - reads it from stdin
    #[arg(value_name = "CID|LINK|-", value_parser = GivenParser)]
    given: Option<Given>,
    /// Read the link from a file: the command line is visible to others, and stays in the shell's history
    #[arg(long, value_name = "FILE", conflicts_with = "given")]
    link_file: Option<PathBuf>,
}

impl TargetArgs {
    /// What they name, or else `OSTRAKON_LINK` does.
    ///
    /// # Errors
    /// When nothing is named, or what is named is not an object.
    pub(crate) fn target(&self) -> crate::Result<Target> {
        resolve(self.given.as_ref(), self.link_file.as_deref())
    }
}

impl TargetsArgs {
    /// What they name; nothing of the environment.
    ///
    /// # Errors
    /// As [`TargetArgs::target`].
    pub(crate) fn targets(&self) -> crate::Result<Vec<Target>> {
        let file = self.link_file.iter().map(|file| resolve(None, Some(file)));
        self.given.iter().map(|given| resolve(Some(given), None)).chain(file).collect()
    }
}

impl ObjectArgs {
    /// Whether the command line names an object.
    pub(crate) fn is_given(&self) -> bool {
        self.given.is_some() || self.link_file.is_some()
    }

    /// The link of the object that they name, or else `OSTRAKON_LINK` does.
    ///
    /// # Errors
    /// When nothing is named, what is named is not an object, or a name cannot be looked up.
    pub(crate) async fn link(&self, home: &Home) -> crate::Result<Link> {
        let target = resolve(self.given.as_ref(), self.link_file.as_deref())?;
        match target.path {
            None => target.link(home).await,
            Some(_) => Err(usage("this command takes a whole object: leave out the path after the link")),
        }
    }
}

fn resolve(given: Option<&Given>, file: Option<&Path>) -> crate::Result<Target> {
    let text = match (given, file) {
        (Some(Given::Target(target)), _) => return Ok(target.clone()),
        (Some(Given::Stdin), _) => first_line(io::stdin().lock(), "stdin")?,
        (None, Some(path)) => {
            let file = File::open(path).map_err(|error| usage(format!("cannot read {}: {error}", path.display())))?;
            first_line(file, &path.display().to_string())?
        }
        (Some(Given::Environment(variable)), _) => from_environment(variable)?,
        (None, None) => from_environment(VARIABLE)?,
    };
    Target::parse(&text).map_err(|error| usage(error.to_string()))
}

fn from_environment(variable: &str) -> crate::Result<Zeroizing<Vec<u8>>> {
    let none = || usage(format!("which object? name its link or CID, --link-file FILE, or set {variable}"));
    Ok(Zeroizing::new(std::env::var_os(variable).ok_or_else(none)?.as_bytes().to_vec()))
}

/// The first line, without its end.
fn first_line(from: impl Read, name: &str) -> crate::Result<Zeroizing<Vec<u8>>> {
    let (mut text, limit) = (Zeroizing::new(Vec::with_capacity(MAX)), u64::try_from(MAX).unwrap_or(u64::MAX));
    let read = from.take(limit).read_to_end(&mut text);
    read.map_err(|error| usage(format!("cannot read a link from {name}: {error}")))?;
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    text.truncate(end);
    while text.last() == Some(&b'\r') {
        text.pop();
    }
    Ok(text)
}

/// As clap wants it; its own message would repeat the text.
#[derive(Clone, Copy, Debug)]
struct GivenParser;

impl TypedValueParser for GivenParser {
    type Value = Given;

    fn parse_ref(&self, command: &Command, _: Option<&clap::Arg>, text: &OsStr) -> Result<Given, ClapError> {
        let text = text.as_bytes();
        match (text, variable_of(text)) {
            (b"-", _) => Ok(Given::Stdin),
            (_, Some(variable)) => Ok(Given::Environment(variable)),
            (_, None) => Target::parse(text)
                .map(Given::Target)
                .map_err(|error| ClapError::raw(ClapKind::ValueValidation, error).with_cmd(command)),
        }
    }
}

/// The environment variable with the link of this number.
pub(crate) fn variable(number: usize) -> String {
    if number == 0 { VARIABLE.to_owned() } else { format!("{VARIABLE}_{number}") }
}

/// The variable that an argument names, if it names one with a link.
fn variable_of(text: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(text.strip_prefix(FROM.as_bytes())?).ok()?;
    let number = name.strip_prefix(VARIABLE)?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (number.is_empty() || number.strip_prefix('_').is_some_and(is_number)).then(|| name.to_owned())
}

impl Target {
    /// The link; of a name, that of the object it points to now, which the network is asked for.
    ///
    /// # Errors
    /// When the name does not point to an object, or no node answers with a proof.
    pub(crate) async fn link(&self, home: &Home) -> crate::Result<Link> {
        match &self.object {
            Object::Link(link) => Ok(link.clone()),
            Object::Name(of) => Ok(Link { object: name::object(of, home).await?, key: None }),
        }
    }

    /// Whether it has the key of a private object.
    pub(crate) fn has_key(&self) -> bool {
        matches!(&self.object, Object::Link(Link { key: Some(_), .. }))
    }

    /// Splits at the first `/` behind the scheme: a link or name has none. A `/` at the end means nothing.
    ///
    /// # Errors
    /// [`TargetError`] when it is neither a link nor a name.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, TargetError> {
        let text = text.trim_ascii_start();
        let text = text.strip_prefix(b"<").and_then(|rest| rest.trim_ascii_end().strip_suffix(b">")).unwrap_or(text);
        let scheme = text.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME));
        let slashes = text.get(SCHEME.len()..).is_some_and(|rest| rest.starts_with(b"//"));
        let head = if scheme && slashes { SCHEME.len() + 2 } else { 0 };
        let slash = |from: usize| text[from..].iter().position(|byte| *byte == b'/').map_or(text.len(), |at| from + at);
        let first = slash(head);
        // Browsers put a slash before the '#' of what looks like an address.
        let second = text.get(first + 1..).map_or(first, |_| slash(first + 1));
        let end = if is_private(&text[..second]) { second } else { first };
        let (object, rest) = text.split_at(end);
        let object = std::str::from_utf8(object).map_err(|_| TargetError::NotText)?;
        let object = match object.strip_prefix(NAME) {
            Some(name) => Object::Name(name.trim_ascii_end().parse().map_err(TargetError::Name)?),
            None => Object::Link(object.parse()?),
        };
        let mut path = rest.strip_prefix(b"/").unwrap_or(rest);
        while let Some(shorter) = path.strip_suffix(b"/") {
            path = shorter;
        }
        Ok(Self {
            object,
            path: (!path.is_empty()).then(|| PackPath::new(path)).transpose().map_err(|_| TargetError::Path)?,
        })
    }
}

/// Whether this is a whole link with a key.
fn is_private(text: &[u8]) -> bool {
    let link = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    link.is_some_and(|link: Link| link.key.is_some())
}

#[cfg(test)]
mod tests {
    use ostrakon::{ObjectId, ObjectKey};

    use super::*;

    fn private() -> Link {
        Link { object: ObjectId::new([7; 32]), key: Some(ObjectKey::from_bytes([1; 32])) }
    }

    fn slashed(link: &Link) -> String {
        link.to_string().replace("ostrakon:", "Ostrakon://")
    }

    #[test]
    fn links_end_at_the_first_slash() {
        let private = private();
        let public = Link { key: None, ..private.clone() };
        let check = |text: &[u8], link: &Link, path: Option<&[u8]>| {
            let target = Target::parse(text).expect("a target");
            let expected = Object::Link(link.clone());
            assert_eq!((target.object, target.path.as_ref().map(PackPath::as_bytes)), (expected, path));
        };
        for link in [&private, &public] {
            let text = link.to_string().into_bytes();
            let slashes = slashed(link).into_bytes();
            check(&text, link, None);
            check(&[b" <", &text[..], b">\r"].concat(), link, None);
            check(link.to_string().replace('#', "/#").as_bytes(), link, None);
            check((slashed(link).replace('#', "/%23") + "/a").as_bytes(), link, Some(b"a"));
            for text in [&text, &slashes] {
                check(&[&text[..], b"/"].concat(), link, None);
                check(&[&text[..], b"/a/b c"].concat(), link, Some(b"a/b c"));
                check(&[&text[..], b"/a//"].concat(), link, Some(b"a"));
                check(&[&text[..], b"/\xff\n#"].concat(), link, Some(b"\xff\n#"));
                check(&[b"<", &text[..], b"/a>"].concat(), link, Some(b"a"));
            }
        }
        check(format!("{}/x", public.object).as_bytes(), &public, Some(b"x"));
    }

    #[test]
    fn names_stand_where_links_do() {
        let account = AccountId::new([7; 32]);
        let check = |text: &str, word: &str, owner, path: Option<&[u8]>| {
            let target = Target::parse(text.as_bytes()).expect("a target");
            let of = NameOf { word: word.parse().expect("a name"), owner };
            assert_eq!((target.object, target.path.as_ref().map(PackPath::as_bytes)), (Object::Name(of), path));
        };
        check("name:photos", "photos", None, None);
        check("name:photos/2026/june", "photos", None, Some(b"2026/june"));
        check(&format!("name:photos@{account}/a"), "photos", Some(account), Some(b"a"));
        check("name:name:x", "name:x", None, None);
        for bad in ["name:", "name:/a", "name:a@", "name:a@ost1x", "name:a b", "Name:a"] {
            assert!(Target::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_leads_elsewhere_is_refused_without_a_word_of_the_key() {
        let (link, cid) = (private().to_string(), ObjectId::new([7; 32]));
        let key = link.split_once('#').expect("private").1;
        for text in [
            "gibberish".to_owned(),
            "/".to_owned(),
            key.to_owned(),
            format!("{cid}/../x"),
            format!("{link}//x"),
            format!("{link}/a/./b"),
            format!("{link}x"),
            link.replace('#', " "),
            link.replacen("baf", "bag", 1),
        ] {
            let error = Target::parse(text.as_bytes()).expect_err(&text);
            assert!(!format!("{error} {error:?}").contains(&key[..8]), "{error}");
        }
        assert_eq!(Target::parse(b"\xff"), Err(TargetError::NotText));
    }

    #[test]
    fn one_line_counts_and_no_more_is_read_than_a_link_has() {
        let read = |text: &[u8]| first_line(text, "a test").expect("read").to_vec();
        assert_eq!(read(b"link\r\nother"), b"link");
        assert_eq!(read(b"link"), b"link");
        assert_eq!(read(&[b'x'; MAX + 9]).len(), MAX);
    }
}
