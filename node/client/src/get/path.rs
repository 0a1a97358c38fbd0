//! Get into a file: whole or not at all, and continuing where an earlier attempt stopped.
//!
//! The bytes go to a [`Partial`] beside the destination, which takes its place once they are all there and on disk.
//! Whatever fails, or is cancelled, leaves the destination as it was, and what is worth it for the next attempt.

use std::{io, path::Path};

use ostrakon_proto::link::Link;

use super::{
    Fetched, GetError, GetOptions, Reading,
    partial::{Partial, Wanted},
};
use crate::{Client, Events};

/// What to do with a file that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// Leave it, and fail.
    #[default]
    Refuse,
    /// Put the new one in its place.
    Replace,
}

impl Client {
    /// Reads an object, or a range of it, into the file `path`. What an earlier attempt fetched is not fetched again.
    ///
    /// # Errors
    /// [`GetError`]; the file is then as it was before.
    pub async fn get_to_path(
        &self,
        link: &Link,
        options: &GetOptions,
        path: &Path,
        events: &Events,
    ) -> Result<Fetched, GetError> {
        let overwrite = options.overwrite;
        if overwrite == Overwrite::Refuse && path.symlink_metadata().is_ok() {
            return Err(GetError::Exists(path.to_owned()));
        }
        let mut reading = Reading::begin(self, link, options).await?;
        let wanted = Wanted { object: link.object, range: reading.range.clone(), to: path.to_owned() };
        let opened = self.workers.run(move || Partial::open(&wanted)).await;
        let partial = opened.map_err(|error| failed(path, error))?;
        reading.skip(partial.done());
        let partial = reading.write_to(partial, events).await.map_err(|error| match error {
            GetError::Write { error, .. } => failed(path, error),
            other => other,
        })?;
        let hash = partial.hash();
        if let Err(error) = reading.check_hash(hash) {
            partial.discard();
            return Err(error);
        }
        let to = path.to_owned();
        let placed = self.workers.run(move || partial.place(&to, overwrite)).await;
        placed.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => GetError::Exists(path.to_owned()),
            _ => failed(path, error),
        })?;
        Ok(reading.fetched(hash))
    }
}

fn failed(path: &Path, error: io::Error) -> GetError {
    GetError::Write { to: path.display().to_string(), error }
}
