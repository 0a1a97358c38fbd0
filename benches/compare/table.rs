//! Tables of text: what was measured, and what was wanted.

use crate::{
    figures::{Operation, Row},
    wanted::{Verdict, Wanted},
};

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

/// One row for each wish.
pub(crate) fn verdicts(verdicts: &[Verdict]) -> String {
    let cells = |verdict: &Verdict| {
        let wanted = match verdict.wanted {
            Wanted::AtLeast(bound) => format!(">= {bound}"),
            Wanted::AtMost(bound) => format!("<= {bound}"),
        };
        let word = verdict.is_met().map_or("not measured", |met| if met { "ok" } else { "NOT" });
        vec![verdict.what.clone(), wanted, number(verdict.measured, 2), word.to_owned()]
    };
    aligned(&["wanted of", "wanted", "measured", ""], verdicts.iter().map(cells).collect())
}

/// A size as it is chosen: in the largest unit that it is a whole number of.
pub(crate) fn bytes_text(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let whole = units.iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{bytes} B"), |(unit, name)| format!("{} {name}", bytes / unit))
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// Columns as wide as their widest cell; the first two begin at the left, numbers end at the right.
fn aligned(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let is_text = |column: usize| lines.iter().skip(1).any(|line| line[column].contains(char::is_alphabetic));
    let pad = |(column, cell): (usize, &String)| {
        let width = width(column);
        if is_text(column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
    };
    let text = |line: &Vec<String>| line.iter().enumerate().map(pad).collect::<Vec<_>>().join("  ");
    lines.iter().map(|line| text(line).trim_end().to_owned()).collect::<Vec<_>>().join("\n")
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

    #[test]
    fn columns_are_aligned() {
        let rows = vec![vec!["a b".to_owned(), "1.50".to_owned()], vec!["c".to_owned(), "10.25".to_owned()]];
        assert_eq!(aligned(&["what", "s"], rows), "what      s\na b    1.50\nc     10.25");
    }

    #[test]
    fn a_wish_that_nothing_was_measured_for_says_so() {
        let verdict = |measured| Verdict { what: "x".to_owned(), wanted: Wanted::AtLeast(2.0), measured };
        let text = verdicts(&[verdict(Some(2.0)), verdict(Some(1.9)), verdict(None)]);
        let words: Vec<&str> = text.lines().skip(1).map(|line| line.rsplit("  ").next().unwrap_or("")).collect();
        assert_eq!(words, ["ok", "NOT", "not measured"]);
    }
}
