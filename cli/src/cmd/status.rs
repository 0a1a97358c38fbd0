//! `ostrakon status`: where an object is stored, until when, and what it survives.

use ostrakon::{Code, Status, StatusOptions, StatusRepair, StatusState};

use super::Home;
use crate::{
    args,
    output::{Output, Paint, Style, Table, bytes_text, count_text},
    time,
};

/// Runs the command.
///
/// # Errors
/// When the ledger has no such object, or no node responds.
pub(crate) async fn run(args: &args::Status, home: &Home, out: &Output) -> crate::Result<()> {
    let link = home.complete(args.object.link(home).await?)?;
    let status = home.reader()?.status(&link, StatusOptions { probe: args.probe }).await?;
    out.answer(&status, |paint| text(&status, paint))?;
    Ok(())
}

fn text(status: &Status, paint: Paint) -> String {
    let Code { k, n } = status.code;
    let mut table = Table::new(0).head(["column", "provider", "domain", "state", ""]);
    for slot in &status.slots {
        let (style, state, reason) = match &slot.state {
            StatusState::Live => (Style::Green, "live", ""),
            StatusState::Missing => (Style::Red, "missing", ""),
            StatusState::Lost => (Style::Red, "lost", ""),
            StatusState::Unreachable(reason) => (Style::Red, "unreachable", reason.as_str()),
        };
        let column = if slot.extent == 0 { slot.index.to_string() } else { format!("{}.{}", slot.extent, slot.index) };
        table.row(vec![
            (Style::Plain, column),
            (Style::Plain, slot.provider.to_string()),
            (Style::Plain, slot.domain.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)),
            (style, state.to_owned()),
            (Style::Dim, reason.to_owned()),
        ]);
    }
    format!(
        "{}, {}: any {k} of {n} columns restore it\n\
         {} of {n} live: it survives {}; {}\n\
         paid until {} (epoch {})\n\n{}",
        status.object,
        bytes_text(status.size),
        status.live,
        status.survives,
        repair_text(status),
        time::of_ms(status.expires_ms),
        status.expires_epoch,
        table.render(paint)
    )
}

/// Whether it is being repaired, or when it would be.
fn repair_text(status: &Status) -> String {
    match status.repair {
        Some(StatusRepair { since_epoch, .. }) => {
            format!("its repair is open since epoch {since_epoch} (see `ostrakon repair status`)")
        }
        None => format!("repair starts at {}", count_text(status.repair_threshold, "column", "columns")),
    }
}

#[cfg(test)]
mod tests {
    use ostrakon::{AccountId, Epoch, NodeId, ObjectId, StatusSlot, Survives};

    use super::*;

    fn object() -> Status {
        let slot =
            |index, state| StatusSlot { extent: 0, index, provider: NodeId::new([index; 32]), domain: None, state };
        Status {
            object: ObjectId::new([1; 32]),
            size: 2048,
            code: Code { k: 1, n: 3 },
            live: 1,
            repair_threshold: 2,
            repair: None,
            tolerates: 0,
            survives: Survives { nodes: 0, domains: 0 },
            expires_epoch: Epoch(9),
            expires_ms: 951_782_400_000,
            owner: AccountId::new([2; 32]),
            slots: vec![
                slot(0, StatusState::Live),
                slot(1, StatusState::Missing),
                slot(2, StatusState::Unreachable("away".to_owned())),
            ],
        }
    }

    #[test]
    fn the_object_has_the_fields_that_scripts_rely_on() {
        let value = serde_json::to_value(object()).expect("serialises");
        assert_eq!(value["cid"], ObjectId::new([1; 32]).to_string());
        assert_eq!(value["code"], serde_json::json!({"k": 1, "n": 3}));
        for (field, expect) in
            [("size", 2048), ("live", 1), ("repair_threshold", 2), ("tolerates", 0), ("expires_epoch", 9)]
        {
            assert_eq!(value[field], expect, "{field}");
        }
        let states: Vec<&str> = (0..3).filter_map(|index| value["slots"][index]["state"].as_str()).collect();
        assert_eq!(states, ["live", "missing", "unreachable"]);
        assert_eq!(value["slots"][2]["reason"], "away");
        assert_eq!(value["slots"][2]["index"], 2);
        assert_eq!(value["expires_ms"], 951_782_400_000_u64);
        assert_eq!(value["repair"], serde_json::Value::Null);
    }

    #[test]
    fn people_see_what_is_left_first() {
        let text = text(&object(), Paint::PLAIN);
        assert!(text.contains("paid until 2000-02-29 00:00:00 UTC (epoch 9)\n"), "{text}");
        assert!(
            text.contains(
                "any 1 of 3 columns restore it\n1 of 3 live: it survives no loss; repair starts at 2 columns\n"
            ),
            "{text}"
        );
        assert!(text.lines().last().is_some_and(|line| line.ends_with("unreachable  away")), "{text}");
        let repair = Some(StatusRepair { since_epoch: Epoch(5), extents: 1 });
        let text = super::text(&Status { repair, ..object() }, Paint::PLAIN);
        assert!(text.contains("it survives no loss; its repair is open since epoch 5"), "{text}");
    }
}
