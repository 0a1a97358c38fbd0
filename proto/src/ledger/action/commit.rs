//! commit: n drawn providers store the n columns of one extent, for a price locked now.
//!
//! A straight line: form, term, draw and domain rule, money, receipts, capacity, record. Receipts are verified only for
//! a sender that can pay. Every slot's provider must be in the draw. Escrow is locked for all n slots, each at its cap,
//! so that a node that takes over a missing or lost one can be paid.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::{Amount, NodeId},
    ledger::{
        action::{ActionContext, shares},
        collateral::TakeError,
        error::TxError,
        money::{self, Pool},
        pulse::{DrawChance, pulse_height},
        repair,
        rules::price_of_all,
        slots,
        state::{Commitment, DrawIdentity, EpochRecord, Records, Slot, SlotState},
        tx::{Commit, Receipt, SlotClaim},
    },
    limits,
    params::Params,
    placement::{self, Caps, DomainTags, Draw, DrawSeed, RosterEntry, RosterTree},
    sign::{Purpose, verify},
};

/// What a commit draws by: the epoch's record, what it froze, and the caps of the code.
struct DrawBase {
    record: EpochRecord,
    roster: RosterTree,
    caps: Caps,
}

pub(super) fn form(commit: &Commit) -> Result<(), TxError> {
    if !commit.code.is_valid() {
        return Err(TxError::Code(commit.code));
    }
    if commit.slots.len() != usize::from(commit.code.n) {
        return Err(TxError::SlotCount { have: commit.slots.len(), need: commit.code.n });
    }
    if !is_plausible(commit) {
        let Commit { size, column_len, extent, extents, .. } = *commit;
        return Err(TxError::Layout { size, column_len, extent, extents });
    }
    if commit.end > commit.until {
        return Err(TxError::ReceiptEnd { end: commit.end, until: commit.until });
    }
    let mut seen = BTreeSet::new();
    match commit.slots.iter().position(|slot| !seen.insert(slot.provider)) {
        Some(index) => Err(TxError::Duplicate { index, provider: commit.slots[index].provider }),
        None => Ok(()),
    }
}

/// Whether an object of this size could have such an extent. The holders checked the exact layout against the manifest,
/// and the price depends on the column length that they signed.
fn is_plausible(commit: &Commit) -> bool {
    let unit = u64::try_from(limits::CELL_UNIT).expect("a small constant");
    let extents_max = u32::try_from(limits::EXTENTS).expect("a small constant");
    let room = u128::from(commit.extents) * u128::from(commit.code.k) * u128::from(limits::COLUMN);
    let is_last = commit.extents.checked_sub(commit.extent) == Some(1);
    commit.extent < commit.extents
        && commit.extents <= extents_max
        && commit.column_len > 0
        && commit.column_len <= limits::COLUMN
        && commit.column_len.is_multiple_of(unit)
        && (is_last || commit.column_len == limits::COLUMN)
        && u128::from(commit.size) <= room
}

pub(super) fn apply(context: &mut ActionContext<'_, '_>, commit: &Commit) -> Result<(), TxError> {
    let (id, start) = (context.own(commit.object, commit.extent), context.epoch());
    context.check_term(commit.end, start)?;
    if context.draft.commitment(&id).is_some() {
        return Err(TxError::AlreadyCommitted { object: commit.object, extent: commit.extent });
    }
    let base = drawable(context, commit)?;
    let holders = holders(context, commit, &base)?;
    check_caps(commit, &holders)?;
    let cap = price_of_all(commit.column_len, commit.slots.iter().map(|slot| slot.cap));
    let escrow = context.lock_escrow(cap, start, commit.end)?;
    let fund = lock_fund(context, commit)?;
    check_receipts(context, commit, &holders)?;
    let mut made = Commitment {
        id,
        size: commit.size,
        extents: commit.extents,
        code: commit.code,
        column_len: commit.column_len,
        slots: Vec::new(),
        start,
        end: commit.end,
        until: commit.until,
        escrow,
        fund,
        ticket: None,
    };
    for (index, (claim, holder)) in (0..=u8::MAX).zip(commit.slots.iter().zip(&holders)) {
        let slot = begin(context, &made, index, (claim, holder))?;
        made.slots.push(slot);
    }
    shares::check(context, commit, &holders, base.record.roster.infrastructures())?;
    repair::review(&mut made, &context.rules.params, start);
    context.draft.put_commitment(made);
    Ok(())
}

/// Locks what the repair of the columns without a receipt is paid.
fn lock_fund(context: &mut ActionContext<'_, '_>, commit: &Commit) -> Result<Amount, TxError> {
    let each = repair::bounty(&context.rules.params.repair, commit.code, commit.column_len, 1);
    let missing = commit.slots.iter().filter(|slot| slot.receipt.is_none()).count();
    let fund = Amount(each.0.saturating_mul(u64::try_from(missing).expect("at most 255")));
    money::lock(context.draft, &context.account, fund, Pool::Escrow)?;
    Ok(fund)
}

/// The draw's epoch, if draws of it are valid now.
fn drawable(context: &ActionContext<'_, '_>, commit: &Commit) -> Result<DrawBase, TxError> {
    let (Draw { epoch, number }, Params { draws, min_domains, .. }) = (commit.draw, &context.rules.params);
    if number >= *draws {
        return Err(TxError::DrawNumber { given: number, draws: *draws });
    }
    let newest = context.draft.running().clock.drawable().unwrap_or_default();
    let oldest = context.rules.oldest_draw(context.epoch());
    let valid = || {
        let record = context.draft.epoch(epoch).filter(|record| record.beacon.is_some())?;
        Some((record, context.draft.rosters().of(epoch)?.clone()))
    };
    let found = (oldest <= epoch && epoch <= newest).then(valid).flatten();
    let (record, roster) = found.ok_or(TxError::DrawEpoch { given: epoch, oldest, newest })?;
    let caps = Caps::of(&record.roster, commit.code, *min_domains)?;
    Ok(DrawBase { record, roster, caps })
}

