//! The objects that were added with a profile, with the links that read them: `objects.jsonl`, one JSON object a line.
//!
//! Of a public object everything lies in the open. Of a private one the key and the name are sealed under the profile's
//! data key; its CID, size and time are on the ledger for all to read anyway. So a list that is locked still tells
//! which objects it has, and asks for a passphrase only where a key is needed.
//!
//! Lines are appended whole and synced; a torn last line, of a crash, is skipped. Removing a line rewrites the file and
//! replaces it. What the ledger says of these objects is not here.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use ostrakon_proto::{codec, id::ObjectId, link::Link, pack::serialize_bytes, seal::ObjectKey};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use zeroize::Zeroizing;

use crate::{
    ErrorKind,
    keystore::{
        DataKey,
        data_key::{Purpose, Sealed},
    },
    private_file,
};

/// Bytes of the list at most: some 400,000 objects.
const MAX: usize = 128 * 1024 * 1024;
/// Bytes of a name at most.
const NAME: usize = 64 * 1024;

/// An object that was added with a profile. Serde writes the link, and so the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectEntry {
    /// What reads it.
    pub link: Link,
    /// The name it was added by; empty where it had none.
    pub name: OsString,
    /// Bytes of it.
    pub size: u64,
    /// When it was added, in milliseconds of Unix time.
    pub time_ms: u64,
}

impl Serialize for ObjectEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entry = serializer.serialize_map(None)?;
        entry.serialize_entry("cid", &self.link.object)?;
        entry.serialize_entry("link", &self.link)?;
        serialize_bytes(&mut entry, "name", self.name.as_bytes())?;
        entry.serialize_entry("size", &self.size)?;
        entry.serialize_entry("time_ms", &self.time_ms)?;
        entry.end()
    }
}

/// Why the list cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectsError {
    /// Unlock the profile, and ask again.
    #[error("the keys in {path} are encrypted with the profile's passphrase: unlock the profile first")]
    Locked {
        /// The list.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("cannot read or write the list of objects {path}: {error}")]
    File {
        /// The list, or its lock.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// Restore the list from a backup.
    #[error("the entry of {object} in {path} is damaged: restore it from your backup")]
    Damaged {
        /// The list.
        path: PathBuf,
        /// The object.
        object: ObjectId,
    },
}

impl ObjectsError {
    /// What it means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Locked { .. } => ErrorKind::Usage,
            Self::File { .. } => ErrorKind::Other,
            Self::Damaged { .. } => ErrorKind::Integrity,
        }
    }
}

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    cid: ObjectId,
    size: u64,
    time_ms: u64,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Debug, Serialize, Deserialize)]
enum Rest {
    /// The name of a public object.
    #[serde(rename = "name")]
    Public(String),
    /// The same in hexadecimal, where it is not UTF-8.
    #[serde(rename = "name_hex")]
    PublicBytes(String),
    /// Key and name of a private one.
    #[serde(rename = "sealed")]
    Private(Sealed),
}

/// The list of one profile: [`Profile::objects`](crate::Profile::objects), or
/// [`PublicProfile::objects`](crate::PublicProfile::objects) without its secrets.
#[derive(Clone, Debug)]
pub struct Objects {
    file: PathBuf,
    lock: PathBuf,
    /// `None` while the profile is locked.
    key: Option<DataKey>,
}

impl Objects {
    /// The list in this directory.
    pub(crate) fn new(directory: &Path, key: Option<DataKey>) -> Self {
        Self { file: directory.join("objects.jsonl"), lock: directory.join("objects.lock"), key }
    }

    /// All entries, oldest first.
    ///
    /// # Errors
    /// [`ObjectsError`] when the file cannot be read, or an entry cannot be opened.
    pub fn list(&self) -> Result<Vec<ObjectEntry>, ObjectsError> {
        lines(&self.text()?).map(|line| self.open(line)).collect()
    }

