//! A node on one disk with its store, which is full of columns: many more full blocks pass than its ledger may keep. It
//! follows, reads what it stores, and at full size takes its turn as a validator; its ledger never needs more than its
//! budget.

use std::{fs, net::TcpListener, path::Path, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon::key_file;
use ostrakon_net::{
    Peers,
    swarm::{Swarm, SwarmConfig},
};
use ostrakon_proto::{
    id::{Height, NodeId},
    ledger::Genesis,
    limits::CHUNK,
    sign::Keypair,
    wire::{
        Call, chain,
        get::{self, GetRequest, ReadAccess},
    },
};
use ostrakon_tests::{
    cluster::{Binaries, NodeStatus, is_long, until},
    filled_store,
    made_chain::{self, Length},
    mounted::{self, LoopDisk},
    process::{Daemon, without_profile},
    scenarios::Stage,
};

/// How long all blocks may take.
const LIMIT: Duration = Duration::from_secs(3_600);
/// How often the disk is looked at.
const OFTEN: Duration = Duration::from_millis(100);
/// Bytes of a full block; every other block is full.
const FULL_BLOCK: u64 = 880 << 10;
/// Bytes beyond the budget: one block with its proofs.
const BEYOND: u64 = 1 << 20;

/// What is tried, in bytes.
struct Size {
    disk: u64,
    budget: u64,
    full_blocks: u64,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let size = match is_long() {
        true => Size { disk: 2 << 30, budget: 256 << 20, full_blocks: 1 << 30 },
        false => Size { disk: 512 << 20, budget: 96 << 20, full_blocks: 128 << 20 },
    };
    let (binaries, home) = (&stage.cluster.binaries, stage.cluster.binaries.directory()?);
    if !mounted::is_permitted(home.path())? {
        return Ok("not tried: mounting needs root".to_owned());
    }
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let blocks = 2 * size.full_blocks.div_ceil(FULL_BLOCK);
    // A validator asks for blocks that it lacks one by one, which takes minutes.
    let (snapshot_blocks, more_validators, full_blocks) = (10_000, u8::from(is_long()), true);
    let length = Length { blocks, snapshot_blocks, port, more_validators, full_blocks, ..Length::default() };
    let (old, new) = (home.path().join("old"), home.path().join("new"));
    let genesis = made_chain::make(&old, &length)?;
    second(&new, &genesis, (port, size.budget))?;
    let mut first = without_profile(&binaries.node);
    first.arg("run").arg("--dir").arg(&old);
    let _first = Daemon::start(first, &home.path().join("old.log"))?;

    let disk = LoopDisk::of_size(home.path().join("disk.img"), home.path().join("disk"), size.disk)?;
    let (log, mut largest) = (home.path().join("new.log"), 0);
    let mut daemon = start_full(binaries, &new, &disk, &log)?;
    let mut reaches = |daemon: &mut Daemon, height: u64| {
        let reached = until(&format!("block {height} is there"), LIMIT, || {
            thread::sleep(OFTEN);
            ensure!(!daemon.has_ended(), "the node ended");
            let Some((used, status)) = look(binaries, daemon, &disk)? else { return Ok(false) };
            largest = largest.max(used);
            ensure!(used <= size.budget + BEYOND, "the ledger uses {used} bytes of {}", size.budget);
            Ok(status.height >= height)
        });
        reached.with_context(|| fs::read_to_string(&log).unwrap_or_default())
    };
    reaches(&mut daemon, blocks)?;
    let (_, status) = look(binaries, &daemon, &disk)?.context("the node runs")?;
    if is_long() {
        proposes(&genesis, &status)?;
    }
    ensure!(status.columns > 0, "{status:?}");
    [0, status.columns - 1].into_iter().try_for_each(|number| reads(&genesis, &status, number))?;
    Ok(format!(
        "{} MiB of full blocks passed, on a disk with {} columns; the ledger used at most {} MiB of {}",
        size.full_blocks >> 20,
        status.columns,
        largest >> 20,
        size.budget >> 20
    ))
}

/// The data directory of the second node, which has nothing of the chain.
fn second(dir: &Path, genesis: &Genesis, (port, budget): (u16, u64)) -> Result<()> {
    fs::create_dir(dir)?;
    fs::write(dir.join("genesis.toml"), toml::to_string(genesis)?)?;
    key_file::write(dir.join("node.key"), &made_chain::node_seed(1))?;
    if is_long() {
        key_file::write(dir.join("validator.key"), &made_chain::validator_seed(1))?;
    }
    let first: NodeId = Keypair::from_seed(made_chain::node_seed(0).bytes()).public();
    let settings = format!(
        "listen = [\"/ip4/127.0.0.1/tcp/0\"]\nbootstrap = [\"/ip4/127.0.0.1/tcp/{port}/p2p/{first}\"]\n\
         ledger_budget_bytes = {budget}\ndisk_reserve_bytes = {}\nsnapshot_lead_blocks = 1000000\n",
        16 << 20
    );
    Ok(fs::write(dir.join("node.toml"), settings)?)
}

/// Starts the node of `dir` on the disk, after that was filled with columns.
fn start_full(binaries: &Binaries, dir: &Path, disk: &LoopDisk, log: &Path) -> Result<Daemon> {
    let (fill, node) = (binaries.node.with_file_name("fill-store"), binaries.node.display());
    let (fill, dir) = (fill.display(), dir.display());
    let begin = format!("cp -a {dir}/. \"$0\" && {fill} \"$0\" && exec {node} run --dir \"$0\"");
    let mut command = mounted::with_disks(&[disk], Path::new("bash"));
    command.args(["-c", &begin]).arg(&disk.at);
    Daemon::start(command, log)
}

/// Bytes that the ledger uses now, and the status; nothing before the node runs.
fn look(binaries: &Binaries, daemon: &Daemon, disk: &LoopDisk) -> Result<Option<(u64, NodeStatus)>> {
    let used = "cd \"$0\" && test -e status.json && du -s -B1 --total chain consensus.wal | tail -1 | cut -f1";
    let used = mounted::inside(daemon, disk, used)?;
    let status = format!("{} status --json --dir \"$0\"", binaries.node.display());
    let status = mounted::inside(daemon, disk, &status)?;
    if used.code != Some(0) || status.code != Some(0) {
        return Ok(None);
    }
    Ok(Some((std::str::from_utf8(&used.stdout)?.trim().parse()?, status.json()?)))
}

/// Waits until there is a block that the node proposed: it takes part in consensus.
fn proposes(genesis: &Genesis, status: &NodeStatus) -> Result<()> {
    let (key, mut next) = (made_chain::vote_key(1), Height(status.height));
    until("a block of its own is decided", LIMIT, || {
        let blocks = ask(genesis, status, || chain::blocks(next))?;
        next = blocks.last().map_or(next, |last| last.block.header.height.next());
        thread::sleep(OFTEN);
        Ok(blocks.iter().any(|decided| decided.block.header.proposer == key))
    })
}

/// Reads the start of a column that the disk was filled with from the node.
fn reads(genesis: &Genesis, status: &NodeStatus, number: u64) -> Result<()> {
    let column = filled_store::column(number);
    let request =
        GetRequest { column: column.id(), access: ReadAccess::Public, start: 0, length: u32::try_from(CHUNK)? };
    let (_, read) = ask(genesis, status, || get::range(&request))?;
    ensure!(read == column.bytes[..CHUNK], "column {number} is not what was stored");
    Ok(())
}

/// Asks the node, as a stranger.
fn ask<A: 'static>(genesis: &Genesis, status: &NodeStatus, call: impl FnOnce() -> Call<A>) -> Result<A> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = SwarmConfig::client(genesis.id(), Keypair::from_seed(&[77; 32]));
        let (swarm, _inbound) = Swarm::start_here(config).await?;
        swarm.learn(status.node, &status.listening);
        Ok(ostrakon_net::ask(&swarm, status.node, call()).await?)
    })
}
