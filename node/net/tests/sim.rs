//! The simulated network: equal seeds give equal runs, and faults do what they say.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future;
use ostrakon_net::{
    AskError, Failure, Peers,
    sim::{LinkConditions, SimConfig, SimNetwork},
};
use ostrakon_proto::{
    id::NodeId,
    limits,
    wire::{Frame, Protocol, Refusal, RefusalCode},
};
use tokio::{task::JoinSet, time::Instant};

fn node(number: u8) -> NodeId {
    NodeId::new([number; 32])
}

fn head(text: &str) -> Frame {
    Frame::new(&text, Bytes::new())
}

/// Joins a node that gives requests back.
fn echo(network: &SimNetwork, number: u8, servers: &mut JoinSet<()>) -> Arc<dyn Peers> {
    let (peers, requests) = network.join(node(number));
    servers.spawn(async move {
        while let Some(inbound) = requests.next_of_any().await {
            let answer = inbound.request.clone();
            inbound.reply.send(answer);
        }
    });
    peers
}

/// A run with traffic and every kind of fault; returns its hash.
async fn run(seed: u64) -> [u8; 32] {
    let network = SimNetwork::new(seed, SimConfig { loss_per_mille: 50, ..SimConfig::default() });
    let mut servers = JoinSet::new();
    let peers: Vec<_> = (1..=5).map(|number| echo(&network, number, &mut servers)).collect();
    for round in 0..10u8 {
        match round {
            2 => network.partition(&[vec![node(1), node(2)]]),
            4 => network.heal(),
            5 => network.crash(node(3)),
            6 => network.block(node(1), node(4)),
            7 => drop(echo(&network, 3, &mut servers)),
            _ => {}
        }
        let calls = peers
            .iter()
            .flat_map(|from| (1..=5).map(|to| from.call(node(to), Protocol::Chain, Frame::new(&round, Bytes::new()))));
        future::join_all(calls).await;
    }
    assert_eq!(network.calls_ended(), 250);
    network.trace_hash()
}

#[tokio::test(start_paused = true)]
async fn equal_seeds_give_equal_runs() {
    let first = run(42).await;
    assert_eq!(run(42).await, first);
    assert_ne!(run(43).await, first);
}

