//! A simulated network: nodes that fail and operators that cheat, on the real ledger.
//!
//! An epoch is: what broke; the block that begins it, with the nodes that are new; columns that come back, and losses
//! that are reported; repairs; what broke until its middle; and the proofs. So a node that fails is written off after
//! four epochs without a proof, and its columns are rebuilt in the same epoch if its object needs it: a day after it
//! failed, on average. In goes a [`Setting`], out comes a [`RunResult`].

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use ostrakon_proto::{
    id::{ColumnId, Epoch, NodeId},
    ledger::{
        state::{Commitment, CommitmentId, Records},
        tx::{Action, Consent, Register, Release},
    },
    sign::{Keypair, Purpose},
};

use super::{
    answers,
    chain::{Request, SimulatedChain},
    dice::Dice,
    measure::{self, Census, Earnings, RunResult},
    nodes::{Fleet, GoneColumn, SimulatedNode},
    repairers::{self, DoneRepair},
    setting::{self, BEGIN_MS, EPOCH_HOURS, EPOCH_MS, Setting},
    upkeep,
};

/// Hours of half an epoch.
const HALF_EPOCH: f64 = EPOCH_HOURS as f64 / 2.0;

/// Which column of which object a name is.
#[derive(Clone, Copy, Debug)]
pub struct ColumnPlace {
    /// Number of the object.
    pub object: u32,
    /// Index of the column.
    pub index: u8,
}

/// A network.
#[derive(Debug)]
pub struct SimulatedNetwork {
    /// What it is.
    pub setting: Setting,
    /// Its ledger.
    pub chain: SimulatedChain,
    /// Its nodes.
    pub fleet: Fleet,
    /// Whose objects are stored.
    pub client: Keypair,
    /// The objects that are not lost.
    pub objects: BTreeMap<u32, CommitmentId>,
    /// Which columns the names are of.
    pub places: BTreeMap<ColumnId, ColumnPlace>,
    /// What it does not decide itself.
    pub dice: Dice,
    census: Census,
    earnings: Vec<Earnings>,
    /// Objects whose columns changed since they were counted, and how many of them a disaster took.
    touched: BTreeMap<u32, usize>,
    /// Objects that were lost and are still paid for.
    lost: Vec<CommitmentId>,
    /// Nodes that there were so far.
    nodes: u64,
}

/// Runs a network for as long as its setting says.
///
/// # Errors
/// When the ledger breaks one of its own rules.
pub fn run(setting: Setting) -> Result<RunResult> {
    let Setting { name, seed, .. } = setting;
    let mut network = SimulatedNetwork::found(setting)?;
    for epoch in 1..=network.setting.epochs() {
        let lived = network.open(epoch).and_then(|()| network.close(epoch));
        lived.with_context(|| format!("{name}, seed {seed}, epoch {epoch}"))?;
    }
    Ok(network.result())
}

impl SimulatedNetwork {
    /// The network with all objects stored, at the end of epoch 0.
    ///
    /// # Errors
    /// When it cannot carry them.
    pub fn found(setting: Setting) -> Result<Self> {
        let (mut fleet, client) = (Fleet::new(&setting), setting.key("client", 0));
        let mut offers = Vec::new();
        for seat in 0..fleet.seats.len() {
            let (key, at) = (setting.key("node", seat as u64), fleet.seats[seat]);
            let capacity = setting.crews[at.crew].capacity;
            offers.push(setting::offer(&fleet.operators[at.operator], key.public(), (seat, at.domain), capacity));
            fleet.begin(seat, key, 0.0);
        }
        let genesis = setting.genesis(&client, &fleet.operators, offers);
        let mut network = Self {
            chain: SimulatedChain::found(&genesis, setting.validator())?,
            client,
            objects: BTreeMap::new(),
            places: BTreeMap::new(),
            dice: Dice::new(setting.seed.wrapping_add(1)),
            census: Census::default(),
            earnings: setting.crews.iter().map(|crew| Earnings::none(crew.strategy)).collect(),
            touched: BTreeMap::new(),
            lost: Vec::new(),
            nodes: fleet.seats.len() as u64,
            fleet,
            setting,
        };
        network.chain.submit(BEGIN_MS + 1, &[])?;
        network.store_all()?;
        network.chain.submit(BEGIN_MS + EPOCH_MS / 2 + 1, &[])?;
        network.touched = network.objects.keys().map(|object| (*object, 0)).collect();
        network.count();
        Ok(network)
    }

