//! A devnet with a profile and a directory for files, driven through the real commands and seen only through their
//! output.
//!
//! In come the binaries beside the running test; out come the results of commands, with their exit codes, times and
//! peaks of memory. Nothing in here knows how a node works: what the commands do not print, the scenarios find on disk.

use std::{
    ffi::{OsStr, OsString},
    fs,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use ostrakon_proto::{
    id::{AccountId, NodeId},
    params::Code,
    sign::Keypair,
};
use serde::Deserialize;

use crate::process::without_profile;
pub use crate::{
    devnet::{Devnet, NetworkInfo, NodeInfo, Shape},
    process::{Outcome, Running, until},
    scenarios::is_long,
};

/// No command of a scenario takes longer, unless the scenario sets its own limit.
const PATIENCE: Duration = Duration::from_secs(120);

/// The two commands, beside the test that runs.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// `ostrakon`
    pub client: PathBuf,
    /// `ostrakon-node`
    pub node: PathBuf,
    /// `lying-node`: the same, which makes false claims.
    pub liar: PathBuf,
    /// Where the examples are, if they are built.
    pub examples: PathBuf,
    /// Where large temporary files may lie: on the disk of the build.
    pub scratch: PathBuf,
}

impl Binaries {
    /// Finds them.
    ///
    /// # Errors
    /// When they are not built.
    pub fn find() -> Result<Self> {
        let test = std::env::current_exe().context("cannot find the path of this test")?;
        let profile = test.ancestors().nth(2).context("a test lies two directories deep in the target directory")?;
        let named = |name: &str| {
            let path = profile.join(name);
            ensure!(path.is_file(), "{} is missing: run `make build` first", path.display());
            Ok(path)
        };
        let scratch = profile.join("scratch");
        fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
        let (client, node, liar) = (named("ostrakon")?, named("ostrakon-node")?, named("lying-node")?);
        Ok(Self { client, node, liar, examples: profile.join("examples"), scratch })
    }

    /// A directory of its own, gone when dropped.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn directory(&self) -> Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix("ostrakon-")
            .tempdir_in(&self.scratch)
            .context("cannot make a temporary directory")
    }

    /// What `ostrakon-node status` prints of the node of this directory.
    ///
    /// # Errors
    /// When the command fails: no node has been run there.
    pub fn node_status(&self, dir: &Path) -> Result<NodeStatus> {
        let args: [&OsStr; 4] = ["status".as_ref(), "--json".as_ref(), "--dir".as_ref(), dir.as_ref()];
        Running::start(&self.node, &args)?.wait(PATIENCE)?.json()
    }
}

/// What `ostrakon-node status` prints, as far as scenarios look at it.
#[derive(Clone, Debug, Deserialize)]
pub struct NodeStatus {
    /// The node.
    pub node: NodeId,
    /// The addresses it listens on.
    pub listening: Vec<String>,
    /// Whether others could connect with it.
    #[serde(default)]
    pub reached: Vec<Reached>,
    /// Whether it runs.
    pub running: bool,
    /// Height of its last block.
    pub height: u64,
    /// Its last block.
    pub block: String,
    /// The epoch of that block.
    pub epoch: u64,
    /// Whether it has all blocks of the others.
    pub synced: bool,
    /// Columns that it stores.
    pub columns: u64,
    /// Bytes that it deletes later.
    pub trash_bytes: u64,
    /// What it stores and may store.
    #[serde(flatten)]
    pub space: Space,
    /// What its next block waits for, when that takes long.
    pub waiting_for: Option<WaitingFor>,
}

/// Whether others could connect with a node at an address.
#[derive(Clone, Debug, Deserialize)]
pub struct Reached {
    /// The address.
    pub address: String,
    /// Nodes that tried.
    pub asked: usize,
    /// Those that could.
    pub reached: usize,
    /// Why one could not.
    pub problem: Option<String>,
}

