//! Where a bucket's batches are: objects of the network, and one cell of the ledger.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use ostrakon_net::lock;
use ostrakon_proto::{
    id::{AccountId, Amount, Epoch, Height, ObjectId},
    ledger::{
        state::{Commitment, NameRecord},
        tx::{Action, Extend, Release, SetName, SetRenewal, Together, Transfer, batches},
    },
    seal::ObjectKey,
    sign::Keypair,
};
use tokio::time::{Instant, timeout_at};

use super::{BucketError, blobs::Blobs, engine::Body};
use crate::{
    Activity, AddError, Client, Error, Events, TooPoor,
    add::{Uploaded, times},
    chain::{ChainError, Overtaken, Sent},
};

/// Actions of one transaction beside the cell's and those that commit its batch.
const BESIDE: usize = ostrakon_proto::limits::PARTS - 1 - FOR_EXTENT - FOR_ORDER;
/// Actions that commit an extent, and have it renewed.
const FOR_EXTENT: usize = 2;
/// Actions that fail unless the batch before is committed.
const FOR_ORDER: usize = 1;
/// How often what is missed is given to the bucket's account, so that it need not be given soon again.
const AHEAD: u64 = 8;
/// What is provided for an object whose length is not known: it may need more.
const UNKNOWN: u64 = 16 * 1024 * 1024;
/// How long a transaction is looked for of which no node says whether it is in a block.
const OUTCOME_WAIT: Duration = Duration::from_secs(60);
/// The same of one that was refused.
const CLASH_WAIT: Duration = Duration::from_secs(3);
/// Transactions that are looked through at a time.
const RECENT: usize = 16;
/// For how long it is known that enough validators respond.
const QUORUM_FRESH: Duration = Duration::from_secs(2);

/// What a bucket's batches are stored with.
pub(super) struct Depot {
    /// Of the bucket's account.
    client: Client,
    /// Of who pays.
    owner: Client,
    key: Keypair,
    cell: [u8; 32],
    /// What its objects of the network are read by.
    pub(super) blobs: Arc<Blobs>,
    /// Epochs that are paid for at a time.
    epochs: u64,
    /// When enough validators responded last.
    quorum_at: Mutex<Option<Instant>>,
    /// The cell's version that enough validators have.
    spread: AtomicU64,
    /// Micro-obols that commits on their way will take.
    reserved: Arc<AtomicU64>,
    /// The nonce after that of the last commit; 0 where none is expected.
    next_nonce: AtomicU64,
}

/// The bucket's cell on the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    /// What a change of it has to name; 0 while it is not set.
    pub(super) version: u64,
    /// What it says, sealed.
    pub(super) value: Option<Vec<u8>>,
}

/// What is to be done together, or not at all.
pub(super) struct Commit {
    /// Objects to be committed; the last is the batch.
    pub(super) stored: Vec<Arc<Uploaded>>,
    /// Objects that are used no more, each with how many extents it has.
    pub(super) released: Vec<(ObjectId, u32)>,
    /// What fails unless the batch is committed that this one was built on; `None` where that was final.
    pub(super) after: Option<SetRenewal>,
    /// The cell as it is expected, and what it shall say; `None` removes it.
    pub(super) version: u64,
    pub(super) value: Option<Vec<u8>>,
}

/// A commit that was submitted, or that no node took as far as is known.
pub(super) struct Launched {
    sent: Result<Sent, ChainError>,
    commit: Commit,
    /// Whether another machine has used the account since the last one.
    pub(super) is_disturbed: bool,
    _reserved: Reserved,
}

/// A commit is in the block of this height.
#[derive(Clone, Copy, Debug)]
pub(super) struct InBlock {
    pub(super) height: Height,
    /// As the transaction that was submitted first.
    pub(super) is_own: bool,
}

/// Why nothing was committed.
#[derive(Debug)]
pub(super) enum CommitError {
    /// The cell has another version, as of this block.
    Moved(Height),
    /// Anything else.
    Failed(BucketError),
}

/// Money of the bucket's account that commits on their way will take.
struct Reserved(Arc<AtomicU64>, u64);

impl Drop for Reserved {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

impl Launched {
    /// The version that the cell has once it is in a block; `None` when no node took it.
    pub(super) fn version_after(&self) -> Option<u64> {
        self.sent.as_ref().ok().map(|sent| sent.nonce().saturating_add(1))
    }

    /// The version that the cell had when it was made.
    pub(super) fn version(&self) -> u64 {
        self.commit.version
    }

    pub(super) fn stored(&self) -> &[Arc<Uploaded>] {
        &self.commit.stored
    }

