//! Which process may begin to speak for another validator.
//!
//! Of two processes with one key that start at the same moment neither has heard the other. So each claims the key
//! first ([`SignedClaim`]), and whoever is asked grants it to one at a time. One that has two thirds of the power
//! behind it speaks; a second cannot have them, because whom both asked in common granted it to the first. A grant
//! ends by itself after [`LEASE`]: by then the others have heard the first one speak, which they tell whoever asks. It
//! passes on at once to a process that follows the one that has it: restarting waits for nothing.
//!
//! Nothing here is on disk: a validator that restarts has granted nothing.
//!
//! [`SignedClaim`]: ostrakon_proto::wire::consensus::SignedClaim

use std::{collections::BTreeMap, time::Duration};

use ostrakon_proto::{
    id::VoteKey,
    ledger::vote::ValidatorSet,
    wire::consensus::{Claim, Incarnation},
};
use tokio::time::Instant;

use super::standing::WATCH;

/// How long a grant holds: not longer than one that is denied watches before it asks again.
const LEASE: Duration = WATCH;
/// How soon after it asked a process must have spoken, or it asks again: long before a grant ends.
pub(super) const FRESH: Duration = LEASE.checked_div(2).expect("two is not zero");

/// What this validator has granted.
#[derive(Debug, Default)]
pub(super) struct Leases {
    granted: BTreeMap<VoteKey, (Incarnation, Instant)>,
}

impl Leases {
    /// These are the validators now: others claim nothing.
    pub(super) fn advance(&mut self, set: &ValidatorSet) {
        self.granted.retain(|key, _| set.power(key).is_some());
    }

    /// Whether the claim is granted: if so, to nobody else until `now` + [`LEASE`].
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
    fn one_process_at_a_time_is_let_speak() {
        let start = Instant::now();
        let steps = [
            ("the first is let", claim(1, 1, &[]), 0, true),
            ("it may ask again", claim(1, 1, &[]), 2, true),
            ("a copy is not", claim(1, 2, &[]), 3, false),
            ("nor because it shares a past", claim(1, 2, &[7, 8]), 3, false),
            ("another validator is", claim(2, 3, &[]), 3, true),
            ("one that follows the first is", claim(1, 4, &[7, 1]), 4, true),
            ("the first is over then", claim(1, 1, &[]), 5, false),
            ("and asking does not make a grant longer for others", claim(1, 2, &[]), 13, false),
            ("a grant ends", claim(1, 2, &[]), 14, true),
        ];
        let mut leases = Leases::default();
        for (desc, claim, second, expect) in steps {
            assert_eq!(leases.grant(&claim, start + Duration::from_secs(second)), expect, "{desc}");
        }
        leases.advance(&ValidatorSet::new([(VoteKey::new([2; 32]), 1)]));
        assert_eq!(leases.granted.len(), 1, "who is no validator is forgotten");
    }
}