/// What a node stores and may store, in bytes.
#[derive(Clone, Debug, Deserialize)]
pub struct Space {
    /// Bytes of its columns.
    pub used_bytes: u64,
    /// What it may take yet.
    pub free_bytes: u64,
    /// What it offers as a provider.
    pub capacity_bytes: Option<u64>,
    /// What is committed of that.
    pub committed_bytes: Option<u64>,
    /// Why it takes less than it offers.
    pub capacity_warning: Option<String>,
    /// When this was written.
    pub updated_ms: u64,
    /// The disks that it stores columns on.
    #[serde(default)]
    pub volumes: Vec<VolumeInfo>,
    /// The columns that the ledger counts on and that it does not have.
    pub missing: Option<MissingColumns>,
}

/// A disk with columns.
#[derive(Clone, Debug, Deserialize)]
pub struct VolumeInfo {
    /// Its id.
    pub id: String,
    /// Where it is mounted.
    pub path: PathBuf,
    /// Whether it is used, and how.
    pub state: String,
    /// Why it is not used.
    pub problem: Option<String>,
    /// Columns on it.
    pub columns: u64,
}

/// Columns that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct MissingColumns {
    /// How many.
    pub columns: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a block waits for.
#[derive(Clone, Debug, Deserialize)]
pub struct WaitingFor {
    /// Height of the block.
    pub height: u64,
    /// The nodes of the validators whose votes are missing.
    pub validators: Vec<String>,
}

/// What `add` prints.
#[derive(Clone, Debug, Deserialize)]
pub struct Added {
    /// The object.
    pub cid: String,
    /// What reads it.
    pub link: String,
    /// Its bytes.
    pub size: u64,
    /// Bytes of all its columns.
    pub stored_bytes: u64,
    /// Its code.
    pub code: Code,
    /// Who keeps it.
    pub slots: Vec<AddedSlot>,
}

/// One slot that `add` prints.
#[derive(Clone, Debug, Deserialize)]
pub struct AddedSlot {
    /// Its holder.
    pub provider: String,
    /// Its column.
    pub column: String,
}

/// A running network with its profile, and a directory for files. It is stopped when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// The commands it was started with.
    pub binaries: Binaries,
    /// A directory for the scenario's own files.
    pub files: PathBuf,
    profile: PathBuf,
    // Dropped in this order: the processes end before their directory is deleted.
    net: Devnet,
    _home: tempfile::TempDir,
}

/// What [`Devnet`] does to nodes, a cluster does.
impl Deref for Cluster {
    type Target = Devnet;

    fn deref(&self) -> &Devnet {
        &self.net
    }
}

impl Cluster {
    /// Starts a network.
    ///
    /// # Errors
    /// When `devnet up` fails.
    pub fn start(shape: Shape) -> Result<Self> {
        Self::start_as(shape, &[])
    }

    /// As [`Cluster::start`], with further flags of `devnet up`.
    ///
    /// # Errors
    /// When `devnet up` fails.
    pub fn start_as(shape: Shape, flags: &[&str]) -> Result<Self> {
        let binaries = Binaries::find()?;
        let home = binaries.directory()?;
        let files = home.path().join("files");
        fs::create_dir(&files)?;
        let net = Devnet::start(&binaries.client, home.path().join("net"), shape, flags)?;
        let profile = net.status()?.profile;
        Ok(Self { binaries, files, profile, net, _home: home })
    }

