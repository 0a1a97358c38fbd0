//! Rosters: who can be drawn in an epoch, as far as a client must know.
//!
//! In come the record of an epoch, which has the roster's root, and answers that show a part of it; out go parts that
//! are proven against the root. A small roster comes as a whole, and is cached. Not here: what is drawn from it,
//! which `ostrakon_proto::placement` decides.

use std::sync::{Arc, OnceLock};

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
#[derive(Clone, Debug)]
pub struct Roster {
    /// The epoch.
    pub epoch: Epoch,
    /// Its first block: accounts that began before it draw by the beacon.
    pub first: Height,
    /// Its beacon.
    pub beacon: [u8; 32],
    /// Who they are, by a root that proves it, and by class.
    pub summary: RosterSummary,
    /// All of them, once a node has sent all.
    whole: OnceLock<RosterTree>,
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
        let [Some(Record::Epoch(EpochRecord { epoch, first, beacon: Some(beacon), roster, .. }))] =
            <[_; 1]>::try_from(found).unwrap_or([None])
        else {
            return Err(ChainError::Unknown {
                what: "list of providers of this epoch (it is too old, or its beacon is not complete)",
            });
        };
        let roster = Arc::new(Roster { epoch, first, beacon, summary: roster, whole: OnceLock::new() });
        let mut rosters = lock(&self.inner.rosters);
        rosters.insert(epoch, Arc::clone(&roster));
        while rosters.len() > ROSTERS_MAX {
            rosters.pop_first();
        }
        Ok(roster)
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
        if let Some(whole) = roster.whole.get() {
            return Ok(whole.clone());
        }
        let request = |from| wire::chain::draw(from, seed, code);
        let read = |tree: RosterTree, _: &CertifiedHeader| {
            let shows = || draw(&tree, &seed, code, caps) != Err(PlacementError::Hidden(Hidden));
            if tree.root() == roster.summary.root && shows() { Ok(tree) } else { Err(BadAnswer::Roster) }
        };
        let tree = self.prove(&request, read).await?;
        if tree.is_whole() {
            // Another task may have been first with the same.
            let _known = roster.whole.set(tree.clone());
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
