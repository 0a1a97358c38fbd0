//! The pool held to tables, to a naive model of the same rules, and to what it promises against spam.

use std::sync::OnceLock;

use ostrakon_proto::{
    id::{Amount, Epoch, ObjectId},
    ledger::{
        Rules,
        state::CommitmentId,
        tx::{Extend, Release, Transfer, Tx, TxBody},
    },
    limits,
    sign::Keypair,
};
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

fn rules() -> &'static Rules {
    static RULES: OnceLock<Rules> = OnceLock::new();
    RULES.get_or_init(|| Rules::from(&crate::world::genesis(1)))
}

fn key(who: u16) -> Keypair {
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&who.to_be_bytes());
    Keypair::from_seed(&seed)
}

fn checked(who: u16, nonce: u64, fee: u64, action: Action) -> Arc<CheckedTx> {
    let key = key(who);
    let body = TxBody { account: key.public(), nonce, valid_until: Height(100), salt: 0, fee: Amount(fee), action };
    Arc::new(CheckedTx::check(rules(), Tx::sign(body, &key, &rules().chain)).expect("signed"))
}

/// A transfer by account number `who`, with this nonce and fee.
fn tx(who: u16, nonce: u64, fee: u64) -> Arc<CheckedTx> {
    checked(who, nonce, fee, Action::Transfer(Transfer { to: key(0).public(), amount: Amount(1) }))
}

/// As [`tx`], and a proof where [`releases_are_proofs`].
fn proof(who: u16, nonce: u64, fee: u64) -> Arc<CheckedTx> {
    checked(who, nonce, fee, Action::Release(Release { object: ObjectId::new([1; 32]), extent: 0 }))
}

fn releases_are_proofs(action: &Action) -> TxPriority {
    if matches!(action, Action::Release(_)) { TxPriority::Deadline } else { TxPriority::Ordinary }
}

/// Who, nonce and fee of each.
fn short(txs: &[Arc<CheckedTx>]) -> Vec<(u16, u64, u64)> {
    let who = |tx: &CheckedTx| (0..1_000).find(|who| key(*who).public() == tx.tx().body.account).expect("known");
    txs.iter().map(|tx| (who(tx), tx.tx().body.nonce, tx.tx().body.fee.0)).collect()
}

/// However much they pay, what fails does not take the place of what does not.
#[test]
fn a_block_takes_a_bounded_number_of_those_that_fail() {
    let mut pool = Mempool::default();
    let failing = u16::try_from(limits::CHARGED + 10).expect("few");
    for who in 1..=failing {
        let fails = tx(who, 0, 1_000);
        pool.insert(Arc::clone(&fails), 0).expect("room");
        pool.insert(tx(who, 1, 1_000), 0).expect("room");
        pool.expect_charge(&fails.id());
        assert!(pool.expects_charge(&fails.id()));
    }
    pool.insert(tx(900, 0, 1), 0).expect("room");
    let taken = short(&pool.take(limits::BLOCK));
    assert_eq!((taken.len(), taken.last()), (limits::CHARGED + 1, Some(&(900, 0, 1))));
    assert!(taken.iter().all(|(_, nonce, _)| *nonce == 0), "what follows needs a nonce that is used after all others");
    pool.advance(Height(1), [(key(1).public(), 1)]);
    assert!(short(&pool.take(limits::BLOCK)).contains(&(1, 1, 1_000)), "in the next block it can be included");
}

#[test]
fn it_says_before_costly_checks_whether_it_has_space() {
    let mut pool = Mempool::new(PoolLimits { count: 3, bytes: 4096, per_account: 2, gap: 2 });
    pool.insert(tx(1, 5, 100), 5).expect("room");
    let check = |pool: &Mempool, tx: Arc<CheckedTx>, next, room| assert_eq!(pool.has_space_for(&tx, next), room);
    check(&pool, tx(1, 4, 100), 5, false);
    check(&pool, tx(1, 9, 100), 5, false);
    check(&pool, tx(1, 5, 109), 5, false);
    check(&pool, tx(1, 5, 110), 5, true);
    check(&pool, tx(1, 6, 100), 5, true);
    pool.insert(tx(1, 6, 100), 5).expect("room");
    check(&pool, tx(1, 7, 100), 5, false);
    pool.insert(tx(2, 0, 100), 0).expect("room");
    check(&pool, tx(3, 0, 100), 0, false);
    check(&pool, tx(3, 0, 101), 0, true);
}

