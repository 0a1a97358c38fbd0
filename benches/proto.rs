//! What the agreement costs: sealing, coding, hashing, proving, and drawing holders.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use ostrakon_benches::{CODES, Row, count, draw_seed, noise, roster};
use ostrakon_proto::{
    codec,
    ledger::tree as state_tree,
    limits::{CHUNK, GROUP, LEAF, PIECE, SEGMENT},
    params::Code,
    placement::{self, Caps, RosterTree},
    row,
    seal::{ObjectKey, PieceId, Sealer},
    tree::{self, TreeBuilder},
};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    seal(&mut criterion);
    for code in CODES {
        encode(&mut criterion, code);
        decode(&mut criterion, code);
    }
    hash(&mut criterion);
    prove(&mut criterion);
    for records in [100_000, 1_000_000] {
        state(&mut criterion, records);
    }
    draw(&mut criterion);
    criterion.final_summary();
}

fn bytes(bytes: usize) -> Throughput {
    Throughput::Bytes(count(bytes))
}

fn seal(criterion: &mut Criterion) {
    let sealer = ObjectKey::from_bytes([7; 32]).sealer();
    let piece = PieceId { extent: 0, counter: 0, last: false };
    let mut buffer = noise(SEGMENT);
    let mut sealed = buffer.clone();
    sealer.seal(piece, &mut sealed);
    let id = format!("bytes={PIECE}");

    let mut group = criterion.benchmark_group("seal::seal");
    group.throughput(bytes(PIECE));
    group.bench_function(&id, |bench| bench.iter(|| sealer.seal(piece, black_box(&mut buffer))));
    group.finish();

    let mut group = criterion.benchmark_group("seal::open");
    group.throughput(bytes(PIECE));
    group.bench_function(&id, |bench| {
        let open = |mut buffer: Vec<u8>| sealer.open(piece, &mut buffer).expect("it was sealed so");
        bench.iter_batched(|| sealed.clone(), open, BatchSize::SmallInput);
    });
    group.finish();
}

/// Plaintext to chunks: as it is, and sealed on the way.
fn encode(criterion: &mut Criterion, code: Code) {
    let mut group = criterion.benchmark_group("row::encode");
    for sealer in sealers() {
        let input = Row::new(code, sealer.as_ref());
        group.throughput(bytes(input.plain.len()));
        group.bench_function(format!("{}{}", key(code), protection(sealer.as_ref())), |bench| {
            bench.iter(|| row::encode(&input.layout, input.id, black_box(&input.plain), sealer.as_ref()));
        });
    }
    group.finish();
}

/// Chunks to plaintext: with all data columns there, and with as many of them missing as the code can lose.
fn decode(criterion: &mut Criterion, code: Code) {
    let mut group = criterion.benchmark_group("row::decode");
    for sealer in sealers() {
        let input = Row::new(code, sealer.as_ref());
        group.throughput(bytes(input.plain.len()));
        let losses: [(&str, Vec<Option<Bytes>>); 2] = [("none", input.no_loss()), ("worst", input.worst_loss())];
        for (lost, chunks) in &losses {
            let id = format!("{}/lost={lost}{}", key(code), protection(sealer.as_ref()));
            group.bench_function(id, |bench| {
                bench.iter(|| row::decode(&input.layout, input.id, black_box(chunks), sealer.as_ref()));
            });
        }
    }
    group.finish();

    let mut group = criterion.benchmark_group("row::reconstruct");
    let input = Row::new(code, None);
    let missing = input.worst_loss();
    group.throughput(bytes(input.plain.len()));
    group.bench_function(format!("{}/lost=worst", key(code)), |bench| {
        bench.iter(|| row::reconstruct(&input.layout, input.id, black_box(&missing)));
    });
    group.finish();
}

fn sealers() -> [Option<Sealer>; 2] {
    [None, Some(ObjectKey::from_bytes([7; 32]).sealer())]
}

/// The code as a part of a name, in which `/` parts keys.
fn key(Code { k, n }: Code) -> String {
    format!("code={k},{n}")
}

fn protection(sealer: Option<&Sealer>) -> &'static str {
    if sealer.is_some() { "/sealed=yes" } else { "/sealed=no" }
}

