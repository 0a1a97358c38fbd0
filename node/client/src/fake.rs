//! A network of fake nodes on a simulated network: one ledger that all of them share, columns in memory, and faults on
//! demand. Only for the tests of this crate; what real nodes do is tested with real nodes.

#![allow(clippy::unwrap_used, reason = "the fakes of a test may stop the test")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ostrakon_lies::Lie;
use ostrakon_net::{
    Peers, Workers, lock,
    sim::{SimConfig, SimNetwork},
};
use ostrakon_proto::{
    id::{AccountId, Amount, Height, NodeId, TxId},
    ledger::{
        Genesis, GenesisAccount, GenesisProvider, GenesisValidator, MemoryRecords, Rules,
        state::{Domain, Membership, Records},
        tx::{Action, DecidedBlock, Tx, TxBody},
        vote::ValidatorKeys,
    },
    params::{Audits, Params, Timing},
    sign::Keypair,
    wire::{Frame, Refusal, RefusalCode},
};
use tokio::task::JoinSet;

use crate::{Client, ClientParts, Clock, client::Random};

mod activity;
mod holder;
mod ledger;

use holder::Holder;

/// What a node does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Refuses to store.
    Full,
    /// Is behind the ledger, so that it cannot verify a draw yet.
    Behind,
    /// Takes this many chunks of each upload, and then no more.
    StallsAfter(u64),
    /// Never answers anything.
    Silent,
    /// Sends wrong bytes.
    Corrupt,
    /// Stores columns, and never acknowledges it.
    KeepsReceipts,
    /// Has lost all columns and manifests, and loses what it takes.
    Forgets,
    /// Makes a false claim.
    Lies(Lie),
}

/// All there is.
pub(crate) struct World {
    pub(crate) network: SimNetwork,
    pub(crate) genesis: Genesis,
    pub(crate) nodes: Vec<NodeId>,
    shared: Arc<Mutex<Shared>>,
    now_ms: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Shared {
    rules: Rules,
    /// Who votes; the first proposes all blocks.
    validators: Arc<Vec<ValidatorKeys>>,
    ledger: MemoryRecords,
    decided: Vec<DecidedBlock>,
    history: BTreeMap<u64, [u8; 32]>,
    places: BTreeMap<TxId, usize>,
    faults: BTreeMap<NodeId, Fault>,
    /// Requests of get/1 that were answered, with the bytes of each.
    pub(crate) reads: Vec<usize>,
    pub(crate) puts: Puts,
    /// How often all nodes forgot all uploads.
    forgotten: u32,
    intake: Intake,
    /// What nodes know that receive no blocks for now.
    held_back: BTreeMap<NodeId, Arc<Mutex<Shared>>>,
}

/// What nodes do with transactions, and do not tell.
#[derive(Clone, Default)]
struct Intake {
    /// Those that wait for the next block, where blocks take their time.
    waiting: Option<Vec<Tx>>,
    /// No node lists who is at fault.
    hides_faults: bool,
    /// Commits of this extent are refused.
    refused: Option<u32>,
    next: NextTx,
}

/// What is done with the next transaction.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum NextTx {
    #[default]
    Taken,
    /// It is taken and forgotten.
    Forgotten,
    /// It is taken and forgotten, and others fill a block instead of it.
    Overtaken,
}

/// What all holders together took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Puts {
    /// Bytes of chunks.
    pub(crate) bytes: u64,
    /// Those of chunks that were there already.
    pub(crate) repeated: u64,
    /// Uploads that were given up.
    pub(crate) aborted: u64,
}

pub(crate) fn account() -> Keypair {
    Keypair::from_seed(&[200; 32])
}

impl World {
    /// A network of this many nodes, two to an infrastructure, whose ledger decides each transaction immediately.
    pub(crate) fn new(nodes: u8) -> Self {
        Self::with(nodes, SimConfig::default(), 7)
    }

    /// As [`World::new`], on a network like this.
    pub(crate) fn with(nodes: u8, config: SimConfig, seed: u64) -> Self {
        Self::make((nodes, 1), Params::default(), SimNetwork::new(seed, config))
    }

    /// As [`World::with`], where transactions wait for a block, and each takes so long.
    pub(crate) fn slow(nodes: u8, block: Duration, config: SimConfig, seed: u64) -> Self {
        let mut world = Self::with(nodes, config, seed);
        let shared = Arc::clone(&world.shared);
        lock(&shared).intake.waiting = Some(Vec::new());
        world.tasks.spawn(async move {
            loop {
                tokio::time::sleep(block).await;
                lock(&shared).decide_waiting();
            }
        });
        world
    }

