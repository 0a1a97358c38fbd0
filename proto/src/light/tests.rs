//! A client against every false claim it could receive, on a seeded chain whose validators change at random.

use super::*;
use crate::{
    audit::{LeafProof, StorageProof},
    beacon::BeaconSignature,
    id::{Epoch, NodeId, TxId, VoteKey},
    ledger::{
        history::{self, HistoryProof, Peaks},
        proofs::{ProofKey, Proofs},
        tree::{self, MemoryNodes},
        tx::{Roots, TxList, tx_proof, tx_root},
        vote::{QuorumCertificateError, SignedVote, Vote, VoteKind},
    },
    params::{Bonds, Timing},
    sign::{Keypair, Signature},
};

const CHAIN: ChainId = ChainId::new([0xcc; 32]);

fn key(number: u8) -> Keypair {
    Keypair::from_seed(&[number; 32])
}

/// Validators with these numbers and powers.
type Members = Vec<(u8, u64)>;

fn set(members: &Members) -> ValidatorSet {
    ValidatorSet::new(members.iter().map(|(number, power)| (key(*number).public(), *power)))
}

fn certify(header: &Header, signers: &Members, chain: &ChainId) -> QuorumCertificate {
    let (height, round, block) = (header.height, header.round, header.id());
    let vote = Vote { kind: VoteKind::Precommit, height, round, block: Some(block) };
    let sign = |(number, _): &(u8, u64)| -> (VoteKey, Signature) {
        (key(*number).public(), SignedVote::sign(vote, &key(*number), chain).signature)
    };
    QuorumCertificate { height, round, block, signatures: signers.iter().map(sign).collect() }
}

/// A chain; index h has height h, and header 0 is genesis.
struct World {
    headers: Vec<Header>,
    certificates: Vec<QuorumCertificate>,
    /// Who decides each height.
    members: Vec<Members>,
    nodes: Vec<[u8; 32]>,
    state: MemoryNodes,
}

/// Numbers that a seed gives.
struct SeededRng(blake3::OutputReader);

impl SeededRng {
    fn below(&mut self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % bound
    }

    fn members(&mut self) -> Members {
        let count = 1 + self.below(5);
        let first = self.below(200);
        let member = |at| (u8::try_from(first + at).expect("under 256"), 1 + self.below(9));
        (0..count).map(member).collect()
    }
}

const KEY: &[u8] = b"account";

impl World {
    fn new(seed: u8, heights: usize) -> Self {
        let mut rng = SeededRng(blake3::Hasher::new().update(&[seed]).finalize_xof());
        let mut members = vec![Members::new(), rng.members()];
        let (mut state, mut peaks) = (MemoryNodes::default(), Peaks::default());
        let (mut headers, mut certificates, mut nodes) = (Vec::new(), Vec::new(), Vec::new());
        let mut parent = BlockId::new(*CHAIN.bytes());
        for (height, at) in (0_u64..).zip(0..heights) {
            let same = height == 0 || rng.below(4) > 0;
            let next = if same { members[at.max(1)].clone() } else { rng.members() };
            let version = height.checked_sub(1);
            let patch = tree::update(&state, version, height, [(KEY, Some(height.to_le_bytes()))]);
            let patch = patch.expect("the parent is there");
            state.apply(&patch);
            let header = Header {
                height: Height(height),
                round: 0,
                parent,
                time_ms: 1_000 * height,
                roots: Roots { txs: [0; 32], charged: [0; 32], proofs: [0; 32] },
                state: patch.root,
                history: peaks.root(),
                validators: set(&members[at]).hash(),
                next_validators: set(&next).hash(),
                proposer: key(1).public(),
                beacon: BeaconSignature([0; 48]),
            };
            parent = if height == 0 { parent } else { header.id() };
            nodes.extend(peaks.append(&parent).into_iter().map(|(_, hash)| hash));
            certificates.push(certify(&header, &members[at], &CHAIN));
            headers.push(header);
            if at > 0 {
                members.push(next);
            }
        }
        Self { headers, certificates, members, nodes, state }
    }

    /// Trust in the block of this height, which for height 0 is genesis.
    fn trust(&self, at: usize) -> Trust {
        let (header, next) = (&self.headers[at], set(&self.members[at + 1]));
        if at > 0 {
            return Trust::checkpoint(CHAIN, header.id(), header, next).expect("they are its own");
        }
        let block = BlockId::new(*CHAIN.bytes());
        Trust { chain: CHAIN, height: Height(0), block, time_ms: 0, next: next.hash(), set: next }
    }

