//! False claims that a node may make: lies in each kind of answer. The SDK's tests have fake nodes tell them, the
//! scenarios a real one.
//!
//! In goes a [`Question`] with the honest answer, out comes the lie, where it can be told there. A kind of answer that
//! has no table does not compile ([`about`], [`of`]). Not here: who finds them out; that is for the tests to show.
//!
//! * [`proven`]: what comes with a proof: the tip, records, transactions, blocks of the past
//! * [`hints`]: what is asked about further: handovers, providers, tickets, snapshots, the history; and parts of
//!   snapshots
//! * [`word`]: a node's bare word: its head, and that it takes transactions; and the blocks it sends on
//! * [`stored`]: what it keeps for others: bytes, manifests, receipts
//! * [`forge`]: what lies are made of

mod forge;
pub mod hints;
pub mod proven;
pub mod stored;
pub mod word;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use ostrakon_proto::{
    codec,
    id::ChainId,
    limits,
    wire::{
        Frame, Protocol, Refusal, RefusalCode,
        chain::{ChainRequest, ChainResponse},
        put,
    },
};

/// A false claim, in answer to some questions.
#[derive(Clone, Copy)]
pub struct Lie {
    /// What it is called.
    pub name: &'static str,
    /// Tells it, where it can be told.
    tell: fn(&Question<'_>) -> Option<Frame>,
}

/// What a liar was asked.
#[derive(Debug)]
pub struct Question<'a> {
    /// The network.
    pub chain: &'a ChainId,
    /// On which protocol.
    pub protocol: Protocol,
    /// The request.
    pub request: &'a Frame,
    /// What an honest node says; `None` before it has heard the question.
    pub honest: Option<&'a Frame>,
    /// What it said before.
    pub memory: &'a Memory,
}

/// The first honest answer to each question, whatever block it was asked for.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<String, Frame>>);

impl PartialEq for Lie {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Lie {}

impl fmt::Debug for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Lie {
    const fn new(name: &'static str, tell: fn(&Question<'_>) -> Option<Frame>) -> Self {
        Self { name, tell }
    }

    /// The lie of this name.
    pub fn named(name: &str) -> Option<Self> {
        all().into_iter().find(|lie| lie.name == name)
    }

    /// Says it. Told before the node has heard the question, the node never hears it.
    pub fn tell(&self, question: &Question<'_>) -> Option<Frame> {
        (self.tell)(question)
    }
}

/// The lies that can be told in answers of this kind on chain/1.
pub fn of(kind: &ChainResponse) -> Vec<Lie> {
    let tables: &[&[Lie]] = match kind {
        ChainResponse::Head(_) => &[&word::HEAD],
        ChainResponse::Verdicts => &[&word::VERDICTS],
        ChainResponse::Blocks => &[&word::BLOCKS],
        ChainResponse::Answer => {
            &[&proven::ANY, &proven::RECORDS, &proven::TRANSACTION, &proven::BLOCK, &proven::ACTIVITY, &proven::DRAW]
        }
        ChainResponse::Hints => {
            &[&hints::HANDOVERS, &hints::PROVIDERS, &hints::TICKETS, &hints::FAULTS, &hints::SNAPSHOTS, &hints::PAST]
        }
        ChainResponse::Chunk => &[&hints::CHUNK],
        // A provider that believes it comes again, since it sees in the blocks whether one has its proof.
        ChainResponse::Waits | ChainResponse::DialedBack => &[],
    };
    tables.concat()
}

/// The lies that can be told to who asks this on chain/1.
pub fn about(request: &ChainRequest) -> Vec<Lie> {
    let tables: &[&[Lie]] = match request {
        ChainRequest::Head => &[&word::HEAD],
        ChainRequest::Submit { .. } => &[&word::VERDICTS],
        ChainRequest::Blocks { .. } => &[&word::BLOCKS],
        ChainRequest::Tip { .. } => &[&proven::ANY],
        ChainRequest::Records { .. } | ChainRequest::Object { .. } => &[&proven::ANY, &proven::RECORDS],
        ChainRequest::Transaction { .. } => &[&proven::ANY, &proven::TRANSACTION],
        ChainRequest::Block { .. } => &[&proven::ANY, &proven::BLOCK],
        ChainRequest::Activity { .. } => &[&proven::ANY, &proven::ACTIVITY],
        ChainRequest::Draw { .. } => &[&proven::ANY, &proven::DRAW],
        ChainRequest::Basis { .. } => &[&proven::ANY, &proven::RECORDS, &proven::DRAW],
        ChainRequest::Handovers { .. } => &[&hints::HANDOVERS],
        ChainRequest::Providers { .. } => &[&hints::PROVIDERS],
        ChainRequest::Tickets { .. } => &[&hints::TICKETS],
        ChainRequest::Faults { .. } => &[&hints::FAULTS],
        ChainRequest::Snapshots => &[&hints::SNAPSHOTS],
        ChainRequest::Chunk { .. } => &[&hints::CHUNK],
        ChainRequest::Past(_) => &[&hints::PAST],
        ChainRequest::Prove { .. } | ChainRequest::DialBack { .. } => &[],
    };
    tables.concat()
}

