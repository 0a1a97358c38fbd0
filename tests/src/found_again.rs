//! Founds a devnet again, with another genesis: for networks that `devnet up` cannot make.

use std::{fs, io, path::Path, time::Duration};

use anyhow::Result;
use ostrakon_node::chain::order::sign_state;

use crate::cluster::{Cluster, until};

const LIMIT: Duration = Duration::from_secs(60);
/// Nodes that start at a time: each reads all of the genesis.
const STARTING: usize = 10;

impl Cluster {
    /// Stops all nodes, and starts them without what they stored, with the genesis that `change` makes of the old one.
    ///
    /// # Errors
    /// When a node does not start, or the network makes no block.
    pub fn found_again(&self, change: impl FnOnce(&str) -> Result<String>) -> Result<()> {
        let nodes = self.status()?.nodes;
        let all: Vec<usize> = nodes.iter().map(|node| node.index).collect();
        self.kill(&all)?;
        self.wipe(&all)?;
        let file = self.profile().join("genesis.toml");
        let genesis = change(&fs::read_to_string(&file)?)?;
        for node in &nodes {
            fs::write(node.data_dir.join("genesis.toml"), &genesis)?;
            if node.validator {
                // What it signed on the chain that was.
                forget(&node.data_dir.join("consensus.wal"))?;
                forget(&node.data_dir.join("sign-state"))?;
                sign_state::begin(&node.data_dir.join("sign-state"))?;
            }
        }
        fs::write(file, &genesis)?;
        forget(&self.profile().join("trust"))?;
        all.chunks(STARTING).try_for_each(|some| self.revive(some))?;
        until("the network has blocks", LIMIT, || Ok(self.status()?.height > Some(0)))
    }
}

/// Deletes a file that may be missing.
fn forget(file: &Path) -> io::Result<()> {
    fs::remove_file(file).or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
