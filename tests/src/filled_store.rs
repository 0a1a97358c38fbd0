//! A store that is as full as its configuration allows, before its node has been run.
//!
//! In comes a data directory; its disk gets columns through the store's own interface until that takes no more. The
//! same numbers give the same columns.

use std::path::Path;

use anyhow::Result;
use ostrakon_node::{
    config::{Config, Overrides, node_key},
    store::{Around, DiskConfig, StoreError, Volumes},
};

use crate::numbered_column::NumberedColumn;

/// Bytes of a column.
const LENGTH: usize = 2 << 20;

/// The `number`-th column.
pub fn column(number: u64) -> NumberedColumn {
    NumberedColumn::new(number, LENGTH)
}

/// The store of the data directory `dir`, open.
///
/// # Errors
/// When it cannot be opened.
pub fn open(dir: &Path) -> Result<Volumes> {
    let config = Config::load(dir, &Overrides::default())?;
    let around = Around { room: config.pruning(dir).room, ..Around::default() };
    let settings = DiskConfig { reserve_bytes: config.disk_reserve_bytes, ..DiskConfig::default() };
    Ok(Volumes::open(dir, &node_key(dir)?.public(), settings, &around)?)
}

/// Fills the store of the data directory `dir`; returns how many columns it has.
///
/// # Errors
/// When it cannot be opened, or fails otherwise than by being full.
pub fn fill(dir: &Path) -> Result<u64> {
    let (store, mut number) = (open(dir)?, 0);
    loop {
        match column(number).put(&store) {
            Ok(()) => number += 1,
            Err(StoreError::Full { .. }) => return Ok(number),
            Err(error) => return Err(error.into()),
        }
    }
}
