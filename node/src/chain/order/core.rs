//! The consensus engine, without a clock, a disk or a socket: an input in, the actions to take out.
//!
//! Wraps Malachite's consensus core. Each [`Core::step`] runs it until it needs more input, and collects its effects as
//! [`Output`]s; signatures are made and verified inside. The caller ([`super::session`]) writes the log first, then the
//! sign state, and only then sends. Not here: blocks, of which the engine knows the ids.

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
    wire::consensus::{ConsensusRequest, Polka, RoundProof},
};

use super::{
    context::{self, Address, Bft, BftHeight, BftSig, BftValidators, BlockRef},
    ledger::Equivocation,
    sign_state::{SignState, Statement},
    signatures::Signatures,
    wal::{JudgedBlock, TimeoutStep, WalEntry},
};

/// What is to be done.
#[derive(Debug)]
pub(super) enum Output {
    /// Append to the write-ahead log.
    Log(WalEntry),
    /// Send to the other validators, once log and sign state are synced.
    Send(ConsensusRequest),
    /// Start this timeout.
    Start(Timeout),
    /// Cancel this timeout.
    Cancel(Timeout),
    /// Cancel all timeouts.
    CancelAll,
    /// Build a block for this round and [`Core::propose`] it.
    Build(u32),
    /// The height is decided.
    Decide(QuorumCertificate),
    /// A validator equivocated.
    Report(Equivocation),
}

/// The engine at one height.
pub(super) struct Core {
    state: State<Bft>,
    handler: EffectHandler,
}

/// Handles the engine's effects: signs, verifies, and collects the rest as outputs.
struct EffectHandler {
    key: Keypair,
    chain: ChainId,
    signed: SignState,
    set: ValidatorSet,
    signatures: Signatures,
    /// What this validator signed at this height.
    own: BTreeSet<Statement>,
    outputs: Vec<Output>,
    /// Whether a signature was refused since the last step.
    refused: bool,
}

