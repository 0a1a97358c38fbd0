//! How columns move: rows out to their holders, and back from the best of them.
//!
//! [`lanes`] sends, one lane a column; [`columns`] knows who holds the columns of an extent and how well, and reads
//! ranges of them, which are proven; [`rows`] chooses the columns of each row, and [`rebuild`] makes those that nobody
//! has. Two rules hold both ways. What is in
//! flight follows what the [`line`] delivers, so that a slow line is not mistaken for slow holders. And a holder that
//! is much slower than the others is dropped (`pace`), or raced ([`rows`]), so that none sets the pace. A [`RateLimit`]
//! is what a user permits.
//!
//! Not here: who is to hold a column, which the ledger says, and what its bytes mean.

pub mod columns;
mod fault;
pub mod lanes;
pub mod line;
mod pace;
mod rate;
pub mod rebuild;
pub mod rows;

pub use line::{Line, Lines};
pub use rate::RateLimit;
