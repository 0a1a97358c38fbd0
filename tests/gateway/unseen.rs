//! Of a private bucket nothing is on the nodes' disks, nor passes between nodes and clients: not its name, no key, no
//! metadata, no plaintext; and no signature is in the gateway's log. The same search of disks finds what was added
//! publicly, and the same search of packets what the gateway's clients send and get, so they would find the rest.

use std::fs;

use anyhow::{Result, ensure};
use ostrakon_tests::{cluster::Cluster, content::files_below, scenarios::Stage};
use serde::Deserialize;

use crate::{
    server::Gateway,
    wire::{Seen, Wire},
};

#[derive(Deserialize)]
struct Checked {
    stored_bytes: u64,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (cluster, mut rng) = (&stage.cluster, stage.rng());
    // Not to be compressed, and found nowhere else.
    let mut needle = |kind: &str| format!("{kind}{:016x}{:016x}", rng.below(u64::MAX), rng.below(u64::MAX));
    let [bucket, key, metadata, body] = ["bucket", "key", "metadata", "body"].map(&mut needle);
    let (public, needles) = (needle("public"), [bucket.as_str(), &key, &metadata, &body]);
    let gateway = Gateway::start_verbose(cluster)?;
    let wire = Wire::record(cluster, &gateway, &needles)?;
    cluster.run(&["bucket", "create", &bucket])?.expect_code(0)?;
    let settings = [("BUCKET", bucket.as_str()), ("KEY", &key), ("METADATA", &metadata), ("BODY", &body)];
    gateway.run("unseen.py", &settings)?;
    let Checked { stored_bytes } = cluster.run(&["bucket", "verify", &bucket])?.json()?;
    let passed = match wire.end()? {
        Ok(seen) => on_the_wire(&seen, &needles, stored_bytes)?,
        Err(why) => format!("packets were LEFT OUT, they cannot be seen here: {why}"),
    };
    in_the_log(&Gateway::log(cluster)?)?;
    let file = cluster.files.join(&public);
    fs::write(&file, public.repeat(5_000))?;
    cluster.add(&file, &["--public"])?;
    Ok(format!("{}; {passed}", on_disks(cluster, &needles, &public)?))
}

/// Nothing is on the nodes' disks but what is public.
fn on_disks(cluster: &Cluster, needles: &[&str], public: &str) -> Result<String> {
    let (mut searched, mut control) = (0, 0);
    for node in cluster.status()?.nodes {
        for path in files_below(&node.data_dir)? {
            // Of what is deleted meanwhile nothing is on the disk.
            let Ok(bytes) = fs::read(&path) else { continue };
            let has = |needle: &str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
            let found = needles.iter().find(|needle| has(needle));
            ensure!(found.is_none(), "{} has {found:?}", path.display());
            control += usize::from(has(public));
            searched += 1;
        }
    }
    ensure!(control > 0, "what was added publicly was not found either");
    Ok(format!("{searched} files have no name, key, metadata or byte of a private bucket; {control} a public file's"))
}

/// Every message is logged, and none has what a client signed with.
fn in_the_log(log: &str) -> Result<()> {
    ensure!(log.contains("DEBUG"), "the gateway does not log every message");
    let signed = log.lines().find(|line| ["Signature", "AWS4-HMAC"].iter().any(|word| line.contains(word)));
    ensure!(signed.is_none(), "a signature is logged: {signed:?}");
    Ok(())
}

/// Nothing passed the nodes' ports, and all of it the gateway's.
fn on_the_wire(Seen { nodes, gateway }: &Seen, needles: &[&str], stored_bytes: u64) -> Result<String> {
    ensure!(nodes.found.is_empty(), "{:?} passed the ports of nodes", nodes.found);
    ensure!(nodes.bytes >= stored_bytes, "{stored_bytes} bytes were stored, and only {} were seen", nodes.bytes);
    ensure!(gateway.found == needles, "clients sent {needles:?}, and only {:?} were seen", gateway.found);
    Ok(format!("nor have {} bytes to and from nodes; all was in {} of clients", nodes.bytes, gateway.bytes))
}
