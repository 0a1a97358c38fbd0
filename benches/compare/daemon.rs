//! Daemons of other systems: started, awaited, and ended when dropped, each by the id of the process that was started.

use std::{
    fs::File,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use ostrakon_benches::interrupt;

/// How often something awaited is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A daemon that runs. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts it with its output in the file `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // In a group of its own: a Ctrl-C in the terminal is ours to pass on.
        command.process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Self { child })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `ready` says so.
///
/// # Errors
/// When it does not within `limit`; `what` names what was awaited.
pub(crate) fn until(what: &str, limit: Duration, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let since = Instant::now();
    while !ready()? {
        interrupt::check()?;
        ensure!(since.elapsed() < limit, "{what}: not within {} s", limit.as_secs());
        thread::sleep(LOOK);
    }
    Ok(())
}

/// Ports on 127.0.0.1 that were free just now.
///
/// # Errors
/// When there are none.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    // All are held until the last is found, so that none is found twice.
    let listeners: Vec<_> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// Asks for a page by HTTP; the answer as it came, head and all.
///
/// # Errors
/// When nobody answers.
pub(crate) fn http_get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_different() {
        let mut ports = free_ports(20).expect("there are so many");
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 20);
    }

    #[test]
    fn a_daemon_ends_with_its_value() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new("sleep");
        command.arg("1000");
        let daemon = Daemon::start(command, &dir.path().join("log")).expect("starts");
        let pid = daemon.pid();
        assert!(ostrakon_benches::proc::ticks(pid).is_some());
        drop(daemon);
        assert!(ostrakon_benches::proc::ticks(pid).is_none());
    }
}
