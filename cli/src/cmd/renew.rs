//! `ostrakon renew`: extends the time that an object is paid for, or has the ledger do that by itself.

use ostrakon::{Amount, Client, Epoch, ObjectId, Renewal};
use serde::Serialize;

use super::Home;
use crate::{args::Renew, exit::usage, output::Output, progress::Progress, time};

#[derive(Debug, Serialize)]
struct Renewed {
    cid: ObjectId,
    expires_epoch: Epoch,
    expires_ms: u64,
}

#[derive(Debug, Serialize)]
struct Automatic {
    cid: ObjectId,
    renewal: Option<Renewal>,
}

/// Runs the command.
///
/// # Errors
/// When the ledger has no such object, the account named does not own it, or this account cannot pay.
pub(crate) async fn run(args: &Renew, home: &Home, out: &Output) -> crate::Result<()> {
    let cid = args.object.link(home).await?.object;
    let client = home.connect()?;
    client.chain().head().await?;
    if args.no_auto {
        return set(&client, cid, None, out).await;
    }
    let Some(epochs) = args.term.epochs(&client.chain().pace()) else {
        return Err(usage("renew needs a term: give --for DURATION or --epochs EPOCHS"));
    };
    let most = args.max_price.unwrap_or(Amount::ZERO);
    if args.auto {
        return set(&client, cid, Some(Renewal { epochs, most }), out).await;
    }
    let progress = Progress::waiting("renewing", out);
    let submit = match args.owner {
        Some(owner) => client.top_up(cid, owner, epochs),
        None => client.extend(cid, epochs, most),
    };
    let expires_epoch = submit.on_event(progress.listener(out)).await?;
    drop(progress);
    let pace = client.chain().pace();
    let renewed = Renewed { cid, expires_epoch, expires_ms: pace.starts_ms(expires_epoch) };
    out.answer(&renewed, |_| format!("{cid} is paid until {}", time::of_epoch(expires_epoch, &pace)))?;
    Ok(())
}

/// Has the ledger renew the object by itself, or not any more.
async fn set(client: &Client, cid: ObjectId, renewal: Option<Renewal>, out: &Output) -> crate::Result<()> {
    let progress = Progress::waiting("telling the ledger", out);
    client.set_renewal(cid, renewal).on_event(progress.listener(out)).await?;
    drop(progress);
    out.answer(&Automatic { cid, renewal }, |_| text(cid, renewal))?;
    Ok(())
}

fn text(cid: ObjectId, renewal: Option<Renewal>) -> String {
    match renewal {
        Some(Renewal { epochs, .. }) => format!(
            "whenever {cid} would end, the ledger renews it for {epochs} epochs from your balance: `ostrakon status` \
             shows what that costs"
        ),
        None => format!("{cid} ends when its term is over: renew it before, or its columns are deleted"),
    }
}
