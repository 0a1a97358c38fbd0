//! Machines with an order each, on a network in memory.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::Duration,
};

use ostrakon_net::{
    Intake, Peers, Requests, Workers, request_queues,
    sim::{SimConfig, SimNetwork},
};
use ostrakon_proto::{
    id::{ChainId, NodeId, VoteKey},
    ledger::vote::ValidatorSet,
    sign::Keypair,
    wire::{Protocol, consensus::Incarnation},
};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    fake::{FakeLedger, Handle, Network},
    judge::{Judge, Tapped},
};
use crate::{
    chain::order::{
        Order, OrderError, OrderParts,
        sign_state::{SignMemory, SignRecord, SignStore},
        wal::{Wal, WalMemory},
    },
    metrics::OrderMetrics,
};

/// How long anything may take. Where messages are lost, or one lies and all others are needed, it may be many rounds.
const LIMIT: Duration = Duration::from_secs(600);

/// What stands between an order and the network.
pub(super) type Wrap = Arc<dyn Fn(Arc<dyn Peers>) -> Arc<dyn Peers> + Send + Sync>;

/// One machine.
pub(super) struct Machine {
    pub(super) key: Keypair,
    pub(super) node: NodeId,
    pub(super) ledger: Arc<FakeLedger>,
    pub(super) wal: Arc<dyn Wal>,
    pub(super) signatures: Arc<dyn SignStore>,
    pub(super) wrap: Option<Wrap>,
    /// Whether it hands out blocks that it is asked for.
    pub(super) withholds: bool,
    process: Option<JoinSet<()>>,
    pub(super) ended: Arc<Mutex<Option<Result<(), OrderError>>>>,
}

impl Machine {
    pub(super) fn voter(&self) -> VoteKey {
        self.key.public()
    }

    pub(super) fn runs(&self) -> bool {
        self.process.is_some() && self.ended.lock().expect("no holder panics").is_none()
    }
}

/// A network and its machines.
pub(super) struct World {
    pub(super) net: SimNetwork,
    pub(super) network: Network,
    pub(super) machines: Vec<Machine>,
    /// Hears what leaves a machine.
    pub(super) judge: Arc<Judge>,
    /// Hears what arrives at one.
    pub(super) delivered: Arc<Judge>,
    pub(super) interval: Duration,
    /// Processes that were started: each has its number.
    pub(super) incarnations: u64,
}

pub(super) fn vote_key(number: usize) -> Keypair {
    Keypair::from_seed(&[u8::try_from(number + 1).expect("few"); 32])
}

pub(super) fn node_id(number: usize) -> NodeId {
    NodeId::new([u8::try_from(number + 101).expect("few"); 32])
}

impl World {
    /// Machines of validators with these powers; none runs.
    pub(super) fn new(seed: u64, powers: &[u64], config: SimConfig) -> Self {
        let numbered = || powers.iter().enumerate();
        let network = Network {
            chain: ChainId::new([9; 32]),
            set: ValidatorSet::new(numbered().map(|(number, power)| (vote_key(number).public(), *power))),
            nodes: numbered().map(|(number, _)| (vote_key(number).public(), node_id(number))).collect(),
        };
        let machines = (0..powers.len()).map(|number| machine(&network, vote_key(number), node_id(number))).collect();
        let (judge, delivered) = (Arc::default(), Arc::default());
        let net = SimNetwork::new(seed, config);
        Self { net, network, machines, judge, delivered, interval: Duration::from_millis(500), incarnations: 0 }
    }

    /// As many equals on a good network, all running.
    pub(super) fn running(seed: u64, count: usize) -> Self {
        let mut world = Self::new(seed, &vec![1; count], SimConfig::default());
        world.start_all();
        world
    }

    pub(super) fn start_all(&mut self) {
        (0..self.machines.len()).for_each(|number| self.start(number));
    }

