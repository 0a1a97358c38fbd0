//! Stateless checks of transactions, made once each.
//!
//! In go decoded transactions; out come those with a valid size, form and signature, each with its id and length. These
//! checks need no state, so the verdict is final and the same on every node. Not here: whether the ledger accepts the
//! transaction now, which [`super::Execution`] decides.

use crate::{
    codec,
    id::{Height, TxId},
    ledger::{action, error::TxError, rules::Rules, tx::Tx},
    limits,
    sign::{Purpose, Signature, SignatureCheck, verify_many},
};

/// A transaction with a valid size, form and signature. Only the checks make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedTx {
    tx: Tx,
    id: TxId,
    len: usize,
}

impl CheckedTx {
    /// Checks one.
    ///
    /// # Errors
    /// [`TxError`] when it can never be valid on this chain.
    pub fn check(rules: &Rules, tx: Tx) -> Result<Self, TxError> {
        Self::check_many(rules, vec![tx], |_| false).pop().expect("one verdict for one transaction")
    }

    /// Checks many, their signatures in batches. The signature of a transaction whose id is `known` is not verified
    /// again: the id covers it.
    ///
    /// # Errors
    /// [`TxError`] in the place of each that can never be valid on this chain.
    pub fn check_many(rules: &Rules, txs: Vec<Tx>, known: impl FnMut(&TxId) -> bool) -> Vec<Result<Self, TxError>> {
        EncodedTx::all(txs).check(rules, known)
    }

    /// Checks what depends on the height but on no record: that it may be in the block of `height`, and pays the fee.
    ///
    /// # Errors
    /// [`TxError`] when it has expired, expires too late, or its fee is too low.
    pub fn check_at(&self, rules: &Rules, height: Height) -> Result<(), TxError> {
        let valid_until = self.tx.body.valid_until;
        if valid_until < height {
            return Err(TxError::Expired { valid_until, height });
        }
        let latest = Height(height.0.saturating_add(limits::VALID_BLOCKS));
        if valid_until > latest {
            return Err(TxError::ValidTooLong { valid_until, latest });
        }
        self.check_fee(rules)
    }

    /// Checks its fee.
    ///
    /// # Errors
    /// [`TxError::FeeTooLow`] when it is below the least fee.
    pub fn check_fee(&self, rules: &Rules) -> Result<(), TxError> {
        let (need, given) = (rules.fee_of(&self.tx.body, self.len), self.tx.body.fee);
        if given < need { Err(TxError::FeeTooLow { need, given }) } else { Ok(()) }
    }

    /// The transaction.
    pub const fn tx(&self) -> &Tx {
        &self.tx
    }

    /// Its id.
    pub const fn id(&self) -> TxId {
        self.id
    }

    /// Bytes of its canonical encoding.
    pub const fn bytes(&self) -> usize {
        self.len
    }

    /// The transaction without id and length.
    pub fn into_tx(self) -> Tx {
        self.tx
    }
}

/// Unchecked transactions with their canonical bytes.
pub(super) struct EncodedTxs(Vec<EncodedTx>);

/// An unchecked transaction with its canonical bytes, which end with the signature.
pub(super) struct EncodedTx {
    tx: Tx,
    id: TxId,
    encoded: Vec<u8>,
}

impl EncodedTxs {
    /// Their ids.
    pub(super) fn ids(&self) -> Vec<TxId> {
        self.0.iter().map(|each| each.id).collect()
    }

    /// Bytes of all encodings together.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|each| each.encoded.len()).sum()
    }

    /// As [`CheckedTx::check_many`].
    pub(super) fn check(self, rules: &Rules, known: impl FnMut(&TxId) -> bool) -> Vec<Result<CheckedTx, TxError>> {
        let known: Vec<bool> = self.0.iter().map(|each| &each.id).map(known).collect();
        let unknown = self.0.iter().zip(&known).filter(|(_, known)| !**known);
        let claims: Vec<SignatureCheck<'_>> = unknown.map(|(each, _)| each.claim()).collect();
        let mut verdicts = verify_many(&claims, Purpose::Tx, &rules.chain).into_iter();
        let checks =
            known.iter().map(|known| if *known { Ok(()) } else { verdicts.next().expect("one for each claim") });
        let signed: Vec<_> = checks.map(|verdict| verdict.map_err(|_| TxError::Signature)).collect();
        self.0.into_iter().zip(signed).map(|(each, signed)| each.judge(rules, signed)).collect()
    }
}

impl EncodedTx {
    pub(super) fn all(txs: Vec<Tx>) -> EncodedTxs {
        EncodedTxs(txs.into_iter().map(Self::new).collect())
    }

    fn new(tx: Tx) -> Self {
        let encoded = codec::encode(&tx);
        Self { id: blake3::hash(&encoded).into(), tx, encoded }
    }

    fn claim(&self) -> SignatureCheck<'_> {
        let body = &self.encoded[..self.encoded.len() - size_of::<Signature>()];
        SignatureCheck { signer: self.tx.body.account.bytes(), signature: &self.tx.signature, message: body }
    }

    fn judge(self, rules: &Rules, signed: Result<(), TxError>) -> Result<CheckedTx, TxError> {
        let Self { tx, id, encoded } = self;
        let len = encoded.len();
        if len > limits::TX {
            return Err(TxError::TooLarge { len });
        }
        signed?;
        action::form(rules, tx.body.account, &tx.body.action)?;
        Ok(CheckedTx { tx, id, len })
    }
}
