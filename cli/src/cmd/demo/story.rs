//! What the demo says: short headed steps and aligned columns. Pure: values come in, text comes out.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use ostrakon::{Amount, NodeId, UsedColumn};

use super::repair::Paid;

use crate::{
    cmd::devnet::plan::NodeEntry,
    output::{Paint, Style, Table},
};

/// Where the figures of a step begin.
const TITLE: usize = 58;
/// Nodes in one line of a map.
const ACROSS: usize = 4;

/// The first line.
pub(crate) fn title(paint: Paint, text: &str) -> String {
    paint.text(Style::Bold, text)
}

/// The head of a step: its number, what is done, and how long it took.
pub(crate) fn step(paint: Paint, number: usize, title: &str, figures: &str) -> String {
    let head = paint.text(Style::Bold, &format!("{number}  {title}"));
    if figures.is_empty() {
        return format!("\n{head}");
    }
    let gap = " ".repeat(TITLE.saturating_sub(title.chars().count()).max(2));
    format!("\n{head}{gap}{}", paint.text(Style::Dim, figures))
}

/// A line below a step's head.
pub(crate) fn line(text: &str) -> String {
    format!("   {text}")
}

/// How many nodes are left, as text.
pub(crate) fn left(count: usize) -> String {
    if count == 1 { "the one node that is left".to_owned() } else { format!("the {count} nodes that are left") }
}

/// A time for people.
pub(crate) fn seconds(seconds: f64) -> String {
    format!("{seconds:.1} s")
}

/// One node in the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    node: u16,
    domain: String,
    validator: bool,
    column: Option<usize>,
    gone: bool,
}

/// All nodes, with the column of the first extent that each keeps; `holders` are the providers by column index.
pub(crate) fn places(nodes: &[NodeEntry], holders: &[NodeId], gone: &[u16]) -> Vec<Place> {
    let place = |node: &NodeEntry| Place {
        node: node.index,
        domain: node.domain.operator.clone(),
        validator: node.validator,
        column: holders.iter().position(|holder| *holder == node.provider),
        gone: gone.contains(&node.index),
    };
    nodes.iter().map(place).collect()
}

/// Who keeps what, one domain a line.
pub(crate) fn map(paint: Paint, places: &[Place]) -> String {
    let mut domains: BTreeMap<(usize, &str), Vec<&Place>> = BTreeMap::new();
    for place in places {
        // By length first, so that operator-10 comes after operator-9.
        domains.entry((place.domain.len(), &place.domain)).or_default().push(place);
    }
    let mut table = Table::new(3);
    for ((_, domain), members) in &domains {
        for (row, some) in members.chunks(ACROSS).enumerate() {
            let label = if row == 0 { (*domain).to_owned() } else { String::new() };
            let cells = some.iter().map(|place| place.cell());
            table.row(std::iter::once((Style::Dim, label)).chain(cells).collect());
        }
    }
    table.render(paint)
}

impl Place {
    fn cell(&self) -> (Style, String) {
        let mark = if self.validator { '*' } else { ' ' };
        let kept = self.column.map_or_else(|| "-".to_owned(), |column| format!("column {column}"));
        let (style, fate) = match (self.gone, self.column) {
            (true, _) => (Style::Red, " gone"),
            (false, Some(_)) => (Style::Green, ""),
            (false, None) => (Style::Plain, ""),
        };
        (style, format!("node {:02}{mark} {kept}{fate}", self.node))
    }
}

/// Which columns came from which nodes.
pub(crate) fn sources(nodes: &[NodeEntry], used: &[UsedColumn]) -> String {
    let node = |provider: &NodeId| nodes.iter().find(|node| node.provider == *provider);
    // An object of several extents has a column of one index at several nodes.
    let pairs: BTreeSet<(u8, u16)> =
        used.iter().filter_map(|column| Some((column.index, node(&column.provider)?.index))).collect();
    if pairs.len() > ACROSS + 1 {
        let columns: Vec<String> = pairs.iter().map(|(column, _)| column.to_string()).collect();
        return format!("columns read: {}, each from another node", columns.join(" "));
    }
    let texts: Vec<String> = pairs.iter().map(|(column, node)| format!("{column} from node {node:02}")).collect();
    format!("columns read: {}", texts.join(", "))
}

/// Who was paid since the first nodes were killed, and who was not.
pub(crate) fn pay(paint: Paint, paid: &[Paid]) -> String {
    let mut table = Table::new(3).head(["node", "proven epochs", "paid", ""]);
    for Paid { index, proven_epochs, earned, killed } in paid {
        let (style, fate) = if *killed { (Style::Red, "killed") } else { (Style::Plain, "") };
        let pay = if *earned > Amount::ZERO { format!("{earned} obols") } else { "nothing".to_owned() };
        table.row(vec![
            (Style::Plain, format!("node {index:02}")),
            (Style::Plain, proven_epochs.to_string()),
            (Style::Plain, pay),
            (style, fate.to_owned()),
        ]);
    }
    table.render(paint)
}

