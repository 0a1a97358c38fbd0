//! What providers are asked for, what counts as a proof, what it pays, and what follows from silence.

use std::{collections::BTreeMap, sync::Arc};

use super::world::{World, alice, bob, code, genesis, landlord, node_key, object};
use crate::{
    audit::{ChallengedLeaf, LeafProof, LeavesError, StorageProof},
    codec,
    id::{Amount, ColumnId, Epoch, NodeId, NodeKind},
    ledger::{
        AuditError, BlockError, Genesis, MaintenanceError, Rules, TxError, challenge, inventory, judge,
        proofs::{ProofKey, proof_root},
        state::{Key, Maintenance, Provider, ProviderStatus, Records},
        tx::{Action, Commit, Drain, Extend, Maintain, Release, Roots, SlotClaim, tx_root},
    },
    limits,
    params::{Audits, Params},
    sign::Keypair,
    tree::{Outboard, TreeBuilder, group_of_leaf, prove_leaf, prove_range},
};

/// The columns that exist, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns(BTreeMap<ColumnId, (Vec<u8>, Outboard)>);

impl Columns {
    /// A commit whose columns exist: those of `number`, with receipts.
    pub(super) fn commit(&mut self, world: &World, sender: &Keypair, number: u8, column_len: u64) -> Commit {
        let mut commit = world.commit(sender, number, code("4/12"), column_len);
        for (index, slot) in (0_u8..).zip(&mut commit.slots) {
            slot.column = self.make(number, index, column_len);
        }
        world.sign_all(sender, &mut commit);
        commit
    }

    fn make(&mut self, number: u8, index: u8, column_len: u64) -> ColumnId {
        let mut bytes = vec![0; usize::try_from(column_len).expect("small")];
        let seed = [number, index, 0, 0];
        blake3::Hasher::new().update(&seed).update(&column_len.to_le_bytes()).finalize_xof().fill(&mut bytes);
        self.keep(bytes)
    }

    /// The name of a column with these bytes.
    pub(super) fn keep(&mut self, bytes: Vec<u8>) -> ColumnId {
        let mut tree = TreeBuilder::new();
        tree.update(&bytes);
        let (column, outboard) = tree.finish();
        self.0.insert(column, (bytes, outboard));
        column
    }

    /// What an honest provider shows.
    pub(super) fn prove(
        &self,
        records: &dyn Records,
        rules: &Rules,
        key: &ProofKey,
    ) -> Result<StorageProof, AuditError> {
        let leaves = challenge(records, rules, key)?.leaves;
        Ok(StorageProof { leaves: leaves.into_iter().map(|asked| self.leaf(asked)).collect() })
    }

    /// One leaf with its path.
    pub(super) fn leaf(&self, asked: ChallengedLeaf) -> LeafProof {
        let (bytes, outboard) = &self.0[&asked.column];
        let at = usize::try_from(asked.leaf).expect("small") * limits::LEAF;
        let group = at / limits::GROUP * limits::GROUP;
        let group = &bytes[group..bytes.len().min(group + limits::GROUP)];
        let above = prove_range(outboard, group_of_leaf(asked.leaf)).expect("a group of it");
        let siblings = prove_leaf(asked.column_len, asked.leaf, group, &above).expect("a leaf of it");
        LeafProof { data: bytes[at..bytes.len().min(at + limits::LEAF)].to_vec(), siblings }
    }
}

/// A network where silence has consequences, and epochs are long enough to answer in.
pub(super) fn audited() -> Genesis {
    let mut founding = genesis();
    founding.params.audits = Audits { ramp_epochs: 0, ..Audits::default() };
    founding.params.time.epoch_ms = 8_000;
    founding
}

pub(super) fn node(index: u8) -> NodeId {
    node_key(index).public::<NodeKind>()
}

pub(super) fn providers(slots: &[SlotClaim]) -> Vec<NodeId> {
    slots.iter().map(|slot| slot.provider).collect()
}

impl World {
    fn key_of(&self, provider: NodeId) -> ProofKey {
        ProofKey { provider, epoch: self.epoch() }
    }

    /// Puts the proof of a provider into the next blocks.
    fn offer_proof(&mut self, columns: &Columns, provider: NodeId) {
        let key = self.key_of(provider);
        let proof = columns.prove(&self.state, &self.rules, &key).expect("asked for");
        self.proofs.insert(key, Arc::new(proof));
    }

