//! The error of every operation: what it means for the caller, whether repeating helps, and what would.
//!
//! In comes the error enum of one operation ([`AddError`](crate::AddError), [`GetError`](crate::GetError), ...), whose
//! text names the peer, the file or the limit. Out comes an [`Error`], which has the same text, an [`ErrorKind`] to
//! branch on, and the enum itself by [`Error::downcast_ref`]. Texts name no flags or commands of any program: what a
//! program can offer is in [`Error::hint`].

use std::{error::Error as StdError, fmt, io};

use ostrakon_proto::light::proof_file::ProofFileError;

use crate::{
    AddError, ChainError, GetError, JournalError, KeyFileError, NameError, ObjectsError, OpenError, PackReadError,
    PassphraseError, ProfileError, TooPoor, VouchError, bucket::BucketError,
};

/// What an error means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The ledger has no such object, name, path or block.
    NotFound,
    /// Bytes, or a key, are not what they should be: repeating does not help.
    Integrity,
    /// Too few nodes respond: repeating may help.
    Network,
    /// The account cannot pay for it.
    Funds,
    /// The arguments contradict each other, or this network cannot do what was asked.
    Usage,
    /// It was done in part.
    Partial,
    /// Anything else; the text says what.
    Other,
}

/// What would help, where a program can offer it: texts of errors name no flag or command of any program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// There is no profile, or no account to sign with: create one.
    CreateProfile,
    /// The newest checkpoint of this client is older than the network's trust period: trust a recent one.
    TrustCheckpoint,
    /// The network is too small for the codes of its table: choose one with fewer columns.
    ChooseCode,
    /// The object is another account's: name its owner, to pay for more of its term.
    NameOwner,
    /// Something exists at the destination: choose another, or allow overwriting.
    Overwrite,
}

/// Why an operation failed.
///
/// Displays as one sentence: what happened, to what, and what to do.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retryable: bool,
    hint: Option<Hint>,
    /// What was being done, before the cause's text.
    doing: String,
    cause: Box<dyn StdError + Send + Sync>,
}

impl Error {
    /// An error of this kind: for applications that return their own failures beside the SDK's.
    pub fn new(kind: ErrorKind, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::of(kind, kind == ErrorKind::Network, None, cause)
    }

    fn of(
        kind: ErrorKind,
        retryable: bool,
        hint: Option<Hint>,
        cause: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self(Box::new(Inner { kind, retryable, hint, doing: String::new(), cause: cause.into() }))
    }

    /// What it means for the caller.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later, and does no harm if it is repeated.
    ///
    /// A transaction that may still be included is not: look at the ledger before you pay twice.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// What would help, where a program can offer it.
    pub fn hint(&self) -> Option<Hint> {
        self.0.hint
    }

    /// The operation's own error.
    pub fn get_ref(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self.0.cause.as_ref()
    }

    /// What the system said, where that is the cause.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        let own: &(dyn StdError + 'static) = self.0.cause.as_ref();
        let mut causes = std::iter::successors(Some(own), |error| (*error).source());
        causes.find_map(|cause| cause.downcast_ref()).map(io::Error::kind)
    }

    /// The operation's own error where it is a `T`: for callers to whom the variant matters.
    pub fn downcast_ref<T: StdError + 'static>(&self) -> Option<&T> {
        self.0.cause.downcast_ref()
    }

    /// The same error, with what was being done when it happened before its text.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.0.doing.insert_str(0, &format!("{doing}: "));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.doing, self.0.cause)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("retryable", &self.0.retryable)
            .field("cause", &self.0.cause)
            .finish_non_exhaustive()
    }
}

/// As with [`std::io::Error`], the source is that of the cause: the cause's own text is this error's.
impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.source()
    }
}

/// What the ledger's errors mean, wherever they come through.
fn of_chain(error: &ChainError) -> (bool, Option<Hint>) {
    let hint = match error {
        ChainError::NoKey => Some(Hint::CreateProfile),
        ChainError::Expired(_) => Some(Hint::TrustCheckpoint),
        ChainError::NotOwner { .. } => Some(Hint::NameOwner),
        _ => None,
    };
    let retryable = match error {
        ChainError::NotIncluded { .. } => false,
        ChainError::Overtaken { .. } => true,
        other => other.kind() == ErrorKind::Network,
    };
    (retryable, hint)
}

fn of_open(error: &OpenError) -> (bool, Option<Hint>) {
    match error {
        OpenError::Chain(error) => of_chain(error),
        other => (other.kind() == ErrorKind::Network, None),
    }
}

fn of_get(error: &GetError) -> (bool, Option<Hint>) {
    match error {
        GetError::Open(error) => of_open(error),
        GetError::Exists(_) | GetError::NotEmpty(_) => (false, Some(Hint::Overwrite)),
        other => (other.kind() == ErrorKind::Network, None),
    }
}

fn of_add(error: &AddError) -> (bool, Option<Hint>) {
    match error {
        AddError::Chain(error) => of_chain(error),
        AddError::TooFewProviders { .. } => (false, Some(Hint::ChooseCode)),
        AddError::SourceChanged(_) | AddError::Journal(JournalError::InUse(_)) => (true, None),
        other => (other.kind() == ErrorKind::Network, None),
    }
}

impl From<ChainError> for Error {
    fn from(error: ChainError) -> Self {
        let (retryable, hint) = of_chain(&error);
        Self::of(error.kind(), retryable, hint, error)
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        let (retryable, hint) = of_open(&error);
        Self::of(error.kind(), retryable, hint, error)
    }
}

