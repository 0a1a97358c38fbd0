//! Reads an archive that has one file, and believes nothing in it: each block is hashed, and the root computed again.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use cid::Cid;
use futures::{Stream, StreamExt as _, stream};
use ipld_dagpb::PbNode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt};
use tokio_util::io::StreamReader;

use super::{
    Block, LEAVES_MAX, Sha256, Tree,
    car::{HEADER_MAX, Header},
    leaves::hashed,
    tree::{hash_of, is_raw},
};

/// Bytes of a block at most, as other implementations have it, and of its name.
const BLOCK_MAX: usize = 2 * 1024 * 1024;
const NAME_MAX: usize = 128;
/// Levels of nodes in the largest tree.
const DEPTH: usize = 2;

/// Why an archive is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not an archive of version 1.
    #[error("not a CAR of version 1: {0}")]
    Format(String),
    /// A block is not what its name says.
    #[error("the hash of block {0} does not match its CID: the archive is damaged")]
    Hash(Cid),
    /// A block is missing.
    #[error("block {0} is missing")]
    Missing(Cid),
    /// It has another thing than a file of the profile.
    #[error("{0}: need one file that was imported with profile unixfs-v1-2025")]
    Profile(String),
}

/// An archive of one file, which was verified.
#[derive(Debug)]
pub struct CarFile {
    path: PathBuf,
    tree: Tree,
    /// Where in the archive each leaf is.
    leaves: Vec<u64>,
}

/// The blocks of an archive: where each is.
type Blocks = HashMap<Sha256, (u64, usize)>;

impl CarFile {
    /// Opens an archive, reads all of it and verifies it. It blocks.
    ///
    /// # Errors
    /// [`CarError`].
    pub fn open(path: &Path) -> Result<Self, CarError> {
        let read = |source| CarError::Read { path: path.to_owned(), source };
        let mut file = BufReader::with_capacity(BLOCK_MAX, File::open(path).map_err(read)?);
        let root = root(&section(&mut file, HEADER_MAX)?.ok_or_else(|| CarError::Format("it is empty".to_owned()))?)?;
        let blocks = blocks(&mut file)?;
        let mut found = Vec::new();
        collect(&mut file, &blocks, (&root, DEPTH), &mut found)?;
        let size = found.iter().map(|(_, (_, bytes))| u64::try_from(*bytes).unwrap_or(u64::MAX)).sum();
        let other = || CarError::Profile(format!("the root {root} is not what the profile makes of its bytes"));
        let tree = Tree::new(size, found.iter().map(|(hash, _)| *hash).collect()).ok_or_else(other)?;
        let lengths = tree.blocks(tree.top(), &(0..size)).into_iter().filter(|block| matches!(block, Block::Leaf(..)));
        let as_said = lengths.map(|block| block.size()).eq(found.iter().map(|(_, (_, bytes))| *bytes as u64));
        if !as_said || tree.root() != root {
            return Err(other());
        }
        Ok(Self { path: path.to_owned(), tree, leaves: found.into_iter().map(|(_, (at, _))| at).collect() })
    }

    /// The name of the file.
    pub fn root(&self) -> Cid {
        self.tree.root()
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The bytes of the file. Each leaf is verified once more, for the archive may have been changed.
    pub fn read(self) -> impl AsyncRead + Send + Unpin {
        StreamReader::new(self.stream().boxed())
    }

    fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        let blocks = self
            .tree
            .blocks(self.tree.top(), &(0..self.tree.size()))
            .into_iter()
            .filter(|block| matches!(block, Block::Leaf(..)));
        let next: Vec<(Block, u64)> = blocks.zip(self.leaves).collect();
        stream::try_unfold((None, next.into_iter(), self.path), |(file, mut next, path)| async move {
            let Some((block, at)) = next.next() else { return Ok::<_, io::Error>(None) };
            let mut file = match file {
                Some(file) => file,
                None => tokio::fs::File::open(&path).await?,
            };
            file.seek(SeekFrom::Start(at)).await?;
            let mut bytes = vec![0; usize::try_from(block.size()).map_err(io::Error::other)?];
            file.read_exact(&mut bytes).await?;
            if matches!(block, Block::Leaf(hash, _) if hash != hashed(&bytes)) {
                return Err(io::Error::other(format!("{} was changed while it was read", path.display())));
            }
            Ok(Some((Bytes::from(bytes), (Some(file), next, path))))
        })
    }
}

