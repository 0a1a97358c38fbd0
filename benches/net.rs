//! What the network costs: calls between two real swarms in one process, over TCP, Noise and Yamux on 127.0.0.1. The
//! bodies are those of put and get; neither side does anything with them.

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use futures::{StreamExt, stream};
use ostrakon_benches::{count, noise};
use ostrakon_net::{
    Inbound, Peers, Requests,
    swarm::{Swarm, SwarmConfig, SwarmHandle},
};
use ostrakon_proto::{
    id::{ChainId, ColumnId, NodeId},
    limits::CHUNK,
    sign::Keypair,
    wire::{Frame, Protocol, Refusal, get, put},
};
use tokio::{runtime::Runtime, task::JoinHandle};

/// Chunks that one round of the benchmark moves.
const CHUNKS: usize = 64;
/// How many calls are in flight together: one alone, and as many as an upload keeps.
const CONCURRENT: [usize; 2] = [1, 8];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    // One thread for the callers, as a client has; each swarm has a thread of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("the system gives threads");
    let pair = Pair::start(&runtime);
    let body = Bytes::from(noise(CHUNK));
    pair.bench(&mut criterion, "net::call", ("bytes=0", 0), || frame(Protocol::Put, Bytes::new()));
    pair.bench(&mut criterion, "net::put", ("kib=256", CHUNK), || frame(Protocol::Put, body.clone()));
    pair.bench(&mut criterion, "net::get", ("kib=256", CHUNK), || frame(Protocol::Get, Bytes::new()));
    pair.stop();
    criterion.final_summary();
}

/// A request of this protocol.
fn frame(protocol: Protocol, body: Bytes) -> (Protocol, Frame) {
    let length = u32::try_from(CHUNK).expect("a chunk is small");
    let frame = match protocol {
        Protocol::Put => Frame::new(&put::PutRequest::Chunk { upload: put::UploadId([7; 16]), offset: 0 }, body),
        _ => Frame::new(
            &get::GetRequest { column: ColumnId::new([7; 32]), access: get::ReadAccess::Public, start: 0, length },
            body,
        ),
    };
    (protocol, frame)
}

/// A caller, and a node that answers.
struct Pair<'a> {
    runtime: &'a Runtime,
    caller: SwarmHandle,
    node: SwarmHandle,
    id: NodeId,
    answering: JoinHandle<()>,
}

impl<'a> Pair<'a> {
    fn start(runtime: &'a Runtime) -> Self {
        let config = |seed| SwarmConfig::client(ChainId::new([1; 32]), Keypair::from_seed(&[seed; 32]));
        let listen = vec!["/ip4/127.0.0.1/tcp/0".to_owned()];
        let (node, inbound) = Swarm::start(SwarmConfig { listen, ..config(1) }).expect("a port is free");
        let (caller, _asked) = Swarm::start(config(2)).expect("a client needs no port");
        let id = node.local();
        caller.learn(id, &node.listening());
        let answering = runtime.spawn(answer(inbound, Bytes::from(noise(CHUNK))));
        Self { runtime, caller, node, id, answering }
    }

    fn bench(
        &self,
        criterion: &mut Criterion,
        operation: &str,
        (size, bytes): (&str, usize),
        request: impl Fn() -> (Protocol, Frame),
    ) {
        let mut group = criterion.benchmark_group(operation);
        group.sample_size(20);
        group.throughput(match bytes {
            0 => Throughput::Elements(count(CHUNKS)),
            _ => Throughput::Bytes(count(CHUNKS * bytes)),
        });
        for concurrent in CONCURRENT {
            group.bench_function(format!("{size}/concurrent={concurrent}"), |bench| {
                bench.iter(|| self.runtime.block_on(self.round(concurrent, &request)));
            });
        }
        group.finish();
    }

    /// Makes all calls of a round; every answer must be there and be no refusal.
    async fn round(&self, concurrent: usize, request: impl Fn() -> (Protocol, Frame)) {
        let call = |_| {
            let (protocol, frame) = request();
            self.caller.call(self.id, protocol, frame)
        };
        let answers = stream::iter(0..CHUNKS).map(call).buffer_unordered(concurrent);
        answers.for_each(|answer| async { drop(answer.expect("the node answers")) }).await;
    }

    fn stop(self) {
        self.runtime.block_on(async {
            self.caller.shutdown().await;
            self.node.shutdown().await;
            self.answering.await.expect("answering does not panic");
        });
    }
}

/// Answers every put as taken and every get with `body`, until the swarm stops.
async fn answer(inbound: Requests, body: Bytes) {
    let taken = Frame::new(&Ok::<_, Refusal>(put::PutResponse::Ready { next: 0 }), Bytes::new());
    let range = Frame::new(&Ok::<_, Refusal>(get::GetResponse { siblings: vec![[7; 32]; 12] }), body);
    while let Some(Inbound { protocol, reply, .. }) = inbound.next_of_any().await {
        reply.send(if protocol == Protocol::Get { range.clone() } else { taken.clone() });
    }
}
