//! The records of the ledger (ARCHITECTURE 5.2).
//!
//! Each record is stored under a [`Key`]. [`Records`] is what the rules read: the node's disk, or
//! [`super::MemoryRecords`]; [`super::Draft`] is the state within a block. There are no rules here.

use std::{cmp::Reverse, collections::BTreeMap};

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{
    beacon::BeaconKey,
    id::{AccountId, Amount, ColumnId, Epoch, Height, NodeId, ObjectId, VoteKey},
    json,
    ledger::{
        history::HistoryNode,
        roster::{Listing, Rosters},
        rules::price_of_all,
        tree::Patch,
        vote::ValidatorSet,
    },
    limits::NONCE_BITS,
    params::Code,
    placement::{RosterSummary, Tag},
};

mod audited;
mod clock;
mod fault;
mod held;
mod key;
mod membership;
mod records;

pub(in crate::ledger) use audited::outside;
pub use audited::{Audited, Frozen, Maintenance, Pay, ProvenEpochs};
pub use clock::EpochClock;
pub use fault::{Fault, FaultReason};
pub use held::{DepartedSlot, Held, HeldId, HeldSum, Prefix};
pub use key::{Bonded, KEY_MAX, Key};
pub use membership::{Charter, Membership, Proposal, ProposalOutcome, ProposedChange, Upgrade};
pub use records::{Record, Records, Running, Tip};

/// An account: its balance and its nonce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Account {
    /// Spendable money.
    pub balance: Amount,
    /// The nonce its next transaction must carry.
    pub nonce: u64,
    /// The height that it began at: 0 for the genesis.
    pub since: Height,
    /// Commitments, providers, validators, names and proposals that it owns: one that owns any is not removed.
    pub owns: u64,
    /// The account that it draws holders as, if not as itself.
    pub draws_as: Option<DrawIdentity>,
}

/// What the draws of an account depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct DrawIdentity {
    /// The account.
    pub account: AccountId,
    /// The height that it began at. One that ended meanwhile may have begun again: it then draws by other randomness.
    pub since: Height,
}

impl Account {
    /// An account that begins at `height`. No nonce of an account that was removed comes again: a block holds fewer
    /// transactions than there are nonces between two heights.
    pub const fn begun(height: Height) -> Self {
        Self { balance: Amount::ZERO, nonce: first_nonce(height), since: height, owns: 0, draws_as: None }
    }

    /// What this account, whose id is `own`, draws holders as.
    pub fn draw_identity(&self, own: AccountId) -> DrawIdentity {
        self.draws_as.unwrap_or(DrawIdentity { account: own, since: self.since })
    }
}

/// The nonce of the first transaction of an account that began at `height`; a chain does not become so long that it is
/// cut.
pub const fn first_nonce(height: Height) -> u64 {
    height.0.saturating_mul(1 << NONCE_BITS)
}

/// Failure domain: what a node may fail together with. Placement limits apply to each part by itself (ARCHITECTURE 1).
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// Who runs the node.
    pub operator: String,
    /// Whose machines and network it runs on, such as a hosting company.
    pub infrastructure: String,
    /// Where it is.
    pub region: String,
}

impl std::fmt::Display for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.operator, self.infrastructure, self.region)
    }
}

/// Status of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum ProviderStatus {
    /// Accepts new slots.
    Active,
    /// Stores what it has, and accepts nothing new.
    Draining,
    /// Missed its proofs of several epochs in a row: accepts nothing new until it proves again.
    Suspended,
    /// Withdrawn: its bond is unbonding.
    Exited {
        /// The epoch at whose begin the bond returns.
        until: Epoch,
    },
}

/// A registered, bonded identity that stores columns.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Provider {
    /// The account that bonded and is paid.
    pub owner: AccountId,
    /// Its node: its identity on the network, and the signer of its receipts.
    #[serde(rename = "provider")]
    pub node: NodeId,
    /// libp2p addresses without the peer id, such as `/ip4/127.0.0.1/tcp/4001`.
    pub addresses: Vec<String>,
    /// Its failure domain.
    #[serde(serialize_with = "json::text")]
    pub domain: Domain,
    /// Price of one GiB for one epoch.
    pub price: Amount,
    /// Bytes it offers.
    pub capacity: u64,
    /// Bytes of its slots.
    pub used: u64,
    /// Money locked.
    pub bond: Amount,
    /// The part of it that stands behind its slots.
    pub collateral: Amount,
    /// Its status.
    #[serde(flatten)]
    pub status: ProviderStatus,
    /// What it offers to draws.
    #[serde(skip)]
    pub listing: Listing,
    /// Its proofs and its pay.
    #[serde(flatten)]
    pub audited: Audited,
}

