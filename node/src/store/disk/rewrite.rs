//! Moves the last records out of a pack that is mostly holes, so that its file can go.
//!
//! Packs note which of them that is ([`super::packs`]); records that the index still names are appended to the active
//! pack, some megabytes in a step, with two syncs for all of them, under the locks of their columns. The old pack
//! deletes itself when its last record is freed.

use super::super::StoreError;
use super::{
    Disk,
    index::{ColumnRecord, Location, Piece, PlaceRecord},
    packs::{self, IndexChange},
    record::{Header, RecordKind},
};

/// Bytes of records that are moved in one step.
const STEP: u64 = 4 << 20;

impl Disk {
    /// Moves some records out of a pack that is mostly holes, if there is one; whether there is more to do. After a
    /// failure it is tried again when more of the pack is deleted, and after a restart.
    pub(super) fn rewrite_some(&self) -> bool {
        if let Some((number, from)) = self.packs.take_sparse() {
            match self.rewrite(number, from) {
                Ok(Some(next)) => self.packs.put_back_sparse(number, next),
                Ok(None) => {}
                Err(error) => {
                    self.packs.give_up_sparse(number);
                    tracing::warn!(
                        pack = number, %error,
                        "cannot compact a sparse pack; retrying when more of it is deleted, or after a restart"
                    )
                }
            }
        }
        self.packs.has_sparse()
    }

    /// Moves records of a pack from an offset on; returns where to continue.
    fn rewrite(&self, number: u32, from: u64) -> Result<Option<u64>, StoreError> {
        let (mut records, mut bytes, mut next) = (Vec::new(), 0, None);
        packs::scan(&self.volume, number, from, |piece, header| {
            if bytes >= STEP {
                next = next.or(Some(piece.offset));
            } else if self.change_of(piece, &header)?.is_some() {
                bytes += piece.length;
                records.push((piece, header));
            }
            Ok(())
        })?;
        self.carry_over(&records)?;
        Ok(next)
    }

    /// Moves those of these records that are still alive.
    fn carry_over(&self, records: &[(Piece, Header)]) -> Result<(), StoreError> {
        let names = records.iter().map(|(_, header)| (header.place.column, header.place.object));
        let lock = self.column_locks.take_all(names);
        let (mut old, mut moving) = (Vec::new(), Vec::new());
        for (piece, header) in records {
            if let Some(change) = self.change_of(*piece, header)? {
                moving.push((packs::read(&self.volume, piece)?, change));
                old.push(piece);
            }
        }
        let moved = self.packs.append_all(moving);
        drop(lock);
        old.into_iter().zip(&moved).filter(|(_, moved)| moved.is_ok()).for_each(|(old, _)| self.packs.free(old));
        moved.into_iter().try_for_each(|moved| moved.map(drop))
    }

    /// What changes in the index when this record moves; nothing when it is not alive.
    fn change_of(&self, old: Piece, header: &Header) -> Result<Option<IndexChange>, StoreError> {
        let key = header.place.key();
        let change: IndexChange = match header.kind {
            RecordKind::Column => match self.index.column(&key.column)? {
                Some(record) if record.location == Location::Pack(old) => Box::new(move |batch, piece| {
                    batch.put_column(&key.column, &ColumnRecord { location: Location::Pack(piece), ..record });
                }),
                _ => return Ok(None),
            },
            RecordKind::Note => match self.index.place(&key)? {
                Some(record) if record.note == Some(old) => Box::new(move |batch, piece| {
                    batch.put_place(&key, &PlaceRecord { note: Some(piece), ..record });
                }),
                _ => return Ok(None),
            },
        };
        Ok(Some(change))
    }
}
