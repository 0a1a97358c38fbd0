//! Who takes part in a network that lets in by vote: a provider and a validator that were not voted in are refused and
//! then taken; the validator votes without a restart, and leaves again; and no infrastructure gets more of the votes
//! than its share. All of it by the commands that operators use.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ostrakon::key_file;
use ostrakon_proto::{id::AccountId, sign::Keypair};
use ostrakon_tests::{
    cluster::{Cluster, NodeInfo, Outcome, Running, Shape, until},
    scenarios::Stage,
};
use serde::Deserialize;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);
/// What a validator locks, in obols, and what it needs for that and for fees.
const BOND: &str = "1000";
const MONEY: &str = "2000";
/// Blocks that must be decided after a change.
const CONTINUES: u64 = 3;

/// A validator, as `ledger validators` prints it.
#[derive(Debug, Deserialize)]
struct Row {
    key: String,
}

#[derive(Debug, Deserialize)]
struct Validators {
    validators: Vec<Row>,
}

/// What `ledger block` prints.
#[derive(Debug, Deserialize)]
struct Block {
    signatures: usize,
    signers: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Head {
    height: u64,
}

/// What `governance propose` and `vote` print.
#[derive(Debug, Deserialize)]
struct Proposal {
    number: u64,
    state: String,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let shape = Shape { nodes: 6, domains: 5, validators: 4 };
    let network = Network(Cluster::start_as(shape, &["--permissioned"])?);
    let nodes = network.0.status()?.nodes;
    let stranger = Stranger::start(&network, &stage.cluster.binaries.node)?;
    stranger.is_refused()?;
    network.decide(&["admit-provider", &stranger.id])?;
    let joined_in = comes_and_goes(&network, &nodes[4])?;
    too_large_a_share(&network, &nodes[5])?;
    stranger.is_taken(&network)?;
    Ok(format!(
        "a provider and a validator were refused, voted in and taken; this one voted from block {joined_in} on and \
         left; a second one in one infrastructure was refused"
    ))
}

/// The network of this scenario; its profile's account decides alone.
struct Network(Cluster);

impl Network {
    /// Runs `ostrakon-node ARGS --dir ..` for a node of it.
    fn operate(&self, node: &NodeInfo, args: &[&str]) -> Result<Outcome> {
        let dir = node.data_dir.to_string_lossy();
        Running::start(&self.0.binaries.node, &[args, &["--dir", &dir]].concat())?.wait(LIMIT)
    }

    fn propose(&self, change: &[&str]) -> Result<Proposal> {
        self.0.run(&[&["governance", "propose"], change].concat())?.json()
    }

    /// Proposes a change and carries it out.
    fn decide(&self, change: &[&str]) -> Result<()> {
        let Proposal { number, state } = self.propose(change)?;
        ensure!(state == "open", "proposal {number} is {state} before anyone has voted");
        let voted: Proposal = self.0.run(&["governance", "vote", &number.to_string(), "yes"])?.json()?;
        ensure!(voted.state == "passed", "who decides alone has voted yes, and proposal {number} is {}", voted.state);
        Ok(())
    }

    fn pay(&self, account: AccountId, obols: &str) -> Result<()> {
        self.0.run(&["wallet", "send", &account.to_string(), obols])?.expect_code(0).map(drop)
    }

    fn height(&self) -> Result<u64> {
        self.0.run(&["ledger", "head"])?.json::<Head>().map(|head| head.height)
    }

    fn block(&self, height: u64) -> Result<Block> {
        self.0.run(&["ledger", "block", &height.to_string()])?.json()
    }

    fn validators(&self) -> Result<Vec<String>> {
        let listed: Validators = self.0.run(&["ledger", "validators"])?.json()?;
        Ok(listed.validators.into_iter().map(|row| row.key).collect())
    }

