//! A ledger of any size: so many providers, and so many slots on them, as if each had been committed.
//!
//! The records, their counts and the state tree are what the rules would have made; only the transactions are saved. So
//! blocks can be executed on it: the next one, or the one that begins the next epoch, in which some commitments end, or
//! whole epochs, in which all do. All columns have the same bytes, so that their providers can prove them. No count of
//! operators or columns in a domain depends on the size, so that a block of the smallest changes as many records as one
//! of the largest.

use std::{collections::BTreeMap, sync::Arc};

use ostrakon_proto::{
    audit::{LeafProof, StorageProof},
    id::{AccountId, Amount, ColumnId, Epoch, Height, NodeId, ObjectId},
    ledger::{
        CheckedTx, DrawChance, Genesis, GenesisProvider, MemoryRecords, Pending, ProposedBlock, Proposer, Rules,
        challenge, collateral, judge, price_per_epoch,
        proofs::ProofKey,
        propose,
        state::{Account, Changes, Domain, EpochRecord, Infrastructure, Key, Provider, Record, Records, Slot},
        tx::{Action, Block, Commit, Receipt, SlotClaim, Tx, TxBody},
    },
    params::{Code, Params, Timing},
    placement::{Caps, DomainTags, Draw, DrawSeed, RosterTree, draw},
    sign::{Keypair, Purpose},
};

use crate::{CODES, live};

/// The code of the commitments of a network whose slots are counted.
const CODE: Code = CODES[0];
/// Commitments that end with the first epoch.
const ENDING: u32 = 8;
/// The epoch in which the others of a network end whose slots are counted: none that is measured.
const LATE: Epoch = Epoch(1_000);
/// Commitments loaded in one step: few enough that a step needs little memory.
const STEP: u32 = 50_000;
/// Bytes of a column, everywhere here.
const LENGTH: u64 = 64;
/// The column of every slot.
const COLUMN: [u8; 64] = [7; 64];
/// The price of everything.
const PRICE: Amount = Amount(1);
/// Milliseconds of an epoch.
const EPOCH_MS: u64 = 1_000_000;

/// What a network has at first.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Providers.
    pub providers: u32,
    /// Commitments, whose columns all providers have in turn.
    pub commitments: u32,
    /// The code of each.
    pub code: Code,
    /// When they end, but for the first eight, which end with the first epoch.
    pub end: Epoch,
}

/// A ledger in memory, and the keys of all its providers.
#[derive(Debug)]
pub struct Network {
    rules: Rules,
    state: MemoryRecords,
    keys: BTreeMap<NodeId, Keypair>,
}

/// What a draw in a network follows from.
#[derive(Debug)]
pub struct DrawBasis {
    /// The epoch's record.
    pub record: EpochRecord,
    /// The roster that it froze.
    pub roster: RosterTree,
    /// The draw.
    pub seed: DrawSeed,
    /// The caps of its code.
    pub caps: Caps,
}

/// Who commits.
fn client() -> Keypair {
    Keypair::from_seed(&[5; 32])
}

fn domain(index: usize) -> Domain {
    Domain {
        operator: format!("operator-{index}"),
        infrastructure: format!("infrastructure-{}", index % 90),
        region: format!("region-{}", index % 30),
    }
}

fn genesis(nodes: &[NodeId]) -> Genesis {
    let provider = |(index, node): (usize, &NodeId)| GenesisProvider {
        owner: live::OWNER,
        node: *node,
        addresses: vec!["/ip4/127.0.0.1/tcp/1".into()],
        price: PRICE,
        capacity: 1 << 40,
        bond: None,
        proven: None,
        domain: domain(index),
    };
    let time = Timing { epoch_ms: EPOCH_MS, window_blocks: 1, beacon_blocks: 1, ..Timing::default() };
    Genesis {
        params: Params { time, ..Params::default() },
        providers: nodes.iter().enumerate().map(provider).collect(),
        ..live::genesis(&[client().public()])
    }
}

impl Network {
    /// A network of this many providers with at least this many slots, in its first epoch, the next one due any time.
    pub fn new(providers: u32, slots: u32) -> Self {
        Self::of(&Size { providers, commitments: slots.div_ceil(u32::from(CODE.n)), code: CODE, end: LATE })
    }

