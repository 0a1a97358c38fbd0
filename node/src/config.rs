//! The configuration of a node: from flags, else the environment, else `node.toml`, else defaults.
//!
//! In comes a data directory with its files, out come checked values; all that are wrong are found together, each with
//! its key and what to change. [`check`] says what values must be, [`place`] what the machine must have, [`file`]
//! explains each key in the file that `init` writes. Not here: what the values do.
//!
//! ```text
//! <dir>/node.toml      this configuration; may be empty
//! <dir>/genesis.toml   the network
//! <dir>/node.key       the node's secret key (SPEC, "Key files")
//! <dir>/validator.key  the validator's secret key, on a validator only
//! <dir>/consensus.wal  write-ahead log of the block being decided
//! <dir>/sign-state     what the validator signed last; never restore it from a copy
//! <dir>/volumes.toml   the volumes with columns, which the node itself writes
//! <dir>/store/         columns: the first volume
//! <dir>/chain/         the ledger; beside it `chain.new` and `chain.ready` while a snapshot is restored
//! <dir>/lock           locked by the running node
//! <dir>/status.json    the status that the running node writes
//! ```

use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use ostrakon::{KeyFileError, key_file};
use ostrakon_net::swarm::SwarmLimits;
use ostrakon_proto::{
    id::Amount,
    ledger::{Genesis, GenesisError, state::Domain},
    sign::Keypair,
};
use serde::{Deserialize, Serialize};

mod check;
mod file;
mod place;

pub use check::{Wrong, announced};
pub use place::{other_key, volume_warnings};

use crate::{
    chain::{
        rocks::{Pruning, restore::LedgerDirs},
        sync::checkpoint::Checkpoint,
    },
    ledger_room::LedgerRoom,
    register::ProviderOffer,
};

/// Name of the configuration in a data directory.
pub const CONFIG_FILE: &str = "node.toml";
/// Name of the network's genesis.
pub const GENESIS_FILE: &str = "genesis.toml";
/// Name of the node's key.
pub const NODE_KEY_FILE: &str = "node.key";
/// Name of the consensus write-ahead log.
pub const CONSENSUS_LOG_FILE: &str = "consensus.wal";
/// Name of the sign-state file.
pub const SIGN_STATE_FILE: &str = "sign-state";
/// Name of a validator's key.
pub const VALIDATOR_KEY_FILE: &str = "validator.key";

/// Keys that a running node applies when it reads its configuration again.
const RELOADED: [&str; 2] = ["log", "provider"];

/// A node's configuration: `node.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Addresses to listen on, as libp2p multiaddresses; port 0 takes a free one.
    pub listen: Vec<String>,
    /// Nodes to connect to first, as addresses with `/p2p/`, beside those of the genesis.
    pub bootstrap: Vec<String>,
    /// Threads for disk and hashing.
    pub worker_threads: usize,
    /// Bytes of each disk that columns leave free; `None` is 5 % of the disk, at most 10 GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_reserve_bytes: Option<u64>,
    /// The log filter, as `info` or `info,ostrakon_node=debug`.
    pub log: String,
    /// Where metrics are served, as `127.0.0.1:9464`; nowhere without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
    /// Bytes of disk that the ledger may use, by which old blocks are pruned; 0 prunes nothing.
    pub ledger_budget_bytes: u64,
    /// Blocks between two snapshots of the ledger; 0 makes none, and then nothing is pruned.
    pub snapshot_interval_blocks: u64,
    /// A snapshot is restored if it is more than this many blocks ahead.
    pub snapshot_lead_blocks: u64,
    /// Bytes a second that repairs read, and as many that they send; 0 for no limit.
    pub repair_bytes_per_second: u64,
    /// A trusted checkpoint, as `HEIGHT:BLOCKID`; a chain with another block there is rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// The offer with which the node registers as a provider; a provider of the genesis needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderConfig>,
}

/// The section `[provider]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Key file of the owner, relative to the data directory: the account that bonds and is paid.
    #[serde(default = "default_owner_key")]
    pub owner_key_file: PathBuf,
    /// The node's public addresses, without `/p2p/`; none behind NAT, where it announces those that the router and
    /// relays give it.
    pub addresses: Vec<String>,
    /// Whether other nodes cannot open connections to this one, so that others must relay for it.
    #[serde(default)]
    pub behind_nat: bool,
    /// Whether the router is asked by UPnP to forward a TCP port to this node; `None` is [`Self::behind_nat`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_port: Option<bool>,
    /// Connections between other nodes that this one relays; 0 relays none.
    #[serde(default = "default_relayed_connections")]
    pub relayed_connections: usize,
    /// Price of one GiB for one epoch, in obols.
    pub price_obols: Amount,
    /// Capacity in bytes.
    pub capacity_bytes: u64,
    /// The bond in obols; without it, as much as stands behind the whole capacity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bond_obols: Option<Amount>,
    /// The failure domain.
    pub domain: Domain,
}

