//! `validator`: the node of a data directory joins or leaves the validators. The owner's key signs the transactions;
//! any node of the network may forward them.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use ostrakon::{Client, key_file};
use ostrakon_node::{
    candidacy::Candidacy,
    config::{CONFIG_FILE, Config, GENESIS_FILE, Overrides, VALIDATOR_KEY_FILE, node_key, read_genesis},
};
use ostrakon_proto::{
    id::{AccountId, Amount, NodeId, VoteKey},
    ledger::{
        Genesis,
        state::Domain,
        tx::{Action, Leave, Move},
        vote::ValidatorKeys,
    },
    sign::Keypair,
};
use serde_json::json;
use tokio::{runtime, time::sleep};

use super::{
    DataDir, init,
    offer::{parse_announced, parse_domain},
    say, status,
};

/// How long the running node may take to find its new key.
const KEY_FOUND_IN: Duration = Duration::from_secs(30);
/// How often its status is checked for that.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Subcommand)]
pub(super) enum ValidatorCommand {
    /// Lock a bond and join the validators; the running node votes without a restart
    #[command(after_help = "If the network admits validators by vote, have the key admitted first:\n  \
        ostrakon-node init --dir DIR --validator    creates the key and prints it as `validator`\n  \
        ostrakon governance propose admit-validator KEY")]
    Join(JoinArgs),
    /// Change the addresses of the validator in the ledger; with [provider] in node.toml, the node does it by itself
    Move(MoveArgs),
    /// Leave the validators from the next block on; the bond is returned after the unbonding time
    Leave(OwnerArgs),
}

