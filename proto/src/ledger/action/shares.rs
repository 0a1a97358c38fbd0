//! The share of all stored bytes that one infrastructure may have.

use std::collections::BTreeMap;

use crate::{
    ledger::{
        action::ActionContext,
        error::TxError,
        rules::{percent, share_limit},
        state::Records,
        tx::Commit,
    },
    placement::{RosterEntry, Tag},
};

/// Checks, after the slots began, that no infrastructure stores more than its share of all bytes. An extent
/// that is spread as evenly as the number of infrastructures allows is always accepted: it could not do better.
pub(super) fn check(
    context: &ActionContext<'_, '_>,
    commit: &Commit,
    holders: &[RosterEntry],
    infrastructures: usize,
) -> Result<(), TxError> {
    let limit = share_limit(context.rules.params.governance.max_stored_share, infrastructures);
    let even = holders.len().div_ceil(infrastructures.max(1));
    let mut columns: BTreeMap<Tag, usize> = BTreeMap::new();
    for (index, (slot, holder)) in commit.slots.iter().zip(holders).enumerate() {
        if slot.receipt.is_none() {
            continue;
        }
        let tag = holder.offer.domain.infrastructure;
        let here = columns.entry(tag).or_default();
        *here += 1;
        let share = percent(context.draft.infrastructure(&tag).used, context.draft.running().stored);
        if *here > even && share > limit {
            return Err(TxError::StoredShare { index, provider: slot.provider, share, limit });
        }
    }
    Ok(())
}
