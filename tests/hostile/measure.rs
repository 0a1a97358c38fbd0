//! What honest people see of the network: heights, adds and gets, and the memory of its nodes.
//!
//! Heights are asked for by a client that was connected before the attack, of all nodes; the other figures are those of
//! the real commands, from another address than the attacker's.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use ostrakon_net::{
    Peers, ask,
    swarm::{Swarm, SwarmConfig, SwarmHandle},
};
use ostrakon_proto::{id::NodeId, sign::Keypair, wire::chain};
use ostrakon_tests::{
    attack::AttackReport,
    cluster::{Added, Cluster, Running},
    content, interrupt, proc,
};
use tokio::{runtime, time};

use crate::{
    judge::{Bounds, Measured, median},
    target::Target,
};

/// Bytes of the file of each round.
const FILE: u64 = 100_000;
/// Between two looks at heights and memory.
const LOOK: Duration = Duration::from_millis(200);
/// How long a node may take to say its height.
const ANSWER: Duration = Duration::from_secs(2);
/// Without an answer to this, a stretch ends without its last height.
const LAST: Duration = Duration::from_secs(15);
/// The stretch after an attack in which heights are counted again.
const LATER: Duration = Duration::from_secs(3);

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// How long an attack lasts.
    pub(crate) attack: Duration,
    /// Adds and gets during it.
    pub(crate) rounds: u32,
    /// A command that takes longer has failed.
    pub(crate) patience: Duration,
    /// When memory is looked at after an attack.
    pub(crate) after: Duration,
    /// Bytes that an attack may have one node take on credit.
    pub(crate) credit_bytes: u64,
}

/// Watches heights and memory from a thread of its own.
#[derive(Debug)]
pub(crate) struct Watch {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Seen {
    stop: AtomicBool,
    /// The highest block that any node said, and when it did.
    height: Mutex<Option<(Instant, u64)>>,
    /// Bytes of the largest node at most, since it was last taken.
    peak: AtomicU64,
    pids: Mutex<Vec<u32>>,
}

impl Seen {
    /// Bytes of the largest node now.
    fn largest(&self) -> u64 {
        let pids = self.pids.lock().unwrap_or_else(PoisonError::into_inner);
        pids.iter().filter_map(|pid| proc::resident_bytes(*pid)).max().unwrap_or(0)
    }
}

impl Watch {
    /// Connects to all nodes, and watches them until it is dropped.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn start(target: &Target) -> Result<Self> {
        let key = Keypair::from_seed(blake3::hash(b"who watches").as_bytes());
        let (swarm, _) = Swarm::start(SwarmConfig::client(target.plan.chain, key))?;
        for victim in &target.plan.nodes {
            let address = format!("/ip4/{}/tcp/{}", victim.tcp.ip(), victim.tcp.port());
            swarm.learn(victim.node, &[address]);
        }
        let nodes: Vec<NodeId> = target.plan.nodes.iter().map(|victim| victim.node).collect();
        let seen = Arc::new(Seen {
            stop: AtomicBool::new(false),
            height: Mutex::default(),
            peak: AtomicU64::new(0),
            pids: Mutex::new(target.cluster.status()?.pids()),
        });
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let shown = Arc::clone(&seen);
        let watch = move || runtime.block_on(watch(&shown, &swarm, &nodes));
        let thread = thread::Builder::new().name("watch".to_owned()).spawn(watch)?;
        Ok(Self { seen, thread: Some(thread) })
    }

    /// The nodes may have other processes now.
    ///
    /// # Errors
    /// When the network cannot say which.
    pub(crate) fn look_again(&self, cluster: &Cluster) -> Result<()> {
        *self.seen.pids.lock().unwrap_or_else(PoisonError::into_inner) = cluster.status()?.pids();
        Ok(())
    }

    /// A height that was said from now on; nothing when no node answers.
    fn height(&self) -> Result<Option<(Instant, u64)>> {
        let since = Instant::now();
        while since.elapsed() < LAST {
            interrupt::check()?;
            let newest = *self.seen.height.lock().unwrap_or_else(PoisonError::into_inner);
            if newest.is_some_and(|(at, _)| at > since) {
                return Ok(newest);
            }
            thread::sleep(LOOK / 4);
        }
        Ok(None)
    }

