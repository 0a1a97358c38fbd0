//! Node processes on this machine: which run, starting one, ending some. Which process is a node's is read from what
//! the system says it was started as, never from a number kept in a file: so no other process is ever signalled.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io,
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};
use tokio::time::{Instant, sleep};

use crate::exit::{Context, other};

/// How often a process that is to end is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How long a node may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(20);
/// How long the system may take to end a process that was killed: it may be in the middle of a write to disk.
const DEATH: Duration = Duration::from_secs(30);

/// The processes of nodes, by data directory.
pub(crate) fn running() -> BTreeMap<PathBuf, Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    numbers.filter_map(|pid| Some((node_dir(&command_line(pid))?, pid))).collect()
}

/// The data directories somewhere below `dir` whose nodes run.
pub(crate) fn running_below(dir: &Path) -> Vec<PathBuf> {
    running().into_keys().filter(|data_dir| data_dir.starts_with(dir)).collect()
}

fn command_line(pid: Pid) -> Vec<u8> {
    fs::read(format!("/proc/{}/cmdline", pid.as_raw_pid())).unwrap_or_default()
}

/// The data directory in `.. run --dir DIR`, as `/proc/PID/cmdline` has it.
fn node_dir(command_line: &[u8]) -> Option<PathBuf> {
    let words: Vec<&[u8]> = command_line.split(|byte| *byte == 0).collect();
    let found = words.windows(3).skip(1).find(|words| words[0] == b"run" && words[1] == b"--dir")?;
    (!found[2].is_empty()).then(|| PathBuf::from(std::ffi::OsStr::from_bytes(found[2])))
}

/// The node's program: what `OSTRAKON_NODE_BIN` names, else beside this one, else on the path.
///
/// # Errors
/// When there is none, with where it was looked for.
pub(crate) fn node_program() -> crate::Result<PathBuf> {
    if let Some(named) = std::env::var_os("OSTRAKON_NODE_BIN").map(PathBuf::from) {
        let named = fs::canonicalize(&named)
            .context(format_args!("OSTRAKON_NODE_BIN is set to {}, which cannot be used", named.display()))?;
        return Ok(named);
    }
    let beside = std::env::current_exe().ok().map(|exe| exe.with_file_name("ostrakon-node"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("ostrakon-node"));
    let found = beside.iter().cloned().chain(on_path).find(|candidate| candidate.is_file());
    found.ok_or_else(|| {
        let beside = beside.map_or_else(String::new, |path| format!("at {}, nor ", path.display()));
        other(format!(
            "found no ostrakon-node {beside}on PATH; build it with `cargo build --release -p ostrakon-node`, \
             or set OSTRAKON_NODE_BIN to it"
        ))
    })
}

/// Notes in `data_dir` that its validator, whose key was made just now, has never signed anything: without, it would
/// ask the others whether it has.
///
/// # Errors
/// When the node's program cannot.
pub(crate) fn note_new_validator(program: &Path, data_dir: &Path) -> crate::Result<()> {
    let mut command = Command::new(program);
    command.args(["init", "--validator", "--never-voted", "--dir"]).arg(data_dir);
    let done = without_settings(&mut command).output().context(format_args!("cannot run {}", program.display()))?;
    let said = String::from_utf8_lossy(&done.stderr);
    match done.status.success() {
        true => Ok(()),
        false => Err(other(format!("`{} init` failed: {}", program.display(), said.trim_end()))),
    }
}

/// Starts the node of `data_dir` in a process group of its own, with its words going to `node.log` there.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn start(program: &Path, data_dir: &Path) -> crate::Result<()> {
    let log_path = data_dir.join("node.log");
    let log = OpenOptions::new().create(true).append(true).open(&log_path);
    let log = log.context(format_args!("cannot write {}", log_path.display()))?;
    let mut command = Command::new(program);
    command.arg("run").arg("--dir").arg(data_dir).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let child = without_settings(&mut command).process_group(0).spawn();
    wait_named(child.context(format_args!("cannot start {}", program.display()))?, data_dir)
}

/// Settings for the one who calls us are not for the nodes: they have their files.
fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"OSTRAKON_")) {
        command.env_remove(name);
    }
    command
}

