//! The entries of a pack in order, a page at a time, each checked on its own and against those before it.
//!
//! Subtrees that were not asked for are skipped where whole pages are in them.

use ostrakon_proto::{
    limits,
    pack::{Child, Children, Entries, Entry, EntryCheck, Kind, PackError, PackPath, Page, PageRef},
};

use super::read::{PackReadError, PackReader};

/// Bytes of the index that are fetched at a time by a listing of all of it, and by one that may skip most of it.
const AHEAD_ALL: u64 = 1024 * 1024;
const AHEAD_SOME: u64 = 128 * 1024;

/// How deep a directory is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// Only what is directly in it.
    Children,
    /// Everything in it, at any depth.
    Everything,
}

/// Which entries are listed.
#[derive(Clone, Debug)]
pub(super) enum Scope {
    /// Those of the pack.
    Whole(Listing),
    /// Those in a directory.
    In(PackPath, Listing),
    /// The one of this path.
    At(PackPath),
}

/// Entries in the order of their paths.
#[derive(Debug)]
pub struct PackEntries<'a> {
    reader: &'a PackReader,
    scope: Scope,
    /// Before the first page.
    begins: bool,
    branches: Vec<Branch>,
    leaf: Option<Leaf>,
    floor: Option<Floor>,
    /// None when one entry is looked up: what comes before it is not known then.
    check: Option<EntryCheck>,
}

/// An open page of pages.
#[derive(Debug)]
struct Branch {
    at: PageRef,
    children: Children,
    next: Option<Child>,
    /// All paths below are before this one.
    upper: Option<PackPath>,
}

/// An open page of entries.
#[derive(Debug)]
struct Leaf {
    entries: Entries,
    lower: Option<PackPath>,
    upper: Option<PackPath>,
}

/// Where the listing continues.
#[derive(Clone, Debug)]
enum Floor {
    /// At this path.
    At(PackPath),
    /// After everything in this directory.
    Behind(PackPath),
}

impl Floor {
    fn is_above(&self, path: &PackPath) -> bool {
        match self {
            Self::At(floor) => path < floor,
            Self::Behind(floor) => path <= floor || path.is_in(floor),
        }
    }

    /// Whether a page cannot hold what is wanted, given that the next begins with `next`.
    fn is_beyond(&self, next: &PackPath) -> bool {
        match self {
            Self::At(floor) => next <= floor,
            Self::Behind(floor) => next <= floor || next.is_in(floor),
        }
    }
}

impl<'a> PackEntries<'a> {
    pub(super) fn new(reader: &'a PackReader, scope: Scope) -> Self {
        let (floor, check) = match &scope {
            Scope::Whole(_) => (None, Some(EntryCheck::new(&reader.footer))),
            Scope::In(path, _) => (Some(Floor::At(path.clone())), Some(EntryCheck::from(&reader.footer, path))),
            Scope::At(path) => (Some(Floor::At(path.clone())), None),
        };
        Self { reader, scope, begins: true, branches: Vec::new(), leaf: None, floor, check }
    }

    /// The next entry; `None` after the last.
    ///
    /// # Errors
    /// [`PackReadError`]; the listing has then ended.
    pub async fn next(&mut self) -> Result<Option<Entry>, PackReadError> {
        let next = self.advance().await;
        if !matches!(next, Ok(Some(_))) {
            self.end();
        }
        next
    }

    async fn advance(&mut self) -> Result<Option<Entry>, PackReadError> {
        loop {
            while let Some(leaf) = &mut self.leaf {
                match leaf.next().map_err(|error| self.reader.broken(error))? {
                    None => self.leaf = None,
                    Some(entry) => match self.take(entry).map_err(|error| self.reader.broken(error))? {
                        Taken::Wanted(entry) => return Ok(Some(entry)),
                        Taken::Passed => {}
                        Taken::End => return Ok(None),
                    },
                }
            }
            if !self.next_page().await? {
                let all = matches!(self.scope, Scope::Whole(Listing::Everything));
                let ended = self.check.as_ref().filter(|_| all).map_or(Ok(()), EntryCheck::finish);
                return ended.map(|()| None).map_err(|error| self.reader.broken(error));
            }
        }
    }

