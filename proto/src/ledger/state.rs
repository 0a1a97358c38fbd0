//! The records of the ledger, and how the rules read and change them (ARCHITECTURE 5.2).
//!
//! Each record stands under a [`Key`]. [`Records`] is what the rules read: the node's disk, or
//! [`super::MemoryRecords`].
//! [`super::Draft`] is one block's view: the records below it and what was changed. Nothing here decides anything.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{
    beacon::BeaconKey,
    id::{AccountId, Amount, ColumnId, Epoch, Height, NodeId, ObjectId, VoteKey},
    ledger::{history::HistoryNode, tree::Patch, vote::ValidatorSet},
    params::Code,
};

mod key;
mod membership;
mod records;

pub use key::{Bonded, KEY_MAX, Key};
pub use membership::{Charter, Membership, Proposal, ProposalOutcome, ProposedChange, Upgrade};
pub use records::{Record, Records, Running, Tip};

/// An account's money and the number of its next transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Account {
    /// Spendable money.
    pub balance: Amount,
    /// The nonce its next transaction must carry.
    pub nonce: u64,
}

/// What fails together. Placement limits apply to each part by itself (ARCHITECTURE 1).
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// Who runs it.
    pub operator: String,
    /// Whose machines and network it runs on.
    pub infrastructure: String,
    /// Where.
    pub region: String,
}

impl std::fmt::Display for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.operator, self.infrastructure, self.region)
    }
}

/// Where a provider is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ProviderStatus {
    /// Takes new slots.
    Active,
    /// Keeps what it has, takes nothing new, and hands over.
    Draining,
    /// Missed its proofs: takes nothing new.
    Suspended,
    /// Gone: what is left is its bond, which comes back when the epoch `until` begins.
    Exited {
        /// That epoch.
        until: Epoch,
    },
}

/// A registered, bonded identity that keeps columns.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Provider {
    /// The account that is paid and that bonded.
    pub owner: AccountId,
    /// Its node: identity on the network, signer of receipts.
    pub node: NodeId,
    /// libp2p addresses without the peer id, such as `/ip4/127.0.0.1/tcp/4001`.
    pub addresses: Vec<String>,
    /// What it fails together with.
    pub domain: Domain,
    /// Price of one GiB for one epoch.
    pub price: Amount,
    /// Bytes it offers.
    pub capacity: u64,
    /// Bytes of its slots.
    pub used: u64,
    /// Money locked.
    pub bond: Amount,
    /// Where it is in its life.
    pub status: ProviderStatus,
}

/// A commitment's key. One owner commits one extent of one object once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct CommitmentId {
    /// The object.
    pub object: ObjectId,
    /// Which extent of it.
    pub extent: u32,
    /// Who pays.
    pub owner: AccountId,
}

impl CommitmentId {
    /// The least key of the object's commitments.
    pub const fn first_of(object: ObjectId) -> Self {
        Self { object, extent: 0, owner: AccountId::LEAST }
    }

    /// The greatest key of the object's commitments.
    pub const fn last_of(object: ObjectId) -> Self {
        Self { object, extent: u32::MAX, owner: AccountId::GREATEST }
    }
}

/// Who has commitments of one object. So that a reader can be proven all of them, or that there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ObjectRecord {
    /// For each owner, in order, how many of the object's extents it has committed; at least one. At most
    /// [`crate::limits::OWNERS`].
    pub owners: BTreeMap<AccountId, u32>,
}

/// Whether a slot's column is where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SlotState {
    /// The provider signed that it has the column.
    Live,
    /// Nobody has it yet, or its holder was written off.
    Missing,
}

/// One column's place in a commitment; its index in the commitment is the column's index in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Slot {
    /// Who keeps it.
    pub provider: NodeId,
    /// What it keeps.
    pub column: ColumnId,
    /// Since when.
    pub since: Epoch,
    /// Whether it is there.
    pub state: SlotState,
}

