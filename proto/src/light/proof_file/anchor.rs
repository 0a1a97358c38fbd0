//! Anchor proofs: that a hash was known when a block was made, as `ostrakon anchor` writes them.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use super::{Answer, BadAnswer, Basis, Handover, PROOF_FILE_MAX, ProofFileError, accept, follow};
use crate::{
    codec,
    id::{AccountId, ChainId, Height, TxId},
    json,
    ledger::{
        Genesis,
        tx::{Action, Tx, TxProof, tx_proof},
    },
    light::{CertifiedHeader, PastBlock, PastHeader},
};

const ANCHOR: [u8; 16] = *b"ostrakon anch 01";

/// A transaction that records a hash, with the proof of its block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AnchorProof {
    format: [u8; 16],
    chain: ChainId,
    handovers: Vec<Handover>,
    block: Answer<PastHeader>,
    tx: Tx,
    place: TxProof,
}

/// The content of a verified anchor proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Anchored {
    /// The hash.
    #[serde(serialize_with = "json::hex")]
    pub hash: [u8; 32],
    /// The account that recorded it.
    pub account: AccountId,
    /// The transaction.
    pub tx: TxId,
    /// Height of the block.
    pub height: Height,
    /// Timestamp of that block, in milliseconds of Unix time.
    pub time_ms: u64,
    /// The later block that proves it.
    pub basis: Basis,
}

impl AnchorProof {
    /// A proof from the block with the transaction `tx`; `None` when the transaction is not in it.
    pub fn new(
        chain: ChainId,
        handovers: Vec<Handover>,
        Answer { tip, said }: Answer<PastBlock>,
        tx: TxId,
    ) -> Option<Self> {
        let ids: Vec<TxId> = said.txs.iter().map(Tx::id).collect();
        let index = ids.iter().position(|id| *id == tx)?;
        let place = tx_proof(&ids, index)?;
        let tx = said.txs.into_iter().nth(index)?;
        Some(Self { format: ANCHOR, chain, handovers, block: Answer { tip, said: said.block }, tx, place })
    }

    /// Its bytes, for a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes a file.
    ///
    /// # Errors
    /// [`ProofFileError`] when it is not an anchor proof.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofFileError> {
        let read: Self = codec::decode(bytes, PROOF_FILE_MAX)?;
        if read.format == ANCHOR { Ok(read) } else { Err(ProofFileError::Format) }
    }

    /// Its handovers, and the header that it rests on.
    pub(super) fn into_headers(self) -> (Vec<Handover>, Vec<CertifiedHeader>) {
        (self.handovers, vec![self.block.tip])
    }

    /// Verifies it against the genesis. [`Basis::check`] tells whether the validators are to be believed.
    ///
    /// # Errors
    /// [`ProofFileError`] says what is not proven.
    pub fn verify(&self, genesis: &Genesis) -> Result<Anchored, ProofFileError> {
        let mut trust = follow(genesis, self.chain, &self.handovers)?;
        let tip = accept(&mut trust, &self.block)?;
        self.block.said.verify(tip)?;
        let (block, tx) = (&self.block.said.header, self.tx.id());
        self.place.verify(&block.roots.txs, &tx).map_err(|_| BadAnswer::NotIncluded { tx })?;
        let Action::Anchor(anchor) = &self.tx.body.action else { return Err(ProofFileError::Other) };
        let (hash, account) = (anchor.hash, self.tx.body.account);
        let basis = Basis::new(&trust, trust.height());
        Ok(Anchored { hash, account, tx, height: block.height, time_ms: block.time_ms, basis })
    }
}
