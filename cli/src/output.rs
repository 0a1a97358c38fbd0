//! The one place that writes to the terminal. In go messages, tables and objects; out they go: data to stdout, messages
//! to stderr, colour only on a terminal. Under `--json` there is exactly one object, and nothing else on stderr.
//! Progress bars are in [`crate::progress`].

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::Serialize;

use crate::exit::Ending;

/// How text looks on a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// As it is.
    #[default]
    Plain,
    /// A heading.
    Bold,
    /// Less important.
    Dim,
    /// Good.
    Green,
    /// Bad, or gone.
    Red,
}

/// Whether styles show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paint(bool);

impl Paint {
    /// No styles at all.
    pub(crate) const PLAIN: Self = Self(false);

    fn of(terminal: bool) -> Self {
        Self(terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    /// `text` in this style.
    pub(crate) fn text(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Green => "32",
            Style::Red => "31",
            Style::Plain => return text.to_owned(),
        };
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Where a command's answer and its messages go.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// Whether the one object of `--json` is written.
    answered: Arc<AtomicBool>,
    json: bool,
    quiet: bool,
    stdout: Stdout,
    stdout_terminal: bool,
    stderr_terminal: bool,
}

/// Whose stdout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stdout {
    /// The answer's, as text or as an object.
    Answer,
    /// The bytes of an object: answers go to stderr.
    Bytes,
}

impl Output {
    /// As the global flags say.
    pub(crate) fn new(json: bool, quiet: bool, stdout: Stdout) -> Self {
        let (stdout_terminal, stderr_terminal) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self { answered: Arc::default(), json, quiet, stdout, stdout_terminal, stderr_terminal }
    }

    /// Whether a person watches stderr and wants to see progress.
    pub(crate) fn shows_progress(&self) -> bool {
        let disturbs = self.stdout == Stdout::Bytes && self.stdout_terminal;
        self.stderr_terminal && !self.quiet && !self.json && !disturbs
    }

    /// The command's answer: `object` under `--json`, else `text` unless it is empty. Where stdout has an object's
    /// bytes, stderr has the answer.
    ///
    /// # Errors
    /// When stdout is closed or full.
    pub(crate) fn answer<T: Serialize>(&self, object: &T, text: impl FnOnce(Paint) -> String) -> io::Result<()> {
        match (self.json, self.stdout) {
            (true, _) => self.write_object(object),
            (false, Stdout::Bytes) => {
                self.words(&text(Paint::of(self.stderr_terminal)));
                Ok(())
            }
            (false, Stdout::Answer) => {
                let text = text(Paint::of(self.stdout_terminal));
                if text.is_empty() { Ok(()) } else { write_line(io::stdout().lock(), &text) }
            }
        }
    }

    /// Writes the one object; what comes after it is not written.
    fn write_object<T: Serialize>(&self, object: &T) -> io::Result<()> {
        if self.answered.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let text = serde_json::to_string(object)?;
        match self.stdout {
            Stdout::Answer => write_line(io::stdout().lock(), &text),
            Stdout::Bytes => write_line(io::stderr().lock(), &text),
        }
    }

    /// Raw text for another program, such as a completion script.
    ///
    /// # Errors
    /// When stdout is closed or full.
    pub(crate) fn raw(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// A message for the person who waits; not under `-q` or `--json`. A closed stderr is no reason to fail.
    pub(crate) fn words(&self, text: &str) {
        if !self.quiet && !self.json && !text.is_empty() {
            let _ = write_line(io::stderr().lock(), text);
        }
    }

    /// Whether the person at the terminal agrees; `None` where nobody can be asked.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn confirmed(&self, question: &str) -> io::Result<Option<bool>> {
        if self.json || !self.stderr_terminal || !io::stdin().is_terminal() {
            return Ok(None);
        }
        let mut stderr = io::stderr().lock();
        write!(stderr, "{question} [y/N] ")?;
        stderr.flush()?;
        let mut reply = String::new();
        io::stdin().read_line(&mut reply)?;
        Ok(Some(matches!(reply.trim(), "y" | "Y" | "yes")))
    }

    /// A part of a longer report that is itself the command's answer for people; under `--json` only the object is.
    ///
    /// # Errors
    /// When stdout is closed or full.
    pub(crate) fn story(&self, text: impl FnOnce(Paint) -> String) -> io::Result<()> {
        if self.quiet || self.json {
            return Ok(());
        }
        write_line(io::stdout().lock(), &text(Paint::of(self.stdout_terminal)))
    }

