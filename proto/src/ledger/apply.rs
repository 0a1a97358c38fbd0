//! Blocks: [`Execution`] runs one, [`judge`] says whether a proposed one may be, [`execute`] takes a decided one.
//!
//! In go the records before a block and its transactions; out come the [`Changes`], or why the block is no block of
//! this chain. Both the proposer and everyone else come through here, so what is proposed is what is accepted.

use std::collections::BTreeMap;

use crate::{
    beacon::{self, BeaconSignature},
    codec,
    id::{BlockId, ChainId, Epoch, Height, TxId, VoteKey},
    ledger::{
        action::{self, ActionContext, Roster},
        checked::{CheckedTx, EncodedTx, EncodedTxs},
        draft::{Draft, DraftChanges},
        epoch,
        error::TxError,
        history::HistoryNode,
        money::{self, Pool},
        rules::{PROTOCOL, Rules},
        state::{Changes, EpochRecord, Key, Record, Records, RosterEntry, Tip},
        tree, turns,
        tx::{Action, Block, Commit, DecidedBlock, Header, TxBody, tx_root},
        vote::{QuorumCertificate, QuorumCertificateError, ValidatorSet},
    },
    limits,
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
    /// It was another's turn to propose.
    #[error("{got} proposed the block, in round {round} it is the turn of {expected}")]
    Proposer {
        /// The round.
        round: u32,
        /// Whose turn it is.
        expected: VoteKey,
        /// Who proposed it.
        got: VoteKey,
    },
    /// Its round is beyond any that could be.
    #[error("block is of round {round}, at most {max} is possible", max = limits::ROUND)]
    Round {
        /// The round.
        round: u32,
    },
    /// The certificate is another block's.
    #[error("certificate is of block {got}, the block is {expected}")]
    OtherCertificate {
        /// The block's id.
        expected: BlockId,
        /// The certificate's.
        got: BlockId,
    },
    /// Its certificate does not verify.
    #[error(transparent)]
    Certificate(#[from] QuorumCertificateError),
    /// Its header names another history, or other validators.
    #[error("header has another {what} than the chain")]
    Header {
        /// Which field.
        what: &'static str,
    },
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
    /// Update this program: the network goes on by rules that it does not know.
    #[error(
        "from height {height} on the network has version {protocol} of the rules, this program knows {PROTOCOL}: \
         update it"
    )]
    Upgrade {
        /// The version.
        protocol: u32,
        /// The first height that cannot be judged here.
        height: Height,
    },
    /// Its proposer came to another state: one of the two computes wrongly.
    #[error("state after the block differs from the header's")]
    State,
}

/// One block under way.
#[derive(Debug)]
pub struct Execution<'a> {
    rules: Rules,
    base: &'a dyn Records,
    draft: Draft<'a>,
    /// What the block before adds to the history.
    past: Vec<HistoryNode>,
    /// Bytes of the transactions that were applied.
    bytes: usize,
    /// The roster that this block froze: its beacon follows from this block's own signature.
    frozen: Option<Vec<RosterEntry>>,
    /// Epochs that commits of this block draw in, read once.
    rosters: BTreeMap<Epoch, Roster>,
}

/// What a block changes, and what its header says of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The changes; the tip's block is still the parent, as the block's own name follows from its header.
    pub changes: Changes,
    /// Root of the history before the block.
    pub history: [u8; 32],
    /// Who decides the next block.
    pub next: ValidatorSet,
}

impl<'a> Execution<'a> {
    /// Begins the block after `base`'s tip, proposed in `round`: notes who missed a turn, turns the epoch, ends what is
    /// paid no longer. The chain is that of `rules`; the parameters are those of `base`, for the whole block.
    pub fn new(rules: &Rules, base: &'a dyn Records, time_ms: u64, round: u32) -> Self {
        let rules = Rules::at(rules.chain, base);
        let mut draft = Draft::new(base);
        let tip = draft.tip_mut();
        let past = tip.running.history.append(&tip.block);
        tip.running.time_ms = time_ms;
        tip.height = tip.height.next();
        turns::note(&mut draft, base, round);
        take_up(&mut draft);
        let frozen = epoch::begin(&mut draft, &rules);
        Self { rules, base, draft, past, bytes: 0, frozen, rosters: BTreeMap::new() }
    }