#[tokio::test(start_paused = true)]
async fn a_call_takes_its_delays_and_no_real_time() {
    let delay = Duration::from_millis(100);
    let network = SimNetwork::new(1, SimConfig { latency: delay..=delay, ..SimConfig::default() });
    let mut servers = JoinSet::new();
    let a = echo(&network, 1, &mut servers);
    let _b = echo(&network, 2, &mut servers);
    let begin = Instant::now();
    assert_eq!(a.call(node(2), Protocol::Chain, head("hello")).await, Ok(head("hello")));
    assert_eq!(begin.elapsed().as_millis(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_partition_cuts_and_heals() {
    let network = SimNetwork::new(1, SimConfig::default());
    let mut servers = JoinSet::new();
    let peers: Vec<_> = (1..=3).map(|number| echo(&network, number, &mut servers)).collect();
    network.partition(&[vec![node(1), node(2)], vec![node(3)]]);
    let call = |from: usize, to| peers[from - 1].call(node(to), Protocol::Chain, head("hello"));
    call(1, 2).await.unwrap();
    for (from, to) in [(1, 3), (3, 1), (2, 3)] {
        let error = call(from, to).await.unwrap_err();
        assert!(matches!(error.failure, Failure::Unreachable(_)), "{error}");
    }
    network.heal();
    call(1, 3).await.unwrap();
    call(3, 2).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_one_way_block_loses_the_answer_of_what_was_done() {
    let network = SimNetwork::new(1, SimConfig::default());
    let (a, _requests_of_a) = network.join(node(1));
    let (b, requests) = network.join(node(2));
    network.block(node(2), node(1));
    let serve = async {
        let inbound = requests.next_of_any().await.unwrap();
        inbound.reply.send(head("done"));
    };
    let (outcome, ()) = future::join(a.call(node(2), Protocol::Put, head("do")), serve).await;
    assert!(matches!(outcome, Err(AskError { failure: Failure::Closed(_), .. })), "{outcome:?}");
    let back = b.call(node(1), Protocol::Put, head("do")).await;
    assert!(matches!(back, Err(AskError { failure: Failure::Unreachable(_), .. })), "{back:?}");
}

#[tokio::test(start_paused = true)]
async fn a_crash_ends_calls_immediately_and_a_new_life_answers() {
    let network = SimNetwork::new(1, SimConfig::default());
    let (a, _requests_of_a) = network.join(node(1));
    let (old, requests) = network.join(node(2));
    let crash = async {
        let _held = requests.next_of_any().await.unwrap();
        network.crash(node(2));
        assert!(requests.next_of_any().await.is_none());
    };
    let begin = Instant::now();
    let (outcome, ()) = future::join(a.call(node(2), Protocol::Chain, head("hello")), crash).await;
    assert!(matches!(outcome, Err(AskError { failure: Failure::Closed(_), .. })), "{outcome:?}");
    let refused = a.call(node(2), Protocol::Chain, head("hello")).await;
    assert!(matches!(refused, Err(AskError { failure: Failure::Unreachable(_), .. })), "{refused:?}");
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert_eq!(old.call(node(1), Protocol::Chain, head("ghost")).await, Err(AskError::new(node(1), Failure::ShutDown)));
    let mut servers = JoinSet::new();
    let _new = echo(&network, 2, &mut servers);
    a.call(node(2), Protocol::Chain, head("hello")).await.unwrap();
    assert_eq!(old.call(node(1), Protocol::Chain, head("ghost")).await, Err(AskError::new(node(1), Failure::ShutDown)));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_never_answers_costs_the_stall_time() {
    let network = SimNetwork::new(1, SimConfig::default());
    let (a, _requests_of_a) = network.join(node(1));
    let (_b, _requests) = network.join(node(2));
    let begin = Instant::now();
    let outcome = a.call(node(2), Protocol::Chain, head("hello")).await;
    assert_eq!(
        outcome,
        Err(AskError { node: node(2), failure: Failure::Timeout(Duration::from_secs(limits::STALL_SECONDS)) })
    );
    assert_eq!(begin.elapsed().as_secs(), limits::STALL_SECONDS);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_a_closed_one_is_unreachable() {
    let network = SimNetwork::new(1, SimConfig::default());
    let (a, _requests_of_a) = network.join(node(1));
    let (_b, requests) = network.join(node(2));
    let waits = tokio::spawn(a.call(node(2), Protocol::Chain, head("first")));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut others = JoinSet::new();
    (0..100).for_each(|_| _ = others.spawn(a.call(node(2), Protocol::Chain, head("more"))));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let refused = a.call(node(2), Protocol::Chain, head("second")).await.unwrap();
    assert_eq!(refused.decode::<Result<(), Refusal>>().unwrap().unwrap_err().code, RefusalCode::Busy);
    drop(requests);
    let outcome = a.call(node(2), Protocol::Chain, head("third")).await;
    assert!(matches!(outcome, Err(AskError { failure: Failure::Unreachable(_), .. })), "{outcome:?}");
    let given_up = waits.await.unwrap().unwrap();
    assert_eq!(given_up.decode::<Result<(), Refusal>>().unwrap().unwrap_err().code, RefusalCode::Internal);
}

#[tokio::test(start_paused = true)]
async fn a_link_of_its_own_loses_one_way() {
    let network = SimNetwork::new(1, SimConfig::default());
    let mut servers = JoinSet::new();
    let (a, b) = (echo(&network, 1, &mut servers), echo(&network, 2, &mut servers));
    let lossy = LinkConditions { latency: Duration::ZERO..=Duration::ZERO, loss_per_mille: 1000 };
    network.set_link(node(1), node(2), Some(lossy));
    let outcome = a.call(node(2), Protocol::Chain, head("hello")).await;
    assert!(matches!(outcome, Err(AskError { failure: Failure::Closed(_), .. })), "{outcome:?}");
    assert!(b.call(node(1), Protocol::Chain, head("hello")).await.is_err(), "its answer takes the lossy way");
    network.set_link(node(1), node(2), None);
    a.call(node(2), Protocol::Chain, head("hello")).await.unwrap();
}