    fn handover(&self, at: usize) -> Handover {
        let (header, certificate) = (self.headers[at].clone(), self.certificates[at].clone());
        Handover { header, certificate, next: set(&self.members[at + 1]) }
    }

    /// Heights from `from` on after which others decide.
    fn handovers(&self, from: usize) -> impl Iterator<Item = usize> + '_ {
        let changes = |at: &usize| self.headers[*at].validators != self.headers[*at].next_validators;
        (from..self.headers.len()).filter(changes).filter(|at| *at > 0)
    }

    fn accept(&self, trust: &mut Trust, at: usize) -> Result<(), TrustError> {
        trust.accept(&self.headers[at], &self.certificates[at])
    }

    /// The answer that an honest node gives after the last block.
    fn answer(&self, keys: &[&[u8]]) -> Answer<Vec<ProvenRecord>> {
        let at = self.headers.len() - 1;
        let version = u64::try_from(at).expect("few");
        let item = |key: &&[u8]| ProvenRecord {
            key: key.to_vec(),
            value: (*key == KEY).then(|| version.to_le_bytes().to_vec()),
            proof: tree::prove(&self.state, version, key).expect("the last version is there"),
        };
        let tip = CertifiedHeader { header: self.headers[at].clone(), certificate: self.certificates[at].clone() };
        Answer { tip, said: keys.iter().map(item).collect() }
    }
}

/// A chain of five blocks that one set of four decides, which trusts begin with height 1.
fn calm() -> World {
    let calm = |world: &World| world.handovers(0).next().is_none() && world.members[1].len() > 3;
    (0..=255).map(|seed| World::new(seed, 5)).find(calm).expect("one in many")
}

/// A chain and the height of its first handover, which is neither at its beginning nor its end.
fn changing() -> (World, usize) {
    let first = |world: World| {
        let at = world.handovers(0).next()?;
        (3..8).contains(&at).then_some((world, at))
    };
    (0..=255).find_map(|seed| first(World::new(seed, 10))).expect("one in two")
}

#[test]
fn a_chain_is_followed_from_genesis_and_from_any_checkpoint() {
    for seed in 0..8 {
        let world = World::new(seed, 60);
        let last = world.headers.len() - 1;
        for from in 0..last {
            let mut trust = world.trust(from);
            for at in world.handovers(from + 1) {
                trust.hand_over(&world.handover(at)).expect("the trusted set signed it");
            }
            assert_eq!(world.accept(&mut trust, last), Ok(()), "seed {seed} from {from}");
            assert_eq!((trust.height(), trust.block()), (Height(59), world.headers[last].id()));
            let read = |position: u64| world.nodes.get(usize::try_from(position).ok()?).copied();
            let tip = &world.headers[last];
            for old in 1..last {
                let height = world.headers[old].height;
                let proof = history::prove(read, trust.height().0, height).expect("it is before");
                let past = |at: usize, proof: Option<&HistoryProof>| {
                    PastHeader { header: world.headers[at].clone(), proof: proof.cloned() }.verify(tip)
                };
                assert_eq!(past(old, Some(&proof)), Ok(()));
                assert!(
                    past(if old > 1 { old - 1 } else { old + 1 }, Some(&proof)).is_err(),
                    "the proof is of another"
                );
                assert!(past(old, None).is_err() && past(last, Some(&proof)).is_err());
            }
            assert_eq!(PastHeader { header: tip.clone(), proof: None }.verify(tip), Ok(()));
        }
    }
}

#[test]
fn every_header_between_handovers_is_trusted_directly() {
    let (world, handover) = changing();
    for at in 1..=handover {
        assert_eq!(world.accept(&mut world.trust(0), at), Ok(()), "height {at}");
    }
}

#[test]
fn a_handover_cannot_be_skipped() {
    let (world, at) = changing();
    let mut trust = world.trust(0);
    let after = world.accept(&mut trust, at + 1);
    assert_eq!(after, Err(TrustError::Undecided(BlockError::Header { what: "validators" })));
    // Its header alone moves the trust on, but then nobody is trusted until the set is there.
    assert_eq!(world.accept(&mut trust, at), Ok(()));
    let missing = Err(TrustError::HandoverMissing { height: world.headers[at].height });
    assert_eq!(world.accept(&mut trust, at + 1), missing);
    assert_eq!(trust.hand_over(&world.handover(at)), Ok(()));
    assert_eq!(world.accept(&mut trust, at + 1), Ok(()));
}