/// Values from flags and environment, which override the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Overrides {
    /// Addresses to listen on, such as /ip4/0.0.0.0/tcp/4001, separated by commas; port 0 takes a free one
    #[arg(long, env = "OSTRAKON_LISTEN", value_delimiter = ',', value_name = "MULTIADDR")]
    pub listen: Vec<String>,
    /// Nodes to connect to first, as addresses that end in /p2p/NODEID, separated by commas
    #[arg(long, env = "OSTRAKON_BOOTSTRAP", value_delimiter = ',', value_name = "MULTIADDR")]
    pub bootstrap: Vec<String>,
    /// Threads for disk and hashing
    #[arg(long, env = "OSTRAKON_WORKER_THREADS", value_name = "COUNT")]
    pub worker_threads: Option<usize>,
    /// Log filter, such as info or info,ostrakon_node=debug
    #[arg(long, env = "OSTRAKON_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// Serve metrics at http://ADDR/metrics for Prometheus, such as 127.0.0.1:9464
    #[arg(long, env = "OSTRAKON_METRICS", value_name = "ADDR")]
    pub metrics: Option<SocketAddr>,
}

/// An error in a data directory's files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file is missing or cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file is not TOML, or has a key that is unknown, missing or of the wrong type.
    #[error("invalid {}: {reason}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The line and the key.
        reason: String,
    },
    /// There is no configuration.
    #[error("{0} has no {CONFIG_FILE}: create the data directory with `ostrakon-node init`", dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no genesis.
    #[error(
        "{} does not exist: get the genesis from the operator who founded the network, and add it with `ostrakon-node \
         init`, or found a network with `ostrakon-node network`",
        path.display()
    )]
    NoGenesis {
        /// The file.
        path: PathBuf,
    },
    /// Values or files are wrong: all that are.
    #[error("invalid configuration {}, or flags and environment that override it:{}", path.display(), list(wrong))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        wrong: Vec<Wrong>,
    },
    /// The genesis breaks a rule.
    #[error("invalid genesis in {}: {source}", path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// The rule that it breaks.
        source: Box<GenesisError>,
    },
    /// A key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
}

fn list(wrong: &[Wrong]) -> String {
    wrong.iter().map(|wrong| format!("\n  {wrong}")).collect()
}

fn default_owner_key() -> PathBuf {
    PathBuf::from("account.key")
}

const fn default_relayed_connections() -> usize {
    SwarmLimits::CIRCUITS
}

/// A data directory that a node can run in.
#[derive(Debug)]
pub struct Checked {
    /// Its configuration.
    pub config: Config,
    /// Its network.
    pub genesis: Genesis,
    /// The node's key.
    pub keypair: Keypair,
}

impl Checked {
    /// The data directory `dir`, with `overrides` on top of its configuration.
    ///
    /// # Errors
    /// [`ConfigError`] names all values and files that are wrong.
    pub fn open(dir: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let (config, mut wrong) = Config::examine(dir, overrides)?;
        let (files, unusable) = place::examine(dir, &config);
        wrong.extend(unusable);
        match files {
            Some((genesis, keypair)) if wrong.is_empty() => Ok(Self { config, genesis, keypair }),
            _ => Err(ConfigError::Wrong { path: dir.join(CONFIG_FILE), wrong }),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec!["/ip4/0.0.0.0/tcp/4001".to_owned(), "/ip4/0.0.0.0/udp/4001/quic-v1".to_owned()],
            bootstrap: Vec::new(),
            worker_threads: 8,
            disk_reserve_bytes: None,
            log: "info".to_owned(),
            metrics: None,
            ledger_budget_bytes: 8 << 30,
            snapshot_interval_blocks: 10_000,
            snapshot_lead_blocks: 1_000,
            repair_bytes_per_second: 50 << 20,
            checkpoint: None,
            provider: None,
        }
    }
}

impl Config {
    /// The configuration of the data directory `dir`, with `overrides` on top.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and all keys that are wrong.
    pub fn load(dir: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let (config, wrong) = Self::examine(dir, overrides)?;
        if wrong.is_empty() { Ok(config) } else { Err(ConfigError::Wrong { path: dir.join(CONFIG_FILE), wrong }) }
    }

