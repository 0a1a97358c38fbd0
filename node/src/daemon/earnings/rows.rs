//! What `earnings` prints: sums, and a row for each epoch, day or column, as text, comma-separated values or JSON.
//!
//! In JSON amounts are whole micro-obols, for programs; elsewhere obols. The rates of all columns add up to what the
//! next proof pays, before fees.

use std::collections::{BTreeMap, BTreeSet};

use ostrakon_node::chain::rocks::beside::{Stored, StoredSlot};
use ostrakon_proto::{
    id::{AccountId, Amount, Epoch, ObjectId},
    ledger::state::FaultReason,
};
use serde::{Serialize, Serializer};

use super::Line;
use crate::daemon::status::FaultStatus;

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;
/// Rows that are printed for people: the newest.
const ROWS: usize = 30;
/// The reason for an epoch of which the ledger has nothing against the node, or not any more.
const UNPROVEN: &str = "nothing-proven";

/// All that is printed.
#[derive(Debug, Serialize)]
pub(super) struct Earnings {
    #[serde(flatten)]
    pub(super) sums: Sums,
    #[serde(flatten)]
    pub(super) rows: Rows,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Sums {
    /// In all, as the ledger has it.
    #[serde(serialize_with = "micro")]
    pub(super) paid: Amount,
    /// Of that, what the journal does not have: paid while none was kept.
    #[serde(serialize_with = "micro")]
    pub(super) before_journal: Amount,
    /// For the epoch in progress, if it is not paid yet, before fees.
    #[serde(serialize_with = "micro")]
    pub(super) pending: Amount,
    /// For each epoch of what is stored now, before fees.
    #[serde(serialize_with = "micro")]
    pub(super) expected: Amount,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Rows {
    Epochs(Vec<EpochRow>),
    Days(Vec<DayRow>),
    Slots(Vec<SlotRow>),
}

/// An epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct EpochRow {
    epoch: Epoch,
    /// When its proof was seen, in milliseconds of Unix time.
    time_ms: Option<u64>,
    /// Its price, before fees; unknown where it was not proven.
    #[serde(serialize_with = "micro_if_any")]
    rate: Option<Amount>,
    proven: bool,
    #[serde(serialize_with = "micro")]
    paid: Amount,
    /// Why there is no pay: the ledger's reasons, if it has any.
    reason: Option<String>,
}

/// A day on which something was paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct DayRow {
    /// When it began, in milliseconds of Unix time.
    time_ms: u64,
    /// The last epoch that was proven on it.
    epoch: Epoch,
    /// Epochs that were proven.
    proven: u64,
    #[serde(serialize_with = "micro")]
    paid: Amount,
}

/// A column that the node stores, and its pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct SlotRow {
    object: ObjectId,
    extent: u32,
    index: u8,
    /// The account that pays.
    owner: AccountId,
    /// What the next proof pays for it, before fees: nothing once its commitment has ended.
    #[serde(serialize_with = "micro")]
    rate: Amount,
    /// The epoch in which the node began to store it.
    since: Epoch,
    /// The first epoch that is not paid for.
    end: Epoch,
    /// Epochs proven since it was settled: since it began, or its commitment was extended or released.
    proven: u64,
    /// What these were paid, before fees.
    #[serde(serialize_with = "micro")]
    due: Amount,
}

fn micro<S: Serializer>(amount: &Amount, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(amount.0)
}

fn micro_if_any<S: Serializer>(amount: &Option<Amount>, serializer: S) -> Result<S::Ok, S::Error> {
    amount.map(|amount| amount.0).serialize(serializer)
}

/// A row for each epoch from the first line on, also of those that were not proven, as far as the ledger has settled
/// these.
pub(super) fn by_epoch(lines: &[Line], faults: &[FaultStatus]) -> Vec<EpochRow> {
    let unproven = |epoch| {
        let reason = Some(reason_of(epoch, faults));
        EpochRow { epoch, time_ms: None, rate: None, proven: false, paid: Amount::ZERO, reason }
    };
    let mut rows = Vec::new();
    let mut next = lines.first().map_or(Epoch(0), |line| line.epoch);
    for line in lines {
        rows.extend((next.0..line.epoch.0).map(Epoch).map(unproven));
        let Line { epoch, time_ms, rate, paid, .. } = *line;
        rows.push(EpochRow { epoch, time_ms: Some(time_ms), rate: Some(rate), proven: true, paid, reason: None });
        next = line.epoch.after(1);
    }
    let since = faults.iter().filter(|fault| fault.epoch >= next && fault.is_silence()).map(|fault| fault.epoch);
    rows.extend(since.collect::<BTreeSet<Epoch>>().into_iter().map(unproven));
    rows
}

