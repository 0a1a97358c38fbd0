//! What a failure means to a script: the exit code, and the error object of `--json`. In goes any error of a command,
//! out comes its kind. The words are the error's own.

use std::{io, process::ExitCode};

use ostrakon::{
    AddDirectoryError, AddError, ChainError, ErrorKind, GetError, NameError, OpenError, PackReadError, ProfileError,
    StatusError, VerifyError,
};
use serde::Serialize;

/// A failure of the command line itself, with its kind.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    kind: ErrorKind,
    message: String,
    /// Whether the command's answer says it already.
    answered: bool,
}

/// A failure of this kind, with the fix in its words.
pub(crate) fn failure(kind: ErrorKind, message: impl Into<String>) -> anyhow::Error {
    Failure { kind, message: message.into(), answered: false }.into()
}

/// A failure that the command's answer says already: under `--json` stdout has its one object, and gets no other.
pub(crate) fn answered(kind: ErrorKind, message: impl Into<String>) -> anyhow::Error {
    Failure { kind, message: message.into(), answered: true }.into()
}

/// Whether the command's answer says it already.
pub(crate) fn is_answered(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Failure>().is_some_and(|failure| failure.answered)
}

/// A failure of whoever typed the command.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    failure(ErrorKind::Usage, message)
}

/// `{"error":{"code":..,"kind":..,"message":..}}`
#[derive(Debug, Serialize)]
pub(crate) struct ErrorObject {
    error: ErrorBody,
}

#[derive(Debug, Serialize)]
struct ErrorBody {
    code: u8,
    kind: &'static str,
    message: String,
}

impl ErrorObject {
    /// The object of an error of this kind.
    pub(crate) fn new(kind: ErrorKind, message: String) -> Self {
        Self { error: ErrorBody { code: code_number(kind), kind: kind_name(kind), message } }
    }
}

/// The exit code of this kind.
pub(crate) fn code(kind: ErrorKind) -> ExitCode {
    ExitCode::from(code_number(kind))
}

const fn code_number(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => 2,
        ErrorKind::NotFound => 3,
        ErrorKind::Integrity => 4,
        ErrorKind::Network => 5,
        ErrorKind::Funds => 6,
        ErrorKind::Partial => 7,
        _ => 1,
    }
}

const fn kind_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Usage => "usage",
        ErrorKind::NotFound => "not_found",
        ErrorKind::Integrity => "integrity",
        ErrorKind::Network => "network",
        ErrorKind::Funds => "funds",
        ErrorKind::Partial => "partial",
        _ => "other",
    }
}

/// The kind of an error: that of the first in its chain that has one.
pub(crate) fn kind(error: &anyhow::Error) -> ErrorKind {
    error.chain().find_map(kind_of_one).unwrap_or(ErrorKind::Other)
}

/// An error's words: each cause that says more than the one before it.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !message.contains(&cause) {
            message = if message.is_empty() { cause } else { format!("{message}: {cause}") };
        }
    }
    message
}

/// Whether the reader of our output went away, as `head` does: no failure to speak of.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let broken = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    error.chain().any(broken)
}

fn kind_of_one(error: &(dyn std::error::Error + 'static)) -> Option<ErrorKind> {
    let own = || error.downcast_ref::<Failure>().map(|failure| failure.kind);
    let add = || error.downcast_ref::<AddError>().map(AddError::kind);
    let directory = || error.downcast_ref::<AddDirectoryError>().map(AddDirectoryError::kind);
    let pack = || error.downcast_ref::<PackReadError>().map(PackReadError::kind);
    let get = || error.downcast_ref::<GetError>().map(GetError::kind);
    let open = || error.downcast_ref::<OpenError>().map(OpenError::kind);
    let chain = || error.downcast_ref::<ChainError>().map(ChainError::kind);
    let name = || error.downcast_ref::<NameError>().map(NameError::kind);
    let status = || error.downcast_ref::<StatusError>().map(StatusError::kind);
    let verify = || error.downcast_ref::<VerifyError>().map(VerifyError::kind);
    let profile = || error.downcast_ref::<ProfileError>().map(ProfileError::kind);
    own()
        .or_else(add)
        .or_else(directory)
        .or_else(get)
        .or_else(pack)
        .or_else(open)
        .or_else(chain)
        .or_else(name)
        .or_else(status)
        .or_else(verify)
        .or_else(profile)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn codes_are_those_of_the_manual() {
        let check = |kind, number, name| assert_eq!((code_number(kind), kind_name(kind)), (number, name));
        check(ErrorKind::Other, 1, "other");
        check(ErrorKind::Usage, 2, "usage");
        check(ErrorKind::NotFound, 3, "not_found");
        check(ErrorKind::Integrity, 4, "integrity");
        check(ErrorKind::Network, 5, "network");
        check(ErrorKind::Funds, 6, "funds");
        check(ErrorKind::Partial, 7, "partial");
    }

    #[test]
    fn the_kind_survives_context() {
        let error = Err::<(), _>(usage("no")).context("while trying").expect_err("is an error");
        assert_eq!(kind(&error), ErrorKind::Usage);
        assert_eq!(kind(&anyhow::anyhow!("plain")), ErrorKind::Other);
    }

    #[test]
    fn the_sdk_s_errors_keep_their_kind() {
        let object = ostrakon_proto::id::ObjectId::new([1; 32]);
        let check = |error: anyhow::Error, expect| assert_eq!(kind(&error), expect, "{error}");
        check(ChainError::NoObject { object, height: ostrakon_proto::id::Height(3) }.into(), ErrorKind::NotFound);
        check(OpenError::WrongKey(object).into(), ErrorKind::Integrity);
        check(GetError::Open(OpenError::KeyMissing(object)).into(), ErrorKind::Usage);
        check(AddError::Price.into(), ErrorKind::Funds);
        check(StatusError::Chain(ChainError::NoKey).into(), ErrorKind::Usage);
        check(ProfileError::None("x".into()).into(), ErrorKind::Usage);
        check(NameError::Chain(ChainError::NoKey).into(), ErrorKind::Usage);
    }

    #[test]
    fn an_answer_is_not_followed_by_an_error_object() {
        assert!(is_answered(&answered(ErrorKind::Partial, "two columns are missing")));
        assert!(!is_answered(&usage("no")));
        assert_eq!(kind(&answered(ErrorKind::Partial, "two columns are missing")), ErrorKind::Partial);
    }

    #[test]
    fn error_objects_have_code_kind_and_message() {
        let text =
            serde_json::to_string(&ErrorObject::new(ErrorKind::Funds, "too poor".to_owned())).expect("serialises");
        assert_eq!(text, r#"{"error":{"code":6,"kind":"funds","message":"too poor"}}"#);
    }

    #[test]
    fn causes_are_not_said_twice() {
        let error = anyhow::anyhow!("disk full").context("cannot write: disk full").context("add failed");
        assert_eq!(message(&error), "add failed: cannot write: disk full");
    }

    #[test]
    fn a_closed_pipe_is_told_apart() {
        let broken = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("writing");
        assert!(is_closed_pipe(&broken));
        assert!(!is_closed_pipe(&anyhow::anyhow!("BrokenPipe")));
    }
}
