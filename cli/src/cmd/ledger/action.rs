//! What a transaction does, in words.

use ostrakon_proto::ledger::tx::Action;

/// Its kind, and the rest in one line.
pub(super) fn words(action: &Action) -> (&'static str, String) {
    match action {
        Action::Transfer(transfer) => ("transfer", format!("{} obols to {}", transfer.amount, transfer.to)),
        Action::Register(register) => ("register", format!("provider {}", register.node)),
        Action::Commit(commit) => {
            let (object, extent, code) = (commit.object, commit.extent, commit.code);
            ("commit", format!("extent {extent} of {object} as {code} until epoch {}", commit.end))
        }
        Action::Extend(extend) => {
            ("extend", format!("extent {} of {} until epoch {}", extend.extent, extend.object, extend.end))
        }
        Action::Release(release) => ("release", format!("extent {} of {}", release.extent, release.object)),
    }
}
