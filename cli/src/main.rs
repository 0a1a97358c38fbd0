//! The command `ostrakon`. In comes the command line; out come data on stdout, words on stderr and the exit code.
//!
//! [`args`] parses, [`cmd`] has one file per command, [`output`] and [`progress`] speak, [`exit`] says what a failure
//! means, [`objects`] remembers what was added, [`target`] is what is read. How objects are stored and fetched is the
//! SDK's.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::{Parser, error::ErrorKind as ClapKind};
use ostrakon::ErrorKind;
use tracing_subscriber::EnvFilter;

mod args;
mod cmd;
mod exit;
mod objects;
mod output;
mod progress;
mod target;
mod time;

use args::{Cli, Global};
use exit::ErrorObject;
use output::{Output, Stdout};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let stdout = if cli.command.writes_bytes() { Stdout::Bytes } else { Stdout::Answer };
    let out = Output::new(cli.global.json, cli.global.quiet, stdout);
    log(&cli.global);
    match run(cli, &out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if exit::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let (kind, message) = (exit::kind(&error), exit::message(&error));
            out.error(&message);
            if out.is_json() && !exit::is_answered(&error) {
                out.object(&ErrorObject::new(kind, message));
            }
            exit::code(kind)
        }
    }
}

fn run(cli: Cli, out: &Output) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(Box::pin(cmd::run(cli, out)));
    // A read from stdin cannot be called back: it must not keep a finished command waiting.
    runtime.shutdown_background();
    result
}

/// What clap says: help and version are no failure; a wrong command line is, and under `--json` an object as well.
fn refuse(error: &clap::Error) -> ExitCode {
    let helps = matches!(error.kind(), ClapKind::DisplayHelp | ClapKind::DisplayVersion);
    // Nothing is left to do when the terminal is gone.
    let _ = error.print();
    if helps {
        return ExitCode::SUCCESS;
    }
    if std::env::args_os().any(|word| word == "--json") {
        let words = error.to_string();
        let first: Vec<&str> = words.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
        let message = first.join(" ").trim_start_matches("error: ").to_owned();
        Output::new(true, true, Stdout::Answer).object(&ErrorObject::new(ErrorKind::Usage, message));
    }
    exit::code(ErrorKind::Usage)
}

/// Logs of the libraries, on stderr; `RUST_LOG` overrides `-v`.
fn log(global: &Global) {
    let default = match (global.quiet, global.verbose) {
        (true, 0) => "off",
        // Who lies is named, whether anyone wants to know more or not.
        (false, 0) => "off,ostrakon=warn",
        (_, 1) => "warn,ostrakon=info,ostrakon_net=info",
        (_, 2) => "info,ostrakon=debug,ostrakon_net=debug",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    log.with_ansi(io::stderr().is_terminal()).init();
}
