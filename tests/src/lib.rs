//! Three ways to try the whole system: [`cluster`] drives the real commands from outside, [`validators`] kills real
//! validators and hears what they sign, [`sim`] runs nodes and clients inside one thread on virtual time. [`content`]
//! makes the bytes that they store, [`made_chain`] a chain of any length, [`lies`] what a node may say that is not so.
//!
//! The scenarios are the test targets beside `src/`, one module each: `cluster`, `consensus`, `sim`, `cli`, `golden`,
//! `tidy`.

pub mod cluster;
pub mod content;
pub mod lies;
pub mod made_chain;
pub mod sim;
pub mod validators;
