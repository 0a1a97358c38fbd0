//! Transactions and blocks: what they contain, and what is signed (ARCHITECTURE 5.3; SPEC, "Ledger").

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Serialize, Serializer};

use crate::{
    beacon::{BeaconKey, BeaconSignature},
    codec,
    id::{AccountId, Amount, BlockId, ChainId, ColumnId, Epoch, Height, NodeId, ObjectId, TxId, VoteKey},
    json,
    ledger::{
        proofs::{ProofKey, Proofs, proof_root},
        state::{CommitmentId, Domain, ProposedChange, Renewal},
        vote::QuorumCertificate,
    },
    params::Code,
    placement::Draw,
    sign::{BadSignature, Keypair, Purpose, Signature, verify},
};

pub use super::{
    evidence::{Evidence, FalseHeader},
    inclusion::{TxProof, TxTree, tx_proof, tx_root},
    place::{InvalidPlace, TxList, TxPlace},
    receipt::{Receipt, columns_hash},
    repair::{ColumnLeaf, Inconsistent, MadeColumn, Mismatch, Repaired, RepairedSlot, ReportLoss, Restore},
    together::{Together, TogetherError, batches},
};

/// Action of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Action {
    /// Pays another account.
    Transfer(Transfer),
    /// Registers a provider, or changes what it offers.
    Register(Register),
    /// Commits n providers to the n columns of one extent.
    Commit(Commit),
    /// Pays for more epochs.
    Extend(Extend),
    /// Ends a commitment early; the unused escrow returns.
    Release(Release),
    /// Joins as a validator.
    Join(Join),
    /// Adds to a validator's bond.
    Bond(Bond),
    /// Leaves as a validator; the bond returns after the unbonding time.
    Leave(Leave),
    /// Drains a provider: it accepts nothing new.
    Drain(Drain),
    /// Withdraws a drained provider; its bond returns after the unbonding time.
    Withdraw(Withdraw),
    /// Proves that a validator equivocated, or signed a false header.
    Evidence(Evidence),
    /// Proposes a change of the network.
    Propose(Propose),
    /// Votes on a proposal.
    Vote(Ballot),
    /// Sets or removes a name of the sender.
    SetName(SetName),
    /// Records a hash: the block proves that it was known by then.
    Anchor(Anchor),
    /// Several of these, all or none.
    Together(Together),
    /// Draws holders as another account.
    DrawAs(DrawAs),
    /// Changes the addresses of a validator's node.
    Move(Move),
    /// Says who stores columns now that were rebuilt, or moved.
    Repaired(Repaired),
    /// Brings back a column that the sender's provider had lost.
    Restore(Restore),
    /// Says that the sender's provider lost a column.
    ReportLoss(ReportLoss),
    /// Says that columns cannot be made as their owner named them.
    Mismatch(Mismatch),
    /// Proves that the columns of a commitment are no codeword.
    Inconsistent(Inconsistent),
    /// Has the ledger renew a commitment of the sender by itself, or not.
    SetRenewal(SetRenewal),
    /// Announces that a provider will be away for some epochs.
    Maintain(Maintain),
}

/// Pays `amount` to `to`.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Transfer {
    /// The receiver.
    pub to: AccountId,
    /// Amount; positive.
    pub amount: Amount,
}

/// Registers `node` as a provider of the sender, or updates it if it is the sender's already.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Register {
    /// The node.
    pub node: NodeId,
    /// Its multiaddrs without `/p2p/`: 1 to [`crate::limits::ADDRESSES`].
    pub addresses: Vec<String>,
    /// Its failure domain.
    pub domain: Domain,
    /// Price of one GiB for one epoch.
    pub price: Amount,
    /// Bytes it offers; not less than it stores.
    pub capacity: u64,
    /// Its whole bond; not less than it has locked.
    pub bond: Amount,
    /// The node's signature over [`Consent`], so that nobody registers another's node.
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

