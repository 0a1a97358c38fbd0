//! Asks each node of a devnet by itself where it is, over the network as any client would. What to make of the answers
//! is decided here too: when a devnet is up, and when it is stuck.

use std::{collections::BTreeMap, path::Path, time::Duration};

use ostrakon::{Client, Error, ErrorKind, Height, NodeId};
use tokio::time::{Instant, sleep};

use super::{files::Devnet, plan::NodeEntry, process};
use crate::exit::other;

/// How long one node may take to say where it is.
const ANSWER: Duration = Duration::from_secs(3);
/// How long to wait between two rounds of questions.
const ROUND: Duration = Duration::from_millis(100);
/// How long nothing new may happen while nodes start.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a start waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Every one of the nodes answers.
    Answering,
    /// And each has a block that did not exist when they all did.
    Advancing,
}

/// How far each of these nodes says it is; those that do not answer are left out.
pub(crate) async fn heights(client: &Client, nodes: &[NodeEntry]) -> BTreeMap<u16, Height> {
    let ids: Vec<NodeId> = nodes.iter().map(|node| node.provider).collect();
    let heights = client.chain().claimed_heights(&ids, ANSWER).await;
    nodes.iter().filter_map(|node| Some((node.index, *heights.get(&node.provider)?))).collect()
}

/// Waits until these nodes are where `until` says; returns the greatest height.
///
/// # Errors
/// When one of them dies, with the end of its log; or when nothing new happens for a minute.
pub(crate) async fn wait(client: &Client, devnet: &Devnet, nodes: &[NodeEntry], until: Until) -> crate::Result<Height> {
    let mut seen = Seen::default();
    let mut deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(dead) = died(devnet, nodes) {
            let log = dead.data_dir(&devnet.dir).join("node.log");
            let text = format!("node {} exited; the last lines of {}:\n{}", dead.index, log.display(), tail(&log));
            return Err(other(text));
        }
        if seen.take(&heights(client, nodes).await) {
            deadline = Instant::now() + PATIENCE;
        }
        if seen.reached(nodes.len(), until) {
            return Ok(seen.top());
        }
        if Instant::now() > deadline {
            return Err(Error::new(ErrorKind::Network, seen.stuck(nodes, &devnet.dir)));
        }
        sleep(ROUND).await;
    }
}

fn died<'a>(devnet: &Devnet, nodes: &'a [NodeEntry]) -> Option<&'a NodeEntry> {
    let running = process::running();
    nodes.iter().find(|node| !running.contains_key(&node.data_dir(&devnet.dir)))
}

/// The heights seen so far.
#[derive(Debug, Default)]
struct Seen {
    heights: BTreeMap<u16, Height>,
    /// The greatest height in the first round in which all had answered.
    first: Option<Height>,
}

impl Seen {
    /// Takes a round of answers in; says whether there was anything new.
    fn take(&mut self, heights: &BTreeMap<u16, Height>) -> bool {
        let before = self.heights.clone();
        self.heights.extend(heights);
        before != self.heights
    }

    fn reached(&mut self, nodes: usize, until: Until) -> bool {
        if self.heights.len() < nodes {
            return false;
        }
        let top = self.top();
        let first = *self.first.get_or_insert(top);
        until == Until::Answering || self.heights.values().all(|height| *height > first)
    }

    fn top(&self) -> Height {
        self.heights.values().max().copied().unwrap_or_default()
    }

    fn stuck(&self, nodes: &[NodeEntry], dir: &Path) -> String {
        let missing: Vec<String> = nodes
            .iter()
            .filter(|node| !self.heights.contains_key(&node.index))
            .map(|node| node.index.to_string())
            .collect();
        let what = if missing.is_empty() {
            format!("the height does not advance past {}", self.top())
        } else {
            format!("nodes {} do not respond", missing.join(" "))
        };
        format!("no progress for {} s, and {what}: see {}/node-*/node.log", PATIENCE.as_secs(), dir.display())
    }
}

/// The last lines of a log.
fn tail(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last: Vec<String> =
        lines.iter().skip(lines.len().saturating_sub(8)).map(|line| format!("    {line}")).collect();
    if last.is_empty() { "    (it is empty)".to_owned() } else { last.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(heights: &[(u16, u64)]) -> BTreeMap<u16, Height> {
        heights.iter().map(|(index, height)| (*index, Height(*height))).collect()
    }

    #[test]
    fn a_devnet_is_up_when_all_have_a_block_made_since_all_answered() {
        let mut seen = Seen::default();
        let mut check = |heights: &[(u16, u64)], new, up| {
            assert_eq!(seen.take(&round(heights)), new, "{heights:?}");
            assert_eq!(seen.reached(2, Until::Advancing), up, "{heights:?}");
        };
        check(&[(0, 3)], true, false);
        check(&[(0, 3)], false, false);
        check(&[(0, 4), (1, 0)], true, false);
        check(&[(0, 5), (1, 4)], true, false);
        check(&[(1, 5)], true, true);
        assert_eq!(seen.top(), Height(5));
    }

    #[test]
    fn answering_is_enough_where_nobody_makes_blocks() {
        let mut seen = Seen::default();
        seen.take(&round(&[(1, 9)]));
        assert!(!seen.reached(2, Until::Answering));
        seen.take(&round(&[(0, 9)]));
        assert!(seen.reached(2, Until::Answering));
    }
}
