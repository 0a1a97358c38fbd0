//! chain/1: asks a node about the ledger, and submits to it. Any node answers, from its own verified copy.
//!
//! Bodies carry what may be large: [`Request::Submit`]'s body is one canonical [`crate::ledger::tx::Tx`],
//! [`Request::SubmitMany`]'s a canonical `Vec` of them; [`Response::Verdicts`]'s body is a canonical `Vec<Result<(),
//! Refusal>>`; [`Response::Records`]'s body is a canonical `Vec` of what was asked for; [`Response::Blocks`]'s body a
//! canonical
//! `Vec<Decided>`.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    id::{AccountId, Amount, BlockId, Epoch, Height, NodeId, ObjectId, TxId},
    ledger::{state::Account, tx::Header, vote::Certificate},
};

/// A request of chain/1.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Request {
    /// The node's tip: [`Response::Head`].
    Head,
    /// As [`Request::Head`], answered when the node has reached the height, or after at most 10 seconds.
    Await {
        /// The height to wait for.
        height: Height,
    },
    /// Submits the transaction in the body, and answers [`Response::Submitted`] when it was taken.
    Submit,
    /// Where a transaction is, as [`Response::Records`] of [`Inclusion`]: none or one.
    Transaction(TxId),
    /// Decided blocks from `from` on, as many as fit a body: [`Response::Blocks`]. Waits as [`Request::Await`] for the
    /// first.
    Blocks {
        /// The first height wanted.
        from: Height,
    },
    /// An account: [`Response::Account`].
    Account(AccountId),
    /// Commitments of an object, as [`Response::Records`] of [`crate::ledger::state::Commitment`].
    Object(ObjectId),
    /// Providers, as [`Response::Records`] of [`crate::ledger::state::Provider`]: those of `nodes` that are registered.
    Providers {
        /// Whose records; empty asks for all, from `after` on.
        nodes: Vec<NodeId>,
        /// The last node of the page before.
        after: Option<NodeId>,
    },
    /// The roster of an epoch, from `after` on, as [`Response::Records`] of [`crate::ledger::state::Candidate`].
    Roster {
        /// Which epoch.
        epoch: Epoch,
        /// The last provider of the page before.
        after: Option<NodeId>,
    },
    /// Submits the transactions in the body, up to [`crate::limits::SUBMIT_COUNT`] in [`crate::limits::SUBMIT`] bytes,
    /// each by itself and in their order: [`Response::Verdicts`].
    SubmitMany {
        /// Who sends them.
        relayed: Relayed,
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
    /// The transaction waits for a block, on this node and on its way to the proposer.
    Submitted,
    /// The body has the blocks.
    Blocks,
    /// The account.
    Account(Account),
    /// The body has the records.
    Records,
    /// The body says of each transaction, in their order, what [`Response::Submitted`] or a refusal would have said.
    Verdicts,
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
}

/// That a transaction is in a decided block: its id is in `ids`, whose root is in the header, which the validators
/// certified.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Inclusion {
    /// The block's header.
    pub header: Header,
    /// The proof that the block is decided.
    pub certificate: Certificate,
    /// Ids of the block's transactions.
    pub ids: Vec<TxId>,
}
