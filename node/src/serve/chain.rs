//! chain/1: queries of the ledger, and submitted transactions (`proto/wire/chain`).
//!
//! In come queries, out go answers with proofs ([`crate::chain`]), and hints that the client verifies itself.

use std::{fmt::Display, sync::Arc, time::Duration};

use borsh::BorshSerialize;
use bytes::Bytes;
use ostrakon_net::{
    DialBackError,
    address::endpoint,
    admission::{Held, Source},
};
use ostrakon_proto::{
    audit::StorageProof,
    codec,
    id::{Epoch, Height, NodeId},
    ledger::{
        proofs::ProofKey,
        repair::{TicketPlace, tickets},
        state::{Key, Records},
        tx::Tx,
    },
    light::Answer,
    limits,
    wire::{
        Frame, Refusal, RefusalCode,
        chain::{ChainRequest, ChainResponse, Relayed},
    },
};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{Serve, answer, decode, no_body};
use crate::chain::{
    ActivityPage, AnswerError,
    store::LedgerError,
    submit::{Origin, Received},
};

/// How long a request may wait for a block.
const WAIT: Duration = Duration::from_secs(10);

/// A request that may wait for a block or a validator: whose it is, and what it holds meanwhile.
#[derive(Clone, Copy)]
struct WaitsFor {
    source: Source,
    bytes: usize,
}

