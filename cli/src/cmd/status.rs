//! `ostrakon status`: where an object is stored, until when, and what it survives.

use ostrakon::{Status, StatusOptions, StatusState};
use ostrakon_proto::params::Code;
use serde::Serialize;

use super::Home;
use crate::{
    args,
    output::{Output, Paint, Style, Table, bytes_text, count_text},
    time,
};

/// What `status --json` prints: scripts rely on these fields.
#[derive(Debug, Serialize)]
struct StatusObject {
    #[serde(flatten)]
    status: Status,
    expires: String,
}

/// Runs the command.
///
/// # Errors
/// When the ledger has no such object, or no node responds.
pub(crate) async fn run(args: &args::Status, home: &Home, out: &Output) -> anyhow::Result<()> {
    let link = home.complete(args.object.link(home).await?)?;
    let status = home.reader()?.status(&link, StatusOptions { probe: args.probe }).await?;
    let object = StatusObject::new(status);
    out.answer(&object, |paint| object.text(paint))?;
    Ok(())
}

impl StatusObject {
    fn new(status: Status) -> Self {
        Self { expires: time::of_ms(status.expires_ms), status }
    }

    fn text(&self, paint: Paint) -> String {
        let status = &self.status;
        let Code { k, n } = status.code;
        let mut table = Table::new(0).head(["column", "provider", "domain", "state", ""]);
        for slot in &status.slots {
            let (style, state, reason) = match &slot.state {
                StatusState::Live => (Style::Green, "live", ""),
                StatusState::Missing => (Style::Red, "missing", ""),
                StatusState::Unreachable(reason) => (Style::Red, "unreachable", reason.as_str()),
            };
            let column =
                if slot.extent == 0 { slot.index.to_string() } else { format!("{}.{}", slot.extent, slot.index) };
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
             {} of {n} live: it survives {}; repair starts at {}\n\
             paid until {} (epoch {})\n\n{}",
            status.object,
            bytes_text(status.size),
            status.live,
            status.survives,
            count_text(status.repair_threshold, "column", "columns"),
            self.expires,
            status.expires_epoch,
            table.render(paint)
        )
    }
}

#[cfg(test)]
mod tests {
    use ostrakon::{StatusSlot, Survives};
    use ostrakon_proto::id::{AccountId, Epoch, NodeId, ObjectId};

    use super::*;

    fn object() -> StatusObject {
        let slot =
            |index, state| StatusSlot { extent: 0, index, provider: NodeId::new([index; 32]), domain: None, state };
        StatusObject::new(Status {
            object: ObjectId::new([1; 32]),
            size: 2048,
            code: Code { k: 1, n: 3 },
            live: 1,
            repair_threshold: 2,
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
        })
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
        assert_eq!(value["expires"], "2000-02-29 00:00:00 UTC");
    }

    #[test]
    fn people_see_what_is_left_first() {
        let text = object().text(Paint::PLAIN);
        assert!(
            text.contains(
                "any 1 of 3 columns restore it\n1 of 3 live: it survives no loss; repair starts at 2 columns\n"
            ),
            "{text}"
        );
        assert!(text.lines().last().is_some_and(|line| line.ends_with("unreachable  away")), "{text}");
    }
}
