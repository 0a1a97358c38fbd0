//! chain/1: what this node knows of the ledger, and the way to the proposer (`proto/wire/chain`).
//!
//! In come questions, out come records of one height each. The asker checks what matters to it: blocks and headers are
//! signed, records are this node's word.

use std::{fmt::Display, time::Duration};

use borsh::BorshSerialize;
use bytes::Bytes;
use ostrakon_proto::{
    codec,
    id::{Epoch, Height, NodeId, TxId},
    ledger::{
        state::{Candidate, Provider, Records},
        tx::Tx,
    },
    limits,
    wire::{
        Code, Frame, Refusal,
        chain::{Relayed, Request, Response},
    },
};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{Serve, answer, decode, no_body};
use crate::chain::{store::LedgerError, submit::Origin};

/// How long a request may wait for a block.
const WAIT: Duration = Duration::from_secs(10);

impl Serve {
    /// Gives `turn` back while the request waits for a block: those who wait must not keep others from being served.
    pub(super) async fn chain(&self, from: NodeId, frame: Frame, turn: OwnedSemaphorePermit) -> Result<Frame, Refusal> {
        let request = decode(&frame)?;
        if !matches!(request, Request::Submit | Request::SubmitMany { .. }) {
            no_body(&frame)?;
        }
        let chain = &self.parts.chain;
        let body = match request {
            Request::Head => return Ok(self.head()),
            Request::Await { height } => {
                self.wait(from, height, turn).await?;
                return Ok(self.head());
            }
            Request::Blocks { from: first } => {
                self.wait(from, first, turn).await?;
                return self.blocks(first).await;
            }
            Request::Account(id) => {
                let account = chain.read(move |records| records.account(&id)).await;
                return Ok(answer(Response::Account(account), Bytes::new()));
            }
            Request::Submit => return self.submit(from, &frame.body).await,
            Request::SubmitMany { relayed } => {
                return self.submit_many(Origin::Node { from, relayed }, &frame.body).await;
            }
            Request::Transaction(id) => self.transaction(id).await?,
            Request::Object(id) => chain.read(move |records| pack(records.commitments_of(&id, limits::PAGE))).await,
            Request::Providers { nodes, after } => {
                chain.read(move |records| pack(providers(records, &nodes, after))).await
            }
            Request::Roster { epoch, after } => chain.read(move |records| roster(records, epoch, after)).await?,
        };
        Ok(answer(Response::Records, body))
    }

    fn head(&self) -> Frame {
        answer(Response::Head(self.parts.chain.head()), Bytes::new())
    }

    async fn submit(&self, from: NodeId, body: &[u8]) -> Result<Frame, Refusal> {
        let tx = codec::decode(body, limits::TX).map_err(|error| Refusal::new(Code::BadRequest, error))?;
        let origin = Origin::Node { from, relayed: Relayed::No };
        let mut verdicts = self.parts.chain.submit_many(vec![tx], origin).await;
        verdicts.pop().expect("one verdict for one transaction").map_err(|error| error.refusal())?;
        Ok(answer(Response::Submitted, Bytes::new()))
    }

    async fn submit_many(&self, origin: Origin, body: &[u8]) -> Result<Frame, Refusal> {
        let bad = |error: &dyn Display| Refusal::new(Code::BadRequest, error);
        let txs: Vec<Tx> = codec::decode(body, limits::SUBMIT).map_err(|error| bad(&error))?;
        if txs.len() > limits::SUBMIT_COUNT {
            return Err(bad(&format!("at most {} transactions at once", limits::SUBMIT_COUNT)));
        }
        let verdicts = self.parts.chain.submit_many(txs, origin).await;
        let verdicts: Vec<_> = verdicts.into_iter().map(|verdict| verdict.map_err(|error| error.refusal())).collect();
        Ok(answer(Response::Verdicts, codec::encode(&verdicts).into()))
    }

    /// Waits until the ledger has `height`, but not for long.
    async fn wait(&self, from: NodeId, height: Height, turn: OwnedSemaphorePermit) -> Result<(), Refusal> {
        if self.parts.chain.head().height >= height {
            return Ok(());
        }
        drop(turn);
        let _waiting = self.wait_turn(from)?;
        // Late or not: what there is by then is the answer.
        let _late = timeout(WAIT, self.parts.chain.wait(height)).await;
        Ok(())
    }

    async fn blocks(&self, from: Height) -> Result<Frame, Refusal> {
        let (mut packed, mut height) = (Packed::default(), from.max(Height(1)));
        while let Some(decided) = self.parts.chain.block(height).await.map_err(|error| refuse_ledger(&error))? {
            if !packed.add(&decided) {
                break;
            }
            height = height.next();
        }
        Ok(answer(Response::Blocks, packed.into_body()))
    }

    async fn transaction(&self, id: TxId) -> Result<Bytes, Refusal> {
        let inclusion = self.parts.chain.inclusion(id).await.map_err(|error| refuse_ledger(&error))?;
        Ok(pack(inclusion))
    }
}

/// The records of `nodes`, or a page of all.
fn providers(records: &dyn Records, nodes: &[NodeId], after: Option<NodeId>) -> Vec<Provider> {
    if nodes.is_empty() {
        let rest = records.providers().into_iter().filter(|provider| after.is_none_or(|after| provider.node > after));
        return rest.take(limits::PAGE).collect();
    }
    nodes.iter().take(limits::PAGE).filter_map(|node| records.provider(node)).collect()
}

fn roster(records: &dyn Records, epoch: Epoch, after: Option<NodeId>) -> Result<Bytes, Refusal> {
    let record = records.epoch(epoch);
    let record = record.ok_or_else(|| Refusal::new(Code::NotFound, format!("epoch {epoch} is not kept")))?;
    let is_next = |candidate: &Candidate| after.is_none_or(|after| candidate.provider > after);
    Ok(pack(record.roster.into_iter().filter(is_next).take(limits::PAGE)))
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

/// A `Vec` that is encoded element by element.
#[derive(Default)]
struct Packed {
    count: u32,
    bytes: Vec<u8>,
}

impl Packed {
    /// Whether there was room for it.
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

fn refuse_ledger(error: &LedgerError) -> Refusal {
    tracing::error!(%error, "the ledger failed");
    Refusal::new(Code::Internal, "this node's ledger failed")
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
        assert_eq!(codec::decode::<Vec<Vec<u8>>>(&body, limits::CHAIN_BODY).map(|vec| vec.len()), Ok(10));
    }
}
