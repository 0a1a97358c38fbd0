//! Proposer selection: which validator proposes in which round of which height (ARCHITECTURE 5.1).
//!
//! In go a validator set, its members that are skipped because they missed turns, and a seed, which is the last
//! beacon; out comes one validator for each height and round. It is a pure function of these, so no history is needed
//! to compute it. The seed orders the members: so nobody can choose keys whose turns are in a row. Not here: who is
//! skipped and for how long, which the state records.

use std::collections::BTreeSet;

use super::vote::ValidatorSet;
use crate::id::{Height, VoteKey};

/// Bound of the total power here, so that two numbers up to it multiply within 128 bits. A set with more is counted in
/// coarser units.
const TOTAL: u128 = 1 << 62;

/// A set of validators and the order in which they propose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    set: ValidatorSet,
    skipped: BTreeSet<VoteKey>,
    /// The members with their powers, in the order that follows from the seed.
    order: Vec<(VoteKey, u64)>,
    /// Heights by which all turns are shifted.
    offset: u64,
}

impl Rotation {
    /// The rotation of `set` by this seed, in which the members in `skipped` come last.
    pub fn new(set: ValidatorSet, skipped: BTreeSet<VoteKey>, seed: &[u8; 32]) -> Self {
        let key = blake3::derive_key("ostrakon turns 1", seed);
        let place = |member: &(VoteKey, u64)| *blake3::keyed_hash(&key, member.0.bytes()).as_bytes();
        let mut order: Vec<(VoteKey, u64)> = set.iter().collect();
        order.sort_by_cached_key(place);
        let offset = u64::from_le_bytes(*key.first_chunk().expect("a hash has 32 bytes"));
        Self { set, skipped, order, offset }
    }

    /// The set.
    pub fn set(&self) -> &ValidatorSet {
        &self.set
    }

    /// The skipped members.
    pub fn skipped(&self) -> &BTreeSet<VoteKey> {
        &self.skipped
    }

    /// The proposer of this round; `None` when the set is empty.
    ///
    /// Over as many heights as the set has total power, each validator proposes in the first round as often as it has
    /// power, spread evenly. The rounds of one height go to every validator once, then again from the first. Skipped
    /// validators have no first round but do have later ones: when all others are gone, the chain must not wait until
    /// they are no longer skipped.
    pub fn proposer(&self, height: Height, round: u32) -> Option<VoteKey> {
        let order = self.order.iter();
        let (late, mut waiting): (Vec<_>, Vec<_>) = order.partition(|(key, _)| self.skipped.contains(key));
        let place = usize::try_from(round).ok()?.checked_rem(self.order.len())?;
        let place = match place.checked_sub(waiting.len()) {
            Some(place) => {
                waiting = late;
                place
            }
            None => place,
        };
        let turn = u128::from(height.0) + u128::from(self.offset);
        for _ in 0..place {
            let gone = draw(&waiting, turn)?;
            waiting.remove(gone);
        }
        draw(&waiting, turn).map(|index| waiting[index].0)
    }
}

/// Which of these has this turn. All power is a circle, of which each member has an arc; every turn advances by the
/// golden ratio of the circle, rounded to a step that visits each unit once before any twice.
fn draw(members: &[(VoteKey, u64)], turn: u128) -> Option<usize> {
    let arcs = arcs(members);
    let total: u128 = arcs.iter().sum();
    let at = (turn % total.max(1)) * step(total) % total.max(1);
    let mut end = 0;
    arcs.iter().position(|arc| {
        end += arc;
        at < end
    })
}

/// The members' powers divided by their greatest common divisor, or more coarsely.
fn arcs(members: &[(VoteKey, u64)]) -> Vec<u128> {
    let unit = members.iter().fold(0, |unit, (_, power)| gcd(unit, u128::from(*power))).max(1);
    let total: u128 = members.iter().map(|(_, power)| u128::from(*power)).sum();
    let unit = unit.max(total.div_ceil(TOTAL));
    members.iter().map(|(_, power)| (u128::from(*power) / unit).max(1)).collect()
}

