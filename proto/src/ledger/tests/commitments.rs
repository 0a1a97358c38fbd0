//! Committing, extending and releasing.

use super::world::{World, alice, bob, code, id, key_of, landlord, node_key, object, pauper};
use crate::{
    id::{Amount, ColumnId, Epoch, NodeId, ObjectId},
    ledger::{
        DrawChance, Genesis, TakeError, TxError, collateral, full_bond, price_per_epoch, pulse_height,
        repair::bounty,
        state::{Commitment, CommitmentId, Key, Records, SlotState},
        tx::{Action, Commit, Extend, Register, Release},
    },
    limits,
    params::Code,
    placement::{Caps, Draw, PlacementError},
    sign::Keypair,
};

const LENGTH: u64 = 65_536;

#[test]
fn a_commitment_locks_its_price_and_takes_its_room() {
    let mut world = World::new();
    world.wait_for(2);
    let (start, before) = (world.epoch(), world.account(&alice()).balance);
    let mut commit = world.commit(&alice(), 1, code("4/12"), LENGTH);
    commit.slots[5].receipt = None;
    let tx = world.tx(&alice(), Action::Commit(commit.clone()));
    let fee = tx.body.fee;
    world.block(vec![tx]);
    let made = world.state.commitment(&key_of(&alice(), 1)).expect("committed");
    let price_of = |provider: &NodeId| world.listed(start, *provider).expect("drawn").price;
    let live = commit.slots.iter().enumerate().filter(|(index, _)| *index != 5);
    let price: u64 = live.map(|(_, slot)| price_per_epoch(LENGTH, price_of(&slot.provider)).0).sum();
    let cap: u64 = commit.slots.iter().map(|slot| price_per_epoch(LENGTH, slot.cap).0).sum();
    assert_eq!((made.price(), made.cap(), made.escrow), (Amount(price), Amount(cap), Amount(cap * 10)));
    assert_eq!((made.start, made.end, made.live()), (start, start.after(10), 11));
    let repair = bounty(&world.rules.params.repair, code("4/12"), LENGTH, 1);
    assert_eq!((made.fund, made.ticket), (repair, Some(start)), "the column without a receipt is to be repaired");
    assert_eq!(world.account(&alice()).balance, Amount(before.0 - cap * 10 - repair.0 - fee.0));
    for (index, slot) in made.slots.iter().enumerate() {
        let provider = world.state.provider(&slot.provider).expect("registered");
        let expect = if index == 5 { (SlotState::Missing, 0) } else { (SlotState::Live, LENGTH) };
        assert_eq!((slot.state, provider.used), expect);
        assert_eq!(slot.column, commit.slots[index].column);
    }
}

