//! Votes, proposals and validator sets, and the certificate that a quorum of precommits makes (ARCHITECTURE 5.1; SPEC,
//! "Votes").
//!
//! Messages are signed by the validator's vote key over the chain id. Not here: which votes to cast, which the
//! consensus engine decides (Tendermint).

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::Zeroizing;

use crate::{
    beacon::BeaconSecret,
    codec,
    id::{BlockId, ChainId, Height, VoteKey},
    sign::{BadSignature, Keypair, Purpose, Signature, verify},
};

/// Kind of vote: each round has two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum VoteKind {
    /// The first: whether the round's proposal is acceptable.
    Prevote,
    /// The second: a quorum of these decides the block.
    Precommit,
}

/// A vote: signed for [`Purpose::Vote`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Vote {
    /// Prevote or precommit.
    pub kind: VoteKind,
    /// Height of the vote.
    pub height: Height,
    /// Round of the height.
    pub round: u32,
    /// The block; `None` is a vote for nil.
    pub block: Option<BlockId>,
}

/// A vote with its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedVote {
    /// The voter's key.
    pub voter: VoteKey,
    /// The signed vote.
    pub vote: Vote,
    /// The voter's signature.
    pub signature: Signature,
}

/// The proposal of a block: signed for [`Purpose::Proposal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct BlockProposal {
    /// Height of the block.
    pub height: Height,
    /// Round of the height.
    pub round: u32,
    /// The earlier round with a quorum of prevotes for the block, if it is proposed again.
    pub valid_round: Option<u32>,
    /// The block.
    pub block: BlockId,
}

/// A proposal with its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedProposal {
    /// The proposer's key.
    pub proposer: VoteKey,
    /// The signed proposal.
    pub proposal: BlockProposal,
    /// The proposer's signature.
    pub signature: Signature,
}

impl SignedVote {
    /// Signs `vote` with the validator's vote key.
    pub fn sign(vote: Vote, key: &Keypair, chain: &ChainId) -> Self {
        Self { voter: key.public(), vote, signature: key.sign(Purpose::Vote, chain, &vote) }
    }

    /// Checks the voter's signature.
    ///
    /// # Errors
    /// [`BadSignature`] when it does not verify.
    pub fn verify(&self, chain: &ChainId) -> Result<(), BadSignature> {
        verify(&self.voter, &self.signature, Purpose::Vote, chain, &self.vote)
    }
}

impl SignedProposal {
    /// Signs `proposal` with the validator's vote key.
    pub fn sign(proposal: BlockProposal, key: &Keypair, chain: &ChainId) -> Self {
        Self { proposer: key.public(), proposal, signature: key.sign(Purpose::Proposal, chain, &proposal) }
    }

    /// Checks the proposer's signature.
    ///
    /// # Errors
    /// [`BadSignature`] when it does not verify.
    pub fn verify(&self, chain: &ChainId) -> Result<(), BadSignature> {
        verify(&self.proposer, &self.signature, Purpose::Proposal, chain, &self.proposal)
    }
}

/// A validator's secret keys.
#[derive(Debug)]
pub struct ValidatorKeys {
    /// Signs proposals and votes.
    pub vote: Keypair,
    /// Signs the beacon.
    pub beacon: BeaconSecret,
}

impl ValidatorKeys {
    /// The keys derived from one seed, so that a validator has one secret to store.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let derive = |context| Zeroizing::new(blake3::derive_key(context, seed));
        Self {
            vote: Keypair::from_seed(&derive("ostrakon vote key 1")),
            beacon: BeaconSecret::from_seed(&derive("ostrakon beacon key 1")),
        }
    }
}

/// The validators of one height with their power. Canonical: no power is zero, and they are in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ValidatorSet {
    powers: BTreeMap<VoteKey, u64>,
}

impl ValidatorSet {
    /// The set of these validators; those without power are left out.
    pub fn new(powers: impl IntoIterator<Item = (VoteKey, u64)>) -> Self {
        Self { powers: powers.into_iter().filter(|(_, power)| *power > 0).collect() }
    }

    /// Its hash, which a header contains.
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("ostrakon validator set 1");
        hasher.update(&codec::encode(self));
        hasher.finalize().into()
    }

    /// The validators with their powers, in the order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (VoteKey, u64)> {
        self.powers.iter().map(|(key, power)| (*key, *power))
    }

    /// The validator's power; `None` when it is not a member.
    pub fn power(&self, key: &VoteKey) -> Option<u64> {
        self.powers.get(key).copied()
    }

    /// Number of validators.
    pub fn len(&self) -> usize {
        self.powers.len()
    }

    /// Whether it has no validators.
    pub fn is_empty(&self) -> bool {
        self.powers.is_empty()
    }

    /// Total power.
    pub fn total(&self) -> u128 {
        self.powers.values().map(|power| u128::from(*power)).sum()
    }

    /// Whether `power` is more than two thirds of the total.
    pub fn is_quorum(&self, power: u128) -> bool {
        power * 3 > self.total() * 2
    }
}

