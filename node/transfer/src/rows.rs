//! One row, from the k best columns: a holder that fails is replaced, one that is late is raced.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use ostrakon_proto::{
    layout::{Layout, RowId},
    limits,
    tree::Range,
};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::columns::{ColumnRead, Columns, FailedColumn, LATE_MIN, list};

/// How long the slower columns are waited for once k have answered the first small request.
const PROBE_GRACE: Duration = Duration::from_millis(50);
/// How long the first small request may take as a whole.
const PROBE_MAX: Duration = Duration::from_secs(2);

/// Bytes of rows in flight at most, chunks and plaintext together.
const WINDOW_BYTES: usize = 64 * 1024 * 1024;
/// Rows in flight at most: each asks one chunk of a holder, and a holder is sent a few requests concurrently.
const WINDOW_ROWS: usize = 8;

/// Fewer than k columns of an extent can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} of the {} columns of extent {extent} are missing; {need} are needed, and {have} can be read. \
     Try again when some of these nodes are back:{}",
    missing.len(), missing.len() + have, list(missing)
)]
pub struct NotEnoughColumns {
    /// Which extent.
    pub extent: u32,
    /// Columns that can be read.
    pub have: usize,
    /// Columns that are needed.
    pub need: usize,
    /// The others, each with its reason.
    pub missing: Vec<FailedColumn>,
}

/// How many rows of an object are in flight at most.
pub fn window(layout: &Layout) -> usize {
    // A row's k chunks, and as much plaintext again.
    let row = 2 * usize::from(layout.code().k) * limits::CHUNK;
    (WINDOW_BYTES / row).clamp(1, WINDOW_ROWS)
}

/// The range that holds this chunk of a column: the smallest that can be proven.
pub fn chunk_range(row: RowId, chunk_len: usize) -> Range {
    let groups = chunk_len.div_ceil(limits::GROUP).max(1).next_power_of_two();
    let length = u32::try_from(groups * limits::GROUP).expect("a chunk is at most 256 KiB");
    Range { start: row.offset(), length }
}

/// A row's chunks in flight.
#[derive(Default)]
struct Race {
    chunks: BTreeMap<usize, Bytes>,
    /// Columns that are asked, and since when, once the request is sent.
    asked: BTreeMap<usize, Arc<OnceLock<Instant>>>,
    /// Those of them that are late, and were given a rival.
    late: BTreeSet<usize>,
    /// One that is late could not be given a rival: not before this is it looked again.
    again: Option<Instant>,
}

impl Columns {
    /// At least k chunks of a row, by column index. Cancel-safe: dropping it forgets the questions.
    pub async fn row(&self, row: RowId, chunk_len: usize) -> Result<Vec<Option<Bytes>>, NotEnoughColumns> {
        let range = chunk_range(row, chunk_len);
        let need = usize::from(self.code.k);
        let ask =
            |index, begun: Arc<OnceLock<Instant>>| async move { (index, self.read_noting(index, range, &begun).await) };
        let (mut race, mut asks) = (Race::default(), FuturesUnordered::new());
        loop {
            while race.chunks.len() + race.asked.len() - race.late.len() < need {
                let Some(index) = self.best(|index| race.is_taken(index)) else { break };
                let begun = Arc::clone(race.asked.entry(index).or_default());
                asks.push(ask(index, begun));
            }
            if race.chunks.len() >= need {
                return Ok(race.into_chunks(usize::from(self.code.n)));
            }
            if asks.is_empty() {
                return Err(self.not_enough());
            }
            let late_after = self.late_after();
            // Whether the line is idle shows in no event of this row.
            let look = race.next_late(late_after).min(Instant::now() + LATE_MIN);
            tokio::select! { biased;
                Some((index, outcome)) = asks.next() => self.note(&mut race, index, outcome),
                () = sleep_until(look), if race.has_rested() => race.mark_late(self, late_after),
            }
        }
    }

