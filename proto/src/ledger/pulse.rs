//! Pulses: randomness for accounts that are younger than an epoch's roster (ARCHITECTURE 5.4).
//!
//! What an account draws depends on its id, and an id costs nothing to make. So nobody may know the randomness when an
//! account begins: one older than the roster draws by the epoch's beacon, a younger one by the pulse that is made
//! wholly after it. In go the heights at which an epoch and an account began; out comes which of the two, and the
//! randomness.

use crate::{
    id::Height,
    ledger::{
        draft::Draft,
        rules::Rules,
        state::{EpochRecord, Key, Record, Records},
    },
};

/// Expired pulses that are removed with each new one, at most: more than are made.
const REMOVALS: usize = 2;

/// Which randomness an account draws by in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrawChance {
    /// The epoch's beacon.
    Beacon,
    /// The pulse with this number.
    Pulse(u64),
}

impl DrawChance {
    /// That of an account which began at `since`, in an epoch that began at `first`, where pulses are made of `span`
    /// blocks.
    pub const fn of(first: Height, since: Height, span: u64) -> Self {
        if since.0 < first.0 { Self::Beacon } else { Self::Pulse(since.0.div_ceil(span)) }
    }

    /// The randomness; `None` when the state does not have it, not yet or no longer.
    pub fn read(self, record: &EpochRecord, records: &dyn Records) -> Option<[u8; 32]> {
        match self {
            Self::Beacon => record.beacon,
            Self::Pulse(number) => records.pulse(number),
        }
    }
}

/// Height of the block that completes the pulse with this number, where pulses are made of `span` blocks.
pub const fn pulse_height(number: u64, span: u64) -> Height {
    Height(number.saturating_add(1).saturating_mul(span))
}

/// Ends a block, after its signature was mixed in: records the pulse that it completes, if any.
pub(super) fn record(draft: &mut Draft<'_>, rules: &Rules) {
    let (height, span) = (draft.height().0, rules.params.time.beacon_blocks);
    if !height.is_multiple_of(span) {
        return;
    }
    let number = height / span - 1;
    let mut hasher = blake3::Hasher::new_derive_key("ostrakon pulse 1");
    hasher.update(rules.chain.bytes()).update(&number.to_le_bytes()).update(&draft.running().mix);
    draft.put(Key::Pulse(number), Record::Pulse(hasher.finalize().into()));
    forget(draft, rules, span);
}

/// Removes pulses that no draw of a valid epoch can need: they are older than the roster of the oldest.
fn forget(draft: &mut Draft<'_>, rules: &Rules, span: u64) {
    let oldest = draft.epoch(rules.oldest_draw(draft.running().clock.epoch)).map_or(Height(0), |epoch| epoch.first);
    let pulses = draft.scan(&Key::Pulse(0), &Key::Pulse(u64::MAX), REMOVALS);
    for (key, _) in pulses {
        if matches!(key, Key::Pulse(number) if pulse_height(number, span) < oldest) {
            draft.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_is_made_wholly_after_the_account() {
        let check = |since: u64, expect| {
            let chance = DrawChance::of(Height(10), Height(since), 4);
            assert_eq!(chance, expect, "since {since}");
            if let DrawChance::Pulse(number) = chance {
                let first = pulse_height(number, 4).0 - 3;
                assert!(first > since && first <= since + 4, "since {since}: {first}");
            }
        };
        check(0, DrawChance::Beacon);
        check(9, DrawChance::Beacon);
        check(10, DrawChance::Pulse(3));
        check(11, DrawChance::Pulse(3));
        check(12, DrawChance::Pulse(3));
        check(13, DrawChance::Pulse(4));
        check(16, DrawChance::Pulse(4));
    }
}
