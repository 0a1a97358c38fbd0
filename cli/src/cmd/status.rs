//! `ostrakon status`: where an object is stored, until when, and what it survives.

use ostrakon::{Code, Status, StatusLease, StatusOptions, StatusRenewal, StatusRepair, StatusState};

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
         paid until {}\n\n{}",
        status.object,
        bytes_text(status.size),
        status.live,
        status.survives,
        repair_text(status),
        lease_text(&status.lease),
        table.render(paint)
    )
}

/// Until when it is paid for, and what is then.
fn lease_text(lease: &StatusLease) -> String {
    let until = format!("{} (epoch {})", time::of_ms(lease.expires_ms), lease.expires_epoch);
    let Some(StatusRenewal { epochs, costs, is_covered }) = lease.renewal else { return until };
    let warning = if is_covered { "" } else { ", more than the account has: send it obols, or the object ends" };
    format!("{until}, then renewed for {epochs} epochs for {costs} obols{warning}")
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
    use ostrakon::{AccountId, Amount, Epoch, NodeId, ObjectId, StatusSlot, Survives};

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
            lease: StatusLease {
                expires_epoch: Epoch(9),
                expires_ms: 951_782_400_000,
                owner: AccountId::new([2; 32]),
                renewal: None,
            },
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
        assert_eq!(value["owner"], AccountId::new([2; 32]).to_string());
        assert_eq!((&value["repair"], &value["renewal"]), (&serde_json::Value::Null, &serde_json::Value::Null));
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
        let mut renewed = object();
        let renewal = StatusRenewal { epochs: 7, costs: Amount(1_500_000), is_covered: true };
        renewed.lease.renewal = Some(renewal);
        let line = ", then renewed for 7 epochs for 1.5 obols";
        assert!(super::text(&renewed, Paint::PLAIN).contains(&format!("{line}\n")));
        renewed.lease.renewal = Some(StatusRenewal { is_covered: false, ..renewal });
        assert!(super::text(&renewed, Paint::PLAIN).contains(&format!("{line}, more than the account has")));
        let repair = Some(StatusRepair { since_epoch: Epoch(5), extents: 1 });
        let text = super::text(&Status { repair, ..object() }, Paint::PLAIN);
        assert!(text.contains("it survives no loss; its repair is open since epoch 5"), "{text}");
    }
}