/// The lies that can be told in answers of this kind on put/1.
pub fn of_put(kind: &put::PutResponse) -> &'static [Lie] {
    match kind {
        put::PutResponse::Opened(_) => &stored::OPENED,
        put::PutResponse::Ready { .. } => &stored::READY,
        put::PutResponse::Receipt(_) => &stored::RECEIPT,
        // A client that gives an upload up asks for nothing more.
        put::PutResponse::Aborted => &[],
    }
}

/// The lies that can be told on this protocol.
pub fn on(protocol: Protocol) -> Vec<Lie> {
    match protocol {
        Protocol::Put => every::<put::PutResponse>().iter().flat_map(of_put).copied().collect(),
        Protocol::Get => stored::BYTES.to_vec(),
        Protocol::Manifest => stored::MANIFEST.to_vec(),
        Protocol::Chain => every::<ChainResponse>().iter().flat_map(of).collect(),
        // What a validator says there it signs, and answers for with its bond: the tests of the order have those.
        Protocol::Consensus => Vec::new(),
    }
}

/// Every lie there is.
pub fn all() -> Vec<Lie> {
    Protocol::ALL.into_iter().flat_map(on).collect()
}

/// One value of every variant, made of zeros.
pub fn every<T: BorshDeserialize>() -> Vec<T> {
    let variant = |tag: u8| T::deserialize(&mut [&[tag][..], &[0; 1024]].concat().as_slice()).ok();
    (0..=u8::MAX).map_while(variant).collect()
}

impl Memory {
    /// Remembers an honest answer, if it is the first to its question.
    pub fn keep(&self, request: &ChainRequest, honest: &Frame) {
        if matches!(honest.decode::<Result<ChainResponse, Refusal>>(), Ok(Ok(ChainResponse::Answer))) {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(Self::place(request)).or_insert_with(|| honest.clone());
        }
    }

    fn first(&self, request: &ChainRequest) -> Option<Frame> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&Self::place(request)).cloned()
    }

    /// The question without the block that it is asked for.
    fn place(request: &ChainRequest) -> String {
        match request {
            ChainRequest::Records { keys, .. } => format!("{keys:?}"),
            ChainRequest::Transaction { id, .. } => id.to_string(),
            ChainRequest::Block { height, .. } => height.to_string(),
            ChainRequest::Activity { account, before, .. } => format!("{account} {before:?}"),
            ChainRequest::Tip { .. } => "tip".to_owned(),
            other => format!("{other:?}"),
        }
    }
}

impl Question<'_> {
    /// The question, when it is one of chain/1.
    fn chain(&self) -> Option<ChainRequest> {
        (self.protocol == Protocol::Chain).then(|| self.request.decode().ok()).flatten()
    }

    /// The honest answer's head and body, unless the node refuses.
    fn answer<T: BorshDeserialize + BorshSerialize>(&self) -> Option<(T, Bytes)> {
        let honest = self.honest?;
        let head = honest.decode::<Result<T, Refusal>>().ok()?.ok()?;
        Some((head, honest.body.clone()))
    }

    /// What the honest answer's body has, where it is one of this kind on chain/1.
    fn body<T: BorshDeserialize + BorshSerialize>(&self, kind: &ChainResponse) -> Option<T> {
        let (head, body) = self.answer::<ChainResponse>().filter(|_| self.protocol == Protocol::Chain)?;
        (head == *kind).then(|| codec::decode(&body, limits::CHAIN_BODY).ok()).flatten()
    }
}

/// The answer with this head and this body.
fn say<T: BorshSerialize>(head: T, body: impl Into<Bytes>) -> Frame {
    Frame::new(&Ok::<T, Refusal>(head), body.into())
}

/// The answer with this head, and a body of this.
fn say_of<T: BorshSerialize, B: BorshSerialize>(head: T, body: &B) -> Frame {
    say(head, codec::encode(body))
}

fn refuse(code: RefusalCode, reason: &str) -> Frame {
    Frame::new(&Err::<(), _>(Refusal::new(code, reason)), Bytes::new())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_is_a_lie_in_every_kind_of_answer_and_each_has_a_name_of_its_own() {
        assert!(every::<ChainResponse>().len() >= 6 && every::<ChainRequest>().len() >= 13);
        // That a proof waits for a block, its provider sees in the blocks; and several are asked whether they reach it.
        let told = |kind: &ChainResponse| matches!(kind, ChainResponse::Waits | ChainResponse::DialedBack);
        for kind in every().into_iter().filter(|kind| !told(kind)) {
            assert!(!of(&kind).is_empty(), "{kind:?}");
        }
        let asked =
            |request: &ChainRequest| matches!(request, ChainRequest::Prove { .. } | ChainRequest::DialBack { .. });
        for request in every().into_iter().filter(|request| !asked(request)) {
            assert!(!about(&request).is_empty(), "{request:?}");
        }
        let names: BTreeSet<&str> = all().iter().map(|lie| lie.name).collect();
        assert_eq!(names.len(), all().len());
        let asked: BTreeSet<&str> = every::<ChainRequest>().iter().flat_map(about).map(|lie| lie.name).collect();
        let answered: BTreeSet<&str> = on(Protocol::Chain).iter().map(|lie| lie.name).collect();
        assert_eq!(asked, answered, "the two tables are one");
    }
}
