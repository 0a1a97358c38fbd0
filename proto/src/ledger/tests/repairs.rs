//! What providers lose, what they pay for it, and how it is stored again.

use super::{
    audits::{Columns, audited, node},
    world::{World, alice, bob, cause, id, landlord, node_key, object},
};
use crate::{
    audit::ChallengedLeaf,
    id::{Amount, Epoch, NodeId},
    ledger::{
        ExitError, Genesis, TxError,
        repair::{Assignment, Hands, RepairBlock, RepairError, assignment, bounty, bounty_of_target, returning_point},
        state::{Commitment, CommitmentId, Provider, ProviderStatus, Records, SlotState},
        tx::{Action, Commit, Drain, Extend, Receipt, Release, Repaired, RepairedSlot, ReportLoss, Restore, Withdraw},
    },
    params::Repair,
    sign::{Keypair, Purpose},
};

/// A network whose silent providers are written off after two epochs, and pay after six more.
pub(super) fn repairing() -> Genesis {
    let mut founding = audited();
    let repair =
        Repair { suspect_epochs: 2, turn_epochs: 2, forfeit_epochs: 6, lost_epochs: 8, gib: Amount(10_000_000_000) };
    (founding.params.repair, founding.params.draw_epochs) = (repair, 4);
    // So that columns of a few KiB are worth something.
    founding.params.bonds.gib = Amount(1_000_000_000_000);
    founding.providers.iter_mut().for_each(|provider| provider.bond = Some(Amount(10_000_000_000)));
    founding
}

/// An object of alice's with these columns missing, and where it is.
pub(super) struct Stored {
    pub(super) world: World,
    pub(super) columns: Columns,
    pub(super) id: CommitmentId,
}

pub(super) const LEN: u64 = 40_000;

pub(super) fn stored(missing: &[usize]) -> Stored {
    let (mut world, mut columns) = (World::of(&repairing()), Columns::default());
    let mut commit = columns.commit(&world, &alice(), 1, LEN);
    missing.iter().for_each(|index| commit.slots[*index].receipt = None);
    // Who takes over may ask for a little more.
    commit.slots.iter_mut().for_each(|slot| slot.cap = Amount(2_000_000));
    world.does(&alice(), Action::Commit(commit.clone()));
    Stored { world, columns, id: CommitmentId { object: commit.object, extent: 0, owner: id(&alice()) } }
}

fn key_of(node: NodeId) -> Keypair {
    (0..14).map(node_key).find(|key| key.public() == node).expect("one of the fourteen")
}

impl Stored {
    pub(super) fn made(&self) -> Commitment {
        self.world.state.commitment(&self.id).expect("committed")
    }

    pub(super) fn provider(&self, node: NodeId) -> Provider {
        self.world.state.provider(&node).expect("registered")
    }

    pub(super) fn state(&self, index: u8) -> SlotState {
        self.made().slots[usize::from(index)].state
    }

    pub(super) fn holder(&self, index: u8) -> NodeId {
        self.made().slots[usize::from(index)].provider
    }

    pub(super) fn assigned(&self, hands: Hands) -> Result<Assignment, RepairBlock> {
        assignment(&self.world.state, &self.world.rules.params, &self.made(), hands)
    }

    /// Blocks until the draw of a repair is known.
    pub(super) fn wait_for_draw(&mut self) {
        while matches!(self.assigned(Hands::Rebuilder), Err(RepairBlock::NoBeacon(_))) {
            self.world.block(vec![]);
        }
    }

    /// Epochs in which all prove but these.
    pub(super) fn silent(&mut self, epochs: u64, silent: &[NodeId]) {
        let proving: Vec<NodeId> = (0..14).map(node).filter(|node| !silent.contains(node)).collect();
        for _ in 0..epochs {
            self.world.epoch_of_proofs(&self.columns, &proving);
        }
    }

    /// What an honest rebuilder reports when these columns are on these providers.
    pub(super) fn report(&self, assignment: &Assignment, slots: &[(u8, NodeId)]) -> Repaired {
        self.world.repaired(&self.made(), assignment, slots)
    }

    /// The same for the first columns and the first targets.
    pub(super) fn honest(&self, hands: Hands) -> Repaired {
        self.world.honest_repair(&self.made(), hands).expect("drawn")
    }

    pub(super) fn verdict(&self, action: Action) -> Result<(), TxError> {
        self.world.verdict(&self.world.tx(&landlord(), action)).map_err(cause)
    }

