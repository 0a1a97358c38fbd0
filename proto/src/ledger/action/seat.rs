//! join, bond, move and leave: how a validator joins, how its power and its addresses change, and how it leaves.
//!
//! Power follows from the bond in a permissionless network, and is one each in a permissioned one. No infrastructure
//! may have more than its share of it, and the last validator cannot leave.

use std::collections::BTreeMap;

use crate::{
    beacon,
    id::{AccountId, Amount, Epoch, Height, VoteKey},
    ledger::{
        action::{
            ActionContext,
            register::{check_addresses, check_offer, is_weak},
        },
        draft::Draft,
        error::TxError,
        money::{self, Pool},
        rules::{Rules, percent, share_limit},
        state::{Key, Records, Validator, ValidatorStatus},
        tx::{Bond, Join, Leave, Move, Seat},
    },
    limits,
    params::Params,
    sign::{Purpose, verify},
};

/// Checks a validator's keys, addresses and domain.
pub(in crate::ledger) fn check_seat(validator: &Validator) -> Result<(), TxError> {
    check_offer(&validator.node, &validator.addresses, &validator.domain)?;
    if is_weak(&validator.key) {
        return Err(TxError::WeakVoteKey { key: validator.key });
    }
    if validator.beacon_key.is_valid() { Ok(()) } else { Err(TxError::BeaconKey) }
}

/// Checks that a validator's bond is high enough.
pub(in crate::ledger) fn check_bond(params: &Params, validator: &Validator) -> Result<(), TxError> {
    let (least, bond) = (params.bonds.validator, validator.bond);
    if bond < least || validator.power == 0 { Err(TxError::BondTooLow { least, bond }) } else { Ok(()) }
}

/// Checks that no infrastructure has more than its share of the power; names a validator on one that does.
pub(in crate::ledger) fn check_power_shares(params: &Params, all: &[Validator]) -> Result<(), (VoteKey, TxError)> {
    all.iter().try_for_each(|validator| {
        check_power_share(params, all, &validator.domain.infrastructure).map_err(|error| (validator.key, error))
    })
}

fn check_power_share(params: &Params, all: &[Validator], infrastructure: &str) -> Result<(), TxError> {
    let mut powers: BTreeMap<&str, u128> = BTreeMap::new();
    for validator in all.iter().filter(|validator| validator.votes()) {
        *powers.entry(&validator.domain.infrastructure).or_default() += u128::from(validator.power);
    }
    let limit = share_limit(params.governance.max_power_share, powers.len());
    let share = percent(powers.get(infrastructure).copied().unwrap_or(0), powers.values().sum());
    if share > limit { Err(TxError::PowerShare { share, limit }) } else { Ok(()) }
}

pub(super) fn form(rules: &Rules, owner: AccountId, join: &Join) -> Result<(), TxError> {
    check_seat(&validator(owner, join, 0, Height(0)))?;
    let (seat, Join { key, node, .. }) = (seat(owner, join), join);
    verify(node, &join.consent, Purpose::Seat, &rules.chain, &seat).map_err(|_| TxError::Consent { node: *node })?;
    verify(key, &join.vote_consent, Purpose::Seat, &rules.chain, &seat).map_err(|_| TxError::VoteConsent { key: *key })
}

fn seat(owner: AccountId, join: &Join) -> Seat {
    Seat { owner, key: join.key, node: join.node, beacon_key: join.beacon_key }
}

fn validator(owner: AccountId, join: &Join, power: u64, since: Height) -> Validator {
    Validator {
        owner,
        key: join.key,
        node: join.node,
        addresses: join.addresses.clone(),
        beacon_key: join.beacon_key,
        domain: join.domain.clone(),
        bond: join.bond,
        power,
        since,
        status: ValidatorStatus::Active,
        missed: 0,
        skipped_until: Height(0),
    }
}

pub(super) fn join(context: &mut ActionContext<'_, '_>, join: &Join) -> Result<(), TxError> {
    check_key(context, join.key)?;
    let mut all = context.draft.validators();
    let displaced = displaced(context, &all, join)?;
    all.retain(|validator| Some(validator.key) != displaced.as_ref().map(|least| least.key));
    check_own(&all, join)?;
    let power = context.draft.charter().membership.power(join.bond);
    let validator = validator(context.account, join, power, context.draft.height());
    check_bond(&context.rules.params, &validator)?;
    all.push(validator.clone());
    check_power_share(&context.rules.params, &all, &validator.domain.infrastructure)?;
    money::lock(context.draft, &context.account, validator.bond, Pool::Bonds)?;
    check_proof(context, join)?;
    context.draft.gain(&context.account);
    context.draft.put_validator(validator);
    let until = context.unbonded();
    displaced.map_or(Ok(()), |least| retire(context.draft, least, until))
}

