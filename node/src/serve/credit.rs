//! The space that columns use before they are paid for: how much together, and how much of it each account.
//!
//! Temporary columns and open uploads may use a tenth of what the node offers. An account gets as much of it as its
//! balance backs (ARCHITECTURE 3), and at most a third of what it leaves to others: a quarter while it is alone. So the
//! space is never used up by one account, and by many only bit by bit.
//!
//! Charged from the opening of the upload until the ledger commits the column or it is dropped; what expired unpaid
//! counts against its account's credit for longer ([`super::unpaid`]). Who stored what is in memory only: what was
//! temporary before a restart counts against the whole, and against no account.

use std::{collections::BTreeMap, sync::Mutex};

use ostrakon_net::lock;
use ostrakon_proto::{
    id::{AccountId, Amount, Epoch},
    limits,
    wire::put::UploadId,
};

use super::unpaid::Unpaid;
use crate::{
    capacity::Offer,
    store::{PlaceKey, Usage},
};

/// Micro-obols in one obol, which `credit_bytes` is for.
const MICRO: u128 = 1_000_000;
/// Temporary columns and open uploads use one part in this many of what the node offers, and of its disk.
const TEMPORARY_PART: u64 = 10;
/// An account uses one part in this many of what it leaves to others.
const SHARE: u64 = 3;

/// Bytes of credit that a balance gives.
pub fn limit(balance: Amount, credit_bytes: u64) -> u64 {
    let bytes = u128::from(balance.0) * u128::from(credit_bytes) / MICRO;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// What a reservation is measured against, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Credit of the account.
    credit: u64,
    /// What temporary columns use, of all accounts.
    stored: u64,
    /// What temporary columns and open uploads may use together.
    most: u64,
    /// What is offered and not committed yet.
    offered: u64,
}

impl Room {
    /// Of a store with this usage.
    pub fn new(credit: u64, offer: Offer, usage: &Usage) -> Self {
        Self {
            credit,
            stored: usage.temporary_bytes.saturating_sub(usage.upload_bytes),
            most: offer.capacity.min(usage.disk_bytes) / TEMPORARY_PART,
            offered: offer.left(),
        }
    }
}

/// Why an upload gets no space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReserveError {
    /// Wait for commits, fund the account, or store less at a time.
    #[error(
        "{wanted} more bytes exceed the account's credit on this node: columns that are not paid for, or expired \
         unpaid, use {used} of {limit} bytes; fund the account, or store less at a time"
    )]
    Credit {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes in use.
        used: u64,
        /// Bytes of credit.
        limit: u64,
    },
    /// Wait for commits, or use another node. So many bytes of others' uploads are too many.
    #[error(
        "no space for {wanted} more bytes of uncommitted columns: the account uses {used}, and {left} of {most} are \
         free, which one account may use only in part; wait for commits, use another node, or store less at a time"
    )]
    Space {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes in use by the account.
        used: u64,
        /// Bytes free for all.
        left: u64,
        /// Bytes for all.
        most: u64,
        /// Bytes that must become free.
        short: u64,
    },
}

/// Bytes that an upload is charged: its column at most, and the manifest that is stored with it. What it turns out to
/// use, hashes too, is charged when it is stored.
pub fn upload_bytes(reserve: u64) -> u64 {
    reserve + u64::try_from(limits::MANIFEST).expect("1 MiB")
}

/// What is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Charge {
    Upload(UploadId),
    Place(PlaceKey),
}

/// The charges of all accounts.
#[derive(Debug, Default)]
pub struct Credit {
    charges: Mutex<Charges>,
}

#[derive(Debug, Default)]
struct Charges {
    all: BTreeMap<Charge, (AccountId, u64)>,
    used: BTreeMap<AccountId, u64>,
    unpaid: Unpaid,
    /// Bytes of all open uploads.
    uploads: u64,
}

impl Credit {
    /// Whether `limit` bytes of credit back an upload of `bytes`.
    ///
    /// # Errors
    /// [`ReserveError::Credit`] when they do not.
    pub fn backs(&self, account: &AccountId, upload: &UploadId, bytes: u64, limit: u64) -> Result<(), ReserveError> {
        let charges = lock(&self.charges);
        if charges.is_charged(upload) { Ok(()) } else { charges.check_credit(account, bytes, limit) }
    }

    /// Charges `bytes` for an upload; one that is opened again keeps what it has.
    ///
    /// # Errors
    /// [`ReserveError`] when the account would then use more than it may of the room.
    pub fn reserve(&self, account: AccountId, upload: UploadId, bytes: u64, room: Room) -> Result<(), ReserveError> {
        let mut charges = lock(&self.charges);
        if !charges.is_charged(&upload) {
            charges.check(&account, bytes, room)?;
            charges.add(Charge::Upload(upload), account, bytes);
        }
        Ok(())
    }

