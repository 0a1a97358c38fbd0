//! The columns of one extent, who holds them, and how well: one verified range at a time.
//!
//! In goes a column's index and a range; out come bytes that are proven to be the column's. A holder that sends wrong
//! bytes, does not respond or disconnects is listed with the reason and not asked again, and the column's next holder
//! takes over. Which columns to ask is decided in [`super::rows`].

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use ostrakon_net::{Peers, Workers, ask, lock};
use ostrakon_proto::{
    id::{ColumnId, NodeId},
    limits,
    params::Code,
    tree::{self, Range},
    wire::{
        self,
        get::{GetRequest, ReadAccess},
    },
};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::{Lines, fault::Fault};

/// A holder that does not answer within this time has failed; beyond it, as long as a chunk may be in
/// flight.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(12);
/// How often one holder may disconnect or be busy before it has failed.
const STRIKES: u32 = 4;
/// How long after a lost connection the holder is asked again: until then a call may be handed to what is left of it.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// How long to back off from a busy holder.
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// A holder that failed is not asked again for this long, even if the ledger still lists it.
const FAILED_PAUSE: Duration = Duration::from_secs(30);
/// Chunks over whose times the median is taken.
const TIMES: usize = 64;
/// A chunk is late after this, however quick the others were.
pub(crate) const LATE_MIN: Duration = Duration::from_millis(250);
/// Chunks that may be asked for because others are late: so many a column, and one of so many that were received.
const HEDGES: usize = 2;
const HEDGE_PART: usize = 8;
/// From this many lost races on, a column is asked only after all others.
const SLOW: u32 = 2;

/// A column that could not be read from a holder, or stored on it, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedColumn {
    /// The number of its extent, from 0.
    pub extent: u32,
    /// Its index in the extent, from 0; those from k on are parity.
    pub index: u8,
    /// The holder that the ledger lists; `None` when it lists none.
    pub provider: Option<NodeId>,
    /// Why it could not be read.
    pub reason: String,
    /// Whether the holder sent wrong bytes, rather than none.
    pub corrupt: bool,
}

/// A provider that may have a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The provider.
    pub provider: NodeId,
    /// Whether the ledger lists its column as live; a missing one is asked last.
    pub live: bool,
}

/// What columns are read with.
#[derive(Clone, Debug)]
pub struct Wires {
    /// The network.
    pub peers: Arc<dyn Peers>,
    /// Where ranges are proven.
    pub workers: Workers,
    /// The line.
    pub lines: Arc<Lines>,
}

/// One column: its id, and why it may be read.
#[derive(Clone, Copy, Debug)]
pub struct ColumnKey {
    /// Its id.
    pub id: ColumnId,
    /// What its holder is shown.
    pub access: ReadAccess,
}

/// An extent's number, code, and bytes of each of its columns.
#[derive(Clone, Copy, Debug)]
pub struct ExtentInfo {
    /// Its number.
    pub extent: u32,
    /// Its code.
    pub code: Code,
    /// Bytes of each column.
    pub column_len: u64,
}

/// The columns of one extent.
#[derive(Debug)]
pub struct Columns {
    /// The extent's number.
    pub extent: u32,
    /// Its code.
    pub code: Code,
    column_len: u64,
    keys: Vec<ColumnKey>,
    state: Mutex<State>,
    wires: Wires,
}

#[derive(Debug)]
struct State {
    columns: Vec<ColumnState>,
    times: VecDeque<Duration>,
    /// Each holder that failed, and when; once only.
    failed: Vec<(Instant, FailedColumn)>,
    /// Bytes of columns that were received, right or wrong.
    fetched: u64,
    /// Chunks that were received, and those that were asked for because another was late.
    chunks: [usize; 2],
}

/// One column's holders, best first, and what was measured of the first.
#[derive(Debug, Default)]
struct ColumnState {
    holders: VecDeque<Holder>,
    strikes: u32,
    /// When the last strike was counted.
    struck: Option<Instant>,
    races_lost: u32,
    probed: Option<Duration>,
    used: bool,
}

