//! The domain rule: how many columns of one extent may be in one domain, in each dimension by itself (ARCHITECTURE 4).
//!
//! In go a roster and a code; out come the [`Caps`], or why the network cannot carry the code and which one it could.
//! Caps are as even as the network allows: the smallest with which each dimension can take n columns, which is
//! `ceil(n / domains)` wherever domains are alike.
//!
//! Names are free, so domains count by weight: for the caps each takes at most twice its share of the n columns. Who
//! invents domains lowers no cap by more than the weight behind them, and so keeps no honest provider out of a draw.

use std::collections::BTreeMap;

use crate::{ledger::state::Domain, params::Code, sum_tree::Hidden};

use super::{
    classes::Classes,
    roster::{DomainTags, RosterSummary, Tag},
};

/// One part of a [`Domain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    /// Who runs the node.
    Operator,
    /// Whose machines and network it runs on.
    Infrastructure,
    /// Where it is.
    Region,
}

impl Dimension {
    /// All of them, in the order of [`Domain`]'s fields.
    pub const ALL: [Self; 3] = [Self::Operator, Self::Infrastructure, Self::Region];

    /// The domain's value in this dimension.
    pub fn of(self, domain: &Domain) -> &str {
        match self {
            Self::Operator => &domain.operator,
            Self::Infrastructure => &domain.infrastructure,
            Self::Region => &domain.region,
        }
    }

    /// The tag of a value of this dimension.
    pub fn tag(self, value: &str) -> Tag {
        let context = match self {
            Self::Operator => "ostrakon operator 1",
            Self::Infrastructure => "ostrakon infrastructure 1",
            Self::Region => "ostrakon region 1",
        };
        let hash = blake3::derive_key(context, value.as_bytes());
        *hash.first_chunk().expect("a hash has 32 bytes")
    }

    /// The domain's tag in this dimension.
    pub(super) const fn tag_of(self, domain: &DomainTags) -> Tag {
        match self {
            Self::Operator => domain.operator,
            Self::Infrastructure => domain.infrastructure,
            Self::Region => domain.region,
        }
    }
}

impl std::fmt::Display for Dimension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::Infrastructure => "infrastructure",
            Self::Region => "region",
        })
    }
}

/// Why a roster cannot carry a code, and which code it could.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// Not `1 <= k < n`.
    #[error("invalid code {0}: need 1 <= K < N")]
    Code(Code),
    /// Fewer providers than columns: use a code of at most `have` columns, or wait for providers.
    #[error(
        "too few providers: code {code} needs {} with free space, and {have} can be drawn; use a code with fewer \
         columns, or wait: a provider that has just registered is drawn from the next epoch on",
        code.n
    )]
    TooFewProviders {
        /// The code asked for.
        code: Code,
        /// Providers with free space.
        have: usize,
    },
    /// Fewer infrastructures than the network requires: wait for providers on others.
    #[error(
        "too few infrastructures: the providers with free space are on {have}, this network requires {need}; \
         wait for providers on others"
    )]
    TooFewDomains {
        /// Infrastructures, by weight.
        have: usize,
        /// Its `min_domains`.
        need: u8,
    },
    /// The loss of one whole domain could lose the extent: use fewer data columns, or wait for more domains.
    #[error(
        "too few domains: with {values} different values of {dimension}, one would hold {cap} of {} columns, and \
         only {} may be lost; {}",
        code.n, code.spare(), possible(*code, *cap)
    )]
    TooConcentrated {
        /// The code asked for.
        code: Code,
        /// The dimension with too few values.
        dimension: Dimension,
        /// Distinct values there.
        values: usize,
        /// Columns that one value would hold.
        cap: u8,
    },
    /// The dimensions constrain each other so that this draw found no solution: draw with another nonce, or use fewer
    /// columns.
    #[error(
        "draw failed: it could place {placed} of {need} columns under the domain rule; draw again, \
         or use a code with fewer columns"
    )]
    DeadEnd {
        /// Columns placed.
        placed: usize,
        /// Columns wanted.
        need: usize,
    },
    /// The roster is the proof of another draw.
    #[error(transparent)]
    Hidden(#[from] Hidden),
}

