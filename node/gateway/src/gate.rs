//! What every request passes between the verification of its signature and its operation.
//!
//! s3s hands a verified request to a route before it parses the operation. This route takes all of them but forms,
//! checks and rewrites them, and gives them to a second service of s3s, which parses them and believes the gate.

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use hyper::{
    HeaderMap, Method, Uri,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, EXPIRES, HOST, HeaderName, HeaderValue, RANGE},
    http::{Extensions, uri::PathAndQuery},
};
use ostrakon::bucket::Buckets;
use s3s::{
    Body, HttpRequest, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, TrailingHeaders, path::S3Path,
    route::S3Route, service::S3Service,
};

use crate::{
    access::{Granted, granted, unsigned},
    acl::refuse_unsupported,
    answers::rewritten,
    auth::{self, SIGNED, check_signed, parameters},
    body::Reason,
    checksums::Expected,
    conditions::{Conditions, SourceConditions},
    described::Expires,
    errors::{error, not_implemented},
    host::Domains,
    limits,
    ranges::Wanted,
};

/// Query parameters that say that an object's sub-resource is put, not its bytes.
const SUB_RESOURCES: [&str; 4] = ["acl", "legal-hold", "retention", "tagging"];

/// The gate, and the service behind it.
pub(crate) struct Gate {
    pub(crate) buckets: Buckets,
    pub(crate) domains: Domains,
    pub(crate) behind: S3Service,
}

#[async_trait::async_trait]
impl S3Route for Gate {
    /// A form that is signed is parsed by s3s, and held in memory; one that is not is refused before that.
    fn is_match(&self, method: &Method, _: &Uri, headers: &HeaderMap, _: &mut Extensions) -> bool {
        !is_form(method, headers) || !SIGNED.try_with(std::cell::Cell::get).unwrap_or(false)
    }

    /// What an unsigned request may do is decided with its operation.
    async fn check_access(&self, _: &mut S3Request<Body>) -> S3Result<()> {
        Ok(())
    }

    async fn call(&self, mut request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        if request.service.as_deref().is_some_and(|service| service != "s3") {
            return Err(not_implemented("STS"));
        }
        check_signed(&request.headers, &request.uri)?;
        let id = request.credentials.take().map(|credentials| credentials.access_key);
        let granted = granted(&self.buckets, id.as_deref()).await?;
        if let Granted::Anyone = granted {
            check_unsigned(&request)?;
        }
        refuse_unsupported(&request.headers)?;
        let trailers = request.trailing_headers.take();
        if !self.is_upload(&request) && matches!(request.method, Method::PUT | Method::POST) {
            self.receive(&mut request, trailers.as_ref()).await?;
        }
        if let Some(trailers) = trailers {
            request.extensions.insert(trailers);
        }
        request.extensions.insert(granted);
        rewrite(&mut request.headers, &mut request.extensions)?;
        let response = self.behind.call(forwarded(request)?).await.map_err(|source| internal(source.into()))?;
        Ok(rewritten(response))
    }
}

/// An unsigned request only reads, and sets no header of the answer: with a link to one that does, a browser would run
/// an object as HTML.
fn check_unsigned(request: &S3Request<Body>) -> S3Result<()> {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return Err(unsigned());
    }
    if parameters(&request.uri).any(|(name, _)| name.starts_with("response-")) {
        let text = "parameters response-* need a signed request";
        return Err(error(S3ErrorCode::InvalidRequest, text));
    }
    Ok(())
}

/// Whether s3s would parse the request as a form.
pub(crate) fn is_form(method: &Method, headers: &HeaderMap) -> bool {
    let form = |value: &HeaderValue| {
        value
            .as_bytes()
            .trim_ascii_start()
            .get(..19)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/form-data"))
    };
    method == Method::POST && headers.get(CONTENT_TYPE).is_some_and(form)
}

impl Gate {
    /// Whether the body is an object's or a part's bytes. Other bodies are XML.
    fn is_upload(&self, request: &S3Request<Body>) -> bool {
        let host = request.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let object = matches!(self.domains.path(host, request.uri.path()), Some(S3Path::Object { .. }));
        let sub_resource = parameters(&request.uri).any(|(name, _)| SUB_RESOURCES.contains(&&*name));
        let copy = request.headers.contains_key("x-amz-copy-source");
        request.method == Method::PUT && object && !sub_resource && !copy
    }