/// How one read of a column ended.
#[derive(Debug)]
pub enum ColumnRead {
    /// The proven bytes.
    Bytes(Bytes),
    /// The holder failed; the column may be read again, from this holder or the next.
    Retry,
    /// No holder is left.
    NoHolder,
}

impl std::fmt::Display for FailedColumn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.provider {
            Some(provider) => write!(f, "column {} on {}: {}", self.index, provider, self.reason),
            None => write!(f, "column {}: {}", self.index, self.reason),
        }
    }
}

/// The columns one to a line, as the end of an error's text.
pub fn list(failed: &[FailedColumn]) -> String {
    failed.iter().map(|column| format!("\n  {column}")).collect()
}

impl Columns {
    /// The columns with these keys and these holders, both by index.
    pub fn new(info: ExtentInfo, keys: Vec<ColumnKey>, holders: Vec<Vec<Holder>>, wires: Wires) -> Self {
        let ExtentInfo { extent, code, column_len } = info;
        let columns = holders.into_iter().map(|holders| ColumnState { holders: holders.into(), ..Default::default() });
        let state = State {
            columns: columns.collect(),
            times: VecDeque::new(),
            failed: Vec::new(),
            fetched: 0,
            chunks: [0; 2],
        };
        Self { extent, code, column_len, keys, state: Mutex::new(state), wires }
    }

    /// Where rows are decoded.
    pub fn workers(&self) -> &Workers {
        &self.wires.workers
    }

    /// Reads a range of a column from its best holder, and proves it.
    pub async fn read(&self, index: usize, range: Range) -> ColumnRead {
        self.read_noting(index, range, &OnceLock::new()).await
    }

    /// The same. `begun` is set when the request is sent: the line may have to carry others first.
    pub(crate) async fn read_noting(&self, index: usize, range: Range, begun: &OnceLock<Instant>) -> ColumnRead {
        let Some(holder) = self.holder(index) else { return ColumnRead::NoHolder };
        let read = self.read_from(holder.provider, index, range, begun).await;
        let began = begun.get().copied().unwrap_or_else(Instant::now);
        match read {
            Ok(bytes) => {
                self.succeed(index, range, began.elapsed());
                ColumnRead::Bytes(bytes)
            }
            Err(fault) => {
                match fault {
                    Fault::Passing(_) | Fault::Unreachable(_) => sleep(RECONNECT_PAUSE).await,
                    Fault::Busy(_) => sleep(BUSY_PAUSE).await,
                    Fault::Lasting(_) | Fault::Corrupt(_) => {}
                }
                self.fail(index, (holder.provider, began), fault)
            }
        }
    }

    /// Reads, and verifies against the column's id.
    async fn read_from(
        &self,
        provider: NodeId,
        index: usize,
        range: Range,
        begun: &OnceLock<Instant>,
    ) -> Result<Bytes, Fault> {
        let ColumnKey { id: column, access } = self.keys[index];
        let request = GetRequest { column, access, start: range.start, length: range.length };
        let (line, length) = (&self.wires.lines.down, usize::try_from(range.length).expect("a chunk"));
        let call = wire::get::range(&request).within(RESPONSE_TIMEOUT + line.patience());
        let asking = ask(self.wires.peers.as_ref(), provider, call);
        let begin = || _ = begun.set(Instant::now());
        let (response, bytes) = line.carry(length, asking, begin, Result::is_ok).await.map_err(Fault::of)?;
        let column_len = self.column_len;
        lock(&self.state).fetched += u64::try_from(bytes.len()).expect("a body is at most 256 KiB");
        let check = move || tree::verify_range(&column, column_len, range, &bytes, &response.siblings).map(|()| bytes);
        self.wires.workers.run(check).await.map_err(|error| Fault::Corrupt(error.to_string()))
    }