#[derive(Debug, Args)]
pub(super) struct OwnerArgs {
    #[command(flatten)]
    data_dir: DataDir,
    /// Key file of the owner [default: `owner_key_file` of [provider] in node.toml, else the node's key]
    #[arg(long, value_name = "FILE")]
    owner_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct MoveArgs {
    #[command(flatten)]
    owner: OwnerArgs,
    /// Public address of the node, such as /ip4/192.0.2.1/tcp/4001; repeat it for more
    #[arg(long = "address", value_name = "MULTIADDR", value_parser = parse_announced, required = true)]
    addresses: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct JoinArgs {
    #[command(flatten)]
    owner: OwnerArgs,
    /// Bond to lock, in obols; in a permissionless network each whole obol is one unit of voting power
    #[arg(long, value_name = "OBOLS")]
    bond: Amount,
    /// Public address of the node, such as /ip4/192.0.2.1/tcp/4001; repeat it for more [default: as a provider]
    #[arg(long = "address", value_name = "MULTIADDR", value_parser = parse_announced)]
    addresses: Vec<String>,
    /// Failure domain of the node [default: as a provider]
    #[arg(long, value_name = "OPERATOR/INFRASTRUCTURE/REGION", value_parser = parse_domain)]
    domain: Option<Domain>,
}

/// The node of a data directory, and a client with its owner's key.
pub(super) struct Operator {
    dir: PathBuf,
    config: Config,
    node: Keypair,
    owner: Keypair,
    pub(super) client: Client,
}

pub(super) fn validator(command: ValidatorCommand) -> anyhow::Result<()> {
    match command {
        ValidatorCommand::Join(args) => block_on(join(args)),
        ValidatorCommand::Move(MoveArgs { owner, addresses }) => block_on(async {
            let operator = Operator::open(owner)?;
            let key = operator.vote_key()?;
            let height = operator.perform(Action::Move(Move { key, addresses })).await?;
            say(&format!("{:#}\n", json!({ "validator": key, "moved_at": height })))
        }),
        ValidatorCommand::Leave(args) => block_on(async {
            let operator = Operator::open(args)?;
            let key = operator.vote_key()?;
            let height = operator.perform(Action::Leave(Leave { key })).await?;
            say(&format!("{:#}\n", json!({ "validator": key, "votes_until": height })))
        }),
    }
}

async fn join(args: JoinArgs) -> anyhow::Result<()> {
    let JoinArgs { owner, bond, addresses, domain } = args;
    let operator = Operator::open(owner)?;
    operator.check_funds(bond).await?;
    let (addresses, domain) = operator.whereabouts(addresses, domain).await?;
    let keys = init::validator_keys(&operator.dir)?;
    let key: VoteKey = keys.vote.public();
    // A validator must vote as soon as it has joined: the others wait for it.
    operator.wait_ready(key).await?;
    let candidacy = Candidacy { owner: operator.owner.public(), addresses, domain, bond };
    let join = candidacy.join(&operator.node, &keys, &operator.client.chain().rules().chain);
    let height = operator.perform(join).await?;
    say(&format!("{:#}\n", json!({ "validator": key, "bond": bond, "votes_from": height + 1 })))
}

impl Operator {
    pub(super) fn open(args: OwnerArgs) -> anyhow::Result<Self> {
        let OwnerArgs { data_dir: DataDir { dir }, owner_key } = args;
        let config = Config::load(&dir, &Overrides::default())?;
        let node = node_key(&dir)?;
        let configured = config.provider.as_ref().map(|provider| dir.join(&provider.owner_key_file));
        let owner = match owner_key.or(configured) {
            Some(path) => Keypair::from_seed(key_file::read(&path)?.bytes()),
            None => node.clone(),
        };
        let client = Client::connect(&network(&dir, &config)?, &owner)?;
        Ok(Self { dir, config, node, owner, client })
    }

    pub(super) fn id(&self) -> NodeId {
        self.node.public()
    }

    /// The key with which the node votes.
    fn vote_key(&self) -> anyhow::Result<VoteKey> {
        let path = self.dir.join(VALIDATOR_KEY_FILE);
        Ok(ValidatorKeys::from_seed(key_file::read(&path)?.bytes()).vote.public())
    }

    /// Submits the action, and waits for its block; returns the height.
    pub(super) async fn perform(&self, action: Action) -> anyhow::Result<u64> {
        Ok(self.client.perform(action).await?.height.0)
    }

    /// Checks the balance before anything is signed; the ledger checks again.
    async fn check_funds(&self, bond: Amount) -> anyhow::Result<()> {
        let (owner, balance): (AccountId, _) = (self.owner.public(), self.client.balance().await?);
        ensure!(
            bond < balance,
            "the owner's account {owner} has {balance} obols, too few for a bond of {bond} and a fee: fund it with \
             `ostrakon wallet send {owner} OBOLS`, or use another account with --owner-key"
        );
        Ok(())
    }

    /// The given values, else those of [provider] in the configuration, else those of the node as a provider in the
    /// ledger.
    async fn whereabouts(&self, given: Vec<String>, domain: Option<Domain>) -> anyhow::Result<(Vec<String>, Domain)> {
        let offered = self.config.provider.as_ref().map(|offer| (offer.addresses.clone(), offer.domain.clone()));
        let known = match offered {
            Some(offered) => Some(offered),
            None => {
                let found = self.client.chain().provider(self.id()).await?;
                found.map(|provider| (provider.addresses, provider.domain))
            }
        };
        match (given.is_empty(), domain, known) {
            (false, Some(domain), _) => Ok((given, domain)),
            (true, None, Some(known)) => Ok(known),
            (true, Some(domain), Some((addresses, _))) => Ok((addresses, domain)),
            (false, None, Some((_, domain))) => Ok((given, domain)),
            (_, _, None) => {
                bail!("this node is not a provider: give its address and domain with --address and --domain")
            }
        }
    }

    /// Waits until the running node has the key.
    async fn wait_ready(&self, key: VoteKey) -> anyhow::Result<()> {
        let dir = self.dir.display();
        let found = async {
            loop {
                let status = status::of_running(&self.dir)?.with_context(|| {
                    format!("no node is running in {dir}: start it first, because the others would wait for its votes")
                })?;
                if status.votes_with(&key) {
                    return Ok(());
                }
                sleep(LOOK_EVERY).await;
            }
        };
        let found = tokio::time::timeout(KEY_FOUND_IN, found).await;
        found.unwrap_or_else(|_| {
            bail!("the node in {dir} does not use {VALIDATOR_KEY_FILE}: check its log, and restart it")
        })
    }

    /// A node with a configured offer would register again once its bond is returned.
    pub(super) fn warn_of_offer(&self) -> anyhow::Result<()> {
        if self.config.provider.is_some() {
            let file = self.dir.join(CONFIG_FILE);
            let file = file.display();
            writeln!(
                io::stderr(),
                "remove [provider] from {file}, or the node registers again when its bond is returned"
            )?;
        }
        Ok(())
    }
}

/// The genesis, with the configured bootstrap nodes and the node itself added.
fn network(dir: &Path, config: &Config) -> anyhow::Result<Genesis> {
    let mut genesis = read_genesis(&dir.join(GENESIS_FILE))?;
    genesis.bootstrap.extend(config.bootstrap.iter().cloned());
    genesis.bootstrap.extend(status::of_running(dir)?.iter().flat_map(status::Status::dial));
    Ok(genesis)
}

pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    runtime::Builder::new_multi_thread().enable_all().build()?.block_on(Box::pin(work))
}
