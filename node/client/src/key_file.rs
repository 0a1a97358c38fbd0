//! Key files: the secret key of an account, a node or a validator in a file of its own (SPEC, "Key files").
//!
//! In goes a path, out comes a [`Seed`], or the other way round. Keys of a profile are not here: those are sealed
//! ([`crate::keystore`]).

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use ostrakon_proto::seed::{InvalidSeed, Seed};
use zeroize::Zeroizing;

use crate::private_file;

/// Bytes of a key file at most: the text has 69, and people add line ends.
const MAX: usize = 1024;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("cannot read or write the key file {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// Others than its owner may use it.
    #[error("{0} has mode {mode:o}, so others may read the secret key: run `chmod 600 {0}`", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It has other contents.
    #[error("{path}: {error}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should have been.
        error: InvalidSeed,
    },
}

/// The seed in the file.
///
/// # Errors
/// [`KeyFileError`] when the file cannot be read, is not a key file, or may be read by others than its owner.
pub fn read(path: impl AsRef<Path>) -> Result<Seed, KeyFileError> {
    let path = path.as_ref();
    let unreadable = |error| KeyFileError::File { path: path.to_owned(), error };
    let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    let bytes = private_file::read(path, MAX).map_err(unreadable)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| InvalidSeed);
    text.and_then(str::parse).map_err(|error| KeyFileError::Malformed { path: path.to_owned(), error })
}

/// Writes the seed into a new file that only its owner can read; it is on disk when this returns.
///
/// # Errors
/// [`KeyFileError::File`] when the file exists or cannot be written.
pub fn write(path: impl AsRef<Path>, seed: &Seed) -> Result<(), KeyFileError> {
    let (path, text) = (path.as_ref(), Zeroizing::new(format!("{}\n", *seed.text())));
    private_file::create(path, text.as_bytes()).map_err(|error| KeyFileError::File { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("node.key");
        let seed = Seed::new([7; 32]);
        write(&path, &seed).expect("written");
        assert_eq!(read(&path).expect("read"), seed);
        assert!(matches!(write(&path, &seed), Err(KeyFileError::File { .. })), "a key is never overwritten");
        let other = directory.path().join("other");
        private_file::create(&other, b"").expect("created");
        for bad in ["", "ostsecret1", &"07".repeat(32), &"x".repeat(2_000)] {
            fs::write(&other, bad).expect("written");
            let error = read(&other).expect_err(bad);
            assert!(!matches!(error, KeyFileError::Exposed { .. }), "{error}");
        }
    }

    #[test]
    fn a_key_that_others_may_read_is_not_used() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("node.key");
        write(&path, &Seed::new([7; 32])).expect("written");
        for (mode, good) in
            [(0o644, false), (0o640, false), (0o660, false), (0o604, false), (0o600, true), (0o400, true)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
            let refused = read(&path).err().map(|error| error.to_string());
            assert_eq!(refused.is_none(), good, "{mode:o}");
            let fix = format!("chmod 600 {}", path.display());
            assert!(refused.is_none_or(|refused| refused.contains(&fix)), "{mode:o}");
        }
    }
}