/// A commitment's key. One owner commits one extent of one object once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize)]
pub struct CommitmentId {
    /// The object.
    pub object: ObjectId,
    /// Number of the extent, from 0.
    pub extent: u32,
    /// The account that pays.
    pub owner: AccountId,
}

impl CommitmentId {
    /// The least key of an object's commitments.
    pub const fn first_of(object: ObjectId) -> Self {
        Self { object, extent: 0, owner: AccountId::LEAST }
    }

    /// The greatest key of an object's commitments.
    pub const fn last_of(object: ObjectId) -> Self {
        Self { object, extent: u32::MAX, owner: AccountId::GREATEST }
    }
}

/// An account's commitments of one object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ObjectOwner {
    /// Number of extents that it has committed, at least one.
    pub extents: u32,
    /// The latest end of its commitments.
    pub end: Epoch,
}

/// The owners of one object's commitments, or those [`crate::limits::OWNERS`] of them who pay longest. One proof of it
/// shows a reader all of them, or that there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ObjectRecord {
    /// The owners.
    pub owners: BTreeMap<AccountId, ObjectOwner>,
}

/// Whether a slot's column is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SlotState {
    /// The provider signed that it has the column.
    Live,
    /// The provider did not sign a receipt.
    Missing,
    /// The provider proved nothing for so long that the column counts as lost. It may bring it back.
    Lost,
    /// The provider said that it lost it, or lost it when many did: it pays for its repair, and no more.
    Reported,
    /// Nobody can make the column that the owner named: it is not stored, and not repaired.
    Struck,
}

impl SlotState {
    /// Whether the provider had the column and has it no longer.
    pub const fn is_lost(self) -> bool {
        matches!(self, Self::Lost | Self::Reported)
    }

    /// Whether the column is to be stored and is not.
    pub const fn is_absent(self) -> bool {
        matches!(self, Self::Missing | Self::Lost | Self::Reported)
    }
}

/// One column's place in a commitment; its index in the commitment is the column's index in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Slot {
    /// The provider that stores it.
    pub provider: NodeId,
    /// The column.
    pub column: ColumnId,
    /// The epoch in which the provider began to store it, or in which it was lost.
    pub since: Epoch,
    /// Price of a GiB for one epoch that the provider is paid.
    pub ask: Amount,
    /// The most that this may become, a node that takes over included: what the escrow is locked for.
    pub cap: Amount,
    /// The provider's bond behind it; zero while it is missing, and once the provider has paid for its loss.
    pub collateral: Amount,
    /// Epochs that the provider had proven when the slot was last settled: it is paid for those since.
    #[serde(skip)]
    pub base: u64,
    /// Whether it is stored.
    pub state: SlotState,
}

/// A commitment: n providers store the n columns of one extent until an epoch, for a price.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Commitment {
    /// Its key.
    #[serde(flatten)]
    pub id: CommitmentId,
    /// Bytes of the whole object, for display; the manifest is binding.
    pub size: u64,
    /// Extents of the whole object.
    pub extents: u32,
    /// The code.
    pub code: Code,
    /// Bytes of each column.
    pub column_len: u64,
    /// The n slots, by column index.
    pub slots: Vec<Slot>,
    /// First epoch paid for.
    pub start: Epoch,
    /// First epoch no longer paid for.
    pub end: Epoch,
    /// First epoch that the holders' receipts do not promise.
    pub until: Epoch,
    /// Money locked: what all n slots may cost at most, in all epochs.
    pub escrow: Amount,
    /// Money locked for repairs: for slots without a receipt by the owner, for lost ones by their providers.
    pub fund: Amount,
    /// The epoch in which its repair began; `None` while there is nothing to repair.
    pub ticket: Option<Epoch>,
}

