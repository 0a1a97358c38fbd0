//! The engine, without a clock, a disk or a socket: an input in, what is to be done about it out.
//!
//! Wraps Malachite's consensus core. Each [`Core::step`] runs it until it rests and collects its effects as
//! [`Output`]s; signing and checking signatures happen inside. Whoever carries the outputs out first writes the log,
//! then the sign state, and only then sends ([`super::session`]). Not here: blocks, of which the engine knows the
//! names.

use std::{collections::BTreeSet, convert::Infallible};

use malachite_consensus::{
    Effect, Input, LivenessMsg, LocallyProposedValue, MisbehaviorEvidence, Params, ProposedValue, Resumable, Resume,
    SignedConsensusMsg, State, VoteExtensionError, process,
};
use malachite_types::{
    CertificateError, Round, RoundCertificateType, SignedMessage, Timeout, TimeoutKind, Validity, ValueOrigin,
    ValuePayload, VoteExtensionPolicy,
};
use ostrakon_proto::{
    id::{BlockId, ChainId, Height, VoteKey},
    ledger::vote::{QuorumCertificate, SignedProposal, SignedVote, ValidatorSet, VoteKind},
    sign::{Keypair, Signature},
    wire::consensus::{Polka, Request, RoundProof},
};

use super::{
    context::{self, Address, At, Bft, Members, Named, Sealed},
    ledger::Evidence,
    sign_state::{Refused, SignState, Statement},
    wal::{Entry, Value, Wait},
};

/// What is to be done.
#[derive(Debug)]
pub(super) enum Output {
    /// Write into the log.
    Log(Entry),
    /// Tell the other validators, once log and sign state are synced.
    Send(Request),
    /// Wait.
    Start(Timeout),
    /// Wait no longer.
    Cancel(Timeout),
    /// Wait for nothing any longer.
    CancelAll,
    /// Build a block for this round and [`Core::propose`] it.
    Build(u32),
    /// The height is decided.
    Decide(QuorumCertificate),
    /// Someone contradicted itself.
    Report(Evidence),
}

/// The engine at one height.
pub(super) struct Core {
    state: State<Bft>,
    handler: EffectHandler,
}

/// What the engine signs and checks with, and where its effects are collected.
struct EffectHandler {
    key: Keypair,
    chain: ChainId,
    signed: SignState,
    set: ValidatorSet,
    /// What this validator said at this height.
    own: BTreeSet<Statement>,
    outputs: Vec<Output>,
    /// Whether something was not signed.
    refused: bool,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("height", &self.height()).field("round", &self.round()).finish_non_exhaustive()
    }
}

impl Core {
    /// The engine of the validator with this key, which signed this last, at this height.
    pub(super) fn new((key, chain): (Keypair, ChainId), signed: SignState, height: Height, members: &Members) -> Self {
        let set = members.rotation().set().clone();
        let params = Params {
            address: Address(key.public()),
            threshold_params: Default::default(),
            value_payload: ValuePayload::ProposalAndParts,
            enabled: true,
        };
        let state = State::new(Bft, At(height), members.clone(), params, 1, 1);
        let handler =
            EffectHandler { key, chain, signed, set, own: BTreeSet::new(), outputs: Vec::new(), refused: false };
        Self { state, handler }
    }

    /// Its height.
    pub(super) fn height(&self) -> Height {
        self.state.height().0
    }

    /// Its round.
    pub(super) fn round(&self) -> u32 {
        self.state.round().as_u32().unwrap_or(0)
    }

    /// What was signed last.
    pub(super) fn signed(&self) -> &SignState {
        &self.handler.signed
    }

    /// Whether this validator said this at this height.
    pub(super) fn said(&self, statement: &Statement) -> bool {
        self.handler.own.contains(statement)
    }

    /// All that this validator said at this height.
    pub(super) fn own(&self) -> &BTreeSet<Statement> {
        &self.handler.own
    }

    /// Says nothing more at this height; still listens.
    pub(super) fn silence(&mut self) {
        self.state.params.enabled = false;
    }

