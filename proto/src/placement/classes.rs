//! Groups of providers by class: how many there are of about one size, and their weight together.
//!
//! Caps and the choice of a code follow from how the weight is shared, not from who has it. Groups of one class have
//! the same number of providers and, within a factor of two, the same weight: so what is recorded of a network of any
//! size is small, and each counts as the average of its class, which is exact where they are alike.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};

/// Providers that are counted with one value of a dimension, at most: as many as a code has columns.
const PROVIDERS: u32 = 255;

/// The providers with one value of a dimension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Group {
    /// Their number.
    pub(super) providers: u32,
    /// Their weight.
    pub(super) weight: u128,
}

impl Group {
    /// A group of one provider.
    pub(super) fn one(weight: u64) -> Self {
        Self::default().with(weight)
    }

    /// With one provider more.
    pub(super) fn with(self, weight: u64) -> Self {
        Self { providers: self.providers + 1, weight: self.weight + u128::from(weight) }
    }

    /// With one provider less.
    pub(super) fn without(self, weight: u64) -> Self {
        Self { providers: self.providers - 1, weight: self.weight - u128::from(weight) }
    }

    fn class(&self) -> Class {
        let providers = u8::try_from(self.providers.min(PROVIDERS)).expect("at most 255");
        Class { providers, log2: u8::try_from(self.weight.checked_ilog2().unwrap_or(0)).expect("below 128") }
    }
}

/// Groups that count alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
struct Class {
    /// Providers of each; 255 for that many and more.
    providers: u8,
    /// The largest power of two that is not above the weight of each.
    log2: u8,
}

/// The groups of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Members {
    /// Their number.
    pub(super) groups: u64,
    /// Their weight together.
    pub(super) weight: u128,
}

/// Groups by class.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Classes(BTreeMap<Class, Members>);

impl Classes {
    /// The classes of these groups.
    #[cfg(test)]
    pub(super) fn of(groups: &[Group]) -> Self {
        let mut classes = Self::default();
        groups.iter().for_each(|group| classes.add(group));
        classes
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        let groups = self.0.values().map(|members| members.groups).sum::<u64>();
        usize::try_from(groups).unwrap_or(usize::MAX)
    }

    /// Weight of all groups together.
    pub(super) fn weight(&self) -> u128 {
        self.0.values().map(|members| members.weight).sum()
    }

    /// The classes: how many providers each of its groups has, and the groups.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u8, Members)> {
        self.0.iter().map(|(class, members)| (class.providers, *members))
    }

    /// One group more; an empty one does not count.
    pub(super) fn add(&mut self, group: &Group) {
        if group.providers > 0 {
            let members = self.0.entry(group.class()).or_default();
            members.groups += 1;
            members.weight += group.weight;
        }
    }

    /// One group less, which was added before.
    pub(super) fn remove(&mut self, group: &Group) {
        let Some(members) = self.0.get_mut(&group.class()).filter(|_| group.providers > 0) else { return };
        members.groups -= 1;
        members.weight -= group.weight;
        if members.groups == 0 {
            self.0.remove(&group.class());
        }
    }

    /// How many groups count: those of at least a sixteenth of the one in the middle of all weight. So neither what is
    /// invented nor what is nearly full makes a network look larger than it is.
    pub fn significant(&self) -> usize {
        let mut averages: Vec<(u128, u64)> = self
            .0
            .values()
            .map(|members| (members.weight / u128::from(members.groups.max(1)), members.groups))
            .collect();
        averages.sort_unstable_by(|one, other| other.cmp(one));
        let (total, mut sum) = (averages.iter().map(|(each, groups)| each * u128::from(*groups)).sum::<u128>(), 0);
        let middle = averages.iter().find(|(each, groups)| {
            sum += each * u128::from(*groups);
            2 * sum >= total
        });
        let least = middle.map_or(0, |(middle, _)| middle / 16);
        let count = averages.iter().filter(|(each, _)| *each >= least).map(|(_, groups)| groups).sum::<u64>();
        usize::try_from(count).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_is_one_class() {
        let group = |providers, weight| Group { providers, weight };
        let check = |desc: &str, groups: &[Group], expect: usize| {
            let mut all = Classes::of(groups);
            assert_eq!((all.0.len(), all.groups()), (expect, groups.len()), "{desc}");
            groups.iter().for_each(|group| all.remove(group));
            assert_eq!(all, Classes::default(), "{desc}");
        };
        check("none", &[], 0);
        check("alike", &[group(3, 8), group(3, 15), group(3, 8)], 1);
        check("twice the weight", &[group(3, 8), group(3, 16)], 2);
        check("more providers", &[group(3, 8), group(4, 8)], 2);
        check("many providers", &[group(255, 1 << 40), group(70_000, 1 << 40)], 1);
        check("the most weight", &[group(1, u128::MAX)], 1);
    }

    #[test]
    fn those_count_that_are_not_tiny() {
        let check = |desc: &str, weights: &[u64], expect| {
            let groups: Vec<Group> = weights.iter().map(|weight| Group::one(*weight)).collect();
            assert_eq!(Classes::of(&groups).significant(), expect, "{desc}");
        };
        check("none", &[], 0);
        check("all alike", &[7; 14], 14);
        check("some are half full", &[100, 50, 25, 12, 100], 5);
        check("one is nearly full", &[100, 100, 100, 6], 4);
        check("one is full but for a little", &[100, 100, 100, 5], 3);
        check("many are invented", &[&[1_000; 14][..], &[1; 200]].concat(), 14);
        check("the largest", &[u64::MAX; 20], 20);
    }
}
