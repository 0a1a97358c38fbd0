//! Which byte lies where: an object's size and code determine its extents, stripes, cells and columns (SPEC, "Layout").
//!
//! In goes the plaintext's size, the code and whether it is sealed; out come the shapes that [`crate::row`],
//! [`crate::manifest`] and every reader and writer agree on. No bytes are touched here.
//!
//! The unit of work is the **row**: four stripes, so one [`limits::CHUNK`] of each column at the same offset.

use std::ops::Range;

use crate::{limits, params::Code};

/// Stripes of a full row.
const ROW_STRIPES: u64 = 4;
/// Rows of a full extent.
const EXTENT_ROWS: u64 = limits::EXTENT_STRIPES / ROW_STRIPES;
/// [`limits::SEGMENT`] and [`limits::TAG`], for lengths of streams.
const SEGMENT: u64 = limits::COLUMN / limits::EXTENT_STRIPES;
const TAG: u64 = 16;
/// Upper bound of a manifest's bytes beside its extents.
const MANIFEST_HEAD: usize = 256;
/// Upper bound of an extent's bytes in a manifest beside its columns: map, two keys, two list lengths.
const MANIFEST_EXTENT: usize = 24;
/// Bytes of one column's CID in a manifest.
const MANIFEST_COLUMN: usize = 41;
/// Bytes of one read token's hash in a manifest.
const MANIFEST_TOKEN: usize = 34;

/// Why an object cannot be laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// Not `1 <= k < n`.
    #[error("invalid code {0}: need 1 <= K < N")]
    Code(Code),
    /// More extents than one manifest lists: store it as several objects, or with a larger K.
    #[error("object of {size} bytes is over the limit of {max} bytes with code {code}: split it, or use a larger K")]
    TooLarge {
        /// Bytes of the object.
        size: u64,
        /// Bytes that an object with this code can have.
        max: u64,
        /// The code.
        code: Code,
    },
}

/// One row of one extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId {
    /// The extent.
    pub extent: u32,
    /// The row in it: column bytes from `row` times [`limits::CHUNK`] on.
    pub row: u32,
}

impl RowId {
    /// Where the row's chunk begins in each column.
    pub fn offset(self) -> u64 {
        u64::from(self.row) * ROW_STRIPES * SEGMENT
    }

    /// Its number, counted over all extents: rows follow each other as the plaintext does.
    fn number(self) -> u64 {
        u64::from(self.extent) * EXTENT_ROWS + u64::from(self.row)
    }

    fn of_number(number: u64) -> Self {
        let part = |value: u64| u32::try_from(value).expect("a layout has at most 1,024 extents of 4,096 rows");
        Self { extent: part(number / EXTENT_ROWS), row: part(number % EXTENT_ROWS) }
    }
}

/// The shape of one extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtentLayout {
    /// Its stripes, 1 to [`limits::EXTENT_STRIPES`].
    pub stripes: u64,
    /// Bytes of each of its columns.
    pub column_len: u64,
    /// Its rows.
    pub rows: u32,
}

/// The shape of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowLayout {
    /// Range of the object's plaintext that it holds.
    pub plain: Range<u64>,
    /// Cell size of each of its 1 to 4 stripes; all but the object's last are full.
    pub cells: Vec<usize>,
    /// Number in the extent of the piece that its first cell begins with.
    pub first_piece: u32,
    /// Whether the object's last byte is in it.
    pub last: bool,
}

impl RowLayout {
    /// Bytes of the row's chunk in each column.
    pub fn chunk_len(&self) -> usize {
        self.cells.iter().sum()
    }
}

/// How an object's bytes are spread over its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    size: u64,
    code: Code,
    sealed: bool,
}

impl Layout {
    /// The layout of `size` plaintext bytes; `sealed` when the object is private.
    ///
    /// # Errors
    /// [`LayoutError`] when `code` is invalid, or the object would have more extents than a manifest holds.
    pub fn new(size: u64, code: Code, sealed: bool) -> Result<Self, LayoutError> {
        let longest = Self::longest(code, sealed)?;
        if size > longest.size {
            return Err(LayoutError::TooLarge { size, max: longest.size, code });
        }
        Ok(Self { size, ..longest })
    }

