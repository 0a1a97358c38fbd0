//! How soon a provider is caught that silently dropped some of its columns: by the challenges of a real ledger.
//!
//! Every node here is honest, so that one trial does not disturb the next. A trial is of a node that had dropped some
//! of its columns: it counts the epochs until the ledger asks for one of them.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use ostrakon_proto::{
    id::{ColumnId, Epoch, NodeId},
    ledger::{challenge, proofs::ProofKey},
    limits::AUDIT_LEAVES,
};

use super::{
    dice::Dice,
    setting::{Crew, Setting, Weather},
    strategies::Strategy,
    world::SimulatedNetwork,
};

/// Nodes, each with one trial after the other.
const NODES: usize = 30;
/// Objects: a node has some hundred columns.
const OBJECTS: u32 = 300;
/// Days after which all trials are over.
const DAYS: u64 = 60;

/// What came out of all trials of a share.
#[derive(Clone, Copy, Debug)]
pub struct Caught {
    /// Percent of the columns that were dropped.
    pub percent: usize,
    /// Trials.
    pub trials: usize,
    /// Mean epochs until it was caught.
    pub mean: f64,
}

impl Caught {
    /// What probability says: 1 / (1 - (1 - x)^K).
    pub fn expected(&self) -> f64 {
        let kept = 1.0 - self.percent as f64 / 100.0;
        1.0 / (1.0 - kept.powi(AUDIT_LEAVES.into()))
    }
}

/// One node that had dropped these columns.
struct Trial {
    node: NodeId,
    dropped: BTreeSet<ColumnId>,
    epochs: u32,
}

impl Trial {
    /// The trial with this number.
    fn begin(network: &SimulatedNetwork, number: usize, percent: usize) -> Self {
        let (id, node) = network.fleet.nodes.iter().nth(number % NODES).expect("as many nodes");
        let mut columns: Vec<ColumnId> = node.columns.keys().copied().collect();
        let (mut dice, count) = (Dice::new(number as u64), (columns.len() * percent + 50) / 100);
        let dropped = (0..count).map(|_| columns.swap_remove(dice.pick(columns.len()))).collect();
        Self { node: *id, dropped, epochs: 0 }
    }

    /// Whether the ledger asks for what is not there.
    fn is_caught(&mut self, network: &SimulatedNetwork, epoch: u64) -> bool {
        self.epochs += 1;
        let key = ProofKey { provider: self.node, epoch: Epoch(epoch) };
        let asked = challenge(&network.chain.state, &network.chain.rules, &key);
        asked.is_ok_and(|asked| asked.leaves.iter().any(|leaf| self.dropped.contains(&leaf.column)))
    }
}

/// Tries a node that dropped so many percent of its columns so often, each time others.
///
/// # Errors
/// When the ledger breaks one of its own rules.
pub fn catch(percent: usize, trials: usize) -> Result<Caught> {
    let mut network = SimulatedNetwork::found(setting())?;
    let mut open: Vec<Trial> = (0..NODES).map(|number| Trial::begin(&network, number, percent)).collect();
    let (mut begun, mut epochs) = (NODES, Vec::new());
    for epoch in 1..network.setting.epochs() {
        network.open(epoch)?;
        for mut trial in std::mem::take(&mut open) {
            if !trial.is_caught(&network, epoch) {
                open.push(trial);
                continue;
            }
            epochs.push(trial.epochs);
            // The same node again, so that each has one trial at a time.
            let at = network.fleet.nodes.keys().position(|node| *node == trial.node).expect("nobody fails");
            if begun < trials {
                open.push(Trial::begin(&network, begun / NODES * NODES + at, percent));
                begun += 1;
            }
        }
        network.close(epoch)?;
        if open.is_empty() {
            break;
        }
    }
    ensure!(open.is_empty(), "{} nodes that dropped {percent} % are not caught", open.len());
    let mean = epochs.iter().copied().map(f64::from).sum::<f64>() / epochs.len() as f64;
    Ok(Caught { percent, trials: epochs.len(), mean })
}

fn setting() -> Setting {
    Setting {
        name: "caught",
        seed: 300,
        code: "4/12".parse().expect("a code"),
        domains: 15,
        objects: OBJECTS,
        days: DAYS,
        weather: Weather { mttf_days: 1e9, replaced_days: 1.0, outages: None, disasters: 0.0, rot: 0.0 },
        bandwidth: 0,
        crews: vec![Crew { strategy: Strategy::Honest, seats: NODES, capacity: 500 }],
    }
}
