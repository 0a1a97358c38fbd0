//! Which volumes a node has: a file of its data directory, which the node writes, not the operator.
//!
//! In come a data directory and its node; out come its volumes, each found where it should be or with the
//! [`VolumeProblem`]. A volume that is listed is never created again: where it is not found, its disk is not mounted or
//! lost, and whatever is at its path is left as it is. Not here: what is stored on them.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use ostrakon_proto::id::NodeId;
use serde::{Deserialize, Serialize};

use super::{
    super::OpenError,
    identity::{VolumeId, VolumeIdentity},
    toml_file,
};

/// Name of the file in a data directory.
pub const VOLUMES_FILE: &str = "volumes.toml";
/// The volume that a node has from its first start on, in its data directory.
pub const STORE_DIR: &str = "store";

/// The volumes of a node: `volumes.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeList {
    /// The volumes, the oldest first.
    #[serde(default, rename = "volume")]
    pub volumes: Vec<ListedVolume>,
}

/// A volume of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedVolume {
    /// The volume.
    pub id: VolumeId,
    /// Its directory, relative to the data directory.
    pub path: PathBuf,
    /// Whether it takes nothing new, and what is on it is moved to the others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
}

/// Why a volume is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeProblem {
    /// Its disk is not mounted, or what was on it is lost.
    #[error(
        "nothing is stored there, so its disk is not mounted: mount it and restart the node. Only if the disk is \
         lost: ostrakon-node volume remove {id}"
    )]
    Missing {
        /// The volume.
        id: VolumeId,
    },
    /// Another disk is mounted there.
    #[error(
        "volume {found} is there instead: mount the right disk and restart the node. Only if that is lost: \
         ostrakon-node volume remove {id}"
    )]
    Other {
        /// The volume.
        id: VolumeId,
        /// The one that was found.
        found: VolumeId,
    },
    /// The key of the node is another one.
    #[error("it belongs to node {found}, not to this one: restore the node.key of that node")]
    OtherNode {
        /// Whose it is.
        found: NodeId,
    },
    /// It cannot be read.
    #[error("{0}: repair its disk and restart the node")]
    Unreadable(#[from] io::Error),
    /// It cannot be opened.
    #[error("{0}")]
    Unopened(#[from] OpenError),
}

/// Why the list cannot be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeListError {
    /// A file or directory is missing, or cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Its columns are of use to that node alone.
    #[error("volume {} belongs to node {found}, and this is node {node}", path.display())]
    OtherNode {
        /// The volume's directory.
        path: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// This node.
        node: NodeId,
    },
    /// It is one already.
    #[error("volume {id} is on the list already; `ostrakon-node volume ls` shows where")]
    Listed {
        /// The volume.
        id: VolumeId,
    },
    /// Only an empty directory becomes a volume.
    #[error("{} is neither empty nor a volume: add an empty directory of the disk", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The disk is not mounted, or has no use as another volume.
    #[error(
        "{} is on the same file system as {}: mount the disk of the new volume first. A volume is a disk of its own",
        path.display(),
        other.display()
    )]
    SameDisk {
        /// The directory.
        path: PathBuf,
        /// The data directory, or another volume.
        other: PathBuf,
    },
    /// Nothing can be moved anywhere.
    #[error("volume {id} is the only one that takes columns: add another one first, or drain the node instead")]
    OnlyOne {
        /// The volume.
        id: VolumeId,
    },
    /// There is no such volume.
    #[error("volume {id} is not on the list; `ostrakon-node volume ls` shows it")]
    Unlisted {
        /// The volume.
        id: VolumeId,
    },
}

impl ListedVolume {
    /// Its directory, for the node of data directory `dir`.
    pub fn place(&self, dir: &Path) -> PathBuf {
        dir.join(&self.path)
    }

    /// Its identity, if it is where it should be.
    pub fn identity(&self, dir: &Path) -> Option<VolumeIdentity> {
        let found = VolumeIdentity::read(&self.place(dir)).ok()?;
        found.filter(|identity| identity.id == self.id)
    }

    /// Finds it where it should be; nothing is written.
    ///
    /// # Errors
    /// [`VolumeProblem`] when it is not there.
    pub fn find(&self, dir: &Path, node: &NodeId) -> Result<PathBuf, VolumeProblem> {
        let (place, id) = (self.place(dir), self.id);
        match VolumeIdentity::read(&place)? {
            None => Err(VolumeProblem::Missing { id }),
            Some(VolumeIdentity { id: found, .. }) if found != id => Err(VolumeProblem::Other { id, found }),
            Some(VolumeIdentity { node: found, .. }) if found != *node => Err(VolumeProblem::OtherNode { found }),
            Some(_) => Ok(place),
        }
    }
}

