//! The ledger: who has what money, who stores which columns for whom and until when (ARCHITECTURE 5; SPEC, "Ledger").
//!
//! A replicated state machine without a clock, a disk or a socket: [`Genesis`] founds it, [`propose`] builds a block,
//! [`execute`] validates one, and both return [`state::Changes`] for a store to commit. [`state`] has the records,
//! [`tx`] the transactions, and `action` a file for each kind of them. Not here: the order of blocks, which consensus
//! decides.

mod action;
mod apply;
mod checked;
mod collateral;
mod draft;
mod epoch;
mod error;
mod evidence;
mod faults;
mod genesis;
pub mod history;
mod inclusion;
pub mod inventory;
mod load;
mod losses;
mod memory;
mod money;
mod owners;
mod place;
pub mod priority;
pub mod proofs;
mod propose;
mod pulse;
mod receipt;
pub mod repair;
mod roster;
mod rotation;
mod rules;
mod slots;
pub mod snapshot;
pub mod state;
mod together;
pub mod tree;
mod turns;
pub mod tx;
pub mod vote;

pub use apply::{
    BegunBlock, BlockError, Execution, NotCharged, Outcome, execute, execute_knowing, judge, judge_knowing,
    verify_header,
};
pub use checked::CheckedTx;
pub use collateral::{TakeError, collateral, full_bond};
pub use draft::{Draft, DraftChanges};
pub use error::{ExitError, MaintenanceError, TxError};
pub use genesis::{Genesis, GenesisAccount, GenesisError, GenesisProvider, GenesisValidator};
pub use load::FeeFactor;
pub use memory::{MemoryRecords, MoneySums};
pub use proofs::{AuditError, Challenge, challenge};
pub use propose::{Pending, ProposedBlock, Proposer, propose};
pub use pulse::{DrawChance, pulse_height};
pub use roster::{Listing, Rosters};
pub use rotation::Rotation;
pub use rules::{PROTOCOL, Rules, power, price_of_all, price_per_epoch};
pub use turns::rotation;

#[cfg(test)]
mod tests;
