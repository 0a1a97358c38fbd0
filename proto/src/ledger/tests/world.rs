//! A network of fourteen providers in seven domains, an account with money and one without, and four validators.

use std::sync::Arc;

use crate::{
    beacon::BeaconSecret,
    id::{AccountId, Amount, ColumnId, Epoch, Height, NodeId, ObjectId},
    ledger::{
        CheckedTx, Execution, Genesis, GenesisAccount, GenesisProvider, GenesisValidator, Memory, Proposal, Proposer,
        Rules, TxError, execute, fee, propose, rotation,
        state::{Account, Domain, Records, Tip},
        tx::{Action, Block, Commit, Consent, Decided, Receipt, Register, SlotClaim, Tx, TxBody},
        vote::{Certificate, SignedVote, Vote, VoteKind},
    },
    params::{Code, Params},
    placement::{Draw, DrawSeed, draw},
    sign::{Keypair, Purpose},
};

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

pub(super) fn genesis() -> Genesis {
    let provider = |index| GenesisProvider {
        owner: landlord().public(),
        node: node_key(index).public(),
        addresses: vec![format!("/ip4/127.0.0.1/tcp/{}", 4_000 + u16::from(index))],
        price: Amount(1_000_000 + u64::from(index)),
        capacity: CAPACITY,
        domain: domain(index),
    };
    let account = |key: Keypair| GenesisAccount { account: key.public(), balance: RICHES };
    let validator = |index: u8| GenesisValidator {
        owner: landlord().public(),
        key: vote_key(index).public(),
        node: node_key(index).public(),
        addresses: vec![format!("/ip4/127.0.0.1/tcp/{}", 4_000 + u16::from(index))],
        beacon_key: beacon_key(index).public(),
        bond: Params::default().validator_bond,
        domain: domain(index),
    };
    Genesis {
        name: "test".to_owned(),
        time_ms: 1_700_000_000_000,
        bootstrap: vec![],
        params: Params { epoch_blocks: 4, draw_epochs: 2, draw_nonces: 4, term_epochs: 100, ..Params::default() },
        accounts: vec![account(alice()), account(bob()), account(landlord())],
        validators: (0..4).map(validator).collect(),
        providers: (0..14).map(provider).collect(),
    }
}

/// One node's view of the network, and the means to speak in it.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) rules: Rules,
    pub(super) state: Memory,
}

impl World {
    pub(super) fn new() -> Self {
        Self::of(&genesis())
    }

    pub(super) fn of(genesis: &Genesis) -> Self {
        assert_eq!(genesis.validate(), Ok(()));
        Self { rules: Rules::from(genesis), state: Memory::new(&genesis.changes()) }
    }

    pub(super) fn account(&self, key: &Keypair) -> Account {
        self.state.account(&key.public())
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.state.tip().running.epoch
    }

    /// A proper body of the sender's next transaction.
    pub(super) fn body(&self, sender: &Keypair, action: Action) -> TxBody {
        let mut body = TxBody {
            account: sender.public(),
            nonce: self.account(sender).nonce,
            valid_until: Height(self.state.tip().height.0 + 10),
            fee: Amount::ZERO,
            action,
        };
        body.fee = fee(&self.rules.params, &body);
        body
    }

    pub(super) fn tx(&self, sender: &Keypair, action: Action) -> Tx {
        Tx::sign(self.body(sender, action), sender, &self.rules.chain)
    }

    /// What the rules say to a transaction in the next block. A refusal must leave no trace.
    pub(super) fn verdict(&self, tx: &Tx) -> Result<(), TxError> {
        let mut execution = Execution::new(&self.rules, &self.state, self.state.tip().running.time_ms + 1, 0);
        let before = execution.records().parts().clone();
        let verdict = CheckedTx::check(&self.rules, tx.clone()).and_then(|tx| execution.apply(&tx));
        if verdict.is_err() {
            assert_eq!(execution.records().parts(), before, "a refused transaction leaves no trace");
        }
        verdict
    }

    pub(super) fn propose(&self, txs: Vec<Tx>) -> Proposal {
        self.propose_in(0, txs)
    }

    /// What the validator whose turn it is in this round proposes.
    pub(super) fn propose_in(&self, round: u32, txs: Vec<Tx>) -> Proposal {
        let tip = self.state.tip();
        let key = rotation(&self.state).proposer(tip.height.next(), round).expect("there are validators");
        let index = (0..4).find(|index| vote_key(*index).public::<crate::id::Voter>() == key).expect("one of four");
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
        let mut proposal = propose(&self.rules, &self.state, &good, &proposer);
        proposal.rejected.extend(malformed);
        proposal
    }

