//! Columns that lost their holder during the add: rebuilt from the others, and sent to the next of the draw.

use futures::StreamExt;
use ostrakon_proto::manifest::Manifest;
use ostrakon_transfer::rebuild::rebuilt_rows;

use super::{
    AddError,
    finish::finish,
    job::{Job, Reservation},
    lanes::{self, Quorum},
    store::Listing,
    upload::{Stored, keep_whole},
};
use crate::{
    Event,
    get::{
        columns::{Columns, ExtentInfo, Holder},
        open::column_keys,
    },
};

/// Fills the extents' vacant columns, until all have a holder or no provider is left to ask.
pub(super) async fn fill_vacant(job: &Job<'_>, extents: &mut [Stored], listing: &Listing) -> Result<(), AddError> {
    for stored in extents {
        // Each round uses candidates up, so that there are few.
        while refill(job, stored, &listing.manifest).await? {
            finish(job, std::slice::from_mut(stored), listing).await?;
        }
    }
    Ok(())
}

/// Sends the vacant columns to new holders; says whether any was sent.
async fn refill(job: &Job<'_>, stored: &mut Stored, manifest: &Manifest) -> Result<bool, AddError> {
    let vacant = stored.placing.vacant();
    let k = usize::from(job.plan.code.k);
    if vacant.is_empty() || stored.receipts.iter().flatten().count() < k {
        return Ok(false);
    }
    let fresh = Reservation { reserve: stored.column_len, ..Reservation::default() };
    let uploads = job.open(&mut stored.placing, &vacant, &fresh).await?;
    if uploads.is_empty() {
        return Ok(false);
    }
    let layout = manifest.layout();
    job.events.tell(Event::Rebuilding { extent: stored.placing.extent, columns: uploads.len() });
    let columns = readable(job, stored, manifest);
    let indexes = uploads.iter().map(|lane| lane.upload.index).collect();
    let rows = rebuilt_rows(&columns, layout, indexes, |_| job.memory(2 * usize::from(layout.code().n)));
    // Nothing is in a hurry any more.
    let all = Quorum { least: 1, wanted: uploads.len() };
    let sent = lanes::send(&job.way, &uploads, rows.boxed(), all).await;
    match sent {
        Ok(sent) => stored.uploads = keep_whole(job, &mut stored.placing, (uploads, sent), stored.column_len),
        Err(error) => {
            // The holders are not to blame, but this add cannot fill their columns any more.
            uploads.iter().for_each(|lane| job.lose(&mut stored.placing, lane.upload.index, error.to_string()));
            return Ok(false);
        }
    }
    Ok(true)
}

/// The extent's columns at holders that signed a receipt.
fn readable(job: &Job<'_>, stored: &Stored, manifest: &Manifest) -> Columns {
    let extent = stored.placing.extent;
    let listed = &manifest.extents[usize::try_from(extent).expect("at most 1,024")];
    let holders = (0..=u8::MAX).zip(&stored.receipts).map(|(index, receipt)| {
        let holder = receipt.and_then(|_| stored.placing.holder(index));
        holder.map(|candidate| Holder { provider: candidate.provider, live: true }).into_iter().collect()
    });
    let info = ExtentInfo { extent, code: manifest.code, column_len: stored.column_len };
    Columns::new(info, column_keys(job.key.as_ref(), extent, listed), holders.collect(), job.client.wires())
}
