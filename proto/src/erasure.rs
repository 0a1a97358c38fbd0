//! The erasure code: systematic Reed-Solomon over GF(2^8) (ARCHITECTURE 3; SPEC, "Code").
//!
//! In go cells of one length, out come the missing ones. The field, the matrix and the kernels are those of
//! `reed-solomon-erasure`; what we ask it for are the coefficients that make one cell out of k others, found by
//! coding unit vectors. So present cells are only read, never copied, and are processed in strips that fit the cache.
//!
//! What a cell means is not here: see [`crate::row`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use reed_solomon_erasure::galois_8::{self, ReedSolomon};

use crate::params::Code;

/// Bytes of a cell that are processed together, so that inputs and outputs stay in the cache.
const STRIP: usize = 4 * 1024;
/// Codes whose matrices are cached. A network uses a handful; others are computed again when needed.
const CODES: usize = 32;

static READY: Mutex<BTreeMap<Code, Arc<Matrix>>> = Mutex::new(BTreeMap::new());

/// This processor cannot run the code's kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this processor lacks AVX2 or BMI2, which this build needs on x86-64: run it on a processor from 2015 or later"
)]
pub struct UnsupportedCpu;

/// Checks that this processor can run the code's kernels. Call it once at start, before any other function here.
///
/// # Errors
/// [`UnsupportedCpu`] when it cannot.
pub fn cpu_supported() -> Result<(), UnsupportedCpu> {
    #[cfg(target_arch = "x86_64")]
    if !(std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("bmi2")) {
        return Err(UnsupportedCpu);
    }
    Ok(())
}

/// The matrices of one code.
struct Matrix {
    code: ReedSolomon,
    data: usize,
    /// Coefficients of each parity cell over the data cells.
    parity: Vec<Vec<u8>>,
}

impl Matrix {
    fn new(code: Code) -> Self {
        let (data, spare) = (usize::from(code.k), usize::from(code.spare()));
        let solver = ReedSolomon::new(data, spare).expect("1 <= k < n <= 255 is a valid code");
        let mut matrix = Self { code: solver, data, parity: Vec::new() };
        let have: Vec<usize> = (0..data).collect();
        matrix.parity = matrix.coefficients(&have).split_off(data);
        matrix
    }

    fn of(code: Code) -> Arc<Self> {
        assert!(code.is_valid(), "invalid code {code}");
        let mut ready = READY.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.len() >= CODES && !ready.contains_key(&code) {
            ready.pop_first();
        }
        Arc::clone(ready.entry(code).or_insert_with(|| Arc::new(Self::new(code))))
    }

    /// For every cell, its coefficients over the k cells `have`: the cells themselves, when those are unit vectors.
    fn coefficients(&self, have: &[usize]) -> Vec<Vec<u8>> {
        let mut cells: Vec<(Vec<u8>, bool)> = vec![(vec![0; self.data], false); self.code.total_shard_count()];
        for (position, index) in have.iter().enumerate() {
            let (cell, present) = &mut cells[*index];
            cell[position] = 1;
            *present = true;
        }
        self.code.reconstruct(&mut cells).expect("any k cells of one length restore all");
        cells.into_iter().map(|(cell, _)| cell).collect()
    }
}

/// Fills the n-k `parity` cells from the k `data` cells; all are of one length.
///
/// # Panics
/// When the number of cells is not the code's, or their lengths differ.
pub fn encode(code: Code, data: &[&[u8]], parity: &mut [Vec<u8>]) {
    let matrix = Matrix::of(code);
    assert_eq!((data.len(), parity.len()), (matrix.data, matrix.parity.len()), "cells of the code {code}");
    combine(data, &matrix.parity, parity);
}

/// The cells `wanted`, computed from the first k that are present in `cells`; `None` when fewer than k are.
///
/// # Panics
/// When the number of cells is not the code's, or their lengths differ.
pub fn reconstruct(code: Code, cells: &[Option<&[u8]>], wanted: &[usize]) -> Option<Vec<Vec<u8>>> {
    assert_eq!(cells.len(), usize::from(code.n), "cells of the code {code}");
    let matrix = Matrix::of(code);
    let present = cells.iter().enumerate().filter_map(|(index, cell)| cell.map(|cell| (index, cell)));
    let (have, inputs): (Vec<usize>, Vec<&[u8]>) = present.take(matrix.data).unzip();
    if have.len() < matrix.data {
        return None;
    }
    let all = matrix.coefficients(&have);
    let rows: Vec<Vec<u8>> = wanted.iter().map(|index| all[*index].clone()).collect();
    let mut outputs = vec![vec![0; inputs[0].len()]; rows.len()];
    combine(&inputs, &rows, &mut outputs);
    Some(outputs)
}

