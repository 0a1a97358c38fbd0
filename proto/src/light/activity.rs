//! An account's transactions, each proven to be in a block, the newest first.
//!
//! In go a node's answer ([`Activity`]) and the query ([`ActivityQuery`]); out come transactions with their places, or
//! why the answer is wrong. Each transaction is proven. A missing one that the account sent is detected by nonces: the
//! account's record is proven too, and its transactions have consecutive nonces since it began. For those of an account
//! that was removed and began again, and for payments from others, there is no such count: several
//! nodes are asked, and [`ProvenActivity::left_out`] compares their answers.

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use super::{BadAnswer, Inclusion, ProvenRecord, TxPlace, records};
use crate::{
    id::{AccountId, Height},
    ledger::{
        state::{Account, Key, Record, first_nonce},
        tx::{Action, Header, Tx, TxList},
    },
};

/// A transaction with the proof of its place.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ProvenTx {
    /// The transaction.
    pub tx: Tx,
    /// Proof that it is in a block.
    pub inclusion: Inclusion,
}

/// A node's answer about an account's transactions.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Activity {
    /// The account's record.
    pub account: ProvenRecord,
    /// Height of the node's oldest block; it has no transactions of older ones.
    pub first: Height,
    /// Whether it has older transactions of the account.
    pub more: bool,
    /// Transactions, the newest first.
    pub txs: Vec<ProvenTx>,
}

/// A query for an account's transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActivityQuery {
    /// The account.
    pub account: AccountId,
    /// Only transactions before this place.
    pub before: Option<TxPlace>,
    /// Nonce of the account's transaction after the page, if known: the newest one that it sent in the page has the
    /// nonce below.
    pub nonce: Option<u64>,
}

/// A verified transaction of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountTx {
    /// Its place.
    #[serde(flatten)]
    pub place: TxPlace,
    /// Timestamp of the block, in milliseconds of Unix time.
    pub time_ms: u64,
    /// Which way it goes.
    pub direction: Direction,
    /// The other account of a payment; none when several others are paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<AccountId>,
    /// The transaction.
    #[serde(flatten)]
    pub tx: Tx,
}

/// Which way a transaction goes, seen from one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The account sent it.
    Sent,
    /// It pays the account.
    Received,
    /// The account pays itself.
    #[serde(rename = "self")]
    Itself,
}

impl AccountTx {
    /// The transaction at this place, as `account` sees it.
    pub fn new(account: AccountId, place: TxPlace, time_ms: u64, tx: Tx) -> Self {
        let (sender, paid) = (tx.body.account, paid_by(&tx, place.list));
        let mut others = paid.iter().copied().filter(|to| *to != account);
        let (direction, counterparty) = match (others.next(), others.next()) {
            _ if sender != account => (Direction::Received, Some(sender)),
            (None, _) if !paid.is_empty() => (Direction::Itself, None),
            (Some(only), None) => (Direction::Sent, Some(only)),
            _ => (Direction::Sent, None),
        };
        Self { place, time_ms, direction, counterparty, tx }
    }
}

/// A verified answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenActivity {
    /// Height of the block at which the answer was made.
    pub tip: Height,
    /// The account's record.
    pub account: Account,
    /// Height of the node's oldest block; not proven.
    pub first: Height,
    /// Whether the node has older transactions; not proven.
    pub more: bool,
    /// Transactions, the newest first.
    pub txs: Vec<AccountTx>,
}

/// The accounts that a transaction in this list touches, each once: its sender, and the receivers of transfers.
pub fn accounts_of(tx: &Tx, list: TxList) -> impl Iterator<Item = AccountId> + use<> {
    let sender = tx.body.account;
    std::iter::once(sender).chain(paid_by(tx, list).into_iter().filter(move |to| *to != sender))
}

/// The receivers of transfers; one that failed pays nobody.
fn paid_by(tx: &Tx, list: TxList) -> BTreeSet<AccountId> {
    if list == TxList::Charged {
        return BTreeSet::new();
    }
    let paid = |part: &Action| if let Action::Transfer(transfer) = part { Some(transfer.to) } else { None };
    tx.body.action.parts().iter().filter_map(paid).collect()
}