    /// Blocks until the next epoch, in which these providers prove as soon as they may.
    pub(super) fn epoch_of_proofs(&mut self, columns: &Columns, providers: &[NodeId]) {
        let epoch = self.epoch();
        while self.epoch() == epoch {
            for provider in providers {
                let key = self.key_of(*provider);
                if let Ok(proof) = columns.prove(&self.state, &self.rules, &key) {
                    self.proofs.insert(key, Arc::new(proof));
                }
            }
            self.block(vec![]);
            self.proofs.clear();
        }
    }

    fn provider(&self, node: NodeId) -> crate::ledger::state::Provider {
        self.state.provider(&node).expect("registered")
    }

    /// The verdict on a proof in a block late in this epoch.
    fn proof_verdict(&self, provider: NodeId, proof: &StorageProof) -> Result<(), AuditError> {
        challenge(&self.state, &self.rules, &self.key_of(provider))?.verify(provider, proof, u64::MAX)
    }
}

/// A network with one object of alice's, in the first epoch in which its holders are asked to prove it.
pub(super) fn stored() -> (World, Columns, Commit) {
    let (mut world, mut columns) = (World::of(&audited()), Columns::default());
    let commit = columns.commit(&world, &alice(), 1, 40_000);
    world.does(&alice(), Action::Commit(commit.clone()));
    world.wait_for(1);
    while world.state.epoch(Epoch(1)).expect("in progress").beacon.is_none() {
        world.block(vec![]);
    }
    (world, columns, commit)
}

#[test]
fn who_stores_proves_and_is_paid_for_the_epoch() {
    let (mut world, columns, commit) = stored();
    let holder = commit.slots[0].provider;
    let before = (world.account(&landlord()).balance, world.state.tip().running.escrowed);
    world.epoch_of_proofs(&columns, &[holder]);
    let provider = world.provider(holder);
    let rate = world.state.commitments_of(&object(1), 1)[0].slots[0].rate(40_000);
    let fee = rate.0 * 4 / 100;
    let pay = provider.audited.pay;
    assert_eq!((pay.rate, pay.earned, pay.proofs.count), (rate, Amount(rate.0 - fee), 1));
    assert!(pay.proofs.has(Epoch(1)) && !pay.proofs.has(Epoch(2)));
    assert_eq!(world.state.tip().running.escrowed, Amount(before.1.0 - rate.0));
    // The landlord owns the validators too: what they share at the turn of the epoch divides by four.
    let kept = world.state.tip().running.pool;
    assert_eq!(world.account(&landlord()).balance, Amount(before.0.0 + rate.0 - kept.0));
    let audit = world.state.epoch(Epoch(1)).expect("kept").audit;
    assert_eq!((audit.providers, audit.proven, audit.frozen), (1, 40_000, 12 * 40_000));
    // A proof counts once, and the next epoch asks for other leaves.
    assert_eq!(provider.audited.open, Epoch(2));
}

#[test]
fn what_begins_in_an_epoch_is_not_asked_for_in_it() {
    let (mut world, mut columns) = (World::of(&audited()), Columns::default());
    let commit = columns.commit(&world, &alice(), 1, 4096);
    let [holder, others] = [&commit.slots[..1], &commit.slots[1..]].map(providers);
    let holder = holder[0];
    world.does(&alice(), Action::Commit(commit));
    let nothing = AuditError::Nothing { provider: holder, epoch: world.epoch() };
    assert_eq!(challenge(&world.state, &world.rules, &world.key_of(holder)), Err(nothing));
    world.wait_for(1);
    assert_eq!(world.provider(holder).audited.missed, 0);
    world.epoch_of_proofs(&columns, &others);
    assert_eq!(world.provider(holder).audited.missed, 1);
}

#[test]
fn proofs_are_checked() {
    let (world, columns, commit) = stored();
    let holder = commit.slots[0].provider;
    let proof = columns.prove(&world.state, &world.rules, &world.key_of(holder)).expect("asked for");
    assert_eq!(proof.leaves.len(), 4);
    assert_eq!(world.proof_verdict(holder, &proof), Ok(()));
    let other = commit.slots[1].provider;
    assert!(matches!(world.proof_verdict(other, &proof), Err(AuditError::Leaves(LeavesError::Leaf { .. }))));
    let short = StorageProof { leaves: proof.leaves[..3].to_vec() };
    let count = LeavesError::Count { have: 3, need: 4 };
    assert_eq!(world.proof_verdict(holder, &short), Err(count.into()));
    let idle = (0..14).map(node).find(|node| commit.slots.iter().all(|slot| slot.provider != *node)).expect("two");
    let nothing = AuditError::Nothing { provider: idle, epoch: Epoch(1) };
    assert_eq!(world.proof_verdict(idle, &proof), Err(nothing));
    assert_eq!(world.proof_verdict(NodeId::new([9; 32]), &proof), Err(AuditError::NoProvider(NodeId::new([9; 32]))));
    let of = |epoch| challenge(&world.state, &world.rules, &ProofKey { provider: holder, epoch: Epoch(epoch) });
    for given in [0, 2] {
        assert_eq!(of(given), Err(AuditError::Epoch { given: Epoch(given), current: Epoch(1) }));
    }
    let asked = of(1).expect("asked for");
    let early = asked.verify(holder, &proof, asked.opens_ms - 1);
    assert!(matches!(early, Err(AuditError::NotOpen { .. })), "{early:?}");
    assert_eq!(asked.verify(holder, &proof, asked.opens_ms), Ok(()));
    let bytes = codec::encode(&proof);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x40;
        let read = codec::decode::<StorageProof>(&changed, limits::PROOF);
        assert!(read.is_err() || read.is_ok_and(|proof| world.proof_verdict(holder, &proof).is_err()), "byte {at}");
    }
}

