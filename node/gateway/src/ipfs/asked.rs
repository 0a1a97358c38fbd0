//! What a request of IPFS asks for.

use hyper::{
    HeaderMap, Method, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, IF_NONE_MATCH, RANGE},
    http::request::Parts,
};
use ostrakon::ipfs::{Cid, Sha256, block_name};

use super::served::Refused;
use crate::{
    auth::{parameter, parameters},
    ranges::Wanted,
};

const RAW: &str = "application/vnd.ipld.raw";
const CAR: &str = "application/vnd.ipld.car";
const NDJSON: &str = "application/x-ndjson";

/// A request of IPFS.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Which browsers ask before they ask for anything else.
    Preflight,
    /// Bytes of a block, or of what is below it.
    Block(BlockAsked),
    /// Who provides a block; line by line if wanted.
    Providers { cid: String, by_line: bool },
}

/// A request for a block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BlockAsked {
    /// Its name, as it was sent.
    pub(crate) text: String,
    pub(crate) form: Shape,
    /// The entity tags that the client has.
    pub(crate) has: Option<String>,
    /// Whether the answer may only be what is here already: it always is.
    pub(crate) only_if_cached: bool,
    pub(crate) head: bool,
}

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The file, or a range of it.
    File(Option<Wanted>),
    /// The block.
    Raw,
    /// An archive.
    Car(Scope),
}

/// Which blocks of a file are in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Only the one that was named.
    Block,
    /// All below it that have these bytes: from one to another one, both included, counted from the end if negative.
    Bytes(i64, Option<i64>),
}

impl Asked {
    /// `None` of a request that is S3's: one that is signed, names a bucket by its host, or has another path.
    pub(crate) fn of(request: &Parts, names_bucket: bool) -> Option<Result<Self, Refused>> {
        let Parts { method, uri, headers, .. } = request;
        let signed = headers.contains_key(AUTHORIZATION) || parameters(uri).any(|(name, _)| name.starts_with("X-Amz-"));
        let reads = matches!(method, &Method::GET | &Method::HEAD | &Method::OPTIONS);
        if signed || names_bucket || !reads {
            return None;
        }
        let (path, routing) = (uri.path(), "/routing/v1/providers/");
        let (block, provided) = (path.strip_prefix("/ipfs/"), path.strip_prefix(routing));
        if method == Method::OPTIONS {
            return block.or(provided).map(|_| Ok(Self::Preflight));
        }
        if let Some(cid) = provided {
            return Some(Ok(Self::Providers { cid: cid.to_owned(), by_line: accepts(headers, NDJSON) }));
        }
        Some(BlockAsked::of(block?, uri, headers, method).map(Self::Block))
    }
}

impl BlockAsked {
    fn of(name: &str, uri: &Uri, headers: &HeaderMap, method: &Method) -> Result<Self, Refused> {
        let (text, below) = name.trim_end_matches('/').split_once('/').unwrap_or((name.trim_end_matches('/'), ""));
        if !below.is_empty() {
            return Err(Refused::new(StatusCode::NOT_FOUND, "a file has nothing below it: ask for its CID alone"));
        }
        let has = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let cached = headers.get(CACHE_CONTROL).and_then(|value| value.to_str().ok());
        Ok(Self {
            text: text.to_owned(),
            form: Shape::of(uri, headers)?,
            has,
            only_if_cached: cached.is_some_and(|value| value.contains("only-if-cached")),
            head: method == Method::HEAD,
        })
    }

    /// The name, and the hash in it.
    pub(crate) fn name(&self) -> Result<(Cid, Sha256), Refused> {
        block_name(&self.text).map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error.to_string()))
    }
}

impl Shape {
    /// The parameter `format` counts more than what is accepted.
    fn of(uri: &Uri, headers: &HeaderMap) -> Result<Self, Refused> {
        let (raw, car) = match parameter(uri, "format").as_deref() {
            Some("raw") => (true, false),
            Some("car") => (false, true),
            Some(other) => {
                let text = format!("format {other:?} is not served: need raw or car, or none for the file");
                return Err(Refused::new(StatusCode::NOT_ACCEPTABLE, text));
            }
            None => (accepts(headers, RAW), accepts(headers, CAR)),
        };
        if raw {
            return Ok(Self::Raw);
        }
        if car {
            let bad = |text: &str| Refused::new(StatusCode::BAD_REQUEST, text.to_owned());
            if parameter(uri, "car-version").is_some_and(|version| version != "1") {
                return Err(bad("only version 1 of CAR is served"));
            }
            let bytes = parameter(uri, "entity-bytes").map(|bytes| entity_bytes(&bytes));
            let (from, to) = bytes.unwrap_or(Some((0, None))).ok_or_else(|| bad("entity-bytes is not FROM:TO"))?;
            return match parameter(uri, "dag-scope").as_deref() {
                Some("block") => Ok(Self::Car(Scope::Block)),
                None | Some("all" | "entity") => Ok(Self::Car(Scope::Bytes(from, to))),
                Some(_) => Err(bad("dag-scope is one of block, entity and all")),
            };
        }
        let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
        Ok(Self::File(range.and_then(Wanted::parse)))
    }
}