    /// The layout of the largest object, for a stream whose end is not known yet: a row other than an object's last is
    /// laid out alike in every layout that reaches past it.
    ///
    /// # Errors
    /// [`LayoutError::Code`] when `code` is invalid.
    pub fn longest(code: Code, sealed: bool) -> Result<Self, LayoutError> {
        if !code.is_valid() {
            return Err(LayoutError::Code(code));
        }
        let column = MANIFEST_COLUMN + if sealed { MANIFEST_TOKEN } else { 0 };
        let listed = (limits::MANIFEST - MANIFEST_HEAD) / (MANIFEST_EXTENT + usize::from(code.n) * column);
        let extents = u64::try_from(listed.min(limits::EXTENTS)).expect("at most 1,024");
        let empty = Self { size: 0, code, sealed };
        Ok(Self { size: extents * EXTENT_ROWS * empty.row_bytes(), ..empty })
    }

    /// Plaintext bytes of the object.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Whether it is private: cut into pieces, each sealed by itself.
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Its extents, at least one.
    pub fn extents(&self) -> u32 {
        u32::try_from(self.stripes().div_ceil(limits::EXTENT_STRIPES)).expect("at most 1,024")
    }

    /// The shape of one extent; `None` past the last.
    pub fn extent(&self, extent: u32) -> Option<ExtentLayout> {
        let before = u64::from(extent) * limits::EXTENT_STRIPES;
        let stripes = self.stripes().checked_sub(before).filter(|left| *left > 0)?.min(limits::EXTENT_STRIPES);
        let full = if extent + 1 == self.extents() { stripes - 1 } else { stripes };
        let short = if full < stripes { self.last_cell() } else { 0 };
        let rows = u32::try_from(stripes.div_ceil(ROW_STRIPES)).expect("at most 4,096");
        Some(ExtentLayout { stripes, column_len: full * SEGMENT + short, rows })
    }

    /// Bytes of all columns together.
    pub fn stored_bytes(&self) -> u64 {
        let column = (self.stripes() - 1) * SEGMENT + self.last_cell();
        column * u64::from(self.code.n)
    }

    /// The rows that hold this range of the plaintext, in order. `0..size` has at least one row, even in an empty
    /// object; any other empty range has none.
    pub fn rows_of(&self, range: Range<u64>) -> impl Iterator<Item = RowId> + use<> {
        let (start, end) = (range.start.min(self.size), range.end.min(self.size));
        let past = if start < end { end.div_ceil(self.row_bytes()) } else { u64::from(self.size == 0) };
        (start / self.row_bytes()..past).map(RowId::of_number)
    }

    /// The shape of one row; `None` past the last of its extent or of the object.
    pub fn row(&self, row: RowId) -> Option<RowLayout> {
        let extent = self.extent(row.extent).filter(|extent| row.row < extent.rows)?;
        let first = u64::from(row.row) * ROW_STRIPES;
        let stripes = (extent.stripes - first).min(ROW_STRIPES);
        let last = row.extent + 1 == self.extents() && row.row + 1 == extent.rows;
        let mut cells = vec![limits::SEGMENT; usize::try_from(stripes).expect("at most 4")];
        if let Some(cell) = cells.last_mut().filter(|_| last) {
            *cell = usize::try_from(self.last_cell()).expect("at most one segment");
        }
        let start = row.number() * self.row_bytes();
        let first_piece = u32::try_from(first * u64::from(self.code.k)).expect("at most 16,384 times 255");
        Some(RowLayout { plain: start..self.size.min(start + self.row_bytes()), cells, first_piece, last })
    }

    /// Plaintext bytes of one full cell.
    pub(crate) fn piece(&self) -> usize {
        if self.sealed { limits::PIECE } else { limits::SEGMENT }
    }

    /// Plaintext bytes of one full row.
    fn row_bytes(&self) -> u64 {
        let piece = SEGMENT - if self.sealed { TAG } else { 0 };
        ROW_STRIPES * u64::from(self.code.k) * piece
    }

