//! A data directory on a disk that is mounted read-only, as the system does after errors: the node names the reason and
//! the directory. Only root can mount; without that, nothing is tried.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Result;
use ostrakon_tests::{
    own_node::{OwnNode, expect_refusal},
    process::Running,
    scenarios::Stage,
};

const LIMIT: Duration = Duration::from_secs(60);

/// In a mount namespace of its own: nobody else sees the disk as read-only.
const SCRIPT: &str =
    "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" || exit 99; exec \"$0\" run --dir \"$1\"";

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (files, program) = (&stage.cluster.files, &stage.cluster.binaries.node);
    let node = OwnNode::init(program, files.join("read-only"), &stage.cluster.profile().join("genesis.toml"))?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-c", SCRIPT]).arg(program).arg(&node.dir);
    let outcome = Running::spawn(command, Stdio::null())?.wait(LIMIT)?;
    if outcome.code == Some(99) || outcome.stderr.contains("unshare failed") {
        return Ok("not tried: mounting needs root".to_owned());
    }
    expect_refusal(&outcome, &["mounted read-only", &node.dir.to_string_lossy()])?;
    Ok("refused, with the directory and the reason".to_owned())
}
