//! Transactions and blocks: what may be said to the ledger, and how it is signed (ARCHITECTURE 5.3; SPEC, "Ledger").

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    beacon::{BeaconKey, BeaconSignature},
    codec,
    id::{AccountId, Amount, BlockId, ChainId, ColumnId, Epoch, Height, NodeId, ObjectId, TxId, VoteKey},
    ledger::{
        state::{Domain, ProposedChange},
        vote::{QuorumCertificate, SignedProposal, SignedVote},
    },
    params::Code,
    placement::Draw,
    sign::{BadSignature, Keypair, Purpose, Signature, verify},
};

pub use super::inclusion::{TxProof, tx_proof, tx_root};

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
    /// Makes a vote key a validator's.
    Join(Join),
    /// Adds to a validator's bond.
    Bond(Bond),
    /// Ends a validator; its bond comes back later.
    Leave(Leave),
    /// Has a provider take nothing new.
    Drain(Drain),
    /// Ends a drained provider; its bond comes back later.
    Withdraw(Withdraw),
    /// Shows that a validator signed two things.
    Evidence(Evidence),
    /// Proposes a change of the network.
    Propose(Propose),
    /// Votes on a proposal.
    Vote(Ballot),
    /// Sets or removes a name of the sender's.
    SetName(SetName),
    /// Says a hash: that it was known by then, the transaction in its block proves.
    Anchor(Anchor),
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

/// Makes `key` a validator's, owned by the sender. All three keys must agree to it: by signatures over [`Seat`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Join {
    /// What its votes will be signed with.
    pub key: VoteKey,
    /// Its node.
    pub node: NodeId,
    /// Where the node is reached: 1 to [`crate::limits::ADDRESSES`].
    pub addresses: Vec<String>,
    /// Its BLS key.
    pub beacon_key: BeaconKey,
    /// Money to lock.
    pub bond: Amount,
    /// What it fails together with.
    pub domain: Domain,
    /// The node's signature, for [`Purpose::Seat`].
    pub consent: Signature,
    /// The vote key's signature, for [`Purpose::Seat`].
    pub vote_consent: Signature,
    /// The beacon key's proof ([`Seat::statement`]): a key made up from others' keys has no secret.
    pub beacon_proof: BeaconSignature,
}

/// What the keys of a validator agree to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Seat {
    /// The account that will own it.
    pub owner: AccountId,
    /// Its vote key.
    pub key: VoteKey,
    /// Its node.
    pub node: NodeId,
    /// Its beacon key.
    pub beacon_key: BeaconKey,
}

impl Seat {
    /// What the beacon key proves itself with.
    pub fn statement(&self, chain: &ChainId) -> Vec<u8> {
        [chain.bytes().as_slice(), &codec::encode(self)].concat()
    }
}

/// Adds to the bond of the sender's validator.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Bond {
    /// The validator.
    pub key: VoteKey,
    /// How much; not zero.
    pub amount: Amount,
}

/// Has the sender's validator vote no more, from the next block on.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Leave {
    /// The validator.
    pub key: VoteKey,
}

/// Has the sender's provider take nothing new, for good.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Drain {
    /// The provider's node.
    pub node: NodeId,
}

/// Ends the sender's provider, which drains and keeps nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Withdraw {
    /// The provider's node.
    pub node: NodeId,
}

/// Two things that one validator signed for one height and round, but different blocks. The one with the lesser block
/// stands first; none is less than any.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Evidence {
    /// Two votes of one kind.
    Votes(SignedVote, SignedVote),
    /// Two proposals.
    Proposals(SignedProposal, SignedProposal),
}

impl Evidence {
    /// Who signed, if it is true.
    pub const fn accused(&self) -> VoteKey {
        match self {
            Self::Votes(first, _) => first.voter,
            Self::Proposals(first, _) => first.proposer,
        }
    }

    /// For which height.
    pub const fn height(&self) -> Height {
        match self {
            Self::Votes(first, _) => first.vote.height,
            Self::Proposals(first, _) => first.proposal.height,
        }
    }
}

/// Proposes a change, for those to vote on who have a vote.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Propose {
    /// What would change.
    pub change: ProposedChange,
}

/// A vote on a proposal; it may be changed as long as the proposal is open.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Ballot {
    /// The proposal's number.
    pub proposal: u64,
    /// Whether it should be carried out.
    pub yes: bool,
}

/// Sets or removes a name of the sender's, if it still is as the sender knows it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SetName {
    /// The name: a hash, as what people call things is nobody else's business.
    pub name: [u8; 32],
    /// The version that it has; 0 when there is none.
    pub version: u64,
    /// Its new value, at most [`crate::limits::NAME_VALUE`] bytes; `None` removes it.
    pub value: Option<Vec<u8>>,
}

/// Says a hash. Nothing is kept: [`TxProof`] shows that it was said in a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Anchor {
    /// The hash.
    pub hash: [u8; 32],
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
    /// The last height at which it may be applied: a lost transaction cannot come back.
    pub valid_until: Height,
    /// What is paid for it; at least [`crate::ledger::Rules::fee`].
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
    /// Root of the tree over the ids of its transactions: [`tx_root`].
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
pub struct DecidedBlock {
    /// The block.
    pub block: Block,
    /// The precommits that decided it.
    pub certificate: QuorumCertificate,
}
