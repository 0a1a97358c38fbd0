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
    Workers, lock,
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

use crate::{Client, ClientParts, Clock};

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

struct Shared {
    rules: Rules,
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
    /// No node lists who is at fault.
    hides_faults: bool,
}

/// What is done with transactions.
#[derive(Default)]
struct Intake {
    /// Those that wait for the next block, where blocks take their time.
    waiting: Option<Vec<Tx>>,
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
        Self::make(nodes, Params::default(), SimNetwork::new(seed, config))
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
        Self::make(nodes, params, SimNetwork::new(7, SimConfig::default()))
    }

    /// As [`World::new`], with no least number of domains.
    pub(crate) fn on_one_machine(nodes: u8) -> Self {
        let params = Params { min_domains: 1, ..Params::default() };
        Self::make(nodes, params, SimNetwork::new(7, SimConfig::default()))
    }

    fn make(nodes: u8, params: Params, network: SimNetwork) -> Self {
        let key = |number: u8| Keypair::from_seed(&[number + 1; 32]);
        let keys = validator();
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
        let genesis = Genesis {
            name: "fake".to_owned(),
            time_ms: 1,
            bootstrap: Vec::new(),
            membership: Membership::default(),
            params: Params { time: Timing { beacon_blocks: 1, ..params.time }, ..params },
            accounts: [account(), crowd()]
                .map(|key| GenesisAccount { account: key.public(), balance: Amount(1_000_000_000_000) })
                .to_vec(),
            validators: vec![GenesisValidator {
                owner: account().public(),
                key: keys.vote.public(),
                node: key(0).public(),
                addresses: vec!["/ip4/127.0.0.1/tcp/4000".to_owned()],
                beacon_key: keys.beacon.public(),
                bond: Params::default().bonds.validator,
                domain: domain(0),
            }],
            providers: (0..nodes).map(provider).collect(),
        };
        let shared = Arc::new(Mutex::new(Shared {
            rules: Rules::from(&genesis),
            ledger: MemoryRecords::new(&genesis.changes()),
            decided: Vec::new(),
            history: BTreeMap::new(),
            places: BTreeMap::new(),
            faults: BTreeMap::new(),
            reads: Vec::new(),
            puts: Puts::default(),
            forgotten: 0,
            intake: Intake::default(),
            hides_faults: false,
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
        let count = Mutex::new(0u64);
        let random = move |bytes: &mut [u8]| {
            let mut count = lock(&count);
            *count += 1;
            blake3::Hasher::new().update(&[number]).update(&count.to_le_bytes()).finalize_xof().fill(bytes);
        };
        Client::new(ClientParts {
            peers,
            workers: Workers::inline(),
            genesis: self.genesis.clone(),
            trust: None,
            clock: self.clock(),
            account: Some(account()),
            random: Arc::new(random),
            profile: None,
        })
    }

    pub(crate) fn fault(&self, node: NodeId, fault: Fault) {
        lock(&self.shared).faults.insert(node, fault);
    }

    pub(crate) fn heal(&self) {
        lock(&self.shared).faults.clear();
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
        lock(&self.shared).hides_faults = true;
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

/// What the ledger's one validator votes with.
pub(crate) fn validator() -> ValidatorKeys {
    ValidatorKeys::from_seed(&[0; 32])
}

fn ok<T: borsh::BorshSerialize>(response: &T, body: Bytes) -> Frame {
    Frame::new(&Ok::<_, Refusal>(response), body)
}

fn refuse(code: RefusalCode, reason: impl std::fmt::Display) -> Frame {
    Frame::new(&Err::<(), _>(Refusal::new(code, reason)), Bytes::new())
}