    /// Reads a few bytes from the column's best holder; the fault when that fails. Changes nothing.
    pub async fn probe(&self, index: usize) -> Result<NodeId, FailedColumn> {
        let Some(holder) = self.holder(index) else {
            let failed = lock(&self.state).last_failure(index);
            return Err(failed.unwrap_or_else(|| self.no_holder(index)));
        };
        let group = u32::try_from(limits::GROUP).expect("16 KiB");
        let range = Range { start: 0, length: group };
        match self.read_from(holder.provider, index, range, &OnceLock::new()).await {
            Ok(_) => Ok(holder.provider),
            Err(fault) => Err(self.failed(index, holder.provider, fault)),
        }
    }

    fn holder(&self, index: usize) -> Option<Holder> {
        lock(&self.state).columns[index].holders.front().copied()
    }

    fn failed(&self, index: usize, provider: NodeId, fault: Fault) -> FailedColumn {
        let index = u8::try_from(index).expect("a code has at most 255 columns");
        let (reason, corrupt) = fault.into_reason();
        FailedColumn { extent: self.extent, index, provider: Some(provider), reason, corrupt }
    }

    fn no_holder(&self, index: usize) -> FailedColumn {
        let index = u8::try_from(index).expect("a code has at most 255 columns");
        let reason = "the ledger lists no holder".to_owned();
        FailedColumn { extent: self.extent, index, provider: None, reason, corrupt: false }
    }

    /// The fault of a holder that did not answer in time.
    pub fn late(&self, index: usize, after: Duration) -> FailedColumn {
        let late = Fault::no_response(after);
        self.holder(index).map_or_else(|| self.no_holder(index), |holder| self.failed(index, holder.provider, late))
    }

    /// The holder that the column would be read from next.
    pub fn provider(&self, index: u8) -> Option<NodeId> {
        self.holder(usize::from(index)).map(|holder| holder.provider)
    }

    fn succeed(&self, index: usize, range: Range, time: Duration) {
        let mut state = lock(&self.state);
        let full = usize::try_from(range.length) == Ok(limits::CHUNK);
        if full {
            if state.times.len() == TIMES {
                state.times.pop_front();
            }
            state.times.push_back(time);
            state.chunks[0] += 1;
        }
        let column = &mut state.columns[index];
        column.used = true;
        column.strikes = 0;
    }

    /// Counts the fault of a read from `provider` that began then; after a lasting one, or one too many, the column's
    /// next holder takes over. All reads that one lost connection ends are one strike.
    fn fail(&self, index: usize, (provider, began): (NodeId, Instant), fault: Fault) -> ColumnRead {
        let mut state = lock(&self.state);
        let column = &mut state.columns[index];
        if column.holders.front().is_none_or(|holder| holder.provider != provider) {
            // Another row's read failed before, and the next holder has taken over.
            return if column.holders.is_empty() { ColumnRead::NoHolder } else { ColumnRead::Retry };
        }
        let (passing, strikes) = match fault {
            Fault::Passing(_) | Fault::Busy(_) => (true, 1),
            // Once more: it is searched for meanwhile.
            Fault::Unreachable(_) => (true, STRIKES / 2),
            Fault::Lasting(_) | Fault::Corrupt(_) => (false, STRIKES),
        };
        if passing && column.struck.is_some_and(|struck| began <= struck) {
            return ColumnRead::Retry;
        }
        column.strikes += strikes;
        column.struck = Some(Instant::now());
        if column.strikes < STRIKES {
            return ColumnRead::Retry;
        }
        column.holders.pop_front();
        (column.strikes, column.struck) = (0, None);
        let outcome = if column.holders.is_empty() { ColumnRead::NoHolder } else { ColumnRead::Retry };
        let failed = self.failed(index, provider, fault);
        let FailedColumn { extent, index, reason, .. } = &failed;
        tracing::debug!(extent, index, node = %provider, reason, "column failed");
        state.failed.retain(|(_, old)| (old.index, old.provider) != (*index, Some(provider)));
        state.failed.push((Instant::now(), failed));
        outcome
    }

