//! Columns that are not what their owner said: named at random, or no codeword.

use super::{
    audits::Columns,
    repairs::{LEN, Stored, repairing, stored},
    world::{World, alice, bob, code, id, landlord},
};
use crate::{
    audit::ChallengedLeaf,
    erasure,
    id::{Amount, ColumnId, NodeId},
    ledger::{
        TxError,
        repair::{Hands, RepairError, bounty},
        state::{CommitmentId, Key, Records, SlotState},
        tx::{Action, ColumnLeaf, Inconsistent, MadeColumn, Mismatch, Release, ReportLoss},
    },
};

impl Stored {
    /// What the rebuilder drawn now says that it made.
    fn mismatch(&self, made: &[(u8, ColumnId)]) -> Mismatch {
        let assignment = self.assigned(Hands::Rebuilder).expect("drawn");
        let columns = made.iter().map(|(index, column)| MadeColumn { index: *index, column: *column }).collect();
        let (rebuilder, draw) = (assignment.rebuilder, assignment.draw.epoch);
        Mismatch { commitment: self.id, rebuilder, draw, columns }
    }

    /// Waits until another provider is the rebuilder than any of these.
    fn next_rebuilder(&mut self, before: &[NodeId]) -> NodeId {
        loop {
            if let Ok(assignment) = self.assigned(Hands::Rebuilder)
                && !before.contains(&assignment.rebuilder)
            {
                return assignment.rebuilder;
            }
            self.silent(1, &[]);
        }
    }

