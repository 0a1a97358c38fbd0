//! `cat` and `get -o -` whose reader goes away: quiet, and the exit code of a command that SIGPIPE ended.

use anyhow::{Result, ensure};
use ostrakon_tests::scenarios::Stage;

/// 128 and SIGPIPE.
const PIPE: i32 = 141;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let script = |command: &str| {
        format!(
            "mkdir -p tree && head -c 30000000 /dev/zero > tree/large
            link=$(ostrakon -q add tree/large); all=$(ostrakon -q add tree)
            {command} | head -c 1 > /dev/null
            exit ${{PIPESTATUS[0]}}"
        )
    };
    let commands = [
        "ostrakon cat \"$link\"",
        "ostrakon -q cat \"$link\"",
        "ostrakon get \"$link\" -o -",
        "ostrakon get \"$link\" -o /dev/stdout",
        "ostrakon cat \"$all/large\"",
        "ostrakon get \"$all/large\" -o - --range 5-",
        "ostrakon --json cat \"$link\"",
    ];
    for command in commands {
        let outcome = stage.cluster.shell(&script(command))?;
        outcome.expect_code(PIPE)?;
        ensure!(outcome.stderr.is_empty(), "not quiet: {outcome}");
    }
    Ok(format!("{} ways to write to a pipe that is closed", commands.len()))
}