    /// Begins the height with what the log has of it.
    pub(super) fn begin(&mut self, log: &[Entry]) -> Vec<Output> {
        let inputs: Vec<Input<Bft>> = log.iter().filter_map(|entry| self.input(entry)).collect();
        log.iter().for_each(|entry| self.handler.recall(entry));
        self.keep_quiet_without_memory();
        let (height, set) = (At(self.height()), self.state.validator_set().clone());
        let mut outputs = self.step(Input::StartHeight(height, set, false, None, VoteExtensionPolicy::Disabled));
        self.state.index_wal_entries(&inputs);
        for input in inputs {
            outputs.extend(self.step(input));
        }
        self.state.reset_entries_index();
        // What is said only now, because the end of the log was lost, is to be written as anything else.
        outputs.retain(|output| !matches!(output, Output::Log(entry) if log.contains(entry)));
        outputs
    }

    /// Who spoke at this height and has forgotten it may be bound to a block, and not know to which: it must not speak
    /// again before the next. One that is alone said it to nobody, and begins anew.
    fn keep_quiet_without_memory(&mut self) {
        let forgotten = self.handler.signed.of_height(self.height()).any(|said| !self.handler.own.contains(&said));
        if !forgotten {
            return;
        }
        if self.handler.set.len() == 1 {
            tracing::warn!(height = %self.height(), "the consensus log is lost: building the height's block anew");
            self.handler.signed = SignState::default();
        } else {
            tracing::error!(
                height = %self.height(),
                "what this validator signed at this height is not in its log: it signs nothing until the next height"
            );
            self.silence();
        }
    }

    fn input(&self, entry: &Entry) -> Option<Input<Bft>> {
        Some(match entry {
            Entry::Block { .. } | Entry::Built { .. } => return None,
            Entry::Value(value) => Input::ProposedValue(self.value(value), ValueOrigin::Consensus),
            Entry::Proposal(signed) => Input::Proposal(context::offer(signed)),
            Entry::Vote(signed) => Input::Vote(context::cast(signed)),
            Entry::Polka(polka) => Input::PolkaCertificate(context::polka_certificate(polka)),
            Entry::Timeout { wait, round } => {
                let kind = match wait {
                    Wait::Propose => TimeoutKind::Propose,
                    Wait::Prevote => TimeoutKind::Prevote,
                    Wait::Precommit => TimeoutKind::Precommit,
                };
                Input::TimeoutElapsed(Timeout::new(Round::new(*round), kind))
            }
        })
    }

    fn value(&self, value: &Value) -> ProposedValue<Bft> {
        ProposedValue {
            height: At(self.height()),
            round: Round::new(value.round),
            valid_round: value.valid_round.map_or(Round::Nil, Round::new),
            proposer: Address(value.proposer),
            value: Named(value.block),
            validity: Validity::from_bool(value.valid),
        }
    }

    /// Someone voted.
    pub(super) fn vote(&mut self, signed: &SignedVote) -> Vec<Output> {
        self.step(Input::Vote(context::cast(signed)))
    }

    /// Someone proposed.
    pub(super) fn proposal(&mut self, signed: &SignedProposal) -> Vec<Output> {
        self.step(Input::Proposal(context::offer(signed)))
    }

    /// Someone shows a polka.
    pub(super) fn polka(&mut self, polka: &Polka) -> Vec<Output> {
        self.step(Input::PolkaCertificate(context::polka_certificate(polka)))
    }

    /// Someone shows why it is in a later round.
    pub(super) fn round_proof(&mut self, proof: &RoundProof) -> Vec<Output> {
        context::round_certificate(proof).map_or_else(Vec::new, |proof| self.step(Input::RoundCertificate(proof)))
    }

    /// A block was judged.
    pub(super) fn judged(&mut self, value: &Value) -> Vec<Output> {
        let value = self.value(value);
        self.step(Input::ProposedValue(value, ValueOrigin::Consensus))
    }

    /// The block that was to be built.
    pub(super) fn propose(&mut self, round: u32, block: BlockId) -> Vec<Output> {
        self.step(Input::Propose(LocallyProposedValue::new(At(self.height()), Round::new(round), Named(block))))
    }

