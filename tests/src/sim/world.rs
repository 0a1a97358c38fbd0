//! The machines of a simulated network: real nodes on memory disks, and the faults done to them.
//!
//! A disk outlives the process that used it: a machine that crashes loses what was in flight and keeps what was
//! promised. Nothing in here judges ([`super::checker`]) or chooses ([`super::faults`]).

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use ostrakon::{Client, ClientParts};
use ostrakon_net::{
    Requests, Workers, request_queues,
    sim::{LinkConditions, SimConfig, SimNetwork},
};
use ostrakon_node::{
    chain::{
        memory::MemoryLedger,
        order::{
            sign_state::{self, SignMemory},
            wal::WalMemory,
        },
        store::LedgerStore,
    },
    metrics::NodeMetrics,
    node::{Clock, Node, NodeParts, Settings, ValidatorParts},
    store::{Columns, Memory, Reads},
};
use ostrakon_proto::{
    codec,
    id::{AccountId, Amount, ColumnId, Height, NodeId, ObjectId},
    ledger::{
        Genesis, GenesisAccount, GenesisProvider, GenesisValidator,
        state::{Domain, Membership},
        tx::Tx,
        vote::ValidatorKeys,
    },
    limits,
    params::{Params, Timing},
    sign::Keypair,
    wire::{
        Frame, Protocol, Refusal,
        chain::{ChainRequest, ChainResponse, Relayed},
    },
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::faults::{Fault, Step};
use crate::validators::new_incarnation;

/// When the world begins, in milliseconds of Unix time.
const BEGIN_MS: u64 = 1_800_000_000_000;
/// Blocks are made for transactions; without any, this rarely, because each costs every node its verification.
const IDLE_BLOCK_MS: u64 = 600_000;
/// Where several agree on blocks, this often, so that it shows when they do not.
const COUNCIL_BLOCK_MS: u64 = 10_000;
/// Bytes of a disk.
const DISK: u64 = 1 << 30;
/// How long a healed network may take until all nodes have the same block.
const RECOVERY: Duration = Duration::from_secs(600);

/// How large a world is.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Nodes; all are providers.
    pub nodes: usize,
    /// How many of them decide blocks, from node 0 on.
    pub validators: usize,
    /// Domains over which they are spread.
    pub domains: usize,
    /// Users, each with a client and an account of its own.
    pub users: usize,
    /// Least length of an epoch, in milliseconds.
    pub epoch_ms: u64,
}

impl Default for Scale {
    fn default() -> Self {
        Self { nodes: 40, validators: 1, domains: 10, users: 2, epoch_ms: 2_000 }
    }
}

impl Scale {
    /// A small network whose blocks four validators agree on.
    pub fn council() -> Self {
        Self { nodes: 14, validators: 4, domains: 7, users: 2, epoch_ms: 2_000 }
    }
}

/// One machine: a process while it runs, and disks that outlive it.
#[derive(Debug)]
pub struct Machine {
    key: Keypair,
    validator: Option<Voter>,
    /// Its columns.
    pub columns: Arc<Memory>,
    /// Its ledger.
    pub ledger: Arc<MemoryLedger>,
    process: Option<Node>,
    /// How far its clock is from the true time, in milliseconds.
    skew_ms: Arc<AtomicI64>,
    /// Whether it says that it takes transactions, and takes none.
    censors: bool,
    /// Columns that were on it when its disk was lost.
    destroyed: BTreeSet<(ObjectId, ColumnId)>,
    /// Columns of it that rotted.
    rotten: BTreeSet<ColumnId>,
}

impl Machine {
    /// The node's name.
    pub fn id(&self) -> NodeId {
        self.key.public()
    }

    /// Whether its process runs.
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Its process, while it runs.
    pub fn process(&mut self) -> Option<&mut Node> {
        self.process.as_mut()
    }

    /// Whether the faults left it what it promised to keep of this object's column. That it is there is the node's own
    /// business.
    pub fn keeps(&self, object: ObjectId, column: ColumnId) -> bool {
        let place = (object, column);
        !self.rotten.contains(&column) && (!self.destroyed.contains(&place) || self.places().contains(&place))
    }

    /// Objects and their columns. Short objects may share one: each has a token of its own.
    fn places(&self) -> Vec<(ObjectId, ColumnId)> {
        let places = self.columns.places(None, usize::MAX).expect("memory can be listed");
        places.iter().map(|stored| (stored.place.object, stored.place.column)).collect()
    }

