//! Where the demo takes place: a directory of its own, which is gone afterwards with every node that ran in it, however
//! the demo ended. Also the file that is added, and the comparison at the end.

use std::{
    fs::{self, DirBuilder, File},
    io::{BufReader, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::{
    cmd::{self, devnet::process},
    exit::{Context, other},
};

/// Bytes read or written at a time.
const PIECE: usize = 1024 * 1024;

/// The demo's directory. Dropping it kills the nodes in it and deletes it.
#[derive(Debug)]
pub(crate) struct Scene {
    dir: PathBuf,
    kept: bool,
}

impl Scene {
    /// A new directory among the temporary files.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn new() -> crate::Result<Self> {
        let dir = std::env::temp_dir().join(format!("ostrakon-demo-{}", hex::encode(cmd::random::<6>())));
        let made = DirBuilder::new().mode(0o700).create(&dir).and_then(|()| fs::canonicalize(&dir));
        Ok(Self { dir: made.context(format_args!("cannot create {}", dir.display()))?, kept: false })
    }

    /// Where the devnet goes.
    pub(crate) fn net(&self) -> PathBuf {
        self.dir.join("net")
    }

    /// Where the file comes back.
    pub(crate) fn returned(&self) -> PathBuf {
        self.dir.join("returned")
    }

    /// A file of this many random bytes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn random_file(&self, size: usize) -> crate::Result<PathBuf> {
        let path = self.dir.join("random.bin");
        let mut chance = blake3::Hasher::new_keyed(&cmd::random()).finalize_xof();
        let mut piece = vec![0; PIECE];
        let mut write = || {
            let mut file = File::create_new(&path)?;
            for begin in (0..size).step_by(PIECE) {
                let piece = &mut piece[..PIECE.min(size - begin)];
                chance.fill(piece);
                file.write_all(piece)?;
            }
            Ok::<_, std::io::Error>(())
        };
        write().context(format_args!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Leaves everything as it is.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !self.kept {
            process::kill_quietly(&process::running_below(&self.dir));
            // On the way out there is nothing more to be done about a file that cannot be deleted.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Two files, read side by side.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// BLAKE3 of the one.
    pub(crate) left: blake3::Hash,
    /// BLAKE3 of the other.
    pub(crate) right: blake3::Hash,
    /// Whether every byte is the same.
    pub(crate) identical: bool,
}

/// Compares two files byte for byte.
///
/// # Errors
/// When one cannot be read.
pub(crate) fn compare(left: &Path, right: &Path) -> crate::Result<Comparison> {
    let open =
        |path: &Path| File::open(path).map(BufReader::new).context(format_args!("cannot read {}", path.display()));
    let (mut files, mut hashers) = ([open(left)?, open(right)?], [blake3::Hasher::new(), blake3::Hasher::new()]);
    let mut pieces = [Vec::new(), Vec::new()];
    let mut identical = true;
    loop {
        for ((file, hasher), piece) in files.iter_mut().zip(&mut hashers).zip(&mut pieces) {
            piece.clear();
            file.take(PIECE.try_into().map_err(other)?).read_to_end(piece)?;
            hasher.update(piece);
        }
        identical &= pieces[0] == pieces[1];
        if pieces.iter().all(Vec::is_empty) {
            let [left, right] = hashers.map(|hasher| hasher.finalize());
            return Ok(Comparison { left, right, identical });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_compared_byte_for_byte() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (left, right) = (dir.path().join("left"), dir.path().join("right"));
        let check = |a: &[u8], b: &[u8]| {
            fs::write(&left, a).expect("writes");
            fs::write(&right, b).expect("writes");
            let expect = Comparison { left: blake3::hash(a), right: blake3::hash(b), identical: a == b };
            assert_eq!(compare(&left, &right).expect("reads"), expect);
        };
        let long = vec![7; 2 * PIECE + 5];
        let mut other = long.clone();
        other[PIECE] ^= 1;
        check(b"", b"");
        check(b"a", b"");
        check(&long, &long);
        check(&long, &other);
        check(&long, &long[..2 * PIECE]);
    }

    #[test]
    fn a_scene_vanishes_unless_it_is_kept() {
        let scene = Scene::new().expect("is made");
        let (dir, file) = (scene.dir.clone(), scene.random_file(PIECE + 3).expect("is written"));
        assert_eq!(fs::metadata(file).expect("is there").len(), u64::try_from(PIECE + 3).expect("fits"));
        drop(scene);
        assert!(!dir.exists());
        let scene = Scene::new().expect("is made");
        let dir = scene.dir.clone();
        scene.keep();
        assert!(dir.exists());
        fs::remove_dir(dir).expect("is empty");
    }
}
