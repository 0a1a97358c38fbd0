//! `devnet up`: plans a network, writes it, starts its nodes and waits until they agree. Also how the demo gets one.

use std::path::Path;

use ostrakon::{Client, Height};
use rustix::fs::statvfs;

use super::{
    files::{self, Devnet, Held},
    plan::{NodeEntry, Plan, Shape},
    ports::Ports,
    process,
    watch::{self, Until},
};
use crate::{cmd, exit::Context, output::Output};

/// A devnet that runs.
#[derive(Debug)]
pub(crate) struct Up {
    /// The devnet.
    pub(crate) devnet: Devnet,
    /// The greatest height seen.
    pub(crate) height: Height,
    /// Keeps other commands away until it is up.
    _held: Held,
}

/// Makes a devnet of this shape in `dir`, which must be empty, and starts it. When that fails, no node is left running.
///
/// # Errors
/// When the directory is in use, no ports are free, or a node does not come up.
pub(crate) async fn up(dir: &Path, shape: Shape, out: &Output) -> crate::Result<Up> {
    let program = process::node_program()?;
    let (dir, held) = files::claim(dir, out)?;
    let mut ports = Ports::take(shape.nodes + shape.spares, || u64::from_le_bytes(cmd::random()))?;
    let mut plan = Plan::new(shape, &ports.numbers(), cmd::random);
    if shape.spares > 0 {
        // One who joins may offer no more than its disk has, and all are to be drawn alike.
        let disk = statvfs(&dir)
            .map_err(std::io::Error::from)
            .context(format_args!("cannot measure the disk of {}", dir.display()))?;
        plan.capacity = plan.capacity.min(disk.f_blocks.saturating_mul(disk.f_frsize));
    }
    let name = format!("devnet {}", hex::encode(cmd::random::<4>()));
    let genesis = plan.genesis(&name, ostrakon::now_ms());
    let devnet = Devnet::create(&dir, &plan, &genesis).context("cannot write the files of the devnet")?;
    for node in devnet.nodes.iter().filter(|node| node.validator) {
        process::note_new_validator(&program, &node.data_dir(&devnet.dir))?;
    }
    let client = devnet.client()?;
    let mut fallen = KillUnless { devnet: &devnet, came_up: false };
    let founders = devnet.founders();
    for node in &founders {
        ports.release(node.port);
        process::start(&program, &node.data_dir(&devnet.dir))?;
    }
    let height = watch::wait(&client, &devnet, &founders, Until::Advancing).await?;
    fallen.came_up = true;
    drop(fallen);
    Ok(Up { devnet, height, _held: held })
}

/// Starts those of `nodes` that do not run, and waits until they answer.
///
/// # Errors
/// When one does not come up.
pub(crate) async fn start(devnet: &Devnet, nodes: &[NodeEntry], client: &Client) -> crate::Result<()> {
    let program = process::node_program()?;
    let running = process::running();
    for data_dir in nodes.iter().map(|node| node.data_dir(&devnet.dir)).filter(|dir| !running.contains_key(dir)) {
        process::start(&program, &data_dir)?;
    }
    watch::wait(client, devnet, nodes, Until::Answering).await?;
    Ok(())
}

/// Kills what was started when the start is given up: by an error, or because its future is dropped.
#[derive(Debug)]
struct KillUnless<'a> {
    devnet: &'a Devnet,
    came_up: bool,
}

impl Drop for KillUnless<'_> {
    fn drop(&mut self) {
        if !self.came_up {
            process::kill_quietly(&self.devnet.data_dirs());
        }
    }
}
