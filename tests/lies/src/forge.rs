//! What lies are made of: validators that nobody chose, and what they sign.

use ostrakon_proto::{
    beacon::BeaconSignature,
    id::{BlockId, ChainId, Height},
    ledger::{
        tx::{Header, Roots},
        vote::{QuorumCertificate, SignedVote, ValidatorSet, Vote, VoteKind},
    },
    light::{CertifiedHeader, Handover},
    sign::Keypair,
};

/// Above all that is decided in a test.
const USURPED: Height = Height(1_000_000);

fn stranger() -> Keypair {
    Keypair::from_seed(&[99; 32])
}

/// Who decides, if strangers could.
pub(super) fn strangers() -> ValidatorSet {
    ValidatorSet::new([(stranger().public(), 1)])
}

/// The header, as if strangers had decided it.
pub(super) fn signed_by_strangers(chain: &ChainId, header: Header) -> CertifiedHeader {
    let (height, round, block) = (header.height, header.round, header.id());
    let vote = Vote { kind: VoteKind::Precommit, height, round, block: Some(block) };
    let signed = SignedVote::sign(vote, &stranger(), chain);
    let certificate = QuorumCertificate { height, round, block, signatures: [(signed.voter, signed.signature)].into() };
    CertifiedHeader { header, certificate }
}

/// A tip that strangers decided, after the block that gave them the power.
pub(super) fn tip_of_usurpers(chain: &ChainId, header: Header) -> CertifiedHeader {
    let (height, validators) = (USURPED.next(), strangers().hash());
    signed_by_strangers(chain, Header { height, validators, next_validators: validators, ..header })
}

/// The block that gives strangers the power, by their own word.
pub(super) fn usurpation(chain: &ChainId) -> Handover {
    let header = Header {
        height: USURPED,
        round: 0,
        parent: BlockId::new([0; 32]),
        time_ms: 0,
        roots: Roots { txs: [0; 32], charged: [0; 32], proofs: [0; 32] },
        state: [0; 32],
        history: [0; 32],
        validators: [0; 32],
        next_validators: strangers().hash(),
        proposer: stranger().public(),
        beacon: BeaconSignature([0; 48]),
    };
    let CertifiedHeader { header, certificate } = signed_by_strangers(chain, header);
    Handover { header, certificate, next: strangers() }
}
