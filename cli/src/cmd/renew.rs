//! `ostrakon renew`: extends the time that an object is paid for.

use ostrakon::{Amount, Epoch, ObjectId};
use serde::Serialize;

use super::Home;
use crate::{args::Renew, exit::usage, output::Output, progress::Progress, time};

#[derive(Debug, Serialize)]
struct Renewed {
    cid: ObjectId,
    expires_epoch: Epoch,
    expires_ms: u64,
}

/// Runs the command.
///
/// # Errors
/// When the ledger has no such object, another account owns it, or the account cannot pay.
pub(crate) async fn run(args: &Renew, home: &Home, out: &Output) -> crate::Result<()> {
    let cid = args.object.link(home).await?.object;
    let client = home.connect()?;
    client.chain().head().await?;
    let Some(epochs) = args.term.epochs(&client.chain().pace()) else {
        return Err(usage("renew needs a term: give --for DURATION or --epochs EPOCHS"));
    };
    let progress = Progress::waiting("renewing", out);
    let expires_epoch =
        client.extend(cid, epochs, args.max_price.unwrap_or(Amount::ZERO)).on_event(progress.listener(out)).await?;
    drop(progress);
    let pace = client.chain().pace();
    let renewed = Renewed { cid, expires_epoch, expires_ms: pace.starts_ms(expires_epoch) };
    out.answer(&renewed, |_| format!("{cid} is paid until {}", time::of_epoch(expires_epoch, &pace)))?;
    Ok(())
}
