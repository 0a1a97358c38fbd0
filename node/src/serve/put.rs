//! put/1: stores a column and signs a receipt for it (`proto/wire/put`).
//!
//! In comes an account's signed request for space, then the column, then the manifest that lists it; out goes the
//! receipt that the ledger will see. An upload is refused early if this node was not drawn for it, if no balance backs
//! it, or if the column is not the manifest's. A repair has a ticket instead of an account ([`super::tickets`]).

use std::sync::Arc;

use bytes::Bytes;
use ostrakon_net::lock;
use ostrakon_proto::{
    id::{AccountId, Epoch, NodeId},
    ledger::{
        DrawChance, Rules,
        repair::REPAIR_DRAW,
        state::{ProviderStatus, Records},
        tx::{Receipt, columns_hash},
    },
    limits,
    manifest::Manifest,
    params::Params,
    placement::{self, Caps, DrawSeed, RosterEntry},
    sign::{Purpose, Signature, verify},
    wire::{
        Frame, Refusal,
        RefusalCode::{self, BadRequest, Busy, Denied, Full, NoCredit, NotFound},
        put::{Open, OpenRepair, PutRequest, PutResponse, Taken, UploadId},
    },
};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{
    Serve, answer,
    credit::{self, ReserveError, Room},
    decode, no_body, refuse_store,
    tickets::{self, Ticketed},
    uploads::{Finished, Opened, Opener, UploadSession, UploadSessionError},
};
use crate::{
    capacity::Offer,
    store::{Columns, Place, StoreError, Usage},
};

/// What the ledger lets an account, or a repair, store here.
#[derive(Clone, Copy)]
struct Grant {
    /// Credit of the account in bytes.
    credit: u64,
    /// What a repair stores; its commitment's escrow backs it, and no account's credit.
    ticketed: Option<Ticketed>,
    /// The node's offer.
    offer: Offer,
}

/// What came with an opening.
struct FirstBytes {
    manifest: Bytes,
    chunk: Bytes,
}

impl FirstBytes {
    /// Of a request's body, which begins with so many bytes of manifest.
    fn of(mut body: Bytes, manifest: u32) -> Result<Self, Refusal> {
        let manifest = usize::try_from(manifest).unwrap_or(usize::MAX);
        if manifest > body.len() || body.len() - manifest > limits::CHUNK || (manifest > 0 && manifest == body.len()) {
            let reason = format!(
                "invalid opening: its body is empty, or has a manifest and then 1 to {} bytes of the column",
                limits::CHUNK
            );
            return Err(Refusal::new(BadRequest, reason));
        }
        Ok(Self { manifest: body.split_to(manifest), chunk: body })
    }
}

/// Why the store did not begin an upload.
enum NotBegun {
    /// Others' uploads are in the way.
    Space {
        /// Bytes that they would have to give back.
        short: u64,
        refusal: Refusal,
    },
    Refused(Refusal),
}

impl From<ReserveError> for NotBegun {
    fn from(error: ReserveError) -> Self {
        match error {
            ReserveError::Credit { .. } => Self::Refused(Refusal::new(NoCredit, error)),
            ReserveError::Space { short, .. } => Self::Space { short, refusal: Refusal::new(Full, error) },
        }
    }
}

impl From<NotBegun> for Refusal {
    fn from(not_begun: NotBegun) -> Self {
        match not_begun {
            NotBegun::Space { refusal, .. } | NotBegun::Refused(refusal) => refusal,
        }
    }
}

impl Serve {
    /// Gives `turn` up while a finish waits for another.
    pub(super) async fn put(&self, from: NodeId, frame: Frame, turn: OwnedSemaphorePermit) -> Result<Frame, Refusal> {
        let response = match decode(&frame)? {
            PutRequest::Open { open, signature, manifest } => {
                let (first, signed) = (FirstBytes::of(frame.body, manifest)?, (open, signature));
                self.open_with(from, signed, first, turn).await?
            }
            PutRequest::Chunk { upload, offset } => self.chunk(from, upload, offset, frame.body).await?,
            PutRequest::Finish { upload } => self.finish((from, upload), frame.body, turn).await?,
            PutRequest::Abort { upload } => {
                no_body(&frame)?;
                self.abort(from, upload).await?
            }
            PutRequest::Repair(asked) => {
                no_body(&frame)?;
                self.open_repair(from, asked).await?
            }
        };
        self.parts.metrics.answered(&response);
        Ok(answer(response, Bytes::new()))
    }