/// A validator cannot put a wrong proof into a block, nor count one twice.
#[test]
fn a_block_with_a_wrong_proof_is_invalid() {
    let (mut world, columns, commit) = stored();
    let holder = commit.slots[0].provider;
    world.offer_proof(&columns, holder);
    let proposal = loop {
        let proposal = world.propose(vec![]);
        if !proposal.block.proofs.is_empty() {
            break proposal;
        }
        world.block(vec![]);
    };
    assert_eq!(judge(&world.rules, &world.state, &proposal.block), Ok(proposal.changes.clone()));
    let mut wrong = proposal.block.clone();
    let proof = wrong.proofs.values_mut().next().expect("one");
    proof.leaves[0].data[0] ^= 1;
    assert_eq!(judge(&world.rules, &world.state, &wrong), Err(BlockError::Proofs), "the root");
    wrong.header.roots = Roots { proofs: proof_root(&wrong.proofs), ..wrong.header.roots };
    let verdict = judge(&world.rules, &world.state, &wrong);
    assert!(matches!(verdict, Err(BlockError::Proof { provider, .. }) if provider == holder), "{verdict:?}");
    // After it is in a block, it is not taken again.
    world.block(vec![]);
    assert_eq!(world.provider(holder).audited.pay.proofs.count, 1);
    assert!(world.propose(vec![]).block.proofs.is_empty());
    let nothing = AuditError::Nothing { provider: holder, epoch: Epoch(1) };
    assert_eq!(challenge(&world.state, &world.rules, &world.key_of(holder)), Err(nothing));
    assert_eq!(tx_root(&[]), proof_root(&BTreeMap::new()));
}

#[test]
fn the_silent_are_suspended_and_come_back_with_a_proof() {
    let (mut world, columns, commit) = stored();
    let silent = commit.slots[0].provider;
    let others = providers(&commit.slots[1..]);
    let state = |world: &World| (world.provider(silent).audited.missed, world.provider(silent).status);
    world.epoch_of_proofs(&columns, &others);
    assert_eq!(state(&world), (1, ProviderStatus::Active));
    world.epoch_of_proofs(&columns, &others);
    assert_eq!(state(&world), (2, ProviderStatus::Suspended));
    let weight = |world: &World| world.listed(world.epoch(), silent).map(|offer| offer.weight);
    assert!(weight(&world).is_some(), "frozen before it was settled");
    world.epoch_of_proofs(&columns, &others);
    assert_eq!((state(&world).0, weight(&world)), (3, None), "nobody is offered to it");
    world.epoch_of_proofs(&columns, &[&others[..], &[silent]].concat());
    assert_eq!(state(&world), (0, ProviderStatus::Active));
    let paid = |node| world.provider(node).audited.pay.proofs.count;
    assert_eq!((paid(silent), paid(others[0])), (1, 4), "epochs that were missed are not paid");
}

/// Half of its three epochs of silence were announced: the others are what counts.
#[test]
fn who_announced_to_be_away_is_not_at_fault() {
    let (mut world, columns, commit) = stored();
    let (away, others) = (commit.slots[0].provider, providers(&commit.slots[1..]));
    let now = world.epoch();
    world.does(&landlord(), maintain(away, now.after(1), 2));
    world.epoch_of_proofs(&columns, &providers(&commit.slots));
    for expect in [0, 0, 1, 2] {
        world.epoch_of_proofs(&columns, &others);
        assert_eq!(world.provider(away).audited.missed, expect, "in epoch {}", world.epoch());
    }
    let Provider { status, audited, .. } = world.provider(away);
    assert_eq!((status, audited.silent_since), (ProviderStatus::Suspended, Some(now.after(1))));
    assert_eq!(audited.pay.proofs.count, 1, "it is not paid for it");
}

