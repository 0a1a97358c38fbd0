//! That something was known when a block was made: what `ostrakon anchor` writes.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Answer, BadAnswer, Handover, PROOF_FILE_MAX, ProofFileError, accept, follow};
use crate::{
    codec,
    id::{AccountId, ChainId, Height, TxId},
    ledger::{
        Genesis,
        tx::{Action, Tx, TxProof, tx_proof},
    },
    light::{PastBlock, PastHeader},
};

const ANCHOR: [u8; 16] = *b"ostrakon anch 01";

/// A transaction that says a hash, with the proof of its block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct AnchorProof {
    format: [u8; 16],
    chain: ChainId,
    handovers: Vec<Handover>,
    block: Answer<PastHeader>,
    tx: Tx,
    place: TxProof,
}

/// What such a proof proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchored {
    /// The hash.
    pub hash: [u8; 32],
    /// Who said it.
    pub account: AccountId,
    /// In which transaction.
    pub tx: TxId,
    /// In which block.
    pub height: Height,
    /// When that block was, in milliseconds of Unix time.
    pub time_ms: u64,
}

impl AnchorProof {
    /// A proof from the block that has the transaction `tx`; `None` when it has not.
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

    /// Its bytes, as a file has them.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ProofFileError`] when it is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofFileError> {
        let read: Self = codec::decode(bytes, PROOF_FILE_MAX)?;
        if read.format == ANCHOR { Ok(read) } else { Err(ProofFileError::Format) }
    }

    /// What it proves to whoever believes in this genesis.
    ///
    /// # Errors
    /// [`ProofFileError`] says what does not hold.
    pub fn verify(&self, genesis: &Genesis) -> Result<Anchored, ProofFileError> {
        let mut trust = follow(genesis, self.chain, &self.handovers)?;
        let tip = accept(&mut trust, &self.block)?;
        self.block.said.verify(tip)?;
        let (block, tx) = (&self.block.said.header, self.tx.id());
        self.place.verify(&block.txs, &tx).map_err(|_| BadAnswer::NotIncluded { tx })?;
        let Action::Anchor(anchor) = &self.tx.body.action else { return Err(ProofFileError::Other) };
        let (hash, account) = (anchor.hash, self.tx.body.account);
        Ok(Anchored { hash, account, tx, height: block.height, time_ms: block.time_ms })
    }
}
