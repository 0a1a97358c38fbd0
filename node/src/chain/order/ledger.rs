//! What the order asks of the ledger: it sees blocks as bytes with an id, and knows no transactions.

use std::{collections::BTreeMap, fmt, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use ostrakon_proto::{
    id::{BlockId, Height, NodeId, VoteKey},
    ledger::{
        Rotation,
        vote::{BlockProposal, QuorumCertificate, SignedProposal, SignedVote},
    },
};

use super::halt::HaltReport;
use crate::chain::store::LedgerError;

/// A block as the order sends and stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedBlock {
    /// Its id.
    pub id: BlockId,
    /// Its canonical bytes, at most [`ostrakon_proto::limits::CONSENSUS_BODY`].
    pub bytes: Bytes,
}

/// The validators that decide one height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee {
    /// The height above the tip.
    pub height: Height,
    /// The validators with their power, and the rotation of proposers.
    pub rotation: Rotation,
    /// The validators' nodes.
    pub nodes: BTreeMap<VoteKey, NodeId>,
    /// The longest time between two blocks, when there is nothing to put into one.
    pub interval: Duration,
}

/// Whether a proposed block may be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockVerdict {
    /// It may be decided.
    Valid,
    /// It must not be decided.
    Invalid,
    /// Its height is decided already.
    Late,
}

/// Two conflicting messages signed by one validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Equivocation {
    /// Two votes of one kind, height and round.
    Votes(SignedVote, SignedVote),
    /// Two proposals of one height and round.
    Proposals(SignedProposal, SignedProposal),
}

/// The ledger that is to be extended.
///
/// # What blocks must be like
/// A block names its height, the round it was built for and its builder. It is valid only if its builder is
/// `rotation.proposer(height, round)` of these, and its round is not after that of the proposal; beyond that, validity
/// depends only on the block and the ledger below it. So a node that syncs a decided block comes to the same verdict as
/// the validators that decided it, in whatever round that was.
///
/// # Blocking
/// Methods that return no future may read and write the disk: the order calls them on its workers.
pub trait Ledger: Send + Sync + fmt::Debug + 'static {
    /// The validators of the height above the tip.
    fn committee(&self) -> Committee;

    /// A new block of this validator for this round; `None` when the height is no longer the next. The order asks once
    /// for each round: after a restart it has the block in its log.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    fn build(&self, height: Height, round: u32) -> Result<Option<EncodedBlock>, LedgerError>;

    /// The id of these bytes, if they are a block in canonical form. Reads nothing.
    fn identify(&self, block: &[u8]) -> Option<BlockId>;

    /// Whether the proposed block may be decided; `block` has the id that the proposal names.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    fn judge(&self, proposal: &BlockProposal, block: &Bytes) -> Result<BlockVerdict, LedgerError>;

    /// Commits a decided block, durably. Does nothing when the ledger has a block of that height.
    ///
    /// # Errors
    /// [`LedgerError`] when it cannot be stored: the node stops.
    fn commit(&self, block: &Bytes, certificate: QuorumCertificate) -> Result<(), LedgerError>;

    /// Whether this node has all blocks, as far as the validators' signatures show: it decided the newest block itself,
    /// or they decided some that it lacks.
    fn note_synced(&self, is_synced: bool);

    /// Takes what the height in progress waits for, again and again while it takes long; `None` when it is over.
    fn note_halt(&self, halt: Option<HaltReport>);

    /// Takes evidence that validators equivocated.
    fn report(&self, evidence: Vec<Equivocation>);

    /// Ends when the tip is at `height` or above.
    fn reached(&self, height: Height) -> BoxFuture<'static, ()>;

    /// Ends when there is something to put into a block.
    fn work(&self) -> BoxFuture<'static, ()>;

    /// Fetches decided blocks above the tip from `node`, and commits them; waits up to ten seconds for the first. It is
    /// not an error if the node has none, or sends an invalid one.
    ///
    /// # Errors
    /// [`LedgerError`] when a block cannot be stored.
    fn catch_up(&self, node: NodeId) -> BoxFuture<'static, Result<(), LedgerError>>;

    /// Fetches blocks that this node may have lost from all nodes it knows, and commits them. Only a validator that
    /// decides alone needs it, before its first block.
    ///
    /// # Errors
    /// [`LedgerError`] when a block cannot be stored.
    fn recover(&self) -> BoxFuture<'static, Result<(), LedgerError>>;
}
