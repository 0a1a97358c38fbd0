//! From a link to columns: finds the object on the ledger, gets its manifest from any holder, and checks the key.

use std::{collections::BTreeSet, future::ready, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, FuturesUnordered},
};
use ostrakon_net::{AskError, Failure, ask};
use ostrakon_proto::{
    id::{ColumnId, NodeId, ObjectId},
    layout::Layout,
    ledger::state::{Commitment, SlotState},
    link::Link,
    manifest::{Content, Extent, Manifest, ManifestError, Protection},
    seal::{ObjectKey, Sealer},
    wire,
};
use tokio::{sync::OnceCell, time::sleep};

use super::{
    GetError,
    columns::{ColumnKey, Columns, Holder, Shape, Wires},
};
use crate::{Client, ErrorKind, chain::ChainError};

/// Holders that are asked for the manifest concurrently.
const CONCURRENT: usize = 3;
/// Holders whose copies are checked concurrently.
const CHECKED_CONCURRENT: usize = 8;
/// After this long without a manifest one more is asked.
const LINGER: Duration = Duration::from_millis(300);

/// Why an object cannot be read at all.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The ledger could not be asked, or does not have the object.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// No holder gave the manifest.
    #[error("no holder of object {object} gives its manifest ({asked} asked; the last: {last})")]
    NoManifest {
        /// The object.
        object: ObjectId,
        /// Holders that were asked.
        asked: usize,
        /// Why the last did not.
        last: String,
    },
    /// The manifest is the object's, and breaks the rules: the one who added it did.
    #[error("object {object} is unusable: {error}")]
    BadManifest {
        /// The object.
        object: ObjectId,
        /// The rule.
        error: ManifestError,
    },
    /// A private object was named without its key.
    #[error("object {0} is private: give the whole link, ostrakon:<cid>#<key>")]
    KeyMissing(ObjectId),
    /// The key is of another object.
    #[error("the key in the link is not that of object {0}: was the link cut, or put together from two?")]
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
    /// Everyone who should have a copy of it.
    holders: Vec<NodeId>,
    pub(crate) layout: Layout,
    pub(crate) sealer: Option<Arc<Sealer>>,
    pub(crate) extents: Vec<OpenExtent>,
}

impl Opened {
    /// Whether the object is what was asked for, if anything was.
    pub(crate) fn check_content(&self, wanted: Option<Content>) -> Result<(), GetError> {
        match (wanted, self.content) {
            (Some(Content::File), Content::Pack) => Err(GetError::IsDirectory(self.object)),
            (Some(Content::Pack), Content::File) => Err(GetError::IsFile(self.object)),
            _ => Ok(()),
        }
    }

    /// Bytes of column data that were received for it so far, wrong ones too.
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
    /// Its columns, after a look at who is quick.
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
        self.chain.providers(&holders).await?;
        let manifest = self.manifest(object, &holders).await?;
        let (key, content) = check_key(&manifest, link)?;
        let layout = manifest.layout();
        let wires = self.wires();
        let columns = |(number, extent): (u32, &Extent)| {
            let column_len = layout.extent(number).expect("a manifest lists its layout's extents").column_len;
            let holders = slots_of(&commitments, number, extent);
            let shape = Shape { extent: number, code: manifest.code, column_len };
            let columns = Columns::new(shape, column_keys(key, number, extent), holders, wires.clone());
            OpenExtent { columns, measured: OnceCell::new() }
        };
        let extents = (0..).zip(&manifest.extents).map(columns).collect();
        let sealer = key.map(|key| Arc::new(key.sealer()));
        Ok(Opened { object, content, layout, sealer, extents, manifest, holders })
    }

    pub(crate) fn wires(&self) -> Wires {
        Wires { peers: Arc::clone(&self.peers), workers: self.workers.clone() }
    }

    /// The manifest, from whichever holder gives it first.
    async fn manifest(&self, object: ObjectId, holders: &[NodeId]) -> Result<Manifest, OpenError> {
        let mut line = holders.iter().copied();
        let ask = |node| self.manifest_of(object, node);
        let mut waiting: FuturesUnordered<_> = line.by_ref().take(CONCURRENT).map(ask).collect();
        let (mut asked, mut last) = (0, "the ledger names no holder".to_owned());
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
                () = sleep(LINGER), if line.len() > 0 => waiting.extend(line.next().map(ask)),
            }
        }
        Err(OpenError::NoManifest { object, asked, last })
    }

    /// Those of the holders who send what is not the object's manifest.
    pub(crate) async fn wrong_manifests(&self, opened: &Opened) -> Vec<NodeId> {
        let ask = |node: NodeId| async move {
            let manifest = self.manifest_of(opened.object, node).await;
            let wrong = manifest.is_err_and(|error| matches!(error.failure, Failure::InvalidAnswer(_)));
            wrong.then_some(node)
        };
        stream::iter(opened.holders.iter().copied().map(ask))
            .buffer_unordered(CHECKED_CONCURRENT)
            .filter_map(ready)
            .collect()
            .await
    }

    /// This holder's copy, if it is the object's.
    async fn manifest_of(&self, object: ObjectId, node: NodeId) -> Result<Bytes, AskError> {
        let manifest = ask(self.peers.as_ref(), node, wire::manifest::manifest(object)).await;
        if let Err(AskError { failure: failure @ Failure::InvalidAnswer(_), .. }) = &manifest {
            tracing::warn!(%node, %object, %failure, "a holder sent what is not the object's manifest");
        }
        manifest
    }
}

/// Everyone that has something of the object, those whose columns are there first.
fn holders_of(commitments: &[Commitment]) -> Vec<NodeId> {
    let slots = || commitments.iter().flat_map(|commitment| &commitment.slots);
    let live = slots().filter(|slot| slot.state == SlotState::Live);
    let missing = slots().filter(|slot| slot.state == SlotState::Missing);
    let mut seen = BTreeSet::new();
    live.chain(missing).map(|slot| slot.provider).filter(|node| seen.insert(*node)).collect()
}

/// The holders of each column of an extent, from all commitments, as far as they are of the columns that the manifest
/// lists.
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

/// Each column's name, with what its holder wants to see.
pub(crate) fn column_keys(key: Option<&ObjectKey>, number: u32, extent: &Extent) -> Vec<ColumnKey> {
    let columns = (0u8..).zip(&extent.columns);
    columns.map(|(index, id)| ColumnKey { id: *id, token: key.map(|key| key.read_token(number, index)) }).collect()
}

/// The key that opens the object, none for a public one; and what the object is.
fn check_key<'a>(manifest: &Manifest, link: &'a Link) -> Result<(Option<&'a ObjectKey>, Content), OpenError> {
    match (manifest.protection, &link.key) {
        (Protection::Public { content, .. }, _) => Ok((None, content)),
        (Protection::Sealed { .. }, None) => Err(OpenError::KeyMissing(link.object)),
        (Protection::Sealed { commitment }, Some(key)) => {
            let content = [Content::File, Content::Pack].into_iter().find(|kind| key.commitment(*kind) == commitment);
            content.map(|content| (Some(key), content)).ok_or(OpenError::WrongKey(link.object))
        }
    }
}
