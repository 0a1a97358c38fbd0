//! The profile: a directory with a network's genesis, an account's key, and the links of what was added with it.
//!
//! ```text
//! <dir>/genesis.toml    the network
//! <dir>/keys            the data key that seals the rest, and the account's key under it
//! <dir>/objects.jsonl   what was added; the keys of private objects sealed
//! <dir>/adds/           journals of unfinished adds; their object keys sealed
//! <dir>/trust           the checkpoint of the chain that clients trust
//! <dir>/backup          when the last backup was made
//! ```
//!
//! A profile is opened in two steps, so that one that is locked cannot be used by mistake: [`PublicProfile`] has what
//! needs no secret (the network, the account's id, a client that only reads), and unlocking it yields the [`Profile`],
//! which signs and knows every link. Not here: how secrets are sealed ([`crate::keystore`]) and backups
//! ([`crate::backup`]).

use std::{
    env,
    io::{self, ErrorKind as IoKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use ostrakon_net::swarm::StartError;
use ostrakon_proto::{
    erasure::UnsupportedCpu,
    id::AccountId,
    ledger::{Genesis, GenesisError},
    seed::Seed,
    sign::Keypair,
};

use crate::{
    Client, ErrorKind, Journals, Objects, ObjectsError, genesis,
    keystore::{DataKey, Keys, KeystoreError, Passphrase, PassphraseError, Protection, UnlockError},
    private_file,
};

mod connect;

use connect::TrustFile;
pub use connect::{now_ms, system_clock};

const GENESIS: &str = "genesis.toml";
const KEYS: &str = "keys";
const ADDS: &str = "adds";
const TRUST: &str = "trust";
/// The environment variable that names a profile's directory.
const VARIABLE: &str = "OSTRAKON_PROFILE";

/// What of a profile is no secret: the network, whose account it is, and which objects it has.
#[derive(Clone, Debug)]
pub struct PublicProfile {
    directory: PathBuf,
    genesis: Genesis,
    keys: Keys,
}

/// A profile that is unlocked: it signs with the account's key, and knows the keys of its objects.
#[derive(Clone, Debug)]
pub struct Profile {
    public: PublicProfile,
    account: Keypair,
    key: DataKey,
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// There is none.
    #[error("there is no profile in {0}")]
    None(PathBuf),
    /// There is no directory to look in.
    #[error("neither HOME nor XDG_DATA_HOME is an absolute path: name the profile's directory")]
    NoHome,
    /// There is one already.
    #[error("{0} has a profile already, whose keys would be lost: choose another directory")]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot read or write {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// The genesis file is not TOML of a genesis.
    #[error("invalid genesis file {path}: {error}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        error: Box<toml::de::Error>,
    },
    /// The genesis breaks a rule.
    #[error("invalid genesis file {path}: {error}")]
    Genesis {
        /// The file.
        path: PathBuf,
        /// The rule.
        error: Box<GenesisError>,
    },
    /// The secrets in a file cannot be used: locked, or damaged.
    #[error("cannot use {path}: {error}")]
    Keystore {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: Box<KeystoreError>,
    },
    /// The file is there, and is not an earlier backup of this account.
    #[error("{0} exists, and is not a backup of this account: choose another file")]
    NotABackup(PathBuf),
    /// The list of objects cannot be used.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// There is no passphrase.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The system has no random bytes.
    #[error("cannot get random bytes from the system: {0}")]
    Random(getrandom::Error),
    /// This machine's processor is too old.
    #[error(transparent)]
    Processor(#[from] UnsupportedCpu),
    /// The network cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl ProfileError {
    /// What it means for the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::None(_) | Self::NoHome | Self::Exists(_) | Self::NotABackup(_) => ErrorKind::Usage,
            Self::Toml { .. } | Self::Genesis { .. } | Self::Passphrase(_) => ErrorKind::Usage,
            Self::Keystore { .. } if self.is_locked() => ErrorKind::Usage,
            Self::Objects(error) => error.kind(),
            Self::Keystore { .. } | Self::File { .. } | Self::Random(_) => ErrorKind::Other,
            Self::Processor(_) | Self::Start(_) => ErrorKind::Other,
        }
    }

    /// Whether a passphrase is needed, and none was given.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Keystore { error, .. } if matches!(**error, KeystoreError::Unlock(UnlockError::Locked)))
    }
}

