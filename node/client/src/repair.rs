//! Repairs: what is to be repaired, who rebuilds it, and what blocks it.
//!
//! In goes an object, or nothing; out come open repairs. What is to be repaired of an object is proven. Who rebuilds
//! it, and what a repair waits for, is one node's word, and so is the list of all repairs of the network: nothing
//! depends on it. Nodes do the work.

use futures::{StreamExt, TryStreamExt, stream};
use ostrakon_proto::{
    id::{AccountId, Epoch, NodeId, ObjectId},
    ledger::{
        repair::{ListedTicket, TicketPlace},
        state::CommitmentId,
    },
    params::Code,
};
use serde::Serialize;

use crate::{ChainError, Client, Error};

/// Commitments that a node is asked about concurrently.
const CONCURRENT: usize = 16;

/// Open repairs, the most endangered first. Serialises to the JSON of `ostrakon repair status --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repairs {
    /// The repairs.
    pub open: Vec<OpenRepair>,
    /// Whether there are more than these.
    pub more: bool,
}

/// An extent of which columns are to be stored again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenRepair {
    /// The object.
    #[serde(rename = "cid")]
    pub object: ObjectId,
    /// Number of the extent.
    pub extent: u32,
    /// The account that pays.
    pub owner: AccountId,
    /// Its code.
    pub code: Code,
    /// Columns that are stored.
    pub live: usize,
    /// Repair begins when no more than this many are.
    pub threshold: u8,
    /// Columns that nobody stores, by index.
    pub slots: Vec<u8>,
    /// The epoch in which its repair began.
    pub since_epoch: Epoch,
    /// Whose turn it is to rebuild them, by a node's word.
    pub rebuilder: Option<NodeId>,
    /// The epoch that draws another, by a node's word.
    pub deadline_epoch: Option<Epoch>,
    /// What it waits for, by a node's word.
    pub blocked_by: Option<String>,
}

impl Client {
    /// The most endangered of the network's open repairs, at most so many, by one node's word.
    ///
    /// # Errors
    /// [`Error`] when no node responds.
    pub async fn repairs(&self, most: usize) -> Result<Repairs, Error> {
        // What an object is endangered by follows from the network's parameters.
        self.chain.head().await?;
        let mut tickets = self.chain.tickets(TicketPlace::FIRST, most.saturating_add(1)).await?;
        let more = tickets.len() > most;
        tickets.truncate(most);
        Ok(Repairs { open: tickets.into_iter().map(|ticket| self.open_repair(ticket)).collect(), more })
    }

    /// The open repairs of an object.
    ///
    /// # Errors
    /// [`Error`] when the ledger has no such object, or no node responds.
    pub async fn repairs_of(&self, object: ObjectId) -> Result<Repairs, Error> {
        let (_, commitments) = futures::try_join!(self.chain.head(), self.chain.object(object))?;
        let open = commitments.iter().filter_map(ListedTicket::of).map(|ticket| async move {
            // Its place in the node's list may have changed since.
            let said = self.chain.tickets(ticket.place(), 1).await?.pop();
            let turn = said.filter(|said| said.commitment == ticket.commitment).and_then(|said| said.turn);
            Ok::<_, ChainError>(self.open_repair(ListedTicket { turn, ..ticket }))
        });
        let mut open: Vec<OpenRepair> =
            stream::iter(open.collect::<Vec<_>>()).buffered(CONCURRENT).try_collect().await?;
        open.sort_by_key(|repair| {
            (repair.live.saturating_sub(usize::from(repair.code.k)), repair.extent, repair.owner)
        });
        Ok(Repairs { open, more: false })
    }

    fn open_repair(&self, ticket: ListedTicket) -> OpenRepair {
        let ListedTicket { commitment: CommitmentId { object, extent, owner }, code, turn, .. } = ticket;
        let current = turn.and_then(Result::ok);
        OpenRepair {
            object,
            extent,
            owner,
            code,
            live: ticket.live(),
            threshold: self.rules().repair_threshold(code),
            slots: ticket.absent,
            since_epoch: ticket.since,
            rebuilder: current.map(|turn| turn.rebuilder),
            deadline_epoch: current.map(|turn| turn.deadline),
            blocked_by: turn.and_then(Result::err).map(|block| block.to_string()),
        }
    }
}