impl VolumeList {
    /// The list of the data directory `dir`; `None` before its node's first start.
    ///
    /// # Errors
    /// [`VolumeListError::File`] when it cannot be read.
    pub fn read(dir: &Path) -> Result<Option<Self>, VolumeListError> {
        let path = dir.join(VOLUMES_FILE);
        toml_file::read(&path).map_err(|source| VolumeListError::File { path, source })
    }

    /// The list of the data directory `dir`; at the first start it has the volume [`STORE_DIR`] alone.
    ///
    /// # Errors
    /// [`VolumeListError`] when it cannot be read, or the first volume cannot be made.
    pub fn of_node(dir: &Path, node: NodeId) -> Result<Self, VolumeListError> {
        match Self::read(dir)? {
            Some(list) => Ok(list),
            None => {
                let mut list = Self::default();
                list.append(dir, Path::new(STORE_DIR), node)?;
                Ok(list)
            }
        }
    }

    /// Adds the directory `path` to the list of `dir`: an empty one on a disk of its own, or one that was on the list
    /// before.
    ///
    /// # Errors
    /// [`VolumeListError`] says why it is not added.
    pub fn add(dir: &Path, path: &Path, node: NodeId) -> Result<ListedVolume, VolumeListError> {
        let mut list = Self::of_node(dir, node)?;
        let file = |source| VolumeListError::File { path: path.to_owned(), source };
        let store = dir.join(STORE_DIR).canonicalize();
        let path = path.canonicalize().map_err(file)?;
        let is_free = !list.volumes.iter().any(|volume| volume.place(dir).canonicalize().is_ok_and(|it| it == path));
        let is_first = is_free && store.is_ok_and(|store| store == path);
        if VolumeIdentity::read(&path).map_err(file)?.is_none() && !is_first {
            list.check_new(dir, &path, &node)?;
        }
        list.append(dir, if is_first { Path::new(STORE_DIR) } else { &path }, node)
    }

    /// Removes a volume from the list of `dir`. What is on it stays as it is.
    ///
    /// # Errors
    /// [`VolumeListError`] when it is not on the list, or that cannot be written.
    pub fn remove(dir: &Path, id: VolumeId) -> Result<ListedVolume, VolumeListError> {
        let mut list = Self::read(dir)?.unwrap_or_default();
        let at = list.volumes.iter().position(|volume| volume.id == id);
        let removed = list.volumes.remove(at.ok_or(VolumeListError::Unlisted { id })?);
        list.write(dir)?;
        Ok(removed)
    }

    /// Has the node move what is on a volume to the others of `dir` from its next start on, or, with `draining` false,
    /// use the volume again.
    ///
    /// # Errors
    /// [`VolumeListError`] when it is not on the list, no other one takes columns, or that cannot be written.
    pub fn drain(dir: &Path, id: VolumeId, draining: bool) -> Result<ListedVolume, VolumeListError> {
        let mut list = Self::read(dir)?.unwrap_or_default();
        if draining && !list.volumes.iter().any(|volume| volume.id != id && !volume.draining) {
            return Err(VolumeListError::OnlyOne { id });
        }
        let found = list.volumes.iter_mut().find(|volume| volume.id == id).ok_or(VolumeListError::Unlisted { id })?;
        found.draining = draining;
        let changed = found.clone();
        list.write(dir)?;
        Ok(changed)
    }

