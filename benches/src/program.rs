//! What the programs that measure have in common around what they measure: how they begin and end, and what they write.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result};
use ostrakon_tests::{interrupt, process::say};
use serde_json::Value;

use crate::against::Plan;

/// Runs `measure`, or what `plan` compares; what broke, and what is worse, makes the exit code 1.
pub fn run(plan: Option<Plan<'_>>, measure: impl FnOnce() -> Result<Vec<String>>) -> ExitCode {
    let begun = interrupt::watch();
    let outcome = begun.and_then(|()| plan.map_or_else(measure, |plan| beside_earlier(&plan)));
    let broken = outcome.unwrap_or_else(|error| vec![format!("{error:#}")]);
    broken.iter().for_each(|what| say(&format!("BROKEN: {what}")));
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Measures this build and an earlier one, and prints the table; returns the figures that are worse.
fn beside_earlier(plan: &Plan<'_>) -> Result<Vec<String>> {
    let comparison = plan.run()?;
    write(&comparison.table(), None)?;
    Ok(comparison.worse().into_iter().map(|what| format!("{what} is worse")).collect())
}

/// Prints a table, and writes its figures into the file of `--json`.
///
/// # Errors
/// When one of them cannot be written.
pub fn write(table: &str, figures: Option<(&Path, Value)>) -> Result<()> {
    io::stdout().write_all(format!("{table}\n").as_bytes()).context("cannot print the table")?;
    if let Some((path, figures)) = figures {
        std::fs::write(path, format!("{figures:#}\n")).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