#[test]
fn takes_in_what_its_bounds_allow() {
    let bounds = PoolLimits { count: 4, bytes: 4096, per_account: 3, gap: 2 };
    let mut pool = Mempool::new(bounds);
    let mut check = |tx, next, expect| assert_eq!(pool.insert(tx, next), expect);
    check(tx(1, 4, 100), 5, Err(PoolError::Used { nonce: 4, next: 5 }));
    check(tx(1, 8, 100), 5, Err(PoolError::Ahead { nonce: 8, next: 5 }));
    check(tx(1, 7, 100), 5, Ok(()));
    check(tx(1, 7, 100), 5, Ok(()));
    check(tx(1, 5, 100), 5, Ok(()));
    check(tx(1, 8, 100), 5, Ok(()));
    check(tx(1, 6, 100), 5, Err(PoolError::AccountFull { max: 3 }));
    check(tx(1, 5, 109), 5, Err(PoolError::Underpriced { nonce: 5, need: 110 }));
    check(tx(1, 5, 110), 5, Ok(()));
    check(tx(2, 0, 100), 0, Ok(()));
    assert_eq!(pool.len(), 4);
    // An older word about the account's nonce changes nothing, a newer one drops what was used.
    let mut check = |tx, next, expect| assert_eq!(pool.insert(tx, next), expect);
    check(tx(1, 4, 100), 4, Err(PoolError::Used { nonce: 4, next: 5 }));
    check(tx(1, 9, 100), 8, Ok(()));
    assert_eq!(short(&pool.run_of(&key(1).public(), 0)), []);
    assert_eq!(short(&pool.run_of(&key(1).public(), 8)), [(1, 8, 100), (1, 9, 100)]);
    assert_eq!(pool.len(), 3);
}

#[test]
fn bytes_are_bounded_and_counted_back() {
    let size = tx(1, 0, 100).bytes();
    let mut pool = Mempool::new(PoolLimits { bytes: 2 * size, ..PoolLimits::default() });
    pool.insert(tx(1, 0, 100), 0).expect("room");
    pool.insert(tx(2, 0, 100), 0).expect("room");
    assert_eq!(pool.insert(tx(3, 0, 100), 0), Err(PoolError::Full));
    pool.advance(Height(1), [(key(1).public(), 1)]);
    pool.insert(tx(3, 0, 100), 0).expect("room again");
    assert!(pool.contains(&tx(3, 0, 100).id()) && pool.is_ready());
    pool.advance(Height(100), []);
    assert!(pool.is_empty() && !pool.is_ready());
    assert_eq!((pool.lanes.ordinary.size, pool.accounts.len(), pool.arrivals.len()), (Size::default(), 0, 0));
}

#[test]
fn what_offers_too_little_goes_and_what_followed_it_waits() {
    let mut pool = Mempool::default();
    for (who, nonce, fee) in [(1, 0, 100), (1, 1, 900), (2, 0, 200), (3, 0, 150), (3, 1, 50)] {
        pool.insert(tx(who, nonce, fee), 0).expect("room");
    }
    pool.drop_if(|tx| tx.tx().body.fee < Amount(150));
    assert_eq!(short(&pool.take(limits::BLOCK)), [(2, 0, 200), (3, 0, 150)]);
    assert_eq!(pool.len(), 3, "one follows what is to be sent again");
    pool.insert(tx(1, 0, 300), 0).expect("room");
    assert_eq!(short(&pool.take(limits::BLOCK)), [(1, 0, 300), (1, 1, 900), (2, 0, 200), (3, 0, 150)]);
}

