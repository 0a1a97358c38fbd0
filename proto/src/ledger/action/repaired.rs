//! repaired: columns of a commitment that nobody stored are stored again, or moved off a provider that leaves.
//!
//! A straight line: form, who hands out, which columns, to whom, domain rule, receipts, and then for each column: who
//! made it necessary pays, its new provider has the bytes and the bond for it, and the slot begins. All receipts are of
//! the columns that the commitment has named from the beginning: so nobody has to be trusted with what was rebuilt.

use std::collections::BTreeSet;

use crate::{
    id::{AccountId, Amount, NodeId},
    ledger::{
        action::{ActionContext, commit::check_provider},
        collateral::TakeError,
        error::TxError,
        losses,
        money::{self, CONSERVED, Pool},
        repair::{self, Assignment, Hands, RepairError, assignment_at, bounty, bounty_of_target},
        slots,
        state::{Commitment, ProviderStatus, Records, Slot, SlotState},
        tx::{Receipt, Repaired, RepairedSlot},
    },
    placement::{DomainTags, RosterEntry},
    sign::{Purpose, verify},
};

pub(super) fn form(repaired: &Repaired) -> Result<(), TxError> {
    let indexes: Vec<u8> = repaired.slots.iter().map(|slot| slot.index).collect();
    let wrong = indexes.windows(2).find(|pair| pair[0] >= pair[1]).map(|pair| pair[1]);
    match wrong.or(indexes.is_empty().then_some(0)) {
        Some(index) => Err(RepairError::Columns { index }.into()),
        None => Ok(()),
    }
}

pub(super) fn apply(context: &mut ActionContext<'_, '_>, repaired: &Repaired) -> Result<(), TxError> {
    let rebuilder = context.own_provider(repaired.rebuilder)?;
    let mut commitment = context.any_running(&repaired.commitment)?;
    let is_leaving = rebuilder.status == ProviderStatus::Draining
        && repaired.slots.iter().all(|slot| holds(&commitment, slot.index, rebuilder.node));
    let hands = if is_leaving { Hands::Leaving(rebuilder.node) } else { Hands::Rebuilder };
    let params = context.rules.params.clone();
    let assignment = assignment_at(context.draft, &params, &commitment, (hands, repaired.draw));
    let assignment = assignment.map_err(RepairError::from)?;
    let targets = targets(repaired, &assignment)?;
    check_receipts(context, repaired, (&commitment, &assignment), &targets)?;
    let bounty = bounty(&params.repair, commitment.code, commitment.column_len, targets.len());
    for (slot, target) in repaired.slots.iter().zip(&targets) {
        let index = slot.index;
        let owner = context.draft.provider(&target.provider).map(|provider| provider.owner);
        let owner = owner.ok_or(TxError::CannotTake {
            index: usize::from(index),
            provider: target.provider,
            reason: TakeError::Gone,
        })?;
        match hands {
            Hands::Leaving(_) => move_off(context, &mut commitment, index, &owner),
            Hands::Rebuilder => {
                losses::forfeit(context.draft, &params, &mut commitment, index);
                pay(context, &mut commitment, bounty, (&owner, &rebuilder.owner));
            }
        }
        begin(context, &mut commitment, index, target)?;
    }
    let mut doubts = context.draft.doubts(&commitment.id);
    if !doubts.is_empty() {
        doubts.retain(|doubt| repaired.slots.iter().all(|slot| slot.index != doubt.index));
        context.draft.put_doubts(commitment.id, doubts);
    }
    repair::review(&mut commitment, &params, context.epoch());
    context.draft.put_commitment(commitment);
    Ok(())
}

/// Whether the provider stores this column by the ledger.
fn holds(commitment: &Commitment, index: u8, node: NodeId) -> bool {
    let slot = commitment.slots.get(usize::from(index));
    slot.is_some_and(|slot| slot.state == SlotState::Live && slot.provider == node)
}

/// Who stores each column now: all drawn for this repair, each with one, and together within the domain rule.
fn targets(repaired: &Repaired, assignment: &Assignment) -> Result<Vec<RosterEntry>, RepairError> {
    let (node, rebuilder) = (repaired.rebuilder, assignment.rebuilder);
    if assignment.rank(node).is_none() {
        return Err(RepairError::NotRebuilder { node, rebuilder });
    }
    let mut seen = BTreeSet::new();
    let target = |slot: &RepairedSlot| {
        let RepairedSlot { index, provider, .. } = *slot;
        if !assignment.columns.contains(&index) {
            return Err(RepairError::Columns { index });
        }
        let drawn = assignment.targets.iter().find(|target| target.provider == provider);
        drawn.filter(|_| seen.insert(provider)).copied().ok_or(RepairError::NotTarget { index, provider })
    };
    let targets: Vec<RosterEntry> = repaired.slots.iter().map(target).collect::<Result<_, _>>()?;
    let domains: Vec<DomainTags> = targets.iter().map(|target| target.offer.domain).collect();
    if assignment.admits(&domains) { Ok(targets) } else { Err(RepairError::DomainRule) }
}

/// Every receipt must be valid.
fn check_receipts(
    context: &mut ActionContext<'_, '_>,
    repaired: &Repaired,
    (commitment, assignment): (&Commitment, &Assignment),
    targets: &[RosterEntry],
) -> Result<(), TxError> {
    context.is_costly = true;
    let of_all = commitment.receipt(assignment.draw);
    for (slot, target) in repaired.slots.iter().zip(targets) {
        let receipt = Receipt { index: slot.index, ask: target.offer.price, ..of_all };
        verify(&slot.provider, &slot.receipt, Purpose::Receipt, &context.rules.chain, &receipt)
            .map_err(|_| TxError::Receipt { index: usize::from(slot.index), provider: slot.provider })?;
    }
    Ok(())
}

/// A column leaves a provider that is draining, which pays who takes it.
fn move_off(context: &mut ActionContext<'_, '_>, commitment: &mut Commitment, index: u8, to: &AccountId) {
    slots::detach(context.draft, commitment, index);
    let slot = &mut commitment.slots[usize::from(index)];
    let wanted = bounty_of_target(&context.rules.params.repair, commitment.column_len);
    let taken = slots::charge(context.draft, slot, wanted);
    money::unlock(context.draft, to, taken, Pool::Escrow);
}

/// Pays the bounty of a column from the commitment's fund: to who stores it, and the rest to who rebuilt it.
fn pay(
    context: &mut ActionContext<'_, '_>,
    commitment: &mut Commitment,
    bounty: Amount,
    (target, rebuilder): (&AccountId, &AccountId),
) {
    let bounty = bounty.min(commitment.fund);
    commitment.fund = commitment.fund.minus(bounty).expect(CONSERVED);
    let stored = bounty_of_target(&context.rules.params.repair, commitment.column_len).min(bounty);
    money::unlock(context.draft, target, stored, Pool::Escrow);
    money::unlock(context.draft, rebuilder, bounty.minus(stored).expect("a part of it"), Pool::Escrow);
}

/// The column's slot begins at its new provider.
fn begin(
    context: &mut ActionContext<'_, '_>,
    commitment: &mut Commitment,
    index: u8,
    target: &RosterEntry,
) -> Result<(), TxError> {
    let before = commitment.slots[usize::from(index)];
    let collateral = check_provider(context, commitment, index, target)?;
    let (provider, ask) = (target.provider, target.offer.price);
    let mut slot = Slot { provider, ask, collateral, state: SlotState::Live, ..before };
    slots::begin(context.draft, commitment, index, &mut slot);
    commitment.slots[usize::from(index)] = slot;
    Ok(())
}
