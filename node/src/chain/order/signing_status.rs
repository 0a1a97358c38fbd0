//! Whether this validator may sign: with a record that may be old it must not, or it might equivocate.
//!
//! A disk restored from an image, a cloned machine or an emptied directory records less than the others received. So a
//! validator that starts asks them first ([`super::last_seen`]); what it may do then is decided by
//! [`SigningStatus::after`], which is pure. Not here: the record itself ([`super::sign_state`]).
//!
//! A pause ends when nothing can be contradicted any more: the others' newest message of this validator is of height H,
//! and H + 1 is decided without it. From then on this validator watches ([`Watch`]): for [`QUIET`] heights and
//! [`WATCH`], or through one height that takes longer than [`WATCH`] without it; then it asks the others again. If
//! another process signs with its key in that time, even if it is often late, the pause starts over, and this process
//! never signs. Of two processes that start at the same moment the others let one sign ([`super::leases`]); the other
//! one watches as well.

use std::{collections::BTreeMap, time::Duration};

use ostrakon_proto::{
    id::{ChainId, Height, VoteKey},
    ledger::vote::ValidatorSet,
    wire::consensus::Seen,
};
use tokio::time::Instant;

use super::sign_state::{Progress, Statement};

/// Heights for which a paused validator watches whether another process signs with its key: a slow one may be late for
/// some.
const QUIET: u64 = 16;
/// By this time every running validator has signed at a height, and sent it again.
pub(super) const WATCH: Duration = Duration::from_secs(10);

/// Whether this validator may sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SigningStatus {
    /// It has just started and has not asked the others yet.
    #[default]
    Unknown,
    /// It may sign.
    Active,
    /// It must not sign below a height.
    Paused {
        /// The first height at which it may.
        from: Height,
        /// Whether it must ask the others again before.
        recheck: bool,
    },
    /// Another process signs with its key: it signs nothing until it is restarted.
    Duplicate,
}

/// How long a paused validator has watched whether another process signs with its key.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The height and the time from which it watches.
    since: Option<(Height, Instant)>,
    /// The height that took longer than [`WATCH`].
    slow: Option<Height>,
}

impl Watch {
    /// This height took longer than [`WATCH`].
    pub(super) fn note_slow(&mut self, height: Height) {
        self.slow = Some(height);
    }

    /// Whether a validator that is paused until `from`, and is at `height` now, has watched long enough.
    pub(super) fn suffices(&mut self, from: Height, height: Height, now: Instant) -> bool {
        let before = self.since.filter(|(before, _)| *before == from);
        let (_, since) = *self.since.insert(before.unwrap_or((from, now)));
        let is_quiet = height.0 >= from.0.saturating_add(QUIET) && now >= since + WATCH;
        is_quiet || self.slow == Some(height)
    }
}

/// What is known when the others have answered.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    /// This validator.
    pub(super) key: VoteKey,
    /// The network.
    pub(super) chain: ChainId,
    /// The validators now.
    pub(super) set: &'a ValidatorSet,
    /// The height above this ledger's tip.
    pub(super) height: Height,
    /// How far this validator has signed by its own record.
    pub(super) signed: Option<Progress>,
    /// Whether it has a record: without one it may have signed anything; with an empty one it never signed.
    pub(super) has_record: bool,
    /// What the others answered.
    pub(super) answers: &'a BTreeMap<VoteKey, Seen>,
}

impl SigningStatus {
    /// The status that follows from this one and the findings.
    pub(super) fn after(self, findings: &Findings<'_>) -> Self {
        let seen = findings.answers.values().filter_map(|seen| findings.newest(seen)).max();
        let now = findings.network().max(findings.height);
        let is_first = self == Self::Unknown;
        let lost = is_first && !findings.has_record && now > Height(1);
        let unrecorded = seen.filter(|seen| findings.signed.is_none_or(|signed| signed < *seen));
        let unsure = lost || !findings.is_granted();
        let bound = unrecorded.map(|(height, _, _)| height).max(unsure.then_some(now));
        let signed_since = |from| matches!(self, Self::Paused { from: before, recheck: true } if from > before);
        match bound.map(|bound| Height(bound.0.saturating_add(2))) {
            Some(from) if from > findings.height || signed_since(from) => Self::Paused { from, recheck: true },
            // What is decided needs no vote, and the others may have forgotten what was signed for it.
            _ if now > findings.height => Self::Paused { from: now, recheck: false },
            _ => Self::Active,
        }
    }
}