    /// Opens an upload; takes its first chunk where that comes with it, and finishes it where the manifest does.
    async fn open_with(
        &self,
        from: NodeId,
        (open, signature): (Open, Signature),
        FirstBytes { manifest, chunk }: FirstBytes,
        turn: OwnedSemaphorePermit,
    ) -> Result<PutResponse, Refusal> {
        let upload = open.upload;
        let mut response = self.open(from, open, signature).await?;
        if let PutResponse::Opened(taken) = &mut response
            && taken.next == 0
            && !chunk.is_empty()
        {
            taken.next = self.take(from, upload, 0, chunk).await?;
        }
        if manifest.is_empty() { Ok(response) } else { self.finish((from, upload), manifest, turn).await }
    }

    async fn open(&self, from: NodeId, open: Open, signature: Signature) -> Result<PutResponse, Refusal> {
        check_form(&open, &self.node)?;
        let grant = self.judge(&open, signature).await?;
        // Before another upload has to yield its place.
        let backed =
            self.parts.credit.backs(&open.account, &open.upload, credit::upload_bytes(open.reserve), grant.credit);
        backed.map_err(|error| Refusal::new(NoCredit, error))?;
        self.begin_session(from, open, grant).await
    }

    async fn open_repair(&self, from: NodeId, asked: OpenRepair) -> Result<PutResponse, Refusal> {
        let (rules, node) = (self.parts.chain.rules(), self.node);
        let own = self.parts.offers.borrow().as_ref().map(|offer| offer.capacity);
        let judge = move |records: &dyn Records| judge_repair(&rules, records, (from, node), (&asked, own));
        let (open, ticketed, offer) = self.parts.chain.read(judge).await?;
        self.begin_session(from, open, Grant { credit: 0, ticketed: Some(ticketed), offer }).await
    }

    async fn begin_session(&self, from: NodeId, open: Open, grant: Grant) -> Result<PutResponse, Refusal> {
        let opener = Opener { from, credit: grant.credit, ticketed: grant.ticketed };
        let opened = lock(&self.uploads).open(opener, open.clone(), Instant::now());
        match opened.map_err(refuse_upload)? {
            Opened::Finished(finished) => return Ok(opened_whole(finished)),
            Opened::Open { yielded: Some(other) } => self.drop_upload(other).await,
            Opened::Open { yielded: None } => {}
        }
        let mut begun = self.begin(&open, grant).await;
        if let Err(NotBegun::Space { short, .. }) = begun {
            let yielding = lock(&self.uploads).make_space(&open, grant.credit, short, Instant::now());
            for other in yielding {
                self.drop_upload(other).await;
            }
            begun = self.begin(&open, grant).await;
        }
        // What dropped it meanwhile may have come before its charge and its place in the store.
        let is_charged = grant.ticketed.is_some() || self.parts.credit.is_charged(&open.upload);
        let is_open = lock(&self.uploads).is_open(&open) && is_charged;
        if begun.is_err() || !is_open {
            self.drop_upload(open.upload).await;
        }
        // A finish that was asked for before the client died may have made it a column meanwhile.
        if let Some(finished) = lock(&self.uploads).finished(&open) {
            return Ok(opened_whole(finished));
        }
        let begun = begun.map_err(Refusal::from)?;
        is_open.then_some(PutResponse::Opened(begun)).ok_or_else(closed)
    }

