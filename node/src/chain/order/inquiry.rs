//! What a validator that starts asks the others: may I speak, and what have you heard of me?
//!
//! In go the others' nodes, out come their answers, once two thirds of the power have given one. Whoever does not
//! answer is asked again; answers that are older than [`FRESH`] are asked for anew. Not here: what follows from them
//! ([`super::standing`]).

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use ostrakon_net::Peers;
use ostrakon_proto::{
    id::{ChainId, NodeId, VoteKey},
    ledger::vote::ValidatorSet,
    sign::Keypair,
    wire::{
        Frame, Protocol, Refusal,
        consensus::{Claim, Incarnation, Request, Response, Seen, SignedClaim},
    },
};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::leases::FRESH;

/// How long those who did not answer yet may still do so once two thirds have.
const GRACE: Duration = Duration::from_secs(1);
/// How long one question may take, and the pause before it is asked again.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(250);

/// Who asks, and whom.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// The way to the others.
    pub(super) peers: Arc<dyn Peers>,
    /// The network.
    pub(super) chain: ChainId,
    /// This validator.
    pub(super) key: Keypair,
    /// Its processes, this one last.
    pub(super) incarnations: Vec<Incarnation>,
    /// Who decides.
    pub(super) set: ValidatorSet,
    /// Where they are.
    pub(super) nodes: BTreeMap<VoteKey, NodeId>,
}

/// Questions to all other validators.
pub(super) struct Inquiry {
    question: Question,
    /// When it was asked.
    began: Instant,
    asked: FuturesUnordered<BoxFuture<'static, (VoteKey, Seen)>>,
    answers: BTreeMap<VoteKey, Seen>,
    /// When it is over, once enough have answered.
    until: Option<Instant>,
}

impl fmt::Debug for Inquiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inquiry").field("answers", &self.answers).finish_non_exhaustive()
    }
}

impl Inquiry {
    /// Asks all validators but the one who asks.
    pub(super) fn new(question: Question) -> Self {
        let (began, own) = (Instant::now(), question.key.public());
        let others = question.nodes.keys().filter(|other| **other != own && question.set.power(other).is_some());
        let asked = others.filter_map(|other| question.ask(*other)).collect();
        Self { question, began, asked, answers: BTreeMap::new(), until: None }
    }

    /// Whether it asks those who decide now.
    pub(super) fn is_of(&self, set: &ValidatorSet) -> bool {
        self.question.set == *set
    }

    /// Whether it is so old that another process may have been let speak since.
    pub(super) fn is_stale(&self) -> bool {
        self.began.elapsed() >= FRESH
    }

    /// Waits until two thirds of the power have answered, and the others have had a moment more: without two thirds no
    /// block is decided anyway. Cancel-safe.
    pub(super) async fn answered(&mut self) -> &BTreeMap<VoteKey, Seen> {
        loop {
            if self.until.is_none() && self.question.set.is_quorum(self.power()) {
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
                () = sleep_until(self.began + FRESH) => *self = Self::new(self.question.clone()),
            }
        }
        &self.answers
    }

    /// Power that has answered, with this validator's own.
    fn power(&self) -> u128 {
        let own = self.question.key.public();
        let answered = self.answers.keys().chain([&own]);
        answered.filter_map(|key| self.question.set.power(key)).map(u128::from).sum()
    }
}

impl Question {
    /// Asks one until it answers; `None` when nobody knows where it is.
    fn ask(&self, asked: VoteKey) -> Option<BoxFuture<'static, (VoteKey, Seen)>> {
        let (peers, node) = (Arc::clone(&self.peers), *self.nodes.get(&asked)?);
        let (incarnation, earlier) = self.incarnations.split_last()?;
        let claim = Claim { key: self.key.public(), asked, incarnation: *incarnation, earlier: earlier.to_vec() };
        let question = Frame::new(&Request::LastSeen(SignedClaim::sign(claim, &self.key, &self.chain)), Bytes::new());
        Some(Box::pin(async move {
            loop {
                if let Ok(Ok(frame)) = timeout(PATIENCE, peers.call(node, Protocol::Consensus, question.clone())).await
                    && let Ok(Ok(Response::Seen(seen))) = frame.decode::<Result<Response, Refusal>>()
                {
                    return (asked, seen);
                }
                sleep(PAUSE).await;
            }
        }))
    }
}
