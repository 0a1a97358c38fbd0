//! Journals of adds: what an add was about to do, written before it is done, so that it can resume after a `kill -9`.
//!
//! One file per unfinished add, in one directory; its name follows from what is added, which version of it, and how, so
//! that the same add finds it. The file has the object's key, and only its owner may read it. It is locked while its
//! add runs. It is on disk before a byte is sent; later records are only written, since losing the last of them to a
//! power cut costs nothing but doing their work again.
//!
//! * [`record`]: the bytes
//! * [`past`]: what they say, put together
//!
//! A journal of another network, account or version, or one that is damaged, is never touched.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, ErrorKind as IoKind, Write},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::Mutex,
};

use ostrakon_net::lock;
use ostrakon_proto::{
    codec,
    id::{AccountId, ChainId},
    layout::{Layout, RowId},
    params::{Code, CodeChoice},
    seal::ObjectKey,
};
use serde::Serialize;

use super::{builder::AddOptions, hash::Node, input::Origin};
use crate::{
    ErrorKind,
    get::json,
    keystore::{
        DataKey,
        data_key::{Purpose, Sealed},
    },
};

pub(super) mod past;
pub(super) mod record;

use past::Past;
pub(crate) use record::{Fingerprint, Record};
use record::{Frames, Header, MAGIC, START, Terms, VERSION, frame};

const SUFFIX: &str = "journal";

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The disk failed, or does not allow it.
    #[error("cannot read or write the journal of an add, {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// Wait for the other, or stop it.
    #[error("another add of the same source is running (its journal is {0}): wait until it is done, or stop it")]
    InUse(PathBuf),
    /// Use the other profile or network, or delete the file.
    #[error(
        "{0} is the journal of an unfinished add for another network or account: finish it there, or delete that file"
    )]
    Foreign(PathBuf),
    /// Use the program that wrote it, or delete the file.
    #[error(
        "{path} is a journal of version {version}, which this program cannot read: finish the add with the program \
         that started it, or delete that file"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// Delete the file.
    #[error("{0} is damaged from its start, or not the journal of an add: delete that file to add again")]
    Malformed(PathBuf),
    /// Unlock the profile first.
    #[error("the key in {0} is encrypted with the profile's passphrase: unlock the profile first")]
    Locked(PathBuf),
}

impl JournalError {
    /// What it means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// An unfinished add, as its journal tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unfinished {
    /// The journal.
    pub journal: PathBuf,
    /// Where the source was.
    #[serde(rename = "path")]
    pub source: PathBuf,
    /// What it is called.
    #[serde(flatten, serialize_with = "json::name")]
    pub name: OsString,
    /// Bytes of the source.
    pub size: u64,
    /// Bytes of the source that were read before the add ended.
    pub read_bytes: u64,
    /// How it is added.
    #[serde(skip)]
    pub(super) options: AddOptions,
}

/// The journals of one account on one network.
#[derive(Clone, Debug)]
pub struct Journals {
    directory: PathBuf,
    pub(super) chain: ChainId,
    account: AccountId,
    /// What seals object keys; `None` while the profile is locked.
    key: Option<DataKey>,
}

impl Journals {
    /// Those in this directory, which is made when it is needed. Without the data key, journals of private objects can
    /// be listed but not opened.
    pub fn new(directory: PathBuf, chain: ChainId, account: AccountId, key: Option<DataKey>) -> Self {
        Self { directory, chain, account, key }
    }

