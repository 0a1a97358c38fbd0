//! A network of fake nodes on a simulated network: one ledger that all of them share, columns in memory, and faults on
//! demand. Only for the tests of this crate; what real nodes do is tested with real nodes.

#![allow(clippy::unwrap_used)] // a test's fakes may stop the test

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use ostrakon_net::{
    Inbound, Workers,
    sim::{SimConfig, SimNetwork},
};
use ostrakon_proto::{
    beacon::BeaconSecret,
    codec,
    id::{Amount, ColumnId, NodeId, ObjectId, TxId},
    ledger::{
        Genesis, GenesisAccount, GenesisProvider, Memory, Proposer, Rules, propose,
        state::{Domain, Records, Validator},
        tx::{Decided, Receipt, Tx},
    },
    limits,
    manifest::Manifest,
    sign::{Keypair, Purpose},
    tree::{Outboard, TreeBuilder, prove_range},
    wire::{Code, Frame, Protocol, Refusal, chain, get, manifest, put},
};
use tokio::task::JoinSet;

use crate::{Client, ClientParts, chain::lock};

/// What a node does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Refuses to store.
    Full,
    /// Takes this many chunks of each upload, and then no more.
    StallsAfter(u64),
    /// Never answers anything.
    Silent,
    /// Sends wrong bytes.
    Corrupt,
}

/// All there is.
pub(crate) struct World {
    pub(crate) network: SimNetwork,
    pub(crate) genesis: Genesis,
    pub(crate) nodes: Vec<NodeId>,
    shared: Arc<Mutex<Shared>>,
    _tasks: JoinSet<()>,
}

struct Shared {
    rules: Rules,
    ledger: Memory,
    decided: Vec<Decided>,
    places: BTreeMap<TxId, usize>,
    faults: BTreeMap<NodeId, Fault>,
    /// Requests of get/1 that were answered, with the bytes of each.
    pub(crate) reads: Vec<usize>,
}

/// One node's columns.
struct Holder {
    key: Keypair,
    shared: Arc<Mutex<Shared>>,
    uploads: BTreeMap<put::UploadId, (put::Open, Vec<u8>, u64)>,
    columns: BTreeMap<ColumnId, (Vec<u8>, Outboard)>,
    manifests: BTreeMap<ObjectId, Bytes>,
    /// Requests that are never answered.
    ignored: Vec<Inbound>,
}

pub(crate) fn account() -> Keypair {
    Keypair::from_seed(&[200; 32])
}

impl World {
    /// A network of this many nodes, two to an infrastructure, whose ledger decides each transaction at once.
    pub(crate) fn new(nodes: u8) -> Self {
        Self::with(nodes, SimConfig::default(), 7)
    }

    /// As [`World::new`], on a network like this.
    pub(crate) fn with(nodes: u8, config: SimConfig, seed: u64) -> Self {
        let network = SimNetwork::new(seed, config);
        let key = |number: u8| Keypair::from_seed(&[number + 1; 32]);
        let beacon = BeaconSecret::from_seed(&[0; 32]);
        let provider = |number: u8| GenesisProvider {
            owner: key(100 + number).public(),
            node: key(number).public(),
            addresses: vec![format!("/ip4/127.0.0.1/tcp/{}", 4000 + u16::from(number))],
            price: Amount(1_000_000),
            capacity: 1 << 40,
            domain: domain(number),
        };
        let genesis = Genesis {
            name: "fake".to_owned(),
            time_ms: 1,
            bootstrap: Vec::new(),
            params: Default::default(),
            accounts: vec![GenesisAccount { account: account().public(), balance: Amount(1_000_000_000_000) }],
            validators: vec![Validator {
                node: key(0).public(),
                beacon_key: beacon.public(),
                power: 1,
                domain: domain(0),
            }],
            providers: (0..nodes).map(provider).collect(),
        };
        let shared = Arc::new(Mutex::new(Shared {
            rules: Rules::from(&genesis),
            ledger: Memory::new(&genesis.changes()),
            decided: Vec::new(),
            places: BTreeMap::new(),
            faults: BTreeMap::new(),
            reads: Vec::new(),
        }));
        let mut tasks = JoinSet::new();
        for number in 0..nodes {
            let (_, mut requests) = network.join(key(number).public());
            let shared = Arc::clone(&shared);
            let (uploads, columns, manifests, ignored) = Default::default();
            let mut holder = Holder { key: key(number), shared, uploads, columns, manifests, ignored };
            tasks.spawn(async move {
                while let Some(inbound) = requests.recv().await {
                    holder.handle(inbound);
                }
            });
        }
        let nodes = (0..nodes).map(|number| key(number).public()).collect();
        Self { network, genesis, nodes, shared, _tasks: tasks }
    }

