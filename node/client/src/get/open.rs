//! From a link to columns: finds the object on the ledger, gets its manifest from any holder, and checks the key.

use std::{collections::BTreeSet, future::ready, num::NonZeroUsize, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{
    StreamExt,
    future::{Either, TryFutureExt, join_all, select, try_join},
    stream::{self, FuturesUnordered},
};
use ostrakon_net::{AskError, Failure, ask};
use ostrakon_proto::{
    id::{ColumnId, NodeId, ObjectId},
    layout::{Layout, RowId},
    ledger::state::{Commitment, SlotState},
    link::Link,
    manifest::{Content, Extent, Manifest, ManifestError, Protection},
    seal::{ObjectKey, Sealer},
    wire::{self, get::ReadAccess},
};
use tokio::{
    sync::{Mutex, OnceCell},
    time::sleep,
};

use super::{
    GetError,
    columns::{ColumnKey, Columns, ExtentInfo, Holder, Wires},
};
use crate::{Chain, Client, ErrorKind, RateLimit, chain::ChainError};

/// Holders that are asked for the manifest concurrently at first.
const ASKED: usize = 3;
/// Holders whose copies are checked concurrently.
const CHECKED: usize = 8;
/// After this long without a manifest one more holder is asked.
const ASK_NEXT: Duration = Duration::from_millis(300);
/// How often one row may have the ledger asked for other holders.
const LOOKUPS: usize = 3;

/// A row's chunks, by the index of their column.
type RowChunks = Vec<Option<Bytes>>;

/// Why an object cannot be read at all.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The ledger cannot be reached, or does not list the object.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// No holder sent the manifest.
    #[error("none of the {asked} holders of object {object} sent its manifest (the last one: {last}): try again later")]
    NoManifest {
        /// The object.
        object: ObjectId,
        /// Holders that were asked.
        asked: usize,
        /// Why the last one did not.
        last: String,
    },
    /// The manifest is the object's and breaks the format's rules: its owner added it so.
    #[error("the manifest of object {object} was invalid when it was added, and cannot be read: {error}")]
    BadManifest {
        /// The object.
        object: ObjectId,
        /// The rule that it breaks.
        error: ManifestError,
    },
    /// A private object was named without its key.
    #[error("object {0} is private, and the link has no key: use the whole link, ostrakon:<cid>#<key>")]
    KeyMissing(ObjectId),
    /// The key is of another object.
    #[error("the key in the link does not decrypt object {0}: check that the link is complete and unchanged")]
    WrongKey(ObjectId),
}

impl OpenError {
    /// What it means for the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Chain(error) => error.kind(),
            Self::NoManifest { .. } => ErrorKind::Network,
            Self::BadManifest { .. } | Self::WrongKey(_) => ErrorKind::Integrity,
            Self::KeyMissing(_) => ErrorKind::Usage,
        }
    }
}

/// An object that can be read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) object: ObjectId,
    pub(crate) content: Content,
    pub(crate) manifest: Manifest,
    /// The nodes that should have a copy of the manifest.
    holders: Vec<NodeId>,
    pub(crate) layout: Layout,
    pub(crate) sealer: Option<Arc<Sealer>>,
    pub(crate) extents: Vec<OpenExtent>,
    pub(crate) limits: ReadLimits,
    chain: Chain,
    /// How often the holders were looked up again.
    lookups: Mutex<u64>,
}

/// How fast an object is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadLimits {
    /// Rows in flight at most; the default when `None`.
    pub(crate) rows: Option<NonZeroUsize>,
    pub(crate) rate: Option<RateLimit>,
}

impl Opened {
    /// Waits until the download limit, if there is one, lets so many bytes of columns be requested.
    pub(crate) async fn wait_for_turn(&self, bytes: usize) {
        if let Some(rate) = &self.limits.rate {
            rate.take(bytes).await;
        }
    }

    /// All wanted bytes of a row's chunks. When too few holders are left, the ledger is asked for those that repair
    /// has added since, and the row is read again from them.
    pub(crate) async fn row(&self, columns: &Columns, row: RowId, len: usize) -> Result<RowChunks, GetError> {
        let mut lookups = *self.lookups.lock().await;
        for _ in 0..LOOKUPS {
            match columns.row(row, len).await {
                Ok(chunks) => return Ok(chunks),
                Err(error) if !self.look_up(&mut lookups).await => return Err(error.into()),
                Err(_) => {}
            }
        }
        Ok(columns.row(row, len).await?)
    }