    fn refused(&self, action: Action) -> RepairError {
        match self.verdict(action) {
            Err(TxError::Repair(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    /// The leaves of this number of these columns.
    fn leaves(&self, leaf: u64, indexes: &[u8]) -> Inconsistent {
        let made = self.made();
        let of = |index: &u8| {
            let column = made.slots[usize::from(*index)].column;
            ColumnLeaf { index: *index, leaf: self.columns.leaf(ChallengedLeaf { column, column_len: LEN, leaf }) }
        };
        Inconsistent { commitment: self.id, leaf, leaves: indexes.iter().map(of).collect() }
    }
}

#[test]
fn a_name_that_three_rebuilders_contradict_is_struck() {
    let mut at = stored(&[3, 5]);
    let more = crate::ledger::tx::Extend { commitment: at.id, end: at.made().end.after(60), most: Amount(0) };
    at.world.does(&alice(), Action::Extend(more));
    let other = ColumnId::new([77; 32]);
    let (mut seen, mut before) = (Vec::new(), None);
    for number in 0..3 {
        seen.push(at.next_rebuilder(&seen));
        let mismatch = at.mismatch(&[(3, other)]);
        at.world.check();
        before = Some((at.made(), at.world.account(&alice()).balance));
        at.world.does(&landlord(), Action::Mismatch(mismatch));
        let state = if number < 2 { SlotState::Missing } else { SlotState::Struck };
        assert_eq!(at.state(3), state, "after {number}");
    }
    at.world.check();
    let (made, (was, balance)) = (at.made(), before.expect("three"));
    let each = bounty(&at.world.rules.params.repair, made.code, LEN, 1);
    assert_eq!((made.fund, was.fund), (each, Amount(2 * each.0)), "the other may still be repaired");
    let back = each.0 + (was.escrow.0 - made.escrow.0);
    assert!(was.escrow > made.escrow && at.world.account(&alice()).balance.0 == balance.0 + back);
    assert_eq!(at.world.state.doubts(&at.id), []);
    assert_eq!(at.assigned(Hands::Rebuilder).map(|assignment| assignment.columns), Ok(vec![5]));
    let _ = at.next_rebuilder(&[]);
    at.world.does(&landlord(), Action::Repaired(at.honest(Hands::Rebuilder)));
    assert_eq!((at.made().live(), at.made().ticket), (11, None), "nothing is left to repair");
    at.world.does(&alice(), Action::Release(Release { object: at.id.object, extent: 0 }));
    at.world.wait_for(at.world.epoch().0 + 2);
    assert_eq!(at.world.state.tip().running.escrowed, Amount::ZERO);
    at.world.check();
}

#[test]
fn one_rebuilder_alone_or_three_that_disagree_strike_nothing() {
    let mut at = stored(&[3, 5]);
    let more = crate::ledger::tx::Extend { commitment: at.id, end: at.made().end.after(80), most: Amount(0) };
    at.world.does(&alice(), Action::Extend(more));
    at.next_rebuilder(&[]);
    let made = at.made();
    let named = at.mismatch(&[(3, made.slots[3].column)]);
    assert_eq!(at.refused(Action::Mismatch(named)), RepairError::NoMismatch { index: 3 });
    let live = at.mismatch(&[(4, ColumnId::new([1; 32]))]);
    assert_eq!(at.refused(Action::Mismatch(live)), RepairError::Columns { index: 4 });
    let unordered = at.mismatch(&[(5, ColumnId::new([1; 32])), (3, ColumnId::new([1; 32]))]);
    assert_eq!(at.refused(Action::Mismatch(unordered)), RepairError::Columns { index: 3 });
    let tx = at.world.tx(&bob(), Action::Mismatch(at.mismatch(&[(3, ColumnId::new([1; 32]))])));
    assert!(matches!(at.world.verdict(&tx), Err(TxError::OtherOwner { .. })));
    let mut seen = Vec::new();
    for number in 1..=3 {
        seen.push(at.next_rebuilder(&seen));
        for _ in 0..2 {
            at.world.does(&landlord(), Action::Mismatch(at.mismatch(&[(3, ColumnId::new([number; 32]))])));
        }
    }
    assert_eq!((at.state(3), at.world.state.doubts(&at.id).len()), (SlotState::Missing, 3));
    // What is stored in the end ends the doubt.
    at.world.does(&landlord(), Action::Repaired(at.honest(Hands::Rebuilder)));
    assert_eq!(at.world.state.get(&Key::Doubts(at.id)), None);
    at.world.check();
}

#[test]
fn columns_that_are_no_codeword_end_the_commitment() {
    let mut at = stored(&[7]);
    let holder = at.holder(0);
    at.world.does(&landlord(), Action::ReportLoss(ReportLoss { commitment: at.id, index: 0 }));
    let bond = at.provider(holder).bond;
    at.world.wait_for(1);
    at.silent(1, &[]);
    let proof = at.leaves(9, &[1, 2, 3, 4, 5]);
    for (given, need) in [(4, 5), (6, 5)] {
        let indexes: Vec<u8> = (1..=given).collect();
        let error = at.refused(Action::Inconsistent(at.leaves(9, &indexes)));
        assert_eq!(error, RepairError::Leaves { have: usize::from(given), need });
    }
    let unordered = at.leaves(9, &[1, 2, 3, 5, 4]);
    assert_eq!(at.refused(Action::Inconsistent(unordered)), RepairError::Leaves { have: 5, need: 5 });
    let moved = Inconsistent { leaf: 10, ..proof.clone() };
    assert!(matches!(at.refused(Action::Inconsistent(moved)), RepairError::Leaf(_)));
    let beyond = Inconsistent { leaf: u64::MAX, ..proof.clone() };
    assert!(matches!(at.refused(Action::Inconsistent(beyond)), RepairError::Leaf(_)));
    let mut far = proof.clone();
    far.leaves[4].index = 12;
    assert_eq!(at.refused(Action::Inconsistent(far)), RepairError::Leaves { have: 5, need: 5 });
    let (before, escrowed) = (at.world.account(&bob()).balance, at.world.state.tip().running.escrowed);
    let tx = at.world.tx(&bob(), Action::Inconsistent(proof));
    let fee = tx.body.fee;
    at.world.block(vec![tx]);
    at.world.check();
    assert_eq!(at.world.state.commitment(&at.id), None);
    let reward = bounty(&at.world.rules.params.repair, code("4/12"), LEN, 1);
    assert!(escrowed > reward);
    assert_eq!(at.world.account(&bob()).balance.0, before.0 + reward.0 - fee.0);
    assert_eq!(at.world.state.tip().running.escrowed, Amount::ZERO);
    let lost = at.provider(holder);
    assert_eq!((lost.bond, lost.collateral), (bond, Amount::ZERO), "nobody is punished");
}

#[test]
fn a_codeword_cannot_be_ended() {
    let (mut world, mut columns) = (World::of(&repairing()), Columns::default());
    let mut commit = columns.commit(&world, &alice(), 1, LEN);
    let data: Vec<Vec<u8>> = (0..4_u8).map(|index| (0..LEN).map(|at| index ^ at.to_le_bytes()[0]).collect()).collect();
    let mut parity = vec![vec![0; 40_000]; 8];
    let cells: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    erasure::encode(code("4/12"), &cells, &mut parity);
    for (slot, bytes) in commit.slots.iter_mut().zip(data.into_iter().chain(parity)) {
        slot.column = columns.keep(bytes);
    }
    world.sign_all(&alice(), &mut commit);
    world.does(&alice(), Action::Commit(commit.clone()));
    let id = CommitmentId { object: commit.object, extent: 0, owner: id(&alice()) };
    let at = Stored { world, columns, id };
    for indexes in [[0, 1, 2, 3, 4], [3, 5, 7, 9, 11], [0, 4, 5, 6, 7]] {
        let error = at.verdict(Action::Inconsistent(at.leaves(39, &indexes)));
        assert_eq!(error, Err(RepairError::Consistent.into()), "{indexes:?}, and it is charged");
    }
}
