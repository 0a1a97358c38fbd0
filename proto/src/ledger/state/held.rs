//! Entries of inventories: which columns each provider stores, and the sums that find the column at a point of their
//! bytes (ARCHITECTURE 5.8).
//!
//! They follow from commitments and from [`DepartedSlot`]s, so they are not in the state tree. Within a provider,
//! entries are in the order of hashes. Each level of [`Prefix`]es has a sum for each value of the next four bits, up to
//! [`Prefix::LEVELS`], below which the entries themselves are read.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    codec,
    id::{ColumnId, Epoch, NodeId},
};

use super::CommitmentId;

/// Place of an entry in its provider's inventory: a hash over what it is.
pub type HeldId = [u8; 16];

/// A column that a provider stores, or stored when an epoch in progress began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Held {
    /// The commitment.
    pub commitment: CommitmentId,
    /// Index of the slot.
    pub index: u8,
    /// The column.
    pub column: ColumnId,
    /// Its bytes.
    pub column_len: u64,
    /// The epoch in which the provider began to store it.
    pub since: Epoch,
    /// The epoch in which it ended, if it did: in that epoch it is still proven.
    pub left: Option<Epoch>,
}

impl Held {
    /// Its place.
    pub fn id(&self) -> HeldId {
        let hash = blake3::Hasher::new_derive_key("ostrakon inventory entry 1")
            .update(&codec::encode(&(self.commitment, self.index, self.since)))
            .finalize();
        *hash.as_bytes().first_chunk().expect("of 32")
    }

    /// Its bytes in the inventory that `epoch` froze.
    pub fn frozen_bytes(&self, epoch: Epoch) -> u64 {
        let is_frozen = self.since < epoch && self.left.is_none_or(|left| left >= epoch);
        if is_frozen { self.column_len } else { 0 }
    }
}

/// The entries whose places begin with these bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// How many groups of four bits.
    pub level: u8,
    /// The bits, highest first; those after them are zero.
    pub bits: u16,
}

impl Prefix {
    /// Levels below the root: a provider with a million columns has some sixteen under each prefix of the last.
    pub const LEVELS: u8 = 4;
    /// All entries.
    pub const ROOT: Self = Self { level: 0, bits: 0 };

    /// The prefixes of an entry, from the first level to the last.
    pub fn of(id: &HeldId) -> impl Iterator<Item = Self> {
        let all = u16::from_be_bytes([id[0], id[1]]);
        (1..=Self::LEVELS).map(move |level| Self { level, bits: all & u16::MAX << (4 * (Self::LEVELS - level)) })
    }

    /// The first and the last prefix one level down; `None` at the last level.
    pub fn children(self) -> Option<(Self, Self)> {
        let level = self.level + 1;
        let last = 0xf_u16.checked_shl(u32::from(4 * Self::LEVELS.checked_sub(level)?))?;
        Some((Self { level, bits: self.bits }, Self { level, bits: self.bits | last }))
    }

    /// The first and the last place of its entries.
    pub fn places(self) -> (HeldId, HeldId) {
        let rest = u16::MAX.checked_shr(u32::from(4 * self.level)).unwrap_or(0);
        let (mut first, mut last) = ([0; 16], [u8::MAX; 16]);
        first[..2].copy_from_slice(&self.bits.to_be_bytes());
        last[..2].copy_from_slice(&(self.bits | rest).to_be_bytes());
        (first, last)
    }
}

/// Bytes of the entries under a prefix: now, and when an epoch began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HeldSum {
    /// Now.
    now: u64,
    /// The epoch of the last change.
    epoch: Epoch,
    /// Before that epoch began.
    before: u64,
}

impl HeldSum {
    /// In the inventory that `epoch`, the one in progress, froze.
    pub fn frozen_bytes(&self, epoch: Epoch) -> u64 {
        if self.epoch == epoch { self.before } else { self.now }
    }

    /// Whether there are entries now.
    pub const fn has_any(&self) -> bool {
        self.now > 0
    }

    /// Whether it says nothing after `epoch`.
    pub fn is_over(&self, epoch: Epoch) -> bool {
        self.now == 0 && (self.epoch < epoch || self.before == 0)
    }

    /// The same, however long ago it changed; for tests.
    #[cfg(test)]
    pub(in crate::ledger) fn seen_in(self, epoch: Epoch) -> Self {
        self.at(epoch)
    }

    /// With an entry more, or another epoch's view of one: `held` counts in `epoch` as it says.
    #[must_use]
    pub fn with(self, held: &Held, epoch: Epoch) -> Self {
        let Self { now, before, .. } = self.at(epoch);
        let is_there = held.left.is_none();
        Self { now: now + if is_there { held.column_len } else { 0 }, epoch, before: before + held.frozen_bytes(epoch) }
    }

    /// With an entry less from now on.
    #[must_use]
    pub fn without(self, bytes: u64, epoch: Epoch) -> Self {
        let sum = self.at(epoch);
        Self { now: sum.now.checked_sub(bytes).expect("invariant: an inventory is the sum of its entries"), ..sum }
    }

    /// As the epoch in progress sees it.
    fn at(self, epoch: Epoch) -> Self {
        Self { now: self.now, epoch, before: self.frozen_bytes(epoch) }
    }
}

/// A slot that left its provider, which may still be asked to prove it until the epoch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DepartedSlot {
    /// The provider.
    pub provider: NodeId,
    /// Its index.
    pub index: u8,
    /// The column.
    pub column: ColumnId,
    /// Its bytes.
    pub column_len: u64,
    /// The epoch in which the provider began to store it.
    pub since: Epoch,
}

impl DepartedSlot {
    /// The entry of a slot that left this commitment in this epoch.
    pub const fn held(&self, epoch: Epoch, commitment: CommitmentId) -> Held {
        let Self { index, column, column_len, since, .. } = *self;
        Held { commitment, index, column, column_len, since, left: Some(epoch) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_cover_the_places_under_them() {
        let id = [0xab, 0xcd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
        let all: Vec<_> = Prefix::of(&id).map(|prefix| (prefix.level, prefix.bits)).collect();
        assert_eq!(all, [(1, 0xa000), (2, 0xab00), (3, 0xabc0), (4, 0xabcd)]);
        let mut above = Prefix::ROOT;
        for prefix in Prefix::of(&id) {
            let (first, last) = above.children().expect("not the last level");
            assert!((first..=last).contains(&prefix), "{prefix:?} under {above:?}");
            let (first, last) = prefix.places();
            assert!((first..=last).contains(&id));
            above = prefix;
        }
        assert_eq!(above.children(), None);
        assert_eq!(Prefix::ROOT.places(), ([0; 16], [255; 16]));
    }
}
