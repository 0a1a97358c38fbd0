//! What to read for a range of an object: pure.
//!
//! Whole rows where a range is long. A short range inside one row takes the cells that hold it and no more: of a
//! private object whole cells, since one opens as a whole; of a public one the few groups of 16 KiB around it. In the
//! short last stripe cells and pieces do not meet: there it takes the cells that its pieces lie in.

use std::ops::Range;

use ostrakon_proto::{
    layout::{Layout, RowId, RowLayout},
    limits,
    seal::PieceId,
    tree,
};

/// What is read of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowRead {
    pub(crate) row: RowId,
    pub(crate) shape: RowLayout,
    /// Which bytes of the row's plaintext are wanted.
    pub(crate) wanted: Range<usize>,
    /// Whether it is the only read.
    pub(crate) alone: bool,
}

/// What is read of one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CellRead {
    /// The index of its column.
    pub(crate) column: usize,
    /// The range of the column.
    pub(crate) range: tree::Range,
    /// The sealed piece at the start of the range, and its length; `None` in a public object.
    pub(crate) sealed: Option<(PieceId, usize)>,
    /// Which bytes of what was read, opened where sealed, are wanted.
    pub(crate) wanted: Range<usize>,
}

/// A few cells that hold a short range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CellReads {
    pub(crate) parts: Vec<CellRead>,
    /// The bytes after those cells, if they lie in the short last stripe.
    pub(crate) tail: Option<TailRead>,
}

impl CellReads {
    /// Bytes of columns that are read.
    pub(crate) fn bytes(&self) -> usize {
        let parts = self.parts.iter().map(|part| part.range.length);
        let tail = self.tail.iter().flat_map(|tail| tail.columns.clone().map(|_| tail.range.length));
        parts.chain(tail).map(|length| usize::try_from(length).expect("at most a chunk")).sum()
    }
}

/// Pieces at the object's end, in cells of its short last stripe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TailRead {
    /// The cells' columns.
    pub(crate) columns: Range<usize>,
    /// The range of each column.
    pub(crate) range: tree::Range,
    /// Bytes of it that are the cell.
    pub(crate) cell: usize,
    /// Bytes of the first cell that belong to the piece before.
    pub(crate) skip: usize,
    /// The sealed pieces, each with its length; none in a public object.
    pub(crate) sealed: Vec<(PieceId, usize)>,
    /// Which bytes of the pieces, opened where sealed, are wanted.
    pub(crate) wanted: Range<usize>,
}

/// What to read for `range`, row by row in order. An empty range needs no row, except that of an empty object.
pub(crate) fn row_reads(layout: Layout, range: Range<u64>) -> impl Iterator<Item = RowRead> {
    let alone = layout.rows_of(range.clone()).nth(1).is_none();
    layout.rows_of(range.clone()).map(move |row| {
        let shape = layout.row(row).expect("a layout has the rows it names");
        let (start, end) = (range.start.max(shape.plain.start), range.end.min(shape.plain.end).max(shape.plain.start));
        let offset = |at: u64| usize::try_from(at - shape.plain.start).expect("a row is at most 64 MiB");
        RowRead { row, wanted: offset(start)..offset(end), shape, alone }
    })
}

/// The cells that hold a short range; `None` when whole chunks are the better way.
pub(crate) fn short(layout: &Layout, read: &RowRead) -> Option<CellReads> {
    let (k, piece) = (usize::from(layout.code().k), piece_bytes(layout));
    let wanted = &read.wanted;
    if wanted.is_empty() {
        return None;
    }
    let (first, past) = (wanted.start / piece, (wanted.end - 1) / piece + 1);
    let stripes = read.shape.cells.len();
    let is_short = read.shape.cells.last().is_some_and(|cell| *cell < limits::SEGMENT);
    let full = k * (stripes - usize::from(is_short));
    let tail = (past > full).then(|| tail(layout, read, first.max(full)..past));
    let parts = first..past.min(full).max(first);
    // From half of the row on, few whole chunks cost less than many parts.
    if 2 * (parts.len() + tail.as_ref().map_or(0, |tail| tail.columns.len())) > k * stripes {
        return None;
    }
    Some(CellReads { parts: parts.map(|number| part(layout, read, number)).collect(), tail })
}

/// Plaintext bytes of a full cell.
fn piece_bytes(layout: &Layout) -> usize {
    if layout.is_sealed() { limits::PIECE } else { limits::SEGMENT }
}

