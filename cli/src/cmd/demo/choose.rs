//! Who dies in the demo, and whether the file can survive it. Pure.

use std::collections::BTreeSet;

use ostrakon::{Code, NodeId};

use crate::cmd::devnet::plan::NodeEntry;

/// How many validators may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mortal {
    /// All: the ledger need not continue.
    All,
    /// So few that the others decide blocks without them.
    Minority,
}

impl Mortal {
    fn of(self, validators: u16) -> u16 {
        match self {
            Self::All => validators,
            Self::Minority => validators.saturating_sub(1) / 3,
        }
    }
}

/// How many of the nodes validate, where nobody says it: four, of which one may die, if the other three can be spared.
pub(crate) const fn validators(nodes: u16, kill: u16) -> u16 {
    if nodes >= kill.saturating_add(3) { 4 } else { 1 }
}

/// Why the demo would fail, as text, before it begins.
pub(crate) fn objection(
    code: Option<Code>,
    (nodes, validators): (u16, u16),
    (kill, mortal): (u16, Mortal),
) -> Option<String> {
    let Some(code) = code else { return Some(format!("{nodes} nodes are too few for any code: use at least 3")) };
    let spare = u16::from(code.spare());
    if kill > spare {
        return Some(format!(
            "with {nodes} nodes a file is coded {} of {}, and survives the loss of any {spare} nodes, not of {kill}: \
             use --kill {spare}, or more --nodes",
            code.k, code.n
        ));
    }
    let may_die = nodes.saturating_sub(validators) + mortal.of(validators);
    (kill > may_die).then(|| {
        format!(
            "of {nodes} nodes, {validators} of them validators, {may_die} may die while the others still decide \
             blocks, and without blocks nothing is repaired: use --kill {may_die}, fewer --validators, or --no-repair"
        )
    })
}

/// The indexes of the nodes that die: a validator, then the holders of data columns, so that the file must truly be
/// recomputed, then other holders, then the rest, and last the other validators that may. `holders` are the providers
/// by column index.
pub(crate) fn victims(nodes: &[NodeEntry], holders: &[NodeId], (kill, mortal): (u16, Mortal)) -> Vec<u16> {
    let holding = holders.iter().filter_map(|holder| nodes.iter().find(|node| node.provider == *holder));
    let (validators, others): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| node.validator);
    let holding = holding.filter(|node| !node.validator);
    let mortal = usize::from(mortal.of(u16::try_from(validators.len()).unwrap_or(u16::MAX)));
    let mortals = &validators[..mortal.min(validators.len())];
    let order = mortals.iter().take(1).copied().chain(holding).chain(others).chain(mortals.iter().copied());
    let mut seen = BTreeSet::new();
    let distinct = order.map(|node| node.index).filter(|index| seen.insert(*index));
    distinct.take(usize::from(kill)).collect()
}

/// The indexes of the holders that die after the repair, at most so many, in the order of their columns: no validator.
pub(crate) fn victims_again(nodes: &[NodeEntry], holders: &[NodeId], most: u8) -> Vec<u16> {
    let holding = holders.iter().filter_map(|holder| nodes.iter().find(|node| node.provider == *holder));
    holding.filter(|node| !node.validator).map(|node| node.index).take(usize::from(most)).collect()
}

#[cfg(test)]
mod tests {
    use ostrakon::{Class, ledger::Params};

    use super::*;
    use crate::cmd::devnet::plan::{Plan, Shape};

    #[test]
    fn what_cannot_end_well_is_said_before() {
        let check = |nodes: u16, kill, good| {
            let code = Params::default().class(Class::Standard, usize::from(nodes)).map(|(code, _)| code);
            let validators = validators(nodes, kill);
            for mortal in [Mortal::All, Mortal::Minority] {
                let objection = objection(code, (nodes, validators), (kill, mortal));
                assert_eq!(objection.is_none(), good, "{nodes} nodes, {kill} die: {objection:?}");
            }
        };
        check(14, 8, true);
        check(14, 9, false);
        check(3, 2, true);
        check(3, 3, false);
        check(2, 1, false);
        check(30, 16, true);
        check(200, 30, true);
        check(200, 31, false);
        let three_of_four = |mortal| objection(Code::new(2, 4).ok(), (4, 3), (2, mortal));
        assert_eq!(three_of_four(Mortal::All), None);
        assert!(three_of_four(Mortal::Minority).is_some_and(|text| text.contains("use --kill 1")));
    }

    #[test]
    fn one_validator_dies_then_holders_in_order_of_columns() {
        let mut seed = 0;
        let plan = Plan::new(Shape { validators: 2, ..Shape::of(6, 3) }, &[1, 2, 3, 4, 5, 6], || {
            seed += 1;
            [seed; 32]
        });
        let nodes: Vec<NodeEntry> = plan.nodes.into_iter().map(|node| node.entry).collect();
        let holders: Vec<NodeId> = [4, 2, 0].map(|index: usize| nodes[index].provider).to_vec();
        let all = |kill| victims(&nodes, &holders, (kill, Mortal::All));
        assert_eq!(all(1), [0]);
        assert_eq!(all(3), [0, 4, 2]);
        assert_eq!(all(5), [0, 4, 2, 3, 5]);
        assert_eq!(all(9).len(), 6);
        assert_eq!(victims(&nodes, &holders, (9, Mortal::Minority)), [4, 2, 3, 5], "of two validators none");
        assert_eq!(victims_again(&nodes, &holders, 1), [4]);
        assert_eq!(victims_again(&nodes, &holders, 9), [4, 2]);
    }
}