    /// Whether an entry is listed.
    fn take(&mut self, entry: Entry) -> Result<Taken, PackError> {
        if self.floor.as_ref().is_some_and(|floor| floor.is_above(&entry.path)) {
            return Ok(Taken::Passed);
        }
        let listing = match &self.scope {
            Scope::At(path) => return Ok(if entry.path == *path { Taken::Wanted(entry) } else { Taken::End }),
            Scope::In(path, _) if entry.path != *path && !entry.path.is_in(path) => return Ok(Taken::End),
            Scope::In(_, listing) | Scope::Whole(listing) => *listing,
        };
        if let Some(check) = &mut self.check {
            check.check(&entry)?;
        }
        if matches!(&self.scope, Scope::In(path, _) if *path == entry.path) {
            return Ok(Taken::Passed);
        }
        if listing == Listing::Children && entry.kind == Kind::Directory {
            self.floor = Some(Floor::Behind(entry.path.clone()));
        }
        Ok(Taken::Wanted(entry))
    }

    /// Opens the next leaf; whether there is one.
    async fn next_page(&mut self) -> Result<bool, PackReadError> {
        if std::mem::take(&mut self.begins) {
            let root = self.reader.footer.root;
            self.open(root, None, None).await?;
        }
        while self.leaf.is_none() {
            let Some(branch) = self.branches.last_mut() else { return Ok(false) };
            let found = branch.next(self.floor.as_ref()).map_err(|error| self.reader.broken(error))?;
            let Some((child, upper)) = found else {
                self.branches.pop();
                continue;
            };
            let placed = self.reader.footer.check_page(child.page, branch.at);
            placed.map_err(|error| self.reader.broken(error))?;
            self.open(child.page, Some(child.first), upper).await?;
        }
        Ok(true)
    }

    async fn open(
        &mut self,
        at: PageRef,
        lower: Option<PackPath>,
        upper: Option<PackPath>,
    ) -> Result<(), PackReadError> {
        if self.branches.len() == limits::PACK_DEPTH {
            return Err(self.reader.broken(PackError::Depth));
        }
        let ahead = match self.scope {
            Scope::Whole(Listing::Everything) | Scope::In(_, Listing::Everything) => AHEAD_ALL,
            Scope::Whole(Listing::Children) | Scope::In(_, Listing::Children) => AHEAD_SOME,
            Scope::At(_) => 0,
        };
        match self.reader.page(at, ahead).await? {
            Page::Leaf(entries) => self.leaf = Some(Leaf { entries, lower, upper }),
            Page::Branch(children) => {
                let mut branch = Branch { at, children, next: None, upper };
                branch.look(lower.as_ref()).map_err(|error| self.reader.broken(error))?;
                self.branches.push(branch);
            }
        }
        Ok(())
    }

    fn end(&mut self) {
        (self.begins, self.leaf) = (false, None);
        self.branches.clear();
    }
}

enum Taken {
    Wanted(Entry),
    Passed,
    End,
}

impl Leaf {
    /// The next entry; an error when lookups would not find it there.
    fn next(&mut self) -> Result<Option<Entry>, PackError> {
        let Some(entry) = self.entries.next().transpose()? else { return Ok(None) };
        check_between(&entry.path, self.lower.take().as_ref(), self.upper.as_ref())?;
        Ok(Some(entry))
    }
}

impl Branch {
    /// The next child that may hold listed entries, and the path that everything in it is before.
    fn next(&mut self, floor: Option<&Floor>) -> Result<Option<(Child, Option<PackPath>)>, PackError> {
        while let Some(child) = self.next.take() {
            self.look(None)?;
            let upper = self.next.as_ref().map(|next| &next.first);
            let passes = |next: &PackPath| floor.is_some_and(|floor| floor.is_beyond(next));
            if !upper.is_some_and(passes) {
                let upper = upper.or(self.upper.as_ref()).cloned();
                return Ok(Some((child, upper)));
            }
        }
        Ok(None)
    }

    /// Reads the next child of the page.
    fn look(&mut self, lower: Option<&PackPath>) -> Result<(), PackError> {
        self.next = self.children.next().transpose()?;
        match &self.next {
            Some(child) => check_between(&child.first, lower, self.upper.as_ref()),
            None => Ok(()),
        }
    }
}

fn check_between(path: &PackPath, lower: Option<&PackPath>, upper: Option<&PackPath>) -> Result<(), PackError> {
    let fits = lower.is_none_or(|lower| lower <= path) && upper.is_none_or(|upper| path < upper);
    if fits { Ok(()) } else { Err(PackError::Order(path.clone())) }
}
