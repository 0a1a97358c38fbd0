//! The straight line of one add, from an open source to the ledger.

use std::{collections::BTreeSet, ffi::OsString};

use bytes::Bytes;
use ostrakon_proto::{
    id::{ColumnId, ObjectId},
    layout::Layout,
    link::Link,
    manifest::{Content, Extent, Manifest, Protection},
    placement::RosterEntry,
    seal::{ObjectKey, token_hash},
};

use super::{
    AddError, Added, AddedSlot, AddedSource, AddedTerm,
    builder::AddOptions,
    commit,
    existing::{Earlier, extents_of, found, is_whole, own_commitments, prolonged},
    finish,
    job::Job,
    journal::Record,
    rebuild,
    source::{Change, Source},
    survives,
    upload::{self, Stored},
};
use crate::{Event, chain::ChainError};

/// A manifest, its bytes and the name that they give the object.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) object: ObjectId,
    pub(super) manifest: Manifest,
    pub(super) bytes: Bytes,
}

impl Listing {
    fn new(manifest: Manifest) -> Self {
        let bytes = Bytes::from(manifest.encode());
        Self { object: Manifest::object_id(&bytes), manifest, bytes }
    }
}

/// Stores the source and takes what its holders sign for it. The ledger is told nothing.
pub(super) async fn store_apart(
    job: &Job<'_>,
    source: &mut Source<'_>,
    options: &AddOptions,
) -> Result<(Listing, Vec<Stored>), AddError> {
    job.events.tell(Event::Planned { code: job.plan.code, size: source.size() });
    let (columns, mut extents) = send_extents(job, source, options, &BTreeSet::new()).await?;
    check_unchanged(job, source, &columns).await?;
    let listing = Listing::new(manifest(job, options.content, source.layout(), columns));
    finish::finish(job, &mut extents, &listing).await?;
    rebuild::fill_vacant(job, &mut extents, &listing).await?;
    check_receipts(job, options, &extents)?;
    Ok((listing, extents))
}

/// Stores the source and commits it, but for what an earlier run did.
pub(super) async fn store(job: &Job<'_>, source: &mut Source<'_>, options: &AddOptions) -> Result<Added, AddError> {
    job.events.tell(Event::Planned { code: job.plan.code, size: source.size() });
    let mut before = Vec::new();
    if let Some(object) = job.past_object() {
        before = own_commitments(job, object).await?;
        let layout = source.layout();
        if is_whole(&before, &layout) {
            return found(job, (object, &layout), &before, Earlier::Run).await;
        }
    }
    let (columns, mut extents) = send_extents(job, source, options, &extents_of(&before)).await?;
    check_unchanged(job, source, &columns).await?;
    let listing = Listing::new(manifest(job, options.content, source.layout(), columns));
    match job.past_object() {
        Some(object) if object != listing.object => return Err(AddError::changed_rows()),
        Some(_) => {}
        None => job.record(|| Record::Listed { object: listing.object })?,
    }
    if options.public && before.is_empty() {
        before = own_commitments(job, listing.object).await?;
        if is_whole(&before, &source.layout()) {
            let all = prolonged(job, listing.object, before).await?;
            return found(job, (listing.object, &source.layout()), &all, Earlier::Add).await;
        }
    }
    finish::finish(job, &mut extents, &listing).await?;
    rebuild::fill_vacant(job, &mut extents, &listing).await?;
    if let Err(error) = check_receipts(job, options, &extents) {
        if upload::is_short(&source.layout()) && !job.may_be_pending() {
            job.drop_journal();
        }
        return Err(error);
    }
    job.release();
    match commit_all(job, options, (&listing, &mut extents), extents_of(&before)).await? {
        Some(term) => {
            let slots = extents.iter().flat_map(|stored| slots(job, stored)).collect();
            let mut added = added(job, (listing.object, &source.layout()), slots, term);
            added.traffic.columns_failed = extents.iter().flat_map(|stored| stored.placing.failures()).collect();
            Ok(added)
        }
        // Some of it was committed earlier: the ledger has all of it now.
        None => {
            let all = own_commitments(job, listing.object).await?;
            found(job, (listing.object, &source.layout()), &all, Earlier::Run).await
        }
    }
}

/// Commits what `done` does not name. Who signed and left before the block is replaced, and the rest committed again.
/// `None` when some of it was committed before.
async fn commit_all(
    job: &Job<'_>,
    options: &AddOptions,
    (listing, extents): (&Listing, &mut Vec<Stored>),
    mut done: BTreeSet<u32>,
) -> Result<Option<AddedTerm>, AddError> {
    loop {
        let error = match commit::commit(job, listing, extents, &mut done).await {
            Err(AddError::Chain(error @ (ChainError::Refused { .. } | ChainError::Charged { .. }))) => error,
            committed => return committed,
        };
        extents.retain(|stored| !done.contains(&stored.placing.extent));
        if !commit::give_up_departed(job, extents).await.unwrap_or(false) {
            return Err(error.into());
        }
        rebuild::fill_vacant(job, extents, listing).await?;
        check_receipts(job, options, extents)?;
        job.release();
    }
}

