//! Files for their owner's eyes alone: read up to a limit, created with mode 0600, replaced as a whole.
//!
//! What is written is on disk when these functions return, the directory entry included; after a crash there is the old
//! file or the new one. Not here: what the bytes mean.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use zeroize::Zeroizing;

/// The bytes of a file, at most `max`.
///
/// # Errors
/// When it cannot be read, or is longer.
pub(crate) fn read(path: &Path, max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let expected = usize::try_from(file.metadata()?.len().min(limit)).unwrap_or(max);
    // Enough for all of it, so that growing leaves no copy behind that nobody erases.
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected.max(4096) + 1));
    file.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {max} bytes")));
    }
    Ok(bytes)
}

/// Creates a file with these bytes.
///
/// # Errors
/// When it exists, or cannot be written.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_new(path, bytes)?;
    sync_directory_of(path)
}

/// Replaces the file, or creates it.
///
/// # Errors
/// When it cannot be written; then the old file is as it was.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", hex::encode(random)));
    let fresh = path.with_file_name(name);
    let written = write_new(&fresh, bytes).and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        // It may never have come to be.
        let _ = fs::remove_file(&fresh);
    }
    written.and_then(|()| sync_directory_of(path))
}

/// Makes the directory and those above it, for their owner alone, where they are missing.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// How such a file is opened for writing: created with mode 0600 where it is missing.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    options
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_are_bounded_private_and_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("secret");
        create(&path, b"one").expect("created");
        assert_eq!(create(&path, b"two").expect_err("exists").kind(), io::ErrorKind::AlreadyExists);
        replace(&path, b"three").expect("replaced");
        assert_eq!(read(&path, 5).expect("read").as_slice(), b"three");
        assert_eq!(read(&path, 4).expect_err("too long").kind(), io::ErrorKind::InvalidData);
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 1, "nothing else is left");
        assert!(replace(&directory.path().join("none/secret"), b"x").is_err());
    }
}