/// What a commit must be. Each case changes a proper one, and signs it again where only the change is tested.
#[test]
fn commits_are_checked() {
    let mut world = World::new();
    world.wait_for(3);
    let check = |desc: &str, change: &dyn Fn(&mut Commit), expect: Result<(), TxError>| {
        let mut commit = world.commit(&alice(), 1, code("4/12"), LENGTH);
        change(&mut commit);
        commit.until = commit.until.max(commit.end);
        world.sign_all(&alice(), &mut commit);
        assert_eq!(world.verdict(&world.tx(&alice(), Action::Commit(commit))), expect, "{desc}");
    };
    check("as it should be", &|_| {}, Ok(()));
    for bad in [Code { k: 0, n: 12 }, Code { k: 12, n: 12 }, Code { k: 13, n: 12 }, Code { k: 0, n: 0 }] {
        check("no code", &|commit| commit.code = bad, Err(TxError::Code(bad)));
    }
    check("a slot less", &|commit| commit.slots.truncate(11), Err(TxError::SlotCount { have: 11, need: 12 }));
    let more = |commit: &mut Commit| commit.slots.push(commit.slots[0]);
    check("a slot more", &more, Err(TxError::SlotCount { have: 13, need: 12 }));
    let first = world.commit(&alice(), 1, code("4/12"), LENGTH).slots[0].provider;
    let twice = |commit: &mut Commit| commit.slots[7].provider = first;
    check("a provider twice", &twice, Err(TxError::Duplicate { index: 7, provider: first }));
    check("a column twice is no harm", &|commit| commit.slots[7].column = commit.slots[0].column, Ok(()));
    check("nothing in an object", &|commit| commit.size = 0, Ok(()));
    let epoch = world.epoch();
    let term = |end| Err(TxError::Term { end, earliest: epoch.after(1), latest: epoch.after(100) });
    check("ends now", &|commit| commit.end = epoch, term(epoch));
    check("ended before", &|commit| commit.end = Epoch(0), term(Epoch(0)));
    check("one epoch", &|commit| commit.end = epoch.after(1), Ok(()));
    check("the longest term", &|commit| commit.end = epoch.after(100), Ok(()));
    check("one longer", &|commit| commit.end = epoch.after(101), term(epoch.after(101)));
    check("without end", &|commit| commit.end = Epoch(u64::MAX), term(Epoch(u64::MAX)));
    let too_many = code("8/24");
    let few = TxError::Placement(PlacementError::TooFewProviders { code: too_many, have: 14 });
    let larger = |commit: &mut Commit| {
        commit.code = too_many;
        let slot = commit.slots[0];
        let more = (12..24).map(|index| crate::ledger::tx::SlotClaim { provider: NodeId::new([index; 32]), ..slot });
        commit.slots.extend(more);
    };
    check("more columns than providers", &larger, Err(few));
    let narrow = |commit: &mut Commit| commit.code = code("11/12");
    let Err(concentrated) = Caps::of(&world.state.epoch(epoch).expect("kept").roster, code("11/12"), 3) else {
        panic!("seven domains cannot carry a code that one loss breaks");
    };
    check("a domain could take it along", &narrow, Err(TxError::Placement(concentrated)));
}

#[test]
fn layouts_are_plausible() {
    let world = World::new();
    let check = |desc: &str, (extent, extents), size, column_len, fits: bool| {
        let mut commit = world.commit(&alice(), 1, code("4/12"), LENGTH);
        (commit.extent, commit.extents, commit.size, commit.column_len) = (extent, extents, size, column_len);
        let verdict = world.verdict(&world.tx(&alice(), Action::Commit(commit)));
        let refused = Err(TxError::Layout { size, column_len, extent, extents });
        // What is plausible fails later: its draw was for extent 0, or its receipts were for another length.
        assert_eq!(verdict == refused, !fits, "{desc}: {verdict:?}");
    };
    let column = limits::COLUMN;
    check("one unit", (0, 1), 1, 64, true);
    check("no column", (0, 1), 0, 0, false);
    check("half a unit", (0, 1), 1, 32, false);
    check("a unit and a half", (0, 1), 1, 96, false);
    check("a whole extent", (0, 1), 4 * column, column, true);
    check("more than an extent", (0, 1), 4 * column, column + 64, false);
    check("more bytes than columns", (0, 1), 4 * column + 1, column, false);
    check("no extents", (0, 0), 1, 64, false);
    check("outside", (1, 1), 1, 64, false);
    check("the largest extent number", (u32::MAX, u32::MAX), 1, 64, false);
    check("a short first extent", (0, 2), 1, 64, false);
    check("a full first extent", (0, 2), 4 * column + 1, column, true);
    check("a short last extent", (1, 2), 4 * column + 1, 64, true);
    check("the most extents", (1_023, 1_024), u64::MAX >> 22, 64, true);
    check("one more", (1_024, 1_025), 1, 64, false);
}

