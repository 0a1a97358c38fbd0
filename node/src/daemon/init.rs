//! `init`: creates a data directory. Existing keys are preserved, so that it can be run twice: first for the identity
//! that a genesis will name, and again with the genesis.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;
use ostrakon::key_file;
use ostrakon_node::{
    chain::{order::sign_state, sync::checkpoint::Checkpoint},
    config::{
        CONFIG_FILE, Config, GENESIS_FILE, NODE_KEY_FILE, SIGN_STATE_FILE, VALIDATOR_KEY_FILE, lost_key, read_genesis,
    },
};
use ostrakon_proto::{
    id::{NodeId, VoterKind},
    ledger::vote::ValidatorKeys,
    seed::Seed,
    sign::Keypair,
};
use serde_json::json;

use super::say;

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Data directory to create
    #[arg(long, env = "OSTRAKON_NODE_DIR", value_name = "DIR")]
    dir: PathBuf,
    /// Genesis file of the network, which is copied into the data directory
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Address to listen on, as /ip4/0.0.0.0/tcp/4001; repeat it for more [default: port 4001, TCP and QUIC]
    #[arg(long, value_name = "MULTIADDR")]
    listen: Vec<String>,
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
    DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(|| dir.display().to_string())?;
    if let Some(lost) = lost_key(dir) {
        bail!("{lost}");
    }
    let node: NodeId = Keypair::from_seed(key(&dir.join(NODE_KEY_FILE))?.bytes()).public();
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
    let mut identity = json!({ "dir": dir, "node": node });
    if let Some(keys) = validator {
        identity["validator"] = json!(keys.vote.public::<VoterKind>());
        identity["beacon_key"] = json!(keys.beacon.public());
    }
    say(&format!("{identity:#}\n"))
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
fn write_config(dir: &Path, args: &InitArgs) -> anyhow::Result<()> {
    let path = dir.join(CONFIG_FILE);
    if path.exists() {
        match args {
            InitArgs { listen, .. } if !listen.is_empty() => {
                bail!("{} exists already: change `listen` in it instead", path.display())
            }
            InitArgs { checkpoint: Some(checkpoint), .. } => {
                bail!("{} exists already: add `checkpoint = \"{checkpoint}\"` to it instead", path.display())
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

/// Copies a valid genesis; the genesis of another network is not replaced.
fn copy_genesis(from: &Path, to: &Path) -> anyhow::Result<()> {
    let genesis = read_genesis(from)?;
    if to.exists() && read_genesis(to)?.id() != genesis.id() {
        bail!("{} is the genesis of a different network: use another data directory", to.display());
    }
    fs::copy(from, to).with_context(|| to.display().to_string())?;
    Ok(())
}
