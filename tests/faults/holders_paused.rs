//! Four of fourteen holders are paused: an add says what is true now, `status` says the same, and the next add does not
//! wait for them again.

use anyhow::{Result, ensure};
use ostrakon_tests::{content, process::Outcome, scenarios::Stage};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Added {
    cid: String,
    slots: Vec<Slot>,
    survives: Survives,
}

#[derive(Debug, Deserialize)]
struct Slot {
    stored: bool,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Survives {
    nodes: usize,
    domains: usize,
}

#[derive(Debug, Deserialize)]
struct Status {
    live: usize,
    tolerates: usize,
    survives: Survives,
}

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let paused: Vec<usize> =
        stage.cluster.status()?.nodes.iter().filter(|node| !node.validator).map(|node| node.index).take(4).collect();
    stage.cluster.signal(&paused, "STOP")?;
    let result = while_paused(stage);
    stage.cluster.signal(&paused, "CONT")?;
    result
}

fn while_paused(stage: &Stage) -> Result<String> {
    let file = stage.cluster.files.join("s");
    content::write_file(&file, 900, 10)?;
    let add = || stage.cluster.run(&["add".as_ref(), file.as_os_str()]);
    let first = add()?;
    let cid = check(stage, &first)?;
    let second = add()?;
    check(stage, &second)?;
    let (took, again) = (first.took.as_secs_f32(), second.took.as_secs_f32());
    let remembered = stage.cluster.shell("wc -l < $OSTRAKON_PROFILE/backoff")?;
    let count: usize = String::from_utf8_lossy(&remembered.stdout).trim().parse()?;
    ensure!(count == 4, "the four that did not respond are to be remembered: {remembered}");
    let text = stage.cluster.shell("ostrakon add s")?.stderr;
    ensure!(text.contains("10 of 12 columns") && text.contains("any 6 nodes"), "{text}");
    let text = stage.cluster.shell(&format!("ostrakon status {cid}"))?.said();
    ensure!(text.contains("10 of 12 live") && text.contains("any 6 nodes"), "{text}");
    Ok(format!("10 of 12 columns stored, which all output shows; {took:.1} s, and then {again:.1} s"))
}

/// Ten of twelve columns are stored, and all output shows it.
fn check(stage: &Stage, outcome: &Outcome) -> Result<String> {
    let added: Added = outcome.json()?;
    let stored = added.slots.iter().filter(|slot| slot.stored).count();
    ensure!((added.slots.len(), stored, added.survives.nodes) == (12, 10, 6), "{added:?}");
    let status: Status = stage.cluster.run(&["status", &added.cid])?.json()?;
    ensure!((status.live, status.tolerates) == (10, 6) && status.survives == added.survives, "{status:?}, {added:?}");
    Ok(added.cid)
}
