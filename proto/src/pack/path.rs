//! Paths in a pack: relative, and nothing in them that leads elsewhere.
//!
//! Bytes, as file systems have them, not text. Their order is that of their components, so that a directory stands
//! right before all that lies in it.

use std::{cmp::Ordering, fmt};

use crate::limits;

/// Bytes that are compared at a time.
const BLOCK: usize = 64;

/// A path in a pack: components joined by `/`, none of them empty, `.` or `..`, and no NUL.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PackPath(Vec<u8>);

/// Why bytes are not a path in a pack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// It is empty.
    #[error("a path is empty")]
    Empty,
    /// It is longer than a path may be.
    #[error("a path of {len} bytes is over the limit of {}", limits::PACK_PATH)]
    Long {
        /// Its bytes.
        len: usize,
    },
    /// One of its components is longer than a name may be.
    #[error("a name of {len} bytes is over the limit of {}", limits::PACK_NAME)]
    LongName {
        /// The component's bytes.
        len: usize,
    },
    /// A component is empty, `.` or `..`: the path is absolute, or leads elsewhere.
    #[error("the path {} has an empty part, or '.' or '..'", escape(.0))]
    Leads(Vec<u8>),
    /// It has a NUL, which ends names.
    #[error("the path {} has a NUL byte", escape(.0))]
    Nul(Vec<u8>),
}

impl PackPath {
    /// The path of these bytes.
    ///
    /// # Errors
    /// [`PathError`] when they are not a path.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, PathError> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Err(PathError::Empty);
        }
        if bytes.len() > limits::PACK_PATH {
            return Err(PathError::Long { len: bytes.len() });
        }
        if bytes.contains(&0) {
            return Err(PathError::Nul(bytes));
        }
        for component in bytes.split(is_slash) {
            if matches!(component, b"" | b"." | b"..") {
                return Err(PathError::Leads(bytes));
            }
            if component.len() > limits::PACK_NAME {
                return Err(PathError::LongName { len: component.len() });
            }
        }
        Ok(Self(bytes))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its components, outermost first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(is_slash)
    }

    /// Its last component.
    pub fn name(&self) -> &[u8] {
        let start = self.0.iter().rposition(is_slash).map_or(0, |slash| slash + 1);
        &self.0[start..]
    }

    /// What it lies in; `None` when that is the top.
    pub fn parent(&self) -> Option<Self> {
        self.0.iter().rposition(is_slash).map(|slash| Self(self.0[..slash].to_vec()))
    }

    /// Its first components up to this many bytes, which must end one: an ancestor, or itself.
    pub fn ancestor(&self, len: usize) -> Option<Self> {
        let ends = len == self.0.len() || self.0.get(len) == Some(&b'/');
        (len > 0 && ends).then(|| Self(self.0[..len].to_vec()))
    }

    /// Whether it lies in `directory`, at any depth.
    pub fn is_in(&self, directory: &Self) -> bool {
        self.0.strip_prefix(directory.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/'))
    }
}

impl AsRef<[u8]> for PackPath {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Ord for PackPath {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for PackPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for PackPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0))
    }
}

impl fmt::Debug for PackPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackPath({self})")
    }
}

/// Component by component: `/` is below every byte that a name can have.
pub(super) fn compare(left: &[u8], right: &[u8]) -> Ordering {
    let at = common(left, right);
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    left.get(at).map(rank).cmp(&right.get(at).map(rank))
}

/// How many bytes two paths begin with alike.
pub(super) fn common(left: &[u8], right: &[u8]) -> usize {
    // Deep paths share much, and whole blocks compare many times as fast as bytes.
    let blocks = left.chunks_exact(BLOCK).zip(right.chunks_exact(BLOCK));
    let same = BLOCK * blocks.take_while(|(left, right)| left == right).count();
    same + left[same..].iter().zip(&right[same..]).take_while(|(left, right)| left == right).count()
}

fn is_slash(byte: &u8) -> bool {
    *byte == b'/'
}

/// Bytes as text of one line that is safe to print: control characters, invisible ones and what is not UTF-8 are
/// escaped.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\\' => text.push_str("\\\\"),
                char if char.is_control() || turns_text(char) => text.extend(char.escape_default()),
                char => text.push(char),
            }
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// Invisible characters that make one text look like another.
fn turns_text(char: char) -> bool {
    matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_parsed_or_refused() {
        let good = |bytes: &[u8]| assert_eq!(PackPath::new(bytes).expect("a path").as_bytes(), bytes);
        good(b"a");
        good(b"a/b c/.hidden/...");
        good(b"\xff\n/\x01");
        good(&[b'x'; 255]);
        good(&[&b"a/".repeat(15_999)[..], b"bb"].concat());
        let bad = |bytes: &[u8], expect: fn(&PathError) -> bool| {
            let error = PackPath::new(bytes).expect_err("not a path");
            assert!(expect(&error), "{error:?}");
        };
        bad(b"", |error| *error == PathError::Empty);
        for leads in [&b"/"[..], b"/a", b"a/", b"a//b", b".", b"..", b"a/../b", b"./a", b"a/."] {
            bad(leads, |error| matches!(error, PathError::Leads(_)));
        }
        bad(b"a\0b", |error| matches!(error, PathError::Nul(_)));
        bad(&[b'x'; 256], |error| matches!(error, PathError::LongName { len: 256 }));
        bad(&b"a/".repeat(16_001), |error| matches!(error, PathError::Long { len: 32_002 }));
    }

    #[test]
    fn a_directory_stands_right_before_what_lies_in_it() {
        let mut paths: Vec<PackPath> = [&b"a.b"[..], b"a/c", b"a", b"a\x01", b"b", b"a/b", b"a/b/c", b"a-"]
            .map(|bytes| PackPath::new(bytes).expect("a path"))
            .to_vec();
        paths.sort();
        let order: Vec<String> = paths.iter().map(ToString::to_string).collect();
        assert_eq!(order, ["a", "a/b", "a/b/c", "a/c", "a\\u{1}", "a-", "a.b", "b"]);
    }

    #[test]
    fn parts_of_paths() {
        let path = |text: &str| PackPath::new(text).expect("a path");
        assert_eq!((path("a/b/c").name(), path("a/b/c").parent()), (&b"c"[..], Some(path("a/b"))));
        assert_eq!((path("a").name(), path("a").parent()), (&b"a"[..], None));
        assert!(path("a/b").is_in(&path("a")) && !path("a").is_in(&path("a")) && !path("ab/c").is_in(&path("a")));
        assert_eq!(path("a/b").ancestor(1), Some(path("a")));
        assert_eq!((path("a/b").ancestor(0), path("a/b").ancestor(2)), (None, None));
        assert_eq!(path("a/b").ancestor(3), Some(path("a/b")));
    }

    #[test]
    fn names_show_what_they_are() {
        let check = |bytes: &[u8], expect: &str| assert_eq!(escape(bytes), expect);
        check("grün e\u{301} 'x'".as_bytes(), "grün e\u{301} 'x'");
        check(b"a\nb\t\x1b[31m\\", "a\\nb\\t\\u{1b}[31m\\\\");
        check(b"\xff\xc3(", "\\xff\\xc3(");
        check("abc\u{202e}txt".as_bytes(), "abc\\u{202e}txt");
    }
}
