//! A new account adds its first file some blocks after its money came, and is told what it waits for.

use std::fs;

use anyhow::{Result, ensure};
use ostrakon::read_genesis;
use ostrakon_tests::{friend::Friend, scenarios::Stage};
use serde::Deserialize;

/// What `wallet send` and `add` print.
#[derive(Debug, Deserialize)]
struct InBlock {
    height: u64,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let newcomer = Friend::new(&stage.cluster, "newcomer")?;
    let address = newcomer.address()?;
    let file = stage.cluster.files.join("first-file");
    fs::write(&file, b"the first file of a new account")?;
    let path = file.to_string_lossy().into_owned();

    let paid: InBlock = stage.cluster.run(&["wallet", "send", &address, "10"])?.json()?;
    let early = newcomer.run(&["add", "--no-wait", &path])?;
    early.expect_code(6)?;
    let words = String::from_utf8_lossy(&early.stdout).into_owned() + &early.stderr;
    ensure!(words.contains("the account is new: it can draw holders from block"), "{words}");
    let added: InBlock = newcomer.run(&["add", &path])?.json()?;
    let genesis = read_genesis(stage.cluster.profile().join("genesis.toml"))?;
    let (waited, most) = (added.height.saturating_sub(paid.height), 2 * genesis.params.time.beacon_blocks + 10);
    ensure!((1..=most).contains(&waited), "{waited} blocks, where {most} are the most");
    Ok(format!("told what it waits for; its first file committed {waited} blocks after its money, of at most {most}"))
}
