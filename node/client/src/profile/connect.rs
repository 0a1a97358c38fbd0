//! From a profile to a client of its network: sockets, threads, random bytes, the clock, and what earlier clients came
//! to trust of the chain.

use std::{
    fs, io,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use ostrakon_net::{
    Workers,
    swarm::{Swarm, SwarmConfig},
};
use ostrakon_proto::{codec, erasure, ledger::Genesis, sign::Keypair};
use zeroize::Zeroizing;

use super::{Profile, ProfileError};
use crate::{
    Client, ClientParts, Clock,
    chain::{KeptTrust, TrustStore},
};

/// Bytes of the trusted checkpoint at most: with two hundred validators it has ten thousand.
const TRUST_MAX: usize = 64 * 1024;

impl Client {
    /// Joins the network of this account's default profile: see [`Profile::open_default`].
    ///
    /// # Errors
    /// [`ProfileError`] when the profile cannot be opened or the network cannot be started.
    pub fn open_default() -> Result<Self, ProfileError> {
        Profile::open_default()?.connect()
    }

    /// As [`Profile::connect`], for an account whose key is stored elsewhere; what is verified of the chain is not
    /// stored.
    ///
    /// # Errors
    /// [`ProfileError`] when the network cannot be started.
    pub fn connect(genesis: &Genesis, account: &Keypair) -> Result<Self, ProfileError> {
        connect(genesis, Some(account), None, None)
    }
}

/// A client of the network of `genesis`, which signs as `account`.
pub(super) fn connect(
    genesis: &Genesis,
    account: Option<&Keypair>,
    trust: Option<Arc<dyn TrustStore>>,
    profile: Option<&Profile>,
) -> Result<Client, ProfileError> {
    erasure::cpu_supported()?;
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(ProfileError::Random)?;
    let (swarm, _no_requests) = Swarm::start(SwarmConfig::client(genesis.id(), Keypair::from_seed(&seed)))?;
    let threads = thread::available_parallelism().map_or(2, usize::from);
    Ok(Client::new(ClientParts {
        peers: Arc::new(swarm),
        workers: Workers::pool(threads),
        genesis: genesis.clone(),
        trust,
        clock: system_clock(),
        account: account.cloned(),
        random: Arc::new(|bytes| getrandom::fill(bytes).expect("the system had random bytes when we connected")),
        profile: profile.cloned(),
    }))
}

/// The machine's clock.
pub fn system_clock() -> Clock {
    Arc::new(now_ms)
}

/// The time by the machine's clock, in milliseconds of Unix time.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The file with the checkpoint that the profile's clients trust.
#[derive(Debug)]
pub(super) struct TrustFile(pub(super) PathBuf);

impl TrustStore for TrustFile {
    fn load(&self) -> Option<KeptTrust> {
        codec::decode(&fs::read(&self.0).ok()?, TRUST_MAX).ok()
    }

    fn save(&self, kept: &KeptTrust) {
        // Two clients of one profile may write concurrently: each its own file, and either is good.
        let written: io::Result<()> = (|| {
            let draft = self.0.with_extension(std::process::id().to_string());
            fs::write(&draft, codec::encode(kept))?;
            fs::rename(&draft, &self.0)
        })();
        if let Err(error) = written {
            tracing::debug!(%error, "cannot save the trusted checkpoint; the next command starts from the last one");
        }
    }
}
