//! What the ledger has of an object already: of an earlier add of the same bytes, or of an earlier run of this one.

use std::collections::BTreeSet;

use ostrakon_proto::{
    id::{Amount, Height, NodeId, ObjectId},
    layout::Layout,
    ledger::{
        state::{Commitment, CommitmentId, SlotState},
        tx::{Action, Extend, SetRenewal, batches},
    },
};

use super::{AddError, Added, AddedSlot, AddedTerm, job::Job, store::added};
use crate::chain::{ChainError, Overtaken};

/// Which add committed it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Earlier {
    /// Another add: nothing was paid for this one.
    Add,
    /// This add, before it was interrupted.
    Run,
}

/// What this account has committed of the object.
pub(super) async fn own_commitments(job: &Job<'_>, object: ObjectId) -> Result<Vec<Commitment>, AddError> {
    match job.client.chain.object(object).await {
        Ok(all) => Ok(all.into_iter().filter(|commitment| commitment.id.owner == job.plan.account).collect()),
        Err(ChainError::NoObject { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The extents that these commit.
pub(super) fn extents_of(commitments: &[Commitment]) -> BTreeSet<u32> {
    commitments.iter().map(|commitment| commitment.id.extent).collect()
}

/// Whether these commit every extent of the object.
pub(super) fn is_whole(commitments: &[Commitment], layout: &Layout) -> bool {
    let have = extents_of(commitments);
    (0..layout.extents()).all(|extent| have.contains(&extent))
}

/// These commitments of another add, of which those that end with the epoch in progress, as released ones do, are paid
/// for as long as this add wants.
pub(super) async fn prolonged(
    job: &Job<'_>,
    object: ObjectId,
    commitments: Vec<Commitment>,
) -> Result<Vec<Commitment>, AddError> {
    let chain = &job.client.chain;
    let epoch = chain.recent(job.plan.account).await?.0.epoch;
    let ending = commitments.iter().filter(|commitment| commitment.end <= epoch.after(1));
    let (end, most) = (epoch.after(job.plan.epochs), Amount::ZERO);
    let extend = |commitment: &Commitment| {
        Action::Extend(Extend { commitment: commitment.id, end: end.min(commitment.until), most })
    };
    let extend: Vec<Action> = ending.filter(|commitment| commitment.end < commitment.until).map(extend).collect();
    if extend.is_empty() {
        return Ok(commitments);
    }
    chain.send(job.account, batches(extend), Overtaken::Repeat, job.events).await?;
    own_commitments(job, object).await
}

/// Has the ledger renew these commitments as this add wants, where it does not already.
async fn renewing(job: &Job<'_>, commitments: &[Commitment]) -> Result<(), AddError> {
    let renewal = job.plan.renewal;
    if renewal.is_none() {
        return Ok(());
    }
    let ids: Vec<CommitmentId> = commitments.iter().map(|commitment| commitment.id).collect();
    let known = job.client.chain.renewals(&ids).await?;
    let other = ids.iter().zip(known).filter(|(_, known)| *known != renewal);
    let set =
        |(id, _): (&CommitmentId, _)| Action::SetRenewal(SetRenewal { object: id.object, extent: id.extent, renewal });
    let set: Vec<Action> = other.map(set).collect();
    job.client.chain.send(job.account, batches(set), Overtaken::Repeat, job.events).await?;
    Ok(())
}

/// The object as the ledger has it, all of whose extents `commitments` are, renewed by the ledger where this add wants
/// that. What this add committed itself is also waited for, until its blocks are where they cannot be lost.
pub(super) async fn found(
    job: &Job<'_>,
    (object, layout): (ObjectId, &Layout),
    commitments: &[Commitment],
    earlier: Earlier,
) -> Result<Added, AddError> {
    renewing(job, commitments).await?;
    let holders: Vec<NodeId> =
        commitments.iter().flat_map(|commitment| &commitment.slots).map(|slot| slot.provider).collect();
    let providers = job.client.chain.providers(&holders).await?;
    let slots = commitments.iter().flat_map(|commitment| {
        let providers = &providers;
        (0..=u8::MAX).zip(&commitment.slots).filter_map(move |(index, slot)| {
            let domain = providers.get(&slot.provider)?.domain.clone();
            let (extent, stored) = (commitment.id.extent, slot.state == SlotState::Live);
            Some(AddedSlot { extent, index, provider: slot.provider, domain, column: slot.column, stored })
        })
    });
    let mut slots: Vec<AddedSlot> = slots.collect();
    slots.sort_by_key(|slot| (slot.extent, slot.index));
    let (height, price, spread) = match earlier {
        Earlier::Add => (job.client.chain.head().await?.height, Amount::ZERO, 0),
        Earlier::Run => {
            let height = newest(job).await?;
            (height, price(commitments), spread(job, commitments, height).await)
        }
    };
    let end = commitments.iter().map(|commitment| commitment.end).min().unwrap_or_default();
    let term = AddedTerm { height, end, price, spread, existing: earlier == Earlier::Add, renewal: job.plan.renewal };
    Ok(added(job, (object, layout), slots, term))
}

/// The highest tip of any node: what any of them answered is in a block at or below it.
async fn newest(job: &Job<'_>) -> Result<Height, AddError> {
    let heights = job.client.chain.heights().await;
    match heights.into_iter().map(|(_, height)| height).max() {
        Some(height) => Ok(height),
        None => Ok(job.client.chain.head().await?.height),
    }
}

/// What these cost from their start to their end.
fn price(commitments: &[Commitment]) -> Amount {
    let each = commitments.iter().filter_map(|commitment| {
        let epochs = commitment.end.0.saturating_sub(commitment.start.0);
        commitment.price().0.checked_mul(epochs).map(Amount)
    });
    each.fold(Amount::ZERO, |sum, price| sum.plus(price).unwrap_or(sum))
}

/// As after a commit: waits until so many holders have the blocks that every k of them that are left know the object.
async fn spread(job: &Job<'_>, commitments: &[Commitment], height: Height) -> usize {
    let wanted = usize::from(job.plan.code.spare()) + 1;
    let spreads = commitments.iter().map(|commitment| async move {
        let live = commitment.slots.iter().filter(|slot| slot.state == SlotState::Live);
        let holders: Vec<NodeId> = live.map(|slot| slot.provider).collect();
        job.client.chain.spread(height, &holders, wanted.min(holders.len())).await
    });
    let spreads = futures::future::join_all(spreads).await;
    spreads.into_iter().min().unwrap_or(0)
}
