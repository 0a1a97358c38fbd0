//! A network of fake nodes on a simulated network: one ledger that all of them share, columns in memory, and faults on
//! demand. Only for the tests of this crate; what real nodes do is tested with real nodes.

#![allow(clippy::unwrap_used)] // a test's fakes may stop the test

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use ostrakon_net::{
    Inbound, Workers,
    sim::{SimConfig, SimNetwork},
};
use ostrakon_proto::{
    codec,
    id::{AccountId, Amount, ColumnId, Height, NodeId, ObjectId, TxId},
    ledger::{
        CheckedTx, Genesis, GenesisAccount, GenesisProvider, GenesisValidator, Memory, Proposer, Rules, history,
        propose,
        state::{Domain, Key, Membership, Records},
        tree::prove,
        tx::{Action, Block, Decided, Receipt, Transfer, Tx, TxBody, tx_proof},
        vote::{Certificate, SignedVote, ValidatorKeys, Vote, VoteKind},
    },
    light::{Answer, Certified, Handover, Inclusion, Item, Past, PastBlock},
    limits,
    manifest::Manifest,
    params::Params,
    placement::Draw,
    sign::{Keypair, Purpose, Signature},
    tree::{Outboard, TreeBuilder, prove_range},
    wire::{Code, Frame, Protocol, Refusal, chain, get, manifest, put},
};
use tokio::task::JoinSet;

use crate::{Client, ClientParts, Clock, chain::lock};

mod activity;
mod lies;

pub(crate) use lies::Lie;

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
    /// Stores columns, and never says so.
    KeepsReceipts,
    /// Says of the ledger what is not so.
    Lies(Lie),
}

/// All there is.
pub(crate) struct World {
    pub(crate) network: SimNetwork,
    pub(crate) genesis: Genesis,
    pub(crate) nodes: Vec<NodeId>,
    shared: Arc<Mutex<Shared>>,
    now_ms: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

struct Shared {
    rules: Rules,
    ledger: Memory,
    decided: Vec<Decided>,
    history: BTreeMap<u64, [u8; 32]>,
    places: BTreeMap<TxId, usize>,
    faults: BTreeMap<NodeId, Fault>,
    /// Requests of get/1 that were answered, with the bytes of each.
    pub(crate) reads: Vec<usize>,
    pub(crate) puts: Puts,
    /// How often all nodes forgot all uploads.
    forgotten: u32,
    /// Commits of this extent are refused.
    refused: Option<u32>,
    /// The next transaction is taken and forgotten, and others fill a block instead of it.
    rush: bool,
}

/// What all holders together took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Puts {
    /// Bytes of chunks.
    pub(crate) bytes: u64,
    /// Those of chunks that were there already.
    pub(crate) repeated: u64,
}

/// One node's columns.
struct Holder {
    key: Keypair,
    shared: Arc<Mutex<Shared>>,
    uploads: BTreeMap<put::UploadId, Incoming>,
    forgotten: u32,
    columns: BTreeMap<ColumnId, (Vec<u8>, Outboard)>,
    manifests: BTreeMap<ObjectId, Bytes>,
    /// Requests that are never answered.
    ignored: Vec<Inbound>,
}

/// A column on its way.
struct Incoming {
    from: NodeId,
    open: put::Open,
    chunks: BTreeMap<u64, Bytes>,
    /// Chunks that came, more than once too.
    count: u64,
    finished: Option<(u64, Signature)>,
}

impl Incoming {
    fn next(&self) -> u64 {
        let add = |next, (offset, chunk): (&u64, &Bytes)| if *offset == next { next + len(chunk) } else { next };
        self.chunks.iter().fold(0, add)
    }

    fn taken(&self) -> put::Taken {
        if let Some((next, _)) = self.finished {
            return put::Taken { next, early: 0 };
        }
        let (next, chunk) = (self.next(), u64::try_from(limits::CHUNK).unwrap());
        let early = (1..8u8).filter(|ahead| self.chunks.contains_key(&(next + u64::from(*ahead) * chunk)));
        put::Taken { next, early: early.fold(0, |bits, ahead| bits | 1 << ahead) }
    }
}