/// The proof that a block is decided: precommits for it by more than two thirds of the power, all of one round.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct QuorumCertificate {
    /// Height of the block.
    pub height: Height,
    /// Round of the precommits.
    pub round: u32,
    /// The block decided.
    pub block: BlockId,
    /// The precommits' signatures, in the order of the keys.
    pub signatures: BTreeMap<VoteKey, Signature>,
}

/// Why a certificate is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuorumCertificateError {
    /// One of the signers is not a validator at this height.
    #[error("invalid certificate: {voter} is not a validator at height {height}")]
    NotValidator {
        /// The signer.
        voter: VoteKey,
        /// The height.
        height: Height,
    },
    /// A signature is invalid for this block.
    #[error("invalid certificate: the precommit of {voter} does not verify")]
    Signature {
        /// The signer.
        voter: VoteKey,
    },
    /// The signers are not a quorum.
    #[error("invalid certificate: precommits with {have} of {total} power are not a quorum")]
    NoQuorum {
        /// The power that signed.
        have: u128,
        /// All power.
        total: u128,
    },
}

impl QuorumCertificate {
    /// Checks that more than two thirds of `set` signed precommits for the block. The caller must know that `set` is
    /// the one of this height: its hash is in the header.
    ///
    /// # Errors
    /// [`QuorumCertificateError`] says who or what is wrong.
    pub fn verify(&self, set: &ValidatorSet, chain: &ChainId) -> Result<(), QuorumCertificateError> {
        let mut have = 0_u128;
        for voter in self.signatures.keys() {
            let power = set.power(voter);
            have +=
                u128::from(power.ok_or(QuorumCertificateError::NotValidator { voter: *voter, height: self.height })?);
        }
        if !set.is_quorum(have) {
            return Err(QuorumCertificateError::NoQuorum { have, total: set.total() });
        }
        let vote = Vote { kind: VoteKind::Precommit, height: self.height, round: self.round, block: Some(self.block) };
        for (voter, signature) in &self.signatures {
            verify(voter, signature, Purpose::Vote, chain, &vote)
                .map_err(|_| QuorumCertificateError::Signature { voter: *voter })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Keypair {
        Keypair::from_seed(&[byte; 32])
    }

    fn set(powers: &[u64]) -> ValidatorSet {
        ValidatorSet::new((1..).zip(powers).map(|(byte, power)| (key(byte).public(), *power)))
    }

    fn certificate(chain: &ChainId, signers: &[u8]) -> QuorumCertificate {
        let (height, round, block) = (Height(7), 2, BlockId::new([9; 32]));
        let vote = Vote { kind: VoteKind::Precommit, height, round, block: Some(block) };
        let sign = |byte: &u8| (key(*byte).public(), SignedVote::sign(vote, &key(*byte), chain).signature);
        QuorumCertificate { height, round, block, signatures: signers.iter().map(sign).collect() }
    }

    #[test]
    fn more_than_two_thirds_of_the_power_decide() {
        let chain = ChainId::new([1; 32]);
        let check = |powers: &[u64], signers: &[u8], expect: bool| {
            let verdict = certificate(&chain, signers).verify(&set(powers), &chain);
            assert_eq!(verdict.is_ok(), expect, "{powers:?} {signers:?}: {verdict:?}");
        };
        check(&[1], &[1], true);
        check(&[1], &[], false);
        check(&[1, 1, 1], &[1, 2], false);
        check(&[1, 1, 1], &[1, 2, 3], true);
        check(&[1, 1, 1, 1], &[1, 2, 3], true);
        check(&[1, 1, 1, 1], &[1, 2], false);
        check(&[5, 1, 1], &[1], true);
        check(&[u64::MAX, u64::MAX, u64::MAX], &[1, 2], false);
        check(&[1, 1, 1], &[1, 2, 3, 4], false);
    }

    #[test]
    fn a_certificate_binds_chain_height_round_and_block() {
        let (chain, set) = (ChainId::new([1; 32]), set(&[1, 1, 1, 1]));
        let good = certificate(&chain, &[1, 2, 3]);
        assert_eq!(good.verify(&set, &chain), Ok(()));
        let wrong = [
            QuorumCertificate { height: Height(8), ..good.clone() },
            QuorumCertificate { round: 3, ..good.clone() },
            QuorumCertificate { block: BlockId::new([8; 32]), ..good.clone() },
        ];
        for certificate in wrong {
            assert!(matches!(certificate.verify(&set, &chain), Err(QuorumCertificateError::Signature { .. })));
        }
        assert!(good.verify(&set, &ChainId::new([2; 32])).is_err());
    }

    #[test]
    fn members_without_power_are_none() {
        let with = set(&[1, 0, 2]);
        assert_eq!((with.len(), with.total()), (2, 3));
        assert_eq!(with.hash(), ValidatorSet::new(with.iter()).hash());
        assert_ne!(with.hash(), set(&[1, 1, 2]).hash());
    }
}
