//! The exchange with the other validators: requests are read and answered, messages sent, received and buffered.
//!
//! In come requests of consensus/1 ([`Arrivals`]), out go answers and this validator's messages
//! ([`super::outbox`]). What is signed by a validator and not of the height in progress is buffered
//! ([`super::received`]); what shows that others are ahead starts catching up ([`super::catch_up`]). Not here: messages
//! of the height in progress, which are the engine's ([`super::session`]).

use std::sync::Arc;

use bytes::Bytes;
use ostrakon_net::{Inbound, Peers, Requests, admission::Source};
use ostrakon_proto::{
    id::{ChainId, Height, NodeId, VoteKey},
    ledger::vote::SignedVote,
    wire::{
        Frame, Refusal, RefusalCode, RequestClass,
        consensus::{Claim, ConsensusRequest, ConsensusResponse, SignedClaim},
    },
};
use tokio::time::Instant;

use super::{
    Committee, Ledger,
    catch_up::CatchUp,
    delays::Delays,
    halt::{Awaited, Halt, HaltReport},
    outbox::Outbox,
    received::{Message, Received},
    sign_state::Statement,
    signatures::Forgers,
};
use crate::metrics::OrderMetrics;

/// What this validator exchanges with the others.
pub(super) struct Messages {
    me: VoteKey,
    chain: ChainId,
    ledger: Arc<dyn Ledger>,
    pub(super) peers: Arc<dyn Peers>,
    pub(super) arrivals: Arrivals,
    pub(super) outbox: Outbox,
    pub(super) received: Received,
    pub(super) catch_up: CatchUp,
    pub(super) forgers: Forgers,
    pub(super) delays: Delays,
    pub(super) halt: Halt,
    pub(super) metrics: OrderMetrics,
}

/// Requests of consensus/1, in a fair order of the validators' nodes.
#[derive(Debug)]
pub(super) struct Arrivals(Requests);

impl Arrivals {
    /// Those of `requests`.
    pub(super) const fn new(requests: Requests) -> Self {
        Self(requests)
    }

    /// The next request; pending forever once the network has ended. Cancel-safe.
    pub(super) async fn next(&mut self) -> Inbound {
        match self.0.next(RequestClass::Consensus).await {
            Some(inbound) => inbound,
            None => std::future::pending().await,
        }
    }
}

/// A message as it arrived: who delivered it, its head, and the block's bytes if it is a proposal.
pub(super) type Delivered = (Source, ConsensusRequest, Bytes);

impl Messages {
    /// The exchange of the validator `me`.
    pub(super) fn new(
        (me, chain): (VoteKey, ChainId),
        peers: Arc<dyn Peers>,
        arrivals: Arrivals,
        ledger: &Arc<dyn Ledger>,
        metrics: OrderMetrics,
    ) -> Self {
        let (outbox, catch_up) = (Outbox::new(Arc::clone(&peers)), CatchUp::new(Arc::clone(ledger)));
        let (received, forgers, delays) = (Received::default(), Forgers::default(), Delays::default());
        let (ledger, halt) = (Arc::clone(ledger), Halt::default());
        Self { me, chain, ledger, peers, arrivals, outbox, received, catch_up, forgers, delays, halt, metrics }
    }

    /// The height of `committee` starts, and these are its validators.
    pub(super) fn start_height(&mut self, committee: &Committee) {
        self.outbox.start_height(committee.nodes.values().copied());
        self.received.start_height(committee.height, &committee.rotation);
        self.forgers.start_height();
        self.delays.retain(committee.rotation.set());
        self.delays.rounds.start_height(committee.height);
        self.catch_up.start_height(Instant::now());
        if self.halt.start_height(committee.height) {
            self.ledger.note_halt(None);
        }
    }

    /// Reports, when it is time, what the height waits for of these validators. This one is not missing: it may have
    /// been told not to sign, of which the log has more.
    pub(super) fn report_halt(&mut self, committee: &Committee, awaited: Awaited, missing: Vec<VoteKey>) {
        let Some(elapsed) = self.halt.report(Instant::now()) else { return };
        let others = missing.into_iter().filter(|key| *key != self.me);
        let missing = others.filter_map(|key| committee.nodes.get(&key).copied()).collect();
        self.ledger.note_halt(Some(HaltReport { height: committee.height, elapsed, awaited, missing }));
    }

    /// The nodes of the other validators.
    pub(super) fn others(&self, committee: &Committee) -> Vec<NodeId> {
        let local = self.peers.local();
        committee.nodes.values().copied().filter(|node| *node != local).collect()
    }

    /// Asks another validator for decided blocks, when it is time to.
    pub(super) fn ask_for_blocks(&mut self, committee: &Committee, now: Instant) {
        let others = self.others(committee);
        self.catch_up.ask(&others, now);
    }

