//! What the machine must have for a configuration: a directory that can be written, keys for their owner alone, and a
//! disk for the capacity.
//!
//! In comes a data directory, out comes what is wrong with it. Reads only: `config check` may run beside the node.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ostrakon::key_file;
use ostrakon_proto::{ledger::Genesis, sign::Keypair};
use rustix::{
    fs::{Access, access, statvfs},
    io::Errno,
};

use super::{Config, GENESIS_FILE, NODE_KEY_FILE, STORE_DIR, VALIDATOR_KEY_FILE, Wrong, read_genesis};

/// The genesis and the node's key, as far as they can be used, and everything that is wrong.
pub(super) fn examine(dir: &Path, config: &Config) -> (Option<(Genesis, Keypair)>, Vec<Wrong>) {
    let mut wrong: Vec<Wrong> = written(dir).iter().filter_map(|path| unwritable(path)).collect();
    let genesis = read_genesis(&dir.join(GENESIS_FILE)).map_err(|error| wrong.push(Wrong::new(GENESIS_FILE, error)));
    let node = lost_key(dir).map_or_else(|| key(dir, Path::new(NODE_KEY_FILE)), Err);
    let node = node.map_err(|error| wrong.push(error));
    if dir.join(VALIDATOR_KEY_FILE).exists() {
        wrong.extend(key(dir, Path::new(VALIDATOR_KEY_FILE)).err());
    }
    if let Some(provider) = &config.provider {
        wrong.extend(key(dir, &provider.owner_key_file).err().map(|error| error.of("provider.owner_key_file")));
        wrong.extend(too_large(provider.capacity_bytes, disk_bytes(dir)));
    }
    (genesis.ok().zip(node.ok()), wrong)
}

/// A node without its key, whose store is still there: a new key would be another node, and nobody would find what this
/// one stores.
pub fn lost_key(dir: &Path) -> Option<Wrong> {
    let (key, store) = (dir.join(NODE_KEY_FILE), dir.join(STORE_DIR));
    let reason = format!(
        "is missing, and {0} has what the node with that key stores: restore {1} from a copy. With another key this is \
         another node, what is stored is lost, and so may be the bond; for a new node use another directory",
        store.display(),
        key.display()
    );
    (!key.exists() && store.exists()).then(|| Wrong::new(NODE_KEY_FILE, reason))
}

fn key(dir: &Path, file: &Path) -> Result<Keypair, Wrong> {
    let name = file.to_string_lossy();
    let seed = key_file::read(dir.join(file)).map_err(|error| Wrong::new(&name, format!("cannot be used: {error}")))?;
    Ok(Keypair::from_seed(seed.bytes()))
}

/// The directories that a node writes to and that exist.
fn written(dir: &Path) -> Vec<PathBuf> {
    let parts = [dir.to_owned(), dir.join(STORE_DIR), dir.join("chain")];
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
        Err(error) => format!("cannot be written ({error}): give it to the user that runs the node"),
    };
    Some(Wrong::new(&path.to_string_lossy(), reason))
}

/// Bytes of the disk that the store is on, or will be.
fn disk_bytes(dir: &Path) -> Option<u64> {
    let store = dir.join(STORE_DIR);
    let disk = statvfs(if store.exists() { &store } else { dir }).ok()?;
    Some(disk.f_blocks.saturating_mul(disk.f_frsize))
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
        fs::create_dir(dir.path().join(STORE_DIR)).expect("created");
        let lost = found(dir.path());
        assert!(lost.iter().any(|line| line.contains("`node.key` is missing, and")), "{lost:#?}");
        key_file::write(dir.path().join(NODE_KEY_FILE), &Seed::new([7; 32])).expect("written");
        let restored = found(dir.path());
        assert!(restored.len() == 1 && restored[0].contains(GENESIS_FILE), "{restored:#?}");
        fs::set_permissions(dir.path().join(NODE_KEY_FILE), fs::Permissions::from_mode(0o644)).expect("set");
        let exposed = found(dir.path());
        assert!(exposed.iter().any(|line| line.contains("chmod 600")), "{exposed:#?}");
    }

    #[test]
    fn a_capacity_is_no_larger_than_the_disk() {
        assert_eq!(too_large(9, None), None);
        assert_eq!(too_large(9, Some(9)), None);
        let wrong = too_large(10, Some(9)).expect("too large").to_string();
        assert!(wrong.contains("provider.capacity_bytes") && wrong.contains("10") && wrong.contains('9'), "{wrong}");
    }
}
