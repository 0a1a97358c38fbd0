//! The chain's parameter table: what each network decides for itself, in its genesis or later by a proposal.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{id::Amount, limits};

/// An erasure code: any `k` of `n` columns restore the extent. `1 <= k < n <= 255`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// Columns needed to restore an extent.
    pub k: u8,
    /// Columns of an extent.
    pub n: u8,
}

/// The text is not a code `K/N`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid code {0:?}: need K/N with 1 <= K < N <= 255, for example 4/12")]
pub struct BadCode(pub String);

impl Code {
    /// The code `k` of `n`.
    ///
    /// # Errors
    /// [`BadCode`] unless `1 <= k < n`.
    pub fn new(k: u8, n: u8) -> Result<Self, BadCode> {
        let code = Self { k, n };
        if code.is_valid() { Ok(code) } else { Err(BadCode(code.to_string())) }
    }

    /// Whether `1 <= k < n`; decoding alone does not ensure it.
    pub fn is_valid(self) -> bool {
        1 <= self.k && self.k < self.n
    }

    /// Columns that may be lost.
    pub fn spare(self) -> u8 {
        self.n - self.k
    }

    /// The repair threshold R of a code given by hand: `min(n-1, k + ceil(5(n-k)/8))` (ARCHITECTURE 4).
    pub fn repair_threshold(self) -> u8 {
        let lazy = u16::from(self.k) + (5 * u16::from(self.spare())).div_ceil(8);
        u8::try_from(lazy.min(u16::from(self.n) - 1)).expect("at most n - 1")
    }

    /// Receipts that certify a commitment: `max(n - f, k + f)` with f = floor((n-1)/3), at most n (ARCHITECTURE 4). So
    /// f of those who signed may lie, and k are left; and f holders that do not answer stop nobody.
    pub fn receipts_needed(self) -> u8 {
        let faulty = (self.n - 1) / 3;
        (self.n - faulty).max(self.k.saturating_add(faulty)).min(self.n)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.k, self.n)
    }
}

impl std::str::FromStr for Code {
    type Err = BadCode;

    fn from_str(text: &str) -> Result<Self, BadCode> {
        let parts = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        parts.and_then(|(k, n)| Self::new(k, n).ok()).ok_or_else(|| BadCode(text.chars().take(16).collect()))
    }
}

/// Durability class: how much parity an object gets. The table maps it to a code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Class {
    /// The default: the more durable code.
    #[default]
    Standard,
    /// Cheaper: fewer parity columns.
    Economy,
}

/// Which code an object gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum CodeChoice {
    /// What the network's table has for this class and as many providers as there are.
    Class(Class),
    /// This one.
    Code(Code),
}

impl Default for CodeChoice {
    fn default() -> Self {
        Self::Class(Class::Standard)
    }
}

/// One row of the classes table: from this many eligible providers on, these codes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassRow {
    /// Fewest eligible providers for this row.
    pub providers: u32,
    /// Code of the standard class.
    pub standard: Code,
    /// Its repair threshold R.
    pub standard_repair: u8,
    /// Code of the economy class.
    pub economy: Code,
    /// Its repair threshold R.
    pub economy_repair: u8,
}

/// The largest number that a genesis file can hold: TOML's integers are signed.
pub const FILE_NUMBER_MAX: u64 = i64::MAX.unsigned_abs();

/// The shortest epoch: one second.
const EPOCH_MS_MIN: u64 = 1_000;
/// The shortest pause between blocks of a network with nothing to do: 100 blocks a second.
const BLOCK_MS_MIN: u64 = 10;

