//! A network of real validator processes, started and killed one by one, under the eyes of a witness.
//!
//! In come faults; out come what the processes signed ([`Witness`]) and the blocks that they have ([`audit`]). The
//! witness is a validator of the genesis itself, with a hundredth of the others' power: whatever they say to each
//! other, they say to it. It never votes. What was started is killed when a [`Validators`] is dropped, and nothing
//! else.

pub mod audit;
mod files;
mod witness;

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ostrakon::{Client, ClientParts};
use ostrakon_net::{Peers, Workers};
use ostrakon_proto::{
    id::{Height, NodeId, VoteKey},
    ledger::Genesis,
    sign::Keypair,
    wire::consensus::Incarnation,
};
use tokio::runtime::Runtime;

pub use files::{Plan, Planned};
pub use witness::{Place, Said, Witness};

use crate::{
    cluster::Binaries,
    process::{self, Daemon, until},
};

/// How long processes may take for what they are waited for, unless a scenario sets another limit.
const PATIENCE: Duration = Duration::from_secs(60);

/// A new incarnation, for validators in this process.
pub fn new_incarnation() -> Incarnation {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    Incarnation(u128::from(COUNT.fetch_add(1, Ordering::Relaxed)).to_le_bytes())
}

/// One validator: its files, and its process while it runs.
#[derive(Debug)]
pub struct Validator {
    /// Its data directory.
    pub home: PathBuf,
    /// Its node.
    pub node: NodeId,
    /// What it votes with.
    pub key: VoteKey,
    process: Option<Daemon>,
}

/// Validators, the witness of what they say, and money to move.
#[derive(Debug)]
pub struct Validators {
    /// The validators, by number; the witness is none of these.
    pub all: Vec<Validator>,
    /// Who hears them.
    pub witness: Witness,
    /// What founded their network.
    pub genesis: Genesis,
    accounts: Vec<Keypair>,
    binaries: Binaries,
    runtime: Runtime,
    directory: tempfile::TempDir,
}

