//! One open directory that moves through a tree: down by name, up by `..`, and never through a symlink.
//!
//! A tree of any depth needs one descriptor, and no recursion. Where `..` leads is compared with where the cursor came
//! from, so that a directory that was moved since does not lead elsewhere.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::fs::{Mode, OFlags, Stat, fstat, openat};

/// How directories are opened on the way.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A place in a tree of directories.
#[derive(Debug)]
pub(super) struct Cursor {
    root: OwnedFd,
    here: OwnedFd,
    /// The directories from the root to here.
    levels: Vec<Level>,
    /// The path from the root to here.
    path: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    id: Id,
    /// Bytes of its path.
    end: usize,
}

/// What tells one directory from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Id {
    device: u64,
    inode: u64,
}

impl Id {
    fn of(directory: impl AsFd) -> io::Result<Self> {
        let Stat { st_dev, st_ino, .. } = fstat(directory)?;
        Ok(Self { device: st_dev, inode: st_ino })
    }
}

impl Cursor {
    /// A cursor at the root of the tree that it moves in.
    pub(super) fn new(root: OwnedFd) -> io::Result<Self> {
        let (here, id) = (root.try_clone()?, Id::of(&root)?);
        Ok(Self { root, here, levels: vec![Level { id, end: 0 }], path: Vec::new() })
    }

    /// The directory it is in.
    pub(super) fn here(&self) -> BorrowedFd<'_> {
        self.here.as_fd()
    }

    /// Into a directory of this one. On an error it stays where it is.
    pub(super) fn enter(&mut self, name: &[u8]) -> io::Result<()> {
        let below = openat(&self.here, name, DIRECTORY, Mode::empty())?;
        let id = Id::of(&below)?;
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        self.levels.push(Level { id, end: self.path.len() });
        self.here = below;
        Ok(())
    }

    /// To the directory that this one is in; returns the one that it leaves, still open. On an error it is at the root.
    ///
    /// # Panics
    /// At the root.
    pub(super) fn leave(&mut self) -> io::Result<OwnedFd> {
        self.levels.pop();
        let parent = *self.levels.last().expect("the cursor is below its root");
        let above = match openat(&self.here, "..", DIRECTORY, Mode::empty()) {
            Ok(above) if Id::of(&above).is_ok_and(|id| id == parent.id) => above,
            // It was moved, or may not be searched: from the root on the names still lead there, or nowhere.
            _ => self.reopen(parent.end).inspect_err(|_| self.reset())?,
        };
        self.path.truncate(parent.end);
        Ok(std::mem::replace(&mut self.here, above))
    }

    /// To the directory of this path from the root; empty for the root itself. On an error it is anywhere on the way.
    pub(super) fn go_to(&mut self, path: &[u8]) -> io::Result<()> {
        while !leads_to(&self.path, path) {
            self.leave()?;
        }
        let rest = path[self.path.len()..].split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        for name in rest {
            self.enter(name)?;
        }
        Ok(())
    }

    fn reopen(&self, end: usize) -> io::Result<OwnedFd> {
        let mut at = self.root.try_clone()?;
        for level in self.levels.windows(2).take_while(|pair| pair[1].end <= end) {
            let start = if level[0].end == 0 { 0 } else { level[0].end + 1 };
            at = openat(&at, &self.path[start..level[1].end], DIRECTORY, Mode::empty())?;
            if Id::of(&at)? != level[1].id {
                return Err(io::Error::other("a directory was moved while it was read"));
            }
        }
        Ok(at)
    }

    fn reset(&mut self) {
        if let Ok(root) = self.root.try_clone() {
            self.here = root;
        }
        self.levels.truncate(1);
        self.path.clear();
    }
}

/// Whether `path` is in `directory`, or is it.
fn leads_to(directory: &[u8], path: &[u8]) -> bool {
    directory.is_empty()
        || path.strip_prefix(directory).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::open;

    use super::*;

    fn cursor(directory: &tempfile::TempDir) -> Cursor {
        let root = open(directory.path(), DIRECTORY, Mode::empty()).expect("a directory");
        Cursor::new(root).expect("a cursor")
    }

    fn is_at(cursor: &Cursor, name: &str) -> bool {
        rustix::fs::accessat(cursor.here(), name, rustix::fs::Access::EXISTS, rustix::fs::AtFlags::empty()).is_ok()
    }

    #[test]
    fn goes_where_it_is_sent() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(directory.path().join("a/b/c")).expect("made");
        fs::create_dir_all(directory.path().join("ab/d")).expect("made");
        for at in ["a/b/c/in-c", "a/in-a", "ab/d/in-d", "in-root"] {
            fs::write(directory.path().join(at), "").expect("written");
        }
        let mut cursor = cursor(&directory);
        for (to, depth, holds) in [("a/b/c", 3, "in-c"), ("ab/d", 2, "in-d"), ("a", 1, "in-a"), ("", 0, "in-root")] {
            cursor.go_to(to.as_bytes()).expect("there");
            assert_eq!(cursor.levels.len() - 1, depth, "{to}");
            assert!(is_at(&cursor, holds), "{to}");
        }
        assert!(cursor.go_to(b"a/none/x").is_err());
        cursor.go_to(b"ab/d").expect("there");
        assert!(is_at(&cursor, "in-d"));
    }

    #[test]
    fn is_not_led_elsewhere() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(directory.path().join("a/b")).expect("made");
        fs::create_dir_all(directory.path().join("other")).expect("made");
        std::os::unix::fs::symlink("a", directory.path().join("link")).expect("linked");
        let mut cursor = cursor(&directory);
        assert!(cursor.go_to(b"link").is_err(), "through a symlink");
        cursor.go_to(b"a/b").expect("there");
        fs::rename(directory.path().join("a/b"), directory.path().join("other/b")).expect("moved");
        let left = cursor.leave().expect("the way back is known by name");
        assert!(Id::of(&left).is_ok() && cursor.levels.len() == 2);
        cursor.go_to(b"").expect("up");
        cursor.go_to(b"other/b").expect("there");
        fs::rename(directory.path().join("other/b"), directory.path().join("b")).expect("moved");
        fs::rename(directory.path().join("other"), directory.path().join("gone")).expect("moved");
        assert!(cursor.leave().is_err(), "neither way leads back");
        assert_eq!(cursor.levels.len(), 1);
        assert!(is_at(&cursor, "gone"));
    }
}
