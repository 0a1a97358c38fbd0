//! What the order asks of the ledger. It sees blocks as named bytes and knows no transaction.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use futures::future::BoxFuture;
use ostrakon_proto::{
    id::{BlockId, Height, NodeId, VoteKey},
    ledger::{
        Rotation,
        vote::{BlockProposal, QuorumCertificate, SignedProposal, SignedVote},
    },
};

use crate::chain::store::LedgerError;

/// A block as the order carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub id: BlockId,
    /// Its canonical bytes, at most [`ostrakon_proto::limits::CONSENSUS_BODY`].
    pub bytes: Bytes,
}

/// Who decides one height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee {
    /// Which height.
    pub height: Height,
    /// The validators, with the order of their turns.
    pub rotation: Rotation,
    /// The validators' nodes.
    pub nodes: BTreeMap<VoteKey, NodeId>,
}

/// What becomes of a proposed block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be decided.
    Valid,
    /// It must not.
    Invalid,
    /// The ledger has moved on: it does not matter any more.
    Late,
}

/// Two messages of one validator, of which an honest one signs only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Two votes of one kind, height and round.
    Votes(SignedVote, SignedVote),
    /// Two proposals of one height and round.
    Proposals(SignedProposal, SignedProposal),
}

/// The ledger that is to be extended.
///
/// # What blocks must be like
/// A block names its height, the round it was built for and who built it. It is valid at most when its builder is
/// `rotation.proposer(height, round)` of these, and its round is not after that of the proposal; whether it is valid
/// depends on nothing else but the block and the ledger below it. So whoever syncs a decided block comes to the same
/// verdict as those who decided it, in whatever round that was.
///
/// # Blocking
/// What is not a future may read and write the disk: the order calls it on its workers.
pub trait Ledger: Send + Sync + fmt::Debug + 'static {
    /// Who decides the height above the tip.
    fn committee(&self) -> Committee;

    /// A new block of this validator for this round; `None` when the height is no longer the next. The order asks once
    /// for each round: after a restart it has the block in its log.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    fn build(&self, height: Height, round: u32) -> Result<Option<Candidate>, LedgerError>;

    /// The name of these bytes, if they are a block in canonical form. Reads nothing.
    fn identify(&self, block: &[u8]) -> Option<BlockId>;

    /// Whether the proposed block may be decided; `block` has the proposal's name.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    fn judge(&self, proposal: &BlockProposal, block: &Bytes) -> Result<Verdict, LedgerError>;

    /// Keeps a decided block, durably. Does nothing when the ledger has a block of that height.
    ///
    /// # Errors
    /// [`LedgerError`] when it cannot be kept: the node stops.
    fn commit(&self, block: &Bytes, certificate: QuorumCertificate) -> Result<(), LedgerError>;

    /// Takes proofs that validators contradicted themselves.
    fn report(&self, evidence: Vec<Evidence>);

    /// Ends when the tip is at `height` or above.
    fn reached(&self, height: Height) -> BoxFuture<'static, ()>;

    /// Ends when there is something to put into a block.
    fn work(&self) -> BoxFuture<'static, ()>;

    /// Asks `node` for decided blocks above the tip, and keeps them. May wait a while for the first. That the node has
    /// none, or lies, is no error.
    ///
    /// # Errors
    /// [`LedgerError`] when a block cannot be kept.
    fn catch_up(&self, node: NodeId) -> BoxFuture<'static, Result<(), LedgerError>>;

    /// Asks everyone it knows for blocks that this node may have lost, and keeps them. Only a validator that decides
    /// alone needs it, before its first block.
    ///
    /// # Errors
    /// [`LedgerError`] when a block cannot be kept.
    fn recover(&self) -> BoxFuture<'static, Result<(), LedgerError>>;
}
