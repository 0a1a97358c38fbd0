//! That what the ledger costs does not grow with the network: the block that begins an epoch, a commit and a draw, with
//! few providers and slots, and with many of both; the block that begins an epoch, with up to a million commitments;
//! and the blocks in which all of those end, in one epoch.
//!
//! Blocks are judged as a validator does before it votes, over records in memory, on one thread. The block that begins
//! an epoch ends eight commitments. At the end come two tables: each operation in each network, and the most that one
//! of them costs as a multiple of the least. A time there is the one that a tenth of the runs kept below, so that what
//! else the machine does counts little; of blocks in which all ends, the one that a twentieth exceeded. While all ends,
//! the providers prove what they stored, and nothing may be held against them afterwards.
//!
//! A million commitments take some ten gigabytes of memory.

use std::{
    collections::BTreeMap,
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::Criterion;
use ostrakon_benches::{
    network::{DrawBasis, Network, Size},
    table::{aligned, number},
};
use ostrakon_proto::{
    codec,
    id::Epoch,
    ledger::tx::Block,
    params::Code,
    placement::{self, RosterTree},
};
use ostrakon_tests::process::say;

/// That of the node: what others cost depends on what was allocated before.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Providers and slots of each network.
const SIZES: [(u32, u32); 4] = [(100, 1_000), (100, 1_000_000), (100_000, 1_000), (100_000, 1_000_000)];
const CODES: [Code; 2] = [Code { k: 4, n: 12 }, Code { k: 20, n: 50 }];
/// Different commits and draws that are measured in turn.
const TURNS: u32 = 16;
/// The most that an operation may cost, as a multiple of what it costs where it costs least.
const RATIO: f64 = 3.0;
/// Numbers of commitments, of the code with the fewest columns, on as many providers.
const COMMITMENTS: [u32; 3] = [1_000, 100_000, 1_000_000];
const FEW: (u32, Code) = (12, Code { k: 1, n: 3 });
/// The most that the block may cost in which an epoch begins.
const TURN_RATIO: f64 = 1.3;
/// The most that a block may cost in which commitments end, of as many as it may end.
const ENDING_RATIO: f64 = 1.5;

/// What each operation took, in each network of a table.
type Times = BTreeMap<String, BTreeMap<usize, Vec<Duration>>>;

fn main() {
    let criterion = Criterion::default().warm_up_time(Duration::from_millis(500));
    let mut criterion = criterion.measurement_time(Duration::from_secs(2)).sample_size(20).configure_from_args();
    let tables = [by_size(&mut criterion), by_commitments(&mut criterion)];
    criterion.final_summary();
    say(&tables.join("\n\n"));
}

/// What is measured with few providers and slots, and with many.
fn by_size(criterion: &mut Criterion) -> String {
    let mut times = Times::new();
    for (column, (providers, slots)) in SIZES.into_iter().enumerate() {
        let network = Network::new(providers, slots);
        let size = format!("providers={providers}/slots={slots}");
        let mut bench = Bench { criterion, times: &mut times, column, size };
        let turn = network.turn();
        bench.measure("boundary", || network.judge(&turn));
        for code in CODES {
            let blocks: Vec<Block> = (0..TURNS).map(|number| network.next(network.commit(number, code))).collect();
            let mut turns = blocks.iter().cycle();
            bench.measure(&format!("commit/n={}", code.n), || turns.next().map(|block| network.judge(block)));
            let draws: Vec<DrawBasis> = (0..TURNS).map(|number| network.draw(number, code)).collect();
            let mut turns = draws.iter().cycle();
            bench.measure(&format!("draw/n={}", code.n), || turns.next().map(|basis| draw(basis, code)));
        }
    }
    let sizes = SIZES.map(|(providers, slots)| format!("{providers}, {slots}"));
    let rows = times.iter().filter_map(|(operation, times)| row(operation, (times, sizes.len()), (10, RATIO)));
    table("us, by providers and slots", &sizes, rows.collect())
}

/// What is measured with up to a million commitments.
fn by_commitments(criterion: &mut Criterion) -> String {
    let (mut times, (providers, code)) = (Times::new(), FEW);
    let mut ending: BTreeMap<usize, Vec<Duration>> = BTreeMap::new();
    for (column, commitments) in COMMITMENTS.into_iter().enumerate() {
        let mut network = Network::of(&Size { providers, commitments, code, end: Epoch(2) });
        let turn = network.turn();
        let mut bench = Bench { criterion, times: &mut times, column, size: format!("commitments={commitments}") };
        bench.measure("turn", || network.judge(&turn));
        network.live_epoch(|_, _| {});
        let mut blocks = Vec::new();
        network.live_epoch(|before, block| {
            let since = Instant::now();
            black_box(before.judge(block));
            blocks.push(since.elapsed());
        });
        network.live_epoch(|_, _| {});
        network.check_honest();
        // The last of them ends what is left; where there are few, no block is full.
        blocks.pop();
        ending.insert(column, if blocks.len() > 20 { blocks } else { Vec::new() });
    }
    let columns = COMMITMENTS.map(|commitments| commitments.to_string());
    let turns = times.iter().filter_map(|(operation, times)| row(operation, (times, columns.len()), (10, TURN_RATIO)));
    let ending = row("ending, 95 %", (&ending, columns.len()), (95, ENDING_RATIO));
    table("us, by commitments", &columns, turns.chain(ending).collect())
}

/// A draw as a node shows it and a client verifies it; returns how many are drawn.
fn draw(basis: &DrawBasis, code: Code) -> usize {
    let shown = placement::shown(&basis.roster, &basis.record.roster, &basis.seed, (code, &basis.caps));
    let proof = codec::encode(&shown);
    let shown: RosterTree = codec::decode(&proof, proof.len()).expect("canonical");
    assert_eq!(shown.root(), basis.record.roster.root);
    placement::draw(&shown, &basis.seed, code, &basis.caps).expect("all is shown").len()
}

struct Bench<'a> {
    criterion: &'a mut Criterion,
    times: &'a mut Times,
    /// The network's column in the table.
    column: usize,
    /// The network's size, as it is in the names of benchmarks.
    size: String,
}

