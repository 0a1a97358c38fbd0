//! Whether this validator may speak: one whose memory may be old must not, lest it contradicts itself.
//!
//! A disk that is restored from an image, a machine that is cloned or a directory that was emptied remembers less than
//! the others have heard. So a validator that starts asks them first ([`super::inquiry`]); what it may do then is
//! decided by [`Standing::after`], which is pure. Not here: the memory itself ([`super::sign_state`]).
//!
//! Silence ends where nothing can be contradicted any more: the others' newest message of this validator is of height
//! H, and the one above is decided without it. Then this validator watches ([`Watch`]): for [`QUIET`] heights and
//! [`WATCH`], or at one height that is not decided without it for so long; and the others are asked again. A second
//! process with the same key goes on speaking meanwhile, even if it is often late, so that this one begins anew and
//! stays silent for good. Of two that start at the same moment the others let one speak ([`super::leases`]); the other
//! one watches as well.

use std::{collections::BTreeMap, time::Duration};

use ostrakon_proto::{
    id::{ChainId, Height, VoteKey},
    ledger::vote::ValidatorSet,
    wire::consensus::Seen,
};
use tokio::time::Instant;

use super::sign_state::{Progress, Statement};

/// Heights for which a validator that was silent watches whether another process speaks with its key: one that is slow
/// may be late for some.
const QUIET: u64 = 16;
/// When a height takes so long, whoever is a validator has spoken at it, and repeated it.
pub(super) const WATCH: Duration = Duration::from_secs(10);

/// Whether this validator may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has just started and asked nobody yet.
    Unknown,
    /// It may.
    Speaks,
    /// Not below this height.
    Silent {
        /// The first height at which it may.
        from: Height,
        /// Whether it first asks again.
        again: bool,
    },
    /// Another process speaks with its key: not before it is restarted.
    Banished,
}

/// How long a silent validator has watched whether another process speaks with its key.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// From which height on, and since when.
    since: Option<(Height, Instant)>,
    /// The height that took longer than [`WATCH`].
    slow: Option<Height>,
}

impl Watch {
    /// This height took longer than [`WATCH`].
    pub(super) fn note_slow(&mut self, height: Height) {
        self.slow = Some(height);
    }

    /// Whether one that is silent until `from`, and is at `height` now, has watched long enough.
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
    /// Who decides now.
    pub(super) set: &'a ValidatorSet,
    /// The height above this ledger's tip.
    pub(super) height: Height,
    /// What this validator remembers to have signed last.
    pub(super) signed: Option<Progress>,
    /// Whether it has any memory: without, it may have signed anything; with one that has nothing, it never signed.
    pub(super) remembers: bool,
    /// What the others say.
    pub(super) answers: &'a BTreeMap<VoteKey, Seen>,
}

impl Standing {
    /// What follows from the findings of one who stood like this.
    pub(super) fn after(self, findings: &Findings<'_>) -> Self {
        let heard = findings.answers.values().filter_map(|seen| findings.newest(seen)).max();
        let now = findings.network().max(findings.height);
        let is_first = self == Self::Unknown;
        let lost = is_first && !findings.remembers && now > Height(1);
        let heard_more = heard.filter(|heard| findings.signed.is_none_or(|signed| signed < *heard));
        let unsure = lost || !findings.is_granted();
        let bound = heard_more.map(|(height, _, _)| height).max(unsure.then_some(now));
        let spoke_since = |from| matches!(self, Self::Silent { from: before, again: true } if from > before);
        match bound.map(|bound| Height(bound.0.saturating_add(2))) {
            Some(from) if from > findings.height || spoke_since(from) => Self::Silent { from, again: true },
            // What is decided needs no vote, and what was said of it may be forgotten by all.
            _ if now > findings.height => Self::Silent { from: now, again: false },
            _ => Self::Speaks,
        }
    }
}