/// One slot of a commitment: a provider and its receipt for one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct SlotClaim {
    /// The drawn provider.
    pub provider: NodeId,
    /// The column.
    pub column: ColumnId,
    /// The most that a GiB may cost in one epoch, a node that takes over included: escrow is locked for it. At least
    /// what the provider asks.
    pub cap: Amount,
    /// Its signature over [`Receipt`]; `None` leaves the slot missing.
    pub receipt: Option<Signature>,
}

/// Commits one extent. The slots are in the order of column indexes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Commit {
    /// The object.
    pub object: ObjectId,
    /// Number of the extent, from 0.
    pub extent: u32,
    /// Number of extents of the object.
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
    /// First epoch that the receipts no longer cover; not before `end`.
    pub until: Epoch,
    /// First epoch no longer paid for.
    pub end: Epoch,
}

/// Pays for the epochs until `end`: anyone may. A holder's price is what its receipt says until the receipt's end, and
/// beyond that as long as it does not ask for more; then the price rises to what it asks, if `most` allows that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Extend {
    /// The commitment.
    #[serde(flatten)]
    pub commitment: CommitmentId,
    /// The new end: the first epoch not paid for.
    pub end: Epoch,
    /// The most that a GiB and an epoch may cost where a holder asks for more than before. Of a sender who is not the
    /// owner it does not count: prices rise by the owner's word alone.
    pub most: Amount,
}

/// Says whether the ledger extends the sender's commitment by itself when it would end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct SetRenewal {
    /// The object.
    pub object: ObjectId,
    /// Number of the extent.
    pub extent: u32,
    /// By how much, and for how much; `None` lets it end.
    pub renewal: Option<Renewal>,
}

/// Ends the sender's commitment of this extent.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Release {
    /// The object.
    pub object: ObjectId,
    /// Number of the extent.
    pub extent: u32,
}

/// Joins a validator that the sender owns. Its three keys must consent: by signatures over [`Seat`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Join {
    /// Key of its votes.
    pub key: VoteKey,
    /// Its node.
    pub node: NodeId,
    /// The node's multiaddrs without `/p2p/`: 1 to [`crate::limits::ADDRESSES`].
    pub addresses: Vec<String>,
    /// Its BLS key.
    pub beacon_key: BeaconKey,
    /// Money to lock.
    pub bond: Amount,
    /// Its failure domain.
    pub domain: Domain,
    /// The node's signature, for [`Purpose::Seat`].
    pub consent: Signature,
    /// The vote key's signature, for [`Purpose::Seat`].
    pub vote_consent: Signature,
    /// The beacon key's proof of possession over [`Seat::statement`], which prevents rogue keys.
    pub beacon_proof: BeaconSignature,
}

/// What the keys of a validator sign to consent.
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
    /// The bytes that the beacon key signs as its proof of possession.
    pub fn statement(&self, chain: &ChainId) -> Vec<u8> {
        [chain.bytes().as_slice(), &codec::encode(self)].concat()
    }
}

/// Adds to the bond of the sender's validator.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Bond {
    /// The validator.
    pub key: VoteKey,
    /// Amount; positive.
    pub amount: Amount,
}

/// Ends the sender's validator: it does not vote from the next block on.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Leave {
    /// The validator.
    pub key: VoteKey,
}

/// The node of the sender's validator has these addresses from now on.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Move {
    /// The validator.
    pub key: VoteKey,
    /// The node's multiaddrs without `/p2p/`: 1 to [`crate::limits::ADDRESSES`].
    pub addresses: Vec<String>,
}

/// Drains the sender's provider: it accepts nothing new, permanently.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Drain {
    /// The provider's node.
    pub node: NodeId,
}

/// Announces that the sender's provider will be away: what it does not prove of these epochs is no fault. At most
/// [`crate::params::Audits::maintenance_epochs`], every [`crate::params::Audits::maintenance_every`].
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Maintain {
    /// The provider's node.
    pub node: NodeId,
    /// The first epoch, after the one in progress.
    pub from: Epoch,
    /// How many.
    pub epochs: u64,
}

