//! extend: pays for more epochs of what the sender has committed.
//!
//! A holder's receipt says until when it stores the column, and at which price. Beyond that it continues as long as its
//! price on the ledger is no higher, or at the higher price, if the sender agrees to it and the holder has the bond for
//! it. One without stays at its old price.

use crate::ledger::{
    action::ActionContext,
    collateral::collateral,
    error::TxError,
    money::CONSERVED,
    repair, slots,
    state::{Commitment, Records, Slot, SlotState},
    tx::Extend,
};

pub(super) fn apply(context: &mut ActionContext<'_, '_>, extend: &Extend) -> Result<(), TxError> {
    let (Extend { object, extent, end, .. }, epoch) = (*extend, context.epoch());
    let mut commitment = context.running(object, extent).ok_or(TxError::NoCommitment { object, extent })?;
    let (before, cap) = (commitment.end, commitment.cap());
    context.check_term(end, before)?;
    let next = if end > commitment.until { raised(context, &commitment, extend)? } else { commitment.slots.clone() };
    slots::renew(context.draft, &mut commitment, end, &next);
    // A price that was raised is paid from now on.
    let raised = commitment.cap().minus(cap).expect("a price that is in force does not fall");
    for locked in [context.lock_escrow(commitment.cap(), before, end)?, context.lock_escrow(raised, epoch, before)?] {
        commitment.escrow = commitment.escrow.plus(locked).expect(CONSERVED);
    }
    repair::review(&mut commitment, &context.rules.params, epoch);
    context.draft.put_commitment(commitment);
    Ok(())
}

/// The slots, with the prices of holders that ask for more now than they signed.
fn raised(context: &ActionContext<'_, '_>, commitment: &Commitment, extend: &Extend) -> Result<Vec<Slot>, TxError> {
    let Commitment { until, column_len, ref slots, .. } = *commitment;
    let raised = |(index, slot): (usize, &Slot)| {
        if slot.state != SlotState::Live {
            return Ok(*slot);
        }
        let provider = context.draft.provider(&slot.provider).expect("a provider with slots stays registered");
        let (ask, most) = (provider.price, extend.most);
        if ask <= slot.ask {
            return Ok(*slot);
        }
        if ask > most {
            return Err(TxError::AskRaised { index, provider: slot.provider, ask, most, until });
        }
        let bonds = &context.rules.params.bonds;
        let need = collateral(bonds, column_len, ask).max(slot.collateral);
        let more = need.minus(slot.collateral).expect("it is not less");
        let has_bond = more <= provider.free_bond(bonds);
        Ok(if has_bond { Slot { ask, cap: slot.cap.max(ask), collateral: need, ..*slot } } else { *slot })
    };
    slots.iter().enumerate().map(raised).collect()
}
