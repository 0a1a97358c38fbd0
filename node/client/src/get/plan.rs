//! What to read for a range of an object: pure.
//!
//! Whole rows where a range is long. A short range inside one row takes the cells that hold it and no more: of a
//! private object whole cells, since one opens as a whole; of a public one the few groups of 16 KiB around it.

use std::ops::Range;

use ostrakon_proto::{
    layout::{Layout, RowId, RowLayout},
    limits,
    seal::PieceId,
    tree,
};

/// One step of a read: some plaintext of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) row: RowId,
    pub(crate) shape: RowLayout,
    /// Which bytes of the row's plaintext are wanted.
    pub(crate) wanted: Range<usize>,
    /// Whether it is the only step.
    pub(crate) alone: bool,
}

/// A part of one cell that is wanted, and how to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// In which column.
    pub(crate) column: usize,
    /// What is read of it.
    pub(crate) range: tree::Range,
    /// The sealed piece, when it is one: its name and its bytes at the range's beginning.
    pub(crate) sealed: Option<(PieceId, usize)>,
    /// Which bytes of what was read, opened where sealed, are wanted.
    pub(crate) wanted: Range<usize>,
}

/// The steps of reading `range`, in order. An empty range has none, but that of an empty object.
pub(crate) fn steps(layout: Layout, range: Range<u64>) -> impl Iterator<Item = Step> {
    let alone = layout.rows_of(range.clone()).nth(1).is_none();
    layout.rows_of(range.clone()).map(move |row| {
        let shape = layout.row(row).expect("a layout has the rows it names");
        let (start, end) = (range.start.max(shape.plain.start), range.end.min(shape.plain.end).max(shape.plain.start));
        let offset = |at: u64| usize::try_from(at - shape.plain.start).expect("a row is at most 64 MiB");
        Step { row, wanted: offset(start)..offset(end), shape, alone }
    })
}

/// The parts that hold a short range; `None` when whole chunks are the better way, or the only one.
pub(crate) fn parts(layout: &Layout, step: &Step) -> Option<Vec<Part>> {
    let (k, piece) = (usize::from(layout.code().k), if layout.is_sealed() { limits::PIECE } else { limits::SEGMENT });
    let wanted = &step.wanted;
    if wanted.is_empty() {
        return None;
    }
    let (first, last) = (wanted.start / piece, (wanted.end - 1) / piece);
    // From half of the row on, few whole chunks cost less than many parts.
    if 2 * (last - first + 1) > k * step.shape.cells.len() {
        return None;
    }
    let part = |number: usize| {
        let (stripe, column) = (number / k, number % k);
        // In the short last stripe cells and pieces do not meet.
        step.shape.cells.get(stripe).filter(|cell| **cell == limits::SEGMENT)?;
        let begin = number * piece;
        let inside = wanted.start.max(begin) - begin..wanted.end.min(begin + piece) - begin;
        let cell = step.row.offset() + bytes(stripe * limits::SEGMENT);
        Some(if layout.is_sealed() {
            sealed_part(step, number, column, cell, inside)
        } else {
            let (range, skip) = cover(cell, &inside);
            Part { column, range, sealed: None, wanted: inside.start - skip..inside.end - skip }
        })
    };
    (first..=last).map(part).collect()
}

fn sealed_part(step: &Step, number: usize, column: usize, cell: u64, inside: Range<usize>) -> Part {
    let plain = usize::try_from(step.shape.plain.end - step.shape.plain.start).expect("a row is at most 64 MiB");
    let count = plain.div_ceil(limits::PIECE).max(1);
    let counter = step.shape.first_piece + u32::try_from(number).expect("a row has at most 1,020 pieces");
    let piece = PieceId { extent: step.row.extent, counter, last: step.shape.last && number + 1 == count };
    let len = limits::PIECE.min(plain - number * limits::PIECE) + limits::TAG;
    let range = tree::Range { start: cell, length: length(limits::SEGMENT) };
    Part { column, range, sealed: Some((piece, len)), wanted: inside }
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
    fn steps_cover_the_range_and_nothing_else() {
        let check = |size, range: Range<u64>, expect: &[(u32, Range<usize>)]| {
            let got: Vec<_> =
                steps(layout(size, true), range.clone()).map(|step| (step.row.row, step.wanted)).collect();
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
            let step = steps(layout, range.clone()).next().expect("a step");
            let got = parts(&layout, &step).map(|parts| {
                let plain = |part: Part| (part.column, part.range.start, part.range.length, part.wanted);
                parts.into_iter().map(plain).collect::<Vec<_>>()
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
        check(true, 2 * ROW..2 * ROW + 1, None);
    }

    #[test]
    fn sealed_parts_name_their_piece() {
        let layout = layout(2 * ROW, true);
        let step = steps(layout, 2 * ROW - 1..2 * ROW).next().expect("a step");
        let parts = parts(&layout, &step).expect("one cell");
        let piece = PieceId { extent: 0, counter: 31, last: true };
        assert_eq!((parts[0].column, parts[0].sealed), (3, Some((piece, 65_536))));
    }
}
