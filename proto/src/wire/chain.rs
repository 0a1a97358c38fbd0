//! chain/1: asks a node about the ledger, and submits to it. Any node answers, from its own verified copy.
//!
//! Bodies carry what may be large: [`Request::Submit`]'s body is a canonical `Vec<`[`crate::ledger::tx::Tx`]`>`;
//! [`Response::Verdicts`]'s body is a canonical `Vec<Result<(), Refusal>>`; [`Response::Blocks`]'s body a canonical
//! `Vec<Decided>`; [`Response::Answer`]'s a canonical [`crate::light::Answer`], which proves what it says;
//! [`Response::Hints`]'s a canonical `Vec` of what the asker then asks about.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    id::{AccountId, Amount, BlockId, Epoch, Height, NodeId, TxId},
    ledger::{FeeFactor, history::HistoryRange},
    light::TxPlace,
};

/// A request of chain/1.
///
/// Those that are answered by [`Response::Answer`] say from which height on the answer may be: a node that is not there
/// yet waits for the block, for at most 10 seconds, and then answers as of its own tip.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Request {
    /// The node's tip, by its word: [`Response::Head`].
    Head,
    /// Submits the transactions in the body, up to [`crate::limits::SUBMIT_COUNT`] in [`crate::limits::SUBMIT`] bytes,
    /// each by itself and in their order: [`Response::Verdicts`].
    Submit {
        /// Who sends them.
        relayed: Relayed,
    },
    /// Decided blocks from `from` on, as many as fit a body: [`Response::Blocks`]. Waits for the first, for at most 10
    /// seconds.
    Blocks {
        /// The first height wanted.
        from: Height,
    },
    /// The certified tip: [`Response::Answer`] of `()`.
    Tip {
        /// The lowest height wanted.
        from: Height,
    },
    /// Records of the state tree: [`Response::Answer`] of `Vec<`[`crate::light::ProvenRecord`]`>`.
    Records {
        /// The lowest height wanted.
        from: Height,
        /// Bytes of their keys, at most [`crate::limits::PAGE`].
        keys: Vec<Vec<u8>>,
    },
    /// Where a transaction is: [`Response::Answer`] of `Option<`[`crate::light::Inclusion`]`>`. That there is none, is
    /// only the node's word.
    Transaction {
        /// The lowest height wanted of the tip.
        from: Height,
        /// Which.
        id: TxId,
    },
    /// A block of the past: [`Response::Answer`] of [`crate::light::PastBlock`].
    Block {
        /// The lowest height wanted of the tip.
        from: Height,
        /// The block's height.
        height: Height,
    },
    /// Blocks after which other validators decide, in their order from `from` on, as many as fit a body:
    /// [`Response::Hints`] of [`crate::light::Handover`], which proves itself.
    Handovers {
        /// The first height wanted.
        from: Height,
    },
    /// Nodes of providers, in order: [`Response::Hints`] of [`NodeId`], at most [`crate::limits::PAGE`].
    Providers {
        /// The last node of the page before.
        after: Option<NodeId>,
    },
    /// The snapshots that can be had here, by their blocks: [`Response::Hints`] of [`crate::light::CertifiedHeader`],
    /// at most
    /// [`crate::limits::SNAPSHOTS`].
    Snapshots,
    /// A part of a snapshot: [`Response::Chunk`].
    Chunk {
        /// The snapshot's block.
        height: Height,
        /// The key hash of the record that it follows; without one, the first.
        after: Option<[u8; 32]>,
    },
    /// A row of the history: [`Response::Hints`] of its hashes.
    Past(HistoryRange),
    /// The newest transactions that touch an account: [`Response::Answer`] of [`crate::light::Activity`]. That nobody
    /// paid it more than those, is only the node's word.
    Activity {
        /// The lowest height wanted of the tip.
        from: Height,
        /// Whose.
        account: AccountId,
        /// Only those before this place.
        before: Option<TxPlace>,
        /// How many at most; there are never more than [`crate::limits::ACTIVITY`] in one answer.
        limit: u32,
    },
}

/// Whose transactions a node is handed, which decides whether it brings them to a validator before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Relayed {
    /// A client's own: the node answers for it that a validator has them.
    No,
    /// Taken over from others by a node, which keeps them too: they are kept here, and no more is promised.
    Yes,
}

/// An answer of chain/1.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Response {
    /// The node's tip.
    Head(Head),
    /// The body says of each transaction, in their order, that it waits for a block, on this node and on its way to the
    /// proposer, or why not.
    Verdicts,
    /// The body has the blocks.
    Blocks,
    /// The body has the answer, with its proofs.
    Answer,
    /// The body has what proves itself, or is to be asked about.
    Hints,
    /// The body is a canonical [`crate::ledger::snapshot::SnapshotChunk`].
    Chunk,
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
    /// The epoch's beacon: what draws of this epoch use.
    pub beacon: [u8; 32],
    /// Time of the last block, in milliseconds of Unix time.
    pub time_ms: u64,
    /// Root of the state tree.
    pub state: [u8; 32],
    /// All money there is.
    pub minted: Amount,
    /// Fees destroyed.
    pub burnt: Amount,
    /// How many times the parameters' fees the next block asks for.
    pub fee_factor: FeeFactor,
}
