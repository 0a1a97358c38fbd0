//! The profile: a directory with a network's genesis and an account's key.
//!
//! `genesis.toml` and `account.key` (64 hexadecimal digits, readable by its owner alone). Nothing else is needed to use
//! the network. `adds/` has the journals of unfinished adds, `trust` what clients came to believe of the chain.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use ostrakon_net::{
    Workers,
    swarm::{StartError, Swarm, SwarmConfig},
};
use ostrakon_proto::{
    codec,
    id::AccountId,
    ledger::{Genesis, GenesisError},
    sign::Keypair,
};
use zeroize::Zeroizing;

use crate::{
    Client, ClientParts, Clock, ErrorKind, Journals,
    chain::{KeptTrust, TrustStore},
};

const GENESIS: &str = "genesis.toml";
const KEY: &str = "account.key";
const ADDS: &str = "adds";
const TRUST: &str = "trust";
/// Bytes of a trust at most: of two hundred validators it has ten thousand.
const TRUST_MAX: usize = 64 * 1024;

/// A directory with all that a client needs.
#[derive(Clone, Debug)]
pub struct Profile {
    directory: PathBuf,
    genesis: Genesis,
    account: Keypair,
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// There is none.
    #[error("no profile in {0}: create one with `ostrakon init --network genesis.toml`")]
    None(PathBuf),
    /// There is one already.
    #[error("{0} has a profile already: its key would be lost")]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// The genesis file does not say what it should.
    #[error("{path}: {error}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        error: Box<toml::de::Error>,
    },
    /// The genesis breaks a rule.
    #[error("{path}: {error}")]
    Genesis {
        /// The file.
        path: PathBuf,
        /// The rule.
        error: Box<GenesisError>,
    },
    /// The key file is damaged.
    #[error("{0} is not a key of 64 hexadecimal digits: restore it from your backup")]
    Key(PathBuf),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// The network cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl ProfileError {
    /// What it means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::None(_) | Self::Exists(_) | Self::Toml { .. } | Self::Genesis { .. } => ErrorKind::Usage,
            Self::File { .. } | Self::Key(_) | Self::Random(_) | Self::Start(_) => ErrorKind::Other,
        }
    }
}

impl Profile {
    /// Creates a profile with a new key for the network of `genesis`.
    ///
    /// # Errors
    /// [`ProfileError`]; an existing profile is left as it is.
    pub fn init(directory: &Path, genesis: &Genesis) -> Result<Self, ProfileError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(ProfileError::Random)?;
        Self::init_with(directory, genesis, &Keypair::from_seed(&seed))
    }

    /// As [`Self::init`], with this key.
    ///
    /// # Errors
    /// [`ProfileError`]; an existing profile is left as it is.
    pub fn init_with(directory: &Path, genesis: &Genesis, account: &Keypair) -> Result<Self, ProfileError> {
        let (key, toml) = (directory.join(KEY), directory.join(GENESIS));
        if key.symlink_metadata().is_ok() {
            return Err(ProfileError::Exists(directory.to_owned()));
        }
        genesis.validate().map_err(|error| ProfileError::Genesis { path: toml.clone(), error: Box::new(error) })?;
        fs::create_dir_all(directory).map_err(|error| file(directory, error))?;
        let text = toml::to_string(genesis).expect("a checked genesis can be written as TOML");
        fs::write(&toml, text).map_err(|error| file(&toml, error))?;
        write_key(&key, account).map_err(|error| file(&key, error))?;
        Ok(Self { directory: directory.to_owned(), genesis: genesis.clone(), account: account.clone() })
    }

    /// Opens the profile in this directory.
    ///
    /// # Errors
    /// [`ProfileError`] names the file that is missing or damaged.
    pub fn open(directory: &Path) -> Result<Self, ProfileError> {
        let (key, path) = (directory.join(KEY), directory.join(GENESIS));
        let absent = |error: io::Error, path: &Path| match error.kind() {
            io::ErrorKind::NotFound => ProfileError::None(directory.to_owned()),
            _ => file(path, error),
        };
        let text = fs::read_to_string(&path).map_err(|error| absent(error, &path))?;
        let genesis: Genesis =
            toml::from_str(&text).map_err(|error| ProfileError::Toml { path: path.clone(), error: Box::new(error) })?;
        genesis.validate().map_err(|error| ProfileError::Genesis { path, error: Box::new(error) })?;
        let digits = Zeroizing::new(fs::read_to_string(&key).map_err(|error| absent(error, &key))?);
        let account = parse_key(digits.trim()).ok_or(ProfileError::Key(key))?;
        Ok(Self { directory: directory.to_owned(), genesis, account })
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The network.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The account.
    pub fn account(&self) -> AccountId {
        self.account.public()
    }

    /// The account's key.
    pub fn keypair(&self) -> &Keypair {
        &self.account
    }

    /// The journals of this account's unfinished adds.
    pub fn journals(&self) -> Journals {
        Journals::new(self.directory.join(ADDS), self.genesis.id(), self.account())
    }

    /// Joins the network, as a node that nobody knows and that listens nowhere. The connections end with the last clone
    /// of the client.
    ///
    /// # Errors
    /// [`ProfileError`] when the network cannot be started.
    pub fn connect(&self) -> Result<Client, ProfileError> {
        connect(&self.genesis, &self.account, Some(Arc::new(TrustFile(self.directory.join(TRUST)))))
    }
}

