//! Making blocks and judging them.

use super::world::{World, alice, bob, code, id, key};
use crate::{
    beacon::BeaconSecret,
    codec,
    id::{Amount, BlockId, Height},
    ledger::{
        BlockError, Genesis, TxError, execute,
        state::Records,
        tx::{Action, Decided, Header, Transfer, Tx, tx_root},
        verify_header,
    },
    limits,
    sign::{Purpose, Signature},
};

fn pay(amount: u64) -> Action {
    Action::Transfer(Transfer { to: id(&bob()), amount: Amount(amount) })
}

/// A world at height 2, and a decided block for it with a transfer and a commit.
fn decided() -> (World, Decided) {
    let mut world = World::new();
    world.block(vec![]);
    world.does(&alice(), pay(1));
    let txs =
        vec![world.tx(&alice(), pay(2)), world.tx(&bob(), Action::Commit(world.commit(&bob(), 1, code("4/12"), 4096)))];
    let decided = world.propose(txs).decided;
    assert_eq!(decided.block.txs.len(), 2);
    (world, decided)
}

/// Signs the header anew, as a validator that means ill would.
fn certify(world: &World, decided: &mut Decided) {
    decided.certificate = key(9).sign(Purpose::Header, &world.rules.chain, &decided.block.header);
}

#[test]
fn what_is_proposed_is_accepted_and_named() {
    let (world, decided) = decided();
    let changes = execute(&world.rules, &world.state, &decided).expect("sound");
    assert_eq!(changes.tip.block, decided.block.header.id());
    assert_eq!(changes.tip.digest, decided.block.header.digest);
    assert_eq!(changes.tip.height, Height(3));
    assert_eq!(verify_header(&world.rules, &decided.block.header, &decided.certificate), Ok(()));
    let bytes = codec::encode(&decided);
    assert_eq!(codec::decode::<Decided>(&bytes, limits::CHAIN_BODY).as_ref(), Ok(&decided));
}

/// What even a signature of the validator does not make right.
#[test]
fn blocks_are_checked() {
    let (world, sound) = decided();
    let check = |desc: &str, change: &dyn Fn(&mut Decided), expect: BlockError| {
        let mut decided = sound.clone();
        change(&mut decided);
        certify(&world, &mut decided);
        assert_eq!(execute(&world.rules, &world.state, &decided), Err(expect), "{desc}");
    };
    let head = |change: fn(&mut Header)| move |decided: &mut Decided| change(&mut decided.block.header);
    let (expected, before) = (Height(3), world.state.tip().time_ms);
    check("the last height", &head(|h| h.height = Height(2)), BlockError::Height { expected, got: Height(2) });
    check("a height ahead", &head(|h| h.height = Height(4)), BlockError::Height { expected, got: Height(4) });
    let parent = BlockError::Parent { expected: world.state.tip().block, got: BlockId::new([1; 32]) };
    check("another parent", &head(|h| h.parent = BlockId::new([1; 32])), parent);
    let same = move |decided: &mut Decided| decided.block.header.time_ms = before;
    check("time stands still", &same, BlockError::Time { before, got: before });
    check("another root", &head(|h| h.txs = [0; 32]), BlockError::Transactions);
    check("another state", &head(|h| h.digest[0] ^= 1), BlockError::Digest);
    check("a later time is another state", &head(|h| h.time_ms += 1), BlockError::Digest);
    let chain = world.rules.chain;
    let other = BeaconSecret::from_seed(&[8; 32]).sign(&chain, Height(3));
    check("another's beacon", &move |decided| decided.block.header.beacon = other, BlockError::Beacon);
    let earlier = BeaconSecret::from_seed(&[9; 32]).sign(&chain, Height(2));
    check("another height's beacon", &move |decided| decided.block.header.beacon = earlier, BlockError::Beacon);
    check("a transaction less", &|decided| drop(decided.block.txs.pop()), BlockError::Transactions);
    check("another order", &|decided| decided.block.txs.swap(0, 1), BlockError::Transactions);
    let twice = |decided: &mut Decided| {
        decided.block.txs.push(decided.block.txs[0].clone());
        root(decided);
    };
    let again = TxError::Nonce { expected: 2, got: 1 };
    check("a transaction twice", &twice, BlockError::Tx { index: 2, error: again });
    let stranger = |decided: &mut Decided| decided.block.header.proposer = key(8).public();
    check("no validator", &stranger, BlockError::NotValidator { proposer: key(8).public() });
}

fn root(decided: &mut Decided) {
    let ids: Vec<_> = decided.block.txs.iter().map(Tx::id).collect();
    decided.block.header.txs = tx_root(&ids);
}

#[test]
fn a_certificate_is_the_proposers_for_this_header_and_chain() {
    let (world, sound) = decided();
    let header = &sound.block.header;
    let foreign = Genesis { name: "other".to_owned(), ..super::world::genesis() }.id();
    let forged = [
        key(8).sign(Purpose::Header, &world.rules.chain, header),
        key(9).sign(Purpose::Tx, &world.rules.chain, header),
        key(9).sign(Purpose::Header, &foreign, header),
        Signature([0; 64]),
    ];
    for certificate in forged {
        let decided = Decided { certificate, ..sound.clone() };
        assert_eq!(execute(&world.rules, &world.state, &decided), Err(BlockError::Certificate));
    }
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
            if let Ok(decided) = codec::decode::<Decided>(&bytes, limits::CHAIN_BODY) {
                assert!(execute(&world.rules, &world.state, &decided).is_err(), "byte {at} of {}", bytes.len());
            }
        }
    }
    for cut in 0..bytes.len() {
        assert!(codec::decode::<Decided>(&bytes[..cut], limits::CHAIN_BODY).is_err());
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
    let taken = proposal.decided.block.txs.len();
    assert!(proposal.rejected.is_empty() && taken < count && taken > count - 20);
    assert!(codec::encode(&proposal.decided).len() <= limits::CHAIN_BODY);
    // One more is too many, whoever signs it.
    let mut world = World::new();
    let mut larger = proposal.decided;
    larger.block.txs = txs;
    root(&mut larger);
    certify(&world, &mut larger);
    assert_eq!(execute(&world.rules, &world.state, &larger), Err(BlockError::TooLarge { len: bytes }));
    world.block(vec![]);
}

#[test]
fn time_advances_even_when_the_clock_does_not() {
    let world = World::new();
    let (key, beacon) = (key(9), BeaconSecret::from_seed(&[9; 32]));
    let proposer = crate::ledger::Proposer { key: &key, beacon: &beacon };
    let proposal = crate::ledger::propose(&world.rules, &world.state, 5, vec![], &proposer);
    assert_eq!(proposal.changes.tip.time_ms, world.state.tip().time_ms + 1);
    assert_eq!(execute(&world.rules, &world.state, &proposal.decided), Ok(proposal.changes));
}
