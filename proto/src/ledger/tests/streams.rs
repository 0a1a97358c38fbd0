//! Random streams of transactions, good and bad: whatever comes, the invariants hold.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::world::{World, alice, bob, code, genesis, id, key_of, landlord, object, pauper};
use crate::{
    id::{Amount, Epoch, NodeId},
    ledger::{
        MemoryRecords, TxError, execute,
        state::{Records, SlotState},
        tx::{Action, Extend, Release, Together, Transfer, Tx},
    },
    sign::Keypair,
};

/// What somebody tries; whether it is allowed depends on what came before.
#[derive(Clone, Debug)]
enum Attempt {
    Transfer { to: usize, amount: u64 },
    Register { index: u8, capacity: u64, moved: bool },
    Commit { number: u8, column_units: u64, epochs: u64, holes: usize },
    Extend { number: u8, epochs: u64 },
    Release { number: u8 },
}

/// An attempt or several together, who makes them, and by how much the nonce is off.
#[derive(Clone, Debug)]
struct Say {
    who: usize,
    off: u64,
    attempts: Vec<Attempt>,
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let amounts = prop_oneof![1 => Just(0), 1 => Just(u64::MAX), 1 => 0..2_000_000_000u64, 3 => 1..50_000_000u64];
    prop_oneof![
        2 => (0..4usize, amounts).prop_map(|(to, amount)| Attempt::Transfer { to, amount }),
        1 => (0..20u8, 0..1u64 << 31, any::<bool>())
            .prop_map(|(index, capacity, moved)| Attempt::Register { index, capacity, moved }),
        4 => (0..4u8, 1..1u64 << 22, 0..6u64, prop_oneof![4 => Just(0), 1 => 0..4usize])
            .prop_map(|(number, column_units, epochs, holes)| Attempt::Commit { number, column_units, epochs, holes }),
        2 => (0..4u8, 0..10u64).prop_map(|(number, epochs)| Attempt::Extend { number, epochs }),
        2 => (0..4u8).prop_map(|number| Attempt::Release { number }),
    ]
}

fn say() -> impl Strategy<Value = Say> {
    let who = prop_oneof![4 => 0..2usize, 1 => 2..4usize];
    let attempts = prop_oneof![
        4 => attempt().prop_map(|attempt| vec![attempt]),
        1 => prop::collection::vec(attempt(), 2..5),
    ];
    (who, prop_oneof![8 => Just(0), 1 => 1..3u64], attempts).prop_map(|(who, off, attempts)| Say { who, off, attempts })
}

fn people() -> [Keypair; 4] {
    [alice(), bob(), pauper(), landlord()]
}

/// `None` where there is nothing to say: too many providers have withdrawn for a draw.
fn action(world: &World, who: &Keypair, attempt: &Attempt) -> Option<Action> {
    Some(match *attempt {
        Attempt::Transfer { to, amount } => {
            Action::Transfer(Transfer { to: id(&people()[to]), amount: Amount(amount) })
        }
        Attempt::Register { index, capacity, moved } => {
            let mut register = world.register(who, index);
            register.capacity = capacity;
            if moved {
                register.domain.region = "elsewhere".to_owned();
            }
            Action::Register(register)
        }
        Attempt::Commit { number, column_units, epochs, holes } => {
            let code = [code("2/4"), code("4/12")][usize::from(number % 2)];
            let mut commit = world.try_commit(who, number, code, column_units * 64)?;
            commit.end = world.epoch().after(epochs);
            commit.slots.iter_mut().take(holes).for_each(|slot| slot.receipt = None);
            Action::Commit(commit)
        }
        Attempt::Extend { number, epochs } => {
            let (commitment, end) = (key_of(who, number), world.epoch().after(epochs));
            Action::Extend(Extend { commitment, end, most: Amount(u64::MAX) })
        }
        Attempt::Release { number } => Action::Release(Release { object: object(number), extent: 0 }),
    })
}

/// Signs what is said. Who says several things in one block counts on for each that would be taken by itself.
fn tx(world: &World, say: &Say, sent: &mut BTreeMap<usize, u64>) -> Option<Tx> {
    let who = &people()[say.who];
    let mut parts: Vec<Action> =
        say.attempts.iter().map(|attempt| action(world, who, attempt)).collect::<Option<_>>()?;
    let action = match parts.len() {
        1 => parts.remove(0),
        _ => Action::Together(Together::new(parts).expect("they may be together")),
    };
    let mut body = world.body(who, action);
    let taken = world.verdict(&Tx::sign(body.clone(), who, &world.rules.chain)).is_ok() && say.off == 0;
    let count = sent.entry(say.who).or_default();
    body.nonce += *count + say.off;
    *count += u64::from(taken);
    Some(Tx::sign(body, who, &world.rules.chain))
}

/// Every provider's `used` is what its live slots have.
fn check_used(state: &MemoryRecords) {
    let mut used: BTreeMap<NodeId, u64> = BTreeMap::new();
    for commitment in (0..4).flat_map(|number| state.commitments_of(&object(number), usize::MAX)) {
        for slot in commitment.slots.iter().filter(|slot| slot.state == SlotState::Live) {
            *used.entry(slot.provider).or_default() += commitment.column_len;
        }
    }
    for provider in state.providers() {
        assert_eq!(provider.used, used.get(&provider.node).copied().unwrap_or(0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn whatever_is_said_the_invariants_hold(
        blocks in prop::collection::vec(prop::collection::vec(say(), 0..6), 1..16),
    ) {
        let mut founding = genesis();
        founding.params.term_epochs = 8;
        let mut world = World::of(&founding);
        let genesis = world.state.clone();
        let (mut decided, mut included) = (Vec::new(), Vec::new());
        for block in &blocks {
            let mut sent = BTreeMap::new();
            let txs = block.iter().filter_map(|say| tx(&world, say, &mut sent)).collect();
            let proposal = world.offer(txs);
            check_used(&world.state);
            included.extend(proposal.block.txs.iter().cloned());
            decided.push(world.decide(proposal.block));
            // Everything that was ever applied is refused from then on.
            for old in &included {
                let verdict = world.verdict(old);
                prop_assert!(matches!(verdict, Err(TxError::Nonce { .. })), "{verdict:?}");
            }
        }
        // Another node, from the blocks alone.
        let mut other = genesis;
        for block in &decided {
            let changes = execute(&world.rules, &other, block).expect("sound");
            other.commit(&changes);
        }
        prop_assert_eq!(&other, &world.state);
        // After the longest term all that was locked for objects is back.
        let end = Epoch(world.epoch().0 + world.rules.params.term_epochs + 1);
        world.wait_for(end.0);
        prop_assert_eq!(world.state.tip().running.escrowed, Amount::ZERO);
        prop_assert!(world.state.providers().iter().all(|provider| provider.used == 0));
    }
}