impl Activity {
    /// Verifies the answer to `query` against the trusted header `tip`.
    ///
    /// # Errors
    /// [`BadAnswer`] when something is not proven, or is left out.
    pub fn verify(self, tip: &Header, query: &ActivityQuery) -> Result<ProvenActivity, BadAnswer> {
        let found = records(std::slice::from_ref(&self.account), tip, &[Key::Account(query.account)])?;
        let account = match found.as_slice() {
            [Some(Record::Account(account))] => *account,
            _ => Account::default(),
        };
        let mut bound = query.before;
        let mut txs = Vec::with_capacity(self.txs.len());
        for ProvenTx { tx, inclusion } in self.txs {
            let id = tx.id();
            if !accounts_of(&tx, inclusion.list).any(|touched| touched == query.account) {
                return Err(BadAnswer::OtherAccount { tx: id, account: query.account });
            }
            let place = inclusion.verify(tip, id)?;
            if bound.is_some_and(|bound| place >= bound) {
                return Err(BadAnswer::Disorder { tx: id });
            }
            bound = Some(place);
            txs.push(AccountTx::new(query.account, place, inclusion.block.header.time_ms, tx));
        }
        let proven = ProvenActivity { tip: tip.height, account, first: self.first, more: self.more, txs };
        proven.check_nonces(query)?;
        Ok(proven)
    }
}

impl ProvenActivity {
    /// Checks by the nonces that no transaction sent by the account is missing.
    fn check_nonces(&self, query: &ActivityQuery) -> Result<(), BadAnswer> {
        let account = query.account;
        let newest = query.nonce.or_else(|| query.before.is_none().then_some(self.account.nonce));
        let mut next = newest;
        for sent in self.txs.iter().filter(|entry| entry.tx.body.account == account) {
            let nonce = sent.tx.body.nonce;
            match next {
                Some(next) if nonce >= next => return Err(BadAnswer::Disorder { tx: sent.tx.id() }),
                Some(next) => self.check_next(account, next, Some(nonce))?,
                None => {}
            }
            next = Some(nonce);
        }
        // Without older transactions and deleted blocks, the list must reach the account's first one.
        match next {
            Some(next) if !self.more && self.first <= Height(1) => self.check_next(account, next, None),
            _ => Ok(()),
        }
    }

    /// Checks that the account sent no transaction between the one with nonce `next` and `before`, which comes before
    /// it in the list. Before an account that was removed began again, its nonces were lower by any number.
    fn check_next(&self, account: AccountId, next: u64, before: Option<u64>) -> Result<(), BadAnswer> {
        let first = first_nonce(self.account.since);
        let begins = next == first || (next < first && next.is_multiple_of(first_nonce(Height(1))));
        match next.checked_sub(1) {
            Some(nonce) if !begins && before != Some(nonce) => Err(BadAnswer::LeftOut { account, nonce }),
            _ => Ok(()),
        }
    }

