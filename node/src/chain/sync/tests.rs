//! A node with an empty disk among peers of every kind: honest, lying, forgetful and dead.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use borsh::BorshDeserialize;
use ostrakon_net::{Inbound, Requests, Workers};
use ostrakon_proto::{
    codec,
    id::{AccountId, Amount, Height},
    ledger::{GenesisAccount, history, snapshot::SnapshotChunk, tx::DecidedBlock},
    limits,
    wire::{
        Frame, Refusal, RefusalCode,
        chain::{ChainRequest, ChainResponse},
    },
};
use tokio::task::JoinHandle;

use super::*;
use crate::{
    chain::{
        ChainParts,
        rocks::{Pruning, Rocks},
        store::LedgerStore,
        tests::{grow_proving, next_block, transfer},
    },
    ledger_room::LedgerRoom,
    metrics::ChainMetrics,
    world::{World, node_id},
};

/// What a peer does with its chunk of this number before it sends it, if it does.
type Tamper = fn(usize, Vec<u8>) -> Option<Vec<u8>>;

fn honest(_: usize, chunk: Vec<u8>) -> Option<Vec<u8>> {
    Some(chunk)
}

/// Flips a bit of what is in the middle, from the second chunk on.
fn liar(number: usize, mut chunk: Vec<u8>) -> Option<Vec<u8>> {
    let middle = chunk.len() / 2;
    chunk[middle] ^= u8::from(number > 0);
    Some(chunk)
}

/// Sends one chunk and no more.
fn dying(number: usize, chunk: Vec<u8>) -> Option<Vec<u8>> {
    (number == 0).then_some(chunk)
}

/// Leaves a record out.
fn thief(_: usize, chunk: Vec<u8>) -> Option<Vec<u8>> {
    let mut rest = chunk.as_slice();
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = BorshDeserialize::deserialize(&mut rest).expect("its own chunk");
    records.remove(7);
    let chunk = [&codec::encode(&records), rest].concat();
    assert!(codec::decode::<SnapshotChunk>(&chunk, limits::CHAIN_BODY).is_ok(), "it is well formed");
    Some(chunk)
}

struct Peer {
    chunks: Arc<AtomicUsize>,
    _task: JoinHandle<()>,
}

/// Answers chain/1 from a ledger.
fn peer(world: &World, number: usize, ledger: &Arc<Rocks>, tamper: Tamper) -> Peer {
    let (_, inbound) = world.net.join(node_id(number));
    let (chunks, ledger) = (Arc::new(AtomicUsize::new(0)), Arc::clone(ledger));
    let counted = Arc::clone(&chunks);
    Peer { chunks, _task: tokio::spawn(async move { serve(inbound, &ledger, tamper, &counted).await }) }
}

async fn serve(inbound: Requests, ledger: &Rocks, tamper: Tamper, asked: &AtomicUsize) {
    while let Some(Inbound { request, reply, .. }) = inbound.next_of_any().await {
        let refuse = |code| Err(Refusal::new(code, "no"));
        let answer = match request.decode().expect("canonical") {
            ChainRequest::Head => Ok((ChainResponse::Head(crate::chain::head_of(&*ledger.view())), Vec::new())),
            ChainRequest::Snapshots => Ok((ChainResponse::Hints, codec::encode(&ledger.snapshots()))),
            ChainRequest::Chunk { height, after } => match ledger.chunk(height, after).expect("read") {
                Some(chunk) => match tamper(asked.fetch_add(1, Ordering::Relaxed), codec::encode(&chunk)) {
                    Some(chunk) => Ok((ChainResponse::Chunk, chunk)),
                    None => refuse(RefusalCode::Busy),
                },
                None => refuse(RefusalCode::NotFound),
            },
            ChainRequest::Handovers { .. } => Ok((ChainResponse::Hints, codec::encode(&Vec::<Handover>::new()))),
            ChainRequest::Past(row) => {
                let hashes = row.read(|at| ledger.past(at).expect("read")).expect("all is here");
                match tamper(asked.fetch_add(1, Ordering::Relaxed), codec::encode(&hashes)) {
                    Some(hashes) => Ok((ChainResponse::Hints, hashes)),
                    None => refuse(RefusalCode::Busy),
                }
            }
            ChainRequest::Blocks { from } if from < ledger.first_block().expect("read") => refuse(RefusalCode::Pruned),
            ChainRequest::Blocks { from } => {
                let blocks: Vec<DecidedBlock> = ledger.block(from).expect("read").into_iter().collect();
                Ok((ChainResponse::Blocks, codec::encode(&blocks)))
            }
            _ => refuse(RefusalCode::BadRequest),
        };
        match answer {
            Ok((head, body)) => reply.send(Frame::new(&Ok::<_, Refusal>(head), body.into())),
            Err::<(_, Vec<u8>), Refusal>(refusal) => reply.refuse(&refusal),
        }
    }
}