/// The largest step up to the golden ratio of `total` that is coprime with it.
fn step(total: u128) -> u128 {
    let golden = total / 1_000_000_007 * 618_033_993 + total % 1_000_000_007 * 618_033_993 / 1_000_000_007;
    (1..=golden).rev().find(|step| gcd(*step, total) == 1).unwrap_or(1)
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn key(number: usize) -> VoteKey {
        VoteKey::new([u8::try_from(number + 1).expect("few"); 32])
    }

    fn rotation(powers: &[u64], skipped: &[usize]) -> Rotation {
        let set = ValidatorSet::new(powers.iter().enumerate().map(|(number, power)| (key(number), *power)));
        Rotation::new(set, skipped.iter().map(|number| key(*number)).collect(), &[7; 32])
    }

    fn turns(rotation: &Rotation, heights: std::ops::Range<u64>) -> Vec<VoteKey> {
        heights.map(|height| rotation.proposer(Height(height), 0).expect("not empty")).collect()
    }

    #[test]
    fn equals_take_turns() {
        let check = |powers: &[u64], skipped: &[usize], shares: &[(usize, usize)]| {
            let heights: usize = shares.iter().map(|(_, share)| share).sum();
            let turns = turns(&rotation(powers, skipped), 100..100 + u64::try_from(heights).expect("few"));
            for (number, share) in shares {
                let count = turns.iter().filter(|turn| **turn == key(*number)).count();
                assert_eq!(count, *share, "{number} of {powers:?} without {skipped:?}");
            }
        };
        check(&[5], &[], &[(0, 4)]);
        check(&[1, 1], &[], &[(0, 1), (1, 1)]);
        check(&[7, 7, 7, 7], &[], &[(0, 1), (1, 1), (2, 1), (3, 1)]);
        check(&[7, 7, 7, 7], &[2], &[(0, 2), (1, 2), (3, 2)]);
        check(&[1, 1], &[0, 1], &[(0, 1), (1, 1)]);
        check(&[3, 1], &[], &[(0, 3), (1, 1)]);
        assert_eq!(rotation(&[], &[]).proposer(Height(1), 0), None);
    }

    #[test]
    fn the_seed_decides_the_order() {
        let set = || ValidatorSet::new((0..9).map(|number| (key(number), 1)));
        let order = |seed: u8| turns(&Rotation::new(set(), BTreeSet::new(), &[seed; 32]), 0..9);
        assert_eq!(order(1), order(1));
        let mut orders: Vec<_> = (0..20).map(order).collect();
        orders.sort();
        orders.dedup();
        assert_eq!(orders.len(), 20);
    }

    #[test]
    fn the_largest_powers_are_counted() {
        let huge = rotation(&[u64::MAX, u64::MAX, 1], &[]);
        let turns = turns(&huge, 1..1001);
        let first = turns.iter().filter(|turn| **turn == key(0)).count();
        assert!((490..=510).contains(&first), "{first}");
    }

    #[test]
    fn the_skipped_come_last() {
        let rotation = rotation(&[1, 1, 1, 1], &[0, 2]);
        for height in 0..20 {
            let rounds: Vec<_> = (0..8).map(|round| rotation.proposer(Height(height), round).expect("some")).collect();
            assert!(rounds[..2].iter().all(|turn| *turn == key(1) || *turn == key(3)), "{rounds:?}");
            assert!(rounds[2..4].iter().all(|turn| *turn == key(0) || *turn == key(2)), "{rounds:?}");
            assert_eq!(rounds[..4], rounds[4..]);
        }
    }

    proptest! {
        #[test]
        fn each_has_its_share(powers in prop::collection::vec(1_u64..40, 1..9), from in 0_u64..1 << 60) {
            let total: u64 = powers.iter().sum();
            let mut shares = BTreeMap::<VoteKey, u64>::new();
            for turn in turns(&rotation(&powers, &[]), from..from + total) {
                *shares.entry(turn).or_default() += 1;
            }
            let unit = powers.iter().fold(0, |unit, power| gcd(unit, u128::from(*power)));
            prop_assert!(unit >= 1);
            for (number, power) in powers.iter().enumerate() {
                prop_assert_eq!(shares[&key(number)], *power);
            }
        }

        #[test]
        fn turns_are_spread(power in 2_u64..30, others in 2_u64..30) {
            // A validator with a part of the power waits little longer than its part would have it wait.
            let rotation = rotation(&[power, others], &[]);
            let turns = turns(&rotation, 0..4 * (power + others));
            let mut wait = 0;
            for turn in turns {
                wait = if turn == key(0) { 0 } else { wait + 1 };
                prop_assert!(wait <= 3 * (others / power + 1), "{wait}");
            }
        }

        #[test]
        fn rounds_go_to_different_validators(
            powers in prop::collection::vec(1_u64..1000, 2..9),
            skipped in prop::collection::vec(0_usize..9, 0..9),
            height in any::<u64>(),
        ) {
            let rotation = rotation(&powers, &skipped);
            let count = u32::try_from(powers.len()).expect("few");
            let turn = |round| rotation.proposer(Height(height), round).expect("not empty");
            let all: BTreeSet<VoteKey> = (0..count).map(turn).collect();
            prop_assert_eq!(all.len(), powers.len());
            for round in 0..3 * count {
                prop_assert_ne!(turn(round), turn(round + 1));
                prop_assert_eq!(turn(round), turn(round + count));
            }
        }
    }
}
