//! Nodes that others cannot dial: reached through relays, and then directly.

use bytes::Bytes;
use ostrakon_net::{Peers, swarm::SwarmConfig};
use ostrakon_proto::{
    limits,
    wire::{Frame, Protocol},
};

use crate::nodes::{Node, QUIC, TCP, config, head, introduce, serve, start, until, within};

/// A public node that relays for members, at these addresses.
fn relay(seed: u8, listen: &[&str]) -> Node {
    let relay = serve(config(seed, listen));
    relay.swarm.announce(&relay.swarm.listening());
    relay
}

/// A node behind NAT that has found the relays. Nobody is told where it listens.
async fn behind(relays: &[&Node]) -> Node {
    let at = |relay: &&Node| relay.swarm.listening().into_iter().map(|at| format!("{at}/p2p/{}", relay.id())).collect();
    let bootstrap: Vec<Vec<String>> = relays.iter().map(at).collect();
    let settings = SwarmConfig { bootstrap: bootstrap.concat(), is_behind_nat: true, ..config(9, &[QUIC]) };
    let node = serve(settings);
    node.swarm.recognise(relays.iter().map(|relay| relay.id()).collect());
    until(async || through(&node, relays) == relays.len()).await;
    node
}

/// Through how many of the relays it is reached.
fn through(node: &Node, relays: &[&Node]) -> usize {
    let addresses = node.swarm.relayed();
    let ports = relays.iter().map(|relay| relay.swarm.listening()[0].clone());
    ports.filter(|at| addresses.iter().any(|address| address.starts_with(at.as_str()))).count()
}

fn chunk() -> Frame {
    Frame::new(&u32::try_from(limits::CHUNK).unwrap(), Bytes::new())
}

#[tokio::test]
async fn bulk_goes_directly_once_a_relay_has_introduced_both_sides() {
    let relay = relay(1, &[QUIC, TCP]);
    let node = behind(&[&relay]).await;
    let settings = config(2, &[]);
    let traffic = settings.metrics.traffic.clone();
    let (client, _) = start(settings);
    client.learn(node.id(), &node.swarm.relayed());
    let got = within(20, client.call(node.id(), Protocol::Get, chunk())).await.unwrap();
    assert_eq!(got.body.len(), limits::CHUNK);
    let [direct, relayed] = traffic.totals();
    assert!(direct > 0 && relayed == 0, "{direct} bytes directly, {relayed} through the relay");
    // The relay is not needed any more.
    relay.swarm.shutdown().await;
    within(20, client.call(node.id(), Protocol::Get, chunk())).await.unwrap();
}

#[tokio::test]
async fn where_no_direct_connection_can_be_opened_all_goes_through_the_relay() {
    let relay = relay(1, &[TCP]);
    let node = behind(&[&relay]).await;
    let settings = config(2, &[]);
    let traffic = settings.metrics.traffic.clone();
    let (client, _) = start(settings);
    client.learn(node.id(), &node.swarm.relayed());
    let asked = within(20, client.call(node.id(), Protocol::Chain, head("x"))).await;
    assert_eq!(asked, Ok(head("x")));
    within(20, client.call(node.id(), Protocol::Get, chunk())).await.unwrap();
    let [direct, relayed] = traffic.totals();
    assert!(relayed > direct, "{direct} bytes directly, {relayed} through the relay");
}

#[tokio::test]
async fn a_relay_that_ends_is_replaced() {
    let [first, second, third] = [1, 2, 3].map(|seed| relay(seed, &[QUIC, TCP]));
    let relays = [&first, &second, &third];
    let node = behind(&relays[..2]).await;
    // One more that it knows of.
    node.swarm.learn(third.id(), &third.swarm.listening());
    node.swarm.recognise(relays.iter().map(|relay| relay.id()).collect());
    within(20, node.swarm.call(third.id(), Protocol::Chain, head("x"))).await.unwrap();
    first.swarm.shutdown().await;
    until(async || through(&node, &relays[1..]) == 2).await;
    let (client, _) = start(config(4, &[]));
    client.learn(node.id(), &node.swarm.relayed());
    within(20, client.call(node.id(), Protocol::Get, chunk())).await.unwrap();
}

#[tokio::test]
async fn a_node_without_public_addresses_relays_for_nobody() {
    let (silent, open) = (serve(config(1, &[QUIC, TCP])), relay(2, &[QUIC, TCP]));
    let node = serve(SwarmConfig { is_behind_nat: true, ..config(9, &[QUIC]) });
    node.swarm.recognise([silent.id(), open.id()].into());
    // It would be taken first, for it is met first.
    for public in [&silent, &open] {
        introduce(&node.swarm, &public.swarm);
        within(20, node.swarm.call(public.id(), Protocol::Chain, head("x"))).await.unwrap();
    }
    until(async || through(&node, &[&open]) == 1).await;
    assert_eq!(through(&node, &[&silent]), 0);
}
