//! Nodes that were down while the account was busy, and start again: `add --all` waits until they caught up.

use anyhow::Result;
use ostrakon_tests::scenarios::Stage;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let down: Vec<usize> =
        stage.cluster.status()?.nodes.iter().filter(|node| !node.validator).map(|node| node.index).take(3).collect();
    stage.cluster.kill(&down)?;
    let script = "for i in $(seq 20); do echo $i > busy-$i; done; ostrakon -q add busy-* --parallel 8 > links";
    stage.cluster.shell(script)?.expect_code(0)?;
    stage.cluster.revive(&down)?;
    stage.cluster.shell("echo all > whole; ostrakon add --all whole")?.expect_code(0)?;
    Ok("three of fourteen nodes were 20 transactions behind".to_owned())
}