    /// Checks by the ledger that the account may store here.
    async fn judge(&self, open: &Open, signature: Signature) -> Result<Grant, Refusal> {
        let height = self.parts.chain.head().height;
        let crowd = lock(&self.uploads).to_weigh(height);
        let (chain, asked) = (self.parts.chain.clone(), open.clone());
        let own = self.parts.offers.borrow().as_ref().map(|offer| offer.capacity);
        let judge = move |records: &dyn Records| -> Result<(Grant, Vec<(AccountId, u64)>), Refusal> {
            let rules = chain.rules();
            let grant = judge(&rules, records, (&asked, &signature), own)?;
            let credits = crowd.into_iter().map(|account| (account, credit_of(&rules, records, &account)));
            Ok((grant, credits.collect()))
        };
        let (grant, credits) = self.parts.chain.read(judge).await?;
        lock(&self.uploads).weigh(height, credits);
        Ok(grant)
    }

    /// Drops an upload with all that it holds.
    async fn drop_upload(&self, upload: UploadId) {
        self.forget(&upload);
        self.on_columns(move |columns| columns.abort(upload)).await;
    }

    async fn begin(&self, open: &Open, grant: Grant) -> Result<Taken, NotBegun> {
        let (charges, account, upload, reserve) =
            (Arc::clone(&self.parts.credit), open.account, open.upload, open.reserve);
        let begin = move |columns: &dyn Columns| {
            let usage = columns.usage();
            // Not that the disk is full, which its operator would look for.
            if usage.disk_bytes == 0 {
                let reason = if columns.is_opening() { StoreError::Opening } else { StoreError::NoVolume };
                return Err(NotBegun::Refused(refuse_store(reason)));
            }
            if grant.ticketed.is_some() {
                check_offered(grant.offer, credit::upload_bytes(reserve), &usage)?;
            } else {
                let room = Room::new(grant.credit, grant.offer, &usage);
                charges.reserve(account, upload, credit::upload_bytes(reserve), room)?;
            }
            columns.begin(upload, reserve).map_err(|error| NotBegun::Refused(refuse_store(error)))
        };
        self.on_columns(begin).await
    }

    async fn chunk(&self, from: NodeId, id: UploadId, offset: u64, body: Bytes) -> Result<PutResponse, Refusal> {
        Ok(PutResponse::Ready { next: self.take(from, id, offset, body).await? })
    }

    /// Writes a chunk; the first byte that is missing then.
    async fn take(&self, from: NodeId, id: UploadId, offset: u64, body: Bytes) -> Result<u64, Refusal> {
        let upload = self.upload(&from, &id)?;
        if !offset.is_multiple_of(bytes(limits::CHUNK)) || body.is_empty() || body.len() > limits::CHUNK {
            let reason = format!(
                "invalid chunk: need 1 to {} bytes, at an offset that is a multiple of that size",
                limits::CHUNK
            );
            return Err(Refusal::new(BadRequest, reason));
        }
        if let Some(finished) = upload.finished {
            return Ok(finished.column_len);
        }
        self.parts.metrics.received(body.len());
        let next = self.on_columns(move |columns| columns.write(id, offset, body)).await.map_err(refuse_store)?;
        lock(&self.uploads).advance(&id, next);
        Ok(next)
    }

    async fn finish(
        &self,
        (from, id): (NodeId, UploadId),
        manifest: Bytes,
        turn: OwnedSemaphorePermit,
    ) -> Result<PutResponse, Refusal> {
        let upload = self.upload(&from, &id)?;
        if let Some(finished) = upload.finished.filter(|done| done.object == Manifest::object_id(&manifest)) {
            return Ok(PutResponse::Receipt(finished.receipt));
        }
        let expires = last_epoch(&self.parts.chain.rules(), &upload.open);
        let (listed, open, ticketed) = (manifest.clone(), upload.open.clone(), upload.ticketed);
        let listed = move || place_of(&listed, &open, expires).and_then(|listed| check_ticketed(listed, ticketed));
        let (place, columns) = match self.parts.workers.run(listed).await {
            Ok(listed) => listed,
            Err(refusal) => {
                self.drop_upload(id).await;
                return Err(refusal);
            }
        };
        let _alone = self.finishing.take(place.key(), turn).await;
        let stored = self.on_columns(move |columns| columns.finish(id, place, manifest)).await;
        stored.map_err(refuse_store).inspect_err(|_| self.forget(&id))?;
        // Before the charge is released: an opening of it meanwhile must find it open or finished.
        let (receipt, reopened) = self.receipt(&upload, &place, columns);
        if upload.ticketed.is_none() {
            self.parts.credit.stored(&id, upload.open.account, place.key(), place.disk_bytes());
        }
        if reopened {
            // It may have begun an empty upload in the store.
            self.drop_upload(id).await;
        } else {
            self.parts.credit.release(&id);
        }
        Ok(PutResponse::Receipt(receipt))
    }

