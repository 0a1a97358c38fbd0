//! A network of real processes on this machine, driven through the real commands and seen only through their output.
//!
//! In come the two binaries beside the running test; out come the results of commands, with their exit codes, times and
//! peaks of memory. A [`Cluster`] stops what it started when it is dropped, and nothing else. Nothing in here knows how
//! a node works: what the commands do not print, the scenarios find on disk.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use ostrakon_proto::params::Code;
use serde::{Deserialize, de::DeserializeOwned};

/// No command of a scenario may take longer, unless it says so.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a running command is looked at.
const TICK: Duration = Duration::from_millis(5);

/// Whether the scenarios run at full size: minutes instead of seconds.
pub fn is_long() -> bool {
    std::env::var_os("OSTRAKON_LONG").is_some_and(|value| value == "1")
}

/// The two commands, beside the test that runs.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// `ostrakon`
    pub client: PathBuf,
    /// `ostrakon-node`
    pub node: PathBuf,
    /// `lying-node`: the same, with a false tongue.
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
        let test = std::env::current_exe().context("this test does not know where it lies")?;
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
    /// When there is no room for it.
    pub fn directory(&self) -> Result<tempfile::TempDir> {
        tempfile::Builder::new().prefix("ostrakon-").tempdir_in(&self.scratch).context("no temporary directory")
    }
}

/// What a finished command left.
#[derive(Debug)]
pub struct Outcome {
    /// What was run, for messages.
    pub line: String,
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
    /// The most memory it had resident, in bytes, as last seen before it ended.
    pub peak: u64,
}

impl Outcome {
    /// The one JSON object on stdout of a command that must have succeeded.
    ///
    /// # Errors
    /// When it did not succeed, or printed something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        self.expect_code(0)?;
        serde_json::from_slice(&self.stdout).with_context(|| format!("unexpected JSON of {self}"))
    }

    /// Fails unless it ended with this exit code.
    ///
    /// # Errors
    /// The whole outcome, in words.
    pub fn expect_code(&self, code: i32) -> Result<&Self> {
        ensure!(self.code == Some(code), "exit code {code} expected from {self}");
        Ok(self)
    }

    /// Everything it said, on either stream.
    pub fn said(&self) -> String {
        format!("{}\n{}", self.stderr, String::from_utf8_lossy(&self.stdout))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stdout: String = String::from_utf8_lossy(&self.stdout).chars().take(2_000).collect();
        let (code, seconds) = (self.code.map_or("a signal".into(), |code| code.to_string()), self.took.as_secs_f32());
        write!(f, "`{}`\nwhich ended with {code} after {seconds:.1} s", self.line)?;
        write!(f, "\n--- stdout\n{stdout}\n--- stderr\n{}", self.stderr)
    }
}

/// A command that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    line: String,
    since: Instant,
    peak: u64,
    streams: Option<[JoinHandle<Vec<u8>>; 2]>,
}

impl Running {
    /// Starts `program` with `args` and no stdin.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start<S: AsRef<OsStr>>(program: &Path, args: &[S]) -> Result<Self> {
        Self::start_as(program, args, None)
    }

    /// As [`Running::start`], with `OSTRAKON_PROFILE` set to a profile, or to nothing.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_as<S: AsRef<OsStr>>(program: &Path, args: &[S], profile: Option<&Path>) -> Result<Self> {
        let shown: Vec<_> = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect();
        let line = format!("{} {}", program.file_name().unwrap_or_default().to_string_lossy(), shown.join(" "));
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in ["PROFILE", "NETWORK", "LINK", "PASSPHRASE", "PASSPHRASE_FILE"] {
            command.env_remove(format!("OSTRAKON_{name}"));
        }
        command.envs(profile.map(|profile| ("OSTRAKON_PROFILE", profile)));
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let streams = Some([drain(child.stdout.take()), drain(child.stderr.take())]);
        Ok(Self { child, line, since: Instant::now(), peak: 0, streams })
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        // It may have ended by itself, which is as well.
        let _ = self.child.kill();
    }

    /// Whether it has ended, by itself or not.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// When that takes longer than `limit`.
    pub fn wait(mut self, limit: Duration) -> Result<Outcome> {
        loop {
            self.peak = self.peak.max(peak_of(self.child.id()).unwrap_or(0));
            if let Some(status) = self.child.try_wait().context("a child can be waited for")? {
                let took = self.since.elapsed();
                let [stdout, stderr] = self.streams.take().context("the streams are read once")?;
                let bytes =
                    |stream: JoinHandle<Vec<u8>>| stream.join().ok().context("the reader of a stream never panics");
                let (stdout, stderr) = (bytes(stdout)?, String::from_utf8_lossy(&bytes(stderr)?).into_owned());
                return Ok(Outcome {
                    line: self.line.clone(),
                    code: status.code(),
                    stdout,
                    stderr,
                    took,
                    peak: self.peak,
                });
            }
            ensure!(self.since.elapsed() < limit, "`{}` did not end within {} s", self.line, limit.as_secs());
            thread::sleep(TICK);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

/// Reads a stream to its end beside the command, which would otherwise block when the pipe is full.
fn drain(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is all there is to show.
        let _ = stream.map(|mut stream| stream.read_to_end(&mut bytes));
        bytes
    })
}

/// The most memory that the process had resident, in bytes.
pub fn peak_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Waits until `ready` says so.
///
/// # Errors
/// When it does not within `limit`; `what` names what was awaited.
pub fn until(what: &str, limit: Duration, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let since = Instant::now();
    while !ready()? {
        ensure!(since.elapsed() < limit, "{what}: not within {} s", limit.as_secs());
        thread::sleep(TICK);
    }
    Ok(())
}

