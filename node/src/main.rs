//! `ostrakon-node`, the daemon: arguments in, exit code out; the work is in [`daemon`] and the library.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

mod daemon;

fn main() -> ExitCode {
    match daemon::Args::parse().perform() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is closed, there is nowhere to report to.
            let _closed = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
