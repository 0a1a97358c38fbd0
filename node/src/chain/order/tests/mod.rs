//! Several orders over a network in memory, on virtual time: what they decide, and what they must never say.

mod byzantine;
mod crashes;
mod fake;
mod judge;
mod lines;
mod liveness;
mod memory;
mod storm;
mod world;