impl Serve {
    /// Gives `turn` up while the request waits for a block or a validator: what waits must not keep others from being
    /// served.
    pub(super) async fn chain(
        &self,
        source: Source,
        frame: Frame,
        turn: OwnedSemaphorePermit,
    ) -> Result<Frame, Refusal> {
        let request = decode(&frame)?;
        if !matches!(request, ChainRequest::Submit { .. } | ChainRequest::Prove { .. }) {
            no_body(&frame)?;
        }
        let chain = &self.parts.chain;
        // The body of a submission is among the requests in progress.
        let waits = WaitsFor { source, bytes: frame.head.len() };
        match request {
            ChainRequest::Head => Ok(self.head()),
            ChainRequest::Submit { relayed } => self.submit((waits, turn), relayed, &frame.body).await,
            ChainRequest::Prove { epoch } => self.prove(ProofKey { provider: source.node, epoch }, &frame.body).await,
            ChainRequest::Snapshots => Ok(self.snapshots().await),
            ChainRequest::Chunk { height, after } => self.chunk_of_snapshot(height, after).await,
            ChainRequest::Past(row) => self.past(row).await,
            ChainRequest::Blocks { from: first } => {
                self.check_not_pruned(first.max(Height(1))).await?;
                let _turn = self.wait(waits, first, turn).await?;
                self.blocks(first).await
            }
            ChainRequest::Tip { from: height } => {
                let _turn = self.wait(waits, height, turn).await?;
                proven(chain.tip().await)
            }
            ChainRequest::Records { from: height, keys } => {
                let keys = parse_keys(&keys)?;
                let _turn = self.wait(waits, height, turn).await?;
                proven(chain.items(keys).await)
            }
            ChainRequest::Transaction { from: height, id } => {
                let _turn = self.wait(waits, height, turn).await?;
                proven(chain.inclusion(id).await)
            }
            ChainRequest::Block { from: lowest, height } => {
                let _turn = self.wait(waits, lowest, turn).await?;
                proven(chain.past_block(height).await)
            }
            ChainRequest::Activity { from: height, account, before, limit } => {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX).clamp(1, limits::ACTIVITY);
                let _turn = self.wait(waits, height, turn).await?;
                proven(chain.activity(ActivityPage { account, before, limit }).await)
            }
            ChainRequest::Draw { from: height, seed, code } => {
                let _turn = self.wait(waits, height, turn).await?;
                proven(chain.draw(seed, code).await)
            }
            ChainRequest::Basis { from: height, query } => {
                let _turn = self.wait(waits, height, turn).await?;
                proven(chain.basis(query).await)
            }
            ChainRequest::Object { from: height, object } => {
                let _turn = self.wait(waits, height, turn).await?;
                proven(chain.object(object).await)
            }
            ChainRequest::Handovers { from: height } => self.handovers(height).await,
            ChainRequest::Providers { after } => Ok(self.providers(after).await),
            ChainRequest::Tickets { from, limit } => Ok(self.tickets(from, limit).await),
            ChainRequest::Faults { epoch, after } => Ok(self.faults(epoch, after).await),
            ChainRequest::DialBack { address } => {
                let _held = self.leave(turn, waits)?;
                self.dial_back(source, &address).await
            }
        }
    }

    fn head(&self) -> Frame {
        answer(ChainResponse::Head(self.parts.chain.head()), Bytes::new())
    }

    async fn submit(
        &self,
        (waits, turn): (WaitsFor, OwnedSemaphorePermit),
        relayed: Relayed,
        body: &[u8],
    ) -> Result<Frame, Refusal> {
        let bad = |error: &dyn Display| Refusal::new(RefusalCode::BadRequest, error);
        let txs: Vec<Tx> = codec::decode(body, limits::SUBMIT).map_err(|error| bad(&error))?;
        if txs.len() > limits::SUBMIT_COUNT {
            return Err(bad(&format!("at most {} transactions in one request", limits::SUBMIT_COUNT)));
        }
        let origin = Origin::Node { from: waits.source.node, relayed };
        let verdicts = match self.parts.chain.receive(txs, origin).await {
            Received::Decided(verdicts) => verdicts,
            Received::ForValidator(judged) => {
                let _held = self.leave(turn, waits)?;
                self.parts.chain.submit_to_validator(judged).await
            }
        };
        let verdicts: Vec<_> = verdicts.into_iter().map(|verdict| verdict.map_err(|error| error.refusal())).collect();
        Ok(answer(ChainResponse::Verdicts, codec::encode(&verdicts).into()))
    }

    /// Takes a provider's own proof: nobody else can make the node verify any.
    async fn prove(&self, key: ProofKey, body: &[u8]) -> Result<Frame, Refusal> {
        let bad = |error: &dyn Display| Refusal::new(RefusalCode::BadRequest, error);
        let proof: StorageProof = codec::decode(body, limits::PROOF).map_err(|error| bad(&error))?;
        match self.parts.chain.take_proof(key, proof.into()).await {
            Ok(()) => Ok(answer(ChainResponse::Waits, Bytes::new())),
            Err(error) => Err(error.refusal()),
        }
    }

    /// Waits until the ledger has `height`, up to [`WAIT`], without a turn; returns with one.
    async fn wait(
        &self,
        waits: WaitsFor,
        height: Height,
        turn: OwnedSemaphorePermit,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        if self.parts.chain.head().height >= height {
            return Ok(turn);
        }
        let turns = Arc::clone(turn.semaphore());
        let held = self.leave(turn, waits)?;
        // Timed out or not: the answer is what there is by then.
        let _late = timeout(WAIT, self.parts.chain.wait(height)).await;
        drop(held);
        Ok(turns.acquire_owned().await.expect("the semaphore is never closed"))
    }

    /// Gives the turn up, for a place among those that wait.
    fn leave(&self, turn: OwnedSemaphorePermit, waits: WaitsFor) -> Result<Held, Refusal> {
        drop(turn);
        let held = self.waiting.hold(waits.source, 1 + waits.bytes / 1024);
        held.map_err(|exceeded| Refusal::new(RefusalCode::Busy, format!("cannot wait here: {exceeded}")))
    }

    async fn blocks(&self, from: Height) -> Result<Frame, Refusal> {
        let (mut packed, mut height) = (Packed::default(), from.max(Height(1)));
        while let Some(decided) = self.parts.chain.block(height).await.map_err(refuse_ledger)? {
            if !packed.add(&decided) {
                break;
            }
            height = height.next();
        }
        Ok(answer(ChainResponse::Blocks, packed.into_body()))
    }

    async fn handovers(&self, from: Height) -> Result<Frame, Refusal> {
        let mut packed = Packed::default();
        let all = self.parts.chain.handovers(from, move |handover| packed.add(handover)).await;
        Ok(answer(ChainResponse::Hints, pack(all.map_err(refuse_ledger)?)))
    }

    async fn providers(&self, after: Option<NodeId>) -> Frame {
        let first = after.unwrap_or(NodeId::LEAST);
        let page = move |records: &dyn Records| {
            let (first, last) = (Key::Provider(first), Key::Provider(NodeId::GREATEST));
            let all = records.scan(&first, &last, limits::PAGE);
            let node = |(key, _)| if let Key::Provider(node) = key { Some(node) } else { None };
            pack(all.into_iter().filter_map(node).filter(|node| Some(*node) != after))
        };
        answer(ChainResponse::Hints, self.parts.chain.read(page).await)
    }

    async fn faults(&self, epoch: Epoch, after: Option<NodeId>) -> Frame {
        let page = move |records: &dyn Records| pack(records.at_fault(epoch, after, limits::PAGE));
        answer(ChainResponse::Hints, self.parts.chain.read(page).await)
    }

    /// Whether the node can be reached at this address, which takes as long as an attempt to connect.
    async fn dial_back(&self, source: Source, address: &str) -> Result<Frame, Refusal> {
        if !source.is_member() {
            return Err(Refusal::new(RefusalCode::Denied, "only a registered node is dialed"));
        }
        if address.len() > limits::ADDRESSES_LENGTH || endpoint(address).is_err() {
            return Err(Refusal::new(RefusalCode::BadRequest, "not an address of TCP or QUIC"));
        }
        let outcome: Result<(), String> = match self.parts.chain.peers().dial_back(source.node, address).await {
            Ok(()) => Ok(()),
            Err(DialBackError::Failed(reason)) => Err(reason),
            Err(error @ DialBackError::Busy) => return Err(Refusal::new(RefusalCode::Busy, error)),
            Err(error) => return Err(Refusal::new(RefusalCode::Denied, error)),
        };
        Ok(answer(ChainResponse::DialedBack, codec::encode(&outcome).into()))
    }

    async fn tickets(&self, from: TicketPlace, limit: u32) -> Frame {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).clamp(1, limits::TICKETS);
        let page = move |records: &dyn Records| pack(tickets(records, from, limit));
        answer(ChainResponse::Hints, self.parts.chain.read(page).await)
    }
}