#[test]
fn draws_are_checked() {
    let mut world = World::new();
    world.wait_for(6);
    let pay = || Action::Transfer(crate::ledger::tx::Transfer { to: id(&bob()), amount: Amount(1) });
    (0..2).for_each(|_| world.does(&alice(), pay()));
    assert_eq!(world.epoch(), Epoch(6));
    // Draws again and signs: only the rules about which draw remain to break.
    let check = |desc: &str, epoch: u64, number: u32, expect: Result<(), TxError>| {
        let mut commit = world.commit(&alice(), 1, code("2/4"), LENGTH);
        commit.draw = Draw { epoch: Epoch(epoch), number };
        if world.state.epoch(Epoch(epoch)).is_some() {
            let drawn = world.drawn(&alice(), commit.draw, commit.code);
            commit.slots.iter_mut().zip(drawn).for_each(|(slot, provider)| slot.provider = provider);
        }
        world.sign_all(&alice(), &mut commit);
        assert_eq!(world.verdict(&world.tx(&alice(), Action::Commit(commit))), expect, "{desc}");
    };
    let epoch_error = |given| Err(TxError::DrawEpoch { given: Epoch(given), oldest: Epoch(5), newest: Epoch(6) });
    let number_error = |given| Err(TxError::DrawNumber { given, draws: 16 });
    check("this epoch", 6, 0, Ok(()));
    check("the last epoch", 5, 0, Ok(()));
    check("the epoch before", 4, 0, epoch_error(4));
    check("the next epoch", 7, 0, epoch_error(7));
    check("the end of time", u64::MAX, 0, epoch_error(u64::MAX));
    check("the last number", 6, 15, Ok(()));
    check("one more", 6, 16, number_error(16));
    check("far more", 6, u32::MAX, number_error(u32::MAX));
}

#[test]
fn a_draw_outlives_any_number_of_transactions_and_serves_any_number_of_commits() {
    let mut world = World::new();
    world.wait_for(1);
    let first = world.commit(&alice(), 1, code("2/4"), LENGTH);
    let pay = || Action::Transfer(crate::ledger::tx::Transfer { to: id(&bob()), amount: Amount(1) });
    let nonce = world.account(&alice()).nonce;
    let payments = (0..200).map(|number| {
        let body = crate::ledger::tx::TxBody { nonce: nonce + number, ..world.body(&alice(), pay()) };
        crate::ledger::tx::Tx::sign(body, &alice(), &world.rules.chain)
    });
    world.block(payments.collect());
    let mut second = first.clone();
    second.object = crate::ledger::tests::world::object(2);
    world.sign_all(&alice(), &mut second);
    world.does(&alice(), Action::Commit(first));
    world.does(&alice(), Action::Commit(second));
}

#[test]
fn an_account_younger_than_the_roster_waits_for_its_pulse() {
    let (mut world, newcomer) = World::with_newcomer();
    let height = world.state.tip().height;
    let first = |world: &World| {
        let epoch = world.state.tip().running.clock.drawable().expect("the network has a beacon");
        world.state.epoch(epoch).expect("it is kept").first
    };
    let DrawChance::Pulse(number) = DrawChance::of(first(&world), height, 2) else { panic!("it is young") };
    let mut waited = 0;
    while world.state.pulse(number).is_none() {
        let mut early = world.commit(&alice(), 1, code("2/4"), LENGTH);
        world.sign_all(&newcomer, &mut early);
        let verdict = world.verdict(&world.tx(&newcomer, Action::Commit(early)));
        assert_eq!(verdict, Err(TxError::NoPulse { height: pulse_height(number, 2) }));
        world.block(vec![]);
        waited += 1;
    }
    assert!((1..=4).contains(&waited), "{waited} blocks");
    let commit = world.commit(&newcomer, 1, code("2/4"), LENGTH);
    world.does(&newcomer, Action::Commit(commit));
    // In a later epoch it draws by the beacon as all do, and pulses that nobody needs are removed.
    world.wait_for(9);
    assert_eq!(DrawChance::of(first(&world), height, 2), DrawChance::Beacon);
    world.does(&newcomer, Action::Commit(world.commit(&newcomer, 2, code("2/4"), LENGTH)));
    let kept = world.state.scan(&Key::Pulse(0), &Key::Pulse(u64::MAX), usize::MAX).len();
    assert!((1..=8).contains(&kept), "{kept} pulses of three epochs of four blocks");
}

