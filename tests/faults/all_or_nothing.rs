//! `add --all` with holders missing stores nothing and exits with 5; exit code 7 always comes with a link.

use anyhow::{Result, ensure};
use ostrakon_tests::scenarios::Stage;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let gone: Vec<usize> =
        stage.cluster.status()?.nodes.iter().filter(|node| !node.validator).map(|node| node.index).take(4).collect();
    stage.cluster.kill(&gone)?;
    let before = stage.cluster.shell("ostrakon ls")?.stdout;
    let refused = stage.cluster.shell("echo all > all; ostrakon add --all all")?;
    refused.expect_code(5)?;
    ensure!(refused.stdout.is_empty() && refused.stderr.contains("nothing was stored"), "{refused}");
    ensure!(stage.cluster.shell("ostrakon ls")?.stdout == before, "something was stored");
    let left = stage.cluster.shell("ostrakon uploads ls")?;
    ensure!(left.stdout.is_empty(), "{left}");
    let partial = stage.cluster.shell("mkdir -p part; echo x > part/x; mkfifo part/fifo; ostrakon add part")?;
    partial.expect_code(7)?;
    ensure!(partial.stdout.starts_with(b"ostrakon:") && partial.stderr.contains("fifo"), "{partial}");
    Ok("four holders gone: --all exits with 5 and stores nothing; 7 came with a link".to_owned())
}