/// What a holder hashes while a column arrives, and a reader for every range that it gets.
fn hash(criterion: &mut Criterion) {
    let column = noise(16 * CHUNK);
    let build = || {
        let mut builder = TreeBuilder::new();
        column.chunks(CHUNK).for_each(|chunk| builder.update(chunk));
        builder.finish()
    };
    let mut group = criterion.benchmark_group("tree::build");
    group.throughput(bytes(column.len()));
    group.bench_function("mib=4", |bench| bench.iter(build));
    group.finish();

    let (id, outboard) = build();
    let length = outboard.column_len();
    let mut group = criterion.benchmark_group("tree::chunk_node");
    group.throughput(bytes(CHUNK));
    group.bench_function("kib=256", |bench| {
        bench.iter(|| tree::chunk_node(length, count(CHUNK), black_box(&column[CHUNK..2 * CHUNK])));
    });
    group.finish();

    let asked = tree::Range { start: count(CHUNK), length: u32::try_from(CHUNK).expect("a chunk is small") };
    let siblings = tree::prove_range(&outboard, asked).expect("the range is there");
    let mut group = criterion.benchmark_group("tree::verify_range");
    group.throughput(bytes(CHUNK));
    group.bench_function("kib=256", |bench| {
        let data = &column[CHUNK..2 * CHUNK];
        bench.iter(|| tree::verify_range(&id, length, asked, black_box(data), &siblings).expect("the proof holds"));
    });
    group.finish();
}

/// What an audit costs both sides.
fn prove(criterion: &mut Criterion) {
    let column = noise(16 * CHUNK);
    let mut builder = TreeBuilder::new();
    builder.update(&column);
    let (id, outboard) = builder.finish();
    let (length, leaf) = (outboard.column_len(), 1_000);
    let start = leaf * LEAF / GROUP * GROUP;
    let group_bytes = &column[start..start + GROUP];
    let above = tree::prove_range(&outboard, tree::group_of_leaf(count(leaf))).expect("the group is there");
    let prove = || tree::prove_leaf(length, count(leaf), black_box(group_bytes), &above).expect("the leaf is there");
    let proof = prove();
    let data = &column[leaf * LEAF..(leaf + 1) * LEAF];
    criterion.bench_function("tree::prove_leaf/mib=4", |bench| bench.iter(prove));
    criterion.bench_function("tree::verify_leaf/mib=4", |bench| {
        let verify = || tree::verify_leaf(&id, length, count(leaf), black_box(data), &proof);
        bench.iter(|| verify().expect("the proof holds"));
    });
}

/// What a block costs the state tree, and what a proof of one record costs both sides.
fn state(criterion: &mut Criterion, records: u64) {
    let mut nodes = state_tree::MemoryNodes::default();
    let all = (0..records).map(|key| (key.to_be_bytes(), Some([0; 100])));
    nodes.apply(&state_tree::update(&nodes, None, 0, all).expect("there is no parent"));

    let mut group = criterion.benchmark_group("state_tree::update");
    for changes in [200, 2_000, 10_000] {
        let step = records / changes;
        let leaves: Vec<_> = (0..changes).map(|at| ((at * step).to_be_bytes(), Some([1; 100]))).collect();
        group.throughput(Throughput::Elements(changes));
        group.bench_function(format!("records={records}/changes={changes}"), |bench| {
            bench.iter(|| {
                let leaves = leaves.iter().map(|(key, value)| (key, value.as_ref()));
                state_tree::update(&nodes, Some(0), 1, leaves).expect("the parent is there")
            });
        });
    }
    group.finish();

    let (key, value) = ((records / 2).to_be_bytes(), [0; 100]);
    let root = state_tree::update(&nodes, Some(0), 1, [(key, Some(value))]).expect("the parent is there").root;
    let prove = || state_tree::prove(&nodes, 0, black_box(&key)).expect("the version is there");
    let proof = prove();
    let size = codec::encode(&proof).len();
    criterion.bench_function(&format!("state_tree::prove/records={records}/bytes={size}"), |bench| bench.iter(prove));
    criterion.bench_function(&format!("state_tree::verify/records={records}"), |bench| {
        bench.iter(|| proof.verify(&root, black_box(&key), Some(&value)).expect("the proof holds"));
    });
}

fn draw(criterion: &mut Criterion) {
    for providers in [1_000, 100_000] {
        let (roster, code) = (roster(providers), Code { k: 20, n: 50 });
        let (summary, mut nonce) = (roster.summary(), 0);
        let caps = Caps::of(&summary, code, 3).expect("the network carries the code");
        let id = format!("code=20,50/providers={providers}");
        criterion.bench_function(&format!("placement::draw/{id}"), |bench| {
            bench.iter(|| {
                nonce += 1;
                placement::draw(roster.tree(), &draw_seed(nonce), code, &caps).map(|order| order.len())
            });
        });
        let proof = codec::encode(&placement::prove_draw(roster.tree(), &draw_seed(1), code, &caps));
        criterion.bench_function(&format!("placement::verify_draw/{id}/bytes={}", proof.len()), |bench| {
            bench.iter(|| {
                let shown: RosterTree = codec::decode(black_box(&proof), proof.len()).expect("canonical");
                assert_eq!(shown.root(), summary.root);
                placement::draw(&shown, &draw_seed(1), code, &caps).map(|order| order.len())
            });
        });
    }
}
