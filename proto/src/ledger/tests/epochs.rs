//! What happens as epochs turn.

use super::world::{CAPACITY, World, alice, code, genesis, id, landlord, node_key, object};
use crate::{
    beacon::BeaconSignature,
    id::{Amount, ColumnId, Epoch, Height, NodeId, ObjectId},
    ledger::{
        Draft, TxError,
        apply::seal,
        epoch,
        state::{Commitment, CommitmentId, ProofSpace, Records, Slot, SlotState},
        tx::{Action, Extend},
    },
    limits,
};

#[test]
fn epochs_freeze_their_roster_and_are_forgotten() {
    let mut world = World::new();
    while world.state.tip().height < Height(3) {
        world.block(vec![]);
        assert_eq!(world.epoch(), Epoch(0));
    }
    world.does(&landlord(), Action::Register(world.register(&landlord(), 50)));
    assert_eq!(world.epoch(), Epoch(1));
    let node: NodeId = node_key(50).public();
    let knows = |world: &World, epoch| {
        world.state.epoch(Epoch(epoch))?;
        Some(world.listed(Epoch(epoch), node).is_some())
    };
    assert_eq!(knows(&world, 1), Some(false), "registered in the block that began it: too late");
    world.wait_for(2);
    assert_eq!((knows(&world, 0), knows(&world, 1), knows(&world, 2)), (None, Some(false), Some(true)));
    let beacons = [1, 2].map(|epoch| world.state.epoch(Epoch(epoch)).expect("kept").beacon);
    assert_ne!(beacons[0], beacons[1]);
}

/// A proof answers the beacon, so only the blocks after it count.
#[test]
fn an_epoch_counts_its_blocks_with_space_for_proofs() {
    let mut world = World::new();
    world.wait_for(1);
    let mut after = 0;
    while world.epoch() == Epoch(1) {
        let record = world.state.epoch(Epoch(1)).expect("in progress");
        assert_eq!(record.space, ProofSpace { blocks: after, with_space: after });
        after += u64::from(record.beacon.is_some());
        world.block(vec![]);
    }
    assert!(after > 1);
    let ended = world.state.epoch(Epoch(1)).expect("kept").space;
    assert_eq!((ended.blocks, ended.with_space), (after - 1, after - 1), "the last one began the next epoch");
}

#[test]
fn a_block_without_space_is_counted_as_such() {
    let mut world = World::new();
    while world.state.epoch(Epoch(0)).expect("kept").beacon.is_none() {
        world.block(vec![]);
    }
    let mut draft = Draft::new(&world.state);
    let mut space_after = |bytes| {
        epoch::end(&mut draft, &world.rules, &BeaconSignature([0; 48]), bytes);
        draft.epoch(Epoch(0)).expect("kept").space
    };
    let before = space_after(0);
    let full = space_after(limits::PROOFS - limits::PROOF + 1);
    assert_eq!((full.blocks, full.with_space), (before.blocks + 1, before.with_space));
    let left = space_after(limits::PROOFS - limits::PROOF);
    assert_eq!((left.blocks, left.with_space), (full.blocks + 1, full.with_space + 1));
}

#[test]
fn rosters_weigh_free_bytes_and_leave_out_the_full() {
    let mut world = World::new();
    let commit = world.commit(&alice(), 1, code("4/12"), CAPACITY / 2);
    let holder = commit.slots[0].provider;
    world.does(&alice(), Action::Commit(commit));
    let weight = |world: &World, epoch| world.listed(Epoch(epoch), holder).map(|offer| offer.weight);
    assert_eq!(weight(&world, 0), Some(CAPACITY), "frozen");
    world.wait_for(1);
    assert_eq!(weight(&world, 1), Some(CAPACITY / 2));
    let index = (0..14).find(|index| node_key(*index).public::<crate::id::NodeKind>() == holder).expect("one of them");
    let mut register = world.register(&landlord(), index);
    register.capacity = CAPACITY / 2;
    world.does(&landlord(), Action::Register(register));
    world.wait_for(2);
    assert_eq!(weight(&world, 2), None);
}