/// Why an epoch was not proven, by what the ledger has against the node.
fn reason_of(epoch: Epoch, faults: &[FaultStatus]) -> String {
    let of_epoch = faults.iter().filter(|fault| fault.epoch == epoch);
    let silence = of_epoch.flat_map(|fault| &fault.reasons);
    let names: Vec<&str> = silence.copied().map(FaultReason::name).collect();
    if names.is_empty() { UNPROVEN.to_owned() } else { names.join(" ") }
}

/// A row for each day on which something was paid.
pub(super) fn by_day(lines: &[Line]) -> Vec<DayRow> {
    let mut days: BTreeMap<u64, DayRow> = BTreeMap::new();
    for line in lines {
        let day = line.time_ms / DAY_MS * DAY_MS;
        let none = DayRow { time_ms: day, epoch: line.epoch, proven: 0, paid: Amount::ZERO };
        let row = days.entry(day).or_insert(none);
        row.epoch = line.epoch;
        row.proven += 1;
        row.paid = row.paid.plus(line.paid).unwrap_or(row.paid);
    }
    days.into_values().collect()
}

/// A row for each column that is stored, in the order of objects.
pub(super) fn by_commitment(stored: &Stored) -> Vec<SlotRow> {
    let pay = &stored.provider.audited.pay;
    let row = |slot: &StoredSlot| SlotRow {
        object: slot.commitment.object,
        extent: slot.commitment.extent,
        index: slot.index,
        owner: slot.commitment.owner,
        rate: slot.rate(pay),
        since: slot.slot.since,
        end: slot.end,
        proven: slot.proven(pay),
        due: slot.due(pay),
    };
    let mut rows: Vec<SlotRow> = stored.slots.iter().map(row).collect();
    rows.sort_by_key(|row| (row.object, row.extent, row.owner, row.index));
    rows
}

impl Rows {
    pub(super) fn as_csv(&self) -> String {
        let (head, rows): (_, Vec<String>) = match self {
            Self::Epochs(rows) => {
                ("epoch,time_ms,rate_obols,proven,paid_obols,reason", rows.iter().map(EpochRow::as_csv).collect())
            }
            Self::Days(rows) => ("time_ms,epoch,proven,paid_obols", rows.iter().map(DayRow::as_csv).collect()),
            Self::Slots(rows) => (
                "object,extent,index,owner,rate_obols,since,end,proven,due_obols",
                rows.iter().map(SlotRow::as_csv).collect(),
            ),
        };
        std::iter::once(head.to_owned()).chain(rows).map(|line| line + "\n").collect()
    }

    /// What people read: the newest epochs or days, and every column.
    fn as_text(&self) -> Vec<String> {
        match self {
            Self::Epochs(rows) => newest(rows).iter().map(EpochRow::as_text).collect(),
            Self::Days(rows) => newest(rows).iter().map(DayRow::as_text).collect(),
            Self::Slots(rows) => rows.iter().map(SlotRow::as_text).collect(),
        }
    }
}

fn newest<T>(rows: &[T]) -> &[T] {
    &rows[rows.len().saturating_sub(ROWS)..]
}

impl EpochRow {
    fn as_csv(&self) -> String {
        let Self { epoch, time_ms, rate, proven, paid, reason } = self;
        let time_ms = time_ms.map(|ms| ms.to_string()).unwrap_or_default();
        let rate = rate.map(|rate| rate.to_string()).unwrap_or_default();
        format!("{epoch},{time_ms},{rate},{proven},{paid},{}", reason.as_deref().unwrap_or_default())
    }

    fn as_text(&self) -> String {
        match &self.reason {
            Some(reason) => format!("epoch {:<10} {reason}", self.epoch),
            None => format!("epoch {:<10} {} obols", self.epoch, self.paid),
        }
    }
}

