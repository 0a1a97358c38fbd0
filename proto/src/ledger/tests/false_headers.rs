//! What it costs a validator to sign a header that contradicts the chain, in whatever round: light clients believe it.

use std::collections::BTreeMap;

use super::{
    evidence::{BOND, PENALTY, quick},
    world::{World, alice, bob, landlord, vote_key},
};
use crate::{
    beacon::BeaconSignature,
    codec,
    id::{BlockId, Height},
    ledger::{
        Genesis, TxError,
        history::{self, HistoryProof, Peaks},
        proofs::Proofs,
        state::{Records, ValidatorStatus},
        tx::{Action, Block, DecidedBlock, Evidence, FalseHeader, Header, Leave, Roots, Tx},
        vote::{SignedVote, Vote, VoteKind},
    },
    light::{
        Answer, BadAnswer, CertifiedHeader, PastHeader,
        proof_file::{Certificate, ProofFileError, signed_headers},
    },
    limits,
    sign::Signature,
};

/// A round in which nobody voted.
const ROUND: u32 = 77;

/// A chain whose headers and history are kept.
struct Chain {
    world: World,
    decided: Vec<DecidedBlock>,
    nodes: BTreeMap<u64, [u8; 32]>,
}

impl Chain {
    /// With this number of blocks.
    fn new(blocks: u64) -> Self {
        let mut chain = Self { world: World::founded(&quick()), decided: Vec::new(), nodes: BTreeMap::new() };
        (0..blocks).for_each(|_| chain.block(vec![]));
        chain
    }

    fn block(&mut self, txs: Vec<Tx>) {
        let proposal = self.world.propose(txs.clone());
        self.nodes.extend(proposal.changes.history.iter().copied());
        self.decided.push(self.world.decide(proposal.block));
        self.world.block(txs);
    }

    fn tip(&self) -> u64 {
        self.world.state.tip().height.0
    }

    fn decided(&self, height: u64) -> CertifiedHeader {
        let at = usize::try_from(height).expect("few") - 1;
        let DecidedBlock { block, certificate } = self.decided[at].clone();
        CertifiedHeader { header: block.header, certificate }
    }

    fn header(&self, height: u64) -> Header {
        self.decided(height).header
    }

    /// The history that the rules have in the next block, and its nodes.
    fn history(&self) -> (Peaks, BTreeMap<u64, [u8; 32]>) {
        let (tip, mut nodes) = (self.world.state.tip(), self.nodes.clone());
        let mut peaks = tip.running.history;
        nodes.extend(peaks.append(&tip.block));
        (peaks, nodes)
    }

    /// Proof of the block of this height, for the next block.
    fn proof(&self, height: u64) -> HistoryProof {
        let ((peaks, nodes), height) = (self.history(), Height(height));
        let proof = history::prove(|position| nodes.get(&position).copied(), peaks.len(), height);
        proof.expect("all nodes are there").below_peak(peaks.len(), height)
    }

    fn sign(&self, index: u8, vote: Vote) -> SignedVote {
        SignedVote::sign(vote, &vote_key(index), &self.world.rules.chain)
    }

    /// What accuses this validator of the header.
    fn found(&self, index: u8, header: Header) -> FalseHeader {
        let (height, block) = (header.height, Some(header.id()));
        let vote = Vote { kind: VoteKind::Precommit, height, round: ROUND, block };
        let (decided, proof) = (self.header(height.0), self.proof(height.0));
        FalseHeader { vote: self.sign(index, vote), header, decided, proof }
    }

    /// What accuses this validator of a header of this height with another parent.
    fn forged(&self, index: u8, height: u64) -> FalseHeader {
        self.found(index, Header { parent: BlockId::new([9; 32]), ..self.header(height) })
    }

    fn tx(&self, found: FalseHeader) -> Tx {
        self.world.tx(&alice(), accusation(found))
    }

    fn verdict(&self, found: FalseHeader) -> Result<(), TxError> {
        self.world.verdict(&self.tx(found))
    }
}