impl From<GetError> for Error {
    fn from(error: GetError) -> Self {
        let (retryable, hint) = of_get(&error);
        Self::of(error.kind(), retryable, hint, error)
    }
}

impl From<PackReadError> for Error {
    fn from(error: PackReadError) -> Self {
        let (retryable, hint) = match &error {
            PackReadError::Get(error) => of_get(error),
            other => (other.kind() == ErrorKind::Network, None),
        };
        Self::of(error.kind(), retryable, hint, error)
    }
}

impl From<AddError> for Error {
    fn from(error: AddError) -> Self {
        let (retryable, hint) = of_add(&error);
        Self::of(error.kind(), retryable, hint, error)
    }
}

impl From<JournalError> for Error {
    fn from(error: JournalError) -> Self {
        Self::of(error.kind(), matches!(error, JournalError::InUse(_)), None, error)
    }
}

impl From<BucketError> for Error {
    fn from(error: BucketError) -> Self {
        Self::of(error.kind(), matches!(error, BucketError::Busy | BucketError::Unavailable(_)), None, error)
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        let (retryable, hint) = match &error {
            NameError::Chain(error) => of_chain(error),
            _ => (false, None),
        };
        Self::of(error.kind(), retryable, hint, error)
    }
}

impl From<VouchError> for Error {
    fn from(error: VouchError) -> Self {
        let (retryable, hint) = match &error {
            VouchError::Chain(error) => of_chain(error),
            VouchError::Voucher(_) => (true, None),
        };
        Self::of(error.kind(), retryable, hint, error)
    }
}

impl From<ProofFileError> for Error {
    fn from(error: ProofFileError) -> Self {
        Self::of(ErrorKind::Integrity, false, None, error)
    }
}

impl From<ProfileError> for Error {
    fn from(error: ProfileError) -> Self {
        let hint = matches!(error, ProfileError::None(_)).then_some(Hint::CreateProfile);
        Self::of(error.kind(), false, hint, error)
    }
}

impl From<ObjectsError> for Error {
    fn from(error: ObjectsError) -> Self {
        Self::of(error.kind(), false, None, error)
    }
}

impl From<PassphraseError> for Error {
    fn from(error: PassphraseError) -> Self {
        Self::of(ErrorKind::Usage, false, None, error)
    }
}

impl From<KeyFileError> for Error {
    fn from(error: KeyFileError) -> Self {
        Self::of(ErrorKind::Usage, false, None, error)
    }
}

impl From<TooPoor> for Error {
    fn from(error: TooPoor) -> Self {
        Self::of(ErrorKind::Funds, false, None, error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::of(ErrorKind::Other, error.kind() == io::ErrorKind::Interrupted, None, error)
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::id::{Height, ObjectId, TxId};

    use super::*;

    #[test]
    fn an_error_is_its_cause_with_a_kind() {
        let object = ObjectId::new([1; 32]);
        let check = |error: Error, kind, retryable, hint| {
            assert_eq!((error.kind(), error.is_retryable(), error.hint()), (kind, retryable, hint), "{error}");
            assert_eq!(error.to_string(), error.get_ref().to_string());
        };
        check(ChainError::NoObject { object, height: Height(3) }.into(), ErrorKind::NotFound, false, None);
        check(OpenError::WrongKey(object).into(), ErrorKind::Integrity, false, None);
        check(GetError::Open(OpenError::KeyMissing(object)).into(), ErrorKind::Usage, false, None);
        check(GetError::Exists("x".into()).into(), ErrorKind::Usage, false, Some(Hint::Overwrite));
        check(AddError::Price.into(), ErrorKind::Funds, false, None);
        check(AddError::SourceChanged("it grew".to_owned()).into(), ErrorKind::Other, true, None);
        check(AddError::Chain(ChainError::NoKey).into(), ErrorKind::Usage, false, Some(Hint::CreateProfile));
        check(ProfileError::None("x".into()).into(), ErrorKind::Usage, false, Some(Hint::CreateProfile));
        let offline = ChainError::NoNode { asked: 3, last: "timed out".to_owned() };
        check(GetError::Open(OpenError::Chain(offline)).into(), ErrorKind::Network, true, None);
    }

    #[test]
    fn what_may_still_happen_is_not_repeated_blindly() {
        let tx = TxId::new([1; 32]);
        let open = Error::from(ChainError::NotIncluded { tx, until: Height(9) });
        assert_eq!((open.kind(), open.is_retryable()), (ErrorKind::Network, false));
        assert!(Error::from(ChainError::Overtaken { tx }).is_retryable());
    }

    #[test]
    fn causes_can_be_reached_and_context_keeps_the_meaning() {
        let error = Error::from(AddError::Source(io::Error::other("disk failure")));
        let text = error.to_string();
        let error = error.context("report.pdf").context("adding");
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Other, format!("adding: report.pdf: {text}")));
        assert!(matches!(error.downcast_ref(), Some(AddError::Source(_))));
        let broken = Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("writing");
        assert_eq!((broken.io_kind(), Error::from(AddError::Price).io_kind()), (Some(io::ErrorKind::BrokenPipe), None));
    }

    #[test]
    fn errors_cross_tasks() {
        fn crosses<T: Send + Sync + 'static>() {}
        crosses::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>(), "a result is as small as its value");
    }
}
