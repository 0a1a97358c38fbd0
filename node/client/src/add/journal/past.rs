//! What an unfinished add had done when it ended, as its journal says; nothing else is read here.

use std::{collections::BTreeMap, fs::File, io};

use ostrakon_proto::{
    id::{Amount, ColumnId, NodeId, ObjectId},
    params::Code,
    placement::Draw,
    sign::Signature,
    wire::put::UploadId,
};

use super::{
    super::hash::Whole,
    record::{Frames, Record},
};

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    pub(crate) extents: BTreeMap<u32, PastExtent>,
    /// The object, once all its rows were known.
    pub(crate) object: Option<ObjectId>,
    /// The hash of the rows that are known, where the object is public.
    pub(crate) hash: Whole,
    /// Rows that are known.
    pub(crate) rows: u64,
}

/// One extent.
#[derive(Clone, Debug, Default)]
pub(crate) struct PastExtent {
    /// The newest draw, and what it was made by.
    pub(crate) placed: Option<(Draw, [u8; 32])>,
    /// Every upload that was started, of any draw; the one that was asked for last comes last.
    pub(crate) uploads: Vec<PastUpload>,
    /// Rows whose values are known: these are its first.
    pub(crate) rows: u32,
    /// Where the first of them is in the journal.
    pub(super) rows_at: u64,
    /// Its columns, once all its rows were known.
    pub(crate) columns: Option<Vec<ColumnId>>,
}

/// One upload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PastUpload {
    pub(crate) index: u8,
    pub(crate) provider: NodeId,
    pub(crate) id: UploadId,
    pub(crate) draw: Draw,
    /// What the provider asks for a GiB and an epoch.
    pub(crate) ask: Amount,
    /// Once it is stored.
    pub(crate) receipt: Option<Signature>,
}

impl Past {
    /// Reads from `at` on until whole records end; gives where that is.
    pub(super) fn read(file: &File, at: u64, code: Code) -> io::Result<(Self, u64)> {
        let (mut past, mut frames) = (Self::default(), Frames::new(file, at));
        let mut last = at;
        while let Some(record) = frames.next::<Record>()? {
            // What contradicts the records before it is as good as damaged.
            if past.note(record, last, code).is_none() {
                return Ok((past, last));
            }
            last = frames.at();
        }
        Ok((past, last))
    }

    /// Adds one record, which is at `at` in the journal.
    fn note(&mut self, record: Record, at: u64, code: Code) -> Option<()> {
        match record {
            Record::Placed { extent, draw, randomness } => {
                self.extents.entry(extent).or_default().placed = Some((draw, randomness));
            }
            Record::Upload { extent, index, provider, id, ask } => {
                let extent = self.extents.get_mut(&extent)?;
                let (draw, _) = extent.placed.filter(|_| index < code.n)?;
                let before = extent.uploads.iter().position(|upload| upload.id == id);
                let receipt = before.and_then(|at| extent.uploads.remove(at).receipt);
                extent.uploads.push(PastUpload { index, provider, id, draw, ask, receipt });
            }
            Record::Row { extent, row, nodes } => {
                let extent = self.extents.get_mut(&extent).filter(|extent| extent.rows == row)?;
                let parts = nodes.get(usize::from(code.n)..)?;
                parts.iter().for_each(|part| self.hash.push(*part));
                if row == 0 {
                    extent.rows_at = at;
                }
                extent.rows += 1;
                self.rows += 1;
            }
            Record::Sent { extent, columns } => {
                let extent = self.extents.get_mut(&extent)?;
                extent.columns = Some(columns).filter(|columns| columns.len() == usize::from(code.n));
            }
            Record::Listed { object } => self.object = Some(object),
            Record::Receipt { extent, id, signature } => {
                let mut uploads = self.extents.get_mut(&extent)?.uploads.iter_mut();
                uploads.find(|upload| upload.id == id)?.receipt = Some(signature);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::id::Epoch;

    use super::*;

    /// It is the newest then, with what its holder signed.
    #[test]
    fn an_upload_that_is_asked_for_again_counts_once() {
        let (code, mut past) = (Code { k: 1, n: 3 }, Past::default());
        let upload = |holder: u8| Record::Upload {
            extent: 0,
            index: 2,
            provider: NodeId::new([holder; 32]),
            id: UploadId([holder; 16]),
            ask: Amount(1),
        };
        let signature = Signature([5; 64]);
        let records = [
            Record::Placed { extent: 0, draw: Draw { epoch: Epoch(1), number: 0 }, randomness: [0; 32] },
            upload(1),
            Record::Receipt { extent: 0, id: UploadId([1; 16]), signature },
            upload(2),
            upload(1),
        ];
        assert!(records.into_iter().all(|record| past.note(record, 0, code).is_some()));
        let uploads = &past.extents[&0].uploads;
        assert_eq!(uploads.iter().map(|upload| upload.id.0[0]).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(uploads.iter().map(|upload| upload.receipt).collect::<Vec<_>>(), [None, Some(signature)]);
    }
}
