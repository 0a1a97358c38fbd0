//! `init`: creates a data directory. Existing keys are preserved, so that it can be run twice: first for the keys and
//! the offer that a genesis will name, and again with the genesis.

use std::{
    fs::{self, DirBuilder},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;
use ostrakon::key_file;
use ostrakon_net::address;
use ostrakon_node::{
    chain::{order::sign_state, sync::checkpoint::Checkpoint},
    config::{
        CONFIG_FILE, Config, GENESIS_FILE, NODE_KEY_FILE, Overrides, ProviderConfig, SIGN_STATE_FILE,
        VALIDATOR_KEY_FILE, other_key, read_genesis,
    },
};
use ostrakon_proto::{
    id::{AccountId, Amount, NodeId, VoterKind},
    ledger::{Genesis, full_bond, vote::ValidatorKeys},
    seed::Seed,
    sign::Keypair,
};
use serde_json::json;

use super::{
    member::block_on,
    offer::{OWNER_KEY_FILE, OfferArgs},
    reach, say,
};

/// What an owner needs beside the bond: enough for the fees of years.
const FEES: Amount = Amount(10_000_000);

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Data directory to create
    #[arg(long, env = "OSTRAKON_NODE_DIR", value_name = "DIR")]
    dir: PathBuf,
    /// Genesis file of the network, which is copied into the data directory
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Address to listen on, such as /ip4/0.0.0.0/tcp/4001; repeat it for more [default: where the public addresses
    /// lead, TCP and QUIC, else port 4001]
    #[arg(long, value_name = "MULTIADDR")]
    listen: Vec<String>,
    #[command(flatten)]
    offer: OfferArgs,
    /// A block that you trust, as HEIGHT:BLOCKID, from someone who runs a node (`ostrakon-node status` shows it); the
    /// node rejects a chain with another block at this height
    #[arg(long, value_name = "HEIGHT:BLOCKID")]
    checkpoint: Option<Checkpoint>,
    /// Also create a validator key, for a node that will vote on blocks
    #[arg(long)]
    validator: bool,
    /// Declare that the existing validator key has never signed anything, for a key that was created elsewhere. Without
    /// this, a node that has the key but no sign-state file assumes that the file was lost, and signs nothing until the
    /// other validators have moved on without it
    #[arg(long, requires = "validator")]
    never_voted: bool,
}

pub(super) fn init(args: &InitArgs) -> anyhow::Result<()> {
    let dir = &args.dir;
    let is_new = !dir.join(CONFIG_FILE).exists();
    // Asked before anything is created.
    let offer = if is_new { args.offer.complete()? } else { None };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(|| dir.display().to_string())?;
    if let Some(wrong) = other_key(dir) {
        bail!("{wrong}");
    }
    let node = Keypair::from_seed(key(&dir.join(NODE_KEY_FILE))?.bytes());
    if args.never_voted {
        sign_state::begin(&dir.join(SIGN_STATE_FILE))?;
    }
    let validator = match args.validator || dir.join(VALIDATOR_KEY_FILE).exists() {
        true => Some(validator_keys(dir)?),
        false => None,
    };
    write_config(dir, args, offer)?;
    if let Some(genesis) = &args.genesis {
        copy_genesis(genesis, &dir.join(GENESIS_FILE))?;
    }
    let config = Config::load(dir, &Overrides::default())?;
    let owner = match &config.provider {
        // A key that the operator names is not created: the name may be wrong.
        Some(offer) if offer.owner_key_file == Path::new(OWNER_KEY_FILE) => key(&dir.join(OWNER_KEY_FILE))?,
        Some(offer) => key_file::read(dir.join(&offer.owner_key_file))?,
        None => Seed::from(node.seed()),
    };
    let owner: AccountId = Keypair::from_seed(owner.bytes()).public();
    let id: NodeId = node.public();
    let mut identity = json!({ "dir": dir, "node": id, "owner": owner });
    if let Some(keys) = validator {
        identity["validator"] = json!(keys.vote.public::<VoterKind>());
        identity["beacon_key"] = json!(keys.beacon.public());
    }
    say(&format!("{identity:#}\n"))?;
    advise(dir, &config, (id, owner))
}

/// The validator keys in `dir`, created if there are none. The sign state is created first: a running node may be
/// looking for the key.
pub(super) fn validator_keys(dir: &Path) -> anyhow::Result<ValidatorKeys> {
    let path = dir.join(VALIDATOR_KEY_FILE);
    if !path.exists() {
        sign_state::begin(&dir.join(SIGN_STATE_FILE))?;
    }
    Ok(ValidatorKeys::from_seed(key(&path)?.bytes()))
}

/// The secret key in `path`, created if there is none.
fn key(path: &Path) -> anyhow::Result<Seed> {
    if !path.exists() {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).context("cannot get random bytes from the system to create a key")?;
        key_file::write(path, &Seed::new(seed))?;
    }
    Ok(key_file::read(path)?)
}