    /// Takes up the holders that the ledger lists now, by index, except those that failed a moment ago. Whether a
    /// column that had no holder has one again.
    pub fn renew(&self, listed: Vec<Vec<Holder>>) -> bool {
        let (mut state, now, mut found) = (lock(&self.state), Instant::now(), false);
        for (index, holders) in listed.into_iter().enumerate() {
            let paused = |holder: &Holder| {
                let same = |failed: &FailedColumn| {
                    (usize::from(failed.index), failed.provider) == (index, Some(holder.provider))
                };
                state.failed.iter().any(|(at, failed)| same(failed) && now - *at < FAILED_PAUSE)
            };
            let fresh: VecDeque<Holder> = holders.into_iter().filter(|holder| !paused(holder)).collect();
            let column = &mut state.columns[index];
            if column.holders.is_empty() && !fresh.is_empty() {
                (column.holders, column.strikes, column.races_lost, found) = (fresh, 0, 0, true);
            }
        }
        found
    }

    /// The column is late: whether another may be asked in its place. Few may, so that where all are late, as on a line
    /// that became slow, nothing is fetched twice.
    pub fn lose_race(&self, index: usize) -> bool {
        let mut state = lock(&self.state);
        let lost = &mut state.columns[index].races_lost;
        *lost = (*lost + 1).min(2 * SLOW);
        let [received, hedges] = state.chunks;
        let may = hedges < HEDGES * usize::from(self.code.n) + received / HEDGE_PART;
        state.chunks[1] += usize::from(may);
        may
    }

    /// It answered in time.
    pub fn win_race(&self, index: usize) {
        let mut state = lock(&self.state);
        let lost = &mut state.columns[index].races_lost;
        *lost = lost.saturating_sub(1);
    }

    /// How long the first small request took, `None` for no answer: quick columns are asked before others from now on.
    pub fn note_probe(&self, index: usize, time: Option<Duration>) {
        let mut state = lock(&self.state);
        let column = &mut state.columns[index];
        column.probed = time;
        if time.is_none() {
            column.races_lost = SLOW;
        }
    }

    /// The best column that `taken` does not have: live on the ledger, in reach, quick, and data rather than parity.
    pub fn best(&self, taken: impl Fn(usize) -> bool) -> Option<usize> {
        let state = lock(&self.state);
        let rank = |index: usize| {
            let column = &state.columns[index];
            let unlikely = !column.holders.front().is_some_and(|holder| holder.live);
            let parity = index >= usize::from(self.code.k);
            let doubtful = (unlikely, column.strikes > 0, column.races_lost >= SLOW);
            (doubtful, parity, column.probed.unwrap_or(Duration::MAX), index)
        };
        let open = |index: &usize| !state.columns[*index].holders.is_empty() && !taken(*index);
        (0..state.columns.len()).filter(open).min_by_key(|index| rank(*index))
    }

    /// When a chunk counts as late: after three times the median, or half of that while the line is idle; while nothing
    /// is known, when the line should have delivered a whole window.
    pub fn late_after(&self) -> Duration {
        let (line, state) = (&self.wires.lines.down, lock(&self.state));
        let mut times: Vec<Duration> = state.times.iter().copied().collect();
        if times.is_empty() {
            return line.drain().max(LATE_MIN);
        }
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let late = *median * 3;
        // All others may be waiting for this one, and nothing waits for the line.
        let late = if line.is_idle() { late / 2 } else { late };
        late.max(LATE_MIN)
    }

    /// Columns that have a holder left.
    pub fn readable(&self) -> usize {
        lock(&self.state).columns.iter().filter(|column| !column.holders.is_empty()).count()
    }

