//! The columns of one extent, who holds them, and how well: one verified range at a time.
//!
//! In goes a column's index and a range; out come bytes that are proven to be the column's. A holder that sends wrong
//! bytes, does not respond or goes away is remembered with its reason and not asked again, and the column's next holder
//! takes over. Which columns to ask is decided in [`super::rows`].

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use ostrakon_net::{AskError, Failure, Peers, Workers, ask, lock};
use ostrakon_proto::{
    id::{ColumnId, NodeId},
    limits,
    params::Code,
    tree::{self, Range},
    wire::{
        self, RefusalCode,
        get::{GetRequest, ReadToken},
    },
};
use tokio::time::{Instant, sleep};

/// A holder that gives no answer for this long counts as not responding.
const SILENT: Duration = Duration::from_secs(12);
/// How often one holder may go away or be busy before it is given up.
const STRIKES: u32 = 4;
/// How long to back off from a busy holder.
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// Chunks over whose times the median is taken.
const TIMES: usize = 64;
/// A chunk is late after this, however quick the others were.
const LATE_MIN: Duration = Duration::from_millis(250);
/// From this many lost races on, a column is asked only after all others.
const SLOW: u32 = 2;

/// A column that a holder did not give or take, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedColumn {
    /// Of which extent.
    pub extent: u32,
    /// Its index.
    pub index: u8,
    /// Who should have it; `None` where the ledger names nobody.
    pub provider: Option<NodeId>,
    /// Why it could not be read.
    pub reason: String,
    /// Whether the holder sent wrong bytes, rather than none.
    pub corrupt: bool,
}

/// A provider that may have a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) provider: NodeId,
    /// Whether the ledger lists its column as there; else it is asked when nobody else is left.
    pub(crate) live: bool,
}

/// What columns are read with.
#[derive(Clone, Debug)]
pub(crate) struct Wires {
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) workers: Workers,
}

/// One column: its name, and what to show to read it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColumnKey {
    pub(crate) id: ColumnId,
    pub(crate) token: Option<ReadToken>,
}

/// Which extent, and how it is coded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) extent: u32,
    pub(crate) code: Code,
    pub(crate) column_len: u64,
}

/// The columns of one extent.
#[derive(Debug)]
pub(crate) struct Columns {
    pub(crate) extent: u32,
    pub(crate) code: Code,
    column_len: u64,
    keys: Vec<ColumnKey>,
    state: Mutex<State>,
    wires: Wires,
}

#[derive(Debug)]
struct State {
    columns: Vec<ColumnState>,
    times: VecDeque<Duration>,
    failed: Vec<FailedColumn>,
    /// Bytes of columns that came, used or not.
    fetched: u64,
}

/// One column's holders, best first, and what is known of the first.
#[derive(Debug, Default)]
struct ColumnState {
    holders: VecDeque<Holder>,
    strikes: u32,
    races_lost: u32,
    probed: Option<Duration>,
    used: bool,
}

/// Why a holder did not give the bytes.
#[derive(Clone, Debug)]
enum Fault {
    /// It may be asked again.
    Passing(String),
    /// As passing, after a pause.
    Busy(String),
    /// It is no use for this column.
    Lasting(String),
    /// What it sent is wrong.
    Corrupt(String),
}

/// How one question to a column ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The proven bytes.
    Bytes(Bytes),
    /// The holder failed; the column may be asked again, of this or of another.
    Again,
    /// Nobody is left that could have the column.
    Gone,
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
pub(crate) fn list(failed: &[FailedColumn]) -> String {
    failed.iter().map(|column| format!("\n  {column}")).collect()
}

impl Columns {
    /// The columns with these keys and these holders, both by index.
    pub(crate) fn new(shape: Shape, keys: Vec<ColumnKey>, holders: Vec<Vec<Holder>>, wires: Wires) -> Self {
        let Shape { extent, code, column_len } = shape;
        let columns = holders.into_iter().map(|holders| ColumnState { holders: holders.into(), ..Default::default() });
        let state = State { columns: columns.collect(), times: VecDeque::new(), failed: Vec::new(), fetched: 0 };
        Self { extent, code, column_len, keys, state: Mutex::new(state), wires }
    }

