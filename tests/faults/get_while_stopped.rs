//! A client is stopped for longer than any time limit in the middle of a get, and continued: it finishes, from holders
//! that were well all the time.

use anyhow::{Result, ensure};
use ostrakon_tests::{
    content,
    scenarios::{Stage, size},
};

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (seconds, file) = (size(80, 45), stage.cluster.files.join("source"));
    content::write_file(&file, 910, 60_000_000)?;
    let script = format!(
        "link=$(ostrakon -q add source)
        ostrakon get \"$link\" -o out --limit-download 10M & get=$!
        until [ \"$(stat -c %b .ostrakon-*.part 2>/dev/null || echo 0)\" -gt 20000 ]; do sleep 0.01; done
        kill -STOP $get; sleep {seconds}; kill -CONT $get
        wait $get || exit
        cmp source out && rm source out"
    );
    let outcome = stage.cluster.shell(&script)?;
    outcome.expect_code(0)?;
    ensure!(!outcome.said().contains("failed:"), "holders are blamed for it: {outcome}");
    Ok(format!("a get that was stopped for {seconds} s"))
}
