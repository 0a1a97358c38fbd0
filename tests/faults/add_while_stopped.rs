//! A client is stopped for longer than any time limit in the middle of an add, and continued: it finishes, with holders
//! that were well all the time.

use anyhow::{Result, ensure};
use ostrakon_tests::{
    content,
    scenarios::{Stage, size},
};

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (seconds, file) = (size(80, 45), stage.cluster.files.join("stopped"));
    content::write_file(&file, 920, 20_000_000)?;
    let script = format!(
        "ostrakon add stopped --limit-upload 10M > link 2> said & add=$!
        until ostrakon --json uploads ls | grep -q '\"read_bytes\":[1-9]'; do sleep 0.1; done
        kill -STOP $add; sleep {seconds}; kill -CONT $add
        wait $add || {{ cat said >&2; exit 1; }}
        cat said >&2; ostrakon -q get $(cat link) -o back && cmp stopped back && rm stopped back"
    );
    let outcome = stage.cluster.shell(&script)?;
    outcome.expect_code(0)?;
    ensure!(!outcome.said().contains("another holder"), "holders are blamed for it: {outcome}");
    Ok(format!("an add that was stopped for {seconds} s"))
}
