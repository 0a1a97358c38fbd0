//! Real swarms on 127.0.0.1: [`nodes`] starts them, [`talk`] uses them as intended, [`streams`] counts what that
//! takes, [`relayed`] has nodes that cannot be dialed, [`failures`] takes parts away, and [`hostile`] and [`memory`]
//! attack them with the nodes of [`raw`] and the connections of [`wire`], which keep to no rule.

#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod failures;
mod hostile;
mod memory;
mod nodes;
mod raw;
mod relayed;
mod streams;
mod talk;
mod wire;