    /// The last height on its disk.
    pub fn height(&self) -> Height {
        self.ledger.view().tip().height
    }
}

/// A network and its machines.
#[derive(Debug)]
pub struct World {
    /// What they talk over.
    pub network: SimNetwork,
    /// What founded it.
    pub genesis: Genesis,
    /// The machines, by number.
    pub machines: Vec<Machine>,
    begin: Instant,
}

/// What a validator's machine keeps besides.
#[derive(Debug)]
struct Voter {
    seed: [u8; 32],
    wal: Arc<WalMemory>,
    signatures: Arc<SignMemory>,
}

impl Voter {
    /// One whose key was made just now.
    fn new(seed: [u8; 32]) -> Self {
        let voter = Self::without_memory(seed);
        sign_state::begin_in(&*voter.signatures).expect("memory");
        voter
    }

    /// One that may have signed anything.
    fn without_memory(seed: [u8; 32]) -> Self {
        Self { seed, wal: Arc::default(), signatures: Arc::default() }
    }

    fn parts(&self) -> ValidatorParts {
        let (wal, signatures) = (Arc::clone(&self.wal), Arc::clone(&self.signatures));
        ValidatorParts { keys: ValidatorKeys::from_seed(&self.seed), wal, signatures, incarnation: new_incarnation() }
    }
}

/// Keys of a world: all from its seed, each for one purpose.
fn key(purpose: u8, number: usize, seed: u64) -> Keypair {
    let number = u64::try_from(number).expect("a length fits 64 bits");
    let mut bytes = [purpose; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8..16].copy_from_slice(&seed.to_le_bytes());
    Keypair::from_seed(&bytes)
}

impl World {
    /// Founds a network and starts all its nodes.
    pub async fn start(seed: u64, scale: Scale, chance: &mut ChaCha8Rng) -> Self {
        Self::start_as(seed, scale, |_| {}, chance).await
    }

    /// As [`World::start`], by a genesis that `amend` has changed.
    pub async fn start_as(seed: u64, scale: Scale, amend: impl FnOnce(&mut Genesis), chance: &mut ChaCha8Rng) -> Self {
        let loss_per_mille = [0, 0, 5, 20][super::faults::index(chance, 4)];
        let config = SimConfig { loss_per_mille, ..SimConfig::default() };
        let keys: Vec<Keypair> = (0..scale.nodes).map(|number| key(1, number, seed)).collect();
        let mut genesis = genesis(&keys, scale, seed);
        amend(&mut genesis);
        let machine = |(number, key): (usize, Keypair)| Machine {
            key,
            validator: (number < scale.validators).then(|| Voter::new(validator_seed(number))),
            columns: Arc::new(Memory::new(DISK)),
            ledger: Arc::new(MemoryLedger::new(&genesis)),
            process: None,
            skew_ms: Arc::default(),
            censors: false,
            destroyed: BTreeSet::new(),
            rotten: BTreeSet::new(),
        };
        let mut machines: Vec<Machine> = keys.into_iter().enumerate().map(machine).collect();
        if scale.validators > 1 && chance.next_u64().is_multiple_of(2) {
            machines[super::faults::index(chance, scale.validators)].censors = true;
        }
        let network = SimNetwork::new(chance.next_u64(), config);
        let mut world = Self { network, genesis, machines, begin: Instant::now() };
        for number in 0..scale.nodes {
            world.boot(number).await;
        }
        world
    }

    /// The client of user `number`, on a machine of its own without a disk.
    pub fn client(&self, number: usize, chance: &mut ChaCha8Rng) -> Client {
        let account = user_key(number);
        let (peers, _nobody_asks) = self.network.join(key(3, number, 0).public());
        let random = Mutex::new(ChaCha8Rng::seed_from_u64(chance.next_u64()));
        let fill = move |bytes: &mut [u8]| random.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
        let (workers, genesis) = (Workers::inline(), self.genesis.clone());
        let (account, random) = (Some(account), Arc::new(fill));
        // Nobody is away for weeks here.
        let clock = Arc::new(|| BEGIN_MS);
        Client::new(ClientParts { peers, workers, genesis, trust: None, clock, account, random, profile: None })
    }

