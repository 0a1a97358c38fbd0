//! How nodes talk: a request to a node, and its answer. What comes in is a [`NodeId`](ostrakon_proto::id::NodeId) and a
//! typed request ([`Call`](ostrakon_proto::wire::Call)); what comes out is its answer, or an [`AskError`] that names
//! the node.
//!
//! [`ask()`] is how everyone above asks, over the trait [`Peers`], which has two implementations: [`swarm`] is libp2p
//! on a thread of its own; [`sim`] is a seeded network in memory, on virtual time. [`identity`] turns node ids into
//! libp2p's peer ids and back; [`awake`] is the time in which this process ran; [`workers`] keeps blocking work off the
//! threads that talk. Not here: what frames mean (`ostrakon_proto::wire`), and who holds what (the ledger).

mod ask;
pub mod awake;
pub mod identity;
mod lock;
pub mod peers;
pub mod sim;
pub mod swarm;
pub mod workers;

pub use ask::{AskError, Failure, ask};
pub use lock::lock;
pub use peers::{Inbound, Peers, Reply};
pub use workers::Workers;
