//! What an object survives, from where its columns are stored now.

use std::collections::BTreeMap;

use ostrakon_proto::{
    ledger::state::Domain,
    placement::{Caps, Dimension},
};
use serde::Serialize;

/// What may be lost while the object can still be read, before anything is repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Survives {
    /// Any so many of the nodes that hold its columns.
    pub nodes: usize,
    /// Any so many whole domains: operators, infrastructures or regions.
    pub domains: usize,
}

impl Survives {
    /// Of one extent, any `k` columns of which restore it, with a stored column in each of these domains.
    pub fn of<'a>(k: u8, stored: impl IntoIterator<Item = &'a Domain>) -> Self {
        let stored: Vec<&Domain> = stored.into_iter().collect();
        let nodes = stored.len().saturating_sub(usize::from(k));
        let domains = Dimension::ALL.into_iter().map(|dimension| {
            let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
            stored.iter().for_each(|domain| *sizes.entry(dimension.of(domain)).or_default() += 1);
            let mut sizes: Vec<usize> = sizes.into_values().collect();
            sizes.sort_unstable_by(|one, other| other.cmp(one));
            let lost = sizes.iter().scan(0, |lost, size| {
                *lost += size;
                Some(*lost)
            });
            lost.take_while(|lost| *lost <= nodes).count()
        });
        Self { nodes, domains: domains.min().unwrap_or(0) }
    }

    /// Of an extent all of whose columns are stored, spread as badly as these caps allow.
    pub(crate) fn at_best(spare: u8, caps: &Caps) -> Self {
        Self { nodes: usize::from(spare), domains: usize::from(spare / caps.worst().max(1)) }
    }

    /// Of an object whose extents survive that much each.
    pub fn weakest(extents: impl IntoIterator<Item = Self>) -> Self {
        let weaker = |one: Self, other: Self| Self {
            nodes: one.nodes.min(other.nodes),
            domains: one.domains.min(other.domains),
        };
        extents.into_iter().reduce(weaker).unwrap_or(Self { nodes: 0, domains: 0 })
    }
}

impl std::fmt::Display for Survives {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.nodes {
            0 => return f.write_str("no loss"),
            1 => f.write_str("the loss of any node")?,
            nodes => write!(f, "the loss of any {nodes} nodes")?,
        }
        match self.domains {
            0 => Ok(()),
            1 => f.write_str(" or any domain"),
            domains => write!(f, " or any {domains} domains"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(operator: &str, infrastructure: &str) -> Domain {
        let region = operator.to_owned();
        Domain { operator: operator.to_owned(), infrastructure: infrastructure.to_owned(), region }
    }

    #[test]
    fn the_largest_domains_go_first() {
        // Of 4/12 on six domains of two columns each, ten are stored: two domains have one.
        let stored: Vec<Domain> = (0..10).map(|at: usize| domain(&(at % 6).to_string(), &at.to_string())).collect();
        let survives = Survives::of(4, &stored);
        assert_eq!((survives.nodes, survives.domains), (6, 3));
        assert_eq!(survives.to_string(), "the loss of any 6 nodes or any 3 domains");
        let crowded: Vec<Domain> = (0..10).map(|at: usize| domain(&at.to_string(), "one")).collect();
        assert_eq!(Survives::of(4, &crowded), Survives { nodes: 6, domains: 0 });
        assert_eq!(Survives::of(4, &stored[..3]), Survives { nodes: 0, domains: 0 });
        assert_eq!(Survives::weakest([survives, Survives::of(4, &stored[..5])]).nodes, 1);
    }
}
