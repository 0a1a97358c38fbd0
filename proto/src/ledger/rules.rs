//! What every rule needs to know of its chain, and prices: fees, storage, voting power.

use crate::{
    codec,
    id::{Amount, ChainId, Epoch},
    ledger::{
        genesis::Genesis,
        load::FeeFactor,
        priority::{TxPriority, priority},
        state::Records,
        tx::TxBody,
    },
    limits,
    params::{Code, Params},
    sign::Signature,
};

/// Bytes of one GiB.
pub(super) const GIB: u128 = 1 << 30;

/// The newest protocol version that this program supports; it supports all before it.
pub const PROTOCOL: u32 = 1;

/// What the next block of a chain is validated by, besides its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Id of the chain.
    pub chain: ChainId,
    /// Its parameter table.
    pub params: Params,
    /// Multiple of the fees under the current load.
    pub fee_factor: FeeFactor,
}

impl From<&Genesis> for Rules {
    fn from(genesis: &Genesis) -> Self {
        Self { chain: genesis.id(), params: genesis.params.clone(), fee_factor: FeeFactor::ONE }
    }
}

impl Rules {
    /// The rules for the block after `records`.
    pub fn at(chain: ChainId, records: &dyn Records) -> Self {
        Self { chain, params: records.params(), fee_factor: records.tip().running.fee_factor }
    }

    /// The oldest epoch whose draws are still valid in `epoch`.
    pub fn oldest_draw(&self, epoch: Epoch) -> Epoch {
        Epoch(epoch.0.saturating_sub(self.params.draw_epochs - 1))
    }

    /// The repair threshold R of `code` on this chain.
    pub fn repair_threshold(&self, code: Code) -> u8 {
        self.params.repair_threshold(code)
    }
}

impl Rules {
    /// The least fee of a transaction with this body in the next block; its `fee` field is ignored.
    pub fn fee(&self, body: &TxBody) -> Amount {
        self.fee_of(body, codec::encode(body).len() + size_of::<Signature>())
    }

    /// The fee to offer for a transaction with this body: the least fee, and under load as much as it can become within
    /// [`limits::FEE_HEADROOM`] blocks.
    pub fn offer(&self, body: &TxBody) -> Amount {
        match self.fee_factor {
            FeeFactor::ONE => self.fee(body),
            busy => Self { fee_factor: busy.after_full(limits::FEE_HEADROOM), ..self.clone() }.fee(body),
        }
    }

    /// The least fee of a transaction of `len` bytes with this body: each of its actions pays the base.
    pub(super) fn fee_of(&self, body: &TxBody, len: usize) -> Amount {
        let wide = |count: usize| u128::try_from(count).expect("a usize fits");
        let base = u128::from(self.params.fees.base.0) * wide(body.action.parts().len());
        let fee = saturate(base + u128::from(self.params.fees.byte.0) * wide(len));
        match priority(&body.action) {
            TxPriority::Deadline => fee,
            TxPriority::Ordinary => self.fee_factor.times(fee),
        }
    }
}

/// The voting power of a bond: its whole obols.
pub fn power(bond: Amount) -> u64 {
    bond.0 / Amount::OBOL.0
}

/// The highest percentage that one of this many infrastructures may have: `most`, or an even share where that is more.
pub(super) fn share_limit(most: u8, infrastructures: usize) -> u8 {
    let even = 100_usize.div_ceil(infrastructures.max(1));
    most.max(u8::try_from(even).expect("at most 100"))
}

/// Percentage of `all` that `part` is, rounded down.
pub(super) fn percent(part: u128, all: u128) -> u8 {
    let percent = part.saturating_mul(100).checked_div(all).unwrap_or(0);
    u8::try_from(percent).unwrap_or(u8::MAX)
}

/// Price of one epoch of a column of `column_len` bytes, where a GiB costs `price`: rounded up, saturating.
pub fn price_per_epoch(column_len: u64, price: Amount) -> Amount {
    saturate((u128::from(column_len) * u128::from(price.0)).div_ceil(GIB))
}

/// Price of one epoch of several columns of `column_len` bytes, where a GiB of each costs so much. Saturating.
pub fn price_of_all(column_len: u64, prices: impl Iterator<Item = Amount>) -> Amount {
    prices.fold(Amount::ZERO, |sum, price| Amount(sum.0.saturating_add(price_per_epoch(column_len, price).0)))
}

fn saturate(micro: u128) -> Amount {
    Amount(u64::try_from(micro).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_round_up_and_saturate() {
        let check = |column_len, price, expect| {
            assert_eq!(price_per_epoch(column_len, Amount(price)), Amount(expect), "{column_len} x {price}");
        };
        check(0, 1_000_000, 0);
        check(64, 0, 0);
        check(64, 1, 1);
        check(1 << 30, 1_000_000, 1_000_000);
        check(1 << 29, 1_000_001, 500_001);
        check(u64::MAX, u64::MAX, u64::MAX);
    }
}
