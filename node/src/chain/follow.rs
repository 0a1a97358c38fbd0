//! How a node that does not vote gets the blocks: from a validator first, else from any node that has them.
//!
//! In come decided blocks, each verified against the rules before it counts; out goes a ledger that grows. Who failed
//! or lied rests for a while ([`Sources`], pure) and is named in the log. [`catch_up`] is the question
//! of a validator that decides alone, at its start: whether the others know blocks that its disk has lost. [`pull`] is
//! that of one which has missed some.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use ostrakon_net::peer_id_text;
use ostrakon_proto::{
    id::{Height, NodeId},
    ledger::tx::DecidedBlock,
    wire::{RefusalCode, chain::Head},
};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    AcceptError, Chain,
    ask::{self, AskError},
    order::Post,
    store::LedgerError,
};

/// The first rest of a source that failed; each further failure doubles it.
const REST: Duration = Duration::from_secs(1);
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(30);
/// How long an empty proposer asks for blocks that it may have lost, before it begins at block 1.
const ASK_EMPTY: Duration = Duration::from_secs(20);
/// How long one that has blocks asks: most restarts lost nothing.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How long the others may still answer once most have.
const ASK_GRACE: Duration = Duration::from_secs(2);
/// Pause before a node that did not answer is asked once more.
const ASK_PAUSE: Duration = Duration::from_millis(500);

/// Where blocks may be had, in the order of preference, and who rests.
#[derive(Debug)]
pub struct Sources {
    order: Vec<NodeId>,
    resting: BTreeMap<NodeId, Rest>,
}

#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Instant,
    length: Duration,
}

impl Sources {
    /// `first` before `others`. The order within each differs from node to node, so that nobody is everybody's first.
    pub fn new(local: &NodeId, first: &[NodeId], others: impl IntoIterator<Item = NodeId>) -> Self {
        let distance = |node: &NodeId| std::array::from_fn::<u8, 32, _>(|at| node.bytes()[at] ^ local.bytes()[at]);
        let place = |node: &NodeId| (!first.contains(node), distance(node));
        let all = first.iter().copied().chain(others);
        let mut order: Vec<NodeId> = all.filter(|node| node != local).collect();
        order.sort_by_key(place);
        order.dedup();
        Self { order, resting: BTreeMap::new() }
    }

    /// As [`Sources::new`], with the rests of `before`.
    #[must_use]
    pub fn resting_as(mut self, before: &Self) -> Self {
        self.resting = before.resting.clone();
        self
    }

    /// Whom to ask, and from when on: the first that does not rest, else the one that is soonest back.
    pub fn pick(&self, now: Instant) -> Option<(NodeId, Instant)> {
        let ready = |node: &NodeId| self.resting.get(node).map_or(now, |rest| rest.until.max(now));
        let best = self.order.iter().enumerate().min_by_key(|(place, node)| (ready(node), *place));
        best.map(|(_, node)| (*node, ready(node)))
    }

    /// When one that is preferred to `node` is back from its rest.
    pub fn better_at(&self, node: &NodeId) -> Option<Instant> {
        let before = self.order.iter().take_while(|other| *other != node);
        before.filter_map(|other| self.resting.get(other)).map(|rest| rest.until).min()
    }

    /// All, in the order of preference.
    pub fn all(self) -> Vec<NodeId> {
        self.order
    }

    /// `node` had nothing of use.
    pub fn failed(&mut self, node: NodeId, now: Instant) {
        let length = self.resting.get(&node).map_or(REST, |rest| (rest.length * 2).min(REST_MAX));
        self.resting.insert(node, Rest { until: now + length, length });
    }

    /// `node` had blocks.
    pub fn served(&mut self, node: &NodeId) {
        self.resting.remove(node);
    }
}

/// Why one round brought nothing.
#[derive(Debug, thiserror::Error)]
enum PullError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("{} has no new blocks", peer_id_text(.0))]
    Nothing(NodeId),
    #[error("{} sent a bad block: {source}", peer_id_text(node))]
    Bad { node: NodeId, source: AcceptError },
    #[error(transparent)]
    Ledger(LedgerError),
}