    /// Receives a body of XML, and checks it by what came with it.
    async fn receive(&self, request: &mut S3Request<Body>, trailers: Option<&TrailingHeaders>) -> S3Result<()> {
        let reason = request.extensions.get::<Reason>().cloned().unwrap_or_default();
        let bytes = collect(&mut request.input).await.map_err(|source| reason.take().unwrap_or(source))?;
        let has = |wanted: &str| parameters(&request.uri).any(|(name, _)| name == wanted);
        let mut headers = request.headers.clone();
        if has("uploadId") {
            // These are of the object that is completed, not of the list of its parts.
            let sums: Vec<HeaderName> =
                headers.keys().filter(|name| name.as_str().starts_with("x-amz-checksum-")).cloned().collect();
            sums.iter().for_each(|name| drop(headers.remove(name)));
        }
        let expected = Expected::of(&headers)?;
        if has("delete") && expected.is_empty() {
            let text = "deleting many objects needs a Content-MD5 or x-amz-checksum- header";
            return Err(error(S3ErrorCode::InvalidRequest, text));
        }
        expected.check_bytes(&bytes, trailers)?;
        request.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        request.input = bytes.into();
        Ok(())
    }
}

async fn collect(body: &mut Body) -> S3Result<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|source| error(S3ErrorCode::IncompleteBody, source.to_string()))?;
        if bytes.len() + piece.len() > limits::XML_BYTES {
            let text = format!("the body is over the limit of {} bytes", limits::XML_BYTES);
            return Err(error(S3ErrorCode::MaxMessageLengthExceeded, text));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// Takes out of the headers what s3s would refuse or misread, and puts it where operations find it.
fn rewrite(headers: &mut HeaderMap, extensions: &mut Extensions) -> S3Result<()> {
    extensions.insert(Conditions::take(headers));
    extensions.insert(SourceConditions::take(headers));
    let text = |value: HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    if let Some(wanted) = headers.remove(RANGE).and_then(|range| Wanted::parse(&text(range))) {
        extensions.insert(wanted);
    }
    if let Some(expires) = headers.remove(EXPIRES) {
        extensions.insert(Expires(text(expires)));
    }
    let framed = headers.get("content-encoding").is_some_and(|value| text(value.clone()).contains("aws-chunked"));
    let streamed = headers.get("x-amz-content-sha256").is_some_and(|value| value.as_bytes().starts_with(b"STREAMING-"));
    if framed && headers.contains_key("x-amz-decoded-content-length") && !streamed {
        let text = "the body is framed as aws-chunked, and x-amz-content-sha256 does not say how";
        return Err(error(S3ErrorCode::InvalidRequest, text));
    }
    if let Some(length) = headers.remove("x-amz-decoded-content-length").filter(|_| streamed) {
        // s3s does so only where the framed body had a length, too.
        headers.insert(CONTENT_LENGTH, length);
    }
    for name in ["authorization", "x-amz-content-sha256", "x-amz-optional-object-attributes"] {
        headers.remove(name);
    }
    // s3s reads one item of a header line.
    let name = HeaderName::from_static("x-amz-object-attributes");
    let lists: Vec<String> = headers.get_all(&name).iter().map(|value| text(value.clone())).collect();
    headers.remove(&name);
    for item in lists.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|item| !item.is_empty()) {
        let value = HeaderValue::from_str(item)
            .map_err(|_| error(S3ErrorCode::InvalidArgument, "x-amz-object-attributes is invalid"))?;
        headers.append(&name, value);
    }
    Ok(())
}

/// The request for the service behind, without what its signature was in.
fn forwarded(request: S3Request<Body>) -> S3Result<HttpRequest> {
    let kept: Vec<&str> = {
        let pairs = request.uri.query().unwrap_or_default().split('&');
        let is_signature = |pair: &str| {
            form_urlencoded::parse(pair.as_bytes()).next().is_some_and(|(name, _)| name.starts_with("X-Amz-"))
        };
        pairs.filter(|pair| !is_signature(pair)).collect()
    };
    let target = match kept.join("&").as_str() {
        "" => request.uri.path().to_owned(),
        query => format!("{}?{query}", request.uri.path()),
    };
    let target = PathAndQuery::try_from(target).map_err(|source| internal(Box::new(source)))?;
    let mut forwarded = HttpRequest::new(request.input);
    *forwarded.method_mut() = request.method;
    *forwarded.uri_mut() = Uri::from(target);
    *forwarded.headers_mut() = request.headers;
    *forwarded.extensions_mut() = request.extensions;
    forwarded.headers_mut().remove(AUTHORIZATION);
    Ok(forwarded)
}

fn internal(source: Box<dyn std::error::Error + Send + Sync>) -> S3Error {
    S3Error::with_source(S3ErrorCode::InternalError, source)
}

/// No request reaches the service behind the gate with a signature.
pub(crate) struct NoSecrets;

#[async_trait::async_trait]
impl s3s::auth::S3Auth for NoSecrets {
    async fn get_secret_key(&self, _: &str) -> S3Result<s3s::auth::SecretKey> {
        Err(auth::old_signature())
    }
}
