//! Which provider of the draw gets which column of an extent: pure.
//!
//! The first n of the order get one column each. One that fails is never asked again, and is replaced by the first of
//! the order that is unused and satisfies the domain rule. Those that are busy, did not respond lately, or were
//! replaced in an earlier run come last.

use std::collections::{BTreeMap, BTreeSet};

use ostrakon_proto::{
    id::{Amount, NodeId},
    ledger::price_of_all,
    placement::{Caps, DomainTags, Draw, RosterEntry},
};

use crate::FailedColumn;

/// The draw of one extent, and which of its providers has which column.
#[derive(Clone, Debug)]
pub(crate) struct Placing {
    pub(crate) extent: u32,
    pub(crate) draw: Draw,
    order: Vec<RosterEntry>,
    caps: Caps,
    /// By column index, the place in the order of its holder.
    slots: Vec<Option<usize>>,
    /// By place in the order: the column that was lost there, and why.
    failed: BTreeMap<usize, (u8, String)>,
    /// Places in the order of those that are chosen only when no other is left: busy, without a response lately, or
    /// replaced in an earlier run.
    last: BTreeSet<usize>,
}

impl Placing {
    /// The first n of the order get the n columns.
    pub(crate) fn new(extent: u32, draw: Draw, order: Vec<RosterEntry>, (n, caps): (u8, Caps)) -> Self {
        let slots = (0..usize::from(n)).map(|place| (place < order.len()).then_some(place)).collect();
        Self { extent, draw, order, caps, slots, failed: BTreeMap::new(), last: BTreeSet::new() }
    }

    /// The same, where those that did not respond lately get a column only when no other provider can have it.
    pub(crate) fn avoiding(mut self, is_unresponsive: impl Fn(&NodeId) -> bool) -> Self {
        let silent = self.order.iter().enumerate().filter(|(_, candidate)| is_unresponsive(&candidate.provider));
        self.last = silent.map(|(place, _)| place).collect();
        for slot in &mut self.slots {
            *slot = slot.filter(|place| !self.last.contains(place));
        }
        for index in self.vacant() {
            self.replace(index);
        }
        self
    }

    /// As when the add ended that had these uploads, by column and holder, oldest first: a holder that was replaced
    /// gets a column only when no other provider can have it. `None` when one of them is not of the order.
    pub(crate) fn after(mut self, uploads: impl Iterator<Item = (u8, NodeId)>) -> Option<Self> {
        for (index, provider) in uploads {
            let place = self.order.iter().position(|candidate| candidate.provider == provider)?;
            if self.slots[usize::from(index)] != Some(place) {
                // It failed, or had not responded before that run: it may respond by now.
                self.defer(index);
                self.slots[usize::from(index)] = Some(place);
            }
        }
        Some(self)
    }

    /// All providers that may be asked.
    pub(crate) fn providers(&self) -> Vec<NodeId> {
        self.order.iter().map(|candidate| candidate.provider).collect()
    }

    /// The holder of this column.
    pub(crate) fn holder(&self, index: u8) -> Option<&RosterEntry> {
        self.slots[usize::from(index)].map(|place| &self.order[place])
    }

    /// Columns without a holder.
    pub(crate) fn vacant(&self) -> Vec<u8> {
        let slots = (0..=u8::MAX).zip(&self.slots);
        slots.filter(|(_, place)| place.is_none()).map(|(index, _)| index).collect()
    }

