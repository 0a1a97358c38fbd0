//! `ostrakon renew`: pays for more epochs.

use serde::Serialize;

use super::Home;
use crate::{args::Renew, output::Output, progress::Progress};

#[derive(Debug, Serialize)]
struct Renewed {
    cid: String,
    expires_epoch: u64,
}

/// Runs the command.
///
/// # Errors
/// When the ledger does not have the object, it is somebody else's, or the account is too poor.
pub(crate) async fn run(args: &Renew, home: &Home, out: &Output) -> anyhow::Result<()> {
    let object = args.named.object();
    let progress = Progress::waiting("renewing", out);
    let end = home.connect()?.extend(object, args.epochs, &progress.events(out)).await?;
    drop(progress);
    let renewed = Renewed { cid: object.to_string(), expires_epoch: end.0 };
    out.answer(&renewed, |_| format!("{object} is paid until epoch {end}"))?;
    Ok(())
}