impl PullError {
    /// Whether the block is too old to be had there.
    fn is_pruned(&self) -> bool {
        matches!(self, Self::Ask(AskError::Refused { refusal, .. }) if refusal.code == RefusalCode::Pruned)
    }
}

/// The follower's task.
#[derive(Debug)]
pub struct Follow {
    chain: Chain,
    /// Nodes of the genesis: all that is known before the first block.
    known: Vec<NodeId>,
    /// Has an inbox when an order runs beside it, which gets the blocks itself while this node is a validator.
    post: Post,
}

impl Follow {
    /// Follows `chain`, from its validators or else from `known` and the ledger's providers.
    pub fn new(chain: Chain, known: Vec<NodeId>, post: Post) -> Self {
        Self { chain, known, post }
    }

    /// Follows until `stop`.
    ///
    /// # Errors
    /// [`LedgerError`] when a block cannot be kept.
    pub async fn run(self, stop: CancellationToken) -> Result<(), LedgerError> {
        let mut sources = self.sources().await;
        while !stop.is_cancelled() {
            if self.post.inbox().is_some() && self.chain.validators().contains(&self.chain.shared.peers.local()) {
                // The order gets the blocks, as long as this node has a vote.
                let height = self.chain.head().height.next();
                stop.run_until_cancelled(self.chain.wait(height)).await;
                continue;
            }
            let Some((node, from)) = sources.pick(Instant::now()) else {
                stop.cancelled().await;
                break;
            };
            if stop.run_until_cancelled(sleep_until(from)).await.is_none() {
                break;
            }
            match self.round(node, sources.better_at(&node), &stop).await {
                Ok(()) => sources.served(&node),
                Err(PullError::Ledger(error)) => return Err(error),
                Err(error) => {
                    if error.is_pruned() {
                        self.chain.shared.lag.pruned.notify_one();
                    }
                    tracing::warn!(%error, "a source of blocks is left alone for a while");
                    sources.failed(node, Instant::now());
                    sources = self.sources().await.resting_as(&sources);
                }
            }
        }
        Ok(())
    }

    async fn sources(&self) -> Sources {
        let registered = self.chain.read(|records| records.providers()).await;
        let others = self.known.iter().copied().chain(registered.into_iter().map(|provider| provider.node));
        Sources::new(&self.chain.shared.peers.local(), &self.chain.validators(), others)
    }

    /// One question to `node`, given up when a better source is back at `until`, and what follows from the answer.
    async fn round(&self, node: NodeId, until: Option<Instant>, stop: &CancellationToken) -> Result<(), PullError> {
        let Some(_turn) = stop.run_until_cancelled(self.chain.shared.lag.pulling.lock()).await else { return Ok(()) };
        let from = self.chain.head().height.next();
        let question = ask::blocks(&*self.chain.shared.peers, node, from);
        let until = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        let Some(Ok(answer)) = stop.run_until_cancelled(timeout_at(until, question)).await else { return Ok(()) };
        let blocks = answer?;
        let got = blocks.len();
        take(&self.chain, node, blocks).await?;
        // One block is what a node that waited for it gets; more means that it was behind.
        self.chain.set_synced(got == 1);
        Ok(())
    }
}

/// Keeps what `node` sent, block by block.
async fn take(chain: &Chain, node: NodeId, blocks: Vec<DecidedBlock>) -> Result<(), PullError> {
    if blocks.is_empty() {
        return Err(PullError::Nothing(node));
    }
    for decided in blocks {
        chain.accept(decided).await.map_err(|error| match error {
            AcceptError::Ledger(error) => PullError::Ledger(error),
            source => PullError::Bad { node, source },
        })?;
    }
    Ok(())
}

/// Takes over every block that any of `others` has and this node's disk lost: a proposer must not decide a height
/// twice. Waits for all of them, or for most and a moment more, or for so long that there may be nobody.
///
/// # Errors
/// [`LedgerError`] when a block cannot be kept.
pub(crate) async fn catch_up(chain: &Chain, others: &[NodeId]) -> Result<(), LedgerError> {
    let mut heads = heads(chain, others).await;
    heads.sort_by_key(|(_, head)| std::cmp::Reverse(head.height));
    for (node, head) in heads {
        if head.height <= chain.head().height {
            break;
        }
        tracing::info!(peer = peer_id_text(&node), height = %head.height, "another node is ahead: catching up");
        match pull_to(chain, node, head.height).await {
            Ok(()) => {}
            Err(PullError::Ledger(error)) => return Err(error),
            Err(error) => tracing::warn!(%error, "could not catch up from a node that claims to be ahead"),
        }
    }
    chain.set_synced(true);
    Ok(())
}