    pub(super) fn start(&mut self, number: usize) {
        self.incarnations += 1;
        let machine = &mut self.machines[number];
        let (peers, inbound) = self.net.join(machine.node);
        peers.recognise(self.network.nodes.values().copied().collect());
        let (intake, requests) = request_queues(&Default::default());
        let peers: Arc<dyn Peers> = machine.wrap.as_ref().map_or_else(|| peers.clone(), |wrap| wrap(peers.clone()));
        let peers: Arc<dyn Peers> = Arc::new(Tapped { inner: peers, judge: Arc::clone(&self.judge) });
        machine.ledger.connect(Arc::clone(&peers));
        machine.ledger.set_interval(self.interval);
        let order = Order::new(OrderParts {
            chain: self.network.chain,
            key: machine.key.clone(),
            ledger: Arc::new(Handle(Arc::clone(&machine.ledger))),
            peers,
            requests,
            workers: Workers::inline(),
            wal: Arc::clone(&machine.wal),
            signatures: Arc::clone(&machine.signatures),
            incarnation: Incarnation(u128::from(self.incarnations).to_le_bytes()),
            metrics: OrderMetrics::default(),
        });
        machine.ended = Arc::default();
        let (ended, mut process) = (Arc::clone(&machine.ended), JoinSet::new());
        let (ledger, delivered) = (Arc::clone(&machine.ledger), Arc::clone(&self.delivered));
        process.spawn(serve(inbound, (intake, delivered), ledger, machine.withholds));
        process.spawn(async move {
            let span = tracing::info_span!("machine", number);
            let result = order.run(CancellationToken::new()).instrument(span).await;
            *ended.lock().expect("no holder panics") = Some(result);
        });
        machine.process = Some(process);
    }

    /// The process dies immediately.
    pub(super) fn crash(&mut self, number: usize) {
        self.net.crash(self.machines[number].node);
        self.machines[number].process = None;
    }

    pub(super) fn height(&self, number: usize) -> u64 {
        self.machines[number].ledger.height()
    }

    /// Lets time pass until all of these have this height; how long it took. Fails after two minutes.
    pub(super) async fn reach(&self, numbers: impl IntoIterator<Item = usize>, height: u64) -> Duration {
        let (numbers, began) = (numbers.into_iter().collect::<Vec<_>>(), Instant::now());
        while !numbers.iter().all(|number| self.height(*number) >= height) {
            let heights: Vec<u64> = (0..self.machines.len()).map(|number| self.height(number)).collect();
            assert!(began.elapsed() < LIMIT, "{numbers:?} do not reach {height}: {heights:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        began.elapsed()
    }

    /// No two ledgers have different blocks, and none of `honest` contradicted itself.
    pub(super) fn check(&self, honest: impl IntoIterator<Item = usize>) {
        let honest: Vec<&Machine> = honest.into_iter().map(|number| &self.machines[number]).collect();
        let mut all = BTreeMap::new();
        for machine in &honest {
            for (height, id) in machine.ledger.ids().into_iter().enumerate() {
                assert_eq!(*all.entry(height).or_insert(id), id, "two blocks of height {}", height + 1);
            }
        }
        let keys: Vec<VoteKey> = honest.iter().map(|machine| machine.voter()).collect();
        assert_eq!(self.judge.contradictions(&keys), []);
    }
}

/// A machine with a key that was made for it, and never used.
pub(super) fn machine(network: &Network, key: Keypair, node: NodeId) -> Machine {
    let signatures = SignMemory::default();
    signatures.save(&SignRecord::unused().encode()).expect("memory");
    Machine {
        ledger: Arc::new(FakeLedger::new(network.clone(), key.public())),
        key,
        node,
        wal: Arc::new(WalMemory::default()),
        signatures: Arc::new(signatures),
        wrap: None,
        withholds: false,
        process: None,
        ended: Arc::default(),
    }
}

async fn serve(inbound: Requests, (intake, delivered): (Intake, Arc<Judge>), ledger: Arc<FakeLedger>, withholds: bool) {
    use ostrakon_proto::wire::consensus::ConsensusRequest;
    while let Some(request) = inbound.next_of_any().await {
        let asks = matches!(request.request.decode::<ConsensusRequest>(), Ok(ConsensusRequest::Block { .. }));
        match request.protocol {
            Protocol::Consensus if asks && withholds => {}
            Protocol::Consensus => {
                delivered.listen(request.source.node, &request.request);
                intake.forward(request);
            }
            _ => {
                let answer = ledger.answer(&request.request);
                request.reply.send(answer);
            }
        }
    }
}

/// Lives through a world of each seed, on a clock of its own.
pub(super) fn seeds(seeds: std::ops::Range<u64>, live: impl AsyncFn(u64)) {
    for seed in seeds {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().expect("a runtime without threads");
        let lived = catch_unwind(AssertUnwindSafe(|| runtime.block_on(live(seed))));
        assert!(lived.is_ok(), "the world of seed {seed} failed");
    }
}
