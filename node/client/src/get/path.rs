//! Get into a file: whole or not at all.
//!
//! The bytes go to a new file beside the destination, which takes its place once they are all there and on disk.
//! Whatever fails, or is cancelled, leaves nothing behind and the destination as it was.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ostrakon_proto::link::Link;

use super::{Fetched, GetError, GetOptions};
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

/// A file that is removed when dropped, wherever that happens.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Gone already when it took its place; otherwise nobody could do anything about a failure here.
        let _gone = fs::remove_file(&self.0);
    }
}

impl Client {
    /// Reads an object, or a range of it, into the file `path`.
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
        let failed = |error| GetError::Write { to: path.display().to_string(), error };
        let temporary = self.temporary(path).map_err(failed)?;
        let (file, unfinished) = self.workers.run(move || create(temporary)).await.map_err(failed)?;
        let mut file = tokio::fs::File::from_std(file);
        let fetched = self.get(link, options, &mut file, events).await.map_err(|error| match error {
            GetError::Write { error, .. } => failed(error),
            other => other,
        })?;
        let (file, to) = (file.into_std().await, path.to_owned());
        let placed = self.workers.run(move || place(&file, &unfinished, &to, overwrite)).await;
        placed.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => GetError::Exists(path.to_owned()),
            _ => failed(error),
        })?;
        Ok(fetched)
    }

    /// A name beside `path` that nobody else uses.
    fn temporary(&self, path: &Path) -> io::Result<PathBuf> {
        let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
        let number = u64::from_le_bytes(self.random());
        Ok(path.with_file_name(format!(".{}.{number:016x}.part", name.to_string_lossy())))
    }
}

fn create(path: PathBuf) -> io::Result<(fs::File, Unfinished)> {
    let file = fs::File::options().write(true).create_new(true).open(&path)?;
    Ok((file, Unfinished(path)))
}

/// Makes the file durable, and gives it its name.
fn place(file: &fs::File, unfinished: &Unfinished, to: &Path, overwrite: Overwrite) -> io::Result<()> {
    file.sync_all()?;
    match overwrite {
        Overwrite::Replace => fs::rename(&unfinished.0, to)?,
        // A link, unlike a rename, fails when the name was taken meanwhile.
        Overwrite::Refuse => match fs::hard_link(&unfinished.0, to) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && to.symlink_metadata().is_err() => {
                fs::rename(&unfinished.0, to)?;
            }
            linked => linked?,
        },
    }
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn takes_its_place_whole_and_leaves_nothing_behind() {
        let check = |exists: bool, overwrite, expect: Option<&str>| {
            let directory = tempfile::tempdir().expect("a directory");
            let (to, part) = (directory.path().join("out"), directory.path().join(".out.part"));
            if exists {
                fs::write(&to, "old").expect("written");
            }
            let (mut file, unfinished) = create(part).expect("created");
            file.write_all(b"new").expect("written");
            let placed = place(&file, &unfinished, &to, overwrite);
            drop(unfinished);
            assert_eq!(placed.is_ok(), expect == Some("new"), "{exists} {overwrite:?}");
            assert_eq!(fs::read_to_string(&to).ok().as_deref(), expect);
            assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 1);
        };
        check(false, Overwrite::Refuse, Some("new"));
        check(false, Overwrite::Replace, Some("new"));
        check(true, Overwrite::Replace, Some("new"));
        check(true, Overwrite::Refuse, Some("old"));
    }
}
