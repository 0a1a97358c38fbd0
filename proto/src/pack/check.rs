//! Checks that entries, one after the other, are those of a directory.

use super::{
    Entry, Footer, Kind, PackError, PackPath,
    path::{common, compare},
};

/// What the next entry is checked against.
#[derive(Clone, Debug)]
pub struct EntryCheck {
    /// Bytes of all contents, and how many of them belong to files seen.
    content: u64,
    taken: u64,
    want: u64,
    seen: u64,
    previous: Vec<u8>,
    /// Those lengths of `previous` at which it names a directory, outermost first.
    directories: Vec<usize>,
}

impl EntryCheck {
    /// A check of all entries of a pack.
    pub fn new(footer: &Footer) -> Self {
        let (previous, directories) = Default::default();
        Self { content: footer.content, taken: 0, want: footer.entries, seen: 0, previous, directories }
    }

    /// A check from the entry of this path on, if there is one. That its ancestors are directories is assumed.
    pub fn from(footer: &Footer, path: &PackPath) -> Self {
        let mut check = Self::new(footer);
        if let Some(parent) = path.parent() {
            let bytes = parent.as_bytes();
            let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
            check.directories = slashes.chain([bytes.len()]).collect();
            check.previous = bytes.to_vec();
        }
        check
    }

    /// Checks the next entry.
    ///
    /// # Errors [`PackError`] when it is not after the one before, what it lies in was not a directory, or its bytes
    /// are not after those of the files before it.
    pub fn check(&mut self, entry: &Entry) -> Result<(), PackError> {
        let path = entry.path.as_bytes();
        if !self.previous.is_empty() && compare(&self.previous, path).is_ge() {
            return Err(PackError::Order(entry.path.clone()));
        }
        self.seen += 1;
        if self.seen > self.want {
            return Err(PackError::Count { want: self.want });
        }
        self.check_parent(&entry.path)?;
        self.check_bytes(entry)?;
        if entry.kind == Kind::Directory {
            self.directories.push(path.len());
        }
        self.previous.clear();
        self.previous.extend_from_slice(path);
        Ok(())
    }

    /// Checks that all entries were seen.
    ///
    /// # Errors
    /// [`PackError::Count`] when there should be more.
    pub fn finish(&self) -> Result<(), PackError> {
        if self.seen == self.want { Ok(()) } else { Err(PackError::Count { want: self.want }) }
    }

    fn check_parent(&mut self, path: &PackPath) -> Result<(), PackError> {
        let shared = common(&self.previous, path.as_bytes());
        // What the path is not in is done with.
        let holds = |len: usize| len <= shared && path.as_bytes().get(len) == Some(&b'/');
        while self.directories.last().is_some_and(|len| !holds(*len)) {
            self.directories.pop();
        }
        let parent = path.as_bytes().len() - path.name().len();
        match self.directories.last().map_or(0, |len| len + 1) == parent {
            true => Ok(()),
            false => Err(PackError::Parent(path.clone())),
        }
    }

    fn check_bytes(&mut self, entry: &Entry) -> Result<(), PackError> {
        let Kind::File(file) = &entry.kind else { return Ok(()) };
        let end = file.offset.checked_add(file.size).filter(|end| *end <= self.content && file.offset >= self.taken);
        self.taken = end.ok_or_else(|| PackError::Bytes(entry.path.clone()))?;
        Ok(())
    }
}
