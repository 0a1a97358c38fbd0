//! Merges runs of a bucket's index into one, while the bucket is used: an object of its own, which a later batch puts
//! in their place.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use ostrakon_proto::bucket::{self, Blob, Place, Run, RunWriter, WrittenRun};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::{
    BucketError,
    change::Change,
    index::{Distance, Index, View},
};

/// Bytes between who merges and who stores.
const PIPE: usize = 1024 * 1024;

/// Runs that follow each other and are to be merged.
pub(super) struct Due {
    runs: Vec<Run>,
    /// The level of the merged run.
    level: u8,
    /// Whether no older ones follow.
    is_last: bool,
}

/// What is due: of the newest level batches take care themselves.
pub(super) fn due(view: &View) -> Option<Due> {
    let range = bucket::due(&view.head)?;
    let level = view.head.runs[range.start].level;
    (level > 0).then(|| of(view, range, level.saturating_add(1)))
}

/// The newest runs that are in these objects of the network, to be written again elsewhere. Of the newest level all
/// older ones are merged with them, to the next level: the batch that takes the merged run reads those of the newest,
/// and cannot read what it commits itself.
pub(super) fn in_objects(view: &View, objects: &BTreeSet<Blob>) -> Option<Due> {
    let runs = &view.head.runs;
    let is_in = |run: &Run| run.blob.is_some_and(|blob| objects.contains(&blob));
    let start = runs.iter().position(is_in)?;
    let end = start + runs[start..].iter().take_while(|run| is_in(run) || run.level == 0).count();
    Some(of(view, start..end, runs[end - 1].level.max(1)))
}

fn of(view: &View, range: Range<usize>, level: u8) -> Due {
    Due { level, is_last: range.end == view.head.runs.len(), runs: view.head.runs[range].to_vec() }
}

/// The change that puts one run in the place of these.
pub(super) async fn merged(index: &Arc<Index>, due: Due) -> Result<Change, BucketError> {
    let (read, write) = duplex(PIPE);
    let salt = index.depot.random();
    let (level, replaced) = (due.level, due.runs.clone());
    let storing = index.depot.store(Box::pin(read), None, index.secret.blob_key(&salt));
    let (stored, written) = futures::join!(storing, write_run(index, due, write));
    let run = written?.map(|WrittenRun { root, entries, bytes }| Run { blob: None, root, entries, bytes, level });
    let new = run.is_some().then_some((Arc::new(stored?), salt));
    Ok(Change::Merge { replaced, run, new })
}

async fn write_run(
    index: &Index,
    Due { runs, is_last, .. }: Due,
    mut to: DuplexStream,
) -> Result<Option<WrittenRun>, BucketError> {
    let (mut walk, mut writer, mut out) =
        (index.walk(&runs, &Place::first(), Distance::Far).await?, RunWriter::new(0), Vec::new());
    while let Some(entry) = walk.next().await? {
        if is_last && entry.value.is_none() {
            continue;
        }
        writer.push(entry, &mut out)?;
        send(&mut out, &mut to).await?;
    }
    let run = writer.finish(&mut out);
    send(&mut out, &mut to).await?;
    Ok(run)
}

async fn send(out: &mut Vec<u8>, to: &mut DuplexStream) -> Result<(), BucketError> {
    let sent = to.write_all(out).await;
    out.clear();
    // Who stores has failed, and says why.
    sent.map_err(|_| BucketError::Unavailable("the merged run could not be stored".to_owned()))
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::{
        bucket::{BucketHead, IndexRef},
        id::ObjectId,
    };

    use super::*;

    #[test]
    fn runs_that_are_moved_keep_the_levels_in_order() {
        let blob = |number: u8| Blob { object: ObjectId::new([number; 32]), salt: [0; 16] };
        let run = |(number, level): (u8, &u8)| Run {
            blob: Some(blob(number)),
            root: IndexRef { offset: 0, length: 9 },
            entries: 1,
            bytes: 9,
            level: *level,
        };
        let check = |levels: &[u8], sparse: &[u8], expect: Option<(Range<usize>, u8)>| {
            let runs: Vec<Run> = (0..).zip(levels).map(run).collect();
            let head = BucketHead { runs: runs.clone(), ..BucketHead::default() };
            let view = View { head, ..View::default() };
            let due = in_objects(&view, &sparse.iter().map(|number| blob(*number)).collect());
            let due = due.map(|due| (due.runs, due.level));
            assert_eq!(due, expect.map(|(range, level)| (runs[range].to_vec(), level)), "{levels:?} {sparse:?}");
        };
        check(&[0, 0, 0, 1], &[1], Some((1..3, 1)));
        check(&[0, 0, 0, 1, 1], &[1, 3], Some((1..4, 1)));
        check(&[0, 1, 1, 2], &[2], Some((2..3, 1)));
        check(&[0, 1, 2, 2], &[1, 2], Some((1..3, 2)));
        check(&[0, 1], &[], None);
    }
}
