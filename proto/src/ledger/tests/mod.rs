//! The ledger at work: a small world, and one file of step tables for each kind of thing that can be said to it.

mod accounts;
mod basis;
mod blocks;
mod chance;
mod charged;
mod checked;
mod commitments;
mod epochs;
mod evidence;
mod false_headers;
mod fees;
mod genesis;
mod governance;
mod members;
mod names;
mod owners;
mod proof_files;
mod providers;
mod shares;
mod snapshots;
mod streams;
mod together;
mod transfers;
mod validators;
mod views;
mod world;
