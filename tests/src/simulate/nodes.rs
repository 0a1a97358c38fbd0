//! The nodes of a simulated network: who stores which bytes, and who fails when.
//!
//! A seat is an operator's place for one node; when the node fails, another comes there, with another key. In goes the
//! time; out come the columns that are gone. Nodes do not decide anything here, and know nothing of the ledger.

use std::collections::{BTreeMap, BTreeSet};

use ostrakon_proto::{
    id::{ColumnId, NodeId},
    sign::Keypair,
};

use super::{
    dice::Dice,
    setting::{Crew, Setting, Weather, YEAR_HOURS},
};

/// The bytes of a column.
pub type Cell = Vec<u8>;

/// Hours between two times that a careful node reads all its columns.
const SCRUB_HOURS: f64 = 14.0 * 24.0;

/// A node that runs, or is down for a while.
#[derive(Debug)]
pub struct SimulatedNode {
    /// Its seat.
    pub seat: usize,
    /// Its key.
    pub key: Keypair,
    /// The columns that it has signed for; those without bytes it dropped, or they rotted.
    pub columns: BTreeMap<ColumnId, Option<Cell>>,
    /// Columns that it knows to be without bytes, and is to report.
    pub missed: BTreeSet<ColumnId>,
    /// Whether it is up.
    pub is_up: bool,
    dies_h: f64,
    turns_h: f64,
    scrubs_h: f64,
}

impl SimulatedNode {
    /// The bytes of a column, if it has them and is up.
    pub fn read(&self, column: &ColumnId) -> Option<&Cell> {
        self.columns.get(column).filter(|_| self.is_up)?.as_ref()
    }

    /// Columns that it has bytes of.
    pub fn kept(&self) -> usize {
        self.columns.values().flatten().count()
    }
}

/// An operator's place for a node.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    /// Number of the operator.
    pub operator: usize,
    /// Number of its crew.
    pub crew: usize,
    /// Its domain.
    pub domain: usize,
    /// Its node.
    pub node: Option<NodeId>,
    /// When its operator has another node, where it has none.
    free_h: f64,
}

/// A column that is gone with its node.
#[derive(Clone, Copy, Debug)]
pub struct GoneColumn {
    /// The column.
    pub column: ColumnId,
    /// Whether its whole domain is.
    pub by_disaster: bool,
}

/// What happened to the nodes so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fates {
    /// Years that they ran, together.
    pub node_years: f64,
    /// Nodes that failed permanently, each by itself.
    pub failures: u32,
    /// Domains that were lost.
    pub disasters: u32,
}

/// All nodes.
#[derive(Debug)]
pub struct Fleet {
    /// The places for nodes.
    pub seats: Vec<Seat>,
    /// The nodes that exist.
    pub nodes: BTreeMap<NodeId, SimulatedNode>,
    /// The keys of the operators' accounts.
    pub operators: Vec<Keypair>,
    /// What happened to them.
    pub fates: Fates,
    crews: Vec<Crew>,
    weather: Weather,
    disasters_h: Vec<f64>,
    dice: Dice,
}

impl Fleet {
    /// The seats of a run, without nodes yet.
    pub fn new(setting: &Setting) -> Self {
        let (mut seats, mut operators) = (Vec::new(), Vec::new());
        for (number, crew) in setting.crews.iter().enumerate() {
            for member in 0..crew.seats {
                if member == 0 || !crew.strategy.is_one_operator() {
                    operators.push(setting.key("operator", operators.len() as u64));
                }
                let (operator, domain) = (operators.len() - 1, seats.len() % setting.domains);
                seats.push(Seat { operator, crew: number, domain, node: None, free_h: 0.0 });
            }
        }
        let mut dice = Dice::new(setting.seed);
        let mut disaster = |_| match setting.weather.disasters {
            rate if rate > 0.0 => dice.wait(YEAR_HOURS / rate),
            _ => f64::INFINITY,
        };
        let disasters_h = (0..setting.domains).map(&mut disaster).collect();
        let (crews, weather) = (setting.crews.clone(), setting.weather);
        let nodes = BTreeMap::new();
        Self { seats, nodes, operators, fates: Fates::default(), crews, weather, disasters_h, dice }
    }

    /// The crew of a node.
    pub fn crew(&self, node: &SimulatedNode) -> &Crew {
        &self.crews[self.seats[node.seat].crew]
    }

    /// The account of a node's operator.
    pub fn owner(&self, node: &SimulatedNode) -> &Keypair {
        &self.operators[self.seats[node.seat].operator]
    }