    /// The configuration, as far as it can be read, and all that is wrong with it.
    fn examine(dir: &Path, overrides: &Overrides) -> Result<(Self, Vec<Wrong>), ConfigError> {
        let path = dir.join(CONFIG_FILE);
        let text = read(&path).map_err(|error| match error {
            ConfigError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ConfigError::Missing { dir: dir.to_owned() }
            }
            error => error,
        })?;
        let (config, mut wrong) = Self::from_table(parse(&path, &text)?);
        let config = config.under(overrides);
        wrong.extend(check::values(&config));
        Ok((config, wrong))
    }

    /// Reads key by key, so that each one that cannot be read is named; it then has its default.
    fn from_table(table: toml::Table) -> (Self, Vec<Wrong>) {
        let (mut readable, mut wrong) = (toml::Table::new(), Vec::new());
        for (key, value) in table {
            let alone = toml::Table::from_iter([(key.clone(), value.clone())]);
            match alone.try_into::<Self>() {
                Ok(_) => drop(readable.insert(key, value)),
                Err(error) => wrong.push(Wrong::new(&key, format!("cannot be read: {}", error.message()))),
            }
        }
        (readable.try_into().expect("keys that can be read alone can be read together"), wrong)
    }

    /// The text of the file, with a comment on each key.
    pub fn to_toml(&self) -> String {
        file::text(self)
    }

    /// Which snapshots and blocks the ledger of the data directory `dir` stores.
    pub fn pruning(&self, dir: &Path) -> Pruning {
        let log = dir.join(CONSENSUS_LOG_FILE);
        let paths = LedgerDirs::new(dir).all().into_iter().chain([log]).collect();
        let room = Arc::new(LedgerRoom::new(paths, self.ledger_budget_bytes));
        Pruning { snapshot_interval_blocks: self.snapshot_interval_blocks, room }
    }

    /// The offer as a provider, with the owner's key.
    ///
    /// # Errors
    /// [`ConfigError`] when the key cannot be read.
    pub fn offer(&self, dir: &Path) -> Result<Option<ProviderOffer>, ConfigError> {
        let Some(provider) = self.provider.clone() else { return Ok(None) };
        let ProviderConfig { owner_key_file, addresses, domain, .. } = provider;
        let (price, capacity, bond) = (provider.price_obols, provider.capacity_bytes, provider.bond_obols);
        let owner = Keypair::from_seed(key_file::read(dir.join(owner_key_file))?.bytes());
        Ok(Some(ProviderOffer { owner, addresses, domain, price, capacity, bond }))
    }

    /// Whether other nodes cannot open connections to this one.
    pub fn is_behind_nat(&self) -> bool {
        self.provider.as_ref().is_some_and(|offer| offer.behind_nat)
    }

    /// Whether the router is asked to forward a port to this node.
    pub fn maps_port(&self) -> bool {
        self.provider.as_ref().is_some_and(|offer| offer.map_port.unwrap_or(offer.behind_nat))
    }

    /// Connections between other nodes that this one relays.
    pub fn relayed_connections(&self) -> usize {
        self.provider.as_ref().map_or(SwarmLimits::CIRCUITS, |offer| offer.relayed_connections)
    }

    /// The keys that differ in `new`: those that a running node applies, and those that need a restart.
    pub fn changes_to(&self, new: &Self) -> (Vec<String>, Vec<String>) {
        let table =
            |config| toml::Table::try_from(config).expect("a configuration has nothing that TOML cannot express");
        let network = |config: &Self| (config.is_behind_nat(), config.maps_port(), config.relayed_connections());
        // Of the section that is applied, this is how the network was started.
        let relays =
            (network(self) != network(new)).then(|| "provider.behind_nat, map_port, relayed_connections".to_owned());
        let (old, new): (toml::Table, toml::Table) = (table(self), table(new));
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let changed = keys.into_iter().filter(|key| old.get(*key) != new.get(*key)).cloned();
        changed.chain(relays).partition(|key| RELOADED.contains(&key.as_str()))
    }

    fn under(mut self, overrides: &Overrides) -> Self {
        let Overrides { listen, bootstrap, worker_threads, log, metrics } = overrides.clone();
        if !listen.is_empty() {
            self.listen = listen;
        }
        if !bootstrap.is_empty() {
            self.bootstrap = bootstrap;
        }
        self.worker_threads = worker_threads.unwrap_or(self.worker_threads);
        self.log = log.unwrap_or(self.log);
        self.metrics = metrics.or(self.metrics);
        self
    }
}