/// The only root that a header names.
fn root(header: &[u8]) -> Result<Cid, CarError> {
    let Header { roots, version } =
        serde_ipld_dagcbor::from_slice(header).map_err(|_| CarError::Format("its header cannot be read".to_owned()))?;
    match (version, roots.as_slice()) {
        (1, [root]) => Ok(*root),
        (1, roots) => Err(CarError::Profile(format!("it has {} roots", roots.len()))),
        (version, _) => Err(CarError::Format(format!("its version is {version}"))),
    }
}

/// Reads what is behind a length; `None` at the end.
fn section(file: &mut (impl BufRead + Seek), most: usize) -> Result<Option<Vec<u8>>, CarError> {
    let broken = |error: &dyn std::fmt::Display| CarError::Format(format!("it ends early or is damaged: {error}"));
    if file.fill_buf().map_err(|error| broken(&error))?.is_empty() {
        return Ok(None);
    }
    let length = unsigned_varint::io::read_usize(&mut *file).map_err(|error| broken(&error))?;
    if length > most {
        return Err(CarError::Format(format!("a section has {length} bytes, and {most} are allowed")));
    }
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes).map_err(|error| broken(&error))?;
    Ok(Some(bytes))
}

/// The error of a block that no file of the profile has.
fn foreign(name: &Cid) -> CarError {
    CarError::Profile(format!("block {name} does not have a CID of SHA-256, of raw bytes or DAG-PB"))
}

/// Reads and verifies all blocks.
fn blocks(file: &mut (impl BufRead + Seek)) -> Result<Blocks, CarError> {
    let mut blocks = Blocks::new();
    while let Some(bytes) = section(file, NAME_MAX + BLOCK_MAX)? {
        let mut rest = bytes.as_slice();
        let name = Cid::read_bytes(&mut rest)
            .map_err(|error| CarError::Format(format!("a block has an invalid CID: {error}")))?;
        let hash = hash_of(&name).ok_or_else(|| foreign(&name))?;
        if hash != hashed(rest) {
            return Err(CarError::Hash(name));
        }
        let end = file.stream_position().map_err(|error| CarError::Format(error.to_string()))?;
        blocks.insert(hash, (end.saturating_sub(rest.len() as u64), rest.len()));
        if blocks.len() > 2 * LEAVES_MAX {
            return Err(CarError::Profile(format!("it has more than {} blocks", 2 * LEAVES_MAX)));
        }
    }
    Ok(blocks)
}

/// The leaves below a block, in order.
fn collect(
    file: &mut BufReader<File>,
    blocks: &Blocks,
    (name, depth): (&Cid, usize),
    found: &mut Vec<(Sha256, (u64, usize))>,
) -> Result<(), CarError> {
    let hash = hash_of(name).ok_or_else(|| foreign(name))?;
    let (at, bytes) = *blocks.get(&hash).ok_or(CarError::Missing(*name))?;
    if is_raw(name) {
        found.push((hash, (at, bytes)));
        return if found.len() <= LEAVES_MAX { Ok(()) } else { Err(CarError::Profile("it is too large".to_owned())) };
    }
    let depth = depth.checked_sub(1).ok_or_else(|| CarError::Profile("its tree is too deep".to_owned()))?;
    let broken = |error: io::Error| CarError::Format(format!("it changed while it was read: {error}"));
    file.seek(SeekFrom::Start(at)).map_err(broken)?;
    let mut node = vec![0; bytes];
    file.read_exact(&mut node).map_err(broken)?;
    let node = PbNode::from_bytes(node.into())
        .map_err(|_| CarError::Profile(format!("{name} cannot be decoded as a node")))?;
    for link in &node.links {
        collect(file, blocks, (&link.cid, depth), found)?;
    }
    Ok(())
}