/// n providers keep the n columns of this extent until an epoch, for this price.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Commitment {
    /// Its key.
    pub id: CommitmentId,
    /// Bytes of the whole object, for people; the manifest is what binds.
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
    /// Price of one epoch, all live slots together.
    pub price: Amount,
    /// Money locked for the epochs still to come.
    pub escrow: Amount,
}

impl Commitment {
    /// Slots whose column is where it should be.
    pub fn live(&self) -> usize {
        self.slots.iter().filter(|slot| slot.state == SlotState::Live).count()
    }
}

/// Where a validator is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ValidatorStatus {
    /// Votes.
    Active,
    /// Was caught signing two things when nobody else voted. It votes on, as a chain without voters would never go on
    /// again; it is slashed no more, and once it leaves, its key never votes again.
    Condemned,
    /// Has left by itself; its bond comes back when the epoch `until` begins, and then it may come again.
    Left {
        /// That epoch.
        until: Epoch,
    },
    /// Was caught signing two things: its key never votes again, and what is left of its bond comes back.
    Removed {
        /// When: as that epoch begins.
        until: Epoch,
    },
}

/// A validator: who proposes blocks and votes on them.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Validator {
    /// The account that bonded, and that speaks for it.
    pub owner: AccountId,
    /// What its votes are signed with.
    pub key: VoteKey,
    /// Its node, where votes are sent to.
    pub node: NodeId,
    /// libp2p addresses of the node, without the peer id.
    pub addresses: Vec<String>,
    /// Its BLS key, which signs the beacon.
    pub beacon_key: BeaconKey,
    /// What it fails together with.
    pub domain: Domain,
    /// Money locked.
    pub bond: Amount,
    /// Its share of the votes while it is active.
    pub power: u64,
    /// Where it is in its life.
    pub status: ValidatorStatus,
    /// How many of its last turns to propose it missed in a row.
    pub missed: u32,
    /// The height up to which its turns are skipped, because it missed some.
    pub skipped_until: Height,
}

impl Validator {
    /// Its share of the votes now.
    pub fn voting_power(&self) -> u64 {
        if self.votes() { self.power } else { 0 }
    }

    /// Whether it votes.
    pub const fn votes(&self) -> bool {
        matches!(self.status, ValidatorStatus::Active | ValidatorStatus::Condemned)
    }
}

/// What the providers of one infrastructure keep together, as long as it is anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Infrastructure {
    /// Bytes of their live slots.
    pub used: u128,
}

/// A cell of an account's: what it points to can be changed, but only by who knows the version it has.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NameRecord {
    /// What it points to: at most [`crate::limits::NAME_VALUE`] bytes.
    pub value: Vec<u8>,
    /// Of which of its owner's transactions it is, counted from 1: the nonce and one. None comes again.
    pub version: u64,
    /// Money locked as long as it is there.
    pub deposit: Amount,
}

/// One provider as the draws of an epoch see it: frozen when the epoch began, so that client and chain draw alike.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RosterEntry {
    /// The provider.
    pub provider: NodeId,
    /// Its domain.
    pub domain: Domain,
    /// Free bytes: its weight in the draw.
    pub weight: u64,
    /// Price of one GiB for one epoch.
    pub price: Amount,
}

/// What an epoch froze when it began.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EpochRecord {
    /// Which epoch.
    pub epoch: Epoch,
    /// Its chance, mixed from the proposers' signatures up to the block that began it: unknown when the roster froze.
    pub beacon: [u8; 32],
    /// Who can be drawn, in the order of node ids.
    pub roster: Vec<RosterEntry>,
}

/// What a block changed: each record touched, with its new value, or `None` where it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The tip after the block.
    pub tip: Tip,
    /// The records.
    pub records: BTreeMap<Key, Option<Record>>,
    /// What becomes of the state tree.
    pub tree: Patch,
    /// What is added to the history: the block before this one.
    pub history: Vec<HistoryNode>,
}

impl Changes {
    /// Who decides the block after this one, where `base` is the state before it.
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
