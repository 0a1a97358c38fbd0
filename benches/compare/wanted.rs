//! What is wanted of the figures: ratios to other systems measured in the same run, and limits. In come rows; out come
//! verdicts, which are printed and never fail anything: machines differ.

use ostrakon_benches::wanted::{Verdict, Wanted};

use crate::{
    content,
    figures::{Operation, Row},
    system::Which,
    table::bytes_text,
};

/// Bytes of a MiB.
const MIB: f64 = 1_048_576.0;

/// The verdicts on all that was measured.
pub(crate) fn verdicts(rows: &[Row]) -> Vec<Verdict> {
    let whole = |row: &&Row| matches!(row.operation, Operation::Add | Operation::Get);
    let mut sizes: Vec<u64> = rows.iter().filter(whole).map(|row| row.object_bytes).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut verdicts: Vec<Verdict> = sizes.iter().flat_map(|size| of_file(rows, *size)).collect();
    verdicts.extend(of_parts(rows));
    verdicts.extend(of_directory(rows));
    verdicts
}

fn of_file(rows: &[Row], size: u64) -> Vec<Verdict> {
    let find = |system, operation| {
        let is_it = |row: &&Row| row.system == system && row.operation == operation && row.object_bytes == size;
        rows.iter().find(is_it)
    };
    let seconds = |system, operation| find(system, operation).map(|row| row.seconds);
    let cpu = |system, operation| find(system, operation)?.cpu_seconds_per_gb;
    let ratio = |above: Option<f64>, below: Option<f64>| Some(above? / below?);
    let (wide, narrow) = (Which::Ostrakon12, Which::Ostrakon6);
    let faster = |peer, operation| ratio(seconds(peer, operation), seconds(wide, operation));
    let slower = ratio(seconds(wide, Operation::GetAfterLosses), seconds(wide, Operation::Get));
    let wishes = [
        ("add 4/12: times as fast as Tahoe", Wanted::AtLeast(5.0), faster(Which::Tahoe, Operation::Add)),
        ("add 4/12: times as fast as Garage", Wanted::AtLeast(2.0), faster(Which::Garage, Operation::Add)),
        ("get 4/12: times as fast as Tahoe", Wanted::AtLeast(8.0), faster(Which::Tahoe, Operation::Get)),
        ("get 4/12: times as fast as Garage", Wanted::AtLeast(1.0), faster(Which::Garage, Operation::Get)),
        ("get 4/12 with 8 holders dead: times the healthy get", Wanted::AtMost(1.5), slower),
        ("add 4/12: CPU s for each GB", Wanted::AtMost(10.0), cpu(wide, Operation::Add)),
        ("add 4/6: CPU s for each GB", Wanted::AtMost(5.0), cpu(narrow, Operation::Add)),
        ("get 4/12: CPU s for each GB", Wanted::AtMost(3.0), cpu(wide, Operation::Get)),
        ("get 4/12 with 8 holders dead: CPU s for each GB", Wanted::AtMost(4.0), cpu(wide, Operation::GetAfterLosses)),
    ];
    let of_size =
        |(what, wanted, measured)| Verdict { what: format!("{}, {what}", bytes_text(size)), wanted, measured };
    wishes.map(of_size).into()
}

/// What a reader of a part waits for and fetches.
fn of_parts(rows: &[Row]) -> [Verdict; 3] {
    let find = |operation| rows.iter().find(|row| row.system == Which::Ostrakon12 && row.operation == operation);
    let (first, range) = (find(Operation::FirstByte), find(Operation::Range));
    let fetched = |row: Option<&Row>| row.and_then(|row| row.fetched_bytes).map(|bytes| bytes / MIB);
    let wish = |what: &str, wanted, measured| Verdict { what: what.to_owned(), wanted, measured };
    [
        wish("first byte of the largest file: ms", Wanted::AtMost(100.0), first.map(|row| row.seconds * 1e3)),
        wish("first byte of the largest file: MiB fetched", Wanted::AtMost(4.0), fetched(first)),
        wish("1 MiB from its middle: MiB fetched", Wanted::AtMost(4.0), fetched(range)),
    ]
}

fn of_directory(rows: &[Row]) -> [Verdict; 3] {
    let find = |operation| rows.iter().find(|row| row.system == Which::Ostrakon12 && row.operation == operation);
    let (add, get) = (find(Operation::AddDirectory), find(Operation::GetDirectory));
    let files = add.map_or_else(String::new, |row| format!("{} ", row.object_bytes / content::SMALL_FILE));
    let wish = |what: &str, wanted, measured| Verdict {
        what: format!("directory of {files}files of 4 KiB, {what}"),
        wanted,
        measured,
    };
    [
        wish("add: s", Wanted::AtMost(1.0), add.map(|row| row.seconds)),
        wish("get: s", Wanted::AtMost(1.0), get.map(|row| row.seconds)),
        wish("stored for each byte", Wanted::AtMost(3.3), add.and_then(|row| row.stored_per_byte)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Figures, Key, Sample};

    fn rows(samples: &[(Which, Operation, f64)]) -> Vec<Row> {
        let mut figures = Figures::default();
        for (system, operation, seconds) in samples {
            let key = Key { system: *system, object_bytes: 1 << 20, operation: *operation };
            let fetched_bytes = Some(2 << 20);
            figures.add(key, Sample { seconds: *seconds, fetched_bytes, ..Sample::default() });
        }
        figures.rows()
    }

    #[test]
    fn ratios_are_of_one_run() {
        let rows = rows(&[
            (Which::Ostrakon12, Operation::Add, 2.0),
            (Which::Ostrakon12, Operation::FirstByte, 0.05),
            (Which::Tahoe, Operation::Add, 11.0),
            (Which::Garage, Operation::Add, 3.0),
        ]);
        let verdicts = verdicts(&rows);
        let check = |what: &str, measured: Option<f64>, met: Option<bool>| {
            let verdict = verdicts.iter().find(|verdict| verdict.what.contains(what)).expect("is there");
            assert_eq!((verdict.measured, verdict.is_met()), (measured, met), "{what}");
        };
        check("add 4/12: times as fast as Tahoe", Some(5.5), Some(true));
        check("add 4/12: times as fast as Garage", Some(1.5), Some(false));
        check("get 4/12: times as fast as Tahoe", None, None);
        check("largest file: ms", Some(50.0), Some(true));
        check("largest file: MiB", Some(2.0), Some(true));
        check("stored for each byte", None, None);
    }
}