    fn take_peak(&self) -> u64 {
        self.seen.peak.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.seen.stop.store(true, Ordering::Relaxed);
        // A thread that panicked has said why.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

async fn watch(seen: &Seen, swarm: &SwarmHandle, nodes: &[NodeId]) {
    // Apart: a node that is slow to answer must not hide what it has resident meanwhile.
    futures::future::join(watch_heights(seen, swarm, nodes), watch_memory(seen)).await;
}

async fn watch_heights(seen: &Seen, swarm: &SwarmHandle, nodes: &[NodeId]) {
    while !seen.stop.load(Ordering::Relaxed) {
        let asked = nodes.iter().map(|node| time::timeout(ANSWER, ask(swarm as &dyn Peers, *node, chain::head())));
        let looks = asked.map(|asked| async {
            let Ok(Ok(head)) = asked.await else { return };
            let mut height = seen.height.lock().unwrap_or_else(PoisonError::into_inner);
            let newest = height.map_or(0, |(_, height)| height).max(head.height.0);
            *height = Some((Instant::now(), newest));
        });
        futures::future::join(futures::future::join_all(looks), time::sleep(LOOK)).await;
    }
}

async fn watch_memory(seen: &Seen) {
    while !seen.stop.load(Ordering::Relaxed) {
        seen.peak.fetch_max(seen.largest(), Ordering::Relaxed);
        time::sleep(LOOK).await;
    }
}

/// The measurements, one after the other, on one network.
#[derive(Debug)]
pub(crate) struct Honest<'a> {
    pub(crate) target: &'a Target,
    pub(crate) watch: &'a Watch,
    pub(crate) effort: Effort,
    files: u64,
}

impl<'a> Honest<'a> {
    pub(crate) fn new(target: &'a Target, watch: &'a Watch, effort: Effort) -> Self {
        Self { target, watch, effort, files: 0 }
    }

    /// Measures while `name` is in progress, and after it.
    ///
    /// # Errors
    /// When the attacker cannot be run, or this program is interrupted.
    pub(crate) fn under(&mut self, name: &str) -> Result<Measured> {
        let mut measured = Measured { name: name.to_owned(), ..Measured::default() };
        let before = self.watch.height()?;
        let (refused, late) = (self.target.refused()?, self.target.late_blocks()?);
        self.watch.take_peak();
        let (assault, since) = (self.target.attacker.begin(name)?, Instant::now());
        let between = self.effort.attack / self.effort.rounds;
        for round in 0..self.effort.rounds {
            wait_until(since + between * round + between / 4)?;
            if since.elapsed() >= self.effort.attack {
                break;
            }
            let (add, get) = self.round()?;
            measured.adds.push(add);
            // Without an add there is nothing to get.
            if add.is_some() {
                measured.gets.push(get);
            }
        }
        wait_until(since + self.effort.attack)?;
        let last = self.watch.height()?;
        measured.pace = pace(before, last);
        measured.report = assault.end().unwrap_or_else(|error| {
            measured.unwell = Some(format!("the attacker did not report: {error:#}"));
            AttackReport::default()
        });
        measured.peak = self.watch.take_peak();
        match self.target.refused().and_then(|now| Ok((now, self.target.late_blocks()?))) {
            Ok((now, all_late)) => {
                let since = |labels: &String| refused.get(labels).copied().unwrap_or_default();
                let each = now.into_iter().map(|(labels, count)| (labels.clone(), count - since(&labels)));
                measured.refused = each.filter(|(_, count)| *count > 0.0).collect();
                measured.late = all_late - late;
            }
            // A node that the attack has ended: a breach, and the next attack is to be run all the same.
            Err(error) => {
                measured.unwell.get_or_insert(format!("metrics cannot be read: {error:#}"));
            }
        }
        Ok(measured)
    }