/// Until the beacon of an epoch is complete, nobody can have drawn with it: draws come from the epoch before.
#[test]
fn an_epoch_cannot_be_drawn_with_before_its_beacon_is_complete() {
    let mut world = World::new();
    while world.state.tip().height.0 < 7 {
        world.block(vec![]);
    }
    let before = world.commit(&alice(), 1, code("2/4"), LENGTH);
    let mut commit = before.clone();
    commit.draw.epoch = Epoch(2);
    let error = TxError::DrawEpoch { given: Epoch(2), oldest: Epoch(1), newest: Epoch(1) };
    let tx = world.tx(&alice(), Action::Commit(commit));
    let proposal = world.propose(vec![tx.clone()]);
    assert_eq!((proposal.changes.tip.running.clock.epoch, proposal.rejected), (Epoch(2), vec![(tx.id(), error)]));
    world.does(&alice(), Action::Commit(before));
}

#[test]
fn holders_are_of_the_draw_and_keep_the_domain_rule() {
    let world = World::new();
    let cloud = |node: &NodeId| world.state.provider(node).expect("registered").domain.infrastructure;
    let mut proper = world.commit(&alice(), 1, code("2/4"), LENGTH);
    // A draw that has one of the later on the infrastructure of one of the first.
    let find = |number| {
        let drawn = world.drawn(&alice(), Draw { number, ..proper.draw }, proper.code);
        let with = |node: &NodeId| drawn[..3].iter().position(|other| cloud(other) == cloud(node));
        let twin = drawn[4..].iter().find_map(|node| Some((with(node)?, *node)))?;
        Some((number, drawn, twin))
    };
    let (number, drawn, (with, twin)) = (0..world.rules.params.draws).find_map(find).expect("one of them");
    proper.draw.number = number;
    assert_eq!(drawn.len(), 8, "twice n");
    let check = |desc: &str, providers: [NodeId; 4], expect: Result<(), TxError>| {
        let mut commit = proper.clone();
        commit.slots.iter_mut().zip(providers).for_each(|(slot, provider)| slot.provider = provider);
        world.sign_all(&alice(), &mut commit);
        assert_eq!(world.verdict(&world.tx(&alice(), Action::Commit(commit))), expect, "{desc}");
    };
    check("the first four", [drawn[0], drawn[1], drawn[2], drawn[3]], Ok(()));
    check("in another order", [drawn[3], drawn[1], drawn[0], drawn[2]], Ok(()));
    let fresh = drawn[4..].iter().find(|node| drawn[..3].iter().all(|other| cloud(other) != cloud(node)));
    check("one of the later replaces", [drawn[0], drawn[1], drawn[2], *fresh.expect("there is one")], Ok(()));
    let rule = TxError::DomainRule { operator: 1, infrastructure: 1, region: 1 };
    check("two on one infrastructure", [drawn[0], drawn[1], drawn[2], twin], Err(rule));
    assert!(with < 3);
    let outside = world.roster(Epoch(0)).into_iter().map(|entry| entry.provider);
    let outside = outside.into_iter().find(|node| !drawn.contains(node)).expect("six");
    let not_drawn = TxError::NotDrawn { index: 2, provider: outside };
    check("not drawn", [drawn[0], drawn[1], outside, drawn[2]], Err(not_drawn));
    let stranger = NodeId::new([200; 32]);
    let not_drawn = TxError::NotDrawn { index: 0, provider: stranger };
    check("no provider at all", [stranger, drawn[1], drawn[2], drawn[3]], Err(not_drawn));
}

