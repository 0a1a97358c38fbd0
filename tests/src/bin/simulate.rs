//! `simulate [--quick] [--seed N] [DIR]`: simulated networks over simulated years, in a table on stdout and in
//! `simulate.txt` in DIR, and a plot in `simulate.svg` there. Fails when something is not as it should be.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use ostrakon_tests::simulate::{Thoroughness, plot, simulate, table};

/// What it was told.
struct Arguments {
    effort: Thoroughness,
    seed: u64,
    dir: PathBuf,
}

fn main() -> ExitCode {
    let told = std::env::args().skip(1).collect();
    match arguments(told).and_then(|arguments| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr is no reason to stop.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn arguments(told: Vec<String>) -> Result<Arguments> {
    let mut arguments = Arguments { effort: Thoroughness::Full, seed: 1, dir: PathBuf::from("target/simulate") };
    let mut words = told.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => arguments.effort = Thoroughness::Quick,
            "--seed" => arguments.seed = words.next().context("--seed needs a number")?.parse()?,
            flag if flag.starts_with('-') => bail!("usage: simulate [--quick] [--seed N] [DIR]"),
            dir => arguments.dir = PathBuf::from(dir),
        }
    }
    Ok(arguments)
}

fn run(arguments: &Arguments) -> Result<()> {
    let told = |name: &str| _ = writeln!(io::stderr(), "done: {name}");
    let simulation = simulate(arguments.seed, arguments.effort, told)?;
    let (tables, findings) = (table::tables(&simulation), table::findings(&simulation));
    let dir = &arguments.dir;
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    fs::write(dir.join("simulate.txt"), &tables)?;
    fs::write(dir.join("simulate.svg"), plot::plot(&simulation))?;
    io::stdout().write_all(tables.as_bytes())?;
    match findings.as_slice() {
        [] => Ok(()),
        all => bail!("not as it should be: {}", all.join("; ")),
    }
}
