//! Three ways to try the whole system: [`cluster`] drives the real commands from outside, [`validators`] kills real
//! validators and records what they sign, [`sim`] runs nodes and clients inside one thread on virtual time.
//! [`simulate`] runs thousands of nodes over years, on the ledger's rules alone.
//! [`content`] makes the bytes that they store, [`made_chain`] a chain of any length, [`liar`] a real node that makes
//! the false claims in [`lies`], [`own_node`] a node that a scenario configures, [`mounted`] one with disks of its
//! own, [`filled_store`] fills a disk with columns that follow from numbers ([`numbered_column`]), [`churn`] works
//! without end; [`stranger`] sends nodes what an outsider may, [`scrape`] reads what a node counts, [`preload`] gives
//! a node a slow disk or a wrong clock, and [`export`] is what a verifier that is not ours is given.
//!
//! [`attack`] is what the program `attacker` is told, which attacks real nodes as a stranger would; [`assault`] runs
//! it, with a [`quota`] of the processor. [`router`] joins network namespaces by lines that are slow, lossy or cut, and
//! [`distant`] has nodes in them.
//!
//! [`scenarios`] is the runner of the test targets that share one network. [`process`], [`devnet`], [`gateway`],
//! [`proc`] and [`interrupt`] start, measure and end processes, for the benchmarks too; [`source`] reads the
//! repository's own code, for the tidy rules. The scenarios are the test targets beside `src/`, one module each.

pub mod assault;
pub mod attack;
pub mod churn;
pub mod cluster;
pub mod content;
pub mod devnet;
pub mod distant;
pub mod export;
pub mod filled_store;
mod found_again;
pub mod friend;
pub mod gateway;
pub mod interrupt;
pub mod liar;
pub mod made_chain;
pub mod mounted;
pub mod numbered_column;
pub mod own_node;
pub mod preload;
pub mod proc;
pub mod process;
pub mod quota;
pub mod router;
pub mod scenarios;
pub mod scrape;
pub mod sim;
pub mod simulate;
pub mod source;
pub mod stranger;
pub mod validators;

pub use ostrakon_lies as lies;
