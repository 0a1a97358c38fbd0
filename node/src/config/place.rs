//! What the machine must have for a configuration: a directory that can be written, keys for their owner alone, and
//! disks for the capacity.
//!
//! In comes a data directory, out comes what is wrong with it. Reads only: `config check` may run beside the node. A
//! volume that is missing is a warning: the ledger needs none, and other volumes serve.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ostrakon::key_file;
use ostrakon_proto::{id::NodeId, ledger::Genesis, sign::Keypair};
use rustix::{
    fs::{Access, access, statvfs},
    io::Errno,
};

use super::{Config, GENESIS_FILE, NODE_KEY_FILE, VALIDATOR_KEY_FILE, Wrong, read_genesis};
use crate::store::{ListedVolume, STORE_DIR, VOLUMES_FILE, VolumeIdentity, VolumeList};

/// The genesis and the node's key, as far as they can be used, and everything that is wrong.
pub(super) fn examine(dir: &Path, config: &Config) -> (Option<(Genesis, Keypair)>, Vec<Wrong>) {
    let mut wrong: Vec<Wrong> = written(dir).iter().filter_map(|path| unwritable(path)).collect();
    let genesis = read_genesis(&dir.join(GENESIS_FILE)).map_err(|error| wrong.push(Wrong::new(GENESIS_FILE, error)));
    let node = other_key(dir).map_or_else(|| key(dir, Path::new(NODE_KEY_FILE)), Err);
    let node = node.map_err(|error| wrong.push(error));
    wrong.extend(VolumeList::read(dir).err().map(|error| Wrong::new(VOLUMES_FILE, error)));
    if dir.join(VALIDATOR_KEY_FILE).exists() {
        wrong.extend(key(dir, Path::new(VALIDATOR_KEY_FILE)).err());
    }
    if let Some(provider) = &config.provider {
        wrong.extend(key(dir, &provider.owner_key_file).err().map(|error| error.of("provider.owner_key_file")));
        wrong.extend(too_large(provider.capacity_bytes, disk_bytes(dir)));
    }
    (genesis.ok().zip(node.ok()), wrong)
}

/// A node without the key of which its volumes are, or with another one: that is another node, and nobody would find
/// what this one stores.
pub fn other_key(dir: &Path) -> Option<Wrong> {
    let (file, owner) = (dir.join(NODE_KEY_FILE), owner(dir));
    let found = if file.exists() {
        let own: NodeId = key(dir, Path::new(NODE_KEY_FILE)).ok()?.public();
        (own != owner?).then(|| format!("is the key of node {own}"))?
    } else {
        (owner.is_some() || dir.join(VOLUMES_FILE).exists()).then(|| "is missing".to_owned())?
    };
    let of = owner.map_or("the node with the key that was here".to_owned(), |owner| format!("node {owner}"));
    let reason = format!(
        "{found}, and {} has the columns of {of}: restore {} from a backup. With another key this is another node: \
         the stored columns are lost, and perhaps the bond; for a new node use another directory",
        dir.display(),
        file.display()
    );
    Some(Wrong::new(NODE_KEY_FILE, reason))
}

/// The node whose volumes this directory has; one that is mounted by mistake does not count.
fn owner(dir: &Path) -> Option<NodeId> {
    let identity = match VolumeList::read(dir).ok()? {
        Some(list) => list.volumes.iter().find_map(|volume| volume.identity(dir)),
        None => VolumeIdentity::read(&dir.join(STORE_DIR)).ok()?,
    };
    identity.map(|identity| identity.node)
}

/// Why the node of `dir` cannot use some of its volumes; it runs without them.
pub fn volume_warnings(dir: &Path, node: &NodeId) -> Vec<String> {
    let list = VolumeList::read(dir).ok().flatten().unwrap_or_default();
    let warning = |volume: &ListedVolume| {
        let problem = match volume.find(dir, node) {
            Ok(place) => unwritable(&place)?.to_string(),
            Err(problem) => format!("volume {} at {}: {problem}", volume.id, volume.place(dir).display()),
        };
        Some(problem)
    };
    list.volumes.iter().filter_map(warning).collect()
}

fn key(dir: &Path, file: &Path) -> Result<Keypair, Wrong> {
    let name = file.to_string_lossy();
    let seed = key_file::read(dir.join(file)).map_err(|error| Wrong::new(&name, format!("cannot be used: {error}")))?;
    Ok(Keypair::from_seed(seed.bytes()))
}

