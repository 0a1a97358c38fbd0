//! Evidence against who signed a header that is not the chain's: what a client does with a false claim that a quorum of
//! validators signed.

use super::{BadAnswer, CertifiedHeader, PastHeader};
use crate::{
    id::ChainId,
    ledger::{
        tx::{Evidence, FalseHeader, Header},
        vote::{QuorumCertificate, SignedVote, Vote, VoteKind},
    },
};

impl CertifiedHeader {
    /// Evidence against each validator who signed this header, where it contradicts the chain's header of its height,
    /// `past`. That must be proven by `tip`, the newest header that is trusted; the ledger accepts the proof until its
    /// tree of the history merges with the next. There is no evidence while `past` is the newest block itself.
    ///
    /// # Errors
    /// [`BadAnswer`] when `past` is not proven to be on the chain of `tip`.
    pub fn accuse(&self, chain: &ChainId, past: &PastHeader, tip: &Header) -> Result<Vec<Evidence>, BadAnswer> {
        past.verify(tip)?;
        let (decided, Some(proof)) = (&past.header, &past.proof) else { return Ok(Vec::new()) };
        let proof = proof.clone().below_peak(tip.height.0, decided.height);
        let QuorumCertificate { height, round, block, ref signatures } = self.certificate;
        let vote = Vote { kind: VoteKind::Precommit, height, round, block: Some(block) };
        let signed = signatures.iter().map(|(voter, signature)| {
            let vote = SignedVote { voter: *voter, vote, signature: *signature };
            FalseHeader { vote, header: self.header.clone(), decided: decided.clone(), proof: proof.clone() }
        });
        let is_evidence = |found: &FalseHeader| found.contradicts() && found.vote.verify(chain).is_ok();
        Ok(signed.filter(is_evidence).map(|found| Evidence::Header(Box::new(found))).collect())
    }
}