#[test]
fn commitments_end_with_their_epoch() {
    let mut world = World::new();
    let mut commit = world.commit(&alice(), 1, code("4/12"), 4096);
    commit.end = Epoch(3);
    world.does(&alice(), Action::Commit(commit));
    let key = CommitmentId { object: object(1), extent: 0, owner: id(&alice()) };
    let escrow = world.state.commitment(&key).expect("committed").escrow;
    while world.state.tip().height.0 < 11 {
        world.block(vec![]);
        assert!(world.state.commitment(&key).is_some());
    }
    let before = world.account(&alice()).balance;
    world.block(vec![]);
    assert_eq!((world.epoch(), world.state.commitment(&key)), (Epoch(3), None));
    assert_eq!(world.account(&alice()).balance, Amount(before.0 + escrow.0));
    assert!(world.state.providers().iter().all(|provider| provider.used == 0));
}

/// A state with many commitments that end in epoch 1, put there without the rules.
fn crowded(count: u32) -> World {
    let mut world = World::new();
    let state = world.state.clone();
    let mut draft = Draft::new(&state);
    let running = draft.running_mut();
    running.minted = running.minted.plus(Amount(u64::from(count))).expect("little money");
    running.escrowed = Amount(u64::from(count));
    let (provider, column) = (node_key(0).public(), ColumnId::new([0; 32]));
    let missing = Slot {
        provider,
        column,
        since: Epoch(0),
        ask: Amount(1),
        cap: Amount(1),
        collateral: Amount(0),
        base: 0,
        state: SlotState::Missing,
    };
    for number in 0..count {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        let id = CommitmentId { object: ObjectId::new(bytes), extent: 0, owner: id(&alice()) };
        draft.put_commitment(Commitment {
            id,
            size: 1,
            extents: 1,
            code: code("2/4"),
            column_len: 64,
            slots: vec![missing; 4],
            start: Epoch(0),
            end: Epoch(1),
            until: Epoch(1),
            escrow: Amount(1),
            fund: Amount(0),
            ticket: None,
        });
    }
    // As the block after the genesis would.
    draft.tip_mut().height = state.tip().height.next();
    world.state.commit(&seal(&state, draft, vec![]));
    world.check();
    world
}

#[test]
fn many_endings_take_several_blocks_and_cannot_be_extended_meanwhile() {
    let most = u32::try_from(limits::ENDING_SLOTS / 4).expect("a small constant");
    let mut world = crowded(most + 7);
    world.wait_for(1);
    assert_eq!(world.state.tip().running.escrowed, Amount(7), "the bound of one block");
    let last = *world.state.ending(Epoch(1), 1).first().expect("seven wait");
    // The next block ends them before its transactions; within a draft of this state one can see the wait.
    let extend = Action::Extend(Extend { commitment: last, end: Epoch(50), most: Amount(0) });
    let none = TxError::NoCommitment { object: last.object, extent: 0 };
    assert_eq!(world.verdict(&world.tx(&alice(), extend)), Err(none));
    world.block(vec![]);
    assert_eq!((world.state.tip().running.escrowed, world.state.ending(Epoch(99), 1)), (Amount(0), vec![]));
}

#[test]
fn an_ended_commitment_that_waits_is_not_extended() {
    let most = u32::try_from(limits::ENDING_SLOTS / 4).expect("a small constant");
    let mut world = crowded(2 * most + 7);
    world.wait_for(1);
    let waiting = *world.state.ending(Epoch(1), usize::MAX).last().expect("many wait");
    let extend = Action::Extend(Extend { commitment: waiting, end: Epoch(50), most: Amount(0) });
    let none = TxError::NoCommitment { object: waiting.object, extent: 0 };
    assert_eq!(world.verdict(&world.tx(&alice(), extend)), Err(none));
}

#[test]
fn epochs_of_a_second_work() {
    let mut genesis = genesis();
    genesis.params.time.epoch_ms = 1_000;
    let mut world = World::of(&genesis);
    for number in 0..6 {
        world.does(&alice(), Action::Commit(world.commit(&alice(), number, code("4/12"), 64)));
    }
    assert_eq!(world.epoch(), Epoch(3), "one block makes the beacon, and one is the window");
}