#[test]
fn maintenance_is_announced_before_it_begins_and_is_short_and_rare() {
    let (mut world, _, commit) = stored();
    let (node, now) = (commit.slots[0].provider, world.epoch());
    let refused = |world: &World, from, epochs| world.verdict(&world.tx(&landlord(), maintain(node, from, epochs)));
    let begin = |from, earliest: Epoch| Err(MaintenanceError::Begin { from, earliest, latest: now.after(721) }.into());
    for epochs in [0, 13] {
        let long = Err(MaintenanceError::Length { epochs, max: 12 }.into());
        assert_eq!(refused(&world, now.after(1), epochs), long);
    }
    assert_eq!(refused(&world, now, 1), begin(now, now.after(1)));
    assert_eq!(refused(&world, now.after(722), 1), begin(now.after(722), now.after(1)));
    let stranger = world.verdict(&world.tx(&bob(), maintain(node, now.after(1), 1)));
    assert!(matches!(stranger, Err(TxError::OtherOwner { .. })), "{stranger:?}");
    world.does(&landlord(), maintain(node, now.after(5), 12));
    assert_eq!(refused(&world, now.after(4), 1), begin(now.after(4), now.after(5)), "it can only be postponed");
    world.does(&landlord(), maintain(node, now.after(6), 3));
    let planned = Maintenance { from: now.after(6), until: now.after(9) };
    assert_eq!(world.provider(node).audited.maintenance, Some(planned));
    world.wait_for(now.0 + 7);
    let earliest = now.after(6 + 720);
    let early = MaintenanceError::Begin { from: now.after(9), earliest, latest: now.after(8 + 720) };
    assert_eq!(refused(&world, now.after(9), 1), Err(early.into()));
}

pub(super) fn maintain(node: NodeId, from: Epoch, epochs: u64) -> Action {
    Action::Maintain(Maintain { node, from, epochs })
}

/// One that leaves while suspended is still leaving.
#[test]
fn a_proof_does_not_bring_a_draining_provider_back() {
    let (mut world, columns, commit) = stored();
    let (silent, others) = (commit.slots[0].provider, providers(&commit.slots[1..]));
    world.epoch_of_proofs(&columns, &others);
    world.epoch_of_proofs(&columns, &others);
    assert_eq!(world.provider(silent).status, ProviderStatus::Suspended);
    world.does(&landlord(), Action::Drain(Drain { node: silent }));
    world.epoch_of_proofs(&columns, &[silent]);
    assert_eq!((world.provider(silent).status, world.provider(silent).audited.missed), (ProviderStatus::Draining, 0));
}

/// Where most of a network does not prove, in several infrastructures, the network is at fault: but nobody is paid.
#[test]
fn a_storm_is_excused_three_times_in_a_row() {
    let (mut world, columns, commit) = stored();
    let holders = providers(&commit.slots);
    let missed = |world: &World| world.provider(holders[0]).audited.missed;
    let mut seen = Vec::new();
    for _ in 0..4 {
        world.epoch_of_proofs(&columns, &[]);
        seen.push(missed(&world));
    }
    assert_eq!(seen, [0, 0, 0, 1]);
    world.epoch_of_proofs(&columns, &holders);
    assert_eq!((missed(&world), world.provider(holders[0]).audited.pay.proofs.count), (0, 1));
}

#[test]
fn released_slots_are_asked_for_until_their_epoch_ends() {
    let (mut world, columns, commit) = stored();
    let holders = providers(&commit.slots);
    world.does(&alice(), Action::Release(Release { object: object(1), extent: 0 }));
    world.epoch_of_proofs(&columns, &holders);
    assert!(world.state.commitments_of(&object(1), 1).is_empty(), "ended with the epoch");
    assert_eq!(world.provider(holders[0]).audited.pay.proofs.count, 1, "and paid for it");
    // The epoch that begins froze it before it ended.
    let departed = |world: &World| world.state.records().filter(|(key, _)| matches!(key, Key::Departed(..))).count();
    assert_eq!((world.epoch(), departed(&world)), (Epoch(2), 1));
    world.epoch_of_proofs(&columns, &holders);
    assert_eq!(world.provider(holders[0]).audited.pay.proofs.count, 2);
    assert_eq!(world.provider(holders[0]).audited.pay.earned, world.provider(holders[1]).audited.pay.earned);
    world.block(vec![]);
    assert_eq!(departed(&world), 0);
    let left = world.state.records().filter(|(key, _)| matches!(key, Key::Held(..) | Key::HeldSum(..) | Key::Rate(..)));
    assert_eq!(left.count(), 0, "nothing is left behind");
    assert_eq!(world.state.tip().running.escrowed, Amount::ZERO);
    world.wait_for(5);
    assert_eq!(world.provider(holders[0]).audited.missed, 0, "it has nothing to prove");
}

