//! `ostrakon repair status`: what is to be repaired, who rebuilds it, and what blocks it. Nodes do the work.

use ostrakon::{Code, OpenRepair, Repairs};

use super::Home;
use crate::{
    args::{Repair, RepairStatus},
    output::{Output, Paint, Style, Table},
};

/// Repairs that are listed where not all are asked for.
const LISTED: usize = 64;

/// Runs the command.
///
/// # Errors
/// When the ledger has no such object, or no node responds.
pub(crate) async fn run(command: &Repair, home: &Home, out: &Output) -> crate::Result<()> {
    let Repair::Status(RepairStatus { object, all }) = command;
    let repairs = match object.is_given() {
        true => {
            let link = object.link(home).await?;
            home.reader()?.repairs_of(link.object).await?
        }
        false => home.reader()?.repairs(if *all { usize::MAX } else { LISTED }).await?,
    };
    out.answer(&repairs, |paint| text(&repairs, paint))?;
    Ok(())
}

fn text(repairs: &Repairs, paint: Paint) -> String {
    if repairs.open.is_empty() {
        return "nothing is to be repaired".to_owned();
    }
    let mut table = Table::new(0).head(["object", "live", "missing columns", "since", "rebuilder", ""]);
    for repair in &repairs.open {
        let OpenRepair { object, extent, code: Code { k, n }, live, slots, .. } = repair;
        let style = if *live < usize::from(*k) { Style::Red } else { Style::Plain };
        let slots: Vec<String> = slots.iter().map(ToString::to_string).collect();
        table.row(vec![
            (Style::Plain, if *extent == 0 { object.to_string() } else { format!("{object} extent {extent}") }),
            (style, format!("{live} of {n}")),
            (Style::Plain, slots.join(" ")),
            (Style::Plain, format!("epoch {}", repair.since_epoch)),
            (Style::Plain, repair.rebuilder.map_or_else(|| "-".to_owned(), |node| node.to_string())),
            (Style::Dim, turn_text(repair)),
        ]);
    }
    let more = if repairs.more { "\nthere are more: --all lists them" } else { "" };
    format!("{}{more}", table.render(paint))
}

/// Until when its turn is, or what it waits for.
fn turn_text(repair: &OpenRepair) -> String {
    let until = repair.deadline_epoch.map(|epoch| format!("until epoch {epoch}"));
    repair.blocked_by.clone().or(until).unwrap_or_else(|| "no node says whose turn it is: try again".to_owned())
}

#[cfg(test)]
mod tests {
    use ostrakon::{AccountId, Epoch, NodeId, ObjectId};

    use super::*;

    fn repair(object: u8, live: usize) -> OpenRepair {
        OpenRepair {
            object: ObjectId::new([object; 32]),
            extent: 0,
            owner: AccountId::new([2; 32]),
            code: Code { k: 2, n: 4 },
            live,
            threshold: 3,
            slots: vec![1, 3],
            since_epoch: Epoch(7),
            rebuilder: Some(NodeId::new([3; 32])),
            deadline_epoch: Some(Epoch(9)),
            blocked_by: None,
        }
    }

    #[test]
    fn a_repair_has_the_fields_that_scripts_rely_on() {
        let value = serde_json::to_value(Repairs { open: vec![repair(1, 2)], more: false }).expect("serialises");
        let open = &value["open"][0];
        assert_eq!(open["cid"], ObjectId::new([1; 32]).to_string());
        assert_eq!(open["rebuilder"], NodeId::new([3; 32]).to_string());
        assert_eq!(open["slots"], serde_json::json!([1, 3]));
        for (field, expect) in [("extent", 0), ("live", 2), ("threshold", 3), ("since_epoch", 7), ("deadline_epoch", 9)]
        {
            assert_eq!(open[field], expect, "{field}");
        }
        assert_eq!((&open["blocked_by"], &value["more"]), (&serde_json::Value::Null, &serde_json::json!(false)));
    }

    #[test]
    fn people_see_what_a_repair_waits_for() {
        let blocked = OpenRepair {
            rebuilder: None,
            deadline_epoch: None,
            blocked_by: Some("waits for others to join".to_owned()),
            ..repair(2, 1)
        };
        let text = text(&Repairs { open: vec![blocked, repair(1, 2)], more: true }, Paint::PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("1 of 4  1 3              epoch 7  -"), "{text}");
        assert!(lines[1].ends_with("waits for others to join"), "{text}");
        assert!(lines[2].ends_with("until epoch 9"), "{text}");
        assert_eq!(lines[3], "there are more: --all lists them");
        assert_eq!(super::text(&Repairs::default(), Paint::PLAIN), "nothing is to be repaired");
    }
}