    pub(crate) fn client(&self) -> Client {
        self.client_as(250)
    }

    /// One of several clients of the same account.
    pub(crate) fn client_as(&self, number: u8) -> Client {
        let (peers, _) = self.network.join(NodeId::new([number; 32]));
        let count = Mutex::new(0u64);
        let random = move |bytes: &mut [u8]| {
            let mut count = lock(&count);
            *count += 1;
            blake3::Hasher::new().update(&[number]).update(&count.to_le_bytes()).finalize_xof().fill(bytes);
        };
        Client::new(ClientParts {
            peers,
            workers: Workers::inline(),
            genesis: self.genesis.clone(),
            account: Some(account()),
            random: Arc::new(random),
        })
    }

    pub(crate) fn fault(&self, node: NodeId, fault: Fault) {
        lock(&self.shared).faults.insert(node, fault);
    }

    pub(crate) fn heal(&self) {
        lock(&self.shared).faults.clear();
    }

    pub(crate) fn take_reads(&self) -> Vec<usize> {
        std::mem::take(&mut lock(&self.shared).reads)
    }
}

fn domain(number: u8) -> Domain {
    Domain {
        operator: format!("operator-{number}"),
        infrastructure: format!("cloud-{}", number / 2),
        region: format!("region-{}", number / 2),
    }
}

impl Holder {
    fn handle(&mut self, inbound: Inbound) {
        let node: NodeId = self.key.public();
        let fault = lock(&self.shared).faults.get(&node).copied();
        let answer = match (fault, inbound.protocol) {
            (Some(Fault::Silent), _) => None,
            (_, Protocol::Chain) => Some(lock(&self.shared).chain(&inbound.request)),
            (_, Protocol::Put) => self.put(&inbound.request, fault),
            (_, Protocol::Get) => Some(self.get(&inbound.request, fault)),
            (_, Protocol::Manifest) => Some(self.manifest(&inbound.request)),
        };
        match answer {
            Some(answer) => inbound.reply.send(answer),
            None => self.ignored.push(inbound),
        }
    }

    fn put(&mut self, request: &Frame, fault: Option<Fault>) -> Option<Frame> {
        let ready = |next| ok(&put::Response::Ready { next }, Bytes::new());
        Some(match request.decode::<put::Request>().unwrap() {
            put::Request::Open { .. } if fault == Some(Fault::Full) => refuse(Code::Full, "no room"),
            put::Request::Open { open, .. } => {
                self.uploads.insert(open.upload, (open, Vec::new(), 0));
                ready(0)
            }
            put::Request::Chunk { upload, offset } => {
                let Some((_, bytes, chunks)) = self.uploads.get_mut(&upload) else {
                    return Some(refuse(Code::NotFound, "no such upload"));
                };
                *chunks += 1;
                if fault.is_some_and(|fault| matches!(fault, Fault::StallsAfter(most) if *chunks > most)) {
                    return None;
                }
                let (start, end) =
                    (usize::try_from(offset).unwrap(), usize::try_from(offset).unwrap() + request.body.len());
                bytes.resize(bytes.len().max(end), 0);
                bytes[start..end].copy_from_slice(&request.body);
                ready(u64::try_from(bytes.len()).unwrap())
            }
            put::Request::Finish { upload } => self.finish(upload, &request.body),
            put::Request::Abort { upload } => {
                self.uploads.remove(&upload);
                ok(&put::Response::Aborted, Bytes::new())
            }
        })
    }

    fn finish(&mut self, upload: put::UploadId, body: &Bytes) -> Frame {
        let Some((open, bytes, _)) = self.uploads.remove(&upload) else {
            return refuse(Code::NotFound, "no such upload");
        };
        let listed = Manifest::decode(body).unwrap();
        let mut tree = TreeBuilder::new();
        tree.update(&bytes);
        let (column, outboard) = tree.finish();
        let extent = &listed.extents[usize::try_from(open.extent).unwrap()];
        assert_eq!(extent.columns[usize::from(open.index)], column, "the manifest lists the column");
        let receipt = Receipt {
            account: open.account,
            object: Manifest::object_id(body),
            extent: open.extent,
            index: open.index,
            column,
            column_len: u64::try_from(bytes.len()).unwrap(),
            draw: open.draw,
        };
        self.columns.insert(column, (bytes, outboard));
        self.manifests.insert(receipt.object, body.clone());
        let chain = lock(&self.shared).rules.chain;
        ok(&put::Response::Receipt(self.key.sign(Purpose::Receipt, &chain, &receipt)), Bytes::new())
    }

