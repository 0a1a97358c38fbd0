//! What the ledger costs a node: transactions taken from a client, from the bytes of the request to the pool; blocks of
//! them, applied and proposed; and the pool alone.
//!
//! The ledger is in memory and all work on one thread, so that a figure is CPU time: decoding, naming, signatures,
//! nonces and money, and the pool. What a network of processes makes of it, `bench-ledger` measures.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use criterion::{BatchSize, Criterion, Throughput};
use ostrakon_benches::count;
use ostrakon_net::{
    Workers,
    sim::{SimConfig, SimNetwork},
};
use ostrakon_node::chain::{
    Chain, ChainParts,
    memory::MemoryLedger,
    mempool::{Bounds, Mempool},
    submit::Origin,
};
use ostrakon_proto::{
    codec,
    id::{AccountId, Amount, ColumnId, Epoch, Height, NodeId, ObjectId},
    ledger::{
        CheckedTx, Execution, Genesis, GenesisAccount, GenesisValidator, Memory, Proposer, Rules, fee, propose,
        state::{
            Changes, Commitment, CommitmentId, Domain, Key, Membership, ObjectRecord, Record, Records, Slot, SlotState,
        },
        tree,
        tx::{Action, Transfer, Tx, TxBody},
        vote::ValidatorKeys,
    },
    limits,
    params::{Code, Params},
    sign::Keypair,
    wire::chain::Relayed,
};
use tokio::runtime::{Builder, Runtime};

/// Accounts that submit.
const ACCOUNTS: u32 = 4_000;
/// Transactions of one request.
const BATCHES: [usize; 2] = [100, 1_000];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let world = World::new();
    submit(&mut criterion, &world);
    apply(&mut criterion, &world);
    pool(&mut criterion, &world);
    criterion.final_summary();
}

/// A network with many accounts, whose one validator is measured.
struct World {
    genesis: Genesis,
    rules: Rules,
    keys: Vec<Keypair>,
    runtime: Runtime,
}

