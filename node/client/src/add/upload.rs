//! One extent from the source to its holders: read, encode, hash, send.
//!
//! What an earlier run of the same add did is not done again: holders have their columns and resume where they stopped,
//! rows that all of them have are passed over, and rows that some of them lack are encoded to the very same bytes, or
//! the source has changed.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{StreamExt, stream};
use ostrakon_proto::{
    id::{ColumnId, NodeId},
    layout::{Layout, RowId, RowLayout},
    ledger::state::Domain,
    limits,
    placement::{DrawSeed, RosterEntry},
    row,
    sign::Signature,
    tree,
    wire::put::WholeColumn,
};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    AddError,
    builder::AddOptions,
    hash::{Node, Parts},
    job::{Job, Reservation},
    journal::{Record, past::PastExtent},
    lanes::{self, Lane, Quorum, RowOut, Upload},
    placing::Placing,
    source::{Content, FileSource, PlainRow, Source, SourceError},
    store::Listing,
};
use crate::{Event, chain::ChainError};

/// Rows that are encoded concurrently.
const DEPTH: usize = 4;
/// Columns of at most this many bytes are sent with the openings: so few that a slow line carries those of all holders
/// in seconds.
const SHORT: u64 = 16 * 1024;

/// An extent whose columns are with holders, but for those that failed.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) placing: Placing,
    /// Of the providers of the draw.
    pub(crate) domains: BTreeMap<NodeId, Domain>,
    pub(crate) column_len: u64,
    pub(crate) columns: Vec<ColumnId>,
    /// The columns' bytes, by index, where they are so short that they are to go with the openings.
    pub(crate) unsent: Vec<Bytes>,
    /// Columns that are sent, but for the receipt.
    pub(crate) uploads: Vec<Upload>,
    /// Signatures of receipts that came without being asked for, not checked yet, by index.
    pub(crate) signed: BTreeMap<u8, Signature>,
    /// By index.
    pub(crate) receipts: Vec<Option<Signature>>,
}

impl Stored {
    /// The columns with a receipt, and who signed it.
    pub(crate) fn signers(&self) -> impl Iterator<Item = (u8, &RosterEntry)> {
        let signed = (0..=u8::MAX).zip(&self.receipts).filter(|(_, receipt)| receipt.is_some());
        signed.filter_map(|(index, _)| Some((index, self.placing.holder(index)?)))
    }
}

/// One row, encoded and hashed; or passed over.
struct Encoded {
    row: RowId,
    /// Bytes of each chunk.
    len: u64,
    /// The n chunks; none when the row was passed over.
    chunks: Vec<Bytes>,
    /// Their values, and those of a public object's plaintext.
    nodes: Vec<Node>,
    permit: Option<OwnedSemaphorePermit>,
}

/// Stores the source's next extent.
pub(crate) async fn store_extent(
    job: &Job<'_>,
    options: &AddOptions,
    source: &mut Source<'_>,
    extent: u32,
) -> Result<Stored, AddError> {
    let code = job.plan.code;
    let (need, wanted, all) = (job.plan.receipts_needed(), job.plan.wanted, usize::from(code.n));
    let past = job.past_extent(extent);
    let mut placing = place(job, extent, past).await?;
    let providers = job.client.chain.providers(&placing.providers()).await?;
    let domains = providers.into_iter().map(|(node, provider)| (node, provider.domain)).collect();
    if past.is_none() && source.size().is_some() && is_short(&source.layout()) {
        return keep_back(job, source, (placing, domains)).await;
    }
    let receipts = receipts(&placing, past, all);
    let done = receipts.iter().flatten().count();
    let indexes: Vec<u8> = (0..code.n).filter(|index| receipts[usize::from(*index)].is_none()).collect();
    let reservation = reservation(source, &placing, past);
    let lanes = job.open(&mut placing, &indexes, &reservation).await?;
    if options.all && done + lanes.len() < all {
        return Err(AddError::Partial { missing: placing.failures() });
    }
    if done + lanes.len() < need {
        return Err(Job::too_few(&placing, need));
    }
    let k = usize::from(code.k);
    let quorum = Quorum { least: k.saturating_sub(done), wanted: wanted.saturating_sub(done) };
    let (columns, sent) = match pass_over(job, source, (extent, past), &lanes).await? {
        Some(passed) => passed,
        None => send_rows(job, source, extent, (&lanes, quorum)).await?,
    };
    let column_len = source.layout().extent(extent).expect("the extent that was read").column_len;
    job.note_held(done, &lanes, column_len);
    let uploads = keep_whole(job, &mut placing, (lanes, sent), column_len);
    if done + uploads.len() < k {
        return Err(Job::too_few(&placing, k));
    }
    let (unsent, signed) = Default::default();
    Ok(Stored { placing, domains, column_len, columns, unsent, uploads, signed, receipts })
}

