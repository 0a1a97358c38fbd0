//! The lane of storage proofs under a flood of wrong ones: in a network of simulated peers, with one validator.

use std::collections::BTreeSet;

use futures::future::join_all;
use ostrakon_net::{Failure, Peers, ask};
use ostrakon_proto::{
    audit::{ChallengedLeaf, LeafProof},
    id::{Amount, ColumnId, Height, NodeKind, ObjectId},
    ledger::{
        GenesisProvider,
        state::Records,
        tx::{Action, Commit, Receipt, SlotClaim, Tx, columns_hash},
    },
    params::Code,
    placement::{self, Caps, Draw, DrawSeed, RosterEntry},
    sign::{Keypair, Purpose},
    wire::{self, RefusalCode},
};
use tokio::time::{Duration, sleep};

use super::*;
use crate::{
    node::Node,
    world::{World, node_id, until},
};

const CODE: Code = Code { k: 85, n: 255 };
/// Bytes of a column: one leaf, which is all of its proof.
const LEN: u64 = 64;
/// Providers that store something: those that are honest, and those that flood.
const HONEST: usize = 100;
const FLOODING: usize = 1_000;
/// Wrong proofs that each of these sends: more than are tolerated.
const WRONG: u32 = 110;
const TOLERATED: u32 = 100;