    async fn boot(&mut self, number: usize) {
        let machine = &mut self.machines[number];
        if machine.process.is_some() {
            return;
        }
        let (peers, requests) = self.network.join(machine.id());
        let requests = if machine.censors { censored(requests) } else { requests };
        let (begin, skew_ms) = (self.begin, Arc::clone(&machine.skew_ms));
        let now_ms = move || {
            let now_ms = BEGIN_MS + u64::try_from(begin.elapsed().as_millis()).expect("a simulation is short");
            now_ms.saturating_add_signed(skew_ms.load(Ordering::Relaxed))
        };
        let parts = NodeParts {
            genesis: self.genesis.clone(),
            keypair: machine.key.clone(),
            validator: machine.validator.as_ref().map(Voter::parts),
            peers,
            requests,
            columns: machine.columns.clone(),
            ledger: machine.ledger.clone(),
            workers: Workers::inline(),
            clock: Clock::new(now_ms),
            settings: Settings::default(),
            metrics: NodeMetrics::default(),
        };
        machine.process = Some(Node::start(parts).await.expect("a world's genesis and keys fit together"));
    }

    /// The process of this machine dies.
    pub fn crash(&mut self, number: usize) {
        let machine = &mut self.machines[number];
        machine.process = None;
        machine.columns.restart();
        self.network.crash(machine.id());
    }

    /// Carries the faults out, each at its time. Never ends: the caller waits for the work that goes with it.
    pub async fn suffer(&mut self, faults: &[Step]) {
        for step in faults {
            sleep_until(self.begin + step.at).await;
            self.apply(&step.fault).await;
        }
        std::future::pending::<()>().await;
    }

    /// One thing goes wrong, or is well again.
    pub async fn apply(&mut self, fault: &Fault) {
        match fault {
            Fault::Crash(number) => self.crash(*number),
            Fault::Restart(number) => self.boot(*number).await,
            Fault::Wipe(number) => self.wipe(*number).await,
            Fault::Partition(cut) => {
                let group = cut.iter().map(|number| self.machines[*number].id()).collect();
                self.network.partition(&[group]);
            }
            Fault::Heal => self.network.heal(),
            Fault::Rot(number, which) => self.rot(*number, *which),
            Fault::Full(number) => self.machines[*number].columns.set_capacity(0),
            Fault::Room(number) => self.machines[*number].columns.set_capacity(DISK),
            Fault::ReadsFail(number) => self.machines[*number].columns.set_reads(Reads::Fail),
            Fault::ReadsWork(number) => self.machines[*number].columns.set_reads(Reads::Work),
            Fault::Slow(number, loss) => self.link(*number, Some(*loss)),
            Fault::Quick(number) => self.link(*number, None),
            Fault::Clock(number, skew_ms) => self.machines[*number].skew_ms.store(*skew_ms, Ordering::Relaxed),
        }
    }

    /// The process of this machine dies, and its columns are lost.
    pub fn destroy(&mut self, number: usize) {
        self.crash(number);
        let machine = &mut self.machines[number];
        machine.destroyed.extend(machine.places());
        machine.columns.lose_everything();
    }

    async fn wipe(&mut self, number: usize) {
        self.destroy(number);
        let machine = &mut self.machines[number];
        machine.ledger = Arc::new(MemoryLedger::new(&self.genesis));
        machine.validator = machine.validator.take().map(|voter| Voter::without_memory(voter.seed));
        self.boot(number).await;
    }

    fn rot(&mut self, number: usize, which: u64) {
        let machine = &mut self.machines[number];
        let columns = machine.places();
        let count = u64::try_from(columns.len()).expect("a length fits 64 bits");
        if count > 0 {
            let (_, column) = columns[usize::try_from(which % count).expect("less than a length")];
            if machine.columns.corrupt(&column) {
                machine.rotten.insert(column);
            }
        }
    }

    fn link(&self, number: usize, loss: Option<u16>) {
        let from = self.machines[number].id();
        let slow = |loss_per_mille| LinkConditions {
            latency: Duration::from_millis(100)..=Duration::from_secs(2),
            loss_per_mille,
        };
        for to in self.machines.iter().map(Machine::id).filter(|to| *to != from) {
            self.network.set_link(from, to, loss.map(slow));
        }
    }

