//! Proofs in files, which are verified without a node (`proto/light/voucher`), and evidence against who signed false
//! ones.

use std::collections::BTreeMap;

use ostrakon_proto::{
    id::{AccountId, Height, ObjectId, VoteKey},
    ledger::{Genesis, tx::Evidence},
    light::{
        Answer, CertifiedHeader, Handover, PastBlock, ProvenRecord,
        proof_file::{AnchorProof, Certificate, ProofFileError},
    },
    wire::{self, Refusal, RefusalCode},
};

use super::{
    Chain, ChainError, Included,
    trusted::{CONCURRENT, records_request},
};
use crate::ErrorKind;

/// Pages of handovers at most: each has dozens.
const PAGES_MAX: usize = 4096;

/// Why there is no proof.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VouchError {
    /// The ledger cannot be read, or does not have the object or transaction.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The nodes' answers are of different blocks: a block was decided between two of them.
    #[error("the nodes' answers do not form one proof, as when a block was decided between them ({0}): try again")]
    Voucher(#[from] ProofFileError),
}

impl VouchError {
    /// What it means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Chain(error) => error.kind(),
            Self::Voucher(_) => ErrorKind::Network,
        }
    }
}

impl Chain {
    /// A proof that this object is stored, by the account that pays for it longest. It is verified already.
    ///
    /// # Errors
    /// [`VouchError`] when it is not stored, or no node responds.
    pub async fn certificate(&self, genesis: &Genesis, object: ObjectId) -> Result<Certificate, VouchError> {
        let commitments = self.object(object).await?;
        let end_of = |owner: AccountId| {
            let own = commitments.iter().filter(move |commitment| commitment.id.owner == owner);
            (own.clone().count(), own.map(|commitment| commitment.end).min())
        };
        let owners = commitments.iter().map(|commitment| commitment.id.owner);
        let height = self.trust().height();
        let owner = owners.max_by_key(|owner| end_of(*owner)).ok_or(ChainError::NoObject { object, height })?;
        let extents = commitments.iter().map(|commitment| commitment.extents).max().unwrap_or_default();
        let mut answers: Vec<Answer<Vec<ProvenRecord>>> = Vec::new();
        for keys in Certificate::keys(object, owner, extents).chunks(CONCURRENT) {
            let whole = |said: Vec<ProvenRecord>, tip: &CertifiedHeader| Ok(Answer { tip: tip.clone(), said });
            answers.push(self.prove(&records_request(keys), whole).await?);
        }
        let newest = answers.last().map_or(height, |answer| answer.tip.header.height);
        let handovers = self.handovers_until(newest).await?;
        let certificate = Certificate::new(genesis.id(), handovers, (object, owner), answers);
        certificate.verify(genesis)?;
        Ok(certificate)
    }

    /// A proof that this transaction, which anchors a hash, is in its block. It is verified already.
    ///
    /// # Errors
    /// [`VouchError`] when no node responds.
    pub async fn anchor_proof(&self, genesis: &Genesis, anchor: Included) -> Result<AnchorProof, VouchError> {
        let Included { tx, height } = anchor;
        let request = |from| wire::chain::block(from, height);
        let whole = |said: PastBlock, tip: &CertifiedHeader| Ok(Answer { tip: tip.clone(), said });
        let block = self.prove(&request, whole).await?;
        let handovers = self.handovers_until(block.tip.header.height).await?;
        let proof = AnchorProof::new(genesis.id(), handovers, block, tx).ok_or(ProofFileError::Other)?;
        proof.verify(genesis)?;
        Ok(proof)
    }

    /// Evidence against the validators who signed any of these headers that contradicts the chain, one piece for each
    /// validator: of what no block of the same height could have, whatever the round. Heights that are not decided yet
    /// are left out, and those whose blocks no node keeps any more. The ledger accepts it for a while: a proof of the
    /// newest blocks may be too old after one more.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof.
    pub async fn accuse(&self, headers: &[CertifiedHeader]) -> Result<Vec<Evidence>, ChainError> {
        let (chain, newest) = (self.rules().chain, self.head().await?.height);
        let mut found: BTreeMap<VoteKey, Evidence> = BTreeMap::new();
        for signed in headers {
            let height = signed.header.height;
            if height == Height(0) || height > newest {
                continue;
            }
            let request = |from| wire::chain::block(from, height);
            let read = |said: PastBlock, tip: &CertifiedHeader| {
                let past = said.block.clone();
                said.verify(&tip.header, height)?;
                signed.accuse(&chain, &past, &tip.header)
            };
            match self.prove(&request, read).await {
                Ok(evidence) => found.extend(evidence.into_iter().map(|evidence| (evidence.accused(), evidence))),
                Err(ChainError::Refused { refusal: Refusal { code: RefusalCode::Pruned, .. }, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found.into_values().collect())
    }

    /// All handovers from genesis on that headers up to `newest` need. The verifier of the proof checks these.
    async fn handovers_until(&self, newest: Height) -> Result<Vec<Handover>, ChainError> {
        let mut all: Vec<Handover> = Vec::new();
        for _ in 0..PAGES_MAX {
            let from = all.last().map_or(Height(0), |last| last.header.height.next());
            let page = self.any(|node| self.handovers(node, from)).await?.value;
            let count = page.len();
            all.extend(page.into_iter().take_while(|handover| handover.header.height < newest));
            if count == 0 || all.last().is_none_or(|last| last.header.height.next() <= from) {
                break;
            }
        }
        Ok(all)
    }
}