/// The key of a provider.
fn key(number: usize) -> Keypair {
    Keypair::from_seed(blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn bytes(index: u8) -> Vec<u8> {
    vec![index; usize::try_from(LEN).expect("small")]
}

/// A column of so few bytes is named by their hash.
fn column(index: u8) -> ColumnId {
    ColumnId::new(*blake3::hash(&bytes(index)).as_bytes())
}

/// The commit of an object whose columns are on all who are drawn by this number, with their receipts.
fn commit(world: &World, records: &dyn Records, number: u32, keys: &BTreeMap<NodeId, Keypair>) -> Commit {
    let (account, draw) = (world.payer(), Draw { epoch: Epoch(0), number });
    let object = ObjectId::new(*blake3::hash(&number.to_le_bytes()).as_bytes());
    let (record, rosters) = (records.epoch(draw.epoch).expect("it has begun"), records.rosters());
    let randomness = record.beacon.expect("it is complete");
    let seed = DrawSeed { randomness, account, draw, extent: 0 };
    let caps = Caps::of(&record.roster, CODE, 1).expect("the network is large enough");
    let drawn = placement::draw(rosters.of(draw.epoch).expect("kept"), &seed, CODE, &caps).expect("large enough");
    let (until, columns) = (Epoch(5), columns_hash((0..CODE.n).map(column)));
    let claim = |(index, entry): (u8, &RosterEntry)| {
        let (provider, ask) = (entry.provider, entry.offer.price);
        let receipt =
            Receipt { account, object, extent: 0, index, draw, columns, code: CODE, column_len: LEN, ask, until };
        let receipt = Some(keys[&provider].sign(Purpose::Receipt, &world.genesis.id(), &receipt));
        SlotClaim { provider, column: column(index), cap: ask, receipt }
    };
    let slots = (0..CODE.n).zip(drawn).map(claim).collect();
    Commit { object, extent: 0, extents: 1, size: 1, code: CODE, column_len: LEN, draw, slots, until, end: until }
}

/// A validator in an epoch in which over a thousand providers are asked to prove what they store; and these providers.
async fn asked() -> (World, Node, Epoch, Vec<NodeId>) {
    let mut world = World::new(1);
    let like = world.genesis.providers.remove(0);
    let keys: BTreeMap<NodeId, Keypair> =
        (0..HONEST + FLOODING + 40).map(|number| (key(number).public::<NodeKind>(), key(number))).collect();
    let provider = |(number, node): (usize, &NodeId)| GenesisProvider {
        node: *node,
        domain: crate::world::domain(number),
        ..like.clone()
    };
    world.genesis.providers = keys.keys().enumerate().map(provider).collect();
    world.genesis.accounts[0].balance = Amount(1_000_000_000_000);
    let node = world.start(0, &world.disk()).await;
    let chain = node.chain();
    chain.wait(Height(2)).await;
    let draws = world.genesis.params.draws;
    let txs: Vec<Tx> = chain.look(|records| {
        let commit = |number| Action::Commit(commit(&world, records, number, &keys));
        (0..draws).map(|number| world.tx(number.into(), Height(1_000), commit(number))).collect()
    });
    for verdict in chain.submit_many(txs, super::super::submit::Origin::Here).await {
        verdict.expect("pooled");
    }
    let has_beacon = |records: &dyn Records| records.epoch(Epoch(1)).is_some_and(|record| record.beacon.is_some());
    until("an epoch has its beacon", async || chain.look(has_beacon)).await;
    let stores = |node: &NodeId| chain.look(|records| records.provider(node).is_some_and(|one| one.used > 0));
    let asked: Vec<NodeId> = keys.into_keys().filter(stores).collect();
    assert!(asked.len() >= HONEST + FLOODING, "{} providers are asked", asked.len());
    (world, node, Epoch(1), asked)
}

/// Leaves of all that is asked for: the right bytes, or those of another column.
fn answer(leaves: &[ChallengedLeaf], is_right: bool) -> StorageProof {
    let leaf = |asked: &ChallengedLeaf| {
        let index = (0..CODE.n).find(|index| column(*index) == asked.column).expect("one of the columns");
        LeafProof { data: bytes(if is_right { index } else { index.wrapping_add(1) }), siblings: vec![] }
    };
    StorageProof { leaves: leaves.iter().map(leaf).collect() }
}

/// What a validator says to a proof.
async fn hand(peers: &dyn Peers, epoch: Epoch, proof: &StorageProof) -> Result<(), RefusalCode> {
    match ask(peers, node_id(0), wire::chain::prove(epoch, proof)).await {
        Ok(()) => Ok(()),
        Err(error) => match error.failure {
            Failure::Refused(refusal) => Err(refusal.code),
            other => panic!("the validator answers: {other}"),
        },
    }
}

#[tokio::test(start_paused = true)]
async fn honest_proofs_get_through_a_flood_of_wrong_ones() {
    let (world, node, epoch, asked) = asked().await;
    let chain = node.chain();
    let (honest, flooding) = (&asked[..HONEST], &asked[HONEST..HONEST + FLOODING]);
    let challenge = async |provider| chain.challenge(ProofKey { provider, epoch }).await.expect("asked for");
    let is_proven = |node: &NodeId| {
        chain.look(|records| records.provider(node).is_some_and(|one| one.audited.pay.proofs.has(epoch)))
    };
    let waiting = || -> BTreeSet<NodeId> {
        let pool = lock(&chain.shared.proofs);
        assert!(pool.waiting.len() <= WAITING && pool.challenges.len() <= CHALLENGES);
        pool.waiting.keys().map(|key| key.provider).collect()
    };
    let flood = async |provider: NodeId| {
        let (peers, _requests) = world.net.join(provider);
        let (wrong, mut refused) = (answer(&challenge(provider).await.leaves, false), BTreeMap::new());
        for _ in 0..WRONG {
            let code = hand(&*peers, epoch, &wrong).await.expect_err("it is wrong");
            *refused.entry(format!("{code:?}")).or_insert(0_u32) += 1;
        }
        refused
    };
    // As a node does: again until a block has it.
    let prove = async |provider: NodeId| {
        let (peers, _requests) = world.net.join(provider);
        let right = answer(&challenge(provider).await.leaves, true);
        while !is_proven(&provider) {
            let said = hand(&*peers, epoch, &right).await;
            assert!(matches!(said, Ok(()) | Err(RefusalCode::Busy)) || is_proven(&provider), "{said:?}");
            assert!(waiting().iter().all(|one| honest.contains(one)), "nothing wrong waits for a block");
            sleep(Duration::from_secs(1)).await;
        }
    };
    let (refused, _proven) = futures::join!(
        join_all(flooding.iter().map(|provider| flood(*provider))),
        join_all(honest.iter().map(|provider| prove(*provider))),
    );
    assert_eq!(chain.head().epoch, epoch, "all of it in one epoch");
    assert!(honest.iter().all(is_proven), "no honest one is lost");
    for refused in &refused {
        let of = |code: RefusalCode| refused.get(&format!("{code:?}")).copied().unwrap_or(0);
        assert!(of(RefusalCode::Invalid) <= TOLERATED, "no more are verified: {refused:?}");
        assert!(of(RefusalCode::Denied) > 0, "and then it is not heard: {refused:?}");
    }
    // Not even when it is right at last.
    let late = flooding[0];
    let (peers, _requests) = world.net.join(late);
    let right = answer(&challenge(late).await.leaves, true);
    assert_eq!(hand(&*peers, epoch, &right).await, Err(RefusalCode::Denied));
    until("the epoch is over", async || chain.head().epoch > epoch).await;
    assert!(!flooding.iter().any(is_proven), "who floods is not paid");
    assert!(waiting().is_empty());
    let is_settled = |records: &dyn Records| records.tip().running.escrowed == Amount::ZERO;
    until("all that was stored has ended", async || chain.look(is_settled)).await;
}

#[test]
fn the_pool_is_bounded_and_keeps_what_it_has() {
    let mut pool = ProofPool { epoch: Epoch(3), ..ProofPool::default() };
    let proof = Arc::new(StorageProof { leaves: vec![] });
    let key_of = |number: usize| ProofKey { provider: key(number).public::<NodeKind>(), epoch: Epoch(3) };
    (0..WAITING).for_each(|number| pool.put(key_of(number), Arc::clone(&proof)).expect("there is room"));
    assert!(matches!(pool.put(key_of(WAITING), Arc::clone(&proof)), Err(TakeProofError::Full)));
    pool.put(key_of(0), Arc::clone(&proof)).expect("it waits already");
    let old = ProofKey { epoch: Epoch(2), ..key_of(WAITING) };
    assert!(matches!(pool.put(old, Arc::clone(&proof)), Err(TakeProofError::Proof(AuditError::Epoch { .. }))));
    pool.advance(Epoch(3), &[(key_of(1), StorageProof { leaves: vec![] })].into());
    pool.put(key_of(WAITING), Arc::clone(&proof)).expect("a block has another");
    pool.advance(Epoch(4), &Proofs::new());
    assert!(pool.waiting().is_empty() && pool.epoch == Epoch(4), "those of an epoch that is over go");
}
