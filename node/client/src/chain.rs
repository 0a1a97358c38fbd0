//! The ledger from outside: asks any node, believes what is proven, and submits.
//!
//! In go questions; out come records of the ledger. Which node answers is nobody's concern: [`ask`] fails over between
//! all that are known. No node is believed: whatever it says comes with the validators' certificate of a header and
//! with a proof against that header, followed from genesis on ([`belief`]). Not here: what transactions mean
//! (proto/ledger), or who keeps which bytes (`get`, `add`).
//!
//! * [`activity`]: what an account did and was paid
//! * [`lookup`]: head, accounts, providers, rosters, commitments, blocks
//! * [`vouch`]: proofs in files
//! * [`send`]: signs with the next nonce, submits, waits until included, and until spread

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ostrakon_net::{CallError, Peers, peer_id_text};
use ostrakon_proto::{
    id::{AccountId, Epoch, Height, NodeId, ObjectId, TxId},
    ledger::{Genesis, Rules},
    light::{self, BadAnswer, Untrusted},
    wire::{Code, Refusal},
};

use crate::{ErrorKind, client::Random};

mod activity;
mod ask;
mod belief;
mod lookup;
mod pace;
mod send;
mod vouch;

pub use activity::Activity;
pub use lookup::{Head, Roster};
pub use pace::Pace;
pub use send::Included;
pub(crate) use send::Overtaken;
pub use vouch::VouchError;

pub use belief::{KeptTrust, TrustStore};

use ask::{Nodes, Survey};
pub(crate) use belief::Belief;
use lookup::KnownProvider;

/// The ledger, as seen through the nodes that answer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Chain {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    peers: Arc<dyn Peers>,
    /// Time of the genesis, in milliseconds of Unix time.
    genesis_ms: u64,
    rules: Mutex<Arc<Rules>>,
    belief: Belief,
    nodes: Nodes,
    rosters: Mutex<BTreeMap<Epoch, Arc<Roster>>>,
    providers: Mutex<BTreeMap<NodeId, KnownProvider>>,
    /// The next nonce of each account that this client signed for. Held while transactions are signed and submitted.
    nonces: tokio::sync::Mutex<BTreeMap<AccountId, u64>>,
}

/// Why the ledger could not be asked or told.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// Nobody answered.
    #[error(
        "no node of the network answers ({asked} asked; the last: {last}); check this machine's network, \
         and the addresses in the genesis file"
    )]
    NoNode {
        /// How many were asked.
        asked: usize,
        /// Why the last did not.
        last: String,
    },
    /// Somebody answered, and it was not so; nobody else answered.
    #[error(
        "no honest node of the network answers; of those that do, {caught} lied, as node {}: {lie}; check this \
         machine's network, and the addresses in the genesis file",
        peer_id_text(node)
    )]
    Lies {
        /// A node that lied.
        node: NodeId,
        /// What is not so.
        lie: String,
        /// How many lied.
        caught: usize,
    },
    /// What is known of the chain is too old to tell it from one that former validators made up.
    #[error("{0}: trust a recent block that the operator of a node names to you")]
    Expired(Untrusted),
    /// Nodes answered, and refused.
    #[error("node {} refuses: {refusal}", peer_id_text(node))]
    Refused {
        /// The node.
        node: NodeId,
        /// Its reason.
        refusal: Refusal,
    },
    /// It is proven that there is none.
    #[error("the ledger has no object {object} as of block {height}; it was never added here, or its term is over")]
    NoObject {
        /// The object.
        object: ObjectId,
        /// The newest block, which has none.
        height: Height,
    },
    /// It is proven that the ledger does not keep it.
    #[error("the ledger does not keep the {what}")]
    Unknown {
        /// What.
        what: &'static str,
    },
    /// One node says that there is none, and nobody else says anything.
    #[error(
        "node {} alone says that no block has transaction {tx}, and no other node answers: one node's word is not \
         believed; try again when more of them answer",
        peer_id_text(node)
    )]
    Unconfirmed {
        /// The node.
        node: NodeId,
        /// The transaction.
        tx: TxId,
    },
    /// This account holds no commitment for the object.
    #[error("object {object} is not this account's: only who added it can change its term")]
    NotOwner {
        /// The object.
        object: ObjectId,
    },
    /// It may or may not still happen.
    #[error("transaction {tx} is not in a block yet; it may still be until height {until}: look before you repeat it")]
    NotIncluded {
        /// The transaction.
        tx: TxId,
        /// The last height at which it may be included.
        until: Height,
    },
    /// Another transaction of the same account took its nonce.
    #[error("another transaction of this account came first, and {tx} was not applied: repeat it")]
    Overtaken {
        /// The transaction.
        tx: TxId,
    },
    /// The client has no key to sign with.
    #[error("this needs an account to sign with, and the client has none")]
    NoKey,
}

