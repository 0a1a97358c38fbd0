//! Blocks: [`Execution`] runs one, [`judge`] validates a proposed one, [`execute`] validates a decided one.
//!
//! In go the records before a block and its transactions; out come the [`Changes`], or why the block is invalid. The
//! proposer and every validator run the same code, so what one proposes the others accept.

use crate::{
    audit::StorageProof,
    beacon::{self, BeaconSignature, BeaconTurn},
    codec,
    id::{Amount, BlockId, ChainId, Epoch, Height, NodeId, TxId, VoteKey},
    ledger::{
        action::{self, ActionContext},
        checked::{CheckedTx, EncodedTx, EncodedTxs},
        draft::{Draft, DraftChanges},
        epoch,
        error::TxError,
        history::HistoryNode,
        money::{self, Pool},
        proofs::{self, AuditError, ProofKey, Proofs, proof_root},
        roster,
        rules::{PROTOCOL, Rules},
        state::{Changes, EpochClock, Key, Record, Records, Tip, Upgrade},
        tree, turns,
        tx::{Block, DecidedBlock, Header, TxBody, tx_root},
        vote::{QuorumCertificate, QuorumCertificateError, ValidatorSet},
    },
    limits,
    params::Timing,
};

/// Why a block is invalid. An invalid block changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// Fetch the block of the height `expected`.
    #[error("block has height {got}, expected {expected}")]
    Height {
        /// The next height.
        expected: Height,
        /// The block's.
        got: Height,
    },
    /// It is on another chain: its sender, or this node, has left the network.
    #[error("block has parent {got}, expected {expected}: it is on another chain")]
    Parent {
        /// The last block.
        expected: BlockId,
        /// The block's parent.
        got: BlockId,
    },
    /// Its time does not advance.
    #[error("block has timestamp {got} ms, which is not after its parent's {before} ms")]
    Time {
        /// Time of the last block.
        before: u64,
        /// The block's.
        got: u64,
    },
    /// Another validator was the proposer of its round.
    #[error("block was proposed by {got}, the proposer of round {round} is {expected}")]
    Proposer {
        /// The round.
        round: u32,
        /// The proposer of the round.
        expected: VoteKey,
        /// The block's proposer.
        got: VoteKey,
    },
    /// Its round is over the limit.
    #[error("block has round {round}, at most {max} is allowed", max = limits::ROUND)]
    Round {
        /// The round.
        round: u32,
    },
    /// The certificate is another block's.
    #[error("certificate is for block {got}, the block is {expected}")]
    OtherCertificate {
        /// The block's id.
        expected: BlockId,
        /// The certificate's.
        got: BlockId,
    },
    /// Its certificate is invalid.
    #[error(transparent)]
    Certificate(#[from] QuorumCertificateError),
    /// A field of its header is not what the chain implies.
    #[error("header field '{what}' does not match the chain")]
    Header {
        /// The field.
        what: &'static str,
    },
    /// Its beacon signature is invalid.
    #[error("block has an invalid beacon signature")]
    Beacon,
    /// Its transactions are over the size limit.
    #[error("block has transactions of {len} bytes, over the limit of {max} bytes", max = limits::BLOCK)]
    TooLarge {
        /// Their bytes.
        len: usize,
    },
    /// Its transactions do not hash to the roots in its header.
    #[error("block's transactions do not match the roots in its header")]
    Transactions,
    /// It charges more transactions than it may.
    #[error("block charges {count} transactions, over the limit of {max}", max = limits::CHARGED)]
    TooManyCharged {
        /// How many it charges.
        count: usize,
    },
    /// One of the transactions that it charges must not be charged.
    #[error("charged transaction {index}: {error}")]
    Charged {
        /// Its index in the list.
        index: usize,
        /// Why not.
        error: NotCharged,
    },
    /// Its proofs are over the size limit.
    #[error("block has proofs of {len} bytes, over the limit of {max} bytes", max = limits::PROOFS)]
    TooManyProofs {
        /// Their bytes.
        len: usize,
    },
    /// Its proofs do not hash to the root in its header.
    #[error("block's proofs do not match the root in its header")]
    Proofs,
    /// One of its proofs does not count.
    #[error("storage proof of {provider}: {error}")]
    Proof {
        /// The provider.
        provider: NodeId,
        /// Why it does not count.
        error: AuditError,
    },
    /// One of its transactions is invalid.
    #[error("transaction {index}: {error}")]
    Tx {
        /// Its index in the block.
        index: usize,
        /// Why it is invalid.
        error: TxError,
    },
    /// Update this program: the network continues by rules that it does not know.
    #[error(
        "this program supports protocol version {PROTOCOL}, the network uses {protocol} from height {height} on: \
         update the program"
    )]
    Upgrade {
        /// The version.
        protocol: u32,
        /// The first height that cannot be validated here.
        height: Height,
    },
    /// Its proposer computed another state: one of the two is faulty.
    #[error("state root after the block differs from the one in its header")]
    State,
}