    /// As [`World::new`], with a ledger whose epochs last so long, and draws good for so many epochs.
    pub(crate) fn hasty(nodes: u8, epoch_ms: u64, draw_epochs: u64) -> Self {
        let time = Timing { epoch_ms, window_blocks: 0, ..Timing::default() };
        let audits = Audits { suspend_after: u32::MAX, ..Audits::default() };
        let params = Params { time, draw_epochs, audits, ..Params::default() };
        Self::make((nodes, 1), params, SimNetwork::new(7, SimConfig::default()))
    }

    /// As [`World::new`], with no least number of domains.
    pub(crate) fn on_one_machine(nodes: u8) -> Self {
        let params = Params { min_domains: 1, ..Params::default() };
        Self::make((nodes, 1), params, SimNetwork::new(7, SimConfig::default()))
    }

    /// A network of this many nodes with no least number of domains, of which the first so many vote.
    pub(crate) fn council(nodes: u8, voters: u8, (config, seed): (SimConfig, u64)) -> Self {
        let params = Params { min_domains: 1, ..Params::default() };
        Self::make((nodes, voters), params, SimNetwork::new(seed, config))
    }

    fn make((nodes, voters): (u8, u8), params: Params, network: SimNetwork) -> Self {
        let key = |number: u8| Keypair::from_seed(&[number + 1; 32]);
        let provider = |number: u8| GenesisProvider {
            owner: key(100 + number).public(),
            node: key(number).public(),
            addresses: vec![format!("/ip4/127.0.0.1/tcp/{}", 4000 + u16::from(number))],
            price: Amount(1_000_000),
            capacity: 1 << 40,
            bond: None,
            proven: None,
            domain: domain(number),
        };
        let voter = |number: u8| GenesisValidator {
            owner: if number == 0 { account().public() } else { key(150 + number).public() },
            key: validator(number).vote.public(),
            node: key(number).public(),
            addresses: vec![format!("/ip4/127.0.0.1/tcp/{}", 4000 + u16::from(number))],
            beacon_key: validator(number).beacon.public(),
            bond: Params::default().bonds.validator,
            domain: domain(number),
        };
        let genesis = Genesis {
            name: "fake".to_owned(),
            time_ms: 1,
            bootstrap: Vec::new(),
            membership: Membership::default(),
            params: Params { time: Timing { beacon_blocks: 1, ..params.time }, ..params },
            accounts: [account(), crowd()]
                .map(|key| GenesisAccount { account: key.public(), balance: Amount(1_000_000_000_000) })
                .to_vec(),
            validators: (0..voters).map(voter).collect(),
            providers: (0..nodes).map(provider).collect(),
        };
        let shared = Arc::new(Mutex::new(Shared {
            rules: Rules::from(&genesis),
            validators: Arc::new((0..voters).map(validator).collect()),
            ledger: MemoryRecords::new(&genesis.changes()),
            decided: Vec::new(),
            history: BTreeMap::new(),
            places: BTreeMap::new(),
            faults: BTreeMap::new(),
            reads: Vec::new(),
            puts: Puts::default(),
            forgotten: 0,
            intake: Intake::default(),
            held_back: BTreeMap::new(),
        }));
        // Genesis is signed by nobody: what is proven begins with a block.
        lock(&shared).decide(Vec::new()).unwrap();
        let mut tasks = JoinSet::new();
        for number in 0..nodes {
            let (_, requests) = network.join(key(number).public());
            let shared = Arc::clone(&shared);
            let mut holder = Holder::new(key(number), shared);
            tasks.spawn(async move {
                while let Some(inbound) = requests.next_of_any().await {
                    holder.handle(inbound);
                }
            });
        }
        let nodes = (0..nodes).map(|number| key(number).public()).collect();
        Self { network, genesis, nodes, shared, now_ms: Arc::default(), tasks }
    }

    /// What time all clients have.
    pub(crate) fn set_clock(&self, now_ms: u64) {
        self.now_ms.store(now_ms, Ordering::Relaxed);
    }

