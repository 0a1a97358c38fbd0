//! Passphrases: what a person or a script gives to unlock a profile or a backup. From a text, a file or the
//! environment, and never from the command line, where `ps` and the shell's history show it.

use std::{
    env::{self, VarError},
    fmt, io,
    path::{Path, PathBuf},
};

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::private_file;

/// The passphrase itself, for scripts. `/proc` shows it to the same user and root only.
const VARIABLE: &str = "OSTRAKON_PASSPHRASE";
/// A file with it.
const FILE_VARIABLE: &str = "OSTRAKON_PASSPHRASE_FILE";
/// Bytes of a passphrase at most.
const MAX: usize = 1024;

/// A passphrase. `Debug` hides it; gone from memory when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Passphrase(String);

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// An empty one protects nothing.
    #[error("the passphrase is empty")]
    Empty,
    /// It is longer than 1,024 bytes.
    #[error("the passphrase is longer than {MAX} bytes")]
    TooLong,
    /// A passphrase is UTF-8.
    #[error("the passphrase is not UTF-8 text")]
    NotText,
    /// Its file cannot be read.
    #[error("cannot read the passphrase from {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
}

impl Passphrase {
    /// The passphrase of this text, every byte of it.
    ///
    /// # Errors
    /// [`PassphraseError::Empty`] and [`PassphraseError::TooLong`].
    pub fn new(text: impl Into<String>) -> Result<Self, PassphraseError> {
        let passphrase = Self(text.into());
        match passphrase.0.len() {
            0 => Err(PassphraseError::Empty),
            1..=MAX => Ok(passphrase),
            _ => Err(PassphraseError::TooLong),
        }
    }

    /// The first line of a file, without its line end.
    ///
    /// # Errors
    /// [`PassphraseError`] when the file cannot be read or its first line is not a passphrase.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, PassphraseError> {
        let path = path.as_ref();
        let bytes = private_file::read(path, MAX + 2)
            .map_err(|error| PassphraseError::File { path: path.to_owned(), error })?;
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Self::new(std::str::from_utf8(line).map_err(|_| PassphraseError::NotText)?)
    }

    /// What `OSTRAKON_PASSPHRASE` has, or else the file that `OSTRAKON_PASSPHRASE_FILE` names; `None` when neither is
    /// set.
    ///
    /// # Errors
    /// [`PassphraseError`] when what is set cannot be used.
    pub fn from_environment() -> Result<Option<Self>, PassphraseError> {
        match env::var(VARIABLE) {
            Ok(text) => return Self::new(text).map(Some),
            Err(VarError::NotUnicode(_)) => return Err(PassphraseError::NotText),
            Err(VarError::NotPresent) => {}
        }
        env::var_os(FILE_VARIABLE).map(Self::read).transpose()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_file_counts() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("passphrase");
        let read = |text: &[u8]| {
            std::fs::write(&path, text).expect("written");
            Passphrase::read(&path)
        };
        for same in ["a b ", "a b \n", "a b \r\n", "a b \nmore"] {
            assert_eq!(read(same.as_bytes()).expect(same), Passphrase::new("a b ").expect("good"));
        }
        assert!(matches!(read(b""), Err(PassphraseError::Empty)));
        assert!(matches!(read(b"\n"), Err(PassphraseError::Empty)));
        assert!(matches!(read(b"\xff\n"), Err(PassphraseError::NotText)));
        assert!(matches!(read(&[b'x'; MAX + 1]), Err(PassphraseError::TooLong)));
        assert!(matches!(read(&[b'x'; 9_000]), Err(PassphraseError::File { .. })));
        assert_eq!(format!("{:?}", Passphrase::new("secret").expect("good")), "Passphrase(..)");
    }
}
