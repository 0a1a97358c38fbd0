//! What an application says of an add before it awaits it: how it is coded, for how long it is paid, who is told.

use std::{ffi::OsString, fmt, path::Path};

use bytes::Bytes;
use ostrakon_proto::{
    manifest::Content,
    params::{Class, Code, CodeChoice},
};
use tokio::io::AsyncRead;

use super::{Journals, Quote, Unfinished, input::Input, run};
use crate::{Client, Error, Event, Events, RateLimit};

/// Epochs that are paid for by default: a month of hours.
const EPOCHS: u64 = 720;

/// An add that has not begun: await it to store the source and commit it.
///
/// The future is `Send`. Dropping it cancels the add: nothing is committed then, unless its transaction was submitted
/// already. What holders have is kept for the same add to resume where there is a journal of it ([`Add::journals`]);
/// else they are told to forget it, in a task of the runtime that takes seconds at most ([`Client::settle`]).
#[must_use = "nothing is added before this is awaited"]
pub struct Add<'a> {
    pub(super) client: Client,
    pub(super) input: Input<'a>,
    pub(crate) options: AddOptions,
    pub(super) journals: Option<Journals>,
    pub(super) name: Option<OsString>,
    pub(super) limit: Option<RateLimit>,
    pub(super) wait: bool,
    pub(super) events: Events,
}

/// How to add: all that must be the same for an add to resume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddOptions {
    /// Bytes of the source, where they are known.
    pub(crate) size: Option<u64>,
    /// What the object is; before a path is opened, what it is if that is a private file.
    pub(crate) content: Content,
    pub(crate) public: bool,
    pub(crate) code: CodeChoice,
    pub(crate) epochs: u64,
    /// Whether the ledger renews it, by as many, whenever it would end.
    pub(crate) auto_renew: bool,
    /// Whether all n columns must be stored; else enough that the ledger accepts.
    pub(crate) all: bool,
    /// Globs of what is left out of a directory.
    pub(crate) exclude: Vec<String>,
}

impl Default for AddOptions {
    fn default() -> Self {
        let (size, content, code, exclude) = Default::default();
        Self { size, content, public: false, code, epochs: EPOCHS, auto_renew: false, all: false, exclude }
    }
}

impl AddOptions {
    /// What a file at a path becomes.
    pub(super) fn file_content(&self) -> Content {
        match self.content {
            Content::StampedFile if !self.public => Content::StampedFile,
            _ => Content::File,
        }
    }
}

impl Client {
    /// Adds the file or directory at this path.
    ///
    /// A file's mode and time are stored with it, encrypted as its bytes are, unless [`Add::public`] or
    /// [`Add::no_preserve`] is called. One that changes while it is read is read again from the start, once; of one
    /// that only grows, what it had at first is stored. A directory becomes one object with names, modes, times,
    /// symlinks and empty directories; what cannot be read, or changes while it is read, is left out and named in
    /// [`Added::source`].
    ///
    /// With a journal, the same add resumes where an earlier one stopped, unless the source changed since. The
    /// profile's journals are used unless [`Add::journals`] names others.
    pub fn add(&self, path: impl AsRef<Path>) -> Add<'static> {
        let add = Add::new(self, Input::Path(path.as_ref().to_owned()));
        let options = AddOptions { content: Content::StampedFile, ..add.options };
        Add { journals: self.journals.clone(), options, ..add }
    }

    /// Adds these bytes, as one file without a name.
    pub fn add_bytes(&self, bytes: impl Into<Bytes>) -> Add<'static> {
        let bytes: Bytes = bytes.into();
        let size = u64::try_from(bytes.len()).ok();
        let add = self.add_reader(std::io::Cursor::new(bytes));
        Add { options: AddOptions { size, ..add.options }, ..add }
    }

    /// Adds what this reader yields until it ends, as one file without a name. It cannot be read twice, so that an add
    /// of it never resumes.
    pub fn add_reader<'a>(&self, reader: impl AsyncRead + Send + 'a) -> Add<'a> {
        Add::new(self, Input::Reader(Some(Box::pin(reader))))
    }

    /// Resumes an add that was interrupted.
    pub fn resume(&self, unfinished: &Unfinished) -> Add<'static> {
        let add = self.add(&unfinished.source).name(&unfinished.name);
        Add { options: unfinished.options.clone(), ..add }
    }
}

