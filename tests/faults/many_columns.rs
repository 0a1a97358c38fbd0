//! A validator whose store has very many columns starts again: it votes soon, whatever its store needs to open,
//! refuses what it cannot know yet as busy, and has every column once it is open.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use ostrakon_net::{
    Peers,
    swarm::{Swarm, SwarmConfig, SwarmHandle},
};
use ostrakon_proto::{
    id::NodeId,
    limits::CHUNK,
    sign::Keypair,
    wire::{
        chain,
        get::{self, GetRequest, ReadAccess},
    },
};
use ostrakon_tests::{
    cluster::{Binaries, NodeStatus, until},
    filled_store,
    made_chain::{self, Length},
    numbered_column::NumberedColumn,
    process::{Daemon, without_profile},
    scenarios::{Stage, size},
};

/// How much later a node with columns may vote: it waits a second for its store.
const LATER: Duration = Duration::from_secs(3);
/// How long the store may take to open.
const LIMIT: Duration = Duration::from_secs(300);
/// Callers that store columns at a time: they share their syncs.
const WRITERS: u64 = 64;
/// Bytes of a column.
const LENGTH: usize = 64;
/// How often the node is asked.
const OFTEN: Duration = Duration::from_millis(50);
/// Blocks that there are before.
const BLOCKS: u64 = 4;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (binaries, home) = (&stage.cluster.binaries, stage.cluster.binaries.directory()?);
    let (dir, columns) = (home.path().join("node"), size(1_000_000, 10_000));
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let genesis = made_chain::make(&dir, &Length { blocks: BLOCKS, snapshot_blocks: 100, port, ..Length::default() })?;
    // The machine's disk may have less than a node leaves free.
    let settings = fs::read_to_string(dir.join("node.toml"))?;
    fs::write(dir.join("node.toml"), format!("disk_reserve_bytes = 1\n{settings}"))?;
    let start = || -> Result<Daemon> {
        let mut command = without_profile(&binaries.node);
        command.arg("run").arg("--dir").arg(&dir);
        Daemon::start(command, &home.path().join("node.log"))
    };
    let (runtime, config) = (
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?,
        SwarmConfig::client(genesis.id(), Keypair::from_seed(&[77; 32])),
    );
    let (swarm, _inbound) = runtime.block_on(Swarm::start_here(config))?;
    let node = Keypair::from_seed(made_chain::node_seed(0).bytes()).public();
    swarm.learn(node, &[format!("/ip4/127.0.0.1/tcp/{port}")]);
    let height = || {
        let head = runtime.block_on(ostrakon_net::ask(&swarm, node, chain::head()));
        head.ok().map(|head| head.height)
    };
    // The next block has its vote: there is no other validator.
    let votes_after = || -> Result<(Daemon, Duration)> {
        let (since, daemon, mut first) = (Instant::now(), start()?, None);
        until("it votes", LIMIT, || {
            thread::sleep(OFTEN);
            let now = height();
            first = first.or(now);
            Ok(now > first)
        })?;
        Ok((daemon, since.elapsed()))
    };
    // Of one that has signed something: who has not asks all others first.
    drop(votes_after()?);
    let (daemon, alone) = votes_after()?;
    drop(daemon);
    fill(&dir, columns)?;

    let (_daemon, voted) = votes_after()?;
    let since = Instant::now();
    ensure!(voted < alone + LATER, "a block took {voted:.1?} with {columns} columns, and {alone:.1?} without");
    let (mut busy, last) = (0, NumberedColumn::new(columns - 1, LENGTH));
    until("the store is open", LIMIT, || match runtime.block_on(read(&swarm, node, &last)) {
        Ok(bytes) => Ok(bytes == last.bytes),
        Err(error) if error.contains("still opening") => {
            busy += 1;
            Ok(false)
        }
        Err(error) => bail!("a column is refused otherwise than as busy: {error}"),
    })?;
    let opened = since.elapsed();
    until("the status has all columns", LIMIT, || {
        Ok(look(binaries, &dir).is_some_and(|status| status.columns == columns))
    })?;
    Ok(format!(
        "a block after {voted:.1?} with {columns} columns, and {alone:.1?} without; {busy} requests were refused as \
         busy in the {opened:.1?} after"
    ))
}

fn look(binaries: &Binaries, dir: &Path) -> Option<NodeStatus> {
    dir.join("status.json").exists().then(|| binaries.node_status(dir).ok()).flatten()
}

async fn read(swarm: &SwarmHandle, node: NodeId, column: &NumberedColumn) -> Result<bytes::Bytes, String> {
    let length = u32::try_from(CHUNK).expect("fits");
    let request = GetRequest { column: column.id(), access: ReadAccess::Public, start: 0, length };
    let read = ostrakon_net::ask(swarm, node, get::range(&request)).await;
    read.map(|(_, bytes)| bytes).map_err(|error| error.to_string())
}

/// Stores so many columns, from several threads at a time.
fn fill(dir: &Path, columns: u64) -> Result<()> {
    let (store, next) = (filled_store::open(dir)?, AtomicU64::new(0));
    let write = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= columns {
                return Ok(());
            }
            NumberedColumn::new(number, LENGTH).put(&store)?;
        }
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(write)).collect();
        writers.into_iter().try_for_each(|writer| writer.join().expect("no writer panics"))
    })
}