    /// Decodes and answers a request; returns it if it is a message to be handled. `find` looks for a proposed block.
    pub(super) fn open(
        &mut self,
        inbound: Inbound,
        committee: &Committee,
        find: impl FnOnce(&ConsensusRequest) -> Option<Frame>,
    ) -> Option<Delivered> {
        let Inbound { source, request, reply, .. } = inbound;
        let message = match request.decode::<ConsensusRequest>() {
            Ok(message) => message,
            Err(error) => {
                self.metrics.refuse("malformed");
                reply.refuse(&Refusal::new(RefusalCode::BadRequest, error));
                return None;
            }
        };
        self.metrics.received(&message);
        if self.forgers.is_excluded(&source) {
            self.metrics.refuse("excluded");
            reply.refuse(&Refusal::new(RefusalCode::Denied, "too many signatures that do not verify at this height"));
            return None;
        }
        self.outbox.heard(&source.node);
        match &message {
            ConsensusRequest::LastSeen(signed) => match self.check_claim(&source, signed, committee) {
                Ok(claim) => {
                    let seen = self.received.seen(claim, committee.height, Instant::now());
                    reply.send(answer(ConsensusResponse::Seen(seen), Bytes::new()));
                }
                Err(reason) => reply.refuse(&Refusal::new(RefusalCode::Denied, reason)),
            },
            ConsensusRequest::Block { .. } => match find(&message) {
                Some(frame) => reply.send(frame),
                None => {
                    reply.refuse(&Refusal::new(RefusalCode::NotFound, "this node does not have this proposed block"))
                }
            },
            ConsensusRequest::Proposal(_)
            | ConsensusRequest::Vote(_)
            | ConsensusRequest::Polka(_)
            | ConsensusRequest::Round(_) => {
                reply.send(answer(ConsensusResponse::Taken, Bytes::new()));
                return Some((source, message, request.body));
            }
        }
        None
    }

    fn check_claim<'a>(
        &mut self,
        from: &Source,
        signed: &'a SignedClaim,
        committee: &Committee,
    ) -> Result<&'a Claim, &'static str> {
        let claim = &signed.claim;
        if committee.rotation.set().power(&claim.key).is_none() {
            return Err("the claimed key is not a validator's");
        }
        if claim.asked != self.me || claim.earlier.len() > Claim::EARLIER {
            return Err("the claim is malformed, or addressed to another validator");
        }
        signed.verify(&self.chain).map(|()| claim).map_err(|_| {
            self.forgers.note(from, 1);
            self.metrics.refuse("signature");
            "the claim's signature does not verify"
        })
    }

    /// Buffers a message of height `now` or a later one that a validator signed. Returns what it says if it is signed
    /// with this validator's own key.
    pub(super) fn buffer(
        &mut self,
        (from, request, body): Delivered,
        committee: &Committee,
        now: Height,
    ) -> Option<Statement> {
        let message = match request {
            ConsensusRequest::Vote(signed) => Message::Vote(signed),
            ConsensusRequest::Proposal(signed) => Message::Proposal(signed, body),
            _ => return None,
        };
        let (signer, statement) = (message.signer(), message.statement());
        let height = statement.progress().0;
        let is_own = signer == self.me && height != committee.height;
        let is_verified = self.received.is_newest(&message);
        let is_new = self.received.is_new(&message) || self.received.takes(&message, now);
        let is_validator = committee.rotation.set().power(&signer).is_some();
        if !is_validator || !(is_own || is_verified || is_new) {
            return None;
        }
        if !is_verified && !message.verifies(&self.chain) {
            self.forgers.note(&from, 1);
            self.metrics.refuse("signature");
            return None;
        }
        if is_own {
            return Some(statement);
        }
        if let Message::Vote(signed) = &message
            && height < committee.height
            && self.received.is_new(&message)
        {
            self.count_vote(signed);
        }
        if height > committee.height {
            self.catch_up.saw_ahead(from.node, height.0 - committee.height.0, Instant::now());
        }
        self.received.note(&message);
        if self.is_behind(committee, committee.height) {
            self.ledger.note_synced(false);
        }
        self.received.buffer(message, now);
        None
    }

    /// Counts how late a verified vote of another validator is here, whether its height is over or not.
    pub(super) fn count_vote(&self, signed: &SignedVote) {
        let vote = signed.vote;
        if let Some(delay) = self.delays.rounds.elapsed(vote.height, vote.round, Instant::now())
            && signed.voter != self.me
        {
            self.metrics.voted(vote.kind, delay);
        }
    }

    /// This validator has decided the height of `committee` itself: it has all blocks, unless others are further.
    pub(super) fn note_decided(&self, committee: &Committee) {
        self.ledger.note_synced(!self.is_behind(committee, committee.height.next()));
    }

    /// Whether the others are more than one height ahead of this validator, which works on `height`. They are one ahead
    /// each time that this one hears the last vote later than they.
    fn is_behind(&self, committee: &Committee, height: Height) -> bool {
        let signed = self.received.signed_by_honest(committee.rotation.set());
        signed.is_some_and(|signed| signed > height.next())
    }
}

/// The frame that answers with `head` and `body`.
pub(super) fn answer(head: ConsensusResponse, body: Bytes) -> Frame {
    Frame::new(&Ok::<ConsensusResponse, Refusal>(head), body)
}
