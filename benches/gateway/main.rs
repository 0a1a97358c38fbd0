//! `bench-gateway`: what an S3 gateway takes and gives, on a network of real nodes.
//!
//! [`stage`] is a devnet, a gateway and the SDK; [`http`], [`sign`] and [`s3`] are a client that costs next to nothing,
//! [`crowd`] many of them. Measured are a [`large`] object beside the SDK, a [`lone`] small one beside a transaction,
//! [`clients`] by the dozen beside Garage, a [`range`] of a very large object, and a bucket of many [`keys`].
//!
//! What is wanted are ratios within one run, so the exit code is 1 where a figure is not as wanted. Not here: whether
//! what the gateway does is right, beyond the bytes, which are compared (`tests/gateway`).

mod clients;
mod crowd;
mod http;
mod keys;
mod large;
mod lone;
mod options;
mod range;
mod s3;
mod sign;
mod stage;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use ostrakon_benches::{
    figures::{self, Figure, Sheet},
    program,
    wanted::Wanted,
};
use ostrakon_tests::process::say;
use tokio::runtime::Runtime;

use crate::{
    options::{Options, Part},
    stage::Stage,
};

/// MiB that a gateway may have resident.
const MEMORY_MIB: f64 = 512.0;

/// The figures, by what they are of: ours, and Garage with and without `fsync`.
type Figures = [Vec<Figure>; 3];

fn main() -> ExitCode {
    let options = Options::parse();
    program::run(None, || {
        let runtime = Runtime::new().context("no runtime")?;
        runtime.block_on(measure(&options))
    })
}

/// Measures what was chosen and prints the table; what was measured before something broke is printed too.
async fn measure(options: &Options) -> Result<Vec<String>> {
    let mut figures = Figures::default();
    let outcome = match Stage::start(options).await {
        Ok(mut stage) => parts(options, &mut stage, &mut figures).await,
        Err(error) => Err(error.context("the network does not start")),
    };
    let figures = figures.concat();
    let json = options.json.as_deref().map(|path| (path, serde_json::json!({ "figures": figures })));
    program::write(&figures::table(&figures), json)?;
    outcome.map(|()| figures::missed(&figures))
}

async fn parts(options: &Options, stage: &mut Stage, figures: &mut Figures) -> Result<()> {
    let [ours, durable, fast] = figures;
    let names = [("gateway", ours), ("Garage, fsync", durable), ("Garage, no fsync", fast)];
    let mut sheets = names.map(|(name, figures)| Sheet::new(name, figures));
    let chosen = [Part::Large, Part::Lone, Part::Clients, Part::Range, Part::Keys];
    for part in chosen.into_iter().filter(|part| options.has(*part)) {
        say(&format!("==> {part}"));
        let measured = match part {
            Part::Large => large::measure(options, stage, &mut sheets[0]).await,
            Part::Lone => lone::measure(options, stage, &mut sheets[0]).await,
            Part::Clients => clients::measure(options, stage, &mut sheets).await,
            Part::Range => range::measure(options, stage, &mut sheets[0]).await,
            Part::Keys => keys::measure(options, stage, &mut sheets[0]).await,
        };
        measured.with_context(|| part.to_string())?;
    }
    let peak = stage.peak_memory()? / 1_048_576.0;
    sheets[0].want("the most memory that a gateway had, MiB", peak, Wanted::AtMost(MEMORY_MIB));
    Ok(())
}
