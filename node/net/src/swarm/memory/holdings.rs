//! What one connection holds, and what that costs in memory. Pure.

use std::collections::BTreeMap;

/// What the channel of a busy connection needs at least: a message that comes, and one that is sent. It counts as held
/// from the first frame on, so that what is permitted then does not take its room.
pub(super) const RESERVE: usize = 128 * 1024;
/// What a frame costs beside its bytes: its place in a queue, two allocations and what they round up.
pub(super) const FRAME: usize = 128;
/// What a stream costs while it is open: its state, its queue, and the task that serves it.
pub(super) const STREAM: usize = 1024;
/// Streams that a connection may have without asking.
pub(super) const STREAMS: usize = 16;
/// Bytes that one connection queues for writing at most, however much there is.
pub(super) const QUEUE: usize = 1024 * 1024;
/// From this cost of unread frames on, they must carry [`DENSE`] bytes on average. An honest node has one small request
/// or answer in progress on each of its streams, which are a few hundred: with what opened them, a quarter of this.
pub(super) const SPARSE: usize = 1024 * 1024;
pub(super) const DENSE: usize = 1024;
/// A need that is never met.
const NEVER: usize = usize::MAX;

/// A frame of the muxer that is about to arrive: a data frame, or one that opens a stream.
#[derive(Clone, Copy, Debug)]
pub(in crate::swarm) struct Arrival {
    pub(in crate::swarm) stream: u32,
    pub(in crate::swarm) bytes: usize,
    pub(in crate::swarm) opens: bool,
}

/// The other side sends many tiny frames, which cost more than they carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes in {count} frames are unread: a frame must carry {DENSE} bytes on average")]
pub(in crate::swarm) struct Sparse {
    count: usize,
    bytes: usize,
}

/// Data frames that have arrived; one without data is not held.
#[derive(Clone, Copy, Debug, Default)]
struct Frames {
    count: usize,
    bytes: usize,
}

impl Frames {
    /// One frame of so many bytes.
    fn one(bytes: usize) -> Self {
        Self { count: usize::from(bytes > 0), bytes }
    }

    const fn cost(self) -> usize {
        self.bytes + self.count * FRAME
    }

    const fn add(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
    }

    const fn remove(&mut self, other: Self) {
        self.count = self.count.saturating_sub(other.count);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// What one connection holds.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    /// Capacity of the channel's buffers, or all that a QUIC connection may buffer.
    pub(super) buffers: usize,
    /// Bytes that the channel has not sent yet.
    pub(super) unsent: usize,
    /// Frames that streams have written and the channel has not taken yet, with their cost.
    queued: usize,
    /// Streams that are open, and what they have not read.
    streams: BTreeMap<u32, Frames>,
    /// The same of all.
    unread: Frames,
    /// Streams and frames that nobody will read, until the muxer has forgotten them.
    gone: usize,
    /// Whether the muxer waits for the channel to take more.
    pub(super) is_blocked: bool,
}

impl Holdings {
    /// All of it, in bytes of memory.
    pub(super) fn held(&self) -> usize {
        let is_busy = self.unread.count > 0 || self.queued > 0;
        let buffers = if is_busy { self.buffers.max(RESERVE) } else { self.buffers };
        buffers + self.queued + self.unread.cost() + self.streams.len() * STREAM + self.gone
    }

    /// Room that a frame needs before it may arrive: none for the first one of data, and for the first streams.
    pub(super) fn needs(&self, arrival: Arrival) -> usize {
        let data = Frames::one(arrival.bytes).cost();
        let has_data = self.unread.count > 0 || self.gone > 0;
        if (data == 0 || !has_data) && (!arrival.opens || self.streams.len() < STREAMS) {
            return 0;
        }
        data + if arrival.opens { STREAM } else { 0 }
    }

    /// Room that so many bytes need before a stream may write them: none for the first.
    pub(super) fn needs_to_queue(&self, bytes: usize) -> usize {
        match self.queued {
            0 if self.unsent == 0 => 0,
            queued if queued + bytes > QUEUE => NEVER,
            _ => bytes + FRAME,
        }
    }

    pub(super) fn arrived(&mut self, arrival: Arrival) -> Result<(), Sparse> {
        let frame = Frames::one(arrival.bytes);
        if arrival.opens {
            self.opened(arrival.stream);
        }
        let Some(unread) = self.streams.get_mut(&arrival.stream) else {
            self.gone += frame.cost();
            return Ok(());
        };
        unread.add(frame);
        self.unread.add(frame);
        let Frames { count, bytes } = self.unread;
        let is_sparse = self.unread.cost() > SPARSE && bytes < count * DENSE;
        if is_sparse { Err(Sparse { count, bytes }) } else { Ok(()) }
    }

    pub(super) fn opened(&mut self, stream: u32) {
        self.streams.entry(stream).or_default();
    }

    /// A data frame of so many bytes has been read out of its stream.
    pub(super) fn read(&mut self, stream: u32, bytes: usize) {
        if let Some(unread) = self.streams.get_mut(&stream) {
            unread.remove(Frames::one(bytes));
            self.unread.remove(Frames::one(bytes));
        }
    }

    pub(super) fn closed(&mut self, stream: u32) {
        if let Some(unread) = self.streams.remove(&stream) {
            self.unread.remove(unread);
            self.gone += unread.cost() + STREAM;
        }
    }

    /// Whether the muxer, which has had its turn, has forgotten streams.
    pub(super) const fn may_sweep(&self) -> bool {
        self.gone > 0 && !self.is_blocked
    }

    pub(super) const fn sweep(&mut self) {
        self.gone = 0;
    }

    pub(super) const fn queue(&mut self, bytes: usize) {
        self.queued += bytes + FRAME;
    }

    pub(super) const fn sent(&mut self, bytes: usize) {
        self.queued = self.queued.saturating_sub(bytes + FRAME);
    }
}
