//! set-renewal: a commitment of the sender is renewed by the ledger itself when it would end, or not any more; and how
//! that is done.
//!
//! So an object lasts while its owner's account can pay, with every client asleep. The owner says for how many epochs
//! each time, and what a holder may ask at most. A renewal costs the base fee of a transaction, for it is as much work.
//! Where the account cannot pay, or a holder asks too much, nothing is renewed or charged, and the commitment ends.

use crate::{
    id::Epoch,
    ledger::{
        action::{ActionContext, extend::prolong},
        draft::Draft,
        error::TxError,
        money::{self, Pool},
        state::{Commitment, Records, Renewal},
        tx::SetRenewal,
    },
    params::Params,
};

pub(super) fn apply(context: &mut ActionContext<'_, '_>, set: &SetRenewal) -> Result<(), TxError> {
    let SetRenewal { object, extent, renewal } = *set;
    let commitment = context.running(object, extent).ok_or(TxError::NoCommitment { object, extent })?;
    let max = context.rules.params.term_epochs;
    if let Some(Renewal { epochs, .. }) = renewal
        && !(1..=max).contains(&epochs)
    {
        return Err(TxError::RenewalTerm { epochs, max });
    }
    context.draft.put_renewal(commitment.id, renewal);
    Ok(())
}

/// Renews a commitment that would end now, if its owner wants that and can pay; out comes whether it did.
pub(in crate::ledger) fn renew(draft: &mut Draft<'_>, params: &Params, commitment: &Commitment) -> bool {
    let Some(Renewal { epochs, most }) = draft.renewal(&commitment.id) else { return false };
    let (owner, epoch): (_, Epoch) = (commitment.id.owner, draft.running().clock.epoch);
    let end = commitment.end.after(epochs).min(epoch.after(params.term_epochs));
    if end <= epoch {
        return false;
    }
    draft.begin();
    let paid = money::lock(draft, &owner, params.fees.base, Pool::Burnt);
    let done = paid.and_then(|()| prolong(draft, params, commitment.clone(), (owner, end, most)));
    if done.is_ok() {
        draft.commit()
    } else {
        draft.rollback()
    }
    done.is_ok()
}
