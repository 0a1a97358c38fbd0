//! What a failure means to a script and to a person: the exit code, the error object of `--json`, the sentence and the
//! hint on stderr. In goes an error of the SDK or of a command, out come its code and texts.

use std::{error::Error as StdError, fmt, io, iter, process::ExitCode};

use ostrakon::{Error, ErrorKind, Hint};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

/// A failure of the user who typed the command.
pub(crate) fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, message.into())
}

/// A failure that is of no kind.
pub(crate) fn other(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Other, error)
}

/// Says what was being done, before an error's text.
pub(crate) trait Context<T> {
    /// # Errors
    /// The same, with what was being done before its text.
    fn context(self, doing: impl fmt::Display) -> crate::Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, doing: impl fmt::Display) -> crate::Result<T> {
        self.map_err(|error| error.into().context(doing))
    }
}

/// The exit code of a command whose output was closed, as a shell shows it of one that SIGPIPE ended.
pub(crate) const CLOSED_PIPE: u8 = 141;

/// How a command ended that did not do what was asked.
#[derive(Debug)]
pub(crate) enum Ending {
    /// It failed.
    Failed(Error),
    /// A signal ended it.
    Interrupted(Signal),
}

/// A signal that asks a command to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The terminal is gone.
    Hangup,
    /// Ctrl-C.
    Interrupt,
    /// `kill`.
    Terminate,
}

impl Signal {
    /// Catches them from now on; the future is the first to come.
    ///
    /// # Errors
    /// When the system does not let signals be caught.
    pub(crate) fn catch() -> io::Result<impl Future<Output = Self> + Send + 'static> {
        let [mut hangup, mut interrupt, mut terminate] =
            [signal(SignalKind::hangup())?, signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        Ok(async move {
            tokio::select! {
                biased;
                _ = interrupt.recv() => Self::Interrupt,
                _ = terminate.recv() => Self::Terminate,
                _ = hangup.recv() => Self::Hangup,
            }
        })
    }

    /// 128 and the signal's number, as shells do.
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Hangup => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Hangup => "SIGHUP",
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }
}

impl Ending {
    /// The exit code.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.number())
    }

    fn number(&self) -> u8 {
        match self {
            Self::Failed(error) => code_number(error.kind()),
            Self::Interrupted(signal) => signal.exit_code(),
        }
    }

    /// What happened, and what to do.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Failed(error) => message(error),
            Self::Interrupted(signal) => format!("interrupted by {}", signal.name()),
        }
    }

    /// The command or flag that helps, where there is one.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Failed(error) => error.hint().and_then(hint_text),
            Self::Interrupted(_) => None,
        }
    }

    /// Whether the reader of our output closed it, as `head` does: nothing is printed then.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Failed(error) if error.io_kind() == Some(io::ErrorKind::BrokenPipe))
    }

    /// What `--json` prints.
    pub(crate) fn object(&self) -> ErrorObject {
        let name = match self {
            Self::Failed(error) => kind_name(error.kind()),
            Self::Interrupted(_) => "interrupted",
        };
        ErrorObject { error: ErrorBody { code: self.number(), kind: name, message: self.message(), hint: self.hint() } }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        self.hint().map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
    }
}

/// `{"error":{"code":..,"kind":..,"message":..}}`, with a `hint` where there is one.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorObject {
    error: ErrorBody,
}

#[derive(Debug, Serialize)]
struct ErrorBody {
    code: u8,
    kind: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
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

const fn hint_text(hint: Hint) -> Option<&'static str> {
    Some(match hint {
        Hint::CreateProfile => {
            "create a profile with `ostrakon init --network FILE`, or restore one with `ostrakon key restore FILE`"
        }
        Hint::TrustCheckpoint => {
            "take a recent block from `ostrakon-node status` of a node that you trust, and run \
             `ostrakon ledger trust HEIGHT:BLOCK`"
        }
        Hint::ChooseCode => "choose a smaller code with --code K/N",
        Hint::NameOwner => {
            "`ostrakon status` shows who owns it; `ostrakon renew --owner ACCOUNT` pays for what another account stores"
        }
        Hint::Overwrite => "allow it with --overwrite, or name another destination with -o",
        _ => return None,
    })
}

/// An error's text: each cause that says more than the one before it.
pub(crate) fn message(error: &Error) -> String {
    let mut message = error.to_string();
    for cause in iter::successors(error.source(), |cause| (*cause).source()).map(ToString::to_string) {
        if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use ostrakon::{ChainError, ProfileError};

    use super::*;

    fn failed(error: impl Into<Error>) -> Ending {
        Ending::Failed(error.into())
    }

    #[test]
    fn codes_are_those_of_the_manual() {
        let check = |kind, number, name| {
            let ending = failed(Error::new(kind, "no"));
            let object = serde_json::to_value(ending.object()).expect("serialises");
            assert_eq!(object, serde_json::json!({"error": {"code": number, "kind": name, "message": "no"}}),);
        };
        check(ErrorKind::Other, 1, "other");
        check(ErrorKind::Usage, 2, "usage");
        check(ErrorKind::NotFound, 3, "not_found");
        check(ErrorKind::Integrity, 4, "integrity");
        check(ErrorKind::Network, 5, "network");
        check(ErrorKind::Funds, 6, "funds");
        check(ErrorKind::Partial, 7, "partial");
    }

    #[test]
    fn signals_have_the_codes_that_shells_give_them() {
        for (signal, number) in [(Signal::Hangup, 129), (Signal::Interrupt, 130), (Signal::Terminate, 143)] {
            let ending = Ending::Interrupted(signal);
            assert_eq!(ending.number(), number);
            let object = serde_json::to_value(ending.object()).expect("serialises");
            assert_eq!((&object["error"]["kind"], &object["error"]["code"]), (&"interrupted".into(), &number.into()));
        }
    }

    #[test]
    fn the_kind_survives_context() {
        let error = Err::<(), _>(usage("no")).context("while trying").expect_err("is an error");
        assert_eq!(failed(error).number(), 2);
        assert_eq!(failed(other("plain")).number(), 1);
    }

    #[test]
    fn what_the_sdk_hints_at_is_a_command_or_a_flag() {
        let none = failed(ProfileError::None("x".into()));
        assert!(none.hint().is_some_and(|hint| hint.contains("ostrakon init")));
        assert!(none.to_string().contains("\nhint: create a profile"), "{none}");
        let object = serde_json::to_value(none.object()).expect("serialises");
        assert_eq!(object["error"]["hint"].as_str(), none.hint());
        assert_eq!(failed(ChainError::NoKey).hint(), none.hint());
        assert_eq!(failed(usage("no")).hint(), None);
    }

    #[test]
    fn causes_are_not_said_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Outer(&'static str, #[source] io::Error);
        let check = |text, expect: &str| {
            let error = other(Outer(text, io::Error::other("disk full"))).context("add failed");
            assert_eq!(failed(error).message(), expect);
        };
        check("cannot write: disk full", "add failed: cannot write: disk full");
        check("cannot write", "add failed: cannot write: disk full");
    }

    #[test]
    fn a_closed_pipe_is_told_apart() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(failed(Error::from(broken()).context("writing")).is_closed_pipe());
        assert!(failed(broken()).is_closed_pipe());
        assert!(!failed(other("BrokenPipe")).is_closed_pipe());
        assert!(!Ending::Interrupted(Signal::Interrupt).is_closed_pipe());
    }
}