/// Withdraws the sender's provider, which is draining and stores nothing.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Withdraw {
    /// The provider's node.
    pub node: NodeId,
}

/// Proposes a change for a vote.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Propose {
    /// The change.
    pub change: ProposedChange,
}

/// A vote on a proposal; it may be changed while the proposal is open.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Ballot {
    /// The proposal's number.
    pub proposal: u64,
    /// Whether in favour.
    pub yes: bool,
}

/// Sets or removes a name of the sender, if its version is still the one given.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct SetName {
    /// Hash of the name, so that names themselves are not public.
    #[serde(serialize_with = "json::hex")]
    pub name: [u8; 32],
    /// Its current version; 0 when it does not exist.
    pub version: u64,
    /// Its new value, at most [`crate::limits::NAME_VALUE`] bytes; `None` removes it.
    #[serde(serialize_with = "json::hex_of")]
    pub value: Option<Vec<u8>>,
}

/// Records a hash. The state does not change: a [`TxProof`] shows that the hash is in a block.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Anchor {
    /// The hash.
    #[serde(serialize_with = "json::hex")]
    pub hash: [u8; 32],
}

/// Draws holders as another account from now on, or as the sender again. So what one person owns shares draws, and an
/// account that has just begun does not wait for randomness of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct DrawAs {
    /// The other account's permission; `None` for the sender itself.
    pub permission: Option<DrawPermission>,
}

/// Permission to draw as an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct DrawPermission {
    /// The account.
    pub account: AccountId,
    /// Its signature over the account that may, for [`Purpose::DrawAs`].
    pub signature: Signature,
}

impl DrawPermission {
    /// Permits `to` to draw as the account of this key.
    pub fn sign(key: &Keypair, chain: &ChainId, to: &AccountId) -> Self {
        Self { account: key.public(), signature: key.sign(Purpose::DrawAs, chain, to) }
    }
}

/// The signed part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct TxBody {
    /// The sender, who pays the fee.
    pub account: AccountId,
    /// Its nonce: exactly the account's when it is applied.
    pub nonce: u64,
    /// The last height at which it may be applied, after which a lost transaction stays invalid.
    pub valid_until: Height,
    /// Chosen at random, so that what two machines of one account sign for the same nonce is never one transaction:
    /// one of them is applied, and the other is told that its nonce was taken.
    pub salt: u64,
    /// Its fee; at least [`crate::ledger::Rules::fee`].
    pub fee: Amount,
    /// Its action.
    #[serde(flatten)]
    pub action: Action,
}

/// A signed transaction.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Tx {
    /// The signed part.
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

    /// Its id: the hash of its canonical bytes.
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

/// Its id, and the fields of its body and action.
impl Serialize for Tx {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            tx: TxId,
            #[serde(flatten)]
            body: &'a TxBody,
        }
        Shown { tx: self.id(), body: &self.body }.serialize(serializer)
    }
}

/// Header of a block; its hash is the block's id.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Header {
    /// Its height.
    pub height: Height,
    /// The round in which it was first proposed.
    pub round: u32,
    /// Its parent.
    pub parent: BlockId,
    /// Timestamp, in milliseconds of Unix time; later than the parent's.
    pub time_ms: u64,
    /// Roots of the lists in it.
    #[serde(flatten)]
    pub roots: Roots,
    /// Root of the state tree after the block ([`crate::ledger::tree`]).
    #[serde(serialize_with = "json::hex")]
    pub state: [u8; 32],
    /// Root of the history: of all blocks before this one ([`crate::ledger::history`]).
    #[serde(serialize_with = "json::hex")]
    pub history: [u8; 32],
    /// Hash of the validator set that decides this block.
    #[serde(serialize_with = "json::hex")]
    pub validators: [u8; 32],
    /// Hash of the validator set that decides the next block.
    #[serde(serialize_with = "json::hex")]
    pub next_validators: [u8; 32],
    /// Its proposer.
    pub proposer: VoteKey,
    /// The proposer's contribution to the beacon: its unique signature over the height.
    pub beacon: BeaconSignature,
}

