//! extend: pays for more epochs of a commitment; and how any commitment is prolonged.
//!
//! Anyone may pay. A holder's receipt says until when it stores the column, and at which price. Beyond that it
//! continues as long as its price on the ledger is no higher, or at the higher price, if the owner agrees to it and the
//! holder has the bond for it. One without stays at its old price.

use crate::{
    id::{AccountId, Amount, Epoch},
    ledger::{
        action::{ActionContext, price_of_epochs},
        collateral::collateral,
        draft::Draft,
        error::TxError,
        money::{self, CONSERVED, Pool},
        repair,
        rules::price_of_all,
        slots,
        state::{Commitment, Records, Slot, SlotState},
        tx::Extend,
    },
    params::Params,
};

pub(super) fn apply(context: &mut ActionContext<'_, '_>, extend: &Extend) -> Result<(), TxError> {
    let commitment = context.any_running(&extend.commitment)?;
    context.check_term(extend.end, commitment.end)?;
    let is_owner = commitment.id.owner == context.account;
    let most = if is_owner { extend.most } else { Amount::ZERO };
    prolong(context.draft, &context.rules.params, commitment, (context.account, extend.end, most))
}

/// Prolongs a commitment until `end`: `payer` locks what that may cost.
///
/// # Errors
/// When the payer cannot pay, or a holder asks for more than `most`.
pub(super) fn prolong(
    draft: &mut Draft<'_>,
    params: &Params,
    mut commitment: Commitment,
    (payer, end, most): (AccountId, Epoch, Amount),
) -> Result<(), TxError> {
    let (before, cap, epoch) = (commitment.end, commitment.cap(), draft.running().clock.epoch);
    let is_promised = end <= commitment.until;
    let next = if is_promised { commitment.slots.clone() } else { raised(draft, params, &commitment, most)? };
    let next_cap = price_of_all(commitment.column_len, next.iter().map(|slot| slot.cap));
    // A price that was raised is paid from now on.
    let raised = next_cap.minus(cap).expect("a price that is in force does not fall");
    let (more, risen) = (price_of_epochs(next_cap, before, end), price_of_epochs(raised, epoch, before));
    let locked = Amount(more.0.saturating_add(risen.0));
    money::lock(draft, &payer, locked, Pool::Escrow)?;
    slots::renew(draft, &mut commitment, end, &next);
    commitment.escrow = commitment.escrow.plus(locked).expect(CONSERVED);
    repair::review(&mut commitment, params, epoch);
    draft.put_commitment(commitment);
    Ok(())
}

/// The slots, with the prices of holders that ask for more now than they signed.
fn raised(draft: &Draft<'_>, params: &Params, commitment: &Commitment, most: Amount) -> Result<Vec<Slot>, TxError> {
    let Commitment { until, column_len, ref slots, .. } = *commitment;
    let raised = |(index, slot): (usize, &Slot)| {
        if slot.state != SlotState::Live {
            return Ok(*slot);
        }
        let provider = draft.provider(&slot.provider).expect("a provider with slots stays registered");
        let ask = provider.price;
        if ask <= slot.ask {
            return Ok(*slot);
        }
        if ask > most {
            return Err(TxError::AskRaised { index, provider: slot.provider, ask, most, until });
        }
        let need = collateral(&params.bonds, column_len, ask).max(slot.collateral);
        let more = need.minus(slot.collateral).expect("it is not less");
        let has_bond = more <= provider.free_bond(&params.bonds);
        Ok(if has_bond { Slot { ask, cap: slot.cap.max(ask), collateral: need, ..*slot } } else { *slot })
    };
    slots.iter().enumerate().map(raised).collect()
}
