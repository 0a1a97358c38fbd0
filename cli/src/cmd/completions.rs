//! `ostrakon completions`: the script that makes a shell complete our commands.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{args::Cli, output::Output};

/// Runs the command.
///
/// # Errors
/// When stdout is closed or full.
pub(crate) fn run(shell: Shell, out: &Output) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ostrakon", &mut script);
    Ok(out.raw(&script)?)
}