    /// Whether `--json` was given.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Why the command failed: on stderr whatever the flags, or the one object of `--json`, unless the answer was
    /// that. Nothing is left to do if writing it fails.
    pub(crate) fn failure(&self, ending: &Ending) {
        if self.json {
            let _ = self.write_object(&ending.object());
            return;
        }
        let paint = Paint::of(self.stderr_terminal);
        let _ = write_line(io::stderr().lock(), &format!("{} {ending}", paint.text(Style::Red, "error:")));
    }
}

fn write_line(mut to: impl Write, text: &str) -> io::Result<()> {
    writeln!(to, "{text}")?;
    to.flush()
}

/// Rows in aligned columns, each row after `indent` spaces.
#[derive(Debug, Default)]
pub(crate) struct Table {
    indent: usize,
    rows: Vec<Vec<(Style, String)>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(indent: usize) -> Self {
        Self { indent, rows: Vec::new() }
    }

    /// A table of names and their values.
    pub(crate) fn of<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let mut table = Self::new(0);
        rows.into_iter().for_each(|(name, value)| table.plain([name.to_owned(), value]));
        table
    }

    /// Adds a heading.
    pub(crate) fn head<const N: usize>(mut self, cells: [&str; N]) -> Self {
        self.rows.push(cells.iter().map(|cell| (Style::Dim, (*cell).to_owned())).collect());
        self
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<(Style, String)>) {
        self.rows.push(cells);
    }

    /// Adds a row without styles.
    pub(crate) fn plain<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into_iter().map(|cell| (Style::Plain, cell)).collect());
    }

    /// The table's lines, without a line end after the last.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|(_, text)| text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let lines: Vec<String> = self.rows.iter().map(|row| self.line(row, &widths, paint)).collect();
        lines.join("\n")
    }

    /// One row; the last cell is not padded, so that no line ends in spaces.
    fn line(&self, row: &[(Style, String)], widths: &[usize], paint: Paint) -> String {
        let mut line = " ".repeat(self.indent);
        for (column, ((style, text), width)) in row.iter().zip(widths).enumerate() {
            line.push_str(&paint.text(*style, text));
            if column + 1 < row.len() {
                line.push_str(&" ".repeat(width - text.chars().count() + 2));
            }
        }
        line.trim_end().to_owned()
    }
}

/// A count of bytes for people: `24.0 MiB`.
pub(crate) fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = "";
    for name in UNITS {
        tenths = (tenths + 512) / 1024;
        unit = name;
        if tenths < 10_240 {
            break;
        }
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// Bytes a second, for people: `31.2 MiB/s`.
pub(crate) fn rate_text(bytes: u64, seconds: f64) -> String {
    let millis = std::time::Duration::try_from_secs_f64(seconds).map_or(u128::MAX, |time| time.as_millis()).max(1);
    let rate = u128::from(bytes) * 1_000 / millis;
    format!("{}/s", bytes_text(u64::try_from(rate).unwrap_or(u64::MAX)))
}

/// A number of things, for people: `1 entry`, `2 entries`. `many` is the plural.
pub(crate) fn count_text(count: impl Into<u128>, one: &str, many: &str) -> String {
    let count = count.into();
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_and_end_without_spaces() {
        let mut table = Table::new(2).head(["name", "size"]);
        table.plain(["a".to_owned(), "1".to_owned()]);
        table.plain(["longer".to_owned(), String::new()]);
        assert_eq!(table.render(Paint::PLAIN), "  name    size\n  a       1\n  longer");
    }

    #[test]
    fn styles_do_not_change_the_width() {
        let mut table = Table::new(0);
        table.row(vec![(Style::Red, "x".to_owned()), (Style::Plain, "1".to_owned())]);
        table.row(vec![(Style::Plain, "yy".to_owned()), (Style::Plain, "2".to_owned())]);
        assert_eq!(table.render(Paint(true)), "\x1b[31mx\x1b[0m   1\nyy  2");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!(count_text(1u8, "entry", "entries"), "1 entry");
        assert_eq!(count_text(0u8, "entry", "entries"), "0 entries");
        assert_eq!(count_text(12u64, "entry", "entries"), "12 entries");
    }

    #[test]
    fn json_has_one_object() {
        let out = Output::new(true, false, Stdout::Answer);
        out.answer(&1, |_| String::new()).expect("written");
        assert!(out.answered.load(Ordering::Relaxed), "what fails after the answer adds no object");
    }

    #[test]
    fn sizes_read_well() {
        let check = |bytes, expect: &str| assert_eq!(bytes_text(bytes), expect, "{bytes}");
        check(0, "0 B");
        check(1023, "1023 B");
        check(1024, "1.0 KiB");
        check(24 << 20, "24.0 MiB");
        check((1 << 40) - 1, "1.0 TiB");
        check(u64::MAX, "16.0 EiB");
        assert_eq!(rate_text(24 << 20, 2.0), "12.0 MiB/s");
        assert_eq!(rate_text(10, 4.0), "2 B/s");
        assert_eq!(rate_text(0, 0.0), "0 B/s");
    }
}
