//! Runs one command to its end, and measures what it cost: itself, and the daemons that worked for it.
//!
//! Time ends when the command does. CPU time is that of the command and all it started, and of the daemons until they
//! are calm again: what they do for the command after it has ended counts as well. It does not include the kernel's own
//! threads. Memory is the highest sum over command and daemons of what each had resident, as sampled; pages that
//! processes share are counted in each of them.

use std::{
    io::Read,
    process::{Child, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{interrupt, proc};

/// No command may take longer.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How often a running command is looked at: the error of its time.
const TICK: Duration = Duration::from_millis(1);
/// How often memory is sampled.
const SAMPLE: Duration = Duration::from_millis(50);
/// Over what time daemons must be calm.
const CALM: Duration = Duration::from_millis(300);
/// CPU ticks that all daemons together may use in that time and still be calm: a tenth of one core.
const CALM_TICKS: u64 = 3;
/// Daemons that are not calm by then never will be.
const RESTLESS: Duration = Duration::from_secs(10);

/// What a command cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// From its start to its end.
    pub seconds: f64,
    /// CPU time of all processes.
    pub cpu_seconds: f64,
    /// The most memory that all processes had together.
    pub peak_bytes: u64,
}

/// What a command that succeeded left.
#[derive(Debug)]
pub struct Outcome {
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: String,
    /// What it cost.
    pub cost: Cost,
}

/// A command that ended with an error.
#[derive(Debug, thiserror::Error)]
#[error("`{line}` ended with {status}: {said}")]
pub struct Failed {
    line: String,
    /// How it ended.
    pub status: ExitStatus,
    said: String,
}

/// Runs a command that must succeed.
///
/// # Errors
/// [`Failed`] when it does not; or when it cannot be run, or a signal came.
pub fn run(command: Command) -> Result<Outcome> {
    measure(command, &[], idle(&[])?)
}

/// As [`run`], with these daemons working for it, which were so before.
///
/// # Errors
/// As [`run`]; and when one of the daemons ends meanwhile.
pub fn measure(command: Command, daemons: &[u32], before: Idle) -> Result<Outcome> {
    let (growth, before) = (before.growth, all_ticks(daemons)?);
    let mut running = Running::start(command)?;
    let (status, seconds, peak_bytes) = running.wait(daemons)?;
    let (stdout, stderr) = running.streams()?;
    if !status.success() {
        let said = format!("{stderr}{}", String::from_utf8_lossy(&stdout));
        return Err(Failed { line: running.line.clone(), status, said: said.trim().to_owned() }.into());
    }
    let after = calm(daemons, growth)?.ticks;
    let cost = Cost { seconds, cpu_seconds: proc::seconds(after.saturating_sub(before)), peak_bytes };
    Ok(Outcome { stdout, stderr, cost })
}

/// Runs a command until the first byte of its stdout is there; returns the seconds until then, and ends it.
///
/// # Errors
/// When it writes nothing.
pub fn first_byte(mut command: Command) -> Result<f64> {
    let line = line(&command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let since = Instant::now();
    let mut running = Running::spawn(command)?;
    let stdout = running.child.stdout.take();
    let read = stdout.context("stdout is a pipe")?.read(&mut [0]).context("cannot read its output")?;
    let seconds = since.elapsed().as_secs_f64();
    ensure!(read == 1, "`{line}` wrote nothing");
    Ok(seconds)
}

/// How daemons are when nothing is asked of them.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// CPU ticks used by then, by the daemons and by our ended children.
    ticks: u64,
    /// Ticks that the daemons use in [`CALM`] without being asked anything.
    growth: u64,
}

/// Waits until these daemons use next to no CPU. Those that never come to rest are taken as they are: after a command
/// they are then waited for only until they are so again.
///
/// # Errors
/// When one of them has ended, or a signal came.
pub fn idle(daemons: &[u32]) -> Result<Idle> {
    calm(daemons, 0)
}

/// Waits until the daemons use no more than this much and a little in [`CALM`].
fn calm(daemons: &[u32], growth: u64) -> Result<Idle> {
    let since = Instant::now();
    let mut before = all_ticks(daemons)?;
    loop {
        interrupt::check()?;
        if daemons.is_empty() {
            return Ok(Idle { ticks: before, growth: 0 });
        }
        thread::sleep(CALM);
        let now = all_ticks(daemons)?;
        let grown = now - before;
        if grown <= growth + CALM_TICKS || since.elapsed() > RESTLESS {
            // Up to before the calm that was waited for, which is nobody's.
            return Ok(Idle { ticks: before, growth: grown });
        }
        before = now;
    }
}

/// The ticks of these processes, of their ended children, and of ours.
fn all_ticks(daemons: &[u32]) -> Result<u64> {
    let of = |pid: u32| proc::ticks(pid).with_context(|| format!("process {pid}, a daemon, has ended; see its log"));
    let ours = of(std::process::id())?.children;
    daemons.iter().try_fold(ours, |sum, pid| of(*pid).map(|ticks| sum + ticks.own + ticks.children))
}

/// A command that runs. Dropping it kills it.
struct Running {
    child: Child,
    line: String,
    since: Instant,
    streams: Option<[JoinHandle<Vec<u8>>; 2]>,
}

impl Running {
    fn spawn(mut command: Command) -> Result<Self> {
        let line = line(&command);
        let since = Instant::now();
        let child = command.spawn().with_context(|| format!("cannot start `{line}`"))?;
        Ok(Self { child, line, since, streams: None })
    }

    fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Self::spawn(command)?;
        running.streams = Some([drain(running.child.stdout.take()), drain(running.child.stderr.take())]);
        Ok(running)
    }

    /// Waits for its end; returns how it ended, after how many seconds, and the peak of memory.
    fn wait(&mut self, daemons: &[u32]) -> Result<(ExitStatus, f64, u64)> {
        let (mut peak, mut next_sample) = (0, self.since);
        loop {
            if let Some(status) = self.child.try_wait().context("a child can be waited for")? {
                return Ok((status, self.since.elapsed().as_secs_f64(), peak));
            }
            if Instant::now() >= next_sample {
                let processes = daemons.iter().copied().chain([self.child.id()]);
                peak = peak.max(processes.filter_map(proc::resident_bytes).sum());
                next_sample = Instant::now() + SAMPLE;
            }
            interrupt::check()?;
            ensure!(self.since.elapsed() < PATIENCE, "`{}` did not end within {} s", self.line, PATIENCE.as_secs());
            thread::sleep(TICK);
        }
    }

    fn streams(&mut self) -> Result<(Vec<u8>, String)> {
        let [stdout, stderr] = self.streams.take().context("the streams are read once")?;
        let bytes = |stream: JoinHandle<Vec<u8>>| stream.join().ok().context("the reader of a stream never panics");
        Ok((bytes(stdout)?, String::from_utf8_lossy(&bytes(stderr)?).into_owned()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, which is as well.
        let _ = self.child.kill();
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

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_command_s_words_and_cost_are_kept() {
        let outcome = run(shell("echo out; echo err >&2; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"));
        let outcome = outcome.expect("succeeds");
        assert_eq!((outcome.stdout.as_slice(), outcome.stderr.as_str()), (b"out\n".as_slice(), "err\n"));
        assert!(outcome.cost.cpu_seconds > 0.0, "{:?}", outcome.cost);
        assert!(outcome.cost.seconds > 0.0 && outcome.cost.peak_bytes > 0, "{:?}", outcome.cost);
    }

    #[test]
    fn a_command_that_fails_says_why() {
        let error = run(shell("echo no such thing >&2; exit 3")).expect_err("fails");
        assert_eq!(error.downcast_ref::<Failed>().and_then(|failed| failed.status.code()), Some(3));
        assert!(error.to_string().contains("no such thing"), "{error}");
    }

    #[test]
    fn the_first_byte_is_not_waited_past() {
        assert!(first_byte(shell("echo x; exec sleep 1000")).expect("writes") < 100.0);
        assert!(first_byte(shell("exit 0")).is_err());
    }
}