fn part(layout: &Layout, read: &RowRead, number: usize) -> CellRead {
    let (k, piece) = (usize::from(layout.code().k), piece_bytes(layout));
    let (stripe, column, begin) = (number / k, number % k, number * piece);
    let inside = read.wanted.start.max(begin) - begin..read.wanted.end.min(begin + piece) - begin;
    let cell = read.row.offset() + bytes(stripe * limits::SEGMENT);
    if layout.is_sealed() {
        return sealed_part(read, number, column, cell, inside);
    }
    let (range, skip) = cover(cell, &inside);
    CellRead { column, range, sealed: None, wanted: inside.start - skip..inside.end - skip }
}

/// These pieces of the short last stripe.
fn tail(layout: &Layout, read: &RowRead, pieces: Range<usize>) -> TailRead {
    let (k, piece) = (usize::from(layout.code().k), piece_bytes(layout));
    let stripe = read.shape.cells.len() - 1;
    let cell = read.shape.cells[stripe];
    // The stripe's stream begins with a piece, and pieces follow each other in it without a gap.
    let begin = (pieces.start - stripe * k) * limits::SEGMENT;
    let sealed: Vec<_> =
        if layout.is_sealed() { pieces.clone().map(|number| sealed(read, number)).collect() } else { vec![] };
    let plain = read.wanted.end.min(pieces.end * piece);
    let end = match sealed.last() {
        Some((_, last)) => begin + (pieces.len() - 1) * limits::SEGMENT + last,
        None => begin + plain - pieces.start * piece,
    };
    let groups = cell.div_ceil(limits::GROUP).next_power_of_two();
    TailRead {
        columns: begin / cell..end.div_ceil(cell),
        range: tree::Range {
            start: read.row.offset() + bytes(stripe * limits::SEGMENT),
            length: length(groups * limits::GROUP),
        },
        cell,
        skip: begin % cell,
        sealed,
        wanted: read.wanted.start.max(pieces.start * piece) - pieces.start * piece..plain - pieces.start * piece,
    }
}

fn sealed_part(read: &RowRead, number: usize, column: usize, cell: u64, inside: Range<usize>) -> CellRead {
    let range = tree::Range { start: cell, length: length(limits::SEGMENT) };
    CellRead { column, range, sealed: Some(sealed(read, number)), wanted: inside }
}

/// The name of a piece of the row, and its bytes when sealed.
fn sealed(read: &RowRead, number: usize) -> (PieceId, usize) {
    let plain = usize::try_from(read.shape.plain.end - read.shape.plain.start).expect("a row is at most 64 MiB");
    let count = plain.div_ceil(limits::PIECE).max(1);
    let counter = read.shape.first_piece + u32::try_from(number).expect("a row has at most 1,020 pieces");
    let piece = PieceId { extent: read.row.extent, counter, last: read.shape.last && number + 1 == count };
    (piece, limits::PIECE.min(plain - number * limits::PIECE) + limits::TAG)
}

/// The smallest provable range around `inside` of the cell, and how far into the cell it begins.
fn cover(cell: u64, inside: &Range<usize>) -> (tree::Range, usize) {
    let (first, last) = (inside.start / limits::GROUP, (inside.end - 1) / limits::GROUP);
    let mut groups = 1;
    while first / groups != last / groups {
        groups *= 2;
    }
    let skip = first / groups * groups * limits::GROUP;
    (tree::Range { start: cell + bytes(skip), length: length(groups * limits::GROUP) }, skip)
}

fn bytes(count: usize) -> u64 {
    u64::try_from(count).expect("fewer bytes than a chunk has")
}

