//! Requests and answers over pooled streams: a libp2p behaviour of our own for all our protocols.
//!
//! A stream carries a request, its answer, the next request, and so on, one at a time; concurrent ones are several
//! streams, which are opened when all others are busy and closed when they are idle for long. A stream for each request
//! costs a negotiation, a window that must open again, and a timer, which together were a third of what a get costs.
//!
//! `behaviour` knows the connections; each has a `handler`, which moves its streams and knows whether they are in use.
//! Ours are in a `pool` and carry one call each as `outbound` says; those of others are served by `inbound` until they
//! end. `negotiate` names the protocols. Callers are told from here, without the actor. Not here: frames
//! ([`super::codec`]), who is served when ([`crate::admission`]), connecting ([`super::actor`]).

mod behaviour;
mod handler;
mod inbound;
mod negotiate;
mod outbound;
mod pool;

pub(super) use self::{behaviour::Behaviour, inbound::Service};
