//! The last bytes of a pack: where its contents end and its tree begins.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{PackError, PageRef, Stamp};
use crate::{codec, limits};

/// The first bytes of a footer: the format and its version.
const MAGIC: [u8; 16] = *b"ostrakon pack 1\0";

/// The last bytes of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Bytes of all contents; the index follows.
    pub content: u64,
    /// How many entries there are.
    pub entries: u64,
    /// The tree's root, the last page of the index.
    pub root: PageRef,
    /// Mode and time of the directory itself.
    pub top: Stamp,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Bytes {
    magic: [u8; 16],
    content: u64,
    entries: u64,
    root: PageRef,
    top: Stamp,
}

impl Footer {
    /// Bytes of every footer.
    pub const LEN: usize = 58;

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let Self { content, entries, root, top } = *self;
        codec::encode(&Bytes { magic: MAGIC, content, entries, root, top })
    }

    /// The footer of these bytes, the last of an object of `size` bytes.
    ///
    /// # Errors
    /// [`PackError::Footer`] when they are none, or it does not fit the object.
    pub fn decode(bytes: &[u8], size: u64) -> Result<Self, PackError> {
        let Bytes { magic, content, entries, root, top } =
            codec::decode(bytes, Self::LEN).map_err(|_| PackError::Footer)?;
        let footer = Self { content, entries, root, top };
        let fits = content <= root.offset && root.end().is_some_and(|end| Some(end) <= footer.max_index_end(size));
        let sound = magic == MAGIC && entries <= limits::PACK_ENTRIES && top.is_valid() && root.is_sized();
        if fits && sound { Ok(footer) } else { Err(PackError::Footer) }
    }

    /// Where the index ends at the latest.
    fn max_index_end(&self, size: u64) -> Option<u64> {
        size.checked_sub(u64::try_from(Self::LEN).expect("a few bytes"))
    }

    /// Whether a page named by the page at `parent` can be where `page` says.
    ///
    /// # Errors
    /// [`PackError::Place`] when it cannot.
    pub fn check_page(&self, page: PageRef, parent: PageRef) -> Result<(), PackError> {
        let before = page.end().is_some_and(|end| end <= parent.offset);
        match page.is_sized() && page.offset >= self.content && before {
            true => Ok(()),
            false => Err(PackError::Place { offset: page.offset }),
        }
    }
}
