//! One height, from its start to its decision: carries out what the engine wants, in the order that safety needs.
//!
//! In come messages, elapsed timeouts, finished jobs and the tip; out go log entries, signatures to record, messages
//! and at last a decided block. Whatever led to a message is on disk before the message is sent. Not here: what to do
//! ([`super::core`]).

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use malachite_types::{Timeout, TimeoutKind};
use ostrakon_net::Inbound;
use ostrakon_proto::{
    id::{Height, VoteKey},
    ledger::vote::{QuorumCertificate, SignedProposal, SignedVote},
    wire::consensus::{ConsensusRequest, ConsensusResponse},
};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    Awaited, BlockVerdict, Committee, EncodedBlock, Ended, Equivocation, OrderError,
    context::BftValidators,
    core::{Core, Output},
    guard::Guard,
    messages::{Delivered, Messages, answer},
    proposals::{Done, Proposals},
    received::Message,
    sign_state::Statement,
    signer::Signer,
    signing_status::WATCH,
    timers::Timers,
    wal::{JudgedBlock, WalEntry},
};

/// Rounds ahead of its own whose proposals a validator accepts; the engine accepts as many.
const ROUNDS_AHEAD: u32 = 10;

/// What a session uses of its order.
pub(super) struct SessionParts<'a> {
    pub(super) committee: &'a Committee,
    pub(super) messages: &'a mut Messages,
    pub(super) signer: &'a mut Signer,
    pub(super) guard: &'a mut Guard,
}

/// One height.
pub(super) struct Session<'a> {
    committee: &'a Committee,
    messages: &'a mut Messages,
    signer: &'a mut Signer,
    guard: &'a mut Guard,
    proposals: Proposals,
    core: Core,
    timers: Timers,
    /// What the log had when the session started.
    log: Vec<WalEntry>,
    evidence: Vec<Equivocation>,
    /// How long the proposals took.
    delays: Vec<(VoteKey, Duration)>,
    decided: Option<QuorumCertificate>,
}

impl<'a> Session<'a> {
    /// The height of `parts.committee`, with what the log has of it.
    pub(super) fn new(
        parts: SessionParts<'a>,
        validators: &BftValidators,
        proposals: Proposals,
        log: Vec<WalEntry>,
    ) -> Self {
        let SessionParts { committee, messages, signer, guard } = parts;
        let keys = (signer.key.clone(), signer.chain);
        let mut core = Core::new(keys, signer.signed(), committee.height, validators);
        if !guard.may_sign() {
            core.stop_signing();
        }
        let factor = messages.delays.factor(&signer.me(), committee.rotation.set());
        let (timers, evidence, delays) = (Timers::new(factor), Vec::new(), Vec::new());
        Self { committee, messages, signer, guard, proposals, core, timers, log, evidence, delays, decided: None }
    }

    /// Runs the height until it is over.
    pub(super) async fn run(mut self, stop: &CancellationToken) -> Result<Ended, OrderError> {
        let ended = self.decide(stop).await;
        self.evidence.extend(self.core.evidence());
        self.signer.remember(self.height(), self.core.own().clone());
        self.learn_delays();
        if !self.evidence.is_empty() {
            tracing::warn!(height = %self.height(), count = self.evidence.len(), "validators equivocated");
            self.proposals.ledger().report(std::mem::take(&mut self.evidence));
        }
        ended
    }