/// Whether the object is one row of short columns.
pub(super) fn is_short(layout: &Layout) -> bool {
    layout.extents() == 1 && layout.extent(0).is_some_and(|extent| extent.rows == 1 && extent.column_len <= SHORT)
}

/// Encodes an object of one row, to be sent once its manifest is known.
async fn keep_back(
    job: &Job<'_>,
    source: &mut Source<'_>,
    (placing, domains): (Placing, BTreeMap<NodeId, Domain>),
) -> Result<Stored, AddError> {
    let (extent, layout) = (placing.extent, source.layout());
    let row = source.next_row(&|_, _| true).await?.ok_or_else(AddError::changed_rows)?;
    let (done, total) = (row.done, source.size());
    let permit = job.memory(usize::from(job.plan.code.n)).await;
    let encoded = encode(job, row, Some(permit)).await?;
    let mut names = Names::new(job, extent)?;
    names.take(&encoded)?;
    let columns = names.finish();
    job.record(|| Record::Sent { extent, columns: columns.clone() })?;
    job.events.tell(Event::Progress { done, total });
    let column_len = layout.extent(extent).expect("the extent that was read").column_len;
    let (receipts, unsent, (uploads, signed)) = (vec![None; columns.len()], encoded.chunks, Default::default());
    Ok(Stored { placing, domains, column_len, columns, unsent, uploads, signed, receipts })
}

/// Sends the columns that were kept back, each with the manifest and the opening; takes the receipts that come back.
pub(crate) async fn send_unsent(job: &Job<'_>, stored: &mut Stored, listing: &Listing) -> Result<(), AddError> {
    let whole = std::mem::take(&mut stored.unsent).into_iter();
    let whole: Vec<_> = whole.map(|chunk| WholeColumn { manifest: listing.bytes.clone(), chunk }).collect();
    if whole.is_empty() {
        return Ok(());
    }
    let reservation = Reservation { reserve: stored.column_len, whole, ..Reservation::default() };
    let indexes: Vec<u8> = (0..job.plan.code.n).collect();
    let lanes = job.open(&mut stored.placing, &indexes, &reservation).await?;
    let sent = lanes.iter().map(|lane| Ok(lane.taken.next)).collect();
    let signed = lanes.iter().filter_map(|lane| Some((lane.upload.index, lane.receipt?)));
    stored.signed = signed.collect();
    stored.uploads = keep_whole(job, &mut stored.placing, (lanes, sent), stored.column_len);
    Ok(())
}

/// The columns' holders: those that an earlier run chose, while the ledger still accepts that draw.
async fn place(job: &Job<'_>, extent: u32, past: Option<&PastExtent>) -> Result<Placing, AddError> {
    if let Some(past) = past
        && let Some(placing) = place_again(job, extent, past).await?
    {
        return Ok(placing);
    }
    let placing = job.plan.place(&job.client.chain, extent).await?;
    let placing = placing.avoiding(|node| job.client.backoff.is_unresponsive(node));
    job.record(|| Record::Placed { extent, draw: placing.draw, randomness: job.plan.randomness() })?;
    Ok(placing)
}

