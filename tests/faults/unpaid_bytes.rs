//! 0.001 obol of credit makes a node take 1 GiB that nobody pays for: it counts as temporary from the first request on,
//! survives a restart, and an account's part of a tenth of the disk is the most, however much it could back.

use anyhow::{Context, Result, ensure};
use ostrakon_net::{AskError, Failure};
use ostrakon_proto::{
    id::NodeId,
    params::Code,
    wire::{RefusalCode, put},
};
use ostrakon_tests::{
    cluster::NodeInfo,
    scenarios::Stage,
    stranger::{Column, DiskStatus, Stranger, await_disk, disk_status, id_of},
};

const CODE: Code = Code { k: 1, n: 7 };
const MIB: u64 = 1 << 20;
/// What 0.001 obol backs, with space for a manifest.
const CREDIT: u64 = 1023 * MIB;
/// Uploads of this size that one account tries to open: far more than it may.
const TRIES: u16 = 120;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let cluster = &stage.cluster;
    let node = cluster.status()?.nodes.pop().context("a devnet has nodes")?;
    let id = id_of(&node)?;
    let before = disk_status(&node)?;

    let poor = Stranger::start(cluster, 21, "0.001")?;
    let epoch = poor.epoch(id)?;
    poor.ask(id, poor.open(id, 0, (CREDIT, CODE), epoch)).context("its credit covers that")?;
    await_disk(&node, "what is promised is temporary", |now| now.temporary_bytes >= before.temporary_bytes + CREDIT)?;
    let more = poor.ask(id, poor.open(id, 1, (32 * MIB, CODE), epoch));
    ensure!(code_of(&more) == Some(RefusalCode::NoCredit), "more than its credit: {more:?}");
    poor.ask(id, put::abort(poor.upload(id, 0)))?;
    await_disk(&node, "what is given up is not", |now| now.upload_bytes == 0)?;

    let stored = survives(stage, &poor, &node, before)?;
    let shares = shares(stage, &node, id)?;
    Ok(format!("1 GiB counted when it was opened, {stored} bytes after a restart; {shares}"))
}

/// A column that nobody commits is temporary, also after the node was killed.
fn survives(stage: &Stage, poor: &Stranger, node: &NodeInfo, before: DiskStatus) -> Result<u64> {
    let (id, column) = (id_of(node)?, Column::new(77, 8 * MIB, CODE)?);
    poor.send(id, 2, &column)?;
    poor.ask(id, poor.finish(id, 2, &column))?;
    let counts = |now: &DiskStatus| now.temporary_bytes >= before.temporary_bytes + column.len && now.upload_bytes == 0;
    await_disk(node, "a stored column is temporary", counts)?;
    stage.cluster.kill(&[node.index])?;
    let killed = disk_status(node)?.updated_ms;
    stage.cluster.revive(&[node.index])?;
    let again = |now: &DiskStatus| now.updated_ms > killed && counts(now);
    await_disk(node, "it still is after a restart", again).map(|now| now.temporary_bytes)
}

/// An account that could back far more gets its share, and others still get in.
fn shares(stage: &Stage, node: &NodeInfo, id: NodeId) -> Result<String> {
    let rich = Stranger::start(&stage.cluster, 22, "0.2")?;
    let (epoch, start) = (rich.epoch(id)?, disk_status(node)?);
    let opens = (0..TRIES).map(|number| (id, rich.open(id, number, (CREDIT, CODE), epoch)));
    let answers = rich.ask_all(opens.collect());
    let opened = u64::try_from(answers.iter().filter(|answer| answer.is_ok()).count())?;
    let refused = answers.iter().find(|answer| answer.is_err()).context("nothing was refused")?;
    ensure!(code_of(refused) == Some(RefusalCode::Full), "{refused:?}");
    let (most, used) = (start.disk_bytes / 10, opened * CREDIT);
    ensure!(opened > 0 && used <= most / 4, "{used} bytes of a disk of {} are one account's", start.disk_bytes);
    let full = await_disk(node, "what it opened counts", |now| now.upload_bytes == used)?;
    ensure!(full.temporary_bytes <= most, "{full:?}");
    let file = stage.cluster.files.join("beside-unpaid");
    std::fs::write(&file, "an honest file")?;
    stage.cluster.add(&file, &["--all"])?;
    rich.ask_all((0..TRIES).map(|number| (id, put::abort(rich.upload(id, number)))).collect());
    await_disk(node, "all is given back", |now| now.upload_bytes == 0)?;
    Ok(format!("of a disk of {} GiB one account got {opened}", start.disk_bytes >> 30))
}

fn code_of<A>(answer: &Result<A, AskError>) -> Option<RefusalCode> {
    match &answer.as_ref().err()?.failure {
        Failure::Refused(refusal) => Some(refusal.code),
        _ => None,
    }
}