    /// A wait is over.
    pub(super) fn elapsed(&mut self, timeout: Timeout) -> Vec<Output> {
        self.step(Input::TimeoutElapsed(timeout))
    }

    /// What is known against others when the height ends without the engine's own decision.
    pub(super) fn evidence(&mut self) -> Vec<Evidence> {
        let proposals = self.state.driver.take_proposal_evidence();
        evidence(&MisbehaviorEvidence { proposals, votes: self.state.driver.take_vote_evidence() })
    }

    fn step(&mut self, input: Input<Bft>) -> Vec<Output> {
        let Self { state, handler } = self;
        let result: Result<(), malachite_consensus::Error<Bft>> = process!(
            input: input,
            state: state,
            metrics: &(),
            with: effect => Ok::<_, Infallible>(handler.handle(effect))
        );
        if let Err(error) = result {
            // What it does after that is unknown: it listens, and the height's block comes from the others.
            tracing::error!(height = %self.height(), %error, "the consensus engine failed: silent for this height");
            self.silence();
        }
        if std::mem::take(&mut self.handler.refused) {
            self.silence();
        }
        std::mem::take(&mut self.handler.outputs)
    }
}

impl EffectHandler {
    fn handle(&mut self, effect: Effect<Bft>) -> Resume<Bft> {
        match effect {
            Effect::CancelAllTimeouts(r) => self.put(Output::CancelAll, r),
            Effect::CancelTimeout(timeout, r) => self.put(Output::Cancel(timeout), r),
            Effect::ScheduleTimeout(timeout, r) => self.put(Output::Start(timeout), r),
            Effect::StartRound(height, round, proposer, role, r) => {
                tracing::debug!(%height, %round, %proposer, ?role, "a round begins");
                r.resume_with(())
            }
            Effect::GetValue(_, round, _, r) => self.put(Output::Build(round.as_u32().unwrap_or(0)), r),
            // The block travels with the proposal, which the engine publishes besides.
            Effect::RestreamProposal(.., r) => r.resume_with(()),
            Effect::Decide(certificate, _, r) => self.put(Output::Decide(context::certificate(&certificate)), r),
            Effect::Finalize(_, _, found, r) => {
                self.outputs.extend(evidence(&found).into_iter().map(Output::Report));
                r.resume_with(())
            }
            Effect::WalAppend(_, input, r) => {
                if let Some(entry) = entry(&input) {
                    self.note(&entry);
                    self.outputs.push(Output::Log(entry));
                }
                r.resume_with(())
            }
            // Decided blocks come by chain/1, and are judged there.
            Effect::CertVerifiedSyncValue(_, _, r) => r.resume_with(()),
            Effect::CertRejectedSyncValue(_, _, _, r) => r.resume_with(()),
            other => self.handle_signatures(other),
        }
    }

    fn handle_signatures(&mut self, effect: Effect<Bft>) -> Resume<Bft> {
        match effect {
            Effect::SignVote(vote, r) => {
                let signature = self.sign(Statement::Vote(context::vote(&vote)));
                r.resume_with(SignedMessage::new(vote, signature))
            }
            Effect::SignProposal(offer, r) => {
                let signature = self.sign(Statement::Proposal(context::proposal(&offer)));
                r.resume_with(SignedMessage::new(offer, signature))
            }
            Effect::VerifySignature(message, _, r) => r.resume_with(self.verify(message)),
            Effect::VerifyCommitCertificate(certificate, _, _, r) => {
                let verdict = context::certificate(&certificate).verify(&self.set, &self.chain);
                r.resume_with(verdict.map_err(|_| unproven()))
            }
            Effect::VerifyExtendedCommitCertificate(.., r) => r.resume_with(Err(unproven())),
            Effect::VerifyPolkaCertificate(certificate, _, _, r) => {
                let polka = context::polka(&certificate);
                let whole = polka.signatures.len() == certificate.polka_signatures.len();
                let votes: Vec<SignedVote> = polka.votes().collect();
                r.resume_with(if whole && self.proves(&votes, Self::quorum) { Ok(()) } else { Err(unproven()) })
            }
            Effect::VerifyRoundCertificate(certificate, _, _, r) => {
                let proof = context::round_proof(&certificate);
                let fits = match certificate.cert_type {
                    RoundCertificateType::Skip => self.proves(&proof.votes, Self::honest),
                    RoundCertificateType::Precommit => {
                        proof.votes.iter().all(|signed| signed.vote.kind == VoteKind::Precommit)
                            && self.proves(&proof.votes, Self::quorum)
                    }
                };
                r.resume_with(if fits { Ok(()) } else { Err(unproven()) })
            }
            Effect::ExtendVote(.., r) => r.resume_with(None),
            Effect::VerifyVoteExtension(.., r) => r.resume_with(Err(VoteExtensionError::InvalidVoteExtension)),
            other => self.handle_messages(other),
        }
    }

