//! A gateway is killed again and again under puts, uploads of parts and deletes: every acknowledged state reads back on
//! a machine that has only the account's key, and nothing is paid for that nothing refers to.

use std::{collections::BTreeMap, fs, process::Stdio, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{
    cluster::Running,
    scenarios::{SeededRng, Stage, size},
};
use serde::Deserialize;
use serde_json::Value;

use crate::server::Gateway;

const BUCKET: &str = "killed";
const LIMIT: Duration = Duration::from_secs(120);

/// A line of the log.
#[derive(Debug, Deserialize)]
struct Noted {
    key: String,
    /// The state that was acknowledged; `None` when it is not there, or not known.
    etag: Option<String>,
    #[serde(default)]
    open: bool,
}

#[derive(Debug, Deserialize)]
struct Listed {
    objects: Vec<Object>,
}

#[derive(Debug, Deserialize)]
struct Object {
    key: String,
    etag: String,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (cluster, mut rng) = (&stage.cluster, stage.rng());
    cluster.run(&["bucket", "create", BUCKET])?.expect_code(0)?;
    let mut gateway = Gateway::start(cluster)?;
    let (log, stop) = (cluster.files.join("killed.log"), cluster.files.join("killed.stop"));
    let settings = [
        ("BUCKET", BUCKET),
        ("LOG", log.to_str().context("a path of ours")?),
        ("STOP", stop.to_str().context("a path of ours")?),
        ("SEED", "1"),
    ];
    let load = Running::spawn(gateway.script("load.py", &settings), Stdio::null())?;
    let rounds = size(50, 5);
    for _ in 0..rounds {
        pause(&mut rng);
        gateway = gateway.killed_and_restarted(cluster)?;
    }
    thread::sleep(Duration::from_secs(2));
    fs::write(&stop, "")?;
    load.wait(LIMIT)?.expect_code(0)?;
    drop(gateway);

    let told = told(&fs::read_to_string(&log)?)?;
    let elsewhere = cluster.files.join("elsewhere");
    let [key_file, genesis] = ["account.key", "genesis.toml"].map(|name| cluster.files.join(name));
    fs::copy(cluster.profile().join("genesis.toml"), &genesis)?;
    let run = |args: &[&std::ffi::OsStr]| cluster.run(args);
    run(&["key".as_ref(), "export".as_ref(), "-o".as_ref(), key_file.as_ref(), "--yes".as_ref()])?.expect_code(0)?;
    let mut init = ostrakon_tests::process::without_profile(&cluster.binaries.client);
    init.args(["init", "--no-passphrase", "--profile"]).arg(&elsewhere).arg("--network").arg(&genesis);
    init.arg("--key-file").arg(&key_file);
    Running::spawn(init, Stdio::null())?.wait(LIMIT)?.expect_code(0)?;
    let mut list = ostrakon_tests::process::without_profile(&cluster.binaries.client);
    list.args(["bucket", "ls", BUCKET, "--json", "--profile"]).arg(&elsewhere);
    let listed: Listed = Running::spawn(list, Stdio::null())?.wait(LIMIT)?.json()?;
    let found: BTreeMap<String, String> =
        listed.objects.into_iter().map(|object| (object.key, format!("\"{}\"", object.etag))).collect();
    let mut sure = 0;
    for (key, state) in &told {
        let Some(expect) = state else { continue };
        sure += 1;
        ensure!(found.get(key) == expect.as_ref(), "{key} is {:?}, and {expect:?} was acknowledged", found.get(key));
    }
    cluster.run(&["bucket", "compact", BUCKET])?.expect_code(0)?;
    let checked: Value = cluster.run(&["bucket", "verify", BUCKET])?.json()?;
    Ok(format!("{rounds} kills, {sure} keys as they were acknowledged, {} objects: {}", found.len(), checked["escrow"]))
}

fn pause(rng: &mut SeededRng) {
    rng.pause(size(4_000, 3_000));
}

/// What was acknowledged last of each key; `None` where a request got no answer.
fn told(log: &str) -> Result<BTreeMap<String, Option<Option<String>>>> {
    let mut told = BTreeMap::new();
    for line in log.lines() {
        let Noted { key, etag, open } = serde_json::from_str(line).with_context(|| line.to_owned())?;
        told.insert(key, (!open).then_some(etag));
    }
    Ok(told)
}
