//! Who dies in the demo, and whether the file can survive it. Pure.

use std::collections::BTreeSet;

use ostrakon::{Code, NodeId};

use crate::cmd::devnet::plan::NodeEntry;

/// Why the demo would fail, as text, before it begins.
pub(crate) fn objection(code: Option<Code>, nodes: u16, kill: u16) -> Option<String> {
    let Some(code) = code else { return Some(format!("{nodes} nodes are too few for any code: use at least 3")) };
    let spare = u16::from(code.spare());
    (kill > spare).then(|| {
        format!(
            "with {nodes} nodes a file is coded {} of {}, and survives the loss of any {spare} nodes, not of {kill}: \
             use --kill {spare}, or more --nodes",
            code.k, code.n
        )
    })
}

/// The indexes of the nodes that die: a validator, then the holders of data columns, so that the file must truly be
/// recomputed, then other holders, then the rest, and last the other validators, so that the ledger continues where it
/// can. `holders` are the providers by column index.
pub(crate) fn victims(nodes: &[NodeEntry], holders: &[NodeId], kill: u16) -> Vec<u16> {
    let holding = holders.iter().filter_map(|holder| nodes.iter().find(|node| node.provider == *holder));
    let (validators, others): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| node.validator);
    let holding = holding.filter(|node| !node.validator);
    let order = validators.iter().take(1).copied().chain(holding).chain(others).chain(validators.iter().copied());
    let mut seen = BTreeSet::new();
    let distinct = order.map(|node| node.index).filter(|index| seen.insert(*index));
    distinct.take(usize::from(kill)).collect()
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
            assert_eq!(objection(code, nodes, kill).is_none(), good, "{nodes} nodes, {kill} die");
        };
        check(14, 8, true);
        check(14, 9, false);
        check(3, 2, true);
        check(3, 3, false);
        check(2, 1, false);
        check(30, 16, true);
        check(200, 30, true);
        check(200, 31, false);
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
        assert_eq!(victims(&nodes, &holders, 1), [0]);
        assert_eq!(victims(&nodes, &holders, 3), [0, 4, 2]);
        assert_eq!(victims(&nodes, &holders, 5), [0, 4, 2, 3, 5]);
        assert_eq!(victims(&nodes, &holders, 9).len(), 6);
    }
}
