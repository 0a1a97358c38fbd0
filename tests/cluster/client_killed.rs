//! The client dies in the middle of an add: nothing that was there suffers, the next add works, and what was
//! interrupted is resumed or given up.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{Added, until},
    content,
    scenarios::Stage,
};
use serde::Deserialize;

/// How often a client dies.
const TIMES: u64 = 3;

/// What `uploads resume` and `uploads abort` print.
#[derive(Debug, Deserialize)]
struct Done {
    added: Vec<Added>,
    #[serde(default)]
    aborted: Vec<String>,
}

/// What `ls` prints.
#[derive(Debug, Deserialize)]
struct Listing {
    objects: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
    link: String,
}

/// What `uploads ls` prints.
#[derive(Debug, Deserialize)]
struct Unfinished {
    unfinished: Vec<serde_json::Value>,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (small, mut bigs) = (stage.cluster.files.join("small"), Vec::new());
    let small_hash = content::write_file(&small, 201, 500_000)?;
    for time in 0..TIMES {
        let big = stage.cluster.files.join(format!("big-{time}"));
        let hash = content::write_file(&big, 210 + time, 64 << 20)?;
        let before = stored(stage)?;
        // So slow that it does not end before it is killed.
        let slow = [big.as_os_str(), "--limit-upload".as_ref(), "16M".as_ref()];
        let mut client = stage.cluster.begin(&[&["add".as_ref()], &slow[..]].concat())?;
        until("bytes arrive at the nodes", Duration::from_secs(30), || Ok(stored(stage)? > before + (4 << 20)))?;
        client.kill();
        drop(client);
        let added = stage.cluster.add(&small, &["--all"])?;
        stage.cluster.expect_read(&added.link, &small_hash)?;
        bigs.push((big, hash));
    }
    stage.cluster.run(&["ls"])?.expect_code(0)?;
    ensure!(unfinished(stage)? == bigs.len(), "{} adds are unfinished, not {TIMES}", unfinished(stage)?);

    let (given_up, _) = bigs.first().context("one was killed")?;
    let aborted: Done = stage.cluster.run(&["uploads".as_ref(), "abort".as_ref(), given_up.as_os_str()])?.json()?;
    ensure!(aborted.aborted.len() == 1 && aborted.added.is_empty(), "{aborted:?}");
    let resumed: Done = stage.cluster.run(&["uploads", "resume"])?.json()?;
    ensure!(resumed.added.len() == bigs.len() - 1 && unfinished(stage)? == 0, "{resumed:?}");
    let entries = stage.cluster.run(&["ls"])?.json::<Listing>()?.objects;
    for (big, hash) in &bigs {
        let name = big.file_name().unwrap_or_default();
        let links: Vec<&str> =
            entries.iter().filter(|entry| *entry.name == *name).map(|entry| entry.link.as_str()).collect();
        ensure!(links.len() == usize::from(big != given_up), "{} is listed {} times", big.display(), links.len());
        links.iter().try_for_each(|link| stage.cluster.expect_read(link, hash).map(drop))?;
        fs::remove_file(big)?;
    }
    Ok(format!("{TIMES} adds of 64 MiB killed halfway, one of them given up and the others finished"))
}

fn unfinished(stage: &Stage) -> Result<usize> {
    Ok(stage.cluster.run(&["uploads", "ls"])?.json::<Unfinished>()?.unfinished.len())
}

/// Bytes of all files of all nodes.
fn stored(stage: &Stage) -> Result<u64> {
    let nodes = stage.cluster.status()?.nodes;
    Ok(nodes.iter().map(|node| content::allocated_bytes(&node.data_dir)).sum())
}
