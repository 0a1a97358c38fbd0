//! A network of fourteen providers in seven domains, an account with money and one without, and four validators.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    audit::StorageProof,
    beacon::BeaconSecret,
    codec,
    id::{AccountId, Amount, BlockId, ColumnId, Epoch, Height, NodeId, ObjectId, VoterKind},
    ledger::{
        CheckedTx, DrawChance, Execution, Genesis, GenesisAccount, GenesisProvider, GenesisValidator, MemoryRecords,
        Pending, ProposedBlock, Proposer, Rosters, Rules, TxError, execute, full_bond,
        proofs::ProofKey,
        propose, rotation,
        state::{
            Account, Bonded, CommitmentId, Domain, EpochRecord, Key, Membership, ProviderStatus, Record, Records,
            SlotState, Tip, Validator, ValidatorStatus,
        },
        tree,
        tx::{
            Action, Block, Commit, Consent, DecidedBlock, Evidence, Header, Join, Receipt, Register, Seat, SlotClaim,
            Transfer, Tx, TxBody,
        },
        vote::{QuorumCertificate, SignedVote, Vote, VoteKind},
    },
    light::ProvenRecord,
    limits,
    params::{Audits, Code, Params, Repair, Timing},
    placement::{Caps, DomainTags, Draw, DrawSeed, Offer, RosterEntry, Tag, draw},
    sign::{Keypair, Purpose},
};

/// Validators that there are keys of: four of the genesis, and some who may join.
pub(super) const VALIDATORS: u8 = 20;
/// Bytes that each provider offers.
pub(super) const CAPACITY: u64 = 1 << 30;
/// Money of the rich accounts.
pub(super) const RICHES: Amount = Amount(1_000_000_000);

pub(super) fn key(seed: u8) -> Keypair {
    Keypair::from_seed(&[seed; 32])
}

pub(super) fn alice() -> Keypair {
    key(1)
}

pub(super) fn bob() -> Keypair {
    key(2)
}

/// Has no money.
pub(super) fn pauper() -> Keypair {
    key(3)
}

/// Owns every provider of the genesis, and has money.
pub(super) fn landlord() -> Keypair {
    key(4)
}

/// The node key of provider `index`.
pub(super) fn node_key(index: u8) -> Keypair {
    key(100 + index)
}

/// The vote key of validator `index`.
pub(super) fn vote_key(index: u8) -> Keypair {
    key(200 + index)
}

/// The beacon key of validator `index`.
pub(super) fn beacon_key(index: u8) -> BeaconSecret {
    BeaconSecret::from_seed(&[200 + index; 32])
}

pub(super) fn code(text: &str) -> Code {
    text.parse().expect("a code")
}

pub(super) fn domain(index: u8) -> Domain {
    Domain {
        operator: format!("operator-{index}"),
        infrastructure: format!("cloud-{}", index % 7),
        region: format!("region-{}", index % 7),
    }
}

pub(super) fn object(number: u8) -> ObjectId {
    ObjectId::new([number; 32])
}

/// The first extent of the object with this number.
pub(super) fn key_of(owner: &Keypair, number: u8) -> CommitmentId {
    CommitmentId { object: object(number), extent: 0, owner: id(owner) }
}

pub(super) fn genesis() -> Genesis {
    let provider = |index| GenesisProvider {
        owner: landlord().public(),
        node: node_key(index).public(),
        addresses: vec![format!("/ip4/127.0.0.1/tcp/{}", 4_000 + u16::from(index))],
        price: Amount(1_000_000 + u64::from(index)),
        capacity: CAPACITY,
        bond: None,
        proven: None,
        domain: domain(index),
    };
    let account = |key: Keypair| GenesisAccount { account: key.public(), balance: RICHES };
    let validator = |index: u8| GenesisValidator {
        owner: landlord().public(),
        key: vote_key(index).public(),
        node: node_key(index).public(),
        addresses: vec![format!("/ip4/127.0.0.1/tcp/{}", 4_000 + u16::from(index))],
        beacon_key: beacon_key(index).public(),
        bond: Params::default().bonds.validator,
        domain: domain(index),
    };
    Genesis {
        name: "test".to_owned(),
        time_ms: 1_700_000_000_000,
        bootstrap: vec![],
        membership: Membership::Permissionless,
        params: Params {
            time: Timing { epoch_ms: 4_000, window_blocks: 1, beacon_blocks: 1, ..Timing::default() },
            draw_epochs: 2,
            term_epochs: 100,
            // Most tests have columns that nobody has the bytes of.
            audits: Audits { suspend_after: u32::MAX, ..Audits::default() },
            repair: Repair { turn_epochs: 1, ..Repair::default() },
            ..Params::default()
        },
        accounts: vec![account(alice()), account(bob()), account(landlord())],
        validators: (0..4).map(validator).collect(),
        providers: (0..14).map(provider).collect(),
    }
}