    /// Bytes of the sealed stream: what is cut into cells.
    fn stream(&self) -> u64 {
        let pieces = self.size.div_ceil(SEGMENT - TAG).max(1);
        self.size + if self.sealed { pieces * TAG } else { 0 }
    }

    /// Stripes of the object, at least one.
    fn stripes(&self) -> u64 {
        self.stream().div_ceil(self.stripe_bytes()).max(1)
    }

    /// Stream bytes of a full stripe.
    fn stripe_bytes(&self) -> u64 {
        u64::from(self.code.k) * SEGMENT
    }

    /// Cell size of the object's last stripe.
    fn last_cell(&self) -> u64 {
        let rest = self.stream() - (self.stripes() - 1) * self.stripe_bytes();
        let unit = u64::try_from(limits::CELL_UNIT).expect("64");
        rest.div_ceil(u64::from(self.code.k)).next_multiple_of(unit).max(unit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FULL: u64 = limits::COLUMN;

    fn code(k: u8, n: u8) -> Code {
        Code::new(k, n).expect("valid")
    }

    fn layout(size: u64, code: Code, sealed: bool) -> Layout {
        Layout::new(size, code, sealed).expect("a layout")
    }

    fn extent(stripes: u64, column_len: u64, rows: u32) -> ExtentLayout {
        ExtentLayout { stripes, column_len, rows }
    }

    #[test]
    fn constants_agree() {
        let full = [limits::SEGMENT, limits::TAG, limits::CHUNK].map(u64::try_from);
        assert_eq!(full, [Ok(SEGMENT), Ok(TAG), Ok(ROW_STRIPES * SEGMENT)]);
    }

    #[test]
    fn columns_are_as_long_as_the_design_says() {
        let check = |size, sealed, expect: &[ExtentLayout]| {
            let layout = layout(size, code(2, 4), sealed);
            let got: Vec<_> = (0..layout.extents()).filter_map(|number| layout.extent(number)).collect();
            assert_eq!(got, expect, "{size} bytes, sealed: {sealed}");
            assert_eq!(layout.extent(layout.extents()), None);
            assert_eq!(layout.stored_bytes(), 4 * expect.iter().map(|extent| extent.column_len).sum::<u64>());
        };
        check(0, true, &[extent(1, 64, 1)]);
        check(0, false, &[extent(1, 64, 1)]);
        check(100, true, &[extent(1, 64, 1)]);
        check(112, true, &[extent(1, 64, 1)]);
        check(113, true, &[extent(1, 128, 1)]);
        check(129, false, &[extent(1, 128, 1)]);
        // Rounded up to a full stripe, one byte before and at it.
        check(2 * 65_520 - 1, true, &[extent(1, 65_536, 1)]);
        check(2 * 65_520, true, &[extent(1, 65_536, 1)]);
        check(2 * 65_520 + 1, true, &[extent(2, 65_600, 1)]);
        check(8 * 65_520, true, &[extent(4, 262_144, 1)]);
        check(8 * 65_520 + 1, true, &[extent(5, 262_208, 2)]);
        check(8 * 65_536, false, &[extent(4, 262_144, 1)]);
        check(2 * FULL, false, &[extent(16_384, FULL, 4_096)]);
        check(2 * FULL + 1, false, &[extent(16_384, FULL, 4_096), extent(1, 64, 1)]);
        let sealed_extent = 16_384 * 2 * 65_520;
        check(sealed_extent, true, &[extent(16_384, FULL, 4_096)]);
        check(sealed_extent + 1, true, &[extent(16_384, FULL, 4_096), extent(1, 64, 1)]);
    }

    #[test]
    fn rows_hold_the_ranges_that_are_asked_for() {
        let row = |extent, row| RowId { extent, row };
        let check = |size, range: Range<u64>, expect: &[RowId]| {
            let got: Vec<_> = layout(size, code(2, 4), false).rows_of(range.clone()).collect();
            assert_eq!(got, expect, "{range:?} of {size}");
        };
        let bytes = 8 * 65_536;
        check(0, 0..0, &[row(0, 0)]);
        check(0, 0..100, &[row(0, 0)]);
        check(100, 0..100, &[row(0, 0)]);
        check(100, 50..50, &[]);
        check(100, 100..200, &[]);
        check(3 * bytes, 0..1, &[row(0, 0)]);
        check(3 * bytes, bytes - 1..bytes + 1, &[row(0, 0), row(0, 1)]);
        check(3 * bytes, bytes..2 * bytes, &[row(0, 1)]);
        check(3 * bytes, 0..u64::MAX, &[row(0, 0), row(0, 1), row(0, 2)]);
        check(3 * FULL, 2 * FULL - 1..2 * FULL + 1, &[row(0, 4_095), row(1, 0)]);
    }

    #[test]
    fn objects_end_where_a_manifest_is_full() {
        for (code, sealed, extents) in
            [(code(4, 12), true, 1_024), (code(20, 50), true, 277), (code(20, 50), false, 505)]
        {
            let longest = Layout::longest(code, sealed).expect("a code");
            assert_eq!(longest.extents(), extents, "{code}");
            assert_eq!(Layout::new(longest.size(), code, sealed), Ok(longest));
            let over = Layout::new(longest.size() + 1, code, sealed);
            assert_eq!(over, Err(LayoutError::TooLarge { size: longest.size() + 1, max: longest.size(), code }));
            assert!(Layout::new(u64::MAX, code, sealed).is_err());
        }
        let none = Code { k: 3, n: 3 };
        assert_eq!(Layout::new(1, none, true), Err(LayoutError::Code(none)));
    }

    fn any_code() -> impl Strategy<Value = Code> {
        (1u8..=254).prop_flat_map(|k| (Just(k), k + 1..=255)).prop_map(|(k, n)| code(k, n))
    }

    proptest! {
        #[test]
        fn rows_tile_the_plaintext_and_fill_the_columns(size in 0u64..200_000_000, code in any_code(), sealed: bool) {
            let layout = layout(size, code, sealed);
            let longest = Layout::longest(code, sealed).expect("a code");
            let (mut at, mut columns, mut piece) = (0, 0, 0);
            for id in layout.rows_of(0..size) {
                let row = layout.row(id).expect("a row");
                prop_assert_eq!(row.plain.start, at);
                prop_assert_eq!(id.offset(), columns);
                prop_assert_eq!(row.first_piece, piece);
                prop_assert!((1..=4).contains(&row.cells.len()) && row.cells.iter().all(|cell| cell % 64 == 0));
                prop_assert_eq!(row.last, row.plain.end == size);
                prop_assert!(row.last || longest.row(id).as_ref() == Some(&row));
                at = row.plain.end;
                columns += u64::try_from(row.chunk_len()).expect("small");
                piece += 4 * u32::from(code.k);
            }
            prop_assert_eq!(at, size);
            let extent = layout.extent(0).expect("an extent");
            prop_assert_eq!(extent.column_len, columns);
            prop_assert_eq!(layout.stored_bytes(), columns * u64::from(code.n));
            prop_assert_eq!(layout.row(RowId { extent: 0, row: extent.rows }), None);
            prop_assert!(columns * u64::from(code.k) >= layout.stream());
            prop_assert!(extent.stripes == 1 || columns - 65_536 < layout.stream().div_ceil(u64::from(code.k)) + 64);
        }

        #[test]
        fn any_size_has_consistent_ends(any: u64, code in any_code(), sealed: bool) {
            let size = any % (Layout::longest(code, sealed).expect("a code").size() + 1);
            let layout = layout(size, code, sealed);
            let last = layout.extent(layout.extents() - 1).expect("the last extent");
            let row = layout.row(RowId { extent: layout.extents() - 1, row: last.rows - 1 }).expect("the last row");
            prop_assert!(row.last);
            prop_assert_eq!(row.plain.end, layout.size());
            prop_assert!(last.column_len <= limits::COLUMN && last.column_len >= 64);
        }
    }
}