    /// The objects of all entries, oldest first; a list that is locked tells them too.
    ///
    /// # Errors
    /// [`ObjectsError`] when the file cannot be read.
    pub fn ids(&self) -> Result<Vec<ObjectId>, ObjectsError> {
        Ok(lines(&self.text()?).map(|line| line.cid).collect())
    }

    /// The newest entry of this object.
    ///
    /// # Errors
    /// [`ObjectsError`] when the file cannot be read, or this entry cannot be opened.
    pub fn find(&self, object: &ObjectId) -> Result<Option<ObjectEntry>, ObjectsError> {
        lines(&self.text()?).filter(|line| line.cid == *object).last().map(|line| self.open(line)).transpose()
    }

    /// `link`, with the key that the list has for it where it has none itself.
    ///
    /// # Errors
    /// As [`Objects::find`].
    pub fn complete(&self, link: &Link) -> Result<Link, ObjectsError> {
        if link.key.is_some() {
            return Ok(link.clone());
        }
        Ok(self.find(&link.object)?.map_or_else(|| link.clone(), |entry| entry.link))
    }

    /// Adds `entry`, unless it is there under this name already; on disk when this returns.
    ///
    /// # Errors
    /// [`ObjectsError`] when the file cannot be written, or the list is locked and the object private.
    pub fn remember(&self, entry: &ObjectEntry) -> Result<(), ObjectsError> {
        let _held = self.hold()?;
        let text = self.text()?;
        let same = |old: &ObjectEntry| (&old.link, &old.name) == (&entry.link, &entry.name);
        let mut known = lines(&text).filter(|line| line.cid == entry.link.object);
        if known.any(|line| self.open(line).is_ok_and(|old| same(&old))) {
            return Ok(());
        }
        let torn = text.last().is_some_and(|byte| *byte != b'\n');
        let line = [if torn { &b"\n"[..] } else { b"" }, &self.line(entry)?].concat();
        let written = private_file::options().append(true).open(&self.file).and_then(|mut file| {
            file.write_all(&line)?;
            file.sync_all()
        });
        written.map_err(|error| file_error(&self.file, error))
    }

    /// Removes every entry of this object, and so its key; tells whether there was one. A list that is locked does this
    /// too.
    ///
    /// # Errors
    /// [`ObjectsError`] when the file cannot be replaced.
    pub fn forget(&self, object: &ObjectId) -> Result<bool, ObjectsError> {
        let _held = self.hold()?;
        let text = self.text()?;
        let (gone, rest): (Vec<&[u8]>, Vec<&[u8]>) =
            text.split_inclusive(|byte| *byte == b'\n').partition(|line| names(line, object));
        if gone.is_empty() {
            return Ok(false);
        }
        private_file::replace(&self.file, &rest.concat()).map_err(|error| file_error(&self.file, error))?;
        Ok(true)
    }

    /// Writes these entries, and no others.
    pub(crate) fn write(&self, entries: &[ObjectEntry]) -> Result<(), ObjectsError> {
        let lines = entries.iter().map(|entry| self.line(entry)).collect::<Result<Vec<_>, _>>()?;
        private_file::replace(&self.file, &lines.concat()).map_err(|error| file_error(&self.file, error))
    }

