//! Work that is killed at any instant: a store that takes and deletes columns without end, and a ledger that grows.
//!
//! In come a directory and a number to continue with; out come lines, each before or after what it is about: what is
//! reported as done must outlast the process. Packs are small, so that they are rewritten all the time, and snapshots
//! of the ledger frequent, so that old ones are deleted all the time.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::Path,
    thread,
    time::Duration,
};

use anyhow::Result;
use ostrakon_node::store::{Columns, Disk, DiskConfig};

use crate::{
    made_chain::{self, Length},
    numbered_column::{self, NumberedColumn},
};

/// Small packs.
pub const CONFIG: DiskConfig =
    DiskConfig { reserve_bytes: Some(0), pack_bytes: 2 << 20, uploads: 16, held_bytes: 8 << 20 };
/// A chain of one validator with a snapshot every other block, whose blocks are pruned.
pub const CHAIN: Length = Length {
    blocks: 4,
    commitments: 0,
    snapshot_blocks: 2,
    budget_bytes: 1,
    port: 1,
    began_ms: Some(1_700_000_000_000),
    more_validators: 0,
    full_blocks: false,
};
/// Columns that are stored at a time.
const KEPT: usize = 24;
/// One column in this many stays longer than its neighbours in a pack.
const LONGER: u64 = 16;
/// How long background work rests when there is none.
const REST: Duration = Duration::from_millis(1);

/// The `number`-th column: one in nine has a file of its own.
pub fn column(number: u64) -> NumberedColumn {
    let length = if number % 9 == 8 { (1 << 20) + 64 } else { 10_000 + (number % 9) * 30_000 };
    NumberedColumn::new(number, usize::try_from(length).expect("fits"))
}

/// Takes and deletes columns in the store of `dir` until it is killed, from number `next` on.
///
/// # Errors
/// When the store fails.
pub fn store(dir: &Path, mut next: u64) -> Result<()> {
    let store = Disk::open(dir, CONFIG)?;
    let mut stored: BTreeSet<u64> = numbered_column::numbers(&store)?.into_iter().collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                if !store.compact() {
                    thread::sleep(REST);
                }
            }
        });
        loop {
            say("storing", next);
            column(next).put(&store).expect("the disk is well");
            say("stored", next);
            stored.insert(next);
            next += 1;
            let too_many = |stays: bool| {
                let mut all = stored.iter().filter(move |number| number.is_multiple_of(LONGER) == stays);
                all.clone().nth(KEPT / 2).and(all.next()).copied()
            };
            let old: Vec<u64> = [false, true].into_iter().filter_map(too_many).collect();
            for old in old {
                say("deleting", old);
                let column = column(old);
                store.purge(&column.key(), column.state()).expect("the disk is well");
                stored.remove(&old);
            }
        }
    })
}

/// Adds blocks to the chain of `dir` until it is killed.
///
/// # Errors
/// When the ledger fails.
pub fn ledger(dir: &Path) -> Result<()> {
    made_chain::extend(dir, &CHAIN, |height| say("stored", height))
}

/// To the one who kills.
fn say(what: &str, number: u64) {
    writeln!(io::stdout(), "{what} {number}").expect("somebody listens");
}
