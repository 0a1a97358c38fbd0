//! `ostrakon verify`: reads every byte of every column, parity too, and says which are not as they should be.

use ostrakon::{CheckedColumn, ColumnCheck, ErrorKind, Verified};
use ostrakon_proto::params::Code;
use serde::Serialize;
use tokio::time::Instant;

use super::{Home, interruptible};
use crate::{
    exit::answered,
    output::{Output, bytes_text},
    progress::Progress,
    target::ObjectArgs,
};

/// What `verify --json` prints.
#[derive(Debug, Serialize)]
struct VerifyObject {
    cid: String,
    ok: bool,
    size: u64,
    code: Code,
    inconsistent: bool,
    columns: Vec<ColumnObject>,
    /// Providers.
    wrong_manifests: Vec<String>,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct ColumnObject {
    extent: u32,
    index: u8,
    provider: Option<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When the object cannot be opened; as an integrity failure when bytes are wrong, as partial when columns miss.
pub(crate) async fn run(args: &ObjectArgs, home: &Home, out: &Output) -> anyhow::Result<()> {
    let link = home.complete(args.link(home).await?)?;
    let client = home.reader()?;
    let (began, progress) = (Instant::now(), Progress::new("verify", out));
    let verified = interruptible(async { Ok(client.verify(&link, &progress.events(out)).await?) }).await?;
    drop(progress);
    let problem = verified.problem();
    let object = VerifyObject::new(verified, began.elapsed().as_secs_f64());
    out.answer(&object, |_| object.text())?;
    match problem {
        None => Ok(()),
        Some(kind) => Err(answered(kind, object.verdict(kind))),
    }
}

impl VerifyObject {
    fn new(verified: Verified, seconds: f64) -> Self {
        Self {
            cid: verified.object.to_string(),
            ok: verified.problem().is_none(),
            size: verified.size,
            code: verified.code,
            inconsistent: verified.inconsistent,
            columns: verified.columns.into_iter().map(ColumnObject::new).collect(),
            wrong_manifests: verified.wrong_manifests.iter().map(ToString::to_string).collect(),
            seconds,
        }
    }

    fn good(&self) -> usize {
        self.columns.iter().filter(|column| column.state == "ok").count()
    }

    fn text(&self) -> String {
        let mut lines: Vec<String> = self.columns.iter().filter_map(ColumnObject::complaint).collect();
        let wrong = |provider| format!("provider {provider} sends what is not the object's manifest");
        lines.extend(self.wrong_manifests.iter().map(wrong));
        let (good, all) = (self.good(), self.columns.len());
        lines.push(format!("{good} of {all} columns of {} are whole ({:.1} s)", bytes_text(self.size), self.seconds));
        lines.join("\n")
    }

    fn verdict(&self, kind: ErrorKind) -> String {
        let bad = self.columns.len() - self.good();
        match (self.inconsistent, kind) {
            (true, _) => "the columns are not a codeword: the one who added the object broke it".to_owned(),
            (false, ErrorKind::Integrity) if bad == 0 => "some holders send a wrong manifest".to_owned(),
            (false, ErrorKind::Integrity) => format!("{bad} columns are not whole, and some holders send wrong bytes"),
            (false, _) => format!("{bad} columns cannot be read"),
        }
    }
}

impl ColumnObject {
    fn new(column: CheckedColumn) -> Self {
        let (state, reason) = match column.state {
            ColumnCheck::Ok => ("ok", None),
            ColumnCheck::Missing(reason) => ("missing", Some(reason)),
            ColumnCheck::Corrupt(reason) => ("corrupt", Some(reason)),
        };
        let provider = column.provider.map(|provider| provider.to_string());
        Self { extent: column.extent, index: column.index, provider, state, reason }
    }

    fn complaint(&self) -> Option<String> {
        // The reason names the holder.
        let reason = self.reason.as_ref()?;
        Some(format!("column {} is {}: {reason}", self.index, self.state))
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::id::ObjectId;

    use super::*;

    fn object(states: Vec<ColumnCheck>, inconsistent: bool) -> VerifyObject {
        let columns =
            (0u8..).zip(states).map(|(index, state)| CheckedColumn { extent: 0, index, provider: None, state });
        let code = Code { k: 1, n: 3 };
        let (object, columns) = (ObjectId::new([1; 32]), columns.collect());
        let verified = Verified { object, size: 64, code, columns, inconsistent, wrong_manifests: Vec::new() };
        VerifyObject::new(verified, 0.1)
    }

    #[test]
    fn says_what_is_wrong_and_with_which_column() {
        let object = object(vec![ColumnCheck::Ok, ColumnCheck::Missing("away".to_owned())], false);
        assert_eq!(object.text(), "column 1 is missing: away\n1 of 2 columns of 64 B are whole (0.1 s)");
        assert_eq!(object.verdict(ErrorKind::Partial), "1 columns cannot be read");
        let value = serde_json::to_value(&object).expect("serialises");
        assert_eq!((value["ok"].as_bool(), value["columns"][1]["state"].as_str()), (Some(false), Some("missing")));
    }

    #[test]
    fn a_broken_codeword_is_the_adder_s_fault() {
        let object = object(vec![ColumnCheck::Ok], true);
        assert!(!object.ok);
        assert!(object.verdict(ErrorKind::Integrity).contains("the one who added the object"));
    }
}