#[test]
fn the_best_paying_come_first_each_account_in_order() {
    let mut pool = Mempool::default();
    for (who, nonce, fee) in [(1, 1, 900), (2, 0, 200), (1, 0, 100), (2, 2, 999), (3, 0, 200), (1, 2, 150), (4, 1, 5)] {
        pool.insert(tx(who, nonce, fee), 0).expect("room");
    }
    // Of equals the first to come; what stands behind a gap not at all.
    assert_eq!(short(&pool.take(limits::BLOCK)), [(2, 0, 200), (3, 0, 200), (1, 0, 100), (1, 1, 900), (1, 2, 150)]);
    assert_eq!(pool.take(limits::BLOCK), pool.take(limits::BLOCK), "taking takes nothing away");
    assert_eq!(short(&pool.take(2 * tx(1, 0, 1).bytes())), [(2, 0, 200), (3, 0, 200)]);
    pool.advance(Height(1), [(key(2).public(), 2), (key(4).public(), 1)]);
    let left = [(2, 2, 999), (3, 0, 200), (1, 0, 100), (1, 1, 900), (1, 2, 150), (4, 1, 5)];
    assert_eq!(short(&pool.take(limits::BLOCK)), left);
}

#[test]
fn what_waits_is_told_page_by_page() {
    let mut pool = Mempool::default();
    (0..5).for_each(|who| pool.insert(tx(who, 0, 100), 0).expect("room"));
    pool.drop_tx(&tx(1, 0, 100).id());
    let page = pool.waiting(None, 2);
    assert_eq!(page.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 2]);
    let rest = pool.waiting(Some(2), 9);
    assert_eq!(short(&rest.iter().map(|(_, tx)| Arc::clone(tx)).collect::<Vec<_>>()), [(3, 0, 100), (4, 0, 100)]);
}

#[test]
fn a_block_is_not_overfilled() {
    let mut pool = Mempool::new(PoolLimits { per_account: 10_000, gap: 10_000, ..PoolLimits::default() });
    let size = tx(1, 0, 100).bytes();
    for who in 0..250 {
        for nonce in 0..24 {
            pool.insert(tx(who, nonce, 100), 0).expect("room");
        }
    }
    assert_eq!(pool.take(limits::BLOCK).len(), limits::BLOCK / size);
}

#[test]
fn proofs_have_their_share_of_a_block() {
    let mut pool = Mempool::with_lanes(PoolLimits::default(), releases_are_proofs);
    (0..100).for_each(|who| pool.insert(tx(who, 0, 1_000), 0).expect("room"));
    (100..150).for_each(|who| pool.insert(proof(who, 0, 1), 0).expect("room"));
    // Account 0 proves as well, after what it said first.
    pool.insert(proof(0, 1, 1), 0).expect("room");
    let bytes = 100 * tx(1, 0, 1).bytes();
    let taken = pool.take(bytes);
    let proofs = taken.iter().filter(|tx| releases_are_proofs(&tx.tx().body.action) == TxPriority::Deadline).count();
    assert_eq!(proofs, bytes / 100 * limits::RESERVED_PERCENT / proof(1, 0, 1).bytes());
    assert!(taken.iter().map(|tx| tx.bytes()).sum::<usize>() > bytes - tx(1, 0, 1).bytes());
    // What the others leave is the proofs' too, and the other way round.
    assert_eq!(pool.take(limits::BLOCK).len(), 151);
    pool.advance(Height(1), (0..100).map(|who| (key(who).public(), 1)));
    assert_eq!(pool.take(bytes).len(), 51);
}

#[test]
fn spam_does_not_displace_proofs() {
    let bounds = PoolLimits { count: 30, ..PoolLimits::default() };
    let mut pool = Mempool::with_lanes(bounds, releases_are_proofs);
    (0..30).for_each(|who| pool.insert(tx(who, 0, 1_000), 0).expect("room"));
    assert_eq!(pool.insert(tx(90, 0, 1_000), 0), Err(PoolError::Full));
    // Ten proofs are welcome whatever they pay; after that they compete with each other.
    (100..110).for_each(|who| pool.insert(proof(who, 0, 1), 0).expect("the proofs' own room"));
    assert_eq!(pool.insert(proof(110, 0, 1), 0), Err(PoolError::Full));
    assert_eq!(pool.insert(proof(110, 0, 2), 0), Ok(()));
    // What pretends to be a proof behind a gap, or behind spam of its own, is none.
    assert_eq!(pool.insert(proof(111, 1, 9_999), 0), Err(PoolError::Full));
    for who in 200..260 {
        pool.insert(tx(who, 0, 1_000 * u64::from(who)), 0).expect("pays more");
    }
    assert_eq!((pool.lanes.proof.size.count, pool.lanes.ordinary.size.count), (10, 20));
}

