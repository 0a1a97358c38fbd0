//! What a bucket is: a plain map, and what each operation makes of it and says.

use std::collections::BTreeMap;

use ostrakon_proto::bucket::MultipartId;

use crate::bucket::{Condition, ListQuery};

/// Bytes that every part but the last has at least.
const LEAST: u64 = 5 * 1024 * 1024;

/// An object, as it is told from others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Object {
    pub(super) etag: String,
    pub(super) tag: Option<String>,
}

/// A part of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Part {
    pub(super) md5: [u8; 16],
    pub(super) size: u64,
}

/// All of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) objects: BTreeMap<String, Object>,
    uploads: BTreeMap<(String, MultipartId), BTreeMap<u16, Part>>,
}

/// An operation.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Get { key: String },
    List(ListQuery),
    Uploads,
    Put { key: String, object: Object, condition: Condition },
    Delete { key: String, condition: Condition },
    Copy { from: String, key: String, condition: Condition },
    Tag { key: String, tag: String },
    Begin { key: String, upload: Option<MultipartId> },
    Part { key: String, upload: MultipartId, number: u16, part: Part },
    Complete { key: String, upload: MultipartId, parts: Vec<(u16, [u8; 16])>, etag: String },
    Abort { key: String, upload: MultipartId },
}

/// What an operation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Done,
    Removed(bool),
    Is(Option<Object>),
    Listed { objects: Vec<(String, Object)>, prefixes: Vec<String>, next: Option<String> },
    Uploads(Vec<(String, MultipartId)>),
    NoKey(String),
    NoUpload,
    Precondition,
    InvalidPart(u16),
    TooSmall(u16),
}

impl Op {
    /// Whether it changes nothing.
    pub(super) const fn reads(&self) -> bool {
        matches!(self, Self::Get { .. } | Self::List(_) | Self::Uploads)
    }
}

impl State {
    /// Makes it; returns what it says.
    pub(super) fn apply(&mut self, op: &Op) -> Said {
        match op {
            Op::Get { key } => Said::Is(self.objects.get(key).cloned()),
            Op::List(query) => self.list(query),
            Op::Uploads => Said::Uploads(self.uploads.keys().cloned().collect()),
            Op::Put { key, object, condition } => self.judged(key, condition, |state| {
                state.objects.insert(key.clone(), object.clone());
                Said::Done
            }),
            Op::Delete { key, condition } => {
                self.judged(key, condition, |state| Said::Removed(state.objects.remove(key).is_some()))
            }
            Op::Copy { from, key, condition } => {
                let Some(source) = self.objects.get(from).cloned() else { return Said::NoKey(from.clone()) };
                self.judged(key, condition, |state| {
                    state.objects.insert(key.clone(), source);
                    Said::Done
                })
            }
            Op::Tag { key, tag } => match self.objects.get_mut(key) {
                Some(object) => {
                    object.tag = Some(tag.clone());
                    Said::Done
                }
                None => Said::NoKey(key.clone()),
            },
            Op::Begin { key, upload } => {
                // One whose name nobody was told is of no use to anyone.
                self.uploads.extend(upload.map(|upload| ((key.clone(), upload), BTreeMap::new())));
                Said::Done
            }
            Op::Part { key, upload, number, part } => match self.uploads.get_mut(&(key.clone(), *upload)) {
                Some(parts) => {
                    parts.insert(*number, *part);
                    Said::Done
                }
                None => Said::NoUpload,
            },
            Op::Complete { key, upload, parts, etag } => self.complete((key, *upload), parts, etag),
            Op::Abort { key, upload } => match self.uploads.remove(&(key.clone(), *upload)) {
                Some(_) => Said::Done,
                None => Said::NoUpload,
            },
        }
    }

    fn judged(&mut self, key: &str, condition: &Condition, make: impl FnOnce(&mut Self) -> Said) -> Said {
        let etag = self.objects.get(key).map(|object| &object.etag);
        let is_one_of = |etags: &[String]| etag.is_some_and(|etag| etags.contains(etag));
        match condition {
            Condition::Present | Condition::Matches(_) if etag.is_none() => Said::NoKey(key.to_owned()),
            Condition::Absent if etag.is_some() => Said::Precondition,
            Condition::Matches(etags) if !is_one_of(etags) => Said::Precondition,
            Condition::MatchesNone(etags) if is_one_of(etags) => Said::Precondition,
            _ => make(self),
        }
    }

    fn complete(&mut self, (key, upload): (&str, MultipartId), wanted: &[(u16, [u8; 16])], etag: &str) -> Said {
        let place = (key.to_owned(), upload);
        let Some(parts) = self.uploads.get(&place) else { return Said::NoUpload };
        let is_there = |(number, md5): &(u16, [u8; 16])| parts.get(number).is_some_and(|part| part.md5 == *md5);
        if let Some((number, _)) = wanted.iter().find(|one| !is_there(one)) {
            return Said::InvalidPart(*number);
        }
        let mut all_but_last = wanted.iter().rev().skip(1).map(|(number, _)| number);
        if let Some(number) = all_but_last.find(|number| parts[number].size < LEAST) {
            return Said::TooSmall(*number);
        }
        self.uploads.remove(&place);
        self.objects.insert(key.to_owned(), Object { etag: etag.to_owned(), tag: None });
        Said::Done
    }

    /// Every key is looked at, and the page is cut out of what that makes.
    fn list(&self, ListQuery { prefix, delimiter, after, limit }: &ListQuery) -> Said {
        let fold = |key: &str| {
            let rest = key.strip_prefix(prefix.as_str()).filter(|_| !delimiter.is_empty())?;
            let (name, _) = rest.split_once(delimiter.as_str())?;
            Some(format!("{prefix}{name}{delimiter}"))
        };
        let is_folded = fold(after).is_some_and(|whole| whole == *after);
        let is_after = |key: &str| key > after.as_str() && !(is_folded && key.starts_with(after.as_str()));
        let (mut objects, mut prefixes, mut names) = (Vec::new(), Vec::new(), Vec::new());
        let found = self.objects.iter().filter(|(key, _)| key.starts_with(prefix.as_str()) && is_after(key));
        let mut is_truncated = false;
        for (key, object) in found {
            let whole = fold(key);
            if whole.is_some() && names.last() == whole.as_ref() {
                continue;
            }
            if names.len() == *limit {
                is_truncated = true;
                break;
            }
            names.push(whole.clone().unwrap_or_else(|| key.clone()));
            match whole {
                Some(whole) => prefixes.push(whole),
                None => objects.push((key.clone(), object.clone())),
            }
        }
        Said::Listed { objects, prefixes, next: names.pop().filter(|_| is_truncated) }
    }
}