/// The directories that a node writes to and that exist.
fn written(dir: &Path) -> Vec<PathBuf> {
    let parts = [dir.to_owned(), dir.join("chain")];
    parts.into_iter().filter(|path| fs::exists(path).unwrap_or(true)).collect()
}

fn unwritable(path: &Path) -> Option<Wrong> {
    let reason = match access(path, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => return None,
        Err(Errno::ROFS) => {
            "is on a disk that is mounted read-only: mount it read-write, after a check of the file system \
                             if errors made it read-only"
                .to_owned()
        }
        Err(error) => format!("is not writable ({error}): make the user that runs the node its owner"),
    };
    Some(Wrong::new(&path.to_string_lossy(), reason))
}

/// Bytes of the disks that the volumes are on, or will be; `None` while one is missing.
fn disk_bytes(dir: &Path) -> Option<u64> {
    let size = |path: &Path| statvfs(path).ok().map(|disk| disk.f_blocks.saturating_mul(disk.f_frsize));
    let Some(list) = VolumeList::read(dir).ok()? else {
        let store = dir.join(STORE_DIR);
        return size(if store.exists() { &store } else { dir });
    };
    let there = |volume: &ListedVolume| volume.identity(dir).and_then(|_| size(&volume.place(dir)));
    list.volumes.iter().map(there).try_fold(0u64, |sum, size| Some(sum.saturating_add(size?)))
}

fn too_large(capacity: u64, disk: Option<u64>) -> Option<Wrong> {
    let disk = disk.filter(|disk| capacity > *disk)?;
    let reason = format!("is {capacity}, and the disk has {disk} bytes: offer no more than the disk can take");
    Some(Wrong::new("provider.capacity_bytes", reason))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use ostrakon_proto::seed::Seed;

    use super::*;

    fn found(dir: &Path) -> Vec<String> {
        examine(dir, &Config::default()).1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_lost_key_is_another_matter_than_a_new_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let missing = found(dir.path());
        assert!(missing.iter().any(|line| line.contains("`node.key` cannot be used")), "{missing:#?}");
        let key = Seed::new([7; 32]);
        fs::create_dir(dir.path().join(STORE_DIR)).expect("created");
        assert_eq!(found(dir.path()), missing, "a disk may be mounted before the key is made");
        VolumeList::of_node(dir.path(), Keypair::from_seed(key.bytes()).public()).expect("made");
        let lost = found(dir.path());
        assert!(lost.iter().any(|line| line.contains("`node.key` is missing, and")), "{lost:#?}");
        key_file::write(dir.path().join(NODE_KEY_FILE), &Seed::new([8; 32])).expect("written");
        let other = found(dir.path());
        assert!(other.iter().any(|line| line.contains("`node.key` is the key of node")), "{other:#?}");
        fs::remove_file(dir.path().join(NODE_KEY_FILE)).expect("removed");
        key_file::write(dir.path().join(NODE_KEY_FILE), &key).expect("written");
        let restored = found(dir.path());
        assert!(restored.len() == 1 && restored[0].contains(GENESIS_FILE), "{restored:#?}");
        fs::set_permissions(dir.path().join(NODE_KEY_FILE), fs::Permissions::from_mode(0o644)).expect("set");
        let exposed = found(dir.path());
        assert!(exposed.iter().any(|line| line.contains("chmod 600")), "{exposed:#?}");
    }

    #[test]
    fn a_volume_that_is_missing_is_a_warning() {
        let dir = tempfile::tempdir().expect("a directory");
        let (dir, node) = (dir.path(), NodeId::new([1; 32]));
        VolumeList::of_node(dir, node).expect("made");
        assert!(volume_warnings(dir, &node).is_empty());
        assert!(disk_bytes(dir).is_some());
        let store = dir.join(STORE_DIR);
        fs::rename(&store, dir.join("elsewhere")).expect("renamed");
        let warnings = volume_warnings(dir, &node);
        let names = |warning: &String| warning.contains(&*store.to_string_lossy()) && warning.contains("mount it");
        assert!(warnings.len() == 1 && warnings.iter().all(names), "{warnings:#?}");
        assert_eq!(disk_bytes(dir), None, "of a disk that is missing nobody knows the size");
    }

    #[test]
    fn a_capacity_is_no_larger_than_the_disk() {
        assert_eq!(too_large(9, None), None);
        assert_eq!(too_large(9, Some(9)), None);
        let wrong = too_large(10, Some(9)).expect("too large").to_string();
        assert!(wrong.contains("provider.capacity_bytes") && wrong.contains("10") && wrong.contains('9'), "{wrong}");
    }
}