/// Takes over the blocks that `node` has above the tip.
///
/// # Errors
/// [`LedgerError`] when a block cannot be kept.
pub(crate) async fn pull(chain: &Chain, node: NodeId) -> Result<(), LedgerError> {
    let asked = ask::blocks(&*chain.shared.peers, node, chain.head().height.next()).await;
    let taken = match asked {
        Ok(blocks) => take(chain, node, blocks).await,
        Err(error) => Err(error.into()),
    };
    match taken {
        Err(PullError::Ledger(error)) => Err(error),
        Err(error) => {
            if error.is_pruned() {
                chain.shared.lag.pruned.notify_one();
            }
            tracing::debug!(%error, "no missed blocks from there");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

async fn pull_to(chain: &Chain, node: NodeId, height: Height) -> Result<(), PullError> {
    while chain.head().height < height {
        let blocks = ask::blocks(&*chain.shared.peers, node, chain.head().height.next()).await?;
        take(chain, node, blocks).await?;
    }
    Ok(())
}

/// The tips of `others`, as far as they can be had.
async fn heads(chain: &Chain, others: &[NodeId]) -> Vec<(NodeId, Head)> {
    let patience = if chain.head().height == Height(0) { ASK_EMPTY } else { ASK_AGAIN };
    let mut deadline = Instant::now() + patience;
    let mut asked: FuturesUnordered<_> = others.iter().map(|node| head_of(chain, *node)).collect();
    let mut heads = Vec::new();
    while let Ok(Some(head)) = timeout_at(deadline, asked.next()).await {
        heads.push(head);
        if heads.len() * 2 > others.len() {
            deadline = deadline.min(Instant::now() + ASK_GRACE);
        }
    }
    if heads.len() * 2 <= others.len() && !others.is_empty() {
        let (answered, asked) = (heads.len(), others.len());
        tracing::warn!(answered, asked, "proposing although most nodes could not be asked for blocks");
    }
    heads
}

async fn head_of(chain: &Chain, node: NodeId) -> (NodeId, Head) {
    loop {
        match ask::head(&*chain.shared.peers, node).await {
            Ok(head) => return (node, head),
            Err(error) => tracing::debug!(%error, "asking for blocks again soon"),
        }
        sleep(ASK_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId::new([byte; 32])
    }

    #[test]
    fn the_first_is_preferred_and_failures_rest() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut sources = Sources::new(&node(0), &[node(9)], [node(2), node(1), node(9), node(0), node(2)]);
        assert_eq!(sources.order, [node(9), node(1), node(2)]);
        assert_eq!(sources.pick(start), Some((node(9), start)));
        assert_eq!(sources.better_at(&node(1)), None);

        sources.failed(node(9), start);
        assert_eq!(sources.pick(start), Some((node(1), start)));
        assert_eq!(sources.better_at(&node(1)), Some(at(1)));
        assert_eq!(sources.pick(at(1)), Some((node(9), at(1))));

        sources.failed(node(9), at(1));
        sources.failed(node(1), at(1));
        assert_eq!(sources.pick(at(2)), Some((node(1), at(2))), "the second rest of a source is longer");
        sources.failed(node(1), at(1));
        sources.failed(node(2), at(1));
        assert_eq!(sources.pick(at(1)), Some((node(2), at(2))), "who is soonest back when all rest");

        sources.served(&node(9));
        assert_eq!(sources.pick(at(1)), Some((node(9), at(1))));
    }

    #[test]
    fn rests_end() {
        let start = Instant::now();
        let mut sources = Sources::new(&node(0), &[node(9)], []);
        for _ in 0..100 {
            sources.failed(node(9), start);
        }
        assert_eq!(sources.pick(start), Some((node(9), start + REST_MAX)));
        assert_eq!(Sources::new(&node(9), &[node(9)], []).pick(start), None);
    }
}