/// How to continue with a network that is kept.
pub(crate) fn farewell(net: &Path) -> String {
    let net = net.display();
    let mut table = Table::new(2);
    table.plain([format!("export OSTRAKON_PROFILE={net}/profile"), "use it".to_owned()]);
    table.plain([format!("ostrakon devnet start --dir {net}"), "start again what was killed".to_owned()]);
    table.plain([format!("ostrakon devnet down --dir {net}"), "stop it".to_owned()]);
    format!("\nThe network is kept:\n{}", table.render(Paint::PLAIN))
}

/// Two hashes below each other, and what follows from them.
pub(crate) fn comparison(paint: Paint, added: &str, got: &str, identical: bool) -> String {
    let mut table = Table::new(3);
    table.plain(["added".to_owned(), format!("blake3 {added}")]);
    table.plain(["got".to_owned(), format!("blake3 {got}")]);
    let verdict = match identical {
        true => paint.text(Style::Green, "identical, byte for byte"),
        false => paint.text(Style::Red, "NOT IDENTICAL"),
    };
    format!("{}\n   {verdict}", table.render(paint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::devnet::plan::{Plan, Shape};

    fn nodes(count: u16, domains: u16) -> Vec<NodeEntry> {
        let mut seed = 0;
        let ports: Vec<u16> = (1..=count).collect();
        let plan = Plan::new(Shape::of(count, domains), &ports, || {
            seed += 1;
            [seed; 32]
        });
        plan.nodes.into_iter().map(|node| node.entry).collect()
    }

    #[test]
    fn the_map_shows_who_keeps_what_and_who_is_gone() {
        let nodes = nodes(4, 2);
        let holders = [2, 1, 3].map(|index: usize| nodes[index].provider);
        let text = map(Paint::PLAIN, &places(&nodes, &holders, &[0, 2]));
        let expect = "   operator-0  node 00* - gone    node 02  column 0 gone\n   \
                         operator-1  node 01  column 1  node 03  column 2";
        assert_eq!(text, expect);
    }

    #[test]
    fn large_domains_take_several_lines_and_stay_in_order() {
        let nodes = nodes(24, 12);
        let text = map(Paint::PLAIN, &places(&nodes, &[], &[]));
        let first: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!((first[9], first[10]), ("operator-9", "operator-10"));
        let nodes = self::nodes(9, 1);
        assert_eq!(map(Paint::PLAIN, &places(&nodes, &[], &[])).lines().count(), 3);
    }

    #[test]
    fn steps_align_their_figures() {
        let (short, long) = (step(Paint::PLAIN, 1, "a", "1.0 s"), step(Paint::PLAIN, 2, "a longer title", "2.0 s"));
        assert_eq!(short.find("1.0 s"), long.find("2.0 s"));
        assert!(!step(Paint::PLAIN, 3, "no figures", "").ends_with(' '));
    }

    #[test]
    fn the_verdict_is_plain_to_see() {
        assert!(comparison(Paint::PLAIN, "ab", "ab", true).ends_with("   identical, byte for byte"));
        assert!(comparison(Paint::PLAIN, "ab", "cd", false).ends_with("   NOT IDENTICAL"));
    }

    #[test]
    fn who_proves_is_paid() {
        let paid = [(3, 5, 7_000, false), (4, 0, 0, true)].map(|(index, proven_epochs, earned, killed)| Paid {
            index,
            proven_epochs,
            earned: Amount(earned),
            killed,
        });
        let text = pay(Paint::PLAIN, &paid);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["node", "03", "5", "0.007", "obols"]);
        assert_eq!(lines[2], ["node", "04", "0", "nothing", "killed"]);
    }

    #[test]
    fn the_sources_are_named_by_node() {
        let nodes = nodes(3, 3);
        let used = |extent, index, node: usize| UsedColumn { extent, index, provider: nodes[node].provider };
        let text = sources(&nodes, &[used(0, 11, 2), used(0, 4, 1), used(1, 4, 1)]);
        assert_eq!(text, "columns read: 4 from node 01, 11 from node 02");
        let many: Vec<UsedColumn> = (0..6).map(|index| used(0, index, 0)).collect();
        assert_eq!(sources(&nodes, &many), "columns read: 0 1 2 3 4 5, each from another node");
    }
}
