//! 4 GiB in and out: neither the client nor any node holds more than its share of memory.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{cluster::Added, content, proc, scenarios::Stage};

const MIB: u64 = 1024 * 1024;
const CLIENT: u64 = 256 * MIB;
const NODE: u64 = 512 * MIB;
const PATIENCE: Duration = Duration::from_secs(1_800);

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (file, out) = (stage.cluster.files.join("big"), stage.cluster.files.join("out"));
    let hash = content::write_file(&file, 300, 4096 * MIB)?;
    let add = stage.cluster.begin(&["add".as_ref(), file.as_os_str()])?.wait(PATIENCE)?;
    let added: Added = add.json()?;
    ensure!(add.peak < CLIENT, "`add` of 4 GiB had {} MiB resident", add.peak / MIB);
    fs::remove_file(&file)?;

    let get = ["get".as_ref(), added.link.as_ref(), "-o".as_ref(), out.as_os_str()];
    let get = stage.cluster.begin(&get)?.wait(PATIENCE)?;
    get.expect_code(0)?;
    ensure!(get.peak < CLIENT, "`get` of 4 GiB had {} MiB resident", get.peak / MIB);
    ensure!(content::hash_file(&out)? == hash, "WRONG BYTES from {get}");
    fs::remove_file(&out)?;

    let mut peaks = Vec::new();
    for node in stage.cluster.status()?.nodes {
        let peak = node.pid.and_then(proc::peak_bytes).with_context(|| format!("node {} does not run", node.index))?;
        ensure!(peak < NODE, "node {} had {} MiB resident", node.index, peak / MIB);
        peaks.push(peak / MIB);
    }
    let (most, seconds) = (peaks.iter().max().copied().unwrap_or_default(), |took: Duration| took.as_secs_f32());
    Ok(format!(
        "4 GiB added in {:.0} s with {} MiB resident, got in {:.0} s with {} MiB; a node had {most} MiB at most",
        seconds(add.took),
        add.peak / MIB,
        seconds(get.took),
        get.peak / MIB,
    ))
}
