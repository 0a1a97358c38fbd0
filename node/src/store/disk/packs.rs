//! Packs: files that many small records share, so that many small columns cost one sync.
//!
//! Records that arrive while another group is being synced form the next group: one of their callers leads it, writes
//! all of it, syncs the pack once, and commits one batch to the index; the others wait for it. Packs are preallocated
//! in steps. Freed records become holes; a full pack without records is deleted. The index defines which records are
//! alive; [`super::rewrite`] moves the last ones out of a pack that is mostly holes.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    ops::Range,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use ostrakon_net::lock;
use ostrakon_proto::{manifest::Manifest, tree::TreeBuilder};

use super::super::{StoreError, length_of};
use super::{
    files::FILE_MIN,
    index::{Batch, Durability, Index, Piece},
    record::{ALIGN, HEADER, Header, PACK_DATA, RecordKind},
    volume::{Volume, failed, next_data},
};

/// The most bytes of one group, unless a single record is larger.
const GROUP_BYTES: usize = 16 << 20;
/// A pack is preallocated ahead of its end by one part in this many of it, and at least by so many bytes.
const AHEAD: u64 = 16;
const AHEAD_MIN: u64 = 64 << 10;

/// The change to the index for a record, once its position is known.
pub(super) type IndexChange = Box<dyn FnOnce(&mut Batch, Piece) + Send>;

/// All packs, of which one is appended to.
pub(super) struct Packs {
    volume: Arc<Volume>,
    index: Arc<Index>,
    pack_bytes: u64,
    queue: Mutex<Queue>,
    /// Notified when a group is done: its callers have their answers, and another may lead.
    done: Condvar,
    state: Mutex<State>,
}

/// Records that wait to be written. Each lock below is held briefly, and never two of them.
#[derive(Default)]
struct Queue {
    tickets: u64,
    waiting: Vec<Waiting>,
    answers: BTreeMap<u64, Result<Piece, StoreError>>,
    leading: bool,
}

struct Waiting {
    ticket: u64,
    record: Vec<u8>,
    change: IndexChange,
}

#[derive(Default)]
struct State {
    packs: BTreeMap<u32, PackUse>,
    /// Packs that are to be rewritten, and from where on.
    sparse: BTreeMap<u32, u64>,
    /// The number of the next new pack: none is reused in a run, since an old pack with it may be about to be deleted.
    next: u32,
    active: Option<Arc<Active>>,
    /// The end of the active pack's preallocated blocks.
    allocated: u64,
}

impl State {
    /// Packs that the last run did not rewrite to the end are to be rewritten: nothing more may be deleted of them.
    fn resume_rewrites(&mut self) {
        let active = self.active.as_ref().map(|active| active.number);
        let sealed = self.packs.iter_mut().filter(|(number, _)| Some(**number) != active);
        for (number, used) in sealed.filter(|(_, used)| used.is_sparse()) {
            used.rewriting = true;
            self.sparse.insert(*number, 0);
        }
    }
}

/// How much of a pack is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PackUse {
    /// Bytes of records that are alive.
    pub(super) live: u64,
    /// The end of the last record.
    pub(super) end: u64,
    /// It is to be rewritten, or that has started and not failed.
    rewriting: bool,
}

impl PackUse {
    /// Counts a record that is alive.
    pub(super) fn add(&mut self, piece: &Piece) {
        self.live += piece.length;
        self.end = self.end.max(piece.offset + piece.length);
    }

    /// Whether the pack should be rewritten: more than nine tenths are holes.
    fn is_sparse(&self) -> bool {
        self.live.saturating_mul(10) < self.end
    }
}

struct Active {
    number: u32,
    file: File,
    path: PathBuf,
}

/// A group that is being written. When this is dropped the next group may be led, and all of this one have an answer,
/// even if writing it panicked.
struct Led<'a> {
    packs: &'a Packs,
    /// The tickets of the one who leads, and takes no answer any more if it panics.
    leader: Range<u64>,
    answers: Vec<(u64, Result<Piece, StoreError>)>,
}

impl Drop for Led<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.packs.queue);
        if thread::panicking() {
            queue.waiting.retain(|waiting| !self.leader.contains(&waiting.ticket));
            self.answers.retain(|(ticket, _)| !self.leader.contains(ticket));
        }
        queue.leading = false;
        queue.answers.extend(std::mem::take(&mut self.answers));
        drop(queue);
        self.packs.done.notify_all();
    }
}

impl std::fmt::Debug for Packs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packs").field("packs", &lock(&self.state).packs).finish_non_exhaustive()
    }
}