    /// What fails unless it is in a block, and changes nothing else: the batch's lease is renewed as it is already.
    pub(super) fn order(&self) -> SetRenewal {
        self.commit.stored.last().expect("a commit has a batch").renewal()
    }
}

impl Depot {
    pub(super) fn new((client, owner): (Client, Client), key: Keypair, cell: [u8; 32], epochs: u64) -> Self {
        let blobs = Arc::new(Blobs::new(client.clone()));
        let (quorum_at, spread, reserved, next_nonce) = Default::default();
        Self { client, owner, key, cell, blobs, epochs, quorum_at, spread, reserved, next_nonce }
    }

    fn account(&self) -> AccountId {
        self.key.public()
    }

    /// The newest cell: whatever was acknowledged to anyone before is in it, and whatever anyone has read.
    pub(super) async fn cell(&self) -> Result<Cell, BucketError> {
        self.client.chain.catch_up_by_quorum().await?;
        *lock(&self.quorum_at) = Some(Instant::now());
        let (height, cell) = self.cell_at().await?;
        // A block that few have is not shown before those have it who are asked by the next.
        if self.spread.load(Ordering::Relaxed) < cell.version {
            self.client.chain.at_quorum(height).await?;
            self.note_spread(cell.version);
        }
        Ok(cell)
    }

    /// The cell, as any node proves it.
    pub(super) async fn cell_as_known(&self) -> Result<Cell, BucketError> {
        Ok(self.cell_at().await?.1)
    }

    /// The same, and as of which block.
    async fn cell_at(&self) -> Result<(Height, Cell), ChainError> {
        let (height, name) = self.client.chain.name_record(self.account(), self.cell).await?;
        let cell = name.map(|NameRecord { version, value, .. }| Cell { version, value: Some(value) });
        Ok((height, cell.unwrap_or_default()))
    }

    /// Stores an object under this key, without committing it.
    pub(super) async fn store(
        &self,
        body: Body<'_>,
        size: Option<u64>,
        key: ObjectKey,
    ) -> Result<Uploaded, BucketError> {
        // A body cannot be read twice, so what it may need is provided first.
        let plan = || self.client.plan_upload(size, (UNKNOWN, self.epochs));
        let planned = match plan().await {
            Err(error) => {
                self.fund(error).await?;
                plan().await?
            }
            planned => planned?,
        };
        Ok(self.client.upload(planned, body, key).await?)
    }

    /// Gives the bucket's account what it misses, from the owner's.
    async fn fund(&self, error: AddError) -> Result<(), BucketError> {
        let missed = match error {
            AddError::Funds { need, have, .. } => need.0.saturating_sub(have.0),
            AddError::Credit { need, have } => {
                let each = self.client.rules().params.credit_bytes.max(1);
                let micro = u128::from(need.saturating_sub(have)) * 1_000_000 / u128::from(each);
                u64::try_from(micro).unwrap_or(u64::MAX).saturating_add(1)
            }
            error => return Err(error.into()),
        };
        let owner = &self.owner;
        let pay = |amount| Action::Transfer(Transfer { to: self.account(), amount: Amount(amount) });
        let mut pay_ahead = pay(missed.saturating_mul(AHEAD));
        if owner.check_funds(&pay_ahead).await.is_err() {
            pay_ahead = pay(missed);
            owner.check_funds(&pay_ahead).await.map_err(|error| poor(&error))?;
        }
        // What is given twice by accident is the bucket's, and returns with it.
        owner.submit(pay_ahead, Overtaken::Repeat, &Events::none()).await?;
        Ok(())
    }

    /// Fails where too few validators respond to commit anything, before anything is stored for it.
    pub(super) async fn check_quorum(&self) -> Result<(), BucketError> {
        let is_fresh = lock(&self.quorum_at).is_some_and(|at| at.elapsed() < QUORUM_FRESH);
        if !is_fresh {
            self.client.chain.catch_up_by_quorum().await?;
            *lock(&self.quorum_at) = Some(Instant::now());
        }
        Ok(())
    }

    /// Looks up what a commit needs to know of the ledger, as it is remembered for a moment.
    pub(super) async fn look_ahead(&self) -> Result<(), BucketError> {
        self.client.chain.recent(self.account()).await?;
        Ok(())
    }

