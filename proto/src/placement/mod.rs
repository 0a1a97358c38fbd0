//! Placement: the draw of holders, and the rule that spreads an extent over domains (ARCHITECTURE 4, 5.4).
//!
//! In go an epoch's frozen roster, its beacon, and who draws for what; out comes the order in which providers are
//! asked. The client stores on the first that accept, and the chain checks that they are of this order: so nobody
//! chooses holders. `roster` is who can be drawn, `caps` the domain rule, `sampling` the weighted sampling. Not here:
//! which epoch and number are valid, which the ledger decides.

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::Serialize;

use crate::{
    codec,
    id::{AccountId, Epoch},
    params::Code,
    random::RandomStream,
    sum_tree::{Hidden, Leaf},
};

mod caps;
mod classes;
mod roster;
mod sampling;

pub use caps::{Caps, Dimension, PlacementError, Tolerance, tolerance};
use caps::{Limits, Spread};
pub use classes::Classes;
pub use roster::{DomainTags, Offer, Roster, RosterEntry, RosterSummary, RosterTree, Tag};
use sampling::Looks;

/// Providers that a draw looks at, at most, as a multiple of n: bounds its work, and the proof of it.
const LOOKS: usize = 8;

/// Trials of the exchange that resolves a dead end, at most: bounds the work that an unusual roster can cause.
const EXCHANGE_TRIALS: usize = 65_536;

/// A draw: the epoch whose roster it uses, and its number, below the parameter `draws`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Draw {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its number.
    pub number: u32,
}

/// What determines a draw's order, besides the roster. Its canonical bytes are the seed of the random stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct DrawSeed {
    /// The beacon of the draw's epoch, or the pulse of an account that is younger than its roster.
    pub randomness: [u8; 32],
    /// The account that will pay.
    pub account: AccountId,
    /// The draw.
    pub draw: Draw,
    /// Number of the extent.
    pub extent: u32,
}

impl DrawSeed {
    /// The random stream of this draw (SPEC, "Draw").
    fn stream(&self) -> RandomStream {
        RandomStream::new("ostrakon draw 1", &codec::encode(self))
    }
}

/// The providers that may hold an extent, in the order they are asked: n under the caps, then up to n more.
///
/// Weighted by the bytes that each can take, without replacement, among the first 8n that come up. The first n satisfy
/// the domain rule together. Those after them replace providers that refuse: the skipped ones first, then further
/// draws, under twice the caps; the n that are finally used must satisfy the rule ([`Caps::holds`]).
///
/// # Errors
/// [`PlacementError::DeadEnd`] when the caps cannot be kept, [`PlacementError::Hidden`] when `roster` is the proof of
/// another draw.
pub fn draw<'a>(
    roster: &'a RosterTree,
    seed: &DrawSeed,
    code: Code,
    caps: &Caps,
) -> Result<Vec<&'a RosterEntry>, PlacementError> {
    draw_noting(roster, seed, code, caps, |_| {})
}

/// The providers that may take `count` columns of an extent beside those that its holders have, in the order they are
/// asked: up to so many under the caps, then up to as many more under twice the caps. Those that are finally used must
/// satisfy the rule together with the holders ([`Caps::holds`]). `may` says which may be drawn: no holder, for example.
///
/// # Errors
/// [`Hidden`] when `roster` is the proof of another draw.
pub fn draw_beside<'a>(
    roster: &'a RosterTree,
    seed: &DrawSeed,
    (code, caps, count): (Code, &Caps, usize),
    holders: &[DomainTags],
    may: impl Fn(&RosterEntry) -> bool,
) -> Result<Vec<&'a RosterEntry>, Hidden> {
    let looks = Looks::new(roster, seed.stream()).take(LOOKS * usize::from(code.n));
    let mut order = looks.filter(|entry| entry.as_ref().map_or(true, |entry| may(entry)));
    let mut pass = Pass::new(caps.limits());
    pass.spread = Spread::of(holders);
    pass.fill(count, &mut order)?;
    pass.limits = caps.limits().twice();
    let skipped = std::mem::take(&mut pass.skipped);
    pass.fill(2 * count, &mut skipped.into_iter().map(Ok).chain(order))?;
    Ok(pass.chosen)
}

/// Providers up to which all of a roster is shown.
const WHOLE_ROSTER: usize = 256;

/// The part of `roster` that shows the outcome of this draw, which may be a dead end.
pub fn prove_draw(roster: &RosterTree, seed: &DrawSeed, code: Code, caps: &Caps) -> RosterTree {
    let mut met = BTreeSet::new();
    // Whatever the outcome is, it follows from the leaves that the draw met.
    let _outcome = draw_noting(roster, seed, code, caps, |entry| _ = met.insert(entry.key()));
    roster.proof_of(&met)
}

