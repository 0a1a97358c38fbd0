//! A program that shares no code with this one, written from SPEC.md alone, follows a real chain from its genesis on:
//! every header and certificate, turns, epochs, beacons, pulses, a whole state, proofs, rosters, draws, and what is
//! asked of providers and owed to them, and what they lost, come out the same, and no byte of what it is given can be
//! changed unnoticed. The chain has what chains have: a validator that missed turns, one that left, young accounts, one
//! that draws as another, a provider that announces to be away and is dead for longer, and more of them than one answer
//! shows.

use std::{collections::BTreeMap, fs, path::Path, process::Command, process::Stdio, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon::{
    Action, Profile, Protection,
    ledger::{DrawAs, DrawPermission},
};
use ostrakon_proto::{id::AccountId, params::Code, sign::Keypair};
use ostrakon_tests::{
    cluster::{Added, Cluster, NodeInfo, Running, Shape, until},
    export::Exporter,
    process::without_profile,
    scenarios::{Stage, size},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::many_providers::found_again;

const LIMIT: Duration = Duration::from_secs(120);
const EPOCHS: u64 = 3;
/// Blocks between two snapshots.
const EVERY: u64 = 15;
/// More than a node shows as a whole.
const PROVIDERS: usize = 300;
/// How long a validator that votes does not respond: some of its turns.
const PAUSE: Duration = Duration::from_secs(3);

#[derive(Debug, Deserialize)]
struct Head {
    height: u64,
    epoch: u64,
}

/// How many columns were lost, and how many came to another provider.
#[derive(Debug, Deserialize)]
struct Columns {
    lost: u64,
    repaired: u64,
}

/// What the verifier prints when all is right.
#[derive(Debug, Deserialize)]
struct Verdict {
    blocks: u64,
    rounds: u64,
    handovers: u64,
    epochs: u64,
    absent: u64,
    draws: u64,
    pruned: u64,
    pulses: u64,
    commits: u64,
    proofs: u64,
    columns: Columns,
    tampered: BTreeMap<String, u64>,
}

pub(crate) fn run(_stage: &Stage) -> Result<String> {
    let cluster = Cluster::start_as(Shape { nodes: 8, domains: 4, validators: 4 }, &["--epoch", "2"])?;
    found_again(&cluster, PROVIDERS)?;
    let nodes = cluster.status()?.nodes;
    let last = |votes| nodes.iter().rfind(|node| node.validator == votes).context("some validate, and not all");
    let (asked, leaving) = (last(false)?, last(true)?);
    // It keeps all blocks, with their proofs: they are executed from the first on.
    let keeps_all = |settings: &str| settings.replace("ledger_budget_bytes = 1073741824", "ledger_budget_bytes = 0");
    cluster.restart_with(asked, |settings| format!("{}\nsnapshot_interval_blocks = {EVERY}\n", keeps_all(settings)))?;
    let printed = live(&cluster, asked, leaving)?;

    let file = cluster.files.join("export.json");
    let codes = [(1, 2), (3, 6), (4, 8)].map(|(k, n)| Code { k, n });
    Exporter::start(&cluster, asked)?.write(&file, head(&cluster)?.height, (size(20, 3), &codes), printed)?;
    let said = verify(&file, size(40, 6))?;
    ensure!(said.rounds > 0 && said.handovers > 0 && said.epochs >= EPOCHS, "the chain lacks something: {said:?}");
    ensure!(said.pruned > 0 && said.pulses > 0 && said.absent > 0 && said.commits == 4 && said.proofs > 0, "{said:?}");
    let Columns { lost, repaired } = said.columns;
    ensure!(lost > 0 && repaired > 0, "nothing was lost, or nothing repaired: {said:?}");
    let changes: u64 = said.tampered.values().sum();
    Ok(format!(
        "{} blocks, {} epochs, {} draws, {} of them from a part of the roster, {} storage proofs, {lost} columns lost \
         and {repaired} repaired; {changes} changes were refused",
        said.blocks, said.epochs, said.draws, said.pruned, said.proofs
    ))
}

/// Makes the chain; what the commands printed of it.
fn live(cluster: &Cluster, asked: &NodeInfo, leaving: &NodeInfo) -> Result<Value> {
    let mut added = Vec::new();
    for (number, code) in ["1/3", "3/6", "2/4"].into_iter().enumerate() {
        let file = cluster.files.join(format!("file-{number}"));
        fs::write(&file, vec![u8::try_from(number)?; 300_000])?;
        added.push(cluster.run(&["add", &file.to_string_lossy(), "--code", code])?.json::<Value>()?);
    }
    let [first, last] = [0, 2].map(|number: usize| added[number]["cid"].as_str().unwrap_or_default().to_owned());
    let anchored = cluster.files.join("file-0");
    for args in [
        &["name", "set", "first", &first][..],
        &["renew", &first, "--epochs", "800"],
        &["rm", &last, "--yes"],
        &["anchor", "create", &anchored.to_string_lossy()],
    ] {
        cluster.run(args)?.expect_code(0)?;
    }
    added.push(add_as_another(cluster)?);
    lose(cluster, asked, &added[1])?;
    let young = AccountId::new([1; 32]).to_string();
    cluster.run(&["wallet", "send", &young, "1"])?.expect_code(0)?;
    cluster.signal(&[leaving.index], "STOP")?;
    thread::sleep(PAUSE);
    cluster.signal(&[leaving.index], "CONT")?;
    let leave = ["validator", "leave", "--dir", &leaving.data_dir.to_string_lossy()];
    Running::start(&cluster.binaries.node, &leave)?.wait(LIMIT)?.expect_code(0)?;
    until("enough epochs begin", LIMIT, || Ok(head(cluster)?.epoch > EPOCHS))?;

    let (blocks, epochs) = (1..=head(cluster)?.height, 0..=EPOCHS);
    let print = |what: &str, number: u64| cluster.run(&["ledger", what, &number.to_string()])?.json::<Value>();
    let blocks: Vec<Value> = blocks.step_by(7).map(|height| print("block", height)).collect::<Result<_>>()?;
    let epochs: Vec<Value> = epochs.map(|epoch| print("epoch", epoch)).collect::<Result<_>>()?;
    Ok(json!({ "blocks": blocks, "epochs": epochs, "added": added }))
}

/// A holder of an object that was added announces maintenance and dies, and comes back when others have rebuilt what it
/// stored.
fn lose(cluster: &Cluster, asked: &NodeInfo, added: &Value) -> Result<()> {
    let added: Added = serde_json::from_value(added.clone())?;
    let nodes = cluster.status()?.nodes;
    let may_die = |index: &usize| *index != asked.index && !nodes[*index].validator;
    let dies = cluster.holders(&added)?.into_iter().find(may_die).context("a holder that does not validate")?;
    // The second epoch of its silence, or the third, is announced: it does not count. The first may begin meanwhile.
    let dir = nodes[dies].data_dir.to_string_lossy();
    let announce = ["maintenance", "--dir", &dir, "--in", "4s", "--for", "2s"];
    Running::start(&cluster.binaries.node, &announce)?.wait(LIMIT)?.expect_code(0)?;
    cluster.kill(&[dies])?;
    let is_elsewhere = || {
        let status: Value = cluster.run(&["status", &added.cid])?.json()?;
        let slots = status["slots"].as_array().context("`status` lists the slots")?;
        let stores = |slot: &Value| slot["provider"] != nodes[dies].provider.as_str() && slot["state"] == "live";
        Ok::<_, anyhow::Error>(slots.iter().all(stores))
    };
    until("others store what it stored", LIMIT, is_elsewhere)?;
    cluster.revive(&[dies])
}

/// An account that has just begun draws as the first one, and so need not wait for randomness of its own.
fn add_as_another(cluster: &Cluster) -> Result<Value> {
    let (first, second) = (Profile::open(cluster.profile())?, Keypair::from_seed(&[9; 32]));
    let (genesis, account) = (first.genesis(), second.public());
    let profile = Profile::init_with(cluster.files.join("second"), genesis, &second, &Protection::None)?;
    cluster.run(&["wallet", "send", &account.to_string(), "10"])?.expect_code(0)?;
    let permission = DrawPermission::sign(first.keypair(), &genesis.id(), &account);
    let action = Action::DrawAs(DrawAs { permission: Some(permission) });
    Runtime::new()?.block_on(async { anyhow::Ok(profile.connect()?.perform(action).await?) })?;
    let file = cluster.files.join("file-of-second");
    fs::write(&file, vec![9; 300_000])?;
    let mut command = without_profile(&cluster.binaries.client);
    command.arg("--profile").arg(profile.directory()).args(["--json", "add", "--no-wait", "--code", "2/4"]).arg(&file);
    Running::spawn(command, Stdio::null())?.wait(LIMIT)?.json()
}

fn head(cluster: &Cluster) -> Result<Head> {
    cluster.run(&["ledger", "head"])?.json()
}

/// Runs the verifier, which also changes so many bytes of each kind of input.
fn verify(file: &Path, changes: u32) -> Result<Verdict> {
    let mut python = Command::new("python3");
    python.args(["-B", concat!(env!("CARGO_MANIFEST_DIR"), "/verifier/verify.py")]);
    python.arg(file).args(["--tamper", &changes.to_string()]);
    Running::spawn(python, Stdio::null())?.wait(LIMIT)?.json()
}