fn accusation(found: FalseHeader) -> Action {
    Action::Evidence(Evidence::Header(Box::new(found)))
}

fn unproven(height: u64) -> Result<(), TxError> {
    Err(TxError::EvidenceProof { height: Height(height) })
}

const HONEST: Result<(), TxError> = Err(TxError::NoContradiction);

#[test]
fn what_follows_from_the_parent_alone_is_the_same_in_every_round() {
    let chain = Chain::new(11);
    let genesis = chain.header(1);
    assert_eq!(genesis.parent.bytes(), chain.world.rules.chain.bytes(), "height 1 contradicts genesis or does not");
    for height in [1, 2, 7, 8, 10, 11] {
        let of = chain.header(height);
        let check = |desc: &str, header: Header, expect| {
            assert_eq!(chain.verdict(chain.found(2, header)), expect, "{desc} at height {height}");
        };
        check("another parent", Header { parent: BlockId::new([9; 32]), ..of.clone() }, Ok(()));
        check("another history", Header { history: [9; 32], ..of.clone() }, Ok(()));
        check("another set", Header { validators: [9; 32], ..of.clone() }, Ok(()));
        let all = Header { parent: BlockId::new([9; 32]), history: [8; 32], validators: [7; 32], ..of.clone() };
        check("all of these", all, Ok(()));
        // Each of these may be of a block of another round that is as valid.
        check("the block itself", of.clone(), HONEST);
        check("other proofs", Header { roots: Roots { proofs: [9; 32], ..of.roots }, ..of.clone() }, HONEST);
        check("other transactions", Header { roots: Roots { txs: [9; 32], ..of.roots }, ..of.clone() }, HONEST);
        check("another time", Header { time_ms: of.time_ms + 1, ..of.clone() }, HONEST);
        check("another round", Header { round: of.round + 1, ..of.clone() }, HONEST);
        check("another proposer", Header { proposer: vote_key(3).public(), ..of.clone() }, HONEST);
        check("another signature", Header { beacon: BeaconSignature([9; 48]), ..of.clone() }, HONEST);
        check("another state", Header { state: [9; 32], ..of.clone() }, HONEST);
        check("other successors", Header { next_validators: [9; 32], ..of }, HONEST);
    }
}

/// All that an honest validator signs for a height: every block that the rules allow there, in any round.
#[test]
fn no_block_that_the_rules_allow_is_evidence() {
    let mut chain = Chain::new(6);
    let leave = chain.world.tx(&landlord(), Action::Leave(Leave { key: vote_key(0).public() }));
    let others: Vec<Block> = (0..4)
        .flat_map(|round| [vec![], vec![leave.clone()]].map(|txs| (round, txs)))
        .map(|(round, txs)| chain.world.propose_in(round, txs).block)
        .collect();
    chain.block(vec![]);
    for Block { header, .. } in others {
        assert_eq!(chain.verdict(chain.found(1, header)), HONEST);
    }
}

#[test]
fn only_a_precommit_for_that_header_is_evidence() {
    let chain = Chain::new(11);
    let good = chain.forged(2, 8);
    let vote = good.vote.vote;
    assert_eq!(chain.verdict(good.clone()), Ok(()));
    let check = |desc: &str, vote: Vote| {
        let found = FalseHeader { vote: chain.sign(2, vote), ..good.clone() };
        assert_eq!(chain.verdict(found), HONEST, "{desc}");
    };
    check("a prevote", Vote { kind: VoteKind::Prevote, ..vote });
    check("a precommit for nil", Vote { block: None, ..vote });
    check("for the decided block", Vote { block: Some(good.decided.id()), ..vote });
    check("of another height", Vote { height: Height(7), ..vote });
    let other = FalseHeader { decided: chain.header(7), proof: chain.proof(7), ..good.clone() };
    assert_eq!(chain.verdict(other), HONEST, "another height's header");

    let unsigned = Err(TxError::EvidenceSignature);
    let signed = |vote| FalseHeader { vote, ..good.clone() };
    let never = SignedVote { signature: Signature([0; 64]), ..good.vote };
    assert_eq!(chain.verdict(signed(never)), unsigned);
    let of_another = SignedVote { voter: vote_key(1).public(), ..good.vote };
    assert_eq!(chain.verdict(signed(of_another)), unsigned);
    let elsewhere = World::founded(&Genesis { name: "other".to_owned(), ..quick() }).rules.chain;
    let foreign = SignedVote::sign(vote, &vote_key(2), &elsewhere);
    assert_eq!(chain.verdict(signed(foreign)), unsigned, "of another chain");
}

