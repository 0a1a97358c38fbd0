//! What a run is of: how many nodes in how many domains, what breaks, who cheats; and the genesis that follows.
//!
//! Columns of 64 bytes are counted as columns of a GiB: all parameters of a permanent network that are for a GiB are
//! for 64 bytes here, and those that are a number of epochs of an hour are a sixth, as an epoch is six hours. All else
//! is as in the default table.

use ostrakon_proto::{
    codec,
    id::{Amount, NodeId},
    ledger::{
        Genesis, GenesisAccount, GenesisProvider, GenesisValidator, full_bond,
        state::{Domain, Membership},
        vote::ValidatorKeys,
    },
    params::{Audits, Bonds, Code, Params, Repair, Timing},
    sign::Keypair,
};

use super::strategies::Strategy;

/// Hours of an epoch.
pub const EPOCH_HOURS: u64 = 6;
/// Milliseconds of an epoch.
pub const EPOCH_MS: u64 = EPOCH_HOURS * 3_600_000;
/// Hours of a year.
pub const YEAR_HOURS: f64 = 8_766.0;
/// Bytes of a column.
pub const COLUMN: u64 = 64;
/// When a run begins, in milliseconds of Unix time.
pub const BEGIN_MS: u64 = 1_800_000_000_000;
/// Epochs of a day.
pub const DAY_EPOCHS: u64 = 24 / EPOCH_HOURS;

/// Bytes of a GiB for each byte here.
const SCALE: u64 = (1 << 30) / COLUMN;
/// What every provider asks for a GiB and an epoch: 0.88 obol a year.
const PRICE: Amount = Amount(600 * SCALE);
/// What an operator has beside its bonds.
pub const RICHES: Amount = Amount(1_000_000_000_000);

/// When nodes are down for a while.
#[derive(Clone, Copy, Debug)]
pub struct Outages {
    /// The share of time that a node is up.
    pub uptime: f64,
    /// Mean hours of an outage.
    pub hours: f64,
}

/// What breaks.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Mean days until a node fails permanently.
    pub mttf_days: f64,
    /// Days until its operator has another.
    pub replaced_days: f64,
    /// Outages that end.
    pub outages: Option<Outages>,
    /// Losses of a whole domain in a year.
    pub disasters: f64,
    /// Losses of a column alone in a year, which nobody notices until it is asked for, or read.
    pub rot: f64,
}

/// Operators that do the same.
#[derive(Clone, Copy, Debug)]
pub struct Crew {
    /// What they do.
    pub strategy: Strategy,
    /// Their nodes.
    pub seats: usize,
    /// Columns that each node offers.
    pub capacity: u64,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its name in tables.
    pub name: &'static str,
    /// All randomness follows from it.
    pub seed: u64,
    /// The code of all objects.
    pub code: Code,
    /// Domains over which the nodes are spread.
    pub domains: usize,
    /// Objects.
    pub objects: u32,
    /// Days that they are stored for.
    pub days: u64,
    /// What breaks.
    pub weather: Weather,
    /// Columns that a node moves in an epoch for repairs, at most.
    pub bandwidth: u64,
    /// The operators.
    pub crews: Vec<Crew>,
}

impl Setting {
    /// Nodes.
    pub fn nodes(&self) -> usize {
        self.crews.iter().map(|crew| crew.seats).sum()
    }

    /// Epochs, after that in which the objects are committed.
    pub fn epochs(&self) -> u64 {
        self.days * DAY_EPOCHS
    }

    /// The key with this number among those of a purpose.
    pub fn key(&self, purpose: &str, number: u64) -> Keypair {
        let seed = codec::encode(&(self.seed, purpose, number));
        Keypair::from_seed(&blake3::derive_key("ostrakon simulator key 1", &seed))
    }

    /// The keys of the only validator.
    pub fn validator(&self) -> ValidatorKeys {
        ValidatorKeys::from_seed(&self.key("validator", 0).seed())
    }

    /// The genesis: the client, an account for each operator, the first nodes, and one validator.
    pub fn genesis(&self, client: &Keypair, operators: &[Keypair], nodes: Vec<GenesisProvider>) -> Genesis {
        let mut accounts = vec![GenesisAccount { account: client.public(), balance: Amount(1 << 60) }];
        let operators = operators.iter().map(|key| GenesisAccount { account: key.public(), balance: RICHES });
        accounts.extend(operators);
        let (keys, node) = (self.validator(), self.key("validator node", 0));
        let validator = GenesisValidator {
            owner: self.key("validator owner", 0).public(),
            key: keys.vote.public(),
            node: node.public(),
            addresses: addresses(),
            beacon_key: keys.beacon.public(),
            bond: Params::default().bonds.validator,
            domain: domain(usize::MAX, usize::MAX),
        };
        Genesis {
            name: format!("simulated {}", self.seed),
            time_ms: BEGIN_MS,
            bootstrap: Vec::new(),
            membership: Membership::Permissionless,
            params: params(),
            accounts,
            validators: vec![validator],
            providers: nodes,
        }
    }
}

/// The parameters of a permanent network, for columns of 64 bytes and epochs of six hours.
pub fn params() -> Params {
    let usual = Params::default();
    let (scaled, hours) = (|amount: Amount| Amount(amount.0 * SCALE), |hours: u64| hours / EPOCH_HOURS);
    let Params { time, bonds, audits, repair, .. } = usual.clone();
    Params {
        time: Timing {
            epoch_ms: EPOCH_MS,
            window_blocks: 1,
            beacon_blocks: 1,
            trash_epochs: hours(time.trash_epochs),
            ..time
        },
        draw_epochs: hours(usual.draw_epochs),
        bonds: Bonds {
            gib: scaled(bonds.gib),
            pay_epochs: hours(bonds.pay_epochs),
            unbonding_epochs: hours(bonds.unbonding_epochs),
            ..bonds
        },
        audits: Audits {
            probation_epochs: hours(audits.probation_epochs),
            starter_bytes: audits.starter_bytes / SCALE,
            ramp_epochs: hours(audits.ramp_epochs),
            maintenance_epochs: hours(audits.maintenance_epochs),
            maintenance_every: hours(audits.maintenance_every),
            ..audits
        },
        repair: Repair {
            suspect_epochs: hours(repair.suspect_epochs),
            turn_epochs: hours(repair.turn_epochs),
            forfeit_epochs: hours(repair.forfeit_epochs),
            lost_epochs: hours(repair.lost_epochs),
            gib: scaled(repair.gib),
        },
        ..usual
    }
}

/// What a node offers that has space for so many columns.
pub fn offer(owner: &Keypair, node: NodeId, (seat, of): (usize, usize), capacity: u64) -> GenesisProvider {
    GenesisProvider {
        owner: owner.public(),
        node,
        addresses: addresses(),
        price: PRICE,
        capacity: capacity * COLUMN,
        bond: None,
        proven: None,
        domain: domain(seat, of),
    }
}

/// The bond of such a node.
pub fn bond(capacity: u64) -> Amount {
    full_bond(&params().bonds, capacity * COLUMN, PRICE)
}

/// What a column costs for an epoch.
pub fn price_of_column() -> Amount {
    Amount(PRICE.0 / SCALE)
}

fn addresses() -> Vec<String> {
    vec!["/ip4/127.0.0.1/tcp/1".to_owned()]
}

/// The domain of a seat: an operator of its own, on shared infrastructure.
fn domain(seat: usize, of: usize) -> Domain {
    Domain {
        operator: format!("operator-{seat}"),
        infrastructure: format!("cloud-{of}"),
        region: format!("region-{of}"),
    }
}
