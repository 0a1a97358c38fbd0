//! Votes: what validators say to each other, and the certificate that precommits make (ARCHITECTURE 5.1; SPEC,
//! "Votes").
//!
//! Each is signed by the validator's vote key over the chain id. Which votes to cast is the consensus engine's business
//! (Tendermint); what a vote, a quorum and a certificate are is the agreement's, because anyone checks them.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::Zeroizing;

use crate::{
    beacon::BeaconSecret,
    codec,
    id::{BlockId, ChainId, Height, VoteKey},
    sign::{BadSignature, Keypair, Purpose, Signature, verify},
};

/// Which of the two votes of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum VoteKind {
    /// The first: whether the round's proposal is acceptable.
    Prevote,
    /// The second: enough of these decide.
    Precommit,
}

/// What a validator votes: signed for [`Purpose::Vote`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct Vote {
    /// Which vote.
    pub kind: VoteKind,
    /// Of which height.
    pub height: Height,
    /// Of which round of the height.
    pub round: u32,
    /// For which block; `None` is a vote for no block in this round.
    pub block: Option<BlockId>,
}

/// A vote with who cast it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedVote {
    /// Who.
    pub voter: VoteKey,
    /// What is signed.
    pub vote: Vote,
    /// The voter's signature.
    pub signature: Signature,
}

/// A block that a validator proposes: signed for [`Purpose::Proposal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct BlockProposal {
    /// For which height.
    pub height: Height,
    /// In which round of the height.
    pub round: u32,
    /// The round that has a quorum of prevotes for the block already, when it is proposed again.
    pub valid_round: Option<u32>,
    /// The block.
    pub block: BlockId,
}

/// A proposal with who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedProposal {
    /// Who.
    pub proposer: VoteKey,
    /// What is signed.
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

/// What a validator signs with: its votes, and its share of the beacon.
#[derive(Debug)]
pub struct ValidatorKeys {
    /// Signs proposals and votes.
    pub vote: Keypair,
    /// Signs the beacon.
    pub beacon: BeaconSecret,
}

impl ValidatorKeys {
    /// The keys that one seed gives, so that a validator has one secret to keep.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let derive = |context| Zeroizing::new(blake3::derive_key(context, seed));
        Self {
            vote: Keypair::from_seed(&derive("ostrakon vote key 1")),
            beacon: BeaconSecret::from_seed(&derive("ostrakon beacon key 1")),
        }
    }
}

/// Who may vote at one height, and with how much power. Canonical: no power is zero, and the order is that of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ValidatorSet {
    powers: BTreeMap<VoteKey, u64>,
}

impl ValidatorSet {
    /// These validators; those without power are left out.
    pub fn new(powers: impl IntoIterator<Item = (VoteKey, u64)>) -> Self {
        Self { powers: powers.into_iter().filter(|(_, power)| *power > 0).collect() }
    }

    /// What a header says of the set that decides it.
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("ostrakon validator set 1");
        hasher.update(&codec::encode(self));
        hasher.finalize().into()
    }

    /// The validators with their powers, in the order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (VoteKey, u64)> {
        self.powers.iter().map(|(key, power)| (*key, *power))
    }

    /// The validator's power; `None` when it is no member.
    pub fn power(&self, key: &VoteKey) -> Option<u64> {
        self.powers.get(key).copied()
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.powers.len()
    }

    /// Whether nobody may vote.
    pub fn is_empty(&self) -> bool {
        self.powers.is_empty()
    }

    /// All power together.
    pub fn total(&self) -> u128 {
        self.powers.values().map(|power| u128::from(*power)).sum()
    }

    /// Whether `power` is more than two thirds of all.
    pub fn is_quorum(&self, power: u128) -> bool {
        power * 3 > self.total() * 2
    }
}

/// The proof that a block is decided: precommits of more than two thirds of the power for it, all of one round.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct QuorumCertificate {
    /// Of which height.
    pub height: Height,
    /// In which round they were cast.
    pub round: u32,
    /// The block decided.
    pub block: BlockId,
    /// The precommits' signatures, in the order of the keys.
    pub signatures: BTreeMap<VoteKey, Signature>,
}

/// Why a certificate proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuorumCertificateError {
    /// Someone signed who has no vote at this height.
    #[error("{voter} has no vote at height {height}")]
    NotValidator {
        /// Who.
        voter: VoteKey,
        /// At which height.
        height: Height,
    },
    /// A signature is not over this block.
    #[error("the precommit of {voter} does not verify")]
    Signature {
        /// Whose.
        voter: VoteKey,
    },
    /// Not enough signed.
    #[error("precommits with {have} of {total} power are no quorum")]
    NoQuorum {
        /// The power that signed.
        have: u128,
        /// All power.
        total: u128,
    },
}

impl QuorumCertificate {
    /// Checks that more than two thirds of `set` signed precommits for the block. Whether `set` is the one of this
    /// height is the caller's to know: its hash stands in the header.
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
