//! A node that begins late takes a snapshot instead of all blocks, though a kill comes between; and one that was given
//! the wrong checkpoint reports it and stops.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use ostrakon_net::{
    Peers,
    swarm::{Swarm, SwarmConfig, SwarmHandle},
};
use ostrakon_proto::{
    id::NodeId,
    ledger::state::{Key, Record},
    light::{self, Answer, Trust},
    sign::Keypair,
    wire::chain,
};
use ostrakon_tests::{
    cluster::{Binaries, NodeStatus, Running, is_long, until},
    made_chain::{self, Length},
    scenarios::Stage,
};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(600);
/// What is promised at full size.
const PROMISE: Duration = Duration::from_secs(120);
/// Commitments that are asked for, spread over all.
const ASKED: u32 = 100;

/// A node by itself, beside the network of the other scenarios.
struct Late<'a> {
    binaries: &'a Binaries,
    dir: PathBuf,
    process: Running,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let binaries = &stage.cluster.binaries;
    let home = binaries.directory()?;
    let port = free_port()?;
    let size = match is_long() {
        true => Length {
            blocks: 100_000,
            commitments: 100_000,
            snapshot_blocks: 10_000,
            budget_bytes: 0,
            port,
            ..Length::default()
        },
        // There are no blocks to begin with, so that a snapshot it must be.
        false => {
            Length { blocks: 120, commitments: 3_000, snapshot_blocks: 50, budget_bytes: 1, port, ..Length::default() }
        }
    };
    let (making, old) = (Instant::now(), home.path().join("old"));
    let genesis = made_chain::make(&old, &size)?;
    let made = making.elapsed().as_secs_f32();
    let validator = Late::start(binaries, old)?;
    validator.reaches(size.blocks + 1)?;
    let newest = validator.status()?;
    wrong_checkpoint(&validator, home.path(), size.blocks - 1)?;

    let dir = home.path().join("new");
    let checkpoint = format!("{}:{}", newest.height, newest.block);
    init(binaries, &dir, &validator.dir, &checkpoint)?;
    let since = Instant::now();
    killed_half_way(binaries, &dir)?;
    let late = Late::start(binaries, dir)?;
    late.reaches(newest.height)?;
    let joined = since.elapsed();
    late.answers(&Trust::genesis(&genesis), &size)?;
    let took = since.elapsed();
    ensure!(took < PROMISE, "an empty node joined and answered after {} s", took.as_secs());
    let has_all = late.dir.join("chain.new").exists() || late.dir.join("chain.ready").exists();
    ensure!(!has_all, "what a snapshot came by is left over");
    Ok(format!(
        "a chain of {} blocks and {} commitments, made in {made:.0} s: an empty node, killed once half way, joined in \
         {:.1} s, and had proven {ASKED} answers after {:.1} s",
        size.blocks,
        size.commitments,
        joined.as_secs_f32(),
        took.as_secs_f32()
    ))
}

/// A port that was free just now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A new node of the network that the node of `of` is on.
fn init(binaries: &Binaries, dir: &Path, of: &Path, checkpoint: &str) -> Result<()> {
    let (dir_text, genesis) = (dir.to_string_lossy(), of.join("genesis.toml"));
    let genesis = genesis.to_string_lossy();
    let place = ["init", "--dir", &dir_text, "--genesis", &genesis, "--listen", "/ip4/127.0.0.1/tcp/0"];
    let args = [&place[..], &["--checkpoint", checkpoint]].concat();
    Running::start(&binaries.node, &args)?.wait(LIMIT)?.expect_code(0)?;
    // Blocks one by one would do at the small size.
    let config = fs::read_to_string(dir.join("node.toml"))?;
    fs::write(dir.join("node.toml"), config.replace("snapshot_lead_blocks = 1000", "snapshot_lead_blocks = 10"))?;
    Ok(())
}

/// A checkpoint that the chain has not is a reason to stop.
fn wrong_checkpoint(validator: &Late<'_>, home: &Path, height: u64) -> Result<()> {
    let (dir, other) = (home.join("misled"), "ab".repeat(32));
    init(validator.binaries, &dir, &validator.dir, &format!("{height}:{other}"))?;
    let mut process = Late::start(validator.binaries, dir)?.process;
    until("a node that was misled stops", LIMIT, || Ok(process.has_ended()))?;
    let outcome = process.wait(LIMIT)?;
    ensure!(outcome.code.is_some_and(|code| code != 0), "a wrong checkpoint was taken: {outcome}");
    ensure!(outcome.said().contains(&other), "the message does not name the checkpoint: {outcome}");
    ensure!(!outcome.said().contains("panicked"), "a panic is not a message: {outcome}");
    Ok(())
}

/// Begins to join, and is killed as soon as something of the snapshot is on disk.
fn killed_half_way(binaries: &Binaries, dir: &Path) -> Result<()> {
    let mut late = Late::start(binaries, dir.to_owned())?;
    let begun = || dir.join("chain.new").exists() || dir.join("chain.ready").exists();
    until("a snapshot is being taken", LIMIT, || Ok(begun() || late.process.has_ended()))?;
    ensure!(begun(), "the node ended: {}", late.process.wait(LIMIT)?);
    thread::sleep(Duration::from_millis(100));
    late.process.kill();
    late.process.wait(LIMIT).map(drop)
}

impl<'a> Late<'a> {
    fn start(binaries: &'a Binaries, dir: PathBuf) -> Result<Self> {
        let process = Running::start(&binaries.node, &["run".as_ref(), "--dir".as_ref(), dir.as_os_str()])?;
        Ok(Self { binaries, dir, process })
    }

    fn status(&self) -> Result<NodeStatus> {
        self.binaries.node_status(&self.dir)
    }

    fn reaches(&self, height: u64) -> Result<()> {
        until(&format!("{} is at height {height}", self.dir.display()), LIMIT, || {
            thread::sleep(Duration::from_millis(50));
            let written = self.dir.join("status.json").exists();
            Ok(written && self.status().is_ok_and(|status| status.running && status.height >= height))
        })
    }

    /// The node proves the commitments that were made, to one who believes in nothing but the genesis.
    fn answers(&self, trust: &Trust, size: &Length) -> Result<()> {
        let status = self.status()?;
        let config = SwarmConfig::client(*trust.chain(), Keypair::from_seed(&[77; 32]));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (swarm, _inbound) = Swarm::start_here(config).await?;
            swarm.learn(status.node, &status.listening);
            for step in 0..ASKED {
                let number = size.commitments / ASKED * step;
                ask(&swarm, status.node, trust, number).await?;
            }
            Ok(())
        })
    }
}

/// Asks for one commitment, and checks the answer as a light client does.
async fn ask(swarm: &SwarmHandle, node: NodeId, trust: &Trust, number: u32) -> Result<()> {
    let id = made_chain::commitment(number);
    let keys = vec![Key::Commitment(id).to_bytes()];
    let Answer { tip, said } = ostrakon_net::ask(swarm, node, chain::records(trust.height(), keys)).await?;
    trust.check(&tip.header, &tip.certificate)?;
    let known = light::records(&said, &tip.header, &[Key::Commitment(id)])?;
    let is_there = matches!(known.as_slice(), [Some(Record::Commitment(known))] if known.id == id);
    ensure!(is_there, "commitment {number} is not what was made: {known:?}");
    Ok(())
}
