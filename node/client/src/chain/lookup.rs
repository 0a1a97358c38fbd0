//! What the ledger knows: head, accounts, providers, rosters, commitments, and where a transaction went.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use ostrakon_proto::{
    codec,
    id::{AccountId, Epoch, Height, NodeId, ObjectId, TxId},
    ledger::{
        state::{Account, Candidate, Commitment, Provider},
        tx::{Decided, Tx, tx_root},
    },
    limits,
    wire::{
        Frame,
        chain::{Head, Inclusion, Request, Response},
    },
};
use tokio::time::Instant;

use super::{
    Chain, ChainError,
    ask::{Question, Said},
    lock,
};

/// How many nodes must not know an object before it does not exist: an acknowledged add is on all but a few nodes.
const OBJECT_ANSWERS: usize = 16;
/// How many nodes are asked for an object at once.
const OBJECT_AT_ONCE: usize = 3;
/// A provider's addresses are asked for again after this time: it may have moved.
const PROVIDER_FRESH: Duration = Duration::from_secs(60);
/// Pages of a listing at most: a million records, and a node that never ends is given up.
const PAGES_MAX: usize = 4096;
/// Nodes that are asked for their tips at once.
const HEADS_AT_ONCE: usize = 32;
/// Rosters kept: the current one and those of adds that began before.
const ROSTERS_MAX: usize = 4;

/// Who can be drawn in an epoch, in the order of node ids.
#[derive(Clone, Debug)]
pub struct Roster {
    /// Which epoch.
    pub epoch: Epoch,
    /// Its candidates.
    pub candidates: Vec<Candidate>,
}

/// A provider's record, and when it was read.
#[derive(Debug)]
pub(super) struct KnownProvider {
    record: Provider,
    at: Instant,
}

impl Chain {
    /// The tip of any node.
    ///
    /// # Errors
    /// [`ChainError`] when no node answers.
    pub async fn head(&self) -> Result<Head, ChainError> {
        Ok(self.ask(Question::to_any(&Request::Head, read_head)).await?.value)
    }

    /// An account; one that the ledger never saw is empty.
    ///
    /// # Errors
    /// [`ChainError`] when no node answers.
    pub async fn account(&self, account: AccountId) -> Result<Account, ChainError> {
        Ok(self.ask(Question::to_any(&Request::Account(account), read_account)).await?.value)
    }

    /// The candidates that `epoch` froze; asked for once.
    ///
    /// # Errors
    /// [`ChainError`] when no node answers.
    pub async fn roster(&self, epoch: Epoch) -> Result<Arc<Roster>, ChainError> {
        if let Some(roster) = lock(&self.inner.rosters).get(&epoch) {
            return Ok(Arc::clone(roster));
        }
        let page = |after| Request::Roster { epoch, after };
        let candidates = self.listing(page, |candidate: &Candidate| candidate.provider).await?;
        let roster = Arc::new(Roster { epoch, candidates });
        let mut rosters = lock(&self.inner.rosters);
        // An empty roster is a node's that has not reached the epoch: not worth keeping.
        if !roster.candidates.is_empty() {
            rosters.insert(epoch, Arc::clone(&roster));
        }
        while rosters.len() > ROSTERS_MAX {
            rosters.pop_first();
        }
        Ok(roster)
    }

    /// All providers there are, in the order of node ids.
    ///
    /// # Errors
    /// [`ChainError`] when no node answers.
    pub async fn all_providers(&self) -> Result<Vec<Provider>, ChainError> {
        let page = |after| Request::Providers { nodes: Vec::new(), after };
        let all = self.listing(page, |provider: &Provider| provider.node).await?;
        self.learn(&all);
        Ok(all)
    }