/// Whether the client names this type among those that it accepts.
fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let lists = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let types = lists.flat_map(|list| list.split(',')).map(|one| one.split(';').next().unwrap_or_default().trim());
    types.into_iter().any(|one| one.eq_ignore_ascii_case(wanted))
}

/// `FROM:TO`, where TO may be `*`, the end (IPIP-402).
fn entity_bytes(text: &str) -> Option<(i64, Option<i64>)> {
    let text = text.replace("%3A", ":").replace("%3a", ":").replace("%2A", "*").replace("%2a", "*");
    let (from, to) = text.split_once(':')?;
    let to = if to == "*" { None } else { Some(to.parse().ok()?) };
    Some((from.parse().ok()?, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CID: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";

    fn asked(target: &str, headers: &[(&'static str, &'static str)]) -> Option<Result<Asked, Refused>> {
        let mut request = hyper::Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Asked::of(&request.body(()).expect("a request").into_parts().0, false)
    }

    fn form(query: &str, headers: &[(&'static str, &'static str)]) -> Result<Shape, StatusCode> {
        match asked(&format!("/ipfs/{CID}{query}"), headers).expect("a request of IPFS") {
            Ok(Asked::Block(asked)) => Ok(asked.form),
            Ok(_) => panic!("a request for a block"),
            Err(refused) => Err(refused.status),
        }
    }

    #[test]
    fn the_form_is_what_the_query_says_or_else_what_is_accepted() {
        let car = |from, to| Ok(Shape::Car(Scope::Bytes(from, to)));
        let steps = [
            ("", None, Ok(Shape::File(None))),
            ("", Some("text/html, */*"), Ok(Shape::File(None))),
            ("?format=raw", None, Ok(Shape::Raw)),
            ("", Some(RAW), Ok(Shape::Raw)),
            ("?format=car", Some(RAW), car(0, None)),
            ("", Some("application/vnd.ipld.car; version=1; order=dfs"), car(0, None)),
            ("?format=car&dag-scope=block", None, Ok(Shape::Car(Scope::Block))),
            ("?format=car&entity-bytes=5:9", None, car(5, Some(9))),
            ("?format=car&entity-bytes=-5%3A*", None, car(-5, None)),
            ("?format=car&entity-bytes=5", None, Err(StatusCode::BAD_REQUEST)),
            ("?format=car&car-version=2", None, Err(StatusCode::BAD_REQUEST)),
            ("?format=car&dag-scope=none", None, Err(StatusCode::BAD_REQUEST)),
            ("?format=tar", None, Err(StatusCode::NOT_ACCEPTABLE)),
        ];
        for (query, accept, wanted) in steps {
            let headers: Vec<_> = accept.map(|accept| ("accept", accept)).into_iter().collect();
            assert_eq!(form(query, &headers), wanted, "{query} {accept:?}");
        }
        assert_eq!(form("", &[("range", "bytes=1-2")]), Ok(Shape::File(Some(Wanted::From(1, Some(2))))));
    }

    #[test]
    fn what_is_signed_or_elsewhere_is_for_s3() {
        assert!(asked("/ipfs-photos/key", &[]).is_none());
        assert!(asked("/photos/ipfs/key", &[]).is_none());
        assert!(asked(&format!("/ipfs/{CID}"), &[("authorization", "AWS4-HMAC-SHA256 a")]).is_none());
        assert!(asked(&format!("/ipfs/{CID}?X-Amz-Signature=a"), &[]).is_none());
        assert!(asked(&format!("/ipfs/{CID}/below"), &[]).expect("of IPFS").is_err());
        let Some(Ok(Asked::Block(bad))) = asked("/ipfs/photos", &[]) else { panic!("a request for a block") };
        assert_eq!(bad.name().expect_err("it is not a CID").status, StatusCode::BAD_REQUEST);
    }
}
