//! Capacity and collateral of providers: reserving and freeing them, and the share of all stored bytes that one
//! infrastructure may have.
//!
//! Invariant "capacity is counted": a provider's `used` and `collateral` are the sums over its live slots, an
//! infrastructure's `used` is that of its providers, and `stored` that of all. A provider's domain cannot change while
//! it stores anything, so no count moves.

use std::collections::BTreeMap;

use crate::{
    id::Amount,
    ledger::{
        action::ActionContext,
        draft::Draft,
        error::TxError,
        rules::{percent, share_limit},
        state::{Infrastructure, Provider, Records, Slot},
        tx::Commit,
    },
    placement::{DomainTags, RosterEntry, Tag},
};

const COUNTED: &str = "capacity is counted";

/// Reserves bytes on a provider, and bond behind them; the caller has checked that both are free.
pub(super) fn reserve(draft: &mut Draft<'_>, mut provider: Provider, bytes: u64, collateral: Amount) {
    provider.used = provider.used.checked_add(bytes).expect(COUNTED);
    provider.collateral = provider.collateral.plus(collateral).expect(COUNTED);
    count(draft, &provider, |stored| stored.checked_add(u128::from(bytes)));
    draft.put_provider(provider);
}

/// Frees the bytes of a live slot on its provider, and the bond behind them.
pub(super) fn free(draft: &mut Draft<'_>, slot: &Slot, bytes: u64) {
    let mut provider = draft.provider(&slot.provider).expect("a provider with slots stays registered");
    provider.used = provider.used.checked_sub(bytes).expect(COUNTED);
    provider.collateral = provider.collateral.minus(slot.collateral).expect(COUNTED);
    count(draft, &provider, |stored| stored.checked_sub(u128::from(bytes)));
    draft.put_provider(provider);
}

fn count(draft: &mut Draft<'_>, provider: &Provider, change: impl Fn(u128) -> Option<u128>) {
    let tag = DomainTags::from(&provider.domain).infrastructure;
    let used = change(draft.infrastructure(&tag).used).expect(COUNTED);
    draft.put_infrastructure(tag, Infrastructure { used });
    let running = draft.running_mut();
    running.stored = change(running.stored).expect(COUNTED);
}

/// Checks, after the bytes were reserved, that no infrastructure stores more than its share of all bytes. An extent
/// that is spread as evenly as the number of infrastructures allows is always accepted: it could not do better.
pub(super) fn check_shares(
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
