//! Checks the proof that an object is stored, without any network: with the genesis of the network alone.
//!
//! ```text
//! ostrakon certificate create CID -o proof.cert
//! cargo run --release -p ostrakon-examples --example verify_certificate proof.cert genesis.toml
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use anyhow::{Context, Result};
use ostrakon::{Certificate, Pace, now_ms, read_genesis};

fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1);
    let (proof, genesis) = args.next().zip(args.next()).context("usage: verify_certificate PROOF GENESIS")?;
    let genesis = read_genesis(genesis)?;

    // The one who handed over the file need not be trusted: it is checked against the signatures of the validators, who
    // are followed from genesis to the block that the file speaks of.
    let committed = Certificate::from_bytes(&std::fs::read(proof)?)?.verify(&genesis)?;

    // Once the bonds of the first validators are back, their signatures are worth nothing: then this needs a
    // checkpoint, the id of that block from a source that you trust.
    committed.basis.check(&genesis, None, now_ms())?;

    println!("object  {}", committed.object);
    println!("owner   {}", committed.owner);
    println!("as of   block {}", committed.basis.height);
    for (number, extent) in committed.commitments.iter().enumerate() {
        println!("extent {number} of code {}: {} columns live", extent.code, extent.live());
    }
    // Terms are counted in epochs; their dates follow from the pace of the blocks so far.
    let end = committed.commitments.iter().map(|extent| extent.end).min().context("an object has an extent")?;
    let pace = Pace::new(&committed.clock, committed.basis.time_ms, genesis.params.time.epoch_ms);
    println!(
        "paid until epoch {end}, at least {} s after that block",
        pace.starts_ms(end).saturating_sub(committed.basis.time_ms) / 1_000
    );
    Ok(())
}
