//! What an add prints for people is short, right and said once.

use anyhow::{Result, ensure};
use ostrakon_tests::scenarios::Stage;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let script = "mkdir -p one; echo x > one/x; echo tiny > tiny
        ostrakon add tiny > link; ostrakon add one >> link";
    let outcome = stage.cluster.shell(script)?;
    outcome.expect_code(0)?;
    // Until there is a backup, every add ends with a line about that.
    let lines: Vec<&str> = outcome.stderr.lines().filter(|line| !line.starts_with("no backup yet")).collect();
    ensure!(lines.len() == 2 && lines.iter().all(|line| line.len() <= 130), "{outcome}");
    ensure!(lines[0].starts_with("5 B in ") && lines[1].starts_with("1 entry, "), "{outcome}");
    for wrong in ["1 entries", "0.0 MB/s", "0.0 MiB/s", "restore it"] {
        ensure!(!outcome.stderr.contains(wrong), "{wrong}: {outcome}");
    }
    Ok("a file of 5 bytes, and a directory of one entry".to_owned())
}
