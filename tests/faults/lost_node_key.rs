//! The node's key is lost, and its store is not: `run` and `init` refuse, and say to restore the key. A new key would
//! be another node, and what the store has would be lost. With the key back, the node runs.

use std::{fs, time::Duration};

use anyhow::{Result, ensure};
use ostrakon_tests::{
    own_node::{OwnNode, expect_refusal},
    process::{Daemon, until},
    scenarios::Stage,
};

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (files, program) = (&stage.cluster.files, &stage.cluster.binaries.node);
    let node = OwnNode::init(program, files.join("lost-key"), &stage.cluster.profile().join("genesis.toml"))?;
    node.configure("listen = [\"/ip4/127.0.0.1/tcp/0\"]\n")?;
    drop(started(&node)?);

    let (key, copy) = (node.dir.join("node.key"), files.join("copy-of-node.key"));
    fs::rename(&key, &copy)?;
    let names = ["`node.key` is missing", "restore", "another node"];
    node.is_refused(&names)?;
    expect_refusal(&node.operate(&["init"])?, &names)?;
    ensure!(!key.exists(), "a refused `init` made a key");
    fs::rename(&copy, &key)?;
    drop(started(&node)?);
    Ok("`run`, `config check` and `init` refused; with the key from a copy the node ran".to_owned())
}

/// The node, once it runs.
fn started(node: &OwnNode) -> Result<Daemon> {
    let before = node.log().unwrap_or_default().matches("starting").count();
    let daemon = node.start(&[])?;
    until("the node starts", LIMIT, || Ok(node.log()?.matches("starting").count() > before))?;
    Ok(daemon)
}
