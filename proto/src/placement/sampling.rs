//! Weighted sampling without replacement, by integers alone: every machine draws the same.
//!
//! In go weights and a seed; out come indexes, each with the probability of its weight among those left. BLAKE3 in its
//! extended mode is the random stream, rejection keeps it unbiased, and a Fenwick tree over the weights finds each
//! index in O(log N).

use crate::codec;

use super::DrawSeed;

/// An endless stream of unbiased numbers from one seed.
pub(super) struct RandomStream(blake3::OutputReader);

impl RandomStream {
    /// The stream of `seed` (SPEC, "Draw").
    pub(super) fn new(seed: &DrawSeed) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("ostrakon draw 1");
        hasher.update(&codec::encode(seed));
        Self(hasher.finalize_xof())
    }

    /// A uniform number below `bound`, which is not zero.
    fn below(&mut self, bound: u128) -> u128 {
        let mask = u128::MAX.checked_shr((bound - 1).leading_zeros()).unwrap_or(0);
        loop {
            let mut bytes = [0; 16];
            self.0.fill(&mut bytes);
            let number = u128::from_le_bytes(bytes) & mask;
            if number < bound {
                return number;
            }
        }
    }
}

/// The weights still to be drawn: a Fenwick tree, where entry i (from 1) sums the weights of `i - lowbit(i) + 1 ..= i`.
pub(super) struct WeightedSampler {
    sums: Vec<u128>,
    left: u128,
    random: RandomStream,
}

impl WeightedSampler {
    /// A sampler of these weights. Zero weights are never drawn.
    pub(super) fn new(weights: impl Iterator<Item = u64>, random: RandomStream) -> Self {
        let mut sums: Vec<u128> = std::iter::once(0).chain(weights.map(u128::from)).collect();
        let left = sums.iter().sum();
        for at in 1..sums.len() {
            let above = at + lowbit(at);
            if above < sums.len() {
                sums[above] += sums[at];
            }
        }
        Self { sums, left, random }
    }

    /// Removes and returns the index in whose weight the `point`th unit is, counted from 0.
    fn take_at(&mut self, point: u128) -> usize {
        let (mut at, mut rest) = (0, point);
        let mut step = self.sums.len().next_power_of_two();
        while step > 0 {
            if at + step < self.sums.len() && self.sums[at + step] <= rest {
                at += step;
                rest -= self.sums[at];
            }
            step /= 2;
        }
        let index = at;
        let weight = self.weight(index);
        self.left -= weight;
        let mut node = index + 1;
        while node < self.sums.len() {
            self.sums[node] -= weight;
            node += lowbit(node);
        }
        index
    }

    /// The weight at `index`: its tree entry without those that the entry also covers.
    fn weight(&self, index: usize) -> u128 {
        let node = index + 1;
        let mut weight = self.sums[node];
        let mut child = index;
        while child > node - lowbit(node) {
            weight -= self.sums[child];
            child -= lowbit(child);
        }
        weight
    }
}

impl Iterator for WeightedSampler {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.left == 0 {
            return None;
        }
        let point = self.random.below(self.left);
        Some(self.take_at(point))
    }
}

fn lowbit(number: usize) -> usize {
    number & number.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{AccountId, Epoch},
        placement::Draw,
    };

    fn sampler(weights: &[u64], number: u32) -> WeightedSampler {
        let draw = Draw { epoch: Epoch(1), number };
        let seed = DrawSeed { randomness: [7; 32], account: AccountId::new([8; 32]), draw, extent: 0 };
        WeightedSampler::new(weights.iter().copied(), RandomStream::new(&seed))
    }

    #[test]
    fn every_unit_of_weight_finds_its_owner() {
        let weights = [3, 0, 1, 5, 0, 0, 2];
        let owners: Vec<usize> = (0..11).map(|point| sampler(&weights, 0).take_at(point)).collect();
        assert_eq!(owners, [0, 0, 0, 2, 3, 3, 3, 3, 3, 6, 6]);
    }

    #[test]
    fn everything_with_weight_comes_out_once() {
        for count in [0, 1, 2, 3, 7, 8, 9, 100] {
            let weights: Vec<u64> = (0..count).map(|index| (index * 7) % 5).collect();
            let mut drawn: Vec<usize> = sampler(&weights, 1).collect();
            drawn.sort_unstable();
            let expect: Vec<usize> = (0..weights.len()).filter(|index| weights[*index] > 0).collect();
            assert_eq!(drawn, expect, "{count}");
        }
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        assert_eq!(sampler(&[u64::MAX; 300], 2).count(), 300);
    }

    #[test]
    fn chances_follow_the_weights() {
        let mut first = [0u32; 4];
        for number in 0..20_000 {
            first[sampler(&[1, 2, 3, 4], number).next().expect("not empty")] += 1;
        }
        for (count, share) in first.iter().zip([2_000u32, 4_000, 6_000, 8_000]) {
            assert!(count.abs_diff(share) < 300, "{first:?}");
        }
    }
}
