//! Requests and answers over streams that are kept: a libp2p behaviour of our own for all four protocols.
//!
//! A stream carries a request, its answer, the next request, and so on, one at a time; several at once are several
//! streams, which are opened when all others are busy and closed when they are idle for long. A stream for each request
//! costs a negotiation, a window that must open anew, and a timer, which together were a third of what a get costs.
//!
//! `behaviour` knows the connections; each has a `handler`, which moves its streams. Ours wait for calls in a `lane`
//! and carry one as `outbound` says; those of others are served by `inbound` until they end. `negotiate` names the
//! protocols, `activity` says whether anything is under way, `deadline` when a stream has lasted too long. Callers and
//! answerers are told from here, without the actor. Not here: frames ([`super::codec`]), who may ask
//! ([`super::answers`]), connecting ([`super::actor`]).

mod activity;
mod behaviour;
mod deadline;
mod handler;
mod inbound;
mod lane;
mod negotiate;
mod outbound;

pub(super) use self::{behaviour::Behaviour, inbound::Door};