    /// Signs that the column is stored here, hashed and synced; says whether the upload was asked for since it was
    /// read.
    fn receipt(&self, upload: &UploadSession, place: &Place, columns: [u8; 32]) -> (Signature, bool) {
        let Place { object, extent, index, column_len, .. } = *place;
        let Open { account, draw, code, ask, until, .. } = upload.open;
        let receipt = Receipt { account, object, extent, index, draw, columns, code, column_len, ask, until };
        let receipt = self.parts.keypair.sign(Purpose::Receipt, &self.parts.chain.rules().chain, &receipt);
        let reopened = lock(&self.uploads).finish(upload, Finished { object, column_len, receipt });
        (receipt, reopened)
    }

    async fn abort(&self, from: NodeId, id: UploadId) -> Result<PutResponse, Refusal> {
        self.upload(&from, &id)?;
        self.drop_upload(id).await;
        Ok(PutResponse::Aborted)
    }

    fn upload(&self, from: &NodeId, id: &UploadId) -> Result<UploadSession, Refusal> {
        let upload = lock(&self.uploads).touch(id, from, Instant::now());
        upload.ok_or_else(closed)
    }

    fn forget(&self, id: &UploadId) {
        lock(&self.uploads).remove(id);
        self.parts.credit.release(id);
    }
}

/// The answer to who opens an upload that is finished.
fn opened_whole(finished: Finished) -> PutResponse {
    PutResponse::Opened(Taken { next: finished.column_len, early: 0 })
}

fn closed() -> Refusal {
    Refusal::new(NotFound, "unknown upload, or one that another node opened; open it again")
}

/// Checks that need no state.
fn check_form(open: &Open, node: &NodeId) -> Result<(), Refusal> {
    let extents = u32::try_from(limits::EXTENTS).expect("a small constant");
    let refuse = |code: RefusalCode, reason: String| Err(Refusal::new(code, reason));
    match open {
        _ if open.holder != *node => {
            refuse(Denied, format!("the request is for node {}, but this is {node}", open.holder))
        }
        _ if !open.code.is_valid() => refuse(BadRequest, format!("invalid code {}: need 1 <= K < N", open.code)),
        _ if open.index >= open.code.n => refuse(
            BadRequest,
            format!("invalid column index {} for code {}: the index must be less than N", open.index, open.code),
        ),
        _ if open.extent >= extents => {
            refuse(BadRequest, format!("invalid extent {}: the extent must be less than {extents}", open.extent))
        }
        _ if open.reserve == 0 || open.reserve > limits::COLUMN => {
            refuse(BadRequest, format!("invalid size: a column has 1 to {} bytes", limits::COLUMN))
        }
        _ => Ok(()),
    }
}

/// Checks that the account may store here by this draw, on a node whose operator has it offer `own` bytes.
fn judge(
    rules: &Rules,
    records: &dyn Records,
    (open, signature): (&Open, &Signature),
    own: Option<u64>,
) -> Result<Grant, Refusal> {
    verify(&open.account, signature, Purpose::Put, &rules.chain, open)
        .map_err(|error| Refusal::new(Denied, format!("the request of account {}: {error}", open.account)))?;
    check_drawn(rules, records, open)?;
    check_promise(rules, records, open)?;
    let offer = check_capacity(rules, records, open, own)?;
    Ok(Grant { credit: credit_of(rules, records, &open.account), ticketed: None, offer })
}

/// Checks that `from` may store this column on `node`, whose operator has it offer `own` bytes; as an account's request
/// would have it.
pub(crate) fn judge_repair(
    rules: &Rules,
    records: &dyn Records,
    (from, node): (NodeId, NodeId),
    (asked, own): (&OpenRepair, Option<u64>),
) -> Result<(Open, Ticketed, Offer), Refusal> {
    let (open, ticketed) = tickets::opening(rules, records, (from, node), asked)?;
    check_price(records, &open)?;
    let offer = check_capacity(rules, records, &open, own)?;
    Ok((open, ticketed, offer))
}