    /// The seats that are to have another node by now.
    pub fn vacant(&self, now_h: f64) -> Vec<usize> {
        let is_due = |(_, seat): &(usize, &Seat)| seat.node.is_none() && seat.free_h <= now_h;
        self.seats.iter().enumerate().filter(is_due).map(|(number, _)| number).collect()
    }

    /// A node begins.
    pub fn begin(&mut self, seat: usize, key: Keypair, now_h: f64) {
        let strategy = self.crews[self.seats[seat].crew].strategy;
        let dies_h = now_h + self.dice.wait(self.weather.mttf_days * 24.0);
        let outages = strategy.outages(self.weather.outages);
        let until = |dice: &mut Dice, up_h: f64| now_h + dice.wait(up_h);
        let turns_h = outages
            .map_or(f64::INFINITY, |outages| until(&mut self.dice, outages.hours / (1.0 / outages.uptime - 1.0)));
        let scrubs_h = now_h + SCRUB_HOURS * self.dice.share();
        let node: NodeId = key.public();
        self.seats[seat].node = Some(node);
        let (columns, missed) = (BTreeMap::new(), BTreeSet::new());
        self.nodes.insert(node, SimulatedNode { seat, key, columns, missed, is_up: true, dies_h, turns_h, scrubs_h });
    }

    /// Time passes: nodes fail, go down and come up, columns rot. Out come the columns that are gone.
    pub fn advance(&mut self, (from_h, to_h): (f64, f64)) -> Vec<GoneColumn> {
        self.fates.node_years += self.nodes.len() as f64 * (to_h - from_h) / YEAR_HOURS;
        let mut gone = self.lose_domains(to_h);
        let dead: Vec<NodeId> = self.nodes.iter().filter(|(_, node)| node.dies_h <= to_h).map(|(id, _)| *id).collect();
        for node in dead {
            let dies_h = self.nodes[&node].dies_h;
            gone.extend(self.die(node, dies_h, false));
        }
        for node in self.nodes.values_mut() {
            let outages = self.crews[self.seats[node.seat].crew].strategy.outages(self.weather.outages);
            let Some(outages) = outages else { continue };
            while node.turns_h <= to_h {
                node.is_up = !node.is_up;
                let up_h = outages.hours / (1.0 / outages.uptime - 1.0);
                node.turns_h += self.dice.wait(if node.is_up { up_h } else { outages.hours });
            }
        }
        gone.extend(self.rot((to_h - from_h) / YEAR_HOURS));
        gone
    }

    fn lose_domains(&mut self, to_h: f64) -> Vec<GoneColumn> {
        let mut gone = Vec::new();
        for domain in 0..self.disasters_h.len() {
            let at_h = self.disasters_h[domain];
            if at_h > to_h {
                continue;
            }
            self.fates.disasters += 1;
            self.disasters_h[domain] = at_h + self.dice.wait(YEAR_HOURS / self.weather.disasters);
            let here = self.seats.iter().filter(|seat| seat.domain == domain).filter_map(|seat| seat.node);
            for node in here.collect::<Vec<_>>() {
                gone.extend(self.die(node, at_h, true));
            }
        }
        gone
    }

    fn die(&mut self, node: NodeId, at_h: f64, by_disaster: bool) -> Vec<GoneColumn> {
        let node = self.nodes.remove(&node).expect("a node that exists");
        self.fates.failures += u32::from(!by_disaster);
        let seat = &mut self.seats[node.seat];
        (seat.node, seat.free_h) = (None, at_h + self.weather.replaced_days * 24.0);
        node.columns.into_keys().map(|column| GoneColumn { column, by_disaster }).collect()
    }

    /// Some columns rot in so many years.
    fn rot(&mut self, years: f64) -> Vec<GoneColumn> {
        let mut gone = Vec::new();
        for node in self.nodes.values_mut() {
            let expected = node.columns.len() as f64 * self.weather.rot * years;
            if expected > 0.0 && self.dice.happens(expected) {
                let at = self.dice.pick(node.columns.len());
                let (column, cell) = node.columns.iter_mut().nth(at).expect("below their number");
                *cell = None;
                gone.push(GoneColumn { column: *column, by_disaster: false });
            }
        }
        gone
    }

    /// Careful nodes whose turn it is read all that they have, and know then what is missing.
    pub fn scrub(&mut self, now_h: f64) {
        for node in self.nodes.values_mut().filter(|node| node.is_up && node.scrubs_h <= now_h) {
            node.scrubs_h = now_h + SCRUB_HOURS;
            if self.crews[self.seats[node.seat].crew].strategy.is_careful() {
                let missing = node.columns.iter().filter(|(_, cell)| cell.is_none()).map(|(column, _)| *column);
                node.missed.extend(missing);
            }
        }
    }
}
