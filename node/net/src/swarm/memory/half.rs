//! Half of the budget, that of members or of strangers: places for connections, and bytes that they share.
//!
//! In goes what each connection holds; out comes how much more it may. All counts are atomics, so that connections do
//! not wait for each other as frames pass; the one lock is for those that wait until more is free.

use std::{
    mem,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Waker},
};

use crate::lock;

/// Bytes that every open connection has to itself: sixteen streams, which wait for something.
pub(super) const FLOOR: usize = 16 * 1024;
/// Bytes that one connection holds at most beyond its floor: bandwidth x delay of 400 Mbit/s and 300 ms.
pub(super) const MOST: usize = 16 * 1024 * 1024;

/// What members, or strangers, may hold.
#[derive(Debug)]
pub(super) struct Half {
    pub(super) places: usize,
    /// Bytes beyond the floors.
    pub(super) shared: usize,
    /// Places that are taken.
    taken: AtomicUsize,
    /// Bytes that are held beyond the floors.
    excess: AtomicUsize,
    held: AtomicUsize,
    /// Bytes of what is shared that were given back since those that wait were last woken.
    freed: AtomicUsize,
    /// Tasks that wait until more is free.
    waiting: Mutex<Vec<Waker>>,
}

impl Half {
    pub(super) fn new(bytes: usize) -> Self {
        let shared = bytes / 4 * 3;
        let places = (bytes - shared) / FLOOR;
        let (taken, excess, held, freed, waiting) = Default::default();
        Self { places, shared, taken, excess, held, freed, waiting }
    }

    /// False when there is no place.
    pub(super) fn take_place(&self) -> bool {
        self.taken.fetch_update(SeqCst, SeqCst, |taken| (taken < self.places).then_some(taken + 1)).is_ok()
    }

    /// A connection that held so many bytes is gone.
    pub(super) fn leave(&self, held: usize) {
        self.moved(held, 0);
        self.taken.fetch_sub(1, SeqCst);
    }

    pub(super) fn held(&self) -> usize {
        self.held.load(SeqCst)
    }

    /// Bytes that a connection may still take, which holds `held`.
    pub(super) fn room(&self, held: usize) -> usize {
        FLOOR.saturating_sub(held) + self.shared_room(held)
    }

    /// The same beyond its floor.
    pub(super) fn shared_room(&self, held: usize) -> usize {
        shared_room(held.saturating_sub(FLOOR), self.excess.load(SeqCst), self.shared)
    }

    /// A connection that held `before` bytes holds `after`.
    pub(super) fn moved(&self, before: usize, after: usize) {
        shift(&self.held, before, after);
        let (before, after) = (before.saturating_sub(FLOOR), after.saturating_sub(FLOOR));
        shift(&self.excess, before, after);
        if after < before {
            self.gave_back(before - after);
        }
    }

    /// The task of this context is woken when more is free.
    pub(super) fn wait(&self, cx: &Context<'_>) {
        register(&mut lock(&self.waiting), cx);
    }

    /// Wakes those that wait, unless it is too little yet: each byte need not wake all.
    fn gave_back(&self, bytes: usize) {
        let freed = self.freed.fetch_add(bytes, SeqCst) + bytes;
        if freed >= self.shared / 32 || self.excess.load(SeqCst) == 0 {
            self.freed.store(0, SeqCst);
            let waiting = mem::take(&mut *lock(&self.waiting));
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

fn shift(total: &AtomicUsize, before: usize, after: usize) {
    if after > before {
        total.fetch_add(after - before, SeqCst);
    } else if after < before {
        total.fetch_sub(before - after, SeqCst);
    }
}

/// Bytes that may still be taken of what is shared, by one that holds `own` of it while all together hold `excess`.
pub(super) fn shared_room(own: usize, excess: usize, shared: usize) -> usize {
    let fair = shared.saturating_sub(excess).saturating_sub(own) / 2;
    fair.min(MOST.saturating_sub(own))
}

pub(super) fn register(wakers: &mut Vec<Waker>, cx: &Context<'_>) {
    if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
        wakers.push(cx.waker().clone());
    }
}
