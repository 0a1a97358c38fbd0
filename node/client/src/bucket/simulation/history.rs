//! What was asked and answered, and whether one map could have answered the same: whether there is an order of all
//! operations, each between its start and its answer, in which it says what was said. One without an answer was made at
//! some time after its start, or never.
//!
//! The search is that of Wing and Gong (1993) with the memory of Lowe (2017), over the whole map: lists and copies are
//! of several keys.

use std::{
    collections::HashSet,
    fmt::Write,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::model::{Op, Said, State};

/// Operations of one history.
pub(super) const MOST: usize = 120;
/// Steps after which the search is given up.
const STEPS: usize = 2_000_000;

/// One operation.
#[derive(Debug)]
struct Entry {
    op: Op,
    start: u64,
    /// When it was answered, or certain to be made no more.
    end: Option<u64>,
    /// `None` of one without an answer.
    said: Option<Said>,
}

/// All of them, in the order of their starts.
#[derive(Debug, Default)]
pub(super) struct History {
    /// What the map had before.
    pub(super) first: State,
    entries: Vec<Option<Entry>>,
    now: u64,
}

impl History {
    /// Whether it may become longer.
    pub(super) const fn is_full(&self) -> bool {
        self.entries.len() >= MOST
    }

    /// An operation starts.
    pub(super) fn start(&mut self, op: Op) -> usize {
        self.now += 1;
        self.entries.push(Some(Entry { op, start: self.now, end: None, said: None }));
        self.entries.len() - 1
    }

    /// It was answered.
    pub(super) fn answered(&mut self, at: usize, said: Said) {
        self.now += 1;
        if let Some(entry) = &mut self.entries[at] {
            (entry.end, entry.said) = (Some(self.now), Some(said));
        }
    }

    /// Whether it begins an upload.
    pub(super) fn is_begin(&self, at: usize) -> bool {
        matches!(self.entries[at], Some(Entry { op: Op::Begin { .. }, .. }))
    }

    /// The upload that an operation began has this name.
    pub(super) fn began(&mut self, at: usize, named: [u8; 16]) {
        if let Some(Entry { op: Op::Begin { upload, .. }, .. }) = &mut self.entries[at] {
            *upload = Some(named);
        }
    }

    /// Whether an operation began this upload: where none was told so, the first that may have.
    pub(super) fn names(&mut self, wanted: &str, id: [u8; 16]) -> bool {
        let mut unnamed = None;
        for entry in self.entries.iter_mut().flatten() {
            match &mut entry.op {
                Op::Begin { upload: Some(upload), .. } if *upload == id => return true,
                Op::Begin { key, upload } if key == wanted && upload.is_none() => unnamed = unnamed.or(Some(upload)),
                _ => {}
            }
        }
        unnamed.map(|upload| *upload = Some(id)).is_some()
    }

    /// It has changed nothing, and never will.
    pub(super) fn forget(&mut self, at: usize) {
        self.entries[at] = None;
    }

    /// What has not been made by now never will be.
    pub(super) fn settle(&mut self) {
        self.now += 1;
        let now = self.now;
        self.entries.iter_mut().flatten().for_each(|entry| _ = entry.end.get_or_insert(now));
    }

    /// Operations, and those without an answer.
    pub(super) fn counts(&self) -> (usize, usize) {
        let all = self.entries.iter().flatten();
        (all.clone().count(), all.filter(|entry| entry.said.is_none()).count())
    }

    /// Fails with the history where no order explains it.
    pub(super) fn explain(&self) -> Result<(), String> {
        let all: Vec<&Entry> = self.entries.iter().flatten().collect();
        let bit = |at: usize| 1_u128 << at;
        let answered = all.iter().enumerate().filter(|(_, entry)| entry.said.is_some());
        let everything = answered.fold(0, |bits, (at, _)| bits | bit(at));
        let (mut open, mut seen, mut best) = (vec![(0_u128, 0_u64, self.first.clone())], HashSet::new(), 0_u128);
        while let Some((made, latest, state)) = open.pop() {
            if made & everything == everything {
                return Ok(());
            }
            if seen.len() > STEPS {
                return Err("the history is too long to be explained".to_owned());
            }
            best = if made.count_ones() > best.count_ones() { made } else { best };
            let unmade = || all.iter().enumerate().filter(|(at, _)| made & bit(*at) == 0);
            let ends = unmade().filter(|(_, entry)| entry.said.is_some()).filter_map(|(_, entry)| entry.end);
            let first_end = ends.min().unwrap_or(u64::MAX);
            let may_be_next =
                |(_, entry): &(usize, &&Entry)| entry.start < first_end && entry.end.is_none_or(|end| latest < end);
            // What ended first is tried first, which is what is popped last.
            let mut next: Vec<_> = unmade().filter(may_be_next).collect();
            next.sort_by_key(|(_, entry)| std::cmp::Reverse((entry.said.is_none(), entry.end)));
            for (at, entry) in next {
                let mut after = state.clone();
                let said = after.apply(&entry.op);
                let explains = match &entry.said {
                    Some(expected) => said == *expected,
                    None => after != state,
                };
                let found = (made | bit(at), latest.max(entry.start), after);
                if explains && seen.insert((found.0, fingerprint(&found.2))) {
                    open.push(found);
                }
            }
        }
        Err(Self::tell(&all, best))
    }

    fn tell(all: &[&Entry], best: u128) -> String {
        let mut text = "no order of these explains what was said (* is in the longest that explains some):".to_owned();
        for (at, Entry { op, start, end, said }) in all.iter().enumerate() {
            let mark = if best >> at & 1 == 1 { "*" } else { " " };
            let end = end.map_or("-".to_owned(), |end| end.to_string());
            _ = write!(text, "\n{mark} {start}..{end} {op:?} -> {said:?}");
        }
        text
    }
}

fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::{super::model::Object, *};
    use crate::bucket::{Condition, ListQuery};

    fn put(value: &str, condition: Condition) -> Op {
        Op::Put { key: "k".to_owned(), object: object(value), condition }
    }

    fn object(value: &str) -> Object {
        Object { etag: value.to_owned(), tag: None }
    }

    /// Each with its start, its end and what it said.
    fn check(entries: &[(Op, u64, u64, Option<Said>)], expect: bool) {
        let entry = |(op, start, end, said): &(Op, u64, u64, Option<Said>)| {
            let (op, end, said) = (op.clone(), Some(*end).filter(|end| *end > 0), said.clone());
            Some(Entry { op, start: *start, end, said })
        };
        let history = History { entries: entries.iter().map(entry).collect(), ..History::default() };
        assert_eq!(history.explain().is_ok(), expect, "{history:?}");
    }

    #[test]
    fn the_search_finds_what_is_wrong_and_nothing_in_what_is_right() {
        let get = || Op::Get { key: "k".to_owned() };
        let is = |value: Option<&str>| Some(Said::Is(value.map(object)));
        let put_a = || put("a", Condition::None);
        check(&[(put_a(), 1, 2, Some(Said::Done)), (get(), 3, 4, is(Some("a")))], true);
        check(&[(put_a(), 1, 4, Some(Said::Done)), (get(), 2, 3, is(None))], true);
        check(&[(put_a(), 1, 2, Some(Said::Done)), (get(), 3, 4, is(None))], false);
        // Without an answer it may be made later, or never; not after it was settled, and not undone.
        check(&[(put_a(), 1, 0, None), (get(), 2, 3, is(None)), (get(), 4, 5, is(Some("a")))], true);
        check(&[(put_a(), 1, 3, None), (get(), 4, 5, is(None)), (get(), 6, 7, is(Some("a")))], false);
        check(&[(put_a(), 1, 0, None), (get(), 2, 3, is(Some("a"))), (get(), 4, 5, is(None))], false);
        let create = |value| put(value, Condition::Absent);
        check(&[(create("a"), 1, 3, Some(Said::Done)), (create("b"), 2, 4, Some(Said::Precondition))], true);
        check(&[(create("a"), 1, 3, Some(Said::Done)), (create("b"), 2, 4, Some(Said::Done))], false);
        let list = Op::List(ListQuery { limit: 9, ..ListQuery::default() });
        let nothing = Said::Listed { objects: Vec::new(), prefixes: Vec::new(), next: None };
        check(&[(put_a(), 1, 2, Some(Said::Done)), (list, 3, 4, Some(nothing))], false);
    }
}