    fn handle_messages(&mut self, effect: Effect<Bft>) -> Resume<Bft> {
        match effect {
            Effect::PublishConsensusMsg(SignedConsensusMsg::Vote(vote), r) => {
                self.send_vote(&context::signed_vote(&vote));
                r.resume_with(())
            }
            Effect::PublishConsensusMsg(SignedConsensusMsg::Proposal(offer), r) => {
                self.send_proposal(context::signed_proposal(&offer));
                r.resume_with(())
            }
            Effect::PublishLivenessMsg(LivenessMsg::Vote(vote), r) | Effect::RepublishVote(vote, r) => {
                self.send_vote(&context::signed_vote(&vote));
                r.resume_with(())
            }
            Effect::PublishLivenessMsg(LivenessMsg::PolkaCertificate(certificate), r) => {
                self.put(Output::Send(Request::Polka(context::polka(&certificate))), r)
            }
            Effect::PublishLivenessMsg(LivenessMsg::SkipRoundCertificate(certificate), r)
            | Effect::RepublishRoundCertificate(certificate, r) => {
                self.put(Output::Send(Request::Round(context::round_proof(&certificate))), r)
            }
            other => unreachable!("invariant: every effect is handled, but not {other:?}"),
        }
    }

    fn put(&mut self, output: Output, resume: impl Resumable<Bft, Value = ()>) -> Resume<Bft> {
        self.outputs.push(output);
        resume.resume_with(())
    }

    /// Own votes leave only when they are what the sign state has, or are further on: what comes from an old log and
    /// was never sent is signed now.
    fn send_vote(&mut self, signed: &SignedVote) {
        if signed.voter != self.me() || self.signed.sign(signed.into(), &self.key, &self.chain).is_ok() {
            self.outputs.push(Output::Send(Request::Vote(*signed)));
        }
    }

    /// As with votes; proposals of others are passed on as they are.
    fn send_proposal(&mut self, signed: SignedProposal) {
        if signed.proposer != self.me() || self.signed.sign((&signed).into(), &self.key, &self.chain).is_ok() {
            self.outputs.push(Output::Send(Request::Proposal(signed)));
        }
    }

    /// A signature that is none stands for what may not be signed: the engine then drops it as it drops a stranger's.
    fn sign(&mut self, said: Statement) -> Sealed {
        match self.signed.sign(said, &self.key, &self.chain) {
            Ok(signature) => Sealed(signature),
            Err(refused) => {
                self.log_refusal(said, refused);
                self.refused = true;
                Sealed(Signature([0; 64]))
            }
        }
    }

    fn log_refusal(&self, said: Statement, refused: Refused) {
        tracing::error!(?said, %refused, "this validator does not sign, and is silent for this height");
    }

    fn verify(&self, message: SignedMessage<Bft, malachite_consensus::ConsensusMsg<Bft>>) -> bool {
        use malachite_consensus::ConsensusMsg::{Proposal, Vote};
        let signature = message.signature;
        match message.message {
            Vote(vote) => context::signed_vote(&SignedMessage::new(vote, signature)).verify(&self.chain).is_ok(),
            Proposal(offer) => {
                context::signed_proposal(&SignedMessage::new(offer, signature)).verify(&self.chain).is_ok()
            }
        }
    }