    /// Columns that have a holder.
    pub(crate) fn held(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// The column's holder failed.
    pub(crate) fn give_up(&mut self, index: u8, reason: String) -> Option<NodeId> {
        let place = self.slots[usize::from(index)].take()?;
        self.failed.insert(place, (index, reason));
        Some(self.order[place].provider)
    }

    /// The column's holder is busy: it may get one when no other provider is left.
    pub(crate) fn defer(&mut self, index: u8) {
        self.last.extend(self.slots[usize::from(index)].take());
    }

    /// The next provider that satisfies the domain rule gets the vacant column; `None` when none is left.
    pub(crate) fn replace(&mut self, index: u8) -> Option<RosterEntry> {
        let place = self.next(|place| !self.failed.contains_key(&place))?;
        self.slots[usize::from(index)] = Some(place);
        Some(self.order[place])
    }

    fn next(&self, may: impl Fn(usize) -> bool) -> Option<usize> {
        let chosen: Vec<DomainTags> =
            self.slots.iter().flatten().map(|place| self.order[*place].offer.domain).collect();
        let open = |place: &usize| !self.slots.contains(&Some(*place)) && may(*place);
        let first = (0..self.order.len()).filter(|place| !self.last.contains(place));
        let mut places = first.chain(self.last.iter().copied()).filter(open);
        places.find(|place| self.caps.admits(&chosen, &self.order[*place].offer.domain))
    }

    /// A provider for every column, as the ledger wants it: its holder, or another of the draw for a vacant one, within
    /// the domain rule. `None` when these slots cannot be filled so.
    pub(crate) fn with_names(&self) -> Option<Vec<&RosterEntry>> {
        let mut named = self.clone();
        for index in self.vacant() {
            // Those that failed will do: the slot counts as missing, and repair finds another holder.
            let place = named.next(|_| true)?;
            named.slots[usize::from(index)] = Some(place);
        }
        named.slots.iter().map(|place| place.map(|place| &self.order[place])).collect()
    }

    /// What one epoch costs, of the columns that have a holder.
    pub(crate) fn price(&self, column_len: u64) -> Amount {
        price_of_all(column_len, self.slots.iter().flatten().map(|place| self.order[*place].offer.price))
    }

    /// What is locked for one epoch: for every column the cap.
    pub(crate) fn locked(&self, column_len: u64) -> Amount {
        let cap = self.cap();
        price_of_all(column_len, self.slots.iter().map(|_| cap))
    }

    /// The most that a GiB of any column may cost in one epoch: what the dearest of the first n asks, and the dearest
    /// that replaced one. So most of the draw can take over a column that is lost.
    pub(crate) fn cap(&self) -> Amount {
        let first = self.order.iter().take(self.slots.len());
        let chosen = self.with_names().unwrap_or_default();
        first.chain(chosen).map(|entry| entry.offer.price).max().unwrap_or(Amount::ZERO)
    }

    /// The holders that failed, and why.
    pub(crate) fn failures(&self) -> Vec<FailedColumn> {
        let failed = self.failed.iter();
        let failure = |(place, (index, reason)): (&usize, &(u8, String))| FailedColumn {
            extent: self.extent,
            index: *index,
            provider: Some(self.order[*place].provider),
            reason: reason.clone(),
            corrupt: false,
        };
        failed.map(failure).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ostrakon_proto::{
        id::{AccountId, Epoch},
        params::Code,
        placement::{DrawSeed, Offer, Roster, draw},
    };

    /// Providers in pairs: two on each infrastructure.
    fn placing(count: u8, code: Code) -> Placing {
        let candidate = |number: u8| {
            let domain = DomainTags { operator: [number; 16], infrastructure: [number / 2; 16], region: [number; 16] };
            let offer = Offer { weight: 1 << 30, price: Amount(1 << 30), domain };
            RosterEntry { provider: NodeId::new([number; 32]), offer }
        };
        let roster: Roster = (0..count).map(candidate).collect();
        let draw_of = Draw { epoch: Epoch(1), number: 1 };
        let seed = DrawSeed { randomness: [1; 32], account: AccountId::new([2; 32]), draw: draw_of, extent: 0 };
        let caps = Caps::of(&roster.summary(), code, 2).expect("enough");
        let order = draw(roster.tree(), &seed, code, &caps).expect("enough").into_iter().copied().collect();
        Placing::new(0, draw_of, order, (code.n, caps))
    }

    fn domains(placing: &Placing) -> Vec<DomainTags> {
        (0..u8::try_from(placing.slots.len()).expect("few"))
            .filter_map(|index| placing.holder(index))
            .map(|entry| entry.offer.domain)
            .collect()
    }

    #[test]
    fn replacements_keep_the_rule_and_never_come_back() {
        let mut placing = placing(14, Code { k: 4, n: 9 });
        let mut gone = Vec::new();
        for round in 0..5 {
            gone.push(placing.give_up(round, "refused".to_owned()).expect("held"));
            let new = placing.replace(round).expect("one is left").provider;
            assert!(!gone.contains(&new));
            assert!(placing.caps.holds(&domains(&placing)));
        }
        assert_eq!((placing.vacant(), placing.held(), placing.failures().len()), (vec![], 9, 5));
        placing.give_up(7, "refused".to_owned());
        assert_eq!(placing.replace(7), None, "all fourteen were asked");
        assert_eq!(placing.vacant(), [7]);
        let named = placing.with_names().expect("a failed one will do");
        assert_eq!(named.iter().map(|named| named.provider).collect::<BTreeSet<_>>().len(), 9);
    }

    #[test]
    fn a_busy_holder_comes_back_when_no_other_is_left() {
        let mut placing = placing(10, Code { k: 4, n: 9 });
        let busy = placing.holder(2).expect("held").provider;
        placing.defer(2);
        assert_ne!(placing.replace(2).expect("the tenth").provider, busy);
        placing.give_up(2, "refused".to_owned());
        assert_eq!(placing.replace(2).map(|entry| entry.provider), Some(busy));
        placing.defer(2);
        assert_eq!(placing.replace(2).map(|entry| entry.provider), Some(busy), "no other is left");
    }

    #[test]
    fn an_add_that_resumes_has_the_holders_that_it_had() {
        let code = Code { k: 4, n: 9 };
        let mut before = placing(14, code);
        let mut uploads: Vec<_> = (0..9).map(|index| (index, before.holder(index).expect("held").provider)).collect();
        for index in [3, 5, 3] {
            before.give_up(index, "refused".to_owned());
            uploads.push((index, before.replace(index).expect("one is left").provider));
        }
        let mut again = placing(14, code).after(uploads.into_iter()).expect("the same order");
        assert_eq!(again.slots, before.slots);
        assert_eq!(again.last, before.failed.keys().copied().collect(), "they may respond by now");
        assert_eq!(again.replace(0), before.replace(0));
        assert!(placing(14, code).after([(0, NodeId::new([99; 32]))].into_iter()).is_none());
    }

    #[test]
    fn only_held_columns_cost() {
        let mut placing = placing(14, Code { k: 4, n: 9 });
        assert_eq!(placing.price(64), Amount(9 * 64));
        placing.give_up(0, "refused".to_owned());
        assert_eq!(placing.price(64), Amount(8 * 64));
        assert_eq!(placing.locked(64), Amount(9 * 64), "a node that takes the ninth is paid");
    }
}
