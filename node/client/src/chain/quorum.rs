//! What more than two thirds of the voting power have: a block that is to be found by everyone who asks as many.
//!
//! Two such groups of validators share an honest one. So who waits until a block is with one of them, and who asks
//! another for its newest block before reading, cannot miss each other.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use ostrakon_net::lock;
use ostrakon_proto::{
    id::{Height, NodeId},
    ledger::state::{Validator, ValidatorStatus},
};
use tokio::time::{Instant, sleep, timeout};

use super::{Chain, ChainError, Silence};

/// How long validators are known without being asked for again.
const KNOWN: Duration = Duration::from_secs(30);
/// How long the validators' answers are waited for.
const ROUND: Duration = Duration::from_secs(5);
/// The pause before a node that is behind is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Nodes that vote, each with its power.
#[derive(Clone, Debug)]
pub(super) struct Voters {
    at: Instant,
    nodes: Arc<Vec<(NodeId, u64)>>,
}

impl Chain {
    /// Asks the validators for their newest blocks, until more than two thirds of the power have answered, and trusts
    /// the newest. What was final anywhere before, and waited for by [`Chain::at_quorum`], is then known.
    ///
    /// # Errors
    /// [`ChainError::NoQuorum`] when too few answer.
    pub(crate) async fn catch_up_by_quorum(&self) -> Result<Height, ChainError> {
        self.quorum(None).await?;
        Ok(self.trust().height())
    }

    /// Waits until validators with more than two thirds of the power have the block of this height.
    ///
    /// # Errors
    /// [`ChainError::NoQuorum`] when too few have it in time.
    pub(crate) async fn at_quorum(&self, height: Height) -> Result<(), ChainError> {
        self.quorum(Some(height)).await
    }

    async fn quorum(&self, at_least: Option<Height>) -> Result<(), ChainError> {
        let voters = self.voters().await?;
        let all: u64 = voters.iter().map(|(_, power)| power).sum();
        let ask = |(node, power): (NodeId, u64)| async move { (self.answers(node, at_least).await, power) };
        let mut asked: FuturesUnordered<_> = voters.iter().copied().map(ask).collect();
        let mut power = 0_u64;
        let round = async {
            while let Some((answered, of_one)) = asked.next().await {
                power = power.saturating_add(of_one * u64::from(answered));
                if u128::from(power) * 3 > u128::from(all) * 2 {
                    return true;
                }
            }
            false
        };
        match timeout(ROUND, round).await {
            Ok(true) => Ok(()),
            _ => Err(ChainError::NoQuorum { power, all }),
        }
    }

    /// Whether this node answers, and comes to have the block of this height.
    async fn answers(&self, node: NodeId, at_least: Option<Height>) -> bool {
        loop {
            match self.tip_of(node, at_least).await {
                Ok(said) if at_least.is_none_or(|least| said.value >= least) => return true,
                Ok(_) | Err((_, Silence::Behind(..))) => sleep(PAUSE).await,
                Err(_) => return false,
            }
        }
    }

    /// The validators that vote.
    async fn voters(&self) -> Result<Arc<Vec<(NodeId, u64)>>, ChainError> {
        let known = lock(&self.inner.voters).clone();
        if let Some(Voters { nodes, .. }) = known.filter(|known| known.at.elapsed() < KNOWN) {
            return Ok(nodes);
        }
        let mut voters = self.validators().await?;
        voters.retain(|validator| validator.status == ValidatorStatus::Active);
        for Validator { node, addresses, .. } in &voters {
            self.inner.peers.learn(*node, addresses);
        }
        let nodes = Arc::new(voters.into_iter().map(|voter| (voter.node, voter.power)).collect::<Vec<_>>());
        *lock(&self.inner.voters) = Some(Voters { at: Instant::now(), nodes: Arc::clone(&nodes) });
        Ok(nodes)
    }
}
