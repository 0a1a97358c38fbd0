//! A devnet on disk: `devnet.toml`, the nodes' data directories and the profile.
//!
//! Writes what [`super::plan`] planned, reads it back, and keeps two commands from changing one devnet concurrently.
//! Which nodes run is asked of the system, never stored.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use ostrakon::{Client, Error, ErrorKind, Genesis, Profile, Protection, PublicProfile, Seed, key_file};
use serde::{Deserialize, Serialize};

use super::plan::{NODE_KEY, NodeEntry, Plan, PlannedNode};
use crate::{
    exit::{Context, other, usage},
    output::Output,
};

const STATE: &str = "devnet.toml";
const LOCK: &str = "devnet.lock";

/// A devnet that is on disk.
#[derive(Debug)]
pub(crate) struct Devnet {
    /// Its directory, absolute.
    pub(crate) dir: PathBuf,
    /// Its nodes, by index.
    pub(crate) nodes: Vec<NodeEntry>,
}

/// What `devnet.toml` says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    nodes: Vec<NodeEntry>,
}

/// The lock on a devnet; dropping it unlocks.
#[derive(Debug)]
pub(crate) struct Held {
    _lock: File,
}

impl Devnet {
    /// Writes `plan` into the empty directory `dir`.
    ///
    /// # Errors
    /// When something cannot be written.
    pub(crate) fn create(dir: &Path, plan: &Plan, genesis: &Genesis) -> crate::Result<Self> {
        let genesis_text = toml::to_string(genesis).map_err(other)?;
        for node in &plan.nodes {
            write_node(&node.entry.data_dir(dir), node, (&genesis_text, plan.capacity))?;
        }
        private_dir(&dir.join("profile"))?;
        Profile::init_with(dir.join("profile"), genesis, &plan.account, &Protection::None)?;
        let nodes: Vec<NodeEntry> = plan.nodes.iter().map(|node| node.entry.clone()).collect();
        let state = State { nodes };
        // Last: a directory with this file is a whole devnet.
        write_file(&dir.join(STATE), &toml::to_string(&state).map_err(other)?)?;
        Ok(Self { dir: dir.to_owned(), nodes: state.nodes })
    }