/// Why a parameter table is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamsError {
    /// Below the least that the rules work with.
    #[error("params.{name} = {value} is too small: at least {least} is needed")]
    TooSmall {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The least value allowed.
        least: u64,
    },
    /// More than a genesis file can hold.
    #[error("params.{name} = {value} is too large: at most {FILE_NUMBER_MAX} is possible")]
    TooLarge {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: u64,
    },
    /// Not within bounds.
    #[error("params.{name} = {value} is out of range: {least} to {most} is allowed")]
    Range {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: u64,
        /// The least value allowed.
        least: u64,
        /// The greatest.
        most: u64,
    },
    /// Not a percentage within bounds.
    #[error("params.{name} = {value} is out of range: 1 to 100 is allowed, and 0 only for bonds.slash_percent")]
    Percent {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: u8,
    },
    /// A row of the classes table has an invalid code, a threshold outside k..n, or no more providers than the row
    /// before.
    #[error(
        "params.classes: row {row} is invalid: codes need 1 <= K < N and K <= repair < N, providers must rise from row \
         to row, and at most {max} rows are allowed", max = limits::CLASSES
    )]
    Class {
        /// Its number, from 0.
        row: usize,
    },
}

/// Bonds and deposits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bonds {
    /// Least bond of a provider, locked at registration; it stands behind nothing that it stores.
    pub provider: Amount,
    /// Bond behind each GiB that a provider stores, at least.
    pub gib: Amount,
    /// Epochs of pay that its bond has behind what it stores, where that is more.
    pub pay_epochs: u64,
    /// Least bond of a validator; where anyone may join, its whole obols are its votes.
    pub validator: Amount,
    /// Deposit of a proposal, returned when the proposal ends.
    pub proposal: Amount,
    /// Deposit of a name, returned when the name is removed.
    pub name: Amount,
    /// Least balance of an account that owns nothing else: with less it could not even pay a fee.
    pub account: Amount,
    /// Unbonding time: epochs that a bond stays locked after its provider or validator has left. For that long a
    /// validator is liable for what it signed.
    pub unbonding_epochs: u64,
    /// Percent of its bond that a validator loses for equivocation.
    pub slash_percent: u8,
}

impl Default for Bonds {
    /// Unbonding takes three weeks at an hour an epoch: long enough to notice an equivocation and to submit evidence.
    /// Behind what is stored is twice the pay of 30 days.
    fn default() -> Self {
        Self {
            provider: Amount(100_000_000),
            gib: Amount(1_000_000),
            pay_epochs: 1_440,
            validator: Amount(1_000_000_000),
            proposal: Amount(100_000_000),
            name: Amount(1_000_000),
            account: Amount(1_000),
            unbonding_epochs: 504,
            slash_percent: 5,
        }
    }
}

/// Voting periods, and how much of a network one infrastructure may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Governance {
    /// Epochs that a proposal may be voted on.
    pub proposal_epochs: u64,
    /// Percent of all voting power that the validators on one infrastructure may have; 100 lifts the limit.
    pub max_power_share: u8,
    /// Percent of all stored bytes that the providers on one infrastructure may store; 100 lifts the limit.
    pub max_stored_share: u8,
}

impl Default for Governance {
    /// A week to vote, and no infrastructure that could halt the network or lose its data.
    fn default() -> Self {
        Self { proposal_epochs: 168, max_power_share: 20, max_stored_share: 33 }
    }
}

/// Fees of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fees {
    /// Of any transaction.
    pub base: Amount,
    /// Of each of its bytes, on top.
    pub byte: Amount,
}

impl Default for Fees {
    /// A thousandth of an obol, and a thousandth of that for each byte.
    fn default() -> Self {
        Self { base: Amount(1_000), byte: Amount(1) }
    }
}

/// Lengths of epochs, and the pace of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// Milliseconds that an epoch lasts at least: terms, unbonding and trust are counted in epochs.
    pub epoch_ms: u64,
    /// Blocks of an epoch after both its middle and its beacon, at least, before the next may begin: room for proofs.
    pub window_blocks: u64,
    /// Proposers whose signatures make an epoch's beacon: as many in a row would have to collude to choose it.
    pub beacon_blocks: u64,
    /// Milliseconds from one block to the next while there is nothing to do.
    pub block_ms: u64,
    /// Epochs that a released column stays in a holder's trash; at least `draw_epochs`.
    pub trash_epochs: u64,
}

impl Default for Timing {
    /// Epochs of an hour, a block a second, and a week in the trash.
    fn default() -> Self {
        Self { epoch_ms: 3_600_000, window_blocks: 256, beacon_blocks: 32, block_ms: 1_000, trash_epochs: 168 }
    }
}

