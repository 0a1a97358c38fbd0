//! `ostrakon status`: where an object is kept, for how long, and what it survives.

use ostrakon::{Status, StatusOptions, StatusSlot, StatusState};
use ostrakon_proto::params::Code;
use serde::Serialize;

use super::{Home, add::survives};
use crate::{
    args,
    objects::Objects,
    output::{Output, Paint, Style, Table, bytes_text},
};

/// What `status --json` prints: scripts rely on these fields.
#[derive(Debug, Serialize)]
struct StatusObject {
    cid: String,
    size: u64,
    code: Code,
    live: usize,
    repair_threshold: u8,
    tolerates: usize,
    survives: String,
    expires_epoch: u64,
    owner: String,
    slots: Vec<SlotObject>,
}

#[derive(Debug, Serialize)]
struct SlotObject {
    extent: u32,
    index: u8,
    provider: String,
    domain: Option<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When the ledger does not have the object, or nobody answers.
pub(crate) async fn run(args: &args::Status, home: &Home, out: &Output) -> anyhow::Result<()> {
    let profile = home.profile()?;
    let link = Objects::of(&profile).complete(&args.named.link)?;
    let status = profile.connect()?.status(&link, StatusOptions { probe: args.probe }).await?;
    let object = StatusObject::new(status);
    out.answer(&object, |paint| object.text(paint))?;
    Ok(())
}

impl StatusObject {
    fn new(status: Status) -> Self {
        Self {
            cid: status.object.to_string(),
            size: status.size,
            code: status.code,
            live: status.live,
            repair_threshold: status.repair_threshold,
            tolerates: status.tolerates,
            survives: survives(status.code, status.domains),
            expires_epoch: status.expires_epoch.0,
            owner: status.owner.to_string(),
            slots: status.slots.into_iter().map(SlotObject::new).collect(),
        }
    }

    fn text(&self, paint: Paint) -> String {
        let Code { k, n } = self.code;
        let mut table = Table::new(0).head(["column", "provider", "domain", "state", ""]);
        for slot in &self.slots {
            let style = if slot.state == "live" { Style::Green } else { Style::Red };
            let column =
                if slot.extent == 0 { slot.index.to_string() } else { format!("{}.{}", slot.extent, slot.index) };
            table.row(vec![
                (Style::Plain, column),
                (Style::Plain, slot.provider.clone()),
                (Style::Plain, slot.domain.clone().unwrap_or_else(|| "-".to_owned())),
                (style, slot.state.to_owned()),
                (Style::Dim, slot.reason.clone().unwrap_or_default()),
            ]);
        }
        format!(
            "{}, {}: any {k} of {n} columns restore it, {} are there, so {} more may vanish\n\
             when whole it survives {}\nrepair starts at {} columns; paid until epoch {}\n\n{}",
            self.cid,
            bytes_text(self.size),
            self.live,
            self.tolerates,
            self.survives,
            self.repair_threshold,
            self.expires_epoch,
            table.render(paint)
        )
    }
}

impl SlotObject {
    fn new(slot: StatusSlot) -> Self {
        let (state, reason) = match slot.state {
            StatusState::Live => ("live", None),
            StatusState::Missing => ("missing", None),
            StatusState::Silent(reason) => ("silent", Some(reason)),
        };
        Self {
            extent: slot.extent,
            index: slot.index,
            provider: slot.provider.to_string(),
            domain: slot.domain.map(|domain| domain.to_string()),
            state,
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::{
        id::{AccountId, Epoch, NodeId, ObjectId},
        placement::Tolerance,
    };

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
            domains: Tolerance::Nodes,
            expires_epoch: Epoch(9),
            owner: AccountId::new([2; 32]),
            slots: vec![
                slot(0, StatusState::Live),
                slot(1, StatusState::Missing),
                slot(2, StatusState::Silent("away".to_owned())),
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
        assert_eq!(states, ["live", "missing", "silent"]);
        assert_eq!(value["slots"][2]["reason"], "away");
        assert_eq!(value["slots"][2]["index"], 2);
    }

    #[test]
    fn people_see_what_is_left_first() {
        let text = object().text(Paint::PLAIN);
        assert!(text.contains("any 1 of 3 columns restore it, 1 are there, so 0 more may vanish"), "{text}");
        assert!(text.lines().last().is_some_and(|line| line.ends_with("silent   away")), "{text}");
    }
}