    /// A network of this size, in its first epoch, the next one due any time.
    pub fn of(size: &Size) -> Self {
        let key = |index: u32| {
            let mut seed = [6; 32];
            seed[..4].copy_from_slice(&index.to_be_bytes());
            Keypair::from_seed(&seed)
        };
        let keys: Vec<Keypair> = (0..size.providers).map(key).collect();
        let nodes: Vec<NodeId> = keys.iter().map(Keypair::public).collect();
        let genesis = genesis(&nodes);
        let (rules, state) = (Rules::from(&genesis), MemoryRecords::new(&genesis.changes()));
        let mut network = Self { rules, state, keys: nodes.iter().copied().zip(keys).collect() };
        // The first block makes the beacon, and the second is the window of the epoch.
        for now_ms in [2, EPOCH_MS / 2 + 1] {
            network.step(now_ms, &mut |_, _| {});
        }
        network.load(&nodes, size);
        network.state.reindex();
        network
    }

    /// Commits the columns of all extents to all providers in turn.
    fn load(&mut self, nodes: &[NodeId], size: &Size) {
        let (mut turns, column) = (nodes.iter().cycle(), ColumnId::new(*blake3::hash(&COLUMN).as_bytes()));
        let slot = |node: &NodeId| Slot { column, ..live::slot(*node) };
        let (mut held, mut escrowed): (BTreeMap<NodeId, u64>, _) = (BTreeMap::new(), 0);
        for start in (0..size.commitments).step_by(usize::try_from(STEP).expect("a small constant")) {
            let mut records = BTreeMap::new();
            for number in start..size.commitments.min(start + STEP) {
                let slots: Vec<_> = turns.by_ref().take(usize::from(size.code.n)).map(slot).collect();
                slots.iter().for_each(|slot| *held.entry(slot.provider).or_default() += 1);
                let end = if number < ENDING { Epoch(1) } else { size.end };
                let mut commitment = live::commitment(number, size.code, slots, end);
                commitment.escrow = Amount(u64::from(size.code.n) * price_per_epoch(LENGTH, PRICE).0 * end.0);
                escrowed += commitment.escrow.0;
                records.extend(live::records_of(commitment));
            }
            self.state.commit(&live::with_records(&self.state, self.state.tip().running, records));
        }
        self.note(&held, size.commitments, escrowed);
    }

    /// Records what the providers, their infrastructures and the owner have of these slots, and what is locked for
    /// them: money that is minted here.
    fn note(&mut self, held: &BTreeMap<NodeId, u64>, commitments: u32, escrowed: u64) {
        let mut used: BTreeMap<_, u128> = BTreeMap::new();
        let each = collateral(&self.rules.params.bonds, LENGTH, PRICE);
        let mut records: BTreeMap<Key, Option<Record>> = BTreeMap::new();
        for (node, slots) in held {
            let before = self.state.provider(node).expect("registered");
            let mut provider = Provider { used: slots * LENGTH, collateral: Amount(slots * each.0), ..before };
            provider.audited.pay.rate = Amount(slots * price_per_epoch(LENGTH, PRICE).0);
            // It stored nothing when the epoch began.
            provider.audited.open = Epoch(1);
            *used.entry(DomainTags::from(&provider.domain).infrastructure).or_default() += u128::from(provider.used);
            records.insert(Key::Provider(*node), Some(Record::Provider(provider)));
        }
        let mut running = self.state.tip().running;
        running.stored = used.values().sum();
        (running.escrowed.0, running.minted.0) = (running.escrowed.0 + escrowed, running.minted.0 + escrowed);
        let infrastructure =
            |(tag, used)| (Key::Infrastructure(tag), Some(Record::Infrastructure(Infrastructure { tag, used })));
        records.extend(used.into_iter().map(infrastructure));
        let owner = self.state.account(&live::OWNER);
        let owner = Account { owns: owner.owns + u64::from(commitments), ..owner };
        records.insert(Key::Account(live::OWNER), Some(Record::Account(owner)));
        let marks: Vec<Key> = records.values().flatten().flat_map(Record::marks).collect();
        records.extend(marks.into_iter().map(|mark| (mark, Some(Record::Mark))));
        self.state.commit(&live::with_records(&self.state, running, records));
    }

    /// The draw of this number by the client, in a code.
    ///
    /// # Panics
    /// When the network is too small for the code.
    pub fn draw(&self, number: u32, code: Code) -> DrawBasis {
        let draw = Draw { epoch: Epoch(0), number };
        let record = self.state.epoch(draw.epoch).expect("the epoch in progress has a record");
        let (account, span) = (client().public(), self.rules.params.time.beacon_blocks);
        let chance = DrawChance::of(record.first, Height(0), span);
        let randomness = chance.read(&record, &self.state).expect("the beacon is complete");
        let roster = self.state.rosters().of(draw.epoch).expect("its draws are valid").clone();
        let caps = Caps::of(&record.roster, code, self.rules.params.min_domains).expect("the network is large enough");
        DrawBasis { record, roster, seed: DrawSeed { randomness, account, draw, extent: 0 }, caps }
    }

