//! One bit is flipped on disk in each of 20 columns: reads return the right bytes and name who served wrong ones, and
//! `verify` finds every one.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{Added, NodeInfo},
    content,
    scenarios::{SeededRng, Stage},
};
use serde::Deserialize;

/// Large enough that each column has a file of its own.
const SIZE: u64 = 5 << 20;
/// Where the data begins in a column's file; what is before is the header, after it the tree.
const DATA: u64 = 4096;
/// Columns to corrupt of each object: the first of them to read among them, and never more than the code can lose.
const CORRUPTED: [usize; 3] = [8, 8, 4];

/// Exit code: bytes are not what they should be.
const INTEGRITY: i32 = 4;

/// What `verify` prints.
#[derive(Deserialize)]
struct Verified {
    columns: Vec<Checked>,
}

#[derive(Deserialize)]
struct Checked {
    index: usize,
    state: String,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (file, mut rng) = (stage.cluster.files.join("to-add"), stage.rng());
    for (seed, count) in (500..).zip(CORRUPTED) {
        let hash = content::write_file(&file, seed, SIZE)?;
        let added = stage.cluster.add(&file, &["--all"])?;
        let mut corrupted = vec![0];
        let others: Vec<usize> = (1..added.slots.len()).collect();
        corrupted.extend(rng.some_of(&others, count - 1));
        let holders = flip(stage, &added, &corrupted, &mut rng)?;

        let read = stage.cluster.expect_read(&added.link, &hash)?;
        let named = holders.iter().filter(|node| names(&read.said(), node)).count();
        ensure!(named > 0, "`get` read corrupt columns and named no holder of {corrupted:?}: {read}");

        let verify = stage.cluster.run(&["verify", &added.link])?;
        verify.expect_code(INTEGRITY)?;
        let report: Verified = serde_json::from_slice(&verify.stdout)?;
        let corrupt = report.columns.iter().filter(|column| column.state == "corrupt").map(|column| column.index);
        corrupted.sort_unstable();
        ensure!(corrupt.eq(corrupted.iter().copied()), "columns {corrupted:?} were corrupted: {verify}");
        for node in &holders {
            ensure!(
                names(&verify.said(), node),
                "`verify` does not name node {} ({}): {verify}",
                node.index,
                node.provider
            );
        }
        // Reading did not make it worse.
        stage.cluster.expect_read(&added.link, &hash)?;
    }
    Ok(format!("{} columns corrupted on disk, all found, none returned", CORRUPTED.iter().sum::<usize>()))
}

fn names(said: &str, node: &NodeInfo) -> bool {
    said.contains(&node.provider)
}

/// Flips one bit of the data of each of these columns; returns who holds them.
fn flip(stage: &Stage, added: &Added, columns: &[usize], rng: &mut SeededRng) -> Result<Vec<NodeInfo>> {
    let (holders, nodes) = (stage.cluster.holders(added)?, stage.cluster.status()?.nodes);
    let corrupt = |column: &usize| {
        let (slot, node) = (&added.slots[*column], &nodes[holders[*column]]);
        let path = find(&node.data_dir, &slot.column)
            .with_context(|| format!("column {column} is not in {}", node.data_dir.display()))?;
        let file = File::options().read(true).write(true).open(&path)?;
        let length = usize::try_from(file.metadata()?.len() - DATA)? * 9 / 10;
        let at = DATA + u64::try_from(rng.index(length))?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at)?;
        byte[0] ^= 1 << rng.index(8);
        file.write_all_at(&byte, at)?;
        Ok(node.clone())
    };
    columns.iter().map(corrupt).collect()
}

/// The file of this name anywhere under `dir`.
fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let entries: Vec<PathBuf> = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path()).collect();
    let here = entries.iter().find(|path| path.is_file() && path.file_name().is_some_and(|file| file == name));
    here.cloned().or_else(|| entries.iter().filter(|path| path.is_dir()).find_map(|path| find(path, name)))
}