/// Waits the moment until the system shows the new process under its name: before, nobody could find it to end it. One
/// that has ended already is somebody else's finding.
fn wait_named(mut child: Child, data_dir: &Path) -> crate::Result<()> {
    let pid = Pid::from_child(&child);
    while node_dir(&command_line(pid)).is_none_or(|found| found != data_dir) && child.try_wait()?.is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Ends the nodes of these directories immediately, as `kill -9` does, and waits until they are gone.
///
/// # Errors
/// When one may not be signalled, or stays.
pub(crate) async fn kill(data_dirs: &[PathBuf]) -> crate::Result<()> {
    let pids = signal(data_dirs, Signal::KILL)?;
    let left = wait_gone(pids, DEATH).await;
    match left.is_empty() {
        true => Ok(()),
        false => Err(other(format!("still running {} s after SIGKILL: {}", DEATH.as_secs(), list(&left)))),
    }
}

/// Asks the nodes of these directories to end, waits, and kills those that do not.
///
/// # Errors
/// As [`kill`].
pub(crate) async fn stop(data_dirs: &[PathBuf]) -> crate::Result<()> {
    let pids = signal(data_dirs, Signal::TERM)?;
    let left = wait_gone(pids, GRACE).await;
    if left.is_empty() { Ok(()) } else { kill(&left.into_keys().collect::<Vec<_>>()).await }
}

/// As [`kill`], but blocks and says nothing: for the way out, when nothing can be awaited any more.
pub(crate) fn kill_quietly(data_dirs: &[PathBuf]) {
    let deadline = std::time::Instant::now() + DEATH;
    let mut pids = signal(data_dirs, Signal::KILL).unwrap_or_default();
    while !pids.is_empty() && std::time::Instant::now() < deadline {
        std::thread::sleep(LOOK);
        pids.retain(|dir, pid| !is_gone(*pid, dir));
    }
}

/// Signals the nodes of these directories that run, and returns those.
fn signal(data_dirs: &[PathBuf], signal: Signal) -> crate::Result<BTreeMap<PathBuf, Pid>> {
    let mut targets = running();
    targets.retain(|dir, _| data_dirs.contains(dir));
    for (dir, pid) in &targets {
        let sent = signal_one(dir, *pid, signal);
        sent.context(format_args!("cannot signal process {} of {}", pid.as_raw_pid(), dir.display()))?;
    }
    Ok(targets)
}

/// The handle pins the process before it is looked at, so what is signalled is what was looked at.
fn signal_one(dir: &Path, pid: Pid, signal: Signal) -> io::Result<()> {
    let sent = pidfd_open(pid, PidfdFlags::empty()).and_then(|handle| {
        let ours = node_dir(&command_line(pid)).is_some_and(|found| found == dir);
        if ours { pidfd_send_signal(&handle, signal) } else { Ok(()) }
    });
    match sent {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => Ok(other?),
    }
}

/// Waits until these processes are gone; returns those that are not after `patience`.
async fn wait_gone(mut pids: BTreeMap<PathBuf, Pid>, patience: Duration) -> BTreeMap<PathBuf, Pid> {
    let deadline = Instant::now() + patience;
    pids.retain(|dir, pid| !is_gone(*pid, dir));
    while !pids.is_empty() && Instant::now() < deadline {
        sleep(LOOK).await;
        pids.retain(|dir, pid| !is_gone(*pid, dir));
    }
    pids
}

/// Whether the process has ended, its last thread included: only then has it let go of its files. One that ended and
/// whose parent has not taken note has no command line either, so that alone does not tell.
fn is_gone(pid: Pid, dir: &Path) -> bool {
    let command_line = command_line(pid);
    if !command_line.is_empty() {
        return node_dir(&command_line).is_none_or(|found| found != dir);
    }
    // A child of ours is taken note of here; of others' children their parents do.
    let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    let threads = fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid())).map_or(0, Iterator::count);
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
    threads <= 1 && stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

fn list(pids: &BTreeMap<PathBuf, Pid>) -> String {
    let names: Vec<String> =
        pids.iter().map(|(dir, pid)| format!("process {} of {}", pid.as_raw_pid(), dir.display())).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_known_by_how_it_was_started() {
        let check = |words: &str, expect: Option<&str>| {
            let line = words.replace(' ', "\0") + "\0";
            assert_eq!(node_dir(line.as_bytes()), expect.map(PathBuf::from), "{words}");
        };
        check("/x/ostrakon-node run --dir /tmp/d/node-00", Some("/tmp/d/node-00"));
        check("sh /x/wrapper run --dir /d", Some("/d"));
        check("ostrakon-node run --dir", None);
        check("ostrakon-node run --directory /d", None);
        check("vi node-00", None);
        check("", None);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_node_is_started_found_and_killed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data_dir = fs::canonicalize(dir.path()).expect("is there");
        let program = data_dir.join("program");
        fs::write(&program, "#!/bin/sh\necho started; while true; do read x < /dev/zero; done\n").expect("writes");
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("is ours");
        start(&program, &data_dir).expect("starts");
        assert!(running().contains_key(&data_dir));
        kill(std::slice::from_ref(&data_dir)).await.expect("is killed");
        assert!(!running().contains_key(&data_dir));
        kill(&[data_dir]).await.expect("nothing to kill is not an error");
    }
}