/// What this account draws by in this epoch.
fn randomness(
    context: &ActionContext<'_, '_>,
    identity: DrawIdentity,
    record: &EpochRecord,
) -> Result<[u8; 32], TxError> {
    let span = context.rules.params.time.beacon_blocks;
    let chance = DrawChance::of(record.first, identity.since, span);
    chance.read(record, &*context.draft).ok_or_else(|| match chance {
        DrawChance::Beacon => unreachable!("invariant: an epoch is drawn in when its beacon is complete"),
        DrawChance::Pulse(number) => TxError::NoPulse { height: pulse_height(number, span) },
    })
}

/// The roster entries of the slots, in order: all in the draw, and together within the domain rule.
fn holders(context: &ActionContext<'_, '_>, commit: &Commit, base: &DrawBase) -> Result<Vec<RosterEntry>, TxError> {
    let identity = context.draft.account(&context.account).draw_identity(context.account);
    let (randomness, caps) = (randomness(context, identity, &base.record)?, base.caps);
    let seed = DrawSeed { randomness, account: identity.account, draw: commit.draw, extent: commit.extent };
    let drawn = placement::draw(&base.roster, &seed, commit.code, &caps)?;
    let drawn: BTreeMap<NodeId, &RosterEntry> = drawn.into_iter().map(|entry| (entry.provider, entry)).collect();
    let holder = |(index, provider): (usize, NodeId)| {
        drawn.get(&provider).map(|entry| **entry).ok_or(TxError::NotDrawn { index, provider })
    };
    let providers = commit.slots.iter().map(|slot| slot.provider).enumerate();
    let holders: Vec<RosterEntry> = providers.map(holder).collect::<Result<_, _>>()?;
    let domains: Vec<DomainTags> = holders.iter().map(|entry| entry.offer.domain).collect();
    let Caps { operator, infrastructure, region } = caps;
    if caps.holds(&domains) { Ok(holders) } else { Err(TxError::DomainRule { operator, infrastructure, region }) }
}

/// What a slot's provider asks must be within the slot's cap.
fn check_caps(commit: &Commit, holders: &[RosterEntry]) -> Result<(), TxError> {
    let asks = holders.iter().map(|holder| holder.offer.price);
    let mut slots = commit.slots.iter().zip(asks).enumerate();
    match slots.find(|(_, (slot, ask))| slot.cap < *ask) {
        Some((index, (SlotClaim { provider, cap, .. }, ask))) => {
            Err(TxError::Cap { index, provider: *provider, ask, cap: *cap })
        }
        None => Ok(()),
    }
}

/// Every receipt given must be valid, and there must be enough.
fn check_receipts(
    context: &mut ActionContext<'_, '_>,
    commit: &Commit,
    holders: &[RosterEntry],
) -> Result<(), TxError> {
    let have = commit.slots.iter().filter(|slot| slot.receipt.is_some()).count();
    let need = commit.code.receipts_needed();
    if have < usize::from(need) {
        return Err(TxError::TooFewReceipts { have, need });
    }
    context.is_costly = true;
    let of_all = commit.receipt(context.account);
    for (index, (slot, holder)) in commit.slots.iter().zip(holders).enumerate() {
        let of_column = u8::try_from(index).expect("a code has at most 255 columns");
        let receipt = Receipt { index: of_column, ask: holder.offer.price, ..of_all };
        let verifies =
            |signature| verify(&slot.provider, signature, Purpose::Receipt, &context.rules.chain, &receipt).is_ok();
        if !slot.receipt.as_ref().is_none_or(verifies) {
            return Err(TxError::Receipt { index, provider: slot.provider });
        }
    }
    Ok(())
}

/// Begins a slot: where there is a receipt, its provider has the bytes and the bond for it.
fn begin(
    context: &mut ActionContext<'_, '_>,
    commitment: &Commitment,
    index: u8,
    (claim, holder): (&SlotClaim, &RosterEntry),
) -> Result<Slot, TxError> {
    let SlotClaim { provider, column, cap, ref receipt } = *claim;
    let mut slot = Slot {
        provider,
        column,
        since: commitment.start,
        ask: holder.offer.price,
        cap,
        collateral: Amount::ZERO,
        base: 0,
        state: SlotState::Missing,
    };
    if receipt.is_some() {
        slot.collateral = check_provider(context, commitment, index, holder)?;
        slot.state = SlotState::Live;
        slots::begin(context.draft, commitment, index, &mut slot);
    }
    Ok(slot)
}

/// Checks that a slot's provider has the bytes and the bond for it; out comes the bond behind it.
pub(super) fn check_provider(
    context: &ActionContext<'_, '_>,
    commitment: &Commitment,
    index: u8,
    holder: &RosterEntry,
) -> Result<Amount, TxError> {
    let (provider, bonds) = (holder.provider, &context.rules.params.bonds);
    let found = context.draft.provider(&provider).ok_or(TakeError::Gone);
    let collateral = found.and_then(|found| found.collateral_for(bonds, commitment.column_len, &holder.offer));
    collateral.map_err(|reason| TxError::CannotTake { index: usize::from(index), provider, reason })
}
