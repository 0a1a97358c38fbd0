//! The newest block and an account, as they were a moment ago: what is planned by them, and done within that moment,
//! need not ask again.
//!
//! Of an account that has sent something meanwhile, nothing is remembered. What is remembered may be outdated all the
//! same, as anything is that a node says: a nonce or a balance that is wrong is refused, and then asked for.

use std::time::Duration;

use ostrakon_net::{awake, lock};
use ostrakon_proto::{id::AccountId, ledger::state::Account};
use tokio::time::Instant;

use super::{Chain, ChainError, Head};

/// How long it is remembered: no longer than a quarter of an epoch.
const MOMENT: Duration = Duration::from_secs(10);

/// What was proven.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    at: Instant,
    head: Head,
    account: (AccountId, Account),
}

impl Chain {
    /// The newest block, and the account: as of a moment ago.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof.
    pub(crate) async fn recent(&self, account: AccountId) -> Result<(Head, Account), ChainError> {
        let epoch = Duration::from_millis(self.rules().params.time.epoch_ms);
        let is_fresh = |known: &Recent| known.account.0 == account && awake::now() - known.at < MOMENT.min(epoch / 4);
        if let Some(known) = lock(&self.inner.recent).clone().filter(is_fresh) {
            return Ok((known.head, known.account.1));
        }
        let (head, found) = futures::try_join!(self.head(), self.account(account))?;
        self.note_recent(&head, (account, found));
        Ok((head, found))
    }

    /// This was proven just now.
    pub(super) fn note_recent(&self, head: &Head, account: (AccountId, Account)) {
        *lock(&self.inner.recent) = Some(Recent { at: awake::now(), head: head.clone(), account });
    }

    /// The account has sent something.
    pub(super) fn forget_recent(&self) {
        *lock(&self.inner.recent) = None;
    }
}