impl ChainError {
    /// What it means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NoNode { .. } | Self::NotIncluded { .. } | Self::Unconfirmed { .. } => ErrorKind::Network,
            Self::Refused { refusal, .. } if matches!(refusal.code, Code::Busy) => ErrorKind::Network,
            Self::Lies { .. } => ErrorKind::Integrity,
            Self::NoObject { .. } | Self::Unknown { .. } => ErrorKind::NotFound,
            Self::NotOwner { .. } | Self::NoKey | Self::Expired(_) => ErrorKind::Usage,
            Self::Refused { .. } | Self::Overtaken { .. } => ErrorKind::Other,
        }
    }
}

impl Chain {
    pub(crate) fn new(peers: Arc<dyn Peers>, genesis: &Genesis, belief: Belief, random: &Random) -> Self {
        let mut order: Vec<NodeId> = Vec::new();
        for provider in &genesis.providers {
            peers.learn(provider.node, &provider.addresses);
            order.push(provider.node);
        }
        order.extend(ask::learn_bootstrap(peers.as_ref(), &genesis.bootstrap));
        let rules = Rules::from(genesis);
        let inner = Inner {
            peers,
            genesis_ms: genesis.time_ms,
            rules: Mutex::new(Arc::new(rules)),
            belief,
            nodes: Nodes::new(order, random),
            rosters: Mutex::default(),
            providers: Mutex::default(),
            nonces: tokio::sync::Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The rules that this network's blocks are checked by, as of the last look at its [head](Self::head).
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&lock(&self.inner.rules))
    }

    /// How fast epochs pass, as of the newest block that this client has verified.
    pub fn pace(&self) -> Pace {
        let (trust, rules) = (self.trust(), self.rules());
        Pace::new(self.inner.genesis_ms, (trust.height(), trust.time_ms()), rules.params.epoch_blocks)
    }

    fn adopt(&self, rules: Rules) {
        self.inner.belief.keep_for(light::keeps_ms(&rules.params));
        let mut current = lock(&self.inner.rules);
        if **current != rules {
            *current = Arc::new(rules);
        }
    }

    /// Why nobody gave an answer; where somebody was caught lying, that is why.
    fn unanswered<T>(&self, survey: Survey<T>) -> ChainError {
        match survey.into_error() {
            error @ ChainError::NoNode { .. } => {
                let liars = self.liars();
                let caught = liars.len();
                liars.into_iter().next().map_or(error, |(node, lie)| ChainError::Lies { node, lie, caught })
            }
            error => error,
        }
    }

    /// Nodes that were caught lying, each with its lie. They are asked nothing more.
    pub fn liars(&self) -> BTreeMap<NodeId, String> {
        self.inner.nodes.liars()
    }

    /// Nodes whose word turned out not so, where no proof is asked of a node: that it takes a transaction or that none
    /// is in a block, which providers there are, which block is the newest, and that it has no answer. Each with what
    /// it was the last time. It may have been behind.
    pub fn doubts(&self) -> BTreeMap<NodeId, String> {
        self.inner.nodes.doubts()
    }
}

/// Locks; the values behind our locks are whole after every statement, so a panic elsewhere does not spoil them.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why one node gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
enum Silence {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("node {} does not answer", peer_id_text(.0))]
    Slow(NodeId),
    #[error("node {} answers nonsense, and is asked no more", peer_id_text(.0))]
    Nonsense(NodeId),
    #[error("node {} lies, and is asked no more: {}", peer_id_text(.0), .1)]
    Lies(NodeId, BadAnswer),
    #[error("node {} is behind the others: its newest block is {}", peer_id_text(.0), .1)]
    Behind(NodeId, Height),
    #[error("node {} refuses: {}", peer_id_text(.0), .1)]
    Refused(NodeId, Refusal),
    #[error(transparent)]
    Expired(Untrusted),
}
