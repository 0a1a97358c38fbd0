//! Collateral: the money of a provider that stands behind what it stores (ARCHITECTURE 5.4).
//!
//! A provider is drawn for what it can lose, not for what it says: neither an invented capacity nor a low price gives
//! it more columns than it has bond behind. In go bonds, bytes and prices; out come amounts and the bytes that a
//! provider can take. Not here: when collateral is reserved and freed, which `slots.rs` does.

use crate::{
    id::Amount,
    ledger::{
        rules::{GIB, price_per_epoch},
        state::{Provider, ProviderStatus},
    },
    params::{Audits, Bonds, Params},
    placement::{DomainTags, Offer},
};

/// Collateral of a GiB at this price: as many epochs of pay as the parameters say, or their least. Saturating.
fn of_gib(bonds: &Bonds, price: Amount) -> Amount {
    bonds.gib.max(Amount(price.0.saturating_mul(bonds.pay_epochs)))
}

/// Collateral of a column of `column_len` bytes at this price of a GiB and an epoch. Rounded up, saturating.
pub fn collateral(bonds: &Bonds, column_len: u64, price: Amount) -> Amount {
    price_per_epoch(column_len, of_gib(bonds, price))
}

/// The bond with which a provider can fill `capacity` bytes at this price. Saturating.
pub fn full_bond(bonds: &Bonds, capacity: u64, price: Amount) -> Amount {
    Amount(bonds.provider.0.saturating_add(collateral(bonds, capacity, price).0))
}

/// Why a provider cannot take a column for which it was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// It takes none any more.
    #[error("it has left, is draining or suspended, or changed its domain since the draw")]
    Gone,
    /// Others were faster.
    #[error("it is full: {free} bytes are free")]
    Full {
        /// Bytes free.
        free: u64,
    },
    /// It must bond more first.
    #[error("it has {have} obols of free bond, and the column needs {need} as collateral")]
    Underbonded {
        /// Bond that is behind nothing yet.
        have: Amount,
        /// Collateral of the column.
        need: Amount,
    },
}

impl Provider {
    /// Collateral of a column of so many bytes, if it can take one for which it was drawn by this offer.
    ///
    /// # Errors
    /// [`TakeError`] says why it cannot.
    pub fn collateral_for(&self, bonds: &Bonds, column_len: u64, offer: &Offer) -> Result<Amount, TakeError> {
        if self.status != ProviderStatus::Active || DomainTags::from(&self.domain) != offer.domain {
            return Err(TakeError::Gone);
        }
        let free = self.capacity.saturating_sub(self.used);
        if free < column_len {
            return Err(TakeError::Full { free });
        }
        let (need, have) = (collateral(bonds, column_len, offer.price), self.free_bond(bonds));
        if have < need { Err(TakeError::Underbonded { have, need }) } else { Ok(need) }
    }

    /// Bond that is behind nothing yet.
    pub fn free_bond(&self, bonds: &Bonds) -> Amount {
        Amount(self.bond.0.saturating_sub(bonds.provider.0).saturating_sub(self.collateral.0))
    }

    /// Bytes that it may be offered: those that it can take, and no more than twice what it has proven and a start.
    pub fn offered_bytes(&self, params: &Params) -> u64 {
        let Audits { starter_bytes, ramp_epochs, .. } = params.audits;
        let proven = starter_bytes.saturating_add(self.audited.proven_bytes.saturating_mul(2));
        let trusted = if ramp_epochs == 0 { u64::MAX } else { proven.saturating_sub(self.used) };
        self.free_bytes(&params.bonds).min(trusted)
    }

    /// Bytes that it can take: of its capacity, and with bond behind them.
    pub fn free_bytes(&self, bonds: &Bonds) -> u64 {
        let capacity = self.capacity.saturating_sub(self.used);
        let free = u128::from(self.free_bond(bonds).0) * GIB;
        let behind = free.checked_div(u128::from(of_gib(bonds, self.price).0)).unwrap_or(u128::MAX);
        capacity.min(u64::try_from(behind).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{AccountId, NodeId},
        ledger::{
            roster::Listing,
            state::{Audited, Domain, ProviderStatus},
        },
    };

    const BONDS: fn() -> Bonds =
        || Bonds { provider: Amount(100), gib: Amount(1_000), pay_epochs: 10, ..Bonds::default() };

    fn provider(bond: u64, collateral: u64, price: u64, capacity: u64, used: u64) -> Provider {
        let domain = Domain { operator: "o".to_owned(), infrastructure: "i".to_owned(), region: "r".to_owned() };
        Provider {
            owner: AccountId::new([0; 32]),
            node: NodeId::new([0; 32]),
            addresses: vec![],
            domain,
            price: Amount(price),
            capacity,
            used,
            bond: Amount(bond),
            collateral: Amount(collateral),
            status: ProviderStatus::Active,
            listing: Listing::default(),
            audited: Audited::default(),
        }
    }

    #[test]
    fn a_low_price_does_not_lower_the_least_and_a_high_one_costs_more() {
        let check = |column_len, price, expect| {
            assert_eq!(collateral(&BONDS(), column_len, Amount(price)), Amount(expect), "{column_len} at {price}");
        };
        check(1 << 30, 0, 1_000);
        check(1 << 30, 100, 1_000);
        check(1 << 30, 101, 1_010);
        check(1 << 29, 101, 505);
        check(1, 0, 1);
        check(0, 101, 0);
        check(u64::MAX, u64::MAX, u64::MAX);
    }

    #[test]
    fn free_bytes_are_what_capacity_and_bond_allow() {
        let check = |desc: &str, provider: Provider, expect: u64| {
            assert_eq!(provider.free_bytes(&BONDS()), expect, "{desc}");
        };
        check("the least bond is behind nothing", provider(100, 0, 0, u64::MAX, 0), 0);
        check("one GiB", provider(1_100, 0, 0, u64::MAX, 0), 1 << 30);
        check("one GiB, half of it taken", provider(1_100, 500, 0, u64::MAX, 1 << 29), 1 << 29);
        check("half a GiB, since it asks for more", provider(1_100, 0, 200, u64::MAX, 0), 1 << 29);
        check("of a small capacity", provider(1_100, 0, 0, 1_000, 400), 600);
        check("less than the least", provider(99, 0, 0, 1_000, 0), 0);
        check("collateral of a lower least bond", provider(500, 900, 0, 1_000, 0), 0);
        let free = Bonds { gib: Amount(0), ..BONDS() };
        assert_eq!(provider(100, 0, 0, 1_000, 1).free_bytes(&free), 999, "nothing is to be behind it");
    }

    #[test]
    fn a_full_bond_fills_the_capacity() {
        for (capacity, price) in [(1, 0), (1 << 30, 7), ((1 << 40) + 12_345, 101), (1 << 62, 1_000)] {
            let bond = full_bond(&BONDS(), capacity, Amount(price));
            assert_eq!(provider(bond.0, 0, price, capacity, 0).free_bytes(&BONDS()), capacity, "{capacity} at {price}");
        }
    }
}
