//! Packs: a directory as one stream of bytes, of which one file can be read alone (SPEC, "Packs").
//!
//! First the contents of all files, one after the other; then the index, a tree of pages over the entries in the order
//! of their paths; at the very end a footer of fixed length, which says where the tree's root is. So a pack is written
//! in one pass, and a reader needs the end, a page on each level, and the bytes it wants.
//!
//! In go entries and out come pages ([`PackWriter`]); in go a stranger's bytes and out come entries ([`Footer`],
//! [`Page`]), each checked on its own, and all together by [`EntryCheck`]. Not here: directories, files and networks.

mod check;
mod entry;
mod footer;
mod page;
mod path;
mod writer;

pub use check::EntryCheck;
pub use entry::{Entry, FileContent, Kind, Stamp};
pub use footer::Footer;
pub use page::{Child, Children, Entries, Page, PageRef};
pub use path::{PackPath, PathError, escape};
pub use writer::{PackIndex, PackWriter};

use crate::limits;

/// Why bytes are no pack. The one who added it made it so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The last bytes are no footer, or that of a later version.
    #[error("the footer is malformed, or of a later version than this program knows")]
    Footer,
    /// A page does not decode.
    #[error("a page of the index is malformed")]
    Page,
    /// A page lies outside the index, or not before the page that names it.
    #[error("the index names a page at byte {offset}, where none can be")]
    Place {
        /// Where the page should be.
        offset: u64,
    },
    /// The tree is deeper than any that is needed.
    #[error("the index is more than {} pages deep", limits::PACK_DEPTH)]
    Depth,
    /// A path that leads out of its directory, or is none.
    #[error("the index has a path that cannot be: {0}")]
    Path(#[from] PathError),
    /// Paths are not in order, or one is there twice.
    #[error("the index is not in order, or has a path twice, at {0}")]
    Order(PackPath),
    /// What an entry lies in is no directory of the pack.
    #[error("the index has {0}, and what that lies in is no directory")]
    Parent(PackPath),
    /// A file's bytes are not where they can be.
    #[error("the index has {0}, whose bytes lie outside of the contents or in those of another file")]
    Bytes(PackPath),
    /// A mode, a time or a symlink's target is out of bounds.
    #[error("the index has {0}, with a mode, time or target that cannot be")]
    Value(PackPath),
    /// More or fewer entries than the footer says, or than there may be.
    #[error("the index has not the {want} entries that it says")]
    Count {
        /// How many there should be.
        want: u64,
    },
}

#[cfg(test)]
mod tests;
