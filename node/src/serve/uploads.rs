//! The upload sessions of this node: which node may add to each, and which has to yield when there are too many. Pure.
//!
//! In come opened uploads, their progress, what backs each account, and the time; out goes the session that a request
//! names, if it is the client's. The bytes are in the store; the session has what the receipt will say.
//!
//! # Sharing
//! An upload's standing is its account's credit, divided by the account's uploads here; a slow one has a small part of
//! that. When all places are taken, a new upload takes the one of least standing, if its own is at least twice as much.
//! So accounts share the places in proportion to the money behind them, over however many accounts it is spread, and an
//! upload that does not move is no obstacle. Some places are reserved for accounts with few uploads, so that no upload
//! has to yield to them. Uploads under a ticket of a repair are no account's, few, and yield to none: the ledger says
//! how many there may be.

use std::{collections::BTreeMap, time::Duration};

use ostrakon_proto::{
    id::{AccountId, Height, NodeId, ObjectId},
    ledger::state::CommitmentId,
    sign::Signature,
    wire::put::{Open, UploadId},
};
use tokio::time::Instant;

use super::{credit::upload_bytes, tickets::Ticketed};

/// The most uploads: some fewer than the store holds open, since it drops those that yielded a moment later.
const PLACES: usize = 240;
/// The places that only an account with fewer than [`FEW`] uploads gets.
const RESERVED: usize = 64;
/// The most uploads with which an account gets a reserved place.
const FEW: usize = 4;
/// The most uploads of one account, even while there are places.
const PER_ACCOUNT: usize = 64;
/// The most finished uploads that are remembered.
const FINISHED: usize = 4096;
/// Bytes a second, since it began, below which an upload is slow: a line of 1 Mbit/s to twelve holders brings ten times
/// that to each.
const SLOW_RATE: u64 = 1024;
/// No upload is slow before: a client sends its first byte once all holders have answered.
const GRACE: Duration = Duration::from_secs(30);
/// A slow upload has one part in this many of its standing.
const SLOW_PART: u64 = 64;
/// A new upload needs this many times the standing of the one that yields to it: two equal accounts do not evict each
/// other's uploads in turn.
const LEAD: u64 = 2;
/// Idle time after which an upload is dropped: long enough for a client that crashed or lost its network to resume. The
/// account's credit bounds what waits so long.
const IDLE: Duration = Duration::from_secs(3600);
/// The same of an upload under a ticket, which nobody resumes that late.
const IDLE_TICKETED: Duration = Duration::from_secs(600);
/// An upload under a ticket that got nothing for so long yields to another rebuilder.
const ABANDONED: Duration = Duration::from_secs(20);
/// The most uploads under tickets.
const TICKETED: usize = 64;
/// How long a finished upload is answered again: the first answer may be lost, or the client restarted.
const REPEAT: Duration = Duration::from_secs(3600);

/// An upload in progress, or recently finished.
#[derive(Clone, Debug)]
pub(super) struct UploadSession {
    /// The node that may add to it.
    pub(super) from: NodeId,
    /// The request that opened it.
    pub(super) open: Open,
    /// What it is to be, if a repair opened it.
    pub(super) ticketed: Option<Ticketed>,
    /// Its result, once it is finished.
    pub(super) finished: Option<Finished>,
    /// Bytes received so far, in order.
    received: u64,
    began: Instant,
    touched: Instant,
}

/// The result of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finished {
    /// The object whose manifest listed the column.
    pub(super) object: ObjectId,
    /// The column's length in bytes.
    pub(super) column_len: u64,
    /// The receipt.
    pub(super) receipt: Signature,
}

/// The outcome of a request to open an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// It is open. The upload that yielded its place to it, if one had to, is to be dropped.
    Open {
        /// That upload.
        yielded: Option<UploadId>,
    },
    /// It is finished already.
    Finished(Finished),
}

