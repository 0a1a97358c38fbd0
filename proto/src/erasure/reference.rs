//! The code as SPEC has it, in the plainest way: what the fast one is compared with.

/// Product in GF(2^8) modulo x^8+x^4+x^3+x^2+1.
fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b > 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        let carry = a & 0x80 != 0;
        a <<= 1;
        if carry {
            a ^= 0x1d;
        }
        b >>= 1;
    }
    product
}

fn power(base: u8, exponent: usize) -> u8 {
    (0..exponent).fold(1, |product, _| multiply(product, base))
}

type Matrix = Vec<Vec<u8>>;

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    let cell = |row: &[u8], column: usize| {
        row.iter().zip(b).fold(0, |sum, (factor, row)| sum ^ multiply(*factor, row[column]))
    };
    a.iter().map(|row| (0..b[0].len()).map(|column| cell(row, column)).collect()).collect()
}

/// By Gauss and Jordan, beside an identity matrix.
fn inverse(matrix: &[Vec<u8>]) -> Matrix {
    let size = matrix.len();
    let unit = |row: usize| (0..size).map(move |column| u8::from(row == column));
    let mut work: Matrix =
        matrix.iter().enumerate().map(|(at, row)| row.iter().copied().chain(unit(at)).collect()).collect();
    for pivot in 0..size {
        let found = (pivot..size).find(|row| work[*row][pivot] != 0).expect("an invertible matrix");
        work.swap(pivot, found);
        let scale = power(work[pivot][pivot], 254);
        work[pivot].iter_mut().for_each(|cell| *cell = multiply(*cell, scale));
        let line = work[pivot].clone();
        for row in (0..size).filter(|row| *row != pivot) {
            let factor = work[row][pivot];
            work[row].iter_mut().zip(&line).for_each(|(cell, from)| *cell ^= multiply(factor, *from));
        }
    }
    work.into_iter().map(|row| row[size..].to_vec()).collect()
}

/// The n x k matrix of the code.
fn matrix(k: u8, n: u8) -> Matrix {
    let vandermonde: Matrix =
        (0..n).map(|row| (0..usize::from(k)).map(|column| power(row, column)).collect()).collect();
    product(&vandermonde, &inverse(&vandermonde[..usize::from(k)]))
}

/// All n cells from the k data cells.
pub(super) fn encode(k: u8, n: u8, data: &[Vec<u8>]) -> Vec<Vec<u8>> {
    product(&matrix(k, n), &data.to_vec())
}

/// The k data cells from k cells with their indexes.
pub(super) fn decode(k: u8, n: u8, have: &[(usize, Vec<u8>)]) -> Vec<Vec<u8>> {
    let matrix = matrix(k, n);
    let rows: Matrix = have.iter().map(|(index, _)| matrix[*index].clone()).collect();
    let cells: Matrix = have.iter().map(|(_, cell)| cell.clone()).collect();
    product(&inverse(&rows), &cells)
}
