//! Reads the genesis file of a network. In goes a path, out comes a genesis that follows the rules; what a genesis says
//! is in `ostrakon_proto::ledger`.

use std::{fs, io::Read, path::Path};

use ostrakon_proto::ledger::Genesis;

use crate::{Error, ProfileError};

/// Bytes of a genesis file at most.
const GENESIS_MAX: u64 = 64 * 1024 * 1024;

/// Reads a genesis file, and checks it.
///
/// # Errors
/// [`Error`] names the file that cannot be read, is not a genesis, or breaks a rule.
pub fn read_genesis(path: impl AsRef<Path>) -> Result<Genesis, Error> {
    Ok(read(path.as_ref())?)
}

pub(crate) fn read(path: &Path) -> Result<Genesis, ProfileError> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(GENESIS_MAX).read_to_string(&mut text));
    read.map_err(|error| ProfileError::File { path: path.to_owned(), error })?;
    parse(path, &text)
}

/// The genesis in this text, which comes from this file.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Genesis, ProfileError> {
    let genesis: Genesis =
        toml::from_str(text).map_err(|error| ProfileError::Toml { path: path.to_owned(), error: Box::new(error) })?;
    let checked = genesis.validate();
    checked.map_err(|error| ProfileError::Genesis { path: path.to_owned(), error: Box::new(error) })?;
    Ok(genesis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, fake::World};

    #[tokio::test(start_paused = true)]
    async fn a_genesis_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("genesis.toml");
        assert!(read_genesis(&path).expect_err("absent").to_string().contains("genesis.toml"));
        let genesis = World::new(3).genesis;
        fs::write(&path, toml::to_string(&genesis).expect("TOML")).expect("written");
        assert_eq!(read_genesis(&path).expect("read"), genesis);
        fs::write(&path, "name = 3").expect("written");
        assert_eq!(read_genesis(&path).expect_err("not a genesis").kind(), ErrorKind::Usage);
    }
}