impl Packs {
    /// The packs of a volume, used as `packs` says; new ones get `pack_bytes`. The last one is appended to.
    pub(super) fn open(
        index: &Arc<Index>,
        volume: &Arc<Volume>,
        packs: BTreeMap<u32, PackUse>,
        pack_bytes: u64,
    ) -> Result<Self, StoreError> {
        let next = packs.last_key_value().map_or(0, |(number, _)| number + 1);
        let mut state = State { packs, next, ..State::default() };
        let last = state.packs.last_key_value().map(|(number, last)| (*number, last.end));
        if let Some((number, end)) = last.filter(|(_, end)| *end < pack_bytes) {
            let path = path_of(volume, number);
            match File::options().write(true).open(&path) {
                Ok(file) => {
                    // What follows the last record was never acknowledged.
                    file.set_len(end).map_err(|error| failed(&path, error))?;
                    state.allocated = end;
                    state.active = Some(Arc::new(Active { number, file, path }));
                }
                Err(error) => {
                    tracing::error!(
                        path = %path.display(), %error,
                        "cannot open a pack, a file of columns, which may be unreadable: check the disk and the \
                         permissions of the file, and restart the node"
                    );
                }
            }
        }
        state.resume_rewrites();
        let (volume, index, state) = (Arc::clone(volume), Arc::clone(index), Mutex::new(state));
        Ok(Self { volume, index, pack_bytes, queue: Mutex::default(), done: Condvar::new(), state })
    }

    /// How many there are.
    pub(super) fn number(&self) -> u64 {
        u64::try_from(lock(&self.state).packs.len()).expect("fits")
    }

    /// Appends a record and commits its change to the index, both durably, together with others'.
    pub(super) fn append(&self, record: Vec<u8>, change: IndexChange) -> Result<Piece, StoreError> {
        self.append_all(vec![(record, change)]).pop().expect("one answer for one record")
    }

