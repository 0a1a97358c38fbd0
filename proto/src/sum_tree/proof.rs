//! Proofs: a tree whose irrelevant subtrees are hidden, and its encoding (SPEC, "Sum tree").
//!
//! The nodes in order, each before its halves: a tag, and then a leaf's canonical bytes, or the hash and the weight of
//! a hidden subtree; a weight in groups of seven bits, lowest first. Hashes and weights of all other nodes are computed
//! by the reader, so what it reads has a root of its own, which it compares with the one that it trusts.

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    sync::Arc,
};

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Leaf, Node, Sum, SumTree, bit};

const EMPTY: u8 = 0;
const LEAF: u8 = 1;
const INNER: u8 = 2;
const HIDDEN: u8 = 3;

/// Bits of a key: no leaf is deeper.
const DEPTH: usize = 256;

impl<L: Leaf> SumTree<L> {
    /// The proof of the leaves with these keys: all that is not on the path to one of them is hidden.
    #[must_use]
    pub fn proof_of(&self, keys: &BTreeSet<[u8; 32]>) -> Self {
        let keys: Vec<&[u8; 32]> = keys.iter().collect();
        Self { root: self.root.showing(0, &keys) }
    }

    /// Whether nothing is hidden.
    pub fn is_whole(&self) -> bool {
        let mut open = vec![&self.root];
        while let Some(node) = open.pop() {
            match node {
                Node::Hidden(_) => return false,
                Node::Inner(inner) => open.extend([&inner.left, &inner.right]),
                Node::Empty | Node::Leaf(_) => {}
            }
        }
        true
    }
}

impl<L: Leaf> Node<L> {
    fn showing(&self, depth: usize, keys: &[&[u8; 32]]) -> Self {
        match self {
            Self::Empty | Self::Hidden(_) => self.clone(),
            Self::Leaf(_) | Self::Inner(_) if keys.is_empty() => Self::Hidden(Arc::new(self.sum())),
            Self::Leaf(_) => self.clone(),
            Self::Inner(inner) => {
                let (left, right) = keys.split_at(keys.partition_point(|key| !bit(key, depth)));
                Self::above(inner.left.showing(depth + 1, left), inner.right.showing(depth + 1, right))
            }
        }
    }

    fn write<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        match self {
            Self::Empty => writer.write_all(&[EMPTY]),
            Self::Leaf(stored) => {
                writer.write_all(&[LEAF])?;
                stored.leaf.serialize(writer)
            }
            Self::Inner(inner) => {
                writer.write_all(&[INNER])?;
                inner.left.write(writer)?;
                inner.right.write(writer)
            }
            Self::Hidden(sum) => {
                writer.write_all(&[HIDDEN])?;
                writer.write_all(&sum.hash)?;
                write_weight(sum.weight, writer)
            }
        }
    }

    /// A subtree at this depth. One that no tree has is refused: two halves that would be one leaf or nothing.
    fn read<R: Read>(reader: &mut R, depth: usize) -> io::Result<Self> {
        match u8::deserialize_reader(reader)? {
            EMPTY => Ok(Self::Empty),
            LEAF => Ok(Self::leaf(L::deserialize_reader(reader)?)),
            INNER if depth < DEPTH => {
                let (left, right) = (Self::read(reader, depth + 1)?, Self::read(reader, depth + 1)?);
                match Self::above(left, right) {
                    node @ Self::Inner(_) => Ok(node),
                    _ => Err(malformed()),
                }
            }
            HIDDEN => {
                let hash = <[u8; 32]>::deserialize_reader(reader)?;
                Ok(Self::Hidden(Arc::new(Sum { hash, weight: read_weight(reader)? })))
            }
            _ => Err(malformed()),
        }
    }
}

impl<L: Leaf> BorshSerialize for SumTree<L> {
    fn serialize<W: Write>(&self, writer: &mut W) -> io::Result<()> {
        self.root.write(writer)
    }
}

/// Bytes of any other tree are refused by the comparison with what their tree encodes to
/// ([`crate::codec::decode`]).
impl<L: Leaf> BorshDeserialize for SumTree<L> {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        Ok(Self { root: Node::read(reader, 0)? })
    }
}

fn write_weight<W: Write>(mut weight: u128, writer: &mut W) -> io::Result<()> {
    loop {
        let [low, ..] = weight.to_le_bytes();
        weight >>= 7;
        let more = u8::from(weight > 0) << 7;
        writer.write_all(&[low & 0x7f | more])?;
        if more == 0 {
            return Ok(());
        }
    }
}

fn read_weight<R: Read>(reader: &mut R) -> io::Result<u128> {
    let (mut weight, mut shift) = (0_u128, 0);
    loop {
        let byte = u8::deserialize_reader(reader)?;
        let part = u128::from(byte & 0x7f);
        if shift > 126 || (part << shift) >> shift != part {
            return Err(malformed());
        }
        weight |= part << shift;
        if byte & 0x80 == 0 {
            return Ok(weight);
        }
        shift += 7;
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed sum tree")
}