    /// Asks the ledger for the holders again, unless another row has done so since `seen`. Whether any are new.
    async fn look_up(&self, seen: &mut u64) -> bool {
        let mut lookups = self.lookups.lock().await;
        if *lookups != std::mem::replace(seen, *lookups) {
            return true;
        }
        let Ok(commitments) = self.chain.object(self.object).await else { return false };
        // Without new addresses the old ones may do.
        let _known = self.chain.providers(&holders_of(&commitments)).await;
        let renew = |(number, extent): (u32, &Extent)| {
            let columns = self.extents.iter().map(|extent| &extent.columns).find(|columns| columns.extent == number);
            columns.is_some_and(|columns| columns.renew(slots_of(&commitments, number, extent)))
        };
        let found = (0..).zip(&self.manifest.extents).map(renew).filter(|found| *found).count() > 0;
        *lookups += u64::from(found);
        *seen = *lookups;
        found
    }

    /// Bytes of the file, without its stamp, or of the directory's pack.
    pub(crate) fn size(&self) -> u64 {
        self.layout.size().saturating_sub(self.content.trailer())
    }

    /// Bytes of columns that were received so far, wrong ones too.
    pub(crate) fn fetched_bytes(&self) -> u64 {
        self.extents.iter().map(|extent| extent.columns.fetched_bytes()).sum()
    }
}

/// One extent, and whether its columns' speed was measured.
#[derive(Debug)]
pub(crate) struct OpenExtent {
    pub(crate) columns: Columns,
    measured: OnceCell<()>,
}

impl OpenExtent {
    /// Its columns, after each holder's response time was measured.
    pub(crate) async fn measured(&self) -> &Columns {
        self.measured.get_or_init(|| self.columns.measure()).await;
        &self.columns
    }
}

impl Client {
    /// Finds the object, and checks that the link opens it.
    pub(crate) async fn open(&self, link: &Link) -> Result<Opened, OpenError> {
        let object = link.object;
        let commitments = self.chain.object(object).await?;
        let holders = holders_of(&commitments);
        let first = commitments.first().map_or(0, |commitment| usize::from(commitment.code.k));
        // These came with the commitments, unless the node left them out. The others are not needed yet.
        self.chain.providers(&holders[..first.min(holders.len())]).await?;
        let manifest = self.manifest_and_connections(object, first, &holders);
        let (manifest, _) = try_join(manifest, self.chain.providers(&holders).map_err(OpenError::from)).await?;
        let (key, content) = check_key(&manifest, link)?;
        let layout = manifest.layout();
        let wires = self.wires();
        let columns = |(number, extent): (u32, &Extent)| {
            let column_len = layout.extent(number).expect("a manifest lists its layout's extents").column_len;
            let holders = slots_of(&commitments, number, extent);
            let info = ExtentInfo { extent: number, code: manifest.code, column_len };
            let columns = Columns::new(info, column_keys(key, number, extent), holders, wires.clone());
            OpenExtent { columns, measured: OnceCell::new() }
        };
        let extents = (0..).zip(&manifest.extents).map(columns).collect();
        let sealer = key.map(|key| Arc::new(key.sealer()));
        let (limits, chain, lookups) = (ReadLimits::default(), self.chain.clone(), Mutex::default());
        Ok(Opened { object, content, layout, sealer, extents, manifest, holders, limits, chain, lookups })
    }

    /// What the object is, where the link has its key and a holder sends its manifest.
    pub(crate) async fn content(&self, link: &Link, holders: &[NodeId]) -> Option<Content> {
        link.key.as_ref()?;
        let manifest = self.manifest(link.object, holders).await.ok()?;
        check_key(&manifest, link).ok().map(|(_, content)| content)
    }

    pub(crate) fn wires(&self) -> Wires {
        Wires { peers: Arc::clone(&self.peers), workers: self.workers.clone(), lines: Arc::clone(&self.lines) }
    }

    /// The manifest, while connections are made to the first holders, of the data columns, which are read next: each is
    /// asked for its height, whatever that is.
    async fn manifest_and_connections(
        &self,
        object: ObjectId,
        first: usize,
        holders: &[NodeId],
    ) -> Result<Manifest, OpenError> {
        let connect = |node: &NodeId| ask(self.peers.as_ref(), *node, wire::chain::head());
        let connecting = join_all(holders.iter().take(first).map(connect));
        match select(pin!(self.manifest(object, holders)), pin!(connecting)).await {
            Either::Left((manifest, _)) => manifest,
            Either::Right((_, manifest)) => manifest.await,
        }
    }

