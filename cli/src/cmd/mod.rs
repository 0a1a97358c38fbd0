//! The commands, one file each, and what several of them need: the profile, randomness and the clock.

use crate::{args::Command, output::Output};

pub(crate) use crate::home::Home;

mod add;
mod anchor;
mod bucket;
mod car;
mod cat;
mod certificate;
mod demo;
mod devnet;
mod doctor;
mod gateway;
mod generate;
mod get;
mod governance;
mod init;
mod key;
mod ledger;
mod ls;
pub(crate) mod name;
mod providers;
mod renew;
mod repair;
mod rm;
mod status;
mod uploads;
mod verify;
mod wallet;

/// Runs the command.
///
/// # Errors
/// As the command's file says.
pub(crate) async fn run(command: Command, home: &Home, out: &Output) -> crate::Result<()> {
    match command {
        Command::Init(args) => init::run(&args, home, out),
        Command::Key { command } => key::run(command, home, out).await,
        Command::Add(args) => add::run(args, home, out).await,
        Command::Uploads { command } => uploads::run(command, home, out).await,
        Command::Get(args) => get::run(args, home, out).await,
        Command::Cat(args) => cat::run(args, home, out).await,
        Command::Ls(args) => ls::run(args, home, out).await,
        Command::Status(args) => status::run(&args, home, out).await,
        Command::Repair { command } => repair::run(&command, home, out).await,
        Command::Verify(args) => verify::run(&args, home, out).await,
        Command::Rm(args) => rm::run(&args, home, out).await,
        Command::Renew(args) => renew::run(&args, home, out).await,
        Command::Wallet { command } => wallet::run(command, home, out).await,
        Command::Name { command } => name::run(command, home, out).await,
        Command::Bucket { command } => bucket::run(command, home, out).await,
        Command::Car { command } => car::run(command, home, out).await,
        Command::Gateway(args) => gateway::run(args, home, out).await,
        Command::Providers => providers::run(home, out).await,
        Command::Anchor { command } => anchor::run(command, home, out).await,
        Command::Certificate { command } => certificate::run(command, home, out).await,
        Command::Ledger { command } => ledger::run(command, home, out).await,
        Command::Governance { command } => governance::run(command, home, out).await,
        Command::Doctor => doctor::run(home, out).await,
        Command::Generate { command } => generate::run(command, out),
        Command::Demo(args) => demo::run(args, out).await,
        Command::Devnet { command } => devnet::run(command, out).await,
    }
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has random bytes");
    bytes
}
