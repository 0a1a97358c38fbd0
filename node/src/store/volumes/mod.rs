//! The volumes of a node, as one store: directories on disks of their own, each of which fails alone.
//!
//! In comes the list of volumes ([`list`]), each with its [`identity`]; out comes [`Volumes`], which spreads columns
//! over those that are there. A new column goes to the volume with the most free space, and all of it is on that one:
//! bytes, index and places. So nothing is recorded of which column is where: each volume's index is asked. A volume
//! that is not there is not opened, and nothing is written at its path. Until a volume has been opened, which takes
//! long if it has many columns or lost its index, whatever may be on it is answered by [`StoreError::Opening`].
//!
//! Not here: how one volume stores columns ([`super::disk`]).

use std::{
    fmt::{self, Display},
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
    thread,
};

use bytes::Bytes;
use ostrakon_proto::{
    id::{ColumnId, NodeId, ObjectId},
    wire::put::{Taken, UploadId},
};
use serde::{Deserialize, Serialize};

pub use self::{
    identity::{IDENTITY_FILE, InvalidVolumeId, VolumeId, VolumeIdentity},
    list::{ListedVolume, STORE_DIR, VOLUMES_FILE, VolumeList, VolumeListError, VolumeProblem},
};
use super::{
    Around, ColumnInfo, Columns, Disk, DiskConfig, PLACES, Place, PlaceKey, PlaceState, ProvenRange, StoreError,
    StoredPlace, Usage,
};

mod drain;
mod identity;
mod list;
#[cfg(test)]
mod tests;
mod toml_file;

/// The volumes of a node.
#[derive(Debug)]
pub struct Volumes {
    volumes: Vec<Volume>,
    /// The node's data directory.
    dir: PathBuf,
    node: NodeId,
    config: DiskConfig,
    around: Around,
}

/// A volume of the list.
#[derive(Debug)]
struct Volume {
    listed: ListedVolume,
    path: PathBuf,
    /// Nothing until it has been opened.
    disk: OnceLock<Result<Disk, VolumeProblem>>,
    /// The last place that was moved off it, or tried, while it is drained.
    walked: Mutex<Option<PlaceKey>>,
}

/// What a volume does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeState {
    /// It is being opened: its index is read, or rebuilt.
    Opening,
    /// It serves columns, and takes new ones.
    Open,
    /// It serves columns, which are moved to other volumes.
    Draining,
    /// It serves columns; nothing is written to it until the node is restarted.
    ReadOnly,
    /// Its disk is not mounted.
    Missing,
    /// It cannot be opened.
    Failed,
}

impl Display for VolumeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opening => "opening",
            Self::Open => "open",
            Self::Draining => "draining",
            Self::ReadOnly => "read-only",
            Self::Missing => "missing",
            Self::Failed => "failed",
        })
    }
}

/// A volume, for its operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeStatus {
    /// The volume.
    pub id: VolumeId,
    /// Its directory.
    pub path: PathBuf,
    /// What it does.
    pub state: VolumeState,
    /// Why it is not open, and what to do.
    pub problem: Option<String>,
    /// Columns on it.
    pub columns: u64,
    /// Their bytes.
    pub used_bytes: u64,
    /// Bytes free for new ones.
    pub free_bytes: u64,
}

impl VolumeProblem {
    /// What a volume with this problem does.
    fn state(&self) -> VolumeState {
        match self {
            Self::Missing { .. } | Self::Other { .. } => VolumeState::Missing,
            _ => VolumeState::Failed,
        }
    }
}

impl ListedVolume {
    /// What it does when nothing is wrong with it.
    fn usual_state(&self) -> VolumeState {
        if self.draining { VolumeState::Draining } else { VolumeState::Open }
    }

    /// The volume while no node runs in `dir`, as far as that shows without opening it.
    pub fn status(&self, dir: &Path, node: &NodeId) -> VolumeStatus {
        let problem = self.find(dir, node).err();
        VolumeStatus {
            id: self.id,
            path: self.place(dir),
            state: problem.as_ref().map_or(self.usual_state(), VolumeProblem::state),
            problem: problem.map(|problem| problem.to_string()),
            columns: 0,
            used_bytes: 0,
            free_bytes: 0,
        }
    }
}

impl Volume {
    fn status(&self) -> VolumeStatus {
        let (state, problem) = match self.disk.get() {
            None => (VolumeState::Opening, Some(StoreError::Opening.to_string())),
            Some(Ok(disk)) => match disk.writable() {
                Ok(()) => (self.listed.usual_state(), self.when_drained(disk)),
                Err(error @ StoreError::Gone { .. }) => (VolumeState::Missing, Some(error.to_string())),
                Err(error) => (VolumeState::ReadOnly, Some(error.to_string())),
            },
            Some(Err(problem)) => (problem.state(), Some(problem.to_string())),
        };
        let Usage { columns, used_bytes, free_bytes, .. } = self.usage();
        VolumeStatus { id: self.listed.id, path: self.path.clone(), state, problem, columns, used_bytes, free_bytes }
    }

