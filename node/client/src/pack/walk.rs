//! Lists a directory before a byte of it is read: every entry, what cannot be stored, and how long the pack will be.
//!
//! Symlinks are entries and are not followed, but for the path that was given. What is no file, directory or symlink,
//! or cannot be read, is named and left out.

use std::{
    ffi::OsStr,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    vec,
};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use ostrakon_proto::{
    limits,
    pack::{Entry, FileContent, Footer, Kind, PackPath, PackWriter, Stamp},
};
use rustix::fs::{Access, AtFlags, Dir, FileType, Mode, OFlags, accessat, fstat, open, readlinkat, statat};

use super::{
    Skipped,
    attributes::stamp,
    cursor::Cursor,
    tree::{Node, Tree, Visit, What},
};

/// Why a directory cannot be listed at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// It cannot be opened or read.
    #[error("cannot read the directory {path}: {error}")]
    Open {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// A glob of what is to be left out cannot be parsed.
    #[error(transparent)]
    Glob(#[from] globset::Error),
    /// There is more in it than one pack can hold.
    #[error(
        "{path} has more than {} entries, the most that one object can have: add its subdirectories separately",
        limits::PACK_ENTRIES
    )]
    TooMany {
        /// The directory.
        path: PathBuf,
    },
}

/// A directory as it was found.
#[derive(Debug)]
pub(crate) struct Walked {
    pub(super) root: OwnedFd,
    pub(super) top: Stamp,
    pub(super) tree: Tree,
    /// Bytes of all files.
    pub(super) content: u64,
    /// Bytes of the index.
    pub(super) index: u64,
    pub(super) skipped: Vec<Skipped>,
}

impl Walked {
    /// Bytes of the pack: known before a file is read, and kept to whatever happens to the files meanwhile.
    pub(crate) fn size(&self) -> u64 {
        self.content + self.index + u64::try_from(Footer::LEN).expect("a few bytes")
    }

    /// How many entries were found.
    pub(crate) fn entries(&self) -> u64 {
        u64::try_from(self.tree.len()).expect("at most 16 Mi")
    }

    /// What tells this state of the directory from another: BLAKE3 over paths, kinds, sizes, times, modes and targets.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("ostrakon directory fingerprint 1");
        hasher.update(&self.top.mode.to_le_bytes());
        hasher.update(&self.top.seconds.to_le_bytes()).update(&self.top.nanos.to_le_bytes());
        self.tree.each_bytes(|bytes| {
            hasher.update(bytes);
        });
        hasher.finalize().into()
    }

    /// The entry that a node becomes, with its bytes at `offset`.
    pub(super) fn entry(&self, visit: &Visit, node: Node, content: FileContent) -> Entry {
        let path = PackPath::new(visit.path()).expect("what was listed has paths that packs can have");
        let kind = match node.what {
            What::Directory => Kind::Directory,
            What::File { .. } => Kind::File(content),
            What::Symlink { .. } => Kind::Symlink { target: visit.target(&self.tree, node).to_vec() },
        };
        Entry { path, stamp: node.stamp, kind }
    }

    /// Writes the index as it will be, but for hashes, to know how long it is.
    fn measure(&mut self) {
        let (mut writer, mut visit, mut offset) = (PackWriter::new(self.content), Visit::default(), 0);
        while let Some(node) = visit.next(&self.tree) {
            let size = if let What::File { size } = node.what { size } else { 0 };
            let entry = self.entry(&visit, node, FileContent { offset, size, hash: [0; 32] });
            writer.push(&entry).expect("what was listed is in order and within bounds");
            offset += size;
            // Only its length is of interest.
            writer.take();
        }
        self.index = writer.finish().planned;
    }
}

/// Lists the directory at `path`, without what the globs match. Blocks; memory grows with the number of entries alone.
///
/// # Errors
/// [`WalkError`] when `path` is not a directory that can be read.
pub(crate) fn walk(path: &Path, exclude: &[String]) -> Result<Walked, WalkError> {
    let failed = |error: io::Error| WalkError::Open { path: path.to_owned(), error };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
    let top = stamp(&fstat(&root).map_err(|error| failed(error.into()))?);
    let exclude = Exclude::new(exclude)?;
    let mut walker = Walker::begin(&root, exclude).map_err(failed)?;
    while let Some(names) = walker.levels.last_mut() {
        match names.next() {
            Some(name) => walker.visit(&name),
            None => walker.leave(),
        }
        if walker.entries() > limits::PACK_ENTRIES {
            return Err(WalkError::TooMany { path: path.to_owned() });
        }
    }
    let Walker { tree, skipped, content, .. } = walker;
    let mut walked = Walked { root, top, tree, content, index: 0, skipped };
    walked.measure();
    Ok(walked)
}

/// Names of a directory that were not visited yet.
type Names = vec::IntoIter<Vec<u8>>;

struct Walker {
    cursor: Cursor,
    /// Of each directory from the top to here.
    levels: Vec<Names>,
    /// The path from the top to here.
    path: Vec<u8>,
    tree: Tree,
    skipped: Vec<Skipped>,
    content: u64,
    exclude: Exclude,
}