/// Who opens an upload, and what backs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opener {
    /// The node that asks.
    pub(super) from: NodeId,
    /// Credit of the account in bytes, as of now.
    pub(super) credit: u64,
    /// What is stored under a ticket, without an account.
    pub(super) ticketed: Option<Ticketed>,
}

/// Why an upload cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UploadSessionError {
    /// Try again later.
    #[error("all {PLACES} uploads in progress on this node have more credit behind them; try again later")]
    Full,
    /// Finish some first.
    #[error("the account has {PER_ACCOUNT} uploads in progress on this node, the most it allows; finish some first")]
    AccountFull,
    /// Use another node.
    #[error("this node takes another column of the commitment, or {TICKETED} of other repairs; use another node")]
    Repairs,
    /// Choose another id.
    #[error("the upload's id is in use by another upload; choose another id")]
    Taken,
}

/// All uploads in progress, and recently finished ones.
#[derive(Debug, Default)]
pub(super) struct UploadSessions {
    open: BTreeMap<UploadId, UploadSession>,
    finished: BTreeMap<UploadId, UploadSession>,
    accounts: BTreeMap<AccountId, Share>,
    /// The block as of which all accounts' credit was read last.
    weighed: Height,
}

/// An account with uploads in progress.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    uploads: usize,
    credit: u64,
}

impl Share {
    /// The standing of each of its uploads.
    fn standing(self) -> u64 {
        self.credit / u64::try_from(self.uploads.max(1)).expect("a count of uploads fits")
    }
}

impl UploadSessions {
    /// Opens an upload, or hands it over: the account may return as another node.
    pub(super) fn open(&mut self, by: Opener, open: Open, now: Instant) -> Result<Opened, UploadSessionError> {
        if let Some(before) = self.get_mut(&open.upload) {
            if (&before.open, before.ticketed) != (&open, by.ticketed) {
                return Err(UploadSessionError::Taken);
            }
            (before.from, before.touched) = (by.from, now);
            return Ok(before.finished.map_or(Opened::Open { yielded: None }, Opened::Finished));
        }
        let yielded = if let Some(ticketed) = by.ticketed {
            self.make_room_for_repair((by.from, ticketed.commitment), now)?
        } else {
            let yielded = self.make_room(open.account, by.credit, now)?;
            let share = self.accounts.entry(open.account).or_default();
            *share = Share { uploads: share.uploads + 1, credit: by.credit };
            yielded
        };
        let Opener { from, ticketed, .. } = by;
        let session = UploadSession { from, open, ticketed, finished: None, received: 0, began: now, touched: now };
        self.open.insert(session.open.upload, session);
        Ok(Opened::Open { yielded })
    }

    /// Accounts whose credit must be read before an upload is opened, as of the block at `height`: none when that was
    /// done. Money that has moved on must not back uploads twice.
    pub(super) fn to_weigh(&self, height: Height) -> Vec<AccountId> {
        self.accounts.keys().filter(|_| height != self.weighed).copied().collect()
    }

    /// Whether this upload is in progress.
    pub(super) fn is_open(&self, open: &Open) -> bool {
        self.open.get(&open.upload).is_some_and(|upload| upload.open == *open)
    }

    /// The result of this upload, if it is finished.
    pub(super) fn finished(&self, open: &Open) -> Option<Finished> {
        self.finished.get(&open.upload).filter(|upload| upload.open == *open)?.finished
    }

    /// The credit of accounts, as of the block at `height`.
    pub(super) fn weigh(&mut self, height: Height, credits: Vec<(AccountId, u64)>) {
        if credits.is_empty() {
            return;
        }
        self.weighed = height;
        for (account, credit) in credits {
            self.accounts.entry(account).and_modify(|share| share.credit = credit);
        }
    }

