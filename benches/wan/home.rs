//! A client behind a line of its own, and a network of nodes with good ones.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ostrakon_benches::{beside, float, scratch};
use ostrakon_proto::sign::Keypair;
use ostrakon_tests::{
    content,
    distant::{Network, Places, key},
    process::{Running, say},
    router::{Link, Passed, Site},
};
use serde::Deserialize;

use crate::cases::{Case, HOLDER, Kind};

const VALIDATORS: usize = 4;
/// No command takes longer: 64 MiB at a third of 10 Mbit/s, three times over.
const LONGEST: Duration = Duration::from_secs(900);
/// Where plain TCP listens.
const PORT: u16 = 4_444;

/// The client, and its network.
#[derive(Debug)]
pub(crate) struct Home {
    network: Network,
    client: Site,
    profile: PathBuf,
    files: PathBuf,
    command: PathBuf,
    made: u64,
}

/// What a command moved.
#[derive(Debug)]
pub(crate) struct Moved {
    /// Bytes that had to go over the line.
    pub(crate) bytes: f64,
    pub(crate) took: Duration,
    pub(crate) passed: Vec<Passed>,
}

#[derive(Debug, Deserialize)]
struct Added {
    link: String,
    stored_bytes: u64,
    columns_failed: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Got {
    columns_failed: Vec<serde_json::Value>,
}

/// What tells a network's addresses and devices from those of the one before, which may still be closing.
const fn number(nodes: u8) -> u8 {
    100 + nodes
}

impl Home {
    /// So many nodes, four of which validate.
    pub(crate) fn start(nodes: u8) -> Result<Self> {
        say(&format!("==> {nodes} nodes start"));
        let binaries = beside()?;
        let directory = scratch(None)?;
        let mut places = Places::new(number(nodes), nodes)?;
        let client = places.router.place("home")?;
        let account: Keypair = key("home", 0);
        let files = directory.path().join("files");
        fs::create_dir(&files)?;
        let run = (binaries.join("ostrakon-node"), directory);
        let network = Network::start((&run.0, run.1), (places, VALIDATORS), std::slice::from_ref(&account), HOLDER)?;
        let profile = network.profile("home", &account)?;
        Ok(Self { network, client, profile, files, command: binaries.join("ostrakon"), made: 0 })
    }

    pub(crate) fn nodes(&self) -> u8 {
        u8::try_from(self.network.nodes.len()).unwrap_or(u8::MAX)
    }

    /// Adds a fresh file over the case's line, and fetches it.
    pub(crate) fn there_and_back(&mut self, case: &Case) -> Result<(Moved, Moved)> {
        self.network.router.set(&self.client, case.link());
        let (added, moved) = self.add(case)?;
        ensure!(added.columns_failed.is_empty(), "holders were given up: {:?}", added.columns_failed);
        Ok((moved, self.get(case, &added.link)?))
    }

    /// The same where one holder of the file has a line that is a hundred times slower than the client's.
    pub(crate) fn slow_holder(&mut self, case: &Case) -> Result<(Moved, Moved)> {
        let link = case.link();
        self.network.router.set(&self.client, link);
        let slow = Link { rate_bits: link.rate_bits / 100, ..HOLDER };
        let last = self.network.places.last().context("a network has nodes")?.clone();
        self.network.router.set(&last, slow);
        let outcome = self.add(case).and_then(|(added, moved)| Ok((moved, self.get(case, &added.link)?)));
        self.network.router.set(&last, HOLDER);
        outcome
    }

    fn add(&mut self, case: &Case) -> Result<(Added, Moved)> {
        self.made += 1;
        let file = self.files.join(format!("file-{}", self.made));
        content::write_file(&file, self.made, case.bytes)?;
        let code = case.code.to_string();
        let (added, took, passed): (Added, _, _) = self.run(&["add", "--code", &code], &[&file])?;
        let bytes = float(added.stored_bytes);
        Ok((added, Moved { bytes, took, passed }))
    }

    fn get(&self, case: &Case, link: &str) -> Result<Moved> {
        let (file, back) = (self.files.join(format!("file-{}", self.made)), self.files.join("back"));
        // Of a case that failed.
        let _old = fs::remove_file(&back);
        let (got, took, passed): (Got, _, _) = self.run(&["get", link, "-o"], &[&back])?;
        ensure!(fs::read(&file)? == fs::read(&back)?, "other bytes came back");
        ensure!(got.columns_failed.is_empty() || case.kind == Kind::SlowHolder, "{:?}", got.columns_failed);
        fs::remove_file(back)?;
        fs::remove_file(file)?;
        Ok(Moved { bytes: float(case.bytes), took, passed })
    }

    /// Runs the command at home.
    fn run<T: serde::de::DeserializeOwned>(
        &self,
        args: &[&str],
        paths: &[&Path],
    ) -> Result<(T, Duration, Vec<Passed>)> {
        let mut command = self.client.command(&self.command);
        command.arg("--profile").arg(&self.profile).arg("--json").args(args).args(paths);
        let _before = self.network.router.passed(&self.client);
        let outcome = Running::spawn(command, Stdio::null())?.wait(LONGEST)?;
        Ok((outcome.json()?, outcome.took, self.network.router.passed(&self.client)))
    }

    /// Bytes a second that so many plain connections carry over the case's line, up or down.
    pub(crate) fn plain(&self, case: &Case, streams: usize, up: bool) -> Result<f64> {
        self.network.router.set(&self.client, case.link());
        let (program, there) = (std::env::current_exe()?, &self.network.places[0]);
        let side = |place: &Site, rest: &[&str]| {
            let mut command = place.command(&program);
            command.args(["plain", "--streams", &streams.to_string(), "--bytes", &case.bytes.to_string()]);
            command.args(rest).args(up.then_some("--up"));
            Running::spawn(command, Stdio::null())
        };
        let listening = side(there, &["--port", &PORT.to_string()])?;
        let to = format!("{}:{PORT}", there.address);
        let took: f64 = side(&self.client, &["--to", &to])?.wait(LONGEST)?.json()?;
        listening.wait(LONGEST)?.expect_code(0)?;
        Ok(float(case.bytes) / took)
    }
}