/// The budget of a ledger of which only that stays that its snapshots need.
const TIGHT: u64 = 1;

/// A network of four whose state is of several parts, and the ledger of its validator at height 12.
fn old(dir: &Path) -> (World, Arc<Rocks>) {
    old_with(dir, TIGHT)
}

fn old_with(dir: &Path, budget: u64) -> (World, Arc<Rocks>) {
    let mut world = World::new(4);
    let account = |number: u32| {
        let bytes = blake3::hash(&number.to_le_bytes());
        GenesisAccount { account: AccountId::new(*bytes.as_bytes()), balance: Amount(u64::from(number)) }
    };
    world.genesis.accounts.extend((0..80_000).map(account));
    let dir = dir.join("old");
    let pruning = Pruning { snapshot_interval_blocks: 5, room: Arc::new(LedgerRoom::new(vec![dir.clone()], budget)) };
    let ledger = Rocks::open(&dir, &world.genesis).and_then(|rocks| rocks.with_pruning(pruning)).expect("opens");
    for nonce in 0..12 {
        let (decided, changes) = next_block(&ledger, &world.genesis, vec![transfer(&world, nonce, 50)]);
        ledger.commit(&decided, &changes).expect("committed");
    }
    while ledger.tend().expect("the disk is well") {}
    (world, Arc::new(ledger))
}

/// The task of a node with this directory, which is number 3 of the network.
async fn newcomer(world: &World, dir: &Path, lead_blocks: u64) -> (Chain, SnapshotSync) {
    let dirs = LedgerDirs::new(dir);
    dirs.settle().expect("the disk is well");
    let ledger = Arc::new(Rocks::open(&dirs.chain(), &world.genesis).expect("opens"));
    let (peers, _inbound) = world.net.join(node_id(3));
    let (id, metrics) = (world.genesis.id(), ChainMetrics::default());
    let chain = Chain::open(ChainParts { id, ledger, workers: Workers::inline(), peers, metrics }).await;
    let sync = SnapshotSync::new(chain.clone(), world.genesis.clone(), Vec::new(), SyncSettings { dirs, lead_blocks });
    (chain, sync)
}

fn tip(world: &World, dir: &Path) -> ostrakon_proto::ledger::state::Tip {
    assert!(LedgerDirs::new(dir).settle().expect("the disk is well"), "a ledger is ready");
    Rocks::open(&dir.join("chain"), &world.genesis).expect("opens").view().tip()
}

