//! The rules of the house that a program can check, checked over the whole repository.
//!
//! In comes the tree this package lies in; out goes one line for each breach, with its place. Every rule is a function
//! from what it reads to the breaches in it, and its test holds twice: a bad sample must be caught, and the repository
//! must be clean. What reads Rust is [`ostrakon_tests::source`].
//!
//! Not here: what rustfmt and clippy check already, and what only a reader can judge.

mod dependencies;
mod language;
mod layout;
mod names;
mod purity;
mod rust;
mod tree;

/// Fails with every breach on a line of its own.
fn assert_clean(breaches: &[String]) {
    assert!(breaches.is_empty(), "{} breaches of a house rule:\n{}\n", breaches.len(), breaches.join("\n"));
}