/// Writes the configuration, unless there is one.
fn write_config(dir: &Path, args: &InitArgs, provider: Option<ProviderConfig>) -> anyhow::Result<()> {
    let path = dir.join(CONFIG_FILE);
    if path.exists() {
        match args {
            InitArgs { listen, .. } if !listen.is_empty() => {
                bail!("{} exists already: change `listen` in it instead", path.display())
            }
            InitArgs { offer, .. } if !offer.is_empty() => {
                bail!("{} exists already: change its section [provider] instead", path.display())
            }
            InitArgs { checkpoint: Some(checkpoint), .. } => {
                bail!("{} exists already: add `checkpoint = \"{checkpoint}\"` to it instead", path.display())
            }
            _ => return Ok(()),
        }
    }
    let mut config = Config { checkpoint: args.checkpoint, provider, ..Config::default() };
    let announced = config.provider.iter().flat_map(|offer| &offer.addresses);
    let mut listen: Vec<String> = match args.listen.is_empty() {
        true => announced.filter_map(|text| address::endpoint(text).ok()).flat_map(|at| at.listening()).collect(),
        false => args.listen.clone(),
    };
    listen.sort_unstable();
    listen.dedup();
    if !listen.is_empty() {
        config.listen = listen;
    }
    fs::write(&path, config.to_toml()).with_context(|| path.display().to_string())
}

/// Copies a valid genesis; the genesis of another network is not replaced.
fn copy_genesis(from: &Path, to: &Path) -> anyhow::Result<()> {
    let genesis = read_genesis(from)?;
    if to.exists() && read_genesis(to)?.id() != genesis.id() {
        bail!("{} is the genesis of a different network: use another data directory", to.display());
    }
    fs::copy(from, to).with_context(|| to.display().to_string())?;
    Ok(())
}

/// Says what others cannot reach, and what comes next.
fn advise(dir: &Path, config: &Config, (node, owner): (NodeId, AccountId)) -> anyhow::Result<()> {
    let mut words = io::stderr().lock();
    if let Some(offer) = &config.provider {
        let unreachable = block_on(async { Ok(reach::unreachable(&config.listen, &offer.addresses).await) })?;
        for address in &unreachable {
            writeln!(words, "warning: {address}")?;
        }
        if !unreachable.is_empty() {
            writeln!(
                words,
                "check the address, and that a router or firewall lets it through to this machine; some routers hide \
                 it from this machine only, and once the node runs, `ostrakon-node status` says whether others reach it"
            )?;
        }
    }
    let genesis = dir.join(GENESIS_FILE);
    let genesis = if genesis.exists() { Some(read_genesis(&genesis)?) } else { None };
    Ok(writeln!(words, "{}", next(&dir.display().to_string(), config, genesis.as_ref(), (node, owner)))?)
}

/// The next command.
fn next(dir: &str, config: &Config, genesis: Option<&Genesis>, (node, owner): (NodeId, AccountId)) -> String {
    let run = format!("ostrakon-node run --dir {dir}");
    match (genesis, &config.provider) {
        (None, Some(_)) => format!(
            "next, for a new network: give the file of `ostrakon-node network card --dir {dir} -o CARD` to the \
             operator who creates it, with `ostrakon-node network create`\n\
             then, or for a network that exists: `ostrakon-node init --dir {dir} --genesis FILE`"
        ),
        (None, None) => format!("next: `ostrakon-node init --dir {dir} --genesis FILE`, with the network's genesis"),
        (Some(genesis), Some(offer)) if !genesis.providers.iter().any(|provider| provider.node == node) => {
            let bond = full_bond(&genesis.params.bonds, offer.capacity_bytes, offer.price_obols);
            let need = Amount(offer.bond_obols.unwrap_or(bond).0.saturating_add(FEES.0));
            format!(
                "next: `{run}`, which registers the node as soon as its owner's account {owner} can pay for the bond \
                 and fees: about {need} obols, which anyone who has some sends by `ostrakon wallet send {owner} {need}`"
            )
        }
        (Some(_), _) => format!("next: `{run}`"),
    }
}