impl<'a> Add<'a> {
    fn new(client: &Client, input: Input<'a>) -> Self {
        let (options, journals, name, limit, events) = Default::default();
        Self { client: client.clone(), input, options, journals, name, limit, wait: true, events }
    }

    /// Encrypts nothing: anyone who has the object's CID can read it, every holder included. Of a file nothing but its
    /// bytes is stored then.
    pub fn public(mut self) -> Self {
        self.options.public = true;
        self
    }

    /// Fails with [`AddError::TooNew`](super::AddError::TooNew) where the account is so new that it can draw holders
    /// only some blocks later; else the add waits for them.
    pub fn no_wait(mut self) -> Self {
        self.wait = false;
        self
    }

    /// Stores neither mode nor time of a file, only its bytes. Those of what is in a directory are stored always.
    pub fn no_preserve(mut self) -> Self {
        self.options.content = Content::File;
        self
    }

    /// Codes as the network's table says for this durability class: [`Class::Standard`] unless this is called.
    pub fn class(mut self, class: Class) -> Self {
        self.options.code = CodeChoice::Class(class);
        self
    }

    /// Codes so that any `code.k` of `code.n` columns restore the object.
    pub fn code(mut self, code: Code) -> Self {
        self.options.code = CodeChoice::Code(code);
        self
    }

    /// Pays for so many epochs: 720 unless this is called.
    pub fn epochs(mut self, epochs: u64) -> Self {
        self.options.epochs = epochs;
        self
    }

    /// Has the ledger renew the object by itself whenever it would end, each time for as many epochs as this add pays
    /// for, from this account's balance: [`Client::set_renewal`] as part of the commit. A renewal that the account
    /// cannot pay, or for which a holder asks for more than before, is not made, and the object ends.
    pub fn auto_renew(mut self) -> Self {
        self.options.auto_renew = true;
        self
    }

    /// Fails unless every column is stored. Without this an add succeeds with as many as the ledger accepts, and the
    /// rest is left to repair.
    pub fn all(mut self) -> Self {
        self.options.all = true;
        self
    }

    /// Leaves out of a directory what these globs match: the whole path in the directory where the glob has a slash,
    /// else any name in it. A directory that matches is left out with all that is in it.
    pub fn exclude<G: Into<String>>(mut self, globs: impl IntoIterator<Item = G>) -> Self {
        self.options.exclude.extend(globs.into_iter().map(Into::into));
        self
    }

    /// How many bytes a reader will yield, where that is known: the price is then checked before a byte is sent, and
    /// the add fails when it yields more or fewer.
    pub fn size(mut self, bytes: u64) -> Self {
        self.options.size = Some(bytes);
        self
    }

    /// What the object is called in [`Added::name`] and in the list of unfinished adds: the last part of its path
    /// unless this is called. The network never sees it.
    pub fn name(mut self, name: impl Into<OsString>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Writes the add down in these journals, so that it can be resumed.
    pub fn journals(mut self, journals: Journals) -> Self {
        self.journals = Some(journals);
        self
    }

    /// Calls this as things happen. It must return soon: the add waits for it.
    pub fn on_event(mut self, listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.events = Events::to(listener);
        self
    }

    /// Sends no more than so many bytes a second, counted over all adds that were given a clone of this limit.
    pub fn limit_upload(mut self, bytes_per_second: impl Into<RateLimit>) -> Self {
        self.limit = Some(bytes_per_second.into());
        self
    }

    /// What it would cost, and what it would survive. Checks all that an add checks before it sends a byte.
    ///
    /// # Errors
    /// As the add, and when a reader's length is not known ([`Add::size`]).
    pub async fn quote(self) -> Result<Quote, Error> {
        Ok(run::quote(self).await?)
    }

    /// What the bytes are, of a reader.
    #[cfg(test)]
    pub(crate) fn content(mut self, content: Content) -> Self {
        self.options.content = content;
        self
    }
}

impl fmt::Debug for Add<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Add").field("input", &self.input).field("options", &self.options).finish_non_exhaustive()
    }
}
