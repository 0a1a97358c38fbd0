//! Which streams calls use, seen by a node that counts those that come.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::{AsyncWriteExt, future};
use libp2p::Stream;
use ostrakon_net::{AskError, Peers, swarm::SwarmHandle};
use ostrakon_proto::{
    id::NodeId,
    wire::{Frame, Protocol},
};
use tokio::{sync::Barrier, task::JoinSet, time};

use crate::{
    nodes::{QUIC, TCP, config, head, introduce, start, until, within},
    raw::{self, Raw, encoded},
};

/// A node that gives each request back on the stream that it came on, and a client that knows it.
struct Echo {
    client: SwarmHandle,
    node: NodeId,
    streams: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl Echo {
    /// Each answer waits until `concurrent` requests wait for one; a stream has `each` answers.
    async fn start(listen: &str, concurrent: usize, each: usize) -> Self {
        let raw = Raw::listen(Protocol::Chain, listen).await;
        let client = start(config(2, &[])).0;
        let (node, streams) = (raw.node, Arc::new(AtomicUsize::new(0)));
        client.learn(node, &raw.listening);
        let (count, barrier) = (streams.clone(), Arc::new(Barrier::new(concurrent)));
        let mut server = JoinSet::new();
        server.spawn(async move {
            // All of it, not its streams alone.
            let mut raw = raw;
            let mut serving = JoinSet::new();
            while let Some(stream) = raw.streams.recv().await {
                count.fetch_add(1, SeqCst);
                serving.spawn(echo(stream, barrier.clone(), each));
            }
        });
        Self { client, node, streams, _server: server }
    }

    async fn call(&self, number: u32) -> Result<Frame, AskError> {
        let asked = head(&number.to_string());
        let answer = within(10, self.client.call(self.node, Protocol::Chain, asked.clone())).await?;
        assert_eq!(answer, asked, "every call has its own answer");
        Ok(answer)
    }
}

async fn echo(mut stream: Stream, barrier: Arc<Barrier>, each: usize) {
    for _ in 0..each {
        let Some(request) = raw::frame(&mut stream).await else { return };
        barrier.wait().await;
        raw::write(&mut stream, &encoded(&request)).await;
    }
    stream.close().await.unwrap();
}

async fn one_stream_over(listen: &str) {
    let echo = Echo::start(listen, 1, usize::MAX).await;
    for number in 0..100 {
        echo.call(number).await.unwrap();
    }
    assert_eq!(echo.streams.load(SeqCst), 1);
}

#[tokio::test]
async fn a_hundred_calls_in_turn_use_one_stream() {
    one_stream_over(TCP).await;
}

#[tokio::test]
async fn a_hundred_calls_in_turn_use_one_stream_over_quic() {
    one_stream_over(QUIC).await;
}

async fn several_streams_over(listen: &str) {
    let echo = Echo::start(listen, 8, usize::MAX).await;
    for round in 0..20 {
        let calls = (0..8).map(|number| echo.call(round * 8 + number));
        assert!(future::join_all(calls).await.iter().all(Result::is_ok));
    }
    assert_eq!(echo.streams.load(SeqCst), 8, "as many as concurrent calls");
    // More than a lane has streams: the rest take their turn.
    let calls = (0..40).map(|number| echo.call(number));
    assert!(future::join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(echo.streams.load(SeqCst), 16);
}

#[tokio::test]
async fn concurrent_calls_use_a_stream_each() {
    several_streams_over(TCP).await;
}

#[tokio::test]
async fn concurrent_calls_use_a_stream_each_over_quic() {
    several_streams_over(QUIC).await;
}

async fn ended_streams_over(listen: &str) {
    let echo = Echo::start(listen, 1, 1).await;
    for number in 0..5 {
        echo.call(number).await.unwrap();
        // The end of the stream is behind the answer; a call that comes before it fails, and may be repeated.
        until(|| async { echo.call(number).await.is_ok() }).await;
    }
    assert!(echo.streams.load(SeqCst) >= 10, "no stream was used twice");
}

#[tokio::test]
async fn a_stream_that_ended_is_not_used_again() {
    ended_streams_over(TCP).await;
}

#[tokio::test]
async fn a_stream_that_ended_is_not_used_again_over_quic() {
    ended_streams_over(QUIC).await;
}

async fn abandoned_over(listen: &str) {
    let (server, requests) = start(config(1, &[listen]));
    let client = start(config(2, &[])).0;
    introduce(&client, &server);
    for round in 0..20 {
        let abandoned = tokio::spawn(client.call(server.local(), Protocol::Chain, head("abandoned")));
        let late = within(5, requests.next_of_any()).await.unwrap();
        abandoned.abort();
        let next = tokio::spawn(client.call(server.local(), Protocol::Chain, head("next")));
        let inbound = within(5, requests.next_of_any()).await.unwrap();
        late.reply.send(head("late"));
        if round % 2 == 0 {
            time::sleep(Duration::from_millis(1)).await;
        }
        inbound.reply.send(head("answer"));
        assert_eq!(within(5, next).await.unwrap(), Ok(head("answer")));
    }
}

#[tokio::test]
async fn an_abandoned_call_does_not_answer_the_next() {
    abandoned_over(TCP).await;
}

#[tokio::test]
async fn an_abandoned_call_does_not_answer_the_next_over_quic() {
    abandoned_over(QUIC).await;
}
