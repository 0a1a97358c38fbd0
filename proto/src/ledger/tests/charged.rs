//! What fails after costly checks pays for them.

use super::world::{World, alice, bob, code, genesis, id, landlord, object, pauper};
use crate::{
    beacon::BeaconSignature,
    codec,
    id::{Amount, ColumnId, TxId},
    ledger::{
        BlockError, CheckedTx, Execution, NotCharged, TxError, execute,
        state::{CommitmentId, Records},
        tx::{Action, Anchor, Block, Commit, Roots, Together, Transfer, Tx, TxList, tx_proof},
    },
    limits,
    sign::Keypair,
};

const LENGTH: u64 = 65_536;

/// A commit of which all receipts but the last are good.
fn failing(world: &World, sender: &Keypair) -> Commit {
    let mut commit = world.commit(sender, 1, code("4/12"), LENGTH);
    commit.slots[11].receipt = commit.slots[10].receipt;
    commit
}

fn pay(amount: u64) -> Action {
    Action::Transfer(Transfer { to: id(&bob()), amount: Amount(amount) })
}

/// Whether a transaction with this action fails after costly checks; it must fail.
fn is_charged(world: &World, sender: &Keypair, action: Action) -> bool {
    let tx = CheckedTx::check(&world.rules, world.tx(sender, action)).expect("proper form");
    let mut execution = Execution::new(&world.rules, &world.state, world.state.tip().running.time_ms + 1, 0);
    let error = execution.apply(&tx).expect_err("it fails");
    let charge = execution.charge(&tx);
    match error {
        TxError::Charged(_) => assert_eq!(charge, Ok(())),
        error => {
            assert_eq!(charge, Err(NotCharged::Refused(error)));
            return false;
        }
    }
    true
}

#[test]
fn only_what_had_costly_checks_made_is_charged() {
    let mut founding = genesis();
    founding.params.governance.max_power_share = 100;
    founding.accounts[0].balance = Amount(50_000_000_000);
    let mut world = World::of(&founding);
    world.wait_for(2);
    let commit = |change: &dyn Fn(&mut Commit)| {
        let mut commit = world.commit(&alice(), 1, code("4/12"), LENGTH);
        change(&mut commit);
        Action::Commit(commit)
    };
    let check = |desc: &str, action, charged| assert_eq!(is_charged(&world, &alice(), action), charged, "{desc}");
    check("an invalid receipt", commit(&|commit| commit.slots[3].column = ColumnId::new([9; 32])), true);
    check("too few receipts", commit(&|commit| commit.slots.iter_mut().for_each(|slot| slot.receipt = None)), false);
    check("an impossible term", commit(&|commit| commit.end = world.epoch()), false);
    check("who was not drawn", commit(&|commit| commit.draw.epoch = commit.draw.epoch.after(9)), false);
    check("more than there is", pay(u64::MAX), false);
    let together = |parts| Action::Together(Together::new(parts).expect("few"));
    let broke = together(vec![commit(&|_| {}), pay(u64::MAX)]);
    check("costly checks of a part, and no money for the next", broke, true);
    check("no money first", together(vec![pay(u64::MAX), commit(&|_| {})]), false);
    let mut join = world.join(&alice(), 4);
    join.beacon_proof = BeaconSignature([0; 48]);
    check("no proof of possession", Action::Join(join.clone()), true);
    join.bond = Amount(60_000_000_000);
    check("no money for the bond: the proof is not looked at", Action::Join(join), false);
}

#[test]
fn a_charged_transaction_pays_its_fee_and_does_nothing_else() {
    let mut world = World::new();
    let (tx, before) = (world.tx(&alice(), Action::Commit(failing(&world, &alice()))), world.clone());
    let proposal = world.offer(vec![tx.clone()]);
    assert_eq!((proposal.block.txs, proposal.block.charged, proposal.rejected), (vec![], vec![tx.clone()], vec![]));
    let (was, now) = (before.account(&alice()), world.account(&alice()));
    assert_eq!((now.nonce, now.balance), (was.nonce + 1, Amount(was.balance.0 - tx.body.fee.0)));
    let key = CommitmentId { object: object(1), extent: 0, owner: id(&alice()) };
    assert_eq!(world.state.commitment(&key), None);
    let money = |world: &World| world.state.tip().running;
    let (was, now) = (money(&before), money(&world));
    assert_eq!((now.burnt.0, now.escrowed, now.stored), (was.burnt.0 + tx.body.fee.0, was.escrowed, was.stored));
    assert!(now.fee_factor >= was.fee_factor, "its bytes count as others do");
}

