//! Transactions and blocks: what may be said to the ledger, and how it is signed (DESIGN 5.3; SPEC, "Ledger").

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    beacon::BeaconSignature,
    codec,
    id::{AccountId, Amount, BlockId, ChainId, ColumnId, Epoch, Height, NodeId, ObjectId, TxId, VoteKey},
    ledger::{state::Domain, vote::Certificate},
    params::Code,
    placement::Draw,
    sign::{BadSignature, Keypair, Purpose, Signature, verify},
};

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Action {
    /// Pays another account.
    Transfer(Transfer),
    /// Registers a provider, or changes what it offers.
    Register(Register),
    /// Commits n providers to the n columns of one extent.
    Commit(Commit),
    /// Pays for more epochs.
    Extend(Extend),
    /// Ends a commitment early; the unused escrow comes back.
    Release(Release),
}

/// Pays `amount` to `to`.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Transfer {
    /// The receiver.
    pub to: AccountId,
    /// How much; not zero.
    pub amount: Amount,
}

/// Registers `node` as a provider of the sender's, or updates it when it is the sender's already.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Register {
    /// The node.
    pub node: NodeId,
    /// Where it is reached: 1 to [`crate::limits::ADDRESSES`].
    pub addresses: Vec<String>,
    /// What it fails together with.
    pub domain: Domain,
    /// Price of one GiB for one epoch.
    pub price: Amount,
    /// Bytes it offers; not less than it keeps.
    pub capacity: u64,
    /// The node's signature over [`Consent`]: nobody registers another's node.
    pub consent: Signature,
}

/// What a node signs to become a provider, for [`Purpose::Consent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Consent {
    /// The account that will own it.
    pub owner: AccountId,
    /// The node.
    pub node: NodeId,
}

/// What one provider said of one column: the claim of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SlotClaim {
    /// The drawn provider.
    pub provider: NodeId,
    /// The column.
    pub column: ColumnId,
    /// Its signature over [`Receipt`]; `None` leaves the slot missing.
    pub receipt: Option<Signature>,
}

/// Commits one extent. The slots stand in the order of column indexes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Commit {
    /// The object.
    pub object: ObjectId,
    /// Which extent of it.
    pub extent: u32,
    /// How many extents it has.
    pub extents: u32,
    /// Bytes of the whole object.
    pub size: u64,
    /// The code.
    pub code: Code,
    /// Bytes of each column.
    pub column_len: u64,
    /// The draw that the providers come from.
    pub draw: Draw,
    /// The n slots.
    pub slots: Vec<SlotClaim>,
    /// First epoch no longer paid for.
    pub end: Epoch,
}

/// Pays for the epochs until `end`.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Extend {
    /// The object.
    pub object: ObjectId,
    /// Which extent; the sender's own commitment.
    pub extent: u32,
    /// The new first epoch no longer paid for; later than the old.
    pub end: Epoch,
}

/// Ends the sender's commitment of this extent.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Release {
    /// The object.
    pub object: ObjectId,
    /// Which extent.
    pub extent: u32,
}

/// What a provider signs once it has the whole column, hashed and synced, and the manifest that lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// Who will pay.
    pub account: AccountId,
    /// The object whose manifest lists the column.
    pub object: ObjectId,
    /// In which extent.
    pub extent: u32,
    /// At which index.
    pub index: u8,
    /// The column.
    pub column: ColumnId,
    /// Its bytes.
    pub column_len: u64,
    /// The draw that chose the provider.
    pub draw: Draw,
}

/// What is signed of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TxBody {
    /// The sender, who pays the fee.
    pub account: AccountId,
    /// Its number: exactly the account's nonce when it is applied.
    pub nonce: u64,
    /// The last height at which it may be applied: a lost transaction can not come back.
    pub valid_until: Height,
    /// What is paid for it; at least `fee_base + fee_byte x bytes`.
    pub fee: Amount,
    /// What it does.
    pub action: Action,
}

/// A signed transaction.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Tx {
    /// What is signed.
    pub body: TxBody,
    /// The sender's signature over the body, for [`Purpose::Tx`].
    pub signature: Signature,
}

impl Tx {
    /// Signs `body` with the sender's key.
    pub fn sign(body: TxBody, key: &Keypair, chain: &ChainId) -> Self {
        let signature = key.sign(Purpose::Tx, chain, &body);
        Self { body, signature }
    }

    /// Its name: the hash of its canonical bytes.
    pub fn id(&self) -> TxId {
        blake3::hash(&codec::encode(self)).into()
    }

    /// Checks the sender's signature.
    ///
    /// # Errors
    /// [`BadSignature`] when it does not verify.
    pub fn verify(&self, chain: &ChainId) -> Result<(), BadSignature> {
        verify(&self.body.account, &self.signature, Purpose::Tx, chain, &self.body)
    }
}

/// What a block's hash covers.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// Its number.
    pub height: Height,
    /// The round of the height that it was first proposed in.
    pub round: u32,
    /// The block before it.
    pub parent: BlockId,
    /// Milliseconds of Unix time; later than the parent's.
    pub time_ms: u64,
    /// Hash over the ids of its transactions: [`tx_root`].
    pub txs: [u8; 32],
    /// Root of the state tree after the block ([`crate::ledger::tree`]).
    pub state: [u8; 32],
    /// Root of the history: of all blocks before this one ([`crate::ledger::history`]).
    pub history: [u8; 32],
    /// Hash of the validator set that decides this block.
    pub validators: [u8; 32],
    /// Hash of the validator set that decides the next block.
    pub next_validators: [u8; 32],
    /// Who proposed it.
    pub proposer: VoteKey,
    /// The proposer's contribution to the beacon: its unique signature over the height.
    pub beacon: BeaconSignature,
}

impl Header {
    /// The block's name.
    pub fn id(&self) -> BlockId {
        blake3::hash(&codec::encode(self)).into()
    }
}

/// The hash over transaction ids, in block order.
pub fn tx_root(ids: &[TxId]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("ostrakon tx root 1");
    for id in ids {
        hasher.update(id.bytes());
    }
    hasher.finalize().into()
}

/// A header with its transactions.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// What its hash covers.
    pub header: Header,
    /// Its transactions, in the order they are applied.
    pub txs: Vec<Tx>,
}

/// A block that is decided, with the proof of it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Decided {
    /// The block.
    pub block: Block,
    /// The precommits that decided it.
    pub certificate: Certificate,
}