    /// Removes the upload that has to yield to a new one of this account, if one has to.
    fn make_room(
        &mut self,
        account: AccountId,
        credit: u64,
        now: Instant,
    ) -> Result<Option<UploadId>, UploadSessionError> {
        let own = self.accounts.get(&account).map_or(0, |share| share.uploads);
        if own >= PER_ACCOUNT {
            let mine = |upload: &&UploadSession| upload.open.account == account && upload.ticketed.is_none();
            let slow = self.open.values().filter(mine).filter(|upload| upload.is_slow(now));
            let slow = slow.min_by_key(|upload| upload.touched).map(|upload| upload.open.upload);
            let slow = slow.ok_or(UploadSessionError::AccountFull)?;
            self.remove(&slow);
            return Ok(Some(slow));
        }
        let places = if own < FEW { PLACES } else { PLACES - RESERVED };
        if self.open.len() < places {
            return Ok(None);
        }
        let weakest = self.weaker(Share { uploads: own + 1, credit }, now).first().copied();
        weakest.map(|id| self.remove(&id).map(|_| id)).ok_or(UploadSessionError::Full)
    }

    /// Removes what has to yield to a repair: the other upload of the same commitment, which the rebuilder has given
    /// up, or one of an account.
    fn make_room_for_repair(
        &mut self,
        (from, commitment): (NodeId, CommitmentId),
        now: Instant,
    ) -> Result<Option<UploadId>, UploadSessionError> {
        let repairs = || self.open.values().filter_map(|upload| upload.ticketed.map(|ticketed| (ticketed, upload)));
        let same = repairs().find(|(ticketed, _)| ticketed.commitment == commitment).map(|(_, upload)| upload);
        let yielding = match same {
            // The next that was drawn does it when one before it died.
            Some(same) if same.from == from || now.saturating_duration_since(same.touched) >= ABANDONED => {
                Some(same.open.upload)
            }
            Some(_) => return Err(UploadSessionError::Repairs),
            None if repairs().count() >= TICKETED => return Err(UploadSessionError::Repairs),
            None if self.open.len() < PLACES => None,
            None => self.weaker(Share { uploads: 1, credit: u64::MAX }, now).first().copied(),
        };
        yielding.iter().for_each(|id| _ = self.remove(id));
        Ok(yielding)
    }

    /// Removes uploads until so many bytes of disk are free that were reserved for them, if those that would have to
    /// yield to this one, which is open, have so many. Returns what is to be dropped.
    pub(super) fn make_space(&mut self, by: &Open, credit: u64, bytes: u64, now: Instant) -> Vec<UploadId> {
        let uploads = self.accounts.get(&by.account).map_or(1, |share| share.uploads);
        let (mut yielding, mut freed) = (Vec::new(), 0);
        for id in self.weaker(Share { uploads, credit }, now) {
            if freed >= bytes {
                break;
            }
            if id != by.upload {
                freed += self.open.get(&id).map_or(0, |upload| upload_bytes(upload.open.reserve));
                yielding.push(id);
            }
        }
        if freed < bytes {
            return Vec::new();
        }
        yielding.iter().for_each(|id| _ = self.remove(id));
        yielding
    }

    /// The uploads that yield to one of an account with this share, the first to do so first.
    fn weaker(&self, share: Share, now: Instant) -> Vec<UploadId> {
        let all = self.open.iter().filter(|(_, upload)| upload.ticketed.is_none());
        let all = all.map(|(id, upload)| (self.standing(upload, now), upload.touched, *id));
        let yields = |standing: u64| share.standing() > 0 && standing.saturating_mul(LEAD) <= share.standing();
        let mut weaker: Vec<_> = all.filter(|(standing, ..)| yields(*standing)).collect();
        weaker.sort_unstable();
        weaker.into_iter().map(|(_, _, id)| id).collect()
    }

    fn standing(&self, upload: &UploadSession, now: Instant) -> u64 {
        let standing = self.accounts.get(&upload.open.account).map_or(0, |share| share.standing());
        if upload.is_slow(now) { standing / SLOW_PART } else { standing }
    }