impl Client {
    /// As [`Profile::connect`], for an account whose key is kept elsewhere; nothing that is learned is kept.
    ///
    /// # Errors
    /// [`ProfileError`] when the network cannot be started.
    pub fn connect(genesis: &Genesis, account: &Keypair) -> Result<Self, ProfileError> {
        connect(genesis, account, None)
    }
}

fn connect(genesis: &Genesis, account: &Keypair, trust: Option<Arc<dyn TrustStore>>) -> Result<Client, ProfileError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(ProfileError::Random)?;
    let (swarm, _nobody_asks) = Swarm::start(SwarmConfig::client(genesis.id(), Keypair::from_seed(&seed)))?;
    let threads = thread::available_parallelism().map_or(2, usize::from);
    Ok(Client::new(ClientParts {
        peers: Arc::new(swarm),
        workers: Workers::pool(threads),
        genesis: genesis.clone(),
        trust,
        clock: system_clock(),
        account: Some(account.clone()),
        random: Arc::new(|bytes| getrandom::fill(bytes).expect("the system gave random bytes when we connected")),
    }))
}

/// The machine's clock.
pub fn system_clock() -> Clock {
    let since = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Arc::new(move || u64::try_from(since().as_millis()).unwrap_or(u64::MAX))
}

/// What the profile's clients came to believe of the chain.
#[derive(Debug)]
struct TrustFile(PathBuf);

impl TrustStore for TrustFile {
    fn load(&self) -> Option<KeptTrust> {
        codec::decode(&fs::read(&self.0).ok()?, TRUST_MAX).ok()
    }

    fn save(&self, kept: &KeptTrust) {
        // Two clients of one profile may write at once: each its own file, and either is good.
        let written: io::Result<()> = (|| {
            let draft = self.0.with_extension(std::process::id().to_string());
            fs::write(&draft, codec::encode(kept))?;
            fs::rename(&draft, &self.0)
        })();
        if let Err(error) = written {
            tracing::debug!(%error, "the trust is not kept: the next client begins where this one did");
        }
    }
}

fn file(path: &Path, error: io::Error) -> ProfileError {
    ProfileError::File { path: path.to_owned(), error }
}

/// Writes a new file that only its owner can read.
fn write_key(path: &Path, key: &Keypair) -> io::Result<()> {
    let digits: Zeroizing<String> = Zeroizing::new(key.seed().iter().map(|byte| format!("{byte:02x}")).collect());
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(digits.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn parse_key(digits: &str) -> Option<Keypair> {
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut seed = Zeroizing::new([0; 32]);
    for (at, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(Keypair::from_seed(&seed))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::fake::World;

    #[tokio::test(start_paused = true)]
    async fn keeps_key_and_network() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("profile");
        assert!(matches!(Profile::open(&path), Err(ProfileError::None(_))));
        let genesis = World::new(3).genesis;
        let made = Profile::init(&path, &genesis).expect("made");
        assert!(matches!(Profile::init(&path, &genesis), Err(ProfileError::Exists(_))));
        let profile = Profile::open(&path).expect("opened");
        assert_eq!((profile.account(), profile.genesis()), (made.account(), &genesis));
        let mode = fs::metadata(path.join(KEY)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        fs::write(path.join(KEY), "00").expect("written");
        assert!(matches!(Profile::open(&path), Err(ProfileError::Key(_))));
    }
}
