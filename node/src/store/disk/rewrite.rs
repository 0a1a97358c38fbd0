//! Moves the last records out of a pack that is mostly holes, so that its file can go.
//!
//! Packs note which of them that is ([`super::packs`]); records that the index still names are appended to the active
//! pack, one after the other, each under the lock of its column, some megabytes in a step. The old pack deletes itself
//! when its last record is freed.

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
        let mut records = Vec::new();
        packs::scan(&self.volume, number, from, |piece, header| {
            records.push((piece, header));
            Ok(())
        })?;
        let mut moved = 0;
        for (piece, header) in records {
            if moved >= STEP {
                return Ok(Some(piece.offset));
            }
            moved += self.carry_over(piece, &header)?;
        }
        Ok(None)
    }

    /// Moves one record, if it is alive; returns the bytes that were moved.
    fn carry_over(&self, old: Piece, header: &Header) -> Result<u64, StoreError> {
        let key = header.place.key();
        let _lock = self.column_locks.take(&key.column, &key.object);
        let change: IndexChange = match header.kind {
            RecordKind::Column => match self.index.column(&key.column)? {
                Some(record) if record.location == Location::Pack(old) => Box::new(move |batch, piece| {
                    batch.put_column(&key.column, &ColumnRecord { location: Location::Pack(piece), ..record });
                }),
                _ => return Ok(0),
            },
            RecordKind::Note => match self.index.place(&key)? {
                Some(record) if record.note == Some(old) => Box::new(move |batch, piece| {
                    batch.put_place(&key, &PlaceRecord { note: Some(piece), ..record });
                }),
                _ => return Ok(0),
            },
        };
        self.packs.append(packs::read(&self.volume, &old)?, change)?;
        self.packs.free(&old);
        Ok(old.length)
    }
}
