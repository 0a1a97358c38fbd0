//! Following: a node that does not vote fetches decided blocks, from a validator first, else from any node.
//!
//! In come decided blocks, each verified against the rules before it is committed; out goes a ledger that grows. A
//! source that failed or sent an invalid block is logged and backed off from ([`BlockSources`], pure), and so is one
//! that stays behind other nodes ([`super::lag`]). [`catch_up`] is
//! for a validator that decides alone: at its start it fetches blocks that its disk has lost. [`pull`] is for a
//! validator that missed some.

use std::{collections::BTreeMap, future::pending, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use ostrakon_net::{AskError, ask};
use ostrakon_proto::{
    id::{Height, NodeId},
    ledger::{state::Records, tx::DecidedBlock, verify_header},
    wire::{self, RefusalCode, chain::Head},
};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{AcceptError, Chain, lag::Comparison, store::LedgerError};

/// The first pause after a source failed; each further failure doubles it.
const BACKOFF: Duration = Duration::from_secs(1);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// The pause after a source that was behind other nodes.
const BACKOFF_LAG: Duration = Duration::from_secs(300);
/// How long a validator without blocks asks for blocks that it may have lost, before it proposes block 1.
const ASK_EMPTY: Duration = Duration::from_secs(20);
/// How long a validator with blocks asks: most restarts lost nothing.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How long the rest may still answer once most have.
const ASK_GRACE: Duration = Duration::from_secs(2);
/// Pause before a node that did not answer is asked again.
const ASK_PAUSE: Duration = Duration::from_millis(500);

/// Nodes that may have blocks, in the order of preference, and those to back off from.
#[derive(Debug)]
pub struct BlockSources {
    order: Vec<NodeId>,
    backoffs: BTreeMap<NodeId, Backoff>,
}

#[derive(Clone, Copy, Debug)]
struct Backoff {
    until: Instant,
    length: Duration,
    /// It did not fail: others said that they are further.
    is_behind: bool,
}

impl BlockSources {
    /// `first` before `others`; within each the order differs from node to node, which spreads the load.
    pub fn new(local: &NodeId, first: &[NodeId], others: impl IntoIterator<Item = NodeId>) -> Self {
        let distance = |node: &NodeId| std::array::from_fn::<u8, 32, _>(|at| node.bytes()[at] ^ local.bytes()[at]);
        let place = |node: &NodeId| (!first.contains(node), distance(node));
        let all = first.iter().copied().chain(others);
        let mut order: Vec<NodeId> = all.filter(|node| node != local).collect();
        order.sort_by_key(place);
        order.dedup();
        Self { order, backoffs: BTreeMap::new() }
    }

    /// As [`BlockSources::new`], with the pauses of `before`.
    #[must_use]
    pub fn backing_off_as(mut self, before: &Self) -> Self {
        self.backoffs = before.backoffs.clone();
        self
    }

    /// The node to ask, and from when on: the first that is ready, else the one that was behind others longest ago,
    /// else the one that is ready soonest. Nobody is no better than a node that is said to be behind.
    pub fn pick(&self, now: Instant) -> Option<(NodeId, Instant)> {
        let ready = |node: &NodeId| self.backoffs.get(node).map_or(now, |backoff| backoff.until.max(now));
        let best = self.order.iter().enumerate().min_by_key(|(place, node)| (ready(node), *place));
        let best = best.map(|(_, node)| (*node, ready(node)));
        let lagging = self.order.iter().filter(|node| self.backoffs.get(node).is_some_and(|backoff| backoff.is_behind));
        let lagging = lagging.min_by_key(|node| ready(node)).map(|node| (*node, now));
        best.filter(|(_, from)| *from <= now).or(lagging).or(best)
    }

    /// When a node that is preferred to `node` is ready again.
    pub fn better_at(&self, node: &NodeId) -> Option<Instant> {
        let before = self.order.iter().take_while(|other| *other != node);
        before.filter_map(|other| self.backoffs.get(other)).map(|backoff| backoff.until).min()
    }

    /// All nodes, in the order of preference.
    pub fn all(self) -> Vec<NodeId> {
        self.order
    }

    /// `node` failed. Those that were only behind are better than it: who says that others are further may be wrong.
    pub fn failed(&mut self, node: NodeId, now: Instant) {
        let length = self.backoffs.get(&node).map_or(BACKOFF, |backoff| (backoff.length * 2).min(BACKOFF_MAX));
        self.backoffs.retain(|_, backoff| !backoff.is_behind);
        self.backoffs.insert(node, Backoff { until: now + length, length, is_behind: false });
    }

    /// `node` sends valid blocks, and is behind other nodes.
    pub fn lagged(&mut self, node: NodeId, now: Instant) {
        self.backoffs.insert(node, Backoff { until: now + BACKOFF_LAG, length: BACKOFF, is_behind: true });
    }

    /// The nodes other than `node`.
    fn without(&self, node: &NodeId) -> Vec<NodeId> {
        self.order.iter().copied().filter(|other| other != node).collect()
    }

    /// `node` sent valid blocks.
    pub fn served(&mut self, node: &NodeId) {
        self.backoffs.remove(node);
    }
}

/// Why no blocks were fetched.
#[derive(Debug, thiserror::Error)]
enum PullError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("node {0} has no new blocks")]
    Nothing(NodeId),
    #[error("node {0} stays behind other nodes")]
    Lags(NodeId),
    #[error("node {node} has dropped the storage proofs of block {height}, without which it cannot be executed")]
    NoProofs { node: NodeId, height: Height },
    #[error("node {node} sent an invalid block: {source}")]
    Bad { node: NodeId, source: AcceptError },
    #[error(transparent)]
    Ledger(LedgerError),
}

