//! What a run comes to: losses, repair traffic, and money.

use std::collections::BTreeMap;

use ostrakon_proto::{
    id::Amount,
    ledger::{MemoryRecords, state::Records},
    params::Code,
};

use super::{
    model::Exposure,
    nodes::{Fates, Fleet},
    setting::{self, DAY_EPOCHS, EPOCH_HOURS, RICHES, Setting, YEAR_HOURS},
    strategies::Strategy,
};

/// A year's interest on a bond that is locked.
const INTEREST: f64 = 0.05;
/// What it costs to store a column, as a share of its price.
const STORAGE_COST: f64 = 0.5;
/// Days from a failure to its repair, on average.
const REPAIR_DAYS: f64 = 1.0;

/// What happened to the objects of a run.
#[derive(Clone, Copy, Debug)]
pub struct Census {
    /// Epochs that objects were stored for, together.
    pub object_epochs: u64,
    /// Objects of which fewer than k columns were left.
    pub lost: u32,
    /// Of these, those that the loss of a whole domain took.
    pub lost_in_disasters: u32,
    /// How often the loss of one more domain would have taken an object.
    pub exposed: u32,
    /// Columns that were rebuilt.
    pub rebuilt: u64,
    /// Columns that were moved between nodes to rebuild them.
    pub moved: u64,
    /// Columns that were written off, and came back.
    pub restored: u64,
    /// Storage proofs.
    pub proofs: u64,
    /// The fewest columns that an object had and was not lost.
    pub fewest: u8,
    /// The most columns of an object in one domain.
    pub together: u8,
}

impl Default for Census {
    fn default() -> Self {
        Self {
            object_epochs: 0,
            lost: 0,
            lost_in_disasters: 0,
            exposed: 0,
            rebuilt: 0,
            moved: 0,
            restored: 0,
            proofs: 0,
            fewest: u8::MAX,
            together: 0,
        }
    }
}

/// What a crew did and got.
#[derive(Clone, Copy, Debug)]
pub struct Earnings {
    /// What it does.
    pub strategy: Strategy,
    /// Epochs of columns that it offered.
    pub offered: u64,
    /// Epochs of columns that it had the bytes of.
    pub kept: u64,
    /// What its bonds were, in micro-obols times epochs.
    pub bonded: u128,
    /// Bonds that it locked after the genesis.
    pub bonded_later: u64,
    /// What proofs paid.
    pub paid: u64,
    /// What was taken of its bonds.
    pub slashed: u64,
    /// Bounties of repairs, less fees.
    pub bounties: i128,
}

impl Earnings {
    /// Of a crew that did nothing yet.
    pub const fn none(strategy: Strategy) -> Self {
        Self { strategy, offered: 0, kept: 0, bonded: 0, bonded_later: 0, paid: 0, slashed: 0, bounties: 0 }
    }

    /// Obols in a year for each column offered: paid, slashed, bounties less fees, cost, profit.
    pub fn by_column(&self) -> [f64; 5] {
        let epochs = YEAR_HOURS / EPOCH_HOURS as f64;
        let each = |micro: f64| micro / 1e6 * epochs / self.offered.max(1) as f64;
        let storage = self.kept as f64 * setting::price_of_column().0 as f64 * STORAGE_COST;
        let interest = self.bonded as f64 * INTEREST / epochs;
        let [paid, slashed, bounties, cost] =
            [self.paid as f64, self.slashed as f64, self.bounties as f64, storage + interest].map(each);
        [paid, slashed, bounties, cost, paid - slashed + bounties - cost]
    }

    /// What a column offered for a year brings, in obols.
    pub fn profit(&self) -> f64 {
        self.by_column()[4]
    }
}