    /// The upload, if it belongs to `from`; counts as activity.
    pub(super) fn touch(&mut self, id: &UploadId, from: &NodeId, now: Instant) -> Option<UploadSession> {
        let upload = self.get_mut(id).filter(|upload| upload.from == *from)?;
        upload.touched = now;
        Some(upload.clone())
    }

    /// Bytes up to `next` were received.
    pub(super) fn advance(&mut self, id: &UploadId, next: u64) {
        if let Some(upload) = self.open.get_mut(id) {
            upload.received = upload.received.max(next);
        }
    }

    /// The upload is a stored column now. Says whether it was asked for since this session of it was read.
    pub(super) fn finish(&mut self, read: &UploadSession, finished: Finished) -> bool {
        let id = read.open.upload;
        let Some(upload) = self.remove(&id) else { return false };
        if self.finished.len() >= FINISHED {
            let oldest = self.finished.iter().min_by_key(|(_, upload)| upload.touched).map(|(id, _)| *id);
            oldest.map(|id| self.finished.remove(&id));
        }
        let touched = upload.touched;
        self.finished.insert(id, UploadSession { finished: Some(finished), ..upload });
        touched != read.touched
    }

    /// Drops an upload in progress.
    pub(super) fn remove(&mut self, id: &UploadId) -> Option<UploadSession> {
        let upload = self.open.remove(id)?;
        if upload.ticketed.is_none()
            && let Some(share) = self.accounts.get_mut(&upload.open.account)
        {
            share.uploads -= 1;
            if share.uploads == 0 {
                self.accounts.remove(&upload.open.account);
            }
        }
        Some(upload)
    }

    /// Drops what is idle for too long; returns those that were never finished.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<UploadId> {
        let idle = |upload: &UploadSession| now.saturating_duration_since(upload.touched);
        self.finished.retain(|_, upload| idle(upload) < REPEAT);
        let most = |upload: &UploadSession| if upload.ticketed.is_some() { IDLE_TICKETED } else { IDLE };
        let stale = self.open.iter().filter(|(_, upload)| idle(upload) >= most(upload)).map(|(id, _)| *id);
        let stale: Vec<UploadId> = stale.collect();
        for id in &stale {
            self.remove(id);
        }
        stale
    }

    fn get_mut(&mut self, id: &UploadId) -> Option<&mut UploadSession> {
        self.open.get_mut(id).or_else(|| self.finished.get_mut(id))
    }
}

impl UploadSession {
    fn is_slow(&self, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.began);
        age >= GRACE && self.received < age.as_secs().saturating_mul(SLOW_RATE)
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::{
        id::{Amount, ColumnId, Epoch},
        params::Code,
        placement::Draw,
    };

    use super::*;

    const NODE: NodeId = NodeId::new([1; 32]);

    fn open(number: u16, account: u8) -> Open {
        let mut upload = UploadId([account; 16]);
        upload.0[..2].copy_from_slice(&number.to_le_bytes());
        Open {
            upload,
            holder: NodeId::new([9; 32]),
            account: AccountId::new([account; 32]),
            draw: Draw { epoch: Epoch(0), number: 0 },
            extent: 0,
            index: 0,
            code: Code { k: 1, n: 3 },
            reserve: 64,
            ask: Amount(1),
            until: Epoch(9),
        }
    }

    /// Opens uploads of one account until one is refused, at most `most`; how many were opened.
    fn fill(uploads: &mut UploadSessions, account: u8, credit: u64, (most, now): (u16, Instant)) -> usize {
        let mut opened = |number: &u16| uploads.open(by(credit), open(*number, account), now).is_ok();
        (0..most).take_while(|number| opened(number)).count()
    }

    fn by(credit: u64) -> Opener {
        Opener { from: NODE, credit, ticketed: None }
    }

