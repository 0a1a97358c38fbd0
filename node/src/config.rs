//! What an operator may set, and where it comes from: flag, else environment, else file, else default.
//!
//! In comes a data directory with its files, out come checked values; every error names the file and what to change.
//! Not here: what the values do.
//!
//! ```text
//! <dir>/node.toml      this configuration; may be empty
//! <dir>/genesis.toml   the network
//! <dir>/node.key       seed of the node's key, 64 hexadecimal digits
//! <dir>/validator.key  seed of the keys that a validator votes with, on a validator only
//! <dir>/consensus.wal  what a validator said and heard of the block being decided
//! <dir>/sign-state     what a validator signed last; never restore it from a copy
//! <dir>/store/         columns
//! <dir>/chain/         the ledger; beside it `chain.new` and `chain.ready` while a snapshot is taken
//! <dir>/lock           held by the running node
//! <dir>/status.json    what the running node last said of itself
//! ```

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use ostrakon_proto::{
    id::Amount,
    ledger::{Genesis, GenesisError, state::Domain},
    sign::Keypair,
};
use serde::{Deserialize, Serialize};

use crate::{
    chain::{rocks::Keep, sync::checkpoint::Checkpoint},
    register::Offer,
};

/// Name of the configuration in a data directory.
pub const CONFIG_FILE: &str = "node.toml";
/// Name of the network's genesis.
pub const GENESIS_FILE: &str = "genesis.toml";
/// Name of the node's key.
pub const NODE_KEY_FILE: &str = "node.key";
/// Name of the log of the block being decided.
pub const CONSENSUS_LOG_FILE: &str = "consensus.wal";
/// Name of what a validator remembers of what it signed.
pub const SIGN_STATE_FILE: &str = "sign-state";
/// Name of a validator's key.
pub const VALIDATOR_KEY_FILE: &str = "validator.key";

/// A node's configuration: `node.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen, as libp2p addresses; port 0 takes a free one.
    pub listen: Vec<String>,
    /// Nodes to begin with, as addresses with `/p2p/`, beside those of the genesis.
    pub bootstrap: Vec<String>,
    /// The longest time between two blocks, if this node is the validator. Shorter costs disk and history.
    pub block_interval_ms: u64,
    /// Threads for disk and hashing: more serve more readers at once, and take more of the machine.
    pub workers: usize,
    /// Bytes of the disk that columns leave free; without it 5 %, at most 10 GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_free: Option<u64>,
    /// What is logged, as `info` or `info,ostrakon_node=debug`.
    pub log: String,
    /// So many of the newest blocks are kept, for those who follow; 0 keeps all, for ever.
    pub keep_blocks: u64,
    /// Every so many blocks the state is kept aside for those who begin late; 0 never does, and then all blocks stay.
    /// Others take a snapshot from several nodes at once when these agree here.
    pub snapshot_blocks: u64,
    /// A snapshot is taken instead of blocks when it is more than so many blocks ahead.
    pub snapshot_lead: u64,
    /// A block that the chain has, as `HEIGHT:BLOCKID`; a chain with another one there is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// What the node offers, if it registers itself with the ledger; a node of the genesis needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderConfig>,
}

/// The section `[provider]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// File with the seed of the owner's key, from the data directory: the account that bonds and is paid.
    #[serde(default = "default_owner_key")]
    pub owner_key: PathBuf,
    /// Where others reach the node, without `/p2p/`.
    pub addresses: Vec<String>,
    /// Price of one GiB for one epoch, in obols.
    pub price: Amount,
    /// Bytes offered.
    pub capacity: u64,
    /// What the node fails together with.
    pub domain: Domain,
}

/// What flags and environment say; what they leave out, the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// See [`Config::listen`].
    pub listen: Vec<String>,
    /// See [`Config::bootstrap`].
    pub bootstrap: Vec<String>,
    /// See [`Config::block_interval_ms`].
    pub block_interval_ms: Option<u64>,
    /// See [`Config::workers`].
    pub workers: Option<usize>,
    /// See [`Config::log`].
    pub log: Option<String>,
}

/// What is wrong with a data directory's files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file is missing or cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not TOML, or has a field that is unknown, missing or of another kind.
    #[error("{}: {reason}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Which line and field.
        reason: String,
    },
    /// A value cannot be.
    #[error("{}: {field} {reason}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The genesis breaks a rule.
    #[error("{}: {source}", path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// Which rule.
        source: Box<GenesisError>,
    },
    /// A key file has no key.
    #[error("{}: a key file has 64 hexadecimal digits", path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
}

fn default_owner_key() -> PathBuf {
    PathBuf::from("account.key")
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec!["/ip4/0.0.0.0/tcp/4001".to_owned(), "/ip4/0.0.0.0/udp/4001/quic-v1".to_owned()],
            bootstrap: Vec::new(),
            block_interval_ms: 1000,
            workers: 8,
            keep_free: None,
            log: "info".to_owned(),
            keep_blocks: 100_000,
            snapshot_blocks: 10_000,
            snapshot_lead: 1_000,
            checkpoint: None,
            provider: None,
        }
    }
}

impl Config {
    /// The configuration of the data directory `dir`, with `overrides` on top.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the field.
    pub fn load(dir: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let path = dir.join(CONFIG_FILE);
        let config: Self = parse(&path, &read(&path)?)?;
        let config = config.under(overrides);
        config.check(&path)?;
        Ok(config)
    }

