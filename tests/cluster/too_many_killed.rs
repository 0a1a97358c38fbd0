//! One holder more than n-k is gone: `get` reports it, soon, and writes nothing.

use std::{fs, time::Duration};

use anyhow::{Result, ensure};
use ostrakon_tests::{content, scenarios::Stage};

/// Exit code: the network does not answer, a retry may help.
const NETWORK: i32 = 5;
/// One more than the code 4/12 can lose.
const TOO_MANY: usize = 9;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let file = stage.cluster.files.join("to-add");
    let hash = content::write_file(&file, 100, 1_000_000)?;
    let added = stage.cluster.add(&file, &[])?;
    let holders = stage.cluster.holders(&added)?;
    let gone = stage.rng().some_of(&holders, TOO_MANY);
    stage.cluster.kill(&gone)?;

    let empty = stage.cluster.files.join("too-many");
    fs::create_dir(&empty)?;
    let out = empty.join("out");
    let outcome = stage.cluster.run(&["get".as_ref(), added.link.as_ref(), "-o".as_ref(), out.as_os_str()])?;
    outcome.expect_code(NETWORK)?;
    ensure!(outcome.took < Duration::from_secs(30), "it took {:?} to give up", outcome.took);
    let left: Vec<_> = fs::read_dir(&empty)?.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    ensure!(left.is_empty(), "a failed get left {left:?} behind");
    let counted = outcome.said().contains("9 of the 12 columns");
    ensure!(counted, "the message does not say how many columns are missing: {outcome}");

    // One holder back is enough.
    stage.cluster.revive(&gone[..1])?;
    stage.cluster.expect_read(&added.link, &hash)?;
    Ok(format!("{TOO_MANY} of 12 holders killed: refused after {:.1} s", outcome.took.as_secs_f32()))
}
