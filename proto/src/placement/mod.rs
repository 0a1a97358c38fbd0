//! Who keeps what: the draw, and the rule that spreads an extent over domains (ARCHITECTURE 4, 5.4).
//!
//! In go an epoch's frozen roster, its beacon, and who asks for what; out comes the order in which providers are asked.
//! The client stores on the first that accept, the chain checks that they are of this order: so nobody chooses.
//! `caps` holds the domain rule, `chance` the sampling. Which epoch and nonce may be used is the ledger's business.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    id::{AccountId, Epoch},
    ledger::state::RosterEntry,
    params::Code,
};

mod caps;
mod sampling;

pub use caps::{Caps, Dimension, PlacementError, Tolerance, tolerance};
use caps::{Limits, Spread};
use sampling::{RandomStream, WeightedSampler};

/// Trials of the exchange that mends a dead end, at most: a bound on the work that a strange roster can ask for.
const EXCHANGE_TRIALS: usize = 65_536;

/// Which draw: the epoch whose beacon and roster it uses, and a number near the account's nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Draw {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its number.
    pub nonce: u64,
}

/// What a draw's order follows from, beside the roster. Its canonical bytes seed the chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize)]
pub struct DrawSeed {
    /// The beacon of the draw's epoch.
    pub beacon: [u8; 32],
    /// Who will pay.
    pub account: AccountId,
    /// Which draw.
    pub draw: Draw,
    /// For which extent.
    pub extent: u32,
}

/// The providers that may hold an extent, in the order they are asked: n under the caps, then up to n more.
///
/// Weighted by free bytes, without replacement. The first n hold the domain rule together. Those after them replace who
/// refuses: the skipped ones first, then further draws, under twice the caps; each n that is taken must hold the rule
/// ([`Caps::holds`]).
///
/// # Errors
/// [`PlacementError`] when the roster cannot carry the code, with what would be possible.
pub fn draw<'a>(
    roster: &'a [RosterEntry],
    seed: &DrawSeed,
    code: Code,
    min_domains: u8,
) -> Result<Vec<&'a RosterEntry>, PlacementError> {
    let caps = Caps::of(roster, code, min_domains)?;
    draw_under(roster, seed, code, &caps)
}

/// As [`draw`], where the roster's caps for the code are known already.
pub(crate) fn draw_under<'a>(
    roster: &'a [RosterEntry],
    seed: &DrawSeed,
    code: Code,
    caps: &Caps,
) -> Result<Vec<&'a RosterEntry>, PlacementError> {
    let need = usize::from(code.n);
    let urn = WeightedSampler::new(roster.iter().map(|candidate| candidate.weight), RandomStream::new(seed));
    let mut order = urn.map(|index| &roster[index]);
    let mut pass = Pass::new(caps.limits());
    pass.fill(need, &mut order);
    if pass.chosen.len() < need && !pass.exchange(need) {
        return Err(PlacementError::DeadEnd { placed: pass.chosen.len(), need });
    }
    pass.limits = caps.limits().twice();
    let skipped = std::mem::take(&mut pass.skipped);
    pass.fill(2 * need, &mut skipped.into_iter().chain(order));
    Ok(pass.chosen)
}

/// The draw under way: who is in, and who had to wait because its domain was full.
struct Pass<'a> {
    limits: Limits,
    spread: Spread<'a>,
    chosen: Vec<&'a RosterEntry>,
    skipped: Vec<&'a RosterEntry>,
}

impl<'a> Pass<'a> {
    fn new(limits: Limits) -> Self {
        Self { limits, spread: Spread::default(), chosen: Vec::new(), skipped: Vec::new() }
    }

    /// Takes from `order` until `count` are chosen or nothing is left.
    fn fill(&mut self, count: usize, order: &mut impl Iterator<Item = &'a RosterEntry>) {
        while self.chosen.len() < count {
            let Some(candidate) = order.next() else { return };
            if self.spread.admits(&candidate.domain, self.limits) {
                self.spread.add(&candidate.domain);
                self.chosen.push(candidate);
            } else {
                self.skipped.push(candidate);
            }
        }
    }

    /// Mends a dead end: the three dimensions bind each other, so greedy choice can leave the last places unfillable in
    /// a small network although a choice exists. Trades one chosen for two skipped until `count` are chosen.
    fn exchange(&mut self, count: usize) -> bool {
        let mut trials = EXCHANGE_TRIALS;
        while self.chosen.len() < count {
            let Some((out, one, two)) = self.find_exchange(&mut trials) else { return false };
            let second = self.skipped.remove(two);
            let first = self.skipped.remove(one);
            let dropped = self.chosen.remove(out);
            self.spread.remove(&dropped.domain);
            for candidate in [first, second] {
                self.spread.add(&candidate.domain);
                self.chosen.push(candidate);
            }
            self.skipped.insert(0, dropped);
        }
        true
    }

    /// The first chosen place `out` and skipped places `one < two` such that both fit once `out` is gone.
    fn find_exchange(&mut self, trials: &mut usize) -> Option<(usize, usize, usize)> {
        for one in 0..self.skipped.len() {
            for out in 0..self.chosen.len() {
                self.spread.remove(&self.chosen[out].domain);
                let two = self.second_for(one, trials);
                self.spread.add(&self.chosen[out].domain);
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

    /// The first skipped place after `one` that fits together with it.
    fn second_for(&mut self, one: usize, trials: &mut usize) -> Option<usize> {
        *trials = trials.checked_sub(1)?;
        let first = &self.skipped[one].domain;
        if !self.spread.admits(first, self.limits) {
            return None;
        }
        self.spread.add(first);
        let rest = self.skipped.iter().enumerate().skip(one + 1).take(*trials);
        let two = rest.inspect(|_| *trials -= 1).find(|(_, second)| self.spread.admits(&second.domain, self.limits));
        self.spread.remove(first);
        two.map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests;