/// The best code of as many columns that survives the loss of `cap` of them.
fn possible(code: Code, cap: u8) -> String {
    match Code::new(code.n.saturating_sub(cap), code.n) {
        Ok(code) => format!("use code {code}"),
        Err(_) => "wait for providers in others".to_owned(),
    }
}

/// Most columns of one extent in one domain, by dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Of one operator.
    pub operator: u8,
    /// On one infrastructure.
    pub infrastructure: u8,
    /// In one region.
    pub region: u8,
}

impl Caps {
    /// The caps of this code with this roster.
    ///
    /// # Errors
    /// [`PlacementError`] when there are fewer than n providers, fewer than `min_domains` infrastructures, or a cap
    /// over n-k; `min_domains` of 1 lifts the last.
    pub fn of(roster: &RosterSummary, code: Code, min_domains: u8) -> Result<Self, PlacementError> {
        if !code.is_valid() {
            return Err(PlacementError::Code(code));
        }
        let have = roster.providers.groups();
        if have < usize::from(code.n) {
            return Err(PlacementError::TooFewProviders { code, have });
        }
        let have = roster.infrastructures();
        if have < usize::from(min_domains) {
            return Err(PlacementError::TooFewDomains { have, need: min_domains });
        }
        let [operator, infrastructure, region] = roster.dimensions.each_ref().map(|classes| even(classes, code.n));
        let caps = Self { operator, infrastructure, region };
        if min_domains != 1 && caps.worst() > code.spare() {
            return Err(caps.too_concentrated(roster, code));
        }
        Ok(caps)
    }

    /// The caps of a repair beside these columns: those of a new extent with this roster, or what the extent has where
    /// that is more; but one whole domain may be lost, unless `min_domains` is 1.
    pub fn beside(roster: &RosterSummary, code: Code, min_domains: u8, present: &[DomainTags]) -> Self {
        let spread = Spread::of(present);
        let [operator, infrastructure, region] = [0, 1, 2].map(|at| {
            let most = spread.0[at].values().max().map_or(0, |most| u8::try_from(*most).unwrap_or(u8::MAX));
            let even = even(&roster.dimensions[at], code.n);
            let even = if min_domains == 1 { even } else { even.min(code.spare()) };
            even.max(most)
        });
        Self { operator, infrastructure, region }
    }

    /// The error for the dimension with the largest cap.
    fn too_concentrated(&self, roster: &RosterSummary, code: Code) -> PlacementError {
        let cap = self.worst();
        let mut dimensions = Dimension::ALL.into_iter().zip(&roster.dimensions);
        let worst = dimensions.find(|(dimension, _)| self.of_dimension(*dimension) == cap);
        let (dimension, classes) = worst.expect("the worst cap is of one of them");
        PlacementError::TooConcentrated { code, dimension, values: classes.groups(), cap }
    }

    /// The cap of one dimension.
    pub fn of_dimension(&self, dimension: Dimension) -> u8 {
        match dimension {
            Dimension::Operator => self.operator,
            Dimension::Infrastructure => self.infrastructure,
            Dimension::Region => self.region,
        }
    }

    /// The largest cap: columns that are lost with one whole domain at worst.
    pub fn worst(&self) -> u8 {
        self.operator.max(self.infrastructure).max(self.region)
    }

    /// Whether `candidate` fits beside `chosen`.
    pub fn admits(&self, chosen: &[DomainTags], candidate: &DomainTags) -> bool {
        Spread::of(chosen).admits(candidate, self.limits())
    }

    /// Whether `chosen` satisfy the rule together.
    pub fn holds(&self, chosen: &[DomainTags]) -> bool {
        let limits = self.limits();
        let mut spread = Spread::default();
        chosen.iter().all(|domain| {
            let fits = spread.admits(domain, limits);
            spread.add(domain);
            fits
        })
    }