/// Checks that the beacon key is the sender's. The costliest check of all, so it comes after the bond is locked.
fn check_proof(context: &mut ActionContext<'_, '_>, join: &Join) -> Result<(), TxError> {
    context.is_costly = true;
    let statement = seat(context.account, join).statement(&context.rules.chain);
    beacon::verify_proof(&join.beacon_key, &join.beacon_proof, &statement).map_err(|_| TxError::BeaconProof)
}

/// Who gives up its seat, where all are taken: the least bonded, where anyone may join, to a larger bond.
fn displaced(context: &ActionContext<'_, '_>, all: &[Validator], join: &Join) -> Result<Option<Validator>, TxError> {
    if all.len() < limits::VALIDATORS {
        return Ok(None);
    }
    let least = all.iter().min_by_key(|validator| (validator.bond, validator.key)).expect("all seats are taken");
    if context.draft.charter().membership.is_open() && join.bond > least.bond {
        Ok(Some(least.clone()))
    } else {
        Err(TxError::Seats { least: least.bond })
    }
}

/// Checks that the key may join, and is not in use.
fn check_key(context: &ActionContext<'_, '_>, key: VoteKey) -> Result<(), TxError> {
    if context.draft.get(&Key::Barred(key)).is_some() {
        return Err(TxError::Barred { key });
    }
    if !context.admits(Key::AdmittedValidator(key)) {
        return Err(TxError::KeyNotAdmitted { key });
    }
    match context.draft.validator(&key).map(|validator| validator.status) {
        None => Ok(()),
        Some(ValidatorStatus::Left { until }) => Err(TxError::Unbonding { until }),
        Some(ValidatorStatus::Removed { .. }) => Err(TxError::Barred { key }),
        Some(ValidatorStatus::Active | ValidatorStatus::Condemned) => Err(TxError::SeatTaken { what: "vote key" }),
    }
}

/// Checks that no other validator has the same node or beacon key.
fn check_own(all: &[Validator], join: &Join) -> Result<(), TxError> {
    if all.iter().any(|validator| validator.node == join.node) {
        return Err(TxError::SeatTaken { what: "node" });
    }
    if all.iter().any(|validator| validator.beacon_key == join.beacon_key) {
        return Err(TxError::SeatTaken { what: "beacon key" });
    }
    Ok(())
}

pub(super) fn form_bond(bond: &Bond) -> Result<(), TxError> {
    if bond.amount == Amount::ZERO { Err(TxError::ZeroAmount) } else { Ok(()) }
}

pub(super) fn bond(context: &mut ActionContext<'_, '_>, bond: &Bond) -> Result<(), TxError> {
    let validator = own(context, bond.key)?;
    if validator.status == ValidatorStatus::Condemned {
        return Err(TxError::Barred { key: bond.key });
    }
    money::lock(context.draft, &context.account, bond.amount, Pool::Bonds)?;
    let bonded = validator.bond.plus(bond.amount).expect("money is conserved: a bond is at most what was minted");
    let power = context.draft.charter().membership.power(bonded);
    let grows = power > validator.power;
    let infrastructure = validator.domain.infrastructure.clone();
    context.draft.put_validator(Validator { bond: bonded, power, ..validator });
    if grows {
        check_power_share(&context.rules.params, &context.draft.validators(), &infrastructure)?;
    }
    Ok(())
}

pub(super) fn form_move(to: &Move) -> Result<(), TxError> {
    check_addresses(&to.addresses)
}

pub(super) fn move_to(context: &mut ActionContext<'_, '_>, to: &Move) -> Result<(), TxError> {
    let validator = own(context, to.key)?;
    context.draft.put_validator(Validator { addresses: to.addresses.clone(), ..validator });
    Ok(())
}

pub(super) fn leave(context: &mut ActionContext<'_, '_>, leave: &Leave) -> Result<(), TxError> {
    let validator = own(context, leave.key)?;
    let until = context.unbonded();
    retire(context.draft, validator, until)
}

/// The sender's validator, if it votes.
fn own(context: &ActionContext<'_, '_>, key: VoteKey) -> Result<Validator, TxError> {
    let validator = context.draft.validator(&key).filter(Validator::votes).ok_or(TxError::NoValidator { key })?;
    let owner = validator.owner;
    if owner == context.account { Ok(validator) } else { Err(TxError::OtherValidator { key, owner }) }
}

/// Ends an active validator, unless it is the last: its bond returns as the epoch `until` begins.
pub(super) fn retire(draft: &mut Draft<'_>, validator: Validator, until: Epoch) -> Result<(), TxError> {
    let key = validator.key;
    if is_last(draft, key) {
        return Err(TxError::LastValidator { key });
    }
    let status = match validator.status {
        ValidatorStatus::Condemned => ValidatorStatus::Removed { until },
        _ => ValidatorStatus::Left { until },
    };
    draft.put_validator(Validator { status, ..validator });
    draft.list_unbonding(until, key);
    Ok(())
}

/// Whether no other validator votes.
pub(super) fn is_last(draft: &Draft<'_>, key: VoteKey) -> bool {
    !draft.validators().iter().any(|validator| validator.key != key)
}