impl PublicProfile {
    /// Opens the profile in this directory, without its secrets.
    ///
    /// # Errors
    /// [`ProfileError`] names the file that is missing or damaged.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, ProfileError> {
        let directory = directory.as_ref();
        let keys_path = directory.join(KEYS);
        let keys = Keys::read(&keys_path).map_err(|error| match error {
            KeystoreError::File(error) if error.kind() == IoKind::NotFound => ProfileError::None(directory.to_owned()),
            error => keystore_error(&keys_path, error),
        })?;
        Ok(Self { directory: directory.to_owned(), genesis: genesis::read(&directory.join(GENESIS))?, keys })
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
        self.keys.account
    }

    /// Whether unlocking it needs a passphrase.
    pub const fn needs_passphrase(&self) -> bool {
        self.keys.needs_passphrase()
    }

    /// Unlocks it. A profile that is under no passphrase ignores the one it is given.
    ///
    /// # Errors
    /// [`ProfileError::Keystore`] when the passphrase is missing or wrong, or the file of keys damaged.
    pub fn unlock(self, passphrase: Option<&Passphrase>) -> Result<Profile, ProfileError> {
        let unlocked = self.keys.unlock(passphrase);
        let (key, account) = unlocked.map_err(|error| keystore_error(&self.directory.join(KEYS), error))?;
        Ok(Profile { public: self, account, key })
    }

    /// What was added with it: names and keys of private objects stay sealed.
    pub fn objects(&self) -> Objects {
        Objects::new(&self.directory, None)
    }

    /// The journals of this account's unfinished adds, to list: resuming one needs the unlocked profile.
    pub fn journals(&self) -> Journals {
        Journals::new(self.directory.join(ADDS), self.genesis.id(), self.account(), None)
    }

    /// Joins the network as a client that reads and signs nothing.
    ///
    /// # Errors
    /// [`ProfileError`] when the network cannot be started.
    pub fn connect(&self) -> Result<Client, ProfileError> {
        connect::connect(&self.genesis, None, Some(Arc::new(self.trust())), None)
    }

    fn trust(&self) -> TrustFile {
        TrustFile(self.directory.join(TRUST))
    }
}

impl Profile {
    /// The directory of a profile that is not named: `$XDG_DATA_HOME/ostrakon`, or `~/.local/share/ostrakon`.
    ///
    /// # Errors
    /// [`ProfileError::NoHome`] when neither variable is an absolute path.
    pub fn default_directory() -> Result<PathBuf, ProfileError> {
        let absolute = |path: &PathBuf| path.is_absolute();
        let data = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(absolute);
        let home = || env::home_dir().filter(absolute).map(|home| home.join(".local/share"));
        data.or_else(home).map(|data| data.join("ostrakon")).ok_or(ProfileError::NoHome)
    }