    fn note(&self, race: &mut Race, index: usize, outcome: ColumnRead) {
        race.asked.remove(&index);
        let late = race.late.remove(&index);
        if let ColumnRead::Bytes(bytes) = outcome {
            if !late {
                self.win_race(index);
            }
            race.chunks.insert(index, bytes);
        }
    }

    /// Which columns of the extent are missing, and why.
    pub fn not_enough(&self) -> NotEnoughColumns {
        let (extent, have, need) = (self.extent, self.readable(), usize::from(self.code.k));
        NotEnoughColumns { extent, have, need, missing: self.missing() }
    }

    /// Asks all columns for a few bytes, to know the quick ones: until the data columns answered, or k columns did and
    /// the rest had a moment more.
    pub async fn measure(&self) {
        let began = Instant::now();
        let first = chunk_range(RowId { extent: self.extent, row: 0 }, 1);
        let probe = |index| async move { (index, self.read(index, first).await) };
        let mut probes: FuturesUnordered<_> = (0..usize::from(self.code.n)).map(probe).collect();
        let (need, mut answered, mut until) = (usize::from(self.code.k), BTreeSet::new(), began + PROBE_MAX);
        while let Ok(Some((index, outcome))) = timeout_at(until, probes.next()).await {
            if let ColumnRead::Bytes(_) = outcome {
                answered.insert(index);
                self.note_probe(index, Some(began.elapsed()));
            }
            if (0..need).all(|index| answered.contains(&index)) {
                return;
            }
            if answered.len() == need {
                until = until.min(Instant::now() + began.elapsed() + PROBE_GRACE);
            }
        }
        for index in (0..usize::from(self.code.n)).filter(|index| !answered.contains(index)) {
            self.note_probe(index, None);
        }
    }
}

impl Race {
    fn is_taken(&self, index: usize) -> bool {
        self.chunks.contains_key(&index) || self.asked.contains_key(&index)
    }

    /// Whether anything asked is not late yet.
    fn has_rested(&self) -> bool {
        self.asked.len() > self.late.len()
    }

    /// When the next may be late: one that is not sent yet may be at any moment.
    fn next_late(&self, late_after: Duration) -> Instant {
        let on_time = self.asked.iter().filter(|(index, _)| !self.late.contains(index));
        let now = Instant::now();
        let next = on_time.map(|(_, begun)| begun.get().copied().unwrap_or(now)).min().unwrap_or(now) + late_after;
        self.again.map_or(next, |again| next.max(again))
    }

    /// A holder that is late by now gets a rival, if there may be one, when the loop next looks for columns to ask.
    fn mark_late(&mut self, columns: &Columns, late_after: Duration) {
        let now = Instant::now();
        let late = self.asked.iter().filter(|(_, begun)| begun.get().is_some_and(|begun| now >= *begun + late_after));
        let late: Vec<usize> = late.map(|(index, _)| *index).collect();
        for index in late {
            if self.late.contains(&index) {
                continue;
            }
            if columns.lose_race(index) {
                self.late.insert(index);
            } else {
                self.again = Some(now + late_after);
            }
        }
    }

    fn into_chunks(mut self, n: usize) -> Vec<Option<Bytes>> {
        (0..n).map(|index| self.chunks.remove(&index)).collect()
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::params::Code;

    use super::*;
    use crate::columns::tests::columns;

    const LATE: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_late_column_that_gets_no_rival_is_looked_at_again_later() {
        let columns = columns(Code { k: 1, n: 2 });
        while columns.lose_race(1) {}
        let begun = Arc::new(OnceLock::from(Instant::now()));
        let mut race = Race { asked: [(0, begun)].into(), ..Race::default() };
        tokio::time::advance(3 * LATE).await;
        for _ in 0..3 {
            assert!(race.next_late(LATE) <= Instant::now());
            race.mark_late(&columns, LATE);
            assert!(race.has_rested(), "it has no rival");
            assert_eq!(race.next_late(LATE), Instant::now() + LATE);
            tokio::time::advance(LATE).await;
        }
    }
}