    /// Every column without a holder left, with the reason why the last one failed.
    pub fn missing(&self) -> Vec<FailedColumn> {
        let state = lock(&self.state);
        let reason = |index: usize| state.last_failure(index).unwrap_or_else(|| self.no_holder(index));
        (0..state.columns.len()).filter(|index| state.columns[*index].holders.is_empty()).map(reason).collect()
    }

    /// Every holder that failed so far.
    pub fn failures(&self) -> Vec<FailedColumn> {
        lock(&self.state).failed.iter().map(|(_, failed)| failed.clone()).collect()
    }

    /// Bytes of columns that were received so far, right or wrong.
    pub fn fetched_bytes(&self) -> u64 {
        lock(&self.state).fetched
    }

    /// Columns that were read from, with their holders.
    pub fn used(&self) -> Vec<(u8, NodeId)> {
        let state = lock(&self.state);
        let used = (0..=u8::MAX).zip(&state.columns).filter(|(_, column)| column.used);
        used.filter_map(|(index, column)| column.holders.front().map(|holder| (index, holder.provider))).collect()
    }
}

impl State {
    /// Why the last holder of the column failed, if one did.
    fn last_failure(&self, index: usize) -> Option<FailedColumn> {
        let last = self.failed.iter().rfind(|(_, failed)| usize::from(failed.index) == index);
        last.map(|(_, failed)| failed.clone())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use ostrakon_net::sim::{SimConfig, SimNetwork};

    use super::*;

    const HOLDER: Holder = Holder { provider: NodeId::new([1; 32]), live: true };

    /// So many columns, all on one holder.
    pub(crate) fn columns(code: Code) -> Columns {
        let info = ExtentInfo { extent: 0, code, column_len: 64 };
        let (peers, _requests) = SimNetwork::new(1, SimConfig::default()).join(NodeId::new([9; 32]));
        let wires = Wires { peers, workers: Workers::inline(), lines: Arc::default() };
        Columns::new(info, Vec::new(), vec![vec![HOLDER]; usize::from(code.n)], wires)
    }

    #[tokio::test(start_paused = true)]
    async fn a_chunk_is_late_sooner_while_the_line_is_idle() {
        let columns = columns(Code { k: 1, n: 1 });
        let (line, length) = (&columns.wires.lines.down, u32::try_from(limits::CHUNK).expect("fits"));
        let carry = |work| line.carry(limits::CHUNK, work, || (), |()| true);
        carry(sleep(Duration::from_secs(1))).await;
        columns.succeed(0, Range { start: 0, length }, Duration::from_secs(1));
        assert_eq!(columns.late_after(), Duration::from_millis(1_500));
        let (in_flight, look) = (carry(sleep(Duration::from_secs(1))), sleep(Duration::from_millis(1)));
        let late = async {
            look.await;
            columns.late_after()
        };
        assert_eq!(futures::future::join(in_flight, late).await.1, Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_one_lost_connection_ends_is_one_strike() {
        let columns = columns(Code { k: 1, n: 1 });
        for lost in 1..=STRIKES {
            let began = Instant::now();
            tokio::time::advance(Duration::from_secs(1)).await;
            for _ in 0..16 {
                let outcome = columns.fail(0, (HOLDER.provider, began), Fault::Passing("closed".to_owned()));
                assert_eq!(matches!(outcome, ColumnRead::Retry), lost < STRIKES, "connection {lost}");
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!((columns.readable(), columns.failures().len()), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_out_of_reach_is_asked_once_more_when_no_other_is_left() {
        let columns = columns(Code { k: 1, n: 2 });
        let fail = || columns.fail(0, (HOLDER.provider, Instant::now()), Fault::Unreachable("timeout".to_owned()));
        assert!(matches!(fail(), ColumnRead::Retry));
        assert_eq!([columns.best(|_| false), columns.best(|taken| taken == 1)], [Some(1), Some(0)]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(matches!(fail(), ColumnRead::NoHolder));
        assert_eq!((columns.readable(), columns.best(|taken| taken == 1)), (1, None));
    }
}
