//! chain/1: queries about the ledger, and submission of transactions. Any node answers, from its own verified copy.
//!
//! Bodies carry what may be large: [`ChainRequest::Submit`]'s body is a canonical `Vec<`[`crate::ledger::tx::Tx`]`>`;
//! [`ChainResponse::Verdicts`]'s body is a canonical `Vec<Result<(), Refusal>>`; [`ChainResponse::Blocks`]'s body a
//! canonical `Vec<DecidedBlock>`; [`ChainResponse::Answer`]'s a canonical [`crate::light::Answer`], which proves what
//! it says; [`ChainResponse::Hints`]'s a canonical `Vec` of what the asker then asks about.

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;

use super::{Call, InvalidAnswer, Protocol, Refusal, Request};
use crate::{
    audit::StorageProof,
    codec,
    id::{AccountId, Amount, BlockId, Epoch, Height, NodeId, ObjectId, TxId},
    ledger::{
        FeeFactor,
        history::HistoryRange,
        repair::{ListedTicket, TicketPlace},
        snapshot::SnapshotChunk,
        tx::{DecidedBlock, Tx},
    },
    light::{
        Activity, Answer, BasisQuery, CertifiedHeader, Handover, Inclusion, PastBlock, ProvenRecord, TxPlace,
        UploadBasis,
    },
    limits,
    params::Code,
    placement::{DrawSeed, RosterTree},
};

/// A request of chain/1. Those that are answered by [`ChainResponse::Answer`] name the lowest height of the answer: a
/// node below it waits for the block, for at most 10 seconds, and then answers at its own tip.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ChainRequest {
    /// The node's tip, unproven: [`ChainResponse::Head`].
    Head,
    /// Submits the transactions in the body, up to [`crate::limits::SUBMIT_COUNT`] in [`crate::limits::SUBMIT`] bytes,
    /// each by itself and in their order: [`ChainResponse::Verdicts`].
    Submit {
        /// Whether they were relayed by a node.
        relayed: Relayed,
    },
    /// Decided blocks from `from` on, as many as fit a body: [`ChainResponse::Blocks`]. Waits for the first, for at
    /// most 10 seconds.
    Blocks {
        /// The first height wanted.
        from: Height,
    },
    /// The certified tip: [`ChainResponse::Answer`] of `()`.
    Tip {
        /// The lowest height wanted.
        from: Height,
    },
    /// Records of the state tree: [`ChainResponse::Answer`] of `Vec<`[`crate::light::ProvenRecord`]`>`.
    Records {
        /// The lowest height wanted.
        from: Height,
        /// Bytes of their keys, at most [`crate::limits::PAGE`].
        keys: Vec<Vec<u8>>,
    },
    /// Where a transaction is: [`ChainResponse::Answer`] of `Option<`[`crate::light::Inclusion`]`>`. That no block has
    /// it is not proven.
    Transaction {
        /// The lowest height wanted of the tip.
        from: Height,
        /// The transaction.
        id: TxId,
    },
    /// An earlier block: [`ChainResponse::Answer`] of [`crate::light::PastBlock`].
    Block {
        /// The lowest height wanted of the tip.
        from: Height,
        /// The block's height.
        height: Height,
    },
    /// Blocks after which other validators decide, in their order from `from` on, as many as fit a body:
    /// [`ChainResponse::Hints`] of [`crate::light::Handover`], which proves itself.
    Handovers {
        /// The first height wanted.
        from: Height,
    },
    /// Nodes of providers, in order: [`ChainResponse::Hints`] of [`NodeId`], at most [`crate::limits::PAGE`].
    Providers {
        /// The last node of the page before.
        after: Option<NodeId>,
    },
    /// The snapshots that can be had here, by their blocks: [`ChainResponse::Hints`] of
    /// [`crate::light::CertifiedHeader`], at most [`crate::limits::SNAPSHOTS`].
    Snapshots,
    /// A part of a snapshot: [`ChainResponse::Chunk`].
    Chunk {
        /// The snapshot's block.
        height: Height,
        /// The key hash of the record that it follows; without one, the first.
        after: Option<[u8; 32]>,
    },
    /// A row of the history: [`ChainResponse::Hints`] of its hashes.
    Past(HistoryRange),
    /// The newest transactions of an account: [`ChainResponse::Answer`] of [`crate::light::Activity`]. That there are
    /// no other payments to it is not proven.
    Activity {
        /// The lowest height wanted of the tip.
        from: Height,
        /// The account.
        account: AccountId,
        /// Only transactions before this place.
        before: Option<TxPlace>,
        /// Number at most; one answer never has more than [`crate::limits::ACTIVITY`].
        limit: u32,
    },
    /// The roster of the seed's epoch, as much of it as shows the outcome of this draw, or all of a small one:
    /// [`ChainResponse::Answer`] of [`RosterTree`], whose root the record of the epoch has.
    Draw {
        /// The lowest height wanted.
        from: Height,
        /// What the draw follows from.
        seed: DrawSeed,
        /// The code.
        code: Code,
    },
    /// All that an upload is planned by: [`ChainResponse::Answer`] of [`UploadBasis`].
    Basis {
        /// The lowest height wanted.
        from: Height,
        /// Who wants to store what.
        query: BasisQuery,
    },
    /// All that a read begins with: [`ChainResponse::Answer`] of `Vec<`[`crate::light::ProvenRecord`]`>`, of the keys
    /// that [`crate::light::object_keys`] says.
    Object {
        /// The lowest height wanted.
        from: Height,
        /// The object.
        object: ObjectId,
    },
    /// Hands a validator the storage proof in the body, a canonical [`StorageProof`] of the provider that asks:
    /// [`ChainResponse::Waits`].
    Prove {
        /// The epoch whose beacon challenged the provider.
        epoch: Epoch,
    },
    /// What is to be repaired, and who is at it, in the order of their places: [`ChainResponse::Hints`] of
    /// [`ListedTicket`].
    Tickets {
        /// The first place wanted.
        from: TicketPlace,
        /// Number at most; one answer never has more than [`crate::limits::TICKETS`].
        limit: u32,
    },
    /// Nodes of providers against which there is something of an epoch, in order: [`ChainResponse::Hints`] of
    /// [`NodeId`], at most [`crate::limits::PAGE`]. What there is, their records prove.
    Faults {
        /// The epoch.
        epoch: Epoch,
        /// The last node of the page before.
        after: Option<NodeId>,
    },
    /// Asks the node to connect with the asker at this multiaddress, on a new connection:
    /// [`ChainResponse::DialedBack`]. It does so only at an IP address from which the asker is connected.
    DialBack {
        /// At most [`crate::limits::ADDRESSES_LENGTH`] bytes.
        address: String,
    },
}

