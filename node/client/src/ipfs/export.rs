//! Writes a file as an archive: in one pass, for where each block goes depends on nothing but the file's size.

use std::io::{self, SeekFrom};

use cid::Cid;
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter},
};

use super::{
    Block, LEAF, Tree,
    car::{car_header, section_head},
    leaf_count,
    leaves::hashed,
    raw_name,
};

/// An archive that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The name of the file in it.
    pub root: Cid,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of the archive.
    pub archive: u64,
}

/// Writes an archive to a file.
#[derive(Debug)]
pub struct CarExport {
    file: BufWriter<File>,
    size: u64,
}

impl CarExport {
    /// To this file, which must be empty and seekable; `None` when the bytes are more than a tree can have.
    pub fn new(file: File, size: u64) -> Option<Self> {
        leaf_count(size)?;
        Some(Self { file: BufWriter::with_capacity(LEAF, file), size })
    }

    /// Writes all of it, and waits until it is on the disk.
    ///
    /// # Errors
    /// When the bytes are not as many as was said, or cannot be read or written.
    pub async fn write(mut self, mut bytes: impl AsyncRead + Unpin) -> io::Result<Exported> {
        let shape = tree(self.size, vec![[0; 32]; leaf_count(self.size).unwrap_or(0)])?;
        let (mut leaves, mut leaf) = (Vec::with_capacity(shape.leaves().len()), Vec::new());
        self.file.write_all(&car_header(&shape.root())).await?;
        for block in shape.blocks(shape.top(), &(0..self.size)) {
            match &block {
                // Its children's names are not known yet.
                Block::Node(_, node) => self.section(&block.name(), node).await?,
                Block::Leaf(..) => {
                    leaf.resize(usize::try_from(block.size()).map_err(io::Error::other)?, 0);
                    bytes.read_exact(&mut leaf).await?;
                    let hash = hashed(&leaf);
                    leaves.push(hash);
                    self.section(&raw_name(&hash), &leaf).await?;
                }
            }
        }
        if bytes.read(&mut [0]).await? > 0 {
            return Err(io::Error::other(format!("there are more than {} bytes", self.size)));
        }
        self.file.flush().await?;
        let (archive, tree) = (self.file.stream_position().await?, tree(self.size, leaves)?);
        self.nodes(&tree).await?;
        self.file.flush().await?;
        self.file.get_ref().sync_all().await?;
        Ok(Exported { root: tree.root(), size: self.size, archive })
    }

    /// Writes the root's name and the nodes where they belong.
    async fn nodes(&mut self, tree: &Tree) -> io::Result<()> {
        let header = car_header(&tree.root());
        self.file.seek(SeekFrom::Start(0)).await?;
        self.file.write_all(&header).await?;
        let mut at = header.len();
        for block in tree.blocks(tree.top(), &(0..self.size)) {
            let (name, size) = (block.name(), block.size());
            if let Block::Node(_, node) = &block {
                self.file.seek(SeekFrom::Start(u64::try_from(at).map_err(io::Error::other)?)).await?;
                self.section(&name, node).await?;
            }
            at += section_head(&name, size).len() + usize::try_from(size).map_err(io::Error::other)?;
        }
        Ok(())
    }

    async fn section(&mut self, name: &Cid, bytes: &[u8]) -> io::Result<()> {
        let size = u64::try_from(bytes.len()).map_err(io::Error::other)?;
        self.file.write_all(&section_head(name, size)).await?;
        self.file.write_all(bytes).await
    }
}

fn tree(size: u64, leaves: Vec<[u8; 32]>) -> io::Result<Tree> {
    Tree::new(size, leaves).ok_or_else(|| io::Error::other("the file is too large for a tree of blocks"))
}
