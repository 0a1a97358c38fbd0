//! Asks another node about the ledger: a chain/1 request out, its answer or a named failure back.
//!
//! Nothing that comes back is believed here; [`super::follow`] checks every block before it counts.

use std::{sync::Arc, time::Duration};

use borsh::BorshDeserialize;
use bytes::Bytes;
use ostrakon_net::{CallError, Peers, peer_id_text};
use ostrakon_proto::{
    codec,
    id::{Height, NodeId},
    ledger::{CheckedTx, history::HistoryRange, snapshot::SnapshotChunk, tx::DecidedBlock},
    light::{CertifiedHeader, Handover},
    limits,
    wire::{
        Frame, Protocol, Refusal, RefusalCode,
        chain::{Head, Relayed, Request, Response},
    },
};
use tokio::time::timeout;

/// How long a node waits for an answer that is not long in coming.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long for one that the other may hold back for ten seconds.
const LONG_PATIENCE: Duration = Duration::from_secs(20);

/// Why a node got no answer to use.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// It is not reached.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It does not answer in time.
    #[error("{} did not answer within {} seconds", peer_id_text(node), after.as_secs())]
    Slow {
        /// Who.
        node: NodeId,
        /// How long it had.
        after: Duration,
    },
    /// It answers, and refuses.
    #[error("{} refuses: {refusal}", peer_id_text(node))]
    Refused {
        /// Who.
        node: NodeId,
        /// Why.
        refusal: Refusal,
    },
    /// It answers something else.
    #[error("{} breaks the chain/1 protocol", peer_id_text(node))]
    Broken {
        /// Who.
        node: NodeId,
    },
}

impl AskError {
    /// Whether the other says that it has no such thing.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Refused { refusal, .. } if refusal.code == RefusalCode::NotFound)
    }
}

/// The tip of `node`.
pub(super) async fn head(peers: &dyn Peers, node: NodeId) -> Result<Head, AskError> {
    match call(peers, node, Frame::new(&Request::Head, Bytes::new()), PATIENCE).await? {
        (Response::Head(head), _) => Ok(head),
        _ => Err(AskError::Broken { node }),
    }
}

/// Decided blocks that `node` has from `from` on; none when it has none for ten seconds.
pub(super) async fn blocks(peers: &dyn Peers, node: NodeId, from: Height) -> Result<Vec<DecidedBlock>, AskError> {
    match call(peers, node, Frame::new(&Request::Blocks { from }, Bytes::new()), LONG_PATIENCE).await? {
        (Response::Blocks, body) => decode(node, &body),
        _ => Err(AskError::Broken { node }),
    }
}

/// The snapshots that `node` offers.
pub(super) async fn snapshots(peers: &dyn Peers, node: NodeId) -> Result<Vec<CertifiedHeader>, AskError> {
    match call(peers, node, Frame::new(&Request::Snapshots, Bytes::new()), PATIENCE).await? {
        (Response::Hints, body) => {
            let offers: Vec<_> = decode(node, &body)?;
            if offers.len() <= limits::SNAPSHOTS { Ok(offers) } else { Err(AskError::Broken { node }) }
        }
        _ => Err(AskError::Broken { node }),
    }
}

/// Handovers that `node` knows of from `from` on, a page of them.
pub(super) async fn handovers(peers: &dyn Peers, node: NodeId, from: Height) -> Result<Vec<Handover>, AskError> {
    match call(peers, node, Frame::new(&Request::Handovers { from }, Bytes::new()), PATIENCE).await? {
        (Response::Hints, body) => decode(node, &body),
        _ => Err(AskError::Broken { node }),
    }
}

/// A part of a snapshot of `node`.
pub(super) async fn chunk(
    peers: &dyn Peers,
    node: NodeId,
    height: Height,
    after: Option<[u8; 32]>,
) -> Result<SnapshotChunk, AskError> {
    match call(peers, node, Frame::new(&Request::Chunk { height, after }, Bytes::new()), LONG_PATIENCE).await? {
        (Response::Chunk, body) => decode(node, &body),
        _ => Err(AskError::Broken { node }),
    }
}

/// A row of the history that `node` has.
pub(super) async fn past(peers: &dyn Peers, node: NodeId, row: HistoryRange) -> Result<Vec<[u8; 32]>, AskError> {
    match call(peers, node, Frame::new(&Request::Past(row), Bytes::new()), PATIENCE).await? {
        (Response::Hints, body) => decode(node, &body),
        _ => Err(AskError::Broken { node }),
    }
}

/// Hands transactions on to `node`, which says of each what it thinks. They must fit one request.
pub(super) async fn submit(
    peers: &dyn Peers,
    node: NodeId,
    txs: &[Arc<CheckedTx>],
) -> Result<Vec<Result<(), Refusal>>, AskError> {
    let count = u32::try_from(txs.len()).expect("a request has few transactions");
    let mut body = count.to_le_bytes().to_vec();
    txs.iter().for_each(|tx| body.extend(codec::encode(tx.tx())));
    let request = Frame::new(&Request::Submit { relayed: Relayed::Yes }, body.into());
    match call(peers, node, request, PATIENCE).await? {
        (Response::Verdicts, body) => {
            let verdicts: Vec<_> = decode(node, &body)?;
            if verdicts.len() == txs.len() { Ok(verdicts) } else { Err(AskError::Broken { node }) }
        }
        _ => Err(AskError::Broken { node }),
    }
}

async fn call(peers: &dyn Peers, node: NodeId, request: Frame, after: Duration) -> Result<(Response, Bytes), AskError> {
    let answer = timeout(after, peers.call(node, Protocol::Chain, request));
    let frame = answer.await.map_err(|_| AskError::Slow { node, after })??;
    match frame.decode::<Result<Response, Refusal>>() {
        Ok(Ok(response)) => Ok((response, frame.body)),
        Ok(Err(refusal)) => Err(AskError::Refused { node, refusal }),
        Err(_) => Err(AskError::Broken { node }),
    }
}

fn decode<T: BorshDeserialize + borsh::BorshSerialize>(node: NodeId, body: &[u8]) -> Result<T, AskError> {
    codec::decode(body, limits::CHAIN_BODY).map_err(|_| AskError::Broken { node })
}