/// Audits, and what they pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audits {
    /// Leaves of a proof.
    pub leaves: u8,
    /// Leaves of a proof of a provider that has missed nothing for `probation_epochs`, where there are more than
    /// `few_providers`.
    pub proven_leaves: u8,
    /// Providers up to which every proof has all leaves.
    pub few_providers: u32,
    /// Epochs for which a provider has all leaves to show after it registered, and after it missed one.
    pub probation_epochs: u64,
    /// Epochs missed in a row after which a provider is suspended.
    pub suspend_after: u32,
    /// Percent of a provider's pay that validators get, half of it who included the proof.
    pub fee_percent: u8,
    /// Bytes that a provider may take before it has proven any.
    pub starter_bytes: u64,
    /// Epochs in which the bytes that a provider has proven come to count in full: it may take as many again. 0 lifts
    /// the bound.
    pub ramp_epochs: u64,
    /// Epochs in a row that a provider may announce to be away for, without a fault. 0 forbids it.
    pub maintenance_epochs: u64,
    /// Epochs between the begins of two such times of one provider, at least.
    pub maintenance_every: u64,
}

impl Default for Audits {
    /// With four leaves an epoch, a provider that dropped a twentieth is caught within a day four times of five.
    fn default() -> Self {
        Self {
            leaves: limits::AUDIT_LEAVES,
            proven_leaves: 1,
            few_providers: 2_000,
            probation_epochs: 720,
            suspend_after: 2,
            fee_percent: 4,
            starter_bytes: 1 << 40,
            ramp_epochs: 24,
            maintenance_epochs: 12,
            maintenance_every: 720,
        }
    }
}

/// Repair of what providers lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Repair {
    /// Epochs in a row that a provider proves nothing, after which its columns count as lost.
    pub suspect_epochs: u64,
    /// Epochs that a drawn provider has to rebuild columns, before another is drawn.
    pub turn_epochs: u64,
    /// Epochs after which a provider pays for a column that it lost, even if nobody has rebuilt it.
    pub forfeit_epochs: u64,
    /// Epochs with fewer than k live columns after which a commitment ends.
    pub lost_epochs: u64,
    /// What is paid for each GiB that a repair moves.
    pub gib: Amount,
}

impl Default for Repair {
    /// Lost after a day without a proof, six hours to rebuild, a week until a lost column is paid for, and 30 days
    /// for holders to bring an object back.
    fn default() -> Self {
        Self { suspect_epochs: 24, turn_epochs: 6, forfeit_epochs: 168, lost_epochs: 720, gib: Amount(10_000) }
    }
}

/// The parameter table of one chain.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Params {
    /// Lengths of epochs, and the pace of blocks.
    pub time: Timing,
    /// Epochs that a draw stays valid, its own included: long enough for the largest upload.
    pub draw_epochs: u64,
    /// Draws of an account in an epoch: how many sets of holders it can choose among.
    pub draws: u32,
    /// Fewest infrastructures an extent must be spread over; 1 also lifts the rule that the loss of one domain is
    /// always survived (for devnets).
    pub min_domains: u8,
    /// Fees of transactions.
    pub fees: Fees,
    /// Longest term of a commitment, in epochs.
    pub term_epochs: u64,
    /// Credit: bytes that a holder stores temporarily for an account, per obol of its balance.
    pub credit_bytes: u64,
    /// Bonds and deposits.
    pub bonds: Bonds,
    /// Voting periods and shares.
    pub governance: Governance,
    /// Audits, and what they pay.
    pub audits: Audits,
    /// Repair of what providers lost.
    pub repair: Repair,
    /// Codes by number of eligible providers, in rising order of `providers`.
    pub classes: Vec<ClassRow>,
}

impl Default for Params {
    /// A permanent network (ARCHITECTURE 4, 5).
    fn default() -> Self {
        Self {
            time: Timing::default(),
            draw_epochs: 24,
            draws: 16,
            min_domains: 3,
            fees: Fees::default(),
            term_epochs: 87_600,
            credit_bytes: 1 << 40,
            bonds: Bonds::default(),
            governance: Governance::default(),
            audits: Audits::default(),
            repair: Repair::default(),
            classes: default_classes(),
        }
    }
}