    /// The devnet in `dir`.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn open(dir: &Path) -> crate::Result<Self> {
        let none = || {
            let dir = dir.display();
            Error::new(
                ErrorKind::NotFound,
                format!("{dir} has no devnet: create one with `ostrakon devnet up --dir {dir}`"),
            )
        };
        let dir = fs::canonicalize(dir).map_err(|_| none())?;
        let path = dir.join(STATE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(none()),
            read => read.context(format_args!("cannot read {}", path.display()))?,
        };
        let damaged = format!("{} is damaged: delete its directory and create the devnet again", path.display());
        let state: State = toml::from_str(&text).map_err(other).context(damaged)?;
        Ok(Self { dir, nodes: state.nodes })
    }

    /// Those of its nodes that are in the genesis.
    pub(crate) fn founders(&self) -> Vec<NodeEntry> {
        self.nodes.iter().filter(|node| !node.spare).cloned().collect()
    }

    /// Those that are not: one joins when it is started.
    pub(crate) fn spares(&self) -> Vec<NodeEntry> {
        self.nodes.iter().filter(|node| node.spare).cloned().collect()
    }

    /// The profile of its account.
    pub(crate) fn profile(&self) -> PathBuf {
        self.dir.join("profile")
    }

    /// A client of it that only reads.
    ///
    /// # Errors
    /// When the profile cannot be read, or the network cannot be started.
    pub(crate) fn client(&self) -> crate::Result<Client> {
        Ok(PublicProfile::open(self.profile())?.connect()?)
    }

    /// The data directories of all nodes.
    pub(crate) fn data_dirs(&self) -> Vec<PathBuf> {
        self.nodes.iter().map(|node| node.data_dir(&self.dir)).collect()
    }

    /// The nodes of these indexes, each once.
    ///
    /// # Errors
    /// When an index is too high.
    pub(crate) fn pick(&self, indexes: &[u16]) -> crate::Result<Vec<&NodeEntry>> {
        if let Some(wrong) = indexes.iter().find(|index| usize::from(**index) >= self.nodes.len()) {
            let last = self.nodes.len().saturating_sub(1);
            return Err(usage(format!("node {wrong} does not exist: this devnet has nodes 0 to {last}")));
        }
        Ok(self.nodes.iter().filter(|node| indexes.contains(&node.index)).collect())
    }

    /// Deletes what the node of this data directory stored and knows of the ledger; its keys and settings stay.
    ///
    /// # Errors
    /// When something cannot be deleted.
    pub(crate) fn wipe(data_dir: &Path) -> crate::Result<()> {
        // Without its list of volumes the node makes a new store, and does not report the old one as missing.
        let list = data_dir.join("volumes.toml");
        let lost = [data_dir.join("store"), data_dir.join("chain")].map(|path| (fs::remove_dir_all(&path), path));
        for (removed, path) in lost.into_iter().chain([(fs::remove_file(&list), list)]) {
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).context(format_args!("cannot delete {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Makes the directory for a new devnet, takes it, and returns its absolute path.
///
/// # Errors
/// When it is not empty.
pub(crate) fn claim(dir: &Path, out: &Output) -> crate::Result<(PathBuf, Held)> {
    private_dir(dir)?;
    let dir = fs::canonicalize(dir).context(format_args!("cannot resolve the path {}", dir.display()))?;
    let held = hold(&dir, out)?;
    let entries = fs::read_dir(&dir).context(format_args!("cannot read {}", dir.display()))?;
    let used = entries.flatten().any(|entry| entry.file_name() != LOCK);
    match (used, dir.join(STATE).is_file()) {
        (false, _) => Ok((dir, held)),
        (true, true) => Err(usage(format!(
            "{0} already holds a devnet: start it again with `ostrakon devnet start --dir {0}`, or stop it with \
             `ostrakon devnet down --dir {0}` and delete the directory",
            dir.display()
        ))),
        (true, false) => Err(usage(format!("{} is not empty: choose another directory, or empty it", dir.display()))),
    }
}

/// Waits for other commands that change this devnet, and keeps more of them out.
///
/// # Errors
/// When the lock file cannot be made.
pub(crate) fn hold(dir: &Path, out: &Output) -> crate::Result<Held> {
    let path = dir.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.context(format_args!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(Held { _lock: file }),
        Err(TryLockError::WouldBlock) => out.words("waiting for another command on this devnet to finish"),
        Err(TryLockError::Error(error)) => {
            return Err(error).context(format_args!("cannot lock {}", path.display()));
        }
    }
    file.lock().context(format_args!("cannot lock {}", path.display()))?;
    Ok(Held { _lock: file })
}

/// One node's data directory, as `ostrakon-node run --dir` wants it.
fn write_node(dir: &Path, node: &PlannedNode, (genesis, capacity): (&str, u64)) -> crate::Result<()> {
    private_dir(dir)?;
    write_file(&dir.join("node.toml"), &super::plan::node_toml(&node.entry, capacity).map_err(other)?)?;
    write_file(&dir.join("genesis.toml"), genesis)?;
    key_file::write(dir.join(NODE_KEY), &Seed::from(node.key.seed()))?;
    if let Some(seed) = &node.validator {
        key_file::write(dir.join("validator.key"), &Seed::new(*seed))?;
    }
    Ok(())
}

fn private_dir(path: &Path) -> crate::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.context(format_args!("cannot create the directory {}", path.display()))
}

fn write_file(path: &Path, text: &str) -> crate::Result<()> {
    fs::write(path, text).context(format_args!("cannot write {}", path.display()))
}