    /// Whether these votes are of different validators who all signed and have enough power together.
    fn proves(&self, votes: &[SignedVote], enough: fn(&Self, u128) -> bool) -> bool {
        let voters: BTreeSet<VoteKey> = votes.iter().map(|signed| signed.voter).collect();
        let powers: Option<Vec<u64>> = voters.iter().map(|voter| self.set.power(voter)).collect();
        let power = powers.map(|powers| powers.into_iter().map(u128::from).sum());
        let differ = voters.len() == votes.len();
        differ
            && power.is_some_and(|power| enough(self, power))
            && votes.iter().all(|signed| signed.verify(&self.chain).is_ok())
    }

    fn quorum(&self, power: u128) -> bool {
        self.set.is_quorum(power)
    }

    /// Whether an honest one must be among them.
    fn honest(&self, power: u128) -> bool {
        power * 3 > self.set.total()
    }

    fn me(&self) -> VoteKey {
        self.key.public()
    }

    /// What the log has and the sign state has not was never sent. It is to be said as it is there, so it is signed
    /// before anything that comes later. What is older than the sign state is refused, and is not needed.
    fn recall(&mut self, entry: &Entry) {
        self.note(entry);
        let said = match entry {
            Entry::Vote(signed) if signed.voter == self.me() => Statement::from(signed),
            Entry::Proposal(signed) if signed.proposer == self.me() => Statement::from(signed),
            _ => return,
        };
        let _older = self.signed.sign(said, &self.key, &self.chain);
    }

    fn note(&mut self, entry: &Entry) {
        match entry {
            Entry::Vote(signed) => self.note_own(signed),
            Entry::Proposal(signed) => self.note_own_proposal(signed),
            _ => {}
        }
    }

    fn note_own(&mut self, signed: &SignedVote) {
        if signed.voter == self.me() {
            self.own.insert(signed.into());
        }
    }

    fn note_own_proposal(&mut self, signed: &SignedProposal) {
        if signed.proposer == self.me() {
            self.own.insert(signed.into());
        }
    }
}

fn unproven() -> CertificateError<Bft> {
    CertificateError::VerificationError(None)
}

/// What the log keeps of an input.
fn entry(input: &Input<Bft>) -> Option<Entry> {
    Some(match input {
        Input::Vote(vote) => Entry::Vote(context::signed_vote(vote)),
        Input::Proposal(offer) => Entry::Proposal(context::signed_proposal(offer)),
        Input::PolkaCertificate(certificate) => Entry::Polka(context::polka(certificate)),
        Input::ProposedValue(value, _) => Entry::Value(Value {
            round: value.round.as_u32().unwrap_or(0),
            valid_round: value.valid_round.as_u32(),
            proposer: value.proposer.0,
            block: value.value.0,
            valid: value.validity.is_valid(),
        }),
        Input::TimeoutElapsed(timeout) => {
            let wait = match timeout.kind {
                TimeoutKind::Propose => Wait::Propose,
                TimeoutKind::Prevote => Wait::Prevote,
                TimeoutKind::Precommit => Wait::Precommit,
                TimeoutKind::Rebroadcast | TimeoutKind::FinalizeHeight(_) => return None,
            };
            Entry::Timeout { wait, round: timeout.round.as_u32().unwrap_or(0) }
        }
        // The engine does not ask for these to be kept: votes stand for a round's proof, a value for what was built.
        Input::StartHeight(..) | Input::Propose(_) | Input::RoundCertificate(_) | Input::SyncValueResponse(_) => {
            return None;
        }
    })
}

fn evidence(found: &MisbehaviorEvidence<Bft>) -> Vec<Evidence> {
    let votes = found.votes.iter().flat_map(|(_, pairs)| pairs);
    let votes = votes.map(|(a, b)| Evidence::Votes(context::signed_vote(a), context::signed_vote(b)));
    let proposals = found.proposals.iter().flat_map(|(_, pairs)| pairs);
    let proposals =
        proposals.map(|(a, b)| Evidence::Proposals(context::signed_proposal(a), context::signed_proposal(b)));
    votes.chain(proposals).collect()
}
