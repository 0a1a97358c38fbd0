//! drain and withdraw: how a provider leaves; and the return of bonds, of providers and validators.
//!
//! A draining provider accepts nothing new. Once it stores nothing it may withdraw, and its bond stays locked for the
//! unbonding time, as that of a validator that has left.

use crate::{
    id::{Amount, Epoch, NodeId},
    ledger::{
        action::ActionContext,
        draft::Draft,
        error::{ExitError, TxError},
        money::{self, Pool},
        state::{Bonded, Key, Provider, ProviderStatus, Record, Records, ValidatorStatus},
        tx::{Drain, Withdraw},
    },
};

pub(super) fn drain(context: &mut ActionContext<'_, '_>, drain: &Drain) -> Result<(), TxError> {
    let provider = own(context, drain.node)?;
    if provider.status == ProviderStatus::Draining {
        return Err(ExitError::Draining { node: drain.node }.into());
    }
    context.draft.put_provider(Provider { status: ProviderStatus::Draining, ..provider });
    Ok(())
}

pub(super) fn withdraw(context: &mut ActionContext<'_, '_>, withdraw: &Withdraw) -> Result<(), TxError> {
    let (node, provider) = (withdraw.node, own(context, withdraw.node)?);
    if provider.status != ProviderStatus::Draining {
        return Err(ExitError::NotDraining { node }.into());
    }
    // What it had when the epoch began it proves until the epoch ends.
    let used = provider.used.max(provider.frozen_bytes(context.epoch()));
    if used > 0 {
        return Err(ExitError::StillStores { node, used }.into());
    }
    let behind = provider.collateral;
    if behind > Amount::ZERO {
        return Err(ExitError::LossesOpen { node, behind }.into());
    }
    let until = context.unbonded();
    context.draft.put_provider(Provider { status: ProviderStatus::Exited { until }, ..provider });
    Ok(())
}

/// The sender's provider, if it has not withdrawn.
pub(super) fn own(context: &ActionContext<'_, '_>, node: NodeId) -> Result<Provider, TxError> {
    let provider = context.own_provider(node)?;
    match provider.status {
        ProviderStatus::Exited { until } => Err(TxError::Unbonding { until }),
        _ => Ok(provider),
    }
}

/// Returns a bond that is due, and removes its record. The key of a validator that equivocated is barred permanently.
pub(in crate::ledger) fn pay_back(draft: &mut Draft<'_>, until: Epoch, bonded: Bonded) {
    let listed = "the index of unbonding names who has left";
    draft.remove(Key::Unbonding(until, bonded));
    match bonded {
        Bonded::Provider(node) => {
            let provider = draft.provider(&node).expect(listed);
            if draft.rosters().contain(&node) {
                // What these rosters have of it follows from its record: it goes after them.
                let until = draft.running().clock.epoch.after(1);
                return draft.put_provider(Provider { status: ProviderStatus::Exited { until }, ..provider });
            }
            money::unlock(draft, &provider.owner, provider.bond, Pool::Bonds);
            draft.remove_owned(&provider.owner, Key::Provider(node));
        }
        Bonded::Validator(key) => {
            let validator = draft.validator(&key).expect(listed);
            money::unlock(draft, &validator.owner, validator.bond, Pool::Bonds);
            draft.remove_owned(&validator.owner, Key::FormerValidator(key));
            if matches!(validator.status, ValidatorStatus::Removed { .. }) {
                draft.put(Key::Barred(key), Record::Mark);
            }
        }
    }
}