    /// An epoch begins, with all that is done in it until its middle.
    ///
    /// # Errors
    /// When the ledger breaks one of its own rules.
    pub fn open(&mut self, epoch: u64) -> Result<()> {
        let (start_ms, start_h) = (BEGIN_MS + epoch * EPOCH_MS, ((epoch - 1) * EPOCH_HOURS) as f64);
        self.pass((start_h - HALF_EPOCH).max(0.0), start_h);
        self.begin(start_ms, start_h)?;
        self.look_after(start_ms, start_h)?;
        self.repair(start_ms)?;
        self.count();
        self.release_lost(start_ms)?;
        self.pass(start_h, start_h + HALF_EPOCH);
        Ok(())
    }

    /// The rest of an epoch: nodes prove what they store, as far as they have it and want to.
    ///
    /// # Errors
    /// When the ledger breaks one of its own rules.
    pub fn close(&mut self, epoch: u64) -> Result<()> {
        let willing = self.willing();
        let answer = |id: &NodeId| Some((*id, answers::answer(self, &self.fleet.nodes[id], Epoch(epoch))?));
        let (mut proofs, mut found) = (BTreeMap::new(), Vec::new());
        for (node, answer) in willing.iter().filter_map(answer) {
            match answer {
                Ok((key, proof)) => _ = proofs.insert(key, proof),
                Err(column) => found.push((node, column)),
            }
        }
        for (node, column) in found {
            if self.fleet.crew(&self.fleet.nodes[&node]).strategy.is_careful() {
                self.fleet.nodes.get_mut(&node).expect("it just answered").missed.insert(column);
            }
        }
        self.census.proofs += proofs.len() as u64;
        self.chain.prove(BEGIN_MS + epoch * EPOCH_MS + EPOCH_MS / 2, proofs)
    }

    /// The nodes that prove this epoch if they can; and counts what all offer and store.
    fn willing(&mut self) -> Vec<NodeId> {
        let mut willing = Vec::new();
        for (id, node) in &self.fleet.nodes {
            let (at, crew) = (&mut self.earnings[self.fleet.seats[node.seat].crew], self.fleet.crew(node));
            at.offered += crew.capacity;
            at.kept += node.kept() as u64;
            at.bonded += u128::from(setting::bond(crew.capacity).0);
            if node.is_up && crew.strategy.proves(&mut self.dice) {
                willing.push(*id);
            }
        }
        willing
    }

    /// Time passes.
    fn pass(&mut self, from_h: f64, to_h: f64) {
        for GoneColumn { column, by_disaster } in self.fleet.advance((from_h, to_h)) {
            let Some(place) = self.places.get(&column) else { continue };
            *self.touched.entry(place.object).or_default() += usize::from(by_disaster);
        }
    }

    /// The blocks that begin an epoch: nodes register where others failed, and those written off are swept.
    fn begin(&mut self, now_ms: u64, now_h: f64) -> Result<()> {
        let seats = self.fleet.vacant(now_h);
        let keys: Vec<Keypair> =
            (self.nodes..).take(seats.len()).map(|number| self.setting.key("node", number)).collect();
        self.nodes += keys.len() as u64;
        let new: Vec<Register> = seats.iter().zip(&keys).map(|(seat, key)| self.register(*seat, key)).collect();
        let owner = |seat: &usize| &self.fleet.operators[self.fleet.seats[*seat].operator];
        let new = seats.iter().zip(new).map(|(seat, register)| (owner(seat), Action::Register(register)));
        let applied = self.chain.submit(now_ms, &new.collect::<Vec<_>>())?;
        for ((seat, key), _) in seats.into_iter().zip(keys).zip(applied).filter(|(_, is_applied)| *is_applied) {
            let crew = self.fleet.seats[seat].crew;
            self.earnings[crew].bonded_later += setting::bond(self.setting.crews[crew].capacity).0;
            self.fleet.begin(seat, key, now_h);
        }
        while self.chain.is_sweeping() {
            self.chain.submit(now_ms, &[])?;
        }
        Ok(())
    }

    /// What registers a new node at this seat.
    fn register(&self, seat: usize, key: &Keypair) -> Register {
        let at = self.fleet.seats[seat];
        let owner = &self.fleet.operators[at.operator];
        let capacity = self.setting.crews[at.crew].capacity;
        let offer = setting::offer(owner, key.public(), (seat, at.domain), capacity);
        let consent = Consent { owner: owner.public(), node: offer.node };
        Register {
            node: offer.node,
            addresses: offer.addresses,
            domain: offer.domain,
            price: offer.price,
            capacity: offer.capacity,
            bond: setting::bond(capacity),
            consent: key.sign(Purpose::Consent, &self.chain.rules.chain, &consent),
        }
    }

