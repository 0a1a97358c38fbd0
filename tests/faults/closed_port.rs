//! A node announces a port at which nobody can connect: its status and log have the address, what happened to others
//! that tried, and what to do. Once the address is right, others reach it.

use std::{fs, net::TcpListener, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{Cluster, Reached, Shape, until},
    scenarios::Stage,
};

const LIMIT: Duration = Duration::from_secs(60);
const SHAPE: Shape = Shape { nodes: 3, domains: 3, validators: 1 };

pub(crate) fn run(_stage: &Stage) -> Result<String> {
    let cluster = Cluster::start(SHAPE)?;
    let node = cluster.status()?.nodes.pop().context("there are three")?;
    let reached = |what: &str, is_so: &dyn Fn(&[Reached]) -> bool| {
        let status = || cluster.binaries.node_status(&node.data_dir);
        until(what, LIMIT, || Ok(is_so(&status()?.reached))).with_context(|| format!("{:?}", status()))
    };
    reached("others reach it", &|all| !all.is_empty() && all.iter().all(|one| one.reached > 0))?;

    let (path, right) = (node.data_dir.join("node.toml"), cluster.offer(&node, "0.002", 1 << 30)?);
    let (settings, port) = (fs::read_to_string(&path)?, port_of(&right).context("the offer has an address")?);
    // Nobody listens there any more.
    let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let wrong = right.replace(&format!("/tcp/{port}"), &format!("/tcp/{closed}"));
    ensure!(wrong != right, "the offer announces no TCP: {right}");
    fs::write(&path, format!("{settings}{wrong}"))?;
    cluster.signal(&[node.index], "HUP")?;
    let is_closed = |one: &Reached| one.address.ends_with(&format!("/tcp/{closed}")) && one.asked > 0;
    let is_told = |one: &Reached| one.reached == 0 && one.problem.as_ref().is_some_and(|why| why.contains("refused"));
    reached("others do not reach it", &|all| all.iter().any(|one| is_closed(one) && is_told(one)))?;
    let log = fs::read_to_string(node.data_dir.join("node.log"))?;
    ensure!(log.contains("other nodes cannot connect to an address"), "it is not in its log");

    fs::write(&path, format!("{settings}{right}"))?;
    cluster.signal(&[node.index], "HUP")?;
    reached("others reach it again", &|all| all.iter().any(|one| !is_closed(one) && one.reached > 0))?;
    Ok("others said that they could not connect at a wrong port, and why, and that they could at the right one"
        .to_owned())
}

/// The port of the first address of TCP in a text.
fn port_of(text: &str) -> Option<u16> {
    text.split_once("/tcp/")?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
