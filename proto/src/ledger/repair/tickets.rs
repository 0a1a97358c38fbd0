//! The list of what is to be repaired, and who is at it: what a node tells of it (SPEC, chain/1).
//!
//! In go a state and a place in the list; out come tickets, the most endangered first. A client cannot check who is
//! drawn without the roster: it takes a node's word for that alone, and only to show it.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    id::{Epoch, NodeId, ObjectId},
    ledger::{
        repair::{Hands, RepairBlock, assignment},
        state::{Commitment, CommitmentId, Key, Records},
    },
    params::Code,
};

/// A place in the list of tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct TicketPlace {
    /// Columns that may still be lost.
    pub spare: u8,
    /// Of this commitment.
    pub commitment: CommitmentId,
}

impl TicketPlace {
    /// The first place there is.
    pub const FIRST: Self = Self { spare: 0, commitment: CommitmentId::first_of(ObjectId::LEAST) };

    /// Up to `limit` places of tickets from this one on.
    pub fn and_after(self, records: &dyn Records, limit: usize) -> Vec<Self> {
        let first = Key::Ticket(self.spare, self.commitment);
        let last = Key::Ticket(u8::MAX, CommitmentId::last_of(ObjectId::GREATEST));
        let place = |(key, _)| match key {
            Key::Ticket(spare, commitment) => Some(Self { spare, commitment }),
            _ => None,
        };
        records.scan(&first, &last, limit).into_iter().filter_map(place).collect()
    }
}

/// A commitment that is to be repaired.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ListedTicket {
    /// Which one.
    pub commitment: CommitmentId,
    /// Its code.
    pub code: Code,
    /// The columns that nobody stores, by index.
    pub absent: Vec<u8>,
    /// The epoch in which its repair began.
    pub since: Epoch,
    /// Whose turn it is, or what it waits for; `None` where nobody said.
    pub turn: Option<Result<RepairTurn, RepairBlock>>,
}

/// Whose turn it is to rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RepairTurn {
    /// The provider.
    pub rebuilder: NodeId,
    /// The epoch whose beacon draws another.
    pub deadline: Epoch,
}

impl ListedTicket {
    /// That of a commitment, by itself; `None` when there is nothing to repair.
    pub fn of(commitment: &Commitment) -> Option<Self> {
        let Commitment { id, code, ticket, .. } = *commitment;
        let absent = commitment.absent().collect();
        Some(Self { commitment: id, code, absent, since: ticket?, turn: None })
    }

    /// Columns that are stored.
    pub fn live(&self) -> usize {
        usize::from(self.code.n).saturating_sub(self.absent.len())
    }

    /// Its place in the list.
    pub fn place(&self) -> TicketPlace {
        let live = u8::try_from(self.live()).unwrap_or(u8::MAX);
        TicketPlace { spare: live.saturating_sub(self.code.k), commitment: self.commitment }
    }

    /// Whether there can be such a ticket; decoding alone does not ensure it.
    pub fn is_valid(&self) -> bool {
        let in_order = self.absent.is_sorted_by(|one, next| one < next);
        let are_columns = self.absent.last().is_some_and(|last| *last < self.code.n);
        self.code.is_valid() && in_order && are_columns
    }
}

/// As many tickets from a place on, at most; each costs a draw.
pub fn tickets(records: &dyn Records, from: TicketPlace, limit: usize) -> Vec<ListedTicket> {
    let params = records.params();
    let ticket = |commitment: Commitment| {
        let turn = assignment(records, &params, &commitment, Hands::Rebuilder).map(|assignment| RepairTurn {
            rebuilder: assignment.rebuilder,
            deadline: assignment.draw.epoch.after(params.repair.turn_epochs),
        });
        Some(ListedTicket { turn: Some(turn), ..ListedTicket::of(&commitment)? })
    };
    let places = from.and_after(records, limit).into_iter();
    places.filter_map(|place| records.commitment(&place.commitment).and_then(ticket)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::AccountId;

    #[test]
    fn what_cannot_be_a_ticket_is_not_one() {
        let check = |k, n, absent: &[u8], expect| {
            let ticket = ListedTicket {
                commitment: CommitmentId { object: ObjectId::LEAST, extent: 0, owner: AccountId::LEAST },
                code: Code { k, n },
                absent: absent.to_vec(),
                since: Epoch(1),
                turn: None,
            };
            assert_eq!(ticket.is_valid(), expect, "{k}/{n} {absent:?}");
        };
        check(4, 12, &[0, 11], true);
        check(1, 3, &[0, 1, 2], true);
        check(4, 12, &[], false);
        check(4, 12, &[12], false);
        check(4, 12, &[3, 3], false);
        check(4, 12, &[3, 2], false);
        check(4, 4, &[1], false);
    }

    #[test]
    fn the_most_endangered_comes_first() {
        let place = |spare, object| TicketPlace {
            spare,
            commitment: CommitmentId { object: ObjectId::new([object; 32]), extent: 0, owner: AccountId::LEAST },
        };
        assert!(TicketPlace::FIRST < place(0, 1) && place(0, 9) < place(1, 0));
    }
}
