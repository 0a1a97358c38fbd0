//! mismatch: who rebuilt columns made others than their owner had named.
//!
//! A column that got no receipt was seen by nobody, so its name may be anything. Rebuilders are drawn, each for some
//! epochs; when several of them made the same other column, the slot is struck: nothing is to be stored there, and its
//! part of the money returns. Nobody is punished, for who is right is not proven.

use std::collections::BTreeSet;

use crate::{
    id::{Amount, ColumnId, NodeId},
    ledger::{
        action::ActionContext,
        error::TxError,
        money::{self, CONSERVED, Pool},
        repair::{self, Hands, RepairError, assignment_at, bounty},
        rules::price_per_epoch,
        slots,
        state::{Commitment, Doubt, Records, SlotState},
        tx::{MadeColumn, Mismatch},
    },
};

/// Rebuilders that have to make the same other column.
const WITNESSES: usize = 3;
/// Reports of one column that are kept; the oldest go.
const REPORTS: usize = 8;

pub(super) fn form(mismatch: &Mismatch) -> Result<(), TxError> {
    let rising = |pair: &[MadeColumn]| pair[0].index < pair[1].index;
    let wrong = mismatch.columns.windows(2).find(|pair| !rising(pair)).map(|pair| pair[1].index);
    match wrong.or(mismatch.columns.is_empty().then_some(0)) {
        Some(index) => Err(RepairError::Columns { index }.into()),
        None => Ok(()),
    }
}

pub(super) fn apply(context: &mut ActionContext<'_, '_>, mismatch: &Mismatch) -> Result<(), TxError> {
    let node = context.own_provider(mismatch.rebuilder)?.node;
    let mut commitment = context.any_running(&mismatch.commitment)?;
    let params = &context.rules.params;
    let assignment = assignment_at(context.draft, params, &commitment, (Hands::Rebuilder, mismatch.draw));
    let assignment = assignment.map_err(RepairError::from)?;
    let rebuilder = assignment.rebuilder;
    if rebuilder != node {
        return Err(RepairError::NotRebuilder { node, rebuilder }.into());
    }
    let mut doubts = context.draft.doubts(&commitment.id);
    for MadeColumn { index, column } in mismatch.columns.iter().copied() {
        if !assignment.columns.contains(&index) {
            return Err(RepairError::Columns { index }.into());
        }
        if commitment.slots[usize::from(index)].column == column {
            return Err(RepairError::NoMismatch { index }.into());
        }
        note(&mut doubts, Doubt { index, rebuilder, column });
        if witnesses(&doubts, index, column) >= WITNESSES {
            doubts.retain(|doubt| doubt.index != index);
            strike(context, &mut commitment, index);
        }
    }
    repair::review(&mut commitment, &context.rules.params, context.epoch());
    context.draft.put_doubts(commitment.id, doubts);
    context.draft.put_commitment(commitment);
    Ok(())
}

/// A rebuilder's word on a column replaces what it said before.
fn note(doubts: &mut Vec<Doubt>, doubt: Doubt) {
    let of_column = |other: &Doubt| other.index == doubt.index;
    doubts.retain(|other| !(of_column(other) && other.rebuilder == doubt.rebuilder));
    if doubts.iter().filter(|other| of_column(other)).count() >= REPORTS
        && let Some(oldest) = doubts.iter().position(of_column)
    {
        doubts.remove(oldest);
    }
    doubts.push(doubt);
}

/// How many rebuilders made this column.
fn witnesses(doubts: &[Doubt], index: u8, column: ColumnId) -> usize {
    let same = doubts.iter().filter(|doubt| (doubt.index, doubt.column) == (index, column));
    same.map(|doubt| doubt.rebuilder).collect::<BTreeSet<NodeId>>().len()
}

/// Nothing is to be stored in this slot any more: its part of the money returns, and its provider owes nothing.
fn strike(context: &mut ActionContext<'_, '_>, commitment: &mut Commitment, index: u8) {
    let Commitment { code, column_len, end, id, .. } = *commitment;
    let left = end.0.saturating_sub(context.epoch().0);
    let slot = &mut commitment.slots[usize::from(index)];
    let of_fund = if slot.state == SlotState::Missing {
        bounty(&context.rules.params.repair, code, column_len, 1).min(commitment.fund)
    } else {
        slots::charge(context.draft, slot, Amount::ZERO)
    };
    let of_escrow = price_per_epoch(column_len, slot.cap).0.saturating_mul(left);
    let of_escrow = Amount(of_escrow).min(commitment.escrow);
    (slot.state, slot.cap) = (SlotState::Struck, Amount::ZERO);
    commitment.fund = commitment.fund.minus(of_fund).expect(CONSERVED);
    commitment.escrow = commitment.escrow.minus(of_escrow).expect(CONSERVED);
    money::unlock(context.draft, &id.owner, of_fund, Pool::Escrow);
    money::unlock(context.draft, &id.owner, of_escrow, Pool::Escrow);
}
