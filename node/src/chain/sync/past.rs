//! The history before the snapshot that this ledger was restored from: fetched afterwards, in the background.
//!
//! In come rows of hashes from any node, each verified against a known node above it, from the peaks down; out goes a
//! ledger that can prove any earlier block. Not here: what a row is (`ostrakon_proto`).

use std::time::Duration;

use ostrakon_net::ask;
use ostrakon_proto::{
    id::NodeId,
    ledger::history::{HistoryNode, HistoryRange},
    wire::{self, RefusalCode},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::sources;
use crate::chain::{Chain, Shared, store::LedgerError};

/// Pause between two requests: other work is more urgent.
const PAUSE: Duration = Duration::from_millis(200);
/// Pause when no node had what was asked for.
const LONG_PAUSE: Duration = Duration::from_secs(30);

/// Fetches what is missing of the history of `chain`, until `stop`.
///
/// # Errors
/// [`LedgerError`] when the disk failed.
pub async fn run(chain: Chain, known: Vec<NodeId>, stop: CancellationToken) -> Result<(), LedgerError> {
    stop.run_until_cancelled(fill(&chain, &known)).await.unwrap_or(Ok(()))
}

async fn fill(chain: &Chain, known: &[NodeId]) -> Result<(), LedgerError> {
    let peaks = chain.read(|records| records.tip().running.history).await;
    let mut turn = 0_usize;
    for row in HistoryRange::of(&peaks) {
        let Some(root) = missing(chain, row).await? else { continue };
        loop {
            let nodes = sources(chain, known).await;
            let count = nodes.len();
            let order = nodes.into_iter().cycle().skip(turn.checked_rem(count).unwrap_or(0)).take(count);
            turn = turn.wrapping_add(1);
            if let Some(written) = ask_all(chain, row, &root, order).await {
                chain.work(move |shared| shared.ledger.add_past(&written)).await?;
                break;
            }
            sleep(LONG_PAUSE).await;
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// The root of the row's tree, if the row is missing here.
async fn missing(chain: &Chain, row: HistoryRange) -> Result<Option<[u8; 32]>, LedgerError> {
    let look = move |shared: &Shared| match shared.ledger.past(row.oldest())? {
        Some(_) => Ok(None),
        None => shared.ledger.past(row.root()),
    };
    chain.work(look).await
}

/// The row's nodes, from the first node that has them.
async fn ask_all(
    chain: &Chain,
    row: HistoryRange,
    root: &[u8; 32],
    nodes: impl IntoIterator<Item = NodeId>,
) -> Option<Vec<HistoryNode>> {
    for node in nodes {
        match ask(&*chain.shared.peers, node, wire::chain::past(row)).await {
            Ok(hashes) => match row.check(root, &hashes) {
                Ok(written) => return Some(written),
                Err(error) => tracing::warn!(%node, %error, "node sent an invalid proof of past blocks"),
            },
            Err(error) if error.is_refused_as(RefusalCode::NotFound) => {
                tracing::info!(%node, %error, "node does not have all past blocks' hashes")
            }
            Err(error) => tracing::debug!(%node, %error, "no past blocks' hashes from this node; asking another"),
        }
    }
    None
}
