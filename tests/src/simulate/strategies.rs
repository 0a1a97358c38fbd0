//! What operators do for money: honest storage, and the ways to be paid for less.
//!
//! In comes what a strategy has to decide about; out comes what it does. What it earns by that the real ledger says.

use super::{dice::Dice, setting::Outages};

/// How an operator runs its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Stores what it signed for, proves every epoch, looks after its disks, and reports what it lost.
    Honest,
    /// As honest, but down for a day at a time, a seventh of the time.
    Late,
    /// Stores all, but skips a fifth of the proofs.
    Lazy,
    /// Deletes so many percent of the columns that it signed for, and proves when it is asked for others.
    Dropper(u8),
    /// One operator with many identities in invented domains: where they are to store more than k columns of an object,
    /// it deletes those beyond k, and computes them from the others when it is asked.
    Sybil,
}

impl Strategy {
    /// Its name in tables.
    pub fn name(self) -> String {
        match self {
            Self::Honest => "honest".to_owned(),
            Self::Late => "late: down a day at a time, 15 %".to_owned(),
            Self::Lazy => "lazy: skips 20 % of the proofs".to_owned(),
            Self::Dropper(percent) => format!("drops {percent} %"),
            Self::Sybil => "Sybil: many small identities".to_owned(),
        }
    }

    /// When its nodes are down, where others are so often.
    pub fn outages(self, others: Option<Outages>) -> Option<Outages> {
        if self == Self::Late { Some(Outages { uptime: 0.85, hours: 24.0 }) } else { others }
    }

    /// Whether all its identities are one operator's.
    pub fn is_one_operator(self) -> bool {
        self == Self::Sybil
    }

    /// Whether it reads its disks now and then, and reports what is not there.
    pub fn is_careful(self) -> bool {
        matches!(self, Self::Honest | Self::Late | Self::Lazy)
    }

    /// Whether it proves this epoch, if it can.
    pub fn proves(self, dice: &mut Dice) -> bool {
        !(self == Self::Lazy && dice.happens(0.2))
    }

    /// Whether it keeps a column that it has signed for, when its identities keep `others` columns of the object, of
    /// which any `enough` make all.
    pub fn keeps(self, dice: &mut Dice, others: usize, enough: usize) -> bool {
        match self {
            Self::Dropper(percent) => !dice.happens(f64::from(percent) / 100.0),
            Self::Sybil => others < enough,
            Self::Honest | Self::Late | Self::Lazy => true,
        }
    }
}
