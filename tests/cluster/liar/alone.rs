//! Commands where the liar is the only node that is left: they fail and name it, or print what is true; nothing false.

use anyhow::{Context, Result, ensure};
use ostrakon_proto::id::AccountId;
use ostrakon_tests::cluster::until;
use serde::Deserialize;

use super::{Network, named, network::LIMIT};

/// What a command does.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It fails with this exit code, and names the liar.
    Names(i32),
    /// It succeeds with what it would have said of an honest node, and names the liar.
    True,
}

use End::{Names, True};

const HEAD: &[&str] = &["ledger", "head"];
const PARAMS: &[&str] = &["ledger", "params"];
const BALANCE: &[&str] = &["wallet", "balance"];
const HISTORY: &[&str] = &["wallet", "history"];
const PROVIDERS: &[&str] = &["providers"];
const VALIDATORS: &[&str] = &["ledger", "validators"];

/// Exit codes of the manual: another reason, a contradicted claim, no node that can be trusted responds.
const OTHER: i32 = 1;
const INTEGRITY: i32 = 4;
const NETWORK: i32 = 5;

/// Lies, what is asked meanwhile, and how that ends.
const CASES: [(&str, &[&str], End); 35] = [
    ("header-altered", HEAD, Names(INTEGRITY)),
    ("unsigned", HEAD, Names(INTEGRITY)),
    ("too-few-signatures", HEAD, Names(INTEGRITY)),
    ("certificate-of-another-block", HEAD, Names(INTEGRITY)),
    ("decided-by-strangers", HEAD, Names(INTEGRITY)),
    ("decided-by-usurpers", HEAD, Names(INTEGRITY)),
    ("garbage", HEAD, Names(INTEGRITY)),
    ("other-kind-of-answer", HEAD, Names(INTEGRITY)),
    ("withheld", HEAD, Names(OTHER)),
    ("richer", BALANCE, Names(INTEGRITY)),
    ("nonce-ahead", BALANCE, Names(INTEGRITY)),
    ("fees-altered", PARAMS, Names(INTEGRITY)),
    ("epoch-altered", HEAD, Names(INTEGRITY)),
    ("hidden", BALANCE, Names(INTEGRITY)),
    ("record-of-another-key", HEAD, Names(INTEGRITY)),
    ("fewer-records", HEAD, Names(INTEGRITY)),
    ("no-such-transaction", &["ledger", "tx", TX], Names(NETWORK)),
    ("said-to-have-failed", &["ledger", "tx", TX], Names(INTEGRITY)),
    ("at-another-place", &["ledger", "tx", TX], Names(INTEGRITY)),
    ("in-another-block", &["ledger", "tx", TX], Names(INTEGRITY)),
    ("block-without-transaction", &["ledger", "block", BLOCK], Names(INTEGRITY)),
    ("block-with-transaction-failed", &["ledger", "block", BLOCK], Names(INTEGRITY)),
    ("block-of-other-proofs", &["ledger", "block", BLOCK], Names(INTEGRITY)),
    ("block-of-another-time", &["ledger", "block", BLOCK], Names(INTEGRITY)),
    ("block-of-another-height", &["ledger", "block", BLOCK], Names(INTEGRITY)),
    ("handover-to-strangers", VALIDATORS, Names(INTEGRITY)),
    ("handover-altered", VALIDATORS, Names(INTEGRITY)),
    ("handovers-withheld", VALIDATORS, Names(INTEGRITY)),
    ("payment-altered", HISTORY, Names(INTEGRITY)),
    ("others-as-own", HISTORY, Names(INTEGRITY)),
    ("older-transaction-left-out", HISTORY, Names(INTEGRITY)),
    ("own-transaction-left-out", HISTORY, Names(INTEGRITY)),
    ("oldest-first", HISTORY, Names(INTEGRITY)),
    ("provider-left-out", PROVIDERS, True),
    ("providers-in-circles", PROVIDERS, Names(INTEGRITY)),
];
/// These words of a command stand for a transaction and its block.
const TX: &str = "TX";
const BLOCK: &str = "BLOCK";

/// What `wallet send` prints.
#[derive(Debug, Deserialize)]
struct Paid {
    tx: String,
    height: u64,
}

/// Stops all nodes but the liar, and asks; how many lies were told.
pub(super) fn run(network: &Network) -> Result<usize> {
    let paid: Paid = network.cluster.run(&["wallet", "send", &AccountId::new([9; 32]).to_string(), "1"])?.json()?;
    let (tx, block) = (paid.tx, paid.height.to_string());
    let spoken = |args: &[&str]| -> Vec<String> {
        let word = |word: &&str| match *word {
            TX => tx.clone(),
            BLOCK => block.clone(),
            other => other.to_owned(),
        };
        args.iter().map(word).collect()
    };
    until("the liar has the block after that", LIMIT, || {
        let height = network.cluster.status()?.height;
        Ok(height.is_some_and(|height| height > paid.height))
    })?;
    network.cluster.kill(&network.honest())?;
    let honest = |args: &[&str]| -> Result<Vec<u8>> {
        let outcome = network.cluster.run(&spoken(args))?;
        outcome.expect_code(0).context("the liar is honest for now")?;
        Ok(outcome.stdout)
    };
    for (name, args, end) in CASES {
        let truth = honest(args)?;
        let lie = named(name);
        network.lie(Some(lie))?;
        network.forget_trust()?;
        let before = network.times_told(lie);
        let outcome = network.cluster.run(&spoken(args))?;
        network.lie(None)?;
        ensure!(network.times_told(lie) > before, "{name:?} was never told to {outcome}");
        match end {
            Names(code) => _ = outcome.expect_code(code)?,
            True => ensure!(outcome.expect_code(0)?.stdout == truth, "{name:?}: another answer: {outcome}"),
        }
        ensure!(outcome.said().contains(network.liar_id()), "{name:?}: the liar is not named: {outcome}");
    }
    Ok(CASES.len())
}
