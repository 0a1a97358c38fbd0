//! One height, from its begin to its decision: carries out what the engine wants, in the order that safety needs.
//!
//! In come messages, waits that are over, judgements and the tip; out go entries of the log, signatures to keep,
//! messages and at last a decided block. Whatever a step of the engine led to is written and synced before anything of
//! it is sent. Not here: what to do ([`super::core`]).

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use ostrakon_net::Inbound;
use ostrakon_proto::{
    id::{BlockId, Height, NodeId},
    ledger::vote::{QuorumCertificate, SignedProposal, SignedVote},
    wire::{
        Frame, Protocol, Refusal,
        consensus::{Request, Response},
    },
};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Candidate, Committee, Ended, Evidence, Order, OrderError, Verdict, answer,
    blocks::Blocks,
    context::Members,
    core::{Core, Output},
    heard::Message,
    name,
    sign_state::{Kept, Statement},
    standing::{Standing, WATCH},
    timers::Timers,
    wal::{self, Entry, Value},
};
use crate::chain::store::LedgerError;

/// How long a validator may take to hand a block over.
const PATIENCE: Duration = Duration::from_secs(3);
/// Rounds ahead of its own whose proposals a validator takes in; the engine takes as many.
const ROUNDS_AHEAD: u32 = 10;

/// One height.
pub(super) struct Session<'a> {
    order: &'a mut Order,
    committee: &'a Committee,
    core: Core,
    log: Vec<Entry>,
    timers: Timers,
    blocks: Blocks,
    jobs: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Framed entries that are not written yet.
    pending: Vec<u8>,
    evidence: Vec<Evidence>,
    decided: Option<QuorumCertificate>,
}

/// Work that is done.
enum Done {
    Built(u32, Result<Option<Candidate>, LedgerError>),
    Judged(SignedProposal, Result<Verdict, LedgerError>),
    Fetched(BlockId, NodeId, Option<(SignedProposal, Bytes)>),
}

impl<'a> Session<'a> {
    /// The height of `committee`, with what the log has of it.
    pub(super) async fn open(
        order: &'a mut Order,
        committee: &'a Committee,
        members: &Members,
    ) -> Result<Self, OrderError> {
        let (chain, height) = (order.parts.chain, committee.height);
        let log = order.read_log(height).await?;
        let keys = (order.parts.key.clone(), chain);
        let mut core = Core::new(keys, order.kept.signed.clone().unwrap_or_default(), height, members);
        if order.standing != Standing::Speaks {
            core.silence();
        }
        Ok(Self {
            order,
            committee,
            core,
            blocks: Blocks::restore(&log),
            log,
            timers: Timers::default(),
            jobs: FuturesUnordered::new(),
            pending: Vec::new(),
            evidence: Vec::new(),
            decided: None,
        })
    }

