//! The agreement: everything about which two honest nodes must never disagree.
//!
//! Pure by rule: no tokio, libp2p, rocksdb, file system, clock, random numbers, floats or hash maps. What comes in is
//! bytes and values; what goes out is values, verdicts and bytes. `SPEC.md` beside this crate draws the formats.
//!
//! The bytes: [`seal`] encrypts, [`erasure`] codes, [`tree`] hashes and proves, [`layout`] says which byte lies where,
//! [`manifest`] names it all, and [`pack`] is how a directory becomes one stream of bytes. The ledger: [`ledger`] holds
//! the rules, [`placement`] draws the holders, [`beacon`] is the randomness they are drawn with, [`audit`] is how they
//! prove what they store, and [`light`] is what a client verifies without the state. The messages: [`wire`], one file
//! per protocol. [`size`] reads amounts of bytes as people type them.

pub mod audit;
pub mod beacon;
pub mod bucket;
pub mod codec;
pub mod erasure;
pub mod id;
pub mod json;
pub mod layout;
pub mod ledger;
pub mod light;
pub mod limits;
pub mod link;
pub mod manifest;
pub mod pack;
pub mod params;
pub mod placement;
mod random;
pub mod row;
pub mod seal;
pub mod seed;
pub mod sign;
pub mod size;
pub mod sum_tree;
pub mod tree;
pub mod wire;
