//! draw-as: the sender draws holders as another account, which permits it, or as itself again.

use crate::{
    id::AccountId,
    ledger::{
        action::ActionContext,
        error::TxError,
        rules::Rules,
        state::{DrawIdentity, Key, Record, Records},
        tx::DrawAs,
    },
    sign::{Purpose, verify},
};

pub(super) fn form(rules: &Rules, sender: AccountId, draw_as: &DrawAs) -> Result<(), TxError> {
    draw_as.permission.map_or(Ok(()), |permission| {
        verify(&permission.account, &permission.signature, Purpose::DrawAs, &rules.chain, &sender)
            .map_err(|_| TxError::DrawPermission { account: permission.account })
    })
}

/// What the other account draws by is recorded as it is now: so its end, or a permission that it has itself, changes
/// nothing, and a draw needs the sender's record alone.
pub(super) fn apply(context: &mut ActionContext<'_, '_>, draw_as: &DrawAs) -> Result<(), TxError> {
    let identity = |account| match context.draft.get(&Key::Account(account)) {
        Some(Record::Account(found)) => Ok(DrawIdentity { account, since: found.since }),
        _ => Err(TxError::NoDrawAccount { account }),
    };
    let draws_as = draw_as.permission.map(|permission| identity(permission.account)).transpose()?;
    context.draft.account_mut(&context.account).draws_as = draws_as;
    Ok(())
}
