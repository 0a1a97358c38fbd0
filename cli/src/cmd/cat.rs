//! `ostrakon cat`: writes an object to stdout.

use ostrakon::GetOptions;

use super::{Home, get};
use crate::{args::Cat, objects::Objects, output::Output};

/// Runs the command.
///
/// # Errors
/// As the SDK's `get`.
pub(crate) async fn run(args: Cat, home: &Home, out: &Output) -> anyhow::Result<()> {
    let profile = home.profile()?;
    let link = Objects::of(&profile).complete(&args.link)?;
    get::to_stdout(&link, &GetOptions { range: args.range, ..GetOptions::default() }, &profile, out).await
}
