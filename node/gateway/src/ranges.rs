//! Which bytes of an object a request wants: all, a range, or a part.

use std::ops::Range;

use hyper::{
    StatusCode,
    header::{CONTENT_RANGE, HeaderValue},
};
use ostrakon::bucket::ObjectInfo;
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::errors::{custom, error, with_header};

/// A `Range` header, as far as S3 knows them: one range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// From a byte on, to the last or up to and including one.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

/// The bytes to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Which.
    pub(crate) range: Range<u64>,
    /// Of how many, if not all were asked for.
    pub(crate) partial_of: Option<u64>,
    /// How many parts the object has, if one was asked for.
    pub(crate) parts: Option<usize>,
}

impl Wanted {
    /// `None` of what is not one range: it is ignored.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let (unit, range) = header.trim().split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = range.trim().split_once('-')?;
        match (first.trim(), last.trim()) {
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    /// The bytes of an object of this size; `None` where it has none of them.
    pub(crate) fn within(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From(first, None) => first..size,
            Self::From(first, Some(last)) => first..size.min(last.saturating_add(1)),
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        (range.start < range.end).then_some(range)
    }
}

/// A number of any length: one that is too large is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

impl Window {
    /// What a request wants of an object.
    pub(crate) fn of(object: &ObjectInfo, wanted: Option<Wanted>, part: Option<i32>) -> S3Result<Self> {
        let size = object.size();
        match (wanted, part) {
            (Some(_), Some(_)) => {
                Err(error(S3ErrorCode::InvalidRequest, "a request is for a range or for a part, not for both"))
            }
            (None, None) => Ok(Self { range: 0..size, partial_of: None, parts: None }),
            (Some(wanted), None) => {
                let range = wanted.within(size).ok_or_else(|| unsatisfiable(size))?;
                Ok(Self { range, partial_of: Some(size), parts: None })
            }
            (None, Some(part)) => Self::of_part(&object.parts(), size, part),
        }
    }

    fn of_part(parts: &[u64], size: u64, part: i32) -> S3Result<Self> {
        let index = usize::try_from(part).ok().and_then(|part| part.checked_sub(1));
        let index = index.ok_or_else(|| error(S3ErrorCode::InvalidArgument, "part numbers are from 1 to 10000"))?;
        let none =
            || custom("InvalidPartNumber", StatusCode::RANGE_NOT_SATISFIABLE, format!("the object has no part {part}"));
        if parts.is_empty() {
            // An object that was put as one is its own first part.
            let partial_of = (size > 0).then_some(size);
            return if index == 0 { Ok(Self { range: 0..size, partial_of, parts: None }) } else { Err(none()) };
        }
        let length = parts.get(index).ok_or_else(none)?;
        let start: u64 = parts.iter().take(index).sum();
        let partial_of = (size > 0).then_some(size);
        Ok(Self { range: start..start.saturating_add(*length), partial_of, parts: Some(parts.len()) })
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    /// The `Content-Range` header, if not all bytes were asked for.
    pub(crate) fn content_range(&self) -> Option<String> {
        let size = self.partial_of?;
        Some(format!("bytes {}-{}/{size}", self.range.start, self.range.end.saturating_sub(1)))
    }
}

fn unsatisfiable(size: u64) -> S3Error {
    let refused = error(S3ErrorCode::InvalidRange, format!("the object has {size} bytes, and none of this range"));
    match HeaderValue::try_from(format!("bytes */{size}")) {
        Ok(value) => with_header(refused, CONTENT_RANGE, value),
        Err(_) => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_of_bytes_is_read_and_others_are_ignored() {
        let huge = "99999999999999999999999";
        let steps = [
            ("bytes=0-0", Some(0..1)),
            ("bytes=2-", Some(2..10)),
            ("bytes=2-99", Some(2..10)),
            ("bytes=-3", Some(7..10)),
            ("bytes=-99", Some(0..10)),
            ("Bytes = 1-2", Some(1..3)),
            (&format!("bytes=1-{huge}"), Some(1..10)),
            ("bytes=10-", None),
            ("bytes=-0", None),
            (&format!("bytes={huge}-"), None),
        ];
        for (header, range) in steps {
            assert_eq!(Wanted::parse(header).expect(header).within(10), range, "{header}");
        }
        for malformed in
            ["", "bytes", "bytes=", "bytes=-", "bytes=3-1", "bytes=a-b", "bytes=0-1,3-4", "lines=0-1", "bytes=+1-2"]
        {
            assert_eq!(Wanted::parse(malformed), None, "{malformed}");
        }
        assert_eq!((Wanted::Last(5).within(0), Wanted::From(0, None).within(0)), (None, None));
    }

    #[test]
    fn a_part_is_a_range() {
        let window = Window::of_part(&[5, 3], 8, 2).expect("it is there");
        assert_eq!((window.content_range().as_deref(), window.parts, window.len()), (Some("bytes 5-7/8"), Some(2), 3));
        assert!(Window::of_part(&[5, 3], 8, 3).is_err());
        assert!(Window::of_part(&[], 8, 0).is_err());
        let whole = Window::of_part(&[], 8, 1).expect("the whole is part 1");
        assert_eq!((whole.range, whole.parts), (0..8, None));
    }
}
