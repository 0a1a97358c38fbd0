//! What a request comes to first, and its answer leaves by last.
//!
//! In comes every request of a connection. Here it is counted and bounded: so many are answered at a time, and a place
//! is kept until an answer's last byte is sent. Health checks, metrics, preflights and what is public are answered
//! without a signature.

use std::{
    cell::Cell,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use futures::TryFutureExt as _;
use http_body::{Frame, SizeHint};
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, EXPECT, HOST, HeaderValue, ORIGIN},
    http::request::Parts,
};
use ostrakon::bucket::{Buckets, noting_stale};
use s3s::{HttpResponse, S3Error, S3ErrorCode, S3Result, path::S3Path, service::S3Service};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use crate::{
    auth::{SIGNED, parameters, refuse_old_signatures, wrong_region},
    body::{Reason, Unstalled},
    connection::Unread,
    cors::Origins,
    errors::error,
    forms::{FileName, Form},
    framing::{Chunks, ReframedBody},
    gate::is_form,
    health::{Asker, Health},
    host::Domains,
    ipfs::{self, Asked, Provider, Refused},
    limits,
    metrics::{Metrics, Trace},
};

const OPENMETRICS: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const XML: HeaderValue = HeaderValue::from_static("application/xml");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// Headers that proxies add to the requests that they pass on.
const PROXIED: [&str; 3] = ["forwarded", "x-forwarded-for", "via"];

/// Everything that answers a request.
pub(crate) struct Front {
    pub(crate) s3: S3Service,
    pub(crate) buckets: Buckets,
    pub(crate) origins: Origins,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) domains: Domains,
    pub(crate) region: String,
    pub(crate) provider: Provider,
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) forms: Arc<Semaphore>,
    /// Numbers requests.
    pub(crate) next: AtomicU64,
}

/// All paths lead here: which bucket and key one names is not a matter of routes.
pub(crate) fn router(front: Front) -> Router {
    Router::new().fallback(answer).with_state(Arc::new(front))
}

async fn answer(State(front): State<Arc<Front>>, request: Request) -> Response {
    let (began, trace) = (Instant::now(), Trace::default());
    let id = format!("{:016X}", front.next.fetch_add(1, Ordering::Relaxed));
    let (method, host) = (request.method().clone(), host(&request).to_owned());
    let bucket = match front.domains.path(&host, request.uri().path()) {
        Some(S3Path::Bucket { bucket } | S3Path::Object { bucket, .. }) => Some(bucket),
        Some(S3Path::Root) | None => None,
    };
    let origin = request.headers().get(ORIGIN).cloned();
    let (parts, body) = request.into_parts();
    let mut response = match Asked::of(&parts, front.domains.bucket(&host).is_some()) {
        Some(asked) => return front.public(asked, &parts, began).await,
        None => match front.unsigned(&parts, &host, bucket.as_deref()).await {
            Some(response) => response,
            None => {
                let (response, is_stale) = noting_stale(front.signed(parts, body, &trace)).await;
                let is_read = matches!(method, Method::GET | Method::HEAD);
                if is_read && is_stale { marked_stale(response) } else { response }
            }
        },
    };
    if let (Some(origin), Some(bucket), false) = (origin, &bucket, method == Method::OPTIONS) {
        let asked = HeaderMap::from_iter([(ORIGIN, origin)]);
        response.headers_mut().extend(front.origins.of_answer(bucket, &method, &asked).await);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-amz-request-id", value);
    }
    let (operation, status, took) = (trace.get(), response.status().as_u16(), began.elapsed());
    front.metrics.answered(operation, status, took.as_secs_f64());
    // Neither path nor query: keys are their owner's, and signatures are in queries.
    tracing::debug!(%id, operation, status, took_ms = %took.as_millis(), bucket = bucket.as_deref(), "answered");
    response
}

/// The answer, with a word that others may have changed what it says.
fn marked_stale(mut response: Response) -> Response {
    response.headers_mut().insert("x-ostrakon-stale", HeaderValue::from_static("true"));
    response
}

fn host(request: &Request) -> &str {
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    header.or_else(|| request.uri().authority().map(|authority| authority.as_str())).unwrap_or_default()
}

impl Front {
    /// The answer to a request of IPFS, when it is its turn.
    async fn public(&self, asked: Result<Asked, Refused>, request: &Parts, began: Instant) -> Response {
        let response = match (self.place(request).await, asked) {
            (Err(busy), _) => refusal(busy),
            (_, Err(refused)) => refused.into_response(),
            (Ok(place), Ok(asked)) => {
                let in_flight = InFlight::new(&self.metrics);
                let response = ipfs::answer(asked, &request.headers, (&self.buckets, &self.provider)).await;
                let held = (place, in_flight);
                response.map(|inner| Body::new(Counted { inner, bytes: self.metrics.sent.clone(), held }))
            }
        };
        self.metrics.answered("Ipfs", response.status().as_u16(), began.elapsed().as_secs_f64());
        response
    }

