//! Repair: which commitments are to be repaired, who rebuilds their columns, who stores them then, and what that is
//! paid (ARCHITECTURE 5.9; SPEC, "Repair").
//!
//! A commitment has a ticket from when one of its columns got no receipt, or as many are lost as its code allows, until
//! all are stored again. No provider has a ticket until an epoch's beacon is known: then roster and beacon draw who may
//! take columns beside its holders, for some epochs. The first of them is the rebuilder; each other may do it as well,
//! and does when those before it have not, for one that was drawn may be dead. So nobody chooses what it repairs, and
//! nothing is kept of who does. A provider that is draining moves its own columns to those whom the same draw names.
//!
//! In go a state, a commitment and an epoch; out comes an [`Assignment`], or what blocks it. Not here: losses, which
//! are `losses`', and what the ledger checks of a repair, which is `action/repaired`'s.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    codec,
    id::{Amount, Epoch, NodeId},
    ledger::{
        rules::{GIB, price_per_epoch},
        state::{Commitment, ProviderStatus, Records, Slot, SlotState},
    },
    params::{Code, Params, Repair},
    placement::{self, Caps, DomainTags, Draw, DrawSeed, RosterEntry},
    random::RandomStream,
};

mod error;
mod report;
mod tickets;

pub use error::RepairError;
pub use report::{ColumnLeaf, Inconsistent, MadeColumn, Mismatch, Repaired, RepairedSlot, ReportLoss, Restore};
pub use tickets::{ListedTicket, RepairTurn, TicketPlace, tickets};

/// The number of every draw of a repair: a commit has none that high, so no receipt of one serves the other.
pub const REPAIR_DRAW: u32 = u32::MAX;

/// Why a commitment cannot be repaired now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, thiserror::Error)]
#[non_exhaustive]
pub enum RepairBlock {
    /// All is well.
    #[error("there is nothing to repair")]
    NoTicket,
    /// Wait for the beacon.
    #[error("repair waits for the beacon of epoch {0}, which draws who rebuilds")]
    NoBeacon(Epoch),
    /// Another epoch's draw is the one to use.
    #[error("the draw of epoch {given} is not used for this repair now: it is epoch {current}'s")]
    OtherTurn {
        /// The epoch given.
        given: Epoch,
        /// The one to use.
        current: Epoch,
    },
    /// Wait for holders to come back.
    #[error(
        "only {live} columns are stored, {need} are needed to rebuild any: repair waits for holders to come back, and \
         from epoch {until} on the commitment ends as lost"
    )]
    TooFewLive {
        /// Columns that are stored.
        live: usize,
        /// The code's k.
        need: u8,
        /// The epoch from which on it ends, if too few come back.
        until: Epoch,
    },
    /// Wait for providers.
    #[error(
        "no provider can take a column under the domain rule, at a price that the owner allowed: repair waits for \
         others to join"
    )]
    NoProvider,
}

/// Who rebuilds what a commitment lost, and who may store it then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The draw: its receipts name it.
    pub draw: Draw,
    /// Who rebuilds and hands out, unless it is dead.
    pub rebuilder: NodeId,
    /// Who may store a column, in the order they are asked.
    pub targets: Vec<RosterEntry>,
    /// The indexes of the columns to hand out.
    pub columns: Vec<u8>,
    hands: Hands,
    caps: Caps,
    holders: Vec<DomainTags>,
}

impl Assignment {
    /// How many come before this node of those who may hand out; `None` where it may not.
    pub fn rank(&self, node: NodeId) -> Option<usize> {
        match self.hands {
            Hands::Leaving(leaving) => (leaving == node).then_some(0),
            Hands::Rebuilder => self.targets.iter().position(|target| target.provider == node),
        }
    }

    /// Whether these may store columns together, beside those that the holders have.
    pub fn admits(&self, chosen: &[DomainTags]) -> bool {
        self.caps.holds(&[&self.holders, chosen].concat())
    }
}

/// Who may hand out columns of a commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hands {
    /// Who is drawn to rebuild those that nobody stores.
    Rebuilder,
    /// This provider, which is draining, its own.
    Leaving(NodeId),
}

impl Hands {
    /// Whether a slot's column is to be handed out.
    fn take(self, slot: &Slot) -> bool {
        match self {
            Self::Rebuilder => slot.state.is_absent(),
            Self::Leaving(node) => slot.state == SlotState::Live && slot.provider == node,
        }
    }
}

/// Who repairs a commitment now: the newest turn that can be drawn.
///
/// # Errors
/// [`RepairBlock`] says what it waits for.
pub fn assignment(
    records: &dyn Records,
    params: &Params,
    commitment: &Commitment,
    hands: Hands,
) -> Result<Assignment, RepairBlock> {
    let epoch = turn(records, params, commitment, hands)?;
    assignment_at(records, params, commitment, (hands, epoch))
}