/// Whether submitted transactions were relayed by a node, which decides whether the receiver forwards them to a
/// validator before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Relayed {
    /// A client's own: the answer says that a validator has them.
    No,
    /// Relayed by a node, which has them too: the answer only says that they are pending here.
    Yes,
}

/// An answer of chain/1.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ChainResponse {
    /// The node's tip.
    Head(Head),
    /// The body says of each transaction, in their order, that it is pending, or why not; one that is refused as
    /// [`super::RefusalCode::Charged`] is pending, and fails.
    Verdicts,
    /// The body has the blocks.
    Blocks,
    /// The body has the answer, with its proofs.
    Answer,
    /// The body has items that prove themselves, or are hints that the client then queries.
    Hints,
    /// The body is a canonical [`crate::ledger::snapshot::SnapshotChunk`].
    Chunk,
    /// The storage proof is valid, and waits for a block.
    Waits,
    /// The body is a canonical `Result<(), String>`: whether the asker was reached, or why not.
    DialedBack,
}

impl Request for ChainRequest {
    const PROTOCOL: Protocol = Protocol::Chain;
    type Response = ChainResponse;
}

/// A request without a body that may wait for a block, and whose answer is the body of such a response.
fn ask<A: BorshSerialize + BorshDeserialize + 'static>(request: &ChainRequest, kind: ChainResponse) -> Call<A> {
    Call::new(request, Bytes::new(), move |response, body| read(&response, &kind, &body)).that_waits()
}

fn read<A: BorshSerialize + BorshDeserialize>(
    response: &ChainResponse,
    kind: &ChainResponse,
    body: &[u8],
) -> Result<A, InvalidAnswer> {
    if response != kind {
        return Err(InvalidAnswer::Mismatch);
    }
    Ok(codec::decode(body, limits::CHAIN_BODY)?)
}

/// A list of at most `max`.
fn hints<A>(request: &ChainRequest, max: usize) -> Call<Vec<A>>
where
    A: BorshSerialize + BorshDeserialize + 'static,
{
    Call::new(request, Bytes::new(), move |response, body| {
        let hints: Vec<A> = read(&response, &ChainResponse::Hints, &body)?;
        if hints.len() <= max { Ok(hints) } else { Err(InvalidAnswer::Mismatch) }
    })
}

/// Asks for the node's tip.
pub fn head() -> Call<Head> {
    Call::new(&ChainRequest::Head, Bytes::new(), |response, _| match response {
        ChainResponse::Head(head) => Ok(head),
        _ => Err(InvalidAnswer::Mismatch),
    })
}

/// Submits transactions: of each, in their order, that it waits for a block, or why not.
pub fn submit<'a>(txs: impl ExactSizeIterator<Item = &'a Tx>, relayed: Relayed) -> Call<Vec<Result<(), Refusal>>> {
    let count = txs.len();
    let mut body = u32::try_from(count).expect("at most limits::SUBMIT_COUNT").to_le_bytes().to_vec();
    txs.for_each(|tx| body.extend(codec::encode(tx)));
    Call::new(&ChainRequest::Submit { relayed }, body.into(), move |response, body| {
        let verdicts: Vec<_> = read(&response, &ChainResponse::Verdicts, &body)?;
        if verdicts.len() == count { Ok(verdicts) } else { Err(InvalidAnswer::Mismatch) }
    })
}

