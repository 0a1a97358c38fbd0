//! The slots that the ledger has of columns that are stored here, page by page.

use ostrakon_proto::{
    id::NodeId,
    ledger::state::{Commitment, Records, Slot},
};

use crate::store::{Columns, PlaceKey, StoreError, StoredPlace};

/// Places read at a time.
const PAGE: usize = 64;

/// A slot of this node, of which something is stored here.
#[derive(Clone, Debug)]
pub(super) struct OwnSlot {
    /// Its commitment.
    pub(super) commitment: Commitment,
    /// Its index in that.
    pub(super) index: u8,
    /// Whether the column is not known to be damaged.
    pub(super) is_whole: bool,
}

/// The slots of the places after `after`, as far as `wanted`, and the last of those places; `None` when there is no
/// place after it. May block on the disk.
///
/// # Errors
/// When the index of the store fails.
pub(super) fn page(
    (columns, node): (&dyn Columns, NodeId),
    records: &dyn Records,
    after: Option<PlaceKey>,
    wanted: impl Fn(&Slot) -> bool,
) -> Result<Option<(Vec<OwnSlot>, PlaceKey)>, StoreError> {
    let places = columns.places(after, PAGE)?;
    let Some(last) = places.last().map(|stored| stored.place.key()) else { return Ok(None) };
    let mut found = Vec::new();
    for StoredPlace { place, .. } in places {
        for commitment in records.commitments_of(&place.object, usize::MAX) {
            let slot = commitment.slots.get(usize::from(place.index));
            let is_mine = |slot: &&Slot| slot.provider == node && slot.column == place.column && wanted(slot);
            if commitment.id.extent == place.extent && slot.filter(is_mine).is_some() {
                let is_whole = columns.column(&place.column)?.is_some_and(|info| !info.damaged);
                found.push(OwnSlot { commitment, index: place.index, is_whole });
            }
        }
    }
    Ok(Some((found, last)))
}
