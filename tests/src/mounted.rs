//! A node with disks of its own: images of file systems, mounted in a mount namespace that ends with the node.
//!
//! In comes a node of a running network, which is started again with the disks that a scenario names. Nobody else sees
//! the mounts: outside, a mount point shows what is under it. Whatever happens, the system removes mounts and loop
//! devices when the node has ended. Only root can mount.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{
    cluster::{Cluster, NodeInfo, NodeStatus, Shape, until},
    content,
    process::{Daemon, Outcome, Running},
};

/// No command and no start takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// Bytes of a disk; the image is sparse.
const DISK: u64 = 256 << 20;

/// The network of such a node: of an object with code 2/4 each node has a column, and two of them restore it.
const SHAPE: Shape = Shape { nodes: 4, domains: 4, validators: 1 };

/// Mounts pairs of image and mount point, and becomes the command after them.
const MOUNT: &str = "n=$0; while [ $n -gt 0 ]; do mount -o loop \"$1\" \"$2\" || exit 99; shift 2; n=$((n - 1)); done; \
                     exec \"$@\"";

/// A disk, and where it is mounted when it is.
#[derive(Debug)]
pub struct LoopDisk {
    image: PathBuf,
    /// Its mount point.
    pub at: PathBuf,
}

impl LoopDisk {
    fn new(image: PathBuf, at: PathBuf) -> Result<Self> {
        Self::of_size(image, at, DISK)
    }

    /// A new ext4 of so many bytes in the file `image`, to be mounted at `at`, which becomes an empty directory.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn of_size(image: PathBuf, at: PathBuf, bytes: u64) -> Result<Self> {
        File::create(&image)?.set_len(bytes)?;
        let mut mkfs = Command::new("mkfs.ext4");
        mkfs.arg("-q").arg(&image);
        Running::spawn(mkfs, Stdio::null())?.wait(LIMIT)?.expect_code(0)?;
        fs::create_dir_all(&at)?;
        Ok(Self { image, at })
    }

    /// Fails unless nothing is under the mount point.
    ///
    /// # Errors
    /// What is there.
    pub fn expect_nothing_under(&self) -> Result<()> {
        let entries: Vec<_> =
            fs::read_dir(&self.at)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        ensure!(entries.is_empty(), "this was written under the mount point: {entries:?}");
        Ok(())
    }

    /// Whether a loop device still has it.
    fn is_attached(&self) -> Result<bool> {
        let mut losetup = Command::new("losetup");
        losetup.arg("-j").arg(&self.image);
        Ok(!Running::spawn(losetup, Stdio::null())?.wait(LIMIT)?.stdout.is_empty())
    }
}

/// Whether this process may mount: `directory` gets an image to try it with.
///
/// # Errors
/// When the image cannot be made.
pub fn is_permitted(directory: &Path) -> Result<bool> {
    if !rustix::process::getuid().is_root() {
        return Ok(false);
    }
    let disk = LoopDisk::new(directory.join("tried.img"), directory.join("tried"))?;
    let tried = Running::spawn(with_disks(&[&disk], Path::new("true")), Stdio::null())?.wait(LIMIT)?;
    Ok(tried.code == Some(0))
}

/// `program` in a mount namespace with these disks.
pub fn with_disks(disks: &[&LoopDisk], program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-c", MOUNT, &disks.len().to_string()]);
    command.args(disks.iter().flat_map(|disk| [&disk.image, &disk.at])).arg(program);
    command
}

/// Runs a script by `bash` where a daemon sees its disks; `$0` is the mount point of `disk`.
///
/// # Errors
/// When it cannot be run.
pub fn inside(daemon: &Daemon, disk: &LoopDisk, script: &str) -> Result<Outcome> {
    let mut command = Command::new("nsenter");
    command.arg(format!("--mount=/proc/{}/ns/mnt", daemon.pid())).args(["bash", "-c", script]).arg(&disk.at);
    Running::spawn(command, Stdio::null())?.wait(LIMIT)
}

