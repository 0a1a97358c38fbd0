//! The ledger that all fake nodes share: every transaction that the rules allow is in a block immediately.

use std::sync::Arc;

use ostrakon_proto::{
    codec,
    id::{Amount, Height, NodeId, TxId},
    ledger::{
        CheckedTx, Pending, ProposedBlock, Proposer, Rules, TxError, history, propose,
        repair::tickets,
        state::{Key, Records},
        tree::prove,
        tx::{Action, Block, DecidedBlock, Transfer, Tx, TxBody, TxPlace, tx_proof},
        vote::{QuorumCertificate, SignedVote, ValidatorKeys, Vote, VoteKind},
    },
    light::{
        Answer, CertifiedHeader, Handover, Inclusion, PastBlock, PastHeader, ProvenRecord, UploadBasis, object_keys,
    },
    limits,
    params::Code,
    placement::{Caps, Draw, DrawSeed, RosterTree, prove_draw},
    wire::{Frame, Refusal, RefusalCode, chain},
};

use super::{NextTx, Shared, crowd, ok, refuse};

impl Shared {
    /// Whether uploads with this draw are taken.
    pub(super) fn is_good(&self, draw: Draw) -> bool {
        let clock = self.ledger.tip().running.clock;
        let newest = clock.drawable().unwrap_or_default();
        (self.rules.oldest_draw(clock.epoch)..=newest).contains(&draw.epoch) && draw.number < self.rules.params.draws
    }

    /// Whether this is asked of a later block than there is.
    pub(super) fn is_later(&self, asked: &chain::ChainRequest) -> bool {
        let newest = self.ledger.tip().height.max(Height(1));
        match asked {
            chain::ChainRequest::Tip { from }
            | chain::ChainRequest::Records { from, .. }
            | chain::ChainRequest::Basis { from, .. }
            | chain::ChainRequest::Object { from, .. } => *from > newest,
            _ => false,
        }
    }

    /// What an honest node says.
    pub(super) fn chain(&mut self, request: &Frame) -> Frame {
        match self.is_later(&request.decode().unwrap()) {
            true => refuse(RefusalCode::Busy, "nobody knows more than this ledger"),
            false => self.chain_as_it_is(request),
        }
    }

    /// The same, whichever block it is asked of.
    pub(super) fn chain_as_it_is(&mut self, request: &Frame) -> Frame {
        match request.decode::<chain::ChainRequest>().unwrap() {
            chain::ChainRequest::Head => refuse(RefusalCode::BadRequest, "no client takes a node's word for its tip"),
            chain::ChainRequest::Tip { .. } => self.answer(()),
            chain::ChainRequest::Records { keys, .. } => {
                let items = keys.iter().map(|key| self.proven(&Key::from_bytes(key).unwrap()));
                self.answer(items.collect::<Vec<_>>())
            }
            chain::ChainRequest::Basis { query, .. } => {
                let (keys, roster) = query.gather(&self.ledger);
                let records = keys.iter().map(|key| self.proven(key)).collect();
                self.answer(UploadBasis { records, roster })
            }
            chain::ChainRequest::Object { object, .. } => {
                let items = object_keys(object, &self.ledger).iter().map(|key| self.proven(key)).collect::<Vec<_>>();
                self.answer(items)
            }
            chain::ChainRequest::Submit { .. } => {
                let verdicts = self.submit_all(codec::decode(&request.body, limits::SUBMIT).unwrap());
                ok(&chain::ChainResponse::Verdicts, codec::encode(&verdicts).into())
            }
            chain::ChainRequest::Transaction { id, .. } => self.answer(self.inclusion(id)),
            chain::ChainRequest::Block { height, .. } => self.answer(self.past_block(height)),
            chain::ChainRequest::Activity { account, before, limit, .. } => {
                self.answer(self.activity(account, before, limit))
            }
            chain::ChainRequest::Prove { .. } => refuse(RefusalCode::BadRequest, "no client stores anything"),
            chain::ChainRequest::Blocks { .. } => {
                refuse(RefusalCode::BadRequest, "no client asks for blocks to follow")
            }
            chain::ChainRequest::Snapshots | chain::ChainRequest::Chunk { .. } | chain::ChainRequest::Past(_) => {
                refuse(RefusalCode::BadRequest, "no client keeps the ledger")
            }
            chain::ChainRequest::DialBack { .. } => refuse(RefusalCode::BadRequest, "no client announces addresses"),
            chain::ChainRequest::Draw { seed, code, .. } => match self.roster_for(&seed, code) {
                Some(shown) => self.answer(shown),
                None => refuse(RefusalCode::NotFound, "no such epoch"),
            },
            chain::ChainRequest::Handovers { .. } => {
                ok(&chain::ChainResponse::Hints, codec::encode(&Vec::<Handover>::new()).into())
            }
            chain::ChainRequest::Providers { after } => {
                let nodes = self.ledger.providers().into_iter().map(|provider| provider.node);
                let page: Vec<NodeId> = nodes.filter(|node| Some(*node) > after).take(5).collect();
                ok(&chain::ChainResponse::Hints, codec::encode(&page).into())
            }
            chain::ChainRequest::Faults { epoch, after } => {
                let page = if self.intake.hides_faults { Vec::new() } else { self.ledger.at_fault(epoch, after, 5) };
                ok(&chain::ChainResponse::Hints, codec::encode(&page).into())
            }
            chain::ChainRequest::Tickets { from, limit } => {
                let page = tickets(&self.ledger, from, usize::try_from(limit).unwrap().min(limits::TICKETS));
                ok(&chain::ChainResponse::Hints, codec::encode(&page).into())
            }
        }
    }

