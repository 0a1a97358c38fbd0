//! A directory's entries in the order of their paths, in few bytes each.
//!
//! An entry has its depth and its name; its path follows from those before it. So a hundred thousand
//! entries are a few megabytes, and a chain of ten thousand directories is no more than ten thousand names.

use ostrakon_proto::pack::Stamp;

/// The entries, each name once.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// Each node's name, and what it points to when it is a symlink.
    names: Vec<u8>,
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) stamp: Stamp,
    pub(super) what: What,
    depth: u16,
    name: u8,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Directory,
    File {
        size: u64,
    },
    Symlink {
        /// Bytes of the target.
        target: u16,
    },
}

/// Where a reader of a tree is: at an entry that it has reached, with its path.
#[derive(Debug, Default)]
pub(super) struct Visit {
    next: usize,
    name_at: usize,
    target_at: usize,
    path: Vec<u8>,
    /// Bytes of the path of each directory on the way.
    ends: Vec<usize>,
}

impl Tree {
    /// Adds the next entry: `depth` directories below the top, pointing to `target` when it is a symlink.
    pub(super) fn push(&mut self, depth: usize, name: &[u8], (stamp, what): (Stamp, What), target: &[u8]) {
        let depth = u16::try_from(depth).expect("a path of 32,000 bytes has at most 16,000 components");
        let len = u8::try_from(name.len()).expect("a name has at most 255 bytes");
        self.nodes.push(Node { stamp, what, depth, name: len });
        self.names.extend_from_slice(name);
        self.names.extend_from_slice(target);
    }

    /// The entry of this number.
    pub(super) fn node(&self, number: usize) -> Node {
        self.nodes[number]
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// All entries' bytes, for a fingerprint.
    pub(super) fn each_bytes(&self, mut take: impl FnMut(&[u8])) {
        for node in &self.nodes {
            let Node { stamp, what, depth, name } = node;
            let (kind, value) = match what {
                What::Directory => (0u8, 0),
                What::File { size } => (1, *size),
                What::Symlink { target } => (2, u64::from(*target)),
            };
            take(&depth.to_le_bytes());
            take(&[*name, kind]);
            take(&value.to_le_bytes());
            take(&stamp.mode.to_le_bytes());
            take(&stamp.seconds.to_le_bytes());
            take(&stamp.nanos.to_le_bytes());
        }
        take(&self.names);
    }
}

impl Visit {
    /// Moves to the next entry, first to the first.
    pub(super) fn next(&mut self, tree: &Tree) -> Option<Node> {
        let node = *tree.nodes.get(self.next)?;
        let depth = usize::from(node.depth);
        self.ends.truncate(depth);
        self.path.truncate(self.ends.last().copied().unwrap_or(0));
        if depth > 0 {
            self.path.push(b'/');
        }
        self.target_at = self.name_at + usize::from(node.name);
        self.path.extend_from_slice(&tree.names[self.name_at..self.target_at]);
        self.ends.push(self.path.len());
        self.next += 1;
        self.name_at = self.target_at + node.target();
        Some(node)
    }

    /// The number of the entry it is at.
    pub(super) fn number(&self) -> usize {
        self.next - 1
    }

    /// The path of the entry it is at.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// The path of what that lies in; empty for the top.
    pub(super) fn directory(&self) -> &[u8] {
        let above = self.ends.len().checked_sub(2).map_or(0, |at| self.ends[at]);
        &self.path[..above]
    }

    /// The last component of its path.
    pub(super) fn name(&self) -> &[u8] {
        let directory = self.directory().len();
        &self.path[if directory == 0 { 0 } else { directory + 1 }..]
    }

    /// What it points to.
    pub(super) fn target<'a>(&self, tree: &'a Tree, node: Node) -> &'a [u8] {
        &tree.names[self.target_at..self.target_at + node.target()]
    }
}

impl Node {
    fn target(&self) -> usize {
        match self.what {
            What::Symlink { target } => usize::from(target),
            What::Directory | What::File { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_from_names_and_depths() {
        let mut tree = Tree::default();
        let link = (Stamp::default(), What::Symlink { target: 3 });
        let directory = (Stamp::default(), What::Directory);
        tree.push(0, b"a", directory, b"");
        tree.push(1, b"b", directory, b"");
        tree.push(2, b"link", link, b"../");
        tree.push(1, b"c", link, b"xyz");
        tree.push(0, b"d", directory, b"");
        let (mut visit, mut seen) = (Visit::default(), Vec::new());
        while let Some(node) = visit.next(&tree) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let target = text(visit.target(&tree, node));
            seen.push([text(visit.path()), text(visit.directory()), text(visit.name()), target].join(" "));
        }
        assert_eq!(seen, ["a  a ", "a/b a b ", "a/b/link a/b link ../", "a/c a c xyz", "d  d "]);
        assert_eq!(visit.number() + 1, tree.len());
    }
}
