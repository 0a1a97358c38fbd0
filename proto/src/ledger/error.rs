//! Why a transaction is refused. Each variant asks something else of its sender.

use crate::{
    id::{AccountId, Amount, Epoch, Height, NodeId, ObjectId, VoteKey},
    limits,
    params::{Code, ParamsError},
    placement::PlacementError,
};

/// Why a transaction is refused; the state is as before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TxError {
    /// Say it in several transactions.
    #[error("transaction of {len} bytes is over the limit of {max}", max = limits::TX)]
    TooLarge {
        /// Its bytes.
        len: usize,
    },
    /// Sign it with the account's key, for this chain.
    #[error("signature does not verify for the account on this chain")]
    Signature,
    /// Sign it again with the nonce `expected`; a `got` below it was used already, one above it can wait.
    #[error("nonce is {got}, the account's next is {expected}")]
    Nonce {
        /// The account's next.
        expected: u64,
        /// The transaction's.
        got: u64,
    },
    /// Sign it again with a later `valid_until`.
    #[error("was valid until height {valid_until}, this is height {height}")]
    Expired {
        /// The transaction's last height.
        valid_until: Height,
        /// The block's height.
        height: Height,
    },
    /// Sign it again with a `valid_until` of at most `latest`.
    #[error("is valid until height {valid_until}, at most {latest} is allowed now")]
    ValidTooLong {
        /// The transaction's last height.
        valid_until: Height,
        /// The most it may be.
        latest: Height,
    },
    /// Sign it again with the fee `need`.
    #[error("fee of {given} obol is too low: {need} is needed")]
    FeeTooLow {
        /// The least fee.
        need: Amount,
        /// What was offered.
        given: Amount,
    },
    /// Get money, or ask for less. Both amounts count the fee.
    #[error("{need} obol are needed with the fee, the account has {have}")]
    Funds {
        /// What it costs.
        need: Amount,
        /// What there is.
        have: Amount,
    },
    /// Give something.
    #[error("an amount of nothing")]
    ZeroAmount,
    /// Give 1 to 8 addresses in libp2p's form, without the peer id.
    #[error(
        "a provider has 1 to {addresses} addresses such as /ip4/192.0.2.1/tcp/4001, of at most {name} characters, \
         without /p2p/",
        addresses = limits::ADDRESSES, name = limits::NAME
    )]
    Addresses,
    /// Write each part of the domain in small letters.
    #[error("each part of a domain is 1 to {name} of a-z 0-9 . _ -", name = limits::NAME)]
    DomainName,
    /// Make a proper node key.
    #[error("node {node} has a weak key, for which anyone can sign")]
    WeakKey {
        /// The node.
        node: NodeId,
    },
    /// Make a proper vote key.
    #[error("validator {key} has a weak key, for which anyone can sign")]
    WeakVoteKey {
        /// The key.
        key: VoteKey,
    },
    /// Make a proper beacon key.
    #[error("the beacon key is no point of its group")]
    BeaconKey,
    /// Bond more.
    #[error("a validator bonds at least {least} obol, this is {bond}")]
    BondTooLow {
        /// The least.
        least: Amount,
        /// What was offered.
        bond: Amount,
    },
    /// Store another object, or let one of the others release it first.
    #[error("{object} is committed by {max} accounts already", max = limits::OWNERS)]
    ManyOwners {
        /// The object.
        object: ObjectId,
    },
    /// Have the node sign its consent for this owner on this chain.
    #[error("node {node} did not consent to this owner")]
    Consent {
        /// The node.
        node: NodeId,
    },
    /// Use the owner's account, or another node.
    #[error("node {node} is a provider of {owner}")]
    OtherOwner {
        /// The node.
        node: NodeId,
        /// Whose it is.
        owner: AccountId,
    },
    /// Offer at least what is kept already.
    #[error("the provider keeps {used} bytes, its capacity cannot be {capacity}")]
    CapacityBelowUsed {
        /// Bytes of its slots.
        used: u64,
        /// What was offered.
        capacity: u64,
    },
    /// Hand the slots over before moving: their extents were spread by the old domain.
    #[error("the provider keeps {used} bytes, its domain cannot change")]
    DomainInUse {
        /// Bytes of its slots.
        used: u64,
    },
    /// Use a valid code.
    #[error("{0} is no code: 1 <= K < N is needed")]
    Code(Code),
    /// Name each of the n slots once.
    #[error("{have} slots for a code of {need} columns")]
    SlotCount {
        /// Slots named.
        have: usize,
        /// Columns of the code.
        need: u8,
    },
    /// Give extent, column length and size as the manifest's layout has them.
    #[error("no object has {size} bytes with columns of {column_len} bytes in extent {extent} of {extents}")]
    Layout {
        /// Bytes of the object.
        size: u64,
        /// Bytes of each column.
        column_len: u64,
        /// Which extent.
        extent: u32,
        /// How many.
        extents: u32,
    },
    /// Draw in an epoch of `oldest..=newest`, and store on what it gives.
    #[error("draw of epoch {given} is not good here: use one of {oldest} to {newest}")]
    DrawEpoch {
        /// The draw's.
        given: Epoch,
        /// The oldest that is good.
        oldest: Epoch,
        /// The newest.
        newest: Epoch,
    },
    /// Draw with a nonce nearer to the account's.
    #[error("draw nonce {given} is more than {distance} from the account's {nonce}")]
    DrawNonce {
        /// The draw's.
        given: u64,
        /// The account's.
        nonce: u64,
        /// How far it may be.
        distance: u64,
    },
    /// Ask for what the network can carry.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// Store slot `index` on a provider of the draw.
    #[error("slot {index}: {provider} is not among the providers drawn")]
    NotDrawn {
        /// Which slot.
        index: usize,
        /// Whom it names.
        provider: NodeId,
    },
    /// Store each column elsewhere.
    #[error("slot {index}: {provider} has another slot of this extent")]
    Duplicate {
        /// Which slot.
        index: usize,
        /// Whom it names.
        provider: NodeId,
    },
    /// Replace holders so that no domain has more columns than its cap.
    #[error(
        "the holders break the domain rule: at most {operator} of an operator, {infrastructure} on an infrastructure, \
         {region} in a region"
    )]
    DomainRule {
        /// Cap of an operator.
        operator: u8,
        /// Cap of an infrastructure.
        infrastructure: u8,
        /// Cap of a region.
        region: u8,
    },
    /// Get the provider's receipt again, or leave the slot missing.
    #[error("slot {index}: the receipt of {provider} does not verify")]
    Receipt {
        /// Which slot.
        index: usize,
        /// Whom it names.
        provider: NodeId,
    },
    /// Store more columns first.
    #[error("{have} receipts, {need} are needed")]
    TooFewReceipts {
        /// Valid receipts.
        have: usize,
        /// Receipts that certify.
        need: u8,
    },
    /// Store slot `index` elsewhere: its provider left, takes nothing new, or changed its domain since the draw.
    #[error("slot {index}: {provider} takes no slots by this draw any more")]
    ProviderGone {
        /// Which slot.
        index: usize,
        /// Whom it names.
        provider: NodeId,
    },
    /// Store slot `index` elsewhere: others were faster.
    #[error("slot {index}: {provider} has {free} bytes left")]
    ProviderFull {
        /// Which slot.
        index: usize,
        /// Whom it names.
        provider: NodeId,
        /// What it has left.
        free: u64,
    },
    /// Ask for an end of `earliest..=latest`.
    #[error("end epoch {end} is not possible: use {earliest} to {latest}")]
    Term {
        /// What was asked for.
        end: Epoch,
        /// The least.
        earliest: Epoch,
        /// The most.
        latest: Epoch,
    },
    /// Extend it, or release it first.
    #[error("extent {extent} of {object} is committed by this account already")]
    AlreadyCommitted {
        /// The object.
        object: ObjectId,
        /// Which extent.
        extent: u32,
    },
    /// Name an extent that this account has committed, and that has not ended.
    #[error("this account has no commitment of extent {extent} of {object}")]
    NoCommitment {
        /// The object.
        object: ObjectId,
        /// Which extent.
        extent: u32,
    },
    /// Draw again, or leave the slot missing: its infrastructure has too much already.
    #[error(
        "slot {index}: with it the infrastructure of {provider} would keep {share} % of all bytes, at most {limit} % \
         are allowed"
    )]
    StoredShare {
        /// Which slot.
        index: usize,
        /// Whom it names.
        provider: NodeId,
        /// The percent it would keep.
        share: u8,
        /// The most it may.
        limit: u8,
    },
    /// Run the validator elsewhere, or bond less.
    #[error("the validator's infrastructure would have {share} % of the votes, at most {limit} % are allowed")]
    PowerShare {
        /// The percent it would have.
        share: u8,
        /// The most it may.
        limit: u8,
    },
    /// Have the vote key sign its consent for this owner, node and beacon key on this chain.
    #[error("vote key {key} did not consent to this owner, node and beacon key")]
    VoteConsent {
        /// The key.
        key: VoteKey,
    },
    /// Have the beacon key prove itself for this owner, node and vote key on this chain.
    #[error("the beacon key did not prove itself for this owner, node and vote key")]
    BeaconProof,
    /// Use another; this one is a validator's.
    #[error("this {what} is another validator's: each has its own")]
    SeatTaken {
        /// Which of the keys.
        what: &'static str,
    },
    /// Wait until a validator leaves, or until the bonds of some that left are back.
    #[error(
        "{votes} validators vote already, or the bonds of {seats} are locked",
        votes = limits::VALIDATORS, seats = limits::SEATS
    )]
    Seats,
    /// Make another vote key.
    #[error("validator {key} signed two things: its key was punished, and never votes again")]
    Barred {
        /// The key.
        key: VoteKey,
    },
    /// Have a proposal admit it first.
    #[error("vote key {key} was not admitted: this network decides by proposals who joins")]
    KeyNotAdmitted {
        /// The key.
        key: VoteKey,
    },
    /// Have a proposal admit it first.
    #[error("node {node} was not admitted: this network decides by proposals who registers")]
    NodeNotAdmitted {
        /// The node.
        node: NodeId,
    },
    /// Name a validator that votes; of evidence, one whose bond is still locked.
    #[error("{key} is no validator")]
    NoValidator {
        /// The key.
        key: VoteKey,
    },
    /// Use the owner's account.
    #[error("validator {key} is one of {owner}")]
    OtherValidator {
        /// The key.
        key: VoteKey,
        /// Whose it is.
        owner: AccountId,
    },
    /// Have another validator join first.
    #[error("{key} is the only validator: without it no block would ever be decided again")]
    LastValidator {
        /// The key.
        key: VoteKey,
    },
    /// Wait for that epoch.
    #[error("the bond is locked until epoch {until} begins")]
    Unbonding {
        /// The epoch.
        until: Epoch,
    },
    /// Name a provider.
    #[error("node {node} is no provider")]
    NoProvider {
        /// The node.
        node: NodeId,
    },
    /// Nothing is left to do but to wait until it keeps nothing.
    #[error("node {node} drains already")]
    Draining {
        /// The node.
        node: NodeId,
    },
    /// Drain it first.
    #[error("node {node} still takes columns: drain it first")]
    NotDraining {
        /// The node.
        node: NodeId,
    },
    /// Wait until the node keeps nothing.
    #[error("node {node} still keeps {used} bytes")]
    StillKeeps {
        /// The node.
        node: NodeId,
        /// Bytes of its slots.
        used: u64,
    },
    /// Give two things that one key signed for one height and round, the lesser block first.
    #[error("the two signed messages do not contradict each other, or stand in the wrong order")]
    NoContradiction,
    /// Give what was signed on this chain.
    #[error("one of the two messages was not signed by the validator on this chain")]
    EvidenceSignature,
    /// There is nothing to be done about it: it is too old, or of no height yet.
    #[error("nobody answers now for what was signed for height {height}")]
    EvidenceHeight {
        /// The height.
        height: Height,
    },
    /// Ask those who have a vote.
    #[error("this account has no vote in this network")]
    NoVote,
    /// Name a proposal that is open.
    #[error("there is no open proposal {number}")]
    NoProposal {
        /// Its number.
        number: u64,
    },
    /// Wait until one ends.
    #[error(
        "{open} proposals are open, {own} of them this account's: at most {max} and {each} are possible",
        max = limits::PROPOSALS, each = limits::PROPOSALS_EACH
    )]
    ManyProposals {
        /// All that are open.
        open: usize,
        /// This account's.
        own: usize,
    },
    /// Join or register: nobody has to be admitted.
    #[error("anyone may take part in this network: nobody is admitted or expelled")]
    OpenNetwork,
    /// Propose a table that the rules can work with.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// Propose a table without this change.
    #[error("a network cannot change {name} any more")]
    FixedParam {
        /// What cannot change.
        name: &'static str,
    },
    /// Propose a later height: those who vote and those who update need their time.
    #[error("height {height} is too soon for other rules: its epoch must be {earliest} or later")]
    UpgradeTooSoon {
        /// The height proposed.
        height: Height,
        /// The earliest epoch.
        earliest: Epoch,
    },
    /// Propose a newer version.
    #[error("version {current} of the rules is in force, {protocol} is older")]
    Downgrade {
        /// The version proposed.
        protocol: u32,
        /// The version in force.
        current: u32,
    },
    /// Look the name up, and decide again.
    #[error("the name has version {version}, not {given}")]
    NameVersion {
        /// What was given.
        given: u64,
        /// What it is; 0 when there is no such name.
        version: u64,
    },
    /// Store the value as an object, and its link under the name.
    #[error("a name's value has at most {max} bytes, this has {len}", max = limits::NAME_VALUE)]
    NameValue {
        /// Its bytes.
        len: usize,
    },
    /// Name one that exists.
    #[error("there is no such name to remove")]
    NoName,
}

impl TxError {
    /// The same, where the fee was taken before the money was counted.
    pub(super) fn with_fee(self, fee: Amount) -> Self {
        let add = |amount: Amount| amount.plus(fee).unwrap_or(Amount(u64::MAX));
        match self {
            Self::Funds { need, have } => Self::Funds { need: add(need), have: add(have) },
            other => other,
        }
    }
}
