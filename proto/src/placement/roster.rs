//! The roster: who can be drawn, by weight, as a sum tree; and how the domains share the weight.
//!
//! In go the offers of providers, one at a time; out come the tree that draws are made from and the [`RosterSummary`],
//! which an epoch records: the tree's root, and the [`Classes`] that the caps follow from. Nothing here is larger for
//! one change than for another, however many providers there are.

use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, hash_derive_key_context};
use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use crate::{
    id::{Amount, NodeId},
    json,
    ledger::state::Domain,
    sum_tree::{Leaf, Sum, SumTree},
};

use super::{
    Dimension,
    classes::{Classes, Group},
};

/// A value of one dimension, by a hash of its name.
pub type Tag = [u8; 16];

/// The values of a [`Domain`], by tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize)]
pub struct DomainTags {
    /// Who runs the node.
    #[serde(serialize_with = "json::hex")]
    pub operator: Tag,
    /// Whose machines and network it runs on.
    #[serde(serialize_with = "json::hex")]
    pub infrastructure: Tag,
    /// Where it is.
    #[serde(serialize_with = "json::hex")]
    pub region: Tag,
}

impl From<&Domain> for DomainTags {
    fn from(domain: &Domain) -> Self {
        let [operator, infrastructure, region] = Dimension::ALL.map(|dimension| dimension.tag(dimension.of(domain)));
        Self { operator, infrastructure, region }
    }
}

/// One provider as draws see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RosterEntry {
    /// The provider.
    pub provider: NodeId,
    /// Its offer.
    pub offer: Offer,
}

/// What a provider offers to draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Offer {
    /// Bytes that it can take, its weight in the draw: free, and with bond behind them. Not zero.
    pub weight: u64,
    /// Price of one GiB for one epoch.
    pub price: Amount,
    /// Its domain.
    pub domain: DomainTags,
}

impl Leaf for RosterEntry {
    fn context() -> &'static ContextKey {
        static CONTEXT: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context("ostrakon roster leaf 1"));
        &CONTEXT
    }

    fn key(&self) -> [u8; 32] {
        *self.provider.bytes()
    }

    fn weight(&self) -> u128 {
        u128::from(self.offer.weight)
    }
}

/// The providers that can be drawn.
pub type RosterTree = SumTree<RosterEntry>;

/// What an epoch records of its roster: all that a draw needs to know, besides the leaves that it meets.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RosterSummary {
    /// Root of the tree.
    pub root: Sum,
    /// The providers by class, each a group of one.
    pub providers: Classes,
    /// The values of each dimension by class, in the order of [`Dimension::ALL`].
    pub dimensions: [Classes; 3],
}

/// The providers that can be drawn as of the last block, with all that changes of them need. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    tree: RosterTree,
    /// The groups of all dimensions: who is in each is needed when one of them changes.
    groups: SumTree<DomainGroup>,
    providers: Classes,
    dimensions: [Classes; 3],
}

/// The providers with one value of a dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct DomainGroup {
    dimension: u8,
    tag: Tag,
    group: Group,
}

impl Leaf for DomainGroup {
    fn context() -> &'static ContextKey {
        static CONTEXT: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context("ostrakon roster group 1"));
        &CONTEXT
    }

    fn key(&self) -> [u8; 32] {
        group_key(self.dimension, &self.tag)
    }

    fn weight(&self) -> u128 {
        self.group.weight
    }
}

fn group_key(dimension: u8, tag: &Tag) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(tag);
    key[16] = dimension;
    key
}

const WHOLE: &str = "a ledger's roster is whole";

impl Roster {
    /// The tree that draws are made from.
    pub const fn tree(&self) -> &RosterTree {
        &self.tree
    }

    /// What an epoch that begins now records.
    pub fn summary(&self) -> RosterSummary {
        let Self { providers, dimensions, .. } = self.clone();
        RosterSummary { root: self.tree.root(), providers, dimensions }
    }

    /// The provider's offer becomes this; with `None` it cannot be drawn any more.
    pub fn set(&mut self, provider: NodeId, offer: Option<Offer>) {
        let before = self.tree.get(provider.bytes()).expect(WHOLE).map(|entry| entry.offer);
        if before == offer {
            return;
        }
        if let Some(before) = before {
            self.providers.remove(&Group::one(before.weight));
            self.regroup(&before.domain, |group| group.without(before.weight));
        }
        match offer {
            Some(offer) => {
                self.tree.insert(RosterEntry { provider, offer });
                self.providers.add(&Group::one(offer.weight));
                self.regroup(&offer.domain, |group| group.with(offer.weight));
            }
            None => self.tree.remove(provider.bytes()),
        }
    }

    fn regroup(&mut self, domain: &DomainTags, change: impl Fn(Group) -> Group) {
        let tags = [domain.operator, domain.infrastructure, domain.region];
        for ((dimension, tag), classes) in (0..).zip(tags).zip(&mut self.dimensions) {
            let key = group_key(dimension, &tag);
            let before = self.groups.get(&key).expect(WHOLE).map_or_else(Group::default, |leaf| leaf.group);
            let group = change(before);
            classes.remove(&before);
            classes.add(&group);
            match group.providers {
                0 => self.groups.remove(&key),
                _ => self.groups.insert(DomainGroup { dimension, tag, group }),
            }
        }
    }
}

impl FromIterator<RosterEntry> for Roster {
    fn from_iter<I: IntoIterator<Item = RosterEntry>>(entries: I) -> Self {
        let mut roster = Self::default();
        entries.into_iter().for_each(|entry| roster.set(entry.provider, Some(entry.offer)));
        roster
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(number: u8, weight: u64, domain: [u8; 3]) -> RosterEntry {
        let [operator, infrastructure, region] = domain.map(|value| [value; 16]);
        let domain = DomainTags { operator, infrastructure, region };
        RosterEntry { provider: NodeId::new([number; 32]), offer: Offer { weight, price: Amount(1), domain } }
    }

    #[test]
    fn tags_of_one_name_differ_by_dimension() {
        let same = |name: &str| Domain { operator: name.into(), infrastructure: name.into(), region: name.into() };
        let DomainTags { operator, infrastructure, region } = DomainTags::from(&same("x"));
        assert!(operator != infrastructure && infrastructure != region && operator != region);
        assert_ne!(DomainTags::from(&same("x")), DomainTags::from(&same("y")));
    }

    proptest! {
        #[test]
        fn a_roster_is_that_of_its_last_offers(
            changes in prop::collection::vec((0_u8..20, 0_u64..1 << 40, [0_u8..4, 0..4, 0..4]), 0..120),
        ) {
            let (mut roster, mut last) = (Roster::default(), std::collections::BTreeMap::new());
            for (number, weight, domain) in changes {
                let entry = entry(number, weight, domain);
                let offer = Some(entry.offer).filter(|offer| offer.weight % 4 > 0);
                roster.set(entry.provider, offer);
                last.remove(&number);
                last.extend(offer.map(|offer| (number, RosterEntry { offer, ..entry })));
            }
            prop_assert_eq!(&roster, &last.into_values().rev().collect::<Roster>());
            prop_assert_eq!(roster.summary().root.weight, roster.tree().leaves().map(Leaf::weight).sum::<u128>());
        }
    }
}
