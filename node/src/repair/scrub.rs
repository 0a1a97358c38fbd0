//! Scrubbing: reads every column that is stored here once in a while, so that damage is found before a reader, an audit
//! or a repair meets it.
//!
//! In go the store and how long one round should take; damaged columns are marked by the store, which stops serving
//! them. The first round starts at a random column, chosen by the newest block: so a node that is often restarted reads
//! the last columns as often as the first. Not here: what is reported of damage ([`super::losses`]).

use std::{future::pending, sync::Arc, time::Duration};

use ostrakon_proto::{
    codec,
    id::{ColumnId, ObjectId},
};
use tokio::time::sleep;

use super::Repair;
use crate::store::{PlaceKey, PlaceState, StoreError, StoredPlace};

/// Places looked up at a time.
const PAGE: usize = 64;
/// The pause after a round, and where nothing can be read.
const PAUSE: Duration = Duration::from_secs(60);
/// The longest pause for one column.
const COLUMN_PAUSE: Duration = Duration::from_secs(3600);

/// What was read since the round began.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    columns: u64,
    damaged: u64,
}

impl Repair {
    /// Reads all columns within each period, and then again. Never returns.
    pub(super) async fn scrub(&self) {
        let Some(period) = self.scrub_period else { return pending().await };
        let seed = codec::encode(&(self.node(), self.chain.head().block));
        let column = ColumnId::new(blake3::derive_key("ostrakon scrub start 1", &seed));
        let (mut after, mut round) = (Some(first_of(column)), Round::default());
        loop {
            let columns = Arc::clone(&self.columns);
            let page = self.workers.run(move || columns.places(after, PAGE)).await;
            match page {
                Ok(page) => match page.last() {
                    Some(last) => {
                        after = Some(last.place.key());
                        self.scrub_page(&page, period, &mut round).await;
                    }
                    None => {
                        let Round { columns, damaged } = std::mem::take(&mut round);
                        tracing::info!(columns, damaged, "scrub finished");
                        after = None;
                        sleep(PAUSE).await;
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "scrub cannot list the stored columns: it is tried again in a minute");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn scrub_page(&self, page: &[StoredPlace], period: Duration, round: &mut Round) {
        let is_kept = |stored: &&StoredPlace| !matches!(stored.state, PlaceState::Trash { .. });
        // One column may be stored for several objects: they are neighbors.
        let mut kept: Vec<_> = page.iter().filter(is_kept).map(|stored| stored.place).collect();
        kept.dedup_by_key(|place| place.column);
        for place in kept {
            sleep(self.pause(place.column_len, period)).await;
            let (columns, column) = (Arc::clone(&self.columns), place.column);
            match self.workers.run(move || columns.scrub_column(&column)).await {
                Ok(()) => round.columns += 1,
                Err(StoreError::NotFound { .. }) => {}
                Err(error @ StoreError::Corrupt { .. }) => {
                    round.damaged += 1;
                    let object = place.object;
                    tracing::error!(
                        %error, %object,
                        "a stored column is damaged: it is not served any more, and others are asked to rebuild it. \
                         Check the disk"
                    );
                }
                Err(error) => {
                    tracing::warn!(%column, %error, "cannot read a stored column to verify it: check the disk")
                }
            }
        }
    }

    /// How long to wait before a column of this length is read, so that all are read in the period.
    fn pause(&self, column_len: u64, period: Duration) -> Duration {
        let used = u128::from(self.columns.usage().used_bytes.max(1));
        let millis = period.as_millis().saturating_mul(column_len.into()) / used;
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)).min(COLUMN_PAUSE)
    }
}

/// The least place of this column, so that listing after it begins there.
fn first_of(column: ColumnId) -> PlaceKey {
    PlaceKey { column, object: ObjectId::LEAST, extent: 0, index: 0 }
}