fn len(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap()
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
        Self::make(nodes, Params::default(), SimNetwork::new(seed, config))
    }

    /// As [`World::new`], with a ledger whose epochs are this many transactions long, and draws good for so many
    /// epochs.
    pub(crate) fn hasty(nodes: u8, epoch_blocks: u64, draw_epochs: u64) -> Self {
        let params = Params { epoch_blocks, draw_epochs, ..Params::default() };
        Self::make(nodes, params, SimNetwork::new(7, SimConfig::default()))
    }

    fn make(nodes: u8, params: Params, network: SimNetwork) -> Self {
        let key = |number: u8| Keypair::from_seed(&[number + 1; 32]);
        let keys = validator();
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
            membership: Membership::default(),
            params,
            accounts: [account(), crowd()]
                .map(|key| GenesisAccount { account: key.public(), balance: Amount(1_000_000_000_000) })
                .to_vec(),
            validators: vec![GenesisValidator {
                owner: account().public(),
                key: keys.vote.public(),
                node: key(0).public(),
                addresses: vec!["/ip4/127.0.0.1/tcp/4000".to_owned()],
                beacon_key: keys.beacon.public(),
                bond: Params::default().bonds.validator,
                domain: domain(0),
            }],
            providers: (0..nodes).map(provider).collect(),
        };
        let shared = Arc::new(Mutex::new(Shared {
            rules: Rules::from(&genesis),
            ledger: Memory::new(&genesis.changes()),
            decided: Vec::new(),
            history: BTreeMap::new(),
            places: BTreeMap::new(),
            faults: BTreeMap::new(),
            reads: Vec::new(),
            puts: Puts::default(),
            forgotten: 0,
            refused: None,
            rush: false,
        }));
        // Genesis is signed by nobody: what is proven begins with a block.
        lock(&shared).decide(Vec::new()).unwrap();
        let mut tasks = JoinSet::new();
        for number in 0..nodes {
            let (_, mut requests) = network.join(key(number).public());
            let shared = Arc::clone(&shared);
            let (uploads, columns, manifests, ignored) = Default::default();
            let mut holder = Holder { key: key(number), shared, uploads, forgotten: 0, columns, manifests, ignored };
            tasks.spawn(async move {
                while let Some(inbound) = requests.recv().await {
                    holder.handle(inbound);
                }
            });
        }
        let nodes = (0..nodes).map(|number| key(number).public()).collect();
        Self { network, genesis, nodes, shared, now_ms: Arc::default(), _tasks: tasks }
    }

    /// What time all clients have.
    pub(crate) fn set_clock(&self, now_ms: u64) {
        self.now_ms.store(now_ms, Ordering::Relaxed);
    }

    fn clock(&self) -> Clock {
        let now_ms = Arc::clone(&self.now_ms);
        Arc::new(move || now_ms.load(Ordering::Relaxed))
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
            trust: None,
            clock: self.clock(),
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

    pub(crate) fn puts(&self) -> Puts {
        lock(&self.shared).puts
    }

    /// Every node forgets the uploads under way, as if it had been restarted.
    pub(crate) fn forget_uploads(&self) {
        lock(&self.shared).forgotten += 1;
    }

    /// The ledger refuses commits of this extent; or of none.
    pub(crate) fn refuse_extent(&self, extent: Option<u32>) {
        lock(&self.shared).refused = extent;
    }

    /// The next transaction is taken and forgotten, and others fill a block instead of it.
    pub(crate) fn rush_next(&self) {
        lock(&self.shared).rush = true;
    }

    /// Puts these into one block: what each of these accounts does next.
    pub(crate) fn act(&self, actions: &[(&Keypair, Action)]) {
        let mut shared = lock(&self.shared);
        let mut nonces: BTreeMap<AccountId, u64> = BTreeMap::new();
        let mut txs = Vec::new();
        for (key, action) in actions {
            let account = key.public();
            let nonce = nonces.entry(account).or_insert_with(|| shared.ledger.account(&account).nonce);
            let valid_until = Height(shared.ledger.tip().height.0 + 100);
            let body = TxBody { account, nonce: *nonce, valid_until, fee: Amount(1_000_000), action: action.clone() };
            txs.push(Tx::sign(body, key, &shared.rules.chain));
            *nonce += 1;
        }
        shared.decide(txs).unwrap();
    }

    /// Transactions that are in blocks.
    pub(crate) fn transactions(&self) -> usize {
        lock(&self.shared).places.len()
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
            (Some(Fault::Lies(lie)), Protocol::Chain) => {
                let (mut shared, request) = (lock(&self.shared), inbound.request.decode().unwrap());
                let at_once = lie.tell_at_once(&request, &inbound.request.body);
                Some(at_once.unwrap_or_else(|| match (request, shared.chain(&inbound.request)) {
                    (chain::Request::Activity { before: None, .. }, honest) => {
                        let others = shared.activity(crowd().public(), None, 1).txs;
                        lie.activity(honest, others)
                    }
                    (request, honest) => lie.tell(&shared.rules.chain, &request, honest),
                }))
            }
            (_, Protocol::Chain) => Some(lock(&self.shared).chain(&inbound.request)),
            (_, Protocol::Put) => self.put(inbound.from, &inbound.request, fault),
            (_, Protocol::Get) => Some(self.get(&inbound.request, fault)),
            (_, Protocol::Manifest) => Some(self.manifest(&inbound.request)),
            (_, Protocol::Consensus) => None,
        };
        match answer {
            Some(answer) => inbound.reply.send(answer),
            None => self.ignored.push(inbound),
        }
    }

    fn put(&mut self, from: NodeId, request: &Frame, fault: Option<Fault>) -> Option<Frame> {
        let forgotten = lock(&self.shared).forgotten;
        if self.forgotten != forgotten {
            self.forgotten = forgotten;
            self.uploads.clear();
        }
        match request.decode::<put::Request>().unwrap() {
            put::Request::Open { .. } if fault == Some(Fault::Full) => Some(refuse(Code::Full, "no room")),
            put::Request::Open { open, .. } => Some(self.open(from, open)),
            put::Request::Chunk { upload, offset } => self.chunk((from, upload), offset, &request.body, fault),
            put::Request::Finish { upload } => {
                let answer = self.finish((from, upload), &request.body);
                (fault != Some(Fault::KeepsReceipts)).then_some(answer)
            }
            put::Request::Abort { upload } => {
                self.uploads.retain(|id, incoming| *id != upload || incoming.from != from);
                Some(ok(&put::Response::Aborted, Bytes::new()))
            }
        }
    }

    fn open(&mut self, from: NodeId, open: put::Open) -> Frame {
        if !lock(&self.shared).is_good(open.draw) {
            return refuse(Code::Denied, "the draw is not good");
        }
        let fresh = Incoming { from, open: open.clone(), chunks: BTreeMap::new(), count: 0, finished: None };
        let incoming = self.uploads.entry(open.upload).or_insert(fresh);
        if incoming.open != open {
            return refuse(Code::Denied, "another upload has that name");
        }
        incoming.from = from;
        ok(&put::Response::Opened(incoming.taken()), Bytes::new())
    }

    fn chunk(
        &mut self,
        (from, upload): (NodeId, put::UploadId),
        offset: u64,
        body: &Bytes,
        fault: Option<Fault>,
    ) -> Option<Frame> {
        let Some(incoming) = self.uploads.get_mut(&upload).filter(|incoming| incoming.from == from) else {
            return Some(refuse(Code::NotFound, "no such upload"));
        };
        incoming.count += 1;
        if fault.is_some_and(|fault| matches!(fault, Fault::StallsAfter(most) if incoming.count > most)) {
            return None;
        }
        if offset >= incoming.next() + 8 * u64::try_from(limits::CHUNK).unwrap() {
            return Some(refuse(Code::Busy, "too early"));
        }
        let mut shared = lock(&self.shared);
        shared.puts.bytes += len(body);
        if let Some(before) = incoming.chunks.insert(offset, body.clone()) {
            assert!(before == *body, "a key seals one content");
            shared.puts.repeated += len(body);
        }
        Some(ok(&put::Response::Ready { next: incoming.next() }, Bytes::new()))
    }

    fn finish(&mut self, (from, upload): (NodeId, put::UploadId), body: &Bytes) -> Frame {
        let Some(incoming) = self.uploads.get_mut(&upload).filter(|incoming| incoming.from == from) else {
            return refuse(Code::NotFound, "no such upload");
        };
        if let Some((_, receipt)) = incoming.finished {
            return ok(&put::Response::Receipt(receipt), Bytes::new());
        }
        let bytes: Vec<u8> = incoming.chunks.values().flatten().copied().collect();
        let open = incoming.open.clone();
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
        let signature = self.key.sign(Purpose::Receipt, &chain, &receipt);
        incoming.finished = Some((receipt.column_len, signature));
        ok(&put::Response::Receipt(signature), Bytes::new())
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
    fn is_good(&self, draw: Draw) -> bool {
        let (now, account) = (self.ledger.tip().running.epoch, self.ledger.account(&account().public()));
        let reach = self.rules.params.draw_nonces;
        (self.rules.oldest_draw(now)..=now).contains(&draw.epoch) && draw.nonce.abs_diff(account.nonce) <= reach
    }

    fn chain(&mut self, request: &Frame) -> Frame {
        let newest = |shared: &Self, from: Height| shared.ledger.tip().height.max(Height(1)) >= from;
        match request.decode::<chain::Request>().unwrap() {
            chain::Request::Head => refuse(Code::BadRequest, "no client takes a node's word for its tip"),
            chain::Request::Tip { from } | chain::Request::Records { from, .. } if !newest(self, from) => {
                refuse(Code::Busy, "nobody knows more than this ledger")
            }
            chain::Request::Tip { .. } => self.answer(()),
            chain::Request::Records { keys, .. } => {
                let items = keys.iter().map(|key| {
                    let known = Key::from_bytes(key).unwrap();
                    let value = self.ledger.get(&known).map(|record| codec::encode(&record));
                    let proof = prove(&self.ledger, self.ledger.tip().height.0, key).unwrap();
                    Item { key: key.clone(), value, proof }
                });
                self.answer(items.collect::<Vec<_>>())
            }
            chain::Request::Submit { .. } => {
                let txs: Vec<Tx> = codec::decode(&request.body, limits::SUBMIT).unwrap();
                let mut stuck = false;
                let mut take = |tx| {
                    let taken =
                        if stuck { Err(Refusal::new(Code::Invalid, "behind another")) } else { self.submit(tx) };
                    stuck |= taken.is_err();
                    taken
                };
                let verdicts: Vec<Result<(), Refusal>> = txs.into_iter().map(&mut take).collect();
                ok(&chain::Response::Verdicts, codec::encode(&verdicts).into())
            }
            chain::Request::Transaction { id, .. } => self.answer(self.inclusion(id)),
            chain::Request::Block { height, .. } => self.answer(self.past_block(height)),
            chain::Request::Activity { account, before, limit, .. } => {
                self.answer(self.activity(account, before, limit))
            }
            chain::Request::Blocks { .. } => refuse(Code::BadRequest, "no client asks for blocks to follow"),
            chain::Request::Snapshots | chain::Request::Chunk { .. } | chain::Request::Past(_) => {
                refuse(Code::BadRequest, "no client keeps the ledger")
            }
            chain::Request::Handovers { .. } => {
                ok(&chain::Response::Hints, codec::encode(&Vec::<Handover>::new()).into())
            }
            chain::Request::Providers { after } => {
                let nodes = self.ledger.providers().into_iter().map(|provider| provider.node);
                let page: Vec<NodeId> = nodes.filter(|node| Some(*node) > after).take(5).collect();
                ok(&chain::Response::Hints, codec::encode(&page).into())
            }
        }
    }

    /// What is said, as of the newest block.
    fn answer<T: borsh::BorshSerialize>(&self, said: T) -> Frame {
        let Decided { block, certificate } = self.decided.last().unwrap().clone();
        let tip = Certified { header: block.header, certificate };
        ok(&chain::Response::Answer, codec::encode(&Answer { tip, said }).into())
    }

    fn submit(&mut self, tx: Tx) -> Result<(), Refusal> {
        if self.places.contains_key(&tx.id()) {
            return Ok(());
        }
        if let Action::Commit(commit) = &tx.body.action
            && Some(commit.extent) == self.refused
        {
            return Err(Refusal::new(Code::Invalid, "this extent is refused"));
        }
        if std::mem::take(&mut self.rush) {
            return self.decide(self.crowd());
        }
        self.decide(vec![tx])
    }

    /// Transfers that make more than half a block.
    fn crowd(&self) -> Vec<Tx> {
        let (account, mut nonce) = (crowd().public(), self.ledger.account(&crowd().public()).nonce);
        let mut sign = || {
            let action = Action::Transfer(Transfer { to: account, amount: Amount(1) });
            let mut body = TxBody { account, nonce, valid_until: Height(1_000), fee: Amount::ZERO, action };
            body.fee = self.rules.fee(&body);
            nonce += 1;
            Tx::sign(body, &crowd(), &self.rules.chain)
        };
        let first = sign();
        let count = limits::FEE_TARGET / codec::encode(&first).len();
        std::iter::once(first).chain((0..count).map(|_| sign())).collect()
    }

    /// Makes a block of these, or of nothing when one of them is refused.
    fn decide(&mut self, txs: Vec<Tx>) -> Result<(), Refusal> {
        let keys = validator();
        let proposer = Proposer { key: keys.vote.public(), beacon: &keys.beacon, round: 0, now_ms: 0 };
        let check = |tx| CheckedTx::check(&self.rules, tx).map(Arc::new);
        let txs: Result<Vec<_>, _> = txs.into_iter().map(check).collect();
        let txs = txs.map_err(|error| Refusal::new(Code::Invalid, error))?;
        let proposal = propose(&self.rules, &self.ledger, &txs, &proposer).expect("rules that are known");
        if let Some((_, error)) = proposal.rejected.first() {
            return Err(Refusal::new(Code::Invalid, error));
        }
        self.ledger.commit(&proposal.changes);
        self.rules = Rules::at(self.rules.chain, &self.ledger);
        self.history.extend(proposal.changes.history.iter().copied());
        let decided = decide(&self.rules, proposal.block, &keys);
        self.places.extend(decided.block.txs.iter().map(|tx| (tx.id(), self.decided.len())));
        self.decided.push(decided);
        Ok(())
    }

    fn past_block(&self, height: Height) -> PastBlock {
        let Decided { block, certificate } = self.decided[usize::try_from(height.0).unwrap() - 1].clone();
        let tip = self.decided.last().unwrap().block.header.height;
        let read = |position| self.history.get(&position).copied();
        let proof = (height < tip).then(|| history::prove(read, tip.0, height).unwrap());
        PastBlock { block: Past { header: block.header, proof }, certificate, txs: block.txs }
    }

    fn inclusion(&self, tx: TxId) -> Option<Inclusion> {
        let block = &self.decided[*self.places.get(&tx)?].block;
        let ids: Vec<TxId> = block.txs.iter().map(Tx::id).collect();
        let place = ids.iter().position(|id| *id == tx).unwrap();
        let PastBlock { block, .. } = self.past_block(block.header.height);
        Some(Inclusion { block, proof: tx_proof(&ids, place).unwrap() })
    }
}

/// Who fills blocks.
pub(crate) fn crowd() -> Keypair {
    Keypair::from_seed(&[201; 32])
}

/// What the ledger's one validator votes with.
fn validator() -> ValidatorKeys {
    ValidatorKeys::from_seed(&[0; 32])
}

/// The block, decided by its one validator.
fn decide(rules: &Rules, block: Block, keys: &ValidatorKeys) -> Decided {
    let (height, id) = (block.header.height, block.header.id());
    let vote = Vote { kind: VoteKind::Precommit, height, round: 0, block: Some(id) };
    let signed = SignedVote::sign(vote, &keys.vote, &rules.chain);
    let signatures = [(signed.voter, signed.signature)].into();
    Decided { block, certificate: Certificate { height, round: 0, block: id, signatures } }
}

fn ok<T: borsh::BorshSerialize>(response: &T, body: Bytes) -> Frame {
    Frame::new(&Ok::<_, Refusal>(response), body)
}

fn refuse(code: Code, reason: impl std::fmt::Display) -> Frame {
    Frame::new(&Err::<(), _>(Refusal::new(code, reason)), Bytes::new())
}
