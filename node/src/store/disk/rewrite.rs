//! Moves the last records out of a pack that is mostly holes, so that its file can go.
//!
//! In comes a pack's number; records that the index still names are appended to the active pack, one after the other,
//! each under the lock of its column. The old pack deletes itself when its last record is freed.

use super::super::StoreError;
use super::{
    Disk,
    index::{ColumnRecord, Location, Piece, PlaceRecord},
    packs::{self, IndexChange},
    record::{Header, RecordKind},
};

impl Disk {
    /// Rewrites a pack, if there is one to rewrite; after a failure the next run tries again.
    pub(super) fn tidy(&self, sparse: Option<u32>) {
        let Some(number) = sparse else { return };
        if let Err(error) = self.rewrite(number) {
            tracing::warn!(pack = number, %error, "cannot compact a sparse pack; retrying after restart");
        }
    }

    fn rewrite(&self, number: u32) -> Result<(), StoreError> {
        let mut records = Vec::new();
        packs::scan(&self.volume, number, 0, |piece, header| {
            records.push((piece, header));
            Ok(())
        })?;
        records.iter().try_for_each(|(piece, header)| self.carry_over(*piece, header))
    }

    /// Moves one record, if it is alive.
    fn carry_over(&self, old: Piece, header: &Header) -> Result<(), StoreError> {
        let key = header.place.key();
        let _lock = self.column_locks.take(&key.column, &key.object);
        let change: IndexChange = match header.kind {
            RecordKind::Column => match self.index.column(&key.column)? {
                Some(record) if record.location == Location::Pack(old) => Box::new(move |batch, piece| {
                    batch.put_column(&key.column, &ColumnRecord { location: Location::Pack(piece), ..record });
                }),
                _ => return Ok(()),
            },
            RecordKind::Note => match self.index.place(&key)? {
                Some(record) if record.note == Some(old) => Box::new(move |batch, piece| {
                    batch.put_place(&key, &PlaceRecord { note: Some(piece), ..record });
                }),
                _ => return Ok(()),
            },
        };
        self.packs.append(packs::read(&self.volume, &old)?, change)?;
        self.packs.free(&old);
        Ok(())
    }
}