/// The table of ARCHITECTURE 4.
fn default_classes() -> Vec<ClassRow> {
    let row = |providers, standard: (u8, u8, u8), economy: (u8, u8, u8)| ClassRow {
        providers,
        standard: Code { k: standard.0, n: standard.1 },
        standard_repair: standard.2,
        economy: Code { k: economy.0, n: economy.1 },
        economy_repair: economy.2,
    };
    vec![
        row(3, (1, 3, 2), (1, 3, 2)),
        row(4, (2, 4, 3), (2, 4, 3)),
        row(6, (3, 6, 5), (3, 6, 5)),
        row(10, (4, 9, 8), (4, 9, 8)),
        row(13, (4, 12, 9), (6, 12, 10)),
        row(30, (8, 24, 18), (16, 32, 26)),
        row(100, (20, 50, 36), (20, 40, 32)),
    ]
}

impl Params {
    /// The code of this choice with so many eligible providers; `None` when they are too few for the class.
    pub fn code(&self, choice: CodeChoice, eligible: usize) -> Option<Code> {
        match choice {
            CodeChoice::Code(code) => Some(code),
            CodeChoice::Class(class) => self.class(class, eligible).map(|(code, _)| code),
        }
    }

    /// Code and repair threshold of `class` with this many eligible providers: of the last row for at most this many
    /// whose code has no more columns than there are providers; `None` when there are too few.
    pub fn class(&self, class: Class, providers: usize) -> Option<(Code, u8)> {
        let rows =
            self.classes.iter().rev().filter(|row| usize::try_from(row.providers).is_ok_and(|min| min <= providers));
        let mut codes = rows.map(|row| match class {
            Class::Standard => (row.standard, row.standard_repair),
            Class::Economy => (row.economy, row.economy_repair),
        });
        codes.find(|(code, _)| usize::from(code.n) <= providers)
    }

    /// Checks that every parameter is within bounds.
    ///
    /// # Errors
    /// [`ParamsError`] names the first one that is not.
    pub fn validate(&self) -> Result<(), ParamsError> {
        let numbers = [
            ("time.epoch_ms", self.time.epoch_ms, EPOCH_MS_MIN),
            ("time.window_blocks", self.time.window_blocks, 1),
            ("time.beacon_blocks", self.time.beacon_blocks, 1),
            ("time.block_ms", self.time.block_ms, BLOCK_MS_MIN),
            // Until an epoch's beacon is complete, draws come from the epoch before.
            ("draw_epochs", self.draw_epochs, 2),
            ("draws", u64::from(self.draws), 1),
            ("min_domains", u64::from(self.min_domains), 1),
            ("term_epochs", self.term_epochs, 1),
            ("credit_bytes", self.credit_bytes, 0),
            // A receipt can be committed again while its draw is valid: its column must still be stored then.
            ("time.trash_epochs", self.time.trash_epochs, self.draw_epochs),
            ("bonds.pay_epochs", self.bonds.pay_epochs, 0),
            ("bonds.unbonding_epochs", self.bonds.unbonding_epochs, 1),
            ("governance.proposal_epochs", self.governance.proposal_epochs, 1),
            ("audits.probation_epochs", self.audits.probation_epochs, 0),
            ("audits.starter_bytes", self.audits.starter_bytes, 0),
            ("audits.ramp_epochs", self.audits.ramp_epochs, 0),
            ("audits.maintenance_epochs", self.audits.maintenance_epochs, 0),
            ("audits.maintenance_every", self.audits.maintenance_every, 1),
            ("repair.suspect_epochs", self.repair.suspect_epochs, 1),
            ("repair.forfeit_epochs", self.repair.forfeit_epochs, 1),
            ("repair.lost_epochs", self.repair.lost_epochs, 1),
        ];
        for (name, value, least) in numbers {
            if value < least {
                return Err(ParamsError::TooSmall { name, value, least });
            }
            if value > FILE_NUMBER_MAX {
                return Err(ParamsError::TooLarge { name, value });
            }
        }
        let percents = [
            ("bonds.slash_percent", self.bonds.slash_percent, 0),
            ("governance.max_power_share", self.governance.max_power_share, 1),
            ("governance.max_stored_share", self.governance.max_stored_share, 1),
        ];
        let Audits { leaves, proven_leaves, suspend_after, fee_percent, .. } = self.audits;
        let counts = [
            ("audits.leaves", u64::from(leaves), 1, u64::from(limits::AUDIT_LEAVES)),
            ("audits.proven_leaves", u64::from(proven_leaves), 1, u64::from(limits::AUDIT_LEAVES)),
            ("audits.suspend_after", u64::from(suspend_after), 1, u64::from(u32::MAX)),
            ("audits.fee_percent", u64::from(fee_percent), 0, 100),
            // The turn before can be finished while its draw is valid.
            ("repair.turn_epochs", self.repair.turn_epochs, 1, (self.draw_epochs / 2).max(1)),
        ];
        if let Some((name, value, least, most)) =
            counts.into_iter().find(|(_, value, least, most)| !(*least..=*most).contains(value))
        {
            return Err(ParamsError::Range { name, value, least, most });
        }
        if let Some((name, value, _)) = percents.into_iter().find(|(_, value, least)| !(*least..=100).contains(value)) {
            return Err(ParamsError::Percent { name, value });
        }
        self.validate_classes()
    }

