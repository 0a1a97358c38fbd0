//! set-name: sets or removes a name of the sender, if its version is the one given.
//!
//! A version is the nonce of the transaction that set it, plus one, so versions are not reused even after a name was
//! removed: a stale version never overwrites a newer value. A deposit is locked while the name exists.

use crate::{
    id::Amount,
    ledger::{
        action::ActionContext,
        error::TxError,
        money::{self, Pool},
        state::{Key, NameRecord, Records},
        tx::SetName,
    },
    limits,
};

pub(super) fn form(set: &SetName) -> Result<(), TxError> {
    let len = set.value.as_ref().map_or(0, Vec::len);
    if len > limits::NAME_VALUE { Err(TxError::NameValue { len }) } else { Ok(()) }
}

pub(super) fn apply(context: &mut ActionContext<'_, '_>, set: &SetName) -> Result<(), TxError> {
    let before = context.draft.name(&context.account, &set.name);
    let version = before.as_ref().map_or(0, |name| name.version);
    if set.version != version {
        return Err(TxError::NameVersion { given: set.version, version });
    }
    match &set.value {
        Some(value) => {
            let deposit = match before {
                Some(name) => name.deposit,
                None => lock(context)?,
            };
            let version = context.nonce.checked_add(1).expect("nobody can pay for so many transactions");
            context.draft.put_name(context.account, set.name, NameRecord { value: value.clone(), version, deposit });
            Ok(())
        }
        None => {
            let name = before.ok_or(TxError::NoName)?;
            money::unlock(context.draft, &context.account, name.deposit, Pool::Bonds);
            context.draft.remove_owned(&context.account, Key::Name(context.account, set.name));
            Ok(())
        }
    }
}

fn lock(context: &mut ActionContext<'_, '_>) -> Result<Amount, TxError> {
    let deposit = context.rules.params.bonds.name;
    money::lock(context.draft, &context.account, deposit, Pool::Bonds)?;
    context.draft.gain(&context.account);
    Ok(deposit)
}