impl PullError {
    /// Whether the node has pruned the block, or the part of it that was no longer of use: a snapshot is needed.
    fn is_pruned(&self) -> bool {
        match self {
            Self::Ask(error) => error.is_refused_as(RefusalCode::Pruned),
            Self::NoProofs { .. } => true,
            _ => false,
        }
    }
}

/// The task of a node that follows.
#[derive(Debug)]
pub struct BlockFollower {
    chain: Chain,
    /// Nodes of the genesis: the only ones known before the first block.
    known: Vec<NodeId>,
    /// Cancelled when an order runs, which fetches blocks itself while this node is a validator.
    voting: CancellationToken,
}

impl BlockFollower {
    /// Follows `chain`, from its validators, else from `known` and the ledger's providers.
    pub fn new(chain: Chain, known: Vec<NodeId>, voting: CancellationToken) -> Self {
        Self { chain, known, voting }
    }

    /// Follows until `stop`.
    ///
    /// # Errors
    /// [`LedgerError`] when a block cannot be stored.
    pub async fn run(self, stop: CancellationToken) -> Result<(), LedgerError> {
        let (mut sources, mut comparison) = (self.sources().await, Comparison::default());
        while !stop.is_cancelled() {
            if self.voting.is_cancelled() && self.chain.validators().contains(&self.chain.shared.peers.local()) {
                // The order fetches blocks while this node has a vote.
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
            comparison.of(node, sources.without(&node));
            match self.round(node, (sources.better_at(&node), &mut comparison), &stop).await {
                Ok(()) => sources.served(&node),
                Err(PullError::Ledger(error)) => return Err(error),
                Err(error) => {
                    if error.is_pruned() {
                        self.chain.shared.sync.pruned.notify_one();
                    }
                    tracing::warn!(%node, %error, "backing off from block source");
                    match error {
                        PullError::Lags(_) => sources.lagged(node, Instant::now()),
                        _ => sources.failed(node, Instant::now()),
                    }
                    self.chain.shared.sync.metrics.backoffs.inc();
                    sources = self.sources().await.backing_off_as(&sources);
                }
            }
        }
        Ok(())
    }

    async fn sources(&self) -> BlockSources {
        let registered = self.chain.read(|records| records.providers()).await;
        let others = self.known.iter().copied().chain(registered.into_iter().map(|provider| provider.node));
        BlockSources::new(&self.chain.shared.peers.local(), &self.chain.validators(), others)
    }

    /// Fetches blocks from `node` once; gives up when a preferred source is ready again at `until`, and when `node` is
    /// found to be behind others.
    async fn round(
        &self,
        node: NodeId,
        (until, comparison): (Option<Instant>, &mut Comparison),
        stop: &CancellationToken,
    ) -> Result<(), PullError> {
        let Some(_turn) = stop.run_until_cancelled(self.chain.shared.sync.pulling.lock()).await else { return Ok(()) };
        let from = self.chain.head().height.next();
        let question = ask(&*self.chain.shared.peers, node, wire::chain::blocks(from));
        let until = until.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        let question = async {
            tokio::select! {
                biased;
                answer = timeout_at(until, question) => Ok(answer.ok()),
                () = comparison.until_lagging(&self.chain) => Err(PullError::Lags(node)),
            }
        };
        let Some(outcome) = stop.run_until_cancelled(question).await else { return Ok(()) };
        let Some(answer) = outcome? else { return Ok(()) };
        take(&self.chain, node, answer?).await
    }
}

/// Commits what `node` sent, block by block. A node that waited for the next block gets one; more than one means that
/// it was behind.
async fn take(chain: &Chain, node: NodeId, blocks: Vec<DecidedBlock>) -> Result<(), PullError> {
    if blocks.is_empty() {
        return Err(PullError::Nothing(node));
    }
    let is_next = blocks.len() == 1;
    if !is_next {
        chain.set_synced(false);
    }
    for decided in blocks {
        if decided.block.lacks_proofs() {
            return Err(lacks_proofs(chain, node, decided).await);
        }
        chain.accept(decided).await.map_err(|error| match error {
            AcceptError::Ledger(error) => PullError::Ledger(error),
            source => PullError::Bad { node, source },
        })?;
        chain.shared.sync.metrics.blocks.inc();
    }
    if is_next {
        chain.set_synced(true);
    }
    Ok(())
}

/// What it is that a node sent a block without its proofs: wrong, unless the block was decided.
async fn lacks_proofs(chain: &Chain, node: NodeId, DecidedBlock { block, certificate }: DecidedBlock) -> PullError {
    let (height, id) = (block.header.height, chain.rules().chain);
    let verify = move |records: &dyn Records| verify_header(&id, &records.validator_set(), &block.header, &certificate);
    match chain.read(verify).await {
        Ok(()) => PullError::NoProofs { node, height },
        Err(source) => PullError::Bad { node, source: AcceptError::Block { height, source } },
    }
}

/// Fetches every block that any of `others` has and this node's disk lost: a validator must not decide a height twice.
/// Waits for all nodes, or for most of them and a moment more, or up to a limit; forever, where a block cannot be
/// executed any more, so that the node has to start again from a snapshot.
///
/// # Errors
/// [`LedgerError`] when a block cannot be stored.
pub(crate) async fn catch_up(chain: &Chain, others: &[NodeId]) -> Result<(), LedgerError> {
    let mut heads = heads(chain, others).await;
    heads.sort_by_key(|(_, head)| std::cmp::Reverse(head.height));
    let mut dropped = Height(0);
    for (node, head) in heads {
        if head.height <= chain.head().height {
            break;
        }
        tracing::info!(%node, height = %head.height, "another node is ahead; catching up");
        match pull_to(chain, node, head.height).await {
            Ok(()) => {}
            Err(PullError::Ledger(error)) => return Err(error),
            Err(PullError::NoProofs { height, .. }) => dropped = dropped.max(height),
            Err(error) => tracing::warn!(%node, %error, "cannot catch up from a node that claims to be ahead"),
        }
    }
    if chain.head().height < dropped {
        // It decided that block, and would decide another of its height.
        tracing::error!(
            height = %dropped,
            "this validator has an old ledger, and no node has what the blocks after it are executed with: it signs \
             nothing, and waits for a snapshot from another node"
        );
        chain.shared.sync.pruned.notify_one();
        return pending().await;
    }
    chain.set_synced(true);
    Ok(())
}

/// Fetches the blocks that `node` has above the tip.
///
/// # Errors
/// [`LedgerError`] when a block cannot be stored.
pub(crate) async fn pull(chain: &Chain, node: NodeId) -> Result<(), LedgerError> {
    let asked = ask(&*chain.shared.peers, node, wire::chain::blocks(chain.head().height.next())).await;
    let taken = match asked {
        Ok(blocks) => take(chain, node, blocks).await,
        Err(error) => Err(error.into()),
    };
    match taken {
        Err(PullError::Ledger(error)) => Err(error),
        Err(error) => {
            if error.is_pruned() {
                chain.shared.sync.pruned.notify_one();
            }
            tracing::debug!(%node, %error, "cannot get the missed blocks from this node");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

async fn pull_to(chain: &Chain, node: NodeId, height: Height) -> Result<(), PullError> {
    while chain.head().height < height {
        let blocks = ask(&*chain.shared.peers, node, wire::chain::blocks(chain.head().height.next())).await?;
        take(chain, node, blocks).await?;
    }
    Ok(())
}

/// The tips of those of `others` that answer in time.
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
        tracing::warn!(answered, asked, "proposing although most nodes did not answer whether they have newer blocks");
    }
    heads
}

async fn head_of(chain: &Chain, node: NodeId) -> (NodeId, Head) {
    loop {
        match ask(&*chain.shared.peers, node, wire::chain::head()).await {
            Ok(head) => return (node, head),
            Err(error) => tracing::debug!(%node, %error, "node did not report its newest block; asking again soon"),
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
    fn the_first_is_preferred_and_failures_are_backed_off_from() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut sources = BlockSources::new(&node(0), &[node(9)], [node(2), node(1), node(9), node(0), node(2)]);
        assert_eq!(sources.order, [node(9), node(1), node(2)]);
        assert_eq!(sources.pick(start), Some((node(9), start)));
        assert_eq!(sources.better_at(&node(1)), None);

        sources.failed(node(9), start);
        assert_eq!(sources.pick(start), Some((node(1), start)));
        assert_eq!(sources.better_at(&node(1)), Some(at(1)));
        assert_eq!(sources.pick(at(1)), Some((node(9), at(1))));

        sources.failed(node(9), at(1));
        sources.failed(node(1), at(1));
        assert_eq!(sources.pick(at(2)), Some((node(1), at(2))), "the second pause is longer");
        sources.failed(node(1), at(1));
        sources.failed(node(2), at(1));
        assert_eq!(sources.pick(at(1)), Some((node(2), at(2))), "the one that is ready soonest");

        sources.served(&node(9));
        assert_eq!(sources.pick(at(1)), Some((node(9), at(1))));
        sources.lagged(node(9), at(1));
        assert_eq!(sources.pick(at(60)), Some((node(1), at(60))), "it is left for a while");
        assert_eq!(sources.without(&node(9)), [node(1), node(2)]);
        sources.failed(node(1), at(60));
        assert_eq!(sources.pick(at(60)), Some((node(9), at(60))), "the one that said more has nothing");
    }

    #[test]
    fn sources_that_are_all_said_to_be_behind_take_turns() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut sources = BlockSources::new(&node(0), &[node(9)], [node(1)]);
        sources.lagged(node(9), start);
        sources.lagged(node(1), at(10));
        assert_eq!(sources.pick(at(10)), Some((node(9), at(10))), "nobody waits for five minutes");
        sources.lagged(node(9), at(20));
        assert_eq!(sources.pick(at(20)), Some((node(1), at(20))));
        sources.failed(node(1), at(21));
        sources.lagged(node(9), at(21));
        assert_eq!(sources.pick(at(21)), Some((node(9), at(21))), "better than one that fails");
    }

    #[test]
    fn pauses_end() {
        let start = Instant::now();
        let mut sources = BlockSources::new(&node(0), &[node(9)], []);
        for _ in 0..100 {
            sources.failed(node(9), start);
        }
        assert_eq!(sources.pick(start), Some((node(9), start + BACKOFF_MAX)));
        assert_eq!(BlockSources::new(&node(9), &[node(9)], []).pick(start), None);
    }
}
