//! The rosters of the ledger: the one of the last block, and those that epochs froze (ARCHITECTURE 5.4).
//!
//! The roster follows the providers: after each block those that it changed are weighed again. An epoch freezes it by
//! noting its root, so nothing is copied, and a frozen one stays as it was while draws of its epoch are valid. All of
//! them follow from the records of the providers, each of which says what it offered in them: so a node that restored a
//! snapshot has the same. A change of the parameters weighs a provider when it next changes.

use std::{collections::BTreeMap, sync::Arc};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    id::{Epoch, NodeId},
    ledger::{
        draft::Draft,
        rules::Rules,
        state::{EpochRecord, Key, Provider, ProviderStatus, Record, Records},
    },
    params::Params,
    placement::{Offer, Roster, RosterSummary, RosterTree},
};

/// What a provider offers to draws, now and in the rosters of earlier epochs that are still valid.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Listing {
    /// Its offer since the last change of it; `None` while it cannot be drawn.
    pub offer: Option<Offer>,
    /// What it was before, in the order of epochs.
    past: Vec<PastOffer>,
}

/// An offer that was in rosters up to that of one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct PastOffer {
    /// The last epoch whose roster has it.
    until: Epoch,
    offer: Option<Offer>,
}

impl Listing {
    /// The offer in the roster of `epoch`, if draws of that are still valid.
    pub fn at(&self, epoch: Epoch) -> Option<Offer> {
        self.past.iter().find(|past| epoch <= past.until).map_or(self.offer, |past| past.offer)
    }

    /// The first epoch from `drawable` on, at most the one after `epoch`, which is in progress, whose roster has an
    /// offer of it; `None` when there is no such epoch, for what there is now.
    pub fn drawn_from(&self, drawable: Epoch, epoch: Epoch) -> Option<Epoch> {
        (drawable.0..=epoch.0.saturating_add(1)).map(Epoch).find(|epoch| self.at(*epoch).is_some())
    }

    /// The first epoch from `epoch` on in which no valid roster has it, if it offers nothing any more: the draws of a
    /// roster are valid for `draw_epochs`. The record of a provider that has left, and its bond, are kept until then.
    pub fn forgotten_in(&self, epoch: Epoch, draw_epochs: u64) -> Epoch {
        let oldest = epoch.0.saturating_sub(draw_epochs.saturating_sub(1));
        let newest = (oldest..=epoch.0).rev().map(Epoch).find(|epoch| self.at(*epoch).is_some());
        newest.map_or(epoch, |newest| newest.after(draw_epochs))
    }

    /// The offer becomes this, in an epoch whose roster is frozen already; what is of none from `oldest` on is dropped.
    fn change(&mut self, offer: Option<Offer>, (oldest, epoch): (Epoch, Epoch)) {
        self.past.retain(|past| past.until >= oldest);
        if self.past.last().is_none_or(|past| past.until < epoch) {
            self.past.push(PastOffer { until: epoch, offer: self.offer });
        }
        self.offer = offer;
    }
}

impl Provider {
    /// What it offers to draws now.
    fn offered(&self, params: &Params) -> Option<Offer> {
        let weight = if self.status == ProviderStatus::Active { self.offered_bytes(params) } else { 0 };
        (weight > 0).then(|| Offer { weight, price: self.price, domain: (&self.domain).into() })
    }
}

/// The roster of the last block, and those of the epochs whose draws are valid. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rosters {
    live: Arc<Roster>,
    frozen: BTreeMap<Epoch, RosterTree>,
}

impl Rosters {
    /// What an epoch that begins now records.
    pub fn summary(&self) -> RosterSummary {
        self.live.summary()
    }

    /// Whether a roster whose draws are valid has this provider.
    pub(super) fn contain(&self, node: &NodeId) -> bool {
        self.frozen.values().any(|roster| matches!(roster.get(node.bytes()), Ok(Some(_))))
    }

    /// The roster that this epoch froze; `None` when its draws have expired.
    pub fn of(&self, epoch: Epoch) -> Option<&RosterTree> {
        self.frozen.get(&epoch)
    }

    /// The rosters of a state, from its records alone; `None` when they are not those that its epochs recorded.
    pub fn read(records: &dyn Records) -> Option<Self> {
        let mut rosters = Self::default();
        let providers = records.providers().into_iter().map(|provider| (provider.node, provider.listing));
        let providers: Vec<(NodeId, Listing)> = providers.collect();
        let live = Arc::make_mut(&mut rosters.live);
        providers.iter().for_each(|(node, listing)| live.set(*node, listing.offer));
        // From the newest back, so that they share what they have in common.
        let mut roster = live.clone();
        for (epoch, summary) in read_epochs(records).into_iter().rev() {
            providers.iter().for_each(|(node, listing)| roster.set(*node, listing.at(epoch)));
            if roster.summary() != summary {
                return None;
            }
            rosters.frozen.insert(epoch, roster.tree().clone());
        }
        Some(rosters)
    }

