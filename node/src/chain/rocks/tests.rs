//! A ledger that is kept aside, made again of its parts, and of which only the newest blocks stay.

use std::path::{Path, PathBuf};

use ostrakon_proto::{
    id::{AccountId, Amount, Height, NodeId},
    ledger::{
        GenesisAccount,
        snapshot::{BadChunk, BadSnapshot},
    },
};

use super::{
    beside::Stored,
    restore::{LedgerDirs, RestoreError, Restorer},
    *,
};
use crate::{
    chain::tests::{grow_proving, next_block, touching, transfer},
    world::World,
};

/// Blocks between two snapshots, and a budget in bytes.
type Keep = (u64, u64);

/// No block fits the budget: those stay that the snapshots need.
const KEEP: Keep = (5, 1);

/// A world whose state is of several parts.
fn large() -> World {
    let mut world = World::new(4);
    let account = |number: u32| {
        let bytes = blake3::hash(&number.to_le_bytes());
        GenesisAccount { account: AccountId::new(*bytes.as_bytes()), balance: Amount(u64::from(number)) }
    };
    world.genesis.accounts.extend((0..40_000).map(account));
    world
}

fn open(dir: &Path, world: &World, (snapshot_interval_blocks, budget): Keep) -> Rocks {
    let room = Arc::new(LedgerRoom::new(vec![dir.to_owned()], budget));
    let pruning = Pruning { snapshot_interval_blocks, room };
    Rocks::open(dir, &world.genesis).and_then(|rocks| rocks.with_pruning(pruning)).expect("opens")
}

/// Blocks with a transfer each, up to this height.
fn grow(ledger: &Rocks, world: &World, height: u64) {
    for number in ledger.view().tip().height.0..height {
        let to = u8::try_from(number % 50 + 150).expect("small");
        let (decided, changes) = next_block(ledger, &world.genesis, vec![transfer(world, number, to)]);
        ledger.commit(&decided, &changes).expect("committed");
    }
}

fn tend(ledger: &Rocks) {
    while ledger.tend().expect("the disk is well") {}
}

fn heights(ledger: &Rocks) -> Vec<u64> {
    ledger.snapshots().iter().map(|offer| offer.header.height.0).collect()
}

#[tokio::test(start_paused = true)]
async fn every_so_many_blocks_the_state_is_kept_aside() {
    let (world, dir) = (World::new(4), tempfile::tempdir().expect("a directory"));
    let ledger = open(dir.path(), &world, KEEP);
    grow(&ledger, &world, 12);
    assert_eq!(heights(&ledger), [0; 0], "not before it is made ready");
    drop(ledger);
    let ledger = open(dir.path(), &world, KEEP);
    tend(&ledger);
    assert_eq!(heights(&ledger), [5, 10], "after a restart, too");
    grow(&ledger, &world, 21);
    tend(&ledger);
    assert_eq!(heights(&ledger), [15, 20], "the last two");
    let offer = ledger.snapshots().pop().expect("two");
    let decided = ledger.block(Height(20)).expect("read").expect("kept");
    assert_eq!((offer.header, offer.certificate), (decided.block.header, decided.certificate));
    assert_eq!(ledger.chunk(Height(10), None), Ok(None), "not kept any more");
    assert!(ledger.chunk(Height(20), None).expect("read").is_some());
    drop(ledger);
    let left = std::fs::read_dir(dir.path().join("snapshots")).expect("listed").count();
    assert_eq!((left, heights(&open(dir.path(), &world, KEEP))), (2, vec![15, 20]));
}

#[tokio::test(start_paused = true)]
async fn a_block_whose_snapshot_a_crash_prevented_gets_it_at_the_next_start() {
    let (world, dir) = (World::new(4), tempfile::tempdir().expect("a directory"));
    let ledger = open(dir.path(), &world, (0, 0));
    grow(&ledger, &world, 5);
    drop(ledger);
    // What a checkpoint leaves that was cut short.
    std::fs::create_dir_all(dir.path().join("snapshots/5.tmp")).expect("made");
    let ledger = open(dir.path(), &world, KEEP);
    tend(&ledger);
    assert_eq!(heights(&ledger), [5]);
    assert!(!dir.path().join("snapshots/5.tmp").exists());
}

