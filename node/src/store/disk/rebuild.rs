//! Starting: takes stock of what the index names, and takes in what lies there without it.
//!
//! After a clean stop or a crash there is nothing to take in, but for a column that was complete and not yet
//! acknowledged. When the index is lost or damaged, all of it is built anew in the same way: from the headers of files,
//! which are complete if they have their name, and from the records of packs, each of which is hashed. Places are
//! temporary then, until retention has asked the ledger.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use ostrakon_proto::{id::ColumnId, manifest::Manifest};

use super::super::{PlaceState, StoreError, StoredPlace, Usage};
use super::{
    OpenError, files,
    index::{self, Batch, ColumnRecord, Index, Piece, PlaceRecord, Spot, Sync},
    packs::{self, PackUse},
    record::{Header, Kind},
    volume::{Volume, failed},
};

/// What the index names.
#[derive(Debug, Default)]
pub(super) struct Stock {
    /// Columns and places, counted.
    pub(super) usage: Usage,
    /// How the packs are used.
    pub(super) packs: BTreeMap<u32, PackUse>,
}

/// What to think of columns that the index does not name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strays {
    /// The index is whole: nobody was told that they are durable, and they may not be. So they are made durable.
    Unacknowledged,
    /// The index is lost: they are what was stored.
    Lost,
}

/// Takes in one store's columns.
struct Intake<'a> {
    volume: &'a Volume,
    index: &'a Index,
    strays: Strays,
    found: usize,
}

/// The index, complete, and what it names.
pub(super) fn recover(volume: &Arc<Volume>) -> Result<(Index, Stock), OpenError> {
    let is_new = !index::exists(volume);
    if let Some(index) = Index::open(volume)? {
        match take_stock(&index) {
            Ok(stock) => return settle(volume, index, stock, Strays::Unacknowledged),
            Err(StoreError::Index { source }) if !index::is_loss(&source) => return Err(OpenError::Index(source)),
            Err(StoreError::Index { .. } | StoreError::BadRecord) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !is_new {
        tracing::warn!("store index is lost: it is built anew from columns");
    }
    settle(volume, Index::create(volume)?, Stock::default(), Strays::Lost)
}

/// Takes in what the index does not name, and says that it is complete.
fn settle(volume: &Volume, index: Index, stock: Stock, strays: Strays) -> Result<(Index, Stock), OpenError> {
    let mut intake = Intake { volume, index: &index, strays, found: 0 };
    intake.files()?;
    intake.packs(&stock)?;
    let found = intake.found;
    index.complete()?;
    let stock = if found > 0 { take_stock(&index)? } else { stock };
    if found > 0 {
        tracing::info!(found, "took in columns that the index did not name");
    }
    drop_empty_packs(volume, &stock)?;
    Ok((index, stock))
}

fn take_stock(index: &Index) -> Result<Stock, StoreError> {
    let mut stock = Stock::default();
    for entry in index.columns() {
        let (_, record) = entry?;
        stock.usage.columns += 1;
        stock.usage.used_bytes += record.column_len;
        if let Spot::Pack(piece) = record.spot {
            stock.packs.entry(piece.pack).or_default().add(&piece);
        }
    }
    for entry in index.places(None) {
        let (key, record) = entry?;
        stock.usage.count_in(&record.stored(&key));
        if let Some(piece) = record.note {
            stock.packs.entry(piece.pack).or_default().add(&piece);
        }
    }
    Ok(stock)
}

impl Intake<'_> {
    /// Takes in column files without an entry.
    fn files(&mut self) -> Result<(), StoreError> {
        let in_dir = |error| failed(&self.volume.path("columns"), error);
        for entry in files::named(self.volume).map_err(in_dir)? {
            let (id, path) = entry.map_err(in_dir)?;
            if self.index.column(&id)?.is_some() {
                continue;
            }
            match self.whole_file(&id, &path)? {
                Some((header, manifest)) => self.column(&header, Spot::File, &manifest)?,
                None => tracing::warn!(path = %path.display(), "not a whole column: left alone, and not served"),
            }
        }
        Ok(())
    }

    fn whole_file(&self, id: &ColumnId, path: &Path) -> Result<Option<(Header, Vec<u8>)>, StoreError> {
        let Some((header, manifest)) = files::inspect(path, id).map_err(|error| failed(path, error))? else {
            return Ok(None);
        };
        let its_own = header.kind == Kind::Column && Manifest::object_id(&manifest) == header.place.object;
        let whole = its_own && (self.strays == Strays::Lost || files::refresh(self.volume, path, &header)?);
        Ok(whole.then_some((header, manifest)))
    }

    /// Takes in records behind the last one that the index names, and all of packs that it names nothing of.
    fn packs(&mut self, stock: &Stock) -> Result<(), StoreError> {
        let last = stock.packs.last_key_value().map(|(number, _)| *number);
        let mut notes = Vec::new();
        for number in packs::numbers(self.volume).map_err(|error| failed(&self.volume.path("packs"), error))? {
            let from = match stock.packs.get(&number) {
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
        // A note may come before the column that it is about: columns move.
        notes.into_iter().try_for_each(|(header, piece)| self.note(&header, piece))
    }

    fn record(&mut self, piece: &Piece, header: Header, notes: &mut Vec<(Header, Piece)>) -> Result<(), StoreError> {
        let Some(manifest) = packs::verify(self.volume, piece, &header)? else { return Ok(()) };
        match header.kind {
            Kind::Column => self.column(&header, Spot::Pack(*piece), &manifest),
            Kind::Note => {
                notes.push((header, *piece));
                Ok(())
            }
        }
    }

    fn column(&mut self, header: &Header, spot: Spot, manifest: &[u8]) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        // The first one found serves; a second copy is what a move or an unfinished purge left behind.
        if self.index.column(&header.place.column)?.is_none() {
            let column_len = header.place.column_len;
            batch.put_column(&header.place.column, &ColumnRecord { column_len, spot, damaged: false });
        }
        self.place(batch, header, None, manifest)
    }

    fn note(&mut self, header: &Header, piece: Piece) -> Result<(), StoreError> {
        match (packs::verify(self.volume, &piece, header)?, self.index.column(&header.place.column)?) {
            (Some(manifest), Some(_)) => self.place(Batch::default(), header, Some(piece), &manifest),
            _ => Ok(()),
        }
    }

    /// Takes a place in, unless one that expires later is known already.
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
        self.index.commit(batch, Sync::Later)
    }
}

fn drop_empty_packs(volume: &Volume, stock: &Stock) -> Result<(), StoreError> {
    for number in packs::numbers(volume).map_err(|error| failed(&volume.path("packs"), error))? {
        if !stock.packs.contains_key(&number) {
            let path = packs::path_of(volume, number);
            fs::remove_file(&path).map_err(|error| failed(&path, error))?;
        }
    }
    Ok(())
}
