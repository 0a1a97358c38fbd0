//! `ostrakon verify`: reads every byte of every column, parity too, and reports which are missing or wrong.

use ostrakon::{CheckedColumn, ColumnCheck, Error, ErrorKind, Verified};

use super::Home;
use crate::{
    output::{Output, bytes_text, count_text},
    progress::Progress,
    target::ObjectArgs,
};

/// Runs the command.
///
/// # Errors
/// When the object cannot be opened; as an integrity failure when bytes are wrong, as partial when columns are missing.
pub(crate) async fn run(args: &ObjectArgs, home: &Home, out: &Output) -> crate::Result<()> {
    let link = home.complete(args.link(home).await?)?;
    let client = home.reader()?;
    let progress = Progress::new("verify", out);
    let verified = client.verify(&link, &progress.events(out)).await?;
    drop(progress);
    out.answer(&verified, |_| text(&verified))?;
    match verified.problem() {
        None => Ok(()),
        Some(kind) => Err(Error::new(kind, verdict(&verified, kind))),
    }
}

fn whole(verified: &Verified) -> usize {
    verified.columns.iter().filter(|column| column.state == ColumnCheck::Ok).count()
}

fn text(verified: &Verified) -> String {
    let mut lines: Vec<String> = verified.columns.iter().filter_map(complaint).collect();
    let wrong = |node| format!("{node} sent something other than the object's manifest");
    lines.extend(verified.wrong_manifests.iter().map(wrong));
    let (whole, all, size) = (whole(verified), verified.columns.len(), bytes_text(verified.size));
    lines.push(format!("{whole} of {all} columns of {size} are intact ({:.1} s)", verified.took.as_secs_f64()));
    lines.join("\n")
}

fn complaint(column: &CheckedColumn) -> Option<String> {
    // The reason names the holder.
    match &column.state {
        ColumnCheck::Ok => None,
        ColumnCheck::Missing(reason) => Some(format!("column {} is missing: {reason}", column.index)),
        ColumnCheck::Corrupt(reason) => Some(format!("column {} is corrupt: {reason}", column.index)),
    }
}

fn verdict(verified: &Verified, kind: ErrorKind) -> String {
    let bad = verified.columns.len() - whole(verified);
    let columns = count_text(u128::try_from(bad).unwrap_or(0), "column", "columns");
    match (verified.inconsistent, kind) {
        (true, _) => {
            "the columns do not belong to one codeword: they were inconsistent when the object was added; do not use it"
                .to_owned()
        }
        (false, ErrorKind::Integrity) if bad == 0 => "some holders sent a wrong manifest".to_owned(),
        (false, ErrorKind::Integrity) => format!("{columns} cannot be read, and some holders sent wrong bytes"),
        (false, _) => format!("{columns} cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ostrakon::{Code, ObjectId};

    use super::*;

    fn verified(states: Vec<ColumnCheck>, inconsistent: bool) -> Verified {
        let columns =
            (0..=u8::MAX).zip(states).map(|(index, state)| CheckedColumn { extent: 0, index, provider: None, state });
        let (object, code, took) = (ObjectId::new([1; 32]), Code { k: 1, n: 3 }, Duration::from_millis(100));
        let columns = columns.collect();
        Verified { object, size: 64, code, columns, inconsistent, wrong_manifests: Vec::new(), took }
    }

    #[test]
    fn names_what_is_wrong_with_which_column() {
        let verified = verified(vec![ColumnCheck::Ok, ColumnCheck::Missing("away".to_owned())], false);
        assert_eq!(text(&verified), "column 1 is missing: away\n1 of 2 columns of 64 B are intact (0.1 s)");
        assert_eq!(verdict(&verified, ErrorKind::Partial), "1 column cannot be read");
        let value = serde_json::to_value(&verified).expect("serialises");
        assert_eq!((value["ok"].as_bool(), value["columns"][1]["state"].as_str()), (Some(false), Some("missing")));
        assert_eq!((value["columns"][1]["reason"].as_str(), value["columns"][0].get("reason")), (Some("away"), None));
    }

    #[test]
    fn an_inconsistent_object_is_not_to_be_used() {
        let verified = verified(vec![ColumnCheck::Ok], true);
        assert!(verified.problem().is_some());
        assert!(verdict(&verified, ErrorKind::Integrity).contains("do not use it"));
    }
}
