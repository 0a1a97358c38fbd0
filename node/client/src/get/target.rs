//! What a get reads, once the object is open: a file, a directory or a symlink.

use std::{ops::Range, sync::Arc, time::Duration};

use ostrakon_proto::{
    manifest::{Content, Protection},
    pack::{Entry, FileContent, Kind, PackPath, Stamp},
};

use super::{Fetched, Get, GetError, Source, ahead::ReadAhead, failed, open::Opened, used};
use crate::{Error, PackReadError, PackReader};

/// What a get reads.
pub(super) enum Target {
    File(TargetFile),
    /// A whole directory, or the one of this entry in it.
    Directory(PackReader, Option<Entry>),
    Symlink(PackReader, Entry),
}

/// A file: a whole object, or in a directory.
#[derive(Debug)]
pub(super) struct TargetFile {
    pub(super) opened: Arc<Opened>,
    /// Where it starts in the object's plaintext.
    offset: u64,
    /// Bytes of it.
    pub(super) size: u64,
    /// The hash that it must have as a whole, where one is listed.
    hash: Option<[u8; 32]>,
    /// Path and stamp of a file in a directory.
    pub(super) entry: Option<(PackPath, Stamp)>,
    /// Bytes of columns that were received before this get.
    fetched_before: u64,
}

impl Get {
    /// Opens the object, and finds the path in it.
    pub(super) async fn target(&self) -> Result<Target, Error> {
        let path = self.path.clone().map_err(GetError::Path)?;
        let reader = match &self.source {
            Source::Directory(reader) => reader.clone(),
            Source::Link(client, link) => {
                let mut opened = client.open(link).await.map_err(GetError::Open)?;
                opened.limits = self.limits.clone();
                match (opened.content, &path) {
                    (Content::Pack, _) => PackReader::open(client.clone(), Arc::new(opened)).await?,
                    (_, None) => return Ok(Target::File(TargetFile::whole(Arc::new(opened)))),
                    (_, Some(_)) => return Err(GetError::IsFile(opened.object).into()),
                }
            }
        };
        let Some(path) = path else { return Ok(Target::Directory(reader, None)) };
        let fetched_before = if let Source::Directory(_) = self.source { reader.fetched_bytes() } else { 0 };
        let entry = reader.entry(&path).await?;
        match &entry.kind {
            Kind::File(content) => {
                let file = TargetFile::in_directory(&reader, &entry, *content)?;
                Ok(Target::File(TargetFile { fetched_before, ..file }))
            }
            Kind::Directory => Ok(Target::Directory(reader, Some(entry))),
            Kind::Symlink { .. } => Ok(Target::Symlink(reader, entry)),
        }
    }

    /// Opens a file; anything else is an error that says what it is.
    pub(super) async fn file(&self) -> Result<TargetFile, Error> {
        match self.target().await? {
            Target::File(file) => Ok(file),
            Target::Directory(reader, None) => Err(GetError::IsDirectory(reader.object()).into()),
            Target::Directory(_, Some(entry)) => Err(PackReadError::IsADirectory(entry.path).into()),
            Target::Symlink(_, Entry { path, kind, .. }) => {
                let target = if let Kind::Symlink { target } = kind { target } else { Vec::new() };
                Err(PackReadError::IsASymlink { path, target }.into())
            }
        }
    }
}

impl TargetFile {
    pub(super) fn whole(opened: Arc<Opened>) -> Self {
        let hash = match opened.manifest.protection {
            Protection::Public { hash, .. } => Some(hash),
            Protection::Sealed { .. } => None,
        };
        let size = opened.size();
        Self { opened, offset: 0, size, hash, entry: None, fetched_before: 0 }
    }

    fn in_directory(reader: &PackReader, entry: &Entry, content: FileContent) -> Result<Self, PackReadError> {
        let FileContent { offset, size, hash } = content;
        if offset.checked_add(size).is_none_or(|end| end > reader.content()) {
            return Err(reader.broken(ostrakon_proto::pack::PackError::Bytes(entry.path.clone())));
        }
        let entry = Some((entry.path.clone(), entry.stamp));
        Ok(Self { opened: reader.opened(), offset, size, hash: Some(hash), entry, fetched_before: 0 })
    }

    /// The rows of a range of the file.
    pub(super) fn rows(&self, range: Range<u64>) -> ReadAhead {
        ReadAhead::new(Arc::clone(&self.opened), self.position(range.start)..self.position(range.end))
    }

    /// The same, and then the stamp where that is stored behind the file.
    pub(super) fn rows_and_stamp(&self, range: Range<u64>) -> ReadAhead {
        let (size, end) = (self.size, self.opened.layout.size());
        match self.opened.content {
            Content::StampedFile if range.end == size => ReadAhead::new(Arc::clone(&self.opened), range.start..end),
            Content::StampedFile => self.rows(range).then(size..end),
            Content::File | Content::Pack => self.rows(range),
        }
    }

    /// Mode and time: of a file in a directory those that the directory lists, of another those in these bytes, which
    /// were stored behind it.
    pub(super) fn stamp(&self, stored: &[u8]) -> Result<Option<Stamp>, GetError> {
        match (&self.entry, self.opened.content) {
            (Some((_, stamp)), _) => Ok(Some(*stamp)),
            (None, Content::StampedFile) => {
                Stamp::decode(stored).map(Some).ok_or(GetError::InvalidStamp(self.opened.object))
            }
            (None, _) => Ok(None),
        }
    }

    /// Where a byte of the file is in the object's plaintext.
    pub(super) fn position(&self, byte: u64) -> u64 {
        self.offset + byte
    }

    /// Whether the bytes of this range, if they are all of the file, have the hash that is listed.
    pub(super) fn check_hash(&self, range: &Range<u64>, hash: [u8; 32]) -> Result<(), Error> {
        match (&self.hash, &self.entry) {
            (Some(listed), _) if *range != (0..self.size) || hash == *listed => Ok(()),
            (Some(_), Some((path, _))) => Err(PackReadError::WrongHash(path.clone()).into()),
            (Some(_), None) => Err(GetError::WrongHash(self.opened.object).into()),
            (None, _) => Ok(()),
        }
    }

    /// The object, and what reading it took so far.
    pub(super) fn reads(&self) -> Fetched {
        Fetched::of(&self.opened, self.fetched_before)
    }
}

impl Fetched {
    /// Nothing of this object yet, but the columns that were read, except for so many bytes of them.
    pub(crate) fn of(opened: &Opened, fetched_before: u64) -> Self {
        Self {
            object: opened.object,
            size: 0,
            blake3: None,
            entries: None,
            bits_dropped: 0,
            resumed: 0,
            columns_used: used(opened),
            columns_failed: failed(opened),
            reconstructed: false,
            fetched_bytes: opened.fetched_bytes() - fetched_before,
            took: Duration::ZERO,
            path: None,
        }
    }
}