/// What is left out, by globs: those with a slash match a whole path in the directory, others any name.
#[derive(Clone, Debug)]
pub(super) struct Exclude {
    paths: GlobSet,
    names: GlobSet,
}

impl Exclude {
    pub(super) fn new(globs: &[String]) -> Result<Self, globset::Error> {
        let set = |with_slash: bool| {
            let mut set = GlobSetBuilder::new();
            for glob in
                globs.iter().map(|glob| glob.trim_end_matches('/')).filter(|glob| glob.contains('/') == with_slash)
            {
                set.add(GlobBuilder::new(glob.trim_start_matches('/')).literal_separator(true).build()?);
            }
            set.build()
        };
        Ok(Self { paths: set(true)?, names: set(false)? })
    }

    pub(super) fn matches(&self, path: &[u8], name: &[u8]) -> bool {
        let is_match = |set: &GlobSet, bytes| !set.is_empty() && set.is_match(Path::new(OsStr::from_bytes(bytes)));
        is_match(&self.names, name) || is_match(&self.paths, path)
    }
}

impl Walker {
    fn begin(root: &OwnedFd, exclude: Exclude) -> io::Result<Self> {
        let cursor = Cursor::new(root.try_clone()?)?;
        let levels = vec![names(&cursor)?];
        let (path, tree, skipped) = Default::default();
        Ok(Self { cursor, levels, path, tree, skipped, content: 0, exclude })
    }

    fn entries(&self) -> u64 {
        u64::try_from(self.tree.len()).expect("a list in memory")
    }

    /// One name of the directory it is in.
    fn visit(&mut self, name: &[u8]) {
        let before = self.path.len();
        if before > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        let depth = self.levels.len();
        if self.exclude.matches(&self.path, name) {
            self.path.truncate(before);
            return;
        }
        match self.note(name) {
            Ok(What::Directory) => {
                if let Err(error) = self.enter(name) {
                    self.skip(format!("cannot be listed: {error}"));
                }
            }
            Ok(_) => {}
            Err(reason) => self.skip(reason),
        }
        if self.levels.len() == depth {
            self.path.truncate(before);
        }
    }

    /// Puts the entry on the list; the reason when it cannot be there.
    fn note(&mut self, name: &[u8]) -> Result<What, String> {
        if self.path.len() > limits::PACK_PATH || name.len() > limits::PACK_NAME {
            return Err(format!(
                "its path is longer than {} bytes, or its name longer than {}",
                limits::PACK_PATH,
                limits::PACK_NAME
            ));
        }
        let here = self.cursor.here();
        let stat = statat(here, name, AtFlags::SYMLINK_NOFOLLOW).map_err(text)?;
        let mut target = Vec::new();
        let what = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => What::Directory,
            FileType::RegularFile => {
                accessat(here, name, Access::READ_OK, AtFlags::EACCESS).map_err(text)?;
                What::File { size: u64::try_from(stat.st_size).unwrap_or(0) }
            }
            FileType::Symlink => {
                target = readlinkat(here, name, Vec::new()).map_err(text)?.into_bytes();
                let len = u16::try_from(target.len()).ok().filter(|len| usize::from(*len) <= limits::PACK_TARGET);
                What::Symlink {
                    target: len.ok_or_else(|| format!("its target is longer than {} bytes", limits::PACK_TARGET))?,
                }
            }
            other => return Err(format!("is {}, and only files, directories and symlinks are stored", special(other))),
        };
        self.tree.push(self.levels.len() - 1, name, (stamp(&stat), what), &target);
        if let What::File { size } = what {
            self.content += size;
        }
        Ok(what)
    }

    fn enter(&mut self, name: &[u8]) -> io::Result<()> {
        self.cursor.enter(name)?;
        let names = names(&self.cursor).unwrap_or_else(|error| {
            self.skip(format!("cannot be listed: {error}"));
            Names::default()
        });
        self.levels.push(names);
        Ok(())
    }

    /// All names of this directory were visited.
    fn leave(&mut self) {
        self.levels.pop();
        if self.levels.is_empty() {
            return;
        }
        self.ascend();
        let mut left = self.cursor.leave().map(drop);
        // Directories above were moved: what they still have is not found any more. The top always is.
        while let Err(error) = left {
            self.skip(format!("was moved or deleted while it was read, and the rest of it is not stored: {error}"));
            self.levels.pop();
            self.ascend();
            left = self.cursor.go_to(&self.path);
        }
    }

    fn ascend(&mut self) {
        let parent = self.path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.path.truncate(parent);
    }

    fn skip(&mut self, reason: String) {
        self.skipped.push(Skipped { path: OsStr::from_bytes(&self.path).into(), reason });
    }
}

/// The names in the directory that the cursor is in, sorted.
fn names(cursor: &Cursor) -> io::Result<Names> {
    let mut names = Vec::new();
    for entry in Dir::read_from(cursor.here())? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names.into_iter())
}

fn special(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "a fifo",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "of an unknown type",
    }
}

fn text(error: rustix::io::Errno) -> String {
    io::Error::from(error).to_string()
}