#[test]
fn the_worst_of_a_full_pool_makes_room() {
    let mut pool = Mempool::new(PoolLimits { count: 6, ..PoolLimits::default() });
    for (who, nonce, fee) in [(1, 0, 300), (1, 1, 100), (1, 2, 900), (2, 0, 200), (2, 1, 200), (3, 0, 400)] {
        pool.insert(tx(who, nonce, fee), 0).expect("room");
    }
    let check = |pool: &mut Mempool, tx, expect| assert_eq!(pool.insert(tx, 0), expect);
    check(&mut pool, tx(4, 0, 100), Err(PoolError::Full));
    check(&mut pool, tx(4, 1, 900), Err(PoolError::Full));
    check(&mut pool, tx(1, 3, 900), Err(PoolError::Full));
    // Dear as it looks, nonce 2 of account 1 waits behind one of 100; and it is the last, so it leaves no gap.
    check(&mut pool, tx(4, 0, 101), Ok(()));
    check(&mut pool, tx(5, 0, 150), Ok(()));
    assert_eq!(short(&pool.run_of(&key(1).public(), 0)), [(1, 0, 300)]);
    // An account's own earlier ones make no space for it.
    check(&mut pool, tx(5, 1, 101), Err(PoolError::Full));
    check(&mut pool, tx(4, 0, 120), Ok(()));
    check(&mut pool, tx(2, 2, 150), Ok(()));
    let left = [(3, 0, 400), (1, 0, 300), (2, 0, 200), (2, 1, 200), (2, 2, 150), (5, 0, 150)];
    let mut taken = short(&pool.take(limits::BLOCK));
    taken.sort_unstable_by_key(|(who, nonce, fee)| (Reverse(*fee), *who, *nonce));
    assert_eq!(taken, left);
}

/// The same rules, found by looking at everything each time.
struct Model {
    bounds: PoolLimits,
    next: Vec<u64>,
    /// In the order of arrival.
    waiting: Vec<(u16, Arc<CheckedTx>)>,
}

impl Model {
    fn of(&self, who: u16, nonce: u64) -> Option<&Arc<CheckedTx>> {
        self.waiting.iter().find(|(other, tx)| *other == who && tx.tx().body.nonce == nonce).map(|(_, tx)| tx)
    }

    /// TxPriority and worth of one that waits.
    fn priority(&self, who: u16, nonce: u64) -> (TxPriority, FeeRate) {
        let line: Option<Vec<_>> = (self.next[usize::from(who)]..=nonce).map(|nonce| self.of(who, nonce)).collect();
        let Some(line) = line else { return (TxPriority::Ordinary, FeeRate::NOTHING) };
        let lane = line.iter().map(|tx| releases_are_proofs(&tx.tx().body.action)).max().expect("not empty");
        (lane, line.iter().map(|tx| FeeRate::of(tx)).min().expect("not empty"))
    }

    fn size(&self, lane: Option<TxPriority>) -> Size {
        let mut size = Size::default();
        for (who, tx) in &self.waiting {
            if lane.is_none_or(|lane| self.priority(*who, tx.tx().body.nonce).0 == lane) {
                size += Size { count: 1, bytes: tx.bytes() };
            }
        }
        size
    }

    fn is_over(&self) -> bool {
        let size = self.size(None);
        size.count > self.bounds.count || size.bytes > self.bounds.bytes
    }

