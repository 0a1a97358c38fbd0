//! How nodes talk: a request to a node, and its answer. What comes in is a [`NodeId`](ostrakon_proto::id::NodeId) and a
//! typed request ([`Call`](ostrakon_proto::wire::Call)); what comes out is its answer, or an [`AskError`] that names
//! the node.
//!
//! [`admission`] says how much of this node others may use, and [`members`] who is a member of the network.
//! [`ask()`] is how everyone above asks, over the trait [`Peers`], which has two implementations: [`swarm`] is libp2p
//! on a thread of its own; [`sim`] is a seeded network in memory, on virtual time. [`identity`] turns node ids into
//! libp2p's peer ids and back; [`address`] checks the addresses that operators write; [`awake`] is the time in which
//! this process ran; [`workers`] keeps blocking work off the threads that talk; [`metrics`] is what is counted. Not
//! here: what frames mean (`ostrakon_proto::wire`), and who has what (the ledger).

pub mod address;
pub mod admission;
mod ask;
pub mod awake;
pub mod identity;
mod lock;
pub mod members;
pub mod metrics;
pub mod peers;
pub mod sim;
pub mod swarm;
pub mod workers;

pub use admission::{Intake, Requests, request_queues};
pub use ask::{AskError, Failure, ask};
pub use lock::lock;
pub use members::Members;
pub use peers::{DialBackError, Inbound, Peers, Reply};
pub use workers::Workers;