/// Checks that no more is stored, with what is temporary, than is offered: a repair needs no account's credit.
fn check_offered(offer: Offer, wanted: u64, usage: &Usage) -> Result<(), NotBegun> {
    let used = usage.temporary_bytes;
    if used.saturating_add(wanted) <= offer.left() {
        return Ok(());
    }
    let reason = format!("{wanted} bytes are requested, and uncommitted columns use {used} of {} bytes", offer.left());
    Err(NotBegun::Refused(Refusal::new(Full, reason)))
}

/// Checks that what the manifest lists is the column of the ticket's commitment.
fn check_ticketed<T>((place, rest): (Place, T), ticketed: Option<Ticketed>) -> Result<(Place, T), Refusal> {
    match ticketed {
        Some(Ticketed { commitment, column }) if (place.object, place.column) != (commitment.object, column) => {
            Err(Refusal::new(BadRequest, format!("the manifest is not that of the commitment's column {column}")))
        }
        _ => Ok((place, rest)),
    }
}

/// The account's credit in bytes.
fn credit_of(rules: &Rules, records: &dyn Records, account: &AccountId) -> u64 {
    credit::limit(records.account(account).balance, rules.params.credit_bytes)
}

/// Checks that this node is among those drawn, as the ledger will.
fn check_drawn(rules: &Rules, records: &dyn Records, open: &Open) -> Result<(), Refusal> {
    let now = records.tip().running.clock.epoch;
    let (oldest, given) = (rules.oldest_draw(now), open.draw.epoch);
    if given > now {
        let reason = format!("the draw is of epoch {given}, and this node's ledger is in epoch {now}; retry later");
        return Err(Refusal::new(Busy, reason));
    }
    let record = records.epoch(given).filter(|_| oldest <= given).ok_or_else(|| {
        Refusal::new(Denied, format!("the draw of epoch {given} is stale: use one of epochs {oldest} to {now}"))
    })?;
    let draws = rules.params.draws;
    if open.draw.number >= draws {
        let reason = format!("draw number {} is invalid: an account has {draws} draws in an epoch", open.draw.number);
        return Err(Refusal::new(Denied, reason));
    }
    let identity = records.account(&open.account).draw_identity(open.account);
    let chance = DrawChance::of(record.first, identity.since, rules.params.time.beacon_blocks);
    let randomness = chance.read(&record, records).filter(|_| record.beacon.is_some()).ok_or_else(|| {
        let reason = "this node's ledger does not have the randomness of the draw yet; retry later";
        Refusal::new(Busy, reason)
    })?;
    let seed = DrawSeed { randomness, account: identity.account, draw: open.draw, extent: open.extent };
    let (rosters, caps) = (records.rosters(), Caps::of(&record.roster, open.code, rules.params.min_domains));
    let roster = rosters.of(given).expect("invariant: an epoch with a record has a roster");
    let drawn = caps.and_then(|caps| placement::draw(roster, &seed, open.code, &caps));
    let drawn: Vec<&RosterEntry> = drawn.map_err(|error| Refusal::new(Denied, error))?;
    match drawn.iter().find(|entry| entry.provider == open.holder) {
        Some(entry) if entry.offer.price == open.ask => Ok(()),
        Some(entry) => {
            let (asks, given) = (entry.offer.price, open.ask);
            Err(Refusal::new(Denied, format!("this node asks {asks} obols a GiB and epoch by the draw, not {given}")))
        }
        None => Err(Refusal::new(
            Denied,
            format!("node {} is not among the {} nodes drawn; use another node", open.holder, drawn.len()),
        )),
    }
}

/// Checks what the receipt will promise: no longer than any term, and no price below what the node asks now.
fn check_promise(rules: &Rules, records: &dyn Records, open: &Open) -> Result<(), Refusal> {
    let (now, Params { term_epochs, draw_epochs, .. }) = (records.tip().running.clock.epoch, &rules.params);
    let (given, latest) = (open.until, now.after(*term_epochs).after(*draw_epochs));
    if given <= now || given > latest {
        let reason = format!("the term ends in epoch {given}; it must end after epoch {now}, by epoch {latest}");
        return Err(Refusal::new(Denied, reason));
    }
    check_price(records, open)
}