#[test]
fn replaced_validators_vouch_for_nothing_after() {
    let (world, at) = changing();
    let old = &world.members[at];
    let forged = Header { validators: set(old).hash(), ..world.headers[at + 1].clone() };
    let certificate = certify(&forged, old, &CHAIN);
    let mut trust = world.trust(0);
    world.accept(&mut trust, at).expect("the header of the handover");
    assert!(matches!(trust.check(&forged, &certificate), Err(TrustError::HandoverMissing { .. })));
    trust.hand_over(&world.handover(at)).expect("and its set");
    assert!(matches!(trust.check(&forged, &certificate), Err(TrustError::Undecided(_))));
    // Nor may they say that the header is the new set's.
    let header = &world.headers[at + 1];
    assert!(matches!(trust.check(header, &certify(header, old, &CHAIN)), Err(TrustError::Undecided(_))));
}

#[test]
fn a_handover_brings_the_set_that_it_names() {
    let (world, at) = changing();
    let mut trust = world.trust(0);
    let before = trust.clone();
    let mut handover = world.handover(at);
    handover.next = ValidatorSet::new(handover.next.iter().map(|(key, power)| (key, power + 1)));
    assert_eq!(trust.hand_over(&handover), Err(TrustError::OtherSet { height: handover.header.height }));
    // Who names a set of its own names another header.
    handover.header.next_validators = handover.next.hash();
    assert!(matches!(trust.hand_over(&handover), Err(TrustError::Undecided(BlockError::OtherCertificate { .. }))));
    assert_eq!(trust, before);
    let (header, next) = (&world.headers[at], set(&world.members[at]));
    let other = Trust::checkpoint(CHAIN, header.id(), header, next.clone());
    assert_eq!(other, Err(TrustError::OtherSet { height: header.height }));
    assert!(Trust::checkpoint(CHAIN, world.headers[1].id(), header, next).is_err());
}

#[test]
fn only_a_quorum_of_the_trusted_set_is_believed() {
    let world = calm();
    let (trust, header, members) = (world.trust(1), &world.headers[4], &world.members[4]);
    let check = |certificate: &QuorumCertificate| match trust.check(header, certificate) {
        Err(TrustError::Undecided(BlockError::Certificate(error))) => Some(error),
        verdict => {
            assert_eq!(verdict, Ok(()));
            None
        }
    };
    assert_eq!(check(&world.certificates[4]), None);
    assert!(matches!(check(&certify(header, &Members::new(), &CHAIN)), Some(QuorumCertificateError::NoQuorum { .. })));
    let total: u64 = members.iter().map(|(_, power)| power).sum();
    for signers in 0..1 << members.len() {
        let chosen = members.iter().enumerate().filter(|(at, _)| signers >> at & 1 == 1);
        let signers: Members = chosen.map(|(_, member)| *member).collect();
        let power: u64 = signers.iter().map(|(_, power)| power).sum();
        assert_eq!(check(&certify(header, &signers, &CHAIN)).is_none(), power * 3 > total * 2, "{power} of {total}");
    }
    let mut stranger = members.clone();
    stranger.push((250, 1));
    assert!(matches!(check(&certify(header, &stranger, &CHAIN)), Some(QuorumCertificateError::NotValidator { .. })));
    let other = certify(header, members, &ChainId::new([1; 32]));
    assert!(matches!(check(&other), Some(QuorumCertificateError::Signature { .. })));
    let mut forged = world.certificates[4].clone();
    forged.round += 1;
    assert!(matches!(check(&forged), Some(QuorumCertificateError::Signature { .. })));
    // One member's signature under another's name.
    let mut forged = world.certificates[4].clone();
    let first = *forged.signatures.values().next().expect("it is signed");
    forged.signatures.values_mut().for_each(|signature| *signature = first);
    assert!(matches!(check(&forged), Some(QuorumCertificateError::Signature { .. })));
}

