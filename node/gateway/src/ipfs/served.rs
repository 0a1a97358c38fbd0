//! Answers requests of IPFS, out of public buckets.

use std::ops::Range;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures::{StreamExt, stream};
use hyper::{
    HeaderMap, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
        ETAG, HeaderName, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};
use ostrakon::{
    bucket::{BucketError, Buckets, ObjectHeader, PublicObject},
    ipfs::{Block, Cid, Sha256, Spot, raw_name},
};

use super::{
    Asked, Provider,
    archive::{archive, size},
    asked::{BlockAsked, Scope, Shape},
};

/// For how long an answer may be taken for the newest: what a name refers to never changes, who provides it may.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=29030400, immutable");
const SOON: HeaderValue = HeaderValue::from_static("public, max-age=15");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const RAW: HeaderValue = HeaderValue::from_static("application/vnd.ipld.raw");
const CAR: HeaderValue = HeaderValue::from_static("application/vnd.ipld.car; version=1; order=dfs; dups=y");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Why a request is not answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(super) status: StatusCode,
    text: String,
}

impl Refused {
    /// With a text for people.
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// As an answer.
    pub(crate) fn into_response(self) -> Response {
        let mut response = response(self.status, Body::from(format!("{}\n", self.text)));
        response.headers_mut().insert(CONTENT_TYPE, PLAIN);
        response
    }
}

impl From<BucketError> for Refused {
    fn from(error: BucketError) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, error.to_string())
    }
}

/// The answer to a request; `headers` are the request's.
pub(crate) async fn answer(asked: Asked, headers: &HeaderMap, (buckets, provider): (&Buckets, &Provider)) -> Response {
    let answered = match asked {
        Asked::Preflight => Ok(response(StatusCode::NO_CONTENT, Body::empty())),
        Asked::Providers { cid, by_line } => providers((buckets, provider), headers, (&cid, by_line)).await,
        Asked::Block(asked) => block(buckets, &asked).await,
    };
    let mut response = answered.unwrap_or_else(Refused::into_response);
    let any = HeaderValue::from_static("*");
    let cors = [
        (ACCESS_CONTROL_ALLOW_ORIGIN, any.clone()),
        (ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, OPTIONS")),
        (ACCESS_CONTROL_ALLOW_HEADERS, any.clone()),
        (ACCESS_CONTROL_EXPOSE_HEADERS, any),
    ];
    response.headers_mut().extend(cors);
    response
}

async fn providers(
    (buckets, provider): (&Buckets, &Provider),
    headers: &HeaderMap,
    (cid, by_line): (&str, bool),
) -> Result<Response, Refused> {
    // Names of other kinds than files have are valid too, and nothing here has one.
    let provides = match ostrakon::ipfs::block_name(cid) {
        Ok((_, hash)) => find(buckets, &hash).await?.is_some(),
        Err(_) if cid.parse::<Cid>().is_ok() => false,
        Err(error) => return Err(Refused::new(StatusCode::BAD_REQUEST, error.to_string())),
    };
    let failed = |error: serde_json::Error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    let text = provider.text(headers, provides, by_line).map_err(failed)?;
    let mut response = response(StatusCode::OK, Body::from(text));
    let kind = if by_line { "application/x-ndjson" } else { "application/json" };
    let described = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CACHE_CONTROL, SOON),
        (VARY, HeaderValue::from_static("Accept, Host")),
    ];
    response.headers_mut().extend(described);
    Ok(response)
}

