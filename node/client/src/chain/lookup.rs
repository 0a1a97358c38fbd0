//! Records of the ledger: head, accounts, providers, commitments, and the block of a transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::future::join_all;
use ostrakon_net::{AskError, Failure, ask, lock};
use ostrakon_proto::{
    id::{AccountId, BlockId, Epoch, Height, NodeId, ObjectId, TxId},
    json,
    ledger::{
        FeeFactor, Rules,
        state::{
            Account, Charter, Commitment, CommitmentId, Key, ObjectOwner, Proposal, Provider, Record, Renewal, Running,
            Validator,
        },
        tx::{DecidedBlock, Header, Tx},
    },
    light::{BadAnswer, CertifiedHeader, Inclusion, PastBlock, ProvenObject, ProvenRecord, TxPlace},
    limits,
    params::Params,
    wire,
};
use serde::Serialize;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Chain, ChainError, Silence, Supply,
    ask::{Reach, Reply},
    trusted::CONCURRENT,
};

/// A provider's addresses are asked for again after this time: it may have moved.
const PROVIDER_FRESH: Duration = Duration::from_secs(60);
/// Pages of a listing at most: a million records, and a node that never ends is given up.
pub(super) const PAGES_MAX: usize = 4096;
/// Nodes that are asked for what comes without a proof.
const WITNESSES: usize = 3;
/// Nodes that are asked for their tips concurrently.
const HEADS_CONCURRENT: usize = 32;
/// How long it may take until new validators are proven.
const HANDOVER_WAIT: Duration = Duration::from_secs(10);
/// How long a block is waited for without any new one.
pub(super) const HALT: Duration = Duration::from_secs(30);
/// After this many deleted proposals in a row, older ones are not looked for.
const PROPOSALS_GAP: u64 = 128;

/// The ledger after its newest block.
#[derive(Clone, Debug, Serialize)]
pub struct Head {
    /// Height of the block.
    pub height: Height,
    /// Id of the block.
    pub block: BlockId,
    /// The current epoch.
    pub epoch: Epoch,
    /// Time of its first block, in milliseconds of Unix time.
    pub epoch_start_ms: u64,
    /// The newest epoch that providers can be drawn in; `None` while the first beacon of the network is not complete.
    pub drawable: Option<Epoch>,
    /// Time of the block, in milliseconds of Unix time.
    pub time_ms: u64,
    /// Root of the state tree.
    #[serde(serialize_with = "json::hex")]
    pub state: [u8; 32],
    /// All money, and how much of it is where.
    #[serde(flatten)]
    pub supply: Supply,
    /// The factor by which the next block's fees exceed those of the parameters.
    #[serde(serialize_with = "json::text")]
    pub fee_factor: FeeFactor,
}

/// A provider's record, and when it was read.
#[derive(Debug)]
pub(super) struct KnownProvider {
    record: Provider,
    at: Instant,
}

impl Chain {
    /// The newest block, and the network's running values after it. The rules are from then on those of that block.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof.
    pub async fn head(&self) -> Result<Head, ChainError> {
        let (header, found) = self.records(&[Key::Running, Key::Params]).await?;
        let [Some(Record::Running(running)), Some(Record::Params(params))] = found.as_slice() else {
            return Err(ChainError::Unknown { what: "record of the chain's current state".to_owned() });
        };
        Ok(self.adopt_head(&header, running, params))
    }

    /// What these records say of the newest block; from now on its rules are this client's.
    pub(super) fn adopt_head(&self, header: &Header, running: &Running, params: &Params) -> Head {
        let (chain, clock) = (self.rules().chain, running.clock);
        self.adopt(Rules { chain, params: params.clone(), fee_factor: running.fee_factor }, clock);
        Head {
            height: header.height,
            block: header.id(),
            epoch: clock.epoch,
            epoch_start_ms: clock.start_ms,
            drawable: clock.drawable(),
            time_ms: header.time_ms,
            state: header.state,
            supply: Supply::of(running),
            fee_factor: running.fee_factor,
        }
    }

    /// The newest block, and the newest epoch that providers can be drawn in. A network that has just begun has none
    /// until its first blocks have made a beacon: then this waits, as long as there are new blocks.
    ///
    /// # Errors
    /// [`ChainError::Halted`] when there are none, another when no node responds with a valid proof.
    pub async fn drawable(&self) -> Result<(Head, Epoch), ChainError> {
        loop {
            let head = self.head().await?;
            if let Some(epoch) = head.drawable {
                return Ok((head, epoch));
            }
            let first_beacon = Height(self.rules().params.time.beacon_blocks);
            self.reach(first_beacon.max(head.height.next())).await?;
        }
    }

