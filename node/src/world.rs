//! A small network in memory for this crate's tests: nodes on the simulated network, a client, and an object to store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use ostrakon_net::{
    Peers, Workers,
    sim::{SimConfig, SimNetwork},
};
use ostrakon_proto::{
    codec,
    id::{AccountId, Amount, ColumnId, Epoch, Height, NodeId, ObjectId},
    layout::{Layout, RowId},
    ledger::{
        Genesis, GenesisAccount, GenesisProvider, GenesisValidator, Rules,
        state::{Account, Domain, Key, Membership, Record},
        tx::{Action, Block, Commit, DecidedBlock, Header, SlotClaim, Tx, TxBody},
        verify_header,
        vote::{QuorumCertificate, SignedVote, ValidatorKeys, Vote, VoteKind},
    },
    light::{self, Answer, ProvenRecord},
    limits,
    manifest::{Content, Extent, Manifest, Protection},
    params::{Bonds, Code, Params, Repair, Timing},
    placement::Draw,
    row,
    seal::{ObjectKey, token_hash},
    sign::{Keypair, Purpose, Signature},
    tree::TreeBuilder,
    wire::{
        Frame, Protocol, Refusal, chain,
        consensus::Incarnation,
        put::{self, Open, UploadId},
    },
};
use tokio::time::Instant;

use crate::{
    chain::{
        memory::MemoryLedger,
        order::{sign_state::SignMemory, wal::WalMemory},
    },
    metrics::NodeMetrics,
    node::{Clock, Node, NodeParts, Settings, ValidatorParts},
    store::Memory,
};

/// The code of the test object.
pub(crate) const CODE: Code = Code { k: 2, n: 4 };
/// Time of the genesis.
const BEGAN_MS: u64 = 1_000_000;

/// A network and who pays on it.
pub(crate) struct World {
    pub(crate) genesis: Genesis,
    pub(crate) net: SimNetwork,
    pub(crate) account: Keypair,
    began: Instant,
}

/// What a node's disk would be.
#[derive(Clone)]
pub(crate) struct NodeDisk {
    pub(crate) columns: Arc<Memory>,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) wal: Arc<WalMemory>,
    pub(crate) signatures: Arc<SignMemory>,
}

impl NodeDisk {
    /// What node `number` votes with, if the genesis has it as a validator.
    fn validator(&self, number: usize, genesis: &Genesis) -> Option<ValidatorParts> {
        let (wal, signatures) = (Arc::clone(&self.wal), Arc::clone(&self.signatures));
        let votes = genesis.validators.iter().any(|validator| validator.node == node_id(number));
        votes.then(|| ValidatorParts { keys: validator_keys(number), wal, signatures, incarnation: new_incarnation() })
    }
}

/// A new incarnation.
pub(crate) fn new_incarnation() -> Incarnation {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    Incarnation(u128::from(COUNT.fetch_add(1, Ordering::Relaxed)).to_le_bytes())
}

pub(crate) fn node_key(number: usize) -> Keypair {
    Keypair::from_seed(&[u8::try_from(number + 1).expect("few nodes"); 32])
}

pub(crate) fn node_id(number: usize) -> NodeId {
    node_key(number).public()
}

pub(crate) fn domain(number: usize) -> Domain {
    Domain { operator: format!("o{number}"), infrastructure: format!("i{number}"), region: "r".to_owned() }
}

/// What validator `number` votes with.
pub(crate) fn validator_keys(number: usize) -> ValidatorKeys {
    ValidatorKeys::from_seed(&[u8::try_from(number + 200).expect("few validators"); 32])
}

/// The block, decided by these keys alone.
pub(crate) fn decide(rules: &Rules, block: Block, keys: &ValidatorKeys) -> DecidedBlock {
    let (height, id) = (block.header.height, block.header.id());
    let vote = Vote { kind: VoteKind::Precommit, height, round: 0, block: Some(id) };
    let signed = SignedVote::sign(vote, &keys.vote, &rules.chain);
    let signatures = [(signed.voter, signed.signature)].into();
    DecidedBlock { block, certificate: QuorumCertificate { height, round: 0, block: id, signatures } }
}

pub(crate) fn genesis(nodes: usize) -> Genesis {
    voting(nodes, 1)
}

