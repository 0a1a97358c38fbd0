//! Making blocks and judging them.

use super::world::{World, alice, beacon_key, bob, code, genesis, id, key, vote_key};
use crate::{
    beacon::BeaconTurn,
    codec,
    id::{Amount, BlockId, Height, VoterKind},
    ledger::{
        BlockError, Genesis, Pending, Proposer, TxError, execute, judge, propose, rotation,
        state::Records,
        tx::{Action, Block, DecidedBlock, Header, Transfer, Tx, tx_root},
        vote::QuorumCertificateError,
    },
    limits,
};

fn pay(amount: u64) -> Action {
    Action::Transfer(Transfer { to: id(&bob()), amount: Amount(amount) })
}

/// A world at height 2, and a decided block for it with a transfer and a commit.
fn decided() -> (World, DecidedBlock) {
    let mut world = World::new();
    world.does(&alice(), pay(1));
    let txs =
        vec![world.tx(&alice(), pay(2)), world.tx(&bob(), Action::Commit(world.commit(&bob(), 1, code("4/12"), 4096)))];
    let block = world.propose(txs).block;
    assert_eq!(block.txs.len(), 2);
    let decided = world.decide(block);
    (world, decided)
}

#[test]
fn what_is_proposed_is_accepted_and_named() {
    let (world, decided) = decided();
    let changes = execute(&world.rules, &world.state, &decided).expect("sound");
    assert_eq!(changes.tip.block, decided.block.header.id());
    assert_eq!(changes.tip.state, decided.block.header.state);
    assert_eq!(changes.tip.height, Height(3));
    assert_eq!(judge(&world.rules, &world.state, &decided.block), Ok(changes));
    let bytes = codec::encode(&decided);
    assert_eq!(codec::decode::<DecidedBlock>(&bytes, limits::CHAIN_BODY).as_ref(), Ok(&decided));
}

/// What even the signatures of all validators do not make right.
#[test]
fn blocks_are_checked() {
    let (world, sound) = decided();
    let check = |desc: &str, change: &dyn Fn(&mut Block), expect: BlockError| {
        let mut block = sound.block.clone();
        change(&mut block);
        assert_eq!(execute(&world.rules, &world.state, &world.decide(block)), Err(expect), "{desc}");
    };
    let head = |change: fn(&mut Header)| move |block: &mut Block| change(&mut block.header);
    let (expected, before) = (Height(3), world.state.tip().running.time_ms);
    check("the last height", &head(|h| h.height = Height(2)), BlockError::Height { expected, got: Height(2) });
    check("a height ahead", &head(|h| h.height = Height(4)), BlockError::Height { expected, got: Height(4) });
    let parent = BlockError::Parent { expected: world.state.tip().block, got: BlockId::new([1; 32]) };
    check("another parent", &head(|h| h.parent = BlockId::new([1; 32])), parent);
    let same = move |block: &mut Block| block.header.time_ms = before;
    check("time stands still", &same, BlockError::Time { before, got: before });
    check("another root", &head(|h| h.roots.txs = [0; 32]), BlockError::Transactions);
    check("another root of proofs", &head(|h| h.roots.proofs[0] ^= 1), BlockError::Proofs);
    check("another state", &head(|h| h.state[0] ^= 1), BlockError::State);
    check("a later time is another state", &head(|h| h.time_ms += 1), BlockError::State);
    check("another history", &head(|h| h.history[0] ^= 1), BlockError::Header { what: "history" });
    check("other validators", &head(|h| h.validators[0] ^= 1), BlockError::Header { what: "validators" });
    let next = BlockError::Header { what: "next validators" };
    check("other validators to come", &head(|h| h.next_validators[0] ^= 1), next);
    let (chain, height, mix) = (&world.rules.chain, Height(3), &world.state.tip().running.mix);
    let other = beacon_key(9).sign(&BeaconTurn { chain, height, mix });
    check("another's beacon", &move |block| block.header.beacon = other, BlockError::Beacon);
    let own = |index: &u8| vote_key(*index).public::<VoterKind>() == sound.block.header.proposer;
    let proposer = beacon_key((0..4).find(own).expect("one of the four"));
    let early = proposer.sign(&BeaconTurn { chain, height, mix: &[0; 32] });
    check("a beacon signed in advance", &move |block| block.header.beacon = early, BlockError::Beacon);
    check("a transaction less", &|block| drop(block.txs.pop()), BlockError::Transactions);
    check("another order", &|block| block.txs.swap(0, 1), BlockError::Transactions);
    let twice = |block: &mut Block| {
        block.txs.push(block.txs[0].clone());
        root(block);
    };
    let again = TxError::Nonce { expected: 2, got: 1 };
    check("a transaction twice", &twice, BlockError::Tx { index: 2, error: again });
    check("a round without end", &head(|h| h.round = u32::MAX), BlockError::Round { round: u32::MAX });
}

#[test]
fn each_round_is_its_proposers_turn() {
    let (world, sound) = decided();
    let (expected, round) = (sound.block.header.proposer, 0);
    let others = (0..4).map(|index| vote_key(index).public()).filter(|key| *key != expected);
    for got in others.chain([key(8).public()]) {
        let mut block = sound.block.clone();
        block.header.proposer = got;
        let error = BlockError::Proposer { round, expected, got };
        assert_eq!(execute(&world.rules, &world.state, &world.decide(block)), Err(error));
    }
}