impl Core {
    /// The engine of the validator with this key at this height; `signed` is what it signed last.
    pub(super) fn new(
        (key, chain): (Keypair, ChainId),
        signed: SignState,
        height: Height,
        members: &BftValidators,
    ) -> Self {
        let set = members.rotation().set().clone();
        let params = Params {
            address: Address(key.public()),
            threshold_params: Default::default(),
            value_payload: ValuePayload::ProposalAndParts,
            enabled: true,
        };
        let state = State::new(Bft, BftHeight(height), members.clone(), params, 1, 1);
        let signatures = Signatures::new(chain, set.clone());
        let (own, outputs) = (BTreeSet::new(), Vec::new());
        let handler = EffectHandler { key, chain, signed, set, signatures, own, outputs, refused: false };
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

    /// What this validator signed last.
    pub(super) fn signed(&self) -> &SignState {
        &self.handler.signed
    }

    /// Whether this validator signed this at this height.
    pub(super) fn has_signed(&self, statement: &Statement) -> bool {
        self.handler.own.contains(statement)
    }

    /// All that this validator signed at this height.
    pub(super) fn own(&self) -> &BTreeSet<Statement> {
        &self.handler.own
    }

    /// Signs nothing more at this height, but still follows it.
    pub(super) fn stop_signing(&mut self) {
        self.state.params.enabled = false;
    }

    /// Starts the height with what the log has of it.
    pub(super) fn begin(&mut self, log: &[WalEntry]) -> Vec<Output> {
        let inputs: Vec<Input<Bft>> = log.iter().filter_map(|entry| self.input(entry)).collect();
        log.iter().for_each(|entry| self.handler.recall(entry));
        self.check_log();
        let (height, set) = (BftHeight(self.height()), self.state.validator_set().clone());
        let mut outputs = self.step(Input::StartHeight(height, set, false, None, VoteExtensionPolicy::Disabled));
        self.state.index_wal_entries(&inputs);
        for input in inputs {
            outputs.extend(self.step(input));
        }
        self.state.reset_entries_index();
        // What is signed only now, because the end of the log was lost, must be logged like anything else.
        outputs.retain(|output| !matches!(output, Output::Log(entry) if log.contains(entry)));
        outputs
    }

    /// A validator that signed at this height and has lost its log may be locked on a block without knowing on which:
    /// it must not sign before the next height. One that decides alone starts over: it has sent its votes to nobody.
    fn check_log(&mut self) {
        let handler = &self.handler;
        if handler.signed.of_height(self.height()).all(|statement| handler.own.contains(&statement)) {
            return;
        }
        if self.handler.set.len() == 1 {
            tracing::warn!(height = %self.height(), "consensus write-ahead log is lost; building the block again");
            self.handler.signed = SignState::default();
        } else {
            tracing::error!(
                height = %self.height(),
                "consensus write-ahead log lacks what this validator signed at this height; signing nothing until the \
                 next height to avoid equivocation"
            );
            self.stop_signing();
        }
    }

    fn input(&self, entry: &WalEntry) -> Option<Input<Bft>> {
        Some(match entry {
            WalEntry::Block { .. } | WalEntry::Built { .. } => return None,
            WalEntry::Judged(value) => Input::ProposedValue(self.value(value), ValueOrigin::Consensus),
            WalEntry::Proposal(signed) => Input::Proposal(context::bft_proposal(signed)),
            WalEntry::Vote(signed) => Input::Vote(context::bft_vote(signed)),
            WalEntry::Polka(polka) => Input::PolkaCertificate(context::polka_certificate(polka)),
            WalEntry::Timeout { step, round } => {
                let kind = match step {
                    TimeoutStep::Propose => TimeoutKind::Propose,
                    TimeoutStep::Prevote => TimeoutKind::Prevote,
                    TimeoutStep::Precommit => TimeoutKind::Precommit,
                };
                Input::TimeoutElapsed(Timeout::new(Round::new(*round), kind))
            }
        })
    }

    fn value(&self, value: &JudgedBlock) -> ProposedValue<Bft> {
        ProposedValue {
            height: BftHeight(self.height()),
            round: Round::new(value.round),
            valid_round: value.valid_round.map_or(Round::Nil, Round::new),
            proposer: Address(value.proposer),
            value: BlockRef(value.block),
            validity: Validity::from_bool(value.valid),
        }
    }

    /// A vote arrived.
    pub(super) fn vote(&mut self, signed: &SignedVote) -> Vec<Output> {
        self.step(Input::Vote(context::bft_vote(signed)))
    }

    /// A proposal arrived.
    pub(super) fn proposal(&mut self, signed: &SignedProposal) -> Vec<Output> {
        self.step(Input::Proposal(context::bft_proposal(signed)))
    }

    /// A polka (a quorum of prevotes) arrived.
    pub(super) fn polka(&mut self, polka: &Polka) -> Vec<Output> {
        let votes = polka.votes().map(|signed| self.handler.signatures.as_verified(signed));
        let signatures = votes.map(|signed| (signed.voter, signed.signature)).collect();
        let polka = Polka { signatures, ..*polka };
        self.step(Input::PolkaCertificate(context::polka_certificate(&polka)))
    }

    /// A proof arrived that another validator is in a later round.
    pub(super) fn round_proof(&mut self, proof: &RoundProof) -> Vec<Output> {
        let votes = proof.votes.iter().map(|signed| self.handler.signatures.as_verified(*signed)).collect();
        let proof = RoundProof { votes, ..*proof };
        context::round_certificate(&proof).map_or_else(Vec::new, |proof| self.step(Input::RoundCertificate(proof)))
    }

    /// What is known of this height's signatures.
    pub(super) fn signatures(&mut self) -> &mut Signatures {
        &mut self.handler.signatures
    }

    /// A block was validated.
    pub(super) fn judged(&mut self, value: &JudgedBlock) -> Vec<Output> {
        let value = self.value(value);
        self.step(Input::ProposedValue(value, ValueOrigin::Consensus))
    }

    /// The block that this validator built for the round.
    pub(super) fn propose(&mut self, round: u32, block: BlockId) -> Vec<Output> {
        self.step(Input::Propose(LocallyProposedValue::new(
            BftHeight(self.height()),
            Round::new(round),
            BlockRef(block),
        )))
    }

    /// A timeout elapsed.
    pub(super) fn elapsed(&mut self, timeout: Timeout) -> Vec<Output> {
        self.step(Input::TimeoutElapsed(timeout))
    }

    /// Equivocations seen, when the height ends without the engine's own decision.
    pub(super) fn evidence(&mut self) -> Vec<Equivocation> {
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
            // What it would do after that is unknown: it signs nothing, and the height's block comes from the others.
            tracing::error!(height = %self.height(), %error, "consensus engine failed; signing nothing at this height");
            self.stop_signing();
        }
        if std::mem::take(&mut self.handler.refused) {
            self.stop_signing();
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
                tracing::debug!(%height, %round, %proposer, ?role, "round started");
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
                    self.own.extend(self.own_statement(&entry));
                    self.outputs.push(Output::Log(entry));
                }
                r.resume_with(())
            }
            // DecidedBlock blocks arrive by chain/1, and are verified there.
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
                self.put(Output::Send(ConsensusRequest::Polka(context::polka(&certificate))), r)
            }
            Effect::PublishLivenessMsg(LivenessMsg::SkipRoundCertificate(certificate), r)
            | Effect::RepublishRoundCertificate(certificate, r) => {
                self.put(Output::Send(ConsensusRequest::Round(context::round_proof(&certificate))), r)
            }
            other => unreachable!("invariant: every effect is handled, but not {other:?}"),
        }
    }

    fn put(&mut self, output: Output, resume: impl Resumable<Bft, Value = ()>) -> Resume<Bft> {
        self.outputs.push(output);
        resume.resume_with(())
    }

    /// Own votes are sent only if they are in the sign state or later than it: what an old log has and was never sent
    /// is signed now.
    fn send_vote(&mut self, signed: &SignedVote) {
        if signed.voter != self.me() || self.signed.sign(signed.into(), &self.key, &self.chain).is_ok() {
            self.outputs.push(Output::Send(ConsensusRequest::Vote(*signed)));
        }
    }

    /// As with votes; proposals of others are passed on as they are.
    fn send_proposal(&mut self, signed: SignedProposal) {
        if signed.proposer != self.me() || self.signed.sign((&signed).into(), &self.key, &self.chain).is_ok() {
            self.outputs.push(Output::Send(ConsensusRequest::Proposal(signed)));
        }
    }

    /// An invalid signature marks what must not be signed: the engine drops it as it drops a forged one.
    fn sign(&mut self, statement: Statement) -> BftSig {
        match self.signed.sign(statement, &self.key, &self.chain) {
            Ok(signature) => BftSig(signature),
            Err(error) => {
                tracing::error!(?statement, %error, "refused to sign; signing nothing at this height");
                self.refused = true;
                BftSig(Signature([0; 64]))
            }
        }
    }

    fn verify(&mut self, message: SignedMessage<Bft, malachite_consensus::ConsensusMsg<Bft>>) -> bool {
        use malachite_consensus::ConsensusMsg::{Proposal, Vote};
        let signature = message.signature;
        match message.message {
            Vote(vote) => self.signatures.verifies(&context::signed_vote(&SignedMessage::new(vote, signature))),
            Proposal(offer) => {
                self.signatures.verifies_proposal(&context::signed_proposal(&SignedMessage::new(offer, signature)))
            }
        }
    }

    /// Whether these votes are of different validators with enough power together, and all signatures verify.
    fn proves(&mut self, votes: &[SignedVote], enough: fn(&Self, u128) -> bool) -> bool {
        let power = votes.iter().filter_map(|signed| self.set.power(&signed.voter)).map(u128::from).sum();
        self.signatures.can_prove(votes.iter())
            && enough(self, power)
            && votes.iter().all(|signed| self.signatures.verifies(signed))
    }

    fn quorum(&self, power: u128) -> bool {
        self.set.is_quorum(power)
    }

    /// Whether validators with this power must include an honest one.
    fn honest(&self, power: u128) -> bool {
        power * 3 > self.set.total()
    }

    fn me(&self) -> VoteKey {
        self.key.public()
    }

    /// What the log has and the sign state has not was never sent. It must be sent as logged, so it is signed before
    /// anything later. What is older than the sign state is refused, and not needed.
    fn recall(&mut self, entry: &WalEntry) {
        if let WalEntry::Vote(signed) = entry {
            self.signatures.trust(signed);
        }
        if let Some(statement) = self.own_statement(entry) {
            self.own.insert(statement);
            let _older = self.signed.sign(statement, &self.key, &self.chain);
        }
    }

    /// What this validator says in the entry, if it is its own.
    fn own_statement(&self, entry: &WalEntry) -> Option<Statement> {
        match entry {
            WalEntry::Vote(signed) if signed.voter == self.me() => Some(signed.into()),
            WalEntry::Proposal(signed) if signed.proposer == self.me() => Some(signed.into()),
            _ => None,
        }
    }
}