/// Who signed what was decided cannot be accused by a forged header that claims to be the chain's.
#[test]
fn only_the_history_says_what_was_decided() {
    let chain = Chain::new(11);
    let (honest, false_one) = (chain.header(8), chain.forged(2, 8).header);
    let framed = FalseHeader { decided: false_one, ..chain.found(2, honest.clone()) };
    assert_eq!(chain.verdict(framed.clone()), unproven(8));
    for height in 0..=chain.tip() {
        let found = FalseHeader { proof: chain.proof(height), ..framed.clone() };
        assert_eq!(chain.verdict(found), unproven(8), "by the proof of height {height}");
    }
    let good = chain.forged(2, 8);
    assert_eq!(chain.verdict(good.clone()), Ok(()));
    let check = |desc: &str, siblings: Vec<[u8; 32]>| {
        let proof = codec::decode(&codec::encode(&siblings), limits::TX).expect("siblings alone");
        assert_eq!(chain.verdict(FalseHeader { proof, ..good.clone() }), unproven(8), "{desc}");
    };
    let siblings: Vec<[u8; 32]> = codec::decode(&codec::encode(&good.proof), limits::TX).expect("siblings alone");
    assert_eq!(siblings.len(), 2, "of the heights 8 to 11");
    check("no siblings", vec![]);
    check("too few", siblings[1..].to_vec());
    check("in the other order", vec![siblings[1], siblings[0]]);
    check("too many", [siblings.as_slice(), &[[0; 32]]].concat());
    check("as many as fit a transaction", vec![[0; 32]; 1_900]);
    let other = Header { state: [9; 32], ..good.decided.clone() };
    assert_eq!(chain.verdict(FalseHeader { decided: other, ..good }), unproven(8), "not quite the chain's");
}

/// In the block of height h the newest decided height is h - 1.
#[test]
fn a_height_counts_once_it_is_decided() {
    let mut chain = Chain::new(0);
    assert_eq!(chain.tip(), 0);
    for tip in 0..12 {
        let (next, above) = (tip + 1, tip + 2);
        let open = chain.world.propose(vec![]).block.header;
        let forge = |height| {
            let header = Header { height: Height(height), parent: BlockId::new([9; 32]), ..open.clone() };
            let vote =
                Vote { kind: VoteKind::Precommit, height: Height(height), round: ROUND, block: Some(header.id()) };
            let decided = Header { height: Height(height), ..open.clone() };
            FalseHeader { vote: chain.sign(2, vote), header, decided, proof: chain.proof(tip) }
        };
        assert_eq!(chain.verdict(forge(next)), unproven(next), "it is being decided");
        let height = Height(above);
        assert_eq!(chain.verdict(forge(above)), Err(TxError::EvidenceHeight { height }));
        assert_eq!(chain.verdict(forge(0)), unproven(0), "genesis has no header");
        for height in 1..=tip {
            assert_eq!(chain.verdict(chain.forged(2, height)), Ok(()), "height {height} after {tip} blocks");
        }
        chain.block(vec![]);
    }
}

