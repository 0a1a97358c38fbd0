//! `ostrakon cat`: writes an object, or a file of a directory, to stdout.

use super::{Home, get};
use crate::{args::Cat, output::Output};

/// Runs the command.
///
/// # Errors
/// As the SDK's `write_to`.
pub(crate) async fn run(args: Cat, home: &Home, out: &Output) -> crate::Result<()> {
    let target = args.target.target()?;
    let link = home.complete(target.link(home).await?)?;
    get::to_stdout((&link, target.path), &args.reading, home, out).await
}