#[test]
fn a_certificate_is_of_its_own_header() {
    let world = calm();
    let trust = world.trust(1);
    let other = trust.check(&world.headers[4], &world.certificates[3]);
    assert!(matches!(other, Err(TrustError::Undecided(BlockError::OtherCertificate { .. }))));
    let mut forged = world.certificates[3].clone();
    forged.block = world.headers[4].id();
    assert!(matches!(trust.check(&world.headers[4], &forged), Err(TrustError::Undecided(_))));
    forged.height = Height(4);
    assert!(matches!(trust.check(&world.headers[4], &forged), Err(TrustError::Undecided(_))));
}

#[test]
fn heights_rise_and_chains_do_not_part() {
    let world = calm();
    let mut trust = world.trust(3);
    let old = world.accept(&mut trust, 2);
    assert_eq!(old, Err(TrustError::Old { have: Height(3), got: Height(2) }));
    assert_eq!(world.accept(&mut trust, 3), Ok(()), "the same again");
    let members = &world.members[3];
    let fork = Header { time_ms: 1, ..world.headers[3].clone() };
    let (have, got) = (world.headers[3].id(), fork.id());
    let parted = Err(TrustError::OtherChain { height: Height(3), have, got });
    assert_eq!(trust.check(&fork, &certify(&fork, members, &CHAIN)), parted);
    let child = Header { parent: got, ..world.headers[4].clone() };
    assert_eq!(trust.check(&child, &certify(&child, members, &CHAIN)), parted);
    assert_eq!(world.accept(&mut trust, 4), Ok(()));
}

#[test]
fn trust_ends_where_bonds_come_back() {
    let trust = calm().trust(4);
    assert_eq!(trust.check_age(9_000, 5_000), Ok(()));
    assert_eq!(trust.check_age(9_001, 5_000), Err(TrustError::Expired { have: 4_000, oldest: 4_001 }));
    assert_eq!(trust.check_age(0, 5_000), Ok(()));
}

#[test]
fn trust_keeps_for_two_thirds_of_a_bond() {
    const DAY: u64 = 24 * 60 * 60 * 1_000;
    let keeps = |unbonding_epochs, epoch_ms| {
        let bonds = Bonds { unbonding_epochs, ..Bonds::default() };
        let time = Timing { epoch_ms, ..Timing::default() };
        trust_period_ms(&Params { time, bonds, ..Params::default() })
    };
    let Params { time: Timing { epoch_ms, .. }, bonds, .. } = Params::default();
    assert_eq!(keeps(bonds.unbonding_epochs, epoch_ms), 14 * DAY, "of three weeks");
    assert_eq!(keeps(2 * bonds.unbonding_epochs, epoch_ms), 28 * DAY);
    assert_eq!(keeps(24, 3_600_000), 16 * 60 * 60 * 1_000, "of a day");
    assert_eq!(keeps(24, 3_599_000), u64::MAX, "bonds of less than a day bind nobody for long");
    assert_eq!(
        (keeps(30, 10_000), keeps(0, 0)),
        (u64::MAX, u64::MAX),
        "a network to try things on may sleep for months"
    );
    assert_eq!(keeps(u64::MAX / 1_000, 1_000), u64::MAX / 1_000 * 1_000 / 3 * 2, "no product is cut");
    assert!(keeps(u64::MAX, 2) > u64::MAX - 3 && keeps(u64::MAX, u64::MAX) > u64::MAX - 3, "without expiry");
}

#[test]
fn how_old_trust_may_be() {
    let keeps = trust_period_ms(&Params::default());
    let (genesis, trust) = (calm().trust(0), calm().trust(4));
    let table = [
        ("young", &trust, 4_000 + 1, true),
        ("as old as may be", &trust, 4_000 + keeps, true),
        ("a millisecond older", &trust, 4_000 + keeps + 1, false),
        ("by a clock that is behind", &trust, 0, true),
        ("by a clock that is far ahead", &trust, u64::MAX, false),
        ("a genesis of just now", &genesis, genesis.time_ms, true),
        ("a genesis as old as may be", &genesis, genesis.time_ms + keeps, true),
        ("an old genesis", &genesis, genesis.time_ms + keeps + 1, false),
    ];
    for (what, trust, now_ms, expect) in table {
        assert_eq!(trust.check_age(now_ms, keeps).is_ok(), expect, "{what}");
    }
}