/// Roots of the lists in a block, so that each can be had and dropped without the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Roots {
    /// Root of the tree over the ids of its transactions: [`tx_root`].
    #[serde(serialize_with = "json::hex")]
    pub txs: [u8; 32],
    /// Root of the tree over the ids of its charged transactions.
    #[serde(serialize_with = "json::hex")]
    pub charged: [u8; 32],
    /// Root of the tree over its proofs: [`super::proofs::proof_root`].
    #[serde(serialize_with = "json::hex")]
    pub proofs: [u8; 32],
}

impl Roots {
    /// The roots over transactions, charged ones and proofs.
    pub fn new(txs: &[TxId], charged: &[TxId], proofs: &Proofs) -> Self {
        Self { txs: tx_root(txs), charged: tx_root(charged), proofs: proof_root(proofs) }
    }

    /// The root of a list of transactions.
    pub const fn of(&self, list: TxList) -> &[u8; 32] {
        match list {
            TxList::Applied => &self.txs,
            TxList::Charged => &self.charged,
        }
    }
}

impl Header {
    /// The block's id.
    pub fn id(&self) -> BlockId {
        blake3::hash(&codec::encode(self)).into()
    }
}

/// A header with its transactions and proofs.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// Its header.
    pub header: Header,
    /// Its transactions, in the order of execution. Each was applied.
    pub txs: Vec<Tx>,
    /// Transactions that failed after costly checks, executed after all others: each pays its fee and uses its nonce,
    /// and changes nothing else.
    pub charged: Vec<Tx>,
    /// Its storage proofs.
    pub proofs: Proofs,
}

impl Block {
    /// The roots of its lists.
    pub fn roots(&self) -> Roots {
        let ids = |list| self.list(list).iter().map(Tx::id).collect::<Vec<_>>();
        Roots::new(&ids(TxList::Applied), &ids(TxList::Charged), &self.proofs)
    }

    /// Whether its proofs were dropped, as nodes do with those of old blocks: its header has their root, but nobody can
    /// execute it any more.
    pub fn lacks_proofs(&self) -> bool {
        self.proofs.is_empty() && self.header.roots.proofs != proof_root(&self.proofs)
    }

    /// One of its lists of transactions.
    pub fn list(&self, list: TxList) -> &[Tx] {
        match list {
            TxList::Applied => &self.txs,
            TxList::Charged => &self.charged,
        }
    }

    /// The transactions of both lists with their places, in the order of execution.
    pub fn places(&self) -> impl DoubleEndedIterator<Item = (TxPlace, &Tx)> {
        let height = self.header.height;
        [TxList::Applied, TxList::Charged].into_iter().flat_map(move |list| {
            let txs = self.list(list).iter().enumerate();
            txs.map(move |(index, tx)| {
                let index = u32::try_from(index).expect("a block has few transactions");
                (TxPlace { height, list, index }, tx)
            })
        })
    }
}

/// A decided block with its certificate.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DecidedBlock {
    /// The block.
    pub block: Block,
    /// The precommits that decided it.
    pub certificate: QuorumCertificate,
}

/// Its id, the fields of its header, who signed it, its transactions, those that failed, and whom its proofs are of,
/// unless they were dropped.
impl Serialize for DecidedBlock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            block: BlockId,
            #[serde(flatten)]
            header: &'a Header,
            signatures: usize,
            signers: Vec<&'a VoteKey>,
            transactions: &'a [Tx],
            failed: &'a [Tx],
            storage_proofs: Option<Vec<&'a ProofKey>>,
        }
        let (Block { header, txs, charged, proofs }, signatures) = (&self.block, &self.certificate.signatures);
        let (block, signers) = (header.id(), signatures.keys().collect());
        let storage_proofs = (!self.block.lacks_proofs()).then(|| proofs.keys().collect());
        let signatures = signatures.len();
        Shown { block, header, signatures, signers, transactions: txs, failed: charged, storage_proofs }
            .serialize(serializer)
    }
}