/// A node of a network that is run with disks of its own.
#[derive(Debug)]
pub struct MountedNode<'a> {
    /// Its network.
    pub cluster: &'a Cluster,
    /// The node.
    pub node: NodeInfo,
    daemon: Option<Daemon>,
}

/// Runs a scenario on a node of a network of its own, which has a disk for its store and is not started yet.
///
/// # Errors
/// When the network does not start, a disk cannot be made, or the scenario fails.
pub fn on_disk(scenario: impl FnOnce(MountedNode<'_>, LoopDisk) -> Result<String>) -> Result<String> {
    let cluster = Cluster::start(SHAPE)?;
    let Some(node) = MountedNode::last_of(&cluster)? else { return Ok("not tried: mounting needs root".to_owned()) };
    let disk = node.disk("store")?;
    scenario(node, disk)
}

/// An object of which every node has a column.
#[derive(Debug)]
pub struct SpreadFile {
    /// What reads it.
    pub link: String,
    /// The hash of its bytes.
    pub hash: blake3::Hash,
}

impl<'a> MountedNode<'a> {
    /// The last node of a network of [`SHAPE`], ended as `kill -9` does, without what it stored; `None` where nothing
    /// can be mounted.
    fn last_of(cluster: &'a Cluster) -> Result<Option<Self>> {
        if !is_permitted(&cluster.files)? {
            return Ok(None);
        }
        let node = cluster.status()?.nodes.pop().context("a network has nodes")?;
        cluster.kill(&[node.index])?;
        fs::remove_dir_all(node.data_dir.join("store"))?;
        fs::remove_file(node.data_dir.join("volumes.toml"))?;
        // A devnet leaves more free than these disks have.
        let settings = node.data_dir.join("node.toml");
        let text = fs::read_to_string(&settings)?;
        let others: Vec<&str> = text.lines().filter(|line| !line.starts_with("disk_reserve_bytes")).collect();
        fs::write(&settings, others.join("\n"))?;
        Ok(Some(Self { cluster, node, daemon: None }))
    }

    /// A new disk for the directory `at`, relative to the node's.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn disk(&self, at: &str) -> Result<LoopDisk> {
        LoopDisk::new(self.cluster.files.join(format!("{at}.img")), self.node.data_dir.join(at))
    }

    /// Adds a file, of which each node stores a column; waits until this one's is committed.
    ///
    /// # Errors
    /// When a node takes none.
    pub fn store(&self, seed: u64) -> Result<SpreadFile> {
        let (file, before) = (self.cluster.files.join("on-all"), self.status()?.columns);
        let hash = content::write_file(&file, seed, 1_000_000)?;
        let added = self.cluster.add(&file, &["--code", "2/4", "--all"])?;
        until("the column is counted", LIMIT, || Ok(self.status()?.columns > before))?;
        Ok(SpreadFile { link: added.link, hash })
    }

    /// Adds a file, of which some nodes store a column; whether this one does.
    ///
    /// # Errors
    /// When the network does not take it, or does not return it.
    pub fn takes(&self, seed: u64) -> Result<bool> {
        let file = self.cluster.files.join("on-some");
        let hash = content::write_file(&file, seed, 300_000)?;
        let added = self.cluster.add(&file, &["--code", "1/2"])?;
        self.cluster.expect_read(&added.link, &hash)?;
        Ok(added.slots.iter().any(|slot| slot.provider == self.node.provider))
    }

    /// Fails unless it serves its columns of these: so many others are dead that they are needed.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn expect_served(&self, stored: &[&SpreadFile]) -> Result<()> {
        let nodes = self.cluster.status()?.nodes;
        let others = nodes.iter().filter(|node| !node.validator && node.index != self.node.index);
        let others: Vec<usize> = others.map(|node| node.index).collect();
        self.cluster.kill(&others)?;
        stored.iter().try_for_each(|stored| self.cluster.expect_read(&stored.link, &stored.hash).map(drop))?;
        self.cluster.revive(&others)
    }

    /// Waits until it has more blocks than now.
    ///
    /// # Errors
    /// When it does not get them.
    pub fn expect_blocks(&self) -> Result<()> {
        let height = self.status()?.height;
        until("the node has more blocks", LIMIT, || Ok(self.status()?.height > height))
    }

    /// Waits until its volumes are in these states.
    ///
    /// # Errors
    /// When they do not get there.
    pub fn expect_volumes(&self, states: &[&str]) -> Result<()> {
        until(&format!("its volumes are {states:?}"), LIMIT, || {
            Ok(self.status()?.space.volumes.iter().map(|volume| volume.state.as_str()).eq(states.iter().copied()))
        })
        .with_context(|| format!("{:?}", self.status()))
    }

    /// Waits until the ledger counts on so many columns that it does not have.
    ///
    /// # Errors
    /// When it reports others.
    pub fn expect_missing(&self, columns: u64) -> Result<()> {
        until(&format!("{columns} columns are missing"), LIMIT, || {
            Ok(self.status()?.space.missing.is_some_and(|missing| missing.columns == columns))
        })
        .with_context(|| format!("{:?}", self.status()))
    }

    /// Ends it, as `kill -9` does, and waits until the disks are free.
    ///
    /// # Errors
    /// When they stay in use.
    pub fn stop(&mut self, disks: &[&LoopDisk]) -> Result<()> {
        self.daemon = None;
        until("the disks are free", LIMIT, || {
            disks.iter().map(|disk| disk.is_attached()).try_fold(true, |free, attached| Ok(free & !attached?))
        })
    }

    /// Starts it with these disks mounted, and waits until it has all blocks.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(&mut self, disks: &[&LoopDisk]) -> Result<()> {
        let mut command = with_disks(disks, &self.cluster.binaries.node);
        command.arg("run").arg("--dir").arg(&self.node.data_dir);
        let since = self.status()?.space.updated_ms;
        self.daemon = Some(Daemon::start(command, &self.log_path())?);
        until("the node has all blocks", LIMIT, || {
            let status = self.status()?;
            Ok(status.space.updated_ms > since && status.synced)
        })
        .with_context(|| self.log().unwrap_or_default())
    }

    /// What `ostrakon-node status` prints of it.
    ///
    /// # Errors
    /// When the command fails.
    pub fn status(&self) -> Result<NodeStatus> {
        self.cluster.binaries.node_status(&self.node.data_dir)
    }

    /// Runs `ostrakon-node ARGS --dir ..` with these disks mounted, beside the node or not.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn operate<S: AsRef<OsStr>>(&self, disks: &[&LoopDisk], args: &[S]) -> Result<Outcome> {
        let mut command = with_disks(disks, &self.cluster.binaries.node);
        command.args(args).arg("--dir").arg(&self.node.data_dir);
        Running::spawn(command, Stdio::null())?.wait(LIMIT)
    }

    /// Runs a script by `bash` where the running node sees its disks; `$0` is the mount point of `disk`.
    ///
    /// # Errors
    /// When the node does not run, or the script fails.
    pub fn inside(&self, disk: &LoopDisk, script: &str) -> Result<()> {
        inside(self.daemon.as_ref().context("the node runs")?, disk, script)?.expect_code(0).map(drop)
    }

    /// Waits until its log has `text`.
    ///
    /// # Errors
    /// When it does not get it.
    pub fn logs(&self, text: &str) -> Result<()> {
        until(&format!("the log has {text:?}"), LIMIT, || Ok(self.log()?.contains(text)))
    }

    fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.log_path())?)
    }

    fn log_path(&self) -> PathBuf {
        self.node.data_dir.join("node.log")
    }
}
