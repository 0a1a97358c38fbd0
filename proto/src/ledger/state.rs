//! The records of the ledger, and how the rules read and change them (DESIGN 5.2).
//!
//! [`Records`] is what the rules read: the node's disk, or [`super::Memory`]. [`super::Draft`] is one block's view: the
//! records below it and the [`Changes`] so far. Nothing here decides anything.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{
    beacon::BeaconKey,
    codec,
    id::{AccountId, Amount, BlockId, ColumnId, Epoch, Height, NodeId, ObjectId},
    params::Code,
};

/// An account's money and the number of its next transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Account {
    /// Spendable money.
    pub balance: Amount,
    /// The nonce its next transaction must carry.
    pub nonce: u64,
}

/// What fails together. Placement limits apply to each part by itself (DESIGN 1).
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
    /// Gone.
    Exited,
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
        Self { object, extent: 0, owner: AccountId::new([0; 32]) }
    }
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

/// A validator: who may propose blocks.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validator {
    /// Its node, which signs headers.
    pub node: NodeId,
    /// Its BLS key, which signs the beacon: 96 bytes, compressed G2, hexadecimal in a genesis file.
    pub beacon_key: BeaconKey,
    /// Its share of the votes.
    pub power: u64,
    /// What it fails together with.
    pub domain: Domain,
}

/// One provider as the draws of an epoch see it: frozen when the epoch began, so that client and chain draw alike.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Candidate {
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
    pub roster: Vec<Candidate>,
}

/// The chain's own running values.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Tip {
    /// Height of the last block.
    pub height: Height,
    /// The last block.
    pub block: BlockId,
    /// Its time, in milliseconds of Unix time.
    pub time_ms: u64,
    /// The current epoch.
    pub epoch: Epoch,
    /// Chance gathered so far for the next epoch.
    pub mix: [u8; 32],
    /// Digest over every change since genesis: two nodes with one tip have one state.
    pub digest: [u8; 32],
    /// All money there is: constant after genesis.
    pub minted: Amount,
    /// Money locked in bonds.
    pub bonded: Amount,
    /// Money locked in commitments.
    pub escrowed: Amount,
    /// Fees destroyed.
    pub burnt: Amount,
}

/// What the rules read. One state at one height; never a mixture.
pub trait Records {
    /// The chain's running values.
    fn tip(&self) -> Tip;
    /// The account, or an empty one.
    fn account(&self, id: &AccountId) -> Account;
    /// The provider whose node this is.
    fn provider(&self, id: &NodeId) -> Option<Provider>;
    /// All providers, in the order of node ids.
    fn providers(&self) -> Vec<Provider>;
    /// The commitment.
    fn commitment(&self, id: &CommitmentId) -> Option<Commitment>;
    /// All commitments of the object, in the order of (extent, owner), at most `limit`.
    fn commitments_of(&self, object: &ObjectId, limit: usize) -> Vec<Commitment>;
    /// Up to `limit` commitments that end in or before `epoch`, in the order of (end, id).
    fn ending(&self, epoch: Epoch, limit: usize) -> Vec<CommitmentId>;
    /// What the epoch froze, while it is kept.
    fn epoch(&self, epoch: Epoch) -> Option<EpochRecord>;
}

/// What a block changed: each record touched, with its new value, or `None` where it ended.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Changes {
    /// The running values after the block.
    pub tip: Tip,
    /// Accounts.
    pub accounts: BTreeMap<AccountId, Account>,
    /// Providers.
    pub providers: BTreeMap<NodeId, Option<Provider>>,
    /// Commitments; a store keeps its index by end epoch from the old and new values.
    pub commitments: BTreeMap<CommitmentId, Option<Commitment>>,
    /// Epochs begun or forgotten.
    pub epochs: BTreeMap<Epoch, Option<EpochRecord>>,
}

impl Changes {
    /// No changes yet, to the state with this tip.
    pub const fn new(tip: Tip) -> Self {
        Self {
            tip,
            accounts: BTreeMap::new(),
            providers: BTreeMap::new(),
            commitments: BTreeMap::new(),
            epochs: BTreeMap::new(),
        }
    }

    /// Adds what came after.
    pub fn absorb(&mut self, later: Self) {
        self.tip = later.tip;
        self.accounts.extend(later.accounts);
        self.providers.extend(later.providers);
        self.commitments.extend(later.commitments);
        self.epochs.extend(later.epochs);
    }

    /// The digest of the state after these changes. Asked while the tip still has the digest and the block before them,
    /// so that each digest covers all that went before (SPEC, "Digest").
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("ostrakon state digest 1");
        hasher.update(&codec::encode(self));
        hasher.finalize().into()
    }
}
