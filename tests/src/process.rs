//! Commands and daemons as child processes: started, waited for, signalled, and ended when dropped.
//!
//! In comes a [`Command`]; out comes an [`Outcome`] with its exit code, output, time and peak of memory. Everything
//! that waits stops with an error once the program is interrupted ([`crate::interrupt`]). Nothing in here knows
//! Ostrakon.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;

use crate::{interrupt, proc};

/// How often a running command is polled: the error of its time.
const TICK: Duration = Duration::from_millis(1);
/// How often its memory is sampled.
const SAMPLE: Duration = Duration::from_millis(5);

/// What a finished command left.
#[derive(Debug)]
pub struct Outcome {
    /// What was run, for messages.
    pub line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
    /// The most memory it had resident, in bytes, as last sampled before it ended.
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
    /// The whole outcome as text.
    pub fn expect_code(&self, code: i32) -> Result<&Self> {
        ensure!(self.code == Some(code), "exit code {code} expected from {self}");
        Ok(self)
    }

    /// Everything it printed, on either stream.
    pub fn said(&self) -> String {
        format!("{}\n{}", self.stderr, String::from_utf8_lossy(&self.stdout))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stdout: String = String::from_utf8_lossy(&self.stdout).chars().take(2_000).collect();
        write!(f, "`{}`\nwhich ended with {} after {:.1} s", self.line, self.status, self.took.as_secs_f32())?;
        write!(f, "\n--- stdout\n{stdout}\n--- stderr\n{}", self.stderr)
    }
}

/// A command that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    line: String,
    since: Instant,
    streams: Option<[JoinHandle<Vec<u8>>; 2]>,
}

impl Running {
    /// Starts `program` with `args`, an empty stdin, and no profile but what the arguments name.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start<S: AsRef<OsStr>>(program: &Path, args: &[S]) -> Result<Self> {
        let mut command = without_profile(program);
        command.args(args);
        Self::spawn(command, Stdio::null())
    }

    /// Starts a command with this stdin; both output streams are captured.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(mut command: Command, stdin: Stdio) -> Result<Self> {
        let line = line(&command);
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let since = Instant::now();
        let mut child = command.spawn().with_context(|| format!("cannot start `{line}`"))?;
        let streams = Some([drain(child.stdout.take()), drain(child.stderr.take())]);
        Ok(Self { child, line, since, streams })
    }

    /// Its stdin, once, when it was started with a pipe.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it, as `kill -9` does.
    pub fn kill(&mut self) {
        // It may have ended by itself, which is as well.
        let _ = self.child.kill();
    }

    /// Sends it a signal by its name without `SIG`, such as `STOP`.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, name: &str) -> Result<()> {
        signal(self.pid(), name)
    }

    /// Whether it has ended, by itself or not.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// When that takes longer than `limit`.
    pub fn wait(self, limit: Duration) -> Result<Outcome> {
        let (pid, mut peak) = (self.pid(), 0);
        let outcome = self.wait_sampling(limit, SAMPLE, || peak = peak.max(proc::peak_bytes(pid).unwrap_or(0)))?;
        Ok(Outcome { peak, ..outcome })
    }

    /// Waits until it ends, and meanwhile calls `sample` this often.
    ///
    /// # Errors
    /// When that takes longer than `limit`.
    pub fn wait_sampling(mut self, limit: Duration, often: Duration, mut sample: impl FnMut()) -> Result<Outcome> {
        let mut next_sample = self.since;
        loop {
            if let Some(status) = self.child.try_wait().context("a child can be waited for")? {
                let took = self.since.elapsed();
                let [stdout, stderr] = self.streams.take().context("the streams are read once")?.map(JoinHandle::join);
                let stdout = stdout.ok().context("the reader of a stream never panics")?;
                let stderr = stderr.ok().context("the reader of a stream never panics")?;
                let stderr = String::from_utf8_lossy(&stderr).into_owned();
                return Ok(Outcome {
                    line: self.line.clone(),
                    status,
                    code: status.code(),
                    stdout,
                    stderr,
                    took,
                    peak: 0,
                });
            }
            if Instant::now() >= next_sample {
                sample();
                next_sample = Instant::now() + often;
            }
            interrupt::check()?;
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

/// A daemon that runs, with its output in a file. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts it; what it prints is appended to the file `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // In a process group of its own: a Ctrl-C in the terminal is ours to pass on.
        command.process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start `{}`", line(&command)))?;
        Ok(Self { child })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program with nothing of ours in its environment: no profile, network, link or passphrase.
pub fn without_profile(program: &Path) -> Command {
    let mut command = Command::new(program);
    for name in ["PROFILE", "NETWORK", "LINK", "PASSPHRASE", "PASSPHRASE_FILE"] {
        command.env_remove(format!("OSTRAKON_{name}"));
    }
    command
}

/// Sends a signal to a process, by the signal's name without `SIG`.
///
/// # Errors
/// When there is no such process.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status().context("cannot run kill")?;
    ensure!(status.success(), "kill -s {name} {pid} failed");
    Ok(())
}

/// Waits until `ready` returns true.
///
/// # Errors
/// When it does not within `limit`; `what` names what was awaited.
pub fn until(what: &str, limit: Duration, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let since = Instant::now();
    while !ready()? {
        interrupt::check()?;
        ensure!(since.elapsed() < limit, "{what}: not within {} s", limit.as_secs());
        thread::sleep(SAMPLE);
    }
    Ok(())
}

/// Prints a line to stderr.
pub fn say(text: &str) {
    // A closed stderr is no reason to stop.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
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

/// The command line, for messages.
pub fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let parts = std::iter::once(program).chain(command.get_args());
    parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_ends_with_its_value() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new("sleep");
        command.arg("1000");
        let daemon = Daemon::start(command, &dir.path().join("log")).expect("starts");
        let pid = daemon.pid();
        assert!(proc::ticks(pid).is_some());
        drop(daemon);
        assert!(proc::ticks(pid).is_none());
    }

    #[test]
    fn a_stopped_command_continues() {
        let mut command = Command::new("cat");
        command.arg("-");
        let mut running = Running::spawn(command, Stdio::piped()).expect("starts");
        running.signal("STOP").expect("runs");
        let mut stdin = running.stdin().expect("a pipe");
        stdin.write_all(b"x").expect("a pipe holds a byte");
        drop(stdin);
        assert!(!running.has_ended());
        running.signal("CONT").expect("runs");
        assert_eq!(running.wait(Duration::from_secs(60)).expect("ends").stdout, b"x");
    }
}