#[test]
fn an_answer_is_believed_with_all_its_proofs() {
    let world = calm();
    let keys: [&[u8]; 2] = [KEY, b"nobody"];
    let Answer { tip, said } = world.answer(&keys);
    let check = |items: &[ProvenRecord], asked: &[&[u8]]| check_records(items, &tip.header, asked);
    assert_eq!(check(&said, &keys), Ok(()));
    let other = Err(BadAnswer::OtherKeys { asked: 2 });
    assert_eq!(check(&said, &[keys[1], keys[0]]), other);
    assert_eq!(check(&said, &[keys[0], b"someone"]), other);
    assert_eq!(check(&said, &keys[..1]), Err(BadAnswer::OtherKeys { asked: 1 }));
    let changed = |at: usize, value: Option<Vec<u8>>| {
        let mut items = said.clone();
        items[at].value = value;
        check(&items, &keys)
    };
    assert!(matches!(changed(0, Some(vec![0xff; 8])), Err(BadAnswer::Record { index: 0, .. })), "richer");
    assert!(matches!(changed(0, None), Err(BadAnswer::Record { index: 0, .. })), "hidden");
    assert!(matches!(changed(1, Some(vec![1])), Err(BadAnswer::Record { index: 1, .. })), "invented");
    assert!(check_records(&said, &world.headers[3], &keys).is_err(), "of an older state");
    let mut rooted = tip.header.clone();
    rooted.state[0] ^= 1;
    assert!(matches!(world.trust(1).check(&rooted, &tip.certificate), Err(TrustError::Undecided(_))));
}

#[test]
fn a_transaction_is_in_the_block_that_lists_it() {
    let (tx, other) = (TxId::new([1; 32]), TxId::new([2; 32]));
    let before = calm().headers[4].clone();
    let header = Header { roots: Roots { txs: tx_root(&[tx]), ..before.roots }, ..before };
    let block = PastHeader { header: header.clone(), proof: None };
    let inclusion = |ids: &[TxId]| Inclusion {
        block: block.clone(),
        list: TxList::Applied,
        proof: tx_proof(ids, ids.len() - 1).expect("last"),
    };
    assert_eq!(inclusion(&[tx]).verify(&header, tx), Ok(TxPlace::start_of(Height(4))));
    assert_eq!(inclusion(&[tx]).verify(&header, other), Err(BadAnswer::NotIncluded { tx: other }));
    assert_eq!(inclusion(&[tx, other]).verify(&header, other), Err(BadAnswer::NotIncluded { tx: other }));
    assert!(inclusion(&[tx]).verify(&calm().headers[3], tx).is_err());
}

#[test]
fn genesis_is_where_trust_begins() {
    let genesis = Genesis {
        name: "light".to_owned(),
        time_ms: 5,
        bootstrap: Vec::new(),
        membership: crate::ledger::state::Membership::Permissionless,
        params: crate::params::Params::default(),
        accounts: Vec::new(),
        validators: Vec::new(),
        providers: Vec::new(),
    };
    let trust = Trust::genesis(&genesis);
    assert_eq!((trust.height(), trust.block().bytes()), (Height(0), genesis.id().bytes()));
    assert_eq!(trust.chain(), &genesis.id());
    assert_eq!(trust.check_age(7, 1), Err(TrustError::Expired { have: 5, oldest: 6 }));
}

/// Nodes drop the storage proofs of old blocks: none at all are as good as those that the header names, others are not.
#[test]
fn a_past_block_is_proven_without_its_storage_proofs() {
    let world = World::new(1, 5);
    let proofs = |byte| -> Proofs {
        let key = ProofKey { provider: NodeId::new([1; 32]), epoch: Epoch(1) };
        let leaf = LeafProof { data: vec![byte; 64], siblings: vec![] };
        [(key, StorageProof { leaves: vec![leaf] })].into()
    };
    let header = Header { roots: Roots::new(&[], &[], &proofs(1)), ..world.headers[4].clone() };
    let lacks_proofs = |proofs| {
        let (block, certificate) = (PastHeader { header: header.clone(), proof: None }, world.certificates[4].clone());
        let past = PastBlock { block, certificate, txs: vec![], charged: vec![], proofs };
        past.verify(&header, header.height).map(|decided| decided.block.lacks_proofs())
    };
    assert_eq!(lacks_proofs(proofs(1)), Ok(false));
    assert_eq!(lacks_proofs(Proofs::new()), Ok(true));
    assert!(lacks_proofs(proofs(2)).is_err());
}
