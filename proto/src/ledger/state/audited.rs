//! What the ledger knows of a provider's proofs, and what they have earned (ARCHITECTURE 5.8).
//!
//! All of it is constant in size and changes in constant time, however many columns the provider stores: slots are paid
//! by counting the epochs that their provider proved, and the counter alone moves.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use crate::{
    id::{Amount, Epoch},
    limits::PROVEN_EPOCHS,
};

/// A provider's audits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Audited {
    /// Bytes of its slots when the epoch of their last change began.
    #[serde(skip)]
    pub frozen: Frozen,
    /// The first epoch of which it is not settled yet whether it was proven.
    #[serde(skip)]
    pub open: Epoch,
    /// Epochs in a row that it missed and that were not excused.
    pub missed: u32,
    /// The epoch since which it has missed none.
    pub clean_since: Epoch,
    /// The first of the epochs in a row that it did not prove, excused or not; `None` when it proved the last.
    pub silent_since: Option<Epoch>,
    /// Whether it has been silent for so long that what it stores counts as lost.
    pub written_off: bool,
    /// The last time for which it announced to be away.
    pub maintenance: Option<Maintenance>,
    /// Bytes that it has proven for long enough to be offered more.
    pub proven_bytes: u64,
    /// Its pay.
    #[serde(flatten)]
    pub pay: Pay,
}

impl Audited {
    /// What a provider that registers in this epoch has proven: nothing, and it has nothing to prove.
    pub fn begun(epoch: Epoch) -> Self {
        Self { open: epoch.after(1), clean_since: epoch, ..Self::default() }
    }

    /// It shows that it is there: what it stores does not count as lost any more.
    pub(in crate::ledger) fn returned(&mut self) {
        (self.silent_since, self.written_off) = (None, false);
    }

    /// An epoch with these bytes was proven: what counts as proven rises slowly, and falls with what there is.
    pub(in crate::ledger) fn ramp(&mut self, bytes: u64, ramp_epochs: u64) {
        let step = bytes.checked_div(ramp_epochs).unwrap_or(bytes).max(1);
        self.proven_bytes = self.proven_bytes.saturating_add(step).min(bytes);
    }
}

/// Epochs that a provider announced to be away for: what it does not prove of them is not paid, and no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Maintenance {
    /// The first of them.
    pub from: Epoch,
    /// The first after them.
    pub until: Epoch,
}

impl Maintenance {
    /// Whether this epoch is one of them.
    pub fn covers(&self, epoch: Epoch) -> bool {
        (self.from..self.until).contains(&epoch)
    }
}

/// What is left of the epochs from `first` to `last` without those of a maintenance: none to two ranges, each with its
/// first and its last.
pub(in crate::ledger) fn outside(
    maintenance: Option<Maintenance>,
    first: Epoch,
    last: Epoch,
) -> impl Iterator<Item = (Epoch, Epoch)> {
    // Of none, as of one that is over: nothing is left before it.
    let Maintenance { from, until } = maintenance.unwrap_or(Maintenance { from: Epoch(0), until: Epoch(0) });
    let before = from.0.checked_sub(1).map(|before| (first, last.min(Epoch(before))));
    before.into_iter().chain([(first.max(until), last)]).filter(|(first, last)| first <= last)
}

/// How many bytes an epoch froze.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Frozen {
    /// The epoch.
    pub epoch: Epoch,
    /// The bytes of the provider's slots when it began.
    pub bytes: u64,
}

/// What a provider is paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Pay {
    /// Price of one epoch of its slots, without those that ended before `settled`.
    pub rate: Amount,
    /// The first end of slots that is still in `rate`.
    #[serde(skip)]
    pub settled: Epoch,
    /// The epochs that it proved.
    #[serde(flatten)]
    pub proofs: ProvenEpochs,
    /// What it was paid in all, after fees.
    pub earned: Amount,
}

/// Which epochs a provider proved: how many, and which of the last [`PROVEN_EPOCHS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct ProvenEpochs {
    /// How many.
    #[serde(rename = "proven_epochs")]
    pub count: u64,
    /// The last of them.
    #[serde(rename = "last_proof")]
    pub newest: Epoch,
    /// A bit for each of the last epochs up to the newest, which is the lowest.
    #[serde(skip)]
    pub recent: u64,
}

impl ProvenEpochs {
    /// With this epoch too, which is later than all before.
    #[must_use]
    pub fn with(self, epoch: Epoch) -> Self {
        let Self { count, newest, recent } = self;
        let later = u32::try_from(epoch.0.saturating_sub(newest.0)).unwrap_or(u32::MAX);
        Self { count: count + 1, newest: epoch, recent: recent.checked_shl(later).unwrap_or(0) | 1 }
    }

    /// How many came before `epoch`, which is at most [`PROVEN_EPOCHS`] before the newest.
    pub fn before(&self, epoch: Epoch) -> u64 {
        let later = self.newest.0.saturating_add(1).saturating_sub(epoch.0).min(PROVEN_EPOCHS);
        let mask = u64::MAX.checked_shr(u32::try_from(PROVEN_EPOCHS - later).expect("at most 64")).unwrap_or(0);
        self.count.saturating_sub((self.recent & mask).count_ones().into())
    }

    /// Whether this epoch, one of the last [`PROVEN_EPOCHS`], is among them.
    pub fn has(&self, epoch: Epoch) -> bool {
        epoch <= self.newest && self.before(epoch.after(1)) > self.before(epoch)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn epochs_outside_of_a_maintenance_are_those_not_in_it(
            (from, until, first, last) in (1_u64..20, 1_u64..20, 0_u64..20, 0_u64..20),
            is_announced: bool,
        ) {
            let maintenance = is_announced.then_some(Maintenance { from: Epoch(from), until: Epoch(from + until) });
            let left = outside(maintenance, Epoch(first), Epoch(last)).flat_map(|(first, last)| first.0..=last.0);
            let is_in = |epoch: &u64| is_announced && (from..from + until).contains(epoch);
            prop_assert!(left.eq((first..=last).filter(|epoch| !is_in(epoch))));
        }

        #[test]
        fn proven_epochs_are_counted_up_to_any_recent_one(
            steps in prop::collection::vec(1_u64..40, 0..60),
            ago in 0..PROVEN_EPOCHS,
        ) {
            let (mut proven, mut all, mut epoch) = (ProvenEpochs::default(), Vec::new(), 3);
            for step in steps {
                epoch += step;
                all.push(epoch);
                proven = proven.with(Epoch(epoch));
                let asked = epoch.saturating_sub(ago);
                let before = all.iter().filter(|one| **one < asked).count();
                prop_assert_eq!(proven.before(Epoch(asked)), u64::try_from(before).expect("few"));
                prop_assert_eq!(proven.has(Epoch(asked)), all.contains(&asked));
                prop_assert_eq!(proven.before(Epoch(epoch + 1)), proven.count);
                prop_assert_eq!(proven.before(Epoch(epoch + 1_000)), proven.count);
            }
        }
    }
}
