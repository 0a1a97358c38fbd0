//! Keeps two processes with one validator's key from both signing, whatever happened to the disk in between.
//!
//! In come answers of the other validators and messages signed with this validator's own key; out comes whether this
//! process may sign. Not here: the rule ([`super::signing_status`]), and what was signed ([`super::signer`]).
//!
//! # Why the sign state alone is not enough
//! The sign-state file keeps one process on one disk from signing twice. It cannot tell that the file itself is older
//! than what was signed (a restored image, an emptied directory), nor that another machine has a copy of it. Each of
//! these closes a gap that the others leave open:
//!
//! - **Last-seen query** ([`super::last_seen`]): at its start a validator asks the others for the newest message they
//!   have of it. More than its own record holds means that the record is old. They answer from
//!   [`super::received`], which holds one message of each validator.
//! - **Watching** ([`super::signing_status::Watch`]): the messages that others hold end at the moment of the answer, so
//!   a validator with an old record signs nothing until it has seen the chain move on without a message of its key.
//! - **Leases** ([`super::leases`]): of two processes that start at the same moment nobody has seen either. The others
//!   let one process at a time sign with a key, and no two can have two thirds of the power.
//! - **Own messages** ([`Guard::saw_own`]): a copy that starts to sign later shows itself by a message that this
//!   process did not send. This process then stops to sign permanently.

use ostrakon_proto::{id::Height, ledger::vote::ValidatorSet};
use tokio::time::Instant;

use super::{
    last_seen::{LastSeenQuery, QueryContext},
    sign_state::Statement,
    signer::Signer,
    signing_status::{Findings, SigningStatus, Watch},
};

/// Whether this process may sign, and how that is found out.
#[derive(Default)]
pub(super) struct Guard {
    status: SigningStatus,
    watch: Watch,
    /// What was asked last, and the answers so far.
    query: Option<LastSeenQuery>,
}

impl Guard {
    /// Whether this process may sign.
    pub(super) fn may_sign(&self) -> bool {
        self.status == SigningStatus::Active
    }

    /// Whether nobody was asked yet.
    pub(super) fn is_unknown(&self) -> bool {
        self.status == SigningStatus::Unknown
    }

    /// When this process may sign from `height` on, unless another one signs meanwhile.
    pub(super) fn watches(&self, height: Height) -> bool {
        matches!(self.status, SigningStatus::Paused { from, recheck: true } if from <= height)
    }

    /// The height took so long that every running validator has signed at it.
    pub(super) fn note_slow(&mut self, height: Height) {
        self.watch.note_slow(height);
    }

    /// Whether the others must be asked before anything is signed at `height`.
    pub(super) fn needs_check(&mut self, height: Height, now: Instant) -> bool {
        match self.status {
            SigningStatus::Unknown => true,
            SigningStatus::Active | SigningStatus::Duplicate => false,
            SigningStatus::Paused { from, .. } if from > height => false,
            SigningStatus::Paused { from, recheck: true } => self.watch.suffices(from, height, now),
            SigningStatus::Paused { recheck: false, .. } => {
                self.status = SigningStatus::Active;
                false
            }
        }
    }

    /// The query in progress if it asks these validators and is recent, else a new one.
    pub(super) fn open_query(&mut self, set: &ValidatorSet, make: impl FnOnce() -> QueryContext) -> LastSeenQuery {
        let open = self.query.take().filter(|query| query.is_of(set) && !query.is_stale());
        open.unwrap_or_else(|| LastSeenQuery::new(make()))
    }

    /// Holds the query for later.
    pub(super) fn keep_query(&mut self, query: LastSeenQuery) {
        self.query = Some(query);
    }

    /// Decides by what the others answered.
    pub(super) fn conclude(&mut self, findings: &Findings<'_>) {
        let before = self.status;
        self.status = before.after(findings);
        match self.status {
            SigningStatus::Paused { from, recheck: true } => tracing::error!(
                height = %from,
                "other validators have newer messages of this validator than its sign-state file: its disk was \
                 restored from a backup, or another process signs with its key, which must be stopped; signing nothing \
                 below this height"
            ),
            status => {
                tracing::info!(?before, ?status, "asked the other validators for their last messages of this one")
            }
        }
    }

    /// This process may sign: there is nobody to ask.
    pub(super) fn allow(&mut self) {
        self.status = SigningStatus::Active;
    }

    /// Takes the permission back if it was given so long ago, and nothing was signed by it, that another process may
    /// have one by now. Returns whether it was taken back.
    pub(super) fn expire(&mut self, has_signed: bool) -> bool {
        let is_stale = self.may_sign() && !has_signed && self.query.as_ref().is_some_and(LastSeenQuery::is_stale);
        if is_stale {
            self.status = SigningStatus::Unknown;
        }
        is_stale
    }

    /// A message signed with this validator's key arrived from another node, of a height below `now`.
    pub(super) fn saw_own(&mut self, statement: &Statement, now: Height, signer: &Signer) {
        self.check_own(statement, signer.knows(statement, now), signer);
    }

    /// As [`Guard::saw_own`], where it is known whether this process sent it. What an earlier process sent may come
    /// back; what neither sent, another process signs. Returns whether one does.
    pub(super) fn check_own(&mut self, statement: &Statement, is_own: bool, signer: &Signer) -> bool {
        let is_foreign = !is_own && self.may_sign() && Some(statement.progress()) > signer.started_at;
        if is_foreign {
            self.status = SigningStatus::Duplicate;
            tracing::error!(
                ?statement,
                "another process signs with this validator's key; this one signs nothing any more: stop one of them, \
                 then restart this one"
            );
        }
        is_foreign
    }
}