    fn of(uploads: &UploadSessions, account: u8) -> usize {
        uploads.accounts.get(&AccountId::new([account; 32])).map_or(0, |share| share.uploads)
    }

    const NEW: Result<Opened, UploadSessionError> = Ok(Opened::Open { yielded: None });

    #[test]
    fn uploads_belong_to_who_opened_them_last() {
        let (mut uploads, now) = (UploadSessions::default(), Instant::now());
        let (one, two) = (NODE, NodeId::new([2; 32]));
        assert_eq!(uploads.open(by(1), open(1, 1), now), NEW);
        let same = Open { account: AccountId::new([2; 32]), ..open(1, 1) };
        assert_eq!(uploads.open(by(1), same, now), Err(UploadSessionError::Taken));
        assert!(uploads.touch(&open(1, 1).upload, &one, now).is_some());
        assert!(uploads.touch(&open(1, 1).upload, &two, now).is_none());
        assert_eq!(uploads.open(Opener { from: two, ..by(1) }, open(1, 1), now), NEW);
        assert!(uploads.touch(&open(1, 1).upload, &one, now).is_none());
        assert!(uploads.touch(&open(1, 1).upload, &two, now).is_some());
    }

    #[test]
    fn an_account_has_a_share_and_few_more_accounts_leave_places() {
        let (mut uploads, now) = (UploadSessions::default(), Instant::now());
        assert_eq!(fill(&mut uploads, 1, 200, (u16::MAX, now)), PER_ACCOUNT);
        assert_eq!(uploads.open(by(200), open(999, 1), now), Err(UploadSessionError::AccountFull));
        assert_eq!(fill(&mut uploads, 2, 200, (u16::MAX, now)), PER_ACCOUNT);
        assert_eq!(fill(&mut uploads, 3, 200, (u16::MAX, now)), PLACES - RESERVED - 2 * PER_ACCOUNT, "no more for it");
        assert_eq!(fill(&mut uploads, 4, 1, (u16::MAX, now)), FEW, "a poor one has some");
        assert_eq!(uploads.open(by(1), open(999, 4), now), Err(UploadSessionError::Full));
    }

    #[test]
    fn money_decides_who_yields_not_the_number_of_accounts() {
        let (mut uploads, now) = (UploadSessions::default(), Instant::now());
        // 10,000 bytes of credit on 200 accounts, and none of them slow yet.
        let opened: usize = (1..=200).map(|account| fill(&mut uploads, account, 50, (4, now))).sum();
        assert!(opened >= PLACES, "{opened}");
        assert_eq!(uploads.open.len(), PLACES);
        let refused = uploads.open(by(10), open(0, 250), now);
        assert_eq!(refused, Err(UploadSessionError::Full), "less money than any of theirs");
        // As much money as all of them together, in one account.
        let mine = fill(&mut uploads, 250, 10_000, (u16::MAX, now));
        assert_eq!((mine, uploads.open.len()), (PER_ACCOUNT, PLACES));
        assert_eq!(fill(&mut uploads, 251, 10_000, (u16::MAX, now)), PER_ACCOUNT);
        assert_eq!((of(&uploads, 250), of(&uploads, 251)), (PER_ACCOUNT, PER_ACCOUNT), "nor do they evict each other");
    }

    #[test]
    fn many_uploads_of_one_account_yield_to_few_with_less_money() {
        let (mut uploads, now) = (UploadSessions::default(), Instant::now());
        for account in 1..=19 {
            let most = if account <= 3 { u16::MAX } else { 4 };
            fill(&mut uploads, account, 1_000, (most, now));
        }
        assert_eq!((uploads.open.len(), of(&uploads, 1)), (PLACES, PER_ACCOUNT));
        assert_eq!(uploads.open(by(29), open(0, 250), now), Err(UploadSessionError::Full), "15 is more than half");
        let yielded = Some(open(0, 1).upload);
        assert_eq!(uploads.open(by(30), open(0, 250), now), Ok(Opened::Open { yielded }));
    }