    /// The state with what was applied so far.
    pub const fn records(&self) -> &Draft<'a> {
        &self.draft
    }

    /// Applies a transaction, or leaves everything as it was.
    ///
    /// # Errors
    /// [`TxError`] says what the sender should do.
    pub fn apply(&mut self, tx: &CheckedTx) -> Result<(), TxError> {
        self.draft.begin();
        let done = self.act(tx);
        match done {
            Ok(()) => {
                self.draft.keep();
                self.bytes += tx.bytes();
            }
            Err(_) => self.draft.undo(),
        }
        done
    }

    fn act(&mut self, tx: &CheckedTx) -> Result<(), TxError> {
        let TxBody { account, nonce, fee, ref action, .. } = tx.tx().body;
        let sender = self.draft.account_mut(&account);
        if nonce != sender.nonce {
            return Err(TxError::Nonce { expected: sender.nonce, got: nonce });
        }
        sender.nonce += 1;
        tx.check_at(&self.rules, self.draft.height())?;
        self.read_roster(action);
        let draft = &mut self.draft;
        money::lock(draft, &account, fee, Pool::Burnt)?;
        let mut step = ActionContext { rules: &self.rules, draft, rosters: &self.rosters, account, nonce };
        action::apply(&mut step, action).map_err(|error| error.with_fee(fee))
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

    /// Ends the block: adds the proposer's chance, sets the next block's fees, founds the epoch if one begins, and
    /// grows the state tree.
    pub fn finish(mut self, signature: &BeaconSignature) -> Outcome {
        let running = self.draft.running_mut();
        beacon::remember(&mut running.beacons, signature);
        running.fee_factor = running.fee_factor.after(self.bytes);
        if let Some(roster) = self.frozen {
            let epoch = running.epoch;
            let record =
                EpochRecord { epoch, beacon: epoch::beacon(&self.rules.chain, &running.beacons, epoch), roster };
            self.draft.put(Key::Epoch(epoch), Record::Epoch(record));
        }
        let (history, next) = (self.draft.running().history.root(), self.draft.validator_set());
        Outcome { changes: seal(self.base, self.draft, self.past), history, next }
    }
}

/// Notes that the version of the rules which was due has come.
fn take_up(draft: &mut Draft<'_>) {
    let mut charter = draft.charter();
    if let Some(upgrade) = charter.upgrade.filter(|upgrade| upgrade.height <= draft.height()) {
        (charter.protocol, charter.upgrade) = (upgrade.protocol, None);
        draft.put_charter(charter);
    }
}

/// Checks that this code knows the rules of the block after `base`.
pub(super) fn check_protocol(base: &dyn Records) -> Result<(), BlockError> {
    let (charter, height) = (base.charter(), base.tip().height.next());
    let due = charter.upgrade.filter(|upgrade| upgrade.height <= height);
    let protocol = due.map_or(charter.protocol, |upgrade| upgrade.protocol);
    if protocol > PROTOCOL { Err(BlockError::Upgrade { protocol, height }) } else { Ok(()) }
}

/// The changes of a draft, with those of the state tree and of the history.
pub(super) fn seal(base: &dyn Records, draft: Draft<'_>, history: Vec<HistoryNode>) -> Changes {
    let DraftChanges { mut tip, mut records } = draft.into_parts();
    records.insert(Key::Running, Some(Record::Running(tip.running.clone())));
    let leaves = records.iter().filter(|(key, _)| key.is_proven());
    let leaves = leaves.map(|(key, record)| (key.to_bytes(), record.as_ref().map(codec::encode)));
    let tree = tree::update(base, tip.height.0.checked_sub(1), tip.height.0, leaves);
    let tree = tree.unwrap_or_else(|error| panic!("invariant: the store has the tree of its last block: {error}"));
    tip.state = tree.root;
    Changes { tip, records, tree, history }
}

/// Checks that a block was decided, and what it changes.
///
/// # Errors
/// [`BlockError`] when it is no next block of this chain.
pub fn execute(rules: &Rules, base: &dyn Records, decided: &DecidedBlock) -> Result<Changes, BlockError> {
    execute_knowing(rules, base, decided, |_| false)
}

