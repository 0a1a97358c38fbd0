//! The client itself: its parts. Each operation has a file of its own.

use std::{fmt, sync::Arc};

use ostrakon_net::{Peers, Workers};
use ostrakon_proto::{
    id::AccountId,
    ledger::{Genesis, Rules},
    sign::Keypair,
};
use ostrakon_transfer::Lines;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::{
    Journals, Objects, Profile,
    add::row_memory,
    backoff::Backoff,
    chain::{Chain, ChainError, Nonces, TrustStore, Trusted},
    received::{Counted, Received},
};

/// Source of randomness: fills the slice. Applications use the operating system's, simulations a seed.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// The time of day, in milliseconds of Unix time.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// In a profile: nodes that did not respond.
const BACKOFF: &str = "backoff";
/// In a profile: the next nonce, and the lock by which clients take turns to sign.
const NONCES: &str = "nonces";

/// What a [`Client`] is made of.
pub struct ClientParts {
    /// The network.
    pub peers: Arc<dyn Peers>,
    /// The threads that encode, hash and encrypt.
    pub workers: Workers,
    /// The network, and its first nodes.
    pub genesis: Genesis,
    /// Where the newest trusted block is saved for the next client; without it each client starts at genesis.
    pub trust: Option<Arc<dyn TrustStore>>,
    /// The clock by which the trusted block ages, and which says when objects of buckets were put.
    pub clock: Clock,
    /// The account that pays; reading needs none.
    pub account: Option<Keypair>,
    /// Where object keys are drawn from.
    pub random: Random,
    /// The profile, whose clients share files: the list of what was added, journals of unfinished adds, the next nonce,
    /// nodes that did not respond. Without one a client shares nothing.
    pub profile: Option<Profile>,
}

/// A client of one network, for one account. Cheap to clone; clones share connections and caches.
#[derive(Clone)]
pub struct Client {
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) workers: Workers,
    pub(crate) chain: Chain,
    pub(crate) account: Option<Keypair>,
    pub(crate) random: Random,
    pub(crate) journals: Option<Journals>,
    pub(crate) objects: Option<Objects>,
    pub(crate) backoff: Arc<Backoff>,
    /// What dropped operations left to do.
    pub(crate) background: TaskTracker,
    pub(crate) row_memory: Arc<Semaphore>,
    pub(crate) lines: Arc<Lines>,
    pub(crate) received: Received,
}

impl Client {
    /// A client of these parts. Nothing is sent to the network yet.
    pub fn new(parts: ClientParts) -> Self {
        let ClientParts { peers, workers, genesis, trust, clock, account, random, profile } = parts;
        let received = Received::default();
        let peers: Arc<dyn Peers> = Arc::new(Counted { peers, received: received.clone() });
        let in_profile = |name| profile.as_ref().map(|profile| profile.directory().join(name));
        let backoff = Arc::new(Backoff::new(in_profile(BACKOFF), Arc::clone(&clock)));
        let (journals, objects) = (profile.as_ref().map(Profile::journals), profile.as_ref().map(Profile::objects));
        let trusted = Trusted::new(&genesis, trust, Arc::clone(&clock));
        let nonces = Nonces::new(in_profile(NONCES));
        let chain = Chain::new(Arc::clone(&peers), &genesis, trusted, Arc::clone(&random), nonces);
        chain.ask_last(&backoff.silent());
        let (background, row_memory, lines) = (TaskTracker::new(), row_memory(), Arc::default());
        Self {
            peers,
            workers,
            chain,
            account,
            random,
            journals,
            objects,
            backoff,
            background,
            row_memory,
            lines,
            received,
        }
    }

    /// The ledger, as this client sees it.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// What other nodes answered so far. Clients of other accounts made from this one are counted with it.
    pub fn received(&self) -> &Received {
        &self.received
    }

    /// Closes all connections of this client and its clones, which cannot be used any more. A program that ends calls
    /// this last: a node that is not told holds memory for the connection until it times out. Takes half a second at
    /// most.
    pub async fn close(&self) {
        self.peers.leave().await;
    }

    /// The account that pays, if there is one.
    pub fn account(&self) -> Option<AccountId> {
        self.account.as_ref().map(Keypair::public)
    }

    /// The same for another account, which shares connections and caches, and records nothing in the profile.
    pub(crate) fn as_account(&self, key: Keypair) -> Self {
        Self { account: Some(key), journals: None, objects: None, ..self.clone() }
    }

    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.chain.rules()
    }

    pub(crate) fn key(&self) -> Result<&Keypair, ChainError> {
        self.account.as_ref().ok_or(ChainError::NoKey)
    }

    /// The time of day, in milliseconds of Unix time.
    pub(crate) fn now_ms(&self) -> u64 {
        self.chain.now_ms()
    }

    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }
}

impl fmt::Debug for ClientParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientParts")
            .field("peers", &self.peers)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("peers", &self.peers).field("account", &self.account()).finish_non_exhaustive()
    }
}
