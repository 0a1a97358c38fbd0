//! Runs a node inside a program: it follows the ledger of a network and serves what it has. It votes on no blocks and
//! offers no space; `ostrakon-node` is the program that does.
//!
//! ```text
//! ostrakon devnet up --dir net
//! cargo run --release -p ostrakon-examples --example embed_node net/profile/genesis.toml
//! ostrakon devnet down --dir net
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use ostrakon::{Height, Keypair, read_genesis, system_clock};
use ostrakon_net::{
    Workers,
    swarm::{Swarm, SwarmConfig},
};
use ostrakon_node::{
    chain::rocks::Rocks,
    metrics::NodeMetrics,
    node::{Clock, Node, NodeParts, Settings},
    store::{Disk, DiskConfig},
};

/// How many blocks it follows before it stops.
const BLOCKS: u64 = 3;
/// How long it waits for them.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<()> {
    let path = std::env::args_os().nth(1).context("usage: embed_node GENESIS")?;
    let (genesis, keypair) = (read_genesis(path)?, Keypair::from_seed(&[7; 32]));
    let dir = tempfile::tempdir()?;

    // Everything that touches the machine is passed in: the network, the disk, threads and the clock.
    let (swarm, requests) = Swarm::start(SwarmConfig {
        listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
        bootstrap: genesis.bootstrap.clone(),
        ..SwarmConfig::client(genesis.id(), keypair.clone())
    })?;
    let clock = system_clock();
    let mut node = Node::start(NodeParts {
        ledger: Arc::new(Rocks::open(&dir.path().join("chain"), &genesis)?),
        columns: Arc::new(Disk::open(&dir.path().join("store"), DiskConfig::default())?),
        peers: Arc::new(swarm.clone()),
        workers: Workers::pool(2),
        clock: Clock::new(move || clock()),
        validator: None,
        settings: Settings::default(),
        metrics: NodeMetrics::default(),
        genesis,
        keypair,
        requests,
    })
    .await?;

    let chain = node.chain().clone();
    tokio::select! {
        biased;
        error = node.failed() => return Err(error.into()),
        head = tokio::time::timeout(PATIENCE, chain.wait(Height(BLOCKS))) => {
            println!("followed the ledger to block {}", head.context("no blocks came")?.height);
        }
    }
    node.shutdown().await;
    swarm.shutdown().await;
    Ok(())
}
