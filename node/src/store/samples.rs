//! Columns to test with, and the checks that every store must pass.

use bytes::Bytes;
use ostrakon_proto::{
    id::{ColumnId, Epoch},
    limits::CHUNK,
    manifest::Manifest,
    tree::{self, TreeBuilder, verify_range},
    wire::put::UploadId,
};

use super::{Columns, Place, StoreError};

/// Lengths around every boundary: one cell, a group, a chunk, and the length from which a column has its own file.
pub(super) const LENGTHS: [usize; 8] =
    [64, 16 * 1024, 16 * 1024 + 64, CHUNK, CHUNK + 64, (1 << 20) - 64, 1 << 20, (1 << 20) + CHUNK + 64];

/// A column, its place, and its object's manifest.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) bytes: Bytes,
    pub(super) place: Place,
    pub(super) manifest: Bytes,
}

impl Sample {
    /// The column of this length with number `seed`, in an object of its own.
    pub(super) fn new(seed: u8, length: usize) -> Self {
        let mut bytes = vec![0; length];
        let words = bytes.chunks_mut(8).zip(1u64..);
        words.for_each(|(word, at)| {
            let value = (at + (u64::from(seed) << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
            word.copy_from_slice(&value[..word.len()]);
        });
        let manifest = Bytes::from(format!("manifest {seed}").into_bytes());
        let place = Place {
            object: Manifest::object_id(&manifest),
            extent: 0,
            index: seed,
            column: hash(&bytes),
            column_len: u64::try_from(length).expect("fits"),
            manifest_len: u32::try_from(manifest.len()).expect("fits"),
            token: seed.is_multiple_of(2).then_some([seed; 32]),
            expires: Epoch(10),
        };
        Self { bytes: bytes.into(), place, manifest }
    }

    /// The same column in another object.
    pub(super) fn in_object(&self, number: u32) -> Self {
        let manifest = Bytes::from(format!("other manifest {number}").into_bytes());
        let (object, manifest_len) = (Manifest::object_id(&manifest), u32::try_from(manifest.len()).expect("fits"));
        let place = Place { object, manifest_len, ..self.place };
        Self { place, manifest, ..self.clone() }
    }

    /// The same again, expiring then.
    pub(super) fn expiring(&self, epoch: u64) -> Self {
        Self { place: Place { expires: Epoch(epoch), ..self.place }, ..self.clone() }
    }

    pub(super) fn upload(&self) -> UploadId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.place.column.bytes()[..8]);
        id[8..].copy_from_slice(&self.place.object.bytes()[..8]);
        UploadId(id)
    }

    /// Uploads all of it, without finishing.
    pub(super) fn send(&self, store: &dyn Columns) -> Result<(), StoreError> {
        store.begin(self.upload(), self.place.column_len)?;
        self.chunks().try_for_each(|(offset, bytes)| store.write(self.upload(), offset, bytes).map(drop))
    }

    pub(super) fn finish(&self, store: &dyn Columns) -> Result<(), StoreError> {
        store.finish(self.upload(), self.place, self.manifest.clone())
    }

    /// Stores it.
    pub(super) fn put(&self, store: &dyn Columns) -> Result<(), StoreError> {
        self.send(store)?;
        self.finish(store)
    }

    /// Deletes its place, whatever its state.
    pub(super) fn purge(&self, store: &dyn Columns) -> Result<(), StoreError> {
        let places = store.places(None, usize::MAX)?;
        let stored = places.iter().find(|stored| stored.place.key() == self.place.key());
        stored.map_or(Ok(()), |stored| store.purge(&stored.place.key(), stored.state).map(|gone| assert!(gone)))
    }

    pub(super) fn chunks(&self) -> impl Iterator<Item = (u64, Bytes)> {
        (0..self.bytes.len()).step_by(CHUNK).map(|start| {
            let end = self.bytes.len().min(start + CHUNK);
            (u64::try_from(start).expect("fits"), self.bytes.slice(start..end))
        })
    }

    /// Reads all of it in ranges of `length`, each of which must verify.
    pub(super) fn read(&self, store: &dyn Columns, length: u32) -> Result<(), StoreError> {
        let Place { column, column_len, .. } = self.place;
        let mut got = Vec::new();
        for start in (0..column_len).step_by(usize::try_from(length).expect("fits")) {
            let range = store.read(&column, start, length)?;
            let asked = tree::Range { start, length };
            verify_range(&column, column_len, asked, &range.bytes, &range.siblings).expect("the range is proven");
            got.extend_from_slice(&range.bytes);
        }
        assert!(got == self.bytes, "the column is what was stored");
        Ok(())
    }

    /// It is there, whole, with its place and its manifest.
    pub(super) fn assert_stored(&self, store: &dyn Columns) {
        self.read(store, u32::try_from(CHUNK).expect("fits")).expect("readable");
        store.scrub_column(&self.place.column).expect("undamaged");
        let info = store.column(&self.place.column).expect("index works").expect("stored");
        assert_eq!(info.column_len, self.place.column_len);
        assert!(info.tokens.contains(&self.place.token));
        assert_eq!(store.manifest(&self.place.object).expect("index works"), Some(self.manifest.clone()));
        let places = store.places(None, usize::MAX).expect("index works");
        assert!(places.iter().any(|stored| stored.place == self.place), "its place is known");
    }

    /// Nothing of it is there.
    pub(super) fn assert_absent(&self, store: &dyn Columns) {
        assert_eq!(store.column(&self.place.column).expect("index works"), None);
        assert!(matches!(store.read(&self.place.column, 0, 16 * 1024), Err(StoreError::NotFound { .. })));
        assert_eq!(store.manifest(&self.place.object).expect("index works"), None);
    }
}

pub(super) fn hash(bytes: &[u8]) -> ColumnId {
    let mut tree = TreeBuilder::new();
    tree.update(bytes);
    tree.finish().0
}