    fn opened(&self) -> Option<&Disk> {
        self.disk.get()?.as_ref().ok()
    }

    /// What to do once it is drained.
    fn when_drained(&self, disk: &Disk) -> Option<String> {
        let is_drained = self.listed.draining && disk.usage().columns == 0;
        is_drained.then(|| format!("it is empty: stop the node, then ostrakon-node volume remove {}", self.listed.id))
    }

    fn usage(&self) -> Usage {
        let usage = self.opened().map(Disk::usage).unwrap_or_default();
        // What takes nothing has no space free for it.
        if self.listed.draining { Usage { free_bytes: 0, ..usage } } else { usage }
    }
}

impl Volumes {
    /// Opens the volumes of the node with the data directory `dir`; those that cannot be opened are reported. At the
    /// first start there is one, which is created.
    ///
    /// # Errors
    /// [`VolumeListError`] when the list cannot be read.
    pub fn open(dir: &Path, node: &NodeId, config: DiskConfig, around: &Around) -> Result<Self, VolumeListError> {
        let volumes = Self::unopened(dir, node, config, around)?;
        volumes.open_all();
        Ok(volumes)
    }

    /// As [`Volumes::open`], but [`Volumes::open_all`] is yet to be called.
    ///
    /// # Errors
    /// [`VolumeListError`] when the list cannot be read.
    pub fn unopened(dir: &Path, node: &NodeId, config: DiskConfig, around: &Around) -> Result<Self, VolumeListError> {
        let list = VolumeList::of_node(dir, *node)?;
        let count = u64::try_from(list.volumes.len()).expect("a file's lines").max(1);
        let config = DiskConfig { held_bytes: config.held_bytes / count, ..config };
        let volume = |listed: ListedVolume| {
            let (path, disk, walked) = (listed.place(dir), OnceLock::new(), Mutex::default());
            Volume { listed, path, disk, walked }
        };
        let volumes = list.volumes.into_iter().map(volume).collect();
        Ok(Self { volumes, dir: dir.to_owned(), node: *node, config, around: around.clone() })
    }

    /// Opens the volumes, all at a time. It takes as long as the slowest; meanwhile each that is open serves.
    pub fn open_all(&self) {
        thread::scope(|scope| {
            for volume in &self.volumes {
                scope.spawn(|| volume.disk.get_or_init(|| self.open_one(volume)));
            }
        });
    }

    fn open_one(&self, Volume { listed, path, .. }: &Volume) -> Result<Disk, VolumeProblem> {
        let found = listed.find(&self.dir, &self.node);
        let opened = found.and_then(|place| Ok(Disk::open_beside(&place, self.config, self.around.clone())?));
        opened.inspect_err(
            |problem| tracing::warn!(volume = %listed.id, path = %path.display(), "volume is not used: {problem}"),
        )
    }

    /// Each volume, open or not.
    pub fn status(&self) -> Vec<VolumeStatus> {
        self.volumes.iter().map(Volume::status).collect()
    }

    fn disks(&self) -> impl Iterator<Item = &Disk> {
        self.volumes.iter().filter_map(Volume::opened)
    }

    /// The volume that an upload is on.
    fn of_upload(&self, upload: &UploadId) -> Option<&Disk> {
        self.disks().find(|disk| disk.has_upload(upload))
    }

    /// Why something that no open volume has may be here nevertheless, if that is so.
    fn unknown(&self) -> Option<StoreError> {
        let is_opening = self.is_opening().then_some(StoreError::Opening);
        is_opening.or_else(|| (self.disks().count() < self.volumes.len()).then_some(StoreError::Unavailable))
    }

    /// Fails until all volumes have been opened.
    fn all_opened(&self) -> Result<(), StoreError> {
        if self.is_opening() { Err(StoreError::Opening) } else { Ok(()) }
    }

    /// What the volumes answer that have it, in their order. One that fails does not count unless no other has it.
    fn ask<'a, T>(
        &'a self,
        ask: impl Fn(&'a Disk) -> Result<Option<T>, StoreError> + 'a,
    ) -> impl Iterator<Item = Result<T, StoreError>> {
        let mut failed = self.unknown();
        let mut found = false;
        let answers = self.disks().map(ask).map(Some).chain([None]);
        answers.filter_map(move |answer| match answer {
            Some(Ok(answer)) => {
                found |= answer.is_some();
                answer.map(Ok)
            }
            Some(Err(error)) => {
                failed = Some(error);
                None
            }
            None => failed.take().filter(|_| !found).map(Err),
        })
    }
}

