//! Three nodes of fourteen are dead: an add is acknowledged with the columns that have a holder, its repair is listed,
//! and when the nodes are back, the network stores the others.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ostrakon_tests::{cluster::until, content, scenarios::Stage};
use serde_json::Value;

/// Two nodes of fourteen are spare.
const DEAD: usize = 3;
/// A second or two of an add is the dead ones' fault.
const SOON: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let cluster = &stage.cluster;
    let json = |args: &[&str]| cluster.run(args)?.json::<Value>();
    let others: Vec<usize> =
        cluster.status()?.nodes.iter().filter(|node| !node.validator).map(|node| node.index).collect();
    let dead = stage.rng().some_of(&others, DEAD);
    cluster.kill(&dead)?;

    let file = cluster.files.join("endangered");
    let hash = content::write_file(&file, 800, 3_000_000)?;
    let path = file.to_str().context("a path of text")?;
    let outcome = cluster.run(&["add", path])?;
    outcome.expect_code(0)?;
    ensure!(outcome.took < SOON, "the add took {:?}", outcome.took);
    let added: Value = outcome.json()?;
    let (cid, link) = (added["cid"].as_str().context("a CID")?, added["link"].as_str().context("a link")?);
    let slots = added["slots"].as_array().context("slots")?;
    let missing: Vec<u64> =
        slots.iter().filter(|slot| slot["stored"] == false).filter_map(|slot| slot["index"].as_u64()).collect();
    ensure!(missing.len() == 1 && added["survives"]["nodes"] == 7, "eleven of twelve are stored: {added}");
    cluster.expect_read(link, &hash)?;

    let status = json(&["status", cid])?;
    ensure!(status["live"] == 11 && status["repair"]["extents"] == 1, "{status}");
    for list in [json(&["repair", "status", cid])?, json(&["repair", "status"])?] {
        let open = list["open"].as_array().context("a list")?;
        let repair = open.iter().find(|repair| repair["cid"] == cid).context("it is listed")?;
        ensure!(repair["live"] == 11 && repair["threshold"] == 9 && repair["slots"] == serde_json::json!(missing));
        ensure!(repair["rebuilder"].is_string() != repair["blocked_by"].is_string(), "{repair}");
    }
    cluster.run(&["repair", "status", "bafy"])?.expect_code(2)?;

    cluster.revive(&dead)?;
    until("all columns are stored", PATIENCE, || Ok(json(&["status", cid])?["live"] == 12))?;
    ensure!(json(&["repair", "status", cid])?["open"] == serde_json::json!([]), "it is repaired");
    cluster.expect_read(link, &hash)?;
    Ok(format!(
        "{DEAD} nodes dead: 11 of 12 columns stored after {:.1} s, and all of them later",
        outcome.took.as_secs_f32()
    ))
}
