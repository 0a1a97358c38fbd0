//! A fake node: it keeps columns in memory, says what the shared ledger has, and does wrong where it is told to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use ostrakon_lies::{Lie, Memory, Question};
use ostrakon_net::{Inbound, lock};
use ostrakon_proto::{
    id::{ColumnId, NodeId, ObjectId},
    ledger::tx::{Receipt, columns_hash},
    limits,
    manifest::Manifest,
    sign::{Keypair, Purpose, Signature},
    tree::{Outboard, TreeBuilder, prove_range},
    wire::{Frame, Protocol, Refusal, RefusalCode, chain, get, manifest, put},
};
use tokio::time::{Duration, Instant, sleep};

use super::{Fault, Shared, ok, refuse};

/// How long a node that lacks blocks waits for them before it answers, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// One node's columns.
pub(super) struct Holder {
    key: Keypair,
    shared: Arc<Mutex<Shared>>,
    uploads: BTreeMap<put::UploadId, Incoming>,
    forgotten: u32,
    columns: BTreeMap<ColumnId, (Vec<u8>, Outboard)>,
    manifests: BTreeMap<ObjectId, Bytes>,
    /// Requests that are never answered.
    ignored: Vec<Inbound>,
    /// What it said, for lies.
    memory: Memory,
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

impl Holder {
    /// A node that keeps nothing yet.
    pub(super) fn new(key: Keypair, shared: Arc<Mutex<Shared>>) -> Self {
        let (uploads, columns, manifests, ignored, memory) = Default::default();
        Self { key, shared, uploads, forgotten: 0, columns, manifests, ignored, memory }
    }

    /// Answers a request, or never does.
    pub(super) fn handle(&mut self, inbound: Inbound) {
        let node: NodeId = self.key.public();
        let fault = lock(&self.shared).faults.get(&node).copied();
        let answer = match fault {
            Some(Fault::Lies(lie)) => self.lying(lie, &inbound),
            None if inbound.protocol == Protocol::Chain => return self.chain(inbound),
            _ => self.answer(&inbound, fault),
        };
        match answer {
            Some(answer) => inbound.reply.send(answer),
            None => self.ignored.push(inbound),
        }
    }