/// The keys, if they are of records in the state tree and not too many.
fn parse_keys(keys: &[Vec<u8>]) -> Result<Vec<Key>, Refusal> {
    if keys.is_empty() || keys.len() > limits::PAGE {
        return Err(Refusal::new(RefusalCode::BadRequest, format!("a request needs 1 to {} keys", limits::PAGE)));
    }
    let key = |bytes: &Vec<u8>| Key::from_bytes(bytes).filter(Key::is_proven);
    let keys: Option<Vec<Key>> = keys.iter().map(key).collect();
    keys.ok_or_else(|| Refusal::new(RefusalCode::BadRequest, "a requested key is not a key of the state tree"))
}

fn proven<T: BorshSerialize>(found: Result<Answer<T>, AnswerError>) -> Result<Frame, Refusal> {
    let body = match found {
        Ok(found) => codec::encode(&found),
        Err(error @ AnswerError::NoBlock) => return Err(Refusal::new(RefusalCode::Busy, error)),
        Err(AnswerError::Ledger(error)) => return Err(refuse_ledger(error)),
        Err(error @ AnswerError::Pruned { .. }) => return Err(Refusal::new(RefusalCode::Pruned, error)),
        Err(error @ AnswerError::Placement(_)) => return Err(Refusal::new(RefusalCode::BadRequest, error)),
        Err(error @ (AnswerError::NotYet { .. } | AnswerError::NoEpoch { .. })) => {
            return Err(Refusal::new(RefusalCode::NotFound, error));
        }
    };
    if body.len() > limits::CHAIN_BODY {
        return Err(Refusal::new(RefusalCode::BadRequest, "the answer is too long; request less at a time"));
    }
    Ok(answer(ChainResponse::Answer, body.into()))
}

/// The canonical `Vec` of as many of `records` as fit a body.
fn pack<T: BorshSerialize>(records: impl IntoIterator<Item = T>) -> Bytes {
    let mut packed = Packed::default();
    for record in records {
        if !packed.add(&record) {
            break;
        }
    }
    packed.into_body()
}

/// A `Vec`, encoded element by element.
#[derive(Default)]
struct Packed {
    count: u32,
    bytes: Vec<u8>,
}

impl Packed {
    /// Adds it if it fits; whether it did.
    fn add<T: BorshSerialize>(&mut self, record: &T) -> bool {
        let bytes = codec::encode(record);
        let fits = size_of::<u32>() + self.bytes.len() + bytes.len() <= limits::CHAIN_BODY;
        if fits {
            self.count += 1;
            self.bytes.extend(bytes);
        }
        fits
    }

    fn into_body(self) -> Bytes {
        [&self.count.to_le_bytes(), self.bytes.as_slice()].concat().into()
    }
}

pub(super) fn refuse_ledger(error: LedgerError) -> Refusal {
    tracing::error!(%error, "ledger failed; a request cannot be answered");
    Refusal::new(RefusalCode::Internal, "the node's ledger failed; use another node")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_a_canonical_vec() {
        let body = pack([7u64, 8, 9]);
        assert_eq!(codec::decode::<Vec<u64>>(&body, limits::CHAIN_BODY), Ok(vec![7, 8, 9]));
        assert_eq!(codec::decode::<Vec<u64>>(&pack::<u64>([]), limits::CHAIN_BODY), Ok(vec![]));
    }

    #[test]
    fn what_does_not_fit_is_left_for_the_next_page() {
        let body = pack(std::iter::repeat_n(vec![1u8; 100_000], 20));
        assert_eq!(codec::decode::<Vec<Vec<u8>>>(&body, limits::CHAIN_BODY).map(|vec| vec.len()), Ok(11));
    }
}