/// A genesis of this many providers, the first of which are validators.
fn voting(nodes: usize, validators: usize) -> Genesis {
    let account = Keypair::from_seed(&[100; 32]).public();
    let provider = |number| GenesisProvider {
        owner: account,
        node: node_id(number),
        addresses: vec![format!("/memory/{}", number + 1)],
        price: Amount(1_000),
        capacity: 1 << 30,
        bond: None,
        proven: None,
        domain: domain(number),
    };
    let validator = |number| GenesisValidator {
        owner: account,
        key: validator_keys(number).vote.public(),
        node: node_id(number),
        addresses: vec![format!("/memory/{}", number + 1)],
        beacon_key: validator_keys(number).beacon.public(),
        bond: Params::default().bonds.validator,
        domain: domain(number),
    };
    let params = Params {
        time: Timing { epoch_ms: 10_000, window_blocks: 2, beacon_blocks: 1, trash_epochs: 3, ..Timing::default() },
        draw_epochs: 3,
        repair: Repair { turn_epochs: 1, ..Repair::default() },
        min_domains: 1,
        // Payments of any size, to anyone.
        bonds: Bonds { account: Amount(1), ..Bonds::default() },
        ..Params::default()
    };
    Genesis {
        name: "test".to_owned(),
        time_ms: BEGAN_MS,
        bootstrap: Vec::new(),
        membership: Membership::default(),
        params,
        accounts: vec![GenesisAccount { account, balance: Amount(1_000_000_000) }],
        validators: (0..validators).map(validator).collect(),
        providers: (0..nodes).map(provider).collect(),
    }
}

impl World {
    /// A network of this many providers, the first of which is the validator. None runs yet.
    pub(crate) fn new(nodes: usize) -> Self {
        Self::voting(nodes, 1)
    }

    /// A network of this many providers, the first of which are validators. None runs yet.
    pub(crate) fn voting(nodes: usize, validators: usize) -> Self {
        let (net, account) = (SimNetwork::new(1, SimConfig::default()), Keypair::from_seed(&[100; 32]));
        Self { genesis: voting(nodes, validators), net, account, began: Instant::now() }
    }

    pub(crate) fn disk(&self) -> NodeDisk {
        let (columns, ledger) = (Arc::new(Memory::new(1 << 30)), Arc::new(MemoryLedger::new(&self.genesis)));
        NodeDisk { columns, ledger, wal: Arc::default(), signatures: Arc::default() }
    }

    pub(crate) async fn start(&self, number: usize, disk: &NodeDisk) -> Node {
        self.start_with(number, disk, Settings::default()).await
    }

    pub(crate) async fn start_with(&self, number: usize, disk: &NodeDisk, settings: Settings) -> Node {
        let (peers, requests) = self.net.join(node_id(number));
        let began = self.began;
        let elapsed = move || u64::try_from(began.elapsed().as_millis()).expect("tests are short");
        let parts = NodeParts {
            genesis: self.genesis.clone(),
            keypair: node_key(number),
            validator: disk.validator(number, &self.genesis),
            peers,
            requests,
            columns: disk.columns.clone(),
            ledger: disk.ledger.clone(),
            workers: Workers::inline(),
            clock: Clock::new(move || BEGAN_MS + elapsed()),
            settings,
            metrics: NodeMetrics::default(),
        };
        Node::start(parts).await.expect("genesis and keys fit together")
    }

    /// All nodes, running, with a first block.
    pub(crate) async fn start_all(&self) -> Vec<(Node, NodeDisk)> {
        let mut nodes = Vec::new();
        for number in 0..self.genesis.providers.len() {
            let disk = self.disk();
            nodes.push((self.start(number, &disk).await, disk));
        }
        for (node, _) in &nodes {
            node.chain().wait(Height(1)).await;
        }
        nodes
    }

    pub(crate) fn client(&self, number: u8) -> Client {
        let (peers, _nobody_asks_it) = self.net.join(NodeId::new([number; 32]));
        Client { peers }
    }

    pub(crate) fn payer(&self) -> AccountId {
        self.account.public()
    }

    /// A transaction of the payer.
    pub(crate) fn tx(&self, nonce: u64, valid_until: Height, action: Action) -> Tx {
        let mut body = TxBody { account: self.payer(), nonce, valid_until, salt: 0, fee: Amount::ZERO, action };
        body.fee = Rules::from(&self.genesis).fee(&body);
        Tx::sign(body, &self.account, &self.genesis.id())
    }

    /// What asks `holder` for room for a column of the object.
    pub(crate) fn open(&self, holder: usize, object: &TestObject, index: u8) -> Open {
        Open {
            upload: UploadId([index; 16]),
            holder: node_id(holder),
            account: self.payer(),
            draw: Draw { epoch: Epoch(0), number: 0 },
            extent: 0,
            index,
            code: object.manifest.code,
            reserve: 1 << 20,
            ask: self.genesis.providers[holder].price,
            until: self.genesis.params.receipt_end(Draw { epoch: Epoch(0), number: 0 }, 100),
        }
    }