    pub(super) fn limits(&self) -> Limits {
        Limits(Dimension::ALL.map(|dimension| u16::from(self.of_dimension(dimension))))
    }
}

/// The share of the columns that a domain counts with, at most, as a multiple of its share of the weight.
const OVERWEIGHT: u128 = 2;

impl RosterSummary {
    /// Providers that count for the choice of a code, by weight: see [`Classes::significant`].
    pub fn eligible(&self) -> usize {
        self.providers.significant()
    }

    /// Infrastructures that count, by weight: see [`Classes::significant`].
    pub fn infrastructures(&self) -> usize {
        let [_, infrastructures, _] = &self.dimensions;
        infrastructures.significant()
    }
}

/// The smallest cap under which these can take `n` columns: each as many as it has providers, and as its weight allows.
/// Where the weights are so uneven that no cap suffices, they do not count.
fn even(classes: &Classes, n: u8) -> u8 {
    let (columns, total) = (u128::from(n), classes.weight());
    // In columns times the total weight, so that nothing is rounded.
    let by_count = |cap: u8| {
        classes.iter().map(move |(each, members)| u128::from(each.min(cap)) * u128::from(members.groups) * total)
    };
    let by_weight = |cap: u8| {
        let weights = classes.iter().map(|(_, members)| OVERWEIGHT * columns * members.weight);
        by_count(cap).zip(weights).map(|(count, weight)| count.min(weight)).sum::<u128>()
    };
    let weighed = least(n, |cap| by_weight(cap) >= columns * total);
    weighed.or_else(|| least(n, |cap| by_count(cap).sum::<u128>() >= columns * total)).unwrap_or(n)
}

/// The least number of 1 to `n` for which `holds`, which then holds for all above it; `None` when it holds for none.
fn least(n: u8, holds: impl Fn(u8) -> bool) -> Option<u8> {
    let (mut low, mut high) = (1, n);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    holds(low).then_some(low)
}

/// Caps as numbers in the order of [`Dimension::ALL`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits([u16; 3]);

impl Limits {
    /// Twice of each.
    pub(super) fn twice(self) -> Self {
        Self(self.0.map(|limit| 2 * limit))
    }
}

/// How many of a choice are in each domain, by dimension.
#[derive(Debug, Default)]
pub(super) struct Spread([BTreeMap<Tag, u16>; 3]);

impl Spread {
    pub(super) fn of(domains: &[DomainTags]) -> Self {
        let mut spread = Self::default();
        domains.iter().for_each(|domain| spread.add(domain));
        spread
    }

    /// Whether one more of `domain` stays within `limits`.
    pub(super) fn admits(&self, domain: &DomainTags, limits: Limits) -> bool {
        let have = |at: usize, dimension: Dimension| self.0[at].get(&dimension.tag_of(domain)).copied().unwrap_or(0);
        Dimension::ALL.iter().enumerate().all(|(at, dimension)| have(at, *dimension) < limits.0[at])
    }

    /// One more of `domain`.
    pub(super) fn add(&mut self, domain: &DomainTags) {
        for (counts, dimension) in self.0.iter_mut().zip(Dimension::ALL) {
            *counts.entry(dimension.tag_of(domain)).or_default() += 1;
        }
    }

    /// One less of `domain`, which was added before.
    pub(super) fn remove(&mut self, domain: &DomainTags) {
        for (counts, dimension) in self.0.iter_mut().zip(Dimension::ALL) {
            *counts.get_mut(&dimension.tag_of(domain)).expect("removed only after it was added") -= 1;
        }
    }
}

/// What the loss of whole domains means for an object (ARCHITECTURE 4), weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tolerance {
    /// The loss of one whole domain may lose the object: only where the genesis lifts the rule.
    Nodes,
    /// The loss of any one whole domain is survived.
    Domain,
    /// The loss of a whole domain and one more node is survived even at the repair threshold.
    DomainAndNode,
    /// Losses of whole domains hardly reduce the durability.
    Disasters,
}