#[test]
fn receipts_are_for_exactly_this() {
    let world = World::new();
    let proper = world.commit(&alice(), 1, code("4/12"), LENGTH);
    let check = |desc: &str, change: &dyn Fn(&mut Commit), expect: Result<(), TxError>| {
        let mut commit = proper.clone();
        change(&mut commit);
        assert_eq!(world.verdict(&world.tx(&alice(), Action::Commit(commit))), expect, "{desc}");
    };
    let bad = |index: usize| Err(TxError::Receipt { index, provider: proper.slots[index].provider });
    check("as it should be", &|_| {}, Ok(()));
    check("of another column", &|commit| commit.slots[4].column = ColumnId::new([99; 32]), bad(0));
    let others = |commit: &mut Commit| {
        commit.slots[4].column = ColumnId::new([99; 32]);
        commit.slots[..4].iter_mut().for_each(|slot| slot.receipt = None);
    };
    check("each is for all columns", &others, Err(TxError::TooFewReceipts { have: 8, need: 9 }));
    let mut resigned = proper.clone();
    resigned.slots[4].column = ColumnId::new([99; 32]);
    (0..11).for_each(|index| world.sign_slot(&alice(), &mut resigned, index));
    check("the last is of another column than the others'", &|commit| *commit = resigned.clone(), bad(11));
    check("for longer", &|commit| commit.until = commit.until.after(1), bad(0));
    check("for less long", &|commit| commit.until = commit.end, bad(0));
    let beyond = |commit: &mut Commit| commit.end = commit.until.after(1);
    let (end, until) = (proper.until.after(1), proper.until);
    check("to end later", &beyond, Err(TxError::ReceiptEnd { end, until }));
    check("to end with the receipts", &|commit| commit.end = commit.until, Ok(()));
    check("capped lower", &|commit| commit.slots[2].cap = Amount(0), {
        let (provider, ask) = (proper.slots[2].provider, proper.slots[2].cap);
        Err(TxError::Cap { index: 2, provider, ask, cap: Amount(0) })
    });
    check("capped higher", &|commit| commit.slots[2].cap = Amount(2_000_000), Ok(()));
    check("of another length", &|commit| commit.column_len = 2 * LENGTH, bad(0));
    check("of another object", &|commit| commit.object = object(2), bad(0));
    check("of another code", &|commit| commit.slots[3].receipt = commit.slots[2].receipt, bad(3));
    let flip = |commit: &mut Commit| {
        let mut receipt = commit.slots[11].receipt.expect("signed");
        receipt.0[0] ^= 1;
        commit.slots[11].receipt = Some(receipt);
    };
    check("with a bit flipped", &flip, bad(11));
    let mut bobs = proper.clone();
    world.sign_all(&bob(), &mut bobs);
    check("for another account", &|commit| commit.slots[6].receipt = bobs.slots[6].receipt, bad(6));
    let drop =
        |count: usize| move |commit: &mut Commit| commit.slots[..count].iter_mut().for_each(|s| s.receipt = None);
    check("three missing", &drop(3), Ok(()));
    check("four missing", &drop(4), Err(TxError::TooFewReceipts { have: 8, need: 9 }));
    check("all missing", &drop(12), Err(TxError::TooFewReceipts { have: 0, need: 9 }));
}

#[test]
fn one_holder_that_does_not_answer_stops_no_small_code() {
    let world = World::new();
    for (text, n) in [("2/4", 4), ("3/6", 6)] {
        let mut commit = world.commit(&alice(), 1, code(text), LENGTH);
        commit.slots[n - 1].receipt = None;
        assert_eq!(world.verdict(&world.tx(&alice(), Action::Commit(commit.clone()))), Ok(()), "{text}");
        commit.slots[0].receipt = None;
        let (have, need) = (n - 2, u8::try_from(n - 1).expect("small"));
        let verdict = world.verdict(&world.tx(&alice(), Action::Commit(commit)));
        assert_eq!(verdict, Err(TxError::TooFewReceipts { have, need }), "{text}");
    }
}

