//! The ledger from outside: asks any node, believes what is signed, and submits.
//!
//! In go questions; out come records of the ledger. Which node answers is nobody's concern: [`ask`] fails over between
//! all that are known. What a block contains is checked against its validator's signature. Records come from one node's
//! verified copy; a lie there can hide an object or waste time, but no bytes are believed for it: manifests and columns
//! verify by themselves. Not here: what transactions mean (proto/ledger), or who keeps which bytes (`get`, `add`).
//!
//! * [`lookup`]: head, accounts, providers, rosters, commitments
//! * [`send`]: signs with the next nonce, submits, waits until included, and until spread

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ostrakon_net::{CallError, Peers, peer_id_text};
use ostrakon_proto::{
    id::{AccountId, Epoch, Height, NodeId, ObjectId, TxId},
    ledger::{
        Genesis, Rules,
        tx::Header,
        verify_header,
        vote::{Certificate, ValidatorSet},
    },
    wire::{Code, Refusal},
};

use crate::{ErrorKind, client::Random};

mod ask;
mod lookup;
mod send;

pub use lookup::Roster;
pub use send::Included;
pub(crate) use send::Overtaken;

use ask::Nodes;
use lookup::KnownProvider;

/// The ledger, as seen through the nodes that answer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Chain {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    peers: Arc<dyn Peers>,
    rules: Rules,
    /// Who decides blocks.
    set: ValidatorSet,
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
    /// Nodes answered, and refused.
    #[error("node {} refuses: {refusal}", peer_id_text(node))]
    Refused {
        /// The node.
        node: NodeId,
        /// Its reason.
        refusal: Refusal,
    },
    /// Several nodes were asked, and none knows it.
    #[error("the ledger has no object {object} ({asked} nodes asked); it was never added here, or its term is over")]
    NoObject {
        /// The object.
        object: ObjectId,
        /// How many nodes were asked.
        asked: usize,
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
    #[error("this needs an account, and the client has no key: create one with `ostrakon init`")]
    NoKey,
}

impl ChainError {
    /// What it means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NoNode { .. } | Self::NotIncluded { .. } => ErrorKind::Network,
            Self::Refused { refusal, .. } if matches!(refusal.code, Code::Busy) => ErrorKind::Network,
            Self::NoObject { .. } => ErrorKind::NotFound,
            Self::NotOwner { .. } | Self::NoKey => ErrorKind::Usage,
            Self::Refused { .. } | Self::Overtaken { .. } => ErrorKind::Other,
        }
    }
}

impl Chain {
    pub(crate) fn new(peers: Arc<dyn Peers>, genesis: &Genesis, random: &Random) -> Self {
        let mut order: Vec<NodeId> = Vec::new();
        for provider in &genesis.providers {
            peers.learn(provider.node, &provider.addresses);
            order.push(provider.node);
        }
        order.extend(ask::learn_bootstrap(peers.as_ref(), &genesis.bootstrap));
        let inner = Inner {
            peers,
            rules: Rules::from(genesis),
            set: genesis.validator_set(),
            nodes: Nodes::new(order, random),
            rosters: Mutex::default(),
            providers: Mutex::default(),
            nonces: tokio::sync::Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether the validators decided the block with this header.
    fn is_decided(&self, header: &Header, certificate: &Certificate) -> bool {
        verify_header(&self.inner.rules.chain, &self.inner.set, header, certificate).is_ok()
    }

    /// The rules that this network's blocks are checked by.
    pub fn rules(&self) -> &Rules {
        &self.inner.rules
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
    #[error("node {} answers nonsense", peer_id_text(.0))]
    Nonsense(NodeId),
    #[error("node {} refuses: {}", peer_id_text(.0), .1)]
    Refused(NodeId, Refusal),
}
