//! Blocks: [`Execution`] runs one, [`execute`] judges one that others decided.
//!
//! In go the records before a block and its transactions; out come the [`Changes`], or why the block is no block of
//! this chain. Both the proposer and everyone else come through here, so what is proposed is what is accepted.

use std::collections::BTreeMap;

use crate::{
    beacon::{self, BeaconSignature},
    codec,
    id::{BlockId, Epoch, Height, NodeId},
    ledger::{
        action::{self, Roster, Step},
        draft::Draft,
        epoch,
        error::TxError,
        money::{self, Pool},
        rules::{self, Rules},
        state::{Candidate, Changes, EpochRecord, Records, Tip},
        tx::{Action, Block, Commit, Decided, Header, Tx, tx_root},
    },
    limits,
    sign::{Purpose, Signature, verify},
};

/// Why a decided block is not taken; nothing of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// Fetch the block of the height `expected`.
    #[error("block has height {got}, the next is {expected}")]
    Height {
        /// The next height.
        expected: Height,
        /// The block's.
        got: Height,
    },
    /// It continues another chain: whoever sent it, or this node, has left the network.
    #[error("block continues {got}, the last block here is {expected}")]
    Parent {
        /// The last block.
        expected: BlockId,
        /// The block's parent.
        got: BlockId,
    },
    /// Its time does not advance.
    #[error("block's time {got} ms is not after {before} ms")]
    Time {
        /// Time of the last block.
        before: u64,
        /// The block's.
        got: u64,
    },
    /// Its proposer may not propose.
    #[error("{proposer} is no validator")]
    NotValidator {
        /// Who proposed it.
        proposer: NodeId,
    },
    /// Its certificate does not verify.
    #[error("certificate of the block does not verify")]
    Certificate,
    /// Its beacon signature does not verify.
    #[error("beacon signature of the block does not verify")]
    Beacon,
    /// Its transactions are more than a block may have.
    #[error("transactions of {len} bytes are over the limit of {max}", max = limits::BLOCK)]
    TooLarge {
        /// Their bytes.
        len: usize,
    },
    /// Its transactions are not those of its header.
    #[error("transactions are not those of the header")]
    Transactions,
    /// One of its transactions breaks the rules.
    #[error("transaction {index}: {error}")]
    Tx {
        /// Its place in the block.
        index: usize,
        /// Why.
        error: TxError,
    },
    /// Its proposer came to another state: one of the two computes wrongly.
    #[error("state after the block differs from the header's")]
    Digest,
}

/// Checks of a transaction all that needs no state: size, fee, validity at `height`, form and signature.
///
/// # Errors
/// [`TxError`] says what the sender should do.
pub fn check(rules: &Rules, height: Height, tx: &Tx) -> Result<(), TxError> {
    let len = codec::encode(tx).len();
    if len > limits::TX {
        return Err(TxError::TooLarge { len });
    }
    let (body, valid_until) = (&tx.body, tx.body.valid_until);
    if valid_until < height {
        return Err(TxError::Expired { valid_until, height });
    }
    let latest = Height(height.0.saturating_add(limits::VALID_BLOCKS));
    if valid_until > latest {
        return Err(TxError::ValidTooLong { valid_until, latest });
    }
    let need = rules::fee(&rules.params, body);
    if body.fee < need {
        return Err(TxError::FeeTooLow { need, given: body.fee });
    }
    tx.verify(&rules.chain).map_err(|_| TxError::Signature)?;
    action::form(rules, body)
}

/// One block under way.
#[derive(Debug)]
pub struct Execution<'a> {
    rules: &'a Rules,
    draft: Draft<'a>,
    /// The roster that this block froze: its beacon follows from this block's own signature.
    frozen: Option<Vec<Candidate>>,
    /// Epochs that commits of this block draw in, read once.
    rosters: BTreeMap<Epoch, Roster>,
}

impl<'a> Execution<'a> {
    /// Begins the block after `base`'s tip: turns the epoch, ends what is paid no longer.
    pub fn new(rules: &'a Rules, base: &'a dyn Records, time_ms: u64) -> Self {
        let mut draft = Draft::new(base);
        let tip = draft.tip_mut();
        tip.height = tip.height.next();
        tip.time_ms = time_ms;
        let frozen = epoch::begin(&mut draft, rules);
        Self { rules, draft, frozen, rosters: BTreeMap::new() }
    }