    /// Puts it in, then drops the worst until it fits, or takes all back.
    fn insert(&mut self, who: u16, tx: &Arc<CheckedTx>) -> bool {
        let nonce = tx.tx().body.nonce;
        let (fee, next) = (tx.tx().body.fee.0, self.next[usize::from(who)]);
        if self.waiting.iter().any(|(_, other)| other == tx) {
            return true;
        }
        let missing = (next..).find(|nonce| self.of(who, *nonce).is_none()).expect("some nonce is free");
        let old = self.of(who, nonce).map(|old| old.tx().body.fee.0);
        let mine = self.waiting.iter().filter(|(other, _)| *other == who).count();
        let dear = old.is_none_or(|old| fee >= old + old.div_ceil(10).max(1));
        if nonce < next
            || nonce > missing + self.bounds.gap
            || !dear
            || old.is_none() && mine >= self.bounds.per_account
        {
            return false;
        }
        let before = self.waiting.clone();
        let sizes = [self.size(Some(TxPriority::Deadline)), self.size(Some(TxPriority::Ordinary))];
        self.waiting.retain(|(other, waiting)| *other != who || waiting.tx().body.nonce != nonce);
        self.waiting.push((who, Arc::clone(tx)));
        let (lane, worth) = self.priority(who, nonce);
        let third = Size { count: self.bounds.count / 3, bytes: self.bounds.bytes / 3 };
        let (mine, share) = match lane {
            TxPriority::Deadline => (sizes[0], third),
            TxPriority::Ordinary => {
                let rest = Size { count: self.bounds.count - third.count, bytes: self.bounds.bytes - third.bytes };
                (sizes[1], rest)
            }
        };
        let within = mine.count < share.count && mine.bytes + tx.bytes() <= share.bytes && worth > FeeRate::NOTHING;
        while self.is_over() {
            let tails = self.waiting.iter().enumerate().filter(|(_, (other, waiting))| {
                let later = |(third, tx): &(u16, Arc<CheckedTx>)| {
                    third == other && tx.tx().body.nonce > waiting.tx().body.nonce
                };
                *other != who && !self.waiting.iter().any(later)
            });
            let standings = tails.map(|(at, (other, tx))| (self.priority(*other, tx.tx().body.nonce), Reverse(at)));
            let may = |((other, value), _): &((TxPriority, FeeRate), _)| {
                if within { *other != lane } else { *other == lane && *value < worth }
            };
            let Some((_, Reverse(at))) = standings.filter(may).min_by_key(|((_, worth), at)| (*worth, *at)) else {
                self.waiting = before;
                return false;
            };
            self.waiting.remove(at);
        }
        true
    }

    fn advance(&mut self, who: u16, next: u64) {
        self.next[usize::from(who)] = self.next[usize::from(who)].max(next);
        self.waiting.retain(|(other, tx)| *other != who || tx.tx().body.nonce >= next);
    }

