//! The order: validators agree on the next block, by Tendermint, and each signs what it decided.
//!
//! In come blocks to build on ([`Ledger`]) and messages of other validators ([`Inbox`]); out go messages, decided
//! blocks with their certificates, and proofs against who contradicted itself. [`core`] is the engine, [`session`] one
//! height of it, [`pace`] when the next begins. [`wal`] and [`sign_state`] are what survives a crash, [`standing`] what
//! follows when it did not, [`inquiry`] and [`leases`] how that is found out. [`gossip`] and [`inbox`] are the ways out
//! and in, [`heard`] what is kept of what came too early, [`behind`] how a validator that missed blocks gets them. The
//! order knows blocks as named bytes; rules are the ledger's.
//!
//! # What is promised
//! - No two blocks of one height are decided while those who break the rules have less than a third of the power.
//! - This validator never signs two different things for one height, round and step, whatever instant it dies at; and
//!   when its disk goes back in time, it is silent until nothing is left that it could contradict.
//! - A write that fails ends the order with an error: it does not go on without memory.
//!
//! # Time
//! All time is tokio's, nothing is left to chance: in a simulated world everything happens again in the same way.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use ostrakon_net::{Inbound, Peers, Workers, peer_id_text};
use ostrakon_proto::{
    id::{ChainId, Height, NodeId, VoteKey},
    sign::Keypair,
    wire::{
        Frame, Refusal, RefusalCode,
        consensus::{Claim, Incarnation, Request, Response, SignedClaim},
    },
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::store::LedgerError;

mod behind;
mod blocks;
mod context;
mod core;
mod gossip;
mod heard;
pub mod inbox;
mod inquiry;
mod leases;
pub mod ledger;
mod pace;
mod session;
pub mod sign_state;
mod standing;
mod timers;
pub mod wal;

pub use inbox::{Inbox, Post};
pub use ledger::{Candidate, Committee, Evidence, Ledger, Verdict};

use behind::Behind;
use context::Members;
use gossip::Gossip;
use heard::{Heard, Message};
use inbox::Arrivals;
use inquiry::{Inquiry, Question};
use session::Session;
use sign_state::{Kept, Progress, SignState, SignStore, Statement};
use standing::{Findings, Standing, Watch};
use wal::{Entry, Journal};

/// Heights below the present one of which a validator knows what it said: a message of another process with its key may
/// be late.
const REMEMBERED: usize = 64;

/// What an order is made of.
#[derive(Clone, Debug)]
pub struct OrderParts {
    /// The network.
    pub chain: ChainId,
    /// The validator's vote key.
    pub key: Keypair,
    /// What is extended.
    pub ledger: Arc<dyn Ledger>,
    /// Who else is there.
    pub peers: Arc<dyn Peers>,
    /// Where blocks are built and judged, and files written.
    pub workers: Workers,
    /// The log, in the chain's directory.
    pub journal: Arc<dyn Journal>,
    /// What was signed last, beside the vote key.
    pub signatures: Arc<dyn SignStore>,
    /// Names this process among those with the same key: never used before.
    pub incarnation: Incarnation,
    /// The longest time between two blocks, when there is nothing to do.
    pub interval: Duration,
}

/// Why the order ended. Nothing was said that is not written down; restart the node when the cause is mended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The log cannot be read or written.
    #[error("the consensus log failed: this validator cannot remember what it says, so it stops")]
    Journal(#[source] io::Error),
    /// The sign state cannot be read or written.
    #[error("the sign-state file failed: this validator cannot remember what it signs, so it stops")]
    SignState(#[source] io::Error),
    /// The sign state was written by something else.
    #[error("the sign-state file is damaged: move it away, and this validator asks the others what it signed")]
    Damaged,
}

/// The order's task.
#[derive(Debug)]
pub struct Order {
    parts: OrderParts,
    arrivals: Arrivals,
    gossip: Gossip,
    heard: Heard,
    behind: Behind,
    standing: Standing,
    watch: Watch,
    /// What this process asks the others before it speaks; what they answered, afterwards.
    inquiry: Option<Inquiry>,
    /// What was signed last, and by which processes, as it is on disk.
    kept: Kept,
    /// How far this validator had come when it started.
    born: Option<Progress>,
    /// What it said at each height since, as far as [`REMEMBERED`].
    said: BTreeMap<Height, BTreeSet<Statement>>,
    /// When the last height began, or was over where this validator had no part in it; `None` before the first.
    began: Option<Instant>,
}

/// What a height ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The tip is above it.
    Over,
    /// It is not, and whether this validator may speak is to be found out again.
    Watched,
    /// The node stops.
    Stopped,
}

impl Order {
    /// The order of the validator with `parts.key`, and where its messages are put.
    pub fn new(parts: OrderParts) -> (Self, Inbox) {
        let (inbox, arrivals) = inbox::inbox();
        let (gossip, behind) = (Gossip::new(Arc::clone(&parts.peers)), Behind::new(Arc::clone(&parts.ledger)));
        let order = Self {
            parts,
            arrivals,
            gossip,
            heard: Heard::default(),
            behind,
            standing: Standing::Unknown,
            watch: Watch::default(),
            inquiry: None,
            kept: Kept::default(),
            born: None,
            said: BTreeMap::new(),
            began: None,
        };
        (order, inbox)
    }

    /// Decides one height after the other until `stop`.
    ///
    /// # Errors
    /// [`OrderError`] when something cannot be kept.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), OrderError> {
        let mut kept = load(&self.parts).await?.unwrap_or_default();
        self.born = kept.progress();
        kept.begin(self.parts.incarnation);
        self.save(kept).await?;
        while !stop.is_cancelled() {
            let ledger = Arc::clone(&self.parts.ledger);
            let committee = self.parts.workers.run(move || ledger.committee()).await;
            match self.height(&committee, &stop).await? {
                Ended::Over => _ = self.began.get_or_insert_with(Instant::now),
                Ended::Watched => self.watch.note_slow(committee.height),
                Ended::Stopped => break,
            }
        }
        Ok(())
    }

    async fn height(&mut self, committee: &Committee, stop: &CancellationToken) -> Result<Ended, OrderError> {
        let (height, rotation, mut last) = (committee.height, &committee.rotation, self.began.take());
        self.arrivals.expect(committee.nodes.values().copied());
        self.gossip.talk_to(committee.nodes.values().copied());
        self.heard.advance(height, rotation);
        self.behind.advance(Instant::now());
        let members = Members::new(rotation.clone());
        let Some(members) = members.filter(|_| rotation.set().power(&self.key()).is_some()) else {
            return self.look_on(committee, stop).await;
        };
        if self.standing == Standing::Unknown {
            // What others said before this node restarted, they may ask for before it goes on.
            for entry in self.read_log(height).await? {
                self.heard.note(&entry);
            }
        }
        loop {
            if let Some(ended) = self.take_stand(committee, stop).await? {
                return Ok(ended);
            }
            if let Some(ended) = self.rest(committee, last.take(), stop).await? {
                return Ok(ended);
            }
            if !self.is_claim_stale() {
                break;
            }
            self.standing = Standing::Unknown;
        }
        self.began = Some(Instant::now());
        Session::open(self, committee, &members).await?.run(stop).await
    }

    /// What the log has of this height; what is torn or older is cut off.
    async fn read_log(&mut self, height: Height) -> Result<Vec<Entry>, OrderError> {
        let (journal, chain) = (Arc::clone(&self.parts.journal), self.parts.chain);
        let read = move || {
            let bytes = journal.load()?;
            let (log, whole) = wal::read(&chain, height, &bytes);
            if whole < bytes.len() {
                journal.cut(whole)?;
            }
            Ok(log)
        };
        self.parts.workers.run(read).await.map_err(OrderError::Journal)
    }

    /// Who is no member waits for the height to be over.
    async fn look_on(&mut self, committee: &Committee, stop: &CancellationToken) -> Result<Ended, OrderError> {
        let mut reached = self.parts.ledger.reached(committee.height);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Ended::Stopped),
                () = &mut reached => return Ok(Ended::Over),
                inbound = self.arrivals.next() => self.hear_early(inbound, committee),
            }
        }
    }

    /// Finds out whether this validator may speak, where that is not known; `Some` when the height is over meanwhile.
    async fn take_stand(
        &mut self,
        committee: &Committee,
        stop: &CancellationToken,
    ) -> Result<Option<Ended>, OrderError> {
        let (height, set) = (committee.height, committee.rotation.set());
        let standing = self.standing;
        match standing {
            Standing::Speaks | Standing::Banished => return Ok(None),
            Standing::Silent { from, .. } if from > height => return Ok(None),
            Standing::Silent { from, again: true } if !self.watch.suffices(from, height, Instant::now()) => {
                return Ok(None);
            }
            Standing::Silent { again: false, .. } => {
                self.standing = Standing::Speaks;
                return Ok(None);
            }
            Standing::Silent { again: true, .. } | Standing::Unknown => {}
        }
        if set.is_quorum(set.power(&self.key()).map_or(0, u128::from)) {
            return self.recover(committee, stop).await;
        }
        let (mut reached, before) = (self.parts.ledger.reached(height), self.standing);
        // A height that is over does not end it: on a busy chain it would never be answered.
        let open = self.inquiry.take().filter(|inquiry| inquiry.is_of(set) && !inquiry.is_stale());
        let mut inquiry = open.unwrap_or_else(|| Inquiry::new(self.question(committee)));
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Some(Ended::Stopped)),
                () = &mut reached => {
                    self.inquiry = Some(inquiry);
                    return Ok(Some(Ended::Over));
                }
                answers = inquiry.answered() => {
                    let (key, chain) = (self.key(), self.parts.chain);
                    let (signed, remembers) = (self.kept.progress(), self.kept.signed.is_some());
                    self.standing = before.after(&Findings { key, chain, set, height, signed, remembers, answers });
                    self.inquiry = Some(inquiry);
                    self.log_standing(before);
                    self.begin_memory().await?;
                    return Ok(None);
                }
                inbound = self.arrivals.next() => self.hear_early(inbound, committee),
            }
        }
    }

    /// One that decides alone asks nobody what it said: it takes over the blocks that others have of it and goes on,
    /// for without it there is no further block that could end its silence.
    async fn recover(&mut self, committee: &Committee, stop: &CancellationToken) -> Result<Option<Ended>, OrderError> {
        let (mut reached, mut recovered) = (self.parts.ledger.reached(committee.height), self.parts.ledger.recover());
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Some(Ended::Stopped)),
                done = &mut recovered => { done?; break },
                inbound = self.arrivals.next() => self.hear_early(inbound, committee),
            }
        }
        self.standing = Standing::Speaks;
        Ok(futures::FutureExt::now_or_never(&mut reached).map(|()| Ended::Over))
    }

    /// From now on nobody takes this validator for one that lost its memory: it has said nothing, and keeps that.
    async fn begin_memory(&mut self) -> Result<(), OrderError> {
        if self.standing == Standing::Speaks && self.kept.signed.is_none() {
            let signed = Some(SignState::default());
            self.save(Kept { signed, ..self.kept.clone() }).await?;
        }
        Ok(())
    }

    async fn save(&mut self, kept: Kept) -> Result<(), OrderError> {
        let (store, bytes) = (Arc::clone(&self.parts.signatures), kept.encode());
        self.parts.workers.run(move || store.save(&bytes)).await.map_err(OrderError::SignState)?;
        self.kept = kept;
        Ok(())
    }

    fn question(&self, committee: &Committee) -> Question {
        let OrderParts { ref peers, chain, ref key, .. } = self.parts;
        let (set, nodes) = (committee.rotation.set().clone(), committee.nodes.clone());
        Question {
            peers: Arc::clone(peers),
            chain,
            key: key.clone(),
            incarnations: self.kept.incarnations.clone(),
            set,
            nodes,
        }
    }

    /// Whether this process was let speak so long ago, without having said anything, that another may have been since.
    fn is_claim_stale(&self) -> bool {
        let is_mute = self.kept.progress() == self.born;
        self.standing == Standing::Speaks && is_mute && self.inquiry.as_ref().is_some_and(Inquiry::is_stale)
    }

    fn log_standing(&self, before: Standing) {
        match self.standing {
            Standing::Silent { from, again: true } => tracing::error!(
                height = %from,
                "the other validators have heard more of this one than it remembers: its disk is from the past, or \
                 another process signs with its key. It signs nothing until the chain is past what it may have signed"
            ),
            standing => tracing::info!(?before, ?standing, "asked the other validators what they have heard"),
        }
    }

    fn key(&self) -> VoteKey {
        self.parts.key.public()
    }

    /// Who else decides, for questions about blocks.
    fn others(&self, committee: &Committee) -> Vec<NodeId> {
        let local = self.parts.peers.local();
        committee.nodes.values().copied().filter(|node| *node != local).collect()
    }

    /// Takes a request while no engine runs: questions are answered, messages kept for later.
    fn hear_early(&mut self, inbound: Inbound, committee: &Committee) {
        let Some((from, request, body)) = self.open(inbound, committee, |_| None) else { return };
        self.keep(from, (request, body), committee, committee.height);
    }

    /// Reads and answers a request; what is left is a message, with who brought it. `find` knows blocks.
    fn open(
        &mut self,
        inbound: Inbound,
        committee: &Committee,
        find: impl FnOnce(&Request) -> Option<Frame>,
    ) -> Option<(NodeId, Request, Bytes)> {
        let Inbound { from, request, reply, .. } = inbound;
        let message = match request.decode::<Request>() {
            Ok(message) => message,
            Err(error) => {
                reply.refuse(&Refusal::new(RefusalCode::BadRequest, error));
                return None;
            }
        };
        match &message {
            Request::LastSeen(signed) => match self.check_claim(signed, committee) {
                Ok(claim) => {
                    let seen = self.heard.seen(claim, committee.height, Instant::now());
                    reply.send(answer(Response::Seen(seen), Bytes::new()));
                }
                Err(reason) => reply.refuse(&Refusal::new(RefusalCode::Denied, reason)),
            },
            Request::Block { .. } => match find(&message) {
                Some(frame) => reply.send(frame),
                None => reply.refuse(&Refusal::new(RefusalCode::NotFound, "this block is not proposed here")),
            },
            Request::Proposal(_) | Request::Vote(_) | Request::Polka(_) | Request::Round(_) => {
                reply.send(answer(Response::Taken, Bytes::new()));
                return Some((from, message, request.body));
            }
        }
        None
    }

    fn check_claim<'a>(&self, signed: &'a SignedClaim, committee: &Committee) -> Result<&'a Claim, &'static str> {
        let claim = &signed.claim;
        if committee.rotation.set().power(&claim.key).is_none() {
            return Err("no validator claims this");
        }
        if claim.asked != self.key() || claim.earlier.len() > Claim::EARLIER {
            return Err("the claim is not of this form, or made to another validator");
        }
        signed.verify(&self.parts.chain).map(|()| claim).map_err(|_| "the claim's signature does not verify")
    }

    /// Keeps a message of height `now` or a later one, when a validator signed it.
    fn keep(&mut self, from: NodeId, message: (Request, Bytes), committee: &Committee, now: Height) {
        let set = committee.rotation.set();
        let (key, height, message) = match message {
            (Request::Vote(signed), _) => (signed.voter, signed.vote.height, Message::Vote(signed)),
            (Request::Proposal(signed), block) => {
                (signed.proposer, signed.proposal.height, Message::Proposal(signed, block))
            }
            _ => return,
        };
        let is_own = key == self.key() && height != committee.height;
        let is_new = self.heard.is_new(&message);
        if (height < now && !is_own && !is_new) || set.power(&key).is_none() {
            return;
        }
        let (verified, said) = match &message {
            Message::Vote(signed) => (signed.verify(&self.parts.chain), Statement::from(signed)),
            Message::Proposal(signed, _) => (signed.verify(&self.parts.chain), Statement::from(signed)),
        };
        if verified.is_err() {
            return;
        }
        if is_own {
            let is_known = height < now && self.said.get(&height).is_none_or(|known| known.contains(&said));
            self.doubt(&said, is_known);
            return;
        }
        if height > committee.height {
            self.behind.note(from, height.0 - committee.height.0, Instant::now());
        }
        match &message {
            Message::Vote(signed) => self.heard.note_vote(signed),
            Message::Proposal(signed, _) => self.heard.note_proposal(signed),
        }
        self.heard.keep(message, now);
    }

    /// The height is over, and this is what was said at it.
    fn remember(&mut self, height: Height, said: BTreeSet<Statement>) {
        self.said.insert(height, said);
        while self.said.len() > REMEMBERED {
            self.said.pop_first();
        }
    }

    /// A message with this validator's signature came from elsewhere. What an earlier incarnation of it said may come
    /// back;
    /// what neither this nor an earlier one said, another process did. Returns whether that is so.
    fn doubt(&mut self, said: &Statement, own: bool) -> bool {
        let foreign = !own && self.standing == Standing::Speaks && Some(said.progress()) > self.born;
        if foreign {
            self.standing = Standing::Banished;
            tracing::error!(
                ?said,
                "another process signs with this validator's key: this one signs nothing any more. Stop one of them, \
                 then restart this one"
            );
        }
        foreign
    }
}

async fn load(parts: &OrderParts) -> Result<Option<Kept>, OrderError> {
    let store = Arc::clone(&parts.signatures);
    let bytes = parts.workers.run(move || store.load()).await.map_err(OrderError::SignState)?;
    bytes.map(|bytes| Kept::decode(&bytes).map_err(|_| OrderError::Damaged)).transpose()
}

/// The frame that answers with `head` and `body`.
fn answer(head: Response, body: Bytes) -> Frame {
    Frame::new(&Ok::<Response, Refusal>(head), body)
}

/// Names a node in the log as operators know it.
fn name(node: &NodeId) -> String {
    peer_id_text(node)
}

#[cfg(test)]
mod tests;
