//! Nodes that begin late and ask a liar among others: they name it, and join by what the others say.
//!
//! The network is a made chain of one validator; the liar has the same chain, and a snapshot of it. Each lie meets a
//! node with an empty disk.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use ostrakon::key_file;
use ostrakon_proto::{id::NodeId, seed::Seed, sign::Keypair};
use ostrakon_tests::{
    cluster::{Binaries, NodeStatus, Running, until},
    liar,
    made_chain::{self, Length},
};

use super::named;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Key of the node that lies.
const LIAR: [u8; 32] = [150; 32];
/// What a node says when it began with a snapshot.
const JOINED: &str = "snapshot restored and proven by its block";

/// Lies to a validator that asks whether it lost blocks, and what it says of who told them.
const AT_START: [(&str, &str); 1] = [("head-far-ahead", "cannot catch up from a node that claims to be ahead")];
/// Lies to a node that takes a snapshot while others have it too, and what it says of who told them.
const WITH_OTHERS: [(&str, &str); 8] = [
    ("snapshot-invented", "node offers a snapshot that trusted validators did not certify"),
    ("snapshot-of-usurpers", "node offers a snapshot that trusted validators did not certify"),
    ("chunk-altered", "node sent an invalid snapshot chunk"),
    ("chunk-lacks-a-record", "node sent an invalid snapshot chunk"),
    ("chunk-has-a-record-twice", "node sent an invalid snapshot chunk"),
    ("chunk-withheld", "node does not have all of the snapshot that it offers"),
    ("history-altered", "node sent an invalid proof of past blocks"),
    ("history-withheld", "node does not have all past blocks' hashes"),
];
/// Lies to a node that follows blocks and has nobody else, and what it says of who told them.
const ALONE: [(&str, &str); 5] = [
    ("sent-block-lacks-transactions", "sent an invalid block"),
    ("sent-block-unsigned", "sent an invalid block"),
    ("sent-block-of-strangers", "sent an invalid block"),
    ("sent-blocks-withheld", "has no new blocks"),
    ("sent-block-altered", "sent an invalid block"),
];

/// The names of the lies that are tried here.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    AT_START.iter().chain(&WITH_OTHERS).chain(&ALONE).map(|(name, _)| *name)
}

/// Tries them all; how many.
pub(super) fn run(binaries: &Binaries) -> Result<usize> {
    let home = binaries.directory()?;
    let scene = Scene::make(binaries, home.path())?;
    let _liar = Process::start(&binaries.liar, &scene.liar, &[])?;
    let (start, warns) = AT_START[0];
    scene.lie(start)?;
    let validator = scene.validator()?;
    scene.is_named(&validator, warns)?;
    let checkpoint = scene.checkpoint()?;
    for (name, warns) in WITH_OTHERS {
        scene.with_others(name, warns, &checkpoint).with_context(|| format!("a node that is told {name:?}"))?;
    }
    drop(validator);
    let mut last = None;
    for (name, warns) in ALONE {
        drop(last.take());
        let told = scene.alone(name, warns, &checkpoint);
        last = Some(told.with_context(|| format!("a node that is told {name:?} and knows nobody else"))?);
    }
    // The liar continues, and an honest node is back.
    let (_validator, late) = (scene.validator()?, last.context("there are lies")?);
    scene.reaches(&late.dir, scene.size.blocks)?;
    Ok(names().count())
}

/// The made chain, and where everybody is.
struct Scene<'a> {
    binaries: &'a Binaries,
    home: PathBuf,
    size: Length,
    /// The liar's directory, its address and its name.
    liar: PathBuf,
    address: String,
    node: String,
}

/// A process whose log can be read while it runs. Dropping it kills it.
struct Process {
    dir: PathBuf,
    child: Child,
}