    /// The adds that are unfinished or running; for a journal that cannot be used, why.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Result<Unfinished, JournalError>>, JournalError> {
        Ok(self.paths()?.iter().map(|path| self.look(path)).collect())
    }

    /// All journals, sorted by name.
    fn paths(&self) -> Result<Vec<PathBuf>, JournalError> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == IoKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed(&self.directory))?,
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed(&self.directory))?.path();
            if path.extension().is_some_and(|suffix| suffix == SUFFIX) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    fn look(&self, path: &Path) -> Result<Unfinished, JournalError> {
        let file = File::open(path).map_err(failed(path))?;
        let (header, at) = self.header(path, &file)?;
        let (past, _) = Past::read(&file, at, header.code).map_err(failed(path))?;
        Ok(header.unfinished(path, &past))
    }

    /// Opens the journal of an unfinished add, and locks it.
    pub(super) fn open(&self, unfinished: &Unfinished) -> Result<Journal, JournalError> {
        let path = &unfinished.journal;
        let gone = || failed(path)(io::Error::new(IoKind::NotFound, "the add was finished by another process"));
        self.open_at(path)?.ok_or_else(gone)
    }

    /// The journal of the add of this source with these options, locked.
    pub(super) fn find(&self, origin: &Origin, options: &AddOptions) -> Result<Option<Journal>, JournalError> {
        self.open_at(&self.path(origin, &Terms::of(options)))
    }

    /// The journals of adds of other versions of this source with these options, locked.
    pub(super) fn outdated(&self, origin: &Origin, options: &AddOptions) -> Result<Vec<Journal>, JournalError> {
        let terms = Terms::of(options);
        let is_older = |header: &Header| {
            header.path == origin.path.as_os_str().as_bytes()
                && header.terms == terms
                && header.fingerprint != origin.fingerprint
        };
        let mut journals = Vec::new();
        for path in self.paths()? {
            let header = File::open(&path).map_err(failed(&path)).and_then(|file| self.header(&path, &file));
            if header.is_ok_and(|(header, _)| is_older(&header)) {
                journals.extend(self.open_at(&path)?);
            }
        }
        Ok(journals)
    }

    fn open_at(&self, path: &Path) -> Result<Option<Journal>, JournalError> {
        let file = match File::options().read(true).write(true).open(path) {
            Err(error) if error.kind() == IoKind::NotFound => return Ok(None),
            file => file.map_err(failed(path))?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(path)(error)),
        }
        // The add that held the lock before may have finished, and removed the file.
        let here = file.metadata().map_err(failed(path))?;
        match fs::metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (here.dev(), here.ino()) => {}
            Ok(_) => return Err(JournalError::InUse(path.to_owned())),
            Err(error) if error.kind() == IoKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(path)(error)),
        }
        let (header, at) = self.header(path, &file)?;
        let (past, end) = Past::read(&file, at, header.code).map_err(failed(path))?;
        file.set_len(end).map_err(failed(path))?;
        let key = self.open_key(path, &header)?;
        Ok(Some(Journal::new((path.to_owned(), file), (header, key), (past, end))))
    }

    /// Creates the journal of an add; it is on disk when this returns, and locked.
    pub(super) fn create(
        &self,
        origin: &Origin,
        options: &AddOptions,
        (code, key): (Code, Option<&ObjectKey>),
    ) -> Result<Journal, JournalError> {
        let terms = Terms::of(options);
        let path = self.path(origin, &terms);
        let mut header = Header {
            chain: self.chain,
            account: self.account,
            path: origin.path.as_os_str().as_bytes().to_vec(),
            name: origin.name.as_bytes().to_vec(),
            fingerprint: origin.fingerprint,
            terms,
            code,
            key: None,
        };
        header.key = key.map(|key| self.seal_key(&path, &header, key)).transpose()?;
        self.make_directory().map_err(failed(&self.directory))?;
        let _turn = self.turn()?;
        if path.symlink_metadata().is_ok() {
            return Err(JournalError::InUse(path));
        }
        let (fresh, start) =
            (path.with_extension("new"), [&MAGIC[..], &VERSION.to_le_bytes(), &frame(&header)].concat());
        let file = self.write_new(&fresh, &path, &start).map_err(failed(&path))?;
        let end = u64::try_from(start.len()).expect("small");
        Ok(Journal::new((path, file), (header, key.cloned()), (Past::default(), end)))
    }

    fn seal_key(&self, path: &Path, header: &Header, key: &ObjectKey) -> Result<Sealed, JournalError> {
        let sealing = self.key.as_ref().ok_or_else(|| JournalError::Locked(path.to_owned()))?;
        let sealed = sealing.seal(header.purpose(), key.bytes());
        sealed.map_err(|error| failed(path)(io::Error::other(error)))
    }

    fn open_key(&self, path: &Path, header: &Header) -> Result<Option<ObjectKey>, JournalError> {
        let Some(sealed) = &header.key else { return Ok(None) };
        let key = self.key.as_ref().ok_or_else(|| JournalError::Locked(path.to_owned()))?;
        let malformed = || JournalError::Malformed(path.to_owned());
        let opened = key.open(header.purpose(), sealed).map_err(|_| malformed())?;
        opened.as_slice().try_into().map(|key| Some(ObjectKey::from_bytes(key))).map_err(|_| malformed())
    }

    /// Writes a file under its first name, locks it, and gives it its last name.
    fn write_new(&self, fresh: &Path, path: &Path, bytes: &[u8]) -> io::Result<File> {
        let mut file = File::options().read(true).write(true).create(true).truncate(true).mode(0o600).open(fresh)?;
        file.try_lock().map_err(io::Error::from)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(fresh, path)?;
        File::open(&self.directory)?.sync_all()?;
        Ok(file)
    }

    fn make_directory(&self) -> io::Result<()> {
        if self.directory.is_dir() {
            return Ok(());
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        File::open(self.directory.parent().unwrap_or(Path::new(".")))?.sync_all()
    }

    /// One journal is created at a time; the turn ends with the value.
    fn turn(&self) -> Result<File, JournalError> {
        let path = self.directory.join("lock");
        let open = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        open.and_then(|file| file.lock().map(|()| file)).map_err(failed(&path))
    }

    /// Reads the beginning of a journal, and where its records follow.
    fn header(&self, path: &Path, file: &File) -> Result<(Header, u64), JournalError> {
        let malformed = || JournalError::Malformed(path.to_owned());
        let mut start = [0; 12];
        match file.read_exact_at(&mut start, 0) {
            Err(error) if error.kind() == IoKind::UnexpectedEof => return Err(malformed()),
            read => read.map_err(failed(path))?,
        }
        let (magic, version) = start.split_first_chunk::<8>().expect("12 bytes");
        let version = u32::from_le_bytes(*version.first_chunk().expect("4 bytes"));
        if *magic != MAGIC {
            return Err(malformed());
        }
        if version != VERSION {
            return Err(JournalError::Version { path: path.to_owned(), version });
        }
        let mut frames = Frames::new(file, START);
        let header: Header = frames.next().map_err(failed(path))?.ok_or_else(malformed)?;
        if !header.code.is_valid() {
            return Err(malformed());
        }
        if (header.chain, header.account) != (self.chain, self.account) {
            return Err(JournalError::Foreign(path.to_owned()));
        }
        Ok((header, frames.at()))
    }

    /// Where the journal of an add is: the name follows from what is added, which version of it, and how.
    fn path(&self, origin: &Origin, terms: &Terms) -> PathBuf {
        let what = codec::encode(&(origin.path.as_os_str().as_bytes(), origin.fingerprint, terms));
        let hash = blake3::derive_key("ostrakon journal name 2", &what);
        self.directory.join(hex::encode(&hash[..16])).with_extension(SUFFIX)
    }
}