    /// Creates a profile with a new account key for the network of `genesis`.
    ///
    /// # Errors
    /// [`ProfileError`]; an existing profile is left as it is.
    pub fn init(
        directory: impl AsRef<Path>,
        genesis: &Genesis,
        protection: &Protection<'_>,
    ) -> Result<Self, ProfileError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(ProfileError::Random)?;
        let seed = Seed::new(seed);
        Self::init_with(directory, genesis, &Keypair::from_seed(seed.bytes()), protection)
    }

    /// As [`Self::init`], with this account key.
    ///
    /// # Errors
    /// [`ProfileError`]; an existing profile is left as it is.
    pub fn init_with(
        directory: impl AsRef<Path>,
        genesis: &Genesis,
        account: &Keypair,
        protection: &Protection<'_>,
    ) -> Result<Self, ProfileError> {
        Self::draft(directory.as_ref(), genesis, account, protection)?.write()
    }

    /// A profile that is nowhere yet, for a directory that has none.
    pub(crate) fn draft(
        directory: &Path,
        genesis: &Genesis,
        account: &Keypair,
        protection: &Protection<'_>,
    ) -> Result<Self, ProfileError> {
        let path = directory.join(GENESIS);
        genesis.validate().map_err(|error| ProfileError::Genesis { path, error: Box::new(error) })?;
        // A list of objects without keys is what is left of a damaged profile.
        if [KEYS, "objects.jsonl"].iter().any(|name| directory.join(name).symlink_metadata().is_ok()) {
            return Err(ProfileError::Exists(directory.to_owned()));
        }
        let key = DataKey::random().map_err(ProfileError::Random)?;
        let made = Keys::new(account, &key, protection);
        let keys = made.map_err(|error| keystore_error(&directory.join(KEYS), error))?;
        let public = PublicProfile { directory: directory.to_owned(), genesis: genesis.clone(), keys };
        Ok(Self { public, account: account.clone(), key })
    }

    /// Writes a draft; the file of keys, which makes it a profile, goes last.
    pub(crate) fn write(self) -> Result<Self, ProfileError> {
        let PublicProfile { directory, genesis, keys } = &self.public;
        private_file::create_directory(directory).map_err(|error| file_error(directory, error))?;
        let (path, text) =
            (directory.join(GENESIS), toml::to_string(genesis).expect("a valid genesis can be written as TOML"));
        private_file::replace(&path, text.as_bytes()).map_err(|error| file_error(&path, error))?;
        let path = directory.join(KEYS);
        keys.create(&path).map_err(|error| match error.kind() {
            IoKind::AlreadyExists => ProfileError::Exists(directory.clone()),
            _ => file_error(&path, error),
        })?;
        Ok(self)
    }

    /// Opens the profile in this directory, which must be under no passphrase.
    ///
    /// # Errors
    /// [`ProfileError`] names the file that is missing or damaged; [`ProfileError::is_locked`] when there is a
    /// passphrase.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, ProfileError> {
        PublicProfile::open(directory)?.unlock(None)
    }

    /// Opens the profile in this directory with its passphrase.
    ///
    /// # Errors
    /// [`ProfileError`] names the file that is missing or damaged, or says that the passphrase is wrong.
    pub fn unlock(directory: impl AsRef<Path>, passphrase: &Passphrase) -> Result<Self, ProfileError> {
        PublicProfile::open(directory)?.unlock(Some(passphrase))
    }

    /// Opens the profile that `OSTRAKON_PROFILE` names, or else the one in [`Profile::default_directory`]; with the
    /// passphrase in `OSTRAKON_PASSPHRASE`, or in the file that `OSTRAKON_PASSPHRASE_FILE` names, where it needs one.
    ///
    /// # Errors
    /// [`ProfileError`] as [`Profile::open`] and [`Profile::unlock`].
    pub fn open_default() -> Result<Self, ProfileError> {
        let named = env::var_os(VARIABLE).filter(|named| !named.is_empty()).map(PathBuf::from);
        let public = PublicProfile::open(named.map_or_else(Self::default_directory, Ok)?)?;
        let passphrase = if public.needs_passphrase() { Passphrase::from_environment()? } else { None };
        public.unlock(passphrase.as_ref())
    }

    /// Protects it by another passphrase from now on, or by none. Copies of the files made before open as before.
    ///
    /// # Errors
    /// [`ProfileError`] when the file of keys cannot be replaced; then it is as it was.
    pub fn protect(&mut self, protection: &Protection<'_>) -> Result<(), ProfileError> {
        let path = self.directory().join(KEYS);
        let keys = self.public.keys.protected(&self.key, protection);
        self.public.keys = keys.map_err(|error| keystore_error(&path, error))?;
        self.public.keys.replace(&path).map_err(|error| file_error(&path, error))
    }

    /// What of it is no secret.
    pub fn public(&self) -> &PublicProfile {
        &self.public
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        self.public.directory()
    }

    /// The network.
    pub fn genesis(&self) -> &Genesis {
        self.public.genesis()
    }

    /// The account.
    pub fn account(&self) -> AccountId {
        self.public.account()
    }

    /// The account's key.
    pub fn keypair(&self) -> &Keypair {
        &self.account
    }

    /// What was added with it, with the links.
    pub fn objects(&self) -> Objects {
        Objects::new(self.directory(), Some(self.key.clone()))
    }

    /// The journals of this account's unfinished adds.
    pub fn journals(&self) -> Journals {
        let key = Some(self.key.clone());
        Journals::new(self.directory().join(ADDS), self.genesis().id(), self.account(), key)
    }

    /// Joins the network as a client that signs for the account and serves nothing. The connections end with the last
    /// clone of the client.
    ///
    /// # Errors
    /// [`ProfileError`] when the network cannot be started.
    pub fn connect(&self) -> Result<Client, ProfileError> {
        connect::connect(self.genesis(), Some(&self.account), Some(Arc::new(self.public.trust())), Some(self))
    }
}

