//! A stream of another node: its requests are read, passed on and answered, one after the other, until it ends.
//!
//! No request takes longer than a deadline, from its first bytes to the end of its answer, and no pause between two.
//! A violation of the protocol ends the stream and releases what it held. Not here: whether a request is admitted
//! ([`crate::swarm::dispatch`]), and how many streams there may be ([`super::handler`]).

use std::{io, sync::Arc};

use futures::{AsyncRead, AsyncWrite, AsyncWriteExt};
use ostrakon_proto::{id::NodeId, wire::Protocol};

use super::handler::Activity;
use crate::{
    ask::STALL,
    awake::Deadline,
    peers::Bounds,
    swarm::{
        codec::{self, Lengths, MemoryBudget},
        dispatch::Dispatch,
    },
};

/// Where the requests of other nodes are admitted.
#[derive(Debug)]
pub(in crate::swarm) struct Intake {
    /// Passes them on to be answered.
    pub(in crate::swarm) dispatch: Dispatch,
    /// Memory for those that are not answered yet.
    pub(in crate::swarm) budget: MemoryBudget,
}

/// A stream of another node, for one protocol.
#[derive(Clone, Debug)]
pub(super) struct InboundStream {
    pub(super) from: NodeId,
    pub(super) protocol: Protocol,
    pub(super) intake: Arc<Intake>,
    pub(super) activity: Activity,
}

impl InboundStream {
    /// Serves the stream until it ends. Must be polled on the runtime.
    pub(super) async fn serve<T: AsyncRead + AsyncWrite + Unpin>(self, mut io: T) {
        let mut deadline = Deadline::new(STALL);
        while let Some(outcome) = self.serve_one(&mut io, &mut deadline).await {
            if let Err(error) = outcome {
                tracing::debug!(node = %self.from, protocol = ?self.protocol, %error, "request not answered");
                return;
            }
        }
    }

    /// Serves the next request; `None` at the end of the stream.
    async fn serve_one<T>(&self, io: &mut T, deadline: &mut Deadline) -> Option<io::Result<()>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let lengths = match deadline.within(codec::read_lengths(io, Bounds::request(self.protocol))).await? {
            Ok(lengths) => lengths?,
            Err(error) => return Some(Err(error)),
        };
        let _active = self.activity.start();
        let answered = deadline.within(self.answer(io, lengths)).await;
        Some(answered.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into())))
    }

    async fn answer<T: AsyncRead + AsyncWrite + Unpin>(&self, io: &mut T, lengths: Lengths) -> io::Result<()> {
        let request = codec::read_request(io, lengths, &self.intake.budget).await?;
        let answer = self.intake.dispatch.ask(self.from, self.protocol, request).await;
        codec::write(io, Bounds::response(self.protocol), &answer).await?;
        io.flush().await
    }
}

#[cfg(test)]
mod tests {
    use futures::AsyncReadExt;
    use ostrakon_proto::{limits, wire::Frame};
    use tokio::{io::DuplexStream, sync::mpsc, task::JoinHandle, time};
    use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

    use super::*;
    use crate::peers::Inbound;

    const BUDGET: usize = 1 << 20;

    struct Server {
        near: Compat<DuplexStream>,
        requests: mpsc::Receiver<Inbound>,
        stream: InboundStream,
        serving: JoinHandle<()>,
    }

    fn server(protocol: Protocol) -> Server {
        let (inbound, requests) = mpsc::channel(16);
        let intake = Arc::new(Intake { dispatch: Dispatch::new(inbound), budget: MemoryBudget::new(BUDGET) });
        let from = NodeId::new([1; 32]);
        let stream = InboundStream { from, protocol, intake, activity: Activity::default() };
        let (near, far) = tokio::io::duplex(1 << 20);
        let serving = tokio::spawn(stream.clone().serve(far.compat()));
        Server { near: near.compat(), requests, stream, serving }
    }

    impl Server {
        async fn send(&mut self, frame: &Frame) {
            codec::write(&mut self.near, Bounds::request(self.stream.protocol), frame).await.expect("written");
        }

        async fn answer(&mut self) -> io::Result<Frame> {
            codec::read_response(&mut self.near, Bounds::response(self.stream.protocol)).await
        }

        /// Dispatch the next request with itself.
        async fn echo(&mut self) {
            let Inbound { request, reply, .. } = self.requests.recv().await.expect("a request");
            reply.send(request);
        }

        fn budget(&self) -> usize {
            self.stream.intake.budget.free()
        }
    }

    fn frame(len: usize) -> Frame {
        Frame { head: vec![1; 3].into(), body: vec![2; len].into() }
    }

    #[tokio::test(start_paused = true)]
    async fn one_stream_carries_many_and_ends_between_two() {
        let mut server = server(Protocol::Chain);
        for len in [0, 1, 50_000] {
            server.send(&frame(len)).await;
            assert!(!server.serving.is_finished());
            server.echo().await;
            assert_eq!(server.answer().await.expect("an answer"), frame(len));
            time::sleep(STALL - STALL / 10).await;
        }
        assert!(!server.stream.activity.is_active());
        server.near.close().await.expect("closed");
        server.serving.await.expect("a normal end");
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_request_is_given_up_with_its_room() {
        let mut server = server(Protocol::Put);
        let mut half = [3u32.to_le_bytes(), 300_000u32.to_le_bytes()].concat();
        half.extend_from_slice(&[7; 1000]);
        server.near.write_all(&half).await.expect("written");
        time::sleep(STALL / 2).await;
        assert!(server.stream.activity.is_active() && server.budget() < BUDGET);
        // A few bytes more do not prolong it.
        server.near.write_all(&[7; 10]).await.expect("written");
        time::sleep(STALL / 2 + STALL / 100).await;
        assert!(server.serving.is_finished() && server.budget() == BUDGET);
        assert!(!server.stream.activity.is_active());
        assert_eq!(server.answer().await.expect_err("ended").kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_stream() {
        for begun in [0, 5] {
            let mut server = server(Protocol::Get);
            server.near.write_all(&vec![0; begun]).await.expect("written");
            time::sleep(STALL + STALL / 100).await;
            assert!(server.serving.is_finished(), "after {begun} bytes");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn garbage_after_a_request_ends_the_stream_after_its_answer() {
        let mut server = server(Protocol::Chain);
        server.send(&frame(9)).await;
        server.near.write_all(&[0xff; 100]).await.expect("written");
        server.echo().await;
        assert_eq!(server.answer().await.expect("an answer"), frame(9));
        assert_eq!(server.near.read(&mut [0]).await.expect("an end"), 0);
        server.serving.await.expect("a normal end");
        assert!(server.requests.try_recv().is_err(), "garbage is no request");
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_asker_that_went_away_holds_is_held_until_it_is_answered() {
        let mut server = server(Protocol::Put);
        server.send(&frame(limits::CHUNK)).await;
        let held = server.requests.recv().await.expect("a request");
        server.serving.abort();
        assert!(server.serving.await.expect_err("aborted").is_cancelled());
        assert_eq!(server.stream.intake.budget.free(), BUDGET - limits::CHUNK);
        drop(held);
        assert_eq!(server.stream.intake.budget.free(), BUDGET);
    }
}