/// Each output is the sum of the inputs, weighted by its row of coefficients.
fn combine(inputs: &[&[u8]], rows: &[Vec<u8>], outputs: &mut [Vec<u8>]) {
    let len = inputs[0].len();
    assert!(inputs.iter().all(|cell| cell.len() == len), "cells of one length");
    assert!(outputs.iter().all(|cell| cell.len() == len), "cells of one length");
    for start in (0..len).step_by(STRIP) {
        let strip = start..len.min(start + STRIP);
        for (row, output) in rows.iter().zip(outputs.iter_mut()) {
            let output = &mut output[strip.clone()];
            galois_8::mul_slice(row[0], &inputs[0][strip.clone()], output);
            for (factor, input) in row.iter().zip(inputs).skip(1) {
                galois_8::mul_slice_xor(*factor, &input[strip.clone()], output);
            }
        }
    }
}

#[cfg(test)]
mod reference;

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample};

    use super::*;

    fn cells(count: usize, len: usize, seed: u64) -> Vec<Vec<u8>> {
        let mut stream = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
        let cell = || {
            let mut cell = vec![0; len];
            stream.fill(&mut cell);
            cell
        };
        std::iter::repeat_with(cell).take(count).collect()
    }

    fn encoded(code: Code, data: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let slices: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let mut parity = vec![vec![0xff; data[0].len()]; usize::from(code.spare())];
        encode(code, &slices, &mut parity);
        data.iter().cloned().chain(parity).collect()
    }

    #[test]
    fn this_machine_can() {
        assert_eq!(cpu_supported(), Ok(()));
    }

    #[test]
    fn agrees_with_the_reference() {
        for (k, n) in [
            (1, 2),
            (1, 3),
            (2, 4),
            (3, 6),
            (4, 9),
            (4, 12),
            (6, 12),
            (8, 24),
            (16, 32),
            (20, 50),
            (1, 255),
            (254, 255),
        ] {
            for len in [1, 31, 32, 33, 64, 100] {
                let data = cells(usize::from(k), len, u64::from(n));
                let code = Code::new(k, n).expect("valid");
                assert_eq!(encoded(code, &data), reference::encode(k, n, &data), "{code}, {len} bytes");
            }
        }
    }

    #[test]
    fn any_two_of_four_restore_all() {
        let code = Code::new(2, 4).expect("valid");
        let all = encoded(code, &cells(2, 3 * STRIP + 64, 5));
        for lost in (0..4).flat_map(|a| (0..4).map(move |b| [a, b])).filter(|[a, b]| a < b) {
            let left: Vec<Option<&[u8]>> =
                all.iter().enumerate().map(|(at, cell)| (!lost.contains(&at)).then_some(cell.as_slice())).collect();
            let made = reconstruct(code, &left, &lost).expect("two are left");
            assert_eq!(made, [all[lost[0]].clone(), all[lost[1]].clone()], "{lost:?}");
        }
    }

    #[test]
    fn fewer_than_k_restore_nothing() {
        let code = Code::new(3, 6).expect("valid");
        let cell = [1; 64];
        let left = [Some(&cell[..]), None, None, None, None, Some(&cell[..])];
        assert_eq!(reconstruct(code, &left, &[1]), None);
    }

    #[test]
    fn more_codes_than_are_kept_ready_still_work() {
        for n in 2..200 {
            let code = Code::new(1, n).expect("valid");
            let all = encoded(code, &cells(1, 64, 1));
            assert!(all.iter().all(|cell| *cell == all[0]), "with k = 1 every cell is the data");
        }
        assert!(READY.lock().expect("no test panics with it").len() <= CODES);
    }

    fn losses() -> impl Strategy<Value = (Code, Vec<usize>, u64)> {
        let code =
            sample::select(vec![(1, 3), (2, 4), (3, 6), (4, 12), (6, 12), (16, 32), (20, 50), (7, 11), (50, 255)]);
        let code = code.prop_map(|(k, n)| Code::new(k, n).expect("valid"));
        code.prop_flat_map(|code| {
            let lost = sample::subsequence((0..usize::from(code.n)).collect::<Vec<_>>(), usize::from(code.spare()));
            (Just(code), lost, any::<u64>())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_k_cells_restore_all((code, lost, seed) in losses()) {
            let all = encoded(code, &cells(usize::from(code.k), 100, seed));
            let left = |at: usize| (!lost.contains(&at)).then(|| all[at].as_slice());
            let made = reconstruct(code, &(0..all.len()).map(left).collect::<Vec<_>>(), &lost).expect("k are left");
            for (index, cell) in lost.iter().zip(&made) {
                prop_assert_eq!(cell, &all[*index]);
            }
            let have: Vec<_> = (0..all.len()).filter_map(|at| Some((at, left(at)?.to_vec()))).collect();
            let data = reference::decode(code.k, code.n, &have);
            prop_assert_eq!(&data[..], &all[..usize::from(code.k)]);
        }
    }
}
