//! The work on one row, pure: what add, get and verify all do (ARCHITECTURE 3; SPEC, "Layout").
//!
//! [`encode`] turns a row's plaintext into the n chunks of its columns, [`decode`] turns any k of them back, and
//! [`reconstruct`] computes the missing chunks without a key. Rows do not depend on each other: callers spread them
//! over threads, and inside a row nothing is parallel. Not here: whether a chunk belongs to the column that the
//! manifest lists, which [`crate::tree`] verifies first.

use bytes::Bytes;

use crate::{
    erasure,
    layout::{Layout, RowId, RowLayout},
    limits,
    seal::{OpenError, PieceId, Sealer},
};

/// Why a row cannot be encoded or decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// The object has no such row.
    #[error("row {} of extent {} does not exist in this object", .0.row, .0.extent)]
    NoRow(RowId),
    /// The list of chunks is not one entry for each column.
    #[error("wrong number of chunks: {have} given, the code has {want} columns")]
    Columns {
        /// Entries given.
        have: usize,
        /// Columns of the code.
        want: usize,
    },
    /// Too few chunks: fetch more columns.
    #[error("too few chunks: {have} present, {need} needed; read more columns")]
    TooFew {
        /// Chunks present.
        have: usize,
        /// Chunks needed.
        need: usize,
    },
    /// The plaintext or a chunk does not have the length of the layout.
    #[error("wrong length: {have} bytes given, the layout has {want}")]
    Length {
        /// Bytes given.
        have: usize,
        /// Bytes of the layout.
        want: usize,
    },
    /// A key was given for a public object, or none for a private one.
    #[error("key mismatch: a private object needs its key, a public object has none")]
    Key,
    /// Decryption failed: another key sealed the bytes, or they were changed before they were coded.
    #[error(transparent)]
    NotAuthentic(#[from] OpenError),
}

/// The n chunks of a row, by column index, from its plaintext.
///
/// # Errors
/// [`RowError`] when `plain` does not have the row's length, or `sealer` does not match the layout.
pub fn encode(layout: &Layout, row: RowId, plain: &[u8], sealer: Option<&Sealer>) -> Result<Vec<Bytes>, RowError> {
    let want = plain_len(&shape(layout, row, sealer)?);
    if plain.len() != want {
        return Err(RowError::Length { have: plain.len(), want });
    }
    encode_with(layout, row, sealer, |at, out| {
        out.copy_from_slice(&plain[at..at + out.len()]);
        Ok(())
    })
}

/// As [`encode`], with plaintext from `read`: it fills the buffer it is given with the row's bytes from an offset on,
/// piece after piece in order, each in its final place.
///
/// # Errors
/// Those of `read`; [`RowError`] when `sealer` does not match the layout.
pub fn encode_with<E: From<RowError>>(
    layout: &Layout,
    row: RowId,
    sealer: Option<&Sealer>,
    read: impl FnMut(usize, &mut [u8]) -> Result<(), E>,
) -> Result<Vec<Bytes>, E> {
    let shape = shape(layout, row, sealer)?;
    let data = data_chunks(&Pieces { layout, row, shape: &shape, sealer }, read)?;
    let cells: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    let mut parity = vec![vec![0; shape.chunk_len()]; usize::from(layout.code().spare())];
    erasure::encode(layout.code(), &cells, &mut parity);
    Ok(data.into_iter().chain(parity).map(Bytes::from).collect())
}

/// All n chunks of a row from at least k of them; present ones are returned unchanged.
///
/// # Errors
/// [`RowError`] when they are too few or of another length.
pub fn reconstruct(layout: &Layout, row: RowId, chunks: &[Option<Bytes>]) -> Result<Vec<Bytes>, RowError> {
    let shape = layout.row(row).ok_or(RowError::NoRow(row))?;
    restore(layout, &shape, chunks, chunks.len())
}

