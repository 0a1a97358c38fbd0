//! An add and a get are stopped halfway for longer than any time limit, and continued: both finish, with holders that
//! were well all the time.

use std::thread;

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    content,
    scenarios::{Stage, size},
};

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let seconds = size(80, 45);
    thread::scope(|scope| {
        let adding = scope.spawn(|| add(stage, seconds));
        get(stage, seconds)?;
        adding.join().ok().context("the thread of the add panicked")?
    })?;
    Ok(format!("an add and a get that were stopped for {seconds} s"))
}

fn add(stage: &Stage, seconds: u64) -> Result<()> {
    content::write_file(&stage.cluster.files.join("stopped"), 920, 20_000_000)?;
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
    Ok(())
}

fn get(stage: &Stage, seconds: u64) -> Result<()> {
    content::write_file(&stage.cluster.files.join("source"), 910, 60_000_000)?;
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
    Ok(())
}