/// Copies the files of a directory, but the first `deleted` of this order.
fn copy_rest(from: &Path, to: &Path, order: &[PathBuf], deleted: usize) {
    std::fs::create_dir_all(to).expect("made");
    for file in &order[deleted..] {
        std::fs::copy(from.join(file), to.join(file)).expect("copied");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_a_crash_leaves_of_a_snapshot_that_is_deleted_the_ledger_opens() {
    let (world, dir) = (World::new(4), tempfile::tempdir().expect("a directory"));
    let (chain, saved) = (dir.path().join("chain"), dir.path().join("saved"));
    let snapshots = chain.join("snapshots");
    let ledger = open(&chain, &world, KEEP);
    grow(&ledger, &world, 11);
    tend(&ledger);
    let first = ledger.chunk(Height(5), None);
    drop(ledger);
    let files = std::fs::read_dir(snapshots.join("5")).expect("listed");
    let mut order: Vec<PathBuf> = files.map(|file| file.expect("listed").file_name().into()).collect();
    order.sort();
    copy_rest(&snapshots.join("5"), &saved, &order, 0);
    for _ in 0..2 {
        order.reverse();
        for deleted in 0..=order.len() {
            // By the name of a snapshot, as an older version deleted it, or with the mark of what is deleted.
            for name in ["5", "5.deleted"] {
                std::fs::remove_dir_all(snapshots.join("5")).unwrap_or_default();
                copy_rest(&saved, &snapshots.join(name), &order, deleted);
                let ledger = open(&chain, &world, KEEP);
                // What is not ready is prepared again, and not used if that fails.
                while !matches!(ledger.tend(), Ok(false)) {}
                let left = heights(&ledger);
                assert!(left == [5, 10] || left == [10], "{name} {deleted}: {left:?}");
                assert!(left == [10] || ledger.chunk(Height(5), None) == first, "{name} {deleted}");
                assert!(left == [10] || name == "5", "what is deleted does not come back");
                let kept = std::fs::read_dir(&snapshots).expect("listed").count();
                assert_eq!(kept, left.len(), "{name} {deleted}");
            }
        }
    }
    let ledger = open(&chain, &world, KEEP);
    grow(&ledger, &world, 15);
    tend(&ledger);
    assert_eq!(heights(&ledger), [10, 15], "and there are others");
}

#[tokio::test(start_paused = true)]
async fn a_ledger_made_of_a_snapshot_continues_like_the_old_one() {
    let (world, dir) = (large(), tempfile::tempdir().expect("a directory"));
    let (old_dir, place) = (dir.path().join("old"), LedgerDirs::new(dir.path()));
    let ledger = open(&old_dir, &world, KEEP);
    grow(&ledger, &world, 7);
    tend(&ledger);
    let offer = ledger.snapshots().pop().expect("one");
    let mut parts = 0;
    loop {
        // Opened again for each part, as after a kill.
        let mut restorer = Restorer::open(&place, &world.genesis, &offer).expect("opens");
        assert!(!place.settle().expect("the disk is well"), "nothing is ready yet");
        if restorer.restoring().is_complete() {
            let decided = ledger.block(Height(5)).expect("read").expect("kept");
            restorer.finish(&decided, &[]).expect("all is there");
            break;
        }
        let chunk = ledger.chunk(Height(5), restorer.restoring().after()).expect("read").expect("some are missing");
        assert_eq!(restorer.take(&chunk), Ok(()));
        let again = RestoreError::Bad(BadSnapshot::Chunk(BadChunk::Order));
        assert!(restorer.restoring().is_complete() || restorer.take(&chunk) == Err(again), "the same again");
        parts += 1;
    }
    assert!(parts > 2, "{parts}");
    assert!(place.settle().expect("the disk is well") && !place.settle().expect("the disk is well"));
    let restored = open(&place.chain(), &world, KEEP);
    assert_eq!((restored.first_block(), restored.block(Height(5))), (Ok(Height(5)), ledger.block(Height(5))));
    for height in [6, 7] {
        let decided = ledger.block(Height(height)).expect("read").expect("kept");
        let rules = ostrakon_proto::ledger::Rules::from(&world.genesis);
        let changes = ostrakon_proto::ledger::execute(&rules, &*restored.view(), &decided).expect("a good block");
        restored.commit(&decided, &changes).expect("committed");
    }
    assert_eq!(restored.view().tip(), ledger.view().tip());
    assert_eq!(restored.view().providers(), ledger.view().providers());
    assert_eq!(touching(&restored, world.payer()), [(7, 0), (6, 0), (5, 0)], "from the snapshot's block on");
    // It offers what it was made of, and proves what came after.
    tend(&restored);
    assert_eq!(heights(&restored), [5]);
    assert_eq!(restored.chunk(Height(5), None), ledger.chunk(Height(5), None));
    let read = |position| restored.past(position).expect("read");
    let proof = ostrakon_proto::ledger::history::prove(read, 7, Height(6)).expect("block 6 is proven");
    let header = |height| ledger.block(Height(height)).expect("read").expect("kept").block.header;
    assert_eq!(proof.verify(&header(7).history, 7, Height(6), header(6).id()), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_of_another_state_is_thrown_away() {
    let (world, dir) = (large(), tempfile::tempdir().expect("a directory"));
    let (ledger, place) = (open(&dir.path().join("old"), &world, KEEP), LedgerDirs::new(dir.path()));
    grow(&ledger, &world, 10);
    tend(&ledger);
    let offers = ledger.snapshots();
    let mut restorer = Restorer::open(&place, &world.genesis, &offers[0]).expect("opens");
    let chunk = ledger.chunk(Height(5), None).expect("read").expect("there");
    assert_eq!(restorer.take(&chunk), Ok(()));
    let decided = ledger.block(Height(5)).expect("read").expect("kept");
    assert_eq!(restorer.finish(&decided, &[]), Err(RestoreError::Bad(BadSnapshot::Incomplete)));
    assert_eq!(place.unfinished(&world.genesis).as_ref(), Some(&offers[0]));
    let other = ostrakon_proto::ledger::Genesis { name: "other".to_owned(), ..world.genesis.clone() };
    assert_eq!(place.unfinished(&other), None, "another chain's");
    let restorer = Restorer::open(&place, &world.genesis, &offers[1]).expect("opens");
    assert_eq!((restorer.restoring().after(), restorer.restoring().block()), (None, &offers[1]));
    drop(restorer);
    assert_eq!((place.give_up(), place.unfinished(&world.genesis)), (Ok(()), None));
}

#[tokio::test(start_paused = true)]
async fn old_blocks_go_but_none_that_a_snapshot_needs() {
    let (world, dir) = (World::new(4), tempfile::tempdir().expect("a directory"));
    let ledger = open(dir.path(), &world, KEEP);
    grow(&ledger, &world, 4);
    tend(&ledger);
    assert_eq!(ledger.first_block(), Ok(Height(1)), "without a snapshot nothing goes");
    grow(&ledger, &world, 24);
    let first = ledger.block(Height(1)).expect("read").expect("kept until now");
    tend(&ledger);
    assert_eq!((heights(&ledger), ledger.first_block()), (vec![15, 20], Ok(Height(15))));
    for height in 1..=24 {
        assert_eq!(ledger.block(Height(height)).expect("read").is_some(), height >= 15, "{height}");
    }
    assert_eq!(ledger.inclusion(&first.block.txs[0].id()), Ok(None), "its transactions go with it");
    let listed: Vec<(u64, u32)> = (15..=24).rev().map(|height| (height, 0)).collect();
    assert_eq!(touching(&ledger, world.payer()), listed, "and from the list of the account's");
    let newest = ledger.block(Height(24)).expect("read").expect("kept");
    assert_eq!(ledger.inclusion(&newest.block.txs[0].id()), Ok(Some(Height(24))));
    assert!(ledger.past(0).expect("read").is_some(), "the history stays");
    drop(ledger);
    // There is room for more than the snapshots need.
    let ledger = open(dir.path(), &world, (5, 1 << 30));
    grow(&ledger, &world, 31);
    tend(&ledger);
    assert_eq!((heights(&ledger), ledger.first_block()), (vec![25, 30], Ok(Height(15))));
    drop(ledger);
    let archive = open(dir.path(), &world, (5, 0));
    grow(&archive, &world, 50);
    tend(&archive);
    assert_eq!(archive.first_block(), Ok(Height(15)), "what is kept forever begins here");
}

#[tokio::test(start_paused = true)]
async fn proofs_go_two_epochs_after_their_own_but_none_that_a_snapshot_needs() {
    let (world, dir) = (World::new(4), tempfile::tempdir().expect("a directory"));
    let ledger = open(dir.path(), &world, (5, 1 << 30));
    let read = |ledger: &Rocks, height| ledger.block(Height(height)).expect("read").expect("kept");
    let lacking = |ledger: &Rocks| -> Vec<u64> {
        let tip = ledger.view().tip().height.0;
        (1..=tip).filter(|height| read(ledger, *height).block.lacks_proofs()).collect()
    };
    // An epoch begins with the blocks 4, 7, 10 and 13.
    grow_proving(&ledger, &world, 9);
    tend(&ledger);
    let whole = read(&ledger, 3);
    assert_eq!((lacking(&ledger), whole.block.proofs.len()), (vec![], 1));
    grow_proving(&ledger, &world, 10);
    tend(&ledger);
    assert_eq!(lacking(&ledger), [1, 2, 3]);
    let mut without = whole.clone();
    without.block.proofs.clear();
    assert_eq!(read(&ledger, 3), without, "all else is kept");
    grow_proving(&ledger, &world, 14);
    tend(&ledger);
    assert_eq!((heights(&ledger), lacking(&ledger)), (vec![5, 10], vec![1, 2, 3, 4]), "who restores 5 needs it whole");
    drop(ledger);
    let ledger = open(dir.path(), &world, (5, 1 << 30));
    grow_proving(&ledger, &world, 15);
    tend(&ledger);
    assert_eq!((heights(&ledger), lacking(&ledger)), (vec![10, 15], vec![1, 2, 3, 4, 5, 6]));
    drop(ledger);
    let archive = open(dir.path(), &world, (5, 0));
    grow_proving(&archive, &world, 30);
    tend(&archive);
    assert_eq!(lacking(&archive), [1, 2, 3, 4, 5, 6], "without a bound nothing more goes");
}

#[test]
fn a_ledger_is_read_while_it_is_open_and_when_it_is_not() {
    let (world, dir) = (World::new(4), tempfile::tempdir().expect("a directory"));
    let ledger = open(dir.path(), &world, (0, 1 << 30));
    let node = ledger.view().providers()[1].node;
    let read = |height: u64| {
        let stored = Stored::read(dir.path(), node).expect("readable").expect("a provider");
        assert_eq!((stored.height, stored.slots.len()), (Height(height), 0));
        stored.provider
    };
    assert_eq!(read(0), ledger.view().provider(&node).expect("a provider"));
    for height in [1, 2, 30] {
        grow(&ledger, &world, height);
        read(height);
    }
    assert!(Stored::read(dir.path(), NodeId::new([9; 32])).expect("readable").is_none());
    drop(ledger);
    read(30);
    let ledger = open(dir.path(), &world, (0, 1 << 30));
    ledger.db.put_cf(ledger.family(META), b"format", codec::encode(&(FORMAT + 1))).expect("written");
    let other = Stored::read(dir.path(), node);
    assert!(matches!(other, Err(OpenLedgerError::Format { .. })), "{other:?}");
    let none = Stored::read(&dir.path().join("none"), node);
    assert!(matches!(none, Err(OpenLedgerError::Database { .. })), "{none:?}");
    assert!(!dir.path().join("none").exists());
}
