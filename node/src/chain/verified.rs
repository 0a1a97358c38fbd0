//! Recently verified transactions: when one arrives again, by whatever way, its signature is not verified twice.
//!
//! An id covers the signature, so what was verified once stays verified. Pure and bounded: the oldest are forgotten.

use std::collections::{HashSet, VecDeque};

use ostrakon_proto::id::TxId;

/// Ids remembered: several full blocks of them.
const REMEMBERED: usize = 65_536;

/// Ids of transactions whose size, form and signature are valid.
#[derive(Debug, Default)]
pub(super) struct Verified {
    ids: HashSet<TxId>,
    order: VecDeque<TxId>,
}

impl Verified {
    pub(super) fn contains(&self, id: &TxId) -> bool {
        self.ids.contains(id)
    }

    pub(super) fn insert(&mut self, id: TxId) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut verified = Verified::default();
        let id = |number: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            TxId::new(bytes)
        };
        (0..REMEMBERED).for_each(|number| verified.insert(id(number)));
        verified.insert(id(0));
        assert!(verified.contains(&id(0)));
        verified.insert(id(REMEMBERED));
        assert!(!verified.contains(&id(0)) && verified.contains(&id(1)) && verified.contains(&id(REMEMBERED)));
        assert_eq!((verified.ids.len(), verified.order.len()), (REMEMBERED, REMEMBERED));
    }
}