/// Hands a validator the asker's storage proof of this epoch.
pub fn prove(epoch: Epoch, proof: &StorageProof) -> Call<()> {
    let body = codec::encode(proof).into();
    Call::new(&ChainRequest::Prove { epoch }, body, |response, body| match response {
        ChainResponse::Waits if body.is_empty() => Ok(()),
        _ => Err(InvalidAnswer::Mismatch),
    })
}

/// Asks for decided blocks from `from` on; none when the node has none within 10 seconds.
pub fn blocks(from: Height) -> Call<Vec<DecidedBlock>> {
    ask(&ChainRequest::Blocks { from }, ChainResponse::Blocks)
}

/// Asks for the certified tip, from height `from` on.
pub fn tip(from: Height) -> Call<Answer<()>> {
    ask(&ChainRequest::Tip { from }, ChainResponse::Answer)
}

/// Asks for records by the bytes of their keys, as of a tip from `from` on.
pub fn records(from: Height, keys: Vec<Vec<u8>>) -> Call<Answer<Vec<ProvenRecord>>> {
    ask(&ChainRequest::Records { from, keys }, ChainResponse::Answer)
}

/// Asks where a transaction is, as of a tip from `from` on.
pub fn transaction(from: Height, id: TxId) -> Call<Answer<Option<Inclusion>>> {
    ask(&ChainRequest::Transaction { from, id }, ChainResponse::Answer)
}

/// Asks for the block of `height`, as of a tip from `from` on.
pub fn block(from: Height, height: Height) -> Call<Answer<PastBlock>> {
    ask(&ChainRequest::Block { from, height }, ChainResponse::Answer)
}

/// Asks for the newest `limit` transactions of `account` before a place, as of a tip from `from` on.
pub fn activity(from: Height, account: AccountId, before: Option<TxPlace>, limit: u32) -> Call<Answer<Activity>> {
    ask(&ChainRequest::Activity { from, account, before, limit }, ChainResponse::Answer)
}

/// Asks for what shows the outcome of a draw, as of a tip from `from` on.
pub fn draw(from: Height, seed: DrawSeed, code: Code) -> Call<Answer<RosterTree>> {
    ask(&ChainRequest::Draw { from, seed, code }, ChainResponse::Answer)
}

/// Asks for all that an upload is planned by, as of a tip from `from` on.
pub fn basis(from: Height, query: BasisQuery) -> Call<Answer<UploadBasis>> {
    ask(&ChainRequest::Basis { from, query }, ChainResponse::Answer)
}

/// Asks for all that a read of the object begins with, as of a tip from `from` on.
pub fn object(from: Height, object: ObjectId) -> Call<Answer<Vec<ProvenRecord>>> {
    ask(&ChainRequest::Object { from, object }, ChainResponse::Answer)
}

/// Asks for handovers from `from` on, as many as fit an answer.
pub fn handovers(from: Height) -> Call<Vec<Handover>> {
    hints(&ChainRequest::Handovers { from }, usize::MAX)
}

/// Asks for nodes of providers, a page of them.
pub fn providers(after: Option<NodeId>) -> Call<Vec<NodeId>> {
    hints(&ChainRequest::Providers { after }, limits::PAGE)
}

/// Asks for nodes of providers against which there is something of an epoch, a page of them.
pub fn faults(epoch: Epoch, after: Option<NodeId>) -> Call<Vec<NodeId>> {
    hints(&ChainRequest::Faults { epoch, after }, limits::PAGE)
}

/// Asks the node to connect with this one at `address`: whether it could, or why not.
pub fn dial_back(address: String) -> Call<Result<(), String>> {
    ask(&ChainRequest::DialBack { address }, ChainResponse::DialedBack)
}

/// Asks for at most `limit` tickets, from a place on.
pub fn tickets(from: TicketPlace, limit: u32) -> Call<Vec<ListedTicket>> {
    hints(&ChainRequest::Tickets { from, limit }, usize::try_from(limit).unwrap_or(usize::MAX).min(limits::TICKETS))
}

/// Asks which snapshots the node offers.
pub fn snapshots() -> Call<Vec<CertifiedHeader>> {
    hints(&ChainRequest::Snapshots, limits::SNAPSHOTS)
}

/// Asks for the part of a snapshot that follows the record with this key hash.
pub fn snapshot_part(height: Height, after: Option<[u8; 32]>) -> Call<SnapshotChunk> {
    ask(&ChainRequest::Chunk { height, after }, ChainResponse::Chunk)
}

/// Asks for the hashes of a row of the history.
pub fn past(row: HistoryRange) -> Call<Vec<[u8; 32]>> {
    hints(&ChainRequest::Past(row), limits::HISTORY_ROW)
}

/// A node's tip.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Head {
    /// Height of its last block.
    pub height: Height,
    /// The last block.
    pub block: BlockId,
    /// The current epoch.
    pub epoch: Epoch,
    /// Time of the last block, in milliseconds of Unix time.
    pub time_ms: u64,
    /// Root of the state tree.
    pub state: [u8; 32],
    /// All money.
    pub minted: Amount,
    /// Fees and penalties burnt.
    pub burnt: Amount,
    /// Multiple of the parameters' fees in the next block.
    pub fee_factor: FeeFactor,
}
