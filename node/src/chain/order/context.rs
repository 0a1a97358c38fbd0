//! The engine's view of our types: thin wrappers around keys, heights, blocks, votes and validator sets of `proto`.
//!
//! A value is a block's id, so votes and the log stay small; blocks are sent and stored beside them. The translation is
//! lossless in both directions. Not here: what the engine does with them ([`super::core`]).

use std::{collections::BTreeMap, convert::Infallible, fmt, time::Duration};

use malachite_types::{
    CommitCertificate, Context, Extension, NilOrVal, PolkaCertificate, PolkaSignature, Round, RoundCertificate,
    RoundCertificateType, RoundSignature, SignedMessage, SigningScheme, Timeout, VotingPower,
};
use ostrakon_proto::{
    id::{BlockId, Height, VoteKey},
    ledger::{
        Rotation,
        vote::{BlockProposal, QuorumCertificate, SignedProposal, SignedVote, Vote, VoteKind},
    },
    sign::Signature,
    wire::consensus::{Polka, RoundProof, RoundReason},
};

/// The most power that a validator set may have: the engine multiplies it by three in 64 bits.
pub(super) const POWER: u128 = u64::MAX as u128 / 4;

/// The types that the engine works with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bft;

/// A validator's address: its vote key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address(pub(super) VoteKey);

/// A block height.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BftHeight(pub(super) Height);

/// A block, named by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BlockRef(pub(super) BlockId);

/// A signature, ordered by its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BftSig(pub(super) Signature);

/// A vote with its voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BftVote {
    voter: Address,
    height: BftHeight,
    round: Round,
    kind: malachite_types::VoteType,
    block: NilOrVal<BlockId>,
}

/// A proposal with its proposer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BftProposal {
    proposer: Address,
    height: BftHeight,
    round: Round,
    valid_round: Round,
    block: BlockRef,
}

/// One validator of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BftValidator {
    address: Address,
    power: u64,
}

/// The validators of one height, with the rotation of proposers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BftValidators {
    list: Vec<BftValidator>,
    rotation: Rotation,
}

/// Blocks are not sent in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoPart;

/// Votes have no extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NoExtension;

/// The signing scheme; the engine signs nothing itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ed25519;

/// The timeouts of the steps of a round. The engine names them; how long they are, [`super::timers`] decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RoundTimeouts;

impl BftValidators {
    /// The set of `rotation`; `None` when it is empty or its power is over [`POWER`].
    pub(super) fn new(rotation: Rotation) -> Option<Self> {
        let set = rotation.set();
        let list = set.iter().map(|(key, power)| BftValidator { address: Address(key), power }).collect();
        (!set.is_empty() && set.total() <= POWER).then_some(Self { list, rotation })
    }

    /// The rotation.
    pub(super) fn rotation(&self) -> &Rotation {
        &self.rotation
    }
}

impl Context for Bft {
    type Address = Address;
    type Height = BftHeight;
    type ProposalPart = NoPart;
    type Proposal = BftProposal;
    type Validator = BftValidator;
    type ValidatorSet = BftValidators;
    type Timeouts = RoundTimeouts;
    type Value = BlockRef;
    type Vote = BftVote;
    type Extension = NoExtension;
    type SigningScheme = Ed25519;

    fn select_proposer<'a>(&self, set: &'a BftValidators, height: BftHeight, round: Round) -> &'a BftValidator {
        let round = round.as_u32().unwrap_or(0);
        let turn = set.rotation.proposer(height.0, round).map(Address);
        let member = set.list.iter().find(|member| Some(member.address) == turn);
        member.expect("invariant: a set that is not empty has a proposer, who is a member")
    }

    fn new_proposal(
        &self,
        height: BftHeight,
        round: Round,
        block: BlockRef,
        valid_round: Round,
        proposer: Address,
    ) -> BftProposal {
        BftProposal { proposer, height, round, valid_round, block }
    }

    fn new_prevote(&self, height: BftHeight, round: Round, block: NilOrVal<BlockId>, voter: Address) -> BftVote {
        BftVote { voter, height, round, kind: malachite_types::VoteType::Prevote, block }
    }

    fn new_precommit(&self, height: BftHeight, round: Round, block: NilOrVal<BlockId>, voter: Address) -> BftVote {
        BftVote { voter, height, round, kind: malachite_types::VoteType::Precommit, block }
    }
}

impl malachite_types::Address for Address {}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl malachite_types::Height for BftHeight {
    const ZERO: Self = Self(Height(0));
    const INITIAL: Self = Self(Height(1));

    fn increment_by(&self, n: u64) -> Self {
        Self(Height(self.0.0.saturating_add(n)))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.0.checked_sub(n).map(|height| Self(Height(height)))
    }