    #[test]
    fn what_does_not_move_yields_even_to_less() {
        let (mut uploads, now) = (UploadSessions::default(), Instant::now());
        for account in 1..=60 {
            fill(&mut uploads, account, 1_000, (4, now));
        }
        assert_eq!(uploads.open(by(100), open(0, 250), now), Err(UploadSessionError::Full));
        let later = now + 2 * GRACE;
        let all: Vec<UploadId> = uploads.open.keys().copied().collect();
        for id in &all {
            uploads.touch(id, &NODE, later).expect("theirs");
            uploads.advance(id, SLOW_RATE * 60);
        }
        assert_eq!(uploads.open(by(100), open(0, 250), later), Err(UploadSessionError::Full), "all of them move");
        let last = later + GRACE;
        for id in &all[1..] {
            uploads.advance(id, SLOW_RATE * 90);
        }
        assert_eq!(uploads.open(by(100), open(0, 250), last), Ok(Opened::Open { yielded: Some(all[0]) }));
        assert_eq!(uploads.open(by(100), open(1, 250), last), Err(UploadSessionError::Full), "the others move");
    }

    #[test]
    fn an_account_that_has_all_it_may_yields_to_itself() {
        let (mut uploads, now) = (UploadSessions::default(), Instant::now());
        fill(&mut uploads, 1, 200, (u16::MAX, now));
        let later = now + GRACE;
        uploads.touch(&open(0, 1).upload, &NODE, later).expect("open");
        assert_eq!(uploads.open(by(200), open(0, 1), later), NEW, "it is open already");
        let yielded = Some(open(1, 1).upload);
        assert_eq!(uploads.open(by(200), open(999, 1), later), Ok(Opened::Open { yielded }), "the longest idle");
        assert_eq!(of(&uploads, 1), PER_ACCOUNT);
    }

    #[test]
    fn space_is_made_only_if_enough_of_it_can_be() {
        let (mut uploads, now) = (UploadSessions::default(), Instant::now());
        let each = upload_bytes(64);
        fill(&mut uploads, 1, 100, (3, now));
        fill(&mut uploads, 2, 10_000, (3, now));
        let mine = open(0, 3);
        uploads.open(by(1_000), mine.clone(), now).expect("room");
        let mut make = |credit, bytes| uploads.make_space(&mine, credit, bytes, now);
        assert_eq!(make(1_000, 3 * each + 1), [], "three are weaker");
        assert_eq!(make(10, 1), [], "none is weaker");
        assert_eq!(make(1_000, each + 1), [open(0, 1).upload, open(1, 1).upload]);
        assert_eq!((of(&uploads, 1), of(&uploads, 2), of(&uploads, 3)), (1, 3, 1));
    }

    #[test]
    fn credit_is_read_again_once_a_block() {
        let (mut uploads, now) = (UploadSessions::default(), Instant::now());
        assert_eq!(uploads.to_weigh(Height(7)), []);
        for account in 1..=60 {
            fill(&mut uploads, account, 1_000, (4, now));
        }
        let accounts = uploads.to_weigh(Height(7));
        assert_eq!(accounts.len(), 60);
        // The money of all but one has moved on.
        uploads.weigh(Height(7), accounts.iter().map(|account| (*account, 0)).collect());
        uploads.weigh(Height(7), vec![(accounts[3], 1_000)]);
        assert_eq!(uploads.to_weigh(Height(7)), [], "once a block");
        assert_eq!(fill(&mut uploads, 250, 300, (u16::MAX, now)), PER_ACCOUNT);
        assert_eq!(of(&uploads, 4), FEW);
    }

