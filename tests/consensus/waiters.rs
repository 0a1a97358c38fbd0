//! Whether clients that wait for blocks at one validator make votes later: the rounds, and how late votes are at all
//! validators, without them and with them.
//!
//! A thousand clients come from 64 networks of addresses and two hundred from one address, which is within the node's
//! limits: every one is to be answered. They are a process of its own with half a core, and what that costs a machine
//! which validators share is measured apart, by a busy loop instead. Somebody pays all the time, so that blocks come as
//! fast as they may, and the answers to all clients coincide with the next votes.

use std::{
    fmt::{self, Display, Formatter},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ostrakon_node::config::read_genesis;
use ostrakon_proto::id::AccountId;
use ostrakon_tests::{
    assault::Attacker,
    attack::{AttackPlan, AttackReport, CLIENTS, IDLE, WAITING},
    cluster::{Cluster, NodeInfo, Shape, until},
    quota::Quota,
    scenarios::{is_long, size},
    scrape::{Buckets, Scrape},
};

const SHAPE: Shape = Shape { nodes: 4, domains: 4, validators: 4 };
const PATIENCE: Duration = Duration::from_secs(120);
/// Blocks that each validator decides before anything is measured: the first ones come while others start.
const SETTLED: f64 = 8.0;
/// In so long a few heights that are late for another reason are less than a hundredth of all.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(4);
/// How late the last hundredth of the votes may be, as a multiple of what it is beside a busy loop, and so much later:
/// buckets have bounds.
const TIMES: f64 = 1.5;
const LATER_MS: f64 = 5.0;
/// Measurements until one shows that votes are in time: what else the machine does may coincide with one.
const TRIES: usize = 3;

/// One measurement.
struct Measured {
    /// Without clients.
    quiet: Counted,
    /// Beside a busy loop that takes as much of the processor as the clients may.
    beside_loop: Counted,
    /// From their first connection until all are connected.
    arrival: Counted,
    /// With all clients.
    crowded: Counted,
    /// What the clients say.
    report: AttackReport,
}

pub(crate) fn run(seed: u64) -> Result<String> {
    let network = Cluster::start(SHAPE)?;
    let nodes = network.status()?.nodes;
    for node in &nodes {
        network.restart_with(node, |settings| format!("metrics = \"127.0.0.1:0\"\n{settings}"))?;
    }
    let genesis = read_genesis(&nodes.first().context("a network has nodes")?.data_dir.join("genesis.toml"))?;
    let plan = AttackPlan::of(&genesis, seed)?;
    let attacker = Attacker::new(&network, &plan, Quota::new().ok())?;
    let asked = plan.validators().next().context("a network has validators")?.node.to_string();
    let asked = nodes.iter().find(|node| node.provider == asked).context("a node of the network")?;
    until("every validator decides blocks", PATIENCE, || {
        Ok(nodes.iter().all(|node| Scrape::of_node(&node.data_dir).is_ok_and(|scrape| scrape.sum(DECIDED) >= SETTLED)))
    })?;
    let payee: AccountId = plan.account(0).public();
    let (payee, stop) = (payee.to_string(), AtomicBool::new(false));
    thread::scope(|scope| {
        let payer = scope.spawn(|| pay(&network, &payee, &stop));
        let measured = measure(&nodes, asked, &attacker);
        stop.store(true, Ordering::Relaxed);
        let payments = payer.join().ok().context("the payer never panics")??;
        Ok(format!("{}; {payments} payments", measured?))
    })
}

/// Pays until `stop`; how often.
fn pay(network: &Cluster, payee: &str, stop: &AtomicBool) -> Result<usize> {
    let mut payments = 0;
    while !stop.load(Ordering::Relaxed) {
        network.run(&["wallet", "send", payee, "0.001"])?.expect_code(0)?;
        payments += 1;
    }
    Ok(payments)
}

/// Measures until votes are in time, where that is asked for.
fn measure(nodes: &[NodeInfo], asked: &NodeInfo, attacker: &Attacker) -> Result<Measured> {
    let mut tries = 1;
    loop {
        let measured = Measured::of(nodes, asked, attacker)?;
        measured.check_rounds_and_clients()?;
        if !is_long() || measured.is_in_time() {
            return Ok(measured);
        }
        ensure!(tries < TRIES, "votes are later, {TRIES} times: {measured}");
        tries += 1;
    }
}

impl Measured {
    fn of(nodes: &[NodeInfo], asked: &NodeInfo, attacker: &Attacker) -> Result<Self> {
        let length = size(LONG, SHORT);
        let quiet = Counted::during(length, nodes)?;
        let busy = attacker.begin(IDLE)?;
        let beside_loop = Counted::during(length, nodes)?;
        busy.end()?;
        let before = Counted::so_far(nodes)?;
        let waiting = attacker.begin(WAITING)?;
        let connected = f64::from(u32::try_from(CLIENTS + nodes.len() - 1)?);
        until("every client is connected", PATIENCE, || {
            Ok(Scrape::of_node(&asked.data_dir)?.of("ostrakon_ledger_peers") >= connected)
        })?;
        let arrival = Counted::so_far(nodes)?.since(&before);
        let crowded = Counted::during(length, nodes)?;
        Ok(Self { quiet, beside_loop, arrival, crowded, report: waiting.end()? })
    }

    /// While they come they cost more, and other work on the machine too much; where the rounds are late without any
    /// client, they say nothing. Neither excuses a long run.
    fn check_rounds_and_clients(&self) -> Result<()> {
        ensure!(self.report.clients == u64::try_from(CLIENTS)?, "not every client was answered: {self}");
        let waiting = self.crowded.late == 0.0 || self.quiet.late + self.beside_loop.late > 0.0;
        let all = self.arrival.late + self.crowded.late == 0.0;
        ensure!(if is_long() { all } else { waiting }, "blocks took a second round: {self}");
        Ok(())
    }

    fn is_in_time(&self) -> bool {
        self.crowded.p99_ms() <= self.beside_loop.p99_ms() * TIMES + LATER_MS
    }
}

impl Display for Measured {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { quiet, beside_loop, arrival, crowded, report } = self;
        let [one, other] = [quiet, beside_loop].map(|before| crowded.p99_ms() / before.p99_ms());
        write!(f, "p99 of vote delays {one:.2} x, or {other:.2} x that beside a busy loop: without clients {quiet}; ")?;
        write!(f, "beside a busy loop {beside_loop}; while they come {arrival}; with them {crowded}; {report}")
    }
}

