//! Buckets against a plain map, in simulated worlds: writers die at any await and others continue with the keys alone,
//! answers are lost, holders lie and lose what they have, nodes lack the newest blocks. In the end what was said must
//! be explained by one map, and nothing may be stored or paid that nothing refers to.
//!
//! Everything follows from the seed: time is virtual, and one thread does all. `OSTRAKON_SEEDS=1000` lives through that
//! many, `OSTRAKON_SEED=7` through that one. A failure names its seed.

#![expect(clippy::print_stdout, reason = "what was lived through is worth a line")]

mod end;
mod history;
mod model;
mod perform;
mod process;
mod stage;
mod trouble;
mod writer;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use futures::future::join_all;

use self::{
    model::{Object, Op},
    perform::{Answer, perform},
    stage::{BUCKET, Plan, SeededRng, Stage},
    trouble::Trouble,
    writer::{KEYS, Writer},
};
use super::{Computed, Condition, ETag};

/// Seeds of a run that is not asked for more.
const SEEDS: u64 = 32;

/// What happened in a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Report {
    operations: usize,
    /// Those without an answer.
    unanswered: usize,
    /// Processes that were started.
    processes: u64,
    /// The hash of all messages.
    trace: [u8; 32],
}

/// Lives through one seed.
fn live(seed: u64) -> Result<Report, String> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime without threads or sockets");
    let outcome = runtime.block_on(live_in(seed));
    let again = format!("OSTRAKON_SEED={seed} cargo test --release -p ostrakon --lib bucket::simulation");
    outcome.map_err(|wrong| format!("seed {seed}: {wrong}\nagain: {again}"))
}

async fn live_in(seed: u64) -> Result<Report, String> {
    let mut chance = SeededRng(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let plan = Plan::of(seed, &mut chance);
    let stage = Stage::new(plan);
    begin(&stage).await?;
    let mut forked = || SeededRng(chance.next());
    let trouble = Trouble::new(&stage, forked());
    let writers: Vec<_> =
        (0..plan.writers).zip(1..).map(|(_, number)| Writer::new(&stage, number, forked()).write()).collect();
    tokio::select! { biased;
        _ = join_all(writers) => {}
        () = trouble.make() => {}
    }
    let ended = match stage.wrong.borrow().first() {
        Some(wrong) => Err(wrong.clone()),
        None => Ok(()),
    };
    let looked = match ended {
        Ok(()) => end::look_at_all(&stage).await,
        wrong => wrong,
    };
    let later = stage.wrong.borrow().first().cloned();
    looked.and_then(|()| later.map_or(Ok(()), Err)).map_err(|wrong| format!("{wrong}\n{plan:?}"))?;
    let (operations, unanswered) = stage.history.borrow().counts();
    Ok(Report { operations, unanswered, processes: stage.processes(), trace: stage.world.network.trace_hash() })
}

/// Creates the bucket, and writes as many batches as the plan says while all is well.
async fn begin(stage: &Stage) -> Result<(), String> {
    let process = stage.process(u64::MAX);
    let bucket = process.buckets.create(BUCKET).await.map_err(|error| format!("at the start: {error}"))?;
    for number in 0..stage.plan.batches {
        let key = KEYS[usize::try_from(number * 5).expect("few") % KEYS.len()].to_owned();
        let body = format!("batch {number}").into_bytes();
        let etag = ETag::Whole(Computed::of(&body, &[]).md5).to_string();
        stage.bodies.borrow_mut().insert(etag.clone(), body.into());
        let condition = Condition::None;
        let op = match number % 4 {
            3 => Op::Delete { key, condition },
            _ => Op::Put { key, object: Object { etag, tag: None }, condition },
        };
        let expected = stage.history.borrow_mut().first.apply(&op);
        match perform(stage, &bucket, &op).await {
            Answer::Said(said) if said == expected => {}
            other => return Err(format!("batch {number}: {op:?} -> {other:?}, not {expected:?}")),
        }
    }
    Ok(())
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// Lives through these seeds on all processors.
fn live_all(seeds: std::ops::Range<u64>) -> Vec<Result<Report, String>> {
    let next = AtomicU64::new(seeds.start);
    let lives = || {
        let mine = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds.end));
        mine.map(live).collect::<Vec<_>>()
    };
    let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..processors).map(|_| scope.spawn(lives)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a seed does not panic")).collect()
    })
}

#[test]
fn a_bucket_is_a_map_whatever_breaks() {
    if std::env::var_os("OSTRAKON_LOG").is_some() {
        let level = tracing::Level::DEBUG;
        tracing_subscriber::fmt().with_max_level(level).without_time().with_ansi(false).init();
    }
    let only = number("OSTRAKON_SEED").map(|seed| seed..seed + 1);
    let all = live_all(only.clone().unwrap_or(0..number("OSTRAKON_SEEDS").unwrap_or(SEEDS)));
    let failures: Vec<&String> = all.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    let first: Vec<&String> = failures.iter().copied().take(8).collect();
    assert!(failures.is_empty(), "{} of {} seeds: {}", failures.len(), all.len(), join(&first));
    let reports: Vec<&Report> = all.iter().flatten().collect();
    let sum = |of: fn(&Report) -> usize| reports.iter().map(|report| of(report)).sum::<usize>();
    let (operations, unanswered) = (sum(|report| report.operations), sum(|report| report.unanswered));
    println!("{} seeds: {operations} operations, {unanswered} of them without an answer", reports.len());
    // Worlds in which nothing works would hold every rule.
    assert!(only.is_some() || unanswered * 4 < operations, "hardly anything was answered");
}

fn join(lines: &[&String]) -> String {
    lines.iter().map(|line| format!("\n{line}")).collect()
}

#[test]
fn the_same_seed_gives_the_same_life() {
    let seed = number("OSTRAKON_SEED").unwrap_or(1);
    let [first, second, other] = [seed, seed, seed + 1].map(live);
    assert_eq!(first, second, "two runs of seed {seed} differ");
    assert_ne!(first, other, "another seed gives the same life");
}
