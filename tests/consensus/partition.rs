//! Four validators in this process, over real sockets, of which two hear nothing of the other two: no block; then they
//! do, and there are blocks again, soon.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use futures::{FutureExt, future::BoxFuture};
use ostrakon_net::{
    AskError, Peers, Requests, Workers, request_queues,
    swarm::{Swarm, SwarmConfig, SwarmHandle},
};
use ostrakon_node::{
    chain::{
        order::{sign_state::SignFile, wal::WalFile},
        rocks::Rocks,
    },
    metrics::NodeMetrics,
    node::{Clock, Node, NodeParts, Settings, ValidatorParts},
    store::Memory,
};
use ostrakon_proto::{
    id::{Height, NodeId},
    wire::{Frame, Protocol},
};
use ostrakon_tests::{
    cluster::{Binaries, until},
    scenarios::size,
    validators::{Plan, Planned, audit, new_incarnation},
};
use tokio::runtime::Runtime;

const SOON: Duration = Duration::from_secs(30);

/// Who is on the other side; nobody while the network is whole.
#[derive(Clone, Debug, Default)]
struct Cut(Arc<Mutex<BTreeSet<NodeId>>>);

impl Cut {
    fn set(&self, side: BTreeSet<NodeId>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = side;
    }

    fn divides(&self, one: NodeId, other: NodeId) -> bool {
        let side = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        side.contains(&one) != side.contains(&other)
    }
}

/// A swarm whose calls to the other side get no answer.
#[derive(Debug)]
struct Half {
    swarm: SwarmHandle,
    cut: Cut,
}

impl Peers for Half {
    fn local(&self) -> NodeId {
        self.swarm.local()
    }

    fn learn(&self, node: NodeId, addresses: &[String]) {
        self.swarm.learn(node, addresses);
    }

    fn recognise(&self, members: BTreeSet<NodeId>) {
        self.swarm.recognise(members);
    }

    fn call(&self, to: NodeId, protocol: Protocol, request: Frame) -> BoxFuture<'static, Result<Frame, AskError>> {
        let (cut, local, call) = (self.cut.clone(), self.local(), self.swarm.call(to, protocol, request));
        async move {
            if cut.divides(local, to) {
                std::future::pending::<()>().await;
            }
            let answer = call.await;
            // What was on its way when the cut was made is lost, too.
            if cut.divides(local, to) {
                std::future::pending::<()>().await;
            }
            answer
        }
        .boxed()
    }
}

pub(crate) fn run() -> Result<String> {
    let (times, silence) = size((5, Duration::from_secs(20)), (2, Duration::from_secs(3)));
    let directory = Binaries::find()?.directory()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (plan, cut) = (Plan::new(4, 1)?, Cut::default());
    let mut nodes = Vec::new();
    for (number, planned) in plan.validators.iter().enumerate() {
        let home = directory.path().join(number.to_string());
        std::fs::create_dir_all(&home)?;
        nodes.push(runtime.block_on(start(&plan, planned, &home, &cut))?);
    }
    let heights = || nodes.iter().map(|(node, _)| node.chain().head().height).collect::<Vec<Height>>();
    let all_at =
        |height: Height| until("all at one more height", SOON, || Ok(heights().iter().all(|at| *at >= height)));
    all_at(Height(3))?;
    let mut slowest = Duration::ZERO;
    for round in 0..times {
        let side = [round % 4, (round + 1) % 4].map(|number| plan.validators[number].node.public());
        cut.set(side.into());
        let before = heights().into_iter().max().context("four nodes")?;
        // That nothing happens shows in nothing but time.
        std::thread::sleep(silence);
        let after = heights().into_iter().max().context("four nodes")?;
        ensure!(after <= before.next(), "with 2 of 4 on each side the height went from {before} to {after}");
        cut.set(BTreeSet::new());
        let since = std::time::Instant::now();
        until("blocks after healing", SOON, || Ok(heights().iter().all(|at| *at > after)))?;
        slowest = slowest.max(since.elapsed());
    }
    let blocks = compare(&runtime, &plan, &nodes)?;
    for (node, swarm) in nodes {
        runtime.block_on(node.shutdown());
        runtime.block_on(swarm.shutdown());
    }
    Ok(format!("{times} partitions of 2 and 2, blocks again after {slowest:.1?} at most, {blocks} blocks"))
}

/// All have one history, and it is right.
fn compare(runtime: &Runtime, plan: &Plan, nodes: &[(Node, SwarmHandle)]) -> Result<usize> {
    let ids: Vec<NodeId> = plan.validators.iter().map(|planned| planned.node.public()).collect();
    let (_, swarm) = nodes.first().context("four nodes")?;
    let history = runtime.block_on(audit::audit(Arc::new(swarm.clone()), &plan.genesis, &ids))?;
    Ok(history.decided.len())
}

async fn start(plan: &Plan, planned: &Planned, home: &Path, cut: &Cut) -> Result<(Node, SwarmHandle)> {
    let (genesis, keypair) = (plan.genesis.clone(), planned.node.clone());
    let (swarm, inbound) = Swarm::start_here(SwarmConfig {
        listen: vec![planned.address()],
        ..SwarmConfig::client(genesis.id(), keypair.clone())
    })
    .await?;
    let validator = ValidatorParts {
        keys: planned.keys(),
        wal: Arc::new(WalFile::open(&home.join("consensus.wal"))?),
        signatures: Arc::new(SignFile::open(&home.join("sign-state"))?),
        incarnation: new_incarnation(),
    };
    let node = Node::start(NodeParts {
        keypair: keypair.clone(),
        validator: Some(validator),
        peers: Arc::new(Half { swarm: swarm.clone(), cut: cut.clone() }),
        requests: heard(inbound, keypair.public(), cut.clone()),
        columns: Arc::new(Memory::new(1 << 30)),
        ledger: Arc::new(Rocks::open(&home.join("chain"), &genesis)?),
        workers: Workers::pool(2),
        clock: Clock::new(now_ms),
        settings: Settings::default(),
        metrics: NodeMetrics::default(),
        genesis,
    });
    Ok((node.await?, swarm))
}

/// What is heard of requests: those of the other side are not.
fn heard(inbound: Requests, local: NodeId, cut: Cut) -> Requests {
    let (intake, rest) = request_queues(&Default::default());
    tokio::spawn(async move {
        while let Some(request) = inbound.next_of_any().await {
            if !cut.divides(request.source.node, local) {
                intake.forward(request);
            }
        }
    });
    rest
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