/// The plaintext of a row from at least k of its n chunks. Parity is read only where data is missing.
///
/// # Errors
/// [`RowError`] when they are too few or of another length, are not authentic, or `sealer` does not match the layout.
pub fn decode(
    layout: &Layout,
    row: RowId,
    chunks: &[Option<Bytes>],
    sealer: Option<&Sealer>,
) -> Result<Bytes, RowError> {
    let shape = shape(layout, row, sealer)?;
    let data = restore(layout, &shape, chunks, usize::from(layout.code().k))?;
    let pieces = Pieces { layout, row, shape: &shape, sealer };
    let mut plain = Vec::with_capacity(plain_len(&shape) + limits::TAG);
    let mut stream = Stream::new(&shape.cells, &data);
    for (piece, len) in pieces.iter() {
        let start = plain.len();
        match sealer {
            None => stream.take(len, &mut plain),
            Some(sealer) => {
                stream.take(len + limits::TAG, &mut plain);
                let opened = sealer.open(piece, &mut plain[start..])?;
                plain.truncate(start + opened);
            }
        }
    }
    Ok(plain.into())
}

/// The row's shape, if it exists and a key is given exactly for a sealed layout.
fn shape(layout: &Layout, row: RowId, sealer: Option<&Sealer>) -> Result<RowLayout, RowError> {
    if layout.is_sealed() != sealer.is_some() {
        return Err(RowError::Key);
    }
    layout.row(row).ok_or(RowError::NoRow(row))
}

fn plain_len(shape: &RowLayout) -> usize {
    usize::try_from(shape.plain.end - shape.plain.start).expect("a row is at most 255 MiB")
}

/// The first `count` chunks of the row: unchanged where present, computed from others where not.
fn restore(layout: &Layout, shape: &RowLayout, chunks: &[Option<Bytes>], count: usize) -> Result<Vec<Bytes>, RowError> {
    let code = layout.code();
    if chunks.len() != usize::from(code.n) {
        return Err(RowError::Columns { have: chunks.len(), want: usize::from(code.n) });
    }
    let want = shape.chunk_len();
    if let Some(chunk) = chunks.iter().flatten().find(|chunk| chunk.len() != want) {
        return Err(RowError::Length { have: chunk.len(), want });
    }
    let (have, need) = (chunks.iter().flatten().count(), usize::from(code.k));
    if have < need {
        return Err(RowError::TooFew { have, need });
    }
    let missing: Vec<usize> = (0..count).filter(|index| chunks[*index].is_none()).collect();
    let mut made = Vec::new();
    if !missing.is_empty() {
        let cells: Vec<Option<&[u8]>> = chunks.iter().map(Option::as_deref).collect();
        made = erasure::reconstruct(code, &cells, &missing).ok_or(RowError::TooFew { have, need })?;
    }
    let mut made = made.into_iter().map(Bytes::from);
    let chunk = |chunk: &Option<Bytes>| chunk.clone().or_else(|| made.next()).expect("each missing chunk was made");
    Ok(chunks[..count].iter().map(chunk).collect())
}

/// The k data chunks of a row: each piece of a full stripe is read and sealed in its final place.
fn data_chunks<E>(
    pieces: &Pieces<'_>,
    mut read: impl FnMut(usize, &mut [u8]) -> Result<(), E>,
) -> Result<Vec<Vec<u8>>, E> {
    let (data, len) = (usize::from(pieces.layout.code().k), plain_len(pieces.shape));
    let mut chunks = vec![Vec::new(); data];
    chunks.iter_mut().for_each(|chunk| chunk.reserve_exact(pieces.shape.chunk_len()));
    let (mut work, mut at) = (pieces.iter(), 0);
    for cell in &pieces.shape.cells {
        let stripe = work.by_ref().take(data);
        if len - at >= data * pieces.layout.piece() {
            for ((piece, len), chunk) in stripe.zip(&mut chunks) {
                pieces.append(piece, len, chunk, |out| read(at, out))?;
                at += len;
            }
        } else {
            let mut stream = Vec::with_capacity(data * cell);
            for (piece, len) in stripe {
                pieces.append(piece, len, &mut stream, |out| read(at, out))?;
                at += len;
            }
            stream.resize(data * cell, 0);
            stream.chunks_exact(*cell).zip(&mut chunks).for_each(|(cell, chunk)| chunk.extend_from_slice(cell));
        }
    }
    Ok(chunks)
}

/// A row's plaintext, piece by piece.
struct Pieces<'a> {
    layout: &'a Layout,
    row: RowId,
    shape: &'a RowLayout,
    sealer: Option<&'a Sealer>,
}