    pub(crate) fn workers(&self) -> &Workers {
        &self.wires.workers
    }

    /// Reads a range of a column from its best holder, and proves it.
    pub(crate) async fn read(&self, index: usize, range: Range) -> Outcome {
        let Some(holder) = self.holder(index) else { return Outcome::Gone };
        let began = Instant::now();
        match self.read_from(holder.provider, index, range).await {
            Ok(bytes) => {
                self.succeed(index, range, began.elapsed());
                Outcome::Bytes(bytes)
            }
            Err(fault) => {
                if let Fault::Busy(_) = fault {
                    sleep(BUSY_PAUSE).await;
                }
                self.fail(index, holder.provider, fault)
            }
        }
    }

    /// Reads and proves; believes nothing.
    async fn read_from(&self, provider: NodeId, index: usize, range: Range) -> Result<Bytes, Fault> {
        let ColumnKey { id: column, token } = self.keys[index];
        let request = GetRequest { column, token, start: range.start, length: range.length };
        let call = wire::get::range(&request).within(SILENT);
        let (response, bytes) = ask(self.wires.peers.as_ref(), provider, call).await.map_err(Fault::of)?;
        let column_len = self.column_len;
        lock(&self.state).fetched += u64::try_from(bytes.len()).expect("a body is at most 256 KiB");
        let check = move || tree::verify_range(&column, column_len, range, &bytes, &response.siblings).map(|()| bytes);
        self.wires.workers.run(check).await.map_err(|error| Fault::Corrupt(error.to_string()))
    }

