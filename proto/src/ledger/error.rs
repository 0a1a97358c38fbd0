//! Why a transaction is refused. Each variant asks something else of its sender.

use crate::{
    id::{AccountId, Amount, Epoch, Height, NodeId, ObjectId, VoteKey},
    limits,
    params::Code,
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
    /// Transfer something.
    #[error("a transfer of nothing")]
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
    #[error("the provider keeps {used} bytes, its capacity can not be {capacity}")]
    CapacityBelowUsed {
        /// Bytes of its slots.
        used: u64,
        /// What was offered.
        capacity: u64,
    },
    /// Hand the slots over before moving: their extents were spread by the old domain.
    #[error("the provider keeps {used} bytes, its domain can not change")]
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