    /// Nodes compare what they store with the ledger: columns come back, and losses are reported.
    fn look_after(&mut self, now_ms: u64, now_h: f64) -> Result<()> {
        self.fleet.scrub(now_h);
        let mut requests = Vec::new();
        for node in self.fleet.nodes.keys() {
            let wanted = upkeep::wanted(self, &self.fleet.nodes[node]);
            requests.push((*node, wanted));
        }
        let mut actions: Vec<Request<'_>> = Vec::new();
        for (node, wanted) in &requests {
            let owner = self.fleet.owner(&self.fleet.nodes[node]);
            actions.extend(wanted.actions.iter().map(|action| (owner, action.clone())));
        }
        if !actions.is_empty() {
            let applied = self.chain.submit(now_ms, &actions)?;
            let came_back =
                |((_, action), is_applied): &(&Request<'_>, bool)| *is_applied && matches!(action, Action::Restore(_));
            self.census.restored += actions.iter().zip(applied).filter(came_back).count() as u64;
        }
        for (node, wanted) in requests {
            let node = self.fleet.nodes.get_mut(&node).expect("nobody fails meanwhile");
            node.missed.clear();
            for column in wanted.forgotten {
                node.columns.remove(&column);
            }
        }
        Ok(())
    }

    /// Repairs are done and reported.
    fn repair(&mut self, now_ms: u64) -> Result<()> {
        let done = repairers::repair(&self.chain, &self.fleet, self.setting.bandwidth);
        if done.is_empty() {
            return Ok(());
        }
        let report = |repair: &DoneRepair| {
            let rebuilder = &self.fleet.nodes[&repair.repaired.rebuilder];
            (self.fleet.owner(rebuilder), Action::Repaired(repair.repaired.clone()))
        };
        let applied = self.chain.submit(now_ms, &done.iter().map(report).collect::<Vec<_>>())?;
        for (repair, _) in done.into_iter().zip(applied).filter(|(_, is_applied)| *is_applied) {
            self.census.moved += repair.moved;
            self.census.rebuilt += repair.stored.len() as u64;
            for (node, column, cell) in repair.stored {
                self.touched.entry(self.places[&column].object).or_default();
                self.accept(node, column, cell);
            }
        }
        Ok(())
    }

    /// Counts the columns of the objects where they changed.
    fn count(&mut self) {
        for (object, by_disaster) in std::mem::take(&mut self.touched) {
            let Some(commitment) = self.objects.get(&object).and_then(|id| self.chain.state.commitment(id)) else {
                continue;
            };
            let (left, fullest) = self.columns_of(&commitment);
            let needed = usize::from(commitment.code.k);
            if left < needed {
                self.census.lost += 1;
                self.census.lost_in_disasters += u32::from(left + by_disaster >= needed);
                self.lost.extend(self.objects.remove(&object));
                continue;
            }
            self.census.exposed += u32::from(left - fullest < needed);
            let small = |count: usize| u8::try_from(count).expect("a code has at most 255 columns");
            self.census.fewest = self.census.fewest.min(small(left));
            self.census.together = self.census.together.max(small(fullest));
        }
        self.census.object_epochs += self.objects.len() as u64;
    }

    /// How many columns of an object exist, and how many of them in the domain that has the most.
    fn columns_of(&self, commitment: &Commitment) -> (usize, usize) {
        let mut domains: BTreeMap<usize, usize> = BTreeMap::new();
        for slot in &commitment.slots {
            let node = self.fleet.nodes.get(&slot.provider);
            let has = |node: &&SimulatedNode| node.columns.get(&slot.column).is_some_and(Option::is_some);
            if let Some(node) = node.filter(has) {
                *domains.entry(self.fleet.seats[node.seat].domain).or_default() += 1;
            }
        }
        (domains.values().sum(), domains.values().max().copied().unwrap_or(0))
    }

    /// The client gives up the objects that are lost.
    fn release_lost(&mut self, now_ms: u64) -> Result<()> {
        let lost = std::mem::take(&mut self.lost).into_iter();
        let release =
            |id: CommitmentId| (&self.client, Action::Release(Release { object: id.object, extent: id.extent }));
        let releases: Vec<Request<'_>> = lost.map(release).collect();
        if !releases.is_empty() {
            self.chain.submit(now_ms, &releases)?;
        }
        Ok(())
    }

    fn result(mut self) -> RunResult {
        measure::settle(&mut self.earnings, &self.fleet, &self.setting, &self.chain.state);
        RunResult {
            census: self.census,
            earnings: self.earnings,
            fates: self.fleet.fates,
            blocks: self.chain.state.tip().height.0,
            refused: self.chain.refused,
            setting: self.setting,
        }
    }
}