pub(crate) fn file_error(path: &Path, error: io::Error) -> ProfileError {
    ProfileError::File { path: path.to_owned(), error }
}

pub(crate) fn keystore_error(path: &Path, error: KeystoreError) -> ProfileError {
    match error {
        KeystoreError::File(error) => file_error(path, error),
        error => ProfileError::Keystore { path: path.to_owned(), error: Box::new(error) },
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::{fake::World, keystore::Cost};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[tokio::test(start_paused = true)]
    async fn a_profile_without_a_passphrase_opens_by_itself() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a/profile");
        assert!(matches!(Profile::open(&path), Err(ProfileError::None(_))));
        let genesis = World::new(3).genesis;
        let made = Profile::init(&path, &genesis, &Protection::None).expect("made");
        assert!(matches!(Profile::init(&path, &genesis, &Protection::None), Err(ProfileError::Exists(_))));
        let profile = Profile::open(&path).expect("opened");
        assert_eq!((profile.account(), profile.genesis()), (made.account(), &genesis));
        assert_eq!((mode(&path), mode(&path.join(KEYS))), (0o700, 0o600));

        fs::write(path.join(KEYS), "00").expect("written");
        let Err(error) = Profile::open(&path) else { panic!("opened a damaged profile") };
        assert!(matches!(error, ProfileError::Keystore { .. }) && error.kind() == ErrorKind::Other, "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_locked_profile_tells_what_is_no_secret_and_opens_with_its_passphrase() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, genesis) = (directory.path().join("profile"), World::new(3).genesis);
        let [right, wrong] = ["right", "wrong"].map(|text| Passphrase::new(text).expect("good"));
        let made = Profile::init(&path, &genesis, &Protection::Passphrase(&right, Cost::LEAST)).expect("made");
        let public = PublicProfile::open(&path).expect("opened");
        assert_eq!((public.account(), public.genesis()), (made.account(), &genesis));
        assert!(public.needs_passphrase());

        let Err(locked) = Profile::open(&path) else { panic!("opened without a passphrase") };
        assert!(locked.is_locked() && locked.kind() == ErrorKind::Usage, "{locked}");
        let Err(error) = Profile::unlock(&path, &wrong) else { panic!("opened with a wrong passphrase") };
        assert!(!error.is_locked() && error.kind() == ErrorKind::Other, "{error}");
        let mut profile = Profile::unlock(&path, &right).expect("opened");
        assert_eq!(profile.keypair().seed(), made.keypair().seed());

        profile.protect(&Protection::Passphrase(&wrong, Cost::LEAST)).expect("protected");
        assert!(Profile::unlock(&path, &right).is_err() && Profile::unlock(&path, &wrong).is_ok());
        profile.protect(&Protection::None).expect("protected");
        assert!(Profile::open(&path).is_ok());
    }
}
