//! Runs one command to its end, and measures what it cost: itself, and the daemons that worked for it.
//!
//! Time ends when the command does. CPU time is that of the command and all it started, and of the daemons until they
//! are calm again: what they do for the command after it has ended counts as well. It does not include the kernel's own
//! threads. Memory is the highest sum over command and daemons of what each had resident, as sampled; pages that
//! processes share are counted in each of them.

use std::{
    io::Read,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    interrupt, proc,
    process::{self, Outcome, Running},
};

/// No command may take longer.
const PATIENCE: Duration = Duration::from_secs(3600);
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

/// A command that ended with an error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failed(pub Outcome);

/// Runs a command that must succeed.
///
/// # Errors
/// [`Failed`] when it does not; or when it cannot be run, or a signal came.
pub fn run(command: Command) -> Result<Outcome> {
    Ok(measure(command, &[], idle(&[])?)?.0)
}

/// As [`run`], with these daemons working for it, which were so before.
///
/// # Errors
/// As [`run`]; and when one of the daemons ends before the command does.
pub fn measure(command: Command, daemons: &[u32], before: Idle) -> Result<(Outcome, Cost)> {
    let (growth, before) = (before.growth, all_ticks(daemons)?);
    let running = Running::spawn(command, Stdio::null())?;
    let (processes, mut peak_bytes) = ([daemons, &[running.pid()]].concat(), 0);
    let sample = || {
        let resident = processes.iter().copied().filter_map(proc::resident_bytes);
        peak_bytes = peak_bytes.max(resident.sum());
    };
    let outcome = running.wait_sampling(PATIENCE, SAMPLE, sample)?;
    if !outcome.status.success() {
        return Err(Failed(outcome).into());
    }
    let cpu_seconds = proc::seconds(calm(daemons, growth)?.ticks.saturating_sub(before));
    let cost = Cost { seconds: outcome.took.as_secs_f64(), cpu_seconds, peak_bytes };
    Ok((outcome, cost))
}

/// Runs a command until the first byte of its stdout is there; returns the seconds until then, and ends it.
///
/// # Errors
/// When it writes nothing.
pub fn first_byte(mut command: Command) -> Result<f64> {
    let line = process::line(&command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let since = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start `{line}`"))?;
    let read = child.stdout.take().context("stdout is a pipe")?.read(&mut [0]);
    let seconds = since.elapsed().as_secs_f64();
    // It may have ended by itself, which is as well.
    let _ = child.kill();
    child.wait()?;
    ensure!(read.context("cannot read its output")? == 1, "`{line}` wrote nothing");
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
            // Up to before the calm that was waited for, which belongs to no command.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_output_and_cost_of_a_command_are_measured() {
        let script = "echo out; echo err >&2; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        let (outcome, cost) = measure(shell(script), &[], idle(&[]).expect("nothing runs")).expect("succeeds");
        assert_eq!((outcome.stdout.as_slice(), outcome.stderr.as_str()), (b"out\n".as_slice(), "err\n"));
        assert!(cost.cpu_seconds > 0.0, "{cost:?}");
        assert!(cost.seconds > 0.0 && cost.peak_bytes > 0, "{cost:?}");
    }

    #[test]
    fn a_command_that_fails_says_why() {
        let error = run(shell("echo no such thing >&2; exit 3")).expect_err("fails");
        assert_eq!(error.downcast_ref::<Failed>().and_then(|failed| failed.0.code), Some(3));
        assert!(error.to_string().contains("no such thing"), "{error}");
    }

    #[test]
    fn the_first_byte_is_not_waited_past() {
        assert!(first_byte(shell("echo x; exec sleep 1000")).expect("writes") < 100.0);
        assert!(first_byte(shell("exit 0")).is_err());
    }
}
