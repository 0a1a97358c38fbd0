//! The random numbers of a run: the same seed gives the same run.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// A seeded source of what a simulated network does not decide itself.
#[derive(Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number from 0 to 1, without 1.
    pub fn share(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something happens that does with this probability.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// The time until something happens that has no memory, and takes `mean` on average: an exponential variable.
    pub fn wait(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.share()).ln()
    }

    /// A number below `count`, which is positive.
    pub fn pick(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).expect("a usize fits 64 bits");
        usize::try_from(self.0.next_u64() % count).expect("below a usize")
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_have_their_mean() {
        let mut dice = Dice::new(1);
        let mean = (0..100_000).map(|_| dice.wait(8.0)).sum::<f64>() / 100_000.0;
        assert!((mean - 8.0).abs() < 0.2, "{mean}");
        assert_eq!(Dice::new(7).pick(1_000), Dice::new(7).pick(1_000));
    }
}
