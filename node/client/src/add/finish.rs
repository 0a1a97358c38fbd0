//! The manifest to the holders, and their receipts back.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use ostrakon_net::ask;
use ostrakon_proto::{
    ledger::tx::Receipt,
    sign::{Purpose, Signature, verify},
    wire::{RefusalCode, put},
};
use tokio::time::sleep;

use super::{AddError, job::Job, journal::Record, lanes::Upload, store::Listing, upload::Stored};

/// Holders that finish concurrently: each is sent a manifest.
const CONCURRENT: usize = 32;
/// How often a holder is asked again when it is busy or the connection breaks: finishing twice changes nothing.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// Finishes every upload of the extents. A holder without a valid receipt is given up.
pub(super) async fn finish(job: &Job<'_>, extents: &mut [Stored], listing: &Listing) -> Result<(), AddError> {
    let mut work = Vec::new();
    for (at, stored) in extents.iter_mut().enumerate() {
        for upload in std::mem::take(&mut stored.uploads) {
            work.push((at, receipt_for(stored, &upload, job, listing), upload));
        }
    }
    let finishing = work.into_iter().map(|(at, receipt, upload)| async move {
        (at, upload, finish_one(job, &upload, &receipt, &listing.bytes).await)
    });
    let mut finishing = stream::iter(finishing).buffer_unordered(CONCURRENT);
    let mut results = Vec::new();
    while let Some((at, upload, result)) = finishing.next().await {
        if let Ok(signature) = result {
            job.record(|| Record::Receipt { extent: upload.extent, id: upload.id, signature })?;
        }
        results.push((at, upload, result));
    }
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

fn receipt_for(stored: &Stored, upload: &Upload, job: &Job<'_>, listing: &Listing) -> Receipt {
    Receipt {
        account: job.plan.account,
        object: listing.object,
        extent: upload.extent,
        index: upload.index,
        column: stored.columns[usize::from(upload.index)],
        column_len: stored.column_len,
        draw: stored.placing.draw,
    }
}

async fn finish_one(job: &Job<'_>, upload: &Upload, receipt: &Receipt, manifest: &Bytes) -> Result<Signature, String> {
    let mut attempts = 0;
    let signature = loop {
        attempts += 1;
        match ask(job.peers(), upload.provider, put::finish(upload.id, manifest.clone())).await {
            Ok(signature) => break signature,
            Err(error)
                if attempts < ATTEMPTS && (error.is_refused_as(RefusalCode::Busy) || error.is_disconnected()) =>
            {
                sleep(PAUSE * attempts).await;
            }
            Err(error) => return Err(error.failure.to_string()),
        }
    };
    let (chain, provider, receipt) = (job.plan.rules.chain, upload.provider, *receipt);
    let check = move || verify(&provider, &signature, Purpose::Receipt, &chain, &receipt);
    job.workers().run(check).await.map_err(|_| "the signature of its receipt is invalid".to_owned())?;
    Ok(signature)
}
