//! A node's metrics are scraped while it stores columns and decides blocks: what it counts moves, and what strangers
//! send to the port does not trouble it.

use std::{fs, net::SocketAddr, net::TcpStream, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{NodeInfo, until},
    content,
    scenarios::Stage,
    scrape::{self, Scrape},
};

const LIMIT: Duration = Duration::from_secs(60);
/// Adds until the node was drawn for a column: each leaves out two of fourteen nodes.
const ADDS: u64 = 20;
/// Bytes of each object.
const SIZE: u64 = 2_000_000;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let nodes = stage.cluster.status()?.nodes;
    let node = nodes.into_iter().find(|node| node.validator).context("a network has validators")?;
    let metrics = |settings: &str| format!("metrics = \"127.0.0.1:0\"\n{settings}");
    let before = stage.cluster.restart_with(&node, metrics)?;
    let scraped = scraped_while_adding(stage, &node);
    stage.cluster.restart_with(&node, |_| before)?;
    let log = fs::read_to_string(node.data_dir.join("node.log"))?;
    scraped.with_context(|| log.lines().rev().take(20).collect::<Vec<_>>().join("\n"))
}

fn scraped_while_adding(stage: &Stage, node: &NodeInfo) -> Result<String> {
    let log = fs::read_to_string(node.data_dir.join("node.log"))?;
    let address = scrape::address(&log).context("the log does not say where metrics are served")?;
    let before = Scrape::fetch(address)?;
    let mut adds = 0;
    let stored = "ostrakon_uploads_finished_total";
    while Scrape::fetch(address)?.of(stored) < 1.0 {
        ensure!(adds < ADDS, "{ADDS} objects were added, and {stored} is 0");
        let file = stage.cluster.files.join("to-add");
        content::write_file(&file, 700 + adds, SIZE)?;
        stage.cluster.add(&file, &["--all"])?;
        adds += 1;
    }
    until("the metrics move", LIMIT, || Ok(still(&before, &Scrape::fetch(address)?).is_empty()))
        .with_context(|| format!("these do not: {:?}", Scrape::fetch(address).map(|now| still(&before, &now))))?;
    refuses_strangers(address)?;
    Ok(format!("metrics of a validator after {adds} adds"))
}

/// What is counted of every validator that stores a column, and does not move.
fn still(before: &Scrape, now: &Scrape) -> Vec<&'static str> {
    let moving = [
        "ostrakon_store_sync_seconds_count",
        "ostrakon_store_written_bytes_total",
        "ostrakon_ledger_commit_seconds_count",
        "ostrakon_ledger_height",
        "ostrakon_order_log_sync_seconds_count",
        "ostrakon_order_sign_state_sync_seconds_count",
        "ostrakon_order_decided_total",
        "ostrakon_order_height_seconds_count",
        "ostrakon_requests_received_total",
        "ostrakon_requests_duration_seconds_count",
        "ostrakon_admission_queue_wait_seconds_count",
        "ostrakon_uploads_opened_total",
        "ostrakon_uploads_received_bytes_total",
        "libp2p_swarm_connections_established_total",
    ];
    moving.into_iter().filter(|name| now.sum(name) <= before.sum(name)).collect()
}

/// Other paths and methods are refused, and connections that say nothing delay a scrape, but do not prevent it.
fn refuses_strangers(address: SocketAddr) -> Result<()> {
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: node\r\n\r\n", "HTTP/1.1 404 "),
        ("POST /metrics HTTP/1.1\r\nHost: node\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405 "),
        ("\0\0\0\0\r\n\r\n", "HTTP/1.1 400 "),
    ] {
        let answer = scrape::ask(address, request)?;
        ensure!(answer.starts_with(status), "{request:?} is answered with {answer}");
    }
    let held: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(address)).collect::<Result<_, _>>()?;
    let height = Scrape::fetch(address)?.of("ostrakon_ledger_height");
    ensure!(height > 0.0, "the node has no blocks");
    drop(held);
    Ok(())
}
