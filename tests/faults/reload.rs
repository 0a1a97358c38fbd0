//! SIGHUP to a node: it reads its configuration again and never ends. The log filter and the offer change without a
//! restart, other keys are named as needing one, and a wrong configuration changes nothing. The service manager, at a
//! path or an abstract name, hears of it all.

use std::{
    fs,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use ostrakon_tests::{
    cluster::{Cluster, NodeInfo, Shape, until},
    own_node::OwnNode,
    process::{Daemon, signal},
    scenarios::Stage,
};

const LIMIT: Duration = Duration::from_secs(60);
const SHAPE: Shape = Shape { nodes: 3, domains: 3, validators: 1 };

pub(crate) fn run(_stage: &Stage) -> Result<String> {
    let cluster = Cluster::start(SHAPE)?;
    // A path of a socket has at most 107 bytes.
    let home = tempfile::tempdir()?;
    let at_path = home.path().join("notify");
    let name = format!("ostrakon-faults-{}", std::process::id());
    let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
    let node =
        OwnNode::init(&cluster.binaries.node, cluster.files.join("reloaded"), &cluster.profile().join("genesis.toml"))?;
    for (socket, manager) in
        [(at_path.display().to_string(), UnixDatagram::bind(&at_path)?), (format!("@{name}"), by_name)]
    {
        manager.set_read_timeout(Some(LIMIT))?;
        reloads(&node, &socket, &manager)?;
    }
    let nodes = cluster.status()?.nodes;
    changes_its_price(&cluster, nodes.last().context("there are three")?)?;
    Ok("log filter and price changed without a restart; READY, RELOADING and STOPPING at a path and a name".to_owned())
}

fn reloads(node: &OwnNode, socket: &str, manager: &UnixDatagram) -> Result<()> {
    let settings = |log: &str, rest: &str| {
        node.configure(&format!("listen = [\"/ip4/127.0.0.1/tcp/0\"]\nlog = \"{log}\"\n{rest}\n"))
    };
    settings("info", "")?;
    let _old = fs::remove_file(node.dir.join("node.log"));
    let mut daemon = node.start(&[("NOTIFY_SOCKET", socket)])?;
    expect(manager, "READY=1")?;
    ensure!(!node.log()?.contains("TRACE"), "the log has more than was asked for");

    settings("trace", "ledger_budget_bytes = 500000\nworker_threads = 9")?;
    hang_up(&daemon, manager)?;
    node.logs("configuration reloaded")?;
    node.logs("these keys changed and have no effect before the node is restarted keys=[\"ledger_budget_bytes\"")?;
    node.logs("TRACE")?;

    settings("inof", "")?;
    hang_up(&daemon, manager)?;
    node.logs("is not reloaded, and nothing changes")?;
    node.logs("\"inof\" is not a level")?;

    thread::scope(|scope| {
        // Meanwhile: a manager that does not receive misses states.
        let receives = scope.spawn(|| {
            while expect_any(manager)? != "STOPPING=1" {}
            Ok(())
        });
        (0..50).try_for_each(|_| signal(daemon.pid(), "HUP"))?;
        ensure!(!daemon.has_ended(), "SIGHUP ended the node: {}", node.log()?);
        signal(daemon.pid(), "TERM")?;
        receives.join().map_err(|_| anyhow!("a thread panicked"))?
    })?;
    until("the node ends", LIMIT, || Ok(daemon.has_ended()))?;
    ensure!(node.log()?.contains("stopped"), "the node did not stop cleanly: {}", node.log()?);
    Ok(())
}

/// Sends SIGHUP, and waits until the manager has heard of the beginning and the end.
fn hang_up(daemon: &Daemon, manager: &UnixDatagram) -> Result<()> {
    signal(daemon.pid(), "HUP")?;
    expect(manager, "RELOADING=1\nMONOTONIC_USEC=")?;
    expect(manager, "READY=1")
}

fn expect(manager: &UnixDatagram, beginning: &str) -> Result<()> {
    let state = expect_any(manager)?;
    ensure!(state.starts_with(beginning), "the service manager heard {state:?} instead of {beginning:?}");
    Ok(())
}

fn expect_any(manager: &UnixDatagram) -> Result<String> {
    let mut buffer = [0; 256];
    let length = manager.recv(&mut buffer).context("the service manager receives nothing")?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// A provider of the genesis gets an offer of its own, by SIGHUP alone.
fn changes_its_price(cluster: &Cluster, node: &NodeInfo) -> Result<()> {
    let price = || -> Result<String> {
        let listed: serde_json::Value = cluster.run(&["providers"])?.json()?;
        let providers = listed["providers"].as_array().context("`providers` prints a list")?;
        let of_node = providers.iter().find(|provider| provider["provider"] == node.provider.as_str());
        Ok(of_node.context("the node is a provider")?["price"].to_string())
    };
    let (before, path) = (price()?, node.data_dir.join("node.toml"));
    let offer = cluster.offer(node, "0.002", 1 << 30)?;
    fs::write(&path, format!("{}{offer}", fs::read_to_string(&path)?))?;
    cluster.signal(&[node.index], "HUP")?;
    until("the ledger has the new price", LIMIT, || Ok(price()? != before))?;
    let still = cluster.status()?.nodes.into_iter().any(|now| now.pid == node.pid && now.running);
    ensure!(still, "the node was restarted");
    Ok(())
}