fn key(number: u32) -> Keypair {
    let mut seed = [9; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    Keypair::from_seed(&seed)
}

impl World {
    fn new() -> Self {
        let keys: Vec<Keypair> = (0..ACCOUNTS).map(key).collect();
        let keys_of_validator = ValidatorKeys::from_seed(&[1; 32]);
        let validator = GenesisValidator {
            owner: keys[0].public(),
            key: keys_of_validator.vote.public(),
            node: key(ACCOUNTS).public(),
            addresses: vec!["/ip4/127.0.0.1/tcp/1".into()],
            beacon_key: keys_of_validator.beacon.public(),
            bond: Params::default().bonds.validator,
            domain: Domain { operator: "o".into(), infrastructure: "i".into(), region: "r".into() },
        };
        let balance = Amount(1_000_000_000_000);
        let genesis = Genesis {
            name: "bench".into(),
            time_ms: 1,
            bootstrap: Vec::new(),
            membership: Membership::Permissionless,
            params: Params::default(),
            accounts: keys.iter().map(|key| GenesisAccount { account: key.public(), balance }).collect(),
            validators: vec![validator],
            providers: Vec::new(),
        };
        let runtime = Builder::new_current_thread().enable_all().build().expect("the system gives a runtime");
        Self { rules: Rules::from(&genesis), genesis, keys, runtime }
    }

    /// The first `count` accounts' transfers with this nonce.
    fn transfers(&self, count: usize, nonce: u64) -> Vec<Tx> {
        let sign = |key: &Keypair| {
            let action = Action::Transfer(Transfer { to: self.keys[0].public(), amount: Amount(1) });
            let (account, valid_until) = (key.public(), Height(1_000));
            let mut body = TxBody { account, nonce, valid_until, fee: Amount::ZERO, action };
            body.fee = fee(&self.rules.params, &body);
            Tx::sign(body, key, &self.rules.chain)
        };
        self.keys.iter().take(count).map(sign).collect()
    }

    fn chain(&self, ledger: &Arc<MemoryLedger>) -> Chain {
        let node: NodeId = key(ACCOUNTS).public();
        let (peers, _nobody_asks) = SimNetwork::new(1, SimConfig::default()).join(node);
        let parts = ChainParts { id: self.rules.chain, ledger: ledger.clone(), workers: Workers::inline(), peers };
        self.runtime.block_on(Chain::open(parts))
    }
}

/// Transfers between 4,000 accounts, in blocks of that many: on a ledger with few live commitments, and with many.
fn apply(criterion: &mut Criterion, world: &World) {
    let txs = CheckedTx::check_many(&world.rules, world.transfers(world.keys.len(), 0), |_| true);
    let txs: Vec<Arc<CheckedTx>> = txs.into_iter().map(|tx| Arc::new(tx.expect("good"))).collect();
    let keys = ValidatorKeys::from_seed(&[1; 32]);
    let proposer = Proposer { key: keys.vote.public(), beacon: &keys.beacon, round: 0, now_ms: 2 };
    let mut state = Memory::new(&world.genesis.changes());
    let mut live = 0;
    for commitments in [1_000, 1_000_000] {
        state.commit(&with_commitments(&state, live..commitments));
        live = commitments;
        let id = format!("txs={}/commitments={commitments}", txs.len());
        let mut group = criterion.benchmark_group("ledger");
        group.throughput(Throughput::Elements(count(txs.len()))).sample_size(10);
        group.bench_function(format!("apply/{id}"), |bench| {
            bench.iter(|| {
                let mut execution = Execution::new(&world.rules, &state, 2, 0);
                txs.iter().for_each(|tx| execution.apply(tx).expect("affordable"));
            });
        });
        group.bench_function(format!("propose/{id}"), |bench| {
            let made = || propose(&world.rules, &state, &txs, &proposer).expect("rules that are known");
            bench.iter(|| assert_eq!(made().rejected, []));
        });
        group.finish();
    }
}

/// What makes commitments of these numbers, without the transactions for them; their tree is that of the records.
fn with_commitments(state: &Memory, numbers: Range<u32>) -> Changes {
    let mut records = BTreeMap::new();
    for number in numbers {
        let object = ObjectId::new(*blake3::hash(&number.to_be_bytes()).as_bytes());
        let id = CommitmentId { object, extent: 0, owner: AccountId::new([3; 32]) };
        let slot = Slot {
            provider: NodeId::new([1; 32]),
            column: ColumnId::new([2; 32]),
            since: Epoch(0),
            state: SlotState::Live,
        };
        let commitment = Commitment {
            id,
            size: 1,
            extents: 1,
            code: Code { k: 4, n: 6 },
            column_len: 64,
            slots: vec![slot; 6],
            start: Epoch(0),
            end: Epoch(1_000),
            price: Amount(1),
            escrow: Amount(0),
        };
        records.insert(Key::Ending(commitment.end, id), Some(Record::Mark));
        records.insert(Key::Object(object), Some(Record::Object(ObjectRecord { owners: [(id.owner, 1)].into() })));
        records.insert(Key::Commitment(id), Some(Record::Commitment(commitment)));
    }
    let mut tip = state.tip();
    let parent = tip.height.0;
    tip.height = tip.height.next();
    let leaves = records.iter().filter(|(key, _)| key.is_proven());
    let leaves = leaves.map(|(key, record)| (key.to_bytes(), record.as_ref().map(codec::encode)));
    let tree = tree::update(state, Some(parent), tip.height.0, leaves).expect("the tree is whole");
    tip.state = tree.root;
    Changes { tip, records, tree, history: Vec::new() }
}

fn submit(criterion: &mut Criterion, world: &World) {
    let ledger = Arc::new(MemoryLedger::new(&world.genesis));
    let origin = Origin::Node { from: NodeId::new([7; 32]), relayed: Relayed::No };
    let send = |chain: &Chain, body: &[u8]| {
        let txs: Vec<Tx> = codec::decode(body, limits::SUBMIT).expect("canonical");
        let verdicts = world.runtime.block_on(chain.submit_many(txs, origin));
        assert!(verdicts.iter().all(Result::is_ok));
    };
    for txs in BATCHES {
        let body = codec::encode(&world.transfers(txs, 0));
        let mut group = criterion.benchmark_group("submit::many");
        group.throughput(Throughput::Elements(count(txs)));
        group.bench_function(format!("txs={txs}"), |bench| {
            bench.iter_batched_ref(|| world.chain(&ledger), |chain| send(chain, &body), BatchSize::SmallInput);
        });
        group.bench_function(format!("txs={txs}/known"), |bench| {
            let chain = world.chain(&ledger);
            send(&chain, &body);
            bench.iter(|| send(&chain, &body));
        });
        group.finish();
    }
}

/// The pool with as many as it may hold, and each newcomer displacing another.
fn pool(criterion: &mut Criterion, world: &World) {
    let check =
        |txs| CheckedTx::check_many(&world.rules, txs, |_| true).into_iter().map(|tx| Arc::new(tx.expect("good")));
    let waiting: Vec<Arc<CheckedTx>> = (0..5).flat_map(|nonce| check(world.transfers(4_000, nonce))).collect();
    for size in [1_000, 16_384] {
        let bounds = Bounds { count: size, ..Bounds::default() };
        let mut full = Mempool::new(bounds);
        waiting.iter().filter(|tx| full.len() < size && full.insert(Arc::clone(tx), 0).is_ok()).count();
        let mut group = criterion.benchmark_group("mempool");
        group.throughput(Throughput::Elements(count(size)));
        group.bench_function(format!("insert/size={size}"), |bench| {
            bench.iter_batched_ref(
                || Mempool::new(bounds),
                |pool| waiting.iter().take(size).for_each(|tx| pool.insert(Arc::clone(tx), 0).expect("room")),
                BatchSize::LargeInput,
            );
        });
        group.bench_function(format!("take/size={size}"), |bench| bench.iter(|| full.take(limits::BLOCK).len()));
        group.finish();
    }
}
