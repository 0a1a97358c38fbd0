//! The light client: reads proven records of the ledger from any node, and submits transactions.
//!
//! In go questions; out come records of the ledger. [`ask`] fails over between all known nodes. No node is trusted:
//! each answer comes with the validators' certificate of a header and a proof against that header, followed from
//! genesis on ([`trusted`]). Not here: what transactions mean (proto/ledger), or who stores which bytes (`get`, `add`).
//!
//! * [`activity`]: outgoing and incoming transactions of an account
//! * [`faults`]: who did not prove an epoch
//! * [`lookup`]: head, accounts, providers, commitments, blocks
//! * [`roster`]: who can be drawn
//! * [`basis`]: what an upload is planned by, in one answer
//! * [`pace`]: epochs and dates
//! * [`quorum`]: what two thirds of the voting power have
//! * [`tickets`]: what is to be repaired, by a node's word
//! * [`vouch`]: proofs in files
//! * [`nonce`]: which nonce is next, and whose turn it is to sign
//! * [`send`]: signs with the next nonce, submits, waits until the transaction is in a block

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use ostrakon_net::{AskError, Peers, lock};
use ostrakon_proto::{
    id::{AccountId, Epoch, Height, NodeId, ObjectId, TxId},
    ledger::{Genesis, Rules, state::EpochClock},
    light::{self, BadAnswer, TrustError},
    wire::{Refusal, RefusalCode},
};

use crate::{ErrorKind, client::Random};

mod activity;
mod ask;
mod basis;
mod faults;
mod follow;
mod lookup;
mod nonce;
mod pace;
mod quorum;
mod recent;
mod roster;
mod send;
mod summary;
mod tickets;
mod trusted;
mod vouch;

pub use activity::Activity;
pub(crate) use basis::Basis;
pub use faults::{EpochFaults, ProviderFault};
pub use lookup::Head;
pub use pace::Pace;
pub use roster::Roster;
pub use send::Included;
pub(crate) use send::{Overtaken, Sent};
pub use summary::{EpochSummary, Supply, Totals};
pub use vouch::VouchError;

pub use trusted::{KeptTrust, TrustStore};

use ask::{Nodes, Survey};
use follow::Following;
use lookup::{HALT, KnownProvider};
pub(crate) use nonce::Nonces;
use quorum::Voters;
use recent::Recent;
pub(crate) use trusted::Trusted;

/// The ledger, as seen through the nodes that answer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Chain {
    inner: Arc<Inner>,
}

