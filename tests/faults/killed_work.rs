//! A store and a ledger are killed at random instants while they work: columns are taken, deleted and moved, an index
//! is rebuilt, blocks are pruned, snapshots made and deleted. Each starts again, with all that it said was stored.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use ostrakon_node::{chain::store::LedgerStore, store::Disk};
use ostrakon_proto::id::Height;
use ostrakon_tests::{
    churn,
    cluster::Running,
    made_chain,
    scenarios::{SeededRng, Stage, size},
};

/// What was killed ends within this.
const LIMIT: Duration = Duration::from_secs(60);
/// The instant of a kill is before this, in milliseconds.
const SOON: u64 = 500;

pub(crate) fn run(stage: &Stage) -> Result<String> {
    let (mut rng, home) = (stage.rng(), stage.cluster.binaries.directory()?);
    let program = stage.cluster.binaries.node.with_file_name("churn");
    let kills = size(100, 8);
    let mut store = KilledStore::default();
    for kill in 0..kills {
        store.kill(&program, &home.path().join("store"), &mut rng).with_context(|| format!("store, kill {kill}"))?;
    }
    let chain = home.path().join("chain");
    made_chain::make(&chain, &churn::CHAIN)?;
    let mut height = churn::CHAIN.blocks;
    for kill in 0..kills {
        height = kill_ledger(&program, &chain, (height, &mut rng)).with_context(|| format!("ledger, kill {kill}"))?;
    }
    Ok(format!(
        "{kills} kills of a store, which had stored {} columns and rebuilt its index {} times, and {kills} of a \
         ledger, at height {height}",
        store.next, store.rebuilt
    ))
}

/// A store that is killed again and again, and what it must have.
#[derive(Default)]
struct KilledStore {
    /// Columns that were reported as stored, and whose deletion was not begun.
    stored: BTreeSet<u64>,
    next: u64,
    rebuilt: usize,
}

impl KilledStore {
    fn kill(&mut self, program: &Path, dir: &Path, rng: &mut SeededRng) -> Result<()> {
        let index = dir.join("index");
        if rng.below(3) == 0 && index.exists() {
            fs::remove_dir_all(index)?;
            self.rebuilt += 1;
        }
        let (dir_text, next) = (dir.to_string_lossy(), self.next.to_string());
        for (what, number) in killed(program, &["store", &dir_text, &next], rng)? {
            match what.as_str() {
                "stored" => _ = self.stored.insert(number),
                "deleting" => _ = self.stored.remove(&number),
                _ => {}
            }
            self.next = self.next.max(number + 1);
        }
        let store = Disk::open(dir, churn::CONFIG)?;
        let check = |number: &u64| churn::column(*number).expect_stored(&store).with_context(|| format!("{number}"));
        self.stored.iter().try_for_each(check)
    }
}

/// Kills a ledger that had blocks up to `height`; the height that it has then.
fn kill_ledger(program: &Path, dir: &Path, (height, rng): (u64, &mut SeededRng)) -> Result<u64> {
    let said = killed(program, &["ledger", &dir.to_string_lossy()], rng)?;
    let told = said.last().map_or(height, |(_, height)| *height);
    let ledger = made_chain::open(dir)?;
    let found = ledger.view().tip().height.0;
    ensure!(found >= told && told >= height, "it is at height {found}, and was at {told} and {height}");
    ensure!(ledger.block(Height(found))?.is_some(), "block {found} is missing");
    while ledger.tend()? {}
    let left = fs::read_dir(dir.join("chain/snapshots"))?.count();
    ensure!(left == ledger.snapshots().len() && left <= 2, "{left} snapshots are left");
    Ok(found)
}

/// Starts the work, kills it soon; what it said until then.
fn killed(program: &Path, args: &[&str], rng: &mut SeededRng) -> Result<Vec<(String, u64)>> {
    let mut work = Running::start(program, args)?;
    rng.pause(SOON);
    ensure!(!work.has_ended(), "it ended by itself: {}", work.wait(LIMIT)?);
    work.kill();
    let said = String::from_utf8(work.wait(LIMIT)?.stdout)?;
    // The last line may be half of one.
    let whole = said.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let line = |line: &str| {
        let (what, number) = line.split_once(' ').context("a line says what and which")?;
        anyhow::Ok((what.to_owned(), number.parse()?))
    };
    whole.lines().map(line).collect()
}