    pub(crate) fn sign(&self, open: &Open) -> put::PutRequest {
        let signature = self.account.sign(Purpose::Put, &self.genesis.id(), open);
        put::PutRequest::Open { open: open.clone(), signature, manifest: 0 }
    }
}

/// Asks nodes as a client does.
pub(crate) struct Client {
    peers: Arc<dyn Peers>,
}

impl Client {
    pub(crate) async fn ask<Q: BorshSerialize, R: BorshSerialize + BorshDeserialize>(
        &self,
        to: usize,
        protocol: Protocol,
        request: &Q,
        body: impl Into<Bytes>,
    ) -> Result<(R, Bytes), Refusal> {
        let answer = self.peers.call(node_id(to), protocol, Frame::new(request, body.into())).await;
        let answer = answer.expect("the node answers");
        let head: Result<R, Refusal> = answer.decode().expect("the answer is canonical");
        head.map(|head| (head, answer.body))
    }

    pub(crate) async fn put(
        &self,
        to: usize,
        request: &put::PutRequest,
        body: impl Into<Bytes>,
    ) -> Result<put::PutResponse, Refusal> {
        self.ask(to, Protocol::Put, request, body).await.map(|(response, _)| response)
    }

    pub(crate) async fn chain(
        &self,
        to: usize,
        request: &chain::ChainRequest,
    ) -> Result<chain::ChainResponse, Refusal> {
        self.ask(to, Protocol::Chain, request, Bytes::new()).await.map(|(response, _)| response)
    }

    /// The body of an answer, and how it is to be understood.
    pub(crate) async fn body<T: BorshSerialize + BorshDeserialize>(
        &self,
        to: usize,
        request: &chain::ChainRequest,
    ) -> Result<(chain::ChainResponse, T), Refusal> {
        let (response, body) = self.ask(to, Protocol::Chain, request, Bytes::new()).await?;
        Ok((response, codec::decode(&body, limits::CHAIN_BODY).expect("canonical")))
    }

    /// What is said, once its header is found decided.
    pub(crate) async fn answer<T: BorshSerialize + BorshDeserialize>(
        &self,
        world: &World,
        to: usize,
        request: &chain::ChainRequest,
    ) -> Result<(Header, T), Refusal> {
        let (response, Answer { tip, said }) = self.body(to, request).await?;
        assert_eq!(response, chain::ChainResponse::Answer);
        let (chain, set) = (world.genesis.id(), world.genesis.validator_set());
        verify_header(&chain, &set, &tip.header, &tip.certificate).expect("decided");
        Ok((tip.header, said))
    }

    pub(crate) async fn records(&self, world: &World, to: usize, keys: &[Key]) -> Vec<Option<Record>> {
        let request = chain::ChainRequest::Records { from: Height(1), keys: keys.iter().map(Key::to_bytes).collect() };
        let (header, items): (_, Vec<ProvenRecord>) = self.answer(world, to, &request).await.expect("answered");
        light::records(&items, &header, keys).expect("proven")
    }

    pub(crate) async fn account(&self, world: &World, to: usize, id: AccountId) -> Account {
        match self.records(world, to, &[Key::Account(id)]).await.as_slice() {
            [Some(Record::Account(account))] => *account,
            other => panic!("no account: {other:?}"),
        }
    }

    pub(crate) async fn submit(&self, to: usize, tx: &Tx) -> Result<(), Refusal> {
        let mut verdicts = self.submit_many(to, std::slice::from_ref(tx), chain::Relayed::No).await?;
        verdicts.pop().expect("one verdict for one transaction")
    }

    /// Submits many, and reads the verdict on each.
    pub(crate) async fn submit_many(
        &self,
        to: usize,
        txs: &[Tx],
        relayed: chain::Relayed,
    ) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        let request = chain::ChainRequest::Submit { relayed };
        let answer = self.ask(to, Protocol::Chain, &request, codec::encode(txs)).await?;
        let (response, body): (chain::ChainResponse, Bytes) = answer;
        assert_eq!(response, chain::ChainResponse::Verdicts);
        Ok(codec::decode(&body, limits::CHAIN_BODY).expect("canonical"))
    }

    /// Stores one column of `object` on a holder, for its receipt.
    pub(crate) async fn store(&self, world: &World, holder: usize, object: &TestObject, index: u8) -> Signature {
        let open = world.open(holder, object, index);
        let opened = self.put(holder, &world.sign(&open), Bytes::new()).await;
        assert_eq!(opened, Ok(put::PutResponse::Opened(put::Taken::default())));
        let (column, mut offset) = (&object.columns[usize::from(index)], 0);
        for bytes in column.chunks(limits::CHUNK) {
            let chunk = put::PutRequest::Chunk { upload: open.upload, offset };
            offset += u64::try_from(bytes.len()).expect("small");
            let stored = self.put(holder, &chunk, Bytes::copy_from_slice(bytes)).await;
            assert_eq!(stored, Ok(put::PutResponse::Ready { next: offset }));
        }
        match self.put(holder, &put::PutRequest::Finish { upload: open.upload }, object.bytes.clone()).await {
            Ok(put::PutResponse::Receipt(receipt)) => receipt,
            other => panic!("no receipt: {other:?}"),
        }
    }
}

