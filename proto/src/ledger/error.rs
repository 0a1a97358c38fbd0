//! Why a transaction is refused: one variant for each thing its sender can do about it.

use crate::{
    id::{AccountId, Amount, Epoch, Height, NodeId, ObjectId, VoteKey},
    ledger::{collateral::TakeError, repair::RepairError},
    limits,
    params::{Code, ParamsError},
    placement::PlacementError,
};

mod exit;
mod maintenance;

pub use exit::ExitError;
pub use maintenance::MaintenanceError;

/// Why a transaction is refused. A refused transaction changes nothing. The first line of each variant says what its
/// sender can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TxError {
    /// Split it into several transactions.
    #[error("transaction of {len} bytes is over the limit of {max} bytes: split it", max = limits::TX)]
    TooLarge {
        /// Bytes given.
        len: usize,
    },
    /// Sign it with the account's key, for this chain.
    #[error("invalid signature: the transaction must be signed by its account's key, for this chain")]
    Signature,
    /// Pay more.
    #[error("account {to} does not exist, and {amount} obols are too little to begin one: at least {least} are needed")]
    AccountMin {
        /// The receiver.
        to: AccountId,
        /// The amount.
        amount: Amount,
        /// Least balance of an account.
        least: Amount,
    },
    /// Sign it again with the nonce `expected`. A `got` below it was used already; one above it is valid later.
    #[error("invalid nonce {got}: the account's next nonce is {expected}")]
    Nonce {
        /// The account's next nonce.
        expected: u64,
        /// The transaction's nonce.
        got: u64,
    },
    /// Sign it again with a later `valid_until`.
    #[error("transaction expired: it was valid until height {valid_until}, the block is at height {height}")]
    Expired {
        /// The transaction's last height.
        valid_until: Height,
        /// The block's height.
        height: Height,
    },
    /// Sign it again with a `valid_until` of at most `latest`.
    #[error("transaction expires too late: valid until height {valid_until}, at most {latest} is allowed now")]
    ValidTooLong {
        /// The transaction's last height.
        valid_until: Height,
        /// The latest height allowed.
        latest: Height,
    },
    /// Sign it again with the fee `need`.
    #[error("fee of {given} obols is too low: at least {need} obols are needed")]
    FeeTooLow {
        /// The least fee.
        need: Amount,
        /// Fee offered.
        given: Amount,
    },
    /// Add funds, or ask for less. Both amounts include the fee, and what other actions of the transaction move.
    #[error("insufficient funds: {need} obols are needed with the fee, the account has {have}")]
    Funds {
        /// Cost, with the fee.
        need: Amount,
        /// Balance, before the fee.
        have: Amount,
    },
    /// Use an amount above zero.
    #[error("amount must be positive")]
    ZeroAmount,
    /// Use 1 to 8 multiaddrs, without the id of the node itself.
    #[error(
        "invalid addresses: 1 to {addresses} multiaddrs such as /ip4/192.0.2.1/tcp/4001 are needed, of {length} \
         characters together at most, and without /p2p/ but for a relay's before /p2p-circuit",
        addresses = limits::ADDRESSES, length = limits::ADDRESSES_LENGTH
    )]
    Addresses,
    /// Use lower-case letters in each part of the domain.
    #[error("invalid domain: each part must be 1 to {name} characters of a-z 0-9 . _ -", name = limits::NAME)]
    DomainName,
    /// Generate another node key.
    #[error("node {node} has a weak key, for which anyone can sign: generate another")]
    WeakKey {
        /// The node.
        node: NodeId,
    },
    /// Generate another vote key.
    #[error("validator {key} has a weak key, for which anyone can sign: generate another")]
    WeakVoteKey {
        /// The vote key.
        key: VoteKey,
    },
    /// Generate another beacon key.
    #[error("invalid beacon key: not a point of the BLS12-381 G2 group")]
    BeaconKey,
    /// Bond more.
    #[error("bond of {bond} obols is too low: at least {least} obols are needed")]
    BondTooLow {
        /// The least bond.
        least: Amount,
        /// Bond offered.
        bond: Amount,
    },
    /// Drain and withdraw the provider to get its bond back.
    #[error("the provider's bond of {have} obols cannot be lowered to {bond}: drain and withdraw it to get it back")]
    BondLowered {
        /// Its bond.
        have: Amount,
        /// Bond offered.
        bond: Amount,
    },
    /// Have the node sign its consent for this owner on this chain.
    #[error("invalid consent: node {node} did not sign its consent to this owner")]
    Consent {
        /// The node.
        node: NodeId,
    },
    /// Have the account sign the permission for this sender on this chain.
    #[error("invalid permission: account {account} did not sign that the sender may draw as it")]
    DrawPermission {
        /// The account to draw as.
        account: AccountId,
    },
    /// Pay the account first, so that it exists.
    #[error("cannot draw as account {account}: it does not exist; pay it first")]
    NoDrawAccount {
        /// The account to draw as.
        account: AccountId,
    },
    /// Use the owner's account, or another node.
    #[error("node {node} belongs to account {owner}: use that account, or another node")]
    OtherOwner {
        /// The node.
        node: NodeId,
        /// The account that owns it.
        owner: AccountId,
    },
    /// Offer at least what is stored already.
    #[error("capacity of {capacity} bytes is too low: the provider stores {used} bytes already")]
    CapacityBelowUsed {
        /// Bytes stored.
        used: u64,
        /// Capacity offered, in bytes.
        capacity: u64,
    },
    /// Hand the slots over before moving: their extents were spread by the old domain.
    #[error("domain cannot change while the provider stores data: it stores {used} bytes")]
    DomainInUse {
        /// Bytes stored.
        used: u64,
    },
    /// Use a valid code.
    #[error("invalid code {0}: need 1 <= K < N")]
    Code(Code),
    /// Name each of the n slots once.
    #[error("wrong number of slots: {have} given, the code has {need} columns")]
    SlotCount {
        /// Slots named.
        have: usize,
        /// Columns of the code.
        need: u8,
    },
    /// Take extent, column length and size from the manifest's layout.
    #[error(
        "impossible layout: an object of {size} bytes cannot have columns of {column_len} bytes in extent {extent} of \
         {extents}"
    )]
    Layout {
        /// Bytes of the object.
        size: u64,
        /// Bytes of each column.
        column_len: u64,
        /// Number of the extent, from 0.
        extent: u32,
        /// Extents of the object.
        extents: u32,
    },
    /// Draw in an epoch of `oldest..=newest`, and store on the providers drawn.
    #[error(
        "invalid draw of epoch {given}: epochs {oldest} to {newest} can be drawn from, once their beacon is complete"
    )]
    DrawEpoch {
        /// Epoch of the draw.
        given: Epoch,
        /// The oldest valid epoch.
        oldest: Epoch,
        /// The newest valid epoch.
        newest: Epoch,
    },
    /// Draw with a lower number.
    #[error("invalid draw number {given}: an account has {draws} draws in an epoch, numbered from 0")]
    DrawNumber {
        /// Number of the draw.
        given: u32,
        /// How many there are.
        draws: u32,
    },
    /// Wait for the block.
    #[error("the account is too young to draw holders: the randomness it draws by is complete with block {height}")]
    NoPulse {
        /// Height of the block.
        height: Height,
    },
    /// Ask for what the network can carry.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// Store slot `index` on a provider of the draw.
    #[error("slot {index}: provider {provider} was not drawn for this extent")]
    NotDrawn {
        /// The slot's index.
        index: usize,
        /// The provider it names.
        provider: NodeId,
    },
    /// Store each column elsewhere.
    #[error("slot {index}: provider {provider} has another slot of this extent already")]
    Duplicate {
        /// The slot's index.
        index: usize,
        /// The provider it names.
        provider: NodeId,
    },
    /// Replace holders so that no domain has more columns than its cap.
    #[error(
        "holders break the domain rule: at most {operator} columns may be with one operator, {infrastructure} on one \
         infrastructure, {region} in one region"
    )]
    DomainRule {
        /// Columns allowed with one operator.
        operator: u8,
        /// Columns allowed on one infrastructure.
        infrastructure: u8,
        /// Columns allowed in one region.
        region: u8,
    },
    /// Get the provider's receipt again, or leave the slot missing.
    #[error("slot {index}: invalid receipt of provider {provider}")]
    Receipt {
        /// The slot's index.
        index: usize,
        /// The provider it names.
        provider: NodeId,
    },
    /// End no later than the receipts, or get receipts for longer.
    #[error("end epoch {end} is after epoch {until}, until which the receipts are valid")]
    ReceiptEnd {
        /// The end.
        end: Epoch,
        /// The end of the receipts.
        until: Epoch,
    },
    /// Lock at least what the provider asks.
    #[error("slot {index}: provider {provider} asks {ask} obols a GiB and epoch, and the slot's cap is {cap}")]
    Cap {
        /// The slot's index.
        index: usize,
        /// The provider it names.
        provider: NodeId,
        /// Its price.
        ask: Amount,
        /// The slot's cap.
        cap: Amount,
    },
    /// Pay what the provider asks now, or less long.
    #[error(
        "slot {index}: provider {provider} asks {ask} obols a GiB and epoch now, more than the {most} to be paid: pay \
         that, or end by epoch {until}"
    )]
    AskRaised {
        /// The slot's index.
        index: usize,
        /// The slot's provider.
        provider: NodeId,
        /// Its price now.
        ask: Amount,
        /// The most that the sender pays.
        most: Amount,
        /// Until when its receipt is valid.
        until: Epoch,
    },
    /// Renew by another number of epochs.
    #[error("renewal by {epochs} epochs each time: it must be between 1 and {max}")]
    RenewalTerm {
        /// The number given.
        epochs: u64,
        /// The network's longest term.
        max: u64,
    },
    /// Store more columns first.
    #[error("too few receipts: {have} given, {need} are needed")]
    TooFewReceipts {
        /// Valid receipts.
        have: usize,
        /// Receipts that certify.
        need: u8,
    },
    /// Store slot `index` elsewhere.
    #[error("slot {index}: provider {provider} cannot take the column: {reason}; store it on another provider")]
    CannotTake {
        /// The slot's index.
        index: usize,
        /// The provider it names.
        provider: NodeId,
        /// What prevents it.
        reason: TakeError,
    },
    /// Ask for an end of `earliest..=latest`.
    #[error("invalid end epoch {end}: use {earliest} to {latest}")]
    Term {
        /// End epoch asked for.
        end: Epoch,
        /// The earliest valid end.
        earliest: Epoch,
        /// The latest valid end.
        latest: Epoch,
    },
    /// Extend it, or release it first.
    #[error("extent {extent} of object {object} is committed by this account already")]
    AlreadyCommitted {
        /// The object.
        object: ObjectId,
        /// Number of the extent, from 0.
        extent: u32,
    },
    /// Name an extent that this account has committed, and that has not ended.
    #[error("this account has no commitment for extent {extent} of object {object}")]
    NoCommitment {
        /// The object.
        object: ObjectId,
        /// Number of the extent, from 0.
        extent: u32,
    },
    /// Draw again, or leave the slot missing: its infrastructure stores too much already.
    #[error(
        "slot {index}: the infrastructure of provider {provider} would store {share} % of all bytes, at most {limit} % \
         are allowed"
    )]
    StoredShare {
        /// The slot's index.
        index: usize,
        /// The provider it names.
        provider: NodeId,
        /// Percent of all stored bytes that it would have.
        share: u8,
        /// The highest percentage allowed.
        limit: u8,
    },
    /// Run the validator elsewhere, or bond less.
    #[error("the validator's infrastructure would have {share} % of the voting power, at most {limit} % are allowed")]
    PowerShare {
        /// Percent of the voting power that it would have.
        share: u8,
        /// The highest percentage allowed.
        limit: u8,
    },
    /// Have the vote key sign its consent for this owner, node and beacon key on this chain.
    #[error("invalid consent: vote key {key} did not sign its consent to this owner, node and beacon key")]
    VoteConsent {
        /// The vote key.
        key: VoteKey,
    },
    /// Sign the proof of possession with the beacon key, for this owner, node and vote key on this chain.
    #[error("invalid proof of possession of the beacon key for this owner, node and vote key")]
    BeaconProof,
    /// Use another; a validator has this one already.
    #[error("{what} is in use by another validator: each validator needs its own")]
    SeatTaken {
        /// The key that is in use.
        what: &'static str,
    },
    /// Bond more, or wait until a validator leaves.
    #[error(
        "all {votes} validator seats are taken; in a permissionless network, a bond above {least} obols displaces the \
         validator with the smallest bond",
        votes = limits::VALIDATORS
    )]
    Seats {
        /// Bond of the least bonded.
        least: Amount,
    },
    /// Generate another vote key.
    #[error("validator {key} equivocated: its key was slashed and may never vote again")]
    Barred {
        /// The vote key.
        key: VoteKey,
    },
    /// Have a proposal admit it first.
    #[error("vote key {key} is not admitted: a proposal must admit it before it joins this network")]
    KeyNotAdmitted {
        /// The vote key.
        key: VoteKey,
    },
    /// Have a proposal admit it first.
    #[error("node {node} is not admitted: a proposal must admit it before it registers with this network")]
    NodeNotAdmitted {
        /// The node.
        node: NodeId,
    },
    /// Name a validator that votes; in evidence, one whose bond is still locked.
    #[error("{key} is not a validator")]
    NoValidator {
        /// The vote key.
        key: VoteKey,
    },
    /// Use the owner's account.
    #[error("validator {key} belongs to account {owner}: use that account")]
    OtherValidator {
        /// The vote key.
        key: VoteKey,
        /// The account that owns it.
        owner: AccountId,
    },
    /// Have another validator join first.
    #[error("{key} is the only validator: without it the chain would halt, so another must join first")]
    LastValidator {
        /// The vote key.
        key: VoteKey,
    },
    /// Wait for that epoch.
    #[error("bond is locked until epoch {until} begins")]
    Unbonding {
        /// First epoch in which it is free.
        until: Epoch,
    },
    /// Name a registered provider.
    #[error("node {node} is not a provider")]
    NoProvider {
        /// The node.
        node: NodeId,
    },
    /// Do what it says.
    #[error(transparent)]
    Exit(#[from] ExitError),
    /// Do what it says.
    #[error(transparent)]
    Maintenance(#[from] MaintenanceError),
    /// Do what it says.
    #[error(transparent)]
    Repair(#[from] RepairError),
    /// Pass two messages of one kind that one key signed for one height and round, the lesser block first; or a
    /// precommit with its header, whose parent, history or validators are not those of the header that was decided.
    #[error("invalid evidence: what was signed conflicts with nothing in it, or is in the wrong order")]
    NoContradiction,
    /// Pass what was signed on this chain.
    #[error("invalid evidence: what it contains was not signed by the validator on this chain")]
    EvidenceSignature,
    /// Prove the block of that height again, as of the newest.
    #[error(
        "the evidence does not prove which block was decided at height {height}: none was yet, or the proof is too \
         old; prove it again by the newest block"
    )]
    EvidenceProof {
        /// The height.
        height: Height,
    },
    /// Nothing can be done: the validator joined later, or the height does not exist yet.
    #[error(
        "evidence of height {height} is from before the validator joined, or of a future height: no bond is liable"
    )]
    EvidenceHeight {
        /// The height that was signed for.
        height: Height,
    },
    /// Use an account that has a vote.
    #[error("this account has no vote in this network: `ostrakon governance list` shows who can vote")]
    NoVote,
    /// Name a proposal that is open.
    #[error("proposal {number} does not exist or is not open")]
    NoProposal {
        /// Its number.
        number: u64,
    },
    /// Wait until one ends.
    #[error(
        "too many open proposals: {open} in all, {own} of this account; at most {max} and {each} are allowed",
        max = limits::PROPOSALS, each = limits::PROPOSALS_EACH
    )]
    ManyProposals {
        /// Open proposals of all accounts.
        open: usize,
        /// Open proposals of this account.
        own: usize,
    },
    /// Join or register without a proposal.
    #[error("this network is permissionless: members are not admitted or expelled by proposals")]
    OpenNetwork,
    /// Propose a table that the rules can work with.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// Propose a table without this change.
    #[error("parameter {name} cannot be changed after genesis")]
    FixedParam {
        /// The parameter.
        name: &'static str,
    },
    /// Propose a later epoch, so that there is time to vote and to update.
    #[error("upgrade in epoch {epoch} is too soon: epoch {earliest} is the earliest")]
    UpgradeTooSoon {
        /// The epoch proposed.
        epoch: Epoch,
        /// The earliest epoch.
        earliest: Epoch,
    },
    /// Propose a newer version.
    #[error("protocol version {protocol} is older than version {current}, which is in force")]
    Downgrade {
        /// The version proposed.
        protocol: u32,
        /// The version in force.
        current: u32,
    },
    /// Look the name up again, and retry with its current version.
    #[error("stale version {given} of the name: its current version is {version}")]
    NameVersion {
        /// Version given.
        given: u64,
        /// Current version; 0 when the name does not exist.
        version: u64,
    },
    /// Store the value as an object, and its link under the name.
    #[error("value of {len} bytes is over the limit of {max} bytes for a name", max = limits::NAME_VALUE)]
    NameValue {
        /// Bytes given.
        len: usize,
    },
    /// Name one that exists.
    #[error("the name to remove does not exist")]
    NoName,
    /// Do what the error says, and sign it again with the next nonce: a block charges this one its fee.
    #[error("{0}; the fee is charged, as the transaction fails after costly checks")]
    Charged(Box<Self>),
    /// Do what the error of this action says: none of the transaction's actions was applied.
    #[error("action {index} of the transaction: {error}")]
    Part {
        /// The action's index.
        index: usize,
        /// Why it is refused.
        error: Box<Self>,
    },
}

impl TxError {
    /// The same error as of the balance before the transaction: the fee was taken, and other actions were applied,
    /// before what was left of it was compared.
    pub(super) fn with_balance(self, balance: Amount) -> Self {
        match self {
            Self::Funds { need, have: left } => {
                let lacking = need.minus(left).expect("what is lacking was not there");
                Self::Funds { need: balance.plus(lacking).unwrap_or(Amount(u64::MAX)), have: balance }
            }
            Self::Part { index, error } => Self::Part { index, error: Box::new(error.with_balance(balance)) },
            other => other,
        }
    }
}