    /// The client's next transaction: it commits an object that this number names, with all receipts.
    ///
    /// # Panics
    /// When the network is too small for the code.
    pub fn commit(&self, number: u32, code: Code) -> CheckedTx {
        let basis = self.draw(number % self.rules.params.draws, code);
        let drawn = draw(&basis.roster, &basis.seed, code, &basis.caps).expect("there are enough");
        let claim = |(index, provider): (u8, NodeId)| {
            let column = ColumnId::new([index; 32]);
            SlotClaim { provider, column, cap: PRICE, receipt: None }
        };
        let mut commit = Commit {
            object: ObjectId::new(*blake3::hash(&(u64::from(number) << 32).to_be_bytes()).as_bytes()),
            extent: 0,
            extents: 1,
            size: 100,
            code,
            column_len: LENGTH,
            draw: basis.seed.draw,
            slots: (0..code.n).zip(drawn.iter().map(|entry| entry.provider)).map(claim).collect(),
            until: self.rules.params.receipt_end(basis.seed.draw, 10),
            end: Epoch(10),
        };
        self.sign_receipts(&mut commit);
        self.checked(Action::Commit(commit))
    }

    fn sign_receipts(&self, commit: &mut Commit) {
        let of_all = commit.receipt(client().public());
        for (index, slot) in (0..).zip(&mut commit.slots) {
            let receipt = Receipt { index, ask: PRICE, ..of_all };
            let key = &self.keys[&slot.provider];
            slot.receipt = Some(key.sign(Purpose::Receipt, &self.rules.chain, &receipt));
        }
    }

    fn checked(&self, action: Action) -> CheckedTx {
        let (client, valid_until) = (client(), Height(self.state.tip().height.0 + 10));
        let account: AccountId = client.public();
        let nonce = self.state.account(&account).nonce;
        let mut body = TxBody { account, nonce, valid_until, salt: 0, fee: Amount::ZERO, action };
        body.fee = self.rules.fee(&body);
        let tx = Tx::sign(body, &client, &self.rules.chain);
        CheckedTx::check(&self.rules, tx).expect("well formed and signed")
    }

    /// The next block, with this transaction alone.
    ///
    /// # Panics
    /// When the rules refuse it.
    pub fn next(&self, tx: CheckedTx) -> Block {
        let proposed = self.propose(Pending::txs(&[Arc::new(tx)]), self.state.tip().running.time_ms + 1);
        assert_eq!(proposed.rejected, [], "a proper transaction");
        proposed.block
    }

    /// The block that begins the next epoch, without transactions: the roster is frozen, and what is due ends.
    pub fn turn(&self) -> Block {
        self.propose(Pending::txs(&[]), self.turn_ms()).block
    }

    /// When the next epoch is due.
    fn turn_ms(&self) -> u64 {
        self.state.tip().running.clock.start_ms + EPOCH_MS
    }

    /// The whole next epoch: its first block, and then as many as it takes to end all that is due, with the proofs of
    /// all providers. `each` gets the network before each block, and the block.
    ///
    /// # Panics
    /// When the rules refuse a block, or a provider fails to prove what it stored when the epoch began.
    pub fn live_epoch(&mut self, mut each: impl FnMut(&Self, &Block)) {
        self.step(self.turn_ms(), &mut each);
        let clock = self.state.tip().running.clock;
        // In the second half all may prove.
        self.step(clock.start_ms + EPOCH_MS / 2, &mut each);
        while !self.state.ending(clock.epoch, 1).is_empty() {
            self.step(clock.start_ms + EPOCH_MS / 2, &mut each);
        }
        let audit = self.state.epoch(clock.epoch).expect("the epoch in progress has a record").audit;
        assert_eq!(audit.proven, audit.frozen, "all is proven");
    }

    /// Commits the next block, with the proofs that are asked for.
    fn step(&mut self, now_ms: u64, each: &mut impl FnMut(&Self, &Block)) {
        let proofs = self.proofs();
        let proposed = self.propose(Pending { txs: &[], proofs: &proofs }, now_ms);
        each(self, &proposed.block);
        self.state.commit(&proposed.changes);
    }

