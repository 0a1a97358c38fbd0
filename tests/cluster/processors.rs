//! Other processors, emulated: one without AVX2 is refused; aarch64 adds and gets. `make aarch64` installs
//! the emulator and builds the client.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::{Added, Cluster},
    content,
    process::{Outcome, Running},
    scenarios::Stage,
};

/// The last before AVX2.
const OLD: [&str; 3] = ["qemu-x86_64", "-cpu", "Nehalem"];
const ARM: [&str; 3] = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"];
const BYTES: u64 = 8 * 1024 * 1024;
/// Emulated, everything takes many times as long.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let cluster = &stage.cluster;
    let (file, out) = (cluster.files.join("from-arm"), cluster.files.join("to-arm"));
    let hash = content::write_file(&file, 301, BYTES)?;

    let refused = client(cluster, &OLD, &cluster.binaries.client, &["add".as_ref(), &file])?;
    ensure!(refused.code == Some(1) && refused.said().contains("lacks AVX2"), "{refused}");
    let first = cluster.status()?.nodes.into_iter().next().context("a network has nodes")?;
    let node = &cluster.binaries.node;
    let run = emulated(&OLD, node, Command::new(node).args(["run", "--dir"]).arg(&first.data_dir));
    let refused = Running::spawn(run, Stdio::null())?.wait(PATIENCE)?;
    ensure!(refused.code == Some(1) && refused.said().contains("lacks AVX2"), "{refused}");

    let target = cluster.binaries.client.ancestors().nth(2).context("commands lie in a target directory")?;
    let arm = target.join("aarch64-unknown-linux-gnu/release/ostrakon");
    ensure!(arm.exists(), "{} is not there: `make aarch64` builds it", arm.display());
    let added: Added = client(cluster, &ARM, &arm, &["add".as_ref(), &file])?.json()?;
    cluster.expect_read(&added.link, &hash)?;
    let link = cluster.files.join("link");
    fs::write(&link, &added.link)?;
    // A link on the command line makes the client start itself again, which this emulator does not do.
    let got = client(cluster, &ARM, &arm, &["get".as_ref(), "--link-file".as_ref(), &link, "-o".as_ref(), &out])?;
    got.expect_code(0)?;
    ensure!(content::hash_file(&out)? == hash, "WRONG BYTES from {got}");
    let seconds = got.took.as_secs_f32();
    Ok(format!(
        "client and node refuse one without AVX2; aarch64 added 8 MiB, and got them in {seconds:.1} s, emulated"
    ))
}

/// The client at `program`, emulated, with the network's profile.
fn client(cluster: &Cluster, emulator: &[&str], program: &Path, args: &[&Path]) -> Result<Outcome> {
    let mut command = cluster.command();
    command.arg("--json").args(args);
    Running::spawn(emulated(emulator, program, &command), Stdio::null())?.wait(PATIENCE)
}

/// The command that runs `program` in the emulator, with the arguments and the environment of `like`.
fn emulated(emulator: &[&str], program: &Path, like: &Command) -> Command {
    let mut command = Command::new(emulator[0]);
    command.args(&emulator[1..]).arg(program).args(like.get_args());
    for (name, value) in like.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}