    /// Runs the height until it is over.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<Ended, OrderError> {
        let ended = self.decide(stop).await;
        self.evidence.extend(self.core.evidence());
        self.order.remember(self.height(), self.core.own().clone());
        if !self.evidence.is_empty() {
            tracing::warn!(count = self.evidence.len(), "validators contradicted themselves");
            self.order.parts.ledger.report(std::mem::take(&mut self.evidence));
        }
        ended
    }

    async fn decide(&mut self, stop: &CancellationToken) -> Result<Ended, OrderError> {
        let log = std::mem::take(&mut self.log);
        if !log.is_empty() {
            tracing::info!(height = %self.height(), entries = log.len(), "going on from the consensus log");
        }
        let outputs = self.core.begin(&log);
        self.carry_out(outputs).await?;
        for message in self.order.heard.take(self.height()) {
            match message {
                Message::Vote(signed) => self.hear_vote(&signed).await?,
                Message::Proposal(signed, block) => self.hear_proposal(signed, block).await?,
            }
        }
        let mut reached = self.order.parts.ledger.reached(self.height());
        let watched = self.watches_until();
        loop {
            if let Some(certificate) = self.decided.take() {
                self.commit(certificate).await?;
                return Ok(Ended::Over);
            }
            let due = self.due();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Ended::Stopped),
                () = &mut reached => return Ok(Ended::Over),
                Some(done) = self.jobs.next() => self.finish(done).await?,
                () = sleep_until(due) => self.elapse().await?,
                done = self.order.behind.drive() => done?,
                inbound = self.order.arrivals.next() => self.hear(inbound).await?,
                () = self.order.gossip.drive() => {}
                () = sleep_until(watched.unwrap_or(due)), if watched.is_some() => {
                    // What was heard is not heard again.
                    self.sync().await?;
                    return Ok(Ended::Watched);
                }
            }
        }
    }

    /// When one who may speak from this height on, should nobody else speak for it, has watched long enough.
    fn watches_until(&self) -> Option<Instant> {
        match self.order.standing {
            Standing::Silent { from, again: true } if from <= self.height() => Some(Instant::now() + WATCH),
            _ => None,
        }
    }

    fn height(&self) -> Height {
        self.committee.height
    }

    fn due(&self) -> Instant {
        let engine = self.timers.next().into_iter().chain(self.blocks.next_question());
        engine.fold(self.order.behind.due(), Instant::min)
    }

    async fn commit(&mut self, certificate: QuorumCertificate) -> Result<(), OrderError> {
        let block = self.blocks.bytes(&certificate.block).cloned();
        let block = block.expect("invariant: the engine decides no block that was not judged here");
        tracing::debug!(height = %certificate.height, round = certificate.round, block = %certificate.block, "decided");
        let ledger = Arc::clone(&self.order.parts.ledger);
        Ok(self.order.parts.workers.run(move || ledger.commit(&block, certificate)).await?)
    }

    /// Does what the engine wants. What it says leaves only after the log and the sign state are synced.
    async fn carry_out(&mut self, outputs: Vec<Output>) -> Result<(), OrderError> {
        let (mut outputs, mut messages) = (VecDeque::from(outputs), Vec::new());
        while let Some(output) = outputs.pop_front() {
            match output {
                Output::Log(entry) => self.note(&entry),
                Output::Send(message) => messages.push(message),
                Output::Start(timeout) => self.timers.start(timeout, Instant::now()),
                Output::Cancel(timeout) => self.timers.cancel(&timeout),
                Output::CancelAll => self.timers.cancel_all(),
                Output::Build(round) => match self.blocks.built(round) {
                    Some(block) => outputs.extend(self.core.propose(round, block)),
                    None => self.build(round),
                },
                Output::Decide(certificate) => self.decided = Some(certificate),
                Output::Report(evidence) => self.evidence.push(evidence),
            }
        }
        if !messages.is_empty() {
            self.sync().await?;
        }
        for message in messages {
            let body = match &message {
                Request::Proposal(signed) => self.blocks.bytes(&signed.proposal.block).cloned().unwrap_or_default(),
                _ => Bytes::new(),
            };
            self.order.gossip.send(&message, &body);
        }
        Ok(())
    }

    fn write(&mut self, entry: &Entry) {
        self.pending.extend(wal::frame(&self.order.parts.chain, self.height(), entry));
    }

    /// Writes an entry, and takes note of what others said: their signatures verified.
    fn note(&mut self, entry: &Entry) {
        self.write(entry);
        let now = Instant::now();
        self.order.heard.note(entry);
        match entry {
            Entry::Vote(signed) => {
                if let (Some(block), Some(node)) = (signed.vote.block, self.committee.nodes.get(&signed.voter)) {
                    self.blocks.want(block, *node, now);
                }
            }
            Entry::Proposal(signed) => {
                self.blocks.propose(*signed);
                if let Some(node) = self.committee.nodes.get(&signed.proposer) {
                    self.blocks.want(signed.proposal.block, *node, now);
                }
            }
            _ => {}
        }
    }

    /// The log first: a signature that is kept without what led to it would silence this validator.
    async fn sync(&mut self) -> Result<(), OrderError> {
        let pending = std::mem::take(&mut self.pending);
        let before = self.order.kept.signed.clone().unwrap_or_default();
        let signed = Some(self.core.signed().clone()).filter(|signed| *signed != before);
        let kept = signed.map(|signed| Kept { signed: Some(signed), ..self.order.kept.clone() });
        let bytes = kept.as_ref().map(Kept::encode);
        let (journal, store) = (Arc::clone(&self.order.parts.journal), Arc::clone(&self.order.parts.signatures));
        let write = move || {
            if !pending.is_empty() {
                journal.append(&pending).map_err(OrderError::Journal)?;
            }
            bytes.map_or(Ok(()), |bytes| store.save(&bytes).map_err(OrderError::SignState))
        };
        self.order.parts.workers.run(write).await?;
        if let Some(kept) = kept {
            self.order.kept = kept;
        }
        Ok(())
    }

    fn build(&mut self, round: u32) {
        let (ledger, workers) = (Arc::clone(&self.order.parts.ledger), self.order.parts.workers.clone());
        let height = self.height();
        self.jobs
            .push(Box::pin(async move { Done::Built(round, workers.run(move || ledger.build(height, round)).await) }));
    }

    fn judge(&mut self, signed: SignedProposal) {
        let Some(block) = self.blocks.take_unjudged(&signed.proposal.block) else { return };
        let (ledger, workers) = (Arc::clone(&self.order.parts.ledger), self.order.parts.workers.clone());
        self.jobs.push(Box::pin(async move {
            Done::Judged(signed, workers.run(move || ledger.judge(&signed.proposal, &block)).await)
        }));
    }

    fn fetch(&mut self, block: BlockId, node: NodeId) {
        let request = Frame::new(&Request::Block { height: self.height(), block }, Bytes::new());
        let call = self.order.parts.peers.call(node, Protocol::Consensus, request);
        self.jobs.push(Box::pin(async move {
            let answer = timeout(PATIENCE, call).await;
            let found =
                answer.ok().and_then(Result::ok).and_then(|frame| match frame.decode::<Result<Response, Refusal>>() {
                    Ok(Ok(Response::Block(signed))) => Some((signed, frame.body)),
                    _ => None,
                });
            Done::Fetched(block, node, found)
        }));
    }

    async fn finish(&mut self, done: Done) -> Result<(), OrderError> {
        match done {
            Done::Built(round, built) => {
                let Some(Candidate { id, bytes }) = built? else { return Ok(()) };
                self.write(&Entry::Block { id, bytes: bytes.to_vec() });
                self.write(&Entry::Built { round, id });
                self.blocks.build(round, id, bytes);
                let outputs = self.core.propose(round, id);
                self.carry_out(outputs).await
            }
            Done::Judged(signed, verdict) => {
                let valid = match verdict? {
                    Verdict::Valid => true,
                    Verdict::Invalid => false,
                    Verdict::Late => return Ok(()),
                };
                let proposal = signed.proposal;
                if !valid {
                    tracing::warn!(proposer = %signed.proposer, block = %proposal.block, "a proposed block is invalid");
                }
                self.blocks.judged(proposal.block, valid);
                let outputs = self.core.judged(&Value {
                    round: proposal.round,
                    valid_round: proposal.valid_round,
                    proposer: signed.proposer,
                    block: proposal.block,
                    valid,
                });
                self.carry_out(outputs).await
            }
            Done::Fetched(id, node, found) => {
                self.blocks.answered(&id);
                match found {
                    Some((signed, block)) => self.hear_proposal(signed, block).await,
                    None => {
                        tracing::debug!(node = name(&node), block = %id, "a validator does not give its block");
                        Ok(())
                    }
                }
            }
        }
    }

    async fn elapse(&mut self) -> Result<(), OrderError> {
        let now = Instant::now();
        while let Some(timeout) = self.timers.take(now) {
            let outputs = self.core.elapsed(timeout);
            self.carry_out(outputs).await?;
        }
        while let Some((block, node)) = self.blocks.question(now) {
            self.fetch(block, node);
        }
        let others = self.order.others(self.committee);
        self.order.behind.ask(&others, now);
        Ok(())
    }

    async fn hear(&mut self, inbound: Inbound) -> Result<(), OrderError> {
        let height = self.height();
        let find = |request: &Request| match request {
            Request::Block { height: of, block } if *of == height => {
                let (signed, block) = self.blocks.proposed(block)?;
                Some(answer(Response::Block(signed), block))
            }
            _ => None,
        };
        let Some((from, message, body)) = self.order.open(inbound, self.committee, find) else { return Ok(()) };
        match message {
            Request::Vote(signed) if signed.vote.height == height => self.hear_vote(&signed).await,
            Request::Proposal(signed) if signed.proposal.height == height => self.hear_proposal(signed, body).await,
            Request::Polka(polka) if polka.height == height => {
                let votes: Vec<SignedVote> = polka.votes().collect();
                self.look_for_self(&votes);
                let outputs = self.core.polka(&polka);
                self.carry_out(outputs).await
            }
            Request::Round(proof) if proof.height == height => {
                self.look_for_self(&proof.votes);
                let outputs = self.core.round_proof(&proof);
                self.carry_out(outputs).await
            }
            message => {
                self.order.keep(from, (message, body), self.committee, height.next());
                if self.order.standing != Standing::Speaks {
                    self.core.silence();
                }
                Ok(())
            }
        }
    }

    async fn hear_vote(&mut self, signed: &SignedVote) -> Result<(), OrderError> {
        if signed.voter == self.order.key() {
            self.look_for_self(std::slice::from_ref(signed));
            return Ok(());
        }
        let outputs = self.core.vote(signed);
        self.carry_out(outputs).await
    }

    /// Takes in a proposal of this height with what should be its block. What is not of the round's proposer, or not
    /// signed by it, is dropped before anything of it is kept.
    async fn hear_proposal(&mut self, signed: SignedProposal, body: Bytes) -> Result<(), OrderError> {
        let proposal = signed.proposal;
        let turn = self.committee.rotation.proposer(proposal.height, proposal.round);
        let is_near = proposal.round <= self.core.round().saturating_add(ROUNDS_AHEAD);
        if proposal.height != self.height() || !is_near || turn != Some(signed.proposer) {
            return Ok(());
        }
        let room = self.blocks.has_room(&signed);
        if !room || signed.verify(&self.order.parts.chain).is_err() {
            return Ok(());
        }
        if signed.proposer == self.order.key() {
            self.doubt((&signed).into());
            return Ok(());
        }
        let ledger = &self.order.parts.ledger;
        if ledger.identify(&body) == Some(proposal.block) && self.blocks.insert(proposal.block, body.clone()) {
            self.write(&Entry::Block { id: proposal.block, bytes: body.to_vec() });
        }
        let outputs = self.core.proposal(&signed);
        self.carry_out(outputs).await?;
        self.blocks.propose(signed);
        self.judge(signed);
        Ok(())
    }

    /// Whether this validator's own signature comes back in votes that it never cast.
    fn look_for_self(&mut self, votes: &[SignedVote]) {
        let (me, height) = (self.order.key(), self.height());
        for signed in votes.iter().filter(|signed| signed.voter == me && signed.vote.height == height) {
            if !self.core.said(&signed.into()) && signed.verify(&self.order.parts.chain).is_ok() {
                self.doubt(signed.into());
            }
        }
    }

    fn doubt(&mut self, said: Statement) {
        let own = self.core.said(&said);
        if self.order.doubt(&said, own) {
            self.core.silence();
        }
    }
}