    /// Submits what commits all of it.
    ///
    /// # Errors
    /// When nothing can have been submitted.
    pub(super) async fn launch(&self, commit: Commit) -> Result<Launched, BucketError> {
        let (head, funds) = self.client.chain.recent(self.account()).await?;
        let mut locked = Amount::ZERO;
        let mut actions = Vec::new();
        for stored in &commit.stored {
            locked = stored.locked().and_then(|of_one| locked.plus(of_one)).ok_or(AddError::Price)?;
            actions.extend(stored.commits(head.epoch)?);
        }
        actions.extend(commit.after.map(Action::SetRenewal));
        let release = |object: ObjectId| move |extent| Action::Release(Release { object, extent });
        actions.extend(commit.released.iter().flat_map(|(object, extents)| (0..*extents).map(release(*object))));
        let reserved = self.ensure(locked, &actions, funds.balance).await?;
        let set = SetName { name: self.cell, version: commit.version, value: commit.value.clone() };
        // What does not fit one transaction with the cell comes before it: large objects, which nothing names yet.
        let before = actions.len().saturating_sub(BESIDE + FOR_EXTENT + FOR_ORDER);
        let mut last = actions.split_off(before);
        last.push(Action::SetName(set));
        if !actions.is_empty() {
            self.client.chain.send(&self.key, batches(actions), Overtaken::Repeat, &Events::none()).await?;
            self.next_nonce.store(0, Ordering::Relaxed);
        }
        let together = Action::Together(Together::new(last).expect("16 actions at most, of which one sets a name"));
        let sent = self.client.chain.begin(&self.key, together).await;
        let nonce = sent.as_ref().ok().map(Sent::nonce);
        let next = nonce.map_or(0, |nonce| nonce.saturating_add(1));
        let expected = self.next_nonce.swap(next, Ordering::Relaxed);
        let is_disturbed = expected > 0 && nonce.is_some_and(|nonce| nonce > expected);
        Ok(Launched { sent, commit, is_disturbed, _reserved: reserved })
    }

    /// Waits until a block has it.
    pub(super) async fn finish(&self, launched: &Launched) -> Result<InBlock, ChainError> {
        let sent = launched.sent.as_ref().map_err(Clone::clone)?;
        let included = self.client.chain.finish(&self.key, sent).await?;
        Ok(InBlock { height: included.height, is_own: included.tx == sent.id() })
    }

    /// Forgets which nonces this process has used: transactions with some of them may be lost.
    pub(super) async fn forget_nonces(&self) {
        self.client.chain.forget_nonces(self.account()).await;
    }

    /// Gives the bucket's account what a commit takes, beside the others on their way.
    async fn ensure(&self, locked: Amount, actions: &[Action], have: Amount) -> Result<Reserved, BucketError> {
        let fees = self.client.fee_of(actions);
        let own = locked.0.saturating_add(fees.0.saturating_mul(2));
        let others = self.reserved.fetch_add(own, Ordering::Relaxed);
        let reserved = Reserved(Arc::clone(&self.reserved), own);
        let (account, need) = (self.account(), own.saturating_add(others));
        if need > have.0 {
            self.fund(AddError::Funds { account, need: Amount(need), have }).await?;
        }
        Ok(reserved)
    }

    /// Enough validators have this version of the cell.
    pub(super) fn note_spread(&self, version: u64) {
        self.spread.fetch_max(version, Ordering::Relaxed);
    }

    /// Waits until what was committed is with validators that have more than two thirds of the power, and with so many
    /// holders that every k that are left know it.
    pub(super) async fn settle(&self, stored: &[Arc<Uploaded>], height: Height) -> Result<(), BucketError> {
        let spreads = join_all(stored.iter().map(|stored| stored.spread(&self.client, height)));
        let (at_quorum, _) = futures::join!(self.client.chain.at_quorum(height), spreads);
        at_quorum?;
        *lock(&self.quorum_at) = Some(Instant::now());
        Ok(())
    }

    /// The outcome of a commit whose sending failed: the height at which it is, or why the cell is not as it was to be.
    /// Where the cell has moved, the commit may have been the move before the last.
    pub(super) async fn outcome(
        &self,
        error: ChainError,
        Launched { commit, .. }: &Launched,
    ) -> Result<Height, CommitError> {
        // What was refused clashes with what another has sent, which is in a block soon.
        let wait = match error {
            ChainError::NotIncluded { .. } | ChainError::NoNode { .. } => OUTCOME_WAIT,
            _ => CLASH_WAIT,
        };
        let until = Instant::now() + wait;
        loop {
            let (height, Cell { version, value }) = self.cell_at().await?;
            if version != commit.version {
                return if value == commit.value { Ok(height) } else { Err(CommitError::Moved(height)) };
            }
            if Instant::now() >= until {
                return Err(match error {
                    // Another transaction of the account came first: the same can be tried again.
                    ChainError::Overtaken { .. } => CommitError::Moved(height),
                    error => BucketError::from(error).into(),
                });
            }
            // Without a new block the cell is as it was.
            let _none = timeout_at(until, self.client.chain.block_after(height)).await;
        }
    }

