//! The ledger at work: a small world, and one file of step tables for each kind of thing that can be said to it.

mod blocks;
mod checked;
mod commitments;
mod epochs;
mod genesis;
mod providers;
mod streams;
mod transfers;
mod views;
mod world;
