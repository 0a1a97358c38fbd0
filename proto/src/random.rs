//! An endless stream of unbiased numbers from one seed, by integers alone: every machine reads the same.
//!
//! BLAKE3 in its extended mode is the stream, and rejection keeps it unbiased (SPEC, "Draw").

/// The stream of one seed.
pub(crate) struct RandomStream(blake3::OutputReader);

impl RandomStream {
    /// The stream of `seed`, a canonical encoding, for this context.
    pub(crate) fn new(context: &'static str, seed: &[u8]) -> Self {
        Self(blake3::Hasher::new_derive_key(context).update(seed).finalize_xof())
    }

    /// A uniform number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: u128) -> u128 {
        let mask = u128::MAX.checked_shr((bound - 1).leading_zeros()).unwrap_or(0);
        loop {
            let mut bytes = [0; 16];
            self.0.fill(&mut bytes);
            let number = u128::from_le_bytes(bytes) & mask;
            if number < bound {
                return number;
            }
        }
    }
}
