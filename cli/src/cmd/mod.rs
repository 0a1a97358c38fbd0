//! The commands, one file each, and what several of them need: the profile, the network, randomness and the clock.

use std::{
    future::Future,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use ostrakon_net::{
    Peers,
    swarm::{Swarm, SwarmConfig},
};
use ostrakon_proto::{ledger::Genesis, sign::Keypair};
use tokio::signal::unix::{SignalKind, signal};

use crate::{args::Command, output::Output};

pub(crate) use crate::home::Home;

mod add;
mod anchor;
mod cat;
mod certificate;
mod demo;
mod devnet;
mod doctor;
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
mod rm;
mod status;
mod uploads;
mod verify;
mod wallet;

/// Runs the command.
///
/// # Errors
/// As the command's file says.
pub(crate) async fn run(command: Command, home: &Home, out: &Output) -> anyhow::Result<()> {
    match command {
        Command::Init(args) => init::run(&args, home, out),
        Command::Key { command } => key::run(command, home, out).await,
        Command::Add(args) => add::run(args, home, out).await,
        Command::Uploads { command } => uploads::run(command, home, out).await,
        Command::Get(args) => get::run(args, home, out).await,
        Command::Cat(args) => cat::run(args, home, out).await,
        Command::Ls(args) => ls::run(args, home, out).await,
        Command::Status(args) => status::run(&args, home, out).await,
        Command::Verify(args) => verify::run(&args, home, out).await,
        Command::Rm(args) => rm::run(&args, home, out).await,
        Command::Renew(args) => renew::run(&args, home, out).await,
        Command::Wallet { command } => wallet::run(command, home, out).await,
        Command::Name { command } => name::run(command, home, out).await,
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

/// The network of `genesis`, as a client with a key of its own.
///
/// # Errors
/// When the system has no sockets or threads left.
pub(crate) fn peers(genesis: &Genesis) -> anyhow::Result<Arc<dyn Peers>> {
    let config = SwarmConfig::client(genesis.id(), Keypair::from_seed(&random()));
    let (swarm, _nobody_asks) = Swarm::start(config).context("cannot start the network client")?;
    Ok(Arc::new(swarm))
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has random bytes");
    bytes
}

/// Now, in milliseconds of Unix time.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Runs `work` until it ends or somebody interrupts it; then it is dropped, so that it cleans up behind itself.
///
/// # Errors
/// Those of `work`, or that it was interrupted.
pub(crate) async fn interruptible<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let [mut interrupt, mut terminate, mut hangup] =
        [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
    tokio::select! {
        biased;
        _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow::anyhow!("interrupted")),
        _ = hangup.recv() => Err(anyhow::anyhow!("interrupted")),
        result = Box::pin(work) => result,
    }
}