    /// The records of these providers, those that are registered; the network learns where they are.
    ///
    /// # Errors
    /// [`ChainError`] when no node answers.
    pub async fn providers(&self, nodes: &[NodeId]) -> Result<BTreeMap<NodeId, Provider>, ChainError> {
        let now = Instant::now();
        let (mut found, mut wanted) = (BTreeMap::new(), Vec::new());
        {
            let known = lock(&self.inner.providers);
            for node in nodes {
                match known.get(node) {
                    Some(entry) if now - entry.at < PROVIDER_FRESH => {
                        found.insert(*node, entry.record.clone());
                    }
                    _ => wanted.push(*node),
                }
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        for some in wanted.chunks(limits::PAGE) {
            let request = Request::Providers { nodes: some.to_vec(), after: None };
            let said = self.ask(Question::to_any(&request, read_records::<Provider>)).await?;
            self.learn(&said.value);
            found.extend(said.value.into_iter().map(|provider| (provider.node, provider)));
        }
        Ok(found)
    }

    /// The commitments of an object, the newest first.
    ///
    /// # Errors
    /// [`ChainError::NoObject`] when many nodes were asked and none has any, another when no node answers.
    pub async fn object(&self, object: ObjectId) -> Result<Vec<Commitment>, ChainError> {
        let question = Question {
            frame: Frame::new(&Request::Object(object), Bytes::new()),
            at_once: OBJECT_AT_ONCE,
            answers: OBJECT_ANSWERS,
            read: |response, body: &Bytes| {
                let all = read_records::<Commitment>(response, body)?;
                all.iter().all(|commitment| is_plausible(commitment, object)).then_some(all)
            },
        };
        let survey = self.survey(question, |all| !all.is_empty()).await;
        let asked = survey.answers.len();
        if asked == 0 {
            return Err(survey.into_error());
        }
        let found = survey.answers.into_iter().find(|said| !said.value.is_empty());
        let mut commitments = found.ok_or(ChainError::NoObject { object, asked })?.value;
        commitments.sort_by_key(|commitment| (std::cmp::Reverse(commitment.start), commitment.id));
        Ok(commitments)
    }

    /// The height of the block that has the transaction, when the node that is asked knows one.
    ///
    /// # Errors
    /// [`ChainError`] when no node answers.
    pub async fn inclusion(&self, tx: TxId) -> Result<Option<Height>, ChainError> {
        Ok(self.find_transaction(tx).await?.value)
    }

    /// The decided block of this height; `None` when it is still to come.
    ///
    /// # Errors
    /// [`ChainError`] when no node answers, or none gives a block that its validator signed.
    pub async fn block(&self, height: Height) -> Result<Option<Decided>, ChainError> {
        if height == Height(0) || height > self.head().await?.height {
            return Ok(None);
        }
        let read = |response, body: &Bytes| read_block(self, height, &response, body);
        Ok(Some(self.ask(Question::to_any(&Request::Blocks { from: height }, read)).await?.value))
    }

    /// The tips of all nodes that answer, of those that this client knows.
    pub async fn heads(&self) -> Vec<(NodeId, Head)> {
        let frame = Frame::new(&Request::Head, Bytes::new());
        let question = Question { frame, at_once: HEADS_AT_ONCE, answers: usize::MAX, read: read_head };
        let survey = self.survey(question, |_| false).await;
        let mut heads: Vec<_> = survey.answers.into_iter().map(|said| (said.node, said.value)).collect();
        heads.sort_by_key(|(node, _)| *node);
        heads
    }

    pub(super) async fn find_transaction(&self, tx: TxId) -> Result<Said<Option<Height>>, ChainError> {
        let read = |response, body: &Bytes| read_inclusion(self, tx, response, body);
        self.ask(Question::to_any(&Request::Transaction(tx), read)).await
    }

    fn learn(&self, providers: &[Provider]) {
        let at = Instant::now();
        let mut known = lock(&self.inner.providers);
        for record in providers {
            self.inner.peers.learn(record.node, &record.addresses);
            self.inner.nodes.add(record.node);
            known.insert(record.node, KnownProvider { record: record.clone(), at });
        }
    }

    /// Every record of a listing, page by page.
    async fn listing<T: BorshDeserialize + BorshSerialize>(
        &self,
        page: impl Fn(Option<NodeId>) -> Request,
        node_of: impl Fn(&T) -> NodeId,
    ) -> Result<Vec<T>, ChainError> {
        let mut all: Vec<T> = Vec::new();
        for _ in 0..PAGES_MAX {
            let after = all.last().map(&node_of);
            let said = self.ask(Question::to_any(&page(after), read_records::<T>)).await?;
            // Pages rise; one that does not would send us round in circles.
            let rises = said.value.first().is_some_and(|first| Some(node_of(first)) > after);
            if !rises {
                break;
            }
            all.extend(said.value);
        }
        Ok(all)
    }
}

pub(super) fn read_head(response: Response, _: &Bytes) -> Option<Head> {
    match response {
        Response::Head(head) => Some(head),
        _ => None,
    }
}

pub(super) fn read_account(response: Response, _: &Bytes) -> Option<Account> {
    match response {
        Response::Account(account) => Some(account),
        _ => None,
    }
}

fn read_records<T: BorshDeserialize + BorshSerialize>(response: Response, body: &Bytes) -> Option<Vec<T>> {
    (response == Response::Records).then(|| codec::decode(body, limits::CHAIN_BODY).ok()).flatten()
}

/// Where the transaction is, when the answer proves it: in a block that the validators decided.
pub(super) fn read_inclusion(chain: &Chain, tx: TxId, response: Response, body: &Bytes) -> Option<Option<Height>> {
    let records = read_records::<Inclusion>(response, body)?;
    let Some(inclusion) = records.first() else { return Some(None) };
    let proven = inclusion.ids.contains(&tx)
        && tx_root(&inclusion.ids) == inclusion.header.txs
        && chain.is_decided(&inclusion.header, &inclusion.certificate);
    proven.then_some(Some(inclusion.header.height))
}

/// The block, when it is the first of the answer, whole, and decided by the validators.
fn read_block(chain: &Chain, height: Height, response: &Response, body: &Bytes) -> Option<Decided> {
    let blocks: Vec<Decided> =
        (*response == Response::Blocks).then(|| codec::decode(body, limits::CHAIN_BODY).ok()).flatten()?;
    let decided = blocks.into_iter().next()?;
    let header = &decided.block.header;
    let ids: Vec<TxId> = decided.block.txs.iter().map(Tx::id).collect();
    let whole = header.height == height && tx_root(&ids) == header.txs;
    (whole && chain.is_decided(header, &decided.certificate)).then_some(decided)
}

/// Whether the commitment is of this object, and whole: what later code counts on.
fn is_plausible(commitment: &Commitment, object: ObjectId) -> bool {
    commitment.id.object == object
        && commitment.code.is_valid()
        && commitment.slots.len() == usize::from(commitment.code.n)
        && (1..=limits::COLUMN).contains(&commitment.column_len)
        && commitment.id.extent < commitment.extents
}
