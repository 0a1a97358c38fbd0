//! `ostrakon cat`: writes an object, or a file of a directory, to stdout.

use ostrakon::GetOptions;
use ostrakon_proto::manifest::Content;

use super::{Home, get};
use crate::{args::Cat, objects::Objects, output::Output};

/// Runs the command.
///
/// # Errors
/// As the SDK's `get`.
pub(crate) async fn run(args: Cat, home: &Home, out: &Output) -> anyhow::Result<()> {
    let profile = home.profile()?;
    let link = Objects::of(&profile).complete(&args.target.link(home).await?)?;
    let options = GetOptions { range: args.range.clone(), content: Some(Content::File), ..GetOptions::default() };
    match &args.target.path {
        Some(path) => get::directory::to_stdout(&profile.connect()?, (&link, path), args.range, out).await,
        None => get::to_stdout(&link, &options, &profile, out).await,
    }
}