/// Reads off the ledger what each crew got in the end.
pub fn settle(earnings: &mut [Earnings], fleet: &Fleet, setting: &Setting, state: &MemoryRecords) {
    let crews: Vec<usize> = (0..fleet.operators.len()).map(|operator| crew_of(fleet, operator)).collect();
    let number = |owner| fleet.operators.iter().position(|key| key.public() == owner);
    for provider in state.providers() {
        let crew = crews[number(provider.owner).expect("all providers are operators'")];
        let bond = setting::bond(setting.crews[crew].capacity);
        earnings[crew].paid += provider.audited.pay.earned.0;
        earnings[crew].slashed += bond.0 - provider.bond.0;
    }
    for (operator, crew) in crews.iter().enumerate() {
        let Amount(balance) = state.account(&fleet.operators[operator].public()).balance;
        earnings[*crew].bounties += i128::from(balance) - i128::from(RICHES.0);
    }
    for crew in earnings {
        crew.bounties += i128::from(crew.bonded_later) - i128::from(crew.paid);
    }
}

fn crew_of(fleet: &Fleet, operator: usize) -> usize {
    fleet.seats.iter().find(|seat| seat.operator == operator).expect("each operator has a seat").crew
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// What it was.
    pub setting: Setting,
    /// What happened to the objects.
    pub census: Census,
    /// What each crew got.
    pub earnings: Vec<Earnings>,
    /// What happened to the nodes.
    pub fates: Fates,
    /// Blocks.
    pub blocks: u64,
    /// Actions that the ledger refused, by why.
    pub refused: BTreeMap<String, u64>,
}

impl RunResult {
    /// Object-years.
    pub fn object_years(&self) -> f64 {
        self.census.object_epochs as f64 / DAY_EPOCHS as f64 / 365.25
    }

    /// Nines of an object-year; when nothing was lost, those that 95 of 100 such runs would show at least.
    pub fn nines(&self) -> Nines {
        match self.census.lost {
            0 => Nines::AtLeast((self.object_years() / 3.0).log10()),
            lost => Nines::Resolved((self.object_years() / f64::from(lost)).log10()),
        }
    }

    /// Columns moved in a year, in multiples of the stored user bytes.
    pub fn traffic(&self) -> f64 {
        self.census.moved as f64 / f64::from(self.setting.code.k) / self.object_years()
    }

    /// Whether nodes fail as seldom as they usually do.
    pub fn is_usual(&self) -> bool {
        self.setting.weather.mttf_days > 300.0
    }

    /// Years.
    pub fn years(&self) -> f64 {
        self.setting.days as f64 / 365.25
    }

    /// What theory expects of it in the long run.
    pub fn exposure(&self) -> Exposure {
        let Setting { code, weather, .. } = self.setting;
        Exposure {
            code,
            repair_at: repair_at(code),
            per_domain: self.census.together.max(1),
            mttf: weather.mttf_days / 365.25,
            repair: REPAIR_DAYS / 365.25,
            disasters: weather.disasters,
            rot: weather.rot,
        }
    }

    /// The traffic that theory expects of its failures and disasters: a hundred nodes have few in a year, and a tenth
    /// more or fewer of them than expected is nothing unusual.
    pub fn expected_traffic(&self) -> f64 {
        let Fates { node_years, failures, disasters } = self.fates;
        let domain_years = self.setting.domains as f64 * self.years();
        let happened = Exposure {
            mttf: node_years / f64::from(failures.max(1)),
            disasters: f64::from(disasters) / domain_years,
            ..self.exposure()
        };
        happened.first_traffic(self.years())
    }
}

/// How durable a run showed objects to be.
#[derive(Clone, Copy, Debug)]
pub enum Nines {
    /// Some were lost.
    Resolved(f64),
    /// None was lost: the run does not resolve more.
    AtLeast(f64),
}

impl std::fmt::Display for Nines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Resolved(nines) => write!(f, "{nines:.1}"),
            Self::AtLeast(nines) => write!(f, ">{nines:.1}"),
        }
    }
}

/// The columns at which an object of this code is repaired.
pub fn repair_at(code: Code) -> u8 {
    setting::params().repair_threshold(code)
}
