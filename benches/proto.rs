//! What the agreement costs: sealing, coding, hashing, proving, and drawing holders.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use ostrakon_benches::{CODES, Row, draw_seed, noise, roster};
use ostrakon_proto::{
    limits::{CHUNK, GROUP, LEAF, PIECE, SEGMENT},
    params::Code,
    placement, row,
    seal::{ObjectKey, PieceId},
    tree::{self, TreeBuilder},
};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    seal(&mut criterion);
    rows(&mut criterion);
    trees(&mut criterion);
    draws(&mut criterion);
    criterion.final_summary();
}

fn bytes(count: usize) -> Throughput {
    Throughput::Bytes(u64::try_from(count).expect("small"))
}

fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seal");
    let sealer = ObjectKey::from_bytes([7; 32]).sealer();
    let piece = PieceId { extent: 0, counter: 0, last: false };
    let plain = noise(SEGMENT);
    let mut sealed = plain.clone();
    sealer.seal(piece, &mut sealed);
    group.throughput(bytes(PIECE));
    let mut buffer = plain;
    group.bench_function("seal::seal/bytes=65520", |bench| bench.iter(|| sealer.seal(piece, black_box(&mut buffer))));
    group.bench_function("seal::open/bytes=65520", |bench| {
        let open = |mut buffer: Vec<u8>| sealer.open(piece, &mut buffer).expect("it was sealed so");
        bench.iter_batched(|| sealed.clone(), open, BatchSize::SmallInput);
    });
}

fn rows(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("row");
    for code in CODES {
        let Code { k, n } = code;
        let input = Row::new(code);
        let missing = input.worst_loss();
        group.throughput(bytes(input.plain.len()));
        group.bench_function(format!("row::encode/code={k},{n}"), |bench| {
            bench.iter(|| row::encode(&input.layout, input.id, black_box(&input.plain), None));
        });
        group.bench_function(format!("row::decode/code={k},{n}/lost=worst"), |bench| {
            bench.iter(|| row::decode(&input.layout, input.id, black_box(&missing), None));
        });
        group.bench_function(format!("row::reconstruct/code={k},{n}/lost=worst"), |bench| {
            bench.iter(|| row::reconstruct(&input.layout, input.id, black_box(&missing)));
        });
    }
}

fn trees(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tree");
    let column = noise(16 * CHUNK);
    let build = || {
        let mut builder = TreeBuilder::new();
        column.chunks(CHUNK).for_each(|chunk| builder.update(chunk));
        builder.finish()
    };
    group.throughput(bytes(column.len()));
    group.bench_function("tree::build/mib=4", |bench| bench.iter(build));

    let (id, outboard) = build();
    let (length, leaf) = (outboard.column_len(), 1_000_usize);
    let number = u64::try_from(leaf).expect("small");
    let start = leaf * LEAF / GROUP * GROUP;
    let group_bytes = &column[start..start + GROUP];
    let prove = || tree::prove_leaf(black_box(group_bytes), &outboard, number).expect("the leaf is there");
    let proof = prove();
    let data = &column[leaf * LEAF..(leaf + 1) * LEAF];
    group.throughput(Throughput::Elements(1));
    group.bench_function("tree::prove_leaf/mib=4", |bench| bench.iter(prove));
    group.bench_function("tree::verify_leaf/mib=4", |bench| {
        bench.iter(|| tree::verify_leaf(&id, length, number, black_box(data), &proof).expect("the proof holds"));
    });
}

fn draws(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("placement");
    for providers in [1_000, 100_000] {
        let roster = roster(providers);
        let mut nonce = 0;
        group.bench_function(format!("placement::draw/code=20,50/providers={providers}"), |bench| {
            bench.iter(|| {
                nonce += 1;
                placement::draw(&roster, &draw_seed(nonce), Code { k: 20, n: 50 }, 3).map(|order| order.len())
            });
        });
    }
}