    /// The epoch begins: the roster is frozen as it is.
    pub(super) fn freeze(&mut self, epoch: Epoch) {
        self.frozen.insert(epoch, self.live.tree().clone());
    }

    /// The draws of the epoch have expired.
    pub(super) fn forget(&mut self, epoch: Epoch) {
        self.frozen.remove(&epoch);
    }
}

/// The epochs whose draws are valid, with what they recorded of their rosters.
fn read_epochs(records: &dyn Records) -> Vec<(Epoch, RosterSummary)> {
    let all = records.scan(&Key::Epoch(Epoch(0)), &Key::Epoch(Epoch(u64::MAX)), usize::MAX);
    let epoch = |(_, record)| match record {
        Record::Epoch(EpochRecord { epoch, roster, .. }) => Some((epoch, roster)),
        _ => None,
    };
    all.into_iter().filter_map(epoch).collect()
}

/// Ends a block: the roster follows the providers that the block changed.
pub(super) fn follow(draft: &mut Draft<'_>, rules: &Rules) {
    let epoch = draft.running().clock.epoch;
    let frozen = draft.rosters().of(epoch).is_some();
    for node in draft.touched_providers() {
        let Some(mut provider) = draft.provider(&node) else { continue };
        let (before, offer) = (provider.listing.offer, provider.offered(&rules.params));
        if before == offer {
            continue;
        }
        match frozen {
            true => provider.listing.change(offer, (rules.oldest_draw(epoch), epoch)),
            // The genesis, whose roster is still to be frozen.
            false => provider.listing.offer = offer,
        }
        draft.put_provider(provider);
        Arc::make_mut(&mut draft.rosters_mut().live).set(node, offer);
    }
    // Hashed now, so that the block that freezes it does not hash what a whole epoch changed.
    draft.rosters_mut().live.tree().root();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::Amount, placement::DomainTags};

    impl Rosters {
        /// The roster of the last block.
        pub(in crate::ledger) fn live(&self) -> &RosterTree {
            self.live.tree()
        }
    }

    fn offer(weight: u64) -> Option<Offer> {
        let domain = DomainTags { operator: [1; 16], infrastructure: [2; 16], region: [3; 16] };
        (weight > 0).then_some(Offer { weight, price: Amount(1), domain })
    }

    #[test]
    fn a_listing_knows_what_each_valid_roster_has() {
        let mut listing = Listing::default();
        // Epoch of the change, the new offer; and what the rosters of epochs 0 to 6 have then.
        let steps = [
            (1, 5, [0, 0, 5, 5, 5, 5, 5]),
            (1, 6, [0, 0, 6, 6, 6, 6, 6]),
            (3, 0, [0, 0, 6, 6, 0, 0, 0]),
            (3, 7, [0, 0, 6, 6, 7, 7, 7]),
            (5, 8, [6, 6, 6, 6, 7, 7, 8]),
        ];
        for (epoch, weight, expect) in steps {
            // The last three epochs are valid.
            listing.change(offer(weight), (Epoch(u64::saturating_sub(epoch, 2)), Epoch(epoch)));
            for (of, expect) in (0..).zip(expect) {
                assert_eq!(listing.at(Epoch(of)), offer(expect), "in epoch {epoch}, of epoch {of}");
            }
        }
        assert_eq!(listing.past.len(), 2, "what no valid roster has is dropped");
    }

    #[test]
    fn who_has_left_is_forgotten_when_the_last_draw_expires() {
        let mut listing = Listing { offer: offer(5), past: Vec::new() };
        listing.change(None, (Epoch(0), Epoch(4)));
        let found = [4, 5, 6, 7, 8].map(|epoch| listing.forgotten_in(Epoch(epoch), 3).0);
        assert_eq!(found, [7, 7, 7, 7, 8], "rosters 4, 5 and 6 are valid in epoch 6, and only 4 has it");
        assert_eq!(Listing::default().forgotten_in(Epoch(4), 3), Epoch(4));
    }

    #[test]
    fn who_registers_is_drawn_from_the_next_epoch_on() {
        let mut listing = Listing::default();
        assert_eq!(listing.drawn_from(Epoch(3), Epoch(4)), None);
        listing.change(offer(5), (Epoch(0), Epoch(4)));
        let check = |drawable, epoch| listing.drawn_from(Epoch(drawable), Epoch(epoch));
        assert_eq!(
            [check(3, 4), check(4, 4), check(4, 5), check(5, 5), check(6, 6)],
            [5, 5, 5, 5, 6].map(|epoch| Some(Epoch(epoch)))
        );
    }
}