    #[test]
    fn repairs_are_few_one_a_commitment_and_yield_to_no_account() {
        let (mut uploads, now) = (UploadSessions::default(), Instant::now());
        let ticketed = |number: u8| {
            let object = ObjectId::new([number; 32]);
            let commitment = CommitmentId { object, extent: 0, owner: AccountId::new([1; 32]) };
            Some(Ticketed { commitment, column: ColumnId::new([number; 32]) })
        };
        let of = |number| Opener { credit: 0, ticketed: ticketed(number), ..by(0) };
        for account in 1..=60 {
            fill(&mut uploads, account, 1_000, (4, now));
        }
        assert_eq!(uploads.open.len(), PLACES);
        assert!(matches!(uploads.open(of(1), open(0, 100), now), Ok(Opened::Open { yielded: Some(_) })));
        assert_eq!(uploads.open(of(1), open(0, 100), now), NEW, "the same again");
        let yielded = Some(open(0, 100).upload);
        assert_eq!(uploads.open(of(1), open(1, 100), now), Ok(Opened::Open { yielded }), "begun again");
        let other = Opener { from: NodeId::new([2; 32]), ..of(1) };
        assert_eq!(uploads.open(other, open(2, 100), now), Err(UploadSessionError::Repairs));
        let yielded = Some(open(1, 100).upload);
        assert_eq!(uploads.open(other, open(2, 100), now + ABANDONED), Ok(Opened::Open { yielded }), "abandoned");
        for number in 2..=u8::try_from(TICKETED).expect("few") {
            assert!(uploads.open(of(number), open(u16::from(number) + 9, 100), now).is_ok(), "{number}");
        }
        assert_eq!(uploads.open(of(99), open(99, 100), now), Err(UploadSessionError::Repairs));
        assert_eq!(uploads.open.len(), PLACES);
        fill(&mut uploads, 200, u64::MAX, (u16::MAX, now + GRACE));
        let repairs = uploads.open.values().filter(|upload| upload.ticketed.is_some()).count();
        assert_eq!((repairs, uploads.accounts.contains_key(&AccountId::new([100; 32]))), (TICKETED, false));
        assert_eq!(uploads.expire(now + ABANDONED + IDLE_TICKETED).len(), TICKETED);
    }

    #[test]
    fn idle_ones_expire() {
        let (mut uploads, now) = (UploadSessions::default(), Instant::now());
        fill(&mut uploads, 1, 200, (10, now));
        uploads.touch(&open(0, 1).upload, &NODE, now + GRACE).expect("open");
        assert_eq!(uploads.expire(now + IDLE).len(), 9);
        assert_eq!(uploads.expire(now + IDLE + GRACE), [open(0, 1).upload]);
        assert!(uploads.open.is_empty() && uploads.accounts.is_empty());
    }

    #[test]
    fn finished_uploads_answer_for_a_while_and_count_no_more() {
        let (mut uploads, now) = (UploadSessions::default(), Instant::now());
        let mut read = |number| {
            uploads.open(by(1), open(number, 1), now).expect("room");
            uploads.touch(&open(number, 1).upload, &NODE, now).expect("open")
        };
        let (first, second) = (read(1), read(2));
        let finished = Finished { object: ObjectId::new([7; 32]), column_len: 64, receipt: Signature([8; 64]) };
        assert!(!uploads.finish(&first, finished), "asked for by nobody else");
        uploads.open(by(1), open(2, 1), now + GRACE).expect("room");
        assert!(uploads.finish(&second, finished), "opened again meanwhile");
        let found = uploads.touch(&open(1, 1).upload, &NODE, now).expect("kept");
        assert_eq!(found.finished, Some(finished));
        assert_eq!(uploads.open(by(1), open(1, 1), now), Ok(Opened::Finished(finished)));
        assert_eq!([1, 2].map(|account| uploads.finished(&open(1, account))), [Some(finished), None]);
        assert!(uploads.open.is_empty() && uploads.accounts.is_empty());
        assert_eq!(uploads.expire(now + GRACE + REPEAT), []);
        assert!(uploads.touch(&open(1, 1).upload, &NODE, now).is_none());
    }
}
