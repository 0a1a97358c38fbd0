//! Conditions of requests: `If-Match`, `If-None-Match` and the two with times, of an object and of a copy's source.
//!
//! For a read they are judged here, on what the read found; for a change the bucket judges them when it commits.

use hyper::{
    HeaderMap,
    header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE},
};
use ostrakon::bucket::{Bucket, BucketError, Condition, ObjectInfo};
use s3s::{
    S3Error, S3ErrorCode, S3Result,
    dto::{Timestamp, TimestampFormat},
};

use crate::{
    described::time_of,
    errors::{error, not_implemented, told},
};

const SOURCE: [HeaderName; 4] = [
    HeaderName::from_static("x-amz-copy-source-if-match"),
    HeaderName::from_static("x-amz-copy-source-if-none-match"),
    HeaderName::from_static("x-amz-copy-source-if-modified-since"),
    HeaderName::from_static("x-amz-copy-source-if-unmodified-since"),
];

/// Which entity tags a condition names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    /// `*`
    Any,
    /// These, without quotes.
    Of(Vec<String>),
}

/// The conditions of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    matches: Option<Tags>,
    none_match: Option<Tags>,
    modified_since: Option<Timestamp>,
    unmodified_since: Option<Timestamp>,
}

/// The conditions on a copy's source.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourceConditions(pub(crate) Conditions);

/// What a read is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The object.
    Send,
    /// That the client has it: 304.
    NotModified,
    /// That a condition is false: 412.
    Failed,
}

impl Conditions {
    /// Takes them out of the headers of a request: s3s reads one tag only, and refuses times that HTTP would ignore.
    pub(crate) fn take(headers: &mut HeaderMap) -> Self {
        Self::take_named(headers, &[IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE])
    }

    fn take_named(headers: &mut HeaderMap, [matches, none, modified, unmodified]: &[HeaderName; 4]) -> Self {
        let mut take = |name: &HeaderName| -> Option<String> {
            let values: Vec<String> = headers
                .get_all(name)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect();
            headers.remove(name);
            Some(values.join(",")).filter(|value| !value.trim().is_empty())
        };
        let time = |text: Option<String>| Timestamp::parse(TimestampFormat::HttpDate, text?.trim()).ok();
        Self {
            matches: take(matches).map(|text| Tags::parse(&text, true)),
            none_match: take(none).map(|text| Tags::parse(&text, false)),
            modified_since: time(take(modified)),
            unmodified_since: time(take(unmodified)),
        }
    }

    /// Judges a read of this object.
    pub(crate) fn judge(&self, object: &ObjectInfo) -> Verdict {
        // Times in headers have no fractions.
        let (etag, modified) = (object.etag.to_string(), time_of(object.modified_ms / 1000 * 1000));
        let unmodified = |since: &Timestamp| modified <= *since;
        match (&self.matches, &self.unmodified_since) {
            (Some(tags), _) if !tags.name(&etag) => return Verdict::Failed,
            (None, Some(since)) if !unmodified(since) => return Verdict::Failed,
            _ => {}
        }
        match (&self.none_match, &self.modified_since) {
            (Some(tags), _) if tags.name(&etag) => Verdict::NotModified,
            (None, Some(since)) if unmodified(since) => Verdict::NotModified,
            _ => Verdict::Send,
        }
    }

    /// The condition of a change.
    pub(crate) fn of_change(&self) -> S3Result<Condition> {
        Ok(match (&self.matches, &self.none_match) {
            (None, None) => Condition::None,
            (None, Some(Tags::Any)) => Condition::Absent,
            (None, Some(Tags::Of(tags))) => Condition::MatchesNone(tags.clone()),
            (Some(Tags::Any), None) => Condition::Present,
            (Some(Tags::Of(tags)), None) => Condition::Matches(tags.clone()),
            (Some(_), Some(_)) => return Err(not_implemented("If-Match and If-None-Match together")),
        })
    }

    /// What a client is told of a change that failed: with `If-Match` and no object there is nothing to match.
    pub(crate) async fn refused(&self, bucket: &Bucket, key: &str, source: BucketError) -> S3Error {
        if self.matches.is_some()
            && matches!(source, BucketError::Precondition)
            && let Err(missing @ BucketError::NoSuchKey { .. }) = bucket.head(key).await
        {
            return told(missing);
        }
        told(source)
    }
}