    fn clock(&self) -> Clock {
        let now_ms = Arc::clone(&self.now_ms);
        Arc::new(move || now_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn client(&self) -> Client {
        self.client_as(250)
    }

    /// One of several clients of the same account.
    pub(crate) fn client_as(&self, number: u8) -> Client {
        let (peers, _) = self.network.join(NodeId::new([number; 32]));
        self.client_of(peers, vec![number])
    }

    /// A client of that account on this network, whose random bytes follow from the seed.
    pub(crate) fn client_of(&self, peers: Arc<dyn Peers>, seed: Vec<u8>) -> Client {
        let count = Mutex::new(0u64);
        let random: Random = Arc::new(move |bytes: &mut [u8]| {
            let mut count = lock(&count);
            *count += 1;
            blake3::Hasher::new().update(&seed).update(&count.to_le_bytes()).finalize_xof().fill(bytes);
        });
        Client::new(ClientParts {
            peers,
            workers: Workers::inline(),
            genesis: self.genesis.clone(),
            trust: None,
            clock: self.clock(),
            account: Some(account()),
            random,
            profile: None,
        })
    }

    pub(crate) fn fault(&self, node: NodeId, fault: Fault) {
        lock(&self.shared).faults.insert(node, fault);
    }

    pub(crate) fn heal(&self) {
        lock(&self.shared).faults.clear();
    }

    /// The node is well again.
    pub(crate) fn heal_one(&self, node: NodeId) {
        lock(&self.shared).faults.remove(&node);
    }

    /// The node receives no blocks from now on.
    pub(crate) fn hold_back(&self, node: NodeId) {
        let mut shared = lock(&self.shared);
        let known = Shared { held_back: BTreeMap::new(), intake: Intake::default(), ..shared.clone() };
        shared.held_back.insert(node, Arc::new(Mutex::new(known)));
    }

    /// The node has all blocks again.
    pub(crate) fn catch_up(&self, node: NodeId) {
        lock(&self.shared).held_back.remove(&node);
    }

    /// Whether transactions wait for a block from now on. Those that wait are in one first.
    pub(crate) fn slow_down(&self, is_slow: bool) {
        self.make_blocks();
        lock(&self.shared).intake.waiting = is_slow.then(Vec::new);
    }

    /// Makes a block of what waits.
    pub(crate) fn make_blocks(&self) {
        lock(&self.shared).decide_waiting();
    }

    /// Looks at the ledger itself.
    pub(crate) fn inspect<T>(&self, look: impl FnOnce(&MemoryRecords) -> T) -> T {
        look(&lock(&self.shared).ledger)
    }

    pub(crate) fn puts(&self) -> Puts {
        lock(&self.shared).puts
    }

    /// Every node forgets the uploads in progress, as if it had been restarted.
    pub(crate) fn forget_uploads(&self) {
        lock(&self.shared).forgotten += 1;
    }

    /// The ledger refuses commits of this extent; or of none.
    pub(crate) fn refuse_extent(&self, extent: Option<u32>) {
        lock(&self.shared).intake.refused = extent;
    }

    /// The next transaction is taken and forgotten.
    pub(crate) fn forget_next(&self) {
        lock(&self.shared).intake.next = NextTx::Forgotten;
    }

    /// No node lists who is at fault any more.
    pub(crate) fn hide_faults(&self) {
        lock(&self.shared).intake.hides_faults = true;
    }

    /// The next transaction is taken and forgotten, and others fill a block instead of it.
    pub(crate) fn rush_next(&self) {
        lock(&self.shared).intake.next = NextTx::Overtaken;
    }

    /// Puts these into one block: what each of these accounts does next.
    pub(crate) fn act(&self, actions: &[(&Keypair, Action)]) {
        let mut shared = lock(&self.shared);
        let mut nonces: BTreeMap<AccountId, u64> = BTreeMap::new();
        let mut txs = Vec::new();
        for (key, action) in actions {
            let account = key.public();
            let nonce = nonces.entry(account).or_insert_with(|| shared.ledger.account(&account).nonce);
            let valid_until = Height(shared.ledger.tip().height.0 + 100);
            let body =
                TxBody { account, nonce: *nonce, valid_until, salt: 0, fee: Amount(1_000_000), action: action.clone() };
            txs.push(Tx::sign(body, key, &shared.rules.chain));
            *nonce += 1;
        }
        shared.decide(txs).unwrap();
    }

    /// Transactions that are in blocks.
    pub(crate) fn transactions(&self) -> usize {
        lock(&self.shared).places.len()
    }

    pub(crate) fn take_reads(&self) -> Vec<usize> {
        std::mem::take(&mut lock(&self.shared).reads)
    }
}

fn domain(number: u8) -> Domain {
    Domain {
        operator: format!("operator-{number}"),
        infrastructure: format!("cloud-{}", number / 2),
        region: format!("region-{}", number / 2),
    }
}

/// Who fills blocks.
pub(crate) fn crowd() -> Keypair {
    Keypair::from_seed(&[201; 32])
}

/// What the ledger's validator of this number votes with; most networks have one.
pub(crate) fn validator(number: u8) -> ValidatorKeys {
    ValidatorKeys::from_seed(&[number; 32])
}

fn ok<T: borsh::BorshSerialize>(response: &T, body: Bytes) -> Frame {
    Frame::new(&Ok::<_, Refusal>(response), body)
}

fn refuse(code: RefusalCode, reason: impl std::fmt::Display) -> Frame {
    Frame::new(&Err::<(), _>(Refusal::new(code, reason)), Bytes::new())
}
