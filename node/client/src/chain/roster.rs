//! Rosters: who can be drawn in an epoch, as far as a client must know.
//!
//! In come the record of an epoch, which has the roster's root, and answers that show a part of it; out go parts that
//! are proven against the root. A small roster comes as a whole, and is cached. Not here: what is drawn from it,
//! which `ostrakon_proto::placement` decides.

use std::sync::{Arc, Mutex};

use ostrakon_net::lock;
use ostrakon_proto::{
    id::{AccountId, Epoch, Height, NodeId},
    ledger::state::{EpochRecord, Key, Record},
    light::{BadAnswer, CertifiedHeader},
    params::Code,
    placement::{Caps, Draw, DrawSeed, PlacementError, RosterSummary, RosterTree, draw},
    sum_tree::Hidden,
    wire,
};

use super::{Chain, ChainError};

/// Rosters cached: the current one and those of adds that started earlier.
const ROSTERS_MAX: usize = 4;

/// What the ledger recorded of the providers that can be drawn in an epoch.
#[derive(Debug)]
pub struct Roster {
    /// The epoch.
    pub epoch: Epoch,
    /// Its first block: accounts that began before it draw by the beacon.
    pub first: Height,
    /// Its beacon.
    pub beacon: [u8; 32],
    /// Who they are, by a root that proves it, and by class.
    pub summary: RosterSummary,
    /// As many of them as a node has shown.
    shown: Mutex<RosterTree>,
}

impl Roster {
    /// The roster of this epoch, of which nothing or this is shown; `None` before the beacon is complete.
    pub(super) fn showing(record: EpochRecord, shown: RosterTree) -> Option<Self> {
        let EpochRecord { epoch, first, beacon, roster: summary, .. } = record;
        Some(Self { epoch, first, beacon: beacon?, summary, shown: Mutex::new(shown) })
    }

    /// Whether all of them are known.
    pub(super) fn is_whole(&self) -> bool {
        let shown = lock(&self.shown);
        shown.root() == self.summary.root && shown.is_whole()
    }

    /// Whether this is a part of the roster that shows the outcome of this draw.
    fn shows(&self, tree: &RosterTree, seed: &DrawSeed, (code, caps): (Code, &Caps)) -> bool {
        tree.root() == self.summary.root && draw(tree, seed, code, caps) != Err(PlacementError::Hidden(Hidden))
    }
}

impl Chain {
    /// The roster that `epoch` froze; cached.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof, or the epoch's draws have
    /// expired.
    pub async fn roster(&self, epoch: Epoch) -> Result<Arc<Roster>, ChainError> {
        if let Some(roster) = lock(&self.inner.rosters).get(&epoch) {
            return Ok(Arc::clone(roster));
        }
        let (_, found) = self.records(&[Key::Epoch(epoch)]).await?;
        let found = found.into_iter().next().flatten();
        let record = found.and_then(|record| if let Record::Epoch(record) = record { Some(record) } else { None });
        let roster = record.and_then(|record| Roster::showing(record, RosterTree::default()));
        let roster = Arc::new(roster.ok_or_else(|| ChainError::Unknown {
            what: format!("list of providers of epoch {epoch}: it is too old, or its beacon is not complete yet"),
        })?);
        self.cache(Arc::clone(&roster));
        Ok(roster)
    }

    /// Keeps a roster for the adds that follow.
    pub(super) fn cache(&self, roster: Arc<Roster>) {
        let mut rosters = lock(&self.inner.rosters);
        rosters.insert(roster.epoch, roster);
        while rosters.len() > ROSTERS_MAX {
            rosters.pop_first();
        }
    }

    /// The providers of a roster, as many of them as this draw meets.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof.
    pub(crate) async fn drawn_from(
        &self,
        roster: &Roster,
        seed: DrawSeed,
        (code, caps): (Code, &Caps),
    ) -> Result<RosterTree, ChainError> {
        let shown = lock(&roster.shown).clone();
        if roster.shows(&shown, &seed, (code, caps)) {
            return Ok(shown);
        }
        let request = |from| wire::chain::draw(from, seed, code);
        let read = |tree: RosterTree, _: &CertifiedHeader| {
            if roster.shows(&tree, &seed, (code, caps)) { Ok(tree) } else { Err(BadAnswer::Roster) }
        };
        let tree = self.prove(&request, read).await?;
        if tree.is_whole() {
            *lock(&roster.shown) = tree.clone();
        }
        Ok(tree)
    }

    /// The providers of a roster that one answer shows: all of a small one.
    pub(super) async fn shown_of(&self, roster: &Roster) -> Result<Vec<NodeId>, ChainError> {
        let (code, draw) = (Code { k: 1, n: 2 }, Draw { epoch: roster.epoch, number: 0 });
        // By the network's own rule: a node that shows no more than a draw needs applies it.
        let min_domains = self.rules().params.min_domains;
        let Ok(caps) = Caps::of(&roster.summary, code, min_domains) else { return Ok(Vec::new()) };
        let seed = DrawSeed { randomness: [0; 32], account: AccountId::LEAST, draw, extent: 0 };
        let shown = self.drawn_from(roster, seed, (code, &caps)).await?;
        Ok(shown.leaves().map(|entry| entry.provider).collect())
    }
}
