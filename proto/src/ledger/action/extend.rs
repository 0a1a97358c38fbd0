//! extend: pays for more epochs of what the sender has committed.
//!
//! A holder's receipt says until when it stores the column, and at which price. Beyond that it continues as long as its
//! price on the ledger is no higher, or at the higher price, if the sender agrees to it and the holder has the bond for
//! it. One without stays at its old price.

use crate::ledger::{
    action::{ActionContext, capacity},
    collateral::collateral,
    error::TxError,
    state::{Commitment, Records, Slot, SlotState},
    tx::Extend,
};

pub(super) fn apply(context: &mut ActionContext<'_, '_>, extend: &Extend) -> Result<(), TxError> {
    let Extend { object, extent, end, .. } = *extend;
    let epoch = context.epoch();
    // A commitment past its end only waits to be removed: its holders may have deleted the columns.
    let commitment = context.draft.commitment(&context.own(object, extent)).filter(|commitment| commitment.end > epoch);
    let mut commitment = commitment.ok_or(TxError::NoCommitment { object, extent })?;
    context.check_term(end, commitment.end)?;
    if end > commitment.until {
        raise(context, &mut commitment, extend)?;
    }
    let more = context.lock_escrow(commitment.cap(), commitment.end, end)?;
    let escrow = commitment.escrow.plus(more).expect("money is conserved: an escrow is at most what was minted");
    context.draft.put_commitment(Commitment { end, escrow, ..commitment });
    Ok(())
}

/// Raises the prices of holders that ask for more now than they signed.
fn raise(context: &mut ActionContext<'_, '_>, commitment: &mut Commitment, extend: &Extend) -> Result<(), TxError> {
    let Commitment { until, column_len, ref mut slots, .. } = *commitment;
    for (index, slot) in slots.iter_mut().enumerate().filter(|(_, slot)| slot.state == SlotState::Live) {
        let provider = context.draft.provider(&slot.provider).expect("a provider with slots stays registered");
        let (ask, most) = (provider.price, extend.most);
        if ask <= slot.ask {
            continue;
        }
        if ask > most {
            return Err(TxError::AskRaised { index, provider: slot.provider, ask, most, until });
        }
        let bonds = &context.rules.params.bonds;
        let need = collateral(bonds, column_len, ask).max(slot.collateral);
        let more = need.minus(slot.collateral).expect("it is not less");
        if more <= provider.free_bond(bonds) {
            capacity::reserve(context.draft, provider, 0, more);
            *slot = Slot { ask, cap: slot.cap.max(ask), collateral: need, ..*slot };
        }
    }
    Ok(())
}
