//! Requests of chain/1, get/1 and manifest/1 that cost a node more than who asks: held back, heavy, or invalid.

use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use ostrakon_proto::{
    codec,
    id::{AccountId, Amount, ColumnId, Height, ObjectId, TxId},
    ledger::{
        snapshot::SnapshotChunk,
        state::Key,
        tx::{Action, Transfer, Tx, TxBody},
    },
    light::CertifiedHeader,
    limits,
    wire::{
        Frame, Protocol, Refusal,
        chain::{ChainRequest, ChainResponse, Head, Relayed},
        get::{GetRequest, ReadAccess},
        manifest::ManifestRequest,
    },
};
use ostrakon_tests::attack::{PREFIXES, Victim};
use tokio::time;

use crate::{
    mux::{Habits, Lane},
    outsider::{AGAIN, Outsider, crowd, on_lanes},
    tally::{TALLY, Verdict, verdict},
};

/// Requests in flight on one connection and protocol, as the node allows.
const IN_FLIGHT: usize = 16;
/// Identities of the floods of requests.
const IDENTITIES: usize = 4;
/// Identities that poll each of the validators.
const POLLING: usize = 8;
/// Transactions in one request.
const TXS: u64 = 200;

/// A request for the certified tip, which is answered only after a while.
pub(super) fn poll() -> Frame {
    Frame::new(&ChainRequest::Tip { from: Height(u64::MAX) }, Bytes::new())
}

/// Sends one request again and again.
async fn repeat(mut lane: Lane, request: Frame) -> io::Result<()> {
    loop {
        // Any other refusal costs the node what it costs.
        if verdict(&lane.ask(&request).await?) == Verdict::Busy {
            time::sleep(AGAIN).await;
        }
    }
}

/// One identity that sends this request on all its streams.
async fn flood(
    outsider: Arc<Outsider>,
    source: Ipv4Addr,
    victim: Victim,
    (protocol, request): (Protocol, Frame),
) -> io::Result<()> {
    let mut connection = outsider.connect_from(source, &victim, Habits::default()).await?;
    let each = |lane| repeat(lane, request.clone());
    on_lanes(&outsider, &mut connection, protocol, IN_FLIGHT, each).await
}

/// 8 identities of one host poll each of two validators.
pub(super) async fn long_polls(outsider: Arc<Outsider>) {
    let victims: Vec<Victim> = outsider.validators().into_iter().take(2).collect();
    crowd(POLLING * victims.len(), |number| {
        let victim = victims[number % victims.len()].clone();
        let source = outsider.plan.source;
        flood(Arc::clone(&outsider), source, victim, (Protocol::Chain, poll()))
    })
    .await;
}

/// One identity of each of 64 prefixes polls a validator.
pub(super) async fn long_polls_spread(outsider: Arc<Outsider>) {
    let victims = outsider.validators();
    crowd(PREFIXES, |number| {
        let victim = victims[number % victims.len()].clone();
        let source = outsider.elsewhere(number);
        flood(Arc::clone(&outsider), source, victim, (Protocol::Chain, poll()))
    })
    .await;
}

/// Four identities that flood the nodes in turn with this request.
async fn flood_all(outsider: Arc<Outsider>, protocol: Protocol, request: Frame) {
    crowd(IDENTITIES, |number| {
        let victim = outsider.plan.nodes[number % outsider.plan.nodes.len()].clone();
        let source = outsider.plan.source;
        flood(Arc::clone(&outsider), source, victim, (protocol, request.clone()))
    })
    .await;
}

/// The newest transactions of an account that has many: the node re-hashes a block for each.
pub(super) async fn activity(outsider: Arc<Outsider>) {
    let limit = u32::try_from(limits::ACTIVITY).expect("small");
    let account = outsider.plan.busy_account;
    let request = ChainRequest::Activity { from: Height(0), account, before: None, limit };
    flood_all(outsider, Protocol::Chain, Frame::new(&request, Bytes::new())).await;
}

/// Proofs that a page of accounts does not exist.
pub(super) async fn records(outsider: Arc<Outsider>) {
    let key = |number: usize| {
        let account = AccountId::from(blake3::hash(&number.to_le_bytes()));
        Key::Account(account).to_bytes()
    };
    let keys = (0..limits::PAGE).map(key).collect();
    let request = ChainRequest::Records { from: Height(0), keys };
    flood_all(outsider, Protocol::Chain, Frame::new(&request, Bytes::new())).await;
}

