//! transfer: pays another account.

use crate::{
    id::Amount,
    ledger::{action::ActionContext, error::TxError, money, tx::Transfer},
};

pub(super) fn form(transfer: &Transfer) -> Result<(), TxError> {
    if transfer.amount == Amount::ZERO { Err(TxError::ZeroAmount) } else { Ok(()) }
}

pub(super) fn apply(context: &mut ActionContext<'_, '_>, transfer: &Transfer) -> Result<(), TxError> {
    money::pay(context.draft, &context.account, &transfer.to, transfer.amount)
}