impl SourceConditions {
    /// Takes them out of the headers of a request.
    pub(crate) fn take(headers: &mut HeaderMap) -> Self {
        Self(Conditions::take_named(headers, &SOURCE))
    }

    /// Fails where the source is not as the request wants it.
    pub(crate) fn check(&self, object: &ObjectInfo) -> S3Result<()> {
        match self.0.judge(object) {
            Verdict::Send => Ok(()),
            Verdict::NotModified | Verdict::Failed => {
                Err(error(S3ErrorCode::PreconditionFailed, "precondition failed on the source of the copy"))
            }
        }
    }
}

impl Tags {
    /// Weak tags are equal only where the comparison is weak.
    fn parse(text: &str, strong: bool) -> Self {
        if text.trim() == "*" {
            return Self::Any;
        }
        let tag = |item: &str| {
            let item = item.trim();
            let value = match item.strip_prefix("W/") {
                Some(_) if strong => return None,
                Some(value) => value,
                None => item,
            };
            Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value).to_owned())
        };
        Self::Of(text.split(',').filter_map(tag).collect())
    }

    fn name(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Of(tags) => tags.iter().any(|tag| tag == etag),
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use ostrakon::bucket::ETag;

    use super::*;

    const TAG: &str = "01010101010101010101010101010101";

    fn conditions(headers: &[(&'static str, &str)]) -> Conditions {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        let conditions = Conditions::take(&mut map);
        assert!(map.is_empty());
        conditions
    }

    #[test]
    fn a_read_is_judged_as_http_says() {
        // 1970-01-01 00:01:40.5
        let (etag, modified_ms) = (ETag::Whole([1; 16]), 100_500);
        let (headers, metadata, tags, pieces) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let object = ObjectInfo { modified_ms, etag, checksum: None, headers, metadata, tags, root: None, pieces };
        let (same, list) = (format!("\"{TAG}\""), format!("\"x\", W/\"{TAG}\""));
        let (then, before) = ("Thu, 01 Jan 1970 00:01:40 GMT", "Thu, 01 Jan 1970 00:01:39 GMT");
        let steps: [(&[(&'static str, &str)], Verdict); 15] = [
            (&[], Verdict::Send),
            (&[("if-match", &same)], Verdict::Send),
            (&[("if-match", TAG)], Verdict::Send),
            (&[("if-match", "*")], Verdict::Send),
            (&[("if-match", "\"other\"")], Verdict::Failed),
            (&[("if-match", &list)], Verdict::Failed),
            (&[("if-none-match", &same)], Verdict::NotModified),
            (&[("if-none-match", &list)], Verdict::NotModified),
            (&[("if-none-match", "*")], Verdict::NotModified),
            (&[("if-none-match", "\"other\""), ("if-modified-since", then)], Verdict::Send),
            (&[("if-modified-since", then)], Verdict::NotModified),
            (&[("if-modified-since", before)], Verdict::Send),
            (&[("if-unmodified-since", then)], Verdict::Send),
            (&[("if-unmodified-since", before)], Verdict::Failed),
            (&[("if-match", &same), ("if-unmodified-since", before)], Verdict::Send),
        ];
        for (headers, verdict) in steps {
            assert_eq!(conditions(headers).judge(&object), verdict, "{headers:?}");
        }
        assert_eq!(conditions(&[("if-modified-since", "yesterday")]), Conditions::default());
    }

    #[test]
    fn a_change_has_one_condition() {
        let change = |headers| conditions(headers).of_change();
        assert!(matches!(change(&[]), Ok(Condition::None)));
        assert!(matches!(change(&[("if-none-match", "*")]), Ok(Condition::Absent)));
        assert!(matches!(change(&[("if-match", "*")]), Ok(Condition::Present)));
        let matches = change(&[("if-match", "\"a\", b")]);
        assert!(matches!(matches, Ok(Condition::Matches(tags)) if tags == ["a", "b"]));
        assert!(matches!(change(&[("if-none-match", "a")]), Ok(Condition::MatchesNone(_))));
        assert!(change(&[("if-none-match", "*"), ("if-match", "a")]).is_err());
    }
}
