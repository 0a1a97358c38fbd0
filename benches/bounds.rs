//! That what the ledger costs does not grow with the network: the block that begins an epoch, a commit and a draw, with
//! few providers and slots, and with many of both.
//!
//! Blocks are judged as a validator does before it votes, over records in memory, on one thread. The block that begins
//! an epoch ends the commitments of 96 slots. At the end comes a table: each operation in each network, and the most
//! that one of them costs as a multiple of the least. A time there is the one that a tenth of the runs kept below, so
//! that what else the machine does counts little.

use std::{
    collections::BTreeMap,
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::Criterion;
use ostrakon_benches::{
    network::{DrawBasis, Network},
    table::{aligned, number},
};
use ostrakon_proto::{
    codec,
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

/// What each operation took, in each network.
type Times = BTreeMap<String, BTreeMap<(u32, u32), Vec<Duration>>>;

fn main() {
    let criterion = Criterion::default().warm_up_time(Duration::from_millis(500));
    let mut criterion = criterion.measurement_time(Duration::from_secs(2)).sample_size(20).configure_from_args();
    let mut times = Times::new();
    for (providers, slots) in SIZES {
        let network = Network::new(providers, slots);
        let mut bench = Bench { criterion: &mut criterion, times: &mut times, size: (providers, slots) };
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
    criterion.final_summary();
    say(&table(&times));
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
    size: (u32, u32),
}

impl Bench<'_> {
    fn measure<R>(&mut self, operation: &str, mut run: impl FnMut() -> R) {
        let (providers, slots) = self.size;
        let times = self.times.entry(operation.to_owned()).or_default().entry(self.size).or_default();
        let id = format!("bounds::{operation}/providers={providers}/slots={slots}");
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

/// Microseconds of each.
fn table(times: &Times) -> String {
    let micros = |times: &Vec<Duration>| {
        let mut micros: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e6).collect();
        micros.sort_by(f64::total_cmp);
        micros.get(micros.len() / 10).copied()
    };
    let row = |(operation, sizes): (&String, &BTreeMap<(u32, u32), Vec<Duration>>)| {
        let each = SIZES.map(|size| sizes.get(&size).and_then(micros));
        let (least, most) = each
            .iter()
            .flatten()
            .fold((f64::MAX, 0.0_f64), |(least, most), micros| (least.min(*micros), most.max(*micros)));
        let ratio = most / least;
        let word = if ratio <= RATIO { "ok" } else { "NOT" };
        let cells = each.map(|micros| number(micros, 0)).into_iter();
        let cells = [operation.clone()].into_iter().chain(cells).chain([number(Some(ratio), 2), word.to_owned()]);
        (most > 0.0).then(|| cells.collect())
    };
    let sizes = SIZES.map(|(providers, slots)| format!("{providers}, {slots}"));
    let head = ["us, by providers and slots"].into_iter().chain(sizes.iter().map(String::as_str)).chain(["ratio", ""]);
    aligned(&head.collect::<Vec<_>>(), times.iter().filter_map(row).collect())
}