/// The key of the node of the data directory `dir`.
///
/// # Errors
/// [`ConfigError::Key`] when it cannot be read.
pub fn node_key(dir: &Path) -> Result<Keypair, ConfigError> {
    Ok(Keypair::from_seed(key_file::read(dir.join(NODE_KEY_FILE))?.bytes()))
}

/// The genesis in `path`, checked.
///
/// # Errors
/// [`ConfigError`] names the file and what is wrong.
pub fn read_genesis(path: &Path) -> Result<Genesis, ConfigError> {
    let text = read(path).map_err(|error| match error {
        ConfigError::File { source, path } if source.kind() == io::ErrorKind::NotFound => {
            ConfigError::NoGenesis { path }
        }
        error => error,
    })?;
    let genesis: Genesis = parse(path, &text)?;
    genesis.validate().map_err(|error| ConfigError::Genesis { path: path.to_owned(), source: Box::new(error) })?;
    Ok(genesis)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::Toml { path: path.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::seed::Seed;

    use super::*;

    fn load(text: &str, overrides: &Overrides) -> Result<Config, String> {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join(CONFIG_FILE), text).expect("written");
        Config::load(dir.path(), overrides).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_the_default_and_the_default_is_a_file() {
        let none = Overrides::default();
        assert_eq!(load("", &none), Ok(Config::default()));
        assert_eq!(load(&Config::default().to_toml(), &none), Ok(Config::default()));
    }

    #[test]
    fn flags_override_the_file() {
        let file = "listen = [\"/ip4/127.0.0.1/tcp/1\"]\nledger_budget_bytes = 50\n";
        let listen = vec!["/ip4/127.0.0.1/tcp/2".to_owned()];
        let got = load(file, &Overrides { listen: listen.clone(), ..Overrides::default() }).expect("valid");
        assert_eq!((got.listen, got.ledger_budget_bytes, got.log.as_str()), (listen, 50, "info"));
    }

    #[test]
    fn what_a_running_node_applies_is_told_from_what_needs_a_restart() {
        let old = Config::default();
        assert_eq!(old.changes_to(&old), (vec![], vec![]));
        let new =
            Config { log: "warn".to_owned(), ledger_budget_bytes: 1, disk_reserve_bytes: Some(1), ..Config::default() };
        let waiting = vec!["disk_reserve_bytes".to_owned(), "ledger_budget_bytes".to_owned()];
        assert_eq!(old.changes_to(&new), (vec!["log".to_owned()], waiting));
    }

    #[test]
    fn errors_name_the_file_and_the_key() {
        let check = |text, words: &[&str]| {
            let error = load(text, &Overrides::default()).expect_err("refused");
            words.iter().for_each(|word| assert!(error.contains(word), "{word:?} is not in {error}"));
        };
        check("lisen = []", &["node.toml", "lisen", "listen"]);
        check("listen = []", &["node.toml", "listen"]);
        check("worker_threads = 0", &["node.toml", "worker_threads"]);
        check("metrics = \"9464\"", &["node.toml", "metrics"]);
        check("metrics = \"9464\"\nlisen = []\nworker_threads = 0\nlog = 1", &["metrics", "lisen", "worker_", "log"]);
        check("[provider]\nprice_obols = \"1\"\n", &["node.toml", "addresses"]);
        check("[provider]\nprices = \"1\"\n", &["node.toml", "prices"]);
    }

    #[test]
    fn a_provider_offers_what_its_section_says() {
        let dir = tempfile::tempdir().expect("a directory");
        let text = "[provider]\naddresses = [\"/ip4/127.0.0.1/tcp/1\"]\nprice_obols = \"0.5\"\ncapacity_bytes = 7\n\
            [provider.domain]\noperator = \"o\"\ninfrastructure = \"i\"\nregion = \"r\"\n";
        fs::write(dir.path().join(CONFIG_FILE), text).expect("written");
        let config = Config::load(dir.path(), &Overrides::default()).expect("valid");
        assert!(config.offer(dir.path()).expect_err("no key").to_string().contains("account.key"));
        key_file::write(dir.path().join("account.key"), &Seed::new([5; 32])).expect("written");
        let offer = config.offer(dir.path()).expect("valid").expect("offered");
        assert_eq!((offer.price, offer.capacity), (Amount(500_000), 7));
    }
}
