//! What the program `attacker` is told and what it reports: the words between it and the test target `hostile`, which
//! starts it.
//!
//! In comes an [`AttackPlan`] as JSON in a file; out goes an [`AttackReport`] as JSON on stdout. The attacker is an
//! outsider: it knows what a genesis file tells everybody, and has accounts with as little money as the plan says. Not
//! here: the attacks, which are the program's.

use std::net::{Ipv4Addr, SocketAddrV4};

use ostrakon_proto::{
    id::{AccountId, ChainId, NodeId, VoteKey},
    sign::Keypair,
};
use serde::{Deserialize, Serialize};

/// An attack: what it is called, and what it does.
#[derive(Clone, Copy, Debug)]
pub struct AttackKind {
    /// Its name, as the program takes it.
    pub name: &'static str,
    /// What is sent, in a few words.
    pub what: &'static str,
}

const fn kind(name: &'static str, what: &'static str) -> AttackKind {
    AttackKind { name, what }
}

/// All attacks, the strongest first.
pub const ATTACKS: &[AttackKind] = &[
    kind("long-polls", "8 identities x 16 long-polls, from the largest height, to 2 of the validators"),
    kind("long-polls-spread", "the same to all validators, from 64 prefixes with one identity each"),
    kind(
        "waiting-clients",
        "no attack: 1,000 clients from 64 prefixes and 200 from one address wait for blocks at one validator",
    ),
    kind("silent", "256 silent TCP connections from one address to each of 4 nodes"),
    kind("half-open", "400 half-open sockets a second"),
    kind("connections", "506 connections from one host to one node"),
    kind("connections-all", "3,050 connections from one host to all nodes"),
    kind("votes", "34 Mbit/s to each validator: consensus messages of 590 votes that name it"),
    kind("one-byte-frames", "one-byte yamux frames on 4 connections, 218 MB in all"),
    kind("late-pongs", "pongs 15 s late, and pipelined polls up to 1 GB on one connection"),
    kind("unread-answers", "requests for blocks whose answers are never read"),
    kind("open-uploads", "2 accounts of 0.0002 obol open 128 uploads of one byte each on all nodes"),
    kind("credit", "0.001 obol of credit fills an upload of 1 GiB, unpaid"),
    kind("snapshots", "snapshots and their chunks, 4 identities x 8 requests"),
    kind("activity", "activity of the richest account, 4 identities x 16 requests"),
    kind("kademlia", "identities that announce false addresses, 200 at a time, replaced every 2 s"),
    kind("empty-noise", "empty Noise messages on 4 connections"),
    kind("garbage-tcp", "frames of every length and order on every protocol, over TCP"),
    kind("garbage-quic", "the same over QUIC"),
    kind("churn", "connections that end after their handshake, as fast as they can be made"),
    kind("resets", "streams that are opened and reset, as fast as they can be written"),
    kind("yamux-pings", "yamux pings, as fast as they can be written"),
    kind("drip", "300 handshakes of one byte a second"),
    kind("submit", "transactions with invalid signatures, 200 a request"),
    kind("records", "proofs of 256 records that do not exist, 4 identities x 16 requests"),
    kind("claims", "claims and requests for blocks to validators"),
    kind("get", "ranges and manifests that do not exist, 4 identities x 16 requests"),
];

/// All of them concurrently.
pub const EVERYTHING: &str = "everything";
/// No attack: a busy loop, which spends the processor time that an attack may.
pub const IDLE: &str = "busy-loop";

/// What the attacker is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttackPlan {
    /// The network.
    pub chain: ChainId,
    /// Its nodes.
    pub nodes: Vec<Victim>,
    /// An account that has many transactions.
    pub busy_account: AccountId,
    /// All random choices, identities and accounts of the attacker.
    pub seed: u64,
    /// The address that attacks from one host come from.
    pub source: Ipv4Addr,
    /// Bytes that one node is made to take on credit at most.
    pub credit_bytes: u64,
}

/// A node to attack, as the genesis describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Victim {
    /// Its id.
    pub node: NodeId,
    /// Where it listens.
    pub tcp: SocketAddrV4,
    /// Where it listens with QUIC: UDP.
    pub quic: SocketAddrV4,
    /// The key it votes with, if it validates.
    pub vote_key: Option<VoteKey>,
}

/// What the attacker did and what was answered, counted by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackReport {
    /// Connections that were made, whole or not.
    pub connected: u64,
    /// Connections that could not be made.
    pub failed: u64,
    /// Connections that the node ended.
    pub ended: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests answered.
    pub answered: u64,
    /// Requests refused because the node is busy.
    pub busy: u64,
    /// Requests refused for any other reason.
    pub refused: u64,
    /// Bytes sent.
    pub bytes: u64,
}

impl std::fmt::Display for AttackReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { connected, failed, ended, requests, answered, busy, refused, bytes } = self;
        write!(f, "{connected} connections ({failed} failed, {ended} ended by the node), ")?;
        write!(f, "{requests} requests ({answered} answered, {busy} busy, {refused} refused), ")?;
        write!(f, "{:.1} MB sent", *bytes as f64 / 1e6)
    }
}

impl AttackPlan {
    /// The key of the attacker's account of this number: 0 and 1 open uploads, 2 has credit.
    pub fn account(&self, number: u64) -> Keypair {
        self.key("account", number)
    }

    /// The key of the attacker's identity of this number.
    pub fn identity(&self, number: u64) -> Keypair {
        self.key("identity", number)
    }

    fn key(&self, kind: &str, number: u64) -> Keypair {
        let hash = blake3::hash(format!("{kind} {number} of seed {}", self.seed).as_bytes());
        Keypair::from_seed(hash.as_bytes())
    }

    /// The nodes that validate.
    pub fn validators(&self) -> impl Iterator<Item = &Victim> {
        self.nodes.iter().filter(|victim| victim.vote_key.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_kind_number_and_seed() {
        let plan = |seed| AttackPlan {
            chain: ChainId::new([1; 32]),
            nodes: Vec::new(),
            busy_account: AccountId::new([2; 32]),
            seed,
            source: Ipv4Addr::LOCALHOST,
            credit_bytes: 0,
        };
        let keys: [AccountId; 4] =
            [plan(1).account(0), plan(1).account(1), plan(1).identity(0), plan(2).account(0)].map(|key| key.public());
        let different: std::collections::BTreeSet<&AccountId> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
    }
}