    /// What the ledger has of an object that the bucket stores.
    pub(super) async fn leases(&self, object: ObjectId) -> Result<Vec<Commitment>, BucketError> {
        match self.client.chain.object(object).await {
            Ok(mut all) => {
                all.retain(|commitment| commitment.id.owner == self.account());
                Ok(all)
            }
            Err(ChainError::NoObject { .. }) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// The epoch in progress.
    pub(super) async fn epoch(&self) -> Result<Epoch, BucketError> {
        Ok(self.client.chain.head().await?.epoch)
    }

    /// Extends those of the commitments to the full term that have less than half of it left. Returns how many, and
    /// when the first of all ends now.
    pub(super) async fn extend(&self, all: &[Commitment]) -> Result<(usize, Option<Epoch>), BucketError> {
        let now = self.epoch().await?;
        let (half, full) = (now.after(self.epochs.div_ceil(2)), now.after(self.epochs));
        // What ends with this epoch was released by another, or cannot be extended any more.
        let is_due = |commitment: &&Commitment| commitment.end < half && commitment.end > now.after(1);
        let (mut locked, mut actions) = (Amount::ZERO, Vec::new());
        for commitment in all.iter().filter(is_due) {
            let more = times(commitment.cap(), full.0.saturating_sub(commitment.end.0));
            locked = more.and_then(|more| locked.plus(more)).ok_or(AddError::Price)?;
            let most = commitment.slots.iter().map(|slot| slot.cap).max().unwrap_or_default();
            actions.push(Action::Extend(Extend { commitment: commitment.id, end: full, most }));
        }
        let extended = actions.len();
        if extended > 0 {
            let funds = self.client.chain.account(self.account()).await?;
            self.ensure(locked, &actions, funds.balance).await?;
            self.client.chain.send(&self.key, batches(actions), Overtaken::Repeat, &Events::none()).await?;
        }
        let ends = all.iter().map(|commitment| if is_due(&commitment) { full } else { commitment.end });
        Ok((extended, ends.min()))
    }

    /// All objects that the bucket's account ever committed, as far back as nodes have blocks.
    pub(super) async fn committed(&self) -> Result<BTreeSet<ObjectId>, BucketError> {
        let activity = self.client.chain.activity(self.account(), None, usize::MAX).await?;
        Ok(self.committed_by(&activity).collect())
    }

    /// Whether an object was committed since the cell had this version: the nonce after that of the transaction which
    /// set it.
    pub(super) async fn has_committed(&self, object: ObjectId, version: u64) -> Result<bool, BucketError> {
        let mut before = None;
        loop {
            let activity = self.client.chain.activity(self.account(), before, RECENT).await?;
            if self.committed_by(&activity).any(|committed| committed == object) {
                return Ok(true);
            }
            if activity.next.is_none() || activity.sent_before.is_none_or(|sent| sent <= version) {
                return Ok(false);
            }
            before = activity.next;
        }
    }

    fn committed_by(&self, activity: &Activity) -> impl Iterator<Item = ObjectId> {
        let account = self.account();
        let own =
            activity.txs.iter().filter(move |entry| entry.tx.body.account == account && !entry.place.is_charged());
        own.flat_map(|entry| entry.tx.body.action.parts()).filter_map(|part| match part {
            Action::Commit(commit) => Some(commit.object),
            _ => None,
        })
    }

    /// Extents of large objects that fit one commit with a batch.
    pub(super) const fn extents() -> usize {
        BESIDE / FOR_EXTENT
    }

    /// Releases that fit it beside so many extents.
    pub(super) const fn releases(extents: usize) -> usize {
        BESIDE.saturating_sub(extents.saturating_mul(FOR_EXTENT))
    }

    /// Random bytes.
    pub(super) fn random<const N: usize>(&self) -> [u8; N] {
        self.client.random()
    }

    /// Milliseconds of Unix time.
    pub(super) fn now_ms(&self) -> u64 {
        self.client.now_ms()
    }
}

/// Why the owner cannot give the bucket what it misses, and what to do.
fn poor(error: &Error) -> BucketError {
    match error.downcast_ref::<TooPoor>() {
        Some(poor) => BucketError::OwnerTooPoor(*poor),
        None => BucketError::Unavailable(error.to_string()),
    }
}

impl From<BucketError> for CommitError {
    fn from(error: BucketError) -> Self {
        Self::Failed(error)
    }
}

impl From<ChainError> for CommitError {
    fn from(error: ChainError) -> Self {
        Self::Failed(error.into())
    }
}