impl DayRow {
    fn as_csv(&self) -> String {
        let Self { time_ms, epoch, proven, paid } = self;
        format!("{time_ms},{epoch},{proven},{paid}")
    }

    fn as_text(&self) -> String {
        let Self { epoch, proven, paid, .. } = self;
        format!("epoch {epoch:<10} {paid} obols for {proven} epochs up to it")
    }
}

impl SlotRow {
    fn as_csv(&self) -> String {
        let Self { object, extent, index, owner, rate, since, end, proven, due } = self;
        format!("{object},{extent},{index},{owner},{rate},{since},{end},{proven},{due}")
    }

    fn as_text(&self) -> String {
        let Self { object, extent, index, rate, since, end, proven, due, .. } = self;
        format!(
            "{object} extent {extent} column {index}: {rate} obols an epoch from {since} until {end}; {due} for the \
             last {proven}"
        )
    }
}

impl Earnings {
    pub(super) fn as_text(&self) -> String {
        let Sums { paid, before_journal, pending, expected } = &self.sums;
        let sums =
            [("paid", paid), ("of it before", before_journal), ("this epoch", pending), ("each epoch", expected)];
        let sums = sums.map(|(name, amount)| format!("{name:<16} {amount} obols"));
        sums.into_iter().chain(self.rows.as_text()).map(|line| line + "\n").collect()
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::id::Height;
    use serde_json::json;

    use super::*;

    fn line(epoch: u64, time_ms: u64, paid: u64, earned: u64) -> Line {
        let (epoch, rate) = (Epoch(epoch), Amount(paid + 1));
        Line { epoch, height: Height(epoch.0), time_ms, rate, paid: Amount(paid), earned: Amount(earned) }
    }

    fn faults() -> Vec<FaultStatus> {
        let reasons = vec![FaultReason::Missed, FaultReason::Suspended];
        vec![FaultStatus::new(Epoch(5), reasons, [1; 32])]
    }

    #[test]
    fn epochs_without_a_proof_have_a_row_and_a_reason() {
        let lines = [line(3, 5, 10, 10), line(6, DAY_MS - 1, 20, 30), line(7, DAY_MS, 1, 31)];
        let rows = by_epoch(&lines, &faults());
        let seen: Vec<_> = rows.iter().map(|row| (row.epoch.0, row.paid.0, row.reason.as_deref())).collect();
        let silent = [(4, 0, Some("nothing-proven")), (5, 0, Some("missed suspended"))];
        assert_eq!(seen, [&[(3, 10, None)], &silent[..], &[(6, 20, None), (7, 1, None)]].concat());
        let days: Vec<_> = by_day(&lines).iter().map(|row| (row.time_ms, row.proven, row.paid.0)).collect();
        assert_eq!(days, [(0, 2, 30), (DAY_MS, 1, 1)]);
        assert_eq!((by_epoch(&[], &[]), by_day(&[])), (vec![], vec![]));
        let newest: Vec<_> =
            by_epoch(&lines[..1], &faults()).into_iter().map(|row| (row.epoch.0, row.proven)).collect();
        assert_eq!(newest, [(3, true), (5, false)], "after the last proof too");
        let csv = Rows::Epochs(rows[..2].to_vec()).as_csv();
        let head = "epoch,time_ms,rate_obols,proven,paid_obols,reason\n";
        assert_eq!(csv, head.to_owned() + "3,5,0.000011,true,0.00001,\n4,,,false,0,nothing-proven\n");
    }

    #[test]
    fn programs_read_whole_micro_obols() {
        let sums = Sums { paid: Amount(7), before_journal: Amount(1), pending: Amount(2), expected: Amount(3_000_000) };
        let rows = Rows::Epochs(by_epoch(&[line(3, 5, 10, 10)], &[]));
        let epoch = json!({ "epoch": 3, "time_ms": 5, "rate": 11, "proven": true, "paid": 10, "reason": null });
        let expect = json!({ "paid": 7, "before_journal": 1, "pending": 2, "expected": 3_000_000, "epochs": [epoch] });
        assert_eq!(serde_json::to_value(Earnings { sums, rows }).expect("JSON"), expect);
        let slots = serde_json::to_value(Earnings { sums, rows: Rows::Slots(vec![]) }).expect("JSON");
        assert_eq!(slots["slots"], json!([]));
    }
}