    fn get(&self, request: &Frame, fault: Option<Fault>) -> Frame {
        let get::Request { column, start, length, .. } = request.decode().unwrap();
        let Some((bytes, outboard)) = self.columns.get(&column) else {
            return refuse(Code::NotFound, "no such column");
        };
        let range = ostrakon_proto::tree::Range { start, length };
        let siblings = prove_range(outboard, range).unwrap();
        let start = usize::try_from(start).unwrap();
        let mut body = bytes[start..bytes.len().min(start + usize::try_from(length).unwrap())].to_vec();
        if fault == Some(Fault::Corrupt) {
            body[0] ^= 1;
        }
        lock(&self.shared).reads.push(body.len());
        ok(&get::Response { siblings }, body.into())
    }

    fn manifest(&self, request: &Frame) -> Frame {
        let manifest::Request { object } = request.decode().unwrap();
        match self.manifests.get(&object) {
            Some(bytes) => ok(&manifest::Response, bytes.clone()),
            None => refuse(Code::NotFound, "no such object"),
        }
    }
}

impl Shared {
    fn chain(&mut self, request: &Frame) -> Frame {
        let ledger = &self.ledger;
        let tip = ledger.tip();
        let records = |body: Vec<u8>| ok(&chain::Response::Records, body.into());
        match request.decode::<chain::Request>().unwrap() {
            chain::Request::Head | chain::Request::Await { .. } => {
                let beacon = ledger.epoch(tip.epoch).unwrap().beacon;
                let (height, block, epoch) = (tip.height, tip.block, tip.epoch);
                let (time_ms, digest, minted, burnt) = (tip.time_ms, tip.digest, tip.minted, tip.burnt);
                let head = chain::Head { height, block, epoch, beacon, time_ms, digest, minted, burnt };
                ok(&chain::Response::Head(head), Bytes::new())
            }
            chain::Request::Submit => self.submit(codec::decode(&request.body, limits::TX).unwrap()),
            chain::Request::Transaction(tx) => records(codec::encode(&self.inclusion(tx))),
            chain::Request::Blocks { .. } => refuse(Code::BadRequest, "no client asks for blocks"),
            chain::Request::Account(id) => ok(&chain::Response::Account(ledger.account(&id)), Bytes::new()),
            chain::Request::Object(object) => records(codec::encode(&ledger.commitments_of(&object, limits::PAGE))),
            chain::Request::Providers { nodes, after } => {
                let wanted: BTreeSet<NodeId> = nodes.into_iter().collect();
                let mut all = ledger.providers();
                all.retain(|provider| {
                    (wanted.is_empty() || wanted.contains(&provider.node)) && Some(provider.node) > after
                });
                records(codec::encode(&all))
            }
            chain::Request::Roster { epoch, after } => {
                let mut roster = ledger.epoch(epoch).unwrap().roster;
                roster.retain(|candidate| Some(candidate.provider) > after);
                records(codec::encode(&roster.into_iter().take(5).collect::<Vec<_>>()))
            }
        }
    }

    fn submit(&mut self, tx: Tx) -> Frame {
        if self.places.contains_key(&tx.id()) {
            return ok(&chain::Response::Submitted, Bytes::new());
        }
        let beacon = BeaconSecret::from_seed(&[0; 32]);
        let key = Keypair::from_seed(&[1; 32]);
        let proposal = propose(&self.rules, &self.ledger, 0, vec![tx], &Proposer { key: &key, beacon: &beacon });
        if let Some((_, error)) = proposal.rejected.first() {
            return refuse(Code::Invalid, error);
        }
        self.ledger.commit(&proposal.changes);
        let ids = proposal.decided.block.txs.iter().map(Tx::id);
        self.places.extend(ids.map(|id| (id, self.decided.len())));
        self.decided.push(proposal.decided);
        ok(&chain::Response::Submitted, Bytes::new())
    }

    fn inclusion(&self, tx: TxId) -> Vec<chain::Inclusion> {
        let decided = self.places.get(&tx).map(|place| &self.decided[*place]);
        let inclusion = |decided: &Decided| chain::Inclusion {
            header: decided.block.header.clone(),
            certificate: decided.certificate,
            ids: decided.block.txs.iter().map(Tx::id).collect(),
        };
        decided.map(inclusion).into_iter().collect()
    }
}

fn ok<T: borsh::BorshSerialize>(response: &T, body: Bytes) -> Frame {
    Frame::new(&Ok::<_, Refusal>(response), body)
}

fn refuse(code: Code, reason: impl std::fmt::Display) -> Frame {
    Frame::new(&Err::<(), _>(Refusal::new(code, reason)), Bytes::new())
}