    fn proven(&self, key: &Key) -> ProvenRecord {
        let value = self.ledger.get(key).map(|record| codec::encode(&record));
        let key = key.to_bytes();
        let proof = prove(&self.ledger, self.ledger.tip().height.0, &key).unwrap();
        ProvenRecord { key, value, proof }
    }

    /// No more of the roster than the draw meets, as in a large network.
    fn roster_for(&self, seed: &DrawSeed, code: Code) -> Option<RosterTree> {
        let (rosters, summary) = (self.ledger.rosters(), self.ledger.epoch(seed.draw.epoch)?.roster);
        let caps = Caps::of(&summary, code, self.rules.params.min_domains).ok()?;
        Some(prove_draw(rosters.of(seed.draw.epoch)?, seed, code, &caps))
    }

    /// What is said, as of the newest block.
    fn answer<T: borsh::BorshSerialize>(&self, said: T) -> Frame {
        let DecidedBlock { block, certificate } = self.decided.last().unwrap().clone();
        let tip = CertifiedHeader { header: block.header, certificate };
        ok(&chain::ChainResponse::Answer, codec::encode(&Answer { tip, said }).into())
    }

    /// A node takes none behind one that it refused.
    fn submit_all(&mut self, txs: Vec<Tx>) -> Vec<Result<(), Refusal>> {
        let mut stuck = false;
        let mut take = |tx| {
            let taken = if stuck { Err(Refusal::new(RefusalCode::Invalid, "behind another")) } else { self.submit(tx) };
            stuck |= taken.is_err();
            taken
        };
        txs.into_iter().map(&mut take).collect()
    }

    fn submit(&mut self, tx: Tx) -> Result<(), Refusal> {
        if self.places.contains_key(&tx.id()) {
            return Ok(());
        }
        let refused =
            |part: &Action| matches!(part, Action::Commit(commit) if Some(commit.extent) == self.intake.refused);
        if tx.body.action.parts().iter().any(refused) {
            return Err(Refusal::new(RefusalCode::Invalid, "this extent is refused"));
        }
        match std::mem::take(&mut self.intake.next) {
            NextTx::Taken => {}
            NextTx::Forgotten => return Ok(()),
            NextTx::Overtaken => return self.decide(self.crowd()),
        }
        if self.intake.waiting.is_some() { self.take(tx) } else { self.decide(vec![tx]) }
    }

    /// Has a transaction wait for the next block, unless it would be refused there; one that comes after something that
    /// is missing waits for that.
    fn take(&mut self, tx: Tx) -> Result<(), Refusal> {
        let Some(waiting) = &self.intake.waiting else { return Ok(()) };
        if waiting.contains(&tx) {
            return Ok(());
        }
        let (account, nonce) = (tx.body.account, tx.body.nonce);
        let mut before: Vec<Tx> = waiting.iter().filter(|other| other.body.account == account).cloned().collect();
        if before.iter().any(|other| other.body.nonce == nonce) {
            return Err(Refusal::new(RefusalCode::Nonce, "another one with this nonce waits"));
        }
        before.retain(|other| other.body.nonce < nonce);
        before.sort_by_key(|other| other.body.nonce);
        let next = self.ledger.account(&account).nonce;
        let is_next = before.iter().map(|other| other.body.nonce).eq(next..nonce);
        if nonce < next || is_next {
            let proposal = self.propose(before.into_iter().chain([tx.clone()]).collect())?;
            refused(&proposal)?;
        }
        self.intake.waiting.iter_mut().for_each(|waiting| waiting.push(tx.clone()));
        Ok(())
    }

    /// Makes a block of what waits, but for what comes after something that is missing.
    pub(super) fn decide_waiting(&mut self) {
        let Some(mut txs) = self.intake.waiting.as_mut().map(std::mem::take) else { return };
        txs.sort_by_key(|tx| (tx.body.account, tx.body.nonce));
        let proposal = self.propose(txs.clone()).unwrap();
        let is_bad = |(tx, error): &(TxId, TxError)| (!matches!(error, TxError::Nonce { .. })).then_some(*tx);
        let bad: Vec<TxId> = proposal.rejected.iter().filter_map(is_bad).collect();
        self.commit(proposal);
        txs.retain(|tx| {
            let next = self.ledger.account(&tx.body.account).nonce;
            tx.body.nonce >= next && !bad.contains(&tx.id())
        });
        self.intake.waiting = Some(txs);
    }