/// Nothing, where a column or place is not stored.
fn stored<T>(answer: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match answer {
        Err(StoreError::NotFound { .. }) => Ok(None),
        answer => answer.map(Some),
    }
}

/// What is known of a column that is on two volumes, as it is when a volume was missing for some time.
fn merge(mut one: ColumnInfo, other: ColumnInfo) -> ColumnInfo {
    one.tokens.extend(other.tokens);
    one.tokens.truncate(PLACES);
    one.damaged &= other.damaged;
    one
}

impl Columns for Volumes {
    fn begin(&self, upload: UploadId, reserve: u64) -> Result<Taken, StoreError> {
        // It may be stored already, where that is not known yet.
        self.all_opened()?;
        self.of_upload(&upload).or_else(|| self.roomiest()).ok_or(StoreError::NoVolume)?.begin(upload, reserve)
    }

    fn write(&self, upload: UploadId, offset: u64, bytes: Bytes) -> Result<u64, StoreError> {
        self.of_upload(&upload).ok_or(StoreError::UnknownUpload)?.write(upload, offset, bytes)
    }

    fn finish(&self, upload: UploadId, place: Place, manifest: Bytes) -> Result<(), StoreError> {
        let known = self.disks().find(|disk| disk.renews(&place.key()));
        let stored = match known.or_else(|| self.of_upload(&upload)) {
            Some(disk) => disk.finish(upload, place, manifest),
            None => Err(StoreError::UnknownUpload),
        };
        self.abort(upload);
        stored
    }

    fn abort(&self, upload: UploadId) {
        self.disks().for_each(|disk| disk.abort(upload));
    }

    fn column(&self, id: &ColumnId) -> Result<Option<ColumnInfo>, StoreError> {
        let infos = self.ask(|disk| disk.column(id)).collect::<Result<Vec<_>, _>>()?;
        Ok(infos.into_iter().reduce(merge))
    }

    fn read(&self, id: &ColumnId, start: u64, length: u32) -> Result<ProvenRange, StoreError> {
        let first = self.ask(|disk| stored(disk.read(id, start, length))).next();
        first.unwrap_or(Err(StoreError::NotFound { column: *id }))
    }

    fn manifest(&self, object: &ObjectId) -> Result<Option<Bytes>, StoreError> {
        self.ask(|disk| disk.manifest(object)).next().transpose()
    }

    fn places(&self, after: Option<PlaceKey>, limit: usize) -> Result<Vec<StoredPlace>, StoreError> {
        self.all_opened()?;
        let page = |disk: &Disk| {
            let page = disk.places(after, limit);
            // Once in each walk.
            let is_first = after.is_none();
            page.map(Some).inspect_err(|error| {
                if is_first {
                    tracing::error!(%error, "cannot list the columns of a volume; continuing with the others");
                }
            })
        };
        let pages = self.ask(page).collect::<Result<Vec<_>, _>>()?;
        let mut places: Vec<StoredPlace> = pages.into_iter().flatten().collect();
        // Of a place that is on two volumes, the one that is not committed yet is what needs a change.
        places.sort_by_key(|stored| (stored.place.key(), stored.state == PlaceState::Committed));
        places.dedup_by_key(|stored| stored.place.key());
        places.truncate(limit);
        Ok(places)
    }

    fn set_state(&self, place: &PlaceKey, state: PlaceState) -> Result<(), StoreError> {
        let set = self.ask(|disk| stored(disk.set_state(place, state)));
        let column = place.column;
        set.reduce(Result::and).unwrap_or(Err(StoreError::NotFound { column }))
    }

    fn purge(&self, place: &PlaceKey, state: PlaceState) -> Result<bool, StoreError> {
        self.all_opened()?;
        let purged = self.ask(|disk| disk.purge(place, state).map(Some));
        purged.reduce(|one, other| Ok(one? & other?)).unwrap_or(Ok(true))
    }

    fn compact(&self) -> bool {
        self.disks().fold(self.drain_some(), |more, disk| more | disk.compact())
    }

    fn scrub_column(&self, id: &ColumnId) -> Result<(), StoreError> {
        let scrubbed = self.ask(|disk| stored(disk.scrub_column(id)));
        scrubbed.reduce(Result::and).unwrap_or(Err(StoreError::NotFound { column: *id }))
    }

    fn is_opening(&self) -> bool {
        self.volumes.iter().any(|volume| volume.disk.get().is_none())
    }

    fn usage(&self) -> Usage {
        self.volumes.iter().map(Volume::usage).fold(Usage::default(), Usage::plus)
    }
}