#[test]
fn who_misses_a_turn_is_skipped_for_a_while_and_forgiven_later() {
    let mut world = World::new();
    let height = world.state.tip().height.next();
    let late = rotation(&world.state).proposer(height, 0).expect("there are validators");
    let block = world.propose_in(1, vec![]).block;
    let changes = execute(&world.rules, &world.state, &world.decide(block)).expect("sound");
    world.state.commit(&changes);
    let skipped = |world: &World| rotation(&world.state).skipped().contains(&late);
    assert!(skipped(&world));
    let mut blocks = 0;
    while skipped(&world) {
        let block = world.propose(vec![]).block;
        assert_ne!(block.header.proposer, late);
        world.block(vec![]);
        blocks += 1;
    }
    assert_eq!(blocks, 16);
    while world.state.validator(&late).expect("a member").missed > 0 {
        world.block(vec![]);
    }
}

fn root(block: &mut Block) {
    let ids: Vec<_> = block.txs.iter().map(Tx::id).collect();
    block.header.roots.txs = tx_root(&ids);
}

#[test]
fn a_certificate_is_the_validators_for_this_block_and_chain() {
    let (world, sound) = decided();
    let execute = |decided: &DecidedBlock| execute(&world.rules, &world.state, decided);
    let with = |certificate| DecidedBlock { certificate, ..sound.clone() };
    assert!(execute(&with(world.certificate(&sound.block, [0, 2, 3]))).is_ok());
    let few = with(world.certificate(&sound.block, [0, 1]));
    assert!(matches!(execute(&few), Err(BlockError::Certificate(QuorumCertificateError::NoQuorum { .. }))));
    let stranger = with(world.certificate(&sound.block, [0, 1, 2, 9]));
    assert!(matches!(execute(&stranger), Err(BlockError::Certificate(QuorumCertificateError::NotValidator { .. }))));
    let mut other = sound.block.clone();
    other.header.time_ms += 1;
    let (expected, got) = (sound.block.header.id(), other.header.id());
    let of_other = with(world.certificate(&other, 0..4));
    assert_eq!(execute(&of_other), Err(BlockError::OtherCertificate { expected, got }));
    let foreign = World::of(&Genesis { name: "other".to_owned(), ..super::world::genesis() });
    let foreign = with(foreign.certificate(&sound.block, 0..4));
    assert!(matches!(execute(&foreign), Err(BlockError::Certificate(QuorumCertificateError::Signature { .. }))));
}

#[test]
fn a_block_fits_one_state_only() {
    let (mut world, decided) = decided();
    let changes = execute(&world.rules, &world.state, &decided).expect("sound");
    world.state.commit(&changes);
    let again = BlockError::Height { expected: Height(4), got: Height(3) };
    assert_eq!(execute(&world.rules, &world.state, &decided), Err(again));
}

/// Every byte counts: no other bytes than the proposer's are a block.
#[test]
fn every_flipped_byte_is_noticed() {
    let (world, sound) = decided();
    let bytes = codec::encode(&sound);
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            if let Ok(decided) = codec::decode::<DecidedBlock>(&bytes, limits::CHAIN_BODY) {
                assert!(execute(&world.rules, &world.state, &decided).is_err(), "byte {at} of {}", bytes.len());
            }
        }
    }
    for cut in 0..bytes.len() {
        assert!(codec::decode::<DecidedBlock>(&bytes[..cut], limits::CHAIN_BODY).is_err());
    }
}

#[test]
fn a_full_block_leaves_the_rest() {
    let mut world = World::new();
    let mut txs: Vec<Tx> = Vec::new();
    let mut bytes = 0;
    while bytes <= limits::BLOCK + 1_000 {
        let mut body = world.body(&alice(), pay(1));
        body.nonce = u64::try_from(txs.len()).expect("few");
        let tx = Tx::sign(body, &alice(), &world.rules.chain);
        bytes += codec::encode(&tx).len();
        txs.push(tx);
    }
    let count = txs.len();
    let proposal = world.offer(txs.clone());
    let taken = proposal.block.txs.len();
    assert!(proposal.rejected.is_empty() && taken < count && taken > count - 20);
    assert!(codec::encode(&world.decide(proposal.block.clone())).len() <= limits::CHAIN_BODY);
    // One more is too many, with any signature.
    let mut world = World::new();
    let mut larger = proposal.block;
    larger.txs = txs;
    root(&mut larger);
    assert_eq!(judge(&world.rules, &world.state, &larger), Err(BlockError::TooLarge { len: bytes }));
    world.block(vec![]);
}

#[test]
fn time_advances_even_when_the_clock_does_not() {
    let world = World::founded(&genesis());
    let key = rotation(&world.state).proposer(Height(1), 0).expect("there are validators");
    let index = (0..4).find(|index| vote_key(*index).public::<VoterKind>() == key).expect("one of four");
    let proposer = Proposer { key, beacon: &beacon_key(index), round: 0, now_ms: 5 };
    let proposal = propose(&world.rules, &world.state, Pending::txs(&[]), &proposer).expect("the rules are known");
    assert_eq!(proposal.changes.tip.running.time_ms, world.state.tip().running.time_ms + 1);
    assert_eq!(judge(&world.rules, &world.state, &proposal.block), Ok(proposal.changes));
}