/// Whether the record under this key follows from several others.
pub(super) fn is_inventory(key: &Key) -> bool {
    matches!(key, Key::Held(..) | Key::HeldSum(..) | Key::Rate(..))
}

/// One node's view of the network, and the means to speak in it.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) rules: Rules,
    pub(super) state: MemoryRecords,
    /// Storage proofs that the next block may have.
    pub(super) proofs: BTreeMap<ProofKey, Arc<StorageProof>>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::of(&genesis())
    }

    /// The network of this genesis, with as many blocks as make its first beacon.
    pub(super) fn of(genesis: &Genesis) -> Self {
        let mut world = Self::founded(genesis);
        while world.state.tip().running.clock.drawable().is_none() {
            world.block(vec![]);
        }
        world
    }

    /// A network with pulses of two blocks, and an account that began in its last block.
    pub(super) fn with_newcomer() -> (Self, Keypair) {
        let mut founding = genesis();
        founding.params.time.beacon_blocks = 2;
        let (mut world, newcomer) = (Self::of(&founding), key(90));
        world.wait_for(1);
        world.does(&alice(), Action::Transfer(Transfer { to: id(&newcomer), amount: Amount(100_000_000) }));
        (world, newcomer)
    }

    /// The network of this genesis, without a block yet.
    pub(super) fn founded(genesis: &Genesis) -> Self {
        assert_eq!(genesis.validate(), Ok(()));
        Self { rules: Rules::from(genesis), state: MemoryRecords::new(&genesis.changes()), proofs: BTreeMap::new() }
    }

    pub(super) fn account(&self, key: &Keypair) -> Account {
        self.state.account(&key.public())
    }

    /// These records as an honest node proves them, and the header that they are proven against.
    pub(super) fn proven(&self, keys: &[Key]) -> (Vec<ProvenRecord>, Header) {
        let version = self.state.tip().height.0;
        let proven = |key: &Key| {
            let value = self.state.get(key).map(|record| codec::encode(&record));
            let key = key.to_bytes();
            let proof = tree::prove(&self.state, version, &key).expect("the tree is whole");
            ProvenRecord { key, value, proof }
        };
        // All that is read of the header is the state's root.
        let header = Header { state: self.state.tip().state, ..self.propose(vec![]).block.header };
        (keys.iter().map(proven).collect(), header)
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.state.tip().running.clock.epoch
    }

    /// A proper body of the sender's next transaction.
    pub(super) fn body(&self, sender: &Keypair, action: Action) -> TxBody {
        let mut body = TxBody {
            account: sender.public(),
            nonce: self.account(sender).nonce,
            valid_until: Height(self.state.tip().height.0 + 10),
            salt: 0,
            fee: Amount::ZERO,
            action,
        };
        body.fee = self.rules.fee(&body);
        body
    }

    pub(super) fn tx(&self, sender: &Keypair, action: Action) -> Tx {
        Tx::sign(self.body(sender, action), sender, &self.rules.chain)
    }

    /// What the rules say to a transaction in the next block. A refusal must leave no trace.
    pub(super) fn verdict(&self, tx: &Tx) -> Result<(), TxError> {
        let mut execution = Execution::new(&self.rules, &self.state, self.state.tip().running.time_ms + 1, 0);
        let before = execution.records().changes().clone();
        let verdict = CheckedTx::check(&self.rules, tx.clone()).and_then(|tx| execution.apply(&tx));
        if verdict.is_err() {
            assert_eq!(execution.records().changes(), before, "a refused transaction leaves no trace");
        }
        // Whether it is charged is told apart where that is tested.
        verdict.map_err(cause)
    }

    pub(super) fn propose(&self, txs: Vec<Tx>) -> ProposedBlock {
        self.propose_in(0, txs)
    }

    /// What the validator whose turn it is in this round proposes.
    pub(super) fn propose_in(&self, round: u32, txs: Vec<Tx>) -> ProposedBlock {
        let tip = self.state.tip();
        let key = rotation(&self.state).proposer(tip.height.next(), round).expect("there are validators");
        let index = (0..VALIDATORS).find(|index| vote_key(*index).public::<VoterKind>() == key).expect("one of ours");
        let (beacon, now_ms) = (beacon_key(index), tip.running.time_ms + 1_000);
        let (mut good, mut malformed) = (Vec::new(), Vec::new());
        for tx in txs {
            let id = tx.id();
            match CheckedTx::check(&self.rules, tx) {
                Ok(tx) => good.push(Arc::new(tx)),
                Err(error) => malformed.push((id, error)),
            }
        }
        let proposer = Proposer { key, beacon: &beacon, round, now_ms };
        let pending = Pending { txs: &good, proofs: &self.proofs };
        let mut proposal = propose(&self.rules, &self.state, pending, &proposer).expect("the rules are known");
        proposal.rejected.extend(malformed);
        proposal
    }

    /// The block with the precommits of all who vote.
    pub(super) fn decide(&self, block: Block) -> DecidedBlock {
        let set = self.state.validator_set();
        let voters = (0..VALIDATORS).filter(|index| set.power(&vote_key(*index).public()).is_some());
        let certificate = self.certificate(&block, voters);
        DecidedBlock { block, certificate }
    }

    /// The precommits of these validators for the block.
    pub(super) fn certificate(&self, block: &Block, voters: impl IntoIterator<Item = u8>) -> QuorumCertificate {
        let (height, round, id) = (block.header.height, block.header.round, block.header.id());
        let vote = Vote { kind: VoteKind::Precommit, height, round, block: Some(id) };
        let sign = |index: u8| {
            let signed = SignedVote::sign(vote, &vote_key(index), &self.rules.chain);
            (signed.voter, signed.signature)
        };
        QuorumCertificate { height, round, block: id, signatures: voters.into_iter().map(sign).collect() }
    }

    /// Proposes and executes a block of these, which must all be accepted, and checks every invariant.
    pub(super) fn block(&mut self, txs: Vec<Tx>) {
        let proposal = self.offer(txs);
        assert_eq!((proposal.rejected, proposal.block.charged), (vec![], vec![]));
    }

    /// As [`World::block`], but some may be refused.
    pub(super) fn offer(&mut self, txs: Vec<Tx>) -> ProposedBlock {
        let proposal = self.propose(txs);
        let executed = execute(&self.rules, &self.state, &self.decide(proposal.block.clone()));
        assert_eq!(executed.as_ref(), Ok(&proposal.changes), "propose and execute agree");
        self.state.commit(&proposal.changes);
        self.rules = Rules::at(self.rules.chain, &self.state);
        self.check();
        proposal
    }

    pub(super) fn does(&mut self, sender: &Keypair, action: Action) {
        self.block(vec![self.tx(sender, action)]);
    }

    /// Empty blocks until `epoch` has begun.
    pub(super) fn wait_for(&mut self, epoch: u64) {
        while self.epoch() < Epoch(epoch) {
            self.block(vec![]);
        }
    }

    /// Money is conserved, the counters say what the records say, and so do the indexes.
    pub(super) fn check(&self) {
        let records = || self.state.records();
        let marks: BTreeSet<_> = records().flat_map(|(_, record)| record.marks()).collect();
        assert!(marks.iter().all(|mark| !mark.is_proven()), "an index is not in the tree");
        let is_mark = |key: &Key| !key.is_proven() && !is_inventory(key);
        assert_eq!(records().map(|(key, _)| *key).filter(is_mark).collect::<BTreeSet<_>>(), marks);
        self.check_inventories();
        let (Tip { running, .. }, sums) = (self.state.tip(), self.state.sums());
        assert_eq!(self.state.total(), u128::from(running.minted.0), "money is conserved");
        assert_eq!((sums.bonds, sums.escrow), (u128::from(running.bonded.0), u128::from(running.escrowed.0)));
        let providers = self.state.providers();
        assert!(providers.iter().all(|provider| provider.used <= provider.capacity));
        let mut used: BTreeMap<Tag, u128> = BTreeMap::new();
        for provider in &providers {
            *used.entry(DomainTags::from(&provider.domain).infrastructure).or_default() += u128::from(provider.used);
        }
        assert!(used.iter().all(|(tag, used)| self.state.infrastructure(tag).used == *used), "room is counted");
        assert_eq!(used.values().sum::<u128>(), running.stored, "room is counted");
        assert_eq!(Rosters::read(&self.state), Some(self.state.rosters()), "rosters follow from the records");
        self.check_faults();
        self.check_collateral();
        self.check_bonds();
        self.check_accounts();
    }

    /// Inventories and rates follow from commitments and departed slots.
    fn check_inventories(&self) {
        let epoch = self.epoch();
        let mut made = self.state.without(is_inventory);
        made.reindex();
        let made: Vec<_> = made.records().map(|(key, record)| (*key, record.clone())).collect();
        let bytes = |record: &Record| match record {
            Record::HeldSum(sum) => Record::HeldSum(sum.seen_in(epoch)),
            record => record.clone(),
        };
        let is_over = |record: &Record| match record {
            Record::HeldSum(sum) => sum.is_over(epoch),
            Record::Held(held) => held.left.is_some_and(|left| left < epoch),
            _ => false,
        };
        let seen = |records: &mut dyn Iterator<Item = (Key, Record)>| -> BTreeMap<Key, Record> {
            records.filter(|(_, record)| !is_over(record)).map(|(key, record)| (key, bytes(&record))).collect()
        };
        let mut kept =
            self.state.records().filter(|(key, _)| is_inventory(key)).map(|(key, record)| (*key, record.clone()));
        assert_eq!(
            seen(&mut kept),
            seen(&mut made.into_iter().filter(|(key, _)| is_inventory(key))),
            "inventories follow from the records"
        );
    }

    /// What is missing of an epoch that is settled is what its faults say, and none is older than it may be.
    fn check_faults(&self) {
        let now = self.epoch();
        let mut unproven: BTreeMap<Epoch, u128> = BTreeMap::new();
        let (mut oldest, mut settled) = (now, now);
        for (key, record) in self.state.records() {
            match (key, record) {
                (Key::Fault(epoch, _), Record::Fault(fault)) => {
                    assert!(!fault.reasons.is_empty(), "a fault has a reason");
                    *unproven.entry(*epoch).or_default() += u128::from(fault.unproven);
                    oldest = oldest.min(*epoch);
                }
                (Key::Unproven(open, _), _) => settled = settled.min(*open),
                _ => {}
            }
        }
        assert!(oldest.after(limits::PROVEN_EPOCHS) >= now, "a fault is forgotten");
        for (key, record) in self.state.records() {
            if let (Key::Epoch(epoch), Record::Epoch(EpochRecord { audit, .. })) = (key, record)
                && *epoch < settled
            {
                let missing = audit.frozen - audit.proven;
                assert_eq!(unproven.get(epoch).copied().unwrap_or(0), missing, "all who missed {epoch} are recorded");
            }
        }
    }

    /// Behind each provider's slots is what they say, and its bond covers that and the least.
    fn check_collateral(&self) {
        let mut behind: BTreeMap<NodeId, u64> = BTreeMap::new();
        for (_, record) in self.state.records() {
            let Record::Commitment(commitment) = record else { continue };
            for slot in &commitment.slots {
                *behind.entry(slot.provider).or_default() += slot.collateral.0;
                let is_behind = slot.collateral > Amount::ZERO;
                let paid = slot.state.is_lost() && !is_behind;
                let is_owed = slot.state == SlotState::Live || slot.state.is_lost();
                assert!(paid || is_behind == is_owed, "behind what is stored, or lost");
            }
        }
        for provider in self.state.providers() {
            assert_eq!(
                provider.collateral.0,
                behind.get(&provider.node).copied().unwrap_or(0),
                "collateral is counted"
            );
            assert!(provider.collateral.0 + self.rules.params.bonds.provider.0 <= provider.bond.0);
        }
    }

    /// What accounts own is counted, and those that are too poor to keep are gone.
    fn check_accounts(&self) {
        let mut owns: BTreeMap<AccountId, u64> = BTreeMap::new();
        for (key, record) in self.state.records() {
            let owner = match (key, record) {
                (Key::Commitment(id), _) => id.owner,
                (_, Record::Provider(provider)) => provider.owner,
                (_, Record::Validator(validator)) => validator.owner,
                (Key::Name(owner, _), _) => *owner,
                (_, Record::Proposal(proposal)) => proposal.proposer,
                _ => continue,
            };
            *owns.entry(owner).or_default() += 1;
        }
        for (key, record) in self.state.records() {
            if let (Key::Account(id), Record::Account(account)) = (key, record) {
                assert_eq!(account.owns, owns.remove(id).unwrap_or(0), "what {id} owns is counted");
                let least = self.rules.params.bonds.account;
                assert!(account.owns > 0 || account.balance >= least, "{id} is too poor to keep");
            }
        }
        assert_eq!(owns, BTreeMap::new(), "what exists has an owner");
    }

    /// Somebody always votes, and every bond of who has left comes back some time.
    fn check_bonds(&self) {
        assert!(!self.state.validator_set().is_empty());
        let until = |validator: Validator| match validator.status {
            ValidatorStatus::Left { until } | ValidatorStatus::Removed { until } => {
                Some((until, Bonded::Validator(validator.key)))
            }
            ValidatorStatus::Active | ValidatorStatus::Condemned => None,
        };
        let former = self.state.records().filter_map(|(key, record)| match (key, record) {
            (Key::FormerValidator(_), Record::Validator(validator)) => Some(validator.clone()),
            _ => None,
        });
        let mut left: Vec<_> = former.filter_map(until).collect();
        assert!(self.state.validators().iter().all(Validator::votes));
        left.extend(self.state.providers().into_iter().filter_map(|provider| match provider.status {
            ProviderStatus::Exited { until } => Some((until, Bonded::Provider(provider.node))),
            _ => None,
        }));
        left.sort();
        assert_eq!(self.state.unbonding(Epoch(u64::MAX), usize::MAX), left, "every bond comes back");
    }

    /// The roster of this epoch, whose draws are valid.
    pub(super) fn roster(&self, epoch: Epoch) -> Vec<RosterEntry> {
        self.state.rosters().of(epoch).expect("kept").leaves().copied().collect()
    }

    /// What the provider offers in the roster of this epoch.
    pub(super) fn listed(&self, epoch: Epoch, node: NodeId) -> Option<Offer> {
        self.roster(epoch).into_iter().find(|entry| entry.provider == node).map(|entry| entry.offer)
    }

    /// The providers of this draw for an extent, in their order; `None` when the network cannot carry the code.
    fn try_drawn(&self, sender: &Keypair, (draw_as, extent): (Draw, u32), code: Code) -> Option<Vec<NodeId>> {
        let record = self.state.epoch(draw_as.epoch).expect("the epoch is kept");
        let identity = self.account(sender).draw_identity(sender.public());
        let chance = DrawChance::of(record.first, identity.since, self.rules.params.time.beacon_blocks);
        let randomness = chance.read(&record, &self.state)?;
        let seed = DrawSeed { randomness, account: identity.account, draw: draw_as, extent };
        let caps = Caps::of(&record.roster, code, self.rules.params.min_domains).ok()?;
        let rosters = self.state.rosters();
        let order = draw(rosters.of(draw_as.epoch)?, &seed, code, &caps).ok()?;
        Some(order.into_iter().map(|candidate| candidate.provider).collect())
    }

    pub(super) fn drawn(&self, sender: &Keypair, draw_as: Draw, code: Code) -> Vec<NodeId> {
        self.drawn_for(sender, (draw_as, 0), code)
    }

    /// As [`World::drawn`], for this extent.
    pub(super) fn drawn_for(&self, sender: &Keypair, draw_of: (Draw, u32), code: Code) -> Vec<NodeId> {
        self.try_drawn(sender, draw_of, code).expect("the network is large enough")
    }

    pub(super) fn commit(&self, sender: &Keypair, number: u8, code: Code, column_len: u64) -> Commit {
        self.try_commit(sender, number, code, column_len).expect("the network is large enough")
    }

    /// A proper commit of extent 0 of one, with all receipts, for ten epochs, if the network can carry it.
    pub(super) fn try_commit(&self, sender: &Keypair, number: u8, code: Code, column_len: u64) -> Option<Commit> {
        let epoch = self.state.tip().running.clock.drawable().expect("the network has a beacon");
        let draw = Draw { epoch, number: 0 };
        let providers = self.try_drawn(sender, (draw, 0), code)?;
        let claim = |(index, provider): (u8, NodeId)| SlotClaim {
            provider,
            column: ColumnId::new([index; 32]),
            cap: Amount::ZERO,
            receipt: None,
        };
        let mut commit = Commit {
            object: object(number),
            extent: 0,
            extents: 1,
            size: 100,
            code,
            column_len,
            draw,
            slots: (0..code.n).zip(providers).map(claim).collect(),
            until: self.rules.params.receipt_end(draw, 10),
            end: self.epoch().after(10),
        };
        self.sign_all(sender, &mut commit);
        Some(commit)
    }

    /// Gives every slot its provider's receipt for the commit as it is now.
    pub(super) fn sign_all(&self, sender: &Keypair, commit: &mut Commit) {
        for index in 0..commit.slots.len() {
            self.sign_slot(sender, commit, index);
        }
    }

    pub(super) fn sign_slot(&self, sender: &Keypair, commit: &mut Commit, index: usize) {
        let slot = commit.slots[index];
        let listed = |entry: &&RosterEntry| entry.provider == slot.provider;
        let rosters = self.state.rosters();
        let entry = rosters.of(commit.draw.epoch).and_then(|roster| roster.leaves().find(listed));
        let ask = entry.map_or(Amount::ZERO, |entry| entry.offer.price);
        let of_column = u8::try_from(index).expect("few slots");
        let receipt = Receipt { index: of_column, ask, ..commit.receipt(sender.public()) };
        let node = (0..100).map(node_key).find(|key| key.public::<crate::id::NodeKind>() == slot.provider);
        let signature = node.map(|node| node.sign(Purpose::Receipt, &self.rules.chain, &receipt));
        commit.slots[index] = SlotClaim { cap: slot.cap.max(ask), receipt: signature, ..slot };
    }

    /// A proper joining of validator `index`, owned by `owner`, with the least bond.
    pub(super) fn join(&self, owner: &Keypair, index: u8) -> Join {
        let (node, vote, beacon) = (node_key(index), vote_key(index), beacon_key(index));
        let seat = Seat { owner: owner.public(), key: vote.public(), node: node.public(), beacon_key: beacon.public() };
        let chain = &self.rules.chain;
        Join {
            key: seat.key,
            node: seat.node,
            addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
            beacon_key: seat.beacon_key,
            bond: self.rules.params.bonds.validator,
            domain: domain(index),
            consent: node.sign(Purpose::Seat, chain, &seat),
            vote_consent: vote.sign(Purpose::Seat, chain, &seat),
            beacon_proof: beacon.prove(&seat.statement(chain)),
        }
    }

    /// Two votes of validator `index` for one round of this height.
    pub(super) fn double_vote(&self, index: u8, height: Height) -> Evidence {
        let vote = |block| Vote { kind: VoteKind::Prevote, height, round: 0, block };
        let sign = |block| SignedVote::sign(vote(block), &vote_key(index), &self.rules.chain);
        Evidence::Votes(sign(None), sign(Some(BlockId::new([index; 32]))))
    }

    pub(super) fn validator(&self, index: u8) -> Option<Validator> {
        self.state.validator(&vote_key(index).public())
    }

    /// A proper registration of node `index` by `owner`.
    pub(super) fn register(&self, owner: &Keypair, index: u8) -> Register {
        let node = node_key(index);
        let consent = Consent { owner: owner.public(), node: node.public() };
        let locked = self.state.provider(&node.public()).map_or(Amount::ZERO, |provider| provider.bond);
        Register {
            node: node.public(),
            addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
            domain: domain(index),
            price: Amount(5),
            capacity: CAPACITY,
            bond: full_bond(&self.rules.params.bonds, CAPACITY, Amount(5)).max(locked),
            consent: node.sign(Purpose::Consent, &self.rules.chain, &consent),
        }
    }
}

pub(super) fn id(key: &Keypair) -> AccountId {
    key.public()
}

/// Why a transaction fails, whether it is charged for that or not.
pub(super) fn cause(error: TxError) -> TxError {
    match error {
        TxError::Charged(error) => *error,
        free => free,
    }
}