/// Why a transaction is not charged for a failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotCharged {
    /// It does not fail.
    #[error("it does not fail")]
    Applies,
    /// It fails before anything costly is checked, or cannot pay.
    #[error("it fails before costly checks: {0}")]
    Refused(TxError),
}

/// A block before its transactions: missed turns are recorded, an epoch has begun if one was due, and what expires has
/// ended. All that is tried on top of one state can share it.
#[derive(Clone, Debug)]
pub struct BegunBlock {
    rules: Rules,
    changes: DraftChanges,
    past: Vec<HistoryNode>,
}

impl BegunBlock {
    /// Begins the block after `base`'s tip, proposed in `round`. The chain is that of `rules`; the parameters are those
    /// of `base`, for the whole block.
    pub fn new(rules: &Rules, base: &dyn Records, time_ms: u64, round: u32) -> Self {
        let rules = Rules::at(rules.chain, base);
        let mut draft = Draft::new(base);
        let tip = draft.tip_mut();
        let past = tip.running.history.append(&tip.block);
        tip.running.time_ms = time_ms;
        tip.height = tip.height.next();
        turns::note(&mut draft, base, round);
        let clock = next_clock(base, &rules.params.time, time_ms);
        activate_upgrade(&mut draft, clock.epoch);
        epoch::begin(&mut draft, &rules, clock);
        Self { rules, changes: draft.into_changes(), past }
    }
}

/// A block being executed.
#[derive(Debug)]
pub struct Execution<'a> {
    rules: Rules,
    base: &'a dyn Records,
    draft: Draft<'a>,
    /// Nodes that the parent block adds to the history.
    past: Vec<HistoryNode>,
    /// Bytes of the transactions applied so far.
    bytes: usize,
}

/// Result of a block's execution: its changes, and the header fields that follow from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The changes; the tip's block is still the parent, as the block's own id follows from its header.
    pub changes: Changes,
    /// Root of the history before the block.
    pub history: [u8; 32],
    /// The validators of the next block.
    pub next: ValidatorSet,
}

impl<'a> Execution<'a> {
    /// Begins the block after `base`'s tip: see [`BegunBlock::new`].
    pub fn new(rules: &Rules, base: &'a dyn Records, time_ms: u64, round: u32) -> Self {
        Self::after(base, BegunBlock::new(rules, base, time_ms, round))
    }

    /// Continues a block that was begun on `base`.
    pub fn after(base: &'a dyn Records, begun: BegunBlock) -> Self {
        let BegunBlock { rules, changes, past } = begun;
        Self { rules, base, draft: Draft::with(base, changes), past, bytes: 0 }
    }