/// It need not be in the very next block: the proof lasts until its tree of the history merges.
#[test]
fn evidence_stays_valid_until_its_tree_merges() {
    let mut chain = Chain::new(8);
    let (old, new) = (chain.forged(2, 3), chain.forged(2, 8));
    assert_eq!((chain.verdict(old.clone()), chain.verdict(new.clone())), (Ok(()), Ok(())));
    // In block 10 the leaves 8 and 9 have merged.
    chain.block(vec![]);
    assert_eq!((chain.verdict(old.clone()), chain.verdict(new)), (Ok(()), unproven(8)));
    assert_eq!(chain.verdict(chain.forged(2, 8)), Ok(()), "proven again");
    while chain.tip() < 14 {
        chain.block(vec![]);
        assert_eq!(chain.verdict(old.clone()), Ok(()), "in the block after {}", chain.tip());
    }
    // In block 16 the leaves 0 to 15 have.
    chain.block(vec![]);
    assert_eq!(chain.verdict(old), unproven(3));
    assert_eq!(chain.verdict(chain.forged(2, 3)), Ok(()), "proven again");
}

#[test]
fn a_false_header_costs_what_an_equivocation_does_and_once() {
    let mut chain = Chain::new(6);
    let key = vote_key(1).public();
    let before = chain.world.account(&alice()).balance.0;
    let tx = chain.tx(chain.forged(1, 5));
    let fee = tx.body.fee.0;
    chain.block(vec![tx]);
    let until = chain.world.epoch().after(3);
    let removed = chain.world.validator(1).expect("its bond is locked");
    assert_eq!((removed.bond.0, removed.status), (BOND - PENALTY, ValidatorStatus::Removed { until }));
    assert_eq!(chain.world.account(&alice()).balance.0, before - fee + PENALTY / 10, "the reporter's reward");
    assert_eq!(chain.world.state.validator_set().power(&key), None);
    assert_eq!(chain.verdict(chain.forged(1, 5)), Err(TxError::Barred { key }));
    assert_eq!(chain.verdict(chain.forged(1, 4)), Err(TxError::Barred { key }), "another one");
    let double = Action::Evidence(chain.world.double_vote(1, Height(2)));
    assert_eq!(chain.world.verdict(&chain.world.tx(&alice(), double)), Err(TxError::Barred { key }));
    // And the other way round.
    let double = Action::Evidence(chain.world.double_vote(2, Height(2)));
    let tx = chain.world.tx(&bob(), double);
    chain.block(vec![tx]);
    assert_eq!(chain.verdict(chain.forged(2, 5)), Err(TxError::Barred { key: vote_key(2).public() }));
    let stranger = vote_key(9).public();
    assert_eq!(chain.verdict(chain.forged(9, 5)), Err(TxError::NoValidator { key: stranger }));
}

/// Those who left can no longer vote; as long as their bond is locked, they answer for what they sign for clients that
/// do not know it.
#[test]
fn one_answers_for_headers_as_long_as_ones_bond_is_locked() {
    let mut chain = Chain::new(5);
    let leave = chain.world.tx(&landlord(), Action::Leave(Leave { key: vote_key(1).public() }));
    chain.block(vec![leave]);
    let Some(ValidatorStatus::Left { until }) = chain.world.validator(1).map(|validator| validator.status) else {
        panic!("it has left: {:?}", chain.world.validator(1))
    };
    chain.block(vec![]);
    chain.block(vec![]);
    let (named, height) = (chain.header(6).validators, chain.tip());
    assert_ne!(named, chain.header(height).validators, "without it");
    // On the right parent, but as if it were still of the set: what a client that missed its leaving believes.
    let of_the_old = |chain: &Chain| chain.found(1, Header { validators: named, ..chain.header(height) });
    assert_eq!(chain.verdict(of_the_old(&chain)), Ok(()));
    while chain.world.epoch().after(1) < until {
        chain.block(vec![]);
    }
    let (mut late, tx) = (chain.world.clone(), chain.tx(of_the_old(&chain)));
    late.block(vec![tx]);
    let removed = late.validator(1).expect("its bond is locked");
    assert_eq!((removed.bond.0, removed.status), (BOND - PENALTY, ValidatorStatus::Removed { until }));
    while chain.world.epoch() < until {
        chain.block(vec![]);
    }
    assert_eq!(chain.verdict(of_the_old(&chain)), Err(TxError::NoValidator { key: vote_key(1).public() }));

    let joins = chain.tip() + 1;
    let join = chain.world.tx(&alice(), Action::Join(chain.world.join(&alice(), 4)));
    chain.block(vec![join]);
    let height = Height(joins - 1);
    assert_eq!(chain.verdict(chain.forged(4, height.0)), Err(TxError::EvidenceHeight { height }), "before it joined");
    assert_eq!(chain.verdict(chain.forged(4, joins)), Ok(()));
}