    /// Whether the network is well 5 s after an attack, and what memory its nodes keep.
    ///
    /// # Errors
    /// When this program is interrupted.
    pub(crate) fn after(&mut self, measured: &mut Measured, quiet: &Measured, bounds: &Bounds) -> Result<()> {
        let since = Instant::now();
        wait_until(since + Duration::from_secs(5))?;
        let before = self.watch.height()?;
        let (add, get) = self.round()?;
        wait_until(since + Duration::from_secs(5) + LATER)?;
        let pace = pace(before, self.watch.height()?);
        let late = |what: &str, took: Option<Duration>, usual: &[Option<Duration>]| match took {
            None => Some(format!("{what} fails")),
            Some(took) if took > bounds.most(median(usual)) => {
                Some(format!("{what} takes {:.2} s", took.as_secs_f64()))
            }
            Some(_) => None,
        };
        // One height more or less is a matter of when the stretch began.
        let most = pace + LATER.as_secs_f64().recip();
        let slow = (most < bounds.pace * quiet.pace).then(|| format!("{pace:.2} heights a second"));
        let dead = self.target.dead()?;
        let dead = (!dead.is_empty()).then(|| format!("nodes {dead:?} have ended"));
        let unwell = [late("add", add, &quiet.adds), late("get", get, &quiet.gets), slow, dead];
        let unwell: Vec<String> = unwell.into_iter().chain([measured.unwell.take()]).flatten().collect();
        measured.unwell = (!unwell.is_empty()).then(|| unwell.join(", "));
        wait_until(since + self.effort.after)?;
        measured.after = self.watch.seen.largest();
        Ok(())
    }

    /// One add and one get: how long each took, unless it failed.
    fn round(&mut self) -> Result<(Option<Duration>, Option<Duration>)> {
        self.files += 1;
        let place = |kind: &str| self.target.cluster.files.join(format!("{kind}-{}", self.files));
        let (path, copy) = (place("file"), place("copy"));
        let hash = content::write_file(&path, self.target.plan.seed ^ self.files << 32, FILE)?;
        let added = self.command(&["add".into(), path.clone()], |outcome| outcome.json::<Added>());
        interrupt::check()?;
        let Some((added, add)) = added else { return Ok((None, None)) };
        let got = self.command(&["get".into(), added.link.into(), "-o".into(), copy.clone()], |outcome| {
            outcome.expect_code(0)?;
            ensure!(content::hash_file(&copy)? == hash, "WRONG BYTES from {outcome}");
            Ok(())
        });
        interrupt::check()?;
        for file in [path, copy] {
            // What failed has left nothing to remove.
            let _gone = fs::remove_file(file);
        }
        Ok((Some(add), got.map(|((), took)| took)))
    }

    /// Runs a command; what it left and how long it took, or nothing when it failed or was late.
    fn command<T>(
        &self,
        args: &[PathBuf],
        read: impl FnOnce(&ostrakon_tests::cluster::Outcome) -> Result<T>,
    ) -> Option<(T, Duration)> {
        let running: Result<Running> = self.target.cluster.begin(args);
        let outcome = running.and_then(|running| running.wait(self.effort.patience));
        let ended = outcome.and_then(|outcome| Ok((read(&outcome).context("a command failed")?, outcome.took)));
        ended.inspect_err(|error| crate::show(&format!("    {}", first_lines(&format!("{error:#}"))))).ok()
    }
}

/// What is worth showing of a failed command: the reason, which stands after the paths of the command.
fn first_lines(text: &str) -> String {
    let worth = |line: &&str| !line.is_empty() && !line.starts_with("---") && *line != "{}";
    let lines: Vec<&str> = text.lines().filter(worth).collect();
    lines.join(" | ").chars().take(1_500).collect()
}

/// Heights a second between two looks.
fn pace(first: Option<(Instant, u64)>, last: Option<(Instant, u64)>) -> f64 {
    let Some(((began, low), (ended, high))) = first.zip(last) else { return 0.0 };
    let heights = u32::try_from(high.saturating_sub(low)).unwrap_or(u32::MAX);
    f64::from(heights) / ended.saturating_duration_since(began).as_secs_f64().max(0.001)
}

/// Sleeps until then: how long an attack lasts is what is measured.
fn wait_until(then: Instant) -> Result<()> {
    while Instant::now() < then {
        interrupt::check()?;
        thread::sleep((then - Instant::now().min(then)).min(LOOK));
    }
    Ok(())
}
