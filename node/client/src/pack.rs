//! Packs: whole directories, added and restored, and single files read out of them.
//!
//! In goes a directory and out comes a link, or the other way round. [`walk`] lists the directory and knows every
//! length beforehand, [`source`] turns the list into the stream that an add reads, [`tree`] is the list, and [`cursor`]
//! the one open directory that all of them move. [`read`] finds entries in an index page by page and [`list`] walks
//! them; [`restore`] writes them beside the destination, and [`place`] puts that where it belongs.
//!
//! Kept are names, contents, modes, times, symlinks and empty directories. Not kept are owners, extended attributes and
//! access times; hard links become files of their own, and holes in files zeroes.
//!
//! Not here: the format ([`ostrakon_proto::pack`]), and how bytes are stored and fetched.

use std::path::{Path, PathBuf};

use ostrakon_proto::manifest::Content;

use crate::{AddError, AddOptions, Added, Client, ErrorKind, Event, Events, Journal, Journals, Kept, Origin, Quote};

mod cursor;
mod list;
mod place;
mod read;
mod restore;
mod source;
mod tree;
mod walk;

pub use list::{Listing, PackEntries};
pub use read::{PackReadError, PackReader};
pub use restore::Restored;
pub use source::PackSource;
pub use walk::{WalkError, Walked, walk};

/// Something that was not stored, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its path in the directory.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// A directory that was added.
#[derive(Debug)]
pub struct AddedDirectory {
    /// The object.
    pub added: Added,
    /// How many entries it has.
    pub entries: u64,
    /// What is not in it.
    pub skipped: Vec<Skipped>,
    /// The journal, if there is one: to be deleted as soon as the link is where it cannot be lost, and not before.
    pub journal: Option<Journal>,
    /// Whether the directory has changed since an earlier run had added all of it: this is what it was then. Add it
    /// again.
    pub outdated: bool,
}

/// Where an add is written down, so that the same add goes on where it was interrupted.
#[derive(Clone, Copy, Debug)]
pub struct Keeping<'a> {
    /// The journals.
    pub journals: &'a Journals,
    /// What the directory is called there.
    pub name: &'a str,
}

/// Why no directory was added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddDirectoryError {
    /// It cannot be listed.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// It cannot be stored.
    #[error(transparent)]
    Add(#[from] AddError),
}

impl AddDirectoryError {
    /// What it means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Walk(_) => ErrorKind::Usage,
            Self::Add(error) => error.kind(),
        }
    }
}

impl AddedDirectory {
    fn new(added: Added, source: PackSource, journal: Option<Journal>, outdated: bool) -> Self {
        let (entries, skipped) = source.into_outcome();
        Self { added, entries, skipped, journal, outdated }
    }
}

impl Client {
    /// Stores the directory at `path` as one object, and commits it. `options` say how; its size and content are found
    /// out here.
    ///
    /// What cannot be read, or changes while it is, is left out and named in the result. With a journal, the same call
    /// goes on where an earlier one stopped, unless the directory changed meanwhile.
    ///
    /// # Errors
    /// [`AddDirectoryError`]; nothing is then committed, as with [`Client::add`].
    pub async fn add_directory(
        &self,
        path: &Path,
        options: &AddOptions,
        keeping: Option<Keeping<'_>>,
        events: &Events,
    ) -> Result<AddedDirectory, AddDirectoryError> {
        let Some(Keeping { journals, name }) = keeping else {
            let walked = self.walk_directory(path).await?;
            let options = AddOptions { size: Some(walked.size()), content: Content::Pack, ..options.clone() };
            let mut source = PackSource::new(walked);
            let added = self.add(&mut source, &options, events).await?;
            return Ok(AddedDirectory::new(added, source, None, false));
        };
        match Box::pin(self.add_again_directory((path, name), options, journals, events)).await {
            // The journal of what it was is gone: from the start, under a new key.
            Err(AddDirectoryError::Add(AddError::SourceChanged(why))) => {
                events.tell(Event::Restarted { why });
                Box::pin(self.add_again_directory((path, name), options, journals, events)).await
            }
            added => added,
        }
    }

    async fn add_again_directory(
        &self,
        (path, name): (&Path, &str),
        options: &AddOptions,
        journals: &Journals,
        events: &Events,
    ) -> Result<AddedDirectory, AddDirectoryError> {
        let unreadable = |error| WalkError::Open { path: path.to_owned(), error };
        let whole = path.canonicalize().map_err(unreadable)?;
        let walked = self.walk_directory(path).await?;
        let origin = Origin::other(whole, walked.size(), walked.fingerprint()).named(name.to_owned());
        let options = AddOptions { size: Some(walked.size()), content: Content::Pack, ..options.clone() };
        let mut source = PackSource::new(walked);
        let Kept { added, journal, outdated } =
            self.add_again((&origin, &mut source), &options, journals, events).await?;
        Ok(AddedDirectory::new(added, source, Some(journal), outdated))
    }

    /// What adding the directory at `path` would cost and give.
    ///
    /// # Errors
    /// [`AddDirectoryError`], as the add would.
    pub async fn quote_directory(&self, path: &Path, options: &AddOptions) -> Result<Quote, AddDirectoryError> {
        let size = self.walk_directory(path).await?.size();
        Ok(self.quote(size, options).await?)
    }

    async fn walk_directory(&self, path: &Path) -> Result<Walked, WalkError> {
        let path = path.to_owned();
        self.workers.run(move || walk(&path)).await
    }
}

#[cfg(test)]
mod tests;