    /// The file's text.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration has nothing that TOML cannot say")
    }

    /// The longest time between two blocks.
    pub fn block_interval(&self) -> Duration {
        Duration::from_millis(self.block_interval_ms)
    }

    /// What is kept beside the newest state.
    pub fn keep(&self) -> Keep {
        Keep { snapshot_blocks: self.snapshot_blocks, blocks: self.keep_blocks }
    }

    /// What the node offers, with the owner's key.
    ///
    /// # Errors
    /// [`ConfigError`] when the key cannot be read.
    pub fn offer(&self, dir: &Path) -> Result<Option<Offer>, ConfigError> {
        let Some(ProviderConfig { owner_key, addresses, price, capacity, domain }) = self.provider.clone() else {
            return Ok(None);
        };
        let owner = Keypair::from_seed(&read_seed(&dir.join(owner_key))?);
        Ok(Some(Offer { owner, addresses, domain, price, capacity }))
    }

    fn under(mut self, overrides: &Overrides) -> Self {
        let Overrides { listen, bootstrap, block_interval_ms, workers, log } = overrides.clone();
        if !listen.is_empty() {
            self.listen = listen;
        }
        if !bootstrap.is_empty() {
            self.bootstrap = bootstrap;
        }
        self.block_interval_ms = block_interval_ms.unwrap_or(self.block_interval_ms);
        self.workers = workers.unwrap_or(self.workers);
        self.log = log.unwrap_or(self.log);
        self
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let wrong = |field, reason| Err(ConfigError::Value { path: path.to_owned(), field, reason });
        match self {
            _ if self.listen.is_empty() => {
                wrong("listen", "needs an address: a node that nobody reaches keeps nothing")
            }
            _ if !(10..=600_000).contains(&self.block_interval_ms) => {
                wrong("block_interval_ms", "must be 10 to 600000")
            }
            _ if !(1..=256).contains(&self.workers) => wrong("workers", "must be 1 to 256"),
            _ => Ok(()),
        }
    }
}

/// The genesis in `path`, checked.
///
/// # Errors
/// [`ConfigError`] names the file and what is wrong.
pub fn read_genesis(path: &Path) -> Result<Genesis, ConfigError> {
    let genesis: Genesis = parse(path, &read(path)?)?;
    genesis.validate().map_err(|error| ConfigError::Genesis { path: path.to_owned(), source: Box::new(error) })?;
    Ok(genesis)
}

/// The seed in a key file.
///
/// # Errors
/// [`ConfigError`] when there is none.
pub fn read_seed(path: &Path) -> Result<[u8; 32], ConfigError> {
    let mut seed = [0; 32];
    let text = read(path)?;
    hex::decode_to_slice(text.trim(), &mut seed).map_err(|_| ConfigError::Key { path: path.to_owned() })?;
    Ok(seed)
}

/// Writes a new file that only its owner reads; an old one stays as it is, and is an error.
///
/// # Errors
/// [`ConfigError::File`] when it exists, or cannot be written.
pub fn write_secret(path: &Path, text: &str) -> Result<(), ConfigError> {
    let file = |source| ConfigError::File { path: path.to_owned(), source };
    let mut created = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(file)?;
    created.write_all(text.as_bytes()).and_then(|()| created.sync_all()).map_err(file)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::Toml { path: path.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
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
    fn flags_go_before_the_file() {
        let file = "listen = [\"/ip4/127.0.0.1/tcp/1\"]\nblock_interval_ms = 50\n";
        let listen = vec!["/ip4/127.0.0.1/tcp/2".to_owned()];
        let got = load(file, &Overrides { listen: listen.clone(), ..Overrides::default() }).expect("valid");
        assert_eq!((got.listen, got.block_interval_ms, got.log.as_str()), (listen, 50, "info"));
    }

    #[test]
    fn errors_name_the_file_and_the_field() {
        let check = |text, words: &[&str]| {
            let error = load(text, &Overrides::default()).expect_err("refused");
            words.iter().for_each(|word| assert!(error.contains(word), "{word:?} is not in {error}"));
        };
        check("lisen = []", &["node.toml", "lisen", "listen"]);
        check("listen = []", &["node.toml", "listen"]);
        check("block_interval_ms = 1", &["node.toml", "block_interval_ms"]);
        check("workers = 0", &["node.toml", "workers"]);
        check("[provider]\nprice = \"1\"\n", &["node.toml", "addresses"]);
        check("[provider]\nprices = \"1\"\n", &["node.toml", "prices"]);
    }

    #[test]
    fn a_provider_offers_what_its_section_says() {
        let dir = tempfile::tempdir().expect("a directory");
        let text = "[provider]\naddresses = [\"/ip4/127.0.0.1/tcp/1\"]\nprice = \"0.5\"\ncapacity = 7\n\
            [provider.domain]\noperator = \"o\"\ninfrastructure = \"i\"\nregion = \"r\"\n";
        fs::write(dir.path().join(CONFIG_FILE), text).expect("written");
        let config = Config::load(dir.path(), &Overrides::default()).expect("valid");
        assert!(config.offer(dir.path()).expect_err("no key").to_string().contains("account.key"));
        write_secret(&dir.path().join("account.key"), &hex::encode([5; 32])).expect("written");
        let offer = config.offer(dir.path()).expect("valid").expect("offered");
        assert_eq!((offer.price, offer.capacity), (Amount(500_000), 7));
        assert!(write_secret(&dir.path().join("account.key"), "").is_err(), "a key is never written over");
    }

    #[test]
    fn key_files_have_64_digits() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("k");
        for bad in ["", "00", "zz", &"g".repeat(64), &"00".repeat(33)] {
            fs::write(&path, bad).expect("written");
            assert!(read_seed(&path).is_err(), "{bad}");
        }
        fs::write(&path, format!("{}\n", hex::encode([7; 32]))).expect("written");
        assert_eq!(read_seed(&path).expect("a key"), [7; 32]);
    }
}