    /// Waits for the block at `need`, as long as there are new blocks.
    ///
    /// # Errors
    /// [`ChainError::Halted`] when there are none, another when no node responds with a valid proof.
    pub async fn reach(&self, need: Height) -> Result<(), ChainError> {
        loop {
            let height = self.head().await?.height;
            if height >= need {
                return Ok(());
            }
            let halted = |_| ChainError::Halted { height, need };
            timeout(HALT, self.block_after(height)).await.map_err(halted)?;
        }
    }

    /// An account; one that the ledger does not have is empty.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof.
    pub async fn account(&self, account: AccountId) -> Result<Account, ChainError> {
        let (_, found) = self.records(&[Key::Account(account)]).await?;
        Ok(account_of(&found))
    }

    /// As [`Chain::account`], by this node's answer.
    pub(super) async fn account_by(
        &self,
        node: NodeId,
        account: AccountId,
    ) -> Result<Reply<Account>, (NodeId, Silence)> {
        let Reply { node, value } = self.records_of(node, &[Key::Account(account)]).await?;
        Ok(Reply { node, value: account_of(&value) })
    }

    /// The pulse with this number, by which young accounts draw; `None` before it is complete, and after it expired.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof.
    pub async fn pulse(&self, number: u64) -> Result<Option<[u8; 32]>, ChainError> {
        self.catch_up().await;
        let (_, found) = self.records(&[Key::Pulse(number)]).await?;
        Ok(match found.as_slice() {
            [Some(Record::Pulse(pulse))] => Some(*pulse),
            _ => None,
        })
    }

    /// The validators of the next block, in the order of their keys.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof.
    pub async fn validators(&self) -> Result<Vec<Validator>, ChainError> {
        let deadline = Instant::now() + HANDOVER_WAIT;
        // The newest block may have named new validators, which only the block after it proves.
        let keys: Vec<Key> = loop {
            self.catch_up().await;
            let trust = self.trust();
            if let Some(set) = trust.set() {
                break set.iter().map(|(key, _)| Key::Validator(key)).collect();
            }
            let none = |_| {
                let what = "block after the last change of validators yet: try again".to_owned();
                ChainError::Unknown { what }
            };
            timeout_at(deadline, self.block_after(trust.height())).await.map_err(none)?;
        };
        let found = self.many(&keys).await?;
        Ok(found.into_iter().filter_map(|record| validator(record?)).collect())
    }

    /// Who can vote on changes, and the proposals that the ledger has, in the order of their numbers. One that is older
    /// than 128 deleted ones in a row is not found.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof.
    pub async fn proposals(&self) -> Result<(Charter, Vec<Proposal>), ChainError> {
        let (_, found) = self.records(&[Key::Charter]).await?;
        let [Some(Record::Charter(charter))] = found.as_slice() else {
            return Err(ChainError::Unknown { what: "charter".to_owned() });
        };
        let (mut all, mut end) = (Vec::new(), charter.proposals);
        while end > 0 {
            let first = end.saturating_sub(PROPOSALS_GAP);
            let keys: Vec<Key> = (first..end).map(Key::Proposal).collect();
            let kept: Vec<Proposal> =
                self.many(&keys).await?.into_iter().filter_map(|record| proposal(record?)).collect();
            if kept.is_empty() {
                break;
            }
            all.splice(0..0, kept);
            end = first;
        }
        Ok((charter.clone(), all))
    }

