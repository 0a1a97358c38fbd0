//! Fees under load: a factor on the parameters' fees, adjusted from block to block as in EIP-1559.
//!
//! In go the bytes of transactions of a block, out comes the factor for the next one. A half-full block leaves it
//! unchanged, a full one raises it by an eighth, an empty one lowers it by an eighth, and others in proportion. It
//! never falls below one: the fees of the parameters are the least. So filling blocks costs more with each block, and
//! senders know the price before they sign. Transactions with a deadline pay the factor one whatever the load
//! ([`super::priority`]), so that nobody can price them out. Not here: the fees themselves ([`super::Rules`]).

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    id::Amount,
    limits::{FEE_STEP, FEE_TARGET},
};

/// Multiple of the parameters' fees, in units of 2^-20.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct FeeFactor(u64);

impl FeeFactor {
    /// One: the fees of the parameters.
    pub const ONE: Self = Self(1 << 20);
    /// The upper bound; with it, a transaction costs more than anyone has.
    pub const MOST: Self = Self(1 << 52);

    /// The factor after a block with this factor and this many bytes of transactions.
    #[must_use]
    pub fn after(self, bytes: usize) -> Self {
        let wide = |count: usize| u128::try_from(count).expect("a usize fits");
        let (factor, used, target) = (u128::from(self.0), wide(bytes), wide(FEE_TARGET));
        let change = factor * used.abs_diff(target).min(target) / target / FEE_STEP;
        let next = if used > target { factor + change.max(1) } else { factor - change };
        u64::try_from(next).map_or(Self::MOST, |next| Self(next).clamp(Self::ONE, Self::MOST))
    }

    /// The factor after this many full blocks: the most it can be by then.
    #[must_use]
    pub fn after_full(self, blocks: usize) -> Self {
        (0..blocks).fold(self, |factor, _| factor.after(2 * FEE_TARGET))
    }

    /// This multiple of `fee`, rounded up, saturating.
    pub fn times(self, fee: Amount) -> Amount {
        let micro = (u128::from(fee.0) * u128::from(self.0)).div_ceil(u128::from(Self::ONE.0));
        Amount(u64::try_from(micro).unwrap_or(u64::MAX))
    }
}

/// With two decimals.
impl fmt::Display for FeeFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = u128::from(self.0) * 100 / u128::from(Self::ONE.0);
        write!(f, "{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::BLOCK;

    fn factors() -> impl Strategy<Value = FeeFactor> {
        prop_oneof![
            Just(FeeFactor::ONE),
            Just(FeeFactor::MOST),
            (FeeFactor::ONE.0..=2 * FeeFactor::ONE.0).prop_map(FeeFactor),
            (FeeFactor::ONE.0..=FeeFactor::MOST.0).prop_map(FeeFactor),
        ]
    }

    #[test]
    fn each_block_moves_it_by_an_eighth_at_most() {
        let steps = [
            ("an empty block leaves the least", FeeFactor::ONE, 0, "1.00"),
            ("half a block leaves it as it is", FeeFactor::ONE, FEE_TARGET, "1.00"),
            ("a byte more raises it", FeeFactor(1 << 21), FEE_TARGET + 1, "2.00"),
            ("a full block raises it by an eighth", FeeFactor::ONE, BLOCK, "1.12"),
            ("three quarters by a sixteenth", FeeFactor::ONE, FEE_TARGET / 2 * 3, "1.06"),
            ("an empty block lowers it by an eighth", FeeFactor(1 << 21), 0, "1.75"),
            ("a quarter by a sixteenth", FeeFactor(1 << 21), FEE_TARGET / 2, "1.87"),
            ("more than a block is no more than a block", FeeFactor::ONE, usize::MAX, "1.12"),
            ("it does not fall below one", FeeFactor(FeeFactor::ONE.0 + 5), 0, "1.00"),
        ];
        for (desc, before, bytes, expect) in steps {
            assert_eq!(before.after(bytes).to_string(), expect, "{desc}");
        }
        assert!(FeeFactor::ONE.after(FEE_TARGET + 1) > FeeFactor::ONE, "however little it is too much");
        assert_eq!(FeeFactor::MOST.after(BLOCK), FeeFactor::MOST);
    }

    #[test]
    fn fees_round_up_and_saturate() {
        let check = |factor: FeeFactor, fee, expect| assert_eq!(factor.times(Amount(fee)), Amount(expect));
        check(FeeFactor::ONE, 1_161, 1_161);
        check(FeeFactor::ONE.after(BLOCK), 1_000, 1_125);
        check(FeeFactor::ONE.after(BLOCK), 1_161, 1_307);
        check(FeeFactor::ONE, u64::MAX, u64::MAX);
        check(FeeFactor::MOST, u64::MAX, u64::MAX);
        check(FeeFactor::MOST, 0, 0);
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(factor in factors(), bytes in 0..=2 * BLOCK) {
            let next = factor.after(bytes);
            prop_assert!((FeeFactor::ONE..=FeeFactor::MOST).contains(&next));
            prop_assert!(u128::from(next.0) * 8 <= u128::from(factor.0) * 9 + 8, "at most an eighth up");
            prop_assert!(u128::from(next.0) * 8 >= u128::from(factor.0) * 7, "at most an eighth down");
        }

        #[test]
        fn a_fuller_block_is_never_cheaper(factor in factors(), one in 0..=BLOCK, other in 0..=BLOCK) {
            let (less, more) = (one.min(other), one.max(other));
            prop_assert!(factor.after(less) <= factor.after(more));
            prop_assert!(factor.after(more) <= factor.after_full(1));
        }

        #[test]
        fn a_dearer_factor_makes_no_fee_cheaper(one in factors(), other in factors(), fee: u64) {
            let (less, more) = (one.min(other), one.max(other));
            prop_assert!(Amount(fee) <= less.times(Amount(fee)));
            prop_assert!(less.times(Amount(fee)) <= more.times(Amount(fee)));
        }
    }

    /// Load that comes and goes leaves nothing behind.
    #[test]
    fn it_comes_down_again() {
        let high = FeeFactor::ONE.after_full(40);
        assert!(high.to_string().starts_with("111."), "{high}");
        let low = (0..40).fold(high, |factor, _| factor.after(0));
        assert_eq!(low, FeeFactor::ONE);
    }
}
