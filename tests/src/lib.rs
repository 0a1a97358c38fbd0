//! Two ways to try the whole system: [`cluster`] drives the real commands from outside, [`sim`] runs nodes and clients
//! inside one thread on virtual time. [`content`] makes the bytes that both store.
//!
//! The scenarios are the test targets beside `src/`, one module each: `cluster`, `sim`, `cli`, `golden`, `tidy`.

pub mod cluster;
pub mod content;
pub mod sim;
