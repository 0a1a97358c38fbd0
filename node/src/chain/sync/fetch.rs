//! The requests of a node that restores a snapshot, and the nodes that it asks.
//!
//! Out go chain/1 requests, in come answers that are only known to be well formed, each with the node that sent it. Not
//! here: whether they are valid.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use ostrakon_net::{AskError, Peers, ask};
use ostrakon_proto::{
    id::{Height, NodeId},
    ledger::{
        snapshot::SnapshotChunk,
        tx::{DecidedBlock, Header},
    },
    light::{CertifiedHeader, Handover},
    wire::{RefusalCode, chain},
};
use tokio::time::sleep;

use super::{checkpoint::Checkpoint, plan::Holders};

/// Pages of handovers that are requested from one node.
const PAGES: usize = 64;
/// Nodes asked for offers concurrently.
const CONCURRENT: usize = 16;
/// Pause after a holder failed before the next is asked: all may be busy.
const PAUSE: Duration = Duration::from_millis(500);

/// The nodes to ask.
#[derive(Debug)]
pub(super) struct Fetch {
    peers: Arc<dyn Peers>,
    sources: Vec<NodeId>,
}

/// The chunks of one snapshot, from all nodes that have it.
pub(super) struct ChunkSource<'a> {
    peers: &'a dyn Peers,
    height: Height,
    holders: Holders,
}

impl Fetch {
    pub(super) fn new(peers: Arc<dyn Peers>, sources: Vec<NodeId>) -> Self {
        Self { peers, sources }
    }

    /// The offers of each node that answers, in the order of the sources.
    pub(super) async fn offers(&self) -> Vec<(NodeId, Vec<CertifiedHeader>)> {
        let asked = self.sources.iter().copied().map(|node| {
            let peers = Arc::clone(&self.peers);
            async move { (node, ask(&*peers, node, chain::snapshots()).await) }
        });
        let answers: Vec<_> = stream::iter(asked).buffered(CONCURRENT).collect().await;
        answers.into_iter().filter_map(|(node, answer)| Some((node, answer.ok()?))).collect()
    }

    /// The handovers from this height on, of each node.
    pub(super) async fn handovers(&self, from: Height) -> Vec<Vec<Handover>> {
        let asked = self.sources.iter().map(|node| all_handovers(Arc::clone(&self.peers), *node, from));
        let asked: Vec<_> = asked.collect();
        stream::iter(asked).buffered(CONCURRENT).collect().await
    }

    /// The header of the checkpoint's block, from the first node that has it; else the blocks that nodes have instead.
    pub(super) async fn header(&self, checkpoint: Checkpoint) -> Result<Header, Vec<CertifiedHeader>> {
        let mut others = Vec::new();
        for node in &self.sources {
            let Ok(blocks) = ask(&*self.peers, *node, chain::blocks(checkpoint.height)).await else { continue };
            let Some(DecidedBlock { block, certificate }) = blocks.into_iter().next() else { continue };
            if block.header.id() == checkpoint.block {
                return Ok(block.header);
            }
            others.push(CertifiedHeader { header: block.header, certificate });
        }
        Err(others)
    }

    /// The block of the snapshot, from the first node that has all of it.
    pub(super) async fn block(&self, offer: &CertifiedHeader, sources: &[NodeId]) -> Option<DecidedBlock> {
        for node in sources {
            let Ok(blocks) = ask(&*self.peers, *node, chain::blocks(offer.header.height)).await else { continue };
            let Some(DecidedBlock { block, .. }) = blocks.into_iter().next() else { continue };
            if block.header == offer.header && block.roots() == block.header.roots {
                return Some(DecidedBlock { block, certificate: offer.certificate.clone() });
            }
        }
        None
    }

    pub(super) fn chunks(&self, height: Height, sources: &[NodeId]) -> ChunkSource<'_> {
        ChunkSource { peers: &*self.peers, height, holders: Holders::new(sources) }
    }
}

/// All pages of handovers of one node.
async fn all_handovers(peers: Arc<dyn Peers>, node: NodeId, mut from: Height) -> Vec<Handover> {
    let mut all = Vec::new();
    for _ in 0..PAGES {
        let page = ask(&*peers, node, chain::handovers(from)).await.unwrap_or_default();
        let Some(last) = page.last().filter(|last| last.header.height >= from) else { break };
        from = last.header.height.next();
        all.extend(page);
    }
    all
}

impl ChunkSource<'_> {
    /// The chunk that follows `after`, and the node that sent it; `None` when no node is left to ask.
    pub(super) async fn next(&mut self, after: Option<[u8; 32]>) -> Option<(NodeId, SnapshotChunk)> {
        loop {
            let node = self.holders.next()?;
            match ask(self.peers, node, chain::snapshot_part(self.height, after)).await {
                Ok(chunk) => {
                    self.holders.served(node);
                    return Some((node, chunk));
                }
                Err(error) => {
                    self.failed(node, &error);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// As [`ChunkSource::next`], but asks one node once: there may be nothing that follows.
    pub(super) async fn try_next(
        &mut self,
        after: Option<[u8; 32]>,
    ) -> Option<(NodeId, Result<SnapshotChunk, AskError>)> {
        let node = self.holders.next()?;
        Some((node, ask(self.peers, node, chain::snapshot_part(self.height, after)).await))
    }

    /// The node did not send a chunk.
    pub(super) fn failed(&mut self, node: NodeId, error: &AskError) {
        if error.is_refused_as(RefusalCode::NotFound) {
            tracing::info!(%node, %error, "node does not have all of the snapshot that it offers");
        } else {
            tracing::debug!(%node, %error, "no snapshot chunk from this node; asking another");
        }
        match error.refusal() {
            Some(_) => self.holders.refused(node),
            None => self.holders.failed(node),
        }
    }

    /// The node sent an invalid chunk: it is not asked again.
    pub(super) fn sent_invalid(&mut self, node: NodeId) {
        self.holders.remove(node);
    }
}
