//! Bodies of requests: how long they may stall, and what is told when one is not what was announced.
//!
//! In goes what comes from the socket; out comes what a bucket reads. A bucket's error has a text only, so what a
//! client is to be told is kept beside it, in a [`Reason`].

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::TryStreamExt as _;
use http_body::{Body, Frame, SizeHint};
use s3s::{S3Error, S3ErrorCode, dto::StreamingBlob};
use tokio::{
    io::AsyncRead,
    time::{Instant, Sleep, sleep},
};
use tokio_util::io::StreamReader;

use crate::{connection::Unread, errors::error, limits};

/// Why a body was refused, if it was: the first reason stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reason(Arc<Mutex<Option<S3Error>>>);

impl Reason {
    /// Remembers why.
    pub(crate) fn set(&self, why: S3Error) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    /// Why, once.
    pub(crate) fn take(&self) -> Option<S3Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A body that fails when nothing of it comes for a while.
pub(crate) struct Unstalled<B: Body> {
    inner: B,
    timer: Pin<Box<Sleep>>,
    /// When it must have come to its end, if ever.
    deadline: Option<Pin<Box<Sleep>>>,
    reason: Reason,
    wanted: BodyWanted,
    unread: Unread,
}

/// Whether a body was read from.
#[derive(Clone, Debug, Default)]
pub(crate) struct BodyWanted(Arc<AtomicBool>);

impl BodyWanted {
    /// Whether it was.
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<B: Body> Unstalled<B> {
    /// Wraps a body; why it failed is written to `reason`, and that it was not read to its end to `unread`.
    pub(crate) fn new(inner: B, reason: Reason, unread: Unread) -> Self {
        let (timer, wanted) = (Box::pin(sleep(limits::STALL)), BodyWanted::default());
        Self { inner, timer, deadline: None, reason, wanted, unread }
    }

    /// Fails when all of it takes longer than this.
    pub(crate) fn within(mut self, time: Duration) -> Self {
        self.deadline = Some(Box::pin(sleep(time)));
        self
    }

    /// Tells whether it is read from.
    pub(crate) fn wanted(&self) -> BodyWanted {
        self.wanted.clone()
    }
}

impl<B: Body> Drop for Unstalled<B> {
    fn drop(&mut self) {
        if !self.inner.is_end_stream() {
            self.unread.set();
        }
    }
}

/// A client sent nothing, or not enough, for too long.
#[derive(Debug, thiserror::Error)]
#[error("the body came too slowly: nothing for {} seconds, or not all in time", limits::STALL.as_secs())]
struct Stalled;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<B: Body<Data = Bytes> + Unpin> Body for Unstalled<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        this.wanted.0.store(true, Ordering::Relaxed);
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Err(source))) => {
                this.reason.set(error(S3ErrorCode::IncompleteBody, "the connection ended before the body did"));
                Poll::Ready(Some(Err(source.into())))
            }
            Poll::Ready(frame) => {
                this.timer.as_mut().reset(Instant::now() + limits::STALL);
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                let late = this.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
                if !late {
                    std::task::ready!(this.timer.as_mut().poll(cx));
                }
                this.reason.set(error(S3ErrorCode::RequestTimeout, Stalled.to_string()));
                Poll::Ready(Some(Err(Box::new(Stalled))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The bytes of an upload, as a bucket reads them.
pub(crate) fn reader(body: Option<StreamingBlob>, reason: Reason) -> Pin<Box<dyn AsyncRead + Send>> {
    let Some(body) = body else { return Box::pin(tokio::io::empty()) };
    let failed = move |source: BoxError| {
        reason.set(told(&source.to_string()));
        io::Error::other(source)
    };
    Box::pin(StreamReader::new(body.map_err(failed)))
}

/// What a client is told when s3s refuses a body. Its errors are private types, so their texts tell them apart.
fn told(text: &str) -> S3Error {
    let (code, text) = match text {
        text if text.contains("Sha256Mismatch") => {
            let code = S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into());
            let mut mismatch = error(code, "the SHA-256 of the body is not that of x-amz-content-sha256");
            mismatch.set_status_code(hyper::StatusCode::BAD_REQUEST);
            return mismatch;
        }
        text if text.contains("SignatureMismatch") => (
            S3ErrorCode::SignatureDoesNotMatch,
            "the signature of a chunk or of the trailers does not match".to_owned(),
        ),
        text if text.contains("FormatError") || text.contains("TooLarge") || text.contains("TooMany") => {
            (S3ErrorCode::InvalidRequest, "the chunks of the body or its trailers are malformed".to_owned())
        }
        text => (S3ErrorCode::IncompleteBody, format!("the body is not what was announced: {text}")),
    };
    error(code, text)
}

#[cfg(test)]
mod tests {
    use futures::future::poll_fn;

    use super::*;

    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_fails() {
        let (began, reason) = (Instant::now(), Reason::default());
        let mut body = Unstalled::new(Silent, reason.clone(), Unread::default());
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert!(matches!(frame, Some(Err(_))));
        assert_eq!(began.elapsed().as_secs(), limits::STALL.as_secs());
        assert_eq!(reason.take().map(|why| why.code().as_str().to_owned()).as_deref(), Some("RequestTimeout"));
    }
}