impl Pieces<'_> {
    /// Each piece of the row with its plaintext length; an empty object has one empty piece.
    fn iter(&self) -> impl Iterator<Item = (PieceId, usize)> {
        let (len, piece) = (plain_len(self.shape), self.layout.piece());
        let count = len.div_ceil(piece).max(1);
        (0..count).map(move |at| {
            let counter = self.shape.first_piece + u32::try_from(at).expect("at most 4 times 255");
            let last = self.shape.last && at + 1 == count;
            (PieceId { extent: self.row.extent, counter, last }, piece.min(len - at * piece))
        })
    }

    /// Appends a piece of `len` bytes from `read`, sealed if the object is.
    fn append<E>(
        &self,
        piece: PieceId,
        len: usize,
        out: &mut Vec<u8>,
        read: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = out.len();
        let tag = if self.sealer.is_some() { limits::TAG } else { 0 };
        out.resize(start + len + tag, 0);
        read(&mut out[start..start + len])?;
        if let Some(sealer) = self.sealer {
            sealer.seal(piece, &mut out[start..]);
        }
        Ok(())
    }
}

/// Reads the stream of a row out of its data chunks: stripe after stripe, cell after cell.
struct Stream<'a> {
    cells: std::vec::IntoIter<&'a [u8]>,
    cell: &'a [u8],
}

impl<'a> Stream<'a> {
    fn new(sizes: &[usize], chunks: &'a [Bytes]) -> Self {
        let mut cells = Vec::with_capacity(sizes.len() * chunks.len());
        let mut offset = 0;
        for size in sizes {
            cells.extend(chunks.iter().map(|chunk| &chunk[offset..offset + size]));
            offset += size;
        }
        Self { cells: cells.into_iter(), cell: &[] }
    }

    /// Appends the next `len` bytes of the stream to `out`.
    fn take(&mut self, mut len: usize, out: &mut Vec<u8>) {
        while len > 0 {
            if self.cell.is_empty() {
                self.cell = self.cells.next().expect("the layout's cells hold the layout's stream");
            }
            let (taken, rest) = self.cell.split_at(len.min(self.cell.len()));
            out.extend_from_slice(taken);
            len -= taken.len();
            self.cell = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample};

    use super::*;
    use crate::{params::Code, seal::ObjectKey};

    const PIECE: u64 = 65_520;

    /// Where the layout changes its shape: nothing, within a cell unit, around a piece, a stripe and a row of 2 of 4.
    const SIZES: [u64; 18] = [
        0,
        1,
        63,
        64,
        100,
        112,
        113,
        PIECE - 1,
        PIECE,
        PIECE + 1,
        65_536,
        2 * PIECE - 64,
        2 * PIECE,
        2 * PIECE + 1,
        8 * PIECE - 1,
        8 * PIECE,
        8 * PIECE + 1,
        20 * PIECE + 777,
    ];

    fn key() -> ObjectKey {
        ObjectKey::from_bytes([9; 32])
    }

    fn code(text: &str) -> Code {
        text.parse().expect("valid")
    }

    fn bytes(len: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(len).expect("small")];
        blake3::Hasher::new().update(b"content").finalize_xof().fill(&mut bytes);
        bytes
    }

    /// One object and the chunks of each of its rows.
    struct Coded {
        layout: Layout,
        plain: Vec<u8>,
        rows: Vec<(RowId, Vec<Bytes>)>,
    }

    fn sealer(layout: &Layout) -> Option<Sealer> {
        layout.is_sealed().then(|| key().sealer())
    }

