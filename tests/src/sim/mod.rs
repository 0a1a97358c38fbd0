//! A whole network inside one thread, on virtual time: the real node and the real client over a seeded network, with
//! memory for disks. One number decides everything that happens, so what went wrong once can be seen again.
//!
//! In comes a seed; out comes a [`Report`], or a [`Failure`] that names the seed. [`world`] holds the machines,
//! [`faults`] decides what breaks and when, [`workload`] is what users do meanwhile, [`checker`] judges at the end.
//! Not simulated: libp2p and disks, which the cluster scenarios try for real.

pub mod checker;
pub mod faults;
pub mod workload;
pub mod world;

use std::fmt;

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use checker::Broken;
use workload::User;
use world::{Scale, World};

/// The result of one world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Objects that were acknowledged, all of which read back.
    pub acknowledged: usize,
    /// Adds that failed, as they may.
    pub failed_adds: usize,
    /// Reads that gave the right bytes while things were broken.
    pub reads: usize,
    /// Height of the ledger at the end.
    pub height: u64,
    /// Hash of all that was said and answered, and when.
    pub trace: [u8; 32],
}

/// What must never happen, happened.
#[derive(Debug)]
pub struct Failure {
    /// In the world of this seed.
    pub seed: u64,
    /// Of this size.
    pub scale: Scale,
    /// What.
    pub broken: Broken,
    /// What was going wrong, in order.
    pub faults: Vec<faults::Step>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.broken)?;
        for step in &self.faults {
            writeln!(f, "  {:>8.3} s {:?}", step.at.as_secs_f64(), step.fault)?;
        }
        let test = if self.scale.validators > 1 { "one_council" } else { "one_world" };
        let again = format!("cargo test --release -p ostrakon-tests --test sim {test} -- --nocapture");
        write!(f, "again: OSTRAKON_SEED={} {again}", self.seed)
    }
}

/// Lives through the world of `seed`.
///
/// # Errors
/// [`Failure`] when something happened that must never happen.
pub fn live(seed: u64, scale: Scale) -> Result<Report, Box<Failure>> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime without threads or sockets");
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let faults = faults::schedule(&mut chance, scale.nodes, scale.validators);
    let lived = runtime.block_on(live_through(seed, scale, chance, &faults));
    lived.map_err(|broken| Box::new(Failure { seed, scale, broken, faults }))
}

async fn live_through(
    seed: u64,
    scale: Scale,
    mut chance: ChaCha8Rng,
    faults: &[faults::Step],
) -> Result<Report, Broken> {
    let mut world = World::start(seed, scale, &mut chance).await;
    let mut users: Vec<User> = (0..scale.users).map(|number| User::new(&world, number, &mut chance)).collect();
    {
        let work = futures::future::join_all(users.iter_mut().map(User::work));
        tokio::select! {
            biased;
            () = world.suffer(faults) => {}
            _ = work => {}
        }
    }
    world.recover().await;
    checker::nobody_stopped(&mut world)?;
    checker::blocks_come(&world, scale).await?;
    let height = checker::ledgers_agree(&world)?;
    checker::money_is_conserved(&world)?;
    let mut report = Report { acknowledged: 0, failed_adds: 0, reads: 0, height, trace: [0; 32] };
    for user in &users {
        report.acknowledged += user.stored.len();
        report.failed_adds += user.failed_adds;
        report.reads += user.reads;
    }
    checker::nothing_was_wrong(&users)?;
    checker::promises_are_kept(&world, &users)?;
    let reader = world.client(scale.users, &mut chance);
    checker::everything_reads_back(&world, &users, &reader).await?;
    checker::enough_is_enough(&mut world, &users, &reader, &mut chance).await?;
    report.trace = world.network.trace_hash();
    Ok(report)
}
