//! A stream of another node: its requests are read, passed on and answered, one after the other, until it ends.
//!
//! No request takes longer than a deadline, from its first bytes to the end of its answer, and no pause between two.
//! A violation of the protocol ends the stream and releases what it held. Not here: whether a request is admitted
//! ([`crate::admission`]), and how many streams there may be ([`super::handler`]).

use std::{io, sync::Arc};

use futures::{AsyncRead, AsyncWrite, AsyncWriteExt};
use ostrakon_proto::{
    id::NodeId,
    wire::{Frame, Protocol, RefusalCode, RequestClass},
};
use tokio::time::Instant;

use super::handler::Activity;
use crate::{
    Members,
    admission::{Intake, Limits, Prefix, Quota, Source, requests},
    ask::STALL,
    awake::Deadline,
    metrics::{NetMetrics, PathTraffic, class_word},
    peers::{self, Bounds},
    swarm::codec::{self, Lengths},
};

/// Bytes of requests and answers that one node may have in progress: all that an honest one asks for concurrently.
const NODE_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of answers that are not sent yet: those of a node that does not read are held until its stream ends.
const ANSWER_BYTES: usize = 128 * 1024 * 1024;
/// Bytes of consensus messages that are not handled yet. Strangers send none with a body.
const CONSENSUS_BYTES: Limits =
    Limits { all: 32 * 1024 * 1024, strangers: 1024 * 1024, prefix: 256 * 1024, node: 4 * 1024 * 1024 };

/// What all streams of other nodes share.
#[derive(Debug)]
pub(in crate::swarm) struct Service {
    intake: Intake,
    members: Members,
    requests: Quota,
    consensus: Quota,
    answers: Quota,
    metrics: NetMetrics,
}

impl Service {
    /// Requests go to `intake`, and hold at most `bytes` together until they are answered.
    pub(in crate::swarm) fn new(intake: Intake, members: Members, bytes: usize, metrics: NetMetrics) -> Self {
        let requests = Quota::new(Limits::shared(bytes, NODE_BYTES));
        let answers = Quota::new(Limits::shared(ANSWER_BYTES, NODE_BYTES));
        Self { intake, members, requests, consensus: Quota::new(CONSENSUS_BYTES), answers, metrics }
    }

    /// Bytes of requests that are not answered yet.
    fn memory(&self, protocol: Protocol) -> &Quota {
        if protocol == Protocol::Consensus { &self.consensus } else { &self.requests }
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remote {
    pub(super) node: NodeId,
    /// The network that it connects from.
    pub(super) prefix: Prefix,
}

/// A stream of another node, for one protocol.
#[derive(Clone, Debug)]
pub(super) struct InboundStream {
    pub(super) from: Remote,
    pub(super) protocol: Protocol,
    pub(super) service: Arc<Service>,
    pub(super) activity: Activity,
    pub(super) traffic: PathTraffic,
}

impl InboundStream {
    /// Serves the stream until it ends. Must be polled on the runtime.
    pub(super) async fn serve<T: AsyncRead + AsyncWrite + Unpin>(self, mut io: T) {
        let mut deadline = Deadline::new(STALL);
        while let Some(outcome) = self.serve_one(&mut io, &mut deadline).await {
            if let Err(error) = outcome {
                tracing::debug!(node = %self.from.node, protocol = ?self.protocol, %error, "request not answered");
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
        let (source, service) = (self.source(), &self.service);
        let begun = Instant::now();
        service.metrics.requests.received(self.protocol);
        let answer = self.ask(source, io, lengths).await?;
        // Held until it is sent, which a node that does not read delays.
        let (answer, _unsent) = match service.answers.hold(source, answer.head.len() + answer.body.len()) {
            Ok(unsent) => (answer, Some(unsent)),
            Err(exceeded) => {
                let reason = format_args!("cannot send more answers now: {exceeded}");
                (self.refuse("unread_answers", reason), None)
            }
        };
        service.metrics.requests.answered(self.protocol, &answer, begun.elapsed());
        codec::write(io, Bounds::response(self.protocol), &answer).await?;
        self.traffic.sent(&answer);
        io.flush().await
    }

    /// Reads a request, and returns its answer or a refusal.
    async fn ask<T: AsyncRead + Unpin>(&self, source: Source, io: &mut T, lengths: Lengths) -> io::Result<Frame> {
        let nothing = self.service.memory(self.protocol).hold(source, 0);
        let mut held = nothing.expect("invariant: nothing exceeds no limit");
        match codec::read_request(io, lengths, &mut held).await? {
            Ok(request) => {
                self.traffic.received(&request);
                let answered = self.service.intake.put(source, self.protocol, request, Some(held));
                Ok(requests::answer(answered).await)
            }
            Err(exceeded) => Ok(self.refuse(exceeded.word(), exceeded)),
        }
    }

    fn refuse(&self, word: &'static str, reason: impl std::fmt::Display) -> Frame {
        let class = RequestClass::of(self.protocol, &Frame::default());
        self.service.metrics.admission.refuse(class_word(class), word);
        tracing::debug!(node = %self.from.node, protocol = ?self.protocol, %reason, "request refused: busy");
        peers::refusal(RefusalCode::Busy, reason)
    }

    fn source(&self) -> Source {
        self.service.members.source(self.from.node, self.from.prefix)
    }
}

#[cfg(test)]
mod tests {
    use futures::AsyncReadExt;
    use ostrakon_proto::limits;
    use tokio::{io::DuplexStream, task::JoinHandle, time};
    use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

    use super::*;
    use crate::{
        admission::{Requests, request_queues},
        peers::Inbound,
    };

    const BUDGET: usize = 1 << 20;

    struct Server {
        near: Compat<DuplexStream>,
        requests: Requests,
        stream: InboundStream,
        serving: JoinHandle<()>,
    }

    fn server(protocol: Protocol) -> Server {
        let (intake, requests) = request_queues(&Default::default());
        let (node, members) = (NodeId::new([1; 32]), Members::default());
        members.set([node].into());
        let service = Arc::new(Service::new(intake, members, BUDGET, NetMetrics::default()));
        let from = Remote { node, prefix: Prefix::of_node(&node) };
        let (activity, traffic) = Default::default();
        let stream = InboundStream { from, protocol, service, activity, traffic };
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
            let Inbound { request, reply, .. } = self.requests.next_of_any().await.expect("a request");
            reply.send(request);
        }

        /// Bytes that are held.
        fn held(&self) -> usize {
            self.stream.service.requests.used()
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
        assert!(server.stream.activity.is_active() && server.held() > 0);
        // A few bytes more do not prolong it.
        server.near.write_all(&[7; 10]).await.expect("written");
        time::sleep(STALL / 2 + STALL / 100).await;
        assert!(server.serving.is_finished() && server.held() == 0);
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
        assert!(server.requests.try_next().is_none(), "garbage is no request");
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_asker_that_went_away_holds_is_held_until_it_is_answered() {
        let mut server = server(Protocol::Put);
        server.send(&frame(limits::CHUNK)).await;
        let held = server.requests.next_of_any().await.expect("a request");
        server.serving.abort();
        assert!((&mut server.serving).await.expect_err("aborted").is_cancelled());
        assert_eq!(server.held(), 3 + limits::CHUNK);
        drop(held);
        assert_eq!(server.held(), 0);
    }
}
