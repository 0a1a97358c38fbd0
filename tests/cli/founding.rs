//! Founding a network by commands alone, before any node runs: what is missing or wrong is named with what to do, and
//! no file replaces another.

use std::{fs, path::Path, process::Stdio};

use ostrakon_tests::cluster::{Outcome, Running};
use serde_json::Value;

use crate::{LIMIT, assert_clear};

/// Runs a command line in `dir`.
fn run(dir: &Path, line: &str) -> Outcome {
    let binaries = crate::binaries();
    let words: Vec<&str> = line.split_whitespace().collect();
    let program = if words[0] == "ostrakon" { &binaries.client } else { &binaries.node };
    let mut command = ostrakon_tests::process::without_profile(program);
    command.args(&words[1..]).current_dir(dir).env("OSTRAKON_PROFILE", dir.join("profile"));
    Running::spawn(command, Stdio::null()).and_then(|running| running.wait(LIMIT)).expect("the command ends by itself")
}

fn refused(dir: &Path, line: &str, names: &[&str]) {
    let outcome = run(dir, line);
    assert!(outcome.code.is_some_and(|code| code != 0), "{outcome}");
    names.iter().for_each(|name| assert_clear(&outcome, name));
}

fn done(dir: &Path, line: &str) -> Value {
    run(dir, line).json().expect("one object")
}

fn init(name: &str, port: u16) -> String {
    let offer = format!("--address /ip4/127.0.0.1/tcp/{port} --capacity 5G --domain {name}/{name}/{name}");
    format!("ostrakon-node init --dir {name} {offer}")
}

#[test]
fn a_network_is_founded_by_what_help_says() {
    let home = tempfile::tempdir().expect("a directory");
    let dir = home.path();
    // Nobody listens at these: they are free for a moment only, and are not listened at before `run`.
    let anna = run(dir, &format!("{} --validator", init("anna", 41_007)));
    assert_clear(&anna, "ostrakon-node network card --dir anna");
    let anna: Value = anna.json().expect("one object");
    assert!(anna["owner"].as_str().is_some_and(|owner| owner.starts_with("ost1")), "{anna}");
    assert_eq!(done(dir, "ostrakon-node init --dir anna"), anna, "keys stay as they are");
    done(dir, &init("ben", 41_008));
    refused(dir, "ostrakon-node run --dir anna", &["genesis.toml", "ostrakon-node init", "ostrakon-node network"]);
    done(dir, "ostrakon-node network card --dir anna -o anna.card");
    done(dir, "ostrakon-node network card --dir ben -o ben.card");
    refused(dir, "ostrakon-node network card --dir ben -o anna.card", &["anna.card exists", "--overwrite"]);

    refused(dir, "ostrakon init", &["ostrakon key create"]);
    let alice = run(dir, "ostrakon --json key create alice.key").json::<Value>().expect("one object");
    let alice = alice["address"].as_str().expect("an address").to_owned();
    refused(dir, "ostrakon key create alice.key", &["alice.key"]);

    let create = format!("ostrakon-node network create --name tideline --fund {alice}=1000 -o genesis.toml");
    refused(dir, &format!("{create} ben.card"), &["no card has a validator key"]);
    let card = fs::read_to_string(dir.join("ben.card")).expect("written");
    fs::write(dir.join("cheap.card"), card.replace("0.001", "0.009")).expect("written");
    let names = ["cheap.card is not signed by its node", "none.card", "genesis.toml is not a card"];
    fs::write(dir.join("genesis.toml"), "name = 3").expect("written");
    refused(dir, &format!("{create} anna.card cheap.card none.card genesis.toml"), &names);
    refused(dir, &format!("{create} anna.card ben.card"), &["genesis.toml exists"]);
    let founded = done(dir, &format!("{create} --overwrite anna.card ben.card"));
    assert_eq!((&founded["providers"], &founded["validators"]), (&Value::from(2), &Value::from(1)), "{founded}");

    let ready = run(dir, "ostrakon-node init --dir anna --genesis genesis.toml");
    assert_clear(&ready, "next: `ostrakon-node run --dir anna`");
    let checked = run(dir, "ostrakon-node config check --dir anna");
    assert_clear(&checked, founded["chain"].as_str().expect("an id"));
    run(dir, &format!("{} --genesis genesis.toml", init("cleo", 41_009))).json::<Value>().expect("one object");
    let late = run(dir, "ostrakon-node init --dir cleo");
    assert_clear(&late, "ostrakon wallet send ost1");
    let made = run(dir, "ostrakon --json init --network genesis.toml --key-file alice.key --no-passphrase");
    assert_eq!(made.json::<Value>().expect("one object")["address"], alice.as_str());
}

#[test]
fn what_init_lacks_or_cannot_reach_is_named() {
    let home = tempfile::tempdir().expect("a directory");
    let dir = home.path();
    refused(dir, "ostrakon-node init --dir x --capacity 5G", &["--address", "--domain"]);
    assert!(!dir.join("x").exists(), "nothing is created before all is known");
    refused(dir, "ostrakon-node init --dir x --address 192.0.2.1:4001", &["/ip4/192.0.2.1/tcp/4001"]);
    refused(dir, "ostrakon-node init --dir x --domain Anna/b/c", &["a-z"]);
    refused(dir, "ostrakon-node init --dir x --capacity much", &["much"]);
    // A name of this kind is never registered (RFC 6761).
    let address = "--address /dns/node.invalid/tcp/41010";
    let made = run(dir, &format!("ostrakon-node init --dir x --capacity 5G --domain a/b/c {address}"));
    assert_eq!(made.code, Some(0), "what cannot be reached now may be later: {made}");
    assert_clear(&made, "warning: /dns/node.invalid/tcp/41010 cannot be resolved");
    refused(dir, "ostrakon-node init --dir x --capacity 6G", &["node.toml exists already", "[provider]"]);
}
