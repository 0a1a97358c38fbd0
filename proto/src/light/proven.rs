//! Records with their proofs: an answer that needs no faith in who gives it.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Trust, Untrusted};
use crate::ledger::{
    history::BadHistory,
    tree::{BadProof, Proof},
    tx::Header,
    vote::Certificate,
};

/// What one record is.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Item {
    /// Bytes of its key.
    pub key: Vec<u8>,
    /// Bytes of its value; `None` when there is no such record.
    pub value: Option<Vec<u8>>,
    /// The proof of that.
    pub proof: Proof,
}

/// Records as they are after one block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proven {
    /// The block's header.
    pub header: Header,
    /// The proof that it is decided.
    pub certificate: Certificate,
    /// The records.
    pub items: Vec<Item>,
}

/// Why an answer is not believed. Whoever gave it is behind or lies: ask another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAnswer {
    /// Its header is not believed.
    #[error(transparent)]
    Header(#[from] Untrusted),
    /// Its header is not proven to be of the past.
    #[error(transparent)]
    Past(#[from] BadHistory),
    /// It does not speak of what was asked for.
    #[error("{asked} records were asked for, and the answer is of other ones")]
    OtherKeys {
        /// How many were asked for.
        asked: usize,
    },
    /// A record is not proven.
    #[error("record {index} of the answer: {error}")]
    Record {
        /// Its place in the answer.
        index: usize,
        /// Why.
        error: BadProof,
    },
}

impl Proven {
    /// Checks that these are the records with the `asked` keys, in their order, after a block that `trust` believes. A
    /// client then [accepts](Trust::accept) the header, so that it takes no older answer after this one.
    ///
    /// # Errors
    /// [`BadAnswer`] says what does not hold.
    pub fn verify<K: AsRef<[u8]>>(&self, trust: &Trust, asked: &[K]) -> Result<(), BadAnswer> {
        self.check_keys(asked)?;
        trust.check(&self.header, &self.certificate)?;
        self.check_items()
    }

    /// [`Self::verify`] of an answer whose header was [proven](Trust::check_past) to be one of the past.
    ///
    /// # Errors
    /// [`BadAnswer`] says what does not hold.
    pub fn verify_at<K: AsRef<[u8]>>(&self, past: &Header, asked: &[K]) -> Result<(), BadAnswer> {
        self.check_keys(asked)?;
        let (height, have, got) = (self.header.height, past.id(), self.header.id());
        if have != got {
            return Err(Untrusted::OtherChain { height, have, got }.into());
        }
        self.check_items()
    }

    fn check_keys<K: AsRef<[u8]>>(&self, asked: &[K]) -> Result<(), BadAnswer> {
        if !asked.iter().map(AsRef::as_ref).eq(self.items.iter().map(|item| item.key.as_slice())) {
            return Err(BadAnswer::OtherKeys { asked: asked.len() });
        }
        Ok(())
    }

    fn check_items(&self) -> Result<(), BadAnswer> {
        for (index, Item { key, value, proof }) in self.items.iter().enumerate() {
            let verdict = proof.verify(&self.header.state, key, value.as_deref());
            verdict.map_err(|error| BadAnswer::Record { index, error })?;
        }
        Ok(())
    }
}
