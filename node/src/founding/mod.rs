//! How several operators found a network: each gives a [`card`] of its node, and one of them makes a [`genesis`] of all
//! cards. Pure: files and keys are the daemon's.

mod card;
mod genesis;

pub use card::{BadCard, Card, CardKeys, Member, MemberValidator};
pub use genesis::{Founding, params};
