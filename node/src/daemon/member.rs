//! `validator` and `provider`: takes the node of a data directory in among the validators, and out of the network's
//! service again. What is said to the ledger, the owner's key signs; any node of the network may carry it.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use ostrakon::{Client, Events};
use ostrakon_node::{
    config::{
        CONFIG_FILE, Config, GENESIS_FILE, NODE_KEY_FILE, Overrides, VALIDATOR_KEY_FILE, read_genesis, read_seed,
    },
    seat::Candidacy,
};
use ostrakon_proto::{
    id::{AccountId, Amount, NodeId, VoteKey},
    ledger::{
        Genesis,
        state::Domain,
        tx::{Action, Drain, Leave, Withdraw},
        vote::ValidatorKeys,
    },
    sign::Keypair,
};
use serde_json::json;
use tokio::{runtime, time::sleep};

use super::{Place, init, say, status};

/// How long the running node may take to find its new key.
const KEY_FOUND_IN: Duration = Duration::from_secs(30);
/// How often it is asked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Subcommand)]
pub(super) enum ValidatorCommand {
    /// Bonds and joins: the running node votes on blocks, without a restart.
    #[command(after_help = "Where validators are let in by vote, have this one's key voted in first:\n  \
        ostrakon-node init --dir D --validator      makes the key, and prints it as `validator`\n  \
        ostrakon governance propose admit-validator KEY")]
    Join(JoinArgs),
    /// Leaves: the node votes no more from the next block on, and its bond comes back after the unbonding time.
    Leave(OwnerArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum ProviderCommand {
    /// Takes nothing new, for good; what is kept stays until its term is over.
    Drain(OwnerArgs),
    /// Ends a drained provider that keeps nothing any more; its bond comes back after the unbonding time.
    Withdraw(OwnerArgs),
}

#[derive(Debug, Args)]
pub(super) struct OwnerArgs {
    #[command(flatten)]
    place: Place,
    /// File with the seed of the owner's key [default: `owner_key` of the section [provider], else the node's own key]
    #[arg(long, value_name = "FILE")]
    owner_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct JoinArgs {
    #[command(flatten)]
    owner: OwnerArgs,
    /// How many obols to lock: where anyone may join, each whole one is a vote.
    #[arg(long, value_name = "OBOLS")]
    bond: Amount,
    /// Where others reach the node, as `/ip4/192.0.2.1/tcp/4001`; may be said more than once [default: as its provider]
    #[arg(long = "address", value_name = "ADDRESS")]
    addresses: Vec<String>,
    /// What it fails together with, as OPERATOR/INFRASTRUCTURE/REGION [default: as its provider]
    #[arg(long, value_parser = parse_domain)]
    domain: Option<Domain>,
}

/// The node of a data directory, and a client that speaks for its owner.
struct Operator {
    dir: PathBuf,
    config: Config,
    node: Keypair,
    owner: Keypair,
    client: Client,
}

pub(super) fn validator(command: ValidatorCommand) -> anyhow::Result<()> {
    match command {
        ValidatorCommand::Join(args) => block_on(join(args)),
        ValidatorCommand::Leave(args) => block_on(async {
            let operator = Operator::open(args)?;
            let path = operator.dir.join(VALIDATOR_KEY_FILE);
            let key: VoteKey = ValidatorKeys::from_seed(&read_seed(&path)?).vote.public();
            let height = operator.perform(Action::Leave(Leave { key })).await?;
            say(&format!("{:#}\n", json!({ "validator": key, "votes_until": height })))
        }),
    }
}

pub(super) fn provider(command: ProviderCommand) -> anyhow::Result<()> {
    block_on(async {
        match command {
            ProviderCommand::Drain(args) => {
                let operator = Operator::open(args)?;
                let node = operator.id();
                let height = operator.perform(Action::Drain(Drain { node })).await?;
                say(&format!("{:#}\n", json!({ "provider": node, "drains_since": height })))
            }
            ProviderCommand::Withdraw(args) => {
                let operator = Operator::open(args)?;
                let node = operator.id();
                let height = operator.perform(Action::Withdraw(Withdraw { node })).await?;
                say(&format!("{:#}\n", json!({ "provider": node, "withdrawn_at": height })))?;
                operator.warn_of_offer()
            }
        }
    })
}

async fn join(args: JoinArgs) -> anyhow::Result<()> {
    let JoinArgs { owner, bond, addresses, domain } = args;
    let operator = Operator::open(owner)?;
    operator.check_funds(bond).await?;
    let (addresses, domain) = operator.whereabouts(addresses, domain).await?;
    let keys = init::validator_keys(&operator.dir)?;
    let key: VoteKey = keys.vote.public();
    // Who joins must vote from then on: others wait for it.
    operator.wait_ready(key).await?;
    let candidacy = Candidacy { owner: operator.owner.public(), addresses, domain, bond };
    let join = candidacy.join(&operator.node, &keys, &operator.client.chain().rules().chain);
    let height = operator.perform(join).await?;
    say(&format!("{:#}\n", json!({ "validator": key, "bond": bond, "votes_from": height + 1 })))
}

impl Operator {
    fn open(args: OwnerArgs) -> anyhow::Result<Self> {
        let OwnerArgs { place: Place { dir }, owner_key } = args;
        let config = Config::load(&dir, &Overrides::default())?;
        let node = Keypair::from_seed(&read_seed(&dir.join(NODE_KEY_FILE))?);
        let configured = config.provider.as_ref().map(|provider| dir.join(&provider.owner_key));
        let owner = match owner_key.or(configured) {
            Some(path) => Keypair::from_seed(&read_seed(&path)?),
            None => node.clone(),
        };
        let client = Client::connect(&network(&dir, &config)?, &owner)?;
        Ok(Self { dir, config, node, owner, client })
    }

    fn id(&self) -> NodeId {
        self.node.public()
    }

    /// Says it, and waits for the block; gives its height.
    async fn perform(&self, action: Action) -> anyhow::Result<u64> {
        Ok(self.client.perform(action, &Events::none()).await?.height.0)
    }

    /// Said before anything is signed; the ledger looks again.
    async fn check_funds(&self, bond: Amount) -> anyhow::Result<()> {
        let (owner, balance): (AccountId, _) = (self.owner.public(), self.client.balance().await?);
        ensure!(
            bond < balance,
            "the owner's account {owner} has {balance} obols, too few for a bond of {bond} and a fee: pay it some by \
             `ostrakon wallet send {owner} OBOLS`, or name the key of another with --owner-key"
        );
        Ok(())
    }

    /// What was given, else what the configuration offers, else what the ledger has of the node as a provider.
    async fn whereabouts(&self, given: Vec<String>, domain: Option<Domain>) -> anyhow::Result<(Vec<String>, Domain)> {
        let offered = self.config.provider.as_ref().map(|offer| (offer.addresses.clone(), offer.domain.clone()));
        let known = match offered {
            Some(offered) => Some(offered),
            None => {
                let mut found = self.client.chain().providers(&[self.id()]).await?;
                found.remove(&self.id()).map(|provider| (provider.addresses, provider.domain))
            }
        };
        match (given.is_empty(), domain, known) {
            (false, Some(domain), _) => Ok((given, domain)),
            (true, None, Some(known)) => Ok(known),
            (true, Some(domain), Some((addresses, _))) => Ok((addresses, domain)),
            (false, None, Some((_, domain))) => Ok((given, domain)),
            (_, _, None) => bail!("this node is no provider: say where it is with --address and --domain"),
        }
    }

    /// Waits until the running node has the key.
    async fn wait_ready(&self, key: VoteKey) -> anyhow::Result<()> {
        let dir = self.dir.display();
        let found = async {
            loop {
                let status = status::of_running(&self.dir)?.with_context(|| {
                    format!(
                        "no node runs in {dir}: start it first, for the others wait for who joins and does not vote"
                    )
                })?;
                if status.votes_with(&key) {
                    return Ok(());
                }
                sleep(LOOK_EVERY).await;
            }
        };
        let found = tokio::time::timeout(KEY_FOUND_IN, found).await;
        found.unwrap_or_else(|_| {
            bail!("the node in {dir} does not vote with {VALIDATOR_KEY_FILE}: see its log, and restart it")
        })
    }

    /// A node that offers itself would register again once its bond is back.
    fn warn_of_offer(&self) -> anyhow::Result<()> {
        if self.config.provider.is_some() {
            let file = self.dir.join(CONFIG_FILE);
            let words = "or the node registers again once its bond is back";
            writeln!(io::stderr(), "delete the section [provider] of {}, {words}", file.display())?;
        }
        Ok(())
    }
}

/// The network, with the nodes that the operator knows, and the node itself, among those to ask.
fn network(dir: &Path, config: &Config) -> anyhow::Result<Genesis> {
    let mut genesis = read_genesis(&dir.join(GENESIS_FILE))?;
    genesis.bootstrap.extend(config.bootstrap.iter().cloned());
    genesis.bootstrap.extend(status::of_running(dir)?.iter().flat_map(status::Status::dial));
    Ok(genesis)
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    runtime::Builder::new_multi_thread().enable_all().build()?.block_on(Box::pin(work))
}

fn parse_domain(text: &str) -> Result<Domain, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let [operator, infrastructure, region] = parts.as_slice() else {
        return Err("a domain is OPERATOR/INFRASTRUCTURE/REGION".to_owned());
    };
    let part = |text: &&str| (*text).to_owned();
    Ok(Domain { operator: part(operator), infrastructure: part(infrastructure), region: part(region) })
}
