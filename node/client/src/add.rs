//! Add: from plaintext to a link.
//!
//! In goes a reader; out comes a link, once the ledger has the object and enough nodes have the ledger's block. A
//! straight line: [`plan`] decides and checks before a byte is sent, [`source`] cuts rows, [`upload`] encodes them and
//! [`lanes`] carries them to the holders that [`placing`] chose, [`finish`] brings the manifest and takes the receipts,
//! [`rebuild`] makes up for holders that failed on the way, [`commit`] tells the ledger. Memory is the same for any
//! size.
//!
//! Whatever fails gives uploads up; what was sent is forgotten by its holders in time, and nothing is paid. An add with
//! a [`journal`] leaves them where they are, and [`resume`] goes on from there.

use std::collections::BTreeSet;

use bytes::Bytes;
use ostrakon_proto::{
    id::{Amount, ColumnId, Epoch, Height, NodeId, ObjectId},
    ledger::state::Domain,
    link::Link,
    manifest::{Content, Extent, Manifest, Protection},
    params::Code,
    placement::{PlacementError, Tolerance},
    seal::{ObjectKey, token_hash},
};
use tokio::io::AsyncRead;

use crate::{Client, ErrorKind, Event, Events, FailedColumn, chain::ChainError, get::columns::list};

mod commit;
mod existing;
mod finish;
mod hash;
mod job;
mod journal;
mod lanes;
mod placing;
mod plan;
mod rebuild;
mod resume;
mod source;
mod upload;

pub use journal::{Journal, JournalError, Journals, Origin, Unfinished};
pub use plan::{CodeChoice, Quote};
pub use resume::Kept;

use commit::Committed;
use existing::{Earlier, extents_of, found, is_whole, own_commitments};
use job::Job;
use journal::Record;
use source::{Source, SourceError, StreamSource};
use upload::Stored;

/// Epochs paid for when nothing else is said: a month of hours.
const EPOCHS: u64 = 720;

/// How to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddOptions {
    /// Bytes of the source, where they are known; then the price is checked before a byte is sent.
    pub size: Option<u64>,
    /// What the source's bytes are.
    pub content: Content,
    /// Whether anyone may read it: nothing is encrypted.
    pub public: bool,
    /// How it is coded.
    pub code: CodeChoice,
    /// For how many epochs it is paid.
    pub epochs: u64,
    /// Whether all n columns must be stored; else enough that the ledger accepts, and the rest is repaired.
    pub all: bool,
}

impl Default for AddOptions {
    fn default() -> Self {
        let (content, code) = (Content::File, CodeChoice::default());
        Self { size: None, content, public: false, code, epochs: EPOCHS, all: false }
    }
}

/// What was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// How to read it again. Keep it: nobody else has the key.
    pub link: Link,
    /// Bytes of the object.
    pub size: u64,
    /// Bytes of all columns together.
    pub stored_bytes: u64,
    /// Its code.
    pub code: Code,
    /// What whole domains may vanish.
    pub tolerance: Tolerance,
    /// Who keeps what.
    pub slots: Vec<AddedSlot>,
    /// The block that has the commitment.
    pub height: Height,
    /// First epoch that is not paid for.
    pub end: Epoch,
    /// What all epochs cost together.
    pub price: Amount,
    /// Holders that have the block already: of the extent where they are fewest.
    pub spread: usize,
    /// Whether this account had committed the same object before; nothing was paid now.
    pub existing: bool,
    /// What it took.
    pub traffic: Traffic,
}

/// What an add sent, and what it did not have to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of columns that were sent; those of an earlier run of the same add are not in it.
    pub sent_bytes: u64,
    /// Bytes of columns that holders had from an earlier run.
    pub held_bytes: u64,
    /// Whether it went on from where an earlier run had stopped.
    pub resumed: bool,
}

/// One column of an added object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedSlot {
    /// Of which extent.
    pub extent: u32,
    /// Its index.
    pub index: u8,
    /// Who keeps it.
    pub provider: NodeId,
    /// What that one fails together with.
    pub domain: Domain,
    /// The column.
    pub column: ColumnId,
    /// Whether it is stored; else it waits for repair.
    pub stored: bool,
}