    /// Fails unless a directory may become a volume: another disk than all others, and nothing on it.
    fn check_new(&self, dir: &Path, path: &Path, node: &NodeId) -> Result<(), VolumeListError> {
        let disk = |path: &Path| {
            let read = fs::metadata(path).map(|metadata| metadata.dev());
            read.map_err(|source| VolumeListError::File { path: path.to_owned(), source })
        };
        let found = self.volumes.iter().filter_map(|volume| volume.find(dir, node).ok());
        for other in found.chain([dir.to_owned()]) {
            if disk(&other)? == disk(path)? {
                return Err(VolumeListError::SameDisk { path: path.to_owned(), other });
            }
        }
        let entries = fs::read_dir(path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let entries = entries.map_err(|source| VolumeListError::File { path: path.to_owned(), source })?;
        // A new ext4 has this one.
        match entries.iter().all(|entry| entry.file_name() == "lost+found") {
            true => Ok(()),
            false => Err(VolumeListError::NotEmpty { path: path.to_owned() }),
        }
    }

    /// Makes the directory `path` a volume, durably, and then lists it.
    pub(super) fn append(&mut self, dir: &Path, path: &Path, node: NodeId) -> Result<ListedVolume, VolumeListError> {
        let place = dir.join(path);
        let made = fs::create_dir_all(&place).and_then(|()| VolumeIdentity::ensure(&place, node));
        let identity = made.map_err(|source| VolumeListError::File { path: place.clone(), source })?;
        let VolumeIdentity { id, node: found, .. } = identity;
        if found != node {
            return Err(VolumeListError::OtherNode { path: place, found, node });
        }
        if self.volumes.iter().any(|volume| volume.id == id) {
            return Err(VolumeListError::Listed { id });
        }
        let listed = ListedVolume { id, path: path.to_owned(), draining: false };
        self.volumes.push(listed.clone());
        self.write(dir)?;
        Ok(listed)
    }

    fn write(&self, dir: &Path) -> Result<(), VolumeListError> {
        let path = dir.join(VOLUMES_FILE);
        toml_file::write(&path, self).map_err(|source| VolumeListError::File { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId::new([1; 32]);

    #[test]
    fn the_first_volume_is_made_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path();
        assert_eq!(VolumeList::read(dir).expect("readable"), None);
        let list = VolumeList::of_node(dir, NODE).expect("made");
        let [first] = &list.volumes[..] else { panic!("{list:?}") };
        assert_eq!(first.find(dir, &NODE).expect("there"), dir.join(STORE_DIR));
        let other = first.find(dir, &NodeId::new([2; 32]));
        assert!(matches!(other, Err(VolumeProblem::OtherNode { found: NODE })), "{other:?}");

        let unmounted = dir.join("elsewhere");
        fs::rename(dir.join(STORE_DIR), &unmounted).expect("renamed");
        fs::create_dir(dir.join(STORE_DIR)).expect("made");
        assert_eq!(VolumeList::of_node(dir, NODE).expect("readable"), list);
        assert!(matches!(first.find(dir, &NODE), Err(VolumeProblem::Missing { .. })));
        assert_eq!(fs::read_dir(dir.join(STORE_DIR)).expect("readable").count(), 0, "nothing is written there");

        VolumeIdentity::ensure(&dir.join(STORE_DIR), NODE).expect("written");
        assert!(matches!(first.find(dir, &NODE), Err(VolumeProblem::Other { .. })));
        fs::remove_dir_all(dir.join(STORE_DIR)).expect("removed");
        fs::rename(&unmounted, dir.join(STORE_DIR)).expect("renamed");
        first.find(dir, &NODE).expect("mounted again");
    }

    #[test]
    fn a_volume_that_was_removed_can_be_added_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path();
        let first = VolumeList::of_node(dir, NODE).expect("made").volumes.remove(0);
        let again = || VolumeList::add(dir, &dir.join(STORE_DIR), NODE);
        assert!(matches!(again(), Err(VolumeListError::Listed { .. })));
        assert_eq!(VolumeList::remove(dir, first.id).expect("removed"), first);
        assert!(matches!(VolumeList::remove(dir, first.id), Err(VolumeListError::Unlisted { .. })));
        assert_eq!(VolumeList::of_node(dir, NODE).expect("readable"), VolumeList::default(), "it is not made again");
        assert_eq!(again().expect("added"), first);
    }

    #[test]
    fn a_new_volume_is_a_disk_of_its_own() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path();
        let unmounted = dir.join("unmounted");
        fs::create_dir(&unmounted).expect("made");
        let refused = VolumeList::add(dir, &unmounted, NODE);
        assert!(matches!(refused, Err(VolumeListError::SameDisk { .. })), "{refused:?}");
        assert_eq!(fs::read_dir(&unmounted).expect("readable").count(), 0);
        let foreign = dir.join("foreign");
        fs::create_dir(&foreign).expect("made");
        VolumeIdentity::ensure(&foreign, NodeId::new([2; 32])).expect("written");
        let refused = VolumeList::add(dir, &foreign, NODE);
        assert!(matches!(refused, Err(VolumeListError::OtherNode { .. })), "{refused:?}");
        let missing = VolumeList::add(dir, &dir.join("none"), NODE);
        assert!(matches!(missing, Err(VolumeListError::File { .. })), "{missing:?}");
        assert_eq!(VolumeList::of_node(dir, NODE).expect("readable").volumes.len(), 1);
    }
}
