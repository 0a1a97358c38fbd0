//! transfer: pays another account, which begins with it if it does not exist.

use crate::{
    id::Amount,
    ledger::{
        action::ActionContext,
        error::TxError,
        money,
        state::{Key, Records},
        tx::Transfer,
    },
};

pub(super) fn form(transfer: &Transfer) -> Result<(), TxError> {
    if transfer.amount == Amount::ZERO { Err(TxError::ZeroAmount) } else { Ok(()) }
}

pub(super) fn apply(context: &mut ActionContext<'_, '_>, transfer: &Transfer) -> Result<(), TxError> {
    let (to, amount, least) = (transfer.to, transfer.amount, context.rules.params.bonds.account);
    if amount < least && context.draft.get(&Key::Account(to)).is_none() {
        return Err(TxError::AccountMin { to, amount, least });
    }
    money::pay(context.draft, &context.account, &to, amount)
}
