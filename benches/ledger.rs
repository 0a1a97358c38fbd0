//! What the ledger costs a node: transactions taken from a client, from the bytes of the request to the pool; blocks of
//! them, applied and proposed; and the pool alone.
//!
//! The ledger is in memory and all work on one thread, so that a figure is CPU time: decoding, naming, signatures,
//! nonces and money, and the pool. What a network of processes makes of it, `bench-ledger` measures.

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput};
use ostrakon_benches::{
    CODES, count,
    live::{self, with_commitments},
};
use ostrakon_net::{
    Workers,
    sim::{SimConfig, SimNetwork},
};
use ostrakon_node::{
    chain::{
        Chain, ChainParts,
        memory::MemoryLedger,
        mempool::{Mempool, PoolLimits},
        submit::Origin,
    },
    metrics::ChainMetrics,
};
use ostrakon_proto::{
    codec,
    id::{AccountId, Amount, Height, NodeId},
    ledger::{
        CheckedTx, Execution, Genesis, MemoryRecords, Pending, Proposer, Rules, propose,
        tx::{Action, Transfer, Tx, TxBody},
    },
    limits,
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
        let accounts: Vec<AccountId> = keys.iter().map(Keypair::public).collect();
        let genesis = live::genesis(&accounts);
        let runtime = Builder::new_current_thread().enable_all().build().expect("the system gives a runtime");
        Self { rules: Rules::from(&genesis), genesis, keys, runtime }
    }

    /// The first `count` accounts' transfers with this nonce.
    fn transfers(&self, count: usize, nonce: u64) -> Vec<Tx> {
        let sign = |(key, to): (&Keypair, &Keypair)| {
            let action = Action::Transfer(Transfer { to: to.public(), amount: Amount(1) });
            let (account, valid_until) = (key.public(), Height(1_000));
            let mut body = TxBody { account, nonce, valid_until, salt: 0, fee: Amount::ZERO, action };
            body.fee = self.rules.fee(&body);
            Tx::sign(body, key, &self.rules.chain)
        };
        // Everyone pays the next.
        self.keys.iter().zip(self.keys.iter().cycle().skip(1)).take(count).map(sign).collect()
    }

    fn chain(&self, ledger: &Arc<MemoryLedger>) -> Chain {
        let node: NodeId = live::node().public();
        let (peers, _nobody_asks) = SimNetwork::new(1, SimConfig::default()).join(node);
        let (workers, metrics) = (Workers::inline(), ChainMetrics::default());
        let parts = ChainParts { id: self.rules.chain, ledger: ledger.clone(), workers, peers, metrics };
        self.runtime.block_on(Chain::open(parts))
    }
}

/// Transfers between 4,000 accounts, in blocks of that many: on a ledger with few live commitments, and with many.
fn apply(criterion: &mut Criterion, world: &World) {
    let txs = CheckedTx::check_many(&world.rules, world.transfers(world.keys.len(), 0), |_| true);
    let txs: Vec<Arc<CheckedTx>> = txs.into_iter().map(|tx| Arc::new(tx.expect("good"))).collect();
    let keys = live::validator();
    let proposer = Proposer { key: keys.vote.public(), beacon: &keys.beacon, round: 0, now_ms: 2 };
    let mut state = MemoryRecords::new(&world.genesis.changes());
    let mut made = 0;
    for commitments in [1_000, 1_000_000] {
        state.commit(&with_commitments(&state, made..commitments, CODES[1]));
        made = commitments;
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
            let made = || propose(&world.rules, &state, Pending::txs(&txs), &proposer).expect("rules that are known");
            bench.iter(|| assert_eq!(made().rejected, []));
        });
        group.finish();
    }
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
        let bounds = PoolLimits { count: size, ..PoolLimits::default() };
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
