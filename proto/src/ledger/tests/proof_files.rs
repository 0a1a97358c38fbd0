//! Proofs in files, on a chain whose validators change: what they prove, and that every byte of them counts.

use std::collections::BTreeMap;

use super::world::{World, alice, code, genesis, id, landlord, object, vote_key};
use crate::{
    codec,
    id::{Height, TxId},
    ledger::{
        history,
        state::{Key, Records},
        tree,
        tx::{Action, Anchor, Block, DecidedBlock, Leave, Tx},
    },
    light::{
        Answer, CertifiedHeader, Checkpoint, Handover, PastBlock, PastHeader, ProvenRecord,
        proof_file::{AnchorProof, Basis, Certificate, ProofFileError},
    },
};

/// A chain that is kept as a node keeps it.
struct Chain {
    world: World,
    decided: Vec<DecidedBlock>,
    past: BTreeMap<u64, [u8; 32]>,
    handovers: Vec<Handover>,
}

impl Chain {
    fn new() -> Self {
        Self { world: World::founded(&genesis()), decided: Vec::new(), past: BTreeMap::new(), handovers: Vec::new() }
    }

    fn block(&mut self, txs: Vec<Tx>) {
        let proposal = self.world.propose(txs);
        assert_eq!(proposal.rejected, []);
        self.past.extend(proposal.changes.history.iter().copied());
        let decided = self.world.decide(proposal.block);
        let (header, certificate) = (decided.block.header.clone(), decided.certificate.clone());
        if header.validators != header.next_validators {
            let next = proposal.changes.validator_set(&self.world.state);
            self.handovers.push(Handover { header, certificate, next });
        }
        self.world.state.commit(&proposal.changes);
        self.decided.push(decided);
    }

    fn does(&mut self, action: Action) -> TxId {
        let sender = if matches!(action, Action::Leave(_)) { landlord() } else { alice() };
        let tx = self.world.tx(&sender, action);
        let id = tx.id();
        self.block(vec![tx]);
        id
    }

    fn tip(&self) -> CertifiedHeader {
        let DecidedBlock { block, certificate } = self.decided.last().expect("there are blocks").clone();
        CertifiedHeader { header: block.header, certificate }
    }

    fn items(&self, keys: &[Key]) -> Answer<Vec<ProvenRecord>> {
        let state = &self.world.state;
        let item = |key: &Key| ProvenRecord {
            key: key.to_bytes(),
            value: state.get(key).map(|record| codec::encode(&record)),
            proof: tree::prove(state, state.tip().height.0, &key.to_bytes()).expect("it is the tip's"),
        };
        Answer { tip: self.tip(), said: keys.iter().map(item).collect() }
    }

    fn past(&self, at: usize) -> Answer<PastBlock> {
        let (tip, DecidedBlock { block, certificate }) = (self.tip(), self.decided[at].clone());
        let read = |position| self.past.get(&position).copied();
        let proof = history::prove(read, tip.header.height.0, block.header.height).expect("it is before");
        let Block { header, txs, charged, proofs } = block;
        let said = PastBlock { block: PastHeader { header, proof: Some(proof) }, certificate, txs, charged, proofs };
        Answer { tip, said }
    }
}

/// An object, an anchor, then other validators, and a few blocks more.
fn chain() -> (Chain, TxId) {
    let mut chain = Chain::new();
    chain.block(vec![]);
    let commit = chain.world.commit(&alice(), 1, code("4/12"), 4096);
    chain.does(Action::Commit(commit));
    let anchor = chain.does(Action::Anchor(Anchor { hash: [7; 32] }));
    for index in [3, 1] {
        chain.does(Action::Leave(Leave { key: vote_key(index).public() }));
    }
    (0..3).for_each(|_| chain.block(vec![]));
    assert_eq!(chain.handovers.len(), 2);
    (chain, anchor)
}

fn certificate(chain: &Chain) -> Certificate {
    let owner = (object(1), id(&alice()));
    let answers = vec![chain.items(&Certificate::keys(owner.0, owner.1, 1))];
    Certificate::new(genesis().id(), chain.handovers.clone(), owner, answers)
}

#[test]
fn a_certificate_shows_who_keeps_what_and_for_how_long() {
    let (chain, _) = chain();
    let committed = certificate(&chain).verify(&genesis()).expect("all of it is so");
    let kept = chain.world.state.commitments_of(&object(1), 2);
    assert_eq!((committed.object, committed.owner, committed.commitments), (object(1), id(&alice()), kept));
    let tip = chain.tip().header;
    let Basis { height, block, time_ms, .. } = committed.basis;
    assert_eq!((height, block, time_ms), (Height(8), tip.id(), tip.time_ms));
}

