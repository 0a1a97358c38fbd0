//! Secrets where they lie: a profile's one random data key seals all of them, and a passphrase seals the data key.
//!
//! * [`passphrase`]: where a passphrase comes from
//! * [`data_key`]: sealing single records
//! * [`wrap`]: the data key itself, under a passphrase or plain
//! * here: the file `keys` of a profile, with the wrapped data key and the sealed account key
//!
//! So a change of the passphrase rewrites one small file, and a stored object adds one record. A lost passphrase cannot
//! be replaced by anything but a backup. Not here: the records of objects ([`crate::objects`]) and of unfinished adds
//! ([`crate::add`]), and backups ([`crate::backup`]).

use std::{io, path::Path};

use borsh::{BorshDeserialize, BorshSerialize};
use ostrakon_proto::{codec, id::AccountId, seed::Seed, sign::Keypair};
use zeroize::Zeroizing;

use crate::private_file;

pub(crate) mod data_key;
pub mod passphrase;
pub(crate) mod wrap;

pub use data_key::{DataKey, NotAuthentic};
pub use passphrase::{Passphrase, PassphraseError};
pub use wrap::{Cost, Protection, UnlockError};

use data_key::{Purpose, Sealed};
use wrap::Wrapped;

/// How every file of keys begins, whatever its version.
const MAGIC: [u8; 8] = *b"ostr-key";
/// The version that this program writes and reads.
const VERSION: u32 = 1;
/// Bytes of the file at most: it has about 250.
const MAX: usize = 4 * 1024;

/// Why a file of sealed secrets cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeystoreError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] io::Error),
    /// Use the program that wrote it.
    #[error("it has version {0}, and this program reads version {VERSION}: use the program that wrote it")]
    Version(u32),
    /// It is not such a file, or its bytes changed.
    #[error("it is damaged, or another kind of file: restore it from your backup")]
    Malformed,
    /// Its data key does not open.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// A record in it does not open.
    #[error(transparent)]
    NotAuthentic(#[from] NotAuthentic),
    /// The system has no random bytes.
    #[error("cannot get random bytes from the system: {0}")]
    Random(#[from] getrandom::Error),
}

/// The file `keys` of a profile.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Keys {
    /// Whose keys they are; no secret.
    pub(crate) account: AccountId,
    wrapped: Wrapped,
    /// The account's seed.
    seed: Sealed,
}

impl Keys {
    /// The keys of this account, under a data key.
    pub(crate) fn new(account: &Keypair, key: &DataKey, protection: &Protection<'_>) -> Result<Self, KeystoreError> {
        let id = account.public();
        let seed = key.seal(Purpose::Account(id), account.seed().as_slice())?;
        Ok(Self { account: id, wrapped: Wrapped::new(key, protection)?, seed })
    }

    /// The same keys, protected otherwise.
    pub(crate) fn protected(&self, key: &DataKey, protection: &Protection<'_>) -> Result<Self, KeystoreError> {
        Ok(Self { wrapped: Wrapped::new(key, protection)?, ..self.clone() })
    }

    /// Whether they open with a passphrase only.
    pub(crate) const fn needs_passphrase(&self) -> bool {
        self.wrapped.needs_passphrase()
    }

    /// The data key and the account's key.
    pub(crate) fn unlock(&self, passphrase: Option<&Passphrase>) -> Result<(DataKey, Keypair), KeystoreError> {
        let key = self.wrapped.open(passphrase)?;
        let seed = key.open(Purpose::Account(self.account), &self.seed)?;
        let seed: [u8; 32] = seed.as_slice().try_into().map_err(|_| KeystoreError::Malformed)?;
        let account = Keypair::from_seed(Seed::new(seed).bytes());
        let id: AccountId = account.public();
        if id == self.account { Ok((key, account)) } else { Err(KeystoreError::Malformed) }
    }

    /// Reads the file; nothing in it is opened.
    pub(crate) fn read(path: &Path) -> Result<Self, KeystoreError> {
        decode(&private_file::read(path, MAX)?, (MAGIC, VERSION), MAX)
    }

    /// Writes a new file.
    pub(crate) fn create(&self, path: &Path) -> io::Result<()> {
        private_file::create(path, &encode(self, (MAGIC, VERSION)))
    }

    /// Replaces the file.
    pub(crate) fn replace(&self, path: &Path) -> io::Result<()> {
        private_file::replace(path, &encode(self, (MAGIC, VERSION)))
    }
}

/// A file of sealed secrets: a magic, a version, and the canonical bytes of a value.
pub(crate) fn encode<T: BorshSerialize>(value: &T, (magic, version): ([u8; 8], u32)) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([&magic[..], &version.to_le_bytes(), &Zeroizing::new(codec::encode(value))].concat())
}

/// The value in such a file.
pub(crate) fn decode<T: BorshSerialize + BorshDeserialize>(
    bytes: &[u8],
    (magic, version): ([u8; 8], u32),
    max: usize,
) -> Result<T, KeystoreError> {
    let rest = bytes.strip_prefix(&magic).ok_or(KeystoreError::Malformed)?;
    let (found, value) = rest.split_first_chunk().ok_or(KeystoreError::Malformed)?;
    match u32::from_le_bytes(*found) {
        found if found == version => codec::decode(value, max).map_err(|_| KeystoreError::Malformed),
        found => Err(KeystoreError::Version(found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_and_damage_is_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys");
        let (account, key) = (Keypair::from_seed(&[7; 32]), DataKey::random().expect("random"));
        let passphrase = Passphrase::new("right").expect("good");
        let keys = Keys::new(&account, &key, &Protection::Passphrase(&passphrase, Cost::LEAST)).expect("made");
        keys.create(&path).expect("written");
        let read = Keys::read(&path).expect("read");
        assert_eq!(read, keys);
        let (found, unlocked) = read.unlock(Some(&passphrase)).expect("unlocked");
        assert_eq!((found, unlocked.seed()), (key.clone(), account.seed()));

        let plain = read.protected(&key, &Protection::None).expect("protected");
        plain.replace(&path).expect("replaced");
        assert!(Keys::read(&path).expect("read").unlock(None).is_ok());

        let bytes = std::fs::read(&path).expect("read");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).expect("written");
            assert!(Keys::read(&path).and_then(|keys| keys.unlock(None)).is_err(), "byte {at}");
            std::fs::write(&path, &bytes[..at]).expect("written");
            assert!(Keys::read(&path).and_then(|keys| keys.unlock(None)).is_err(), "{at} bytes");
        }
    }
}
