//! The domain rule: how many columns of one extent may be in one domain, in each dimension by itself (ARCHITECTURE 4).
//!
//! In go a roster and a code; out come the [`Caps`], or why the network cannot carry the code and which one it could.
//! Caps are as even as the network allows: the smallest with which each dimension can take n columns, which is
//! `ceil(n / domains)` wherever every domain has that many providers.

use std::collections::BTreeMap;

use crate::{
    ledger::state::{Domain, RosterEntry},
    params::Code,
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
        "too few providers: code {code} needs {} with free space, the network has {have}; use a code with \
         fewer columns",
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
        /// Distinct infrastructures.
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
    /// The caps of this code with this roster. Entries without weight do not count.
    ///
    /// # Errors
    /// [`PlacementError`] when there are fewer than n entries, fewer than `min_domains` infrastructures, or a cap
    /// over n-k; `min_domains` of 1 lifts the last.
    pub fn of(roster: &[RosterEntry], code: Code, min_domains: u8) -> Result<Self, PlacementError> {
        if !code.is_valid() {
            return Err(PlacementError::Code(code));
        }
        let have = roster.iter().filter(|candidate| candidate.weight > 0).count();
        if have < usize::from(code.n) {
            return Err(PlacementError::TooFewProviders { code, have });
        }
        let infrastructures = counts(roster, Dimension::Infrastructure).len();
        if infrastructures < usize::from(min_domains) {
            return Err(PlacementError::TooFewDomains { have: infrastructures, need: min_domains });
        }
        let [operator, infrastructure, region] =
            Dimension::ALL.map(|dimension| even(&counts(roster, dimension), code.n));
        let caps = Self { operator, infrastructure, region };
        if min_domains != 1 && caps.worst() > code.spare() {
            return Err(caps.too_concentrated(roster, code));
        }
        Ok(caps)
    }

    /// The error for the dimension with the largest cap.
    fn too_concentrated(&self, roster: &[RosterEntry], code: Code) -> PlacementError {
        let cap = self.worst();
        let dimension = Dimension::ALL.into_iter().find(|dimension| self.of_dimension(*dimension) == cap);
        let dimension = dimension.expect("the worst cap is of one of them");
        PlacementError::TooConcentrated { code, dimension, values: counts(roster, dimension).len(), cap }
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
    pub fn admits(&self, chosen: &[&Domain], candidate: &Domain) -> bool {
        Spread::of(chosen).admits(candidate, self.limits())
    }

    /// Whether `chosen` satisfy the rule together.
    pub fn holds(&self, chosen: &[&Domain]) -> bool {
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

/// Providers of each value of a dimension.
fn counts(roster: &[RosterEntry], dimension: Dimension) -> Vec<usize> {
    let eligible = roster.iter().filter(|candidate| candidate.weight > 0);
    let mut values: Vec<&str> = eligible.map(|candidate| dimension.of(&candidate.domain)).collect();
    values.sort_unstable();
    values.chunk_by(|one, other| one == other).map(<[_]>::len).collect()
}

/// The smallest cap under which values of these sizes have room for `n`; there are at least `n` in all.
fn even(counts: &[usize], n: u8) -> u8 {
    let room = |cap: u8| counts.iter().map(|count| (*count).min(usize::from(cap))).sum::<usize>();
    (1..n).find(|cap| room(*cap) >= usize::from(n)).unwrap_or(n)
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
pub(super) struct Spread<'a>([BTreeMap<&'a str, u16>; 3]);

impl<'a> Spread<'a> {
    fn of(domains: &[&'a Domain]) -> Self {
        let mut spread = Self::default();
        domains.iter().for_each(|domain| spread.add(domain));
        spread
    }

    /// Whether one more of `domain` stays within `limits`.
    pub(super) fn admits(&self, domain: &Domain, limits: Limits) -> bool {
        let have = |at: usize, dimension: Dimension| self.0[at].get(dimension.of(domain)).copied().unwrap_or(0);
        Dimension::ALL.iter().enumerate().all(|(at, dimension)| have(at, *dimension) < limits.0[at])
    }

    /// One more of `domain`.
    pub(super) fn add(&mut self, domain: &'a Domain) {
        for (counts, dimension) in self.0.iter_mut().zip(Dimension::ALL) {
            *counts.entry(dimension.of(domain)).or_default() += 1;
        }
    }

    /// One less of `domain`, which was added before.
    pub(super) fn remove(&mut self, domain: &Domain) {
        for (counts, dimension) in self.0.iter_mut().zip(Dimension::ALL) {
            *counts.get_mut(dimension.of(domain)).expect("removed only after it was added") -= 1;
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
    use super::*;

    #[test]
    fn caps_are_as_even_as_the_network_allows() {
        let check = |counts: &[usize], n, expect| assert_eq!(even(counts, n), expect, "{n} over {counts:?}");
        check(&[2; 7], 12, 2);
        check(&[4, 4, 3, 3], 12, 3);
        check(&[1; 14], 12, 1);
        check(&[14], 12, 12);
        // One large domain and six single ones: each of the six gives all it has.
        check(&[8, 1, 1, 1, 1, 1, 1], 12, 6);
        check(&[200, 200, 200], 255, 85);
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
