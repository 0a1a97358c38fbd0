//! How nodes talk: a request to a node, and its answer. What comes in is a [`NodeId`](ostrakon_proto::id::NodeId), a
//! protocol and a frame; what comes out is the answer's frame, or a [`CallError`] that names the node.
//!
//! [`peers`] is the agreement with everyone above: the trait [`Peers`], with two implementations. [`swarm`] is libp2p
//! on a thread of its own; [`sim`] is a seeded network in memory, on virtual time. [`identity`] turns node ids into
//! libp2p's peer ids and back; [`workers`] keeps blocking work off the threads that talk. Not here: what frames mean
//! (`ostrakon_proto::wire`), and who holds what (the ledger).

pub mod identity;
mod lock;
pub mod peers;
pub mod sim;
pub mod swarm;
pub mod workers;

pub use identity::peer_id_text;
pub use lock::lock;
pub use peers::{CallError, Inbound, Peers, Reply};
pub use workers::Workers;