/// The tolerance of a code with this repair threshold under these caps.
pub fn tolerance(code: Code, repair_threshold: u8, caps: &Caps) -> Tolerance {
    let (cap, slack) = (caps.worst(), repair_threshold.saturating_sub(code.k));
    if cap <= slack / 3 {
        Tolerance::Disasters
    } else if cap < slack {
        Tolerance::DomainAndNode
    } else if cap <= code.spare() {
        Tolerance::Domain
    } else {
        Tolerance::Nodes
    }
}

impl std::fmt::Display for Tolerance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nodes => "it survives the loss of single nodes, but not of any whole domain",
            Self::Domain => "it survives the loss of any one whole domain",
            Self::DomainAndNode => "it survives the loss of any one whole domain and one more node before repair",
            Self::Disasters => "it survives the loss of three times as many columns as one domain has, before repair",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::classes::Group, *};

    #[test]
    fn caps_are_as_even_as_the_network_allows() {
        // Providers of one weight.
        let check = |counts: &[u32], n, expect| {
            let groups: Vec<Group> =
                counts.iter().map(|count| Group { providers: *count, weight: u128::from(*count) }).collect();
            assert_eq!(even(&Classes::of(&groups), n), expect, "{n} over {counts:?}");
        };
        check(&[2; 7], 12, 2);
        check(&[4, 4, 3, 3], 12, 3);
        check(&[1; 14], 12, 1);
        check(&[14], 12, 12);
        // One large domain and six single ones: each of the six gives all it has.
        check(&[8, 1, 1, 1, 1, 1, 1], 12, 6);
        check(&[200, 200, 200], 255, 85);
        check(&[9, 16], 25, 16);
    }

    #[test]
    fn domains_count_by_weight() {
        let group = |providers, weight| Group { providers, weight };
        let check =
            |desc: &str, groups: &[Group], n, expect| assert_eq!(even(&Classes::of(groups), n), expect, "{desc}");
        let seven = [group(14, 1_000_000); 7];
        check("seven", &seven, 50, 8);
        check("and many small ones", &[&seven[..], &[group(1, 1); 200]].concat(), 50, 8);
        // With a tenth of the weight they are counted for a fifth of the columns.
        check("and many with a tenth of all", &[&seven[..], &[group(1, 4_009); 194]].concat(), 50, 6);
        check("half of the weight", &[&seven[..], &[group(1, 35_000); 200]].concat(), 50, 1);
        check("large and small, all are needed", &[group(1, 1), group(1, 1), group(1, 100), group(1, 100)], 4, 1);
        check("the largest weights", &[group(1 << 20, u128::from(u64::MAX) << 20); 2], 255, 128);
    }

    #[test]
    fn the_least_is_found_by_halving() {
        for n in 1..=u8::MAX {
            for bound in [1, 2, n / 2, n.saturating_sub(1), n, n.saturating_add(1)] {
                let expect = (1..=n).find(|number| *number >= bound);
                assert_eq!(least(n, |number| number >= bound), expect, "{bound} of {n}");
            }
        }
    }

    #[test]
    fn the_three_statements_of_the_design() {
        let check = |text: &str, repair, cap, expect| {
            let caps = Caps { operator: 1, infrastructure: cap, region: 1 };
            assert_eq!(tolerance(text.parse().expect("a code"), repair, &caps), expect, "{text} {cap}");
        };
        check("4/12", 9, 1, Tolerance::Disasters);
        check("4/12", 9, 2, Tolerance::DomainAndNode);
        check("4/12", 9, 4, Tolerance::DomainAndNode);
        check("4/12", 9, 5, Tolerance::Domain);
        check("4/12", 9, 8, Tolerance::Domain);
        check("4/12", 9, 9, Tolerance::Nodes);
        check("20/50", 36, 5, Tolerance::Disasters);
        check("1/3", 2, 1, Tolerance::Domain);
    }
}