/// One node, as `devnet status` shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct NodeInfo {
    /// Its number in the network.
    pub index: usize,
    /// Its process, while it runs.
    pub pid: Option<u32>,
    /// Its id on the ledger.
    pub provider: String,
    /// Its domain.
    pub domain: String,
    /// Whether it runs.
    pub running: bool,
    /// Whether it proposes blocks.
    pub validator: bool,
    /// Where it keeps everything.
    pub data_dir: PathBuf,
}

/// The network, as `devnet up` and `devnet status` show it.
#[derive(Clone, Debug, Deserialize)]
pub struct NetworkInfo {
    /// The profile that has money on it.
    pub profile: PathBuf,
    /// Its nodes.
    pub nodes: Vec<NodeInfo>,
    /// Height of the ledger.
    pub height: Option<u64>,
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

/// How large a network to start.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Nodes.
    pub nodes: usize,
    /// Domains over which they are spread.
    pub domains: usize,
}

/// A running network with its profile.
#[derive(Debug)]
pub struct Cluster {
    /// The commands it was started with.
    pub binaries: Binaries,
    /// A directory for the scenario's own files.
    pub files: PathBuf,
    net: PathBuf,
    profile: PathBuf,
    home: tempfile::TempDir,
}

impl Cluster {
    /// Starts a network.
    ///
    /// # Errors
    /// When `devnet up` fails.
    pub fn start(scale: Scale) -> Result<Self> {
        Self::start_as(scale, &[])
    }

    /// As [`Cluster::start`], with further flags of `devnet up`.
    ///
    /// # Errors
    /// When `devnet up` fails.
    pub fn start_as(scale: Scale, flags: &[&str]) -> Result<Self> {
        let binaries = Binaries::find()?;
        let home = binaries.directory()?;
        let (net, files) = (home.path().join("net"), home.path().join("files"));
        fs::create_dir(&files)?;
        let mut cluster = Self { binaries, files, profile: net.join("profile"), net, home };
        let (nodes, domains) = (scale.nodes.to_string(), scale.domains.to_string());
        let up = cluster.devnet("up", &[&["--nodes", &nodes, "--domains", &domains], flags].concat())?;
        cluster.profile = up.json::<NetworkInfo>()?.profile;
        Ok(cluster)
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
        let mut all: Vec<OsString> = vec!["--profile".into(), self.profile.clone().into(), "--json".into()];
        all.extend(args.iter().map(Into::into));
        Running::start(&self.binaries.client, &all)
    }

    /// The profile's directory.
    pub fn profile(&self) -> &Path {
        &self.profile
    }

    fn devnet(&self, verb: &str, args: &[&str]) -> Result<Outcome> {
        let net = self.net.to_string_lossy();
        let all = [&["--json", "devnet", verb], args, &["--dir", &net]].concat();
        Running::start(&self.binaries.client, &all)?.wait(PATIENCE)
    }

    /// What `devnet status` says.
    ///
    /// # Errors
    /// When it fails.
    pub fn status(&self) -> Result<NetworkInfo> {
        self.devnet("status", &[])?.json()
    }

    fn on_nodes(&self, verb: &str, nodes: &[usize]) -> Result<()> {
        let indexes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        let args: Vec<&str> = indexes.iter().map(String::as_str).collect();
        self.devnet(verb, &args)?.expect_code(0).map(drop)
    }

    /// `kill -9` for these nodes.
    ///
    /// # Errors
    /// When the command fails.
    pub fn kill(&self, nodes: &[usize]) -> Result<()> {
        self.on_nodes("kill", nodes)
    }

    /// Starts these nodes again, or with none named all that do not run.
    ///
    /// # Errors
    /// When the command fails.
    pub fn revive(&self, nodes: &[usize]) -> Result<()> {
        self.on_nodes("start", nodes)
    }

    /// `kill -9` for these nodes, and their disks are gone.
    ///
    /// # Errors
    /// When the command fails.
    pub fn wipe(&self, nodes: &[usize]) -> Result<()> {
        self.on_nodes("wipe", nodes)
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
        let outcome = self.run(&[OsStr::new("get"), link.as_ref(), "--force".as_ref(), "-o".as_ref(), out.as_ref()])?;
        outcome.expect_code(0)?;
        let got = crate::content::hash_file(&out).with_context(|| format!("no output of {outcome}"))?;
        fs::remove_file(&out)?;
        ensure!(got == *hash, "WRONG BYTES: {got} instead of {hash} from {outcome}");
        Ok(outcome)
    }

    /// The indexes of the nodes that hold a slot of `added`, by slot.
    ///
    /// # Errors
    /// When a slot names a provider that is not of this network.
    pub fn holders(&self, added: &Added) -> Result<Vec<usize>> {
        let nodes = self.status()?.nodes;
        let find = |slot: &AddedSlot| {
            let node = nodes.iter().find(|node| node.provider == slot.provider);
            node.map(|node| node.index).with_context(|| format!("{} is no node of this network", slot.provider))
        };
        added.slots.iter().map(find).collect()
    }

    fn down(&self) -> Result<()> {
        self.devnet("down", &[])?.expect_code(0)?;
        let left: Vec<u32> =
            self.status()?.nodes.iter().filter(|node| node.running).filter_map(|node| node.pid).collect();
        if !left.is_empty() {
            bail!("still running after `devnet down`: {left:?}");
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.down() {
            let place = self.home.path().display();
            // A test that leaves processes behind must say so, even while it fails for another reason.
            let _ = writeln_stderr(&format!("warning: the network in {place} may still run: {error:#}"));
        }
    }
}

fn writeln_stderr(text: &str) -> std::io::Result<()> {
    use std::io::Write;
    writeln!(std::io::stderr(), "{text}")
}
