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
pub use entry::{Entry, FileContent, Kind, Stamp, serialize_bytes};
pub use footer::Footer;
pub use page::{Child, Children, Entries, Page, PageRef};
pub use path::{PackPath, PathError, escape};
pub use writer::{PackIndex, PackWriter};

use crate::limits;

/// Why bytes are not a valid pack: it was added so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The last bytes are not a footer, or that of a later version.
    #[error("the footer is malformed, or of a later version than this program knows")]
    Footer,
    /// A page does not decode.
    #[error("a page of the index is malformed")]
    Page,
    /// A page lies outside the index, or not before the page that names it.
    #[error("the index refers to a page at byte {offset}, where no page can be")]
    Place {
        /// Where the page should be.
        offset: u64,
    },
    /// The tree is deeper than any that is needed.
    #[error("the index is more than {} pages deep", limits::PACK_DEPTH)]
    Depth,
    /// A path is invalid, or leads out of its directory.
    #[error("the index has an invalid path: {0}")]
    Path(#[from] PathError),
    /// Paths are not in order, or one is there twice.
    #[error("the index is not in order, or has a path twice, at {0}")]
    Order(PackPath),
    /// What an entry lies in is not a directory of the pack.
    #[error("the index has {0}, whose parent is not a directory")]
    Parent(PackPath),
    /// A file's bytes lie outside of the contents, or overlap another file's.
    #[error("the index has {0}, whose bytes lie outside of the contents or overlap those of another file")]
    Bytes(PackPath),
    /// A mode, a time or a symlink's target is out of bounds.
    #[error("the index has {0}, with an invalid mode, time or target")]
    Value(PackPath),
    /// More or fewer entries than the footer states, or more than are allowed.
    #[error("the index does not have the {want} entries that its footer states")]
    Count {
        /// How many there should be.
        want: u64,
    },
}

#[cfg(test)]
mod tests;