    fn text(&self) -> Result<Zeroizing<Vec<u8>>, ObjectsError> {
        match private_file::read(&self.file, MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Zeroizing::default()),
            read => read.map_err(|error| file_error(&self.file, error)),
        }
    }

    /// One writer at a time, over all processes; the lock ends with the value.
    fn hold(&self) -> Result<File, ObjectsError> {
        let lock = private_file::options().write(true).open(&self.lock);
        lock.and_then(|file| file.lock().map(|()| file)).map_err(|error| file_error(&self.lock, error))
    }

    fn key(&self) -> Result<&DataKey, ObjectsError> {
        self.key.as_ref().ok_or_else(|| ObjectsError::Locked { path: self.file.clone() })
    }

    fn open(&self, line: Line) -> Result<ObjectEntry, ObjectsError> {
        let Line { cid: object, size, time_ms, rest } = line;
        let damaged = || ObjectsError::Damaged { path: self.file.clone(), object };
        let (key, name) = match rest {
            Rest::Public(name) => (None, name.into_bytes()),
            Rest::PublicBytes(name) => (None, hex::decode(name).map_err(|_| damaged())?),
            Rest::Private(sealed) => {
                let plain = self.key()?.open(Purpose::Object(object), &sealed).map_err(|_| damaged())?;
                let (key, name): ([u8; 32], Vec<u8>) = codec::decode(&plain, NAME + 64).map_err(|_| damaged())?;
                (Some(ObjectKey::from_bytes(key)), name)
            }
        };
        Ok(ObjectEntry { link: Link { object, key }, name: OsString::from_vec(name), size, time_ms })
    }

    fn line(&self, entry: &ObjectEntry) -> Result<Vec<u8>, ObjectsError> {
        let Link { object, key } = &entry.link;
        let rest = match key {
            None => match entry.name.to_str() {
                Some(name) => Rest::Public(name.to_owned()),
                None => Rest::PublicBytes(hex::encode(entry.name.as_bytes())),
            },
            Some(key) => {
                let name: Vec<u8> = entry.name.as_bytes().iter().copied().take(NAME).collect();
                let plain = Zeroizing::new(codec::encode(&(key.bytes(), name)));
                let sealed = self.key()?.seal(Purpose::Object(*object), &plain);
                Rest::Private(sealed.map_err(|error| file_error(&self.file, io::Error::other(error)))?)
            }
        };
        let line = Line { cid: *object, size: entry.size, time_ms: entry.time_ms, rest };
        let mut bytes = serde_json::to_vec(&line).expect("a line has strings and numbers only");
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// The lines that are entries; what else is there, such as a torn line, is skipped.
fn lines(text: &[u8]) -> impl Iterator<Item = Line> + '_ {
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}

/// Whether the line is of this object; a torn one too, for it may hold the key.
fn names(line: &[u8], object: &ObjectId) -> bool {
    let text = object.to_string();
    let mentions = || line.windows(text.len()).any(|window| window == text.as_bytes());
    serde_json::from_slice::<Line>(line).map_or_else(|_| mentions(), |line| line.cid == *object)
}