    /// Heals everything that can be healed, and gives every machine the time to notice.
    pub async fn recover(&mut self) {
        self.network.heal();
        for number in 0..self.machines.len() {
            self.link(number, None);
            self.machines[number].columns.set_capacity(DISK);
            self.machines[number].columns.set_reads(Reads::Work);
            self.machines[number].skew_ms.store(0, Ordering::Relaxed);
            self.boot(number).await;
        }
        self.level().await;
    }

    /// Whether a block comes that nobody has now, soon after all is healed. All are level again then.
    pub async fn advances(&self) -> bool {
        let top = self.machines.iter().map(Machine::height).max().unwrap_or_default();
        let higher = async {
            while self.machines.iter().any(|machine| machine.height() <= top) {
                sleep(Duration::from_millis(100)).await;
            }
        };
        let is_higher = timeout(RECOVERY, higher).await.is_ok();
        self.level().await;
        is_higher
    }

    /// Waits until all have the same height. A node that does not catch up is found by the checker, which names it.
    async fn level(&self) {
        let is_level = || {
            let top = self.machines.iter().map(Machine::height).max();
            self.machines.iter().all(|machine| Some(machine.height()) == top)
        };
        let all_level = async {
            while !is_level() {
                sleep(Duration::from_millis(100)).await;
            }
        };
        let _late = timeout(RECOVERY, all_level).await;
    }
}

/// Requests but for transactions, which are said to be taken and forgotten.
fn censored(inbound: Requests) -> Requests {
    let (intake, rest) = request_queues(&Default::default());
    tokio::spawn(async move {
        while let Some(request) = inbound.next_of_any().await {
            let asks = request.request.decode().ok().filter(|_| request.protocol == Protocol::Chain);
            let handed = match asks {
                Some(ChainRequest::Submit { relayed: Relayed::No }) => {
                    codec::decode(&request.request.body, limits::SUBMIT)
                }
                _ => Ok(Vec::<Tx>::new()),
            };
            match handed.ok().filter(|txs| !txs.is_empty()) {
                Some(txs) => {
                    let taken: Vec<Result<(), Refusal>> = txs.iter().map(|_| Ok(())).collect();
                    let said = Ok::<_, Refusal>(ChainResponse::Verdicts);
                    request.reply.send(Frame::new(&said, codec::encode(&taken).into()));
                }
                None => intake.forward(request),
            }
        }
    });
    rest
}

fn validator_seed(number: usize) -> [u8; 32] {
    [u8::try_from(9 + number).expect("few validators"); 32]
}

/// The key of a user's account.
pub fn user_key(number: usize) -> Keypair {
    key(2, number, 0)
}

fn genesis(keys: &[Keypair], scale: Scale, seed: u64) -> Genesis {
    let block_ms = if scale.validators > 1 { COUNCIL_BLOCK_MS } else { IDLE_BLOCK_MS };
    let time = Timing { epoch_ms: scale.epoch_ms, window_blocks: 1, beacon_blocks: 1, block_ms, ..Timing::default() };
    let domain = |number: usize| {
        let name = number % scale.domains;
        Domain {
            operator: format!("operator-{name}"),
            infrastructure: format!("infrastructure-{name}"),
            region: format!("region-{name}"),
        }
    };
    let provider = |(number, key): (usize, &Keypair)| GenesisProvider {
        owner: key.public(),
        node: key.public(),
        addresses: vec![format!("/memory/{}", number + 1)],
        price: Amount(1_000),
        capacity: DISK,
        bond: None,
        proven: None,
        domain: domain(number),
    };
    let account = |number: usize| GenesisAccount {
        account: user_key(number).public::<ostrakon_proto::id::AccountKind>() as AccountId,
        balance: Amount::obols(1_000_000).expect("a constant that fits"),
    };
    let validator = |number: usize| {
        let voter = ValidatorKeys::from_seed(&validator_seed(number));
        GenesisValidator {
            owner: keys[number].public(),
            key: voter.vote.public(),
            node: keys[number].public(),
            addresses: vec![format!("/memory/{}", number + 1)],
            beacon_key: voter.beacon.public(),
            bond: Params::default().bonds.validator,
            domain: domain(number),
        }
    };
    Genesis {
        name: format!("world {seed}"),
        time_ms: BEGIN_MS - 1,
        bootstrap: vec![],
        membership: Membership::default(),
        params: Params { time, ..Params::default() },
        accounts: (0..scale.users).map(account).collect(),
        validators: (0..scale.validators).map(validator).collect(),
        providers: keys.iter().enumerate().map(provider).collect(),
    }
}