    /// The state with what was applied so far.
    pub const fn records(&self) -> &Draft<'a> {
        &self.draft
    }

    /// Applies a storage proof, all or nothing, and pays for it; a part goes to the owner of the validator that
    /// proposes the block. Proofs come before transactions.
    ///
    /// # Errors
    /// [`AuditError`] when it does not count; then nothing has changed.
    pub fn prove(&mut self, key: &ProofKey, proof: &StorageProof, proposer: &VoteKey) -> Result<(), AuditError> {
        let proposer = self.base.validator(proposer).expect("invariant: a proposer is a validator").owner;
        proofs::apply(&mut self.draft, &self.rules, (key, proof), &proposer)
    }

    /// Applies a transaction, all or nothing.
    ///
    /// # Errors
    /// [`TxError`] says what the sender should do; then nothing has changed.
    pub fn apply(&mut self, tx: &CheckedTx) -> Result<(), TxError> {
        self.draft.begin();
        let done = self.act(tx);
        self.settle(tx, done)
    }

    /// Charges a transaction that fails after costly checks: it pays its fee and uses its nonce.
    ///
    /// # Errors
    /// [`NotCharged`] when it does not fail so; then nothing has changed.
    pub fn charge(&mut self, tx: &CheckedTx) -> Result<(), NotCharged> {
        self.draft.begin();
        let verdict = self.act(tx);
        self.draft.rollback();
        match verdict {
            Ok(()) => Err(NotCharged::Applies),
            Err(TxError::Charged(_)) => self.assume_charged(tx).map_err(NotCharged::Refused),
            Err(error) => Err(NotCharged::Refused(error)),
        }
    }

    /// As [`Execution::charge`], of a transaction that is known to fail so.
    ///
    /// # Errors
    /// [`TxError`] when it cannot pay, or has another nonce than the account; then nothing has changed.
    pub fn assume_charged(&mut self, tx: &CheckedTx) -> Result<(), TxError> {
        self.draft.begin();
        let paid = self.pay(tx).map(|_| ());
        self.settle(tx, paid)
    }

    /// Keeps the changes of a transaction, or undoes them if it failed.
    fn settle(&mut self, tx: &CheckedTx, done: Result<(), TxError>) -> Result<(), TxError> {
        match done {
            Ok(()) => {
                self.draft.commit();
                self.bytes += tx.bytes();
            }
            Err(_) => self.draft.rollback(),
        }
        done
    }

    /// Does what a transaction says. A failure after costly checks is [`TxError::Charged`].
    fn act(&mut self, tx: &CheckedTx) -> Result<(), TxError> {
        let balance = self.pay(tx)?;
        let TxBody { account, nonce, ref action, .. } = tx.tx().body;
        let (rules, draft, tx) = (&self.rules, &mut self.draft, tx.id());
        let mut context = ActionContext { rules, draft, account, nonce, tx, is_costly: false };
        let done = action::apply(&mut context, action).map_err(|error| error.with_balance(balance));
        if context.is_costly { done.map_err(|error| TxError::Charged(Box::new(error))) } else { done }
    }

    /// Takes the nonce and the fee of a transaction; says what the sender had before.
    fn pay(&mut self, tx: &CheckedTx) -> Result<Amount, TxError> {
        let TxBody { account, nonce, fee, .. } = tx.tx().body;
        let sender = self.draft.existing_account(&account);
        let sender = sender.ok_or(TxError::Funds { need: fee, have: Amount::ZERO })?;
        if nonce != sender.nonce {
            return Err(TxError::Nonce { expected: sender.nonce, got: nonce });
        }
        sender.nonce += 1;
        let balance = sender.balance;
        tx.check_at(&self.rules, self.draft.height())?;
        money::lock(&mut self.draft, &account, fee, Pool::Burnt)?;
        Ok(balance)
    }

    /// Ends the block: removes accounts that are too poor to keep, mixes in the proposer's beacon signature, counts the
    /// space that its `proofs` left, sets the next block's fees, and updates the state tree.
    pub fn finish(mut self, signature: &BeaconSignature, proofs: &Proofs) -> Outcome {
        money::sweep(&mut self.draft, self.rules.params.bonds.account);
        roster::follow(&mut self.draft, &self.rules);
        epoch::end(&mut self.draft, &self.rules, signature, proofs::bytes_of(proofs));
        let running = self.draft.running_mut();
        running.fee_factor = running.fee_factor.after(self.bytes);
        let (history, next) = (self.draft.running().history.root(), self.draft.validator_set());
        Outcome { changes: seal(self.base, self.draft, self.past), history, next }
    }
}

/// The clock of the block after `base`, where that has this time.
fn next_clock(base: &dyn Records, timing: &Timing, time_ms: u64) -> EpochClock {
    let tip = base.tip();
    tip.running.clock.tick(tip.height.next(), time_ms, timing)
}

/// Activates the protocol version that is due in this epoch.
fn activate_upgrade(draft: &mut Draft<'_>, epoch: Epoch) {
    let mut charter = draft.charter();
    if let Some(upgrade) = charter.upgrade.filter(|upgrade| upgrade.epoch <= epoch) {
        (charter.protocol, charter.upgrade) = (upgrade.protocol, None);
        draft.put_charter(charter);
    }
}

/// Checks that this program supports the protocol version of the block after `base`, where that has this time.
pub(super) fn check_protocol(base: &dyn Records, time_ms: u64) -> Result<(), BlockError> {
    let (charter, height) = (base.charter(), base.tip().height.next());
    let due = |upgrade: &Upgrade| upgrade.epoch <= next_clock(base, &base.params().time, time_ms).epoch;
    let due = charter.upgrade.filter(due);
    let protocol = due.map_or(charter.protocol, |upgrade| upgrade.protocol);
    if protocol > PROTOCOL { Err(BlockError::Upgrade { protocol, height }) } else { Ok(()) }
}

/// The changes of a draft, with those of the state tree and of the history.
pub(super) fn seal(base: &dyn Records, draft: Draft<'_>, history: Vec<HistoryNode>) -> Changes {
    let DraftChanges { mut tip, mut records, rosters } = draft.into_changes();
    records.insert(Key::Running, Some(Record::Running(tip.running.clone())));
    let leaves = records.iter().filter(|(key, _)| key.is_proven());
    let leaves = leaves.map(|(key, record)| (key.to_bytes(), record.as_ref().map(codec::encode)));
    let tree = tree::update(base, tip.height.0.checked_sub(1), tip.height.0, leaves);
    let tree = tree.unwrap_or_else(|error| panic!("invariant: the store has the tree of its last block: {error}"));
    tip.state = tree.root;
    Changes { tip, records, tree, history, rosters }
}