impl Terms {
    fn of(options: &AddOptions) -> Self {
        let AddOptions { content, public, code: asked, epochs, auto_renew, all, .. } = *options;
        Self { content, public, asked, epochs, auto_renew, all, exclude: options.exclude.clone() }
    }

    fn options(&self, size: u64) -> AddOptions {
        let Self { content, public, asked: code, epochs, auto_renew, all, .. } = *self;
        AddOptions { size: Some(size), content, public, code, epochs, auto_renew, all, exclude: self.exclude.clone() }
    }
}

impl Header {
    /// What its key is sealed for: this add, and no other whose key it could be exchanged with.
    fn purpose(&self) -> Purpose {
        let others = codec::encode(&Self { key: None, ..self.clone() });
        Purpose::Journal(blake3::derive_key("ostrakon journal key 1", &others))
    }

    fn unfinished(&self, path: &Path, past: &Past) -> Unfinished {
        let size = self.fingerprint.size();
        Unfinished {
            journal: path.to_owned(),
            source: OsString::from_vec(self.path.clone()).into(),
            name: OsString::from_vec(self.name.clone()),
            size,
            read_bytes: self.read_bytes(past).unwrap_or(0),
            options: self.terms.options(size),
        }
    }

    /// Bytes of the source in the rows that are known.
    fn read_bytes(&self, past: &Past) -> Option<u64> {
        let size = self.fingerprint.size();
        let layout =
            Layout::new(size.saturating_add(self.terms.content.trailer()), self.code, !self.terms.public).ok()?;
        let (extent, known) = past.extents.iter().rev().find(|(_, extent)| extent.rows > 0)?;
        Some(layout.row(RowId { extent: *extent, row: known.rows - 1 })?.plain.end.min(size))
    }
}

