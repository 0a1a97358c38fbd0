//! A node of a scenario's own, beside those of a devnet: its data directory, its settings and its process.
//!
//! In come what an operator types and writes; out come what the commands and the log say. Nothing in here knows how a
//! node works.

use std::{
    ffi::OsStr,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::process::{Daemon, Outcome, Running, until, without_profile};

/// No command and no change of a node takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A data directory, and the program that uses it.
#[derive(Debug)]
pub struct OwnNode {
    program: PathBuf,
    /// Its data directory.
    pub dir: PathBuf,
}

impl OwnNode {
    /// Creates a data directory for the network of this genesis.
    ///
    /// # Errors
    /// When `ostrakon-node init` fails.
    pub fn init(program: &Path, dir: PathBuf, genesis: &Path) -> Result<Self> {
        let node = Self { program: program.to_owned(), dir };
        node.operate(&["init".as_ref(), "--genesis".as_ref(), genesis.as_os_str()])?.expect_code(0)?;
        Ok(node)
    }

    /// Runs `ostrakon-node ARGS --dir ..` to its end.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn operate<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Outcome> {
        let mut command = self.command();
        command.args(args).arg("--dir").arg(&self.dir);
        Running::spawn(command, Stdio::null())?.wait(LIMIT)
    }

    /// The program without arguments.
    pub fn command(&self) -> Command {
        without_profile(&self.program)
    }

    /// Writes `node.toml`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn configure(&self, settings: &str) -> Result<()> {
        let path = self.dir.join("node.toml");
        fs::write(&path, settings).with_context(|| path.display().to_string())
    }

    /// Starts it, with `environment`; its log is `node.log` in its directory.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, environment: &[(&str, &str)]) -> Result<Daemon> {
        let mut command = self.command();
        command.arg("run").arg("--dir").arg(&self.dir).envs(environment.iter().copied());
        Daemon::start(command, &self.dir.join("node.log"))
    }

    /// What it has logged.
    ///
    /// # Errors
    /// When it was never started.
    pub fn log(&self) -> Result<String> {
        let path = self.dir.join("node.log");
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// Waits until the log has `text`.
    ///
    /// # Errors
    /// When it does not get it.
    pub fn logs(&self, text: &str) -> Result<()> {
        let logged = until(&format!("the log has {text:?}"), LIMIT, || Ok(self.log()?.contains(text)));
        logged.with_context(|| self.log().unwrap_or_default())
    }

    /// Fails unless `config check` and `run` both refuse, and name all of `names`.
    ///
    /// # Errors
    /// What was printed instead.
    pub fn is_refused(&self, names: &[&str]) -> Result<()> {
        for args in [&["config", "check"][..], &["run"]] {
            expect_refusal(&self.operate(args)?, names)?;
        }
        Ok(())
    }
}

/// Fails unless the command was refused with a message that has all of `names`.
///
/// # Errors
/// What was printed instead.
pub fn expect_refusal(outcome: &Outcome, names: &[&str]) -> Result<()> {
    ensure!(outcome.code.is_some_and(|code| code != 0), "this should have been refused: {outcome}");
    for name in names {
        ensure!(outcome.said().contains(name), "the message does not name {name:?}: {outcome}");
    }
    ensure!(!outcome.said().contains("panicked"), "a panic is not a message: {outcome}");
    Ok(())
}

/// A port that was free just now, for TCP on all interfaces.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("0.0.0.0:0")?.local_addr()?.port())
}