/// Checks that the node does not ask for more by now.
fn check_price(records: &dyn Records, open: &Open) -> Result<(), Refusal> {
    match records.provider(&open.holder).filter(|provider| provider.price > open.ask) {
        Some(provider) => {
            let (asks, drawn) = (provider.price, open.ask);
            let reason =
                format!("this node asks {asks} obols a GiB and epoch now, and {drawn} by the draw; draw again");
            Err(Refusal::new(Denied, reason))
        }
        None => Ok(()),
    }
}

/// Checks that this node offers that much capacity and has bond behind it: no more than the ledger will allow, and none
/// that the operator has withdrawn.
fn check_capacity(rules: &Rules, records: &dyn Records, open: &Open, own: Option<u64>) -> Result<Offer, Refusal> {
    let provider = records.provider(&open.holder).filter(|provider| provider.status == ProviderStatus::Active);
    let provider = provider.ok_or_else(|| Refusal::new(Full, "this node accepts no new columns"))?;
    let offer = Offer::of(&provider, own);
    let free = provider.free_bytes(&rules.params.bonds).min(offer.left());
    if open.reserve <= free {
        Ok(offer)
    } else {
        Err(Refusal::new(
            Full,
            format!(
                "not enough capacity: {} bytes are requested, and this node's capacity and bond are good for {free} \
                 more; use another node",
                open.reserve
            ),
        ))
    }
}

/// The last epoch in which the ledger accepts a commit, or a repair, by this draw.
pub(crate) fn last_epoch(rules: &Rules, open: &Open) -> Epoch {
    let Params { draw_epochs, repair, .. } = &rules.params;
    // A turn begins when its epoch has a beacon, so the one before may be finished in that epoch yet.
    let of_repair = repair.turn_epochs.saturating_mul(2).saturating_add(1);
    let valid = if open.draw.number == REPAIR_DRAW { of_repair } else { *draw_epochs };
    open.draw.epoch.after(valid.saturating_sub(1))
}

/// The place of the uploaded column by the manifest, and the hash of all columns beside it.
pub(crate) fn place_of(manifest: &Bytes, open: &Open, expires: Epoch) -> Result<(Place, [u8; 32]), Refusal> {
    let wrong = |reason: String| Refusal::new(BadRequest, reason);
    let object = Manifest::object_id(manifest);
    let manifest_len = u32::try_from(manifest.len()).map_err(|_| wrong("the manifest is too long".to_owned()))?;
    let manifest = Manifest::decode(manifest).map_err(|error| wrong(error.to_string()))?;
    if manifest.code != open.code {
        return Err(wrong(format!("the manifest's code is {}, but the upload's is {}", manifest.code, open.code)));
    }
    let number = usize::try_from(open.extent).expect("an extent number fits");
    let listed = manifest.extents.get(number).zip(manifest.layout().extent(open.extent));
    let (extent, layout) = listed.ok_or_else(|| wrong(format!("the manifest has no extent {}", open.extent)))?;
    if layout.column_len > open.reserve {
        return Err(wrong(format!(
            "the column has {} bytes, but only {} are reserved",
            layout.column_len, open.reserve
        )));
    }
    let index = usize::from(open.index);
    let column = *extent.columns.get(index).expect("a decoded manifest lists n columns, and the index was checked");
    let place = Place {
        object,
        extent: open.extent,
        index: open.index,
        column,
        column_len: layout.column_len,
        manifest_len,
        token: extent.tokens.get(index).copied(),
        expires,
    };
    Ok((place, columns_hash(extent.columns.iter().copied())))
}

fn bytes(count: usize) -> u64 {
    u64::try_from(count).expect("a usize fits")
}

fn refuse_upload(error: UploadSessionError) -> Refusal {
    let code = if error == UploadSessionError::Taken { Denied } else { Busy };
    Refusal::new(code, error)
}
