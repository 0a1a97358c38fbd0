//! Tells the service manager what the node does: the protocol of `sd_notify(3)`, one datagram for each change of state.
//!
//! In comes the socket that systemd names in `NOTIFY_SOCKET`, a path or an abstract name; without it nothing is sent.
//! Which state the node is in is the caller's to know.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// How long the service manager may take to receive a datagram when many wait already.
const PATIENCE: Duration = Duration::from_secs(1);

/// The service manager, if there is one.
#[derive(Debug)]
pub(super) struct ServiceManager {
    socket: Option<OsString>,
}

impl ServiceManager {
    /// The one that started this process.
    pub(super) fn of_process() -> Self {
        Self { socket: env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) }
    }

    /// The node serves.
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// The node reads its configuration again; [`ServiceManager::ready`] ends that.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The node was asked to end.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, state: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = send(socket.as_bytes(), state) {
            tracing::warn!(?socket, state, %error, "cannot notify the service manager");
        }
    }
}

fn send(socket: &[u8], state: &str) -> io::Result<()> {
    let address = match socket {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    let sender = UnixDatagram::unbound()?;
    // A manager that does not read must not stop the node.
    sender.set_write_timeout(Some(PATIENCE))?;
    sender.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_arrive_at_paths_and_abstract_names() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, name) = (dir.path().join("notify"), format!("ostrakon-notify-{}", std::process::id()));
        let abstract_name = SocketAddr::from_abstract_name(&name).expect("a name");
        for (bound, socket) in [
            (UnixDatagram::bind(&path), path.into_os_string()),
            (UnixDatagram::bind_addr(&abstract_name), format!("@{name}").into()),
        ] {
            let (manager, socket) = (bound.expect("bound"), ServiceManager { socket: Some(socket) });
            let read = || {
                let mut buffer = [0; 128];
                let length = manager.recv(&mut buffer).expect("a datagram");
                String::from_utf8(buffer[..length].to_vec()).expect("text")
            };
            socket.ready();
            assert_eq!(read(), "READY=1");
            socket.reloading();
            let reloading = read();
            let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").map(str::parse::<u64>);
            assert!(matches!(micros, Some(Ok(1..))), "{reloading}");
            socket.stopping();
            assert_eq!(read(), "STOPPING=1");
        }
        ServiceManager { socket: Some("/nowhere/notify".into()) }.ready();
        ServiceManager { socket: None }.ready();
    }
}
