//! How long proposals take to get here and to be validated: the measure of all timeouts of a round.
//!
//! In go times that were measured, of each proposer; out comes the factor by which timeouts are longer than their least
//! value. Pure. Not here: the timeouts ([`super::timers`]).
//!
//! A block that is large, or that comes over a long or narrow line, takes longer than any fixed timeout that would not
//! make every dead proposer expensive. So each validator measures: from the start of a round until the round's proposal
//! is validated, also when that is after the timeout. Of the proposers the fastest with two thirds of the power count:
//! fewer than a third cannot make the others wait by being slow on purpose. A proposer that is dead is not measured, so
//! its turns take no longer than others.

use std::{collections::BTreeMap, time::Duration};

use ostrakon_proto::{id::VoteKey, ledger::vote::ValidatorSet};

use super::rounds::Rounds;

/// How long a proposal may take before any timeout is longer than its least value.
const USUAL: Duration = Duration::from_millis(250);
/// No proposal counts as slower: one that arrives when an outage ends says nothing about the next. Nor may timeouts be
/// so long that a running validator is taken for a silent one ([`super::timers`]).
const SLOWEST: Duration = Duration::from_secs(1);
/// With each proposal that is faster, the estimate comes down by this part of the difference.
const DECAY: u32 = 4;

/// What was measured of each proposer.
#[derive(Debug, Default)]
pub(super) struct Delays {
    estimates: BTreeMap<VoteKey, Duration>,
    /// What they are measured from.
    pub(super) rounds: Rounds,
}

/// By how much timeouts are longer than their least value, in hundredths; at least one hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Factor(u32);

impl Default for Factor {
    fn default() -> Self {
        Self(100)
    }
}

impl Factor {
    /// The largest, in hundredths.
    pub(super) const MAX: u128 = SLOWEST.as_millis() * 100 / USUAL.as_millis();

    /// This factor, in hundredths, at least one hundred.
    pub(super) fn hundredths(hundredths: u32) -> Self {
        Self(hundredths.max(100))
    }

    /// The duration, times this.
    pub(super) fn stretch(self, least: Duration) -> Duration {
        least.saturating_mul(self.0) / 100
    }
}

impl Delays {
    /// These are the validators.
    pub(super) fn retain(&mut self, set: &ValidatorSet) {
        self.estimates.retain(|key, _| set.power(key).is_some());
    }

    /// A proposal of `proposer` was validated so long after its round had begun.
    pub(super) fn measured(&mut self, proposer: VoteKey, took: Duration) {
        let (took, estimate) = (took.min(SLOWEST), self.estimates.entry(proposer).or_default());
        *estimate = if took > *estimate { took } else { *estimate - (*estimate - took) / DECAY };
    }

    /// The factor for the timeouts of the validator `me`.
    pub(super) fn factor(&self, me: &VoteKey, set: &ValidatorSet) -> Factor {
        let power = |key: &VoteKey| set.power(key).map_or(0, u128::from);
        let others = self.estimates.iter().filter(|(key, _)| *key != me);
        let mut estimates: Vec<(Duration, u128)> = others.map(|(key, took)| (*took, power(key))).collect();
        estimates.sort_unstable();
        let (mut so_far, mut slowest) = (power(me), Duration::ZERO);
        for (took, power) in estimates {
            if set.is_quorum(so_far) {
                break;
            }
            (so_far, slowest) = (so_far + power, took);
        }
        let hundredths = slowest.as_millis().saturating_mul(100) / USUAL.as_millis();
        Factor::hundredths(u32::try_from(hundredths).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> VoteKey {
        VoteKey::new([number; 32])
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_slowest_of_a_quorum_counts() {
        let set = ValidatorSet::new((1..=4).map(|number| (key(number), 1)));
        let mut delays = Delays::default();
        let steps = [
            ("nothing is known", None, 100),
            ("a fast one", Some((2, 40)), 100),
            ("with two of four there is no quorum, so it counts", Some((3, 500)), 200),
            ("a third slow one does not", Some((4, 9000)), 200),
            ("unless a second one is slow too", Some((2, 600)), 240),
            ("a faster one counts gradually", Some((2, 200)), 200),
            ("and so on", Some((3, 100)), 200),
            ("so that it is soon forgotten", Some((2, 100)), 160),
        ];
        for (desc, step, expect) in steps {
            if let Some((number, took)) = step {
                delays.measured(key(number), millis(took));
            }
            assert_eq!(delays.factor(&key(1), &set), Factor(expect), "{desc}");
        }
        (0..50).for_each(|_| delays.measured(key(2), Duration::from_secs(3600)));
        (0..50).for_each(|_| delays.measured(key(3), Duration::from_secs(3600)));
        assert_eq!(delays.factor(&key(1), &set), Factor(400));
        delays.retain(&ValidatorSet::new([(key(1), 1), (key(9), 1)]));
        assert_eq!(delays.estimates.len(), 0);
    }

    #[test]
    fn factors_stretch() {
        assert_eq!(Factor::default().stretch(millis(500)), millis(500));
        assert_eq!(Factor(250).stretch(millis(500)), millis(1250));
    }
}
