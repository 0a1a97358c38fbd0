//! What a block does before its transactions: epochs begin, commitments and proposals end, and bonds return.
//!
//! An epoch's roster is frozen from the state before the block that begins it; its beacon also takes that block's own
//! signature. So a provider is offered, priced or moved before the randomness is known that draws with it.

use crate::{
    beacon::BeaconSignature,
    id::{ChainId, Epoch},
    ledger::{
        action,
        draft::Draft,
        rules::Rules,
        state::{Key, Provider, ProviderStatus, Records, RosterEntry},
    },
    limits,
};

/// Begins a block; returns the roster when the block begins an epoch.
pub(super) fn begin(draft: &mut Draft<'_>, rules: &Rules) -> Option<Vec<RosterEntry>> {
    let epoch = rules.epoch_of(draft.height());
    let turned = epoch > draft.running().epoch;
    draft.running_mut().epoch = epoch;
    if turned {
        forget(draft, rules, epoch);
    }
    // Before anything ends, so that the roster is what the last block left.
    let roster = turned.then(|| roster(&draft.providers()));
    end_commitments(draft, epoch);
    if turned {
        action::expire(draft, epoch);
    }
    for (until, bonded) in draft.unbonding(epoch, limits::UNBONDINGS) {
        action::pay_back(draft, until, bonded);
    }
    roster
}

/// Removes the epochs whose draws have expired: one, or more when `draw_epochs` was lowered.
fn forget(draft: &mut Draft<'_>, rules: &Rules, epoch: Epoch) {
    let Some(old) = epoch.0.checked_sub(rules.params.draw_epochs) else { return };
    for (key, _) in draft.scan(&Key::Epoch(Epoch(0)), &Key::Epoch(Epoch(old)), limits::EPOCH_REMOVALS) {
        draft.remove(key);
    }
}

/// Ends expired commitments; those over the bound wait for the next block.
fn end_commitments(draft: &mut Draft<'_>, epoch: Epoch) {
    for id in draft.ending(epoch, limits::ENDINGS) {
        let commitment = draft.commitment(&id).expect("the index by end names commitments that exist");
        action::close(draft, &commitment);
    }
}

/// The providers that can be drawn, in the order of node ids.
pub(super) fn roster(providers: &[Provider]) -> Vec<RosterEntry> {
    let candidates =
        providers.iter().filter(|provider| provider.status == ProviderStatus::Active).map(|provider| RosterEntry {
            provider: provider.node,
            domain: provider.domain.clone(),
            weight: provider.capacity.saturating_sub(provider.used),
            price: provider.price,
        });
    candidates.filter(|candidate| candidate.weight > 0).collect()
}

/// The epoch's beacon, from the proposers' signatures of the last heights (ARCHITECTURE 5.5).
pub(super) fn beacon(chain: &ChainId, signatures: &[BeaconSignature], epoch: Epoch) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("ostrakon epoch beacon 2");
    hasher.update(chain.bytes()).update(&epoch.0.to_le_bytes());
    for signature in signatures {
        hasher.update(&signature.0);
    }
    hasher.finalize().into()
}