struct Inner {
    peers: Arc<dyn Peers>,
    rules: Mutex<Arc<Rules>>,
    clock: Mutex<EpochClock>,
    trusted: Trusted,
    nodes: Nodes,
    random: Random,
    rosters: Mutex<BTreeMap<Epoch, Arc<Roster>>>,
    providers: Mutex<BTreeMap<NodeId, KnownProvider>>,
    nonces: Nonces,
    recent: Mutex<Option<Recent>>,
    voters: Mutex<Option<Voters>>,
    /// Wakes who waits for a block.
    following: Following,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("trusted", &self.trusted).field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

/// Why the ledger could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// No node responded.
    #[error(
        "no node of the network responds ({asked} asked; the last: {last}): check this machine's connection, and the \
         addresses in the genesis file"
    )]
    NoNode {
        /// How many were asked.
        asked: usize,
        /// Why the last did not.
        last: String,
    },
    /// Some nodes responded with invalid proofs; no other node responded.
    #[error(
        "no node of the network sent a valid proof, and {caught} sent an invalid one, such as {node}: {reason}; check \
         this machine's connection, and the addresses in the genesis file"
    )]
    InvalidProof {
        /// One of those nodes.
        node: NodeId,
        /// What is wrong with its proof.
        reason: String,
        /// Number of nodes that sent invalid proofs.
        caught: usize,
    },
    /// The newest verified block is too old to tell the chain from one that former validators forged.
    #[error("{0}: get a recent block from the operator of a node, and trust it as a checkpoint")]
    Expired(TrustError),
    /// Nodes responded, and refused.
    #[error("node {node} refused the request: {refusal}")]
    Refused {
        /// The node.
        node: NodeId,
        /// Its reason.
        refusal: Refusal,
    },
    /// The ledger is proven to have no such object.
    #[error(
        "object {object} is not on the ledger as of block {height}: it was never added to this network, or its term \
         has ended"
    )]
    NoObject {
        /// The object.
        object: ObjectId,
        /// The newest block, after which there is no such object.
        height: Height,
    },
    /// The ledger is proven not to have it.
    #[error("the ledger does not have the {what}")]
    Unknown {
        /// The record.
        what: String,
    },
    /// The account's transactions do not fit the pages that are asked for.
    #[error("account {account} has more transactions than fit {pages} pages: ask for fewer")]
    TooMany {
        /// The account.
        account: AccountId,
        /// How many pages were read.
        pages: usize,
    },
    /// All nodes that listed providers left some out. Ask again: others may list them.
    #[error(
        "the nodes that were asked for providers listed {listed} of the {all} that can be drawn: try again when more \
         nodes respond"
    )]
    ProvidersMissing {
        /// Providers that can be drawn and were listed.
        listed: usize,
        /// Providers that can be drawn.
        all: usize,
    },
    /// One node claims that the transaction is in no block, and no other node responded to confirm it.
    #[error(
        "only node {node} responded, and claims that transaction {tx} is in no block: try again when more nodes \
         respond"
    )]
    Unconfirmed {
        /// The node.
        node: NodeId,
        /// The transaction.
        tx: TxId,
    },
    /// The chain does not advance: try again when it does.
    #[error(
        "no holders can be drawn before block {need}, and the network has made no block after {height} for {seconds} \
         s: try again when it advances",
        seconds = HALT.as_secs()
    )]
    Halted {
        /// The newest block.
        height: Height,
        /// The block that is waited for.
        need: Height,
    },
    /// Nothing is left to do: it was released, or its term is over with this epoch.
    #[error("object {object} ends with this epoch already: nothing is left to release")]
    Ending {
        /// The object.
        object: ObjectId,
    },
    /// This account has no commitment for the object.
    #[error("object {object} is not stored for account {account}: only its owner's terms can be changed")]
    NotOwner {
        /// The object.
        object: ObjectId,
        /// The account.
        account: AccountId,
    },
    /// The transaction may still be included.
    #[error(
        "transaction {tx} is in no block yet, and may still be included up to block {until}: check it with \
         `ostrakon ledger tx {tx}` before you repeat it"
    )]
    NotIncluded {
        /// The transaction.
        tx: TxId,
        /// The last height at which it may be included.
        until: Height,
    },
    /// Another transaction of the same account took its nonce.
    #[error("transaction {tx} was not applied, because another one of this account took its nonce: repeat it")]
    Overtaken {
        /// The transaction.
        tx: TxId,
    },
    /// The transaction failed, and its fee is spent: do what the node that refused it said, and repeat it.
    #[error(
        "transaction {tx} failed in block {height}, and its fee was charged: the ledger may have changed since it was \
         sent; check what it refers to before you repeat it"
    )]
    Charged {
        /// The transaction.
        tx: TxId,
        /// The block that charged it.
        height: Height,
    },
    /// Too few validators answer, or have the block.
    #[error(
        "validators with {power} of {all} voting power respond, and more than two thirds are needed: try again when \
         more of them do"
    )]
    NoQuorum {
        /// Power of those that did.
        power: u64,
        /// Power of all.
        all: u64,
    },
    /// The client has no key to sign with.
    #[error("the client has no account key, which is needed to sign a transaction")]
    NoKey,
}

impl ChainError {
    /// What it means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NoNode { .. }
            | Self::NotIncluded { .. }
            | Self::ProvidersMissing { .. }
            | Self::Unconfirmed { .. }
            | Self::NoQuorum { .. }
            | Self::Halted { .. } => ErrorKind::Network,
            Self::Refused { refusal, .. } if matches!(refusal.code, RefusalCode::Busy) => ErrorKind::Network,
            Self::InvalidProof { .. } => ErrorKind::Integrity,
            Self::NoObject { .. } | Self::Ending { .. } | Self::Unknown { .. } => ErrorKind::NotFound,
            Self::NotOwner { .. } | Self::NoKey | Self::Expired(_) | Self::TooMany { .. } => ErrorKind::Usage,
            Self::Refused { .. } | Self::Overtaken { .. } | Self::Charged { .. } => ErrorKind::Other,
        }
    }
}

