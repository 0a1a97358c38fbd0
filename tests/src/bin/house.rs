//! `house messages` prints every message of the shipped code, one a line with its place, to be read as a whole;
//! `house lines [DIR]` counts lines of shipped code outside tests, by crate, here or in another checkout.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Result, bail};
use ostrakon_tests::source::{self, Source, scan};

/// Crates that ship, by their directories.
const SHIPPED: [&str; 7] = ["proto", "node", "node/net", "node/transfer", "node/client", "node/gateway", "cli"];
/// What makes a message of a literal that follows it, and what kind.
const MARKS: [(&str, &str); 14] = [
    ("#[error(", "error"),
    ("bail!(", "error"),
    ("ensure!(", "error"),
    ("anyhow!(", "error"),
    (".context(", "error"),
    (".with_context(", "error"),
    ("expect(", "panic"),
    ("panic!(", "panic"),
    ("error!(", "log"),
    ("warn!(", "log"),
    ("info!(", "log"),
    ("debug!(", "log"),
    ("trace!(", "log"),
    ("help = ", "help"),
];
/// Marks of a file whose documentation comments are help texts.
const HELP: [&str; 2] = ["use clap", "clap::"];
/// How far before a literal its mark may be.
const REACH: usize = 120;

fn main() -> ExitCode {
    let printed = run(&std::env::args().skip(1).collect::<Vec<_>>());
    let written = printed.and_then(|text| Ok(io::stdout().write_all(text.as_bytes())?));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr is no reason to stop.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<String> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["messages"] => Ok(source::all().iter().filter(|file| is_shipped(file)).flat_map(messages).collect()),
        ["lines"] => Ok(lines(&source::all())),
        ["lines", dir] => Ok(lines(&source::all_in(&PathBuf::from(dir).canonicalize()?))),
        _ => bail!("usage: house messages | house lines [DIR]"),
    }
}

fn is_shipped(file: &Source) -> bool {
    SHIPPED.contains(&file.package())
}

/// The messages of a file, a line each: place, kind, text.
fn messages(file: &Source) -> Vec<String> {
    let mut found = literals(file);
    if HELP.iter().any(|mark| file.text.contains(mark)) {
        found.extend(help(file));
    }
    found.sort();
    found.into_iter().map(|(line, kind, text)| format!("{}:{line}: {kind}: {text}\n", file.path)).collect()
}

fn literals(file: &Source) -> Vec<(usize, &'static str, String)> {
    let text: Vec<char> = file.text.chars().collect();
    let message = |(at, end): (usize, usize)| {
        let literal: String = text[at..end].iter().collect();
        let is_text = literal.contains(' ') && literal.chars().filter(|char| char.is_alphabetic()).count() > 3;
        let code_before = file.code[..at].iter().rposition(|char| !char.is_whitespace())?;
        if !is_text || file.shipped[code_before].is_whitespace() {
            return None;
        }
        let before: String = text[at.saturating_sub(REACH)..at].iter().collect();
        let mark = MARKS.iter().filter_map(|mark| Some((before.rfind(mark.0)?, mark.1))).max();
        let flat = literal.replace("\\\n", "").split_whitespace().collect::<Vec<_>>().join(" ");
        Some((scan::line_of(&text, at), mark.map_or("text", |mark| mark.1), flat))
    };
    scan::literals(&text).into_iter().filter_map(message).collect()
}

/// Documentation comments, whole paragraphs.
fn help(file: &Source) -> Vec<(usize, &'static str, String)> {
    let mut found: Vec<(usize, &'static str, String)> = Vec::new();
    let mut open = false;
    for (number, line) in file.text.lines().enumerate() {
        let comment = line.trim().strip_prefix("///").map(str::trim).filter(|comment| !comment.is_empty());
        match (comment, found.last_mut()) {
            (Some(comment), Some((_, _, text))) if open => *text = format!("{text} {comment}"),
            (Some(comment), _) => found.push((number + 1, "help", comment.to_owned())),
            _ => {}
        }
        open = comment.is_some();
    }
    found
}

/// A line for each crate: code, and comments, both without tests.
fn lines(files: &[Source]) -> String {
    let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for file in files.iter().filter(|file| is_shipped(file)) {
        let shipped: String = file.shipped.iter().collect();
        if shipped.trim().is_empty() {
            continue;
        }
        let (code, all): (String, String) = (file.code.iter().collect(), file.text.clone());
        let [count, comments] = counts.entry(file.package()).or_default();
        for ((shipped, code), line) in shipped.lines().zip(code.lines()).zip(all.lines()) {
            *count += usize::from(!shipped.trim().is_empty());
            *comments += usize::from(code.trim().is_empty() && line.trim().starts_with("//"));
        }
    }
    let mut text = format!("{:<12} {:>8} {:>10}\n", "crate", "code", "comments");
    let mut sum = [0, 0];
    for (package, [code, comments]) in counts {
        text += &format!("{package:<12} {code:>8} {comments:>10}\n");
        sum = [sum[0] + code, sum[1] + comments];
    }
    text + &format!("{:<12} {:>8} {:>10}\n", "all", sum[0], sum[1])
}