#[tokio::test(start_paused = true)]
async fn an_empty_node_takes_the_newest_snapshot_from_all_who_have_it() {
    let (old_dir, dir) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let (world, ledger) = old(old_dir.path());
    let peers = [0, 1].map(|number| peer(&world, number, &ledger, honest));
    let (chain, sync) = newcomer(&world, dir.path(), 9).await;
    assert!(matches!(sync.run(CancellationToken::new()).await, Err(SyncError::Restored)));
    drop(chain);
    let restored = tip(&world, dir.path());
    let header = ledger.block(Height(10)).expect("read").expect("kept").block.header;
    assert_eq!((restored.height, restored.block, restored.state), (Height(10), header.id(), header.state));
    assert!(peers.iter().all(|peer| peer.chunks.load(Ordering::Relaxed) > 1), "each sent some");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_not_far_ahead_is_not_fetched_until_blocks_are_pruned() {
    let (old_dir, dir) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let (world, ledger) = old(old_dir.path());
    let _peer = peer(&world, 0, &ledger, honest);
    let (chain, sync) = newcomer(&world, dir.path(), 10).await;
    let mut task = tokio::spawn(sync.run(CancellationToken::new()));
    let waited = tokio::time::timeout(Duration::from_secs(600), &mut task).await;
    assert!(waited.is_err(), "ten blocks ahead is not more than ten");
    // The follower asks for block 1, which is not kept.
    follows_until_restored(&chain, task).await;
    drop(chain);
    assert_eq!(tip(&world, dir.path()).height, Height(10));
}

/// Follows others until a snapshot is restored.
async fn follows_until_restored(chain: &Chain, syncing: JoinHandle<Result<(), SyncError>>) {
    let stop = CancellationToken::new();
    let follow = crate::chain::follow::BlockFollower::new(chain.clone(), Vec::new(), CancellationToken::new());
    let following = tokio::spawn(follow.run(stop.clone()));
    assert!(matches!(syncing.await.expect("no panic"), Err(SyncError::Restored)));
    stop.cancel();
    following.await.expect("no panic").expect("the disk is well");
}

/// A network of four, and the ledger of its validator at height 12, which has dropped the proofs of its first blocks.
fn without_proofs(dir: &Path) -> (World, Arc<Rocks>) {
    let (world, room) = (World::new(4), LedgerRoom::new(vec![dir.to_owned()], 1 << 30));
    let pruning = Pruning { snapshot_interval_blocks: 5, room: Arc::new(room) };
    let ledger = Rocks::open(dir, &world.genesis).and_then(|rocks| rocks.with_pruning(pruning));
    let ledger = Arc::new(ledger.expect("opens"));
    grow_proving(&*ledger, &world, 12);
    while ledger.tend().expect("the disk is well") {}
    assert!(ledger.block(Height(1)).expect("read").is_some_and(|decided| decided.block.lacks_proofs()));
    (world, ledger)
}

#[tokio::test(start_paused = true)]
async fn blocks_whose_proofs_are_dropped_ask_for_a_snapshot() {
    let (old_dir, dir) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let (world, ledger) = without_proofs(old_dir.path());
    let _peer = peer(&world, 0, &ledger, honest);
    let (chain, sync) = newcomer(&world, dir.path(), 100).await;
    follows_until_restored(&chain, tokio::spawn(sync.run(CancellationToken::new()))).await;
    assert_eq!(chain.head().height, Height(0), "nothing was executed");
    drop(chain);
    assert_eq!(tip(&world, dir.path()).height, Height(10));
}

#[tokio::test(start_paused = true)]
async fn a_lone_validator_signs_nothing_where_it_lacks_blocks_that_it_decided() {
    let (old_dir, dir) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let (world, ledger) = without_proofs(old_dir.path());
    let _peer = peer(&world, 0, &ledger, honest);
    let (chain, sync) = newcomer(&world, dir.path(), 100).await;
    let task = tokio::spawn(sync.run(CancellationToken::new()));
    let others = [node_id(0)];
    tokio::select! {
        biased;
        caught_up = crate::chain::follow::catch_up(&chain, &others) => panic!("it would sign: {caught_up:?}"),
        restored = task => assert!(matches!(restored.expect("no panic"), Err(SyncError::Restored))),
    }
    drop(chain);
    assert_eq!(tip(&world, dir.path()).height, Height(10));
}

#[tokio::test(start_paused = true)]
async fn who_lies_is_not_asked_again_and_who_dies_is_replaced() {
    let (old_dir, dir) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let (world, ledger) = old(old_dir.path());
    let tampers: [Tamper; 3] = [liar, thief, dying];
    let honest_peer = 0;
    for tamper in tampers {
        let dir = dir.path().join(format!("{:p}", tamper));
        std::fs::create_dir(&dir).expect("made");
        let good = peer(&world, honest_peer, &ledger, honest);
        let bad = peer(&world, 1, &ledger, tamper);
        let (chain, sync) = newcomer(&world, &dir, 9).await;
        assert!(matches!(sync.run(CancellationToken::new()).await, Err(SyncError::Restored)));
        drop(chain);
        assert_eq!(tip(&world, &dir).height, Height(10));
        let [good, bad] = [good, bad].map(|peer| peer.chunks.load(Ordering::Relaxed));
        assert!(good > 2 && (1..=13).contains(&bad), "{good} {bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_liars_alone_nothing_is_taken_and_an_honest_one_ends_it() {
    let (old_dir, dir) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let (world, ledger) = old(old_dir.path());
    let _liars = [0, 1].map(|number| peer(&world, number, &ledger, liar));
    let (chain, sync) = newcomer(&world, dir.path(), 9).await;
    let mut task = tokio::spawn(sync.run(CancellationToken::new()));
    let waited = tokio::time::timeout(Duration::from_secs(20), &mut task).await;
    assert!(waited.is_err(), "a lie is no state");
    let _honest = peer(&world, 2, &ledger, honest);
    assert!(matches!(task.await.expect("no panic"), Err(SyncError::Restored)));
    drop(chain);
    assert_eq!(tip(&world, dir.path()).height, Height(10));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_killed_half_way_continues_where_it_was() {
    let (old_dir, dir) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let (world, ledger) = old(old_dir.path());
    let first = peer(&world, 0, &ledger, dying);
    let (chain, sync) = newcomer(&world, dir.path(), 9).await;
    let task = tokio::spawn(sync.run(CancellationToken::new()));
    crate::world::until("a second question", async || first.chunks.load(Ordering::Relaxed) > 1).await;
    task.abort();
    assert!(task.await.is_err(), "it was killed");
    drop(chain);
    let offer = LedgerDirs::new(dir.path()).unfinished(&world.genesis).expect("some of it is kept");
    assert_eq!(offer.header.height, Height(10));
    let second = peer(&world, 0, &ledger, honest);
    let (chain, sync) = newcomer(&world, dir.path(), 9).await;
    assert!(matches!(sync.run(CancellationToken::new()).await, Err(SyncError::Restored)));
    drop(chain);
    let all = 80_000 * 82 / limits::SNAPSHOT_CHUNK;
    let asked = second.chunks.load(Ordering::Relaxed);
    assert!(asked <= all, "{asked} of {all} parts: the first is not fetched again");
    assert_eq!(tip(&world, dir.path()).height, Height(10));
}

#[tokio::test(start_paused = true)]
async fn the_past_of_a_snapshot_is_fetched_afterwards_whatever_node_lies() {
    let (old_dir, dir) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let (world, ledger) = old(old_dir.path());
    let _peer = peer(&world, 0, &ledger, honest);
    let (chain, sync) = newcomer(&world, dir.path(), 9).await;
    assert!(matches!(sync.run(CancellationToken::new()).await, Err(SyncError::Restored)));
    drop(chain);
    let _liar = peer(&world, 1, &ledger, |number, chunk| liar(number + 1, chunk));
    let (chain, _sync) = newcomer(&world, dir.path(), 9).await;
    assert_eq!(chain.head().height, Height(10));
    let prove = |chain: &Chain| {
        let past = |at| chain.shared.ledger.past(at).expect("read");
        history::prove(past, 10, Height(3))
    };
    assert_eq!(prove(&chain), None, "it began with block 10");
    assert_eq!(past::run(chain.clone(), Vec::new(), CancellationToken::new()).await, Ok(()));
    let known = |at| ledger.past(at).expect("read");
    assert_eq!(prove(&chain), history::prove(known, 10, Height(3)));
    assert!(prove(&chain).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_of_another_chain_is_refused_and_the_right_one_is_not() {
    let (old_dir, dir) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let (world, ledger) = old(old_dir.path());
    let _peer = peer(&world, 0, &ledger, honest);
    let eighth = ledger.block(Height(8)).expect("read").expect("kept").block.header;
    let wrong = Checkpoint { height: Height(8), block: eighth.parent };
    let (chain, sync) = newcomer(&world, &dir.path().join("wrong"), 1).await;
    chain.hold_to(wrong).await.expect("nothing is known yet");
    let refused = LedgerError::Checkpoint { height: Height(8), expected: eighth.parent, got: eighth.id() };
    match sync.run(CancellationToken::new()).await {
        Err(SyncError::Ledger(error)) => assert_eq!(error, refused),
        other => panic!("a snapshot of a chain without the checkpoint: {other:?}"),
    }

    let right = Checkpoint { height: Height(8), block: eighth.id() };
    let (chain, sync) = newcomer(&world, dir.path(), 1).await;
    chain.hold_to(right).await.expect("nothing is known yet");
    assert!(matches!(sync.run(CancellationToken::new()).await, Err(SyncError::Restored)));
    drop(chain);
    assert_eq!(tip(&world, dir.path()).height, Height(10));
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_has_another_block_than_the_checkpoint_stops_the_node() {
    let (old_dir, dir) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let (world, ledger) = old_with(old_dir.path(), 0);
    let _peer = peer(&world, 0, &ledger, honest);
    let block = |height| ledger.block(Height(height)).expect("read").expect("kept").block.header.id();
    let (chain, _sync) = newcomer(&world, dir.path(), 1).await;
    chain.hold_to(Checkpoint { height: Height(6), block: block(5) }).await.expect("nothing is known yet");
    let follow = crate::chain::follow::BlockFollower::new(chain.clone(), Vec::new(), CancellationToken::new());
    let refused = LedgerError::Checkpoint { height: Height(6), expected: block(5), got: block(6) };
    assert!(refused.to_string().contains("another chain"));
    assert_eq!(follow.run(CancellationToken::new()).await, Err(refused.clone()));
    assert_eq!(chain.head().height, Height(5), "what was before it is kept");
    // At the next start, too.
    let known = Checkpoint { height: Height(5), block: block(6) };
    assert!(chain.hold_to(known).await.is_err());
    assert_eq!(chain.hold_to(Checkpoint { height: Height(5), block: block(5) }).await, Ok(()));
}
