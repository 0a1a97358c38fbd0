//! The query of a validator that starts: which of my messages did you see last, and may I sign?
//!
//! In go the other validators' nodes, out come their answers, once two thirds of the power have answered. A node that
//! does not answer is asked again; after [`FRESH`] the query starts over. Not here: what follows from the answers
//! ([`super::signing_status`]).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use ostrakon_net::{Peers, ask};
use ostrakon_proto::{
    id::{NodeId, VoteKey},
    ledger::vote::ValidatorSet,
    wire::consensus::{self, Claim, Seen, SignedClaim},
};
use tokio::time::{Instant, sleep, sleep_until};

use super::{leases::FRESH, signer::Identity};

/// How long the rest may still answer once two thirds have.
const GRACE: Duration = Duration::from_secs(1);
/// How long one call may take, and the pause before it is repeated.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(250);

/// Who asks which validators.
#[derive(Clone, Debug)]
pub(super) struct QueryContext {
    /// The network's other nodes.
    pub(super) peers: Arc<dyn Peers>,
    /// This validator.
    pub(super) signer: Identity,
    /// The validators.
    pub(super) set: ValidatorSet,
    /// Their nodes.
    pub(super) nodes: BTreeMap<VoteKey, NodeId>,
}

/// Calls to all other validators, and their answers so far.
pub(super) struct LastSeenQuery {
    context: QueryContext,
    /// When it started.
    started: Instant,
    asked: FuturesUnordered<BoxFuture<'static, (VoteKey, Seen)>>,
    answers: BTreeMap<VoteKey, Seen>,
    /// When it ends, once enough have answered.
    until: Option<Instant>,
}

impl LastSeenQuery {
    /// Asks all validators but this one.
    pub(super) fn new(context: QueryContext) -> Self {
        let (started, own) = (Instant::now(), context.signer.key.public());
        let others = context.nodes.keys().filter(|other| **other != own && context.set.power(other).is_some());
        let asked = others.filter_map(|other| context.ask(*other)).collect();
        Self { context, started, asked, answers: BTreeMap::new(), until: None }
    }

    /// Whether it asks these validators.
    pub(super) fn is_of(&self, set: &ValidatorSet) -> bool {
        self.context.set == *set
    }

    /// Whether it is so old that another process may have been allowed to sign since.
    pub(super) fn is_stale(&self) -> bool {
        self.started.elapsed() >= FRESH
    }

    /// Waits until two thirds of the power have answered, and the rest had a moment more: without two thirds no block
    /// is decided anyway. Cancel-safe.
    pub(super) async fn answered(&mut self) -> &BTreeMap<VoteKey, Seen> {
        loop {
            if self.until.is_none() && self.context.set.is_quorum(self.power()) {
                self.until = Some(Instant::now() + GRACE);
            }
            let over = async {
                match self.until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                next = self.asked.next() => {
                    let Some((key, seen)) = next else { break };
                    self.answers.insert(key, seen);
                }
                () = over => break,
                () = sleep_until(self.started + FRESH) => *self = Self::new(self.context.clone()),
            }
        }
        &self.answers
    }

    /// The other validators that have not answered.
    pub(super) fn missing(&self) -> Vec<VoteKey> {
        let own = self.context.signer.key.public();
        let all = self.context.set.iter().map(|(key, _)| key);
        all.filter(|key| *key != own && !self.answers.contains_key(key)).collect()
    }

    /// The power that has answered, this validator's own included.
    fn power(&self) -> u128 {
        let own = self.context.signer.key.public();
        let answered = self.answers.keys().chain([&own]);
        answered.filter_map(|key| self.context.set.power(key)).map(u128::from).sum()
    }
}

impl QueryContext {
    /// Asks one validator until it answers; `None` when its node is unknown.
    fn ask(&self, asked: VoteKey) -> Option<BoxFuture<'static, (VoteKey, Seen)>> {
        let (peers, node) = (Arc::clone(&self.peers), *self.nodes.get(&asked)?);
        let Identity { key, chain, incarnations } = &self.signer;
        let (incarnation, earlier) = incarnations.split_last()?;
        let claim = Claim { key: key.public(), asked, incarnation: *incarnation, earlier: earlier.to_vec() };
        let call = consensus::last_seen(SignedClaim::sign(claim, key, chain)).within(CALL_TIMEOUT);
        Some(Box::pin(async move {
            loop {
                if let Ok(seen) = ask(&*peers, node, call.clone()).await {
                    return (asked, seen);
                }
                sleep(PAUSE).await;
            }
        }))
    }
}