impl Bench<'_> {
    fn measure<R>(&mut self, operation: &str, mut run: impl FnMut() -> R) {
        let times = self.times.entry(operation.to_owned()).or_default().entry(self.column).or_default();
        let id = format!("bounds::{operation}/{}", self.size);
        self.criterion.bench_function(&id, |bench| {
            bench.iter_custom(|iterations| {
                let before = times.len();
                for _ in 0..iterations {
                    let since = Instant::now();
                    let done = black_box(run());
                    times.push(since.elapsed());
                    drop(done);
                }
                times[before..].iter().sum()
            });
        });
    }
}

/// Microseconds in each of so many networks, below which this part of a hundred runs were, and the most as a multiple
/// of the least, which may be `most_ratio`; nothing when nothing was measured.
fn row(
    operation: &str,
    (times, columns): (&BTreeMap<usize, Vec<Duration>>, usize),
    (percent, most_ratio): (usize, f64),
) -> Option<Vec<String>> {
    let micros = |times: &Vec<Duration>| {
        let mut micros: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e6).collect();
        micros.sort_by(f64::total_cmp);
        micros.get(micros.len() * percent / 100).copied()
    };
    let each: Vec<Option<f64>> = (0..columns).map(|column| times.get(&column).and_then(micros)).collect();
    let (least, most) = each
        .iter()
        .flatten()
        .fold((f64::MAX, 0.0_f64), |(least, most), micros| (least.min(*micros), most.max(*micros)));
    let ratio = most / least;
    let word = if ratio <= most_ratio { "ok" } else { "NOT" };
    let cells = each.into_iter().map(|micros| number(micros, 0));
    let cells = [operation.to_owned()].into_iter().chain(cells);
    (most > 0.0).then(|| cells.chain([number(Some(ratio), 2), number(Some(most_ratio), 1), word.to_owned()]).collect())
}

fn table(what: &str, columns: &[String], rows: Vec<Vec<String>>) -> String {
    let columns = columns.iter().map(String::as_str);
    let head = [what].into_iter().chain(columns).chain(["ratio", "most", ""]);
    aligned(&head.collect::<Vec<_>>(), rows)
}