const DECIDED: &str = "ostrakon_order_decided_total";
const DELAY: &str = "ostrakon_order_vote_delay_seconds";
const ANSWERS: &str = "ostrakon_requests_duration_seconds_count{protocol=\"chain\"}";

/// What all validators together have counted.
struct Counted {
    /// Blocks that a validator decided.
    decided: f64,
    /// Those of them that were not decided in their first round.
    late: f64,
    /// From the start of a round to the arrival of each vote.
    delays: Buckets,
    /// Answers to questions about the ledger.
    answers: f64,
}

impl Counted {
    fn so_far(nodes: &[NodeInfo]) -> Result<Self> {
        let all = nodes.iter().map(|node| Scrape::of_node(&node.data_dir)).collect::<Result<Vec<Scrape>>>()?;
        let sum = |count: &dyn Fn(&Scrape) -> f64| all.iter().map(count).sum();
        Ok(Self {
            decided: sum(&|scrape| scrape.sum(DECIDED)),
            late: sum(&|scrape| scrape.sum(DECIDED) - scrape.of(&format!("{DECIDED}{{round=\"0\"}}"))),
            delays: Buckets::of_all(all.iter().map(|scrape| scrape.buckets(DELAY))),
            answers: sum(&|scrape| scrape.of(ANSWERS)),
        })
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            decided: self.decided - earlier.decided,
            late: self.late - earlier.late,
            delays: self.delays.since(&earlier.delays),
            answers: self.answers - earlier.answers,
        }
    }

    /// What is counted in this time.
    fn during(time: Duration, nodes: &[NodeInfo]) -> Result<Self> {
        let before = Self::so_far(nodes)?;
        // What is measured is time.
        thread::sleep(time);
        Ok(Self::so_far(nodes)?.since(&before))
    }

    fn p99_ms(&self) -> f64 {
        self.delays.quantile(0.99) * 1_000.0
    }
}

impl Display for Counted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { decided, late, delays, answers } = self;
        let (votes, median, p99) = (delays.count(), delays.quantile(0.5) * 1_000.0, self.p99_ms());
        write!(f, "{votes} votes, half within {median:.1} ms, p99 {p99:.1} ms, ")?;
        write!(f, "{late} of {decided} blocks after round 0, {answers} answers")
    }
}
