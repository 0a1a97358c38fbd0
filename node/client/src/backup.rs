//! Backups: one file with all that a lost profile needs to be there again: the network, the account's key and the link
//! of every object, under a passphrase.
//!
//! [`Profile::backup`] writes it, [`Backup::open`] reads it anywhere, and [`Backup::restore`] makes the profile again.
//! The file is sealed as a profile is ([`crate::keystore`]). What was added after it was written is not in it, and the
//! keys of those objects are nowhere else: [`Client::missing_objects`](crate::Client::missing_objects) finds them on
//! the ledger. Not in it: unfinished adds, and anything of the objects but their links.

use std::{
    ffi::OsString,
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use borsh::{BorshDeserialize, BorshSerialize};
use ostrakon_proto::{
    codec,
    id::{AccountId, ObjectId},
    ledger::Genesis,
    link::Link,
    seal::ObjectKey,
    seed::Seed,
    sign::Keypair,
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    ObjectEntry, Profile, ProfileError, genesis,
    keystore::{
        self, Cost, DataKey, KeystoreError, Passphrase, Protection,
        data_key::{Purpose, Sealed},
        wrap::Wrapped,
    },
    private_file,
    profile::{file_error, keystore_error, now_ms},
};

/// How every backup begins, and its version.
const HEAD: ([u8; 8], u32) = (*b"ostr-bak", 1);
/// Bytes of a backup at most: some millions of objects.
const MAX: usize = 512 * 1024 * 1024;
/// The file that tells when the last backup was made, in milliseconds of Unix time.
const MARKER: &str = "backup";

/// A backup that is open.
#[derive(Clone, Debug)]
pub struct Backup {
    genesis: Genesis,
    account: Keypair,
    objects: Vec<ObjectEntry>,
    time_ms: u64,
}

/// The file.
#[derive(BorshSerialize, BorshDeserialize)]
struct BackupFile {
    /// Whose it is; no secret.
    account: AccountId,
    wrapped: Wrapped,
    /// The [`Contents`].
    contents: Sealed,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Contents {
    genesis: String,
    seed: Secret,
    time_ms: u64,
    objects: Vec<Object>,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Object {
    id: ObjectId,
    key: Option<Secret>,
    name: Vec<u8>,
    size: u64,
    time_ms: u64,
}

/// Secret bytes, gone from memory when dropped.
#[derive(BorshSerialize, BorshDeserialize, Zeroize, ZeroizeOnDrop)]
struct Secret([u8; 32]);

impl Profile {
    /// Writes a backup of the account's key and of every link into `path`, and notes in the profile that there is one;
    /// an earlier backup of this account is replaced. Returns how many objects it has.
    ///
    /// # Errors
    /// [`ProfileError::NotABackup`] when another file is there; others when a file cannot be read or written.
    pub fn backup(&self, path: impl AsRef<Path>, passphrase: &Passphrase, cost: Cost) -> Result<usize, ProfileError> {
        let (path, objects) = (path.as_ref(), self.objects().list()?);
        match read(path) {
            Ok(file) if file.account == self.account() => {}
            Err(ProfileError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => {}
            _ => return Err(ProfileError::NotABackup(path.to_owned())),
        }
        let (count, time_ms) = (objects.len(), now_ms());
        let backup = Backup { genesis: self.genesis().clone(), account: self.keypair().clone(), objects, time_ms };
        let bytes = backup.seal(passphrase, cost).map_err(|error| keystore_error(path, error))?;
        private_file::replace(path, &bytes).map_err(|error| file_error(path, error))?;
        self.note_backup(time_ms)?;
        Ok(count)
    }

    /// When the last backup was made, in milliseconds of Unix time; `None` when there is none.
    pub fn last_backup_ms(&self) -> Option<u64> {
        let text = private_file::read(&self.marker(), 64).ok()?;
        std::str::from_utf8(&text).ok()?.trim().parse().ok()
    }

    fn note_backup(&self, time_ms: u64) -> Result<(), ProfileError> {
        let path = self.marker();
        private_file::replace(&path, format!("{time_ms}\n").as_bytes()).map_err(|error| file_error(&path, error))
    }

    fn marker(&self) -> PathBuf {
        self.directory().join(MARKER)
    }
}

impl Backup {
    /// Opens the backup in this file.
    ///
    /// # Errors
    /// [`ProfileError`] when the file is not a backup or is damaged, or the passphrase is wrong.
    pub fn open(path: impl AsRef<Path>, passphrase: &Passphrase) -> Result<Self, ProfileError> {
        let path = path.as_ref();
        let file = read(path)?;
        let opened = file.open(passphrase).map_err(|error| keystore_error(path, error))?;
        let Contents { genesis, seed, time_ms, objects } = opened;
        let account = Keypair::from_seed(&seed.0);
        let id: AccountId = account.public();
        if id != file.account {
            return Err(keystore_error(path, KeystoreError::Malformed));
        }
        let genesis = genesis::parse(path, &genesis)?;
        Ok(Self { genesis, account, objects: objects.into_iter().map(Object::into_entry).collect(), time_ms })
    }

    /// Whose it is.
    pub fn account(&self) -> AccountId {
        self.account.public()
    }

    /// What was added with the profile before it was written, oldest first.
    pub fn objects(&self) -> &[ObjectEntry] {
        &self.objects
    }

    /// When it was written, in milliseconds of Unix time.
    pub const fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// Makes the profile again, in a directory that has none.
    ///
    /// # Errors
    /// [`ProfileError`]; an existing profile is left as it is.
    pub fn restore(&self, directory: impl AsRef<Path>, protection: &Protection<'_>) -> Result<Profile, ProfileError> {
        let directory = directory.as_ref();
        let draft = Profile::draft(directory, &self.genesis, &self.account, protection)?;
        private_file::create_directory(directory).map_err(|error| file_error(directory, error))?;
        // Keys go last: until then it is no profile, and what is written here is worth nothing without them.
        draft.objects().write(&self.objects)?;
        draft.note_backup(self.time_ms)?;
        draft.write()
    }

    fn seal(&self, passphrase: &Passphrase, cost: Cost) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
        let contents = Contents {
            genesis: toml::to_string(&self.genesis).expect("a valid genesis can be written as TOML"),
            seed: Secret(*Seed::from(self.account.seed()).bytes()),
            time_ms: self.time_ms,
            objects: self.objects.iter().map(Object::from_entry).collect(),
        };
        let (account, key) = (self.account(), DataKey::random()?);
        let plain = Zeroizing::new(codec::encode(&contents));
        let file = BackupFile {
            account,
            wrapped: Wrapped::new(&key, &Protection::Passphrase(passphrase, cost))?,
            contents: key.seal(Purpose::Backup(account), &plain)?,
        };
        Ok(keystore::encode(&file, HEAD))
    }
}

impl BackupFile {
    fn open(&self, passphrase: &Passphrase) -> Result<Contents, KeystoreError> {
        let key = self.wrapped.open(Some(passphrase))?;
        let plain = key.open(Purpose::Backup(self.account), &self.contents)?;
        codec::decode(&plain, MAX).map_err(|_| KeystoreError::Malformed)
    }
}

impl Object {
    fn from_entry(entry: &ObjectEntry) -> Self {
        let ObjectEntry { link, name, size, time_ms } = entry;
        let key = link.key.as_ref().map(|key| Secret(*key.bytes()));
        Self { id: link.object, key, name: name.as_bytes().to_vec(), size: *size, time_ms: *time_ms }
    }

    fn into_entry(self) -> ObjectEntry {
        let Self { id: object, key, name, size, time_ms } = self;
        let key = key.map(|key| ObjectKey::from_bytes(key.0));
        let name = OsString::from_vec(name);
        ObjectEntry { link: Link { object, key }, name, size, time_ms }
    }
}

fn read(path: &Path) -> Result<BackupFile, ProfileError> {
    let bytes = private_file::read(path, MAX).map_err(|error| file_error(path, error))?;
    keystore::decode(&bytes, HEAD, MAX).map_err(|error| keystore_error(path, error))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{fake::World, keystore::UnlockError};

    fn entry(byte: u8) -> ObjectEntry {
        let link = Link { object: ObjectId::new([byte; 32]), key: Some(ObjectKey::from_bytes([byte; 32])) };
        ObjectEntry { link, name: format!("{byte}.txt").into(), size: 7, time_ms: 1 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_profile_comes_back_from_its_backup() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let (genesis, right) = (World::new(3).genesis, Passphrase::new("right").expect("good"));
        let lost = Profile::init(at("lost"), &genesis, &Protection::None).expect("made");
        lost.objects().remember(&entry(1)).expect("remembered");
        assert_eq!(lost.last_backup_ms(), None);
        for count in [1, 2] {
            lost.objects().remember(&entry(count)).expect("remembered");
            assert_eq!(lost.backup(at("backup"), &right, Cost::LEAST).expect("written"), usize::from(count));
        }
        assert!(lost.last_backup_ms().is_some());
        let entries = lost.objects().list().expect("read");

        let wrong = Backup::open(at("backup"), &Passphrase::new("wrong").expect("good")).expect_err("a wrong one");
        let is_wrong = |error: &KeystoreError| matches!(error, KeystoreError::Unlock(UnlockError::WrongPassphrase));
        assert!(matches!(&wrong, ProfileError::Keystore { error, .. } if is_wrong(error)), "{wrong}");
        let backup = Backup::open(at("backup"), &right).expect("opened");
        assert_eq!((backup.account(), backup.objects()), (lost.account(), &entries[..]));
        let protection = Protection::Passphrase(&right, Cost::LEAST);
        backup.restore(at("found"), &protection).expect("restored");
        assert!(matches!(backup.restore(at("found"), &protection), Err(ProfileError::Exists(_))));
        let found = Profile::unlock(at("found"), &right).expect("opened");
        assert_eq!((found.genesis(), found.keypair().seed()), (&genesis, lost.keypair().seed()));
        assert_eq!(found.objects().list().expect("read"), entries);
        assert_eq!(found.last_backup_ms(), Some(backup.time_ms()));
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_earlier_backup_is_replaced_and_damage_is_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let (genesis, right) = (World::new(3).genesis, Passphrase::new("right").expect("good"));
        let [one, other] =
            ["one", "other"].map(|name| Profile::init(at(name), &genesis, &Protection::None).expect("made"));
        fs::write(at("photo"), "a photo").expect("written");
        let refused = |result| assert!(matches!(result, Err(ProfileError::NotABackup(_))));
        refused(one.backup(at("photo"), &right, Cost::LEAST));
        one.backup(at("backup"), &right, Cost::LEAST).expect("written");
        refused(other.backup(at("backup"), &right, Cost::LEAST));

        let bytes = fs::read(at("backup")).expect("read");
        for at_byte in (0..bytes.len()).step_by(7) {
            let mut changed = bytes.clone();
            changed[at_byte] ^= 0x80;
            fs::write(at("damaged"), &changed).expect("written");
            assert!(Backup::open(at("damaged"), &right).is_err(), "byte {at_byte}");
            fs::write(at("damaged"), &bytes[..at_byte]).expect("written");
            assert!(Backup::open(at("damaged"), &right).is_err(), "{at_byte} bytes");
        }
    }
}