/// Why nothing was added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// The ledger could not be asked or told.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The network is too small for any code.
    #[error(
        "the network has {have} providers with free space, and the smallest code needs {need}: wait for more, \
         or give a code with --code K/N"
    )]
    TooFewProviders {
        /// Providers there are.
        have: usize,
        /// Providers that the smallest code needs.
        need: u32,
    },
    /// The network cannot carry the code.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// The account cannot pay.
    #[error(
        "storing this costs {need} obol with fees, and the account has {have}: add money, or store it for fewer epochs"
    )]
    Funds {
        /// What it costs.
        need: Amount,
        /// What there is.
        have: Amount,
    },
    /// It costs more than there is money.
    #[error("the price is beyond all money there is: store it for fewer epochs, or in smaller parts")]
    Price,
    /// The account's balance is no credit for so many bytes on their way.
    #[error(
        "{need} bytes would be under way, and the account's balance is good for {have}: add money, or add less at once"
    )]
    Credit {
        /// Bytes under way.
        need: u64,
        /// Bytes of credit.
        have: u64,
    },
    /// The term is not possible.
    #[error("{asked} epochs are not possible: this network takes 1 to {max}")]
    Term {
        /// What was asked.
        asked: u64,
        /// The most there is.
        max: u64,
    },
    /// No object is so large.
    #[error(transparent)]
    TooLarge(#[from] ostrakon_proto::layout::LayoutError),
    /// The source changed while it was read: its bytes would be no version of it.
    #[error("{0}: add it again")]
    SourceChanged(String),
    /// The source could not be read.
    #[error("cannot read the source: {0}")]
    Source(std::io::Error),
    /// What is done could not be written down, or an earlier journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Too few holders took their column.
    #[error("{have} holders took their column of extent {extent}, and {need} are needed{}", list(failed))]
    TooFewHolders {
        /// Which extent.
        extent: u32,
        /// Holders there are.
        have: usize,
        /// Holders that are needed.
        need: usize,
        /// Who did not, and why.
        failed: Vec<FailedColumn>,
    },
    /// Not all columns are stored, and all were asked for. Nothing was committed or paid.
    #[error("{} columns found no holder, and all were asked for{}", missing.len(), list(missing))]
    Partial {
        /// The columns.
        missing: Vec<FailedColumn>,
    },
}

impl AddError {
    /// What it means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Chain(error) => error.kind(),
            Self::TooFewProviders { .. } | Self::Placement(_) | Self::Term { .. } | Self::TooLarge(_) => {
                ErrorKind::Usage
            }
            Self::Funds { .. } | Self::Price | Self::Credit { .. } => ErrorKind::Funds,
            Self::TooFewHolders { .. } => ErrorKind::Network,
            Self::Partial { .. } => ErrorKind::Partial,
            Self::Journal(error) => error.kind(),
            Self::SourceChanged(_) | Self::Source(_) => ErrorKind::Other,
        }
    }

    /// Rows that were sent before are other rows now.
    fn changed_rows() -> Self {
        Self::SourceChanged("the source is not what it was when the add began".to_owned())
    }
}

impl From<SourceError> for AddError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Read(error) => Self::Source(error),
            SourceError::Length { .. } | SourceError::Changed { .. } => Self::SourceChanged(error.to_string()),
            SourceError::Layout(error) => Self::TooLarge(error),
            SourceError::Row(error) => Self::Source(std::io::Error::other(error)),
        }
    }
}

/// A manifest, its bytes and the name that they give the object.
#[derive(Debug)]
struct Listing {
    object: ObjectId,
    manifest: Manifest,
    bytes: Bytes,
}

impl Listing {
    fn new(manifest: Manifest) -> Self {
        let bytes = Bytes::from(manifest.encode());
        Self { object: Manifest::object_id(&bytes), manifest, bytes }
    }
}

impl Client {
    /// Stores what `source` gives, and commits it.
    ///
    /// # Errors
    /// [`AddError`]; nothing is then committed, unless it says that a transaction may still be included.
    pub async fn add(
        &self,
        source: impl AsyncRead + Unpin + Send,
        options: &AddOptions,
        events: &Events,
    ) -> Result<Added, AddError> {
        let account = self.key()?;
        let plan = self.plan(options).await?;
        if let Some(size) = options.size {
            plan.quote(&plan.layout(size, options)?)?;
        }
        let key = (!options.public).then(|| ObjectKey::from_bytes(self.random()));
        let job = Job::new(self, account, plan, key, events);
        let adding = async {
            let source = StreamSource::new(source, options.size, job.plan.code, !options.public).await?;
            add(&job, Source::Stream(source), options).await
        };
        let added = tokio::select! { biased;
            added = Box::pin(adding) => added,
            never = job.keep_alive() => match never {},
        };
        if added.is_err() {
            job.abort().await;
        }
        added
    }
}

