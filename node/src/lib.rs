//! The machine: everything of a node that touches disk, network, clock or chance. The rules are `ostrakon-proto`'s.
//!
//! [`node::Node`] is the whole of it, started by the daemon and by the simulator alike: [`serve`] answers requests,
//! [`store`] keeps columns, [`chain`] keeps the ledger and makes or follows its blocks, [`retention`] gives columns up
//! by what the ledger decided, [`register`] offers this node to the ledger, [`seat`] has it vote, [`directory`] knows
//! where the others are. [`config`] is what an operator may set.

pub mod chain;
pub mod config;
pub mod directory;
pub mod node;
pub mod register;
pub mod retention;
pub mod seat;
pub mod serve;
pub mod store;

#[cfg(test)]
mod world;
