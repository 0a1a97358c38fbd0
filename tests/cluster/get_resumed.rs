//! The client dies at random moments of a get, and the same command is run again: the right file, and nothing that was
//! written is fetched twice.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{Added, is_long, until},
    content,
    scenarios::Stage,
};
use serde::Deserialize;

const MIB: u64 = 1024 * 1024;
/// Bytes of a checkpoint: how many bytes are there, and their hash.
const CHECKPOINT: usize = 40;
const PATIENCE: Duration = Duration::from_secs(600);

/// What `get` prints.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Got {
    size: u64,
    resumed: u64,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (size, kills, rate) = if is_long() { (4096 * MIB, 10, "512M") } else { (192 * MIB, 3, "48M") };
    let (file, out) = (stage.cluster.files.join("source"), stage.cluster.files.join("resumed"));
    let hash = content::write_file(&file, 500, size)?;
    let added: Added = stage.cluster.begin(&["add".as_ref(), file.as_os_str()])?.wait(PATIENCE)?.json()?;
    fs::remove_file(&file)?;

    let command = ["get".as_ref(), added.link.as_ref(), "-o".as_ref(), out.as_os_str()];
    // So slow that it does not end before it is killed.
    let slow = [&command[..], &["--limit-download".as_ref(), rate.as_ref()]].concat();
    let (mut rng, mut kept) = (stage.rng(), 0);
    // What is worth keeping is 16 MiB: from there to near the end, in order.
    let (first, last) = (usize::try_from(16 * MIB)?, usize::try_from(size - size / 8)?);
    let mut moments: Vec<u64> = (0..kills).map(|_| (first + rng.index(last - first)) as u64).collect();
    moments.sort_unstable();
    for moment in moments {
        let mut client = stage.cluster.begin(&slow)?;
        until("the get comes so far", PATIENCE, || {
            ensure!(!client.has_ended(), "the get ended before it was killed");
            Ok(written(&stage.cluster.files)? >= moment)
        })?;
        client.kill();
        drop(client);
        ensure!(!out.exists(), "a file that is not whole has its name");
        let now = checkpointed(&stage.cluster.files)?;
        ensure!(now >= kept, "{now} bytes are kept where there were {kept}");
        kept = now;
    }
    let last = stage.cluster.begin(&command)?.wait(PATIENCE)?;
    let got: Got = last.json()?;
    ensure!((got.size, got.resumed) == (size, kept), "{got:?}, where {kept} of {size} bytes were there");
    ensure!(content::hash_file(&out)? == hash, "WRONG BYTES from {last}");
    fs::remove_file(&out)?;
    let left = partials(&stage.cluster.files)?;
    ensure!(left.is_empty(), "{left:?} is left over");
    Ok(format!("{kills} kills of a get of {} MiB, the last with {} MiB there", size / MIB, kept / MIB))
}

/// What unfinished gets have left in this directory.
fn partials(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let is_partial = |path: &PathBuf| path.to_string_lossy().contains(".part");
    Ok(entries.into_iter().filter(is_partial).collect())
}

/// Bytes on disk of the get in progress: rows are written as they come, so the length says nothing.
fn written(directory: &Path) -> Result<u64> {
    let file = partials(directory)?.into_iter().find(|path| path.extension().is_some_and(|end| end == "part"));
    Ok(file.map_or(Ok(0), |file| file.metadata().map(|metadata| metadata.blocks() * 512))?)
}

/// Bytes up to the newest checkpoint.
fn checkpointed(directory: &Path) -> Result<u64> {
    let is_list = |path: &PathBuf| path.extension().is_some_and(|end| end == "checkpoints");
    let list = partials(directory)?.into_iter().find(is_list).context("a killed get leaves its checkpoints")?;
    let list = fs::read(list)?;
    let newest = list.chunks_exact(CHECKPOINT).next_back().context("a checkpoint")?;
    Ok(u64::from_le_bytes(newest[..8].try_into()?))
}