/// Validates a decided block and its certificate, and returns what it changes.
///
/// # Errors
/// [`BlockError`] when it is not the next block of this chain.
pub fn execute(rules: &Rules, base: &dyn Records, decided: &DecidedBlock) -> Result<Changes, BlockError> {
    execute_knowing(rules, base, decided, |_| false)
}

/// As [`execute`], without verifying the signatures of transactions that are `known`: they were verified before.
///
/// # Errors
/// [`BlockError`] when it is not the next block of this chain.
pub fn execute_knowing(
    rules: &Rules,
    base: &dyn Records,
    decided: &DecidedBlock,
    known: impl FnMut(&TxId) -> bool,
) -> Result<Changes, BlockError> {
    verify_header(&rules.chain, &base.validator_set(), &decided.block.header, &decided.certificate)?;
    judge_knowing(rules, base, &decided.block, known)
}

/// Checks that `set` decided the block with this header, and that the header names `set`.
///
/// # Errors
/// [`BlockError`] when the certificate is invalid or for another block, or the header names another set.
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

/// Validates a proposed block completely against the records before it, and returns what it changes.
///
/// # Errors
/// [`BlockError`] when it cannot be the next block of this chain.
pub fn judge(rules: &Rules, base: &dyn Records, block: &Block) -> Result<Changes, BlockError> {
    judge_knowing(rules, base, block, |_| false)
}

/// As [`judge`], without verifying the signatures of transactions that are `known`: they were verified before.
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
    check_protocol(base, header.time_ms)?;
    check_place(&base.tip(), header)?;
    check_proposer(rules, base, header)?;
    check_proofs(block)?;
    let mut txs = check_txs(block)?.check(rules, known);
    let charged = txs.split_off(block.txs.len());
    let mut execution = Execution::new(rules, base, header.time_ms, header.round);
    for (key, proof) in &block.proofs {
        let proven = execution.prove(key, proof, &header.proposer);
        proven.map_err(|error| BlockError::Proof { provider: key.provider, error })?;
    }
    for (index, tx) in txs.into_iter().enumerate() {
        tx.and_then(|tx| execution.apply(&tx)).map_err(|error| BlockError::Tx { index, error })?;
    }
    for (index, tx) in charged.into_iter().enumerate() {
        let charge = tx.map_err(NotCharged::Refused).and_then(|tx| execution.charge(&tx));
        charge.map_err(|error| BlockError::Charged { index, error })?;
    }
    let Outcome { mut changes, history, next } = execution.finish(&header.beacon, &block.proofs);
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

/// The header extends the tip.
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

/// The proposer is the one of the round, and the beacon signature is its own.
fn check_proposer(rules: &Rules, base: &dyn Records, header: &Header) -> Result<(), BlockError> {
    let (round, got) = (header.round, header.proposer);
    if round > limits::ROUND {
        return Err(BlockError::Round { round });
    }
    let rotation = turns::rotation(base);
    let expected = rotation.proposer(header.height, round).expect("invariant: there is always a validator");
    let proposer = base.validator(&got).filter(|_| got == expected);
    let proposer = proposer.ok_or(BlockError::Proposer { round, expected, got })?;
    let (tip, chain) = (base.tip(), &rules.chain);
    let turn = BeaconTurn { chain, height: header.height, mix: &tip.running.mix };
    beacon::verify(&proposer.beacon_key, &header.beacon, &turn).map_err(|_| BlockError::Beacon)
}

/// The transactions match the header, and are within the limits; those that are charged come last.
fn check_txs(block: &Block) -> Result<EncodedTxs, BlockError> {
    let count = block.charged.len();
    if count > limits::CHARGED {
        return Err(BlockError::TooManyCharged { count });
    }
    let txs = EncodedTx::all([block.txs.as_slice(), &block.charged].concat());
    let len = txs.bytes();
    if len > limits::BLOCK {
        return Err(BlockError::TooLarge { len });
    }
    let (ids, roots) = (txs.ids(), &block.header.roots);
    let (applied, charged) = ids.split_at(block.txs.len());
    let matches = tx_root(applied) == roots.txs && tx_root(charged) == roots.charged;
    if matches { Ok(txs) } else { Err(BlockError::Transactions) }
}

/// The proofs match the header, and are within the size limit.
fn check_proofs(block: &Block) -> Result<(), BlockError> {
    let len = proofs::bytes_of(&block.proofs);
    if len > limits::PROOFS {
        return Err(BlockError::TooManyProofs { len });
    }
    if proof_root(&block.proofs) == block.header.roots.proofs { Ok(()) } else { Err(BlockError::Proofs) }
}
