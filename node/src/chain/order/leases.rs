//! Leases: which process may start to sign with another validator's key.
//!
//! Of two processes with one key that start at the same moment neither has been seen by anyone. So each first claims
//! the key ([`SignedClaim`]), and every validator leases it to one process at a time. A process with leases of two
//! thirds of the power may sign; no second one can have them, because a validator that both asked leased it to the
//! first. A lease expires after [`LEASE`]: by then the others have messages of the first process, and report those
//! ([`super::last_seen`]). A process that names the holder as an earlier process of its own gets the lease immediately,
//! so a restart waits for nothing.
//!
//! Leases are in memory only: a validator that restarts has granted none.
//!
//! [`SignedClaim`]: ostrakon_proto::wire::consensus::SignedClaim

use std::{collections::BTreeMap, time::Duration};

use ostrakon_proto::{
    id::VoteKey,
    ledger::vote::ValidatorSet,
    wire::consensus::{Claim, Incarnation},
};
use tokio::time::Instant;

use super::signing_status::WATCH;

/// How long a lease holds: no longer than a process that was denied one watches before it asks again.
const LEASE: Duration = WATCH;
/// How soon after its query a process must have signed, or it asks again: long before a lease expires.
pub(super) const FRESH: Duration = LEASE.checked_div(2).expect("two is not zero");

/// The leases that this validator granted.
#[derive(Debug, Default)]
pub(super) struct Leases {
    granted: BTreeMap<VoteKey, (Incarnation, Instant)>,
}

impl Leases {
    /// Drops the leases of keys that are not in this set.
    pub(super) fn retain(&mut self, set: &ValidatorSet) {
        self.granted.retain(|key, _| set.power(key).is_some());
    }

    /// Whether the claim is granted; if so, no other process gets the key until `now` + [`LEASE`].
    pub(super) fn grant(&mut self, claim: &Claim, now: Instant) -> bool {
        let holder = self.granted.get(&claim.key).filter(|(_, since)| now < *since + LEASE);
        let grants = holder
            .is_none_or(|(incarnation, _)| *incarnation == claim.incarnation || claim.earlier.contains(incarnation));
        if grants {
            self.granted.insert(claim.key, (claim.incarnation, now));
        }
        grants
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(key: u8, incarnation: u8, earlier: &[u8]) -> Claim {
        let incarnations = earlier.iter().map(|incarnation| Incarnation([*incarnation; 16]));
        let (key, asked) = (VoteKey::new([key; 32]), VoteKey::new([9; 32]));
        Claim { key, asked, incarnation: Incarnation([incarnation; 16]), earlier: incarnations.collect() }
    }

    #[test]
    fn one_process_at_a_time_may_sign() {
        let start = Instant::now();
        let steps = [
            ("the first gets it", claim(1, 1, &[]), 0, true),
            ("it may ask again", claim(1, 1, &[]), 2, true),
            ("a copy does not", claim(1, 2, &[]), 3, false),
            ("nor because it shares a past", claim(1, 2, &[7, 8]), 3, false),
            ("another validator does", claim(2, 3, &[]), 3, true),
            ("one that follows the first does", claim(1, 4, &[7, 1]), 4, true),
            ("the first is over then", claim(1, 1, &[]), 5, false),
            ("and asking does not make a grant longer for others", claim(1, 2, &[]), 13, false),
            ("a grant ends", claim(1, 2, &[]), 14, true),
        ];
        let mut leases = Leases::default();
        for (desc, claim, second, expect) in steps {
            assert_eq!(leases.grant(&claim, start + Duration::from_secs(second)), expect, "{desc}");
        }
        leases.retain(&ValidatorSet::new([(VoteKey::new([2; 32]), 1)]));
        assert_eq!(leases.granted.len(), 1, "a key that is not a validator's is dropped");
    }
}