    /// The answer to a request that needs no signature.
    async fn unsigned(&self, request: &Parts, host: &str, bucket: Option<&str>) -> Option<Response> {
        let Parts { method, headers, uri, .. } = request;
        if method == Method::OPTIONS {
            return Some(match self.origins.preflight(bucket, headers).await {
                Ok(headers) => {
                    let mut response = Response::new(Body::empty());
                    *response.headers_mut() = headers;
                    response
                }
                Err(refused) => refusal(refused),
            });
        }
        // A bucket may have such a name; who signs means the bucket.
        let ours = matches!(method, &Method::GET | &Method::HEAD)
            && uri.query().is_none()
            && !headers.contains_key(AUTHORIZATION)
            && self.domains.bucket(host).is_none();
        match uri.path() {
            "/healthz" if ours => Some(text(StatusCode::OK, PLAIN, "ok\n".to_owned())),
            "/readyz" if ours => Some(self.readiness(request).await),
            "/metrics" if ours => Some(text(StatusCode::OK, OPENMETRICS, self.metrics.text())),
            _ => match wrong_region(headers, uri, &self.region) {
                Some(told) => Some(text(StatusCode::BAD_REQUEST, XML, told)),
                None => refuse_old_signatures(headers, uri).err().map(refusal),
            },
        }
    }

    /// Whether the gateway is ready, and why not.
    async fn readiness(&self, Parts { headers, extensions, .. }: &Parts) -> Response {
        // Who comes through a proxy on this machine may be anyone.
        let is_proxied = PROXIED.iter().any(|name| headers.contains_key(*name));
        let asker = extensions.get().copied().filter(|_| !is_proxied);
        match self.health.ready(asker.unwrap_or(Asker::Stranger)).await {
            Ok(()) => text(StatusCode::OK, PLAIN, self.metrics.ready()),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("not ready: {why}\n")),
        }
    }

    /// The answer of S3, when it is the request's turn.
    async fn signed(&self, parts: Parts, body: Body, trace: &Trace) -> Response {
        let place = match self.place(&parts).await {
            Ok(place) => place,
            Err(refused) => return refusal(refused),
        };
        let in_flight = InFlight::new(&self.metrics);
        let (reason, chunks) = (Reason::default(), chunks(&parts));
        let unread = parts.extensions.get::<Unread>().cloned().unwrap_or_default();
        // hyper sends 100 when a body is first read from, unless it is empty.
        let (waits, empty) = (parts.headers.contains_key(EXPECT), http_body::Body::is_end_stream(&body));
        let body = Counted { inner: body, bytes: self.metrics.received.clone(), held: () };
        let body = Unstalled::new(body, reason.clone(), unread);
        let wanted = body.wanted();
        let body = if place.1.is_some() { body.within(limits::FORM_TIME) } else { body };
        let name = FileName::default();
        let body = match chunks {
            Some(chunks) => s3s::Body::http_body_unsync(ReframedBody::new(body, chunks)),
            None if place.1.is_some() => s3s::Body::http_body_unsync(Form::new(body, name.clone())),
            None => s3s::Body::http_body_unsync(body),
        };
        let mut request = s3s::HttpRequest::from_parts(parts, body);
        request.extensions_mut().insert(trace.clone());
        request.extensions_mut().insert(reason.clone());
        request.extensions_mut().insert(name);
        let called = SIGNED.scope(Cell::new(false), self.s3.call(request)).map_err(Into::into).await;
        let mut response = called.unwrap_or_else(|source: s3s::StdError| failed(source.as_ref()));
        if let Some(why) = reason.take() {
            // A form or a list that did not come to its end.
            response = why.to_http_response().unwrap_or(response);
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if waits && (empty || !wanted.get()) {
            // Clients that got another answer than 100 do not read the next one on the same connection rightly.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let held = (place, in_flight);
        response.map(|inner| Body::new(Counted { inner, bytes: self.metrics.sent.clone(), held }))
    }

    /// A place among the requests that are answered at a time, and among forms, which are held in memory.
    async fn place(&self, request: &Parts) -> S3Result<(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>)> {
        let form = is_form(&request.method, &request.headers);
        let wait = async {
            let form = match form {
                true => Some(Arc::clone(&self.forms).acquire_owned().await.ok()?),
                false => None,
            };
            Some((Arc::clone(&self.turns).acquire_owned().await.ok()?, form))
        };
        let busy = || error(S3ErrorCode::SlowDown, "too many requests are being answered; try again");
        timeout(limits::TURN, wait).await.ok().flatten().ok_or_else(busy)
    }
}

/// How the body is framed, if a header says that it is.
fn chunks(request: &Parts) -> Option<Chunks> {
    // With a signature in the query s3s refuses frames.
    let presigned = parameters(&request.uri).any(|(name, _)| name == "X-Amz-Signature");
    let header = request.headers.get("x-amz-content-sha256").and_then(|value| value.to_str().ok())?;
    Chunks::of(header).filter(|_| !presigned)
}

fn text(status: StatusCode, content_type: HeaderValue, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn refusal(refused: S3Error) -> Response {
    refused.to_http_response().unwrap_or_else(|source| failed(&source)).map(Body::new)
}

fn failed(source: &(dyn std::error::Error + Send + Sync)) -> HttpResponse {
    tracing::error!(error = %source, "cannot answer a request; sent status 500");
    let mut response = HttpResponse::new(s3s::Body::empty());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// A request that is being answered.
struct InFlight(Metrics);

impl InFlight {
    fn new(metrics: &Metrics) -> Self {
        metrics.in_flight.inc();
        Self(metrics.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

/// A body whose bytes are counted, and which holds something until its end.
struct Counted<B, H> {
    inner: B,
    bytes: prometheus_client::metrics::counter::Counter,
    #[allow(dead_code, reason = "it is held")]
    held: H,
}

impl<B: http_body::Body<Data = Bytes> + Unpin, H: Unpin> http_body::Body for Counted<B, H> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.bytes.inc_by(u64::try_from(data.len()).unwrap_or(0));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