impl Commitment {
    /// Price of one epoch: of the live slots together. Saturating.
    pub fn price(&self) -> Amount {
        let live = self.slots.iter().filter(|slot| slot.state == SlotState::Live);
        price_of_all(self.column_len, live.map(|slot| slot.ask))
    }

    /// The most that one epoch may cost: all n slots at their caps. Saturating.
    pub fn cap(&self) -> Amount {
        price_of_all(self.column_len, self.slots.iter().map(|slot| slot.cap))
    }

    /// The indexes of the slots whose column is to be stored again.
    pub fn absent(&self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).zip(&self.slots).filter(|(_, slot)| slot.state.is_absent()).map(|(index, _)| index)
    }

    /// The keys of its index entries.
    pub(super) fn marks(&self) -> impl Iterator<Item = Key> {
        let spare = u8::try_from(self.live()).unwrap_or(u8::MAX).saturating_sub(self.code.k);
        let unpaid = self.slots.iter().filter(|slot| slot.state.is_lost() && slot.collateral > Amount::ZERO);
        let lost = unpaid.map(|slot| slot.since).min().map(|since| Key::Lost(since, self.id));
        let ticket = self.ticket.map(|_| Key::Ticket(spare, self.id));
        let unreadable = self.unreadable_since().map(|since| Key::Unreadable(since, self.id));
        [Key::Ending(self.end, self.id)].into_iter().chain(lost).chain(ticket).chain(unreadable)
    }

    /// Number of slots whose column is stored.
    pub fn live(&self) -> usize {
        self.slots.iter().filter(|slot| slot.state == SlotState::Live).count()
    }

    /// Since when fewer than k columns are live, or later if some came back, but too few; `None` while k are.
    pub fn unreadable_since(&self) -> Option<Epoch> {
        let gone = self.slots.iter().filter(|slot| slot.state != SlotState::Live);
        let mut since: Vec<Epoch> = gone.map(|slot| slot.since).collect();
        since.sort_unstable();
        since.get(usize::from(self.code.spare())).copied()
    }
}

/// How the ledger renews a commitment by itself when it would end, from its owner's balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Renewal {
    /// For how many epochs each time: 1 to the network's longest term.
    pub epochs: u64,
    /// The most that a GiB and an epoch may cost where a holder asks for more than before.
    pub most: Amount,
}

/// What a rebuilder says it made instead of a column that its owner named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Doubt {
    /// Index of the column.
    pub index: u8,
    /// Who rebuilt it.
    pub rebuilder: NodeId,
    /// What it made.
    pub column: ColumnId,
}

/// Status of a validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum ValidatorStatus {
    /// Votes.
    Active,
    /// Equivocated while it was the only validator. It continues to vote, as the chain would halt without it; it is not
    /// slashed again, and once it leaves, its key may never vote again.
    Condemned,
    /// Left by itself: its bond is unbonding. Afterwards it may join again.
    Left {
        /// The epoch at whose begin the bond returns.
        until: Epoch,
    },
    /// Equivocated: its key may never vote again, and the rest of its bond is unbonding.
    Removed {
        /// The epoch at whose begin the bond returns.
        until: Epoch,
    },
}

/// A validator: who proposes blocks and votes on them.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Validator {
    /// The account that owns it and bonded.
    pub owner: AccountId,
    /// Key of its votes.
    pub key: VoteKey,
    /// Its node, where votes are sent to.
    pub node: NodeId,
    /// libp2p addresses of the node, without the peer id.
    pub addresses: Vec<String>,
    /// Its BLS key, which signs the beacon.
    pub beacon_key: BeaconKey,
    /// Its failure domain.
    #[serde(serialize_with = "json::text")]
    pub domain: Domain,
    /// Money locked.
    pub bond: Amount,
    /// Its voting power while it votes.
    pub power: u64,
    /// The height that it joined at: its bond is liable for what it signed from then on.
    pub since: Height,
    /// Its status.
    #[serde(flatten)]
    pub status: ValidatorStatus,
    /// Turns to propose that it missed in a row.
    pub missed: u32,
    /// Height up to which it is skipped as a proposer, because it missed turns.
    pub skipped_until: Height,
}

