//! Nodes that were down while the account was busy, and start again: an add of all columns begins while they start, and
//! is never refused since they do not know its draw yet.

use anyhow::{Result, ensure};
use ostrakon_tests::scenarios::Stage;

/// Transactions that the nodes lack: what was refused at first were draws of more than 16.
const BUSY: usize = 90;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let nodes = stage.cluster.status()?.nodes;
    let down: Vec<usize> = nodes.iter().filter(|node| !node.validator).map(|node| node.index).take(3).collect();
    stage.cluster.kill(&down)?;
    let busy = format!("for i in $(seq {BUSY}); do echo $i > busy-$i; done");
    let script = format!("{busy}; ostrakon -q add busy-* --parallel 16 > links");
    stage.cluster.shell(&script)?.expect_code(0)?;
    let starting = down.iter().map(|index| format!(" {index}")).collect::<String>();
    let net = stage.cluster.directory().display().to_string();
    let start = format!("ostrakon devnet start{starting} --dir '{net}' & ");
    let add =
        "for try in $(seq 50); do ostrakon add --all whole; code=$?; [ $code = 5 ] || exit $code; done; exit $code";
    let added = stage.cluster.shell(&format!("echo all > whole; {start}{add}"))?;
    stage.cluster.revive(&[])?;
    added.expect_code(0)?;
    ensure!(!refused(&added.stderr), "an add failed since holders do not know its draw yet: {added}");
    Ok(format!("three of fourteen nodes were {BUSY} transactions behind, and had just started"))
}

/// Whether an add that failed gives a draw as the reason. That a column moved to another holder is no failure.
fn refused(stderr: &str) -> bool {
    let reasons = stderr.lines().filter(|line| line.starts_with("  column "));
    reasons.filter(|line| line.contains("draw nonce")).count() > 0
}