    /// As [`Packs::append`], of several records at a time: the answer of each, in order.
    pub(super) fn append_all(&self, records: Vec<(Vec<u8>, IndexChange)>) -> Vec<Result<Piece, StoreError>> {
        let mut queue = lock(&self.queue);
        let first = queue.tickets;
        for (record, change) in records {
            let ticket = queue.tickets;
            queue.waiting.push(Waiting { ticket, record, change });
            queue.tickets += 1;
        }
        let tickets = first..queue.tickets;
        loop {
            if tickets.clone().all(|ticket| queue.answers.contains_key(&ticket)) {
                return tickets.map(|ticket| queue.answers.remove(&ticket).expect("just seen")).collect();
            }
            if queue.leading {
                queue = self.done.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue.leading = true;
            let group = next_group(&mut queue.waiting);
            drop(queue);
            self.lead(tickets.clone(), group);
            queue = lock(&self.queue);
        }
    }

    /// Writes a group; all of it succeeds or fails.
    fn lead(&self, leader: Range<u64>, group: Vec<Waiting>) {
        let answers = group.iter().map(|waiting| (waiting.ticket, Err(StoreError::Interrupted))).collect();
        let mut led = Led { packs: self, leader, answers };
        let written = self.write(group);
        for (place, (_, answer)) in led.answers.iter_mut().enumerate() {
            *answer = match &written {
                Ok(pieces) => Ok(pieces[place]),
                Err(error) => Err(error.clone()),
            };
        }
    }

    fn write(&self, group: Vec<Waiting>) -> Result<Vec<Piece>, StoreError> {
        self.volume.writable()?;
        let total = group.iter().map(|waiting| length_of(&waiting.record)).sum();
        let (active, mut offset) = self.room(total)?;
        let mut pieces = Vec::with_capacity(group.len());
        let mut batch = Batch::default();
        for Waiting { record, change, .. } in group {
            let length = length_of(&record);
            let written = active.file.write_all_at(&record, offset);
            written.map_err(|error| self.volume.failed(&active.path, length, error))?;
            self.volume.metrics.wrote(length);
            let piece = Piece { pack: active.number, offset, length };
            change(&mut batch, piece);
            pieces.push(piece);
            offset += length;
        }
        self.volume.sync(&active.file, &active.path)?;
        // First, so that nothing is ever written over what the index names.
        self.count(active.number, &pieces);
        self.index.commit(batch, Durability::Synced)?;
        Ok(pieces)
    }

    fn count(&self, pack: u32, pieces: &[Piece]) {
        let mut state = lock(&self.state);
        let used = state.packs.entry(pack).or_default();
        pieces.iter().for_each(|piece| used.add(piece));
    }

    /// The pack to append to, with blocks for `total` more bytes, and the offset to write at.
    fn room(&self, total: u64) -> Result<(Arc<Active>, u64), StoreError> {
        let (active, end, allocated) = {
            let state = lock(&self.state);
            let end = |active: &Arc<Active>| state.packs.get(&active.number).map_or(0, |used| used.end);
            (state.active.clone(), state.active.as_ref().map_or(0, end), state.allocated)
        };
        // A pack takes at least one group, however large.
        match active.filter(|_| end == 0 || end + total <= self.pack_bytes) {
            Some(active) => {
                let allocated = self.allocate(&active, allocated, end + total)?;
                lock(&self.state).allocated = allocated;
                Ok((active, end))
            }
            None => {
                self.seal()?;
                self.start(total)
            }
        }
    }

    /// Ends the active pack, and releases the blocks that it has too many.
    fn seal(&self) -> Result<(), StoreError> {
        let (active, used) = {
            let mut state = lock(&self.state);
            let active = state.active.take();
            let used = active.as_ref().and_then(|active| state.packs.get(&active.number).copied());
            (active, used.unwrap_or_default())
        };
        let Some(active) = active else { return Ok(()) };
        active.file.set_len(used.end).map_err(|error| failed(&active.path, error))?;
        if used.live == 0 {
            self.delete(active.number);
        }
        Ok(())
    }

    fn start(&self, total: u64) -> Result<(Arc<Active>, u64), StoreError> {
        let number = {
            let mut state = lock(&self.state);
            state.next += 1;
            state.next - 1
        };
        let path = path_of(&self.volume, number);
        let opened = File::options().create(true).truncate(true).write(true).open(&path);
        let file = opened.map_err(|error| self.volume.failed(&path, 0, error))?;
        self.volume.sync_dir(&self.volume.path("packs"))?;
        let active = Arc::new(Active { number, file, path });
        let allocated = self.allocate(&active, 0, total)?;
        let mut state = lock(&self.state);
        state.packs.insert(number, PackUse::default());
        state.allocated = allocated;
        state.active = Some(Arc::clone(&active));
        Ok((active, 0))
    }

    fn allocate(&self, active: &Active, allocated: u64, end: u64) -> Result<u64, StoreError> {
        // Ahead by a part of its size: a node that stores little does not use much more.
        let ahead = (end / AHEAD).max(AHEAD_MIN);
        let limit = self.pack_bytes.min(end + ahead);
        self.volume.preallocate(&active.file, &active.path, allocated..end, limit)
    }

    /// Releases the blocks of a record that the index no longer names.
    pub(super) fn free(&self, piece: &Piece) {
        if self.uncount(piece) {
            return self.delete(piece.pack);
        }
        let path = path_of(&self.volume, piece.pack);
        let opened = File::options().write(true).open(&path);
        if let Err(error) = opened.and_then(|file| self.volume.punch(&file, piece.offset, piece.length)) {
            tracing::warn!(path = %path.display(), %error, "cannot free the disk space of a deleted record");
        }
    }

    /// Whether the pack is empty without the record. A pack that is mostly holes is to be rewritten.
    fn uncount(&self, piece: &Piece) -> bool {
        let mut state = lock(&self.state);
        let sealed = state.active.as_ref().is_none_or(|active| active.number != piece.pack);
        let Some(used) = state.packs.get_mut(&piece.pack) else { return false };
        used.live = used.live.saturating_sub(piece.length);
        let (empty, sparse) = (sealed && used.live == 0, sealed && used.is_sparse() && !used.rewriting);
        used.rewriting |= sparse;
        if sparse {
            state.sparse.insert(piece.pack, 0);
        }
        empty
    }

    /// Takes a pack that is to be rewritten, and the offset to do it from.
    pub(super) fn take_sparse(&self) -> Option<(u32, u64)> {
        lock(&self.state).sparse.pop_first()
    }

    /// The pack is to be rewritten from here on, if it is still there.
    pub(super) fn put_back_sparse(&self, pack: u32, from: u64) {
        let mut state = lock(&self.state);
        if state.packs.contains_key(&pack) {
            state.sparse.insert(pack, from);
        }
    }

    /// The pack cannot be rewritten: not before more of it is deleted.
    pub(super) fn give_up_sparse(&self, pack: u32) {
        if let Some(used) = lock(&self.state).packs.get_mut(&pack) {
            used.rewriting = false;
        }
    }

    /// Whether a pack is to be rewritten.
    pub(super) fn has_sparse(&self) -> bool {
        !lock(&self.state).sparse.is_empty()
    }

    /// Deletes a pack without records. One that cannot be deleted is scanned again at the next start.
    fn delete(&self, number: u32) {
        let mut state = lock(&self.state);
        state.packs.remove(&number);
        state.sparse.remove(&number);
        drop(state);
        let path = path_of(&self.volume, number);
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove an empty pack");
        }
    }
}

