//! What an error means for the caller, whatever operation it came from.
//!
//! Every operation has an error enum of its own, whose text names the peer, the file or the limit, and the fix.
//! Programs that only want to know what to do next ask it for its [`ErrorKind`].

/// What an error means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The ledger does not know it.
    NotFound,
    /// Bytes, or a key, are not what they should be: repeating does not help.
    Integrity,
    /// Nodes cannot be reached: repeating may help.
    Network,
    /// The account cannot pay for it.
    Funds,
    /// What was asked makes no sense, or cannot be had from this network.
    Usage,
    /// It was done in part.
    Partial,
    /// Anything else; the text says it.
    Other,
}