/// What is proven to be in a list is proven to have been applied, or to have failed.
#[test]
fn no_proof_is_of_the_other_list() {
    let mut world = World::new();
    let txs = vec![world.tx(&bob(), pay(1)), world.tx(&alice(), Action::Commit(failing(&world, &alice())))];
    let block = world.offer(txs.clone()).block;
    let ids: Vec<TxId> = txs.iter().map(Tx::id).collect();
    for (list, other, id) in [(TxList::Applied, TxList::Charged, ids[0]), (TxList::Charged, TxList::Applied, ids[1])] {
        let proof = tx_proof(&[id], 0).expect("it is there");
        assert_eq!(proof.verify(block.header.roots.of(list), &id), Ok(()));
        assert!(proof.verify(block.header.roots.of(other), &id).is_err());
    }
    let places: Vec<String> = block.places().map(|(place, _)| place.to_string()).collect();
    assert_eq!(places, ["2", "2/charged/0"]);
}

#[test]
fn what_follows_a_failure_waits_for_the_next_block() {
    let mut world = World::new();
    let fails = world.tx(&alice(), Action::Commit(failing(&world, &alice())));
    let mut body = world.body(&alice(), pay(1));
    body.nonce += 1;
    let next = Tx::sign(body, &alice(), &world.rules.chain);
    let other = world.tx(&bob(), Action::Anchor(Anchor { hash: [1; 32] }));
    let proposal = world.offer(vec![fails.clone(), next.clone(), other.clone()]);
    assert_eq!((proposal.block.txs, proposal.block.charged), (vec![other], vec![fails]));
    assert_eq!(proposal.rejected, [], "it is not lost");
    world.block(vec![next]);
}

/// A block whose lists say otherwise than the rules is refused, even with all signatures.
#[test]
fn nobody_is_charged_for_another_reason() {
    let mut world = World::new();
    let good = world.tx(&bob(), pay(1));
    let fails = world.tx(&alice(), Action::Commit(failing(&world, &alice())));
    let poor = world.tx(&landlord(), pay(u64::MAX));
    let sound = world.propose(vec![good.clone(), fails.clone()]).block;
    let check = |desc: &str, change: &dyn Fn(&mut Block), expect: BlockError| {
        let mut block = sound.clone();
        change(&mut block);
        block.header.roots = block.roots();
        assert_eq!(execute(&world.rules, &world.state, &world.decide(block)), Err(expect), "{desc}");
    };
    let charged = |index, error| BlockError::Charged { index, error };
    let applies = charged(0, NotCharged::Applies);
    check("one that is good", &|block| std::mem::swap(&mut block.txs, &mut block.charged), {
        let error = TxError::Charged(Box::new(receipt(&world)));
        BlockError::Tx { index: 0, error }
    });
    check("one that is good alone", &|block| block.charged = std::mem::take(&mut block.txs), applies);
    let refused = TxError::Funds { need: Amount(u64::MAX), have: world.account(&landlord()).balance };
    check("one that is refused for free", &|block| block.charged = vec![poor.clone()], {
        charged(0, NotCharged::Refused(refused))
    });
    let again = TxError::Nonce { expected: 1, got: 0 };
    let twice = |block: &mut Block| block.charged.push(fails.clone());
    check("one twice", &twice, charged(1, NotCharged::Refused(again)));
    let unsigned = |block: &mut Block| block.charged[0].body.fee.0 += 1;
    check("one for another fee", &unsigned, charged(0, NotCharged::Refused(TxError::Signature)));
    check("nobody, for what failed", &|block| block.charged.clear(), BlockError::State);
    let count = limits::CHARGED + 1;
    let many = |block: &mut Block| block.charged = vec![fails.clone(); count];
    check("too many", &many, BlockError::TooManyCharged { count });
    let mut moved = sound.clone();
    moved.header.roots =
        Roots { charged: sound.header.roots.txs, txs: sound.header.roots.charged, ..moved.header.roots };
    assert_eq!(execute(&world.rules, &world.state, &world.decide(moved)), Err(BlockError::Transactions));
    let bytes = codec::encode(&sound);
    assert_eq!(codec::decode::<Block>(&bytes, limits::CHAIN_BODY), Ok(sound.clone()));
    world.block(vec![good]);
}

fn receipt(world: &World) -> TxError {
    TxError::Receipt { index: 11, provider: failing(world, &alice()).slots[11].provider }
}

/// Who cannot pay the fee is not charged, and has no receipt verified.
#[test]
fn who_cannot_pay_is_refused_before() {
    let world = World::new();
    let tx = CheckedTx::check(&world.rules, world.tx(&pauper(), Action::Commit(failing(&world, &alice()))));
    let mut execution = Execution::new(&world.rules, &world.state, world.state.tip().running.time_ms + 1, 0);
    let verdict = execution.charge(&tx.expect("proper form"));
    assert!(matches!(verdict, Err(NotCharged::Refused(TxError::Funds { .. }))), "{verdict:?}");
}
