//! What the program `attacker` is told and what it reports: the words between it and the tests that start it
//! ([`crate::assault`]), of which `hostile` tries all attacks.
//!
//! In comes an [`AttackPlan`] as JSON in a file; out goes an [`AttackReport`] as JSON on stdout. The attacker is an
//! outsider: it knows what a genesis file tells everybody, and has accounts with as little money as the plan says. Not
//! here: the attacks, which are the program's.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context, Result};
use ostrakon_proto::{
    id::{AccountId, Amount, ChainId, NodeId, VoteKey},
    ledger::{Genesis, GenesisProvider},
    sign::Keypair,
};
use serde::{Deserialize, Serialize};

/// An attack.
#[derive(Clone, Copy, Debug)]
pub struct AttackKind {
    /// Its name, as the program takes it.
    pub name: &'static str,
    /// What it must have done at least once: without that, a network that holds shows nothing.
    pub reach: Reach,
}

/// How far an attack must come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A node accepts its sockets.
    Sockets,
    /// A node finishes handshakes with it.
    Handshakes,
    /// A node answers its requests, be it with a refusal.
    Answers,
}

const fn kind(name: &'static str, reach: Reach) -> AttackKind {
    AttackKind { name, reach }
}

/// All attacks, the strongest first. Long-polls are answered after ten seconds, which is longer than a short run.
pub const ATTACKS: &[AttackKind] = &[
    kind("long-polls", Reach::Handshakes),
    kind("long-polls-spread", Reach::Handshakes),
    kind(WAITING, Reach::Answers),
    kind("silent", Reach::Sockets),
    kind("silent-fast", Reach::Sockets),
    kind("connections", Reach::Handshakes),
    kind("connections-all", Reach::Handshakes),
    kind("votes", Reach::Answers),
    kind("forged-votes", Reach::Answers),
    kind("one-byte-frames", Reach::Handshakes),
    kind("late-pongs", Reach::Answers),
    kind("unread-answers", Reach::Handshakes),
    kind("open-uploads", Reach::Answers),
    kind("credit", Reach::Answers),
    kind("snapshots", Reach::Answers),
    kind("activity", Reach::Answers),
    kind("kademlia", Reach::Handshakes),
    kind("empty-noise", Reach::Handshakes),
    kind("garbage-tcp", Reach::Handshakes),
    kind("garbage-quic", Reach::Handshakes),
    kind("churn", Reach::Handshakes),
    kind("resets", Reach::Handshakes),
    kind("yamux-pings", Reach::Handshakes),
    kind("drip", Reach::Sockets),
    kind("submit", Reach::Answers),
    kind("records", Reach::Answers),
    kind("claims", Reach::Answers),
    kind("get", Reach::Answers),
];

/// All of them concurrently.
pub const EVERYTHING: &str = "everything";
/// No attack: this many clients, each with an identity of its own, which wait for blocks at one validator. Of them
/// [`NEIGHBOURS`] have one address, the others are spread over [`PREFIXES`] networks of addresses.
pub const WAITING: &str = "waiting-clients";
/// All the waiting clients.
pub const CLIENTS: usize = 1_200;
/// Those with one address.
pub const NEIGHBOURS: usize = 200;
/// Networks of addresses of the others.
pub const PREFIXES: usize = 64;
/// No attack: a busy loop, which spends the processor time that an attack may.
pub const IDLE: &str = "busy-loop";

/// The host that attacks; others are its neighbours.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 66, 0, 1);

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
    /// What it asks for a GiB and an epoch, if it is a provider.
    pub ask: Amount,
}

/// What the attacker did and what was answered, counted by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackReport {
    /// Sockets that a node accepted, those of QUIC with their handshakes.
    pub sockets: u64,
    /// Handshakes that were finished.
    pub handshakes: u64,
    /// Sockets that could not be connected.
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
    /// Waiting clients that were answered, however often.
    pub clients: u64,
}

impl std::fmt::Display for AttackReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sockets, handshakes, failed, ended, requests, answered, busy, refused, bytes, clients } = self;
        write!(f, "{sockets} sockets ({failed} failed, {ended} ended by the node), {handshakes} handshakes, ")?;
        write!(f, "{requests} requests ({answered} answered, {busy} busy, {refused} refused), ")?;
        write!(f, "{:.1} MB sent, {clients} waiting clients answered", *bytes as f64 / 1e6)
    }
}

impl AttackReport {
    /// How often the attack came this far.
    pub const fn reached(&self, reach: Reach) -> u64 {
        match reach {
            Reach::Sockets => self.sockets,
            Reach::Handshakes => self.handshakes,
            Reach::Answers => self.answered + self.busy + self.refused,
        }
    }
}

impl AttackPlan {
    /// Against all nodes of a network on this machine, without credit.
    ///
    /// # Errors
    /// When it is not a network of this machine.
    pub fn of(genesis: &Genesis, seed: u64) -> Result<Self> {
        let richest = genesis.accounts.iter().max_by_key(|account| account.balance);
        Ok(Self {
            chain: genesis.id(),
            nodes: genesis.providers.iter().map(|node| Victim::of(genesis, node)).collect::<Result<_>>()?,
            // The profile's, which pays for everything.
            busy_account: richest.context("a network has accounts")?.account,
            seed,
            source: SOURCE,
            credit_bytes: 0,
        })
    }

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

impl Victim {
    fn of(genesis: &Genesis, provider: &GenesisProvider) -> Result<Self> {
        let address = provider.addresses.first().context("a provider has an address")?;
        let port = address.rsplit('/').next().unwrap_or_default().parse().with_context(|| address.clone())?;
        let place = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let validator = genesis.validators.iter().find(|validator| validator.node == provider.node);
        let vote_key = validator.map(|validator| validator.key);
        Ok(Self { node: provider.node, tcp: place, quic: place, vote_key, ask: provider.price })
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
