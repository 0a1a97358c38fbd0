//! Startup: counts what the index names, and adds what is on disk without an entry.
//!
//! After a clean stop or a crash nothing is missing in the index, except a column that was complete and not yet
//! acknowledged. A lost or damaged index is rebuilt in the same way: from the headers of files, which are complete if
//! they have their name, and from the records of packs, each of which is hashed. Places are temporary then, until
//! retention has checked the ledger.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use ostrakon_proto::{id::ColumnId, manifest::Manifest};

use super::super::{PlaceState, StoreError, StoredPlace, Usage};
use super::{
    OpenError, files,
    index::{self, Batch, ColumnRecord, Durability, Index, Location, Piece, PlaceRecord},
    packs::{self, PackUse},
    record::{Header, RecordKind},
    volume::{Volume, failed},
};

/// What the index names.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Columns and places, counted.
    pub(super) usage: Usage,
    /// The use of the packs.
    pub(super) packs: BTreeMap<u32, PackUse>,
}

/// Why the index does not name a column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strays {
    /// The index is intact: the column was never acknowledged, and may not be durable. So it is made durable.
    Unacknowledged,
    /// The index is lost: the column was stored.
    Lost,
}

/// Adds columns of one store to its index.
struct Intake<'a> {
    volume: &'a Volume,
    index: &'a Index,
    strays: Strays,
    found: usize,
}

