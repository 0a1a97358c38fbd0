//! `ostrakon cat`: writes an object, or a file of a directory, to stdout.

use ostrakon::GetOptions;
use ostrakon_proto::manifest::Content;

use super::{Home, get};
use crate::{args::Cat, output::Output};

/// Runs the command.
///
/// # Errors
/// As the SDK's `get`.
pub(crate) async fn run(args: Cat, home: &Home, out: &Output) -> anyhow::Result<()> {
    let target = args.target.target()?;
    let link = home.complete(target.link(home).await?)?;
    let client = home.reader()?;
    let options = GetOptions { range: args.range.clone(), content: Some(Content::File), ..GetOptions::default() };
    match &target.path {
        Some(path) => get::directory::to_stdout(&client, (&link, path), args.range, out).await,
        None => get::to_stdout(&link, &options, &client, out).await,
    }
}
