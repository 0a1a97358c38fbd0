//! A node that listens on all interfaces over IPv4 and over IPv6 at one port, TCP and QUIC: both work, and a second
//! node is still refused the port.

use std::{
    net::{TcpListener, TcpStream},
    time::Duration,
};

use anyhow::Result;
use ostrakon_tests::{
    own_node::{OwnNode, expect_refusal, free_port},
    process::until,
    scenarios::Stage,
};

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn run(stage: &Stage) -> Result<String> {
    if TcpListener::bind("[::1]:0").is_err() {
        return Ok("not tried: this machine has no IPv6".to_owned());
    }
    let (files, program) = (&stage.cluster.files, &stage.cluster.binaries.node);
    let genesis = stage.cluster.profile().join("genesis.toml");
    let port = free_port()?;
    let (v4, v6) = (format!("/ip4/0.0.0.0/tcp/{port}"), format!("/ip6/::/tcp/{port}"));
    let quic = format!("\"/ip4/0.0.0.0/udp/{port}/quic-v1\", \"/ip6/::/udp/{port}/quic-v1\"");
    let node = OwnNode::init(program, files.join("both-versions"), &genesis)?;
    node.configure(&format!("listen = [\"{v4}\", \"{v6}\", {quic}]\n"))?;
    let _daemon = node.start(&[])?;
    node.logs("starting")?;
    for host in ["127.0.0.1", "::1"] {
        TcpStream::connect((host, port))?;
    }
    let status = || stage.cluster.binaries.node_status(&node.dir);
    until("it listens over four transports", LIMIT, || {
        let listening = status().map(|status| status.listening).unwrap_or_default();
        let has = |ip: &str, over: &str| listening.iter().any(|at| at.starts_with(ip) && at.contains(over));
        Ok(["/ip4/", "/ip6/"].iter().all(|ip| has(ip, "/tcp/") && has(ip, "/udp/")))
    })?;
    for taken in [&v4, &v6] {
        let other = OwnNode::init(program, files.join(format!("second-{}", &taken[1..4])), &genesis)?;
        other.configure(&format!("listen = [\"{taken}\"]\n"))?;
        expect_refusal(&other.operate(&["run"])?, &[taken, "in use"])?;
    }
    Ok("IPv4 and IPv6 at one port, TCP and QUIC; a second node was refused it".to_owned())
}
