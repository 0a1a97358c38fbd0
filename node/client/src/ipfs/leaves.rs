//! The hashes of a file's leaves, computed while its bytes pass.

use aws_lc_rs::digest::{self, Context, Digest, SHA256};

use super::tree::{LEAF, Sha256};

/// Hashes bytes that come piece by piece, leaf by leaf.
#[derive(Clone)]
pub struct Leaves {
    done: Vec<Sha256>,
    open: Context,
    /// Bytes of the leaf that is open.
    filled: usize,
}

impl Leaves {
    /// Of no bytes yet.
    pub fn new() -> Self {
        Self { done: Vec::new(), open: Context::new(&SHA256), filled: 0 }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.filled == LEAF {
                self.close();
            }
            let (now, later) = bytes.split_at(bytes.len().min(LEAF - self.filled));
            self.open.update(now);
            self.filled += now.len();
            bytes = later;
        }
    }

    /// The hashes, in order: one of no bytes if there were none.
    pub fn finish(mut self) -> Vec<Sha256> {
        self.close();
        self.done
    }

    fn close(&mut self) {
        self.done.push(bytes_of(&std::mem::replace(&mut self.open, Context::new(&SHA256)).finish()));
        self.filled = 0;
    }
}

/// The hash of these bytes.
pub(super) fn hashed(bytes: &[u8]) -> Sha256 {
    bytes_of(&digest::digest(&SHA256, bytes))
}

fn bytes_of(hash: &Digest) -> Sha256 {
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl Default for Leaves {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Leaves {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leaves").field("done", &self.done.len()).field("filled", &self.filled).finish_non_exhaustive()
    }
}
