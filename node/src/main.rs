//! `ostrakon-node`, the daemon: arguments in, exit code out; the work is in [`daemon`] and the library.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

mod daemon;

/// Returns what is not used for ten seconds to the system. glibc keeps what an attack made it take.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
