//! Answers that verify themselves: each has a certified header, and its content is proven against that header.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{TrustError, TxPlace};
use crate::{
    id::{AccountId, Height, TxId},
    ledger::{
        BlockError,
        history::{BadHistory, HistoryProof},
        proofs::Proofs,
        state::{Key, Record},
        tree::{BadProof, Proof},
        tx::{Block, DecidedBlock, Header, Tx, TxList, TxProof},
        vote::QuorumCertificate,
    },
};

/// A header with the proof that its block is decided.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CertifiedHeader {
    /// The header.
    pub header: Header,
    /// Its certificate.
    pub certificate: QuorumCertificate,
}

/// An answer about the chain after one block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Answer<T> {
    /// The block.
    pub tip: CertifiedHeader,
    /// The content, with its proofs.
    pub said: T,
}

/// A record with its proof.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ProvenRecord {
    /// Bytes of its key.
    pub key: Vec<u8>,
    /// Bytes of its value; `None` when it does not exist.
    pub value: Option<Vec<u8>>,
    /// Proof of value or absence.
    pub proof: Proof,
}

/// The header of an earlier block, with the proof that it is on the chain.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PastHeader {
    /// The header.
    pub header: Header,
    /// Proof against the tip's history; `None` for the tip itself.
    pub proof: Option<HistoryProof>,
}

/// Proof that a transaction is in an earlier block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Inclusion {
    /// The block.
    pub block: PastHeader,
    /// The list of it that has the transaction.
    pub list: TxList,
    /// Proof that it is in the list.
    pub proof: TxProof,
}

/// An earlier block with its transactions and proofs.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PastBlock {
    /// Its header.
    pub block: PastHeader,
    /// Its certificate.
    pub certificate: QuorumCertificate,
    /// Its transactions.
    pub txs: Vec<Tx>,
    /// Those that failed and were charged.
    pub charged: Vec<Tx>,
    /// Its storage proofs; none where the node has dropped them.
    pub proofs: Proofs,
}

/// Why an answer is not accepted. The node is behind, or made a false claim: ask another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAnswer {
    /// Its header is not trusted.
    #[error(transparent)]
    Header(#[from] TrustError),
    /// Its header is not proven to be on the chain.
    #[error(transparent)]
    Past(#[from] BadHistory),
    /// It is of a block above the tip.
    #[error("wrong answer: it claims that block {height} is before block {tip}")]
    Future {
        /// Height of the block.
        height: Height,
        /// Height of the tip.
        tip: Height,
    },
    /// It does not contain the records asked for.
    #[error("wrong answer: {asked} records were asked for, and it has others")]
    OtherKeys {
        /// Number of records asked for.
        asked: usize,
    },
    /// A record is not proven.
    #[error("wrong answer: record {index}: {error}")]
    Record {
        /// Its index in the answer.
        index: usize,
        /// Why not.
        error: BadProof,
    },
    /// A record is proven but of an unknown kind: the network's protocol version is newer than this program.
    #[error("record {index} of the answer is of an unknown kind: update this program")]
    Kind {
        /// Its index in the answer.
        index: usize,
    },
    /// It is not of the roster that the epoch recorded, or does not show the draw asked for.
    #[error("wrong answer: it does not show who was drawn from the epoch's roster")]
    Roster,
    /// The transaction is not in the block.
    #[error("wrong answer: transaction {tx} is not in the block that it names")]
    NotIncluded {
        /// The transaction.
        tx: TxId,
    },
    /// The transaction does not concern the account.
    #[error("wrong answer: transaction {tx} was neither sent by account {account} nor pays it")]
    OtherAccount {
        /// The transaction.
        tx: TxId,
        /// The account asked for.
        account: AccountId,
    },
    /// Transactions are out of order, or not from before the place asked for.
    #[error("wrong answer: transaction {tx} is out of order")]
    Disorder {
        /// The first transaction that is out of order.
        tx: TxId,
    },
    /// The account's record proves that it sent a transaction that is missing.
    #[error("incomplete answer: the transaction that account {account} sent with nonce {nonce} is missing")]
    LeftOut {
        /// The account asked for.
        account: AccountId,
        /// Nonce of the missing transaction.
        nonce: u64,
    },
    /// Another node proves a transaction that this answer should contain by its own claims.
    #[error("incomplete answer: transaction {tx}, which another node proves, is missing")]
    Concealed {
        /// The transaction.
        tx: TxId,
    },
}

/// Checks that `items` are the records with the `asked` keys, in their order, after the block with this header.
///
/// # Errors
/// [`BadAnswer`] says what is not proven.
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

/// The records with these keys, in their order, as proven by `items` after the block with this header.
///
/// # Errors
/// [`BadAnswer`] says what is not proven.
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
    /// Checks that this header is on the chain whose newest block has the trusted header `tip`.
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
    /// The place of the transaction, if it is in a block of the chain whose newest block has the trusted header `tip`.
    ///
    /// # Errors
    /// [`BadAnswer`] when that is not proven.
    pub fn verify(&self, tip: &Header, tx: TxId) -> Result<TxPlace, BadAnswer> {
        self.block.verify(tip)?;
        let (Header { height, roots, .. }, list) = (&self.block.header, self.list);
        self.proof.verify(roots.of(list), &tx).map_err(|_| BadAnswer::NotIncluded { tx })?;
        Ok(TxPlace { height: *height, list, index: self.proof.index })
    }
}

impl PastBlock {
    /// The block of this height, if it is on the chain whose newest block has the trusted header `tip`. Its certificate
    /// is not verified: the tip is decided, and its history contains the block.
    ///
    /// # Errors
    /// [`BadAnswer`] when that is not proven.
    pub fn verify(self, tip: &Header, height: Height) -> Result<DecidedBlock, BadAnswer> {
        self.block.verify(tip)?;
        let Self { block, certificate, txs, charged, proofs } = self;
        let block = Block { header: block.header, txs, charged, proofs };
        let (roots, said) = (block.roots(), &block.header.roots);
        let differs = [
            ("height", block.header.height != height),
            ("txs", roots.txs != said.txs),
            ("charged", roots.charged != said.charged),
            ("proofs", roots.proofs != said.proofs && !block.lacks_proofs()),
        ];
        if let Some((what, _)) = differs.into_iter().find(|(_, differs)| *differs) {
            return Err(TrustError::Undecided(BlockError::Header { what }).into());
        }
        Ok(DecidedBlock { block, certificate })
    }
}