    /// The manifest, from the first holder that sends it.
    async fn manifest(&self, object: ObjectId, holders: &[NodeId]) -> Result<Manifest, OpenError> {
        let mut line = holders.iter().copied();
        let ask = |node| self.manifest_of(object, node);
        let mut waiting: FuturesUnordered<_> = line.by_ref().take(ASKED).map(ask).collect();
        let (mut asked, mut last) = (0, "the ledger lists no holder".to_owned());
        while !waiting.is_empty() {
            tokio::select! { biased;
                Some(result) = waiting.next() => match result {
                    Ok(bytes) => {
                        let manifest = self.workers.run(move || Manifest::decode(&bytes)).await;
                        return manifest.map_err(|error| OpenError::BadManifest { object, error });
                    }
                    Err(reason) => {
                        (asked, last) = (asked + 1, reason.to_string());
                        waiting.extend(line.next().map(ask));
                    }
                },
                () = sleep(ASK_NEXT), if line.len() > 0 => waiting.extend(line.next().map(ask)),
            }
        }
        Err(OpenError::NoManifest { object, asked, last })
    }

    /// Those of the holders that send something other than the object's manifest.
    pub(crate) async fn wrong_manifests(&self, opened: &Opened) -> Vec<NodeId> {
        let ask = |node: NodeId| async move {
            let manifest = self.manifest_of(opened.object, node).await;
            let wrong = manifest.is_err_and(|error| matches!(error.failure, Failure::InvalidAnswer(_)));
            wrong.then_some(node)
        };
        stream::iter(opened.holders.iter().copied().map(ask))
            .buffer_unordered(CHECKED)
            .filter_map(ready)
            .collect()
            .await
    }

    /// This holder's copy, if it is the object's.
    async fn manifest_of(&self, object: ObjectId, node: NodeId) -> Result<Bytes, AskError> {
        let manifest = ask(self.peers.as_ref(), node, wire::manifest::manifest(object)).await;
        if let Err(AskError { failure: failure @ Failure::InvalidAnswer(_), .. }) = &manifest {
            tracing::warn!(%node, %object, %failure, "a holder sent something other than the object's manifest");
        }
        manifest
    }
}

/// Every node that has a column or the manifest of the object, those whose columns are live first.
fn holders_of(commitments: &[Commitment]) -> Vec<NodeId> {
    let slots = || commitments.iter().flat_map(|commitment| &commitment.slots);
    let live = slots().filter(|slot| slot.state == SlotState::Live);
    let others = slots().filter(|slot| slot.state != SlotState::Live);
    let mut seen = BTreeSet::new();
    live.chain(others).map(|slot| slot.provider).filter(|node| seen.insert(*node)).collect()
}

/// The holders of each column of an extent, from all commitments to the columns that the manifest lists.
fn slots_of(commitments: &[Commitment], number: u32, extent: &Extent) -> Vec<Vec<Holder>> {
    let mine = || commitments.iter().filter(|commitment| commitment.id.extent == number);
    let column = |(index, id): (usize, ColumnId)| {
        let slots = mine().filter_map(|commitment| commitment.slots.get(index)).filter(|slot| slot.column == id);
        let mut holders: Vec<Holder> = Vec::new();
        for slot in slots {
            if holders.iter().all(|holder| holder.provider != slot.provider) {
                holders.push(Holder { provider: slot.provider, live: slot.state == SlotState::Live });
            }
        }
        holders.sort_by_key(|holder| !holder.live);
        holders
    };
    extent.columns.iter().copied().enumerate().map(column).collect()
}

/// Each column's id, with the token that its holder asks for.
pub(crate) fn column_keys(key: Option<&ObjectKey>, number: u32, extent: &Extent) -> Vec<ColumnKey> {
    let access = |index| key.map_or(ReadAccess::Public, |key| ReadAccess::Token(key.read_token(number, index)));
    let columns = (0..=u8::MAX).zip(&extent.columns);
    columns.map(|(index, id)| ColumnKey { id: *id, access: access(index) }).collect()
}

/// The key that opens the object, none for a public one; and what the object is.
fn check_key<'a>(manifest: &Manifest, link: &'a Link) -> Result<(Option<&'a ObjectKey>, Content), OpenError> {
    match (manifest.protection, &link.key) {
        (Protection::Public { content, .. }, _) => Ok((None, content)),
        (Protection::Sealed { .. }, None) => Err(OpenError::KeyMissing(link.object)),
        (Protection::Sealed { commitment }, Some(key)) => {
            let mut kinds = [Content::StampedFile, Content::Pack, Content::File].into_iter();
            let content = kinds.find(|kind| key.commitment(*kind) == commitment);
            content.map(|content| (Some(key), content)).ok_or(OpenError::WrongKey(link.object))
        }
    }
}