async fn place_again(job: &Job<'_>, extent: u32, past: &PastExtent) -> Result<Option<Placing>, AddError> {
    let Some((draw, randomness)) = past.placed.filter(|(draw, _)| job.plan.is_good(*draw)) else { return Ok(None) };
    let roster = match job.client.chain.roster(draw.epoch).await {
        Ok(roster) => roster,
        // The epoch's record is gone.
        Err(ChainError::Refused { .. } | ChainError::Unknown { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let seed = DrawSeed { randomness, account: job.plan.draw_identity(), draw, extent };
    let uploads = past.uploads.iter().filter(|upload| upload.draw == draw);
    let placing = job.plan.place_again(&job.client.chain, seed, &roster).await?;
    Ok(placing.and_then(|placing| placing.after(uploads.map(|upload| (upload.index, upload.provider)))))
}

/// The receipts of an earlier run, of those that are still the holder of their column.
fn receipts(placing: &Placing, past: Option<&PastExtent>, columns: usize) -> Vec<Option<Signature>> {
    let mut receipts = vec![None; columns];
    for upload in past.iter().flat_map(|past| &past.uploads).filter(|upload| upload.draw == placing.draw) {
        let holder = placing.holder(upload.index).map(|candidate| candidate.provider);
        let receipt = upload.receipt.filter(|_| holder == Some(upload.provider));
        receipts[usize::from(upload.index)] = receipt;
    }
    receipts
}

/// The most that a column of the extent may have, and the uploads that an earlier run started.
fn reservation(source: &Source<'_>, placing: &Placing, past: Option<&PastExtent>) -> Reservation {
    let reserve = source.layout().extent(placing.extent).map_or(limits::COLUMN, |extent| extent.column_len);
    let uploads = past.iter().flat_map(|past| &past.uploads).filter(|upload| upload.draw == placing.draw);
    Reservation {
        reserve,
        started: uploads.map(|upload| ((upload.index, upload.provider), upload.id)).collect(),
        whole: Vec::new(),
    }
}

/// The columns' names, and for each lane how many bytes its holder has, or why it was given up.
type Sent = (Vec<ColumnId>, Vec<Result<u64, String>>);

/// Passes over an extent of which the lanes' holders lack nothing.
async fn pass_over(
    job: &Job<'_>,
    source: &mut Source<'_>,
    (extent, past): (u32, Option<&PastExtent>),
    lanes: &[Lane],
) -> Result<Option<Sent>, AddError> {
    let known = past.and_then(|past| past.columns.clone());
    if let Some(columns) = known
        && let Some(shape) = source.layout().extent(extent)
        && lanes.iter().all(|lane| lane.taken.next == shape.column_len)
    {
        let (done, total) = (source.pass_over_extent().await?, source.size());
        job.events.tell(Event::Progress { done, total });
        return Ok(Some((columns, lanes.iter().map(|lane| Ok(lane.taken.next)).collect())));
    }
    Ok(None)
}

/// The values of an extent's chunks, row by row, and what an earlier run says they are.
struct Names<'a> {
    job: &'a Job<'a>,
    before: Vec<Vec<Node>>,
    /// By column.
    nodes: Vec<Vec<Node>>,
}

impl<'a> Names<'a> {
    fn new(job: &'a Job<'a>, extent: u32) -> Result<Self, AddError> {
        let nodes = vec![Vec::new(); usize::from(job.plan.code.n)];
        Ok(Self { job, before: job.past_rows(extent)?, nodes })
    }

    /// Writes the next row's values down before any of its bytes are sent. A key seals one content only: a row that is
    /// not as it was means that the source has changed.
    fn take(&mut self, row: &Encoded) -> Result<(), AddError> {
        let RowId { extent, row: number } = row.row;
        let before = self.before.get(usize::try_from(number).expect("at most 4,096"));
        match before {
            Some(before) if !row.chunks.is_empty() && *before != row.nodes => return Err(AddError::changed_rows()),
            Some(_) => {}
            None => {
                self.job.record(|| Record::Row { extent, row: number, nodes: row.nodes.clone() })?;
                self.job.hash_parts(&row.nodes[self.nodes.len()..]);
            }
        }
        let nodes = before.unwrap_or(&row.nodes);
        self.nodes.iter_mut().zip(nodes).for_each(|(column, node)| column.push(*node));
        Ok(())
    }

    fn rows(&self) -> u32 {
        self.nodes.first().map_or(0, |column| u32::try_from(column.len()).expect("at most 4,096"))
    }

    fn finish(&self) -> Vec<ColumnId> {
        self.nodes.iter().filter(|nodes| !nodes.is_empty()).map(|nodes| tree::root(nodes)).collect()
    }
}

/// Sends what the lanes' holders lack of an extent.
async fn send_rows(
    job: &Job<'_>,
    source: &mut Source<'_>,
    extent: u32,
    (lanes, quorum): (&[Lane], Quorum),
) -> Result<Sent, AddError> {
    let mut names = Names::new(job, extent)?;
    let (total, known) = (source.size(), names.before.len());
    let wanted = move |row: RowId, shape: &RowLayout| {
        let (offset, len) = (row.offset(), length(shape));
        usize::try_from(row.row).is_ok_and(|row| row >= known) || lanes.iter().any(|lane| !lane.taken.has(offset, len))
    };
    let plain = stream::unfold(Some(&mut *source), |source| async move {
        let source = source?;
        match source.next_row(&wanted).await {
            Err(error) => Some((Err(AddError::from(error)), None)),
            Ok(None) => None,
            Ok(Some(row)) => {
                let permit = match row.content {
                    Content::PassedOver => None,
                    _ => Some(job.memory(usize::from(job.plan.code.n)).await),
                };
                let rest = (!row.ends_extent).then_some(source);
                Some((Ok((row, permit)), rest))
            }
        }
    });
    let encoded = plain.map(|row| async move {
        let (row, permit) = row?;
        let done = row.done;
        Ok::<_, AddError>((encode(job, row, permit).await?, done))
    });
    let rows = encoded.buffered(DEPTH).map(|row: Result<_, AddError>| {
        let (row, done): (Encoded, u64) = row?;
        names.take(&row)?;
        job.events.tell(Event::Progress { done, total });
        let chunk = |lane: &Lane| {
            let chunk = row.chunks.get(usize::from(lane.upload.index))?;
            (!lane.taken.has(row.row.offset(), row.len)).then(|| chunk.clone())
        };
        let chunks = lanes.iter().map(chunk).collect();
        Ok::<_, AddError>(RowOut { offset: row.row.offset(), chunks, permit: row.permit })
    });
    let sent = lanes::send(&job.way, lanes, rows.boxed(), quorum).await?;
    let columns = names.finish();
    // Where too few holders ended it early, the names are of no use.
    if source.layout().extent(extent).is_some_and(|shape| names.rows() == shape.rows) {
        job.record(|| Record::Sent { extent, columns: columns.clone() })?;
    }
    Ok((columns, sent))
}

fn length(shape: &RowLayout) -> u64 {
    u64::try_from(shape.chunk_len()).expect("a chunk")
}

async fn encode(job: &Job<'_>, row: PlainRow, permit: Option<OwnedSemaphorePermit>) -> Result<Encoded, AddError> {
    if let Content::PassedOver = row.content {
        let len = row.layout.row(row.row).map_or(0, |shape| length(&shape));
        return Ok(Encoded { row: row.row, len, chunks: Vec::new(), nodes: Vec::new(), permit });
    }
    let sealer = job.sealer.clone();
    let work = move || {
        let PlainRow { row, layout, content, .. } = row;
        let shape = layout.row(row).expect("a row of the layout");
        let mut parts = (!layout.is_sealed()).then(|| Parts::new(shape.plain.start, layout.size()));
        let read = |at: usize, out: &mut [u8]| {
            match &content {
                Content::Bytes(plain) => out.copy_from_slice(&plain[at..at + out.len()]),
                Content::At { plain, start } => {
                    plain.read_at(out, start + u64::try_from(at).expect("within a row"))?;
                }
                Content::PassedOver => {}
            }
            parts.iter_mut().for_each(|parts| parts.update(out));
            Ok(())
        };
        let chunks = row::encode_with::<SourceError>(&layout, row, sealer.as_deref(), read)?;
        let column_len = layout.extent(row.extent).expect("the row's extent").column_len;
        let mut nodes: Vec<Node> =
            chunks.iter().map(|chunk| tree::chunk_node(column_len, row.offset(), chunk)).collect();
        nodes.extend(parts.into_iter().flat_map(Parts::finish));
        Ok(Encoded { row, len: length(&shape), chunks, nodes, permit })
    };
    job.workers().run(work).await.map_err(|error: SourceError| error.into())
}

/// Whether the file still begins with what was stored: encoded again, that gives the same columns.
pub(crate) async fn begins_with(
    job: &Job<'_>,
    mut file: FileSource,
    columns: &[Vec<ColumnId>],
) -> Result<bool, AddError> {
    let (n, layout) = (usize::from(job.plan.code.n), file.layout());
    let rows = stream::iter(std::iter::from_fn(move || file.next_row(&|_, _| true)));
    let mut rows = rows.map(|row| encode(job, row, None)).buffered(DEPTH).boxed();
    for columns in columns {
        let (mut nodes, mut rows_left) = (vec![Vec::new(); n], u32::MAX);
        while rows_left > 0
            && let Some(row) = rows.next().await
        {
            let row = row?;
            nodes.iter_mut().zip(&row.nodes).for_each(|(column, node)| column.push(*node));
            let rows = layout.extent(row.row.extent).expect("the row's extent").rows;
            rows_left = rows - 1 - row.row.row;
        }
        if nodes.iter().map(|nodes| tree::root(nodes)).ne(columns.iter().copied()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The uploads whose holder stored the whole column; the others are given up.
pub(crate) fn keep_whole(
    job: &Job<'_>,
    placing: &mut Placing,
    (lanes, sent): (Vec<Lane>, Vec<Result<u64, String>>),
    column_len: u64,
) -> Vec<Upload> {
    let mut whole = Vec::new();
    for (Lane { upload, .. }, sent) in lanes.into_iter().zip(sent) {
        match sent {
            Ok(taken) if taken == column_len => whole.push(upload),
            Ok(taken) => job.lose(placing, upload.index, format!("stored {taken} of {column_len} bytes")),
            Err(reason) => job.lose(placing, upload.index, reason),
        }
    }
    whole
}
