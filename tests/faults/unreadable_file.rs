//! A file that cannot be read: the add fails, leaves no journal, and no later command speaks of it.

use anyhow::{Result, ensure};
use ostrakon_tests::scenarios::Stage;

/// A plain file that not even root can read.
const UNREADABLE: &str = "/proc/sys/vm/compact_memory";

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let failed = stage.cluster.shell(&format!("ostrakon add {UNREADABLE}"))?;
    failed.expect_code(2)?;
    ensure!(failed.stderr.contains(UNREADABLE) && !failed.said().contains("resume"), "{failed}");
    let listed = stage.cluster.shell("ostrakon uploads ls")?;
    ensure!(listed.stderr.contains("there are no unfinished adds"), "{listed}");
    for command in ["ostrakon ls", "echo x > fine; ostrakon add fine"] {
        let outcome = stage.cluster.shell(command)?;
        outcome.expect_code(0)?;
        ensure!(!outcome.said().contains("unfinished"), "{outcome}");
    }
    Ok("a file without permission: exit code 2, no journal, no remark".to_owned())
}
