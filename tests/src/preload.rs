//! Nodes whose C library is changed under them by a shim of `tests/preload`: a slow disk, a wrong clock.
//!
//! In comes a node of a running network, out it comes again with the shim in its process. The shims are compiled with
//! the machine's C compiler, which RocksDB needs too.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{cluster::Cluster, process::Running};

/// How long compiling a shim, or starting a node, may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shim, and the variable that says how much it changes.
#[derive(Clone, Copy, Debug)]
pub struct Shim {
    name: &'static str,
    variable: &'static str,
}

/// Each sync takes so many microseconds longer.
pub const SLOW_DISK: Shim = Shim { name: "slow_disk", variable: "SLOW_DISK_US" };
/// The time of day is so many seconds ahead.
pub const CLOCK: Shim = Shim { name: "clock", variable: "CLOCK_AHEAD_S" };

/// Ends the node of this index, as `kill -9` does, and starts it again with the shim, by so much.
///
/// # Errors
/// When the shim does not compile, or the node does not start with it.
pub fn restart(cluster: &Cluster, index: usize, shim: Shim, much: i64) -> Result<()> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/preload");
    let library = cluster.files.join(format!("{}.so", shim.name));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library);
    compiler.arg(format!("{source}/{}.c", shim.name)).arg("-ldl");
    Running::spawn(compiler, Stdio::null())?.wait(PATIENCE)?.expect_code(0)?;

    cluster.kill(&[index])?;
    let mut start = Command::new(cluster.client());
    start.args(["--json", "devnet", "start", &index.to_string(), "--dir"]).arg(cluster.directory());
    start.env("LD_PRELOAD", &library).env(shim.variable, much.to_string());
    Running::spawn(start, Stdio::null())?.wait(PATIENCE)?.expect_code(0)?;

    let now = cluster.status()?.nodes.into_iter().find(|node| node.index == index);
    let pid = now.and_then(|node| node.pid).context("the node runs again")?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let is_loaded = library.file_name().is_some_and(|name| maps.contains(&*name.to_string_lossy()));
    ensure!(is_loaded, "{} was not preloaded into process {pid}", shim.name);
    Ok(())
}