    fn as_u64(&self) -> u64 {
        self.0.0
    }
}

impl fmt::Display for BftHeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl malachite_types::Value for BlockRef {
    type Id = BlockId;

    fn id(&self) -> BlockId {
        self.0
    }
}

impl PartialOrd for BftSig {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for BftSig {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.0.cmp(&other.0.0)
    }
}

impl malachite_types::Vote<Bft> for BftVote {
    fn height(&self) -> BftHeight {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<BlockId> {
        &self.block
    }

    fn take_value(self) -> NilOrVal<BlockId> {
        self.block
    }

    fn vote_type(&self) -> malachite_types::VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Address {
        &self.voter
    }

    fn extension(&self) -> Option<&SignedMessage<Bft, NoExtension>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedMessage<Bft, NoExtension>> {
        None
    }

    fn extend(self, _: SignedMessage<Bft, NoExtension>) -> Self {
        self
    }
}

impl malachite_types::Proposal<Bft> for BftProposal {
    fn height(&self) -> BftHeight {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &BlockRef {
        &self.block
    }

    fn take_value(self) -> BlockRef {
        self.block
    }

    fn pol_round(&self) -> Round {
        self.valid_round
    }

    fn validator_address(&self) -> &Address {
        &self.proposer
    }
}

impl malachite_types::Validator<Bft> for BftValidator {
    fn address(&self) -> &Address {
        &self.address
    }

    fn public_key(&self) -> &VoteKey {
        &self.address.0
    }

    fn voting_power(&self) -> VotingPower {
        self.power
    }
}

impl malachite_types::ValidatorSet<Bft> for BftValidators {
    fn count(&self) -> usize {
        self.list.len()
    }

    fn total_voting_power(&self) -> VotingPower {
        self.list.iter().map(|member| member.power).sum()
    }

    fn get_by_address(&self, address: &Address) -> Option<&BftValidator> {
        self.list.binary_search_by_key(address, |member| member.address).ok().map(|index| &self.list[index])
    }

    fn get_by_index(&self, index: usize) -> Option<&BftValidator> {
        self.list.get(index)
    }
}

impl malachite_types::ProposalPart<Bft> for NoPart {
    fn is_first(&self) -> bool {
        true
    }

    fn is_last(&self) -> bool {
        true
    }
}

impl Extension for NoExtension {
    fn size_bytes(&self) -> usize {
        0
    }
}

/// The engine holds signatures and keys, and never reads or makes their bytes.
impl SigningScheme for Ed25519 {
    type DecodingError = Infallible;
    type Signature = BftSig;
    type PublicKey = VoteKey;
    type PrivateKey = ();

    fn decode_signature(bytes: &[u8]) -> Result<BftSig, Infallible> {
        let mut signature = [0; 64];
        signature.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(BftSig(Signature(signature)))
    }

