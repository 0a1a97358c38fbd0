//! The node: everything that touches disk, network, clock or randomness. The rules are `ostrakon-proto`'s.
//!
//! [`node::Node`] is the whole of it, started by the daemon and by the simulator alike: [`serve`] answers requests,
//! [`store`] stores columns, [`chain`] stores the ledger and makes or follows its blocks, [`retention`] deletes columns
//! by the ledger, [`inventory`] reports those that are missing, [`register`] registers the node as a provider,
//! [`repair`] rebuilds what others lost, [`capacity`] says what it may still take, [`candidacy`] registers it as a
//! validator, [`ledger_room`] what disk the ledger may use, [`directory`] tracks the addresses of other nodes.
//! [`config`] is the operator's configuration, [`metrics`] what is counted for the operator, and [`founding`] makes the
//! genesis of a network of several operators.

pub mod audit;
pub mod candidacy;
pub mod capacity;
pub mod chain;
pub mod config;
pub mod directory;
pub mod founding;
pub mod inventory;
pub mod ledger_room;
pub mod metrics;
pub mod node;
pub mod register;
pub mod repair;
pub mod retention;
pub mod serve;
pub mod store;

#[cfg(test)]
mod world;