impl Chain {
    pub(crate) fn new(
        peers: Arc<dyn Peers>,
        genesis: &Genesis,
        trusted: Trusted,
        random: Random,
        nonces: Nonces,
    ) -> Self {
        let mut order: Vec<NodeId> = Vec::new();
        for provider in &genesis.providers {
            peers.learn(provider.node, &provider.addresses);
            order.push(provider.node);
        }
        order.extend(ask::learn_bootstrap(peers.as_ref(), &genesis.bootstrap));
        let rules = Rules::from(genesis);
        let inner = Inner {
            peers,
            rules: Mutex::new(Arc::new(rules)),
            clock: Mutex::new(EpochClock::genesis(genesis.time_ms)),
            trusted,
            nodes: Nodes::new(order, &random),
            random,
            rosters: Mutex::default(),
            providers: Mutex::default(),
            nonces,
            recent: Mutex::default(),
            voters: Mutex::default(),
            following: Following::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Asks these nodes after all others, until they answer.
    pub(crate) fn ask_last(&self, nodes: &[NodeId]) {
        nodes.iter().for_each(|node| self.inner.nodes.demote(*node));
    }

    /// The rules that this network's blocks are checked by, as of the last look at its [head](Self::head).
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&lock(&self.inner.rules))
    }

    /// The time of day, in milliseconds of Unix time.
    pub(crate) fn now_ms(&self) -> u64 {
        self.inner.trusted.now_ms()
    }

    /// When epochs begin, as of the last look at the ledger's [head](Self::head).
    pub fn pace(&self) -> Pace {
        Pace::new(&lock(&self.inner.clock), self.trust().time_ms(), self.rules().params.time.epoch_ms)
    }

    fn adopt(&self, rules: Rules, clock: EpochClock) {
        *lock(&self.inner.clock) = clock;
        self.inner.trusted.keep_for(light::trust_period_ms(&rules.params));
        let mut current = lock(&self.inner.rules);
        if **current != rules {
            *current = Arc::new(rules);
        }
    }

    /// Why no node gave an answer: where nodes sent invalid proofs, that is the reason.
    fn unanswered<T>(&self, survey: Survey<T>) -> ChainError {
        match survey.into_error() {
            error @ ChainError::NoNode { .. } => {
                let excluded = self.invalid_proofs();
                let caught = excluded.len();
                let first = excluded.into_iter().next();
                first.map_or(error, |(node, reason)| ChainError::InvalidProof { node, reason, caught })
            }
            error => error,
        }
    }

    /// Nodes that sent an invalid proof, each with what is wrong with it. They are not asked again.
    pub fn invalid_proofs(&self) -> BTreeMap<NodeId, String> {
        self.inner.nodes.invalid_proofs()
    }

    /// Nodes that made a claim that others contradicted, each with its last such claim. Such claims need no proof: that
    /// it accepted a transaction, that one is in no block, which providers there are, which block is the newest, and
    /// that it has no answer. Such a node may only have been behind.
    pub fn contradicted(&self) -> BTreeMap<NodeId, String> {
        self.inner.nodes.contradicted()
    }
}

/// Why one node gave no valid answer.
#[derive(Clone, Debug, thiserror::Error)]
enum Silence {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("node {0} sent an invalid proof: {1}")]
    Lies(NodeId, BadAnswer),
    #[error("node {0} is behind the others: its newest block is {1}")]
    Behind(NodeId, Height),
    #[error(transparent)]
    Expired(TrustError),
}

impl Silence {
    /// The node's refusal, when that is why.
    const fn refusal(&self) -> Option<&Refusal> {
        if let Self::Ask(error) = self { error.refusal() } else { None }
    }
}