/// Who repairs a commitment by the draw of this epoch: that of the newest turn, or of the one before, so that what was
/// begun can be finished.
///
/// # Errors
/// [`RepairBlock`] says what it waits for.
pub fn assignment_at(
    records: &dyn Records,
    params: &Params,
    commitment: &Commitment,
    (hands, epoch): (Hands, Epoch),
) -> Result<Assignment, RepairBlock> {
    let current = turn(records, params, commitment, hands)?;
    let is_turn = epoch == current || epoch.after(params.repair.turn_epochs) == current;
    let known = records.epoch(epoch).filter(|_| is_turn).and_then(|record| Some((record.beacon?, record.roster)));
    let rosters = records.rosters();
    let ((beacon, summary), roster) =
        known.zip(rosters.of(epoch)).ok_or(RepairBlock::OtherTurn { given: epoch, current })?;
    if hands == Hands::Rebuilder
        && let Some(since) = commitment.unreadable_since()
    {
        let (live, need, until) = (commitment.live(), commitment.code.k, since.after(params.repair.lost_epochs));
        return Err(RepairBlock::TooFewLive { live, need, until });
    }
    let columns: Vec<u8> =
        (0..=u8::MAX).zip(&commitment.slots).filter(|(_, slot)| hands.take(slot)).map(|(index, _)| index).collect();
    let stays: Vec<&Slot> =
        commitment.slots.iter().filter(|slot| slot.state == SlotState::Live && !hands.take(slot)).collect();
    let domain = |slot: &&Slot| records.provider(&slot.provider).map(|provider| DomainTags::from(&provider.domain));
    let holders: Vec<DomainTags> = stays.iter().filter_map(domain).collect();
    let caps = Caps::beside(&summary, commitment.code, params.min_domains, &holders);
    // The least of what the owner allowed for one of them, so that each of those drawn may take any.
    let cap = columns.iter().map(|index| commitment.slots[usize::from(*index)].cap).min().unwrap_or_default();
    let may = |entry: &RosterEntry| {
        let node = entry.provider;
        // Since the roster was frozen it may have fallen silent, or drain.
        let takes = || records.provider(&node).is_some_and(|provider| provider.status == ProviderStatus::Active);
        entry.offer.price <= cap && stays.iter().all(|slot| slot.provider != node) && takes()
    };
    let draw = Draw { epoch, number: REPAIR_DRAW };
    let (id, code) = (&commitment.id, commitment.code);
    let randomness = blake3::derive_key("ostrakon repair draw 1", &codec::encode(&(beacon, id)));
    let seed = DrawSeed { randomness, account: id.owner, draw, extent: id.extent };
    let drawn = placement::draw_beside(roster, &seed, (code, &caps, columns.len()), &holders, may);
    let targets: Vec<RosterEntry> =
        drawn.expect("invariant: the state has whole rosters").into_iter().copied().collect();
    let first = targets.first().ok_or(RepairBlock::NoProvider)?.provider;
    let rebuilder = if let Hands::Leaving(node) = hands { node } else { first };
    Ok(Assignment { draw, rebuilder, targets, columns, hands, caps, holders })
}

/// The epoch whose draw the newest turn uses.
fn turn(records: &dyn Records, params: &Params, commitment: &Commitment, hands: Hands) -> Result<Epoch, RepairBlock> {
    let since = match hands {
        Hands::Rebuilder => commitment.ticket.ok_or(RepairBlock::NoTicket)?,
        Hands::Leaving(_) => Epoch(0),
    };
    let newest = records.tip().running.clock.drawable().filter(|newest| since <= *newest);
    let newest = newest.ok_or(RepairBlock::NoBeacon(since))?;
    let into = (newest.0 - since.0).checked_rem(params.repair.turn_epochs).unwrap_or(0);
    Ok(Epoch(newest.0 - into))
}

/// Notes whether a commitment is to be repaired, after its slots or its end have changed.
pub(super) fn review(commitment: &mut Commitment, params: &Params, epoch: Epoch) {
    let live = commitment.live();
    let is_whole = commitment.absent().next().is_none();
    // What is kept for this epoch alone is not worth it.
    let is_ending = commitment.end <= epoch.after(1);
    let is_missing = commitment.slots.iter().any(|slot| slot.state == SlotState::Missing);
    let is_low = live <= usize::from(params.repair_threshold(commitment.code));
    commitment.ticket = match commitment.ticket {
        _ if is_whole || is_ending => None,
        None if is_missing || is_low => Some(epoch),
        before => before,
    };
}

/// What is paid for each of so many columns that are rebuilt together, each of `column_len` bytes: for its part of what
/// is read, and for what is sent. Rounded up, saturating.
pub fn bounty(repair: &Repair, code: Code, column_len: u64, together: usize) -> Amount {
    let together = u128::try_from(together.max(1)).expect("a usize fits");
    let moved = (u128::from(code.k) + together - 1) * u128::from(column_len);
    let micro = moved.saturating_mul(u128::from(repair.gib.0)).div_ceil(together * GIB);
    Amount(u64::try_from(micro).unwrap_or(u64::MAX))
}

/// The part of a bounty that is for storing a column; the rest is for rebuilding it.
pub fn bounty_of_target(repair: &Repair, column_len: u64) -> Amount {
    price_per_epoch(column_len, repair.gib)
}

/// The byte of a lost column that its provider has to show when it brings the column back, by the beacon of an epoch.
pub fn returning_point(beacon: &[u8; 32], commitment: &Commitment, index: u8) -> u64 {
    let seed = codec::encode(&(beacon, commitment.id, index));
    let point = RandomStream::new("ostrakon return 1", &seed).below(commitment.column_len.into());
    u64::try_from(point).expect("below a number of 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounty_pays_for_what_is_moved() {
        let repair = Repair { gib: Amount(100), ..Repair::default() };
        let check = |k, together, expect| {
            assert_eq!(bounty(&repair, Code { k, n: 12 }, 1 << 30, together), Amount(expect), "{k} {together}");
        };
        check(4, 1, 400);
        check(4, 2, 250);
        check(4, 4, 175);
        check(4, 8, 138);
        check(1, 1, 100);
        assert_eq!(bounty(&repair, Code { k: 4, n: 12 }, 64, 1), Amount(1));
        assert_eq!(bounty_of_target(&repair, 1 << 30), Amount(100));
        let dear = Repair { gib: Amount(u64::MAX), ..repair };
        assert_eq!(bounty(&dear, Code { k: 200, n: 255 }, 1 << 30, 1), Amount(u64::MAX));
    }
}
