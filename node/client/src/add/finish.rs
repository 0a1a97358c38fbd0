//! The manifest to the holders, and their receipts back. Short columns are sent with it.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use ostrakon_net::{ask, awake};
use ostrakon_proto::{
    id::ObjectId,
    ledger::tx::{Receipt, columns_hash},
    sign::{Purpose, Signature, verify},
    wire::{RefusalCode, put},
};
use tokio::time::{Instant, sleep};

use super::{
    AddError,
    job::Job,
    journal::Record,
    lanes::Upload,
    store::Listing,
    upload::{Stored, send_unsent},
};

/// Holders that finish concurrently: each is sent a manifest.
const CONCURRENT: usize = 32;
/// How often a holder is asked again when it is busy or the connection breaks: finishing twice changes nothing.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);
/// Once there are as many receipts as are wanted, the others are waited for this long, or twice as long as those took.
const GRACE: Duration = Duration::from_secs(5);

/// Finishes every upload of the extents. A holder without a valid receipt is given up, and one that is much slower than
/// the others, where there are enough without it.
pub(super) async fn finish(job: &Job<'_>, extents: &mut [Stored], listing: &Listing) -> Result<(), AddError> {
    let (mut work, mut waits) = (Vec::new(), Vec::new());
    for (at, stored) in extents.iter_mut().enumerate() {
        send_unsent(job, stored, listing).await?;
        let columns = columns_hash(stored.columns.iter().copied());
        for upload in std::mem::take(&mut stored.uploads) {
            let receipt = receipt_for(job, &upload, (stored, listing.object), columns);
            work.push((at, upload, receipt, stored.signed.remove(&upload.index)));
            waits.push((at, upload));
        }
    }
    let mut have: Vec<usize> = extents.iter().map(|stored| stored.receipts.iter().flatten().count()).collect();
    let finishing = work.into_iter().map(|(at, upload, receipt, given)| async move {
        (at, upload, sign_off(job, &upload, (receipt, given), &listing.bytes).await)
    });
    let mut finishing = stream::iter(finishing).buffer_unordered(CONCURRENT);
    let (mut results, begun, mut deadline) = (Vec::new(), awake::now(), None);
    while let Some((at, upload, result)) = until(deadline, finishing.next()).await {
        if let Ok(signature) = result {
            job.record(|| Record::Receipt { extent: upload.extent, id: upload.id, signature })?;
            have[at] += 1;
        }
        waits.retain(|wait| *wait != (at, upload));
        results.push((at, upload, result));
        if have.iter().all(|have| *have >= job.plan.wanted) {
            let took = awake::now() - begun;
            deadline.get_or_insert(begun + took + GRACE.max(2 * took));
        }
    }
    let late = || Err("signed no receipt while the other holders did".to_owned());
    results.extend(waits.into_iter().map(|(at, upload)| (at, upload, late())));
    for (at, upload, result) in results {
        let stored = &mut extents[at];
        match result {
            Ok(receipt) => {
                stored.receipts[usize::from(upload.index)] = Some(receipt);
                job.close(&upload);
            }
            Err(reason) => job.lose(&mut stored.placing, upload.index, reason),
        }
    }
    Ok(())
}

/// The next of them, unless the time is over.
async fn until<T>(deadline: Option<Instant>, next: impl Future<Output = Option<T>>) -> Option<T> {
    match deadline {
        Some(deadline) => awake::timeout(deadline.saturating_duration_since(awake::now()), next).await.ok().flatten(),
        None => next.await,
    }
}

fn receipt_for(job: &Job<'_>, upload: &Upload, (stored, object): (&Stored, ObjectId), columns: [u8; 32]) -> Receipt {
    let draw = stored.placing.draw;
    Receipt {
        account: job.plan.account,
        object,
        extent: upload.extent,
        index: upload.index,
        draw,
        columns,
        code: job.plan.code,
        column_len: stored.column_len,
        ask: upload.ask,
        until: job.plan.receipt_end(draw),
    }
}

async fn ask_for_receipt(job: &Job<'_>, upload: &Upload, manifest: &Bytes) -> Result<Signature, String> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match ask(job.peers(), upload.provider, put::finish(upload.id, manifest.clone())).await {
            Ok(signature) => return Ok(signature),
            Err(error)
                if attempts < ATTEMPTS && (error.is_refused_as(RefusalCode::Busy) || error.is_disconnected()) =>
            {
                sleep(PAUSE * attempts).await;
            }
            Err(error) => return Err(error.failure.to_string()),
        }
    }
}

/// The holder's signature of the receipt, if it is valid: the one that came with the opening, or what it is asked for.
async fn sign_off(
    job: &Job<'_>,
    upload: &Upload,
    (receipt, given): (Receipt, Option<Signature>),
    manifest: &Bytes,
) -> Result<Signature, String> {
    let signature = match given {
        Some(signature) => signature,
        None => ask_for_receipt(job, upload, manifest).await?,
    };
    let (chain, provider) = (job.plan.rules.chain, upload.provider);
    let check = move || verify(&provider, &signature, Purpose::Receipt, &chain, &receipt);
    job.workers().run(check).await.map_err(|_| "the signature of its receipt is invalid".to_owned())?;
    Ok(signature)
}
