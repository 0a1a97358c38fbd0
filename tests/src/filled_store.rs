//! A store that is as full as its configuration allows, before its node has been run.
//!
//! In comes a data directory; its disk gets columns through the store's own interface until that takes no more. The
//! same numbers give the same columns, which are public.

use std::path::Path;

use anyhow::Result;
use ostrakon_node::{
    config::{Config, Overrides, node_key},
    store::{Around, Columns, DiskConfig, Place, StoreError, Volumes},
};
use ostrakon_proto::{
    id::{ColumnId, Epoch},
    limits::CHUNK,
    manifest::Manifest,
    tree::TreeBuilder,
    wire::put::UploadId,
};

/// Bytes of a column.
const LENGTH: usize = 2 << 20;

/// The `number`-th column.
pub fn column(number: u64) -> (ColumnId, Vec<u8>) {
    let mut bytes = vec![0; LENGTH];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    let mut tree = TreeBuilder::new();
    tree.update(&bytes);
    (tree.finish().0, bytes)
}

/// Fills the store of the data directory `dir`; returns how many columns it has.
///
/// # Errors
/// When it cannot be opened, or fails otherwise than by being full.
pub fn fill(dir: &Path) -> Result<u64> {
    let config = Config::load(dir, &Overrides::default())?;
    let around = Around { room: config.pruning(dir).room, ..Around::default() };
    let settings = DiskConfig { reserve_bytes: config.disk_reserve_bytes, ..DiskConfig::default() };
    let store = Volumes::open(dir, &node_key(dir)?.public(), settings, &around)?;
    let mut number = 0;
    loop {
        match put(&store, number) {
            Ok(()) => number += 1,
            Err(StoreError::Full { .. }) => return Ok(number),
            Err(error) => return Err(error.into()),
        }
    }
}

fn put(store: &dyn Columns, number: u64) -> Result<(), StoreError> {
    let ((column, bytes), manifest) = (column(number), number.to_le_bytes().to_vec());
    let mut upload = UploadId([0; 16]);
    upload.0[..8].copy_from_slice(&manifest);
    let column_len = u64::try_from(bytes.len()).expect("fits");
    store.begin(upload, column_len)?;
    for (at, chunk) in bytes.chunks(CHUNK).enumerate() {
        store.write(upload, u64::try_from(at * CHUNK).expect("fits"), chunk.to_vec().into())?;
    }
    let (object, manifest_len) = (Manifest::object_id(&manifest), u32::try_from(manifest.len()).expect("fits"));
    let expires = Epoch(u64::MAX);
    let place = Place { object, extent: 0, index: 0, column, column_len, manifest_len, token: None, expires };
    store.finish(upload, place, manifest.into())
}
