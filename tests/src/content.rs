//! The bytes that scenarios store: random, but the same for the same seed; and the sizes at which things go wrong.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use ostrakon_proto::limits::{CHUNK, GROUP, LEAF, PIECE, SEGMENT};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// A size to store, and why it is interesting.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// How many bytes.
    pub bytes: u64,
    /// What ends or begins there.
    pub why: &'static str,
}

/// `bytes` random bytes.
pub fn random(seed: u64, bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut content);
    content
}

/// A file of `bytes` random bytes, without ever holding more than one chunk of them; returns their BLAKE3 hash.
///
/// # Errors
/// When the file cannot be written.
pub fn write_file(path: &Path, seed: u64, bytes: u64) -> io::Result<blake3::Hash> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut file, mut hasher) = (BufWriter::new(File::create(path)?), blake3::Hasher::new());
    let (mut left, mut chunk) = (bytes, vec![0; CHUNK]);
    while left > 0 {
        let part = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        random.fill_bytes(&mut chunk[..part]);
        hasher.update(&chunk[..part]);
        file.write_all(&chunk[..part])?;
        left -= part as u64;
    }
    file.flush()?;
    Ok(hasher.finalize())
}

/// The BLAKE3 hash of a file.
///
/// # Errors
/// When the file cannot be read.
pub fn hash_file(path: &Path) -> io::Result<blake3::Hash> {
    let (mut file, mut hasher) = (BufReader::new(File::open(path)?), blake3::Hasher::new());
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hasher.finalize()),
            read => hasher.update(&chunk[..read]),
        };
    }
}

/// Sizes around everything that begins or ends in an object of a code with this `k`.
pub fn interesting_sizes(k: u8) -> Vec<Size> {
    let (k, piece, segment) = (u64::from(k), PIECE as u64, SEGMENT as u64);
    let mut sizes = vec![
        Size { bytes: 0, why: "nothing at all" },
        Size { bytes: 1, why: "the smallest cell" },
        Size { bytes: 63, why: "one byte short of a cell's unit" },
        Size { bytes: 64, why: "a cell's unit" },
        Size { bytes: 65, why: "one byte over a cell's unit" },
        Size { bytes: LEAF as u64 + 1, why: "one byte over a leaf of the tree" },
        Size { bytes: k * GROUP as u64 + 1, why: "one byte over a group of the tree in each column" },
    ];
    for (unit, why) in [
        (piece, "a sealed piece"),
        (segment, "a public segment"),
        (k * piece, "a stripe of sealed pieces"),
        (k * segment, "a stripe of public segments"),
        (4 * k * piece, "a row of sealed pieces"),
        (4 * k * segment, "a row of public segments"),
    ] {
        sizes.extend([unit - 1, unit, unit + 1].map(|bytes| Size { bytes, why }));
    }
    sizes
}

/// All files in a directory and those below it, without following links.
///
/// # Errors
/// When a directory cannot be read.
pub fn files_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut files, mut open) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}

#[test]
fn content_is_the_same_for_the_same_seed() {
    assert_eq!(random(7, 100), random(7, 100));
    assert_ne!(random(7, 100), random(8, 100));
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file");
    let size = CHUNK + 1;
    let hash = write_file(&path, 7, size as u64).expect("written");
    assert_eq!(hash, hash_file(&path).expect("read"));
    assert_eq!(hash, blake3::hash(&random(7, size)));
}

/// Bytes on disk below a directory: what is preallocated does not count before it is written. Files may vanish
/// meanwhile.
pub fn allocated_bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => allocated_bytes(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(size).sum()
}
