//! The command `ostrakon`. In comes the command line; out come data on stdout, messages on stderr and the exit code.
//!
//! [`args`] parses, [`cmd`] has one file per command, [`output`] and [`progress`] write to the terminal, [`exit`] turns
//! a failure into its code and message, [`home`] finds and unlocks the profile, [`target`] reads links, [`redact`]
//! hides their keys. Storing and fetching is the SDK's.

use std::{
    io::{self, IsTerminal},
    pin::pin,
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, error::ErrorKind as ClapKind};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

mod args;
mod cmd;
mod exit;
mod home;
mod output;
mod progress;
mod redact;
mod target;
mod time;

use args::{Cli, Global};
use cmd::Home;
use exit::{Ending, Signal, usage};
use output::{Output, Stdout};

/// What a command comes to: the SDK's error is the command's.
type Result<T, E = ostrakon::Error> = std::result::Result<T, E>;

fn main() -> ExitCode {
    redact::hide_links();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let stdout = if cli.command.writes_bytes() { Stdout::Bytes } else { Stdout::Answer };
    let out = Output::new(cli.global.json, cli.global.quiet, stdout);
    log(&cli.global);
    match run(cli, &out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ending) if ending.is_closed_pipe() => ExitCode::from(exit::CLOSED_PIPE),
        Err(ending) => {
            out.failure(&ending);
            ending.code()
        }
    }
}

/// How long a command that does not react to a signal, because it waits for a person to type, may continue.
const GRACE: Duration = Duration::from_millis(500);

/// Runs the command, and closes its connections.
fn run(cli: Cli, out: &Output) -> Result<(), Ending> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Ending::Failed(error.into()))?;
    let home = Home::new(&cli.global);
    let result = runtime.block_on(async {
        let drains = cli.command.drains();
        let work = Box::pin(cmd::run(cli.command, &home, out));
        let result = if drains { work.await.map_err(Ending::Failed) } else { until_signal(work).await };
        if result.is_err() {
            home.settle().await;
        }
        home.close().await;
        result
    });
    // A read from stdin cannot be cancelled: it must not hold up a command that has ended.
    runtime.shutdown_background();
    result
}

/// Works until the end, or until a signal: then the work is dropped, so that it cleans up.
async fn until_signal(work: impl Future<Output = Result<()>>) -> Result<(), Ending> {
    let signal = Signal::catch().map_err(|error| Ending::Failed(error.into()))?;
    let (send, receive) = oneshot::channel();
    let listening = tokio::spawn(async move {
        let signal = signal.await;
        let _ = send.send(signal);
        tokio::time::sleep(GRACE).await;
        #[expect(clippy::exit, reason = "what does not react to a signal cannot be ended in any other way")]
        std::process::exit(i32::from(signal.exit_code()));
    });
    let mut work = pin!(work);
    tokio::select! {
        biased;
        Ok(signal) = receive => {
            // It reacts: cleaning up, when the work is dropped, may take longer.
            listening.abort();
            Err(Ending::Interrupted(signal))
        }
        done = &mut work => done.map_err(Ending::Failed),
    }
}

/// What clap found: help and version go to stdout; a wrong command line is a failure, and under `--json` its object.
fn refuse(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ClapKind::DisplayHelp | ClapKind::DisplayVersion) {
        // Nothing is left to do when the terminal is gone.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let json = std::env::args_os().any(|arg| arg == "--json");
    // Clap repeats what was typed, keys of links and all.
    let text = redact::redact(&error.to_string(), std::env::args_os());
    let ending = if json {
        let first: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
        Ending::Failed(usage(first.join(" ").trim_start_matches("error: ")))
    } else {
        Ending::Failed(usage(text.trim_start_matches("error: ").trim_end()))
    };
    Output::new(json, false, Stdout::Answer).failure(&ending);
    ending.code()
}

/// Logs of the libraries, on stderr; `RUST_LOG` overrides `-v`.
fn log(global: &Global) {
    let default = match (global.quiet || global.json, global.verbose) {
        (true, 0) => "off",
        // A node whose claims its own proofs contradict is named, with or without -v.
        (false, 0) => "off,ostrakon=warn",
        (_, 1) => "warn,ostrakon=info,ostrakon_gateway=info,ostrakon_net=info",
        (_, 2) => "info,ostrakon=debug,ostrakon_gateway=debug,ostrakon_net=debug",
        _ => "debug",
    };
    // What a gateway's clients do wrong is answered, and no error of ours; and s3s logs requests with their signatures.
    let filter = |wanted: &str| EnvFilter::builder().parse(format!("{wanted},s3s=off"));
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).map(|wanted| filter(&wanted));
    let filter = wanted.ok().and_then(Result::ok).unwrap_or_else(|| EnvFilter::new(format!("{default},s3s=off")));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    log.with_ansi(io::stderr().is_terminal()).init();
}