    fn plain_of<'a>(layout: &Layout, row: RowId, plain: &'a [u8]) -> &'a [u8] {
        let range = layout.row(row).expect("a row").plain;
        &plain[usize::try_from(range.start).expect("small")..usize::try_from(range.end).expect("small")]
    }

    fn coded(size: u64, code: Code, sealed: bool) -> Coded {
        let layout = Layout::new(size, code, sealed).expect("a layout");
        let (plain, sealer) = (bytes(size), sealer(&layout));
        let chunks = |row| encode(&layout, row, plain_of(&layout, row, &plain), sealer.as_ref()).expect("encodes");
        let rows = layout.rows_of(0..size).map(|row| (row, chunks(row))).collect();
        Coded { layout, plain, rows }
    }

    impl Coded {
        /// Decodes and restores each row without the columns `lost`.
        fn survives(&self, lost: &[usize]) {
            let sealer = sealer(&self.layout);
            for (row, all) in &self.rows {
                let left = |(at, chunk): (usize, &Bytes)| (!lost.contains(&at)).then(|| chunk.clone());
                let left: Vec<_> = all.iter().enumerate().map(left).collect();
                let plain = decode(&self.layout, *row, &left, sealer.as_ref()).expect("decodes");
                assert_eq!(plain, plain_of(&self.layout, *row, &self.plain), "{row:?} without {lost:?}");
                assert_eq!(reconstruct(&self.layout, *row, &left).as_ref(), Ok(all), "{row:?} without {lost:?}");
            }
        }

        /// Decodes the only row after `change` was made to its data chunks.
        fn changed(&self, change: impl FnOnce(&mut [Vec<u8>])) -> Result<Bytes, RowError> {
            let (row, all) = &self.rows[0];
            let mut chunks: Vec<Vec<u8>> = all.iter().map(|chunk| chunk.to_vec()).collect();
            change(&mut chunks);
            let chunks: Vec<_> = chunks.into_iter().map(|chunk| Some(Bytes::from(chunk))).collect();
            decode(&self.layout, *row, &chunks, sealer(&self.layout).as_ref())
        }
    }

    #[test]
    fn every_size_survives_every_loss_it_should() {
        for (size, sealed) in SIZES.into_iter().flat_map(|size| [(size, true), (size, false)]) {
            let object = coded(size, code("2/4"), sealed);
            for lost in [&[][..], &[0], &[3], &[0, 1], &[1, 2], &[2, 3]] {
                object.survives(lost);
            }
        }
    }

    #[test]
    fn chunks_are_the_stream_cell_after_cell() {
        let object = coded(600_000, code("2/4"), false);
        let chunks = &object.rows[0].1;
        assert_eq!(chunks[0][..65_536], object.plain[..65_536]);
        assert_eq!(chunks[1][..65_536], object.plain[65_536..131_072]);
        assert_eq!(chunks[0][65_536..131_072], object.plain[131_072..196_608]);
        // 600,000 - 8 x 65,536 bytes are left for the last stripe: two cells of 37,888, the second padded.
        let last = &object.rows[1].1;
        assert_eq!(last[0], object.plain[524_288..562_176]);
        assert_eq!(last[1][..37_824], object.plain[562_176..]);
        assert_eq!(last[1][37_824..], [0; 64]);
    }

    #[test]
    fn an_empty_public_object_is_one_stripe_of_zeroes() {
        assert_eq!(coded(0, code("2/4"), false).rows[0].1, vec![Bytes::from_static(&[0; 64]); 4]);
    }

    #[test]
    fn sealed_rows_do_not_open_when_changed() {
        // Seven full pieces and a short stripe's one.
        let object = coded(6 * PIECE + 100, code("2/4"), true);
        assert_eq!(object.changed(|_| ()), Ok(Bytes::from(object.plain.clone())));
        let check = |what: &str, change: &dyn Fn(&mut [Vec<u8>])| {
            let opened = object.changed(change);
            assert!(matches!(opened, Err(RowError::NotAuthentic(_))), "{what}: {opened:?}");
        };
        check("a flipped bit", &|chunks| chunks[1][70_000] ^= 1);
        check("a flipped bit of a tag", &|chunks| chunks[0][65_535] ^= 128);
        check("a flipped bit of the last piece", &|chunks| chunks[1][3 * 65_536 + 10] ^= 1);
        check("two columns swapped", &|chunks| chunks.swap(0, 1));
        check("two stripes swapped", &|chunks| {
            let (first, second) = chunks[0].split_at_mut(65_536);
            first.swap_with_slice(&mut second[..65_536]);
        });
        check("a piece twice", &|chunks| chunks[0].copy_within(0..65_536, 65_536));
    }

    #[test]
    fn sealed_rows_do_not_open_when_cut_or_lengthened() {
        // The bytes of one object passed off as those of a shorter or longer one with the same key.
        let object = coded(8 * PIECE, code("2/4"), true);
        let (row, all) = &object.rows[0];
        let check = |size, chunk_len: usize| {
            let layout = Layout::new(size, code("2/4"), true).expect("a layout");
            let cut: Vec<_> = all.iter().map(|chunk| Some(chunk.slice(..chunk_len))).collect();
            let opened = decode(&layout, *row, &cut, Some(&key().sealer()));
            assert!(matches!(opened, Err(RowError::NotAuthentic(_))), "{size} bytes: {opened:?}");
        };
        check(6 * PIECE, 3 * 65_536);
        check(2 * PIECE, 65_536);
        check(8 * PIECE + 1, 4 * 65_536);
        check(8 * PIECE - 1, 4 * 65_536);
    }

    #[test]
    fn another_key_or_row_does_not_open() {
        let object = coded(9 * PIECE, code("2/4"), true);
        let chunks: Vec<_> = object.rows[0].1.iter().cloned().map(Some).collect();
        let other = ObjectKey::from_bytes([8; 32]).sealer();
        let opened = decode(&object.layout, object.rows[0].0, &chunks, Some(&other));
        assert!(matches!(opened, Err(RowError::NotAuthentic(_))), "{opened:?}");
        let longer = Layout::new(16 * PIECE, code("2/4"), true).expect("a layout");
        let opened = decode(&longer, RowId { extent: 0, row: 1 }, &chunks, Some(&key().sealer()));
        assert!(matches!(opened, Err(RowError::NotAuthentic(_))), "{opened:?}");
    }

    #[test]
    fn invalid_rows_are_rejected() {
        let object = coded(100, code("2/4"), true);
        let (layout, sealer, row) = (&object.layout, key().sealer(), object.rows[0].0);
        let some = |index: usize| Some(object.rows[0].1[index].clone());
        let none = RowId { extent: 0, row: 1 };
        assert_eq!(encode(layout, row, &[0; 99], Some(&sealer)), Err(RowError::Length { have: 99, want: 100 }));
        assert_eq!(encode(layout, none, &[], Some(&sealer)), Err(RowError::NoRow(none)));
        assert_eq!(encode(layout, row, &[0; 100], None), Err(RowError::Key));
        let check = |chunks: &[Option<Bytes>], error: RowError| {
            assert_eq!(decode(layout, row, chunks, Some(&sealer)), Err(error));
            assert_eq!(reconstruct(layout, row, chunks), Err(error));
        };
        check(&[some(0), some(1), None], RowError::Columns { have: 3, want: 4 });
        check(&[None, None, some(2), None], RowError::TooFew { have: 1, need: 2 });
        check(&[some(0), None, None, Some(Bytes::from_static(&[0; 65]))], RowError::Length { have: 65, want: 64 });
        check(&[Some(Bytes::new()), some(1), None, None], RowError::Length { have: 0, want: 64 });
        assert_eq!(decode(layout, row, &[some(0), some(1), None, None], None), Err(RowError::Key));
        assert_eq!(reconstruct(layout, none, &[]), Err(RowError::NoRow(none)));
    }

    fn objects() -> impl Strategy<Value = (Code, Vec<usize>, u64, bool)> {
        let code = sample::select(vec!["1/3", "2/4", "3/6", "4/9", "4/12", "6/12", "8/24", "20/50"]).prop_map(code);
        code.prop_flat_map(|code| {
            let lost = sample::subsequence((0..usize::from(code.n)).collect::<Vec<_>>(), usize::from(code.spare()));
            let row = 4 * u64::from(code.k) * PIECE;
            let size = prop_oneof![0..2_000u64, 0..row, row - 2..row + 3, row..row + row / 4];
            (Just(code), lost, size, any::<bool>())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_k_columns_give_the_object_back((code, lost, size, sealed) in objects()) {
            coded(size, code, sealed).survives(&lost);
        }

        #[test]
        fn a_row_before_the_end_needs_no_size(size in 8 * PIECE + 1..20 * PIECE) {
            let object = coded(size, code("2/4"), true);
            let longest = Layout::longest(code("2/4"), true).expect("a code");
            let (row, all) = &object.rows[0];
            let plain = plain_of(&object.layout, *row, &object.plain);
            let again = encode(&longest, *row, plain, Some(&key().sealer()));
            prop_assert_eq!(again.as_ref(), Ok(all));
        }
    }
}