    /// Waits for some blocks more.
    fn continues(&self) -> Result<u64> {
        let wanted = self.height()? + CONTINUES;
        until("blocks continue", LIMIT, || Ok(self.height()? >= wanted))?;
        Ok(wanted)
    }
}

fn refused(outcome: &Outcome, names: &str) -> Result<()> {
    ensure!(outcome.code.is_some_and(|code| code != 0), "this should have been refused: {outcome}");
    ensure!(outcome.said().contains(names), "the message does not name {names:?}: {outcome}");
    Ok(())
}

/// The account of a node's own key.
fn account(dir: &Path) -> Result<AccountId> {
    Ok(Keypair::from_seed(key_file::read(dir.join("node.key"))?.bytes()).public())
}

/// What a node votes with; made if it has nothing.
fn vote_key(network: &Network, node: &NodeInfo) -> Result<String> {
    let made: serde_json::Value = network.operate(node, &["init", "--validator"])?.json()?;
    Ok(made["validator"].as_str().context("`init --validator` prints the key")?.to_owned())
}

/// A fifth validator votes as soon as it has joined, without a restart, and no more when it has left. Gives the height
/// from which it votes.
fn comes_and_goes(network: &Network, node: &NodeInfo) -> Result<u64> {
    let join = ["validator", "join", "--bond", BOND];
    refused(&network.operate(node, &join)?, "ostrakon wallet send")?;
    network.pay(account(&node.data_dir)?, MONEY)?;
    refused(&network.operate(node, &join)?, "is not admitted")?;
    let key = vote_key(network, node)?;
    network.decide(&["admit-validator", &key])?;
    let joined: serde_json::Value = network.operate(node, &join)?.json()?;
    let first = joined["votes_from"].as_u64().context("`validator join` prints from when on it votes")?;
    ensure!(network.validators()?.contains(&key), "{key} has joined, and is not a validator");
    let mut next = first;
    until("the fifth validator signs a block", LIMIT, || {
        if network.height()? < next {
            return Ok(false);
        }
        let Block { signatures, signers } = network.block(next)?;
        ensure!(signatures >= 4, "block {next} has {signatures} signatures: of five equals, four must sign");
        next += 1;
        Ok(signers.contains(&key))
    })?;
    refused(&network.operate(node, &join)?, "each validator needs its own")?;

    let left: serde_json::Value = network.operate(node, &["validator", "leave"])?.json()?;
    let last = left["votes_until"].as_u64().context("`validator leave` prints until when it votes")?;
    let height = network.continues()?;
    ensure!(height > last, "no block was decided after the fifth validator had left");
    ensure!(!network.block(height)?.signers.contains(&key), "{key} has left, and signed block {height}");
    ensure!(network.validators()?.len() == 4, "after one of five has left, there are not four");
    Ok(first)
}

/// The sixth node is on the infrastructure of the first, which is a validator.
fn too_large_a_share(network: &Network, node: &NodeInfo) -> Result<()> {
    let changes = network.0.files.join("changes.toml");
    fs::write(&changes, "[governance]\nmax_power_share = 20\n")?;
    network.decide(&["params", &changes.to_string_lossy()])?;
    network.pay(account(&node.data_dir)?, MONEY)?;
    network.decide(&["admit-validator", &vote_key(network, node)?])?;
    refused(&network.operate(node, &["validator", "join", "--bond", BOND])?, "would have 40 % of the voting power")?;
    network.continues().map(drop)
}

/// A node that the genesis does not know, and that offers itself as a provider. Killed when dropped.
struct Stranger {
    id: String,
    dir: PathBuf,
    process: Child,
}

impl Stranger {
    fn start(network: &Network, program: &Path) -> Result<Self> {
        let (dir, port) = (network.0.files.join("stranger"), TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let (place, address) = (dir.to_string_lossy(), format!("/ip4/127.0.0.1/tcp/{port}"));
        let genesis = network.0.profile().join("genesis.toml");
        let genesis = genesis.to_string_lossy();
        let init = ["init", "--dir", &place, "--genesis", &genesis, "--listen", &address];
        let made: serde_json::Value = Running::start(program, &init)?.wait(LIMIT)?.json()?;
        let offer = format!(
            "[provider]\nowner_key_file = \"node.key\"\naddresses = [\"{address}\"]\nprice_obols = \"0.001\"\n\
             capacity_bytes = 1000000\n\
             [provider.domain]\noperator = \"stranger\"\ninfrastructure = \"elsewhere\"\nregion = \"far\"\n"
        );
        let settings = fs::read_to_string(dir.join("node.toml"))?;
        fs::write(dir.join("node.toml"), format!("disk_reserve_bytes = 1\n{settings}\n{offer}"))?;
        network.pay(account(&dir)?, MONEY)?;
        let log = File::create(dir.join("node.log"))?;
        let mut command = Command::new(program);
        command.args(["run", "--dir", &place]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let id = made["node"].as_str().context("`init` prints the node")?.to_owned();
        Ok(Self { id, process: command.spawn().context("cannot start a node")?, dir })
    }

    fn is_refused(&self) -> Result<()> {
        until("the ledger refuses a provider that nobody let in", LIMIT, || {
            Ok(fs::read_to_string(self.dir.join("node.log"))?.contains("is not admitted"))
        })
    }

    fn is_taken(&self, network: &Network) -> Result<()> {
        until("the ledger has the provider that was voted in", LIMIT, || {
            let listed: serde_json::Value = network.0.run(&["providers"])?.json()?;
            let providers = listed["providers"].as_array().context("`providers` prints a list")?;
            Ok(providers.iter().any(|provider| provider["provider"] == self.id.as_str()))
        })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // It may have ended by itself, which is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
