//! What a connection goes through: a socket that fails when its peer takes nothing for a while.
//!
//! A peer that sends nothing is noticed where bytes are expected: in headers by hyper, in bodies by `body`. A peer that
//! still sends when it was answered would lose the answer if the socket were closed, so what it sends is taken for a
//! while.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use crate::limits;

/// Whether a connection ends before a body that was sent on it did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unread(Arc<AtomicBool>);

impl Unread {
    /// It does.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A socket whose writes do not stall forever, and which is closed when its peer can have read all that was written.
pub(crate) struct Unstuck<S> {
    inner: S,
    timer: Pin<Box<Sleep>>,
    /// Whether a write waits.
    waiting: bool,
    unread: Unread,
    /// Whether the end was written, and what still comes is dropped.
    lingering: bool,
}

impl<S> Unstuck<S> {
    /// Wraps a socket.
    pub(crate) fn new(inner: S, unread: Unread) -> Self {
        Self { inner, timer: Box::pin(sleep(limits::STALL)), waiting: false, unread, lingering: false }
    }

    /// Lets a write end that waited for too long.
    fn bounded<T>(&mut self, polled: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = false;
            return polled;
        }
        if !self.waiting {
            self.waiting = true;
            self.timer.as_mut().reset(Instant::now() + limits::STALL);
        }
        std::task::ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client has stopped reading")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unstuck<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Unstuck<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.bounded(polled, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.bounded(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.bounded(polled, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.lingering {
            let polled = Pin::new(&mut self.inner).poll_shutdown(cx);
            std::task::ready!(self.bounded(polled, cx))?;
            if !self.unread.0.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            self.lingering = true;
            self.timer.as_mut().reset(Instant::now() + limits::LINGER);
        }
        let mut dropped = [0; 16 * 1024];
        loop {
            if self.timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut dropped);
            let read = std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_left() {
        let (near, mut far) = duplex(4);
        let mut socket = Unstuck::new(near, Unread::default());
        let began = Instant::now();
        let reading = tokio::spawn(async move {
            // It takes its time, but something.
            for _ in 0..3 {
                tokio::time::sleep(limits::STALL / 2).await;
                far.read_exact(&mut [0; 4]).await.expect("there is more");
            }
            tokio::time::sleep(limits::STALL * 2).await;
            far
        });
        let error = socket.write_all(&[0; 100]).await.expect_err("it stopped");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= limits::STALL * 2);
        drop(reading.await.expect("no panic"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_still_sent_is_taken_for_a_while() {
        let (near, mut far) = duplex(4);
        let unread = Unread::default();
        let mut socket = Unstuck::new(near, unread.clone());
        unread.set();
        let sending = tokio::spawn(async move { far.write_all(&[0; 100]).await.map(|()| far) });
        let closing = tokio::spawn(async move { socket.shutdown().await.map(|()| socket) });
        let far = sending.await.expect("no panic").expect("it is taken");
        let began = Instant::now();
        let socket = closing.await.expect("no panic").expect("closed");
        assert!(began.elapsed() <= limits::LINGER);
        drop((far, socket));
    }
}
