//! Moving columns off a volume that is to be taken away, place by place, while the node serves all of them.
//!
//! A place is stored on another volume, durably and with its state, and only then deleted here: at any instant one of
//! the two has it, and [`Volumes`] takes what both have for one. What is damaged, or fits nowhere, stays where it is
//! until the next walk. Not here: repair of what is damaged.

use std::{io, sync::Arc};

use ostrakon_net::lock;
use ostrakon_proto::wire::put::UploadId;

use super::{Columns, Disk, Place, StoreError, StoredPlace, Volume, Volumes};

/// Places of a step, and bytes of columns after which it ends: the worker that does it serves requests as well.
const PLACES: usize = 64;
const BYTES: u64 = 16 << 20;
/// Bytes read at a time: [`ostrakon_proto::limits::CHUNK`].
const CHUNK: u32 = 256 * 1024;

impl Volumes {
    /// Moves some places off the volumes that are being drained; whether there may be more to move.
    pub(super) fn drain_some(&self) -> bool {
        let draining = self.volumes.iter().filter(|volume| volume.listed.draining);
        draining.fold(false, |more, volume| more | volume.opened().is_some_and(|from| self.move_some(volume, from)))
    }

    /// The volumes that take new columns.
    fn takers(&self) -> impl Iterator<Item = &Disk> {
        let taking = self.volumes.iter().filter(|volume| !volume.listed.draining);
        taking.filter_map(Volume::opened).filter(|disk| disk.writable().is_ok())
    }

    /// The one of these with the most space.
    pub(super) fn roomiest(&self) -> Option<&Disk> {
        self.takers().max_by_key(|disk| disk.usage().free_bytes)
    }

    /// Continues the walk over a volume; false at its end, or where it makes no sense to continue.
    fn move_some(&self, volume: &Volume, from: &Disk) -> bool {
        let after = lock(&volume.walked).take();
        let page = from.writable().and_then(|()| from.places(after, PLACES));
        let page = match page {
            Ok(page) => page,
            Err(error) => return warn(volume, &error),
        };
        let mut bytes = 0;
        for stored in &page {
            match self.move_place(from, stored) {
                Ok(()) => {}
                Err(error @ (StoreError::Full { .. } | StoreError::NoVolume)) => return warn(volume, &error),
                Err(error) => _ = warn(volume, &error),
            }
            *lock(&volume.walked) = Some(stored.place.key());
            bytes += stored.place.column_len;
            if bytes >= BYTES {
                break;
            }
        }
        !page.is_empty()
    }

    /// Stores a place on another volume, and deletes it here.
    fn move_place(&self, from: &Disk, StoredPlace { place, state }: &StoredPlace) -> Result<(), StoreError> {
        let key = place.key();
        let (manifest, upload) = (from.manifest(&place.object)?, UploadId(random()?));
        let manifest = manifest.ok_or(StoreError::NotFound { column: key.column })?;
        let to = match self.takers().find(|disk| disk.renews(&key)) {
            // It is about to be the only copy.
            Some(to) => to.scrub_column(&key.column).map(|()| to)?,
            None => {
                let to = self.roomiest().ok_or(StoreError::NoVolume)?;
                send(from, to, (upload, place))?;
                to
            }
        };
        if let Err(error) = to.finish(upload, *place, manifest) {
            // Where it is damaged here, that is recorded, so that it is repaired from other holders.
            return from.scrub_column(&key.column).and(Err(error));
        }
        to.adopt(place, *state)?;
        // If its state has changed since, it is deleted in the next walk.
        from.purge(&key, *state).map(drop)
    }
}

/// Sends the column of a place to another disk.
fn send(from: &Disk, to: &Disk, (upload, place): (UploadId, &Place)) -> Result<(), StoreError> {
    let mut next = to.begin(upload, place.column_len)?.next;
    while next < place.column_len {
        let range = from.read(&place.column, next, CHUNK).inspect_err(|_| to.abort(upload))?;
        next = to.write(upload, next, range.bytes)?;
    }
    Ok(())
}

fn random() -> Result<[u8; 16], StoreError> {
    let mut bytes = [0; 16];
    let filled = getrandom::fill(&mut bytes).map_err(io::Error::other);
    filled.map_err(|source| StoreError::Io { path: "/dev/urandom".into(), source: Arc::new(source) })?;
    Ok(bytes)
}

/// Tells the operator why something stays; false, for the caller to give up.
fn warn(volume: &Volume, error: &StoreError) -> bool {
    tracing::warn!(volume = %volume.listed.id, "cannot move a column off this volume, which is being drained: {error}");
    false
}