impl Findings<'_> {
    /// Whether two thirds of the power, its own among them, let this process speak: no two have that at once.
    fn is_granted(&self) -> bool {
        let granting = self.answers.iter().filter(|(_, seen)| seen.grants).map(|(key, _)| key);
        let power = granting.chain([&self.key]).filter_map(|key| self.set.power(key)).map(u128::from).sum();
        self.set.is_quorum(power)
    }

    /// The newest that one answer has of this validator, as its signature proves.
    fn newest(&self, seen: &Seen) -> Option<Progress> {
        let own_vote = seen.vote.filter(|signed| signed.voter == self.key && signed.verify(&self.chain).is_ok());
        let own_proposal =
            seen.proposal.filter(|signed| signed.proposer == self.key && signed.verify(&self.chain).is_ok());
        let vote = own_vote.map(|signed| Statement::from(&signed).progress());
        vote.max(own_proposal.map(|signed| Statement::from(&signed).progress()))
    }

    /// The highest height that more than a third of the power say to be at or above: one of them is honest.
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

    /// An answer of one who is at `height` and has a vote of `seed` at a height.
    fn seen(height: u64, vote: Option<(u8, u64)>) -> Seen {
        let vote = vote.map(|(seed, height)| {
            let vote = Vote { kind: VoteKind::Prevote, height: Height(height), round: 0, block: None };
            SignedVote::sign(vote, &key(seed), &CHAIN)
        });
        Seen { height: Height(height), proposal: None, vote, grants: true }
    }

    /// `signed` is the height of what is remembered: none without a memory, 0 with one that has nothing.
    fn check(before: Standing, (height, signed): (u64, Option<u64>), answers: &[Seen], expect: Standing) {
        let set = ValidatorSet::new((1..=4).map(|seed| (key(seed).public(), 1)));
        let answers = (2..).zip(answers).map(|(seed, seen)| (key(seed).public(), seen.clone())).collect();
        let findings = Findings {
            key: key(1).public(),
            chain: CHAIN,
            set: &set,
            height: Height(height),
            signed: signed.filter(|height| *height > 0).map(|height| (Height(height), 0, 1)),
            remembers: signed.is_some(),
            answers: &answers,
        };
        assert_eq!(before.after(&findings), expect, "{before:?} {findings:?}");
    }

    #[test]
    fn whoever_remembers_all_may_speak() {
        let start = Standing::Unknown;
        check(start, (1, None), &[seen(1, None), seen(1, None), seen(1, None)], Standing::Speaks);
        check(start, (7, Some(7)), &[seen(7, Some((1, 7))), seen(7, None), seen(7, None)], Standing::Speaks);
        check(start, (7, Some(6)), &[seen(7, Some((1, 6))), seen(6, None)], Standing::Speaks);
        let behind = Standing::Silent { from: Height(9), again: false };
        check(start, (7, Some(6)), &[seen(9, Some((1, 6))), seen(9, None), seen(8, None)], behind);
    }

    #[test]
    fn whoever_remembers_to_have_never_spoken_may_speak() {
        let start = Standing::Unknown;
        check(start, (7, Some(0)), &[seen(7, None), seen(7, None), seen(7, None)], Standing::Speaks);
        let behind = Standing::Silent { from: Height(7), again: false };
        check(start, (1, Some(0)), &[seen(7, None), seen(7, None), seen(7, None)], behind);
        let lied_to = Standing::Silent { from: Height(9), again: true };
        check(start, (7, Some(0)), &[seen(7, Some((1, 7))), seen(7, None), seen(7, None)], lied_to);
    }

    #[test]
    fn whoever_forgot_something_is_silent() {
        let (start, silent) = (Standing::Unknown, |from| Standing::Silent { from: Height(from), again: true });
        check(start, (7, Some(6)), &[seen(7, Some((1, 7))), seen(7, None), seen(7, None)], silent(9));
        check(start, (7, None), &[seen(7, None), seen(7, None), seen(7, None)], silent(9));
        check(start, (1, None), &[seen(20, None), seen(20, None), seen(20, None)], silent(22));
        check(start, (1, None), &[seen(1, Some((1, 1))), seen(1, None), seen(1, None)], silent(3));
        check(silent(9), (9, None), &[seen(9, Some((1, 7))), seen(9, None), seen(9, None)], Standing::Speaks);
        check(silent(9), (9, None), &[seen(9, None), seen(9, None), seen(9, None)], Standing::Speaks);
        check(silent(9), (9, None), &[seen(9, Some((1, 9))), seen(9, None), seen(9, None)], silent(11));
        // It spoke some heights ago, and may only be late.
        check(silent(9), (25, None), &[seen(25, Some((1, 12))), seen(25, None), seen(25, None)], silent(14));
        check(silent(14), (30, None), &[seen(30, Some((1, 12))), seen(30, None), seen(30, None)], Standing::Speaks);
    }

    #[test]
    fn a_watch_takes_its_time_and_begins_anew_with_each_sign_of_life() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let late = start + WATCH;
        assert!(!watch.suffices(Height(9), Height(9), start));
        assert!(!watch.suffices(Height(9), Height(9 + QUIET), start), "many heights, but in no time");
        assert!(!watch.suffices(Height(9), Height(8 + QUIET), late), "few heights");
        assert!(watch.suffices(Height(9), Height(9 + QUIET), late));
        assert!(!watch.suffices(Height(30), Height(60), late), "it spoke again");
        watch.note_slow(Height(61));
        assert!(!watch.suffices(Height(30), Height(60), late) && watch.suffices(Height(30), Height(61), late));
    }

    #[test]
    fn whoever_is_denied_is_silent_and_asks_again() {
        let (denied, granted) = (|| Seen { grants: false, ..seen(7, None) }, || seen(7, None));
        let silent = |from| Standing::Silent { from: Height(from), again: true };
        check(Standing::Unknown, (7, Some(6)), &[denied(), denied(), granted()], silent(9));
        check(Standing::Unknown, (7, Some(6)), &[denied(), granted(), granted()], Standing::Speaks);
        check(Standing::Unknown, (7, Some(6)), &[denied(), granted()], silent(9));
        check(Standing::Unknown, (5, Some(5)), &[denied(), denied(), granted()], silent(9));
        check(silent(9), (9, Some(6)), &[denied(), denied(), granted()], silent(11));
    }

    #[test]
    fn a_single_liar_silences_nobody() {
        let answers = [seen(u64::MAX, Some((2, u64::MAX))), seen(7, None), seen(7, None)];
        check(Standing::Unknown, (7, Some(6)), &answers, Standing::Speaks);
        let mut forged = seen(7, Some((3, 50)));
        forged.vote.as_mut().expect("some").voter = key(1).public();
        check(Standing::Unknown, (7, Some(6)), &[forged, seen(7, None), seen(7, None)], Standing::Speaks);
    }
}