fn file_error(path: &Path, error: io::Error) -> ObjectsError {
    ObjectsError::File { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(byte: u8) -> ObjectEntry {
        let link = Link { object: ObjectId::new([byte; 32]), key: None };
        ObjectEntry { link, name: format!("{byte}.txt").into(), size: 7, time_ms: 1 }
    }

    fn private(byte: u8) -> ObjectEntry {
        let mut entry = public(byte);
        entry.link.key = Some(ObjectKey::from_bytes([byte; 32]));
        entry
    }

    struct Case {
        directory: tempfile::TempDir,
        objects: Objects,
    }

    impl Case {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let objects = Objects::new(directory.path(), Some(DataKey::random().expect("random")));
            Self { directory, objects }
        }

        fn path(&self) -> PathBuf {
            self.directory.path().join("objects.jsonl")
        }
    }

    #[test]
    fn entries_come_back_in_order_and_go() {
        let case = Case::new();
        let objects = &case.objects;
        assert_eq!(objects.list().expect("reads"), vec![]);
        for entry in [private(1), public(2), private(3), public(2), private(3)] {
            objects.remember(&entry).expect("remembers");
        }
        assert_eq!(objects.list().expect("reads"), vec![private(1), public(2), private(3)]);
        assert!(objects.forget(&public(2).link.object).expect("forgets"));
        assert!(!objects.forget(&public(2).link.object).expect("forgets"));
        assert_eq!(objects.list().expect("reads"), vec![private(1), private(3)]);
        assert_eq!(objects.find(&private(3).link.object).expect("reads"), Some(private(3)));
        let bare = Link { key: None, ..private(3).link };
        assert_eq!(objects.complete(&bare).expect("reads"), private(3).link);
        assert_eq!(objects.complete(&public(9).link).expect("reads"), public(9).link);
    }

    #[test]
    fn names_keep_their_bytes() {
        let case = Case::new();
        let name = OsString::from_vec(b"latin \xe9".to_vec());
        let entries = [private(1), public(2)].map(|entry| ObjectEntry { name: name.clone(), ..entry });
        for entry in &entries {
            case.objects.remember(entry).expect("remembers");
            let value = serde_json::to_value(entry).expect("serialises");
            assert_eq!(value["name_hex"], "6c6174696e20e9");
        }
        assert_eq!(case.objects.list().expect("reads"), entries);
    }

    #[test]
    fn what_is_locked_hides_keys_and_names_and_nothing_else() {
        let case = Case::new();
        for entry in [private(0xa1), public(0xa2)] {
            case.objects.remember(&entry).expect("remembers");
        }
        let text = std::fs::read(case.path()).expect("reads");
        let key = private(0xa1).link.to_string().split_once('#').expect("private").1.to_owned();
        for secret in [&[0xa1; 32][..], "a1".repeat(32).as_bytes(), key.as_bytes(), b"161.txt"] {
            assert!(!text.windows(secret.len()).any(|window| window == secret));
        }
        let locked = Objects::new(case.directory.path(), None);
        assert!(matches!(locked.list(), Err(ObjectsError::Locked { .. })));
        assert!(matches!(locked.find(&private(0xa1).link.object), Err(ObjectsError::Locked { .. })));
        assert!(matches!(locked.remember(&private(3)), Err(ObjectsError::Locked { .. })));
        assert_eq!(locked.find(&public(0xa2).link.object).expect("reads"), Some(public(0xa2)));
        assert_eq!(locked.find(&public(9).link.object).expect("reads"), None);
        assert_eq!(locked.ids().expect("reads"), [private(0xa1), public(0xa2)].map(|entry| entry.link.object));
        assert!(locked.forget(&private(0xa1).link.object).expect("forgets"));
    }

    #[test]
    fn an_entry_of_another_profile_is_not_taken_for_ours() {
        let case = Case::new();
        case.objects.remember(&private(1)).expect("remembers");
        let other = Objects::new(case.directory.path(), Some(DataKey::random().expect("random")));
        assert!(matches!(other.list(), Err(ObjectsError::Damaged { .. })));
    }

    #[test]
    fn a_torn_line_costs_itself_only() {
        let case = Case::new();
        case.objects.remember(&private(1)).expect("remembers");
        let whole = std::fs::read(case.path()).expect("reads");
        std::fs::write(case.path(), [whole.as_slice(), &whole[..20]].concat()).expect("writes");
        assert_eq!(case.objects.list().expect("reads"), vec![private(1)]);
        case.objects.remember(&private(2)).expect("remembers");
        assert_eq!(case.objects.list().expect("reads"), vec![private(1), private(2)]);
    }

    #[test]
    fn a_torn_line_does_not_keep_a_key() {
        let case = Case::new();
        case.objects.remember(&private(1)).expect("remembers");
        let whole = std::fs::read(case.path()).expect("reads");
        std::fs::write(case.path(), &whole[..whole.len() - 5]).expect("writes");
        assert!(case.objects.forget(&private(1).link.object).expect("forgets"));
        assert_eq!(std::fs::read(case.path()).expect("reads"), b"");
    }

    #[test]
    fn the_file_is_its_owner_s_alone() {
        use std::os::unix::fs::PermissionsExt;
        let case = Case::new();
        case.objects.remember(&private(1)).expect("remembers");
        case.objects.remember(&public(2)).expect("remembers");
        case.objects.forget(&private(1).link.object).expect("forgets");
        let mode = std::fs::metadata(case.path()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