impl<'a> Scene<'a> {
    fn make(binaries: &'a Binaries, home: &Path) -> Result<Self> {
        let port = || Ok::<u16, std::io::Error>(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let (mine, liars) = (port()?, port()?);
        let size = Length {
            blocks: 120,
            commitments: 3_000,
            snapshot_blocks: 50,
            budget_bytes: 0,
            port: mine,
            ..Length::default()
        };
        made_chain::make(&home.join("validator"), &size)?;
        let liar = home.join("liar");
        copy(&home.join("validator"), &liar)?;
        fs::remove_file(liar.join("validator.key"))?;
        fs::remove_file(liar.join("node.key"))?;
        key_file::write(liar.join("node.key"), &Seed::new(LIAR))?;
        let place = format!("/ip4/127.0.0.1/tcp/{liars}");
        let config = fs::read_to_string(liar.join("node.toml"))?;
        fs::write(liar.join("node.toml"), config.replace(&format!("/ip4/127.0.0.1/tcp/{mine}"), &place))?;
        let node: NodeId = Keypair::from_seed(&LIAR).public();
        let address = format!("{place}/p2p/{node}");
        Ok(Self { binaries, home: home.to_owned(), size, liar, address, node: node.to_string() })
    }

    fn lie(&self, name: &str) -> Result<()> {
        liar::tell_from_now_on(&self.liar, Some(named(name)))
    }

    fn was_told(&self, name: &str) -> Result<()> {
        until("the lie was told", LIMIT, || Ok(liar::times_told(&self.liar, named(name)) > 0))
    }

    /// The one validator, which knows of the liar.
    fn validator(&self) -> Result<Process> {
        Process::start(&self.binaries.node, &self.home.join("validator"), &["--bootstrap", &self.address])
    }

    /// The newest block of the validator, as its operator would tell others.
    fn checkpoint(&self) -> Result<String> {
        let dir = self.home.join("validator");
        self.reaches(&dir, self.size.blocks + 1)?;
        let NodeStatus { height, block, .. } = self.binaries.node_status(&dir)?;
        Ok(format!("{height}:{block}"))
    }

    fn reaches(&self, dir: &Path, height: u64) -> Result<()> {
        until(&format!("{} is at height {height}", dir.display()), LIMIT, || {
            let written = dir.join("status.json").exists();
            Ok(written && self.binaries.node_status(dir).is_ok_and(|status| status.running && status.height >= height))
        })
    }

    /// A new node, for which a snapshot this many blocks ahead is worth it.
    fn late(&self, name: &str, checkpoint: &str, lead: u64) -> Result<Process> {
        let (dir, genesis) = (self.home.join(name), self.liar.join("genesis.toml"));
        let (dir_text, genesis) = (dir.to_string_lossy(), genesis.to_string_lossy());
        let place = ["init", "--dir", &dir_text, "--genesis", &genesis, "--listen", "/ip4/127.0.0.1/tcp/0"];
        let args = [&place[..], &["--checkpoint", checkpoint]].concat();
        Running::start(&self.binaries.node, &args)?.wait(LIMIT)?.expect_code(0)?;
        let config = fs::read_to_string(dir.join("node.toml"))?;
        fs::write(
            dir.join("node.toml"),
            config.replace("snapshot_lead_blocks = 1000", &format!("snapshot_lead_blocks = {lead}")),
        )?;
        Process::start(&self.binaries.node, &dir, &["--bootstrap", &self.address])
    }

    /// Takes a snapshot of the validator, and what the liar has in its place names it.
    fn with_others(&self, name: &str, warns: &str, checkpoint: &str) -> Result<()> {
        self.lie(name)?;
        let late = self.late(name, checkpoint, 10)?;
        self.was_told(name)?;
        until("it begins with the snapshot", LIMIT, || Ok(late.log()?.contains(JOINED)))?;
        self.is_named(&late, warns)
    }

    /// Follows nobody rather than the liar, which it names.
    fn alone(&self, name: &str, warns: &str, checkpoint: &str) -> Result<Process> {
        self.lie(name)?;
        let late = self.late(name, checkpoint, 1_000)?;
        self.was_told(name)?;
        self.is_named(&late, warns)?;
        Ok(late)
    }

    /// A line of the log says this of the liar.
    fn is_named(&self, process: &Process, says: &str) -> Result<()> {
        let names = |line: &str| line.contains(says) && line.contains(&self.node);
        let seen = until("the liar is named", LIMIT, || Ok(process.log()?.lines().any(names)));
        seen.with_context(|| format!("no line says {says:?} of {}: {}", self.node, process.log().unwrap_or_default()))
    }
}

impl Process {
    fn start(program: &Path, dir: &Path, flags: &[&str]) -> Result<Self> {
        let log = File::create(dir.join("node.log"))?;
        let mut command = Command::new(program);
        command.args(["run", "--dir"]).arg(dir).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { dir: dir.to_owned(), child })
    }

    fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.dir.join("node.log"))?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies a directory with all that is below.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() { copy(&path, &to)? } else { fs::copy(&path, &to).map(drop)? }
    }
    Ok(())
}