/// The complete index, and what it names.
pub(super) fn recover(volume: &Arc<Volume>) -> Result<(Index, Tally), OpenError> {
    let is_new = !index::exists(volume);
    if let Some(index) = Index::open(volume)? {
        match count(&index) {
            Ok(tally) => return settle(volume, index, tally, Strays::Unacknowledged),
            Err(StoreError::Index { source }) if !index::is_loss(&source) => return Err(OpenError::Index(source)),
            Err(StoreError::Index { .. } | StoreError::BadRecord) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !is_new {
        tracing::warn!("store index is lost; rebuilding it from the stored columns");
    }
    settle(volume, Index::create(volume)?, Tally::default(), Strays::Lost)
}

/// Adds what the index does not name, and marks it as complete.
fn settle(volume: &Volume, index: Index, tally: Tally, strays: Strays) -> Result<(Index, Tally), OpenError> {
    let mut intake = Intake { volume, index: &index, strays, found: 0 };
    intake.files()?;
    intake.packs(&tally)?;
    let found = intake.found;
    index.complete()?;
    let tally = if found > 0 { count(&index)? } else { tally };
    if found > 0 {
        tracing::info!(found, "indexed columns that the store index did not name");
    }
    drop_empty_packs(volume, &tally)?;
    Ok((index, tally))
}

fn count(index: &Index) -> Result<Tally, StoreError> {
    let mut tally = Tally::default();
    for entry in index.columns() {
        let (_, record) = entry?;
        tally.usage.columns += 1;
        tally.usage.used_bytes += record.column_len;
        if let Location::Pack(piece) = record.location {
            tally.packs.entry(piece.pack).or_default().add(&piece);
        }
    }
    for entry in index.places(None) {
        let (key, record) = entry?;
        tally.usage.count_in(&record.stored(&key));
        if let Some(piece) = record.note {
            tally.packs.entry(piece.pack).or_default().add(&piece);
        }
    }
    Ok(tally)
}

impl Intake<'_> {
    /// Adds column files without an entry.
    fn files(&mut self) -> Result<(), StoreError> {
        let in_dir = |error| failed(&self.volume.path("columns"), error);
        for entry in files::named(self.volume).map_err(in_dir)? {
            let (id, path) = entry.map_err(in_dir)?;
            if self.index.column(&id)?.is_some() {
                continue;
            }
            match self.whole_file(&id, &path)? {
                Some((header, manifest)) => self.column(&header, Location::File, &manifest)?,
                None => tracing::warn!(path = %path.display(), "incomplete column file; ignored and not served"),
            }
        }
        Ok(())
    }

    fn whole_file(&self, id: &ColumnId, path: &Path) -> Result<Option<(Header, Vec<u8>)>, StoreError> {
        let Some((header, manifest)) = files::inspect(path, id).map_err(|error| failed(path, error))? else {
            return Ok(None);
        };
        let its_own = header.kind == RecordKind::Column && Manifest::object_id(&manifest) == header.place.object;
        let whole = its_own && (self.strays == Strays::Lost || files::refresh(self.volume, path, &header)?);
        Ok(whole.then_some((header, manifest)))
    }

    /// Adds the records after the last one that the index names, and those of packs that it does not name.
    fn packs(&mut self, tally: &Tally) -> Result<(), StoreError> {
        let last = tally.packs.last_key_value().map(|(number, _)| *number);
        let mut notes = Vec::new();
        for number in packs::numbers(self.volume).map_err(|error| failed(&self.volume.path("packs"), error))? {
            let from = match tally.packs.get(&number) {
                Some(used) if Some(number) == last => used.end,
                Some(_) => continue,
                None => 0,
            };
            if self.strays == Strays::Unacknowledged {
                packs::scan(self.volume, number, from, |piece, _| packs::refresh(self.volume, &piece))?;
            }
            packs::settle(self.volume, number)?;
            packs::scan(self.volume, number, from, |piece, header| self.record(&piece, header, &mut notes))?;
        }
        // A note may precede the column that it is about: columns move.
        notes.into_iter().try_for_each(|(header, piece)| self.note(&header, piece))
    }

    fn record(&mut self, piece: &Piece, header: Header, notes: &mut Vec<(Header, Piece)>) -> Result<(), StoreError> {
        let Some(manifest) = packs::verify(self.volume, piece, &header)? else { return Ok(()) };
        match header.kind {
            RecordKind::Column => self.column(&header, Location::Pack(*piece), &manifest),
            RecordKind::Note => {
                notes.push((header, *piece));
                Ok(())
            }
        }
    }

    fn column(&mut self, header: &Header, location: Location, manifest: &[u8]) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        // The first copy found is used; a second one is left over from a move or an interrupted deletion.
        if self.index.column(&header.place.column)?.is_none() {
            let column_len = header.place.column_len;
            batch.put_column(&header.place.column, &ColumnRecord { column_len, location, damaged: false });
        }
        self.place(batch, header, None, manifest)
    }

    fn note(&mut self, header: &Header, piece: Piece) -> Result<(), StoreError> {
        match (packs::verify(self.volume, &piece, header)?, self.index.column(&header.place.column)?) {
            (Some(manifest), Some(_)) => self.place(Batch::default(), header, Some(piece), &manifest),
            _ => Ok(()),
        }
    }

    /// Adds a place, unless one that expires later is known already.
    fn place(
        &mut self,
        mut batch: Batch,
        header: &Header,
        note: Option<Piece>,
        manifest: &[u8],
    ) -> Result<(), StoreError> {
        let key = header.place.key();
        let known = self.index.place(&key)?;
        if known.is_none_or(|known| known.expires < header.place.expires) {
            let state = known.map_or(PlaceState::Temporary { expires: header.place.expires }, |known| {
                known.stored(&key).renewed(header.place.expires).state
            });
            batch.put_place(&key, &PlaceRecord::new(&StoredPlace { place: header.place, state }, note));
        }
        if !self.index.has_manifest(&key.object)? {
            batch.put_manifest(&key.object, manifest);
        }
        self.found += 1;
        self.index.commit(batch, Durability::Unsynced)
    }
}

fn drop_empty_packs(volume: &Volume, tally: &Tally) -> Result<(), StoreError> {
    for number in packs::numbers(volume).map_err(|error| failed(&volume.path("packs"), error))? {
        if !tally.packs.contains_key(&number) {
            let path = packs::path_of(volume, number);
            fs::remove_file(&path).map_err(|error| failed(&path, error))?;
        }
    }
    Ok(())
}
