//! From receipts to the ledger: as many extents in a transaction as fit, then until the block is where it cannot be
//! lost.
//!
//! Whether a transaction that went wrong was included after all is looked up, so that nothing is paid twice: the ledger
//! accepts an extent of an object once from each account.

use std::collections::BTreeSet;

use futures::future::join_all;
use ostrakon_proto::{
    id::{Amount, ColumnId, Epoch, Height, NodeId},
    ledger::{
        TakeError,
        state::Provider,
        tx::{Commit, SlotClaim, batches},
    },
    placement::RosterEntry,
    sign::Signature,
};

use super::{
    AddError, AddedTerm,
    existing::{extents_of, own_commitments},
    job::Job,
    plan::{Plan, times},
    store::Listing,
    upload::Stored,
};
use crate::{Client, Event, chain::Overtaken};

/// How often an earlier run's transaction is waited for, when the ledger refuses a new one.
const ATTEMPTS: u32 = 4;

/// Commits the extents that `done` does not name, and adds to it what turns out to be on the ledger. `None` when some
/// were already there: all are now.
pub(super) async fn commit(
    job: &Job<'_>,
    listing: &Listing,
    extents: &[Stored],
    done: &mut BTreeSet<u32>,
) -> Result<Option<AddedTerm>, AddError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let open: Vec<&Stored> = extents.iter().filter(|stored| !done.contains(&stored.placing.extent)).collect();
        if open.is_empty() {
            return Ok(None);
        }
        let error = match send(job, listing, &open).await {
            Ok(term) => return Ok(Some(term).filter(|_| done.is_empty())),
            Err(error) => error,
        };
        let Ok(there) = own_commitments(job, listing.object).await else { return Err(error) };
        let there = extents_of(&there);
        let nothing_new = there.is_subset(done);
        if nothing_new && (!job.may_be_pending() || attempts >= ATTEMPTS) {
            return Err(error);
        }
        done.extend(there);
    }
}

/// Gives up the holders that signed and cannot take the column any more, since they left, were suspended or are full by
/// now: says whether there were any. A commit that names one of them is refused.
pub(super) async fn give_up_departed(job: &Job<'_>, extents: &mut [Stored]) -> Result<bool, AddError> {
    let holders = extents.iter().flat_map(Stored::signers).map(|(_, holder)| holder.provider).collect();
    let (mut providers, bonds) = (job.client.chain.providers_now(holders).await?, &job.plan.rules.params.bonds);
    let mut departed = false;
    for stored in extents {
        for (index, holder) in stored.signers().map(|(index, holder)| (index, *holder)).collect::<Vec<_>>() {
            let take = |provider: &mut Provider| {
                let collateral = provider.collateral_for(bonds, stored.column_len, &holder.offer)?;
                // It may be a holder of other extents too.
                provider.used = provider.used.saturating_add(stored.column_len);
                provider.collateral = Amount(provider.collateral.0.saturating_add(collateral.0));
                Ok(())
            };
            let taken = providers.get_mut(&holder.provider).ok_or(TakeError::Gone).and_then(take);
            if let Err(reason) = taken {
                stored.receipts[usize::from(index)] = None;
                job.lose(&mut stored.placing, index, format!("signed, but cannot take the column any more: {reason}"));
                departed = true;
            }
        }
    }
    Ok(departed)
}

async fn send(job: &Job<'_>, listing: &Listing, extents: &[&Stored]) -> Result<AddedTerm, AddError> {
    let chain = &job.client.chain;
    let (head, funds) = chain.recent(job.plan.account).await?;
    // A draw that has expired meanwhile is refused as such, and not for the term.
    let until = extents.iter().map(|stored| job.plan.receipt_end(stored.placing.draw)).min().unwrap_or_default();
    let end = head.epoch.after(job.plan.epochs).min(until);
    let (mut price, mut locked, mut repair) = (Amount::ZERO, Amount::ZERO, Amount::ZERO);
    let mut actions = Vec::new();
    for stored in extents {
        price = price.plus(stored.placing.price(stored.column_len)).ok_or(AddError::Price)?;
        locked = locked.plus(stored.placing.locked(stored.column_len)).ok_or(AddError::Price)?;
        let missing = stored.receipts.iter().filter(|receipt| receipt.is_none()).count();
        repair = repair.plus(job.plan.repair_fund(stored.column_len, missing)).ok_or(AddError::Price)?;
        actions.extend(job.plan.commit_of(action(&job.plan, listing, stored, end)?));
    }
    let price = times(price, job.plan.epochs).ok_or(AddError::Price)?;
    let locked = times(locked, job.plan.epochs).and_then(|locked| locked.plus(repair)).ok_or(AddError::Price)?;
    // The account may have spent its money while the bytes were sent.
    let fee = times(job.plan.commit_fee(), u64::try_from(extents.len()).expect("at most 1,024"));
    job.plan.check_funds(funds.balance, locked, fee.ok_or(AddError::Price)?)?;
    let included = chain.send(job.account, batches(actions), Overtaken::Repeat, job.events).await?;
    let height = included.iter().map(|included| included.height).max().unwrap_or(head.height);
    job.events.tell(Event::Included { height });
    let wanted = usize::from(job.plan.code.spare()) + 1;
    let spread = spread(job.client, extents, (height, wanted)).await;
    job.events.tell(Event::Spread { holders: spread, wanted });
    Ok(AddedTerm { height, end, price, spread, existing: false, renewal: job.plan.renewal })
}

/// What commits an extent until this epoch.
pub(super) fn action(plan: &Plan, listing: &Listing, stored: &Stored, end: Epoch) -> Result<Commit, AddError> {
    let Listing { object, manifest, .. } = listing;
    let need = plan.receipts_needed();
    let names = stored.placing.with_names().ok_or_else(|| Job::too_few(&stored.placing, need))?;
    let cap = stored.placing.cap();
    let claims = names.into_iter().zip(&stored.columns).zip(&stored.receipts);
    let claim = |((named, column), receipt): ((&RosterEntry, &ColumnId), &Option<Signature>)| SlotClaim {
        provider: named.provider,
        column: *column,
        cap,
        receipt: *receipt,
    };
    Ok(Commit {
        object: *object,
        extent: stored.placing.extent,
        extents: manifest.layout().extents(),
        size: manifest.size,
        code: manifest.code,
        column_len: stored.column_len,
        draw: stored.placing.draw,
        slots: claims.map(claim).collect(),
        until: plan.receipt_end(stored.placing.draw),
        end,
    })
}

/// Waits until so many holders of each extent have the block: with one more than may be lost, every k that are left
/// know the object. Returns how many have, of the extent where they are fewest.
pub(super) async fn spread(client: &Client, extents: &[&Stored], (height, wanted): (Height, usize)) -> usize {
    let spreads = extents.iter().map(|stored| async move {
        let holders: Vec<NodeId> = stored.signers().map(|(_, holder)| holder.provider).collect();
        client.chain.spread(height, &holders, wanted.min(holders.len())).await
    });
    join_all(spreads).await.into_iter().min().unwrap_or(0)
}
