//! What an upload is planned by, from one answer: head, account, roster and the providers that are drawn.
//!
//! Roster and providers go where single questions would put them, so that these are not asked; what the answer lacks,
//! they find.

use std::sync::Arc;

use ostrakon_net::lock;
use ostrakon_proto::{
    id::Epoch,
    ledger::state::Account,
    light::{BasisQuery, CertifiedHeader, ProvenBasis, UploadBasis},
    wire,
};

use super::{Chain, ChainError, Head, Roster};

/// What an upload is planned by.
#[derive(Clone, Debug)]
pub(crate) struct Basis {
    /// The newest block.
    pub(crate) head: Head,
    /// The newest epoch that holders can be drawn in.
    pub(crate) drawable: Epoch,
    /// The account.
    pub(crate) funds: Account,
    /// The pulse that the account draws by, if it does, and the pulse is complete.
    pub(crate) pulse: Option<[u8; 32]>,
}

impl Chain {
    /// What an upload is planned by. A network that has just begun has no epoch to draw in until its first blocks have
    /// made a beacon: then this waits, as long as there are new blocks.
    ///
    /// # Errors
    /// [`ChainError::Halted`] when there are none, another when no node responds with a valid proof.
    pub(crate) async fn basis(&self, query: BasisQuery) -> Result<Basis, ChainError> {
        let request = |from| wire::chain::basis(from, query.clone());
        let read = |basis: UploadBasis, tip: &CertifiedHeader| Ok((tip.clone(), basis.verify(&query, &tip.header)?));
        let (tip, proven) = self.prove(&request, read).await?;
        let ProvenBasis { running, params, account: funds, epoch, pulse, providers, roster } = proven;
        self.learn(&providers);
        if let Some(roster) = epoch.and_then(|record| Roster::showing(record, roster)) {
            self.cache(Arc::new(roster));
        }
        let head = self.adopt_head(&tip.header, &running, &params);
        let (head, drawable) = match head.drawable {
            Some(drawable) => (head, drawable),
            None => self.drawable().await?,
        };
        self.note_recent(&head, (query.account, funds));
        Ok(Basis { head, drawable, funds, pulse })
    }

    /// The epoch of which all of the roster is known: it serves all draws.
    pub(crate) fn whole_roster(&self) -> Option<Epoch> {
        let rosters = lock(&self.inner.rosters);
        rosters.values().rev().find(|roster| roster.is_whole()).map(|roster| roster.epoch)
    }
}
