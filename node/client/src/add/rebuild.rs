//! Columns that lost their holder during the add: rebuilt from the others, and sent to the next of the draw.

use bytes::Bytes;
use futures::{StreamExt, stream};
use ostrakon_proto::{
    layout::{Layout, RowId},
    manifest::Manifest,
    row,
};

use super::{
    AddError,
    finish::finish,
    job::{Job, Reservation},
    lanes::{self, Quorum, RowOut},
    store::Listing,
    upload::{Stored, keep_whole},
};
use crate::{
    Event,
    get::{
        ahead::window,
        columns::{Columns, ExtentInfo, Holder},
        open::column_keys,
        rows::NotEnoughColumns,
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
    let (extent, layout) = (stored.placing.extent, manifest.layout());
    job.events.tell(Event::Rebuilding { extent, columns: uploads.len() });
    let columns = readable(job, stored, manifest);
    let (columns, lanes) = (&columns, &uploads);
    let rows = stream::iter(rows_of(&layout, extent)).map(|row| async move {
        let permit = Some(job.memory(2 * usize::from(layout.code().n)).await);
        let chunks = rebuild(job, columns, layout, row).await?;
        let chunks = lanes.iter().map(|lane| Some(chunks[usize::from(lane.upload.index)].clone())).collect();
        Ok::<_, NotEnoughColumns>(RowOut { offset: row.offset(), chunks, permit })
    });
    // Nothing is in a hurry any more.
    let all = Quorum { least: 1, wanted: uploads.len() };
    let sent = lanes::send(&job.way, &uploads, rows.buffered(window(&layout)).boxed(), all).await;
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

fn rows_of(layout: &Layout, extent: u32) -> impl Iterator<Item = RowId> + use<> {
    let rows = layout.extent(extent).map_or(0, |extent| extent.rows);
    (0..rows).map(move |row| RowId { extent, row })
}

/// The extent's columns at holders that signed a receipt.
fn readable(job: &Job<'_>, stored: &Stored, manifest: &Manifest) -> Columns {
    let extent = stored.placing.extent;
    let listed = &manifest.extents[usize::try_from(extent).expect("at most 1,024")];
    let holders = (0u8..).zip(&stored.receipts).map(|(index, receipt)| {
        let holder = receipt.and_then(|_| stored.placing.holder(index));
        holder.map(|candidate| Holder { provider: candidate.provider, live: true }).into_iter().collect()
    });
    let info = ExtentInfo { extent, code: manifest.code, column_len: stored.column_len };
    Columns::new(info, column_keys(job.key.as_ref(), extent, listed), holders.collect(), job.client.wires())
}

/// All chunks of one row.
async fn rebuild(job: &Job<'_>, columns: &Columns, layout: Layout, row: RowId) -> Result<Vec<Bytes>, NotEnoughColumns> {
    let shape = layout.row(row).expect("a row of the layout");
    let chunks = columns.row(row, shape.chunk_len()).await?;
    let work = move || row::reconstruct(&layout, row, &chunks).expect("k chunks of the layout's length");
    Ok(job.workers().run(work).await)
}