    /// Whether the upload is charged: not, once it was dropped.
    pub fn is_charged(&self, upload: &UploadId) -> bool {
        lock(&self.charges).is_charged(upload)
    }

    /// The account's upload became a temporary column of `bytes`: also when it was dropped meanwhile.
    pub fn stored(&self, upload: &UploadId, account: AccountId, place: PlaceKey, bytes: u64) {
        let mut charges = lock(&self.charges);
        charges.remove(&Charge::Upload(*upload));
        charges.remove(&Charge::Place(place));
        charges.add(Charge::Place(place), account, bytes);
    }

    /// The upload was dropped.
    pub fn release(&self, upload: &UploadId) {
        lock(&self.charges).remove(&Charge::Upload(*upload));
    }

    /// The place is paid for.
    pub fn settle(&self, place: &PlaceKey) {
        let mut charges = lock(&self.charges);
        if let Some((account, bytes)) = charges.remove(&Charge::Place(*place)) {
            charges.unpaid.paid(&account, bytes);
        }
    }

    /// The place was deleted, as nobody had paid for it: that is remembered until the end of `until`.
    pub fn expire(&self, place: &PlaceKey, until: Epoch) {
        let mut charges = lock(&self.charges);
        if let Some((account, bytes)) = charges.remove(&Charge::Place(*place)) {
            charges.unpaid.note(account, bytes, until);
        }
    }

    /// Forgets what was to be remembered until before `now`.
    pub fn forget(&self, now: Epoch) {
        lock(&self.charges).unpaid.forget(now);
    }
}

impl Charges {
    fn is_charged(&self, upload: &UploadId) -> bool {
        self.all.contains_key(&Charge::Upload(*upload))
    }

    fn used(&self, account: &AccountId) -> u64 {
        self.used.get(account).copied().unwrap_or(0)
    }

    fn check_credit(&self, account: &AccountId, wanted: u64, limit: u64) -> Result<(), ReserveError> {
        let used = self.used(account).saturating_add(self.unpaid.bytes(account));
        if used.saturating_add(wanted) <= limit { Ok(()) } else { Err(ReserveError::Credit { wanted, used, limit }) }
    }

    fn check(&self, account: &AccountId, wanted: u64, room: Room) -> Result<(), ReserveError> {
        let Room { credit, stored, most, offered } = room;
        self.check_credit(account, wanted, credit)?;
        let used = self.used(account);
        let mine = used.saturating_add(wanted);
        let all = stored.saturating_add(self.uploads).saturating_add(wanted);
        let shared = all.saturating_add(mine.saturating_mul(SHARE));
        let short = shared.saturating_sub(most).max(all.saturating_sub(offered));
        if short > 0 {
            let left = most.min(offered).saturating_sub(all - wanted);
            return Err(ReserveError::Space { wanted, used, left, most, short });
        }
        Ok(())
    }

    fn add(&mut self, charge: Charge, account: AccountId, bytes: u64) {
        self.all.insert(charge, (account, bytes));
        if let Charge::Upload(_) = charge {
            self.uploads = self.uploads.saturating_add(bytes);
        }
        let used = self.used.entry(account).or_default();
        *used = used.saturating_add(bytes);
    }

