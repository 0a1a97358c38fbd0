//! Two accounts of 0.001 obol open 128 uploads each, of one byte, on every node, and touch them again and again: adds
//! succeed meanwhile, and after it. At full size ten accounts more do the same.

use anyhow::{Result, ensure};
use bytes::Bytes;
use ostrakon_proto::{
    id::{Epoch, NodeId},
    params::Code,
    wire::put,
};
use ostrakon_tests::{
    scenarios::{Stage, size},
    stranger::{Stranger, id_of},
};

/// What any of 14 nodes is drawn for.
const CODE: Code = Code { k: 1, n: 7 };
const UPLOADS: u16 = 128;
/// Uploads that a node lets one account have open; more accounts have more.
const SHARE: usize = 64;
const ROUNDS: usize = 3;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let cluster = &stage.cluster;
    let nodes = cluster.status()?.nodes.iter().map(id_of).collect::<Result<Vec<NodeId>>>()?;
    let strangers = (1..=size(12, 2)).map(|number| Stranger::start(cluster, number, "0.001"));
    let strangers = strangers.collect::<Result<Vec<_>>>()?;
    let epoch = strangers[0].epoch(nodes[0])?;
    let mut opened = 0;
    for round in 0..ROUNDS {
        opened = strangers.iter().map(|stranger| occupy(stranger, &nodes, epoch)).sum();
        let file = cluster.files.join(format!("among-uploads-{round}"));
        std::fs::write(&file, format!("round {round}"))?;
        let added = cluster.add(&file, &["--all"])?;
        ensure!(added.slots.len() == usize::from(added.code.n), "{added:?}");
    }
    ensure!(opened >= nodes.len() * SHARE, "only {opened} uploads are open on {} nodes", nodes.len());
    let file = cluster.files.join("after-uploads");
    std::fs::write(&file, "after it")?;
    cluster.add(&file, &["--all"])?;
    for stranger in &strangers {
        let aborts = uploads(&nodes).map(|(node, number)| (node, put::abort(stranger.upload(node, number))));
        stranger.ask_all(aborts.collect());
    }
    Ok(format!("{opened} uploads of strangers on {} nodes, and {} adds of all columns", nodes.len(), ROUNDS + 1))
}

fn uploads(nodes: &[NodeId]) -> impl Iterator<Item = (NodeId, u16)> {
    nodes.iter().flat_map(|node| (0..UPLOADS).map(|number| (*node, number)))
}

/// Opens or touches all uploads of a stranger, and sends their byte; how many are open.
fn occupy(stranger: &Stranger, nodes: &[NodeId], epoch: Epoch) -> usize {
    let all: Vec<(NodeId, u16)> = uploads(nodes).collect();
    let opens = all.iter().map(|(node, number)| (*node, stranger.open(*node, *number, (1, CODE), epoch)));
    let opened: Vec<bool> = stranger.ask_all(opens.collect()).iter().map(Result::is_ok).collect();
    let open = all.iter().zip(&opened).filter(|(_, opened)| **opened).map(|(upload, _)| *upload);
    let byte = |(node, number)| (node, put::chunk(stranger.upload(node, number), 0, Bytes::from_static(b"x")));
    let sent = stranger.ask_all(open.map(byte).collect());
    sent.iter().filter(|answer| answer.is_ok()).count()
}