    /// Whether anybody answers for the column: the fault as text when not. Nothing is remembered of it.
    pub(crate) async fn probe(&self, index: usize) -> Result<NodeId, FailedColumn> {
        let Some(holder) = self.holder(index) else {
            let failed = lock(&self.state).failed.iter().rfind(|failed| usize::from(failed.index) == index).cloned();
            return Err(failed.unwrap_or_else(|| self.nobody(index)));
        };
        let group = u32::try_from(limits::GROUP).expect("16 KiB");
        match self.read_from(holder.provider, index, Range { start: 0, length: group }).await {
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

    fn nobody(&self, index: usize) -> FailedColumn {
        let index = u8::try_from(index).expect("a code has at most 255 columns");
        let reason = "the ledger names no holder".to_owned();
        FailedColumn { extent: self.extent, index, provider: None, reason, corrupt: false }
    }

    /// The fault of a holder that did not answer in time.
    pub(crate) fn late(&self, index: usize, after: Duration) -> FailedColumn {
        let silent = Fault::Lasting(format!("silent for {} s", after.as_secs()));
        self.holder(index).map_or_else(|| self.nobody(index), |holder| self.failed(index, holder.provider, silent))
    }

    /// Who has the column, as far as is known.
    pub(crate) fn provider(&self, index: u8) -> Option<NodeId> {
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
        }
        let column = &mut state.columns[index];
        column.used = true;
        column.strikes = 0;
    }

    /// Remembers the fault; a holder that is no use makes way for the column's next.
    fn fail(&self, index: usize, provider: NodeId, fault: Fault) -> Outcome {
        let mut state = lock(&self.state);
        let column = &mut state.columns[index];
        if column.holders.front().is_none_or(|holder| holder.provider != provider) {
            // Another row found out before, and the next holder is in place.
            return if column.holders.is_empty() { Outcome::Gone } else { Outcome::Again };
        }
        let passing = matches!(fault, Fault::Passing(_) | Fault::Busy(_));
        column.strikes += 1;
        if passing && column.strikes < STRIKES {
            return Outcome::Again;
        }
        column.holders.pop_front();
        column.strikes = 0;
        let outcome = if column.holders.is_empty() { Outcome::Gone } else { Outcome::Again };
        let failed = self.failed(index, provider, fault);
        let FailedColumn { extent, index, reason, .. } = &failed;
        tracing::debug!(extent, index, %provider, reason, "column failed");
        state.failed.push(failed);
        outcome
    }

    /// A hedge against this column's slowness was needed.
    pub(crate) fn lose_race(&self, index: usize) {
        let mut state = lock(&self.state);
        let lost = &mut state.columns[index].races_lost;
        *lost = (*lost + 1).min(2 * SLOW);
    }

    /// It answered in time.
    pub(crate) fn win_race(&self, index: usize) {
        let mut state = lock(&self.state);
        let lost = &mut state.columns[index].races_lost;
        *lost = lost.saturating_sub(1);
    }

    /// How the first small request went: quick ones are asked before others from now on.
    pub(crate) fn note_probe(&self, index: usize, time: Option<Duration>) {
        let mut state = lock(&self.state);
        let column = &mut state.columns[index];
        column.probed = time;
        if time.is_none() {
            column.races_lost = SLOW;
        }
    }

    /// The best column that `taken` does not have: there for sure, quick, and data rather than parity.
    pub(crate) fn best(&self, taken: impl Fn(usize) -> bool) -> Option<usize> {
        let state = lock(&self.state);
        let rank = |index: usize| {
            let column = &state.columns[index];
            let unlikely = !column.holders.front().is_some_and(|holder| holder.live);
            let parity = index >= usize::from(self.code.k);
            (unlikely, column.races_lost >= SLOW, parity, column.probed.unwrap_or(Duration::MAX), index)
        };
        let open = |index: &usize| !state.columns[*index].holders.is_empty() && !taken(*index);
        (0..state.columns.len()).filter(open).min_by_key(|index| rank(*index))
    }

    /// When a chunk counts as late: three times the median.
    pub(crate) fn late_after(&self) -> Duration {
        let state = lock(&self.state);
        let mut times: Vec<Duration> = state.times.iter().copied().collect();
        if times.is_empty() {
            return LATE_MIN;
        }
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        (*median * 3).max(LATE_MIN)
    }

    /// Columns that somebody may still have.
    pub(crate) fn readable(&self) -> usize {
        lock(&self.state).columns.iter().filter(|column| !column.holders.is_empty()).count()
    }

    /// Every column that nobody is left for, with the reason of the last who was.
    pub(crate) fn missing(&self) -> Vec<FailedColumn> {
        let state = lock(&self.state);
        let reason = |index: usize| {
            let last = state.failed.iter().rfind(|failed| usize::from(failed.index) == index).cloned();
            last.unwrap_or_else(|| self.nobody(index))
        };
        (0..state.columns.len()).filter(|index| state.columns[*index].holders.is_empty()).map(reason).collect()
    }

    /// Every holder that failed so far.
    pub(crate) fn failures(&self) -> Vec<FailedColumn> {
        lock(&self.state).failed.clone()
    }

    /// Bytes of columns that came so far, right or wrong.
    pub(crate) fn fetched_bytes(&self) -> u64 {
        lock(&self.state).fetched
    }

    /// Columns that were read from, with who gave them.
    pub(crate) fn used(&self) -> Vec<(u8, NodeId)> {
        let state = lock(&self.state);
        let used = (0u8..).zip(&state.columns).filter(|(_, column)| column.used);
        used.filter_map(|(index, column)| column.holders.front().map(|holder| (index, holder.provider))).collect()
    }
}

impl Fault {
    fn of(error: AskError) -> Self {
        // The column's line names the node already.
        let reason = error.failure.to_string();
        match error.failure {
            Failure::Closed(_) => Self::Passing(reason),
            Failure::InvalidAnswer(_) => Self::Corrupt(reason),
            Failure::Refused(refusal) => match refusal.code {
                RefusalCode::Busy => Self::Busy(reason),
                RefusalCode::Corrupt => Self::Corrupt(reason),
                _ => Self::Lasting(reason),
            },
            _ => Self::Lasting(reason),
        }
    }

    /// The reason as text, and whether bytes were wrong.
    fn into_reason(self) -> (String, bool) {
        match self {
            Self::Passing(reason) | Self::Busy(reason) | Self::Lasting(reason) => (reason, false),
            Self::Corrupt(reason) => (format!("wrong bytes: {reason}"), true),
        }
    }
}
