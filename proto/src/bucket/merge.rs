//! Merges runs: of entries at one place the newest is kept.

use std::iter::Peekable;

use super::IndexEntry;

/// The entries of several runs in order, each place once, as the newest run has it.
#[derive(Debug)]
pub struct Merge<I: Iterator<Item = IndexEntry>> {
    runs: Vec<Peekable<I>>,
    /// Whether older runs may have what is deleted here.
    keeps_deleted: bool,
}

impl<I: Iterator<Item = IndexEntry>> Merge<I> {
    /// Of these runs, the newest first, each in order. With `is_last` there are no older ones, so that nothing is left
    /// to delete.
    pub fn new(runs: impl IntoIterator<Item = I>, is_last: bool) -> Self {
        Self { runs: runs.into_iter().map(Iterator::peekable).collect(), keeps_deleted: !is_last }
    }

    fn step(&mut self) -> Option<IndexEntry> {
        let places = self.runs.iter_mut().enumerate().filter_map(|(run, entries)| Some((&entries.peek()?.place, run)));
        let (place, newest) = places.min()?;
        let place = place.clone();
        let mut found = None;
        for entries in &mut self.runs[newest..] {
            let same = entries.next_if(|entry| entry.place == place);
            found = found.or(same);
        }
        found
    }
}

impl<I: Iterator<Item = IndexEntry>> Iterator for Merge<I> {
    type Item = IndexEntry;

    fn next(&mut self) -> Option<IndexEntry> {
        loop {
            let entry = self.step()?;
            if entry.value.is_some() || self.keeps_deleted {
                return Some(entry);
            }
        }
    }
}
