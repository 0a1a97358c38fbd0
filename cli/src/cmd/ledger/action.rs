//! What a transaction does, in one line of text.

use ostrakon::{
    Action, Pace, Renewal, TxPlace,
    ledger::{Commit, CommitmentId, DrawPermission, Evidence, Maintain, ProposedChange, SetRenewal},
};

use crate::time;

/// Its kind and its details, with the dates of epochs at this pace.
pub(in crate::cmd) fn words(action: &Action, pace: &Pace) -> (&'static str, String) {
    match action {
        Action::Transfer(transfer) => ("transfer", format!("{} obols to {}", transfer.amount, transfer.to)),
        Action::Register(register) => ("register", format!("provider {}", register.node)),
        Action::Commit(commit) => ("commit", committed(commit, pace)),
        Action::Extend(extend) => {
            let until = time::of_epoch(extend.end, pace);
            ("extend", format!("extent {} of {} until {until}", extend.commitment.extent, extend.commitment.object))
        }
        Action::Release(release) => ("release", format!("extent {} of {}", release.extent, release.object)),
        Action::Join(join) => ("join", format!("validator {} with {} obols", join.key, join.bond)),
        Action::Bond(bond) => ("bond", format!("{} obols more for validator {}", bond.amount, bond.key)),
        Action::Move(to) => ("move", format!("validator {} to {}", to.key, to.addresses.join(" "))),
        Action::Repaired(repaired) => {
            let CommitmentId { object, extent, .. } = repaired.commitment;
            let columns: Vec<String> = repaired.slots.iter().map(|slot| slot.index.to_string()).collect();
            ("repaired", format!("columns {} of extent {extent} of {object}", columns.join(", ")))
        }
        Action::Restore(restore) => ("restore", column_of(restore.index, &restore.commitment)),
        Action::ReportLoss(report) => ("report-loss", column_of(report.index, &report.commitment)),
        Action::Mismatch(mismatch) => {
            let CommitmentId { object, extent, .. } = mismatch.commitment;
            ("mismatch", format!("{} columns of extent {extent} of {object}", mismatch.columns.len()))
        }
        Action::Inconsistent(proof) => {
            let CommitmentId { object, extent, .. } = proof.commitment;
            ("inconsistent", format!("extent {extent} of {object}"))
        }
        Action::SetRenewal(SetRenewal { object, extent, renewal }) => {
            let how = match renewal {
                Some(Renewal { epochs, .. }) => format!("for {epochs} epochs each time"),
                None => "off".to_owned(),
            };
            ("set-renewal", format!("extent {extent} of {object}: {how}"))
        }
        Action::Maintain(Maintain { node, from, epochs }) => {
            let begins = time::of_epoch(*from, pace);
            ("maintain", format!("provider {node} is away for {epochs} epochs from {begins}"))
        }
        Action::Leave(leave) => ("leave", format!("validator {}", leave.key)),
        Action::Drain(drain) => ("drain", format!("provider {}", drain.node)),
        Action::Withdraw(withdraw) => ("withdraw", format!("provider {}", withdraw.node)),
        Action::Evidence(evidence) => {
            let (accused, height) = (evidence.accused(), evidence.height());
            let what = if matches!(evidence, Evidence::Header(_)) { "signed a false header" } else { "equivocated" };
            ("evidence", format!("validator {accused} {what} at height {height}"))
        }
        Action::Propose(propose) => ("propose", changed(&propose.change, pace)),
        Action::Vote(ballot) => {
            ("vote", format!("{} on proposal {}", if ballot.yes { "yes" } else { "no" }, ballot.proposal))
        }
        Action::SetName(set) => {
            let verb = if set.value.is_some() { "set" } else { "remove" };
            ("name", format!("{verb} {}, now at version {}", hex::encode(set.name), set.version))
        }
        Action::Anchor(anchor) => ("anchor", hex::encode(anchor.hash)),
        Action::DrawAs(draw_as) => {
            let as_whom = |permission: DrawPermission| format!("holders as account {}", permission.account);
            ("draw", draw_as.permission.map_or_else(|| "holders as itself".to_owned(), as_whom))
        }
        Action::Together(together) => {
            let part = |part| {
                let (kind, details) = words(part, pace);
                format!("{kind} {details}")
            };
            ("together", together.parts().iter().map(part).collect::<Vec<_>>().join("; "))
        }
    }
}

/// The name of what is at this place: one that failed is named so.
pub(in crate::cmd) fn name_of(kind: &str, place: TxPlace) -> String {
    if place.is_charged() { format!("failed {kind}") } else { kind.to_owned() }
}

fn column_of(index: u8, commitment: &CommitmentId) -> String {
    format!("column {index} of extent {} of {}", commitment.extent, commitment.object)
}

fn committed(commit: &Commit, pace: &Pace) -> String {
    let Commit { object, extent, code, end, .. } = commit;
    format!("extent {extent} of {object} as {code} until {}", time::of_epoch(*end, pace))
}

/// What a proposal would change, with the dates of epochs at this pace.
pub(in crate::cmd) fn changed(change: &ProposedChange, pace: &Pace) -> String {
    match change {
        ProposedChange::Params(_) => "change parameters".to_owned(),
        ProposedChange::AdmitProvider(node) => format!("admit provider {}", node),
        ProposedChange::ExpelProvider(node) => format!("expel provider {}", node),
        ProposedChange::AdmitValidator(key) => format!("admit validator {key}"),
        ProposedChange::ExpelValidator(key) => format!("expel validator {key}"),
        ProposedChange::Upgrade(upgrade) => {
            format!("version {} of the rules from {}", upgrade.protocol, time::of_epoch(upgrade.epoch, pace))
        }
    }
}