fn unproven() -> CertificateError<Bft> {
    CertificateError::VerificationError(None)
}

/// The log entry of an input, if it is logged.
fn entry(input: &Input<Bft>) -> Option<WalEntry> {
    Some(match input {
        Input::Vote(vote) => WalEntry::Vote(context::signed_vote(vote)),
        Input::Proposal(offer) => WalEntry::Proposal(context::signed_proposal(offer)),
        Input::PolkaCertificate(certificate) => WalEntry::Polka(context::polka(certificate)),
        Input::ProposedValue(value, _) => WalEntry::Judged(JudgedBlock {
            round: value.round.as_u32().unwrap_or(0),
            valid_round: value.valid_round.as_u32(),
            proposer: value.proposer.0,
            block: value.value.0,
            valid: value.validity.is_valid(),
        }),
        Input::TimeoutElapsed(timeout) => {
            let step = match timeout.kind {
                TimeoutKind::Propose => TimeoutStep::Propose,
                TimeoutKind::Prevote => TimeoutStep::Prevote,
                TimeoutKind::Precommit => TimeoutStep::Precommit,
                TimeoutKind::Rebroadcast | TimeoutKind::FinalizeHeight(_) => return None,
            };
            WalEntry::Timeout { step, round: timeout.round.as_u32().unwrap_or(0) }
        }
        // The engine does not need these logged: votes imply a round's proof, a judged block what was built.
        Input::StartHeight(..) | Input::Propose(_) | Input::RoundCertificate(_) | Input::SyncValueResponse(_) => {
            return None;
        }
    })
}

fn evidence(found: &MisbehaviorEvidence<Bft>) -> Vec<Equivocation> {
    let votes = found.votes.iter().flat_map(|(_, pairs)| pairs);
    let votes = votes.map(|(a, b)| Equivocation::Votes(context::signed_vote(a), context::signed_vote(b)));
    let proposals = found.proposals.iter().flat_map(|(_, pairs)| pairs);
    let proposals =
        proposals.map(|(a, b)| Equivocation::Proposals(context::signed_proposal(a), context::signed_proposal(b)));
    votes.chain(proposals).collect()
}