    pub(super) fn refusal(&self, repaired: Repaired) -> RepairError {
        match self.verdict(Action::Repaired(repaired)) {
            Err(TxError::Repair(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn restore(&self, index: u8) -> Restore {
        self.world.restore(&self.columns, &self.made(), index)
    }
}

impl World {
    /// What a rebuilder reports when these columns of a commitment are on these providers.
    fn repaired(&self, made: &Commitment, assignment: &Assignment, slots: &[(u8, NodeId)]) -> Repaired {
        let slot = |(index, provider): &(u8, NodeId)| {
            let drawn = assignment.targets.iter().find(|target| target.provider == *provider);
            let ask = drawn.map_or(Amount(1), |target| target.offer.price);
            let receipt = Receipt { index: *index, ask, ..made.receipt(assignment.draw) };
            let receipt = key_of(*provider).sign(Purpose::Receipt, &self.rules.chain, &receipt);
            RepairedSlot { index: *index, provider: *provider, receipt }
        };
        let Assignment { rebuilder, draw, .. } = *assignment;
        Repaired { commitment: made.id, rebuilder, draw: draw.epoch, slots: slots.iter().map(slot).collect() }
    }

    /// What an honest rebuilder reports: the first columns are on the first providers drawn.
    pub(super) fn honest_repair(&self, made: &Commitment, hands: Hands) -> Result<Repaired, RepairBlock> {
        let assignment = assignment(&self.state, &self.rules.params, made, hands)?;
        let targets = assignment.targets.iter().map(|target| target.provider);
        let slots: Vec<(u8, NodeId)> = assignment.columns.iter().copied().zip(targets).collect();
        Ok(self.repaired(made, &assignment, &slots))
    }

    /// What brings a lost column back.
    pub(super) fn restore(&self, columns: &Columns, made: &Commitment, index: u8) -> Restore {
        let epoch = self.state.tip().running.clock.drawable().expect("a beacon");
        let beacon = self.state.epoch(epoch).and_then(|record| record.beacon).expect("complete");
        let point = returning_point(&beacon, made, index);
        let asked = ChallengedLeaf::at(made.slots[usize::from(index)].column, made.column_len, point);
        Restore { commitment: made.id, index, epoch, leaf: columns.leaf(asked) }
    }
}

#[test]
fn a_column_without_a_receipt_is_stored_by_who_is_drawn() {
    let mut at = stored(&[3, 5]);
    let params = at.world.rules.params.clone();
    let each = bounty(&params.repair, at.made().code, LEN, 1);
    assert_eq!((at.made().ticket, at.made().fund), (Some(Epoch(0)), Amount(2 * each.0)), "the owner locked it");
    assert_eq!(at.world.state.tickets(9), [at.id]);
    at.wait_for_draw();
    let assignment = at.assigned(Hands::Rebuilder).expect("drawn");
    assert_eq!(assignment.columns, [3, 5]);
    let live: Vec<NodeId> =
        at.made().slots.iter().filter(|slot| slot.state == SlotState::Live).map(|slot| slot.provider).collect();
    assert!(assignment.targets.iter().all(|target| !live.contains(&target.provider)), "on each at most one");
    at.world.does(&landlord(), Action::Repaired(at.honest(Hands::Rebuilder)));
    at.world.check();
    let made = at.made();
    assert_eq!((made.live(), made.ticket), (12, None));
    let together = bounty(&params.repair, made.code, LEN, 2);
    assert_eq!(made.fund, Amount(2 * (each.0 - together.0)), "two together cost less");
    assert!(at.world.state.tickets(9).is_empty());
    // Who stores it now is asked for it, and paid, as the others are.
    let target = at.holder(3);
    let earned = at.provider(target).audited.pay.earned;
    at.silent(2, &[]);
    assert!(at.provider(target).audited.pay.earned > earned);
    // What nobody needed goes back with the rest.
    at.world.does(&alice(), Action::Release(Release { object: at.id.object, extent: 0 }));
    at.world.wait_for(at.world.epoch().0 + 2);
    assert_eq!(at.world.state.tip().running.escrowed, Amount::ZERO);
    at.world.check();
}

#[test]
fn a_repair_is_refused_unless_it_is_as_drawn() {
    let mut at = stored(&[3, 5]);
    at.wait_for_draw();
    let (assignment, honest) = (at.assigned(Hands::Rebuilder).expect("drawn"), at.honest(Hands::Rebuilder));
    let other = (0..14).map(node).find(|node| assignment.rank(*node).is_none()).expect("twelve");
    let by_other = Repaired { rebuilder: other, ..honest.clone() };
    let rebuilder = assignment.rebuilder;
    assert_eq!(at.refusal(by_other), RepairError::NotRebuilder { node: other, rebuilder });
    let none = Repaired { slots: vec![], ..honest.clone() };
    assert_eq!(at.refusal(none), RepairError::Columns { index: 0 });
    let swapped = Repaired { slots: honest.slots.iter().rev().copied().collect(), ..honest.clone() };
    assert_eq!(at.refusal(swapped), RepairError::Columns { index: 3 });
    let stored_one = at.report(&assignment, &[(4, honest.slots[0].provider)]);
    assert_eq!(at.refusal(stored_one), RepairError::Columns { index: 4 });
    let beyond = at.report(&assignment, &[(200, honest.slots[0].provider)]);
    assert_eq!(at.refusal(beyond), RepairError::Columns { index: 200 });
    let holder = at.holder(0);
    assert_eq!(
        at.refusal(at.report(&assignment, &[(3, holder)])),
        RepairError::NotTarget { index: 3, provider: holder }
    );
    let twice = honest.slots[0].provider;
    let doubled = at.report(&assignment, &[(3, twice), (5, twice)]);
    assert_eq!(at.refusal(doubled), RepairError::NotTarget { index: 5, provider: twice });
    let current = assignment.draw.epoch;
    let early = Repaired { draw: current.after(1), ..honest.clone() };
    let error = RepairBlock::OtherTurn { given: current.after(1), current };
    assert_eq!(at.refusal(early), RepairError::Blocked(error));
    let mut forged = honest.clone();
    forged.slots[1].receipt = forged.slots[0].receipt;
    let error = at.verdict(Action::Repaired(forged));
    assert_eq!(error, Err(TxError::Receipt { index: 5, provider: honest.slots[1].provider }), "and it is charged");
    // Another account cannot take the bounty.
    let tx = at.world.tx(&bob(), Action::Repaired(honest.clone()));
    assert!(matches!(at.world.verdict(&tx), Err(TxError::OtherOwner { .. })));
    // A part is enough, and the rest stays to be done. Where the first drawn is dead, the second does it.
    let second = assignment.targets[1].provider;
    assert_eq!((assignment.rank(rebuilder), assignment.rank(second)), (Some(0), Some(1)));
    let part = Repaired { slots: honest.slots[1..].to_vec(), rebuilder: second, ..honest.clone() };
    at.world.does(&landlord(), Action::Repaired(part));
    assert_eq!((at.made().live(), at.made().ticket.is_some()), (11, true));
    assert_eq!(at.refusal(honest), RepairError::Columns { index: 5 }, "it is done");
    at.world.check();
}

#[test]
fn another_is_drawn_after_some_epochs_and_the_one_before_may_finish() {
    let mut at = stored(&[3, 5]);
    at.wait_for_draw();
    let first = at.assigned(Hands::Rebuilder).expect("drawn");
    let begun = at.honest(Hands::Rebuilder);
    at.silent(3, &[]);
    at.wait_for_draw();
    let second = at.assigned(Hands::Rebuilder).expect("drawn");
    assert_eq!(second.draw.epoch, first.draw.epoch.after(2));
    assert_eq!(at.verdict(Action::Repaired(begun.clone())), Ok(()), "what was begun can be finished");
    at.silent(2, &[]);
    let current = second.draw.epoch.after(2);
    let error = RepairBlock::OtherTurn { given: first.draw.epoch, current };
    assert_eq!(at.refusal(begun), RepairError::Blocked(error));
}

#[test]
fn who_proves_nothing_is_written_off_and_pays_when_others_rebuild() {
    let mut at = stored(&[]);
    at.world.wait_for(1);
    let silent = [at.holder(0), at.holder(1), at.holder(2)];
    let before = at.provider(silent[0]);
    at.silent(1, &silent);
    assert_eq!(at.made().live(), 12, "not yet");
    at.silent(1, &silent);
    at.world.check();
    assert_eq!(
        [0, 1, 2, 3].map(|index| at.state(index)),
        [SlotState::Lost, SlotState::Lost, SlotState::Lost, SlotState::Live]
    );
    assert!(at.made().ticket.is_some(), "live = R");
    let lost = at.provider(silent[0]);
    assert_eq!((lost.used, lost.status, lost.bond), (0, ProviderStatus::Suspended, before.bond));
    assert_eq!(lost.collateral, before.collateral, "behind what it lost");
    at.wait_for_draw();
    at.world.does(&landlord(), Action::Repaired(at.honest(Hands::Rebuilder)));
    at.world.check();
    // Two others have no column yet: so many come back.
    assert_eq!((at.made().live(), at.made().ticket.is_some()), (11, true));
    let paid = at.provider(silent[0]);
    let due = bounty(&at.world.rules.params.repair, at.made().code, LEN, 1).0;
    let slash = (due + due.div_ceil(2)).max(before.collateral.0 / 10);
    assert_eq!((paid.bond, paid.collateral), (Amount(before.bond.0 - slash), Amount::ZERO));
    // With nothing to prove, it takes part again when it registers.
    let index = (0..14).find(|index| node(*index) == silent[0]).expect("one of them");
    let mut register = at.world.register(&landlord(), index);
    (register.bond, register.domain, register.capacity) = (paid.bond, paid.domain.clone(), paid.capacity);
    at.world.does(&landlord(), Action::Register(register));
    assert_eq!(at.provider(silent[0]).status, ProviderStatus::Active);
    at.world.check();
}

#[test]
fn a_lost_column_comes_back_with_a_leaf_until_another_has_it() {
    let mut at = stored(&[]);
    at.world.wait_for(1);
    let silent = [at.holder(0), at.holder(1), at.holder(2)];
    at.silent(3, &silent);
    at.world.block(vec![]);
    assert_eq!(at.state(0), SlotState::Lost);
    let good = at.restore(0);
    let stale = Restore { epoch: good.epoch.after(1), ..good.clone() };
    assert!(matches!(at.verdict(Action::Restore(stale)), Err(TxError::Repair(RepairError::Stale { .. }))));
    let other = Restore { leaf: at.restore(1).leaf, ..good.clone() };
    assert!(matches!(at.verdict(Action::Restore(other)), Err(TxError::Repair(RepairError::Leaf(_)))));
    let there = Restore { index: 5, ..good.clone() };
    assert_eq!(at.verdict(Action::Restore(there)), Err(RepairError::NotLost { index: 5 }.into()));
    let tx = at.world.tx(&bob(), Action::Restore(good.clone()));
    assert_eq!(at.world.verdict(&tx), Err(RepairError::NotLost { index: 0 }.into()), "another's");
    let bond = at.provider(silent[0]).bond;
    at.world.does(&landlord(), Action::Restore(good));
    at.world.check();
    assert_eq!((at.state(0), at.provider(silent[0]).bond), (SlotState::Live, bond), "nothing is paid");
    at.silent(2, &silent[1..]);
    assert_eq!(at.provider(silent[0]).status, ProviderStatus::Active, "it proves again");
    at.wait_for_draw();
    let late = at.restore(1);
    at.world.does(&landlord(), Action::Repaired(at.honest(Hands::Rebuilder)));
    assert_eq!(at.verdict(Action::Restore(late)), Err(RepairError::NotLost { index: 1 }.into()));
    at.world.check();
}

#[test]
fn who_reports_a_loss_pays_for_the_repair_alone() {
    let mut at = stored(&[7]);
    let (holder, before) = (at.holder(0), at.provider(at.holder(0)));
    let report = ReportLoss { commitment: at.id, index: 0 };
    assert_eq!(
        at.verdict(Action::ReportLoss(ReportLoss { index: 7, ..report })),
        Err(RepairError::NotStored { index: 7 }.into())
    );
    let tx = at.world.tx(&bob(), Action::ReportLoss(report));
    assert_eq!(at.world.verdict(&tx), Err(RepairError::NotStored { index: 0 }.into()));
    at.world.does(&landlord(), Action::ReportLoss(report));
    at.world.check();
    assert_eq!((at.state(0), at.provider(holder).used), (SlotState::Reported, 0));
    at.wait_for_draw();
    at.world.does(&landlord(), Action::Repaired(at.honest(Hands::Rebuilder)));
    let due = bounty(&at.world.rules.params.repair, at.made().code, LEN, 1);
    assert_eq!(at.provider(holder).bond, before.bond.minus(due).expect("more"));
    at.world.check();
}

#[test]
fn what_nobody_rebuilds_is_paid_for_all_the_same() {
    let mut at = stored(&[]);
    at.world.wait_for(1);
    let silent = [at.holder(0)];
    let before = at.provider(silent[0]);
    at.silent(3, &silent);
    assert_eq!((at.state(0), at.made().ticket), (SlotState::Lost, None), "eleven are enough");
    let more = Extend { commitment: at.id, end: at.made().end.after(9), most: Amount(u64::MAX) };
    at.world.does(&alice(), Action::Extend(more));
    let balance = at.world.account(&alice()).balance;
    at.silent(7, &silent);
    at.world.check();
    let (made, paid) = (at.made(), at.provider(silent[0]));
    let due = bounty(&at.world.rules.params.repair, made.code, LEN, 1).0;
    let slash = (due + due.div_ceil(2)).max(before.collateral.0 / 10);
    assert_eq!((paid.bond.0, paid.collateral.0, made.fund.0), (before.bond.0 - slash, 0, due));
    let own = (slash - due) * 60 / 100;
    assert_eq!(at.world.account(&alice()).balance.0, balance.0 + own);
    // It may come back later, with a bond behind it again.
    at.world.does(&landlord(), Action::Restore(at.restore(0)));
    assert!(at.state(0) == SlotState::Live && at.provider(silent[0]).collateral > Amount::ZERO);
    at.world.check();
}

#[test]
fn an_object_that_ends_settles_what_was_lost() {
    let mut at = stored(&[4]);
    let holder = at.holder(0);
    at.world.does(&landlord(), Action::ReportLoss(ReportLoss { commitment: at.id, index: 0 }));
    let before = at.provider(holder);
    at.world.does(&alice(), Action::Release(Release { object: at.id.object, extent: 0 }));
    assert_eq!(at.made().ticket, None, "it ends");
    at.world.wait_for(at.world.epoch().0 + 2);
    at.world.check();
    let due = bounty(&at.world.rules.params.repair, super::world::code("4/12"), LEN, 1);
    assert_eq!(at.provider(holder).bond, before.bond.minus(due).expect("more"));
    assert_eq!(at.provider(holder).collateral, Amount::ZERO);
    assert_eq!(at.world.state.tip().running.escrowed, Amount::ZERO);
}

#[test]
fn with_too_few_columns_nothing_is_rebuilt_and_those_that_return_count() {
    let mut at = stored(&[]);
    for index in 0..9 {
        at.world.does(&landlord(), Action::ReportLoss(ReportLoss { commitment: at.id, index }));
    }
    let until = at.world.epoch().after(8);
    assert_eq!(at.assigned(Hands::Rebuilder), Err(RepairBlock::TooFewLive { live: 3, need: 4, until }));
    at.world.does(&landlord(), Action::Restore(at.restore(2)));
    at.wait_for_draw();
    assert_eq!(at.assigned(Hands::Rebuilder).map(|assignment| assignment.columns.len()), Ok(8));
    at.world.does(&landlord(), Action::Repaired(at.honest(Hands::Rebuilder)));
    assert_eq!(at.made().live(), 12, "those that lost one may take another");
    at.world.check();
    let more = Extend { commitment: at.id, end: at.made().end.after(3), most: Amount(u64::MAX) };
    at.world.does(&alice(), Action::Extend(more));
    at.silent(2, &[]);
    at.world.check();
}

/// Nobody can read it, or will bring enough of it back: its owner has the money, and its holders the space.
#[test]
fn what_cannot_be_read_for_long_ends() {
    let mut at = stored(&[11]);
    let more = Extend { commitment: at.id, end: at.made().end.after(9), most: Amount(u64::MAX) };
    at.world.does(&alice(), Action::Extend(more));
    let lose = |at: &mut Stored, index| {
        at.world.does(&landlord(), Action::ReportLoss(ReportLoss { commitment: at.id, index }));
    };
    (0..7).for_each(|index| lose(&mut at, index));
    assert_eq!(at.made().unreadable_since(), None, "four are left");
    at.silent(3, &[]);
    let since = at.world.epoch();
    (7..9).for_each(|index| lose(&mut at, index));
    assert_eq!(at.made().unreadable_since(), Some(since), "since the first of these two");
    at.silent(7, &[]);
    assert_eq!(at.world.epoch().0, since.0 + 7);
    let (made, holders) = (at.made(), [9, 10].map(|index| at.holder(index)));
    assert_eq!((made.live(), made.slots[0].collateral), (2, Amount::ZERO), "paid for after six epochs");
    let balance = at.world.account(&alice()).balance;
    at.silent(1, &[]);
    at.world.check();
    assert_eq!(at.world.state.commitment(&at.id), None);
    assert!(at.world.account(&alice()).balance.0 > balance.0 + made.fund.0, "what nobody was paid returns");
    assert_eq!(at.world.state.tip().running.escrowed, Amount::ZERO);
    assert!(holders.iter().all(|node| at.provider(*node).used == 0));
    at.silent(1, &[]);
    at.world.check();
}

#[test]
fn who_drains_moves_its_columns_and_leaves() {
    let mut at = stored(&[]);
    at.world.wait_for(1);
    let leaving = at.holder(6);
    let before = at.provider(leaving);
    at.world.does(&landlord(), Action::Drain(Drain { node: leaving }));
    let hands = Hands::Leaving(leaving);
    let assignment = at.assigned(hands).expect("drawn");
    assert_eq!((assignment.rebuilder, &assignment.columns[..]), (leaving, &[6_u8][..]));
    assert!(assignment.targets.iter().all(|target| target.provider != leaving));
    at.silent(1, &[]);
    let earned = at.provider(leaving).audited.pay.earned;
    assert!(earned > before.audited.pay.earned, "paid until it hands over");
    let escrow = at.made().escrow;
    at.world.does(&landlord(), Action::Repaired(at.honest(hands)));
    at.world.check();
    let (made, moved) = (at.made(), at.provider(leaving));
    assert!(made.live() == 12 && made.slots[6].provider != leaving && made.escrow < escrow);
    let cost = bounty_of_target(&at.world.rules.params.repair, LEN);
    assert_eq!((moved.used, moved.collateral), (0, Amount::ZERO));
    assert_eq!(moved.bond, before.bond.minus(cost).expect("more"), "for who takes it");
    // What it had when the epoch began is proven until that ends.
    at.silent(1, &[]);
    at.world.does(&landlord(), Action::Withdraw(Withdraw { node: leaving }));
    at.world.check();
}

#[test]
fn no_bond_returns_while_a_loss_is_open() {
    let mut at = stored(&[]);
    let holder = at.holder(0);
    at.world.does(&landlord(), Action::ReportLoss(ReportLoss { commitment: at.id, index: 0 }));
    at.world.does(&landlord(), Action::Drain(Drain { node: holder }));
    at.world.wait_for(at.world.epoch().0 + 1);
    let behind = at.provider(holder).collateral;
    let refused = at.verdict(Action::Withdraw(Withdraw { node: holder }));
    assert_eq!(refused, Err(ExitError::LossesOpen { node: holder, behind }.into()));
    at.silent(8, &[]);
    assert_eq!(at.verdict(Action::Withdraw(Withdraw { node: holder })), Ok(()), "it has paid");
}

#[test]
fn a_storm_is_repaired_and_costs_the_bounty_alone() {
    let mut at = stored(&[]);
    at.world.wait_for(1);
    // All that is stored on several infrastructures but four columns: excused, and lost all the same.
    let silent: Vec<NodeId> = (0..8).map(|index| at.holder(index)).collect();
    at.silent(3, &silent);
    at.world.check();
    assert_eq!(at.state(0), SlotState::Reported, "lost without fault");
    assert_eq!(at.made().live(), 4);
    at.wait_for_draw();
    assert!(at.assigned(Hands::Rebuilder).is_ok());
}

#[test]
fn a_draw_of_repairs_depends_on_the_commitment() {
    let mut at = stored(&[3, 5]);
    let mut rebuilders = std::collections::BTreeSet::new();
    for number in 2..12 {
        let mut commit: Commit = at.columns.commit(&at.world, &alice(), number, LEN);
        commit.slots[0].receipt = None;
        at.world.does(&alice(), Action::Commit(commit));
    }
    at.world.wait_for(1);
    at.wait_for_draw();
    for number in 2..12 {
        let id = CommitmentId { object: object(number), ..at.id };
        let made = at.world.state.commitment(&id).expect("committed");
        let drawn = assignment(&at.world.state, &at.world.rules.params, &made, Hands::Rebuilder);
        rebuilders.insert(drawn.expect("drawn").rebuilder);
    }
    assert!(rebuilders.len() > 2, "not one does all: {rebuilders:?}");
}