    async fn decide(&mut self, stop: &CancellationToken) -> Result<Ended, OrderError> {
        let began = Instant::now();
        let log = std::mem::take(&mut self.log);
        if !log.is_empty() {
            tracing::info!(height = %self.height(), entries = log.len(), "resuming from the consensus write-ahead log");
        }
        self.messages.halt.begin(Instant::now());
        let outputs = self.core.begin(&log);
        self.carry_out(outputs).await?;
        for message in self.messages.received.drain(self.height()) {
            match message {
                Message::Vote(signed) => {
                    self.core.signatures().trust(&signed);
                    self.receive_vote(&signed).await?;
                }
                Message::Proposal(signed, block) => self.receive_proposal(signed, block).await?,
            }
        }
        let mut reached = self.proposals.reached();
        let watched = self.guard.watches(self.height()).then(|| Instant::now() + WATCH);
        loop {
            if let Some(certificate) = self.decided.take() {
                self.messages.metrics.decided(certificate.round, began.elapsed());
                self.proposals.commit(certificate).await?;
                self.messages.note_decided(self.committee);
                return Ok(Ended::Decided);
            }
            let due = self.due();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Ended::Stopped),
                () = &mut reached => return Ok(Ended::Decided),
                Some(done) = self.proposals.next() => self.finish(done).await?,
                () = sleep_until(due) => self.elapse().await?,
                done = self.messages.catch_up.drive() => done?,
                inbound = self.messages.arrivals.next() => self.receive(inbound).await?,
                () = self.messages.outbox.drive() => {}
                () = sleep_until(watched.unwrap_or(due)), if watched.is_some() => {
                    // What was received is not received again.
                    self.signer.sync(self.core.signed()).await?;
                    return Ok(Ended::Watched);
                }
            }
        }
    }

    fn height(&self) -> Height {
        self.committee.height
    }

    /// A proposal that was late and decided all the same proves no timeout too short: on an idle chain its proposer
    /// begins only when another validator, which had work, has waited for it in vain.
    fn learn_delays(&mut self) {
        let (patience, needed_more) = (self.timers.patience(), self.core.round() > 0);
        for (proposer, took) in self.delays.drain(..).filter(|(_, took)| needed_more || *took <= patience) {
            self.messages.delays.measured(proposer, took);
        }
    }

    /// When the next timeout, fetch, catching up or report is due.
    fn due(&self) -> Instant {
        let engine = self.timers.next().into_iter().chain(self.proposals.blocks.next_question());
        engine.chain(self.messages.halt.due()).fold(self.messages.catch_up.due(), Instant::min)
    }

    /// Does what the engine wants. Messages are sent only after the log and the sign state are synced.
    async fn carry_out(&mut self, outputs: Vec<Output>) -> Result<(), OrderError> {
        let (mut outputs, mut messages) = (VecDeque::from(outputs), Vec::new());
        while let Some(output) = outputs.pop_front() {
            match output {
                Output::Log(entry) => self.log_entry(&entry),
                Output::Send(message) => messages.push(message),
                Output::Start(timeout) => self.start(timeout),
                Output::Cancel(timeout) => self.timers.cancel(&timeout),
                Output::CancelAll => self.timers.cancel_all(),
                Output::Build(round) => match self.proposals.blocks.built(round) {
                    Some(block) => outputs.extend(self.core.propose(round, block)),
                    None => self.proposals.build(round),
                },
                Output::Decide(certificate) => self.decided = Some(certificate),
                Output::Report(evidence) => self.evidence.push(evidence),
            }
        }
        if !messages.is_empty() {
            self.signer.sync(self.core.signed()).await?;
        }
        for message in messages {
            let body = match &message {
                ConsensusRequest::Proposal(signed) => {
                    self.proposals.blocks.bytes(&signed.proposal.block).cloned().unwrap_or_default()
                }
                _ => Bytes::new(),
            };
            self.messages.outbox.send(&message, &body);
        }
        Ok(())
    }

    /// Starts a timeout. That of a proposal starts where its round does, also on the proposer itself.
    fn start(&mut self, timeout: Timeout) {
        let Some(round) = timeout.round.as_u32() else { return };
        let now = Instant::now();
        if timeout.kind == TimeoutKind::Propose {
            self.messages.delays.rounds.begin(self.height(), round, now);
        }
        self.timers.start(timeout, now);
    }

    /// Logs an entry, and takes note of what others signed: their signatures are verified.
    fn log_entry(&mut self, entry: &WalEntry) {
        self.signer.log(self.height(), entry);
        let (now, blocks) = (Instant::now(), &mut self.proposals.blocks);
        self.messages.received.record(entry);
        match entry {
            WalEntry::Vote(signed) => {
                self.messages.count_vote(signed);
                if let (Some(block), Some(node)) = (signed.vote.block, self.committee.nodes.get(&signed.voter)) {
                    blocks.want(block, *node, now);
                }
            }
            WalEntry::Proposal(signed) => {
                blocks.propose(*signed);
                if let Some(node) = self.committee.nodes.get(&signed.proposer) {
                    blocks.want(signed.proposal.block, *node, now);
                }
            }
            _ => {}
        }
    }

    async fn finish(&mut self, done: Done) -> Result<(), OrderError> {
        match done {
            Done::Built(round, built) => {
                let Some(EncodedBlock { id, bytes }) = built? else { return Ok(()) };
                self.signer.log(self.height(), &WalEntry::Block { id, bytes: bytes.to_vec() });
                self.signer.log(self.height(), &WalEntry::Built { round, id });
                self.proposals.blocks.build(round, id, bytes);
                let outputs = self.core.propose(round, id);
                self.carry_out(outputs).await
            }
            Done::Validated(signed, verdict) => {
                let valid = match verdict? {
                    BlockVerdict::Valid => true,
                    BlockVerdict::Invalid => false,
                    BlockVerdict::Late => return Ok(()),
                };
                let proposal = signed.proposal;
                if let Some(took) = self.messages.delays.rounds.elapsed(self.height(), proposal.round, Instant::now()) {
                    self.delays.push((signed.proposer, took));
                }
                self.proposals.blocks.judged(proposal.block, valid);
                let outputs = self.core.judged(&JudgedBlock {
                    round: proposal.round,
                    valid_round: proposal.valid_round,
                    proposer: signed.proposer,
                    block: proposal.block,
                    valid,
                });
                self.carry_out(outputs).await
            }
            Done::Fetched(block, node, found) => {
                self.proposals.blocks.answered(&block);
                match found {
                    Some((signed, body)) => self.receive_proposal(signed, body).await,
                    None => {
                        tracing::debug!(%node, %block, "validator did not send the block that it voted for");
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
        self.proposals.fetch_missing(now);
        self.messages.ask_for_blocks(self.committee, now);
        let round = (self.height(), self.core.round());
        let missing = self.messages.received.missing(self.committee.rotation.set(), &self.signer.me(), round);
        self.messages.report_halt(self.committee, Awaited::Votes, missing);
        Ok(())
    }

    async fn receive(&mut self, inbound: Inbound) -> Result<(), OrderError> {
        let height = self.height();
        let find = |request: &ConsensusRequest| match request {
            ConsensusRequest::Block { height: of, block } if *of == height => {
                let (signed, block) = self.proposals.blocks.proposed(block)?;
                Some(answer(ConsensusResponse::Block(signed), block))
            }
            _ => None,
        };
        let Some(delivered) = self.messages.open(inbound, self.committee, find) else { return Ok(()) };
        let (from, before) = (delivered.0, self.core.signatures().forged());
        let handled = self.handle(delivered).await;
        let forged = self.core.signatures().forged() - before;
        self.messages.forgers.note(&from, forged);
        (0..forged).for_each(|_| self.messages.metrics.refuse("signature"));
        handled
    }

    async fn handle(&mut self, (from, message, body): Delivered) -> Result<(), OrderError> {
        let height = self.height();
        match message {
            ConsensusRequest::Vote(signed) if signed.vote.height == height => self.receive_vote(&signed).await,
            ConsensusRequest::Proposal(signed) if signed.proposal.height == height => {
                self.receive_proposal(signed, body).await
            }
            ConsensusRequest::Polka(polka) if polka.height == height => {
                let votes: Vec<SignedVote> = polka.votes().collect();
                if !self.core.signatures().can_prove(votes.iter()) {
                    return Ok(());
                }
                self.look_for_own(&votes);
                let outputs = self.core.polka(&polka);
                self.carry_out(outputs).await
            }
            ConsensusRequest::Round(proof) if proof.height == height => {
                if !self.core.signatures().can_prove(proof.votes.iter()) {
                    return Ok(());
                }
                self.look_for_own(&proof.votes);
                let outputs = self.core.round_proof(&proof);
                self.carry_out(outputs).await
            }
            message => {
                if let Some(own) = self.messages.buffer((from, message, body), self.committee, height.next()) {
                    self.guard.saw_own(&own, height.next(), self.signer);
                }
                if !self.guard.may_sign() {
                    self.core.stop_signing();
                }
                Ok(())
            }
        }
    }

    async fn receive_vote(&mut self, signed: &SignedVote) -> Result<(), OrderError> {
        if signed.voter == self.signer.me() {
            self.look_for_own(std::slice::from_ref(signed));
            return Ok(());
        }
        let outputs = self.core.vote(signed);
        self.carry_out(outputs).await
    }

    /// Handles a proposal of this height with what should be its block. What is not of the round's proposer, or not
    /// signed by it, is dropped before anything of it is stored.
    async fn receive_proposal(&mut self, signed: SignedProposal, body: Bytes) -> Result<(), OrderError> {
        let proposal = signed.proposal;
        let turn = self.committee.rotation.proposer(proposal.height, proposal.round);
        let is_near = proposal.round <= self.core.round().saturating_add(ROUNDS_AHEAD);
        if proposal.height != self.height() || !is_near || turn != Some(signed.proposer) {
            return Ok(());
        }
        if !self.proposals.blocks.accepts(&signed) {
            return Ok(());
        }
        if !self.core.signatures().verifies_proposal(&signed) {
            return Ok(());
        }
        if signed.proposer == self.signer.me() {
            self.check_own(&(&signed).into());
            return Ok(());
        }
        if self.proposals.identify(&body) == Some(proposal.block)
            && self.proposals.blocks.insert(proposal.block, body.clone())
        {
            self.signer.log(self.height(), &WalEntry::Block { id: proposal.block, bytes: body.to_vec() });
        }
        let outputs = self.core.proposal(&signed);
        self.carry_out(outputs).await?;
        self.proposals.blocks.propose(signed);
        self.proposals.validate(signed);
        Ok(())
    }

    /// Looks for this validator's own signature on votes that it never cast.
    fn look_for_own(&mut self, votes: &[SignedVote]) {
        let (me, height) = (self.signer.me(), self.height());
        for signed in votes.iter().filter(|signed| signed.voter == me && signed.vote.height == height) {
            if !self.core.has_signed(&signed.into()) && self.core.signatures().verifies(signed) {
                self.check_own(&signed.into());
            }
        }
    }

    fn check_own(&mut self, statement: &Statement) {
        if self.guard.check_own(statement, self.core.has_signed(statement), self.signer) {
            self.core.stop_signing();
        }
    }
}
