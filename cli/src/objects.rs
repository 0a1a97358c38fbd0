//! What was added with this profile: `objects.jsonl`, one JSON object a line, with the links and so the keys.
//!
//! Lines are appended whole and synced; a torn last line, of a crash, is skipped. Removing a line rewrites the file and
//! replaces it. What the ledger says of these objects is not here.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use ostrakon::Profile;
use ostrakon_proto::{id::ObjectId, link::Link};
use serde::{Deserialize, Serialize};

/// One object that was added with this profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The object.
    pub(crate) cid: ObjectId,
    /// How to read it: secret, when the object is private.
    pub(crate) link: String,
    /// The file it came from.
    pub(crate) name: String,
    /// Bytes of it.
    pub(crate) size: u64,
    /// When it was added, in milliseconds of Unix time.
    pub(crate) time_ms: u64,
}

/// The list of one profile.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    file: PathBuf,
    lock: PathBuf,
}

impl Objects {
    /// The list in this profile.
    pub(crate) fn of(profile: &Profile) -> Self {
        Self::in_directory(profile.directory())
    }

    /// The list in this directory.
    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self { file: directory.join("objects.jsonl"), lock: directory.join("objects.lock") }
    }

    /// All entries, oldest first.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub(crate) fn list(&self) -> anyhow::Result<Vec<Entry>> {
        Ok(parse(&self.text()?))
    }

    /// The newest entry of this object.
    ///
    /// # Errors
    /// As [`Objects::list`].
    pub(crate) fn find(&self, object: &ObjectId) -> anyhow::Result<Option<Entry>> {
        Ok(self.list()?.into_iter().rev().find(|entry| entry.cid == *object))
    }

    /// `link` with the key that this profile remembers, when it has none itself.
    ///
    /// # Errors
    /// As [`Objects::list`].
    pub(crate) fn complete(&self, link: &Link) -> anyhow::Result<Link> {
        if link.key.is_some() {
            return Ok(link.clone());
        }
        let remembered = self.find(&link.object)?.and_then(|entry| entry.link.parse().ok());
        Ok(remembered.unwrap_or_else(|| link.clone()))
    }

    /// Adds `entry`, unless it is there under this name already; on disk when this returns.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn append(&self, entry: &Entry) -> anyhow::Result<()> {
        let _held = self.hold()?;
        let text = self.text()?;
        let same = |old: &Entry| (old.cid, &old.link, &old.name) == (entry.cid, &entry.link, &entry.name);
        if parse(&text).iter().any(same) {
            return Ok(());
        }
        let torn = text.last().is_some_and(|byte| *byte != b'\n');
        let line = format!("{}{}\n", if torn { "\n" } else { "" }, serde_json::to_string(entry)?);
        let written = private().append(true).open(&self.file).and_then(|mut file| {
            file.write_all(line.as_bytes())?;
            file.sync_all()
        });
        written.with_context(|| format!("cannot write {}", self.file.display()))
    }

    /// Forgets every entry of this object, and so its key; says whether there was one.
    ///
    /// # Errors
    /// When the file cannot be replaced.
    pub(crate) fn remove(&self, object: &ObjectId) -> anyhow::Result<bool> {
        let _held = self.hold()?;
        let text = self.text()?;
        let names_it = |line: &&[u8]| names(line, object);
        let (gone, kept): (Vec<&[u8]>, Vec<&[u8]>) = text.split_inclusive(|byte| *byte == b'\n').partition(names_it);
        if gone.is_empty() {
            return Ok(false);
        }
        self.replace(&kept.concat()).with_context(|| format!("cannot rewrite {}", self.file.display()))?;
        Ok(true)
    }

    fn text(&self) -> anyhow::Result<Vec<u8>> {
        let mut text = Vec::new();
        let read = File::open(&self.file).and_then(|mut file| file.read_to_end(&mut text));
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(text),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", self.file.display())),
            Ok(_) => Ok(text),
        }
    }

    fn replace(&self, text: &[u8]) -> io::Result<()> {
        let fresh = self.file.with_extension("jsonl.new");
        let mut file = private().write(true).truncate(true).open(&fresh)?;
        file.write_all(text)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &self.file)?;
        File::open(self.file.parent().unwrap_or(Path::new(".")))?.sync_all()
    }

    /// One writer at a time, over all processes; the lock ends with the value.
    fn hold(&self) -> anyhow::Result<File> {
        let lock = private().write(true).open(&self.lock).and_then(|file| file.lock().map(|()| file));
        lock.with_context(|| format!("cannot lock {}", self.lock.display()))
    }
}

/// Whether the line is of this object; a torn one too, for it may hold the key.
fn names(line: &[u8], object: &ObjectId) -> bool {
    let text = object.to_string();
    let mentions = || line.windows(text.len()).any(|window| window == text.as_bytes());
    serde_json::from_slice::<Entry>(line).map_or_else(|_| mentions(), |entry| entry.cid == *object)
}

/// Created readable by the owner alone: the links have keys in them.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    options
}

/// The lines that are entries; what else is there, a torn line or a newer version's, is skipped.
fn parse(text: &[u8]) -> Vec<Entry> {
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(byte: u8) -> Entry {
        let cid = ObjectId::new([byte; 32]);
        Entry { cid, link: format!("ostrakon:{cid}"), name: format!("{byte}.txt"), size: 7, time_ms: 1 }
    }

    fn objects() -> (tempfile::TempDir, Objects) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let objects = Objects::in_directory(dir.path());
        (dir, objects)
    }

    #[test]
    fn entries_come_back_in_order_and_go() {
        let (_dir, objects) = objects();
        assert_eq!(objects.list().expect("reads"), vec![]);
        for byte in [1, 2, 3, 2] {
            objects.append(&entry(byte)).expect("appends");
        }
        assert!(objects.remove(&entry(2).cid).expect("removes"));
        assert!(!objects.remove(&entry(2).cid).expect("removes"));
        assert_eq!(objects.list().expect("reads"), vec![entry(1), entry(3)]);
        assert_eq!(objects.find(&entry(3).cid).expect("reads"), Some(entry(3)));
    }

    #[test]
    fn a_torn_line_costs_itself_only() {
        let (dir, objects) = objects();
        objects.append(&entry(1)).expect("appends");
        let path = dir.path().join("objects.jsonl");
        let whole = std::fs::read(&path).expect("reads");
        std::fs::write(&path, [whole.as_slice(), &whole[..20]].concat()).expect("writes");
        assert_eq!(objects.list().expect("reads"), vec![entry(1)]);
        objects.append(&entry(2)).expect("appends");
        assert_eq!(objects.list().expect("reads"), vec![entry(1), entry(2)]);
    }

    #[test]
    fn a_torn_line_does_not_keep_a_key() {
        let (dir, objects) = objects();
        let line = serde_json::to_vec(&entry(1)).expect("serialises");
        let path = dir.path().join("objects.jsonl");
        std::fs::write(&path, &line[..line.len() - 5]).expect("writes");
        assert!(objects.remove(&entry(1).cid).expect("removes"));
        assert_eq!(std::fs::read(&path).expect("reads"), b"");
    }

    #[test]
    fn the_file_is_its_owner_s_alone() {
        use std::os::unix::fs::PermissionsExt;
        let (dir, objects) = objects();
        objects.append(&entry(1)).expect("appends");
        objects.append(&entry(2)).expect("appends");
        objects.remove(&entry(1).cid).expect("removes");
        let mode = std::fs::metadata(dir.path().join("objects.jsonl")).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
