//! What was measured, as a table of text.

use ostrakon_benches::table::{aligned, number};

use crate::figures::{Operation, Row};

/// What the columns mean.
const LEGEND: &str = "\
s: median until the command ends. CPU s: of client and daemons, until the daemons are calm again; not the kernel's own
threads. GB, MB: 10^9, 10^6 bytes. peak: highest sum of resident memory over client and daemons, sampled every 50 ms.
stored/B: growth of all daemons' allocated blocks for each byte of the object. holders lost: killed before the get.";

/// One row for each operation on each system.
pub(crate) fn figures(rows: &[Row]) -> String {
    let head = ["system", "operation", "s", "CPU s", "CPU s/GB", "peak MB", "stored/B", "fetched MB", "holders lost"];
    let cells = |row: &Row| {
        let bytes = bytes_text(row.object_bytes);
        let operation = match row.operation {
            Operation::Add => format!("add {bytes}"),
            Operation::Get => format!("get {bytes}"),
            Operation::GetAfterLosses => format!("get {bytes}, holders dead"),
            Operation::FirstByte => format!("first byte of {bytes}"),
            Operation::Range => format!("1 MiB from the middle of {bytes}"),
            Operation::AddDirectory => format!("add {bytes} in files of 4 KiB"),
            Operation::GetDirectory => format!("get {bytes} in files of 4 KiB"),
        };
        vec![
            row.system.to_string(),
            operation,
            number(Some(row.seconds), 3),
            number(row.cpu_seconds, 2),
            number(row.cpu_seconds_per_gb, 1),
            number(row.peak_bytes.map(|bytes| bytes / 1e6), 0),
            number(row.stored_per_byte, 3),
            number(row.fetched_bytes.map(|bytes| bytes / 1e6), 2),
            row.lost.unwrap_or("-").to_owned(),
        ]
    };
    format!("{}\n{LEGEND}", aligned(&head, rows.iter().map(cells).collect()))
}

/// A size as it is chosen: in the largest unit that it is a whole number of.
pub(crate) fn bytes_text(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let whole = units.iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{bytes} B"), |(unit, name)| format!("{} {name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_as_they_were_chosen() {
        let check = |bytes, expect| assert_eq!(bytes_text(bytes), expect);
        check(256 << 20, "256 MiB");
        check(1 << 30, "1 GiB");
        check(4_096_000, "4000 KiB");
        check(1_000_001, "1000001 B");
        check(0, "0 B");
    }
}