/// As much of the roster with this summary as shows the outcome of the draw: all of a small one, which serves all draws
/// of its epoch.
pub fn shown(roster: &RosterTree, summary: &RosterSummary, seed: &DrawSeed, (code, caps): (Code, &Caps)) -> RosterTree {
    if summary.providers.groups() <= WHOLE_ROSTER { roster.clone() } else { prove_draw(roster, seed, code, caps) }
}

/// As [`draw`], and tells `note` each leaf that comes up.
fn draw_noting<'a>(
    roster: &'a RosterTree,
    seed: &DrawSeed,
    code: Code,
    caps: &Caps,
    mut note: impl FnMut(&RosterEntry),
) -> Result<Vec<&'a RosterEntry>, PlacementError> {
    let need = usize::from(code.n);
    let looks = Looks::new(roster, seed.stream()).take(LOOKS * need);
    let mut order = looks.inspect(|entry| entry.iter().for_each(|entry| note(entry)));
    let mut pass = Pass::new(caps.limits());
    pass.fill(need, &mut order)?;
    if pass.chosen.len() < need && !pass.exchange(need) {
        return Err(PlacementError::DeadEnd { placed: pass.chosen.len(), need });
    }
    pass.limits = caps.limits().twice();
    let skipped = std::mem::take(&mut pass.skipped);
    pass.fill(2 * need, &mut skipped.into_iter().map(Ok).chain(order))?;
    Ok(pass.chosen)
}

/// A draw in progress: the providers chosen, and those skipped because their domain was full.
struct Pass<'a> {
    limits: Limits,
    spread: Spread,
    chosen: Vec<&'a RosterEntry>,
    skipped: Vec<&'a RosterEntry>,
}

impl<'a> Pass<'a> {
    fn new(limits: Limits) -> Self {
        Self { limits, spread: Spread::default(), chosen: Vec::new(), skipped: Vec::new() }
    }

    /// Chooses from `order` until `count` are chosen or none is left.
    fn fill(
        &mut self,
        count: usize,
        order: &mut impl Iterator<Item = Result<&'a RosterEntry, Hidden>>,
    ) -> Result<(), Hidden> {
        while self.chosen.len() < count {
            let Some(candidate) = order.next().transpose()? else { break };
            if self.spread.admits(&candidate.offer.domain, self.limits) {
                self.spread.add(&candidate.offer.domain);
                self.chosen.push(candidate);
            } else {
                self.skipped.push(candidate);
            }
        }
        Ok(())
    }

    /// Resolves a dead end: the three dimensions constrain each other, so in a small network greedy choice can leave
    /// the last slots unfillable although a solution exists. Exchanges one chosen for two skipped until `count` are
    /// chosen.
    fn exchange(&mut self, count: usize) -> bool {
        let mut trials = EXCHANGE_TRIALS;
        while self.chosen.len() < count {
            let Some((out, one, two)) = self.find_exchange(&mut trials) else { return false };
            let second = self.skipped.remove(two);
            let first = self.skipped.remove(one);
            let dropped = self.chosen.remove(out);
            self.spread.remove(&dropped.offer.domain);
            for candidate in [first, second] {
                self.spread.add(&candidate.offer.domain);
                self.chosen.push(candidate);
            }
            self.skipped.insert(0, dropped);
        }
        true
    }

    /// The first chosen index `out` and skipped indexes `one < two` such that both fit once `out` is removed.
    fn find_exchange(&mut self, trials: &mut usize) -> Option<(usize, usize, usize)> {
        for one in 0..self.skipped.len() {
            for out in 0..self.chosen.len() {
                self.spread.remove(&self.chosen[out].offer.domain);
                let two = self.second_for(one, trials);
                self.spread.add(&self.chosen[out].offer.domain);
                if let Some(two) = two {
                    return Some((out, one, two));
                }
                if *trials == 0 {
                    return None;
                }
            }
        }
        None
    }

    /// The first skipped index after `one` that fits together with it.
    fn second_for(&mut self, one: usize, trials: &mut usize) -> Option<usize> {
        *trials = trials.checked_sub(1)?;
        let first = &self.skipped[one].offer.domain;
        if !self.spread.admits(first, self.limits) {
            return None;
        }
        self.spread.add(first);
        let rest = self.skipped.iter().enumerate().skip(one + 1).take(*trials);
        let two =
            rest.inspect(|_| *trials -= 1).find(|(_, second)| self.spread.admits(&second.offer.domain, self.limits));
        self.spread.remove(first);
        two.map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests;
