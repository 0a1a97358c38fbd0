//! `ostrakon-node`: the daemon. Arguments in, exit code out; all it does is in [`daemon`] and the library.

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
            // Whoever closed our standard error does not want to know.
            let _closed = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