    fn take(&self, max: usize) -> Vec<Arc<CheckedTx>> {
        let (mut next, mut taken, mut bytes) = (self.next.clone(), Vec::new(), 0);
        let (mut proofs_only, mut passed) = (true, Vec::new());
        loop {
            let heads = self.waiting.iter().enumerate().filter(|(_, (who, tx))| {
                tx.tx().body.nonce == next[usize::from(*who)]
                    && !passed.contains(&tx.id())
                    && (!proofs_only || self.priority(*who, tx.tx().body.nonce).0 == TxPriority::Deadline)
            });
            let best = heads.min_by_key(|(at, (_, tx))| (Reverse(FeeRate::of(tx)), *at));
            match best {
                None if proofs_only => proofs_only = false,
                None => return taken,
                Some((_, (_, tx))) if proofs_only && bytes + tx.bytes() > max / 100 * limits::RESERVED_PERCENT => {
                    proofs_only = false;
                }
                Some((_, (_, tx))) if bytes + tx.bytes() > max => passed.push(tx.id()),
                Some((_, (who, tx))) => {
                    bytes += tx.bytes();
                    next[usize::from(*who)] += 1;
                    taken.push(Arc::clone(tx));
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u16, usize),
    Advance(u16, u64),
    Drop(u16, usize),
    Take(usize),
}

const ACCOUNTS: u16 = 5;
const FEES: [u64; 5] = [100, 105, 200, 400, 401];

/// Every transaction that the model is tried with: of each account, in 6 nonces, 3 kinds and some fees.
fn deck(who: u16) -> &'static [Arc<CheckedTx>] {
    static DECKS: OnceLock<Vec<Vec<Arc<CheckedTx>>>> = OnceLock::new();
    let kinds = |kind| match kind {
        0 => Action::Transfer(Transfer { to: key(0).public(), amount: Amount(1) }),
        1 => Action::Release(Release { object: ObjectId::new([1; 32]), extent: 0 }),
        _ => {
            let commitment = CommitmentId::first_of(ObjectId::new([1; 32]));
            Action::Extend(Extend { commitment, end: Epoch(1), most: Amount::ZERO })
        }
    };
    let of = |who| {
        let each =
            (0..6).flat_map(|nonce| FEES.map(|fee| (nonce, fee))).flat_map(|of| [0, 1, 2].map(|kind| (of, kind)));
        each.map(|((nonce, fee), kind)| checked(who, nonce, fee, kinds(kind))).collect()
    };
    &DECKS.get_or_init(|| (0..ACCOUNTS).map(of).collect())[usize::from(who)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (who, card) = (0..ACCOUNTS, 0..6 * FEES.len() * 3);
    let step = prop_oneof![
        12 => (who.clone(), card.clone()).prop_map(|(who, card)| Step::Insert(who, card)),
        1 => (who.clone(), 0..6_u64).prop_map(|(who, next)| Step::Advance(who, next)),
        1 => (who, card).prop_map(|(who, card)| Step::Drop(who, card)),
        2 => select(vec![100_usize, 700, 1_500, 5_000]).prop_map(Step::Take),
    ];
    vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is done, the pool holds and takes what the model does.
    #[test]
    fn the_pool_is_its_model(steps in steps(), count in 3..12_usize, bytes in 700..3_000_usize) {
        let bounds = PoolLimits { count, bytes, per_account: 4, gap: 2 };
        let mut pool = Mempool::with_lanes(bounds, releases_are_proofs);
        let mut model = Model { bounds, next: vec![0; usize::from(ACCOUNTS)], waiting: Vec::new() };
        for step in steps {
            match &step {
                Step::Insert(who, card) => {
                    let tx = &deck(*who)[*card];
                    let taken = pool.insert(Arc::clone(tx), model.next[usize::from(*who)]).is_ok();
                    prop_assert_eq!(taken, model.insert(*who, tx), "{:?}", step);
                }
                Step::Advance(who, next) => {
                    pool.advance(Height(1), [(key(*who).public(), *next)]);
                    model.advance(*who, *next);
                }
                Step::Drop(who, card) => {
                    let id = deck(*who)[*card].id();
                    pool.drop_tx(&id);
                    model.waiting.retain(|(_, tx)| tx.id() != id);
                }
                Step::Take(max) => prop_assert_eq!(short(&pool.take(*max)), short(&model.take(*max)), "{:?}", step),
            }
            let waiting: Vec<_> = pool.waiting(None, usize::MAX).into_iter().map(|(_, tx)| tx).collect();
            let expect: Vec<_> = model.waiting.iter().map(|(_, tx)| Arc::clone(tx)).collect();
            prop_assert_eq!(short(&waiting), short(&expect), "{:?}", step);
            prop_assert_eq!(pool.lanes.proof.size, model.size(Some(TxPriority::Deadline)));
            prop_assert_eq!(pool.lanes.ordinary.size, model.size(Some(TxPriority::Ordinary)));
        }
    }

    /// Spam that does not pay the going fee for all of its line, however dear its last transactions look, keeps nobody
    /// out who pays it, and pushes nobody out.
    #[test]
    fn spam_displaces_nobody_who_pays_the_going_fee(
        spam in vec((50..60_u16, 0..5_u64, select(vec![10_u64, 20, 50_000])), 1..150),
        honest_first in any::<bool>(),
    ) {
        const GOING: u64 = 1_000;
        let honest: Vec<_> = (0..8).flat_map(|who| [0, 1].map(|nonce| tx(who, nonce, GOING))).collect();
        let mut pool = Mempool::new(PoolLimits { count: 20, ..PoolLimits::default() });
        let insert_honest = |pool: &mut Mempool| {
            honest.iter().try_for_each(|tx| pool.insert(Arc::clone(tx), 0))
        };
        if honest_first {
            prop_assert_eq!(insert_honest(&mut pool), Ok(()));
        }
        for (who, nonce, fee) in spam {
            // The first of a line never pays enough.
            let fee = if nonce == 0 { fee.min(20) } else { fee };
            let _ = pool.insert(tx(who, nonce, fee), 0);
        }
        if !honest_first {
            prop_assert_eq!(insert_honest(&mut pool), Ok(()));
        }
        prop_assert!(honest.iter().all(|tx| pool.contains(&tx.id())));
        let first = pool.take(honest.len() * honest[0].bytes());
        prop_assert!(first.iter().all(|tx| tx.tx().body.fee.0 == GOING));
        prop_assert!(pool.len() <= 20);
    }
}