/// The journal of one add, locked. Dropping it leaves the file, for the add to resume from there, unless it is
/// finished.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    header: Header,
    /// The object's key, when it is private.
    key: Option<ObjectKey>,
    past: Past,
    tail: Mutex<Tail>,
    is_finished: bool,
}

/// How far it is written.
#[derive(Debug)]
struct Tail {
    end: u64,
    /// A write failed: what comes after it would not be read.
    broken: bool,
    /// Rows of the source that it has.
    rows: u64,
}

impl Journal {
    fn new(
        (path, file): (PathBuf, File),
        (header, key): (Header, Option<ObjectKey>),
        (past, end): (Past, u64),
    ) -> Self {
        let tail = Mutex::new(Tail { end, broken: false, rows: past.rows });
        Self { path, file, header, key, past, tail, is_finished: false }
    }

    /// Deletes it: the add is given up.
    pub(super) fn remove(self) -> Result<(), JournalError> {
        fs::remove_file(&self.path).map_err(failed(&self.path))?;
        let directory = self.path.parent().unwrap_or(Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed(directory))
    }

    /// The same, deleted when it is dropped: until then a process that is killed finds what it had added.
    pub(super) fn finished(mut self) -> Self {
        self.is_finished = true;
        self
    }

    /// Leaves the file, as a process does that is killed.
    #[cfg(test)]
    pub(super) fn unfinished(mut self) {
        self.is_finished = false;
    }

    /// Whether there is something to resume: a part of the source was read, and perhaps sent.
    pub(super) fn is_begun(&self) -> bool {
        lock(&self.tail).rows > 0
    }

    pub(super) fn past(&self) -> &Past {
        &self.past
    }

    /// Bytes of the source.
    pub(super) fn size(&self) -> u64 {
        self.header.fingerprint.size()
    }

    /// What the source is called.
    pub(super) fn name(&self) -> OsString {
        OsString::from_vec(self.header.name.clone())
    }

    /// How the add was started, with the code that was chosen then.
    pub(super) fn options(&self) -> AddOptions {
        let options = self.header.terms.options(self.header.fingerprint.size());
        AddOptions { code: CodeChoice::Code(self.header.code), ..options }
    }

    pub(super) fn key(&self) -> Option<ObjectKey> {
        self.key.clone()
    }

    /// Records what is about to be done.
    pub(super) fn record(&self, record: &Record) -> Result<(), JournalError> {
        let bytes = frame(record);
        let mut tail = lock(&self.tail);
        let written = match tail.broken {
            true => Err(io::Error::other("an earlier write failed")),
            false => self.file.write_all_at(&bytes, tail.end),
        };
        tail.broken = written.is_err();
        tail.rows += u64::from(matches!(record, Record::Row { .. }));
        tail.end += u64::try_from(bytes.len()).expect("a record is small");
        written.map_err(failed(&self.path))
    }

    /// The values of the rows of an extent that were known when the journal was opened.
    pub(super) fn rows(&self, extent: u32) -> Result<Vec<Vec<Node>>, JournalError> {
        let Some(known) = self.past.extents.get(&extent).filter(|extent| extent.rows > 0) else {
            return Ok(Vec::new());
        };
        let (mut frames, mut rows) = (Frames::new(&self.file, known.rows_at), Vec::new());
        let count = usize::try_from(known.rows).expect("at most 4,096");
        while rows.len() < count {
            match frames.next::<Record>().map_err(failed(&self.path))? {
                Some(Record::Row { extent: of, nodes, .. }) if of == extent => rows.push(nodes),
                Some(_) => {}
                None => return Err(JournalError::Malformed(self.path.clone())),
            }
        }
        Ok(rows)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if self.is_finished
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "cannot delete the journal of a finished add");
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> JournalError + '_ {
    |error| JournalError::File { path: path.to_owned(), error }
}