    /// All providers, in the order of node ids. One that is in no roster, because it is full or leaving, is missing
    /// when all nodes that are asked omit it.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof, or those that do omit one that can be drawn.
    pub async fn all_providers(&self) -> Result<Vec<Provider>, ChainError> {
        let roster = match self.head().await?.drawable {
            Some(epoch) => Some(self.roster(epoch).await?),
            None => None,
        };
        let shown = match &roster {
            Some(roster) => self.shown_of(roster).await?,
            None => Vec::new(),
        };
        let listings = self.listings(wire::chain::providers, "providers").await?;
        let listed = listings.iter().flat_map(|listing| &listing.value);
        let nodes: BTreeSet<NodeId> = shown.iter().chain(listed).copied().collect();
        let keys: Vec<Key> = nodes.into_iter().map(Key::Provider).collect();
        let all: Vec<Provider> = self.many(&keys).await?.into_iter().filter_map(|record| provider(record?)).collect();
        self.learn(&all);
        let known: BTreeSet<NodeId> = all.iter().map(|provider| provider.node).collect();
        // One that registered just now may be new to a node that is behind.
        let settled =
            |provider: &&Provider| roster.as_ref().is_some_and(|roster| provider.listing.at(roster.epoch).is_some());
        let settled: Vec<NodeId> = all.iter().filter(settled).map(|provider| provider.node).collect();
        for Reply { node, value } in listings {
            let left_out = settled.iter().find(|node| !value.contains(node));
            let invented = value.iter().find(|node| !known.contains(node));
            if let Some(other) = left_out.or(invented) {
                let is = if known.contains(other) { "is not" } else { "is" };
                self.inner.nodes.contradict(node, format!("{other} {is} a provider"));
            }
        }
        match roster.map(|roster| roster.summary.providers.groups()) {
            Some(all) if all > settled.len() => Err(ChainError::ProvidersMissing { listed: settled.len(), all }),
            _ => Ok(all),
        }
    }

    /// Nodes of providers, as several nodes list them page by page: each could omit some.
    pub(super) async fn listings(
        &self,
        page: impl Fn(Option<NodeId>) -> wire::Call<Vec<NodeId>> + Copy,
        what: &str,
    ) -> Result<Vec<Reply<BTreeSet<NodeId>>>, ChainError> {
        let reach = Reach { concurrent: WITNESSES, answers: WITNESSES };
        let mut survey = self.survey(reach, |node| self.listed_by(node, page, what), |_| false).await;
        let listings = std::mem::take(&mut survey.answers);
        if listings.is_empty() { Err(self.unanswered(survey)) } else { Ok(listings) }
    }

    /// The nodes of providers that this node lists, in their order.
    async fn listed_by(
        &self,
        node: NodeId,
        page: impl Fn(Option<NodeId>) -> wire::Call<Vec<NodeId>>,
        what: &str,
    ) -> Result<Reply<BTreeSet<NodeId>>, (NodeId, Silence)> {
        let mut all: BTreeSet<NodeId> = BTreeSet::new();
        for _ in 0..PAGES_MAX {
            let after = all.last().copied();
            let page = self.ask_node(node, page(after)).await?.value;
            if page.is_empty() {
                break;
            }
            // Pages must rise, or the listing would never end.
            if page.first().copied() <= after || !page.is_sorted_by(|one, next| one < next) {
                let failure = Failure::InvalidAnswer(format!("its list of {what} is not in order"));
                return Err((node, AskError::new(node, failure).into()));
            }
            all.extend(page);
        }
        Ok(Reply { node, value: all })
    }

    /// Any number of records, in the order of their keys.
    pub(super) async fn many(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, ChainError> {
        let mut all = Vec::with_capacity(keys.len());
        for some in keys.chunks(CONCURRENT) {
            all.extend(self.records(some).await?.1);
        }
        Ok(all)
    }

    /// A provider's record as it is now; `None` if it is not registered.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof.
    pub async fn provider(&self, node: NodeId) -> Result<Option<Provider>, ChainError> {
        let records = self.many(&[Key::Provider(node)]).await?;
        Ok(records.into_iter().find_map(|record| provider(record?)))
    }

    /// The records of these providers, those that are registered, at most a minute old; their addresses are passed to
    /// the network.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds.
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
        found.extend(self.providers_now(wanted).await?);
        Ok(found)
    }

    /// The same, as they are now.
    pub(crate) async fn providers_now(&self, mut nodes: Vec<NodeId>) -> Result<BTreeMap<NodeId, Provider>, ChainError> {
        nodes.sort_unstable();
        nodes.dedup();
        let keys: Vec<Key> = nodes.into_iter().map(Key::Provider).collect();
        let records: Vec<Provider> =
            self.many(&keys).await?.into_iter().filter_map(|record| provider(record?)).collect();
        self.learn(&records);
        Ok(records.into_iter().map(|provider| (provider.node, provider)).collect())
    }

