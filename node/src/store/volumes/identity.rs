//! The identity of a volume: a file in its directory that says which volume it is, and of which node.
//!
//! It is on the volume's own disk, so a directory on which that disk is not mounted has no identity, or another one. In
//! comes a directory, out comes the identity in it; a new one is durable before anything else is written there.

use std::{
    fmt::{self, Display},
    io,
    path::Path,
    str::FromStr,
};

use ostrakon_proto::id::NodeId;
use serde::{Deserialize, Serialize};

use super::toml_file;

/// Name of the file in a volume's directory.
pub const IDENTITY_FILE: &str = "volume.toml";
/// The version of what is stored beside the file.
const VERSION: u8 = 1;

/// Names a volume: random, so that no two are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct VolumeId([u8; 16]);

impl VolumeId {
    /// A new one.
    fn random() -> io::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(bytes))
    }
}

impl Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A text that is not the id of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a volume has 32 hexadecimal digits; `ostrakon-node volume ls` prints it")]
pub struct InvalidVolumeId;

impl FromStr for VolumeId {
    type Err = InvalidVolumeId;

    fn from_str(text: &str) -> Result<Self, InvalidVolumeId> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidVolumeId)?;
        Ok(Self(bytes))
    }
}

impl From<VolumeId> for String {
    fn from(id: VolumeId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for VolumeId {
    type Error = InvalidVolumeId;

    fn try_from(text: String) -> Result<Self, InvalidVolumeId> {
        text.parse()
    }
}

/// Which volume a directory is, and whose: `volume.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeIdentity {
    version: u8,
    /// The volume.
    pub id: VolumeId,
    /// The node that stores columns on it.
    pub node: NodeId,
}

impl VolumeIdentity {
    /// The identity in a directory; `None` when there is none, or no directory.
    ///
    /// # Errors
    /// When the file cannot be read, or is of a version that this program does not know.
    pub fn read(dir: &Path) -> io::Result<Option<Self>> {
        match toml_file::read::<Self>(&dir.join(IDENTITY_FILE))? {
            Some(Self { version, .. }) if version != VERSION => {
                Err(io::Error::other(format!("version {version} of a volume is unknown to this program: update it")))
            }
            identity => Ok(identity),
        }
    }

    /// Makes the directory a volume of this node, durably; one that is a volume already stays what it is.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn ensure(dir: &Path, node: NodeId) -> io::Result<Self> {
        if let Some(identity) = Self::read(dir)? {
            return Ok(identity);
        }
        let identity = Self { version: VERSION, id: VolumeId::random()?, node };
        toml_file::write(&dir.join(IDENTITY_FILE), &identity)?;
        Ok(identity)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_directory_keeps_its_identity() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path();
        assert_eq!(VolumeIdentity::read(path).expect("readable"), None);
        assert_eq!(VolumeIdentity::read(&path.join("none")).expect("not there"), None);
        let first = VolumeIdentity::ensure(path, NodeId::new([1; 32])).expect("written");
        assert_eq!(VolumeIdentity::ensure(path, NodeId::new([2; 32])).expect("readable"), first);
        assert_eq!(VolumeIdentity::read(path).expect("readable"), Some(first));
        assert_eq!(first.id.to_string().parse(), Ok(first.id));
        assert_eq!("xy".parse::<VolumeId>(), Err(InvalidVolumeId));

        let file = path.join(IDENTITY_FILE);
        let newer = fs::read_to_string(&file).expect("readable").replace("version = 1", "version = 2");
        fs::write(&file, newer).expect("written");
        assert!(VolumeIdentity::read(path).is_err_and(|error| error.to_string().contains("version 2")));
        fs::write(&file, "id = 7").expect("written");
        assert!(VolumeIdentity::ensure(path, NodeId::new([1; 32])).is_err(), "what cannot be read is not replaced");
    }
}
