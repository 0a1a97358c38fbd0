//! Weighted sampling without replacement, by integers alone: every machine draws the same.
//!
//! In go a roster and a random stream; out come its leaves, each with the probability of its weight among those left:
//! the sums of the tree find each.

use crate::{
    random::RandomStream,
    sum_tree::{Hidden, Leaf},
};

use super::{RosterEntry, RosterTree};

/// Leaves of a roster as they come up: each with the probability of its weight among those left.
pub(super) struct Looks<'a> {
    roster: &'a RosterTree,
    random: RandomStream,
    /// The points that those drawn so far cover, in order: where each begins, and how many.
    drawn: Vec<(u128, u128)>,
    left: u128,
}

impl<'a> Looks<'a> {
    /// The leaves in the order of this stream. Zero weights are never drawn.
    pub(super) fn new(roster: &'a RosterTree, random: RandomStream) -> Self {
        Self { roster, random, drawn: Vec::new(), left: roster.weight() }
    }

    /// The leaf at the `point`th of the points that are left.
    fn take_at(&mut self, mut point: u128) -> Result<&'a RosterEntry, Hidden> {
        for (start, weight) in &self.drawn {
            point += if *start <= point { *weight } else { break };
        }
        let (start, leaf) = self.roster.at(point)?.expect("a point below the whole weight has a leaf");
        let at = self.drawn.partition_point(|(other, _)| *other < start);
        self.drawn.insert(at, (start, leaf.weight()));
        self.left -= leaf.weight();
        Ok(leaf)
    }
}

impl<'a> Iterator for Looks<'a> {
    type Item = Result<&'a RosterEntry, Hidden>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let point = self.random.below(self.left);
        Some(self.take_at(point))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{AccountId, Amount, Epoch, NodeId},
        placement::{DomainTags, Draw, DrawSeed, Offer},
    };

    fn roster(weights: &[u64]) -> RosterTree {
        let entry = |(index, weight): (usize, &u64)| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&index.to_be_bytes());
            let domain = DomainTags { operator: [0; 16], infrastructure: [0; 16], region: [0; 16] };
            RosterEntry { provider: NodeId::new(bytes), offer: Offer { weight: *weight, price: Amount(0), domain } }
        };
        weights.iter().enumerate().map(entry).collect()
    }

    fn looks(roster: &RosterTree, number: u32) -> Looks<'_> {
        let draw = Draw { epoch: Epoch(1), number };
        let seed = DrawSeed { randomness: [7; 32], account: AccountId::new([8; 32]), draw, extent: 0 };
        Looks::new(roster, seed.stream())
    }

    fn index(entry: Result<&RosterEntry, Hidden>) -> usize {
        let bytes = entry.expect("nothing is hidden").provider.bytes();
        usize::from_be_bytes(*bytes.first_chunk().expect("of 32"))
    }

    #[test]
    fn every_unit_of_weight_finds_its_owner() {
        let roster = roster(&[3, 0, 1, 5, 0, 0, 2]);
        let owners: Vec<usize> = (0..11).map(|point| index(looks(&roster, 0).take_at(point))).collect();
        assert_eq!(owners, [0, 0, 0, 2, 3, 3, 3, 3, 3, 6, 6]);
    }

    #[test]
    fn the_points_of_those_drawn_are_passed_over() {
        let roster = roster(&[3, 0, 1, 5, 0, 0, 2]);
        for (first, rest) in [(4, &[0, 0, 0, 2, 6, 6][..]), (0, &[2, 3, 3, 3, 3, 3, 6, 6]), (10, &[0, 0, 0, 2, 3, 3])] {
            for (point, expect) in (0..).zip(rest) {
                let mut looks = looks(&roster, 0);
                looks.take_at(first).expect("nothing is hidden");
                assert_eq!(index(looks.take_at(point)), *expect, "{point} after {first}");
            }
        }
    }

    #[test]
    fn everything_with_weight_comes_out_once() {
        for count in [0, 1, 2, 3, 7, 8, 9, 100] {
            let weights: Vec<u64> = (0..count).map(|index| (index * 7) % 5).collect();
            let mut drawn: Vec<usize> = looks(&roster(&weights), 1).map(index).collect();
            drawn.sort_unstable();
            let expect: Vec<usize> = (0..weights.len()).filter(|index| weights[*index] > 0).collect();
            assert_eq!(drawn, expect, "{count}");
        }
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        assert_eq!(looks(&roster(&[u64::MAX; 300]), 2).count(), 300);
    }

    #[test]
    fn chances_follow_the_weights() {
        let (roster, mut first) = (roster(&[1, 2, 3, 4]), [0u32; 4]);
        for number in 0..20_000 {
            first[index(looks(&roster, number).next().expect("not empty"))] += 1;
        }
        for (count, share) in first.iter().zip([2_000u32, 4_000, 6_000, 8_000]) {
            assert!(count.abs_diff(share) < 300, "{first:?}");
        }
    }
}