    /// The block with the precommits of all four.
    pub(super) fn decide(&self, block: Block) -> Decided {
        let certificate = self.certificate(&block, 0..4);
        Decided { block, certificate }
    }

    /// The precommits of these validators for the block.
    pub(super) fn certificate(&self, block: &Block, voters: impl IntoIterator<Item = u8>) -> Certificate {
        let (height, round, id) = (block.header.height, block.header.round, block.header.id());
        let vote = Vote { kind: VoteKind::Precommit, height, round, block: Some(id) };
        let sign = |index: u8| {
            let signed = SignedVote::sign(vote, &vote_key(index), &self.rules.chain);
            (signed.voter, signed.signature)
        };
        Certificate { height, round, block: id, signatures: voters.into_iter().map(sign).collect() }
    }

    /// Proposes and executes a block of these, which must all be accepted, and checks every invariant.
    pub(super) fn block(&mut self, txs: Vec<Tx>) {
        let proposal = self.offer(txs);
        assert_eq!(proposal.rejected, []);
    }

    /// As [`World::block`], but some may be refused.
    pub(super) fn offer(&mut self, txs: Vec<Tx>) -> Proposal {
        let proposal = self.propose(txs);
        let executed = execute(&self.rules, &self.state, &self.decide(proposal.block.clone()));
        assert_eq!(executed.as_ref(), Ok(&proposal.changes), "propose and execute agree");
        self.state.commit(&proposal.changes);
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

    /// Money is conserved, and the counters say what the records say.
    pub(super) fn check(&self) {
        let (Tip { running, .. }, sums) = (self.state.tip(), self.state.sums());
        assert_eq!(self.state.total(), u128::from(running.minted.0), "money is conserved");
        assert_eq!((sums.bonds, sums.escrow), (u128::from(running.bonded.0), u128::from(running.escrowed.0)));
        assert!(self.state.providers().iter().all(|provider| provider.used <= provider.capacity));
    }

    /// The providers of this draw for extent 0, in their order; `None` when the network can not carry the code.
    fn try_drawn(&self, sender: &Keypair, draw_as: Draw, code: Code) -> Option<Vec<NodeId>> {
        let record = self.state.epoch(draw_as.epoch).expect("the epoch is kept");
        let seed = DrawSeed { beacon: record.beacon, account: sender.public(), draw: draw_as, extent: 0 };
        let order = draw(&record.roster, &seed, code, self.rules.params.min_domains).ok()?;
        Some(order.into_iter().map(|candidate| candidate.provider).collect())
    }

    pub(super) fn drawn(&self, sender: &Keypair, draw_as: Draw, code: Code) -> Vec<NodeId> {
        self.try_drawn(sender, draw_as, code).expect("the network is large enough")
    }

    pub(super) fn commit(&self, sender: &Keypair, number: u8, code: Code, column_len: u64) -> Commit {
        self.try_commit(sender, number, code, column_len).expect("the network is large enough")
    }

    /// A proper commit of extent 0 of one, with all receipts, for ten epochs, if the network can carry it.
    pub(super) fn try_commit(&self, sender: &Keypair, number: u8, code: Code, column_len: u64) -> Option<Commit> {
        let draw = Draw { epoch: self.epoch(), nonce: self.account(sender).nonce };
        let providers = self.try_drawn(sender, draw, code)?;
        let claim =
            |(index, provider): (u8, NodeId)| SlotClaim { provider, column: ColumnId::new([index; 32]), receipt: None };
        let mut commit = Commit {
            object: object(number),
            extent: 0,
            extents: 1,
            size: 100,
            code,
            column_len,
            draw,
            slots: (0..code.n).zip(providers).map(claim).collect(),
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
        let receipt = Receipt {
            account: sender.public(),
            object: commit.object,
            extent: commit.extent,
            index: u8::try_from(index).expect("few slots"),
            column: slot.column,
            column_len: commit.column_len,
            draw: commit.draw,
        };
        let node = (0..100).map(node_key).find(|key| key.public::<crate::id::Node>() == slot.provider);
        let signature = node.map(|node| node.sign(Purpose::Receipt, &self.rules.chain, &receipt));
        commit.slots[index].receipt = signature;
    }

    /// A proper registration of node `index` by `owner`.
    pub(super) fn register(&self, owner: &Keypair, index: u8) -> Register {
        let node = node_key(index);
        let consent = Consent { owner: owner.public(), node: node.public() };
        Register {
            node: node.public(),
            addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
            domain: domain(index),
            price: Amount(5),
            capacity: CAPACITY,
            consent: node.sign(Purpose::Consent, &self.rules.chain, &consent),
        }
    }
}

pub(super) fn id(key: &Keypair) -> AccountId {
    key.public()
}