    /// One of `others` that this answer lacks, although it claims to cover its place.
    pub fn left_out<'a>(&self, others: impl IntoIterator<Item = &'a AccountTx>) -> Option<&'a AccountTx> {
        let reaches = |place: &TxPlace| {
            let is_kept = (self.first..=self.tip).contains(&place.height);
            is_kept && (!self.more || self.txs.last().is_some_and(|last| *place > last.place))
        };
        let is_here = |place: &TxPlace| self.txs.binary_search_by(|known| place.cmp(&known.place)).is_ok();
        others.into_iter().find(|other| reaches(&other.place) && !is_here(&other.place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        beacon::BeaconSignature,
        id::{Amount, BlockId, ChainId, TxId},
        ledger::{
            tree::{self, MemoryNodes},
            tx::{Anchor, Roots, Together, Transfer, TxBody, tx_proof, tx_root},
        },
        light::PastHeader,
        sign::Keypair,
    };

    const CHAIN: ChainId = ChainId::new([0xcc; 32]);

    fn key(number: u8) -> Keypair {
        Keypair::from_seed(&[number; 32])
    }

    fn tx(from: u8, nonce: u64, to: Option<u8>) -> Tx {
        let pay = |to| Action::Transfer(Transfer { to: key(to).public(), amount: Amount(5) });
        let action = to.map_or(Action::Anchor(Anchor { hash: [1; 32] }), pay);
        let account = key(from).public();
        Tx::sign(TxBody { account, nonce, valid_until: Height(9), salt: 0, fee: Amount(1), action }, &key(from), &CHAIN)
    }

    /// One block with all there ever was: account 1 sent four, and was paid twice.
    struct Block {
        txs: Vec<Tx>,
        header: Header,
        account: ProvenRecord,
    }

    impl Block {
        fn new() -> Self {
            let txs = vec![
                tx(1, 0, Some(2)),
                tx(2, 0, Some(1)),
                tx(1, 1, None),
                tx(1, 2, Some(1)),
                tx(3, 0, Some(2)),
                { tx(3, 1, Some(1)) },
                tx(1, 3, Some(3)),
            ];
            let record = codec_of(&Record::Account(Account { balance: Amount(7), nonce: 4, ..Account::default() }));
            let (key, mut state) = (Key::Account(key(1).public()).to_bytes(), MemoryNodes::default());
            let patch = tree::update(&state, None, 1, [(key.as_slice(), Some(record.clone()))]).expect("the first");
            state.apply(&patch);
            let proof = tree::prove(&state, 1, &key).expect("it is there");
            let ids: Vec<TxId> = txs.iter().map(Tx::id).collect();
            let header = Header {
                height: Height(1),
                round: 0,
                parent: BlockId::new([0; 32]),
                time_ms: 77,
                roots: Roots { txs: tx_root(&ids), charged: [0; 32], proofs: [0; 32] },
                state: patch.root,
                history: [0; 32],
                validators: [0; 32],
                next_validators: [0; 32],
                proposer: self::key(9).public(),
                beacon: BeaconSignature([0; 48]),
            };
            Self { txs, header, account: ProvenRecord { key, value: Some(record), proof } }
        }

        fn entry(&self, index: usize) -> ProvenTx {
            let ids: Vec<TxId> = self.txs.iter().map(Tx::id).collect();
            let block = PastHeader { header: self.header.clone(), proof: None };
            let proof = tx_proof(&ids, index).expect("it is there");
            ProvenTx { tx: self.txs[index].clone(), inclusion: Inclusion { block, list: TxList::Applied, proof } }
        }

        fn said(&self, indexes: &[usize]) -> Activity {
            let txs = indexes.iter().map(|index| self.entry(*index)).collect();
            Activity { account: self.account.clone(), first: Height(1), more: false, txs }
        }

        fn check(&self, said: Activity, before: Option<u32>) -> Result<ProvenActivity, BadAnswer> {
            let before = before.map(|index| TxPlace { index, ..TxPlace::start_of(Height(1)) });
            said.verify(&self.header, &ActivityQuery { account: key(1).public(), before, nonce: None })
        }
    }

    fn codec_of(record: &Record) -> Vec<u8> {
        crate::codec::encode(record)
    }

    /// All that touch account 1, the newest first.
    const ALL: [usize; 6] = [6, 5, 3, 2, 1, 0];

    #[test]
    fn what_a_transaction_touches() {
        let accounts = |tx: &Tx| accounts_of(tx, TxList::Applied).collect::<Vec<_>>();
        let [one, two] = [1, 2].map(|number| key(number).public());
        assert_eq!(accounts(&tx(1, 0, Some(2))), [one, two]);
        assert_eq!(accounts(&tx(1, 0, Some(1))), [one], "once");
        assert_eq!(accounts(&tx(2, 0, None)), [two]);
    }

    #[test]
    fn payments_together_are_payments() {
        let [one, two, three] = [1, 2, 3].map(|number| key(number).public());
        let seen = |by: AccountId, to: &[Option<u8>]| {
            let parts = to.iter().map(|to| tx(1, 0, *to).body.action).collect();
            let mut tx = tx(1, 0, None);
            tx.body.action = Action::Together(Together::new(parts).expect("few"));
            assert!(accounts_of(&tx, TxList::Applied).any(|account| account == by));
            let entry = AccountTx::new(by, TxPlace::start_of(Height(1)), 0, tx);
            (entry.direction, entry.counterparty)
        };
        assert_eq!(seen(one, &[None, Some(2), Some(2)]), (Direction::Sent, Some(two)));
        assert_eq!(seen(one, &[Some(1), Some(3)]), (Direction::Sent, Some(three)));
        assert_eq!(seen(one, &[Some(2), Some(3)]), (Direction::Sent, None), "two counterparties");
        assert_eq!(seen(one, &[None, Some(1)]), (Direction::Itself, None));
        assert_eq!(seen(one, &[None]), (Direction::Sent, None));
        assert_eq!(seen(two, &[None, Some(3), Some(2)]), (Direction::Received, Some(one)));
        assert_eq!(seen(three, &[None, Some(3), Some(2)]), (Direction::Received, Some(one)));
    }

    #[test]
    fn what_is_whole_and_in_order_is_believed() {
        let block = Block::new();
        let proven = block.check(block.said(&ALL), None).expect("all of it is so");
        let places: Vec<u32> = proven.txs.iter().map(|entry| entry.place.index).collect();
        assert_eq!((places, proven.account.nonce), (vec![6, 5, 3, 2, 1, 0], 4));
        assert!(proven.txs.iter().all(|entry| entry.time_ms == 77));
        // The last page, and one before it.
        assert!(block.check(Activity { more: true, ..block.said(&ALL[..2]) }, None).is_ok());
        assert!(block.check(block.said(&ALL[2..]), Some(5)).is_ok());
        // Deleted blocks are not in the answer.
        assert!(block.check(Activity { first: Height(2), ..block.said(&[]) }, None).is_ok());
    }

    #[test]
    fn false_claims_are_detected() {
        let block = Block::new();
        let other = Err(BadAnswer::OtherAccount { tx: block.txs[4].id(), account: key(1).public() });
        assert_eq!(block.check(block.said(&[6, 5, 4, 3, 2, 1, 0]), None), other, "another's");
        let disorder = |index: usize| Err(BadAnswer::Disorder { tx: block.txs[index].id() });
        assert_eq!(block.check(block.said(&[6, 5, 3, 2, 0, 1]), None), disorder(1));
        assert_eq!(block.check(block.said(&[6, 6, 5, 3, 2, 1, 0]), None), disorder(6), "twice");
        assert_eq!(block.check(block.said(&ALL), Some(5)), disorder(6), "what came after was not asked for");
        let mut forged = block.said(&ALL);
        forged.txs[0].tx = tx(1, 3, Some(4));
        assert!(matches!(block.check(forged, None), Err(BadAnswer::NotIncluded { .. })));
        let mut elsewhere = block.said(&ALL);
        elsewhere.txs[0].inclusion.proof.index = 4;
        assert!(matches!(block.check(elsewhere, None), Err(BadAnswer::NotIncluded { .. })));
        let mut poor = block.said(&ALL);
        poor.account.value =
            Some(codec_of(&Record::Account(Account { balance: Amount(7), nonce: 3, ..Account::default() })));
        assert!(matches!(block.check(poor, None), Err(BadAnswer::Record { .. })));
    }

    #[test]
    fn what_the_account_sent_cannot_be_left_out() {
        let block = Block::new();
        let check = |indexes: &[usize], first, more, expect: Option<u64>| {
            let said = Activity { first: Height(first), more, ..block.said(indexes) };
            let verdict = block.check(said, None).err();
            assert_eq!(verdict, expect.map(|nonce| BadAnswer::LeftOut { account: key(1).public(), nonce }));
        };
        check(&[5, 3, 2, 1, 0], 1, false, Some(3));
        check(&[6, 5, 2, 1, 0], 1, false, Some(2));
        check(&[6, 5, 3, 1, 0], 1, true, Some(1));
        check(&[6, 5, 3, 2, 1], 1, false, Some(0));
        check(&[5, 1], 1, false, Some(3));
        // It may be in what was deleted, or on the next page.
        check(&[6, 5, 3, 2, 1], 2, false, None);
        check(&[6, 5, 3, 2, 1], 1, true, None);
        let query =
            ActivityQuery { account: key(1).public(), before: Some(TxPlace::start_of(Height(2))), nonce: Some(4) };
        let late = block.said(&[3, 2, 1, 0]).verify(&block.header, &query).err();
        assert_eq!(
            late,
            Some(BadAnswer::LeftOut { account: key(1).public(), nonce: 3 }),
            "the page before had nonce 4"
        );
    }

    #[test]
    fn what_was_paid_to_it_and_left_out_is_seen_by_what_another_has() {
        let block = Block::new();
        let all = block.check(block.said(&ALL), None).expect("all of it is so");
        let some = block.check(block.said(&[6, 3, 2, 0]), None).expect("no nonce is missing");
        let found = |proven: &ProvenActivity| proven.left_out(&all.txs).map(|entry| entry.place.index);
        assert_eq!((found(&all), found(&some)), (None, Some(5)));
        assert_eq!(all.left_out(&some.txs), None);
        // Nothing is left out that was not asked for yet, is deleted, or came later.
        assert_eq!(found(&ProvenActivity { more: true, txs: all.txs[..1].to_vec(), ..all.clone() }), None);
        assert_eq!(found(&ProvenActivity { first: Height(2), ..some.clone() }), None);
        assert_eq!(found(&ProvenActivity { tip: Height(0), ..some }), None);
    }
}
