//! A log that grows while it is added: what it had at first is stored, and that is said. Empty stdin: stored, and said.

use anyhow::{Result, ensure};
use ostrakon_tests::scenarios::Stage;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let script = "head -c 3000000 /dev/urandom > log
        (while sleep 0.02; do echo line >> log; done) & writer=$!
        ostrakon add log --limit-upload 5M > link; code=$?
        kill $writer
        ostrakon -q get $(cat link) -o start && cmp -n $(stat -c %s start) start log || exit 99
        test $(stat -c %s start) -lt $(stat -c %s log) || exit 98
        exit $code";
    let grown = stage.cluster.shell(script)?;
    grown.expect_code(0)?;
    ensure!(grown.stderr.contains("grew while it was added"), "{grown}");
    let empty = stage.cluster.shell("ostrakon add - < /dev/null > empty; ostrakon -q cat $(cat empty)")?;
    empty.expect_code(0)?;
    ensure!(empty.stdout.is_empty() && empty.stderr.contains("the input was empty"), "{empty}");
    Ok("a log that grew 50 times a second; stdin without a byte".to_owned())
}