    fn encode_signature(signature: &BftSig) -> Vec<u8> {
        signature.0.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<VoteKey, Infallible> {
        let mut key = [0; 32];
        key.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(VoteKey::new(key))
    }

    fn encode_public_key(key: &VoteKey) -> Vec<u8> {
        key.bytes().to_vec()
    }
}

impl malachite_types::Timeouts<Bft> for RoundTimeouts {
    fn duration_for(&self, timeout: Timeout) -> Duration {
        super::timers::wait(timeout, super::delays::Factor::default())
    }
}

fn kind(kind: malachite_types::VoteType) -> VoteKind {
    match kind {
        malachite_types::VoteType::Prevote => VoteKind::Prevote,
        malachite_types::VoteType::Precommit => VoteKind::Precommit,
    }
}

/// The engine's vote as the agreement's, which is what is signed.
pub(super) fn vote(cast: &BftVote) -> Vote {
    let block = match cast.block {
        NilOrVal::Nil => None,
        NilOrVal::Val(block) => Some(block),
    };
    Vote { kind: kind(cast.kind), height: cast.height.0, round: cast.round.as_u32().unwrap_or(0), block }
}

/// The engine's signed vote as the agreement's.
pub(super) fn signed_vote(signed: &SignedMessage<Bft, BftVote>) -> SignedVote {
    SignedVote { voter: signed.message.voter.0, vote: vote(&signed.message), signature: signed.signature.0 }
}

/// The agreement's signed vote as the engine's.
pub(super) fn bft_vote(signed: &SignedVote) -> SignedMessage<Bft, BftVote> {
    let SignedVote { voter, vote, signature } = *signed;
    let kind = match vote.kind {
        VoteKind::Prevote => malachite_types::VoteType::Prevote,
        VoteKind::Precommit => malachite_types::VoteType::Precommit,
    };
    let block = vote.block.map_or(NilOrVal::Nil, NilOrVal::Val);
    let (voter, height, round) = (Address(voter), BftHeight(vote.height), Round::new(vote.round));
    SignedMessage::new(BftVote { voter, height, round, kind, block }, BftSig(signature))
}

/// The engine's proposal as the agreement's, which is what is signed.
pub(super) fn proposal(offer: &BftProposal) -> BlockProposal {
    BlockProposal {
        height: offer.height.0,
        round: offer.round.as_u32().unwrap_or(0),
        valid_round: offer.valid_round.as_u32(),
        block: offer.block.0,
    }
}

/// The engine's signed proposal as the agreement's.
pub(super) fn signed_proposal(signed: &SignedMessage<Bft, BftProposal>) -> SignedProposal {
    let (proposer, proposal) = (signed.message.proposer.0, proposal(&signed.message));
    SignedProposal { proposer, proposal, signature: signed.signature.0 }
}

/// The agreement's signed proposal as the engine's.
pub(super) fn bft_proposal(signed: &SignedProposal) -> SignedMessage<Bft, BftProposal> {
    let BlockProposal { height, round, valid_round, block } = signed.proposal;
    let (proposer, height, round) = (Address(signed.proposer), BftHeight(height), Round::new(round));
    let valid_round = valid_round.map_or(Round::Nil, Round::new);
    SignedMessage::new(
        BftProposal { proposer, height, round, valid_round, block: BlockRef(block) },
        BftSig(signed.signature),
    )
}

/// The engine's proof of a decision as the agreement's.
pub(super) fn certificate(commit: &CommitCertificate<Bft>) -> QuorumCertificate {
    let signatures = commit.commit_signatures.iter().map(|sign| (sign.address.0, sign.signature.0)).collect();
    let round = commit.round.as_u32().unwrap_or(0);
    QuorumCertificate { height: commit.height.0, round, block: commit.value_id, signatures }
}

/// The engine's proof of a polka as the agreement's. Of two signatures by one validator only one is kept.
pub(super) fn polka(certificate: &PolkaCertificate<Bft>) -> Polka {
    let signatures: BTreeMap<_, _> =
        certificate.polka_signatures.iter().map(|sign| (sign.address.0, sign.signature.0)).collect();
    let round = certificate.round.as_u32().unwrap_or(0);
    Polka { height: certificate.height.0, round, block: certificate.value_id, signatures }
}

/// The agreement's proof of a polka as the engine's.
pub(super) fn polka_certificate(polka: &Polka) -> PolkaCertificate<Bft> {
    let signature = |(key, signature): (&VoteKey, &Signature)| PolkaSignature::new(Address(*key), BftSig(*signature));
    PolkaCertificate {
        height: BftHeight(polka.height),
        round: Round::new(polka.round),
        value_id: polka.block,
        polka_signatures: polka.signatures.iter().map(signature).collect(),
    }
}

/// The engine's reason for a round as the agreement's.
pub(super) fn round_proof(certificate: &RoundCertificate<Bft>) -> RoundProof {
    let (height, round) = (certificate.height, certificate.round);
    let vote = |sign: &RoundSignature<Bft>| {
        let cast = BftVote { voter: sign.address, height, round, kind: sign.vote_type, block: sign.value_id };
        signed_vote(&SignedMessage::new(cast, sign.signature))
    };
    let reason = match certificate.cert_type {
        RoundCertificateType::Skip => RoundReason::Skip,
        RoundCertificateType::Precommit => RoundReason::Precommits,
    };
    let votes = certificate.round_signatures.iter().map(vote).collect();
    RoundProof { height: height.0, round: round.as_u32().unwrap_or(0), reason, votes }
}

/// The agreement's reason for a round as the engine's; `None` when its votes are of another round.
pub(super) fn round_certificate(proof: &RoundProof) -> Option<RoundCertificate<Bft>> {
    let same = |signed: &SignedVote| signed.vote.height == proof.height && signed.vote.round == proof.round;
    if !proof.votes.iter().all(same) {
        return None;
    }
    let signature = |signed: &SignedVote| {
        let SignedMessage { message, signature } = bft_vote(signed);
        RoundSignature::new(message.kind, message.block, message.voter, signature)
    };
    let cert_type = match proof.reason {
        RoundReason::Skip => RoundCertificateType::Skip,
        RoundReason::Precommits => RoundCertificateType::Precommit,
    };
    let round_signatures = proof.votes.iter().map(signature).collect();
    Some(RoundCertificate {
        height: BftHeight(proof.height),
        round: Round::new(proof.round),
        cert_type,
        round_signatures,
    })
}