/// Every point of a provider's bytes is found, in the inventory that the epoch froze, whatever changes meanwhile.
#[test]
fn points_are_found_in_the_frozen_inventory() {
    let (mut world, mut columns) = (World::of(&audited()), Columns::default());
    for number in 1..12 {
        let commit = columns.commit(&world, &alice(), number, 64 * u64::from(number));
        world.does(&alice(), Action::Commit(commit));
    }
    let epoch = world.epoch().after(1);
    world.wait_for(epoch.0);
    let holder = node(0);
    let all = |world: &World| -> Vec<(ColumnId, u64)> {
        let bytes = world.provider(holder).frozen_bytes(epoch);
        let at = |point| inventory::locate(&world.state, holder, epoch, point).expect("within");
        assert_eq!(inventory::locate(&world.state, holder, epoch, bytes), None, "past the end");
        (0..bytes).map(at).map(|(held, offset)| (held.column, offset)).collect()
    };
    let before = all(&world);
    assert!(before.len() > 1_000);
    world.does(&alice(), Action::Release(Release { object: object(3), extent: 0 }));
    for number in 20..25 {
        let commit = columns.commit(&world, &bob(), number, 128);
        world.does(&bob(), Action::Commit(commit));
    }
    if world.epoch() == epoch {
        assert_eq!(all(&world), before);
    }
}

/// A provider is paid what the slots cost that have not ended, and a raised price counts from the extension on.
#[test]
fn extensions_settle_and_raise_what_is_paid() {
    let (mut world, columns, commit) = stored();
    let holders = providers(&commit.slots);
    world.epoch_of_proofs(&columns, &holders);
    let mut register = world.register(&landlord(), (0..14).find(|index| node(*index) == holders[0]).expect("one"));
    register.price = Amount(3_000_000_000);
    register.bond = Amount(register.bond.0.max(world.provider(holders[0]).bond.0) + 500_000_000);
    register.domain = world.provider(holders[0]).domain;
    world.does(&landlord(), Action::Register(register));
    let before = world.provider(holders[0]).audited.pay.rate;
    let end = world.epoch().after(60);
    let most = Amount(3_000_000_000);
    world.does(&alice(), Action::Extend(Extend { commitment: super::world::key_of(&alice(), 1), end, most }));
    let pay = world.provider(holders[0]).audited.pay;
    assert!(pay.rate > before, "{before:?} {:?}", pay.rate);
    let made = world.state.commitments_of(&object(1), 1).remove(0);
    assert_eq!(made.slots[0].rate(40_000), pay.rate);
    world.epoch_of_proofs(&columns, &holders);
    world.does(&alice(), Action::Release(Release { object: object(1), extent: 0 }));
    world.epoch_of_proofs(&columns, &holders);
    world.block(vec![]);
    assert_eq!(world.state.tip().running.escrowed, Amount::ZERO, "all is settled");
}

#[test]
fn what_is_proven_grows_slowly_and_falls_with_what_there_is() {
    let mut founding = audited();
    founding.params.audits = Audits { ramp_epochs: 4, starter_bytes: 50_000, ..Audits::default() };
    let (mut world, mut columns) = (World::of(&founding), Columns::default());
    let commit = columns.commit(&world, &alice(), 1, 40_000);
    let holders = providers(&commit.slots);
    world.does(&alice(), Action::Commit(commit));
    let weight = |world: &World| world.provider(holders[0]).listing.offer.map_or(0, |offer| offer.weight);
    assert_eq!(weight(&world), 10_000, "the start, without what it stores");
    let mut seen = Vec::new();
    world.wait_for(1);
    for _ in 0..5 {
        world.epoch_of_proofs(&columns, &holders);
        seen.push((world.provider(holders[0]).audited.proven_bytes, weight(&world)));
    }
    assert_eq!(seen, [(10_000, 30_000), (20_000, 50_000), (30_000, 70_000), (40_000, 90_000), (40_000, 90_000)]);
    let large = Params { audits: Audits { ramp_epochs: 0, ..Audits::default() }, ..Params::default() };
    assert!(world.provider(holders[0]).offered_bytes(&large) > 90_000);
}