/// Stores every extent that is not committed yet. Returns the columns of all, and what was stored.
async fn send_extents(
    job: &Job<'_>,
    source: &mut Source<'_>,
    options: &AddOptions,
    committed: &BTreeSet<u32>,
) -> Result<(Vec<Vec<ColumnId>>, Vec<Stored>), AddError> {
    let (mut columns, mut extents) = (Vec::new(), Vec::new());
    for number in 0.. {
        if source.is_done() {
            break;
        }
        if source.size().is_none() {
            // A stream's price is not known before its end: that of what came so far must be payable at least.
            job.plan.quote(&job.client.chain, &job.plan.layout(source.least(), options)?).await?;
        }
        let known = job.past_extent(number).and_then(|past| past.columns.clone());
        if let Some(known) = known.filter(|_| committed.contains(&number)) {
            source.pass_over_extent().await?;
            columns.push(known);
            continue;
        }
        let stored = upload::store_extent(job, options, source, number).await?;
        columns.push(stored.columns.clone());
        extents.push(stored);
    }
    Ok((columns, extents))
}

/// Fails unless what was stored is one version of the source, which may have grown beyond it.
async fn check_unchanged(job: &Job<'_>, source: &mut Source<'_>, columns: &[Vec<ColumnId>]) -> Result<(), AddError> {
    let (Change::Grew, Source::File(file)) = (source.change()?, source) else { return Ok(()) };
    if !upload::begins_with(job, file.again(), columns).await? {
        return Err(AddError::changed_rows());
    }
    file.grew = true;
    Ok(())
}

fn manifest(job: &Job<'_>, content: Content, layout: Layout, columns: Vec<Vec<ColumnId>>) -> Manifest {
    let protection = match &job.key {
        Some(key) => Protection::Sealed { commitment: key.commitment(content) },
        None => Protection::Public { hash: job.hash().expect("the rows of a public source are hashed"), content },
    };
    let extent = |(number, columns): (u32, Vec<ColumnId>)| {
        let token =
            |key: &ObjectKey| (0..job.plan.code.n).map(|index| token_hash(&key.read_token(number, index))).collect();
        Extent { columns, tokens: job.key.as_ref().map_or_else(Vec::new, token) }
    };
    let extents = (0..).zip(columns).map(extent).collect();
    Manifest { size: layout.size(), code: job.plan.code, protection, extents }
}

/// Enough receipts for the ledger, and all of them where all were asked for.
fn check_receipts(job: &Job<'_>, options: &AddOptions, extents: &[Stored]) -> Result<(), AddError> {
    let need = job.plan.receipts_needed();
    for stored in extents {
        let have = stored.receipts.iter().flatten().count();
        let missing = stored.receipts.len() - have;
        if missing > 0 && options.all {
            return Err(AddError::Partial { missing: stored.placing.failures() });
        }
        if have < need {
            return Err(Job::too_few(&stored.placing, need));
        }
        if missing > 0 {
            job.events.tell(Event::Incomplete { extent: stored.placing.extent, columns: missing });
        }
    }
    Ok(())
}

/// Every column of an extent, those without a holder as the ledger was told.
fn slots(job: &Job<'_>, stored: &Stored) -> Vec<AddedSlot> {
    let named = stored.placing.with_names().unwrap_or_default();
    let slot = |(index, holder): (u8, &RosterEntry)| {
        let at = usize::from(index);
        Some(AddedSlot {
            extent: stored.placing.extent,
            index,
            provider: holder.provider,
            domain: stored.domains.get(&holder.provider)?.clone(),
            column: stored.columns[at],
            stored: stored.receipts[at].is_some(),
        })
    };
    // Who is in a roster has a record.
    (0..job.plan.code.n).zip(named).filter_map(slot).collect()
}

/// What was added, but for its name and what the source says of itself.
pub(super) fn added(
    job: &Job<'_>,
    (object, layout): (ObjectId, &Layout),
    slots: Vec<AddedSlot>,
    term: AddedTerm,
) -> Added {
    let code = layout.code();
    Added {
        link: Link { object, key: job.key.clone() },
        name: OsString::new(),
        size: layout.size(),
        stored_bytes: layout.stored_bytes(),
        code,
        survives: survives(code, &slots),
        slots,
        term,
        source: AddedSource::default(),
        traffic: job.traffic(),
        earlier: Vec::new(),
        _journal: None,
    }
}
