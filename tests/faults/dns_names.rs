//! A network that knows its nodes by names alone, in the genesis, as bootstrap nodes and as providers: nodes find each
//! other, and a client that has nothing but the names stores and reads. A name to listen on is refused.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{Cluster, Shape, until},
    content,
    own_node::OwnNode,
    scenarios::Stage,
};

const LIMIT: Duration = Duration::from_secs(60);
const SHAPE: Shape = Shape { nodes: 4, domains: 4, validators: 1 };

pub(crate) fn run(_stage: &Stage) -> Result<String> {
    let cluster = Cluster::start(SHAPE)?;
    cluster.found_again(renamed)?;
    let genesis = fs::read_to_string(cluster.profile().join("genesis.toml"))?;

    let file = cluster.files.join("by-name");
    let hash = content::write_file(&file, 640, 500_000)?;
    let added = cluster.add(&file, &["--code", "2/4", "--all"])?;
    cluster.expect_read(&added.link, &hash)?;
    for node in cluster.status()?.nodes {
        until("the node has all blocks", LIMIT, || Ok(cluster.binaries.node_status(&node.data_dir)?.synced))?;
    }
    joins_by_name(&cluster, &genesis)?;
    Ok("4 nodes and a client with names alone; a fifth node joined by a name in `bootstrap`".to_owned())
}

/// The genesis of another network with the same nodes, each known by a name.
fn renamed(genesis: &str) -> Result<String> {
    let named = genesis.replace("/ip4/127.0.0.1/", "/dns4/localhost/");
    ensure!(named != genesis && !named.contains("/ip4/"), "the genesis has other addresses: {genesis}");
    Ok(named)
}

/// A node whose genesis names no node to start from, and whose `bootstrap` has one by its name.
fn joins_by_name(cluster: &Cluster, genesis: &str) -> Result<()> {
    let lines = genesis.lines();
    let bootstrap = lines.clone().find(|line| line.starts_with("bootstrap")).context("the genesis has first nodes")?;
    let without: Vec<&str> = lines.filter(|line| !line.starts_with("bootstrap")).collect();
    let file = cluster.files.join("genesis.toml");
    fs::write(&file, without.join("\n"))?;
    let node = OwnNode::init(&cluster.binaries.node, cluster.files.join("fifth"), &file)?;
    node.configure("listen = [\"/dns4/localhost/tcp/4001\"]\n")?;
    node.is_refused(&["`listen` \"/dns4/localhost/tcp/4001\"", "IP addresses"])?;
    node.configure(&format!("listen = [\"/ip4/127.0.0.1/tcp/0\"]\n{bootstrap}\n"))?;
    let _daemon = node.start(&[])?;
    until("the fifth node has all blocks", LIMIT, || {
        Ok(cluster.binaries.node_status(&node.dir).is_ok_and(|status| status.synced && status.height > 0))
    })
}
