//! Counts as numbers to divide.

/// A count as a number to divide; exact below 2^53.
pub fn float(count: u64) -> f64 {
    let half = |count: u64| f64::from(u32::try_from(count & u64::from(u32::MAX)).unwrap_or(u32::MAX));
    half(count >> 32).mul_add(4_294_967_296.0, half(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keep_their_value() {
        for (count, expect) in [(0, 0.0), (1, 1.0), (1 << 32, 4_294_967_296.0), (5_000_000_001, 5_000_000_001.0)] {
            assert_eq!(float(count), expect);
        }
    }
}
