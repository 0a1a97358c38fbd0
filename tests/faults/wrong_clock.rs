//! The clock of one of four validators is an hour ahead: the chain continues without its proposals, its log says that
//! its own clock is ahead and by how much, and the others' logs say whose.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use ostrakon_tests::{
    cluster::{Cluster, NodeInfo, Shape, until},
    preload,
    scenarios::Stage,
};

const LIMIT: Duration = Duration::from_secs(60);
const AHEAD_S: i64 = 3600;
/// Parts of the lines of the logs.
const OWN: &str = "this node's clock is ahead";
const OTHERS: &str = "its proposer's clock is ahead";

pub(crate) fn run(_stage: &Stage) -> Result<String> {
    let network = Cluster::start(Shape { nodes: 4, domains: 4, validators: 4 })?;
    let nodes = network.status()?.nodes;
    let (wrong, right) = nodes.split_last().context("there are four")?;
    preload::restart(&network, wrong.index, preload::CLOCK, AHEAD_S)?;
    let has = |node: &NodeInfo, part: &str| -> Result<bool> {
        let log = fs::read_to_string(node.data_dir.join("node.log"))?;
        Ok(log.lines().any(|line| line.contains(part) && names_an_hour(line)))
    };
    let height = || Ok::<_, anyhow::Error>(network.status()?.height.unwrap_or(0));
    until("the node whose clock is ahead reports it", LIMIT, || has(wrong, OWN))?;
    for node in right {
        until("the others name the proposer", LIMIT, || has(node, OTHERS))?;
    }
    let before = height()?;
    until("blocks continue", LIMIT, || Ok(height()? > before + 4))?;
    Ok(format!("one clock {AHEAD_S} s ahead: named in all {} logs; blocks continue", nodes.len()))
}

/// Whether the line says that a clock is about an hour wrong.
fn names_an_hour(line: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let value = line.split("seconds=").nth(1).and_then(|rest| rest.split_whitespace().next());
    value.and_then(|text| digits(text).parse::<i64>().ok()).is_some_and(|by| (by - AHEAD_S).abs() < 60)
}
