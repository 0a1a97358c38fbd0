//! A node that is given the address of a node of another network: both logs say that the other is of another network,
//! over TCP and over QUIC, and the node continues with its own.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{Cluster, Shape, until},
    scenarios::Stage,
};

const LIMIT: Duration = Duration::from_secs(60);
const SHAPE: Shape = Shape { nodes: 3, domains: 3, validators: 1 };
const OTHER: &str = "is of another network";

pub(crate) fn run(_stage: &Stage) -> Result<String> {
    let (own, foreign) = (Cluster::start(SHAPE)?, Cluster::start(SHAPE)?);
    let pairs = own.status()?.nodes.into_iter().zip(foreign.status()?.nodes).zip(foreign.status()?.api);
    for (((node, other), tcp), is_quic) in pairs.zip([false, true]) {
        let quic = tcp.replace("/tcp/", "/udp/").replace("/p2p/", "/quic-v1/p2p/");
        let listen = quic.split("/p2p/").next().unwrap_or_default();
        if is_quic {
            foreign.restart_with(&other, |settings| {
                settings.replacen("listen = [", &format!("listen = [\"{listen}\", "), 1)
            })?;
        }
        let address = if is_quic { &quic } else { &tcp };
        own.restart_with(&node, |settings| format!("bootstrap = [\"{address}\"]\n{settings}"))?;
        for (place, node) in [(&own, &node), (&foreign, &other)] {
            let logged = || Ok(fs::read_to_string(node.data_dir.join("node.log"))?.contains(OTHER));
            until("the log names the other network", LIMIT, logged)
                .with_context(|| format!("node {} in {}, with {address}", node.index, place.directory().display()))?;
        }
    }
    let height = own.status()?.height.unwrap_or(0);
    until("blocks continue", LIMIT, || Ok(own.status()?.height.unwrap_or(0) > height))?;
    ensure!(own.status()?.nodes.iter().all(|node| node.running), "a node ended");
    Ok("a node of another network is named in both logs, over TCP and over QUIC".to_owned())
}
