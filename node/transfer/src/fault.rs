//! Why a read from a holder failed, and whether the holder may be asked again. Pure.

use std::time::Duration;

use ostrakon_net::{AskError, Failure};
use ostrakon_proto::wire::RefusalCode;

/// Why a read from a holder failed.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It may be asked again when there is a new connection.
    Passing(String),
    /// It may be asked once more: if it is not where it was, it is searched for meanwhile.
    Unreachable(String),
    /// It may be asked again after a pause.
    Busy(String),
    /// It cannot serve this column.
    Lasting(String),
    /// It sent wrong bytes.
    Corrupt(String),
}

impl Fault {
    pub(crate) fn no_response(after: Duration) -> Self {
        Self::Lasting(format!("did not respond within {} s", after.as_secs()))
    }

    pub(crate) fn of(error: AskError) -> Self {
        // The column's line names the node already.
        let reason = error.failure.to_string();
        match error.failure {
            Failure::Unreachable(_) => Self::Unreachable(reason),
            Failure::Closed(_) => Self::Passing(reason),
            Failure::InvalidAnswer(_) => Self::Corrupt(reason),
            Failure::Refused(refusal) => match refusal.code {
                RefusalCode::Busy => Self::Busy(reason),
                RefusalCode::Corrupt => Self::Corrupt(reason),
                _ => Self::Lasting(reason),
            },
            _ => Self::Lasting(reason),
        }
    }

    /// The reason as text, and whether bytes were wrong.
    pub(crate) fn into_reason(self) -> (String, bool) {
        match self {
            Self::Corrupt(reason) => (format!("wrong bytes: {reason}"), true),
            Self::Passing(reason) | Self::Unreachable(reason) | Self::Busy(reason) | Self::Lasting(reason) => {
                (reason, false)
            }
        }
    }
}