    /// Runs `ostrakon --profile .. --json ARGS` to its end.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Outcome> {
        self.begin(args)?.wait(PATIENCE)
    }

    /// Starts `ostrakon --profile .. --json ARGS`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn begin<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Running> {
        let mut command = self.command();
        command.arg("--json").args(args);
        Running::spawn(command, Stdio::null())
    }

    /// `ostrakon --profile ..`, to be given arguments, streams or an environment of a scenario's own.
    pub fn command(&self) -> Command {
        let mut command = without_profile(&self.binaries.client);
        command.arg("--profile").arg(&self.profile);
        command
    }

    /// Runs a script by `bash`, for what only a shell does: pipes, redirections, job control. In it `ostrakon` is the
    /// command, with the profile in its environment.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn shell(&self, script: &str) -> Result<Outcome> {
        let mut command = Command::new("bash");
        let place = self.binaries.client.parent().context("a command lies in a directory")?;
        let path = std::env::join_paths([place.to_owned()].into_iter().chain(std::env::split_paths(&path_variable())))?;
        command.args(["-c", script]).current_dir(&self.files);
        command.env("PATH", path).env("OSTRAKON_PROFILE", &self.profile).env_remove("OSTRAKON_NETWORK");
        Running::spawn(command, Stdio::null())?.wait(PATIENCE)
    }

    /// The profile's directory.
    pub fn profile(&self) -> &Path {
        &self.profile
    }

    /// Adds a file.
    ///
    /// # Errors
    /// When the command fails.
    pub fn add(&self, file: &Path, flags: &[&str]) -> Result<Added> {
        let mut args: Vec<OsString> = vec!["add".into(), file.into()];
        args.extend(flags.iter().map(Into::into));
        self.run(&args)?.json()
    }

    /// Gets `link` into a file, and removes the file when it has been compared.
    ///
    /// # Errors
    /// When the command fails, or the bytes are not those whose hash this is.
    pub fn expect_read(&self, link: &str, hash: &blake3::Hash) -> Result<Outcome> {
        let out = self.files.join("read-back");
        let outcome =
            self.run(&[OsStr::new("get"), link.as_ref(), "--overwrite".as_ref(), "-o".as_ref(), out.as_ref()])?;
        outcome.expect_code(0)?;
        let got = crate::content::hash_file(&out).with_context(|| format!("no output of {outcome}"))?;
        fs::remove_file(&out)?;
        ensure!(got == *hash, "WRONG BYTES: {got} instead of {hash} from {outcome}");
        Ok(outcome)
    }

    /// The section `[provider]` with which a node of the genesis offers this price and capacity. Its own account pays
    /// the fee, which it gets here.
    ///
    /// # Errors
    /// When the node is not a provider, or cannot be paid.
    pub fn offer(&self, node: &NodeInfo, price: &str, capacity: u64) -> Result<String> {
        let key = ostrakon::key_file::read(node.data_dir.join("node.key"))?;
        let account: AccountId = Keypair::from_seed(key.bytes()).public();
        self.run(&["wallet", "send", &account.to_string(), "10"])?.expect_code(0)?;
        let listed: serde_json::Value = self.run(&["providers"])?.json()?;
        let mut listed = listed["providers"].as_array().context("`providers` prints a list")?.iter();
        let of_node = listed.find(|provider| provider["provider"] == node.provider.as_str());
        let addresses = &of_node.context("the node is a provider")?["addresses"];
        let parts: Vec<&str> = node.domain.split('/').collect();
        let [operator, infrastructure, region] = parts[..] else { bail!("a domain has three parts: {}", node.domain) };
        Ok(format!(
            "\n[provider]\nowner_key_file = \"node.key\"\naddresses = {addresses}\nprice_obols = \"{price}\"\n\
             capacity_bytes = {capacity}\n\
             [provider.domain]\noperator = \"{operator}\"\ninfrastructure = \"{infrastructure}\"\n\
             region = \"{region}\"\n"
        ))
    }

    /// The indexes of the nodes that hold a slot of `added`, by slot.
    ///
    /// # Errors
    /// When a slot names a provider that is not of this network.
    pub fn holders(&self, added: &Added) -> Result<Vec<usize>> {
        let nodes = self.status()?.nodes;
        let find = |slot: &AddedSlot| {
            let node = nodes.iter().find(|node| node.provider == slot.provider);
            node.map(|node| node.index).with_context(|| format!("{} is not a node of this network", slot.provider))
        };
        added.slots.iter().map(find).collect()
    }
}

fn path_variable() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}