/// Transactions whose signatures do not verify.
pub(super) async fn submit(outsider: Arc<Outsider>) {
    let tx = |number: u64| {
        let key = outsider.plan.identity(u64::MAX - number);
        let action = Action::Transfer(Transfer { to: outsider.plan.busy_account, amount: Amount(1) });
        let body = TxBody {
            account: key.public(),
            nonce: 0,
            valid_until: Height(1_000_000),
            salt: 0,
            fee: Amount(1_000),
            action,
        };
        let signed = Tx::sign(body.clone(), &key, &outsider.plan.chain);
        // The signature of another one: it has the right form.
        Tx { body: TxBody { nonce: 1, ..body }, ..signed }
    };
    let txs: Vec<Tx> = (0..TXS).map(tx).collect();
    let request = Frame::new(&ChainRequest::Submit { relayed: Relayed::No }, codec::encode(&txs).into());
    flood_all(outsider, Protocol::Chain, request).await;
}

/// Ranges of columns and manifests of objects that nobody has.
pub(super) async fn missing(outsider: Arc<Outsider>) {
    let length = u32::try_from(limits::CHUNK).expect("256 KiB");
    let range = GetRequest { column: ColumnId::new([7; 32]), access: ReadAccess::Public, start: 0, length };
    let range = Frame::new(&range, Bytes::new());
    let manifest = Frame::new(&ManifestRequest { object: ObjectId::new([7; 32]) }, Bytes::new());
    let second = flood_all(Arc::clone(&outsider), Protocol::Manifest, manifest);
    futures::future::join(flood_all(outsider, Protocol::Get, range), second).await;
}

/// All chunks of all snapshots, in their order, and a transaction that does not exist.
pub(super) async fn snapshots(outsider: Arc<Outsider>) {
    crowd(IDENTITIES, |number| {
        let outsider = Arc::clone(&outsider);
        async move {
            let victim = &outsider.plan.nodes[number % outsider.plan.nodes.len()];
            let mut connection = outsider.connect(victim, Habits::default()).await?;
            on_lanes(&outsider, &mut connection, Protocol::Chain, IN_FLIGHT / 2, fetch_snapshots).await
        }
    })
    .await;
}

async fn fetch_snapshots(mut lane: Lane) -> io::Result<()> {
    loop {
        let listed = lane.ask(&Frame::new(&ChainRequest::Snapshots, Bytes::new())).await?;
        let offered: Vec<CertifiedHeader> = body(&listed).unwrap_or_default();
        for certified in offered {
            fetch_chunks(&mut lane, certified.header.height).await?;
        }
        let absent = ChainRequest::Transaction { from: Height(0), id: TxId::new([9; 32]) };
        if verdict(&lane.ask(&Frame::new(&absent, Bytes::new())).await?) != Verdict::Granted {
            time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Each chunk of a snapshot follows the last record of the one before; after the last one, the node refuses.
async fn fetch_chunks(lane: &mut Lane, height: Height) -> io::Result<()> {
    let mut after = None;
    loop {
        let answer = lane.ask(&Frame::new(&ChainRequest::Chunk { height, after }, Bytes::new())).await?;
        let Some(chunk) = body::<SnapshotChunk>(&answer) else { return Ok(()) };
        after = chunk.last();
    }
}

/// What is in the body of an answer, if it is not a refusal.
pub(super) fn body<T: BorshSerialize + BorshDeserialize>(answer: &Frame) -> Option<T> {
    let granted = (verdict(answer) == Verdict::Granted).then_some(&answer.body);
    // An attack that does not understand the node is not the attack that it is called.
    granted.map(|body| codec::decode(body, limits::CHAIN_BODY).expect("the body that was asked for"))
}

/// The last block of a node.
pub(super) async fn head(lane: &mut Lane) -> io::Result<Head> {
    let answer = lane.ask(&Frame::new(&ChainRequest::Head, Bytes::new())).await?;
    match answer.decode::<Result<ChainResponse, Refusal>>() {
        Ok(Ok(ChainResponse::Head(head))) => Ok(head),
        _ => {
            TALLY.failed();
            Err(io::Error::other("the node does not say what its last block is"))
        }
    }
}
