//! A node with two disks, one of which is not mounted any more: the other serves and takes columns, what is missing is
//! counted, and nothing is written under the mount point. Mounted again, everything is there. Then the second disk is
//! drained and taken away, and nothing is missed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::until,
    mounted::{LoopDisk, MountedNode, on_disk},
    own_node::expect_refusal,
    scenarios::Stage,
};

/// A disk with a few columns is drained within this.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn run(_stage: &Stage) -> Result<String> {
    on_disk(scenario)
}

fn scenario(mut node: MountedNode<'_>, first: LoopDisk) -> Result<String> {
    let second = node.disk("second")?;
    let path = second.at.to_string_lossy().into_owned();
    let add = ["volume", "add", &path];
    expect_refusal(&node.operate(&[&first], &add)?, &["mount the disk", &path])?;
    second.expect_nothing_under()?;
    node.operate(&[&first, &second], &add)?.expect_code(0)?;
    node.start(&[&first, &second])?;
    let mut stored = (730..734).map(|seed| node.store(seed)).collect::<Result<Vec<_>>>()?;
    let columns: Vec<u64> = node.status()?.space.volumes.iter().map(|volume| volume.columns).collect();
    let [on_first, lost] = columns[..] else { anyhow::bail!("not two volumes: {columns:?}") };
    ensure!(on_first > 0 && lost > 0, "all columns are on one disk: {columns:?}");

    node.stop(&[&first, &second])?;
    node.start(&[&first])?;
    node.expect_volumes(&["open", "missing"])?;
    node.expect_missing(lost)?;
    stored.push(node.store(734)?);
    stored.iter().try_for_each(|stored| node.cluster.expect_read(&stored.link, &stored.hash).map(drop))?;
    second.expect_nothing_under()?;

    node.stop(&[&first])?;
    let listed: serde_json::Value = node.operate(&[&first], &["volume", "ls", "--json"])?.json()?;
    let missing = listed["volumes"].as_array().context("`volume ls` prints a list")?.iter();
    let missing: Vec<_> = missing.filter(|volume| volume["state"] == "missing").collect();
    ensure!(missing.len() == 1 && missing[0]["columns"] == 0, "{listed}");

    node.start(&[&first, &second])?;
    node.expect_volumes(&["open", "open"])?;
    node.expect_missing(0)?;
    node.expect_served(&stored.iter().collect::<Vec<_>>())?;
    second.expect_nothing_under()?;

    let id = node.status()?.space.volumes[1].id.clone();
    node.stop(&[&first, &second])?;
    node.operate(&[&first, &second], &["volume", "drain", &id])?.expect_code(0)?;
    node.start(&[&first, &second])?;
    let left = || node.status().map(|status| status.space.volumes[1].columns);
    until("the second disk is drained", LIMIT, || Ok(left()? == 0))?;
    node.expect_volumes(&["open", "draining"])?;
    node.stop(&[&first, &second])?;
    node.operate(&[&first, &second], &["volume", "remove", &id])?.expect_code(0)?;
    node.start(&[&first])?;
    node.expect_missing(0)?;
    node.expect_served(&stored.iter().collect::<Vec<_>>())?;
    Ok(format!(
        "without a disk {lost} columns were missed, {on_first} were served, and one more was taken; drained and taken \
         away, none was"
    ))
}