    /// The state with what was applied so far.
    pub const fn records(&self) -> &Draft<'a> {
        &self.draft
    }

    /// Applies a transaction, or leaves everything as it was.
    ///
    /// # Errors
    /// [`TxError`] says what the sender should do.
    pub fn apply(&mut self, tx: &Tx) -> Result<(), TxError> {
        let body = &tx.body;
        let expected = self.draft.account(&body.account).nonce;
        if body.nonce != expected {
            return Err(TxError::Nonce { expected, got: body.nonce });
        }
        check(self.rules, self.draft.changes().tip.height, tx)?;
        self.read_roster(&body.action);
        let mut draft = Draft::new(&self.draft);
        money::lock(&mut draft, &body.account, body.fee, Pool::Burnt)?;
        draft.account_mut(&body.account).nonce += 1;
        let (account, nonce) = (body.account, body.nonce);
        let mut step = Step { rules: self.rules, draft: &mut draft, rosters: &self.rosters, account, nonce };
        action::apply(&mut step, &body.action).map_err(|error| error.with_fee(body.fee))?;
        let changes = draft.into_changes();
        self.draft.absorb(changes);
        Ok(())
    }

    fn read_roster(&mut self, action: &Action) {
        let Action::Commit(Commit { draw, code, .. }) = action else { return };
        if !self.rosters.contains_key(&draw.epoch) {
            let Some(record) = self.draft.epoch(draw.epoch) else { return };
            self.rosters.insert(draw.epoch, Roster::new(record));
        }
        let roster = self.rosters.get_mut(&draw.epoch).expect("read just now, if not before");
        roster.prepare(*code, self.rules.params.min_domains);
    }

    /// Ends the block: mixes the proposer's chance, founds the epoch if one begins, seals the digest. The tip's block
    /// is still the parent, as the block's own name follows from the digest.
    pub fn finish(mut self, signature: &BeaconSignature) -> Changes {
        let tip = self.draft.tip_mut();
        tip.mix = beacon::mix(&tip.mix, signature);
        if let Some(roster) = self.frozen {
            let (epoch, beacon) = (tip.epoch, epoch::beacon(&tip.mix, tip.epoch));
            self.draft.set_epoch(epoch, Some(EpochRecord { epoch, beacon, roster }));
        }
        let mut changes = self.draft.into_changes();
        changes.tip.digest = changes.digest();
        changes
    }
}

/// Checks that a header was decided: its proposer is a validator, and the certificate is the proposer's signature.
///
/// # Errors
/// [`BlockError::NotValidator`] or [`BlockError::Certificate`].
pub fn verify_header(rules: &Rules, header: &Header, certificate: &Signature) -> Result<(), BlockError> {
    let proposer = header.proposer;
    rules.validator(&proposer).ok_or(BlockError::NotValidator { proposer })?;
    verify(&proposer, certificate, Purpose::Header, &rules.chain, header).map_err(|_| BlockError::Certificate)
}

/// Checks a decided block from end to end against the records before it, and gives what it changes.
///
/// # Errors
/// [`BlockError`] when it is no next block of this chain.
pub fn execute(rules: &Rules, base: &dyn Records, decided: &Decided) -> Result<Changes, BlockError> {
    let header = &decided.block.header;
    check_place(&base.tip(), header)?;
    verify_header(rules, header, &decided.certificate)?;
    check_beacon(rules, header)?;
    check_txs(&decided.block)?;
    let mut execution = Execution::new(rules, base, header.time_ms);
    for (index, tx) in decided.block.txs.iter().enumerate() {
        execution.apply(tx).map_err(|error| BlockError::Tx { index, error })?;
    }
    let mut changes = execution.finish(&header.beacon);
    if changes.tip.digest != header.digest {
        return Err(BlockError::Digest);
    }
    changes.tip.block = header.id();
    Ok(changes)
}

/// The header is the next after the tip.
fn check_place(tip: &Tip, header: &Header) -> Result<(), BlockError> {
    let expected = tip.height.next();
    if header.height != expected {
        return Err(BlockError::Height { expected, got: header.height });
    }
    if header.parent != tip.block {
        return Err(BlockError::Parent { expected: tip.block, got: header.parent });
    }
    if header.time_ms <= tip.time_ms {
        return Err(BlockError::Time { before: tip.time_ms, got: header.time_ms });
    }
    Ok(())
}

fn check_beacon(rules: &Rules, header: &Header) -> Result<(), BlockError> {
    let proposer = header.proposer;
    let validator = rules.validator(&proposer).ok_or(BlockError::NotValidator { proposer })?;
    beacon::verify(&validator.beacon_key, &header.beacon, &rules.chain, header.height).map_err(|_| BlockError::Beacon)
}

/// The transactions are those of the header, and no more than a block may have.
fn check_txs(block: &Block) -> Result<(), BlockError> {
    let len = block.txs.iter().map(|tx| codec::encode(tx).len()).sum();
    if len > limits::BLOCK {
        return Err(BlockError::TooLarge { len });
    }
    let ids: Vec<_> = block.txs.iter().map(Tx::id).collect();
    if tx_root(&ids) == block.header.txs { Ok(()) } else { Err(BlockError::Transactions) }
}