/// What a client does with a header that a quorum signed, and that is not the chain's.
#[test]
fn everyone_who_signed_a_false_header_is_accused() {
    let mut chain = Chain::new(12);
    let (id, tip) = (chain.world.rules.chain, chain.header(12));
    let past = |chain: &Chain, height: u64| {
        let read = |position| chain.nodes.get(&position).copied();
        PastHeader { header: chain.header(height), proof: history::prove(read, 12, Height(height)) }
    };
    let certify = |chain: &Chain, header: Header| {
        let block = Block { header, txs: Vec::new(), charged: Vec::new(), proofs: Proofs::new() };
        let certificate = chain.world.certificate(&block, [0, 1, 3]);
        CertifiedHeader { header: block.header, certificate }
    };
    let mut forged = certify(&chain, Header { history: [9; 32], round: ROUND, ..chain.header(7) });
    let evidence = forged.accuse(&id, &past(&chain, 7), &tip).expect("it is proven");
    let mut accused: Vec<_> = [0, 1, 3].map(|index| vote_key(index).public()).into();
    accused.sort();
    assert_eq!(evidence.iter().map(Evidence::accused).collect::<Vec<_>>(), accused);

    assert_eq!(chain.decided(7).accuse(&id, &past(&chain, 7), &tip), Ok(vec![]), "it is the chain's");
    let other = certify(&chain, Header { state: [9; 32], ..chain.header(7) });
    assert_eq!(other.accuse(&id, &past(&chain, 7), &tip), Ok(vec![]), "it may have been another round's");
    assert_eq!(forged.accuse(&id, &past(&chain, 8), &tip), Ok(vec![]), "of another height");
    let newest = PastHeader { header: tip.clone(), proof: None };
    let forged_tip = certify(&chain, Header { history: [9; 32], ..tip.clone() });
    assert_eq!(forged_tip.accuse(&id, &newest, &tip), Ok(vec![]), "not in the history yet");
    let invented = PastHeader { header: forged.header.clone(), ..past(&chain, 7) };
    assert!(matches!(chain.decided(7).accuse(&id, &invented, &tip), Err(BadAnswer::Past(_))));
    // A signature that does not verify accuses no validator.
    forged.certificate.signatures.insert(vote_key(2).public(), Signature([3; 64]));
    assert_eq!(forged.accuse(&id, &past(&chain, 7), &tip).as_ref(), Ok(&evidence));

    for (evidence, left) in evidence.into_iter().zip([3, 2, 1]) {
        let tx = chain.world.tx(&bob(), Action::Evidence(evidence));
        chain.block(vec![tx]);
        assert_eq!(chain.world.state.validator_set().len(), left);
    }
}

#[test]
fn all_headers_of_a_proof_file_can_be_accused() {
    let chain = Chain::new(3);
    let answers = [2, 3].map(|height| Answer { tip: chain.decided(height), said: vec![] });
    let file = Certificate::new(
        chain.world.rules.chain,
        vec![],
        (super::world::object(1), alice().public()),
        answers.to_vec(),
    );
    assert_eq!(signed_headers(&file.to_bytes()), Ok(vec![chain.decided(2), chain.decided(3)]));
    assert!(matches!(signed_headers(b"something else"), Err(ProofFileError::Decode(_) | ProofFileError::Format)));
}