impl Findings<'_> {
    /// Whether two thirds of the power, its own included, lease the key to this process: no two have that at a time.
    fn is_granted(&self) -> bool {
        let granting = self.answers.iter().filter(|(_, seen)| seen.grants).map(|(key, _)| key);
        let power = granting.chain([&self.key]).filter_map(|key| self.set.power(key)).map(u128::from).sum();
        self.set.is_quorum(power)
    }

    /// How far this validator has signed by one answer, if the signature verifies.
    fn newest(&self, seen: &Seen) -> Option<Progress> {
        let own_vote = seen.vote.filter(|signed| signed.voter == self.key && signed.verify(&self.chain).is_ok());
        let own_proposal =
            seen.proposal.filter(|signed| signed.proposer == self.key && signed.verify(&self.chain).is_ok());
        let vote = own_vote.map(|signed| Statement::from(&signed).progress());
        vote.max(own_proposal.map(|signed| Statement::from(&signed).progress()))
    }

    /// The highest height that more than a third of the power claims to have reached: one of them is honest.
    fn network(&self) -> Height {
        let mut claims: Vec<(Height, u128)> = self
            .answers
            .iter()
            .map(|(key, seen)| (seen.height, u128::from(self.set.power(key).unwrap_or(0))))
            .collect();
        claims.sort_by_key(|(height, _)| std::cmp::Reverse(*height));
        let mut power = 0;
        let enough = claims.into_iter().find(|(_, more)| {
            power += more;
            power * 3 > self.set.total()
        });
        enough.map_or(Height(0), |(height, _)| height)
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::{
        ledger::vote::{SignedVote, Vote, VoteKind},
        sign::Keypair,
    };

    use super::*;

    const CHAIN: ChainId = ChainId::new([1; 32]);

    fn key(seed: u8) -> Keypair {
        Keypair::from_seed(&[seed; 32])
    }

    /// An answer of a validator at `height` that has a vote of `seed` at a height.
    fn seen(height: u64, vote: Option<(u8, u64)>) -> Seen {
        let vote = vote.map(|(seed, height)| {
            let vote = Vote { kind: VoteKind::Prevote, height: Height(height), round: 0, block: None };
            SignedVote::sign(vote, &key(seed), &CHAIN)
        });
        Seen { height: Height(height), proposal: None, vote, grants: true }
    }

    /// `signed` is the height by the record: none without a record, 0 with an empty one.
    fn check(before: SigningStatus, (height, signed): (u64, Option<u64>), answers: &[Seen], expect: SigningStatus) {
        let set = ValidatorSet::new((1..=4).map(|seed| (key(seed).public(), 1)));
        let answers = (2..).zip(answers).map(|(seed, seen)| (key(seed).public(), seen.clone())).collect();
        let findings = Findings {
            key: key(1).public(),
            chain: CHAIN,
            set: &set,
            height: Height(height),
            signed: signed.filter(|height| *height > 0).map(|height| (Height(height), 0, 1)),
            has_record: signed.is_some(),
            answers: &answers,
        };
        assert_eq!(before.after(&findings), expect, "{before:?} {findings:?}");
    }

    #[test]
    fn a_complete_record_may_sign() {
        let start = SigningStatus::Unknown;
        check(start, (1, None), &[seen(1, None), seen(1, None), seen(1, None)], SigningStatus::Active);
        check(start, (7, Some(7)), &[seen(7, Some((1, 7))), seen(7, None), seen(7, None)], SigningStatus::Active);
        check(start, (7, Some(6)), &[seen(7, Some((1, 6))), seen(6, None)], SigningStatus::Active);
        let behind = SigningStatus::Paused { from: Height(9), recheck: false };
        check(start, (7, Some(6)), &[seen(9, Some((1, 6))), seen(9, None), seen(8, None)], behind);
    }

    #[test]
    fn an_empty_record_may_sign() {
        let start = SigningStatus::Unknown;
        check(start, (7, Some(0)), &[seen(7, None), seen(7, None), seen(7, None)], SigningStatus::Active);
        let behind = SigningStatus::Paused { from: Height(7), recheck: false };
        check(start, (1, Some(0)), &[seen(7, None), seen(7, None), seen(7, None)], behind);
        let lied_to = SigningStatus::Paused { from: Height(9), recheck: true };
        check(start, (7, Some(0)), &[seen(7, Some((1, 7))), seen(7, None), seen(7, None)], lied_to);
    }

    #[test]
    fn an_incomplete_record_is_paused() {
        let (start, silent) =
            (SigningStatus::Unknown, |from| SigningStatus::Paused { from: Height(from), recheck: true });
        check(start, (7, Some(6)), &[seen(7, Some((1, 7))), seen(7, None), seen(7, None)], silent(9));
        check(start, (7, None), &[seen(7, None), seen(7, None), seen(7, None)], silent(9));
        check(start, (1, None), &[seen(20, None), seen(20, None), seen(20, None)], silent(22));
        check(start, (1, None), &[seen(1, Some((1, 1))), seen(1, None), seen(1, None)], silent(3));
        check(silent(9), (9, None), &[seen(9, Some((1, 7))), seen(9, None), seen(9, None)], SigningStatus::Active);
        check(silent(9), (9, None), &[seen(9, None), seen(9, None), seen(9, None)], SigningStatus::Active);
        check(silent(9), (9, None), &[seen(9, Some((1, 9))), seen(9, None), seen(9, None)], silent(11));
        // It signed some heights ago, and may only be late.
        check(silent(9), (25, None), &[seen(25, Some((1, 12))), seen(25, None), seen(25, None)], silent(14));
        check(
            silent(14),
            (30, None),
            &[seen(30, Some((1, 12))), seen(30, None), seen(30, None)],
            SigningStatus::Active,
        );
    }

    #[test]
    fn a_watch_takes_its_time_and_starts_over_with_each_message() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let late = start + WATCH;
        assert!(!watch.suffices(Height(9), Height(9), start));
        assert!(!watch.suffices(Height(9), Height(9 + QUIET), start), "many heights, but in no time");
        assert!(!watch.suffices(Height(9), Height(8 + QUIET), late), "few heights");
        assert!(watch.suffices(Height(9), Height(9 + QUIET), late));
        assert!(!watch.suffices(Height(30), Height(60), late), "it signed again");
        watch.note_slow(Height(61));
        assert!(!watch.suffices(Height(30), Height(60), late) && watch.suffices(Height(30), Height(61), late));
    }

    #[test]
    fn without_a_lease_it_is_paused_and_asks_again() {
        let (denied, granted) = (|| Seen { grants: false, ..seen(7, None) }, || seen(7, None));
        let silent = |from| SigningStatus::Paused { from: Height(from), recheck: true };
        check(SigningStatus::Unknown, (7, Some(6)), &[denied(), denied(), granted()], silent(9));
        check(SigningStatus::Unknown, (7, Some(6)), &[denied(), granted(), granted()], SigningStatus::Active);
        check(SigningStatus::Unknown, (7, Some(6)), &[denied(), granted()], silent(9));
        check(SigningStatus::Unknown, (5, Some(5)), &[denied(), denied(), granted()], silent(9));
        check(silent(9), (9, Some(6)), &[denied(), denied(), granted()], silent(11));
    }

    #[test]
    fn one_liar_pauses_nobody() {
        let answers = [seen(u64::MAX, Some((2, u64::MAX))), seen(7, None), seen(7, None)];
        check(SigningStatus::Unknown, (7, Some(6)), &answers, SigningStatus::Active);
        let mut forged = seen(7, Some((3, 50)));
        forged.vote.as_mut().expect("some").voter = key(1).public();
        check(SigningStatus::Unknown, (7, Some(6)), &[forged, seen(7, None), seen(7, None)], SigningStatus::Active);
    }
}