    /// How the ledger renews these commitments by itself when they would end; `None` where it does not.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof.
    pub(crate) async fn renewals(&self, ids: &[CommitmentId]) -> Result<Vec<Option<Renewal>>, ChainError> {
        let keys: Vec<Key> = ids.iter().copied().map(Key::Renewal).collect();
        let renewal = |record| if let Some(Record::Renewal(renewal)) = record { Some(renewal) } else { None };
        Ok(self.many(&keys).await?.into_iter().map(renewal).collect())
    }

    /// The commitments of an object, the newest first.
    ///
    /// # Errors
    /// [`ChainError::NoObject`] when it is proven that there are none, another when no node responds with a
    /// valid proof.
    pub async fn object(&self, object: ObjectId) -> Result<Vec<Commitment>, ChainError> {
        let mut proven = self.proven_object(object).await?;
        if proven.owners.is_empty() {
            // It may have been added after the last answer.
            self.catch_up().await;
            proven = self.proven_object(object).await?;
        }
        let mut all = Vec::new();
        for (owner, ObjectOwner { extents, .. }) in proven.owners {
            let here: Vec<Commitment> =
                proven.commitments.extract_if(.., |commitment| commitment.id.owner == owner).collect();
            if here.len() == usize::try_from(extents).unwrap_or(usize::MAX) {
                all.extend(here.into_iter().filter(is_whole));
            } else {
                all.extend(self.commitments(object, owner, extents).await?);
            }
        }
        if all.is_empty() {
            return Err(ChainError::NoObject { object, height: self.trust().height() });
        }
        all.sort_by_key(|commitment| (std::cmp::Reverse(commitment.start), commitment.id));
        Ok(all)
    }

    /// What one answer has of the object. The addresses of its holders are passed to the network.
    async fn proven_object(&self, object: ObjectId) -> Result<ProvenObject, ChainError> {
        let request = |from| wire::chain::object(from, object);
        let read = |items: Vec<ProvenRecord>, tip: &CertifiedHeader| ProvenObject::verify(&items, object, &tip.header);
        let proven = self.prove(&request, read).await?;
        self.learn(&proven.providers);
        Ok(proven)
    }

    /// The owner's `count` commitments of the object, which may not include its first extents.
    async fn commitments(&self, object: ObjectId, owner: AccountId, count: u32) -> Result<Vec<Commitment>, ChainError> {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(limits::EXTENTS);
        let (mut all, mut first, mut end) = (Vec::with_capacity(count), 0, limits::EXTENTS);
        while all.len() < count && first < end {
            let last = end.min(first + CONCURRENT.min(count));
            let extents = (first..last).filter_map(|extent| u32::try_from(extent).ok());
            let keys: Vec<Key> =
                extents.map(|extent| Key::Commitment(CommitmentId { object, extent, owner })).collect();
            for record in self.records(&keys).await?.1 {
                if let Some(Record::Commitment(commitment)) = record
                    && is_whole(&commitment)
                {
                    end = usize::try_from(commitment.extents).unwrap_or(end).min(end);
                    all.push(commitment);
                }
            }
            first = last;
        }
        Ok(all)
    }

    /// The place of the transaction, applied or charged, when one of the nodes asked has it. That it is in no block
    /// needs a second node to confirm it, where another is known.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof.
    pub async fn inclusion(&self, tx: TxId) -> Result<Option<TxPlace>, ChainError> {
        let Reply { node, value } = self.find_transaction(tx).await?;
        if value.is_some() {
            return Ok(value);
        }
        let others = self.others_find(node, tx).await;
        if others.is_empty() && self.inner.nodes.are_more_than(node) {
            return Err(ChainError::Unconfirmed { node, tx });
        }
        Ok(self.found_by(&others, node, tx))
    }

    /// The place of the transaction by the answers of other nodes than `denier`, which claims that it is in none.
    pub(super) async fn witnessed(&self, denier: NodeId, tx: TxId) -> Option<TxPlace> {
        let others = self.others_find(denier, tx).await;
        self.found_by(&others, denier, tx)
    }

    /// The answers of other nodes than `denier` about the transaction.
    async fn others_find(&self, denier: NodeId, tx: TxId) -> Vec<Reply<Option<TxPlace>>> {
        self.inner.nodes.demote(denier);
        let reach = Reach { concurrent: WITNESSES, answers: WITNESSES };
        let survey = self.survey(reach, |node| self.find_transaction_at(node, tx), Option::is_some).await;
        survey.answers.into_iter().filter(|said| said.node != denier).collect()
    }

