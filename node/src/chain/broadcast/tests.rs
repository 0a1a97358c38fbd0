//! Who is told of a transaction, and how often: nodes that serve and broadcast, but make no blocks.

use std::sync::atomic::{AtomicUsize, Ordering};

use ostrakon_net::{AskError, Peers, Workers};
use ostrakon_proto::{
    codec,
    id::{Amount, Height},
    ledger::{
        Rules,
        tx::{Action, Transfer, Tx},
    },
    wire::{
        Frame, Protocol,
        chain::{ChainRequest, Relayed},
    },
};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    chain::{ChainParts, memory::MemoryLedger},
    metrics::{ChainMetrics, UploadMetrics},
    serve::{Serve, ServeParts, credit::Credit},
    store::Memory,
    world::{World, node_id, node_key, until},
};

/// The network, with a count of the transactions that were sent through it.
#[derive(Debug)]
struct Counting {
    peers: Arc<dyn Peers>,
    sent: Arc<AtomicUsize>,
}

impl Peers for Counting {
    fn local(&self) -> NodeId {
        self.peers.local()
    }

    fn learn(&self, node: NodeId, addresses: &[String]) {
        self.peers.learn(node, addresses);
    }

    fn call(&self, to: NodeId, protocol: Protocol, request: Frame) -> BoxFuture<'static, Result<Frame, AskError>> {
        if let Ok(ChainRequest::Submit { .. }) = request.decode() {
            let txs: Vec<Tx> = codec::decode(&request.body, limits::SUBMIT).expect("canonical");
            self.sent.fetch_add(txs.len(), Ordering::Relaxed);
        }
        self.peers.call(to, protocol, request)
    }
}

/// Nodes of which the first three are validators.
struct Net {
    world: World,
    chains: Vec<Chain>,
    /// Transactions sent between nodes.
    sent: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Net {
    async fn new(nodes: usize) -> Self {
        let (world, sent, mut tasks) = (World::voting(nodes, 3), Arc::new(AtomicUsize::new(0)), JoinSet::new());
        let rules = Rules::from(&world.genesis);
        let mut chains = Vec::new();
        for number in 0..nodes {
            let (peers, inbound) = world.net.join(node_id(number));
            let peers = Arc::new(Counting { peers, sent: Arc::clone(&sent) });
            let (ledger, workers) = (Arc::new(MemoryLedger::new(&world.genesis)), Workers::inline());
            let metrics = ChainMetrics::default();
            let parts = ChainParts { id: rules.chain, ledger, workers: workers.clone(), peers, metrics };
            let chain = Chain::open(parts).await;
            let serving = ServeParts {
                keypair: node_key(number),
                chain: chain.clone(),
                columns: Arc::new(Memory::new(1 << 20)),
                workers,
                credit: Arc::new(Credit::default()),
                offers: watch::channel(None).1,
                metrics: UploadMetrics::default(),
            };
            tasks.spawn(Serve::new(serving).run(inbound, CancellationToken::new()));
            let of = chain.clone();
            tasks.spawn(async move { match of.broadcast().await {} });
            let of = chain.clone();
            tasks.spawn(async move { match of.relay().await {} });
            chains.push(chain);
        }
        Self { world, chains, sent, _tasks: tasks }
    }

    fn txs(&self, count: u64) -> Vec<Tx> {
        let pay = Action::Transfer(Transfer { to: self.world.payer(), amount: Amount(1) });
        (0..count).map(|nonce| self.world.tx(nonce, Height(100), pay.clone())).collect()
    }

    fn waiting(&self) -> Vec<usize> {
        self.chains.iter().map(|chain| chain.shared.pool().len()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn every_validator_is_told_once_and_nobody_else() {
    let net = Net::new(6).await;
    let (client, txs) = (net.world.client(250), net.txs(40));
    // By a node that is not a validator: it has them, and each validator.
    assert_eq!(client.submit_many(4, &txs[..30], Relayed::No).await, Ok(vec![Ok(()); 30]));
    until("all validators have them", async || net.waiting() == [30, 30, 30, 0, 30, 0]).await;
    // By a validator: the others have them too.
    assert_eq!(client.submit_many(1, &txs[30..], Relayed::No).await, Ok(vec![Ok(()); 10]));
    until("all validators have them", async || net.waiting() == [40, 40, 40, 0, 30, 0]).await;
    // Said again they are not passed on again.
    assert_eq!(client.submit_many(2, &txs, Relayed::No).await, Ok(vec![Ok(()); 40]));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(net.sent.load(Ordering::Relaxed), 30 + 2 * 30 + 2 * 10);
}

#[tokio::test(start_paused = true)]
async fn another_validator_is_asked_when_one_is_not_reached() {
    let net = Net::new(5).await;
    let (client, txs) = (net.world.client(250), net.txs(3));
    for gone in 0..2 {
        net.world.net.crash(node_id(gone));
    }
    assert_eq!(client.submit_many(3, &txs, Relayed::No).await, Ok(vec![Ok(()); 3]));
    assert_eq!(net.waiting()[2..], [3, 3, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_on_the_way_is_pushed_again() {
    let net = Net::new(3).await;
    let txs = net.txs(3);
    // As if the push had been lost: only one validator has them.
    let checked = net.chains[0].shared.check(txs).into_iter().map(|tx| tx.expect("good"));
    checked.for_each(|tx| net.chains[0].shared.pool().insert(tx, 0).expect("room"));
    until("the others have them as well", async || net.waiting() == [3, 3, 3]).await;
}

#[test]
fn queues_forget_their_oldest_and_those_who_left() {
    let world = World::new(1);
    let rules = Rules::from(&world.genesis);
    let pay = |nonce| {
        let pay = Action::Transfer(Transfer { to: world.payer(), amount: Amount(1) });
        Arc::new(CheckedTx::check(&rules, world.tx(nonce, Height(100), pay)).expect("good"))
    };
    let (some, last) = ([pay(0), pay(1)], [pay(2)]);
    let many: Vec<_> = some.iter().cycle().take(QUEUE).cloned().collect();
    let (one, other) = (node_id(1), node_id(2));
    let mut queues = Queues::default();
    queues.push(&[one, other], &many);
    queues.push(&[other], &last);
    assert_eq!((queues.longest(), queues.nodes()), (QUEUE, vec![other]));
    let batch = queues.pop(&other);
    assert_eq!(batch[0].tx().body.nonce, 1, "the first was forgotten");
    assert_eq!(batch.len(), limits::SUBMIT_COUNT.min(limits::SUBMIT / batch[0].bytes()));
    let mut rest = Vec::new();
    while let [next @ .., newest] = queues.pop(&other).as_slice() {
        rest.extend(next.iter().cloned());
        rest.push(Arc::clone(newest));
    }
    assert_eq!((rest.len(), rest.last()), (QUEUE - batch.len(), Some(&last[0])));
    assert!(queues.pop(&one).is_empty());
}
