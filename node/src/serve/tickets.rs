//! What a ticket of a repair lets its bearer do here: read columns of the commitment, and store those that it lost
//! (ARCHITECTURE 5.9).
//!
//! In come who asks, as the connection authenticates it, and a ticket; by the ledger alone follows whether it was
//! drawn. To find that costs a draw: so only providers are asked about, and who may read is remembered for the epoch.
//! Not here: uploads ([`super::put`]) and reads ([`super::get`]) themselves.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use ostrakon_net::lock;
use ostrakon_proto::{
    id::{ColumnId, Epoch, NodeId},
    ledger::{
        Rules,
        repair::{Assignment, Hands, RepairBlock, assignment_at},
        state::{Commitment, CommitmentId, ProviderStatus, Records},
    },
    wire::{
        Refusal,
        RefusalCode::{Busy, Denied, NotFound},
        get::RepairTicket,
        put::{Open, OpenRepair},
    },
};

use super::Serve;

/// The most readers that are remembered.
const READERS: usize = 64;

/// What an upload under a ticket is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticketed {
    /// The commitment.
    pub(crate) commitment: CommitmentId,
    /// The column, which the commitment names.
    pub(crate) column: ColumnId,
}

/// Who may read columns of which commitments, as of an epoch.
#[derive(Debug, Default)]
pub(super) struct Readers {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    epoch: Epoch,
    columns: BTreeMap<(NodeId, RepairTicket), Arc<[ColumnId]>>,
}

impl Readers {
    fn find(&self, reader: &(NodeId, RepairTicket), epoch: Epoch) -> Option<Arc<[ColumnId]>> {
        let known = lock(&self.known);
        known.columns.get(reader).filter(|_| known.epoch == epoch).cloned()
    }

    fn note(&self, reader: (NodeId, RepairTicket), epoch: Epoch, columns: Arc<[ColumnId]>) {
        let mut known = lock(&self.known);
        if known.epoch != epoch {
            *known = Known { epoch, ..Known::default() };
        }
        if known.columns.len() >= READERS {
            known.columns.pop_first();
        }
        known.columns.insert(reader, columns);
    }
}

impl Serve {
    /// Checks that `from` may read this column by its ticket.
    pub(super) async fn check_reader(
        &self,
        from: NodeId,
        ticket: RepairTicket,
        column: ColumnId,
    ) -> Result<(), Refusal> {
        let (reader, epoch) = ((from, ticket), self.parts.chain.head().epoch);
        let columns = match self.readers.find(&reader, epoch) {
            Some(columns) => columns,
            None => {
                let rules = self.parts.chain.rules();
                let look = move |records: &dyn Records| assigned(&rules, records, reader, false);
                let (commitment, _) = self.parts.chain.read(look).await?;
                let columns: Arc<[ColumnId]> = commitment.slots.iter().map(|slot| slot.column).collect();
                self.readers.note(reader, epoch, Arc::clone(&columns));
                columns
            }
        };
        match columns.contains(&column) {
            true => Ok(()),
            false => Err(Refusal::new(Denied, format!("column {column} is not one of the ticket's commitment"))),
        }
    }
}

/// What `node` is to store when `from` opens this upload: as an account's request would have it, and which column.
pub(crate) fn opening(
    rules: &Rules,
    records: &dyn Records,
    (from, node): (NodeId, NodeId),
    asked: &OpenRepair,
) -> Result<(Open, Ticketed), Refusal> {
    let OpenRepair { upload, ticket, index, leaving } = *asked;
    let (commitment, assignment) = assigned(rules, records, (from, ticket), leaving)?;
    let Some(slot) = commitment.slots.get(usize::from(index)).filter(|_| assignment.columns.contains(&index)) else {
        return Err(Refusal::new(Denied, format!("column {index} is not one that this repair hands out")));
    };
    let target = assignment.targets.iter().find(|target| target.provider == node);
    let target = target.ok_or_else(|| {
        Refusal::new(Denied, format!("node {node} was not drawn to take a column of this repair; use another node"))
    })?;
    let CommitmentId { owner: account, extent, .. } = commitment.id;
    let open = Open {
        upload,
        holder: node,
        account,
        draw: assignment.draw,
        extent,
        index,
        code: commitment.code,
        reserve: commitment.column_len,
        ask: target.offer.price,
        until: commitment.until,
    };
    Ok((open, Ticketed { commitment: commitment.id, column: slot.column }))
}

/// The repair that a ticket is of, if `from` does it.
fn assigned(
    rules: &Rules,
    records: &dyn Records,
    (from, ticket): (NodeId, RepairTicket),
    leaving: bool,
) -> Result<(Commitment, Assignment), Refusal> {
    // Before a draw is made for it.
    let provider = records.provider(&from).filter(|provider| !leaving || provider.status == ProviderStatus::Draining);
    if provider.is_none() {
        let what = if leaving { "a provider that is draining" } else { "a provider" };
        return Err(Refusal::new(Denied, format!("node {from} is not {what} by this node's ledger")));
    }
    let commitment = records.commitment(&ticket.commitment);
    let commitment = commitment.ok_or_else(|| Refusal::new(NotFound, "no such commitment in this node's ledger"))?;
    let hands = if leaving { Hands::Leaving(from) } else { Hands::Rebuilder };
    let assignment = assignment_at(records, &rules.params, &commitment, (hands, ticket.draw)).map_err(refuse)?;
    if assignment.rank(from).is_none() {
        let rebuilder = assignment.rebuilder;
        let reason = format!("node {from} does not repair this commitment by the draw of that epoch: {rebuilder} does");
        return Err(Refusal::new(Denied, reason));
    }
    Ok((commitment, assignment))
}

fn refuse(block: RepairBlock) -> Refusal {
    let code = match block {
        // This node may be a block behind.
        RepairBlock::NoBeacon(_) | RepairBlock::NoTicket => Busy,
        RepairBlock::OtherTurn { given, current } if given > current => Busy,
        _ => Denied,
    };
    Refusal::new(code, block)
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::id::{AccountId, ObjectId};

    use super::*;

    #[test]
    fn readers_are_remembered_for_an_epoch_and_few_of_them() {
        let readers = Readers::default();
        let reader = |number: usize| {
            let node = NodeId::new(*blake3::hash(&number.to_be_bytes()).as_bytes());
            let commitment = CommitmentId { object: ObjectId::LEAST, extent: 0, owner: AccountId::LEAST };
            (node, RepairTicket { commitment, draw: Epoch(3) })
        };
        (0..2 * READERS).for_each(|number| readers.note(reader(number), Epoch(4), Arc::new([])));
        let found = |epoch| (0..2 * READERS).filter(|number| readers.find(&reader(*number), epoch).is_some()).count();
        assert_eq!((found(Epoch(4)), found(Epoch(5)), found(Epoch(3))), (READERS, 0, 0));
        readers.note(reader(0), Epoch(5), Arc::new([]));
        assert_eq!((found(Epoch(4)), found(Epoch(5))), (0, 1));
    }
}