    /// Transfers that make more than half a block.
    fn crowd(&self) -> Vec<Tx> {
        let (account, mut nonce) = (crowd().public(), self.ledger.account(&crowd().public()).nonce);
        let mut sign = || {
            let action = Action::Transfer(Transfer { to: account, amount: Amount(1) });
            let mut body = TxBody { account, nonce, valid_until: Height(1_000), salt: 0, fee: Amount::ZERO, action };
            body.fee = self.rules.fee(&body);
            nonce += 1;
            Tx::sign(body, &crowd(), &self.rules.chain)
        };
        let first = sign();
        let count = limits::FEE_TARGET / codec::encode(&first).len();
        std::iter::once(first).chain((0..count).map(|_| sign())).collect()
    }

    /// Makes a block of these, or none when one of them is refused.
    pub(super) fn decide(&mut self, txs: Vec<Tx>) -> Result<(), Refusal> {
        let proposal = self.propose(txs)?;
        refused(&proposal)?;
        self.commit(proposal);
        Ok(())
    }

    /// The next block, with those of these that may be in it.
    fn propose(&self, txs: Vec<Tx>) -> Result<ProposedBlock, Refusal> {
        let keys = &self.validators[0];
        let proposer = Proposer { key: keys.vote.public(), beacon: &keys.beacon, round: 0, now_ms: 0 };
        let check = |tx| CheckedTx::check(&self.rules, tx).map(Arc::new);
        let txs: Result<Vec<_>, _> = txs.into_iter().map(check).collect();
        let txs = txs.map_err(|error| Refusal::new(RefusalCode::Invalid, error))?;
        Ok(propose(&self.rules, &self.ledger, Pending::txs(&txs), &proposer).expect("rules that are known"))
    }

    fn commit(&mut self, proposal: ProposedBlock) {
        self.ledger.commit(&proposal.changes);
        self.rules = Rules::at(self.rules.chain, &self.ledger);
        self.history.extend(proposal.changes.history.iter().copied());
        let decided = decide(&self.rules, proposal.block, &self.validators);
        self.places.extend(decided.block.places().map(|(_, tx)| (tx.id(), self.decided.len())));
        self.decided.push(decided);
    }

    pub(super) fn past_block(&self, height: Height) -> PastBlock {
        let DecidedBlock { block, certificate } = self.decided[usize::try_from(height.0).unwrap() - 1].clone();
        let tip = self.decided.last().unwrap().block.header.height;
        let read = |position| self.history.get(&position).copied();
        let proof = (height < tip).then(|| history::prove(read, tip.0, height).unwrap());
        let Block { header, txs, charged, proofs } = block;
        PastBlock { block: PastHeader { header, proof }, certificate, txs, charged, proofs }
    }

    pub(super) fn inclusion(&self, tx: TxId) -> Option<Inclusion> {
        let block = &self.decided[*self.places.get(&tx)?].block;
        let (place, _) = block.places().find(|(_, one)| one.id() == tx).unwrap();
        Some(self.at(place))
    }

    /// Proof that there is a transaction at this place.
    pub(super) fn at(&self, TxPlace { height, list, index }: TxPlace) -> Inclusion {
        let decided = &self.decided[usize::try_from(height.0).unwrap() - 1];
        let ids: Vec<TxId> = decided.block.list(list).iter().map(Tx::id).collect();
        let PastBlock { block, .. } = self.past_block(height);
        Inclusion { block, list, proof: tx_proof(&ids, usize::try_from(index).unwrap()).unwrap() }
    }
}

/// Fails where something is not in a block that was to be.
fn refused(proposal: &ProposedBlock) -> Result<(), Refusal> {
    match proposal.rejected.first() {
        Some((_, error @ TxError::Nonce { .. })) => Err(Refusal::new(RefusalCode::Nonce, error)),
        Some((_, error)) => Err(Refusal::new(RefusalCode::Invalid, error)),
        None => Ok(()),
    }
}

/// The block, decided by as many of its validators as it takes.
pub(super) fn decide(rules: &Rules, block: Block, validators: &[ValidatorKeys]) -> DecidedBlock {
    let (height, id) = (block.header.height, block.header.id());
    let vote = Vote { kind: VoteKind::Precommit, height, round: 0, block: Some(id) };
    let signed = |keys: &ValidatorKeys| SignedVote::sign(vote, &keys.vote, &rules.chain);
    let needed = validators.iter().take(validators.len() * 2 / 3 + 1);
    let signatures = needed.map(signed).map(|vote| (vote.voter, vote.signature)).collect();
    DecidedBlock { block, certificate: QuorumCertificate { height, round: 0, block: id, signatures } }
}