    /// Answers by what the node knows: one that is held back takes transactions for the others, and what it is asked of
    /// later blocks it answers when it has them, or after a while by what it has.
    fn chain(&self, inbound: Inbound) {
        let asked = inbound.request.decode::<chain::ChainRequest>().unwrap();
        let held = lock(&self.shared).held_back.get(&self.key.public()).cloned();
        let submits = matches!(asked, chain::ChainRequest::Submit { .. });
        let Some(held) = held.filter(|_| !submits) else {
            let answer = lock(&self.shared).chain(&inbound.request);
            return inbound.reply.send(answer);
        };
        let (node, shared, until) = (self.key.public(), Arc::clone(&self.shared), Instant::now() + PATIENCE);
        let is_early = lock(&held).is_later(&asked);
        let waits = move || is_early && lock(&shared).held_back.contains_key::<NodeId>(&node);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            while waits() && Instant::now() < until {
                sleep(PAUSE).await;
            }
            let late = waits();
            let known = if late || !is_early { held } else { shared };
            let answer = lock(&known).chain_as_it_is(&inbound.request);
            inbound.reply.send(answer);
        });
    }

    fn answer(&mut self, inbound: &Inbound, fault: Option<Fault>) -> Option<Frame> {
        match inbound.protocol {
            _ if fault == Some(Fault::Silent) => None,
            Protocol::Chain => Some(lock(&self.shared).chain(&inbound.request)),
            Protocol::Get | Protocol::Manifest if fault == Some(Fault::Forgets) => {
                self.columns.clear();
                self.manifests.clear();
                Some(refuse(RefusalCode::NotFound, "it was lost"))
            }
            Protocol::Put => self.put(inbound.source.node, &inbound.request, fault),
            Protocol::Get => Some(self.get(&inbound.request, fault)),
            Protocol::Manifest => Some(self.manifest(&inbound.request)),
            Protocol::Consensus => None,
        }
    }

    /// The lie, where it can be told in answer to this; or else the truth.
    fn lying(&mut self, lie: Lie, inbound: &Inbound) -> Option<Frame> {
        let Inbound { protocol, request, .. } = inbound;
        let chain = lock(&self.shared).rules.chain;
        let tell = |memory: &Memory, honest: Option<&Frame>| {
            lie.tell(&Question { chain: &chain, protocol: *protocol, request, honest, memory })
        };
        // What is told before the node has heard the question, it never hears.
        tell(&self.memory, None).or_else(|| {
            let honest = self.answer(inbound, None)?;
            if *protocol == Protocol::Chain {
                self.memory.keep(&request.decode().unwrap(), &honest);
            }
            Some(tell(&self.memory, Some(&honest)).unwrap_or(honest))
        })
    }

    fn put(&mut self, from: NodeId, request: &Frame, fault: Option<Fault>) -> Option<Frame> {
        let forgotten = lock(&self.shared).forgotten;
        if self.forgotten != forgotten {
            self.forgotten = forgotten;
            self.uploads.clear();
        }
        match request.decode::<put::PutRequest>().unwrap() {
            put::PutRequest::Open { .. } if fault == Some(Fault::Full) => Some(refuse(RefusalCode::Full, "no space")),
            put::PutRequest::Open { .. } if fault == Some(Fault::Behind) => Some(refuse(RefusalCode::Busy, "behind")),
            put::PutRequest::Open { open, manifest, .. } => {
                let upload = open.upload;
                let mut body = request.body.clone();
                let listed = body.split_to(usize::try_from(manifest).unwrap());
                let opened = self.open(from, open);
                if listed.is_empty() || opened.decode::<Result<put::PutResponse, Refusal>>().unwrap().is_err() {
                    return Some(opened);
                }
                self.chunk((from, upload), 0, &body, fault)?;
                let answer = self.finish((from, upload), &listed, fault);
                (fault != Some(Fault::KeepsReceipts)).then_some(answer)
            }
            put::PutRequest::Repair(_) => Some(refuse(RefusalCode::Denied, "no client repairs")),
            put::PutRequest::Chunk { upload, offset } => self.chunk((from, upload), offset, &request.body, fault),
            put::PutRequest::Finish { upload } => {
                let answer = self.finish((from, upload), &request.body, fault);
                (fault != Some(Fault::KeepsReceipts)).then_some(answer)
            }
            put::PutRequest::Abort { upload } => {
                let aborted = self.uploads.extract_if(upload..=upload, |_, incoming| incoming.from == from).count();
                lock(&self.shared).puts.aborted += u64::try_from(aborted).unwrap();
                Some(ok(&put::PutResponse::Aborted, Bytes::new()))
            }
        }
    }

    fn open(&mut self, from: NodeId, open: put::Open) -> Frame {
        if !lock(&self.shared).is_good(open.draw) {
            return refuse(RefusalCode::Denied, "the draw is not good");
        }
        let fresh = Incoming { from, open: open.clone(), chunks: BTreeMap::new(), count: 0, finished: None };
        let incoming = self.uploads.entry(open.upload).or_insert(fresh);
        if incoming.open != open {
            return refuse(RefusalCode::Denied, "another upload has that name");
        }
        incoming.from = from;
        ok(&put::PutResponse::Opened(incoming.taken()), Bytes::new())
    }

    fn chunk(
        &mut self,
        (from, upload): (NodeId, put::UploadId),
        offset: u64,
        body: &Bytes,
        fault: Option<Fault>,
    ) -> Option<Frame> {
        let Some(incoming) = self.uploads.get_mut(&upload).filter(|incoming| incoming.from == from) else {
            return Some(refuse(RefusalCode::NotFound, "no such upload"));
        };
        incoming.count += 1;
        if fault.is_some_and(|fault| matches!(fault, Fault::StallsAfter(most) if incoming.count > most)) {
            return None;
        }
        if offset >= incoming.next() + 8 * u64::try_from(limits::CHUNK).unwrap() {
            return Some(refuse(RefusalCode::Busy, "too early"));
        }
        let mut shared = lock(&self.shared);
        shared.puts.bytes += len(body);
        if let Some(before) = incoming.chunks.insert(offset, body.clone()) {
            assert!(before == *body, "a key seals one content");
            shared.puts.repeated += len(body);
        }
        Some(ok(&put::PutResponse::Ready { next: incoming.next() }, Bytes::new()))
    }

    fn finish(&mut self, (from, upload): (NodeId, put::UploadId), body: &Bytes, fault: Option<Fault>) -> Frame {
        let Some(incoming) = self.uploads.get_mut(&upload).filter(|incoming| incoming.from == from) else {
            return refuse(RefusalCode::NotFound, "no such upload");
        };
        if let Some((_, receipt)) = incoming.finished {
            return ok(&put::PutResponse::Receipt(receipt), Bytes::new());
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
            draw: open.draw,
            columns: columns_hash(extent.columns.iter().copied()),
            code: open.code,
            column_len: u64::try_from(bytes.len()).unwrap(),
            ask: open.ask,
            until: open.until,
        };
        if fault != Some(Fault::Forgets) {
            self.columns.insert(column, (bytes, outboard));
        }
        self.manifests.insert(receipt.object, body.clone());
        let chain = lock(&self.shared).rules.chain;
        let signature = self.key.sign(Purpose::Receipt, &chain, &receipt);
        incoming.finished = Some((receipt.column_len, signature));
        ok(&put::PutResponse::Receipt(signature), Bytes::new())
    }

    fn get(&self, request: &Frame, fault: Option<Fault>) -> Frame {
        let get::GetRequest { column, start, length, .. } = request.decode().unwrap();
        let Some((bytes, outboard)) = self.columns.get(&column) else {
            return refuse(RefusalCode::NotFound, "no such column");
        };
        let range = ostrakon_proto::tree::Range { start, length };
        let siblings = prove_range(outboard, range).unwrap();
        let start = usize::try_from(start).unwrap();
        let mut body = bytes[start..bytes.len().min(start + usize::try_from(length).unwrap())].to_vec();
        if fault == Some(Fault::Corrupt) {
            body[0] ^= 1;
        }
        lock(&self.shared).reads.push(body.len());
        ok(&get::GetResponse { siblings }, body.into())
    }

    fn manifest(&self, request: &Frame) -> Frame {
        let manifest::ManifestRequest { object } = request.decode().unwrap();
        match self.manifests.get(&object) {
            Some(bytes) => ok(&(), bytes.clone()),
            None => refuse(RefusalCode::NotFound, "no such object"),
        }
    }
}