async fn block(buckets: &Buckets, asked: &BlockAsked) -> Result<Response, Refused> {
    let (cid, hash) = asked.name()?;
    let missing = if asked.only_if_cached { StatusCode::PRECONDITION_FAILED } else { StatusCode::NOT_FOUND };
    let none = || Refused::new(missing, format!("no public bucket of this gateway has {cid}"));
    let (object, spot) = find(buckets, &hash).await?.ok_or_else(none)?;
    let block = object.tree.block(spot).ok_or_else(none)?;
    // The bytes of a node, named as if they were anything.
    let as_bytes = matches!(block, Block::Node(..)) && cid == raw_name(&hash);
    let form = if as_bytes { Shape::Raw } else { asked.form };
    let etag = etag(&cid, form);
    if asked.has.as_ref().is_some_and(|has| has == "*" || has.split(',').any(|one| weak(one.trim()) == weak(&etag))) {
        return Ok(described(response(StatusCode::NOT_MODIFIED, Body::empty()), &cid, &etag));
    }
    let served = match form {
        Shape::Raw => raw(&object, &block),
        Shape::Car(scope) => car(&object, (&cid, spot), scope),
        Shape::File(wanted) => {
            let whole = object.tree.range(spot);
            let size = whole.end - whole.start;
            let range = wanted.map_or(Some(0..size), |wanted| wanted.within(size));
            file(&object, spot, (range.ok_or_else(|| unsatisfiable(size))?, wanted.is_some()))
        }
    };
    let Served { status, content_type, length, range, body } = served;
    let mut answer = response(status, if asked.head { Body::empty() } else { body });
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.extend(range.and_then(|range| HeaderValue::try_from(range).ok()).map(|range| (CONTENT_RANGE, range)));
    if form != asked.form || !matches!(form, Shape::File(_)) {
        let ending = if form == Shape::Raw { "bin" } else { "car" };
        let name = format!("attachment; filename=\"{cid}.{ending}\"");
        headers.extend(HeaderValue::try_from(name).map(|name| (CONTENT_DISPOSITION, name)));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    Ok(described(answer, &cid, &etag))
}

/// What an answer has.
struct Served {
    status: StatusCode,
    content_type: HeaderValue,
    length: u64,
    range: Option<String>,
    body: Body,
}

fn raw(object: &PublicObject, block: &Block) -> Served {
    let body = match block {
        Block::Node(_, bytes) => Body::from(bytes.clone()),
        Block::Leaf(_, range) => read(object, range.clone()),
    };
    Served { status: StatusCode::OK, content_type: RAW, length: block.size(), range: None, body }
}

fn car(object: &PublicObject, (cid, spot): (&Cid, Spot), scope: Scope) -> Served {
    let whole = object.tree.range(spot);
    let wanted = match scope {
        Scope::Block => whole.start..whole.start,
        Scope::Bytes(from, to) => entity(&whole, from, to),
    };
    let blocks = object.tree.blocks(spot, &wanted);
    let leaves =
        || blocks.iter().filter_map(|block| if let Block::Leaf(_, range) = block { Some(range) } else { None });
    let bytes = leaves().next().map_or(0, |first| first.start)..leaves().last().map_or(0, |last| last.end);
    let length = size(cid, &blocks);
    let body = Body::from_stream(archive(cid, blocks, object.bucket.read(&object.object, bytes)));
    Served { status: StatusCode::OK, content_type: CAR, length, range: None, body }
}

fn file(object: &PublicObject, spot: Spot, (range, is_part): (Range<u64>, bool)) -> Served {
    let whole = object.tree.range(spot);
    let is_all = spot == object.tree.top();
    let content_type = object.object.header(ObjectHeader::ContentType).filter(|_| is_all);
    let content_type = content_type.and_then(|value| HeaderValue::try_from(value).ok()).unwrap_or(BYTES);
    let part = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), whole.end - whole.start);
    let body = read(object, whole.start + range.start..whole.start + range.end);
    let status = if is_part { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    Served { status, content_type, length: range.end - range.start, range: is_part.then_some(part), body }
}

fn read(object: &PublicObject, range: Range<u64>) -> Body {
    // Nothing is asked of the network for no bytes.
    if range.is_empty() {
        return Body::from_stream(stream::empty::<Result<Bytes, BucketError>>());
    }
    Body::from_stream(object.bucket.read(&object.object, range).boxed())
}

/// The bytes of a file that are wanted, of those that are below a block.
fn entity(whole: &Range<u64>, from: i64, to: Option<i64>) -> Range<u64> {
    let at = |place: i64| match place {
        0.. => whole.start.saturating_add(place.unsigned_abs()),
        _ => whole.end.saturating_sub(place.unsigned_abs()).max(whole.start),
    };
    let end = to.map_or(whole.end, |to| at(to).saturating_add(1)).min(whole.end);
    at(from).min(end)..end
}

/// The object that has this block, of any public bucket.
async fn find(buckets: &Buckets, hash: &Sha256) -> Result<Option<(PublicObject, Spot)>, Refused> {
    for bucket in buckets.public().await? {
        if let Some(found) = bucket.find_block(hash).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn unsatisfiable(size: u64) -> Refused {
    Refused::new(StatusCode::RANGE_NOT_SATISFIABLE, format!("the file has {size} bytes, and none of this range"))
}

fn etag(cid: &Cid, form: Shape) -> String {
    match form {
        Shape::File(_) => format!("\"{cid}\""),
        Shape::Raw => format!("\"{cid}.raw\""),
        Shape::Car(Scope::Block) => format!("W/\"{cid}.car.block\""),
        Shape::Car(Scope::Bytes(0, None)) => format!("W/\"{cid}.car\""),
        Shape::Car(Scope::Bytes(from, to)) => format!("W/\"{cid}.car.{from}.{}\"", to.unwrap_or(-1)),
    }
}

fn weak(etag: &str) -> &str {
    etag.trim_start_matches("W/")
}

fn described(mut response: Response, cid: &Cid, etag: &str) -> Response {
    let values = [
        (ETAG, etag.to_owned()),
        (HeaderName::from_static("x-ipfs-path"), format!("/ipfs/{cid}")),
        (HeaderName::from_static("x-ipfs-roots"), cid.to_string()),
    ];
    let values = values.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?)));
    response.headers_mut().extend(values);
    response.headers_mut().extend([(CACHE_CONTROL, FOREVER), (VARY, HeaderValue::from_static("Accept"))]);
    response
}

fn response(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_an_entity_are_counted_from_either_end() {
        let whole = 100..200;
        let steps = [
            ((0, None), 100..200),
            ((0, Some(9)), 100..110),
            ((5, Some(500)), 105..200),
            ((-10, None), 190..200),
            ((-500, Some(-1)), 100..200),
            ((0, Some(-1)), 100..200),
            ((500, None), 200..200),
        ];
        for ((from, to), wanted) in steps {
            assert_eq!(entity(&whole, from, to), wanted, "{from} {to:?}");
        }
    }
}