/// Removes the records of the next group, in the order of arrival.
fn next_group(waiting: &mut Vec<Waiting>) -> Vec<Waiting> {
    let ends = waiting.iter().scan(0, |end, waiting| {
        *end += waiting.record.len();
        Some(*end)
    });
    let count = ends.take_while(|end| *end <= GROUP_BYTES).count();
    waiting.drain(..count.max(1)).collect()
}

/// The file of a pack.
pub(super) fn path_of(volume: &Volume, number: u32) -> PathBuf {
    volume.path("packs").join(format!("{number:08}.pack"))
}

/// All packs on disk, whether the index names them or not.
pub(super) fn numbers(volume: &Volume) -> std::io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(volume.path("packs"))? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        match number.filter(|number| path_of(volume, *number) == path) {
            Some(number) => numbers.push(number),
            None => tracing::warn!(path = %path.display(), "not a pack; ignored"),
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Visits every record's header in a pack from `from` on. Holes, and what is not a header, are skipped.
pub(super) fn scan(
    volume: &Volume,
    number: u32,
    from: u64,
    mut visit: impl FnMut(Piece, Header) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let path = path_of(volume, number);
    let io = |error| failed(&path, error);
    let file = File::open(&path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut offset = from;
    while let Some(data) = next_data(&file, offset).map_err(io)? {
        offset = (data - data % ALIGN).max(offset);
        if offset + PACK_DATA > length {
            break;
        }
        let mut bytes = [0; HEADER];
        file.read_exact_at(&mut bytes, offset).map_err(io)?;
        let small = |header: &Header| header.kind == RecordKind::Note || header.place.column_len < FILE_MIN;
        let whole = |header: &Header| small(header) && offset + header.pack_len() <= length;
        match Header::decode(&bytes).filter(whole) {
            Some(header) => {
                let piece = Piece { pack: number, offset, length: header.pack_len() };
                visit(piece, header)?;
                offset += piece.length;
            }
            None => offset += ALIGN,
        }
    }
    Ok(())
}

/// A record's manifest, if the whole record matches its header.
pub(super) fn verify(volume: &Volume, piece: &Piece, header: &Header) -> Result<Option<Vec<u8>>, StoreError> {
    let record = read(volume, piece)?;
    let stored = usize::try_from(header.stored_len()).expect("within the pack");
    let (stored, rest) = record[HEADER..].split_at(stored);
    let manifest = &rest[..usize::try_from(header.place.manifest_len).expect("checked when decoded")];
    if header.kind == RecordKind::Column && !is_column(header, stored) {
        return Ok(None);
    }
    Ok((Manifest::object_id(manifest) == header.place.object).then(|| manifest.to_vec()))
}

fn is_column(header: &Header, stored: &[u8]) -> bool {
    let (data, outboard) = stored.split_at(usize::try_from(header.place.column_len).expect("within the pack"));
    let mut tree = TreeBuilder::new();
    tree.update(data);
    let (column, found) = tree.finish();
    column == header.place.column && found.as_bytes() == outboard
}

/// Reads a record as it is.
pub(super) fn read(volume: &Volume, piece: &Piece) -> Result<Vec<u8>, StoreError> {
    let path = path_of(volume, piece.pack);
    let mut record = vec![0; usize::try_from(piece.length).expect("a small column's record")];
    let read = File::open(&path).and_then(|file| file.read_exact_at(&mut record, piece.offset));
    read.map_err(|error| failed(&path, error))?;
    Ok(record)
}

/// Syncs a pack whose records are being indexed: what the last run wrote and did not sync is durable then.
pub(super) fn settle(volume: &Volume, number: u32) -> Result<(), StoreError> {
    let path = path_of(volume, number);
    let file = File::options().write(true).open(&path).map_err(|error| failed(&path, error))?;
    volume.sync(&file, &path)
}

/// Rewrites a record in place, as [`super::files::refresh`] does a file; [`settle`] syncs it.
pub(super) fn refresh(volume: &Volume, piece: &Piece) -> Result<(), StoreError> {
    let path = path_of(volume, piece.pack);
    let record = read(volume, piece)?;
    let file = File::options().write(true).open(&path).map_err(|error| failed(&path, error))?;
    file.write_all_at(&record, piece.offset).map_err(|error| volume.failed(&path, piece.length, error))
}
