//! `bench-wan`: how much of a line adds and gets use, where it is slow, long or lossy, and how many round trips a small
//! file takes.
//!
//! [`cases`] says which lines and files, and what is wanted; [`home`] is a client behind such a line, with a network of
//! real nodes, each in a place of its own; [`plain`] is what plain TCP carries over the same line, and [`trips`] counts
//! round trips in the record of packets. It needs the right to make network namespaces.
//!
//! The exit code is 1 where something is not as wanted.

mod cases;
mod home;
mod plain;
mod trips;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::{Parser, Subcommand};
use ostrakon_benches::{
    program,
    wanted::{self, Verdict, Wanted},
};
use ostrakon_tests::{process::say, router};

use crate::{
    cases::{Case, Kind, plan},
    home::{Home, Moved},
};

/// Measures adds and gets over lines that are slow, long and lossy, and prints one table.
#[derive(Debug, Parser)]
#[command(name = "bench-wan", max_term_width = 110)]
struct Options {
    /// Fewer lines and smaller files: five minutes instead of forty
    #[arg(long)]
    quick: bool,
    /// Only the cases whose names have this in them; may be given more than once
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    #[command(subcommand)]
    command: Option<Inner>,
}

/// What this program runs inside the places that it makes.
#[derive(Debug, Subcommand)]
enum Inner {
    /// Takes and sends bytes over plain TCP
    #[command(hide = true)]
    Plain(plain::Args),
}

fn main() -> ExitCode {
    let options = Options::parse();
    program::run(None, || match &options.command {
        Some(Inner::Plain(args)) => plain::run(args).map(|()| Vec::new()),
        None => measure(&options),
    })
}

/// Measures what was chosen; what is not as wanted comes out.
fn measure(options: &Options) -> Result<Vec<String>> {
    if let Err(missing) = router::permitted() {
        return Ok(vec![format!("this machine permits no network namespaces: {missing}")]);
    }
    let begun = Instant::now();
    let chosen = |case: &Case| options.only.is_empty() || options.only.iter().any(|text| case.name().contains(text));
    let cases: Vec<Case> = plan(options.quick).into_iter().filter(chosen).collect();
    let mut verdicts = Vec::new();
    let mut home: Option<Home> = None;
    for case in &cases {
        if home.as_ref().is_none_or(|home| home.nodes() != case.nodes()) {
            drop(home.take());
            home = Some(Home::start(case.nodes())?);
        }
        let Some(home) = &mut home else { continue };
        say(&format!("==> {}", case.name()));
        match run(home, case) {
            Ok(found) => verdicts.extend(found),
            Err(error) => {
                say(&format!("{}: {error:#}", case.name()));
                let wanted = Wanted::AtLeast(case.wanted);
                verdicts.push(Verdict { what: format!("{}: failed", case.name()), wanted, measured: None });
            }
        }
    }
    program::write(&wanted::table(&verdicts), None)?;
    say(&format!("{} minutes in all", begun.elapsed().as_secs() / 60));
    let missed = verdicts.iter().filter(|verdict| verdict.is_met() != Some(true));
    Ok(missed.map(|verdict| format!("not as wanted: {}", verdict.what)).collect())
}

fn run(home: &mut Home, case: &Case) -> Result<Vec<Verdict>> {
    match case.kind {
        Kind::Line => line(home, case),
        Kind::Loss => loss(home, case),
        Kind::Trips => round_trips(home, case),
        Kind::SlowHolder => slow_holder(home, case),
    }
}

/// Part of what the line carries.
fn line(home: &mut Home, case: &Case) -> Result<Vec<Verdict>> {
    let carried = case.mbit * 1e6 / 8.0 * 0.94;
    let (added, got) = home.there_and_back(case)?;
    Ok(vec![share(case, "add", &added, carried), share(case, "get", &got, carried)])
}

/// Part of what as many plain connections carry.
fn loss(home: &mut Home, case: &Case) -> Result<Vec<Verdict>> {
    let (n, k) = (usize::from(case.code.n), usize::from(case.code.k));
    let [up, down] = [(n, true), (k, false)].map(|(streams, up)| home.plain(case, streams, up));
    let (added, got) = home.there_and_back(case)?;
    Ok(vec![share(case, "add", &added, up?), share(case, "get", &got, down?)])
}

fn share(case: &Case, verb: &str, moved: &Moved, carried: f64) -> Verdict {
    let rate = moved.bytes / moved.took.as_secs_f64();
    let what = format!("{}: {verb}, of what the line carries", case.name());
    say(&format!("{verb} {:.1} s, {:.2} MB/s of {:.2}", moved.took.as_secs_f64(), rate / 1e6, carried / 1e6));
    Verdict { what, wanted: Wanted::AtLeast(case.wanted), measured: Some(rate / carried) }
}

fn round_trips(home: &mut Home, case: &Case) -> Result<Vec<Verdict>> {
    let (added, got) = home.there_and_back(case)?;
    let verdict = |verb: &str, moved: &Moved, wanted: f64| {
        let trips = trips::longest(&moved.passed, Duration::from_millis(case.rtt_ms));
        say(&format!("{verb} {:.1} s, {trips} round trips", moved.took.as_secs_f64()));
        let measured = u32::try_from(trips).ok().map(f64::from);
        Verdict { what: format!("{}: {verb}, round trips", case.name()), wanted: Wanted::AtMost(wanted), measured }
    };
    Ok(vec![verdict("add", &added, 11.0), verdict("get", &got, 7.0)])
}

/// How much longer with one holder that is a hundred times slower.
fn slow_holder(home: &mut Home, case: &Case) -> Result<Vec<Verdict>> {
    let before = home.there_and_back(case)?;
    let slow = home.slow_holder(case)?;
    let ratio = |verb: &str, before: &Moved, after: &Moved| {
        let measured = after.took.as_secs_f64() / before.took.as_secs_f64();
        say(&format!("{verb} {:.1} s, {:.1} s without", after.took.as_secs_f64(), before.took.as_secs_f64()));
        let what = format!("{}: {verb}, times as long as without", case.name());
        Verdict { what, wanted: Wanted::AtMost(case.wanted), measured: Some(measured) }
    };
    Ok(vec![ratio("add", &before.0, &slow.0), ratio("get", &before.1, &slow.1)])
}