async fn add<R>(job: &Job<'_>, mut source: Source<R>, options: &AddOptions) -> Result<Added, AddError>
where
    R: AsyncRead + Unpin + Send,
{
    job.events.tell(Event::Planned { code: job.plan.code, size: source.size() });
    let mut before = Vec::new();
    if let Some(object) = job.past_object() {
        before = own_commitments(job, object).await?;
        let layout = source.layout();
        if is_whole(&before, &layout) {
            let (added, ()) = futures::join!(found(job, (object, &layout), &before, Earlier::Run), job.abort());
            return added;
        }
    }
    let (columns, mut extents) = store(job, &mut source, options, &extents_of(&before)).await?;
    source.check_unchanged()?;
    let listing = Listing::new(manifest(job, options.content, &source, columns));
    match job.past_object() {
        Some(object) if object != listing.object => return Err(AddError::changed_rows()),
        Some(_) => {}
        None => job.record(|| Record::Listed { object: listing.object })?,
    }
    if options.public && before.is_empty() {
        before = own_commitments(job, listing.object).await?;
        if is_whole(&before, &source.layout()) {
            job.abort().await;
            return found(job, (listing.object, &source.layout()), &before, Earlier::Add).await;
        }
    }
    finish::finish(job, &mut extents, &listing).await?;
    rebuild::fill_vacant(job, &mut extents, &listing).await?;
    check_receipts(job, options, &extents)?;
    let done = extents_of(&before);
    let (committed, ()) = futures::join!(commit::commit(job, &listing, &extents, &done), job.abort());
    match committed? {
        Some(committed) if done.is_empty() => Ok(added(job, &listing, &extents, committed)),
        // Some of it was committed earlier: the ledger has all of it now.
        _ => {
            let all = own_commitments(job, listing.object).await?;
            found(job, (listing.object, &source.layout()), &all, Earlier::Run).await
        }
    }
}

/// Stores every extent that is not committed yet. Gives the columns of all, and what was stored.
async fn store<R: AsyncRead + Unpin + Send>(
    job: &Job<'_>,
    source: &mut Source<R>,
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
            job.plan.quote(&job.plan.layout(source.least(), options)?)?;
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

fn manifest<R: AsyncRead + Unpin + Send>(
    job: &Job<'_>,
    content: Content,
    source: &Source<R>,
    columns: Vec<Vec<ColumnId>>,
) -> Manifest {
    let protection = match &job.key {
        Some(key) => Protection::Sealed { commitment: key.commitment(content) },
        None => Protection::Public { hash: job.hash().expect("the rows of a public source are hashed"), content },
    };
    let extent = |(number, columns): (u32, Vec<ColumnId>)| {
        let token =
            |key: &ObjectKey| (0..job.plan.code.n).map(|index| token_hash(&key.read_token(number, index))).collect();
        Extent { columns, tokens: job.key.as_ref().map_or_else(Vec::new, token) }
    };
    Manifest {
        size: source.layout().size(),
        code: job.plan.code,
        protection,
        extents: (0..).zip(columns).map(extent).collect(),
    }
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

fn added(job: &Job<'_>, listing: &Listing, extents: &[Stored], committed: Committed) -> Added {
    let slots = |stored: &Stored| {
        let slot = |index: u8| {
            let (holder, at) = (stored.placing.holder(index)?, usize::from(index));
            let (provider, domain) = (holder.provider, holder.domain.clone());
            let (column, stored_there) = (stored.columns[at], stored.receipts[at].is_some());
            Some(AddedSlot { extent: stored.placing.extent, index, provider, domain, column, stored: stored_there })
        };
        (0..job.plan.code.n).filter_map(slot).collect::<Vec<_>>()
    };
    let Committed { height, end, price, spread } = committed;
    let Listing { object, manifest, .. } = listing;
    Added {
        link: Link { object: *object, key: job.key.clone() },
        size: manifest.size,
        stored_bytes: manifest.layout().stored_bytes(),
        code: manifest.code,
        tolerance: job.plan.tolerance(),
        slots: extents.iter().flat_map(slots).collect(),
        height,
        end,
        price,
        spread,
        existing: false,
        traffic: job.traffic(),
    }
}