    /// The proofs that providers owe in the epoch in progress.
    fn proofs(&self) -> BTreeMap<ProofKey, Arc<StorageProof>> {
        let epoch = self.state.tip().running.clock.epoch;
        let proof = |provider: &NodeId| {
            let key = ProofKey { provider: *provider, epoch };
            let asked = challenge(&self.state, &self.rules, &key).ok()?.leaves.len();
            let leaf = LeafProof { data: COLUMN.to_vec(), siblings: Vec::new() };
            Some((key, Arc::new(StorageProof { leaves: vec![leaf; asked] })))
        };
        self.keys.keys().filter_map(proof).collect()
    }

    /// Checks that all money is there, and that there is nothing against any provider.
    ///
    /// # Panics
    /// When money is missing, or a provider is at fault.
    pub fn check_honest(&self) {
        assert_eq!(self.state.total(), u128::from(self.state.tip().running.minted.0), "money is conserved");
        let newest = self.state.tip().running.clock.epoch;
        for epoch in (0..=newest.0).map(Epoch) {
            assert_eq!(self.state.at_fault(epoch, None, 1), [], "{epoch:?}");
        }
    }

    /// Bytes of all live slots, and what is locked for them.
    pub fn stored(&self) -> (u128, Amount) {
        let running = self.state.tip().running;
        (running.stored, running.escrowed)
    }

    fn propose(&self, pending: Pending<'_>, now_ms: u64) -> ProposedBlock {
        let keys = live::validator();
        let proposer = Proposer { key: keys.vote.public(), beacon: &keys.beacon, round: 0, now_ms };
        propose(&self.rules, &self.state, pending, &proposer).expect("rules that are known")
    }

    /// What a validator does with a proposed block before it votes for it: all of its checks, and what it changes.
    ///
    /// # Panics
    /// When it is not the next block of this network.
    pub fn judge(&self, block: &Block) -> Changes {
        judge(&self.rules, &self.state, block).expect("a proper block")
    }
}

#[cfg(test)]
mod tests {
    use ostrakon_proto::limits;

    use super::*;

    /// The counts are those of the records: else a commitment could not end, nor another begin.
    #[test]
    fn blocks_of_a_loaded_network_do_what_they_say() {
        let network = Network::new(100, 1_000);
        let slots = |state: &MemoryRecords| state.tip().running.stored / u128::from(LENGTH);
        assert_eq!(slots(&network.state), 1_008);
        network.check_honest();
        let after = |block: Block| {
            let mut state = network.state.clone();
            state.commit(&network.judge(&block));
            (state.tip().running.clock.epoch, slots(&state))
        };
        assert_eq!(after(network.turn()), (Epoch(1), 1_008 - u128::from(ENDING) * 12));
        for code in [CODE, Code { k: 20, n: 50 }] {
            assert_eq!(after(network.next(network.commit(1, code))), (Epoch(0), 1_008 + u128::from(code.n)));
        }
    }

    /// All commitments end in one epoch, which is more than three blocks may end: providers prove meanwhile what has
    /// left in the epoch too, each is paid until the end, and nothing is left.
    #[test]
    fn when_all_ends_in_one_epoch_no_provider_is_at_fault() {
        let commitments = 2_500;
        let mut network = Network::of(&Size { providers: 20, commitments, code: CODE, end: Epoch(2) });
        let (first, rest) = (u64::from(ENDING) * 12, u64::from(commitments - ENDING) * 12);
        let bytes = |slots: u64| u128::from(slots * LENGTH);
        assert_eq!(network.stored(), (bytes(first + rest), Amount(first + 2 * rest)));
        network.live_epoch(|_, _| {});
        network.check_honest();
        assert_eq!(network.stored(), (bytes(rest), Amount(rest)), "one of two epochs is paid");
        let mut ended = Vec::new();
        network.live_epoch(|before, block| {
            ended.push(before.stored().0 - before.judge(block).tip.running.stored);
        });
        let most = bytes(u64::try_from(limits::ENDING_SLOTS).expect("small"));
        assert!(ended.len() >= 4 && ended.iter().all(|bytes| *bytes <= most), "{ended:?}");
        network.check_honest();
        assert_eq!(network.stored(), (0, Amount::ZERO));
        for _ in 0..3 {
            network.live_epoch(|_, _| {});
            network.check_honest();
        }
        for Provider { used, collateral, audited, .. } in network.state.providers() {
            assert_eq!((used, collateral, audited.pay.rate, audited.missed), (0, Amount::ZERO, Amount::ZERO, 0));
        }
    }
}