/// The bonds of all its validators are back after three weeks; two thirds of that are safe.
#[test]
fn what_former_validators_can_sign_is_believed_by_a_checkpoint_alone() {
    const DAY: u64 = 86_400_000;
    let founding = {
        let mut founding = genesis();
        founding.params.bonds.unbonding_epochs = 21 * DAY / founding.params.time.epoch_ms;
        founding
    };
    let committed = |forged: bool| {
        let mut chain = Chain { world: World::founded(&founding), ..Chain::new() };
        chain.block(vec![]);
        let commit = chain.world.commit(&alice(), 1, code("4/12"), if forged { 8_192 } else { 4_096 });
        chain.does(Action::Commit(commit));
        let owner = (object(1), id(&alice()));
        let answers = vec![chain.items(&Certificate::keys(owner.0, owner.1, 1))];
        let certificate = Certificate::new(founding.id(), Vec::new(), owner, answers);
        certificate.verify(&founding).expect("all validators signed it").basis
    };
    let (honest, forged) = (committed(false), committed(true));
    let (height, block, got) = (honest.height, honest.block, forged.block);
    assert!(forged.height == height && got != block);
    let young = founding.time_ms + 14 * DAY;
    assert_eq!(honest.check(&founding, None, young), Ok(()));
    let beyond = Err(ProofFileError::BeyondTrust { height });
    for basis in [honest, forged] {
        assert_eq!(basis.check(&founding, None, young + 1), beyond, "nobody can tell one from the other");
    }
    let (checkpoint, later) = (Checkpoint { height, block }, young + 1_000 * DAY);
    assert_eq!(honest.check(&founding, Some(checkpoint), later), Ok(()));
    let fork = Err(ProofFileError::Fork { height, have: block, got });
    assert_eq!(forged.check(&founding, Some(checkpoint), later), fork);
    assert_eq!(forged.check(&founding, Some(checkpoint), young), fork, "however young the network is");
    let given = height.next();
    let other = Err(ProofFileError::Checkpoint { height, given });
    assert_eq!(honest.check(&founding, Some(Checkpoint { height: given, block }), later), other);
}

#[test]
fn an_anchor_shows_what_was_known_when() {
    let (chain, tx) = chain();
    let proof = AnchorProof::new(genesis().id(), chain.handovers.clone(), chain.past(2), tx).expect("it is there");
    let anchored = proof.verify(&genesis()).expect("all of it is so");
    let then = chain.decided[2].block.header.time_ms;
    assert_eq!((anchored.hash, anchored.account, anchored.tx), ([7; 32], id(&alice()), tx));
    assert_eq!((anchored.height, anchored.time_ms), (Height(3), then));
    assert_eq!(AnchorProof::new(genesis().id(), vec![], chain.past(1), tx), None, "another block has it");
    let commit = chain.decided[1].block.txs[0].id();
    let other = AnchorProof::new(genesis().id(), chain.handovers.clone(), chain.past(1), commit).expect("it is there");
    assert_eq!(other.verify(&genesis()), Err(ProofFileError::Other), "it anchors nothing");
}

#[test]
fn every_byte_counts() {
    let (chain, tx) = chain();
    let whole = certificate(&chain).to_bytes();
    let proof = AnchorProof::new(genesis().id(), chain.handovers.clone(), chain.past(2), tx).expect("it is there");
    let anchor = proof.to_bytes();
    let holds = |bytes: &[u8]| Certificate::from_bytes(bytes).and_then(|read| read.verify(&genesis())).is_ok();
    let anchored = |bytes: &[u8]| AnchorProof::from_bytes(bytes).and_then(|read| read.verify(&genesis())).is_ok();
    assert!(holds(&whole) && anchored(&anchor));
    for (bytes, holds) in [(whole, &holds as &dyn Fn(&[u8]) -> bool), (anchor, &anchored)] {
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(!holds(&flipped), "byte {at} of {} does not matter", bytes.len());
        }
        assert!(!holds(&bytes[..bytes.len() - 1]) && !holds(&[bytes.as_slice(), &[0]].concat()));
    }
}

#[test]
fn a_certificate_lacks_nothing() {
    let (chain, _) = chain();
    let verify = |handovers: &[Handover], owner, answers| {
        Certificate::new(genesis().id(), handovers.to_vec(), owner, answers).verify(&genesis())
    };
    let owner = (object(1), id(&alice()));
    let items = |extents| chain.items(&Certificate::keys(object(1), id(&alice()), extents));
    assert!(verify(&chain.handovers, owner, vec![items(1)]).is_ok());
    assert_eq!(verify(&chain.handovers, owner, vec![]), Err(ProofFileError::Incomplete));
    assert_eq!(
        verify(&chain.handovers, owner, vec![items(2)]),
        Err(ProofFileError::Incomplete),
        "of an extent too many"
    );
    assert!(verify(&chain.handovers[..1], owner, vec![items(1)]).is_err(), "a handover is left out");
    assert!(verify(&chain.handovers, (object(2), owner.1), vec![items(1)]).is_err(), "another object's");
    let mut other = genesis();
    other.name.push('2');
    assert!(matches!(certificate(&chain).verify(&other), Err(ProofFileError::OtherChain { .. })));
}
