//! A validator's seat: what it may say of itself.

use crate::{
    ledger::{
        action::register::{check_offer, is_weak},
        error::TxError,
        state::Validator,
    },
    params::Params,
};

/// Checks what a validator says of itself.
pub(in crate::ledger) fn check_seat(params: &Params, validator: &Validator) -> Result<(), TxError> {
    check_offer(&validator.node, &validator.addresses, &validator.domain)?;
    if is_weak(&validator.key) {
        return Err(TxError::WeakVoteKey { key: validator.key });
    }
    if !validator.beacon_key.is_valid() {
        return Err(TxError::BeaconKey);
    }
    let (least, bond) = (params.validator_bond, validator.bond);
    if bond < least || validator.power == 0 { Err(TxError::BondTooLow { least, bond }) } else { Ok(()) }
}