    fn found_by(&self, others: &[Reply<Option<TxPlace>>], denier: NodeId, tx: TxId) -> Option<TxPlace> {
        let found = others.iter().find_map(|said| said.value)?;
        self.inner
            .nodes
            .contradict(denier, format!("transaction {tx} is in no block, although it is in block {}", found.height));
        Some(found)
    }

    /// The decided block at this height; `None` when there is none yet.
    ///
    /// # Errors
    /// [`ChainError`] when no node sends a block that is proven to be on the chain.
    pub async fn block(&self, height: Height) -> Result<Option<DecidedBlock>, ChainError> {
        if height == Height(0) || height > self.head().await?.height {
            return Ok(None);
        }
        let request = |from| wire::chain::block(from, height);
        let read = |block: PastBlock, tip: &CertifiedHeader| block.verify(&tip.header, height);
        Ok(Some(self.prove(&request, read).await?))
    }

    /// The transaction, and its place; `None` as [`Chain::inclusion`].
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof.
    pub async fn transaction(&self, tx: TxId) -> Result<Option<(TxPlace, Tx)>, ChainError> {
        let Some(place) = self.inclusion(tx).await? else { return Ok(None) };
        let decided = self.block(place.height).await?;
        let found =
            decided.and_then(|decided| decided.block.list(place.list).iter().find(|one| one.id() == tx).cloned());
        Ok(found.map(|tx| (place, tx)))
    }

    /// The newest block that each of these nodes claims to have, without a proof; those that do not respond within
    /// `patience` are left out.
    pub async fn claimed_heights(&self, nodes: &[NodeId], patience: Duration) -> BTreeMap<NodeId, Height> {
        let peers = self.inner.peers.as_ref();
        let claim = |node: NodeId| async move {
            let head = ask(peers, node, wire::chain::head().within(patience)).await.ok()?;
            Some((node, head.height))
        };
        join_all(nodes.iter().copied().map(claim)).await.into_iter().flatten().collect()
    }

    /// The tips of all known nodes that respond, in the order of node ids.
    pub async fn heights(&self) -> Vec<(NodeId, Height)> {
        let reach = Reach { concurrent: HEADS_CONCURRENT, answers: usize::MAX };
        let survey = self.survey(reach, |node| self.tip_of(node, Some(Height(0))), |_| false).await;
        let mut heights: Vec<_> = survey.answers.into_iter().map(|said| (said.node, said.value)).collect();
        heights.sort_unstable();
        heights
    }

    pub(super) async fn find_transaction(&self, tx: TxId) -> Result<Reply<Option<TxPlace>>, ChainError> {
        self.any(|node| self.find_transaction_at(node, tx)).await
    }

    pub(super) async fn find_transaction_at(
        &self,
        node: NodeId,
        tx: TxId,
    ) -> Result<Reply<Option<TxPlace>>, (NodeId, Silence)> {
        let read = |found: Option<Inclusion>, tip: &CertifiedHeader| -> Result<Option<TxPlace>, BadAnswer> {
            found.map(|inclusion| inclusion.verify(&tip.header, tx)).transpose()
        };
        self.prove_node(node, &|from| wire::chain::transaction(from, tx), read).await
    }

    pub(super) fn learn(&self, providers: &[Provider]) {
        let at = Instant::now();
        let mut known = lock(&self.inner.providers);
        for record in providers {
            self.inner.peers.learn(record.node, &record.addresses);
            self.inner.nodes.add(record.node);
            known.insert(record.node, KnownProvider { record: record.clone(), at });
        }
    }
}

fn account_of(found: &[Option<Record>]) -> Account {
    match found {
        [Some(Record::Account(account))] => *account,
        _ => Account::default(),
    }
}

fn provider(record: Record) -> Option<Provider> {
    if let Record::Provider(provider) = record { Some(provider) } else { None }
}

fn proposal(record: Record) -> Option<Proposal> {
    if let Record::Proposal(proposal) = record { Some(proposal) } else { None }
}

fn validator(record: Record) -> Option<Validator> {
    if let Record::Validator(validator) = record { Some(validator) } else { None }
}

/// Whether the commitment is complete: later code relies on it, and the rules allow no other in a block.
fn is_whole(commitment: &Commitment) -> bool {
    commitment.code.is_valid()
        && commitment.slots.len() == usize::from(commitment.code.n)
        && (1..=limits::COLUMN).contains(&commitment.column_len)
        && commitment.id.extent < commitment.extents
}
