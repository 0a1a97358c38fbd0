//! Real swarms on 127.0.0.1: [`nodes`] starts them, [`talk`] uses them as intended, [`failures`] takes parts away, and
//! [`hostile`] attacks them with libp2p nodes that keep to no rule.

#![allow(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod failures;
mod hostile;
mod nodes;
mod talk;