fn length(count: usize) -> u32 {
    u32::try_from(count).expect("at most a chunk")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ostrakon_proto::params::Code;

    const ROW: u64 = 4 * 4 * 65_520;

    fn layout(size: u64, sealed: bool) -> Layout {
        Layout::new(size, Code { k: 4, n: 9 }, sealed).expect("small")
    }

    #[test]
    fn rows_cover_the_range_and_nothing_else() {
        let check = |size, range: Range<u64>, expect: &[(u32, Range<usize>)]| {
            let got: Vec<_> =
                row_reads(layout(size, true), range.clone()).map(|read| (read.row.row, read.wanted)).collect();
            assert_eq!(got, expect, "{size} {range:?}");
        };
        check(0, 0..0, &[(0, 0..0)]);
        check(100, 0..100, &[(0, 0..100)]);
        check(100, 10..20, &[(0, 10..20)]);
        check(100, 50..50, &[]);
        check(ROW + 5, 10..ROW + 2, &[(0, 10..1_048_320), (1, 0..2)]);
        check(ROW + 5, ROW..ROW + 5, &[(1, 0..5)]);
    }

    #[test]
    fn short_ranges_read_few_groups() {
        type Plain = (usize, u64, u32, Range<usize>);
        let check = |sealed, range: Range<u64>, expect: Option<Vec<Plain>>| {
            let layout = layout(2 * ROW + 5, sealed);
            let read = row_reads(layout, range.clone()).next().expect("a row");
            let got = short(&layout, &read).map(|short| {
                assert_eq!(short.tail, None);
                let plain = |part: CellRead| (part.column, part.range.start, part.range.length, part.wanted);
                short.parts.into_iter().map(plain).collect::<Vec<_>>()
            });
            assert_eq!(got, expect, "{sealed} {range:?}");
        };
        check(false, 0..1, Some(vec![(0, 0, 16_384, 0..1)]));
        check(false, 65_536..65_537, Some(vec![(1, 0, 16_384, 0..1)]));
        check(false, 16_383..16_385, Some(vec![(0, 0, 32_768, 16_383..16_385)]));
        check(false, 32_767..32_769, Some(vec![(0, 0, 65_536, 32_767..32_769)]));
        check(false, 262_144..262_145, Some(vec![(0, 65_536, 16_384, 0..1)]));
        check(false, 65_535..65_537, Some(vec![(0, 49_152, 16_384, 16_383..16_384), (1, 0, 16_384, 0..1)]));
        check(false, 0..1_000_000, None);
        check(true, 0..1, Some(vec![(0, 0, 65_536, 0..1)]));
        check(true, 65_520..65_521, Some(vec![(1, 0, 65_536, 0..1)]));
        check(true, ROW..ROW + 1, Some(vec![(0, 262_144, 65_536, 0..1)]));
    }

    #[test]
    fn sealed_parts_name_their_piece() {
        let layout = layout(2 * ROW, true);
        let read = row_reads(layout, 2 * ROW - 1..2 * ROW).next().expect("a row");
        let CellReads { parts, tail } = short(&layout, &read).expect("one cell");
        assert_eq!(tail, None);
        let piece = PieceId { extent: 0, counter: 31, last: true };
        assert_eq!((parts[0].column, parts[0].sealed), (3, Some((piece, 65_536))));
    }

    #[test]
    fn the_end_takes_the_cells_that_it_lies_in() {
        // Two full stripes, and one of 100,000 bytes: cells of 25,024.
        let size = 2 * 4 * 65_520 + 100_000;
        let check = |range: Range<u64>, columns, skip, lens: &[usize], wanted| {
            let layout = layout(size, true);
            let read = row_reads(layout, range.clone()).next().expect("a row");
            let tail = short(&layout, &read).expect("few cells").tail.expect("in the short stripe");
            let lengths: Vec<usize> = tail.sealed.iter().map(|(_, len)| *len).collect();
            assert_eq!(
                (tail.columns, tail.skip, &lengths[..], tail.wanted),
                (columns, skip, lens, wanted),
                "{range:?}"
            );
            assert_eq!((tail.cell, tail.range), (25_024, tree::Range { start: 2 * 65_536, length: 32_768 }));
        };
        check(size - 58..size, 2..4, 65_536 - 2 * 25_024, &[34_496], 34_422..34_480);
        check(size - 99_999..size - 99_998, 0..3, 0, &[65_536], 1..2);
        check(size - 40_000..size, 0..4, 0, &[65_536, 34_496], 60_000..100_000);
        // Of a public object the bytes themselves; the piece before as a part.
        let layout = layout(2 * 4 * 65_536 + 100_000, false);
        let read = row_reads(layout, layout.size() - 100_001..layout.size() - 99_900).next().expect("a row");
        let CellReads { parts, tail } = short(&layout, &read).expect("few cells");
        let tail = tail.expect("in the short stripe");
        assert_eq!((parts.len(), parts[0].column, tail.columns, tail.skip, tail.wanted), (1, 3, 0..1, 0, 0..100));
        assert!(tail.sealed.is_empty());
    }
}
