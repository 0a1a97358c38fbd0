//! The BLAKE3 of a whole public object, from the values of its parts: rows are hashed concurrently, where they are
//! read.
//!
//! A part is [`CHUNK`] bytes of plaintext; its value is that of its subtree. Part values follow each other in order,
//! and only as many are kept as the tree is high, so that memory is the same for any size.

use blake3::{
    Hasher,
    hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};
use ostrakon_proto::limits::CHUNK;

/// A value of a BLAKE3 tree.
pub(crate) type Node = [u8; 32];

/// The values of the parts of one row, computed as its bytes pass.
#[derive(Debug)]
pub(crate) struct Parts {
    nodes: Vec<Node>,
    open: Hasher,
    filled: usize,
    /// Where the open part begins in the object.
    offset: u64,
    /// Whether the object is one part: its value is then the hash.
    only: bool,
}

impl Parts {
    /// For bytes from `offset` on, which begins a part, of an object of this size.
    pub(crate) fn new(offset: u64, size: u64) -> Self {
        let only = size <= u64::try_from(CHUNK).expect("256 KiB");
        Self { nodes: Vec::new(), open: Hasher::new(), filled: 0, offset, only }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.filled == 0 {
                // A new hasher: `reset` does not forget the offset.
                self.open = Hasher::new();
                self.open.set_input_offset(self.offset);
            }
            let (now, rest) = bytes.split_at(bytes.len().min(CHUNK - self.filled));
            self.open.update(now);
            self.filled += now.len();
            bytes = rest;
            if self.filled == CHUNK {
                self.close();
            }
        }
    }

    pub(crate) fn finish(mut self) -> Vec<Node> {
        if self.filled > 0 || (self.only && self.nodes.is_empty()) {
            self.close();
        }
        self.nodes
    }

    fn close(&mut self) {
        self.nodes.push(if self.only { self.open.finalize().into() } else { self.open.finalize_non_root() });
        self.offset += u64::try_from(self.filled).expect("at most a part");
        self.filled = 0;
    }
}

/// The hash of all parts that came so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whole {
    /// Values of the subtrees that are complete, the largest first.
    complete: Vec<Node>,
    /// Parts in them.
    count: u64,
    /// The newest part, which may turn out to be the last.
    last: Option<Node>,
}

impl Whole {
    /// Takes the next part's value.
    pub(crate) fn push(&mut self, part: Node) {
        let Some(mut node) = self.last.replace(part) else { return };
        self.count += 1;
        for _ in 0..self.count.trailing_zeros() {
            let left = self.complete.pop().expect("a subtree for each bit of the count");
            node = merge_subtrees_non_root(&left, &node, Mode::Hash);
        }
        self.complete.push(node);
    }

    /// BLAKE3 of everything; `None` before the first part.
    pub(crate) fn finish(mut self) -> Option<[u8; 32]> {
        let mut node = self.last?;
        while let Some(left) = self.complete.pop() {
            node = match self.complete.is_empty() {
                true => merge_subtrees_root(&left, &node, Mode::Hash).into(),
                false => merge_subtrees_non_root(&left, &node, Mode::Hash),
            };
        }
        Some(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_give_the_hash_of_the_whole() {
        let mut bytes = vec![0; 23 * CHUNK + 5];
        blake3::Hasher::new().update(b"content").finalize_xof().fill(&mut bytes);
        let lengths = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK, 4 * CHUNK, 5 * CHUNK + 9, 16 * CHUNK];
        for len in lengths.into_iter().chain([17 * CHUNK, bytes.len()]) {
            let (bytes, size) = (&bytes[..len], u64::try_from(len).expect("small"));
            let mut whole = Whole::default();
            for start in (0..len.max(1)).step_by(3 * CHUNK) {
                let mut parts = Parts::new(u64::try_from(start).expect("small"), size);
                let row = &bytes[start..len.min(start + 3 * CHUNK)];
                row.chunks(65_520).for_each(|piece| parts.update(piece));
                parts.finish().into_iter().for_each(|part| whole.push(part));
            }
            assert_eq!(whole.finish(), Some(blake3::hash(bytes).into()), "{len}");
        }
        assert_eq!(Whole::default().finish(), None);
    }
}