#[test]
fn a_commitment_must_be_paid() {
    let mut world = World::new();
    let give = |amount| crate::ledger::tx::Transfer { to: id(&pauper()), amount: Amount(amount) };
    let fee = world.body(&pauper(), Action::Commit(world.commit(&pauper(), 1, code("4/12"), LENGTH))).fee;
    let cost = 12 * price_per_epoch(LENGTH, Amount(1_000_013)).0 * 10;
    world.does(&alice(), Action::Transfer(give(fee.0 + cost - 1)));
    world.wait_for(2);
    let tx = world.tx(&pauper(), Action::Commit(world.commit(&pauper(), 1, code("4/12"), LENGTH)));
    let (need, mut forged) = (Amount(fee.0 + cost), world.commit(&pauper(), 1, code("4/12"), LENGTH));
    forged.slots[3].receipt = forged.slots[2].receipt;
    let (provider, forged) = (forged.slots[3].provider, world.tx(&pauper(), Action::Commit(forged)));
    for tx in [&tx, &forged] {
        let verdict = world.verdict(tx);
        assert_eq!(verdict, Err(TxError::Funds { need, have: Amount(need.0 - 1) }), "before any receipt is verified");
    }
    world.does(&alice(), Action::Transfer(give(1)));
    assert_eq!(world.verdict(&tx), Ok(()));
    assert_eq!(world.verdict(&forged), Err(TxError::Receipt { index: 3, provider }));
}

/// Every provider has bond behind one column of [`LENGTH`].
fn bonded_for_one() -> Genesis {
    let mut genesis = super::world::genesis();
    let bonds = genesis.params.bonds;
    for provider in &mut genesis.providers {
        provider.bond = Some(full_bond(&bonds, LENGTH, provider.price));
    }
    genesis
}

/// The roster is frozen, the bond is not.
#[test]
fn behind_each_column_is_bond() {
    let genesis = bonded_for_one();
    let bonds = genesis.params.bonds;
    let mut world = World::of(&genesis);
    let commit = world.commit(&alice(), 1, code("4/12"), LENGTH);
    let node = commit.slots[0].provider;
    let price = genesis.providers.iter().find(|provider| provider.node == node).expect("of the genesis").price;
    let need = collateral(&bonds, LENGTH, price);
    let too_long = world.commit(&alice(), 1, code("4/12"), LENGTH + 64);
    let Err(TxError::CannotTake { index: 0, reason: TakeError::Underbonded { .. }, .. }) =
        world.verdict(&world.tx(&alice(), Action::Commit(too_long)))
    else {
        panic!("the bond is good for {LENGTH} bytes")
    };
    world.does(&alice(), Action::Commit(commit));
    let stored = world.state.provider(&node).expect("it stores");
    assert_eq!((stored.collateral, stored.free_bond(&bonds), stored.free_bytes(&bonds)), (need, Amount::ZERO, 0));
    let second = world.commit(&bob(), 2, code("4/12"), LENGTH);
    let verdict = world.verdict(&world.tx(&bob(), Action::Commit(second)));
    let Err(TxError::CannotTake { reason, .. }) = verdict else { panic!("{verdict:?}") };
    assert!(matches!(reason, TakeError::Underbonded { have: Amount::ZERO, .. }), "{reason:?}");
    world.does(&alice(), Action::Release(Release { object: object(1), extent: 0 }));
    world.wait_for(world.epoch().after(1).0);
    assert_eq!(world.state.provider(&node).expect("registered").collateral, Amount::ZERO);
}

/// Prices are a provider's to choose: no number may break the arithmetic.
#[test]
fn absurd_prices_are_only_unaffordable() {
    let mut genesis = super::world::genesis();
    genesis.providers.iter_mut().for_each(|provider| provider.price = Amount(u64::MAX));
    // Nobody could bond so many epochs of it.
    genesis.params.bonds.pay_epochs = 0;
    let world = World::of(&genesis);
    let commit = world.commit(&alice(), 1, code("4/12"), limits::COLUMN);
    let tx = world.tx(&alice(), Action::Commit(commit));
    let have = world.account(&alice()).balance;
    assert_eq!(world.verdict(&tx), Err(TxError::Funds { need: Amount(u64::MAX), have }));
}