impl Validator {
    /// Its voting power now; 0 when it does not vote.
    pub fn voting_power(&self) -> u64 {
        if self.votes() { self.power } else { 0 }
    }

    /// Whether it votes.
    pub const fn votes(&self) -> bool {
        matches!(self.status, ValidatorStatus::Active | ValidatorStatus::Condemned)
    }
}

/// Usage of one infrastructure. There is no record when it is zero.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Infrastructure {
    /// The infrastructure.
    pub tag: Tag,
    /// Bytes of the live slots of its providers.
    pub used: u128,
}

impl Infrastructure {
    /// The key of its index entry.
    pub(super) const fn mark(&self) -> Key {
        Key::Stored(Reverse(self.used), self.tag)
    }
}

/// A name of an account: a value with compare-and-swap by version.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct NameRecord {
    /// Its value: at most [`crate::limits::NAME_VALUE`] bytes.
    #[serde(rename = "value_hex", serialize_with = "json::hex")]
    pub value: Vec<u8>,
    /// Nonce of the transaction that set it, plus one. Versions are not reused.
    pub version: u64,
    /// Money locked while it exists.
    pub deposit: Amount,
}

/// Roster and beacon of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EpochRecord {
    /// The epoch.
    pub epoch: Epoch,
    /// Time of its first block, in milliseconds of Unix time; of epoch 0, that of the genesis.
    pub start_ms: u64,
    /// Its first block: accounts that began before it draw by the beacon.
    pub first: Height,
    /// Its randomness, mixed from the signatures of the proposers after the roster was frozen; `None` until the last of
    /// them has signed. Nothing can be drawn until then.
    pub beacon: Option<[u8; 32]>,
    /// The providers that can be drawn: frozen when the epoch begins, so that client and chain draw alike.
    pub roster: RosterSummary,
    /// Whether those who had to prove that they store could: one who was crowded out did not fail.
    pub space: ProofSpace,
    /// What was to be proven, and what was.
    pub audit: EpochAudit,
}

/// What an epoch had to prove, and what was proven of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EpochAudit {
    /// Bytes of all live slots when it began.
    pub frozen: u128,
    /// The providers that proved.
    pub providers: u32,
    /// Bytes that they had when it began.
    pub proven: u128,
    /// Those of infrastructures that had more than a twentieth of all.
    pub large: Vec<LargeInfrastructure>,
}

/// An infrastructure with more than a twentieth of all bytes that an epoch had to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LargeInfrastructure {
    /// The infrastructure.
    pub tag: Tag,
    /// Bytes of its slots when the epoch began.
    pub frozen: u128,
    /// Those of its providers that proved.
    pub proven: u128,
}

/// How many blocks of an epoch had space for proofs. A proof answers the beacon, so those before it do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct ProofSpace {
    /// Its blocks after the one that completed its beacon.
    pub blocks: u64,
    /// Those of them whose proofs left space for another, however large.
    pub with_space: u64,
}

impl ProofSpace {
    /// The counts after one block more.
    #[must_use]
    pub fn after_block(self, has_space: bool) -> Self {
        Self { blocks: self.blocks.saturating_add(1), with_space: self.with_space.saturating_add(u64::from(has_space)) }
    }
}

/// The changes of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The tip after the block.
    pub tip: Tip,
    /// Records written, or removed where `None`.
    pub records: BTreeMap<Key, Option<Record>>,
    /// Nodes of the state tree written, and those that became stale.
    pub tree: Patch,
    /// Nodes added to the history, for the parent block.
    pub history: Vec<HistoryNode>,
    /// The rosters after the block.
    pub rosters: Rosters,
}

impl Changes {
    /// The validators of the next block, where `base` is the state before this one.
    pub fn validator_set(&self, base: &dyn Records) -> ValidatorSet {
        let mut powers: BTreeMap<VoteKey, u64> =
            base.validators().iter().map(|validator| (validator.key, validator.voting_power())).collect();
        for (key, record) in &self.records {
            if let Key::Validator(key) = key {
                powers.insert(*key, record.as_ref().map_or(0, Record::voting_power));
            }
        }
        ValidatorSet::new(powers)
    }
}
