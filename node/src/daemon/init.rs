//! `init`: makes a data directory. Keys that are there already are kept, so that it can be said twice: once for the
//! identity that a genesis will name, and again with the genesis.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;
use ostrakon_net::peer_id_text;
use ostrakon_node::{
    chain::{order::sign_state, sync::checkpoint::Checkpoint},
    config::{
        CONFIG_FILE, Config, GENESIS_FILE, NODE_KEY_FILE, SIGN_STATE_FILE, VALIDATOR_KEY_FILE, read_genesis, read_seed,
        write_secret,
    },
};
use ostrakon_proto::{
    id::{NodeId, VoterKind},
    ledger::vote::ValidatorKeys,
    sign::Keypair,
};
use serde_json::json;

use super::say;

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The data directory to make.
    #[arg(long, env = "OSTRAKON_NODE_DIR")]
    dir: PathBuf,
    /// The network's genesis file, which is copied.
    #[arg(long)]
    genesis: Option<PathBuf>,
    /// Addresses to listen on, as `/ip4/0.0.0.0/tcp/4001`; may be given more than once.
    #[arg(long)]
    listen: Vec<String>,
    /// Seed of the node's key, 64 hexadecimal digits, for test networks; without it the key is random.
    #[arg(long)]
    seed: Option<String>,
    /// A block of the network that you believe in, as `HEIGHT:BLOCKID`: a chain with another one there is refused. For
    /// a node that begins late, from people who run one (`status` tells it).
    #[arg(long)]
    checkpoint: Option<Checkpoint>,
    /// Also makes a validator's key, for a node that will vote on blocks.
    #[arg(long)]
    validator: bool,
    /// The validator's key that is there has never signed anything: for one that was made elsewhere. Without this a
    /// node that has only the key takes it that it has lost its memory, and is silent until the others decided without
    /// it.
    #[arg(long, requires = "validator")]
    never_voted: bool,
}

pub(super) fn init(args: &InitArgs) -> anyhow::Result<()> {
    let dir = &args.dir;
    DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(|| dir.display().to_string())?;
    let node: NodeId = Keypair::from_seed(&key(&dir.join(NODE_KEY_FILE), args.seed.as_deref())?).public();
    if args.never_voted {
        sign_state::begin(&dir.join(SIGN_STATE_FILE))?;
    }
    let validator = match args.validator || dir.join(VALIDATOR_KEY_FILE).exists() {
        true => Some(validator_keys(dir)?),
        false => None,
    };
    write_config(dir, args)?;
    if let Some(genesis) = &args.genesis {
        copy_genesis(genesis, &dir.join(GENESIS_FILE))?;
    }
    let mut identity = json!({ "dir": dir, "node": node, "peer": peer_id_text(&node) });
    if let Some(keys) = validator {
        identity["validator"] = json!(keys.vote.public::<VoterKind>());
        identity["beacon_key"] = json!(keys.beacon.public());
    }
    say(&format!("{identity:#}\n"))
}

/// What the node of `dir` votes with, made if there is nothing. That it has signed nothing yet is noted first: a
/// running node may look for the key.
pub(super) fn validator_keys(dir: &Path) -> anyhow::Result<ValidatorKeys> {
    let path = dir.join(VALIDATOR_KEY_FILE);
    if !path.exists() {
        sign_state::begin(&dir.join(SIGN_STATE_FILE))?;
    }
    Ok(ValidatorKeys::from_seed(&key(&path, None)?))
}

/// The seed in `path`, made if there is none.
fn key(path: &Path, given: Option<&str>) -> anyhow::Result<[u8; 32]> {
    if !path.exists() {
        let seed = match given {
            Some(given) => given.to_owned(),
            None => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).context("the system gives no random bytes for a key")?;
                hex::encode(seed)
            }
        };
        write_secret(path, &format!("{seed}\n"))?;
    }
    let seed = read_seed(path)?;
    if given.is_some_and(|given| given != hex::encode(seed)) {
        bail!("{} has another key already; it is not replaced", path.display());
    }
    Ok(seed)
}

/// Writes the configuration, unless there is one.
fn write_config(dir: &Path, args: &InitArgs) -> anyhow::Result<()> {
    let path = dir.join(CONFIG_FILE);
    if path.exists() {
        match args {
            InitArgs { listen, .. } if !listen.is_empty() => bail!("{} exists: change `listen` there", path.display()),
            InitArgs { checkpoint: Some(checkpoint), .. } => {
                bail!("{} exists: write `checkpoint = \"{checkpoint}\"` there", path.display())
            }
            _ => return Ok(()),
        }
    }
    let mut config = Config { checkpoint: args.checkpoint, ..Config::default() };
    if !args.listen.is_empty() {
        config.listen.clone_from(&args.listen);
    }
    fs::write(&path, config.to_toml()).with_context(|| path.display().to_string())
}

/// Copies a genesis that is valid; another one is not replaced.
fn copy_genesis(from: &Path, to: &Path) -> anyhow::Result<()> {
    let genesis = read_genesis(from)?;
    if to.exists() && read_genesis(to)?.id() != genesis.id() {
        bail!("{} is of another network: use another directory", to.display());
    }
    fs::copy(from, to).with_context(|| to.display().to_string())?;
    Ok(())
}