impl Validators {
    /// So many equal validators, and accounts with money. All run, and have decided a block.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn start(count: usize, accounts: usize) -> Result<Self> {
        let binaries = Binaries::find()?;
        let directory = binaries.directory()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let plan = Plan::new(count, accounts)?;
        let witness = runtime.block_on(Witness::start(&plan))?;
        let mut all = Vec::new();
        for (number, planned) in plan.validators.iter().enumerate() {
            let home = directory.path().join(format!("validator-{number}"));
            files::write(&home, planned, &plan.genesis, &witness.address()?)?;
            all.push(Validator { home, node: planned.node.public(), key: planned.keys().vote.public(), process: None });
        }
        let Plan { genesis, accounts, .. } = plan;
        let mut network = Self { all, witness, genesis, accounts, binaries, runtime, directory };
        for number in 0..count {
            network.revive(number)?;
        }
        let everyone: Vec<usize> = (0..count).collect();
        network.reach(&everyone, 1, PATIENCE)?;
        Ok(network)
    }

    /// A directory for the scenario's own files.
    pub fn files(&self) -> &Path {
        self.directory.path()
    }

    /// Starts a validator that does not run. Does not wait for it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn revive(&mut self, number: usize) -> Result<()> {
        let home = self.all[number].home.clone();
        if self.all[number].process.is_none() {
            self.all[number].process = Some(self.spawn(&home)?);
        }
        Ok(())
    }

    /// Starts a node on a data directory; its log goes to `node.log` there.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn spawn(&self, home: &Path) -> Result<Daemon> {
        let mut command = Command::new(&self.binaries.node);
        command.args(["run".as_ref(), "--dir".as_ref(), home.as_os_str()]);
        Daemon::start(command, &home.join("node.log")).context("cannot start a validator")
    }

    /// `kill -9`, and the process is gone.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub fn kill(&mut self, number: usize) -> Result<()> {
        let Some(mut process) = self.all[number].process.take() else { return Ok(()) };
        ensure!(!process.has_ended(), "validator {number} ended by itself: {}", self.last_words(number));
        drop(process);
        Ok(())
    }

    /// Stops a process without ending it: its connections stay open, and it does not respond on them.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self, number: usize) -> Result<()> {
        self.signal(number, "STOP")
    }

    /// Continues a paused process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self, number: usize) -> Result<()> {
        self.signal(number, "CONT")
    }

    fn signal(&self, number: usize, signal: &str) -> Result<()> {
        process::signal(self.pid(number).context("a process that runs")?, signal)
    }

    /// The process id of a validator that runs.
    pub fn pid(&self, number: usize) -> Option<u32> {
        self.all[number].process.as_ref().map(Daemon::pid)
    }

    /// The end of what a validator logged.
    pub fn last_words(&self, number: usize) -> String {
        let log = std::fs::read_to_string(self.all[number].home.join("node.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// The height that a validator says it is at; `None` when it does not answer.
    pub fn height(&self, number: usize) -> Option<u64> {
        let ask = audit::head(self.witness.peers(), self.all[number].node);
        self.runtime.block_on(ask).ok().map(|head| head.height.0)
    }

    /// The greatest height that any of these is at.
    pub fn top(&self, numbers: &[usize]) -> u64 {
        numbers.iter().filter_map(|number| self.height(*number)).max().unwrap_or(0)
    }

    /// Waits until these have a block of this height.
    ///
    /// # Errors
    /// When that takes longer than `limit`.
    pub fn reach(&self, numbers: &[usize], height: u64, limit: Duration) -> Result<()> {
        let what = format!("validators {numbers:?} at height {height}");
        let waited = until(&what, limit, || Ok(numbers.iter().all(|number| self.height(*number) >= Some(height))));
        waited.with_context(|| {
            let states = (0..self.all.len()).map(|number| {
                format!("validator {number} at {:?}, its log ends\n{}", self.height(number), self.last_words(number))
            });
            states.collect::<Vec<_>>().join("\n")
        })
    }

    /// Waits until these have a block that none of them has now.
    ///
    /// # Errors
    /// As [`Validators::reach`].
    pub fn advance(&self, numbers: &[usize], limit: Duration) -> Result<()> {
        self.reach(numbers, self.top(numbers) + 1, limit)
    }

    /// A client with one of the accounts.
    pub fn client(&self, account: usize) -> Client {
        let random =
            move |bytes: &mut [u8]| bytes.copy_from_slice(&crate::content::random(account as u64, bytes.len()));
        Client::new(ClientParts {
            peers: self.witness.peers(),
            workers: Workers::inline(),
            genesis: self.genesis.clone(),
            trust: None,
            clock: ostrakon::system_clock(),
            account: Some(self.accounts[account].clone()),
            random: std::sync::Arc::new(random),
            profile: None,
        })
    }

    /// Where tasks of a scenario run.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Compares and replays all blocks of these, and looks for contradictions: see [`audit::audit`].
    ///
    /// # Errors
    /// What is wrong.
    pub fn audit(&self, numbers: &[usize]) -> Result<audit::History> {
        let nodes: Vec<NodeId> = numbers.iter().map(|number| self.all[*number].node).collect();
        let history = self.runtime.block_on(audit::audit(self.witness.peers(), &self.genesis, &nodes))?;
        history.decided.iter().for_each(|decided| self.witness.hear_certificate(&decided.certificate));
        let contradictions = self.witness.contradictions();
        ensure!(contradictions.is_empty(), "EQUIVOCATION: {contradictions:?}");
        Ok(history)
    }

    /// The network as the witness has it.
    pub fn peers(&self) -> std::sync::Arc<dyn Peers> {
        self.witness.peers()
    }

    /// The height of the newest message of a validator that the witness has heard.
    pub fn heard(&self, number: usize) -> Option<Height> {
        self.witness.newest(&self.all[number].key)
    }
}
