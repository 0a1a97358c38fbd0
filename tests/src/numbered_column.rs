//! Columns that follow from a number: what one process stores, another one recognises.
//!
//! In come a number and a length; out comes a public column in an object of its own, which stays temporary forever.

use anyhow::{Result, ensure};
use bytes::Bytes;
use ostrakon_node::store::{Columns, Place, PlaceKey, PlaceState, StoreError};
use ostrakon_proto::{
    id::{ColumnId, Epoch},
    limits::CHUNK,
    manifest::Manifest,
    tree::TreeBuilder,
    wire::put::UploadId,
};

/// A column with its place.
#[derive(Debug)]
pub struct NumberedColumn {
    number: u64,
    /// Its bytes.
    pub bytes: Bytes,
    place: Place,
}

impl NumberedColumn {
    /// The column of this number and length.
    pub fn new(number: u64, length: usize) -> Self {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
        let mut tree = TreeBuilder::new();
        tree.update(&bytes);
        let manifest = number.to_le_bytes();
        let place = Place {
            object: Manifest::object_id(&manifest),
            extent: 0,
            index: 0,
            column: tree.finish().0,
            column_len: u64::try_from(length).expect("fits"),
            manifest_len: u32::try_from(manifest.len()).expect("fits"),
            token: None,
            expires: Epoch(u64::MAX),
        };
        Self { number, bytes: bytes.into(), place }
    }

    /// Its name.
    pub fn id(&self) -> ColumnId {
        self.place.column
    }

    /// The key of its place.
    pub fn key(&self) -> PlaceKey {
        self.place.key()
    }

    /// The state of its place.
    pub fn state(&self) -> PlaceState {
        PlaceState::Temporary { expires: self.place.expires }
    }

    /// Stores it.
    ///
    /// # Errors
    /// [`StoreError`] when the store takes it not.
    pub fn put(&self, store: &dyn Columns) -> Result<(), StoreError> {
        let (manifest, mut upload) = (self.number.to_le_bytes(), UploadId([0; 16]));
        upload.0[..8].copy_from_slice(&manifest);
        store.begin(upload, self.place.column_len)?;
        for at in (0..self.bytes.len()).step_by(CHUNK) {
            let chunk = self.bytes.slice(at..self.bytes.len().min(at + CHUNK));
            store.write(upload, u64::try_from(at).expect("fits"), chunk)?;
        }
        store.finish(upload, self.place, Bytes::copy_from_slice(&manifest))
    }

    /// Fails unless the store has all of it.
    ///
    /// # Errors
    /// When something is missing or other.
    pub fn expect_stored(&self, store: &dyn Columns) -> Result<()> {
        let length = u32::try_from(CHUNK)?;
        for at in (0..self.bytes.len()).step_by(CHUNK) {
            let read = store.read(&self.id(), u64::try_from(at)?, length)?.bytes;
            ensure!(read == self.bytes[at..self.bytes.len().min(at + CHUNK)], "column {} is another", self.number);
        }
        let manifest = store.manifest(&self.place.object)?;
        ensure!(manifest.is_some_and(|bytes| *bytes == self.number.to_le_bytes()), "its manifest is missing");
        Ok(())
    }
}

/// The numbers of the columns that are stored.
///
/// # Errors
/// When the store fails, or has other columns.
pub fn numbers(store: &dyn Columns) -> Result<Vec<u64>> {
    let number = |object| {
        let manifest = store.manifest(object)?;
        let bytes = manifest.as_deref().and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_le_bytes).ok_or_else(|| anyhow::anyhow!("object {object} is none of a number"))
    };
    store.places(None, usize::MAX)?.iter().map(|stored| number(&stored.place.object)).collect()
}
