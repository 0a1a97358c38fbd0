//! Tahoe-LAFS, the nearest relative: encrypted and erasure-coded, any 3 of 10 shares. An introducer, ten storage nodes
//! and the client's own node, each a process in front; `tahoe put` and `get` speak to the client's node.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ostrakon_benches::{ports, run};
use ostrakon_tests::process::{Daemon, until};

use crate::system::{Object, Start, System};

const SERVERS: usize = 10;
/// Servers that may be lost: any 3 of 10 shares restore a file, and each server has one.
const SPARE: usize = 7;
/// Python starts slowly, and twelve together more so.
const PATIENCE: Duration = Duration::from_secs(120);

/// A grid that runs.
#[derive(Debug)]
pub(crate) struct Tahoe {
    program: PathBuf,
    home: PathBuf,
    /// The storage nodes' directories are all in here.
    stores: PathBuf,
    web: u16,
    /// Under which directories are added.
    root: String,
    /// In the order of their numbers; none where one was killed.
    servers: Vec<Option<Daemon>>,
    client: Option<Daemon>,
    _introducer: Daemon,
}

impl Tahoe {
    /// Starts a grid in `dir`.
    ///
    /// # Errors
    /// When it does not come up.
    pub(crate) fn start(dir: &Path, peers: &Path) -> Result<Start> {
        let program = peers.join("tahoe/bin/tahoe");
        if !program.is_file() {
            return Ok(Start::Absent(format!("no {}: run benches/compare/install-peers.sh", program.display())));
        }
        let ports = ports::free_ports(SERVERS + 2)?;
        let (introducer_port, web, server_ports) = (ports[0], ports[1], &ports[2..]);
        let (home, stores) = (dir.to_owned(), dir.join("servers"));
        fs::create_dir(&stores)?;
        let introducer_dir = home.join("introducer");
        create(&program, "create-introducer", &reachable(introducer_port), &introducer_dir)?;
        let introducer = start_node(&program, &introducer_dir)?;
        let furl = introducer_dir.join("private/introducer.furl");
        until("the introducer's address", PATIENCE, || Ok(fs::read(&furl).is_ok_and(|text| !text.is_empty())))?;
        let furl = format!("--introducer={}", fs::read_to_string(&furl)?.trim());
        for (number, port) in server_ports.iter().enumerate() {
            let mut options = reachable(*port);
            options.extend([furl.clone(), "--webport=none".to_owned()]);
            create(&program, "create-node", &options, &server_dir(&stores, number))?;
        }
        let mut options = vec![furl, format!("--webport=tcp:{web}:interface=127.0.0.1")];
        options.extend(["--shares-needed=3", "--shares-happy=7", "--shares-total=10"].map(str::to_owned));
        create(&program, "create-client", &options, &home.join("client"))?;
        let servers = (0..SERVERS).map(|_| None).collect();
        let (client, root) = (None, String::new());
        let mut grid = Self { program, home, stores, web, root, servers, client, _introducer: introducer };
        grid.recover()?;
        grid.root = text(run::run(grid.command(&["mkdir"]))?.stdout)?;
        Ok(Start::Running(Box::new(grid)))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-d").arg(self.home.join("client")).args(args);
        command
    }

    /// How many servers the client's node is connected to.
    fn connected(&self) -> usize {
        let page = ports::http_get(self.web, "/?t=json").unwrap_or_default();
        page.matches(r#""connection_status": "connected""#).count()
    }
}

/// How a node is to be reached at this port.
fn reachable(port: u16) -> Vec<String> {
    vec![format!("--port=tcp:{port}:interface=127.0.0.1"), format!("--location=tcp:127.0.0.1:{port}")]
}

fn server_dir(stores: &Path, number: usize) -> PathBuf {
    stores.join(format!("server-{number:02}"))
}

fn create(program: &Path, verb: &str, options: &[String], dir: &Path) -> Result<()> {
    let mut command = Command::new(program);
    command.arg(verb).args(options).arg(dir);
    run::run(command).map(drop)
}

fn start_node(program: &Path, dir: &Path) -> Result<Daemon> {
    let mut command = Command::new(program);
    command.args(["run", "--allow-stdin-close"]).arg(dir);
    Daemon::start(command, &dir.join("node.log"))
}

fn text(stdout: Vec<u8>) -> Result<String> {
    let text = String::from_utf8(stdout).context("a capability is text")?;
    ensure!(text.contains("URI:"), "no capability: {text}");
    Ok(text.trim().to_owned())
}

impl System for Tahoe {
    fn daemons(&self) -> Result<Vec<u32>> {
        let all = self.servers.iter().flatten().chain(&self.client).chain([&self._introducer]);
        Ok(all.map(Daemon::pid).collect())
    }

    fn stores(&self) -> &Path {
        &self.stores
    }

    fn add(&self, source: &Path) -> Command {
        let mut command = self.command(&["put"]);
        command.arg(source);
        command
    }

    fn added(&self, source: &Path, stdout: &[u8]) -> Result<Object> {
        let link = if source.is_dir() {
            let name = source.file_name().unwrap_or_default().to_string_lossy();
            format!("{}/{name}", self.root)
        } else {
            text(stdout.to_vec())?
        };
        Ok(Object { link, holders: Vec::new() })
    }

    fn get(&self, object: &Object, to: &Path) -> Command {
        let mut command = self.command(&["get", &object.link]);
        command.arg(to);
        command
    }

    fn add_directory(&self, source: &Path) -> Command {
        let mut command = self.command(&["cp", "-r"]);
        command.arg(source).arg(&self.root);
        command
    }

    fn get_directory(&self, object: &Object, to: &Path) -> Result<Command> {
        fs::create_dir(to).with_context(|| format!("cannot make {}", to.display()))?;
        let mut command = self.command(&["cp", "-r", &object.link]);
        command.arg(to);
        Ok(command)
    }

    fn lose(&mut self, _object: &Object) -> Result<bool> {
        self.servers.iter_mut().take(SPARE).for_each(|server| *server = None);
        Ok(true)
    }

    fn recover(&mut self) -> Result<()> {
        for (number, server) in self.servers.iter_mut().enumerate().filter(|(_, server)| server.is_none()) {
            *server = Some(start_node(&self.program, &server_dir(&self.stores, number))?);
        }
        // The client too is restarted: one that has lost a server waits ever longer before it tries it again.
        self.client = None;
        self.client = Some(start_node(&self.program, &self.home.join("client"))?);
        until("all servers connected", PATIENCE, || Ok(self.connected() == SERVERS))
    }
}