    fn remove(&mut self, charge: &Charge) -> Option<(AccountId, u64)> {
        let (account, bytes) = self.all.remove(charge)?;
        if let Charge::Upload(_) = charge {
            self.uploads = self.uploads.saturating_sub(bytes);
        }
        if let Some(used) = self.used.get_mut(&account) {
            *used = used.saturating_sub(bytes);
            if *used == 0 {
                self.used.remove(&account);
            }
        }
        Some((account, bytes))
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::id::{ColumnId, ObjectId};

    use super::*;

    #[test]
    fn a_balance_gives_credit() {
        let check = |balance, per_obol, expect| assert_eq!(limit(Amount(balance), per_obol), expect);
        check(0, 1 << 40, 0);
        check(1_000_000, 1 << 40, 1 << 40);
        check(500_000, 1 << 30, 1 << 29);
        check(u64::MAX, u64::MAX, u64::MAX);
    }

    fn account(number: u8) -> AccountId {
        AccountId::new([number; 32])
    }

    fn upload(number: u8) -> UploadId {
        UploadId([number; 16])
    }

    fn room(credit: u64) -> Room {
        Room { credit, stored: 0, most: u64::MAX, offered: u64::MAX }
    }

    #[test]
    fn charges_count_until_settled() {
        let place = PlaceKey { column: ColumnId::new([3; 32]), object: ObjectId::new([4; 32]), extent: 0, index: 1 };
        let credit = Credit::default();
        let reserve = |by, number, bytes| credit.reserve(account(by), upload(number), bytes, room(100));
        let refused = |wanted, used| Err(ReserveError::Credit { wanted, used, limit: 100 });
        assert_eq!(reserve(1, 1, 60), Ok(()));
        let full = Room { most: 0, ..room(0) };
        assert_eq!(credit.reserve(account(1), upload(1), 60, full), Ok(()), "opened again");
        assert_eq!(reserve(1, 2, 41), refused(41, 60));
        assert_eq!(reserve(2, 3, 100), Ok(()));
        assert!(credit.is_charged(&upload(1)));
        credit.stored(&upload(1), account(1), place, 10);
        assert!(!credit.is_charged(&upload(1)));
        assert_eq!(credit.backs(&account(1), &upload(2), 91, 100), refused(91, 10));
        assert_eq!(credit.backs(&account(1), &upload(2), 90, 100), Ok(()));
        assert_eq!(reserve(1, 2, 91), refused(91, 10));
        assert_eq!(reserve(1, 2, 90), Ok(()));
        assert_eq!(reserve(1, 4, 1), refused(1, 100));
        credit.release(&upload(2));
        credit.settle(&place);
        credit.settle(&place);
        assert_eq!(reserve(1, 4, 100), Ok(()));
        credit.release(&upload(4));
        credit.release(&upload(3));
        let charges = lock(&credit.charges);
        assert!(charges.all.is_empty() && charges.used.is_empty() && charges.uploads == 0);
    }

    #[test]
    fn who_leaves_columns_unpaid_has_less_credit() {
        let place = |number| PlaceKey {
            column: ColumnId::new([number; 32]),
            object: ObjectId::new([4; 32]),
            extent: 0,
            index: 1,
        };
        let credit = Credit::default();
        (1..3).for_each(|number| credit.stored(&upload(number), account(1), place(number), 40));
        credit.expire(&place(1), Epoch(9));
        credit.expire(&place(1), Epoch(9));
        let backs = |bytes| credit.backs(&account(1), &upload(3), bytes, 100);
        assert_eq!(backs(21), Err(ReserveError::Credit { wanted: 21, used: 80, limit: 100 }));
        credit.settle(&place(2));
        assert_eq!(backs(100), Ok(()), "it has paid for as much");
        credit.stored(&upload(4), account(1), place(4), 90);
        credit.expire(&place(4), Epoch(9));
        credit.forget(Epoch(9));
        assert!(backs(11).is_err());
        credit.forget(Epoch(10));
        assert_eq!(backs(100), Ok(()));
    }

    #[test]
    fn what_is_stored_after_it_was_dropped_is_charged() {
        let place = PlaceKey { column: ColumnId::new([3; 32]), object: ObjectId::new([4; 32]), extent: 0, index: 1 };
        let credit = Credit::default();
        assert_eq!(credit.reserve(account(1), upload(1), 60, room(100)), Ok(()));
        credit.release(&upload(1));
        credit.stored(&upload(1), account(1), place, 30);
        assert_eq!(
            credit.reserve(account(1), upload(2), 71, room(100)),
            Err(ReserveError::Credit { wanted: 71, used: 30, limit: 100 })
        );
    }

    #[test]
    fn a_tenth_of_offer_and_disk_is_for_what_is_not_paid_for() {
        let usage = Usage { temporary_bytes: 70, upload_bytes: 30, disk_bytes: 2_000, ..Usage::default() };
        let check = |capacity, used, expect| assert_eq!(Room::new(9, Offer { capacity, used }, &usage), expect);
        check(1_000, 300, Room { credit: 9, stored: 40, most: 100, offered: 700 });
        check(9_000, 9_500, Room { credit: 9, stored: 40, most: 200, offered: 0 });
    }

    #[test]
    fn an_account_leaves_three_times_as_much_to_others() {
        let credit = Credit::default();
        let reserve = |by, bytes, (stored, offered)| {
            let room = Room { credit: u64::MAX, stored, most: 1_000, offered };
            credit.reserve(account(by), upload(by), bytes, room)
        };
        let space = |wanted, left, short| Err(ReserveError::Space { wanted, used: 0, left, most: 1_000, short });
        assert_eq!(reserve(1, 251, (0, 900)), space(251, 900, 4));
        assert_eq!(reserve(1, 250, (0, 900)), Ok(()));
        assert_eq!(reserve(2, 188, (0, 900)), space(188, 650, 2), "a quarter of the rest is less");
        assert_eq!(reserve(2, 187, (0, 900)), Ok(()));
        for number in 3..15 {
            let left = 1_000 - lock(&credit.charges).uploads;
            assert!(left >= 16, "account {number} finds {left} bytes");
            assert_eq!(reserve(number, left / 4, (0, 2_000)), Ok(()));
        }
        (1..15).for_each(|number| credit.release(&upload(number)));
        assert_eq!(reserve(20, 101, (600, 2_000)), space(101, 400, 4), "what is stored counts");
        assert_eq!(reserve(20, 100, (600, 2_000)), Ok(()));
        assert_eq!(reserve(21, 10, (0, 105)), space(10, 5, 5), "no more than is offered");
    }
}