    fn validate_classes(&self) -> Result<(), ParamsError> {
        if self.classes.len() > limits::CLASSES {
            return Err(ParamsError::Class { row: limits::CLASSES });
        }
        let mut before = None;
        for (row, class) in self.classes.iter().enumerate() {
            let sound = |code: Code, repair: u8| code.is_valid() && code.k <= repair && repair < code.n;
            let codes = sound(class.standard, class.standard_repair) && sound(class.economy, class.economy_repair);
            if !codes || before >= Some(class.providers) {
                return Err(ParamsError::Class { row });
            }
            before = Some(class.providers);
        }
        Ok(())
    }

    /// The repair threshold of `code`: that of the table if the table has the code, else [`Code::repair_threshold`].
    pub fn repair_threshold(&self, code: Code) -> u8 {
        let rows = self
            .classes
            .iter()
            .flat_map(|row| [(row.standard, row.standard_repair), (row.economy, row.economy_repair)]);
        rows.into_iter().find(|(row, _)| *row == code).map_or_else(|| code.repair_threshold(), |(_, repair)| repair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_that_of_the_design() {
        let params = Params::default();
        let check = |providers, class, expect: Option<(u8, u8, u8)>| {
            let got = params.class(class, providers).map(|(code, repair)| (code.k, code.n, repair));
            assert_eq!(got, expect, "{providers} providers");
        };
        check(2, Class::Standard, None);
        check(3, Class::Standard, Some((1, 3, 2)));
        check(5, Class::Standard, Some((2, 4, 3)));
        check(6, Class::Standard, Some((3, 6, 5)));
        check(14, Class::Standard, Some((4, 12, 9)));
        check(14, Class::Economy, Some((6, 12, 10)));
        check(30, Class::Standard, Some((8, 24, 18)));
        check(31, Class::Economy, Some((6, 12, 10)));
        check(32, Class::Economy, Some((16, 32, 26)));
        check(99, Class::Economy, Some((16, 32, 26)));
        check(100_000, Class::Standard, Some((20, 50, 36)));
    }

    #[test]
    fn codes_given_by_hand_get_a_threshold_and_receipts() {
        let check = |text: &str, repair, receipts| {
            let code: Code = text.parse().expect("valid");
            assert_eq!((code.repair_threshold(), code.receipts_needed()), (repair, receipts), "{text}");
        };
        check("1/3", 2, 3);
        check("2/4", 3, 3);
        check("3/6", 5, 5);
        check("4/6", 6 - 1, 5);
        check("4/9", 8, 7);
        check("4/12", 9, 9);
        check("20/50", 39, 36);
        check("35/36", 35, 36);
        for bad in ["", "4", "4/4", "0/3", "5/4", "4/256", "a/b", "-1/3"] {
            assert!(bad.parse::<Code>().is_err(), "{bad}");
        }
    }
}