/// A private object of one extent.
pub(crate) struct TestObject {
    pub(crate) id: ObjectId,
    pub(crate) key: ObjectKey,
    pub(crate) manifest: Manifest,
    pub(crate) bytes: Bytes,
    pub(crate) columns: Vec<Bytes>,
}

impl TestObject {
    pub(crate) fn new(size: usize, code: Code) -> Self {
        let (plain, key) = (vec![5; size], ObjectKey::from_bytes([7; 32]));
        let size = u64::try_from(size).expect("small");
        let layout = Layout::new(size, code, true).expect("small");
        let mut columns = vec![Vec::new(); usize::from(code.n)];
        for row in (0..layout.extent(0).expect("one extent").rows).map(|row| RowId { extent: 0, row }) {
            let part = layout.row(row).expect("a row").plain;
            let part = usize::try_from(part.start).expect("small")..usize::try_from(part.end).expect("small");
            let chunks = row::encode(&layout, row, &plain[part], Some(&key.sealer())).expect("a row");
            columns.iter_mut().zip(chunks).for_each(|(column, chunk)| column.extend_from_slice(&chunk));
        }
        let columns: Vec<Bytes> = columns.into_iter().map(Bytes::from).collect();
        let extent = Extent {
            columns: columns.iter().map(|column| column_id(column)).collect(),
            tokens: (0..code.n).map(|index| token_hash(&key.read_token(0, index))).collect(),
        };
        let protection = Protection::Sealed { commitment: key.commitment(Content::File) };
        let manifest = Manifest { size, code, protection, extents: vec![extent] };
        let bytes = Bytes::from(manifest.encode());
        Self { id: Manifest::object_id(&bytes), key, manifest, bytes, columns }
    }

    /// The same, but its owner names this column so.
    pub(crate) fn named(mut self, index: usize, name: ColumnId) -> Self {
        self.manifest.extents[0].columns[index] = name;
        self.bytes = self.manifest.encode().into();
        self.id = Manifest::object_id(&self.bytes);
        self
    }

    /// The same, but this column has other bytes.
    pub(crate) fn changed(mut self, index: usize, bytes: Bytes) -> Self {
        let name = column_id(&bytes);
        self.columns[index] = bytes;
        self.named(index, name)
    }

    pub(crate) fn column(&self, index: usize) -> ColumnId {
        self.manifest.extents[0].columns[index]
    }

    pub(crate) fn column_len(&self) -> u64 {
        u64::try_from(self.columns[0].len()).expect("small")
    }
}

fn column_id(column: &[u8]) -> ColumnId {
    let mut tree = TreeBuilder::new();
    tree.update(column);
    tree.finish().0
}

/// Stores a whole object and commits it until epoch `end`.
pub(crate) async fn commit(world: &World, object: &TestObject, nonce: u64, end: u64) {
    commit_without(world, object, (nonce, end), &[]).await;
}

/// The same, but for these columns: their holders take none.
pub(crate) async fn commit_without(world: &World, object: &TestObject, (nonce, end): (u64, u64), missing: &[u8]) {
    let (client, mut slots) = (world.client(249), Vec::new());
    for index in 0..CODE.n {
        let holder = usize::from(index);
        let receipt = match missing.contains(&index) {
            true => None,
            false => Some(client.store(world, holder, object, index).await),
        };
        let (provider, cap) = (node_id(holder), world.genesis.providers[holder].price);
        slots.push(SlotClaim { provider, column: object.column(holder), cap, receipt });
    }
    let commit = Commit {
        object: object.id,
        extent: 0,
        extents: 1,
        size: object.manifest.size,
        code: CODE,
        column_len: object.column_len(),
        draw: Draw { epoch: Epoch(0), number: 0 },
        slots,
        until: world.open(0, object, 0).until,
        end: Epoch(end),
    };
    let tx = world.tx(nonce, Height(1000), Action::Commit(commit));
    client.submit(2, &tx).await.expect("taken");
}

/// Lets virtual time pass until `done` holds; fails after an hour of it.
pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(3600);
    while !done().await {
        assert!(Instant::now() < deadline, "{what} did not happen within an hour");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
