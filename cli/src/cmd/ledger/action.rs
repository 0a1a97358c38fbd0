//! What a transaction does, in words.

use ostrakon_net::peer_id_text;
use ostrakon_proto::ledger::{
    state::Change,
    tx::{Action, Commit},
};

/// Its kind, and the rest in one line.
pub(in crate::cmd) fn words(action: &Action) -> (&'static str, String) {
    match action {
        Action::Transfer(transfer) => ("transfer", format!("{} obols to {}", transfer.amount, transfer.to)),
        Action::Register(register) => ("register", format!("provider {}", peer_id_text(&register.node))),
        Action::Commit(commit) => ("commit", committed(commit)),
        Action::Extend(extend) => {
            ("extend", format!("extent {} of {} until epoch {}", extend.extent, extend.object, extend.end))
        }
        Action::Release(release) => ("release", format!("extent {} of {}", release.extent, release.object)),
        Action::Join(join) => ("join", format!("validator {} with {} obols", join.key, join.bond)),
        Action::Bond(bond) => ("bond", format!("{} obols more for validator {}", bond.amount, bond.key)),
        Action::Leave(leave) => ("leave", format!("validator {}", leave.key)),
        Action::Drain(drain) => ("drain", format!("provider {}", peer_id_text(&drain.node))),
        Action::Withdraw(withdraw) => ("withdraw", format!("provider {}", peer_id_text(&withdraw.node))),
        Action::Evidence(evidence) => {
            ("evidence", format!("validator {} signed two things at {}", evidence.accused(), evidence.height()))
        }
        Action::Propose(propose) => ("propose", changed(&propose.change)),
        Action::Vote(ballot) => {
            ("vote", format!("{} to proposal {}", if ballot.yes { "yes" } else { "no" }, ballot.proposal))
        }
        Action::SetName(set) => {
            let verb = if set.value.is_some() { "set" } else { "remove" };
            ("name", format!("{verb} {}, which is at version {}", super::hex(&set.name), set.version))
        }
        Action::Anchor(anchor) => ("anchor", hex::encode(anchor.hash)),
    }
}

fn committed(commit: &Commit) -> String {
    let Commit { object, extent, code, end, .. } = commit;
    format!("extent {extent} of {object} as {code} until epoch {end}")
}

/// What a proposal would change.
pub(in crate::cmd) fn changed(change: &Change) -> String {
    match change {
        Change::Params(_) => "other parameters".to_owned(),
        Change::AdmitProvider(node) => format!("let in provider {}", peer_id_text(node)),
        Change::ExpelProvider(node) => format!("expel provider {}", peer_id_text(node)),
        Change::AdmitValidator(key) => format!("let in validator {key}"),
        Change::ExpelValidator(key) => format!("expel validator {key}"),
        Change::Upgrade(upgrade) => format!("rules of version {} from block {} on", upgrade.protocol, upgrade.height),
    }
}
