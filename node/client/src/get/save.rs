//! Get to disk: whole or not at all, and resuming what an earlier attempt left.
//!
//! The destination is looked at before anything is asked of the network, and once more when the object is known to be a
//! file or a directory. Bytes go to a [`PartFile`] beside it, which takes its name once they are all there and on disk;
//! directories are in [`crate::pack`]. A fifo or device is written into.

use std::{
    ffi::OsString,
    fs,
    io::{self, ErrorKind as IoKind},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use ostrakon_proto::pack::{Entry, Kind};
use tokio::time::Instant;

use super::{
    Fetched, Get, GetError, Overwrite, Reading, Source,
    part_file::PartFile,
    staging::{StagingDirectory, StagingId, is_staged},
    target::Target,
};
use crate::{
    Client, Error, ErrorKind,
    pack::{Restore, SET_ID_BITS},
};

/// A path to write to, and what is there.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) path: PathBuf,
    pub(crate) occupant: Occupant,
    pub(crate) overwrite: Overwrite,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occupant {
    Nothing,
    /// A directory, and whether there is anything in it.
    Directory {
        is_empty: bool,
    },
    /// A file or a symlink.
    Other,
    /// What is written into, never replaced: a fifo, a device, a socket, or anything that the kernel shows.
    Special,
}

impl Get {
    /// Writes to disk: a file to the file `path`, a directory to the directory `path`, with modes, times and symlinks.
    ///
    /// A file, and a directory that is new, appear whole or not at all; one that exists is filled, or merged into, when
    /// all files are there ([`Get::overwrite`]), and what else is in it stays as it is. What an earlier attempt fetched
    /// is not fetched again. A file that was added without its mode and time gets the usual mode. Set-user-id and
    /// set-group-id bits are dropped. A fifo or a device is written into.
    ///
    /// # Errors
    /// As [`Get::bytes`], and [`GetError`] for what is wrong with the destination.
    pub async fn save(self, path: impl AsRef<Path>) -> Result<Fetched, Error> {
        let since = Instant::now();
        let destination = Destination::look(path.as_ref(), self.overwrite)?;
        let saved = Box::pin(self.save_to(&destination, since)).await?;
        Ok(Fetched { took: since.elapsed(), path: Some(path.as_ref().to_owned()), ..saved })
    }

    async fn save_to(self, to: &Destination, since: Instant) -> Result<Fetched, Error> {
        if to.occupant == Occupant::Special {
            // A fifo opens when somebody reads it: what cannot be written into one is refused before.
            let mut reading = self.start().await?;
            let mut append = tokio::fs::OpenOptions::new();
            let special = reading.rows.meanwhile(append.append(true).open(&to.path)).await;
            return reading.write_to(special.map_err(|error| GetError::write(&to.path, error))?).await;
        }
        match self.target().await? {
            Target::File(file) => {
                to.check_for_file()?;
                let client = self.client().clone();
                let range = self.range.within(file.size)?;
                save_file(client, Reading::new(file, range, self.events, since), to).await
            }
            Target::Directory(reader, entry) => {
                if self.range != super::ByteRange::All {
                    return Err(GetError::RangeOfDirectory(reader.object()).into());
                }
                to.check_for_directory()?;
                Box::pin(Restore::new(reader, entry, self.exclude, self.events).run(to)).await
            }
            Target::Symlink(reader, Entry { kind: Kind::Symlink { target }, path, stamp }) => {
                to.check_for_file()?;
                let (directory, name) = to.beside().map_err(|error| GetError::write(&to.path, error))?;
                let id = StagingId::new(reader.object(), Some(&path), &(0..0), &to.path);
                let staged = id.name(u64::from_le_bytes(self.client().random()));
                let link = crate::pack::place_symlink(&directory, &staged, (&target, stamp), (&name, to.overwrite));
                link.map_err(|error| GetError::write(&to.path, error))?;
                Ok(Fetched { entries: Some(1), ..reader.reads(0) })
            }
            Target::Symlink(..) => unreachable!("invariant: the target of a symlink's entry is known"),
        }
    }

    fn client(&self) -> &Client {
        match &self.source {
            Source::Link(client, _) => client,
            Source::Directory(reader) => reader.client(),
        }
    }
}

async fn save_file(client: Client, mut reading: Reading, to: &Destination) -> Result<Fetched, Error> {
    let failed = |error: io::Error| GetError::write(&to.path, error);
    let (directory, name) = to.beside().map_err(failed)?;
    let (path, range) = (reading.file.entry.as_ref().map(|(path, _)| path), reading.range.clone());
    let id = StagingId::new(reading.file.opened.object, path, &range, &to.path);
    let (total, number) = (range.end - range.start, u64::from_le_bytes(client.random()));
    let opened = client.workers.run(move || PartFile::open(directory, &id, total, number)).await;
    let mut part = opened.map_err(failed)?;
    reading.resume(&part, &to.path);
    let stamp = loop {
        let stamp = match reading.next().await {
            Ok(Some(_)) => {
                part.note(reading.done, &reading.hasher).map_err(failed)?;
                continue;
            }
            Ok(None) => reading.file.stamp(&reading.behind).map_err(Error::from),
            Err(error) => Err(error),
        };
        match stamp {
            Err(error) if error.kind() == ErrorKind::Integrity => {
                part.discard();
                return Err(error);
            }
            stamp => break stamp?,
        }
    };
    let overwrite = to.overwrite;
    client.workers.run(move || part.place(&name, overwrite, stamp)).await.map_err(failed)?;
    let bits_dropped = u64::from(stamp.is_some_and(|stamp| stamp.mode & SET_ID_BITS != 0));
    Ok(Fetched { bits_dropped, ..reading.finish() })
}

impl Reading {
    /// Continues where an earlier attempt stopped, and writes the rest to its file.
    fn resume(&mut self, part: &PartFile, to: &Path) {
        let (done, hasher) = part.done();
        (self.done, self.resumed, self.hasher, self.to) = (done, done, hasher, Some(to.to_owned()));
        let rows = self.file.rows_and_stamp(self.range.start + done..self.range.end);
        let position = |byte| self.file.position(byte);
        self.rows = rows.into_file(part.file(), position(self.range.start)..position(self.range.end));
    }
}

impl Destination {
    /// Looks at what is there. Fails where nothing could be written, whatever the object is.
    pub(crate) fn look(path: &Path, overwrite: Overwrite) -> Result<Self, GetError> {
        let failed = |error| GetError::write(path, error);
        let named = match path.file_name() {
            Some(_) => path.to_owned(),
            None => path.canonicalize().map_err(failed)?,
        };
        let is_directory = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.is_dir());
        if path.as_os_str().as_bytes().ends_with(b"/") && !is_directory(path) {
            return Err(GetError::NotADirectory(path.to_owned()));
        }
        let occupant = Occupant::at(&named).map_err(failed)?;
        if occupant == Occupant::Nothing && !is_directory(parent_of(&named)) {
            return Err(GetError::NotADirectory(parent_of(&named).to_owned()));
        }
        if occupant == Occupant::Other && overwrite == Overwrite::Refuse {
            return Err(GetError::Exists(path.to_owned()));
        }
        Ok(Self { path: named, occupant, overwrite })
    }

    fn check_for_file(&self) -> Result<(), GetError> {
        match self.occupant {
            Occupant::Directory { .. } => Err(GetError::IsADirectory(self.path.clone())),
            Occupant::Nothing | Occupant::Other | Occupant::Special => Ok(()),
        }
    }

    fn check_for_directory(&self) -> Result<(), GetError> {
        let path = || self.path.clone();
        match (self.occupant, self.overwrite) {
            (Occupant::Directory { is_empty: false }, Overwrite::Refuse) => Err(GetError::NotEmpty(path())),
            (Occupant::Nothing | Occupant::Directory { .. }, _) => Ok(()),
            (Occupant::Other | Occupant::Special, _) => {
                Err(GetError::Conflict { path: path(), found: "a file", needed: "a directory" })
            }
        }
    }

    /// The directory that it lies in, and its name there.
    pub(crate) fn beside(&self) -> io::Result<(StagingDirectory, OsString)> {
        let name =
            self.path.file_name().ok_or_else(|| io::Error::new(IoKind::InvalidInput, "the path has no file name"))?;
        Ok((StagingDirectory::open(parent_of(&self.path))?, name.to_owned()))
    }
}

impl Occupant {
    fn at(path: &Path) -> io::Result<Self> {
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == IoKind::NotFound || error.kind() == IoKind::NotADirectory => {
                return Ok(Self::Nothing);
            }
            Err(error) => return Err(error),
        };
        if metadata.is_dir() {
            let mut names = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.file_name()));
            // What an earlier attempt has left in it does not count.
            let is_empty = names.all(|name| name.is_ok_and(|name| is_staged(name.as_bytes())));
            return Ok(Self::Directory { is_empty });
        }
        // What a symlink leads to counts here alone: /dev/stdout and /dev/fd/63 are symlinks.
        let followed = fs::metadata(path).map(|metadata| metadata.file_type());
        let is_special = followed.is_ok_and(|kind| !kind.is_file() && !kind.is_dir());
        let is_descriptor = |path: &Path| ["/proc", "/dev/fd"].iter().any(|at| path.starts_with(at));
        let leads_to_one = is_descriptor(path) || fs::read_link(path).is_ok_and(|to| is_descriptor(&to));
        Ok(if is_special || leads_to_one { Self::Special } else { Self::Other })
    }
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
