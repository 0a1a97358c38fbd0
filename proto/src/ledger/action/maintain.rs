//! maintain: a provider announces that it will be away, which is no fault then.
//!
//! It is announced before it begins, is short, and comes rarely: nobody can turn a loss or the dropping of data into
//! maintenance afterwards, and an announced one can only be postponed.

use crate::{
    id::Epoch,
    ledger::{
        action::{ActionContext, exit::own},
        error::{MaintenanceError, TxError},
        state::Maintenance,
        tx::Maintain,
    },
};

pub(super) fn apply(context: &mut ActionContext<'_, '_>, maintain: &Maintain) -> Result<(), TxError> {
    let Maintain { node, from, epochs } = *maintain;
    let (mut provider, audits) = (own(context, node)?, context.rules.params.audits);
    let (max, every) = (audits.maintenance_epochs, audits.maintenance_every);
    if !(1..=max).contains(&epochs) {
        return Err(MaintenanceError::Length { epochs, max }.into());
    }
    let next = context.epoch().after(1);
    let earliest = match provider.audited.maintenance {
        Some(planned) if planned.from >= next => planned.from,
        Some(last) => last.from.after(every).max(next),
        None => next,
    };
    let latest = next.after(every);
    if !(earliest..=latest).contains(&from) {
        return Err(MaintenanceError::Begin { from, earliest, latest }.into());
    }
    provider.audited.maintenance = Some(Maintenance { from, until: Epoch(from.0.saturating_add(epochs)) });
    context.draft.put_provider(provider);
    Ok(())
}
