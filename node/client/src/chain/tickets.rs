//! What is to be repaired, and whose turn it is: one node's word, which no proof comes with.

use ostrakon_net::{AskError, Failure};
use ostrakon_proto::{
    id::NodeId,
    ledger::repair::{ListedTicket, TicketPlace},
    limits, wire,
};

use super::{Chain, ChainError, Silence, ask::Reply, lookup::PAGES_MAX};

impl Chain {
    /// The first tickets from a place on, the most endangered first: `most` of them, or all there are.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds.
    pub async fn tickets(&self, from: TicketPlace, most: usize) -> Result<Vec<ListedTicket>, ChainError> {
        Ok(self.any(|node| self.tickets_by(node, from, most)).await?.value)
    }

    async fn tickets_by(
        &self,
        node: NodeId,
        mut from: TicketPlace,
        most: usize,
    ) -> Result<Reply<Vec<ListedTicket>>, (NodeId, Silence)> {
        let (mut all, limit): (Vec<ListedTicket>, usize) = (Vec::new(), most.min(limits::TICKETS));
        for _ in 0..PAGES_MAX {
            let call = wire::chain::tickets(from, u32::try_from(limit).expect("at most limits::TICKETS"));
            let page = self.ask_node(node, call).await?.value;
            let rises = page.is_sorted_by(|one, next| one.place() < next.place());
            if !rises || page.iter().any(|ticket| !ticket.is_valid() || ticket.place() < from) {
                let failure = Failure::InvalidAnswer("its list of repairs is not in order".to_owned());
                return Err((node, AskError::new(node, failure).into()));
            }
            let is_last = page.len() < limit;
            let before = all.last().map(ListedTicket::place);
            // A page begins with the last of the one before.
            all.extend(page.into_iter().filter(|ticket| Some(ticket.place()) > before));
            match all.last() {
                Some(last) if !is_last && all.len() < most => from = last.place(),
                _ => break,
            }
        }
        all.truncate(most);
        Ok(Reply { node, value: all })
    }
}
