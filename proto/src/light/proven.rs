//! Answers that need no faith in who gives them: each is as of a certified header, and proven against it.

use borsh::{BorshDeserialize, BorshSerialize};

use super::TrustError;
use crate::{
    id::{AccountId, Height, TxId},
    ledger::{
        BlockError,
        history::{BadHistory, HistoryProof},
        state::{Key, Record},
        tree::{BadProof, Proof},
        tx::{Block, DecidedBlock, Header, Tx, TxProof, tx_root},
        vote::QuorumCertificate,
    },
};

/// A header with the proof that its block is decided.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CertifiedHeader {
    /// The header.
    pub header: Header,
    /// The precommits for it.
    pub certificate: QuorumCertificate,
}

/// What somebody says of the chain as it is after one block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Answer<T> {
    /// The block.
    pub tip: CertifiedHeader,
    /// What is said.
    pub said: T,
}

/// What one record is.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ProvenRecord {
    /// Bytes of its key.
    pub key: Vec<u8>,
    /// Bytes of its value; `None` when there is no such record.
    pub value: Option<Vec<u8>>,
    /// The proof of that.
    pub proof: Proof,
}

/// A block's header, as one of the past of a chain.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PastHeader {
    /// The header.
    pub header: Header,
    /// That the newest block's history has it; the newest block itself needs no proof.
    pub proof: Option<HistoryProof>,
}

/// That a transaction is in a block of the past.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Inclusion {
    /// The block.
    pub block: PastHeader,
    /// That it has the transaction.
    pub proof: TxProof,
}

/// A block of the past, whole.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PastBlock {
    /// Its header.
    pub block: PastHeader,
    /// The precommits for it.
    pub certificate: QuorumCertificate,
    /// Its transactions.
    pub txs: Vec<Tx>,
}

/// Why an answer is not believed. Whoever gave it is behind or lies: ask another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAnswer {
    /// Its header is not believed.
    #[error(transparent)]
    Header(#[from] TrustError),
    /// Its header is not proven to be of the past.
    #[error(transparent)]
    Past(#[from] BadHistory),
    /// It is of a block above the newest.
    #[error("block {height} is said to be of the past of block {tip}")]
    Future {
        /// Its height.
        height: Height,
        /// That of the newest.
        tip: Height,
    },
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
    /// A record is proven, and of no kind that its key could have: the network's rules are newer than this program.
    #[error("record {index} of the answer is of an unknown kind: use a newer version")]
    Kind {
        /// Its place in the answer.
        index: usize,
    },
    /// The transaction is not in the block.
    #[error("transaction {tx} is not in the block that is said to have it")]
    NotIncluded {
        /// The transaction.
        tx: TxId,
    },
    /// The transaction is another's.
    #[error("transaction {tx} was neither sent by {account} nor pays it")]
    OtherAccount {
        /// The transaction.
        tx: TxId,
        /// Whose were asked for.
        account: AccountId,
    },
    /// Transactions are not in the order, or not of the time, that was asked for.
    #[error("transaction {tx} comes where only earlier ones were asked for")]
    Disorder {
        /// The first that is out of order.
        tx: TxId,
    },
    /// The account's record proves that it sent more than the answer has.
    #[error("the transaction that {account} sent with nonce {nonce} is left out")]
    LeftOut {
        /// Whose were asked for.
        account: AccountId,
        /// The number of the one that is missing.
        nonce: u64,
    },
    /// Another node has one that this one should have by what it says itself.
    #[error("transaction {tx}, which another node proves, is left out")]
    Concealed {
        /// The transaction.
        tx: TxId,
    },
}

/// Checks that `items` are the records with the `asked` keys, in their order, after the block with this header.
///
/// # Errors
/// [`BadAnswer`] says what does not hold.
pub fn check_records<K: AsRef<[u8]>>(items: &[ProvenRecord], header: &Header, asked: &[K]) -> Result<(), BadAnswer> {
    if !asked.iter().map(AsRef::as_ref).eq(items.iter().map(|item| item.key.as_slice())) {
        return Err(BadAnswer::OtherKeys { asked: asked.len() });
    }
    for (index, ProvenRecord { key, value, proof }) in items.iter().enumerate() {
        let verdict = proof.verify(&header.state, key, value.as_deref());
        verdict.map_err(|error| BadAnswer::Record { index, error })?;
    }
    Ok(())
}

/// The records with these keys, in their order, as `items` prove them after the block with this header.
///
/// # Errors
/// [`BadAnswer`] says what does not hold.
pub fn records(items: &[ProvenRecord], header: &Header, asked: &[Key]) -> Result<Vec<Option<Record>>, BadAnswer> {
    let keys: Vec<Vec<u8>> = asked.iter().map(Key::to_bytes).collect();
    check_records(items, header, &keys)?;
    let record = |(index, item): (usize, &ProvenRecord)| {
        let Some(value) = &item.value else { return Ok(None) };
        Record::try_from_slice(value).map(Some).map_err(|_| BadAnswer::Kind { index })
    };
    items.iter().enumerate().map(record).collect()
}

impl PastHeader {
    /// Checks that this header is of the chain whose newest block has the header `tip`, which is believed already.
    ///
    /// # Errors
    /// [`BadAnswer`] when that is not proven.
    pub fn verify(&self, tip: &Header) -> Result<(), BadAnswer> {
        let (height, have, got) = (self.header.height, tip.id(), self.header.id());
        match &self.proof {
            None if got == have => Ok(()),
            None if height == tip.height => Err(TrustError::OtherChain { height, have, got }.into()),
            None => Err(BadHistory { height, block: got }.into()),
            Some(_) if height >= tip.height => Err(BadAnswer::Future { height, tip: tip.height }),
            Some(proof) => Ok(proof.verify(&tip.history, tip.height.0, height, got)?),
        }
    }
}

impl Inclusion {
    /// Checks that the transaction is in a block of the chain whose newest block has the header `tip`.
    ///
    /// # Errors
    /// [`BadAnswer`] when that is not proven.
    pub fn verify(&self, tip: &Header, tx: TxId) -> Result<Height, BadAnswer> {
        self.block.verify(tip)?;
        let Header { height, txs, .. } = &self.block.header;
        self.proof.verify(txs, &tx).map(|()| *height).map_err(|_| BadAnswer::NotIncluded { tx })
    }
}

impl PastBlock {
    /// The block of this height, when it is one of the chain whose newest block has the header `tip`. Its certificate
    /// is not looked at: that the tip is decided, and has it in its history, says more.
    ///
    /// # Errors
    /// [`BadAnswer`] when that is not proven.
    pub fn verify(self, tip: &Header, height: Height) -> Result<DecidedBlock, BadAnswer> {
        self.block.verify(tip)?;
        let header = self.block.header;
        let ids: Vec<TxId> = self.txs.iter().map(Tx::id).collect();
        let what = if header.height == height { "txs" } else { "height" };
        if header.height != height || tx_root(&ids) != header.txs {
            return Err(TrustError::Undecided(BlockError::Header { what }).into());
        }
        Ok(DecidedBlock { block: Block { header, txs: self.txs }, certificate: self.certificate })
    }
}