#[test]
fn one_owner_commits_an_extent_once_and_others_may_too() {
    let mut world = World::new();
    world.does(&alice(), Action::Commit(world.commit(&alice(), 1, code("2/4"), LENGTH)));
    let again = world.tx(&alice(), Action::Commit(world.commit(&alice(), 1, code("2/4"), LENGTH)));
    let already = TxError::AlreadyCommitted { object: object(1), extent: 0 };
    assert_eq!(world.verdict(&again), Err(already));
    world.does(&bob(), Action::Commit(world.commit(&bob(), 1, code("2/4"), LENGTH)));
    let owners: Vec<_> = world.state.commitments_of(&object(1), 9).iter().map(|made| made.id.owner).collect();
    assert_eq!(owners.len(), 2);
    assert!(owners.contains(&id(&alice())) && owners.contains(&id(&bob())));
    assert_eq!(world.state.commitments_of(&object(1), 1).len(), 1);
    assert_eq!(world.state.commitments_of(&object(2), 9), []);
}

#[test]
fn extensions_are_paid_and_checked() {
    let mut world = World::new();
    world.does(&alice(), Action::Commit(world.commit(&alice(), 1, code("2/4"), LENGTH)));
    let price = world.state.commitment(&key_of(&alice(), 1)).expect("committed").cap();
    let most = Amount(0);
    let extend = |object: ObjectId, extent, end| {
        let commitment = CommitmentId { object, extent, owner: id(&alice()) };
        Action::Extend(Extend { commitment, end: Epoch(end), most })
    };
    let check = |desc: &str, sender: &Keypair, action: Action, expect: Result<(), TxError>| {
        assert_eq!(world.verdict(&world.tx(sender, action)), expect, "{desc}");
    };
    let term = |end| Err(TxError::Term { end: Epoch(end), earliest: Epoch(11), latest: Epoch(100) });
    let none = |number, extent| Err(TxError::NoCommitment { object: object(number), extent });
    check("one more", &alice(), extend(object(1), 0, 11), Ok(()));
    check("none more", &alice(), extend(object(1), 0, 10), term(10));
    check("fewer", &alice(), extend(object(1), 0, 9), term(9));
    check("the most", &alice(), extend(object(1), 0, 100), Ok(()));
    check("one over", &alice(), extend(object(1), 0, 101), term(101));
    check("without end", &alice(), extend(object(1), 0, u64::MAX), term(u64::MAX));
    check("another object", &alice(), extend(object(2), 0, 11), none(2, 0));
    check("another extent", &alice(), extend(object(1), 1, 11), none(1, 1));
    check("by another", &bob(), extend(object(1), 0, 11), Ok(()));
    world.does(&alice(), extend(object(1), 0, 15));
    let made = world.state.commitment(&key_of(&alice(), 1)).expect("committed");
    assert_eq!((made.end, made.escrow, made.cap()), (Epoch(15), Amount(15 * price.0), price));
}

