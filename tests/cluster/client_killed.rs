//! The client dies in the middle of an add: nothing that was there suffers, and the next add works.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;
use ostrakon_tests::{cluster::until, content};

use crate::Stage;

/// How often a client dies.
const TIMES: usize = 3;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (big, small) = (stage.cluster.files.join("big"), stage.cluster.files.join("small"));
    content::write_file(&big, 200, 64 << 20)?;
    let hash = content::write_file(&small, 201, 500_000)?;
    for _ in 0..TIMES {
        let before = stored(stage)?;
        let mut client = stage.cluster.begin(&["add".as_ref(), big.as_os_str()])?;
        until("bytes arrive at the nodes", Duration::from_secs(30), || Ok(stored(stage)? > before + (4 << 20)))?;
        client.kill();
        drop(client);
        let added = stage.cluster.add(&small, &["--all"])?;
        stage.cluster.expect_read(&added.link, &hash)?;
    }
    stage.cluster.run(&["ls"])?.expect_code(0)?;
    fs::remove_file(big)?;
    Ok(format!("{TIMES} adds of 64 MiB killed halfway"))
}

/// Bytes of all files of all nodes.
fn stored(stage: &Stage) -> Result<u64> {
    let nodes = stage.cluster.status()?.nodes;
    Ok(nodes.iter().map(|node| bytes_under(&node.data_dir)).sum())
}

/// Bytes on disk under `dir`: what is preallocated does not count before it is written. Files may vanish meanwhile.
fn bytes_under(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_under(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(size).sum()
}