/// As [`execute`]. The signatures of transactions that are `known` were verified before, and are not again.
///
/// # Errors
/// [`BlockError`] when it is no next block of this chain.
pub fn execute_knowing(
    rules: &Rules,
    base: &dyn Records,
    decided: &DecidedBlock,
    known: impl FnMut(&TxId) -> bool,
) -> Result<Changes, BlockError> {
    verify_header(&rules.chain, &base.validator_set(), &decided.block.header, &decided.certificate)?;
    judge_knowing(rules, base, &decided.block, known)
}

/// Checks that `set` decided the block with this header, and that the header says so.
///
/// # Errors
/// [`BlockError`] when the certificate proves nothing of the header, or the header names another set.
pub fn verify_header(
    chain: &ChainId,
    set: &ValidatorSet,
    header: &Header,
    certificate: &QuorumCertificate,
) -> Result<(), BlockError> {
    let (expected, got) = (header.id(), certificate.block);
    if expected != got || certificate.height != header.height {
        return Err(BlockError::OtherCertificate { expected, got });
    }
    if header.validators != set.hash() {
        return Err(BlockError::Header { what: "validators" });
    }
    Ok(certificate.verify(set, chain)?)
}

/// Checks a proposed block from end to end against the records before it, and gives what it changes.
///
/// # Errors
/// [`BlockError`] when it cannot be the next block of this chain.
pub fn judge(rules: &Rules, base: &dyn Records, block: &Block) -> Result<Changes, BlockError> {
    judge_knowing(rules, base, block, |_| false)
}

/// As [`judge`]. The signatures of transactions that are `known` were verified before, and are not again.
///
/// # Errors
/// [`BlockError`] when it cannot be the next block of this chain.
pub fn judge_knowing(
    rules: &Rules,
    base: &dyn Records,
    block: &Block,
    known: impl FnMut(&TxId) -> bool,
) -> Result<Changes, BlockError> {
    let header = &block.header;
    check_protocol(base)?;
    check_place(&base.tip(), header)?;
    check_proposer(rules, base, header)?;
    let txs = check_txs(block)?.check(rules, known);
    let mut execution = Execution::new(rules, base, header.time_ms, header.round);
    for (index, tx) in txs.into_iter().enumerate() {
        tx.and_then(|tx| execution.apply(&tx)).map_err(|error| BlockError::Tx { index, error })?;
    }
    let Outcome { mut changes, history, next } = execution.finish(&header.beacon);
    let differs = [
        ("history", history != header.history),
        ("validators", base.validator_set().hash() != header.validators),
        ("next validators", next.hash() != header.next_validators),
    ];
    if let Some((what, _)) = differs.into_iter().find(|(_, differs)| *differs) {
        return Err(BlockError::Header { what });
    }
    if changes.tip.state != header.state {
        return Err(BlockError::State);
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
    if header.time_ms <= tip.running.time_ms {
        return Err(BlockError::Time { before: tip.running.time_ms, got: header.time_ms });
    }
    Ok(())
}

/// It was the proposer's turn, and the beacon signature is its own.
fn check_proposer(rules: &Rules, base: &dyn Records, header: &Header) -> Result<(), BlockError> {
    let (round, got) = (header.round, header.proposer);
    if round > limits::ROUND {
        return Err(BlockError::Round { round });
    }
    let rotation = turns::rotation(base);
    let expected = rotation.proposer(header.height, round).expect("invariant: there is always a validator");
    let proposer = base.validator(&got).filter(|_| got == expected);
    let proposer = proposer.ok_or(BlockError::Proposer { round, expected, got })?;
    beacon::verify(&proposer.beacon_key, &header.beacon, &rules.chain, header.height).map_err(|_| BlockError::Beacon)
}

/// The transactions are those of the header, and no more than a block may have.
fn check_txs(block: &Block) -> Result<EncodedTxs, BlockError> {
    let txs = EncodedTx::all(block.txs.clone());
    let len = txs.bytes();
    if len > limits::BLOCK {
        return Err(BlockError::TooLarge { len });
    }
    if tx_root(&txs.ids()) == block.header.txs { Ok(txs) } else { Err(BlockError::Transactions) }
}