#[test]
fn a_price_rises_only_with_the_owners_word_and_the_holders_bond() {
    let genesis = bonded_for_one();
    let bonds = genesis.params.bonds;
    let mut world = World::of(&genesis);
    let mut commit = world.commit(&alice(), 1, code("2/4"), LENGTH);
    commit.slots[1].cap = Amount(3_000_000);
    world.sign_all(&alice(), &mut commit);
    let until = commit.until;
    world.does(&alice(), Action::Commit(commit));
    let made = |world: &World| world.state.commitment(&key_of(&alice(), 1)).expect("committed");
    let (before, dear) = (made(&world), Amount(2_000_000));
    for (slot, has_bond) in [(1, true), (2, false)] {
        let node = before.slots[slot].provider;
        let index = (0..14).find(|index| node_key(*index).public() == node).expect("of the genesis");
        let has = world.state.provider(&node).expect("registered").bond;
        let bond = if has_bond { full_bond(&bonds, LENGTH, dear) } else { has };
        let register = world.register(&landlord(), index);
        world.does(&landlord(), Action::Register(Register { price: dear, bond, ..register }));
    }
    let commitment = key_of(&alice(), 1);
    let extend = |end, most| Action::Extend(Extend { commitment, end, most: Amount(most) });
    let verdict = |end, most| world.verdict(&world.tx(&alice(), extend(end, most)));
    assert_eq!(verdict(until, 0), Ok(()), "the receipts promise that");
    let raised = |index: usize, most| {
        let provider = before.slots[index].provider;
        Err(TxError::AskRaised { index, provider, ask: dear, most: Amount(most), until })
    };
    assert_eq!(verdict(until.after(1), dear.0 - 1), raised(1, dear.0 - 1));
    let by_another = world.tx(&bob(), extend(until.after(1), dear.0));
    assert_eq!(world.verdict(&by_another), raised(1, 0), "it is not theirs to raise");
    world.does(&alice(), extend(until.after(1), dear.0));
    let after = made(&world);
    let asks = |made: &Commitment| made.slots.iter().map(|slot| slot.ask).collect::<Vec<_>>();
    let [first, _, third, fourth] = asks(&before)[..] else { panic!("four slots") };
    assert_eq!(asks(&after), [first, dear, third, fourth], "the third has no bond for more");
    assert_eq!(after.slots[1].cap, Amount(3_000_000), "it allowed for that");
    assert_eq!(after.escrow.0, before.cap().0 * (until.0 + 1), "at the caps");
    let behind = world.state.provider(&after.slots[1].provider).expect("registered").collateral;
    assert_eq!(behind, collateral(&bonds, LENGTH, dear));
}

#[test]
fn releases_give_everything_back_to_the_owner_alone() {
    let mut world = World::new();
    world.does(&alice(), Action::Commit(world.commit(&alice(), 1, code("4/12"), LENGTH)));
    let (before, made) = (world.account(&alice()).balance, world.state.commitment(&key_of(&alice(), 1)).expect("made"));
    let release = |number, extent| Action::Release(Release { object: object(number), extent });
    let check = |desc: &str, sender: &Keypair, action: Action, expect: Result<(), TxError>| {
        assert_eq!(world.verdict(&world.tx(sender, action)), expect, "{desc}");
    };
    let none = |number, extent| Err(TxError::NoCommitment { object: object(number), extent });
    check("of another owner", &bob(), release(1, 0), none(1, 0));
    check("another extent", &alice(), release(1, 1), none(1, 1));
    check("another object", &alice(), release(2, 0), none(2, 0));
    let tx = world.tx(&alice(), release(1, 0));
    let fee = tx.body.fee;
    world.block(vec![tx]);
    let released = world.state.commitment(&made.id).expect("until the epoch ends");
    assert_eq!((released.end, released.escrow), (world.epoch().after(1), made.cap()));
    assert_eq!(world.account(&alice()).balance, Amount(before.0 + made.escrow.0 - made.cap().0 - fee.0));
    let again = world.commit(&alice(), 1, code("4/12"), LENGTH);
    let exists = Err(TxError::AlreadyCommitted { object: object(1), extent: 0 });
    assert_eq!(world.verdict(&world.tx(&alice(), Action::Commit(again))), exists, "nobody escapes an epoch's pay");
    world.wait_for(released.end.0);
    assert_eq!(world.account(&alice()).balance, Amount(before.0 + made.escrow.0 - fee.0), "nobody proved");
    assert!(world.state.providers().iter().all(|provider| provider.used == 0));
    assert_eq!(world.state.commitment(&made.id), None);
    assert_eq!(world.verdict(&world.tx(&alice(), release(1, 0))), none(1, 0), "twice");
    world.does(&alice(), Action::Commit(world.commit(&alice(), 1, code("4/12"), LENGTH)));
}
