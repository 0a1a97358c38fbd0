//! Sends transactions: signs with the next nonce, submits, and waits until they are in a block.
//!
//! Transactions of one account are signed and submitted one batch after the other ([`super::nonce`]), then waited for
//! concurrently. Another machine may use the same account: what the ledger would refuse to do twice is then signed
//! again.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, future::join_all, stream};
use ostrakon_net::{AskError, Failure, awake};
use ostrakon_proto::{
    codec,
    id::{AccountId, Amount, Height, NodeId, TxId},
    ledger::tx::{Action, Tx, TxBody, TxList, TxPlace},
    limits,
    sign::Keypair,
    wire::{self, Refusal, RefusalCode, chain::Relayed},
};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{
    Chain, ChainError, Silence,
    ask::{Reach, Reply},
};
use crate::{Event, Events};

/// Blocks after which a transaction that nobody included is void.
const VALID_BLOCKS: u64 = 1_000;
/// How long an inclusion is waited for.
const INCLUSION_WAIT: Duration = Duration::from_secs(60);
/// The pause before a node is asked again that was behind.
const PAUSE: Duration = Duration::from_millis(250);
/// A transaction that is not included by then is submitted again, and it is looked whether its nonce was taken.
const SUBMIT_AGAIN: Duration = Duration::from_secs(2);
/// How long a refused transaction waits for the ones before it, or for a nonce to turn out taken.
const NONCE_WAIT: Duration = Duration::from_secs(3);
/// How often the rules must refuse the next transaction of an account: who refuses first may be a block behind.
const REFUSALS: usize = 2;
/// Transactions submitted concurrently: as many as a node lets one account have waiting.
const RUN: usize = 64;
/// How often a batch is signed again.
const ROUNDS: usize = 16;
/// How long the spreading of a block is waited for.
const SPREAD_WAIT: Duration = Duration::from_secs(20);
/// Holders that are asked for their height concurrently.
const SPREAD_CONCURRENT: usize = 64;

/// A transaction that the ledger has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Included {
    /// The transaction.
    pub tx: TxId,
    /// The block that has it.
    pub height: Height,
}

/// What to do when another transaction took the nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overtaken {
    /// Sign it again: the ledger would refuse to do it twice.
    Repeat,
    /// Tell the caller.
    Report,
}

/// A transaction of which nobody has said how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    tx: Tx,
    /// Why it fails, if the node that took it reported it.
    failing: Option<ChainError>,
}

impl Sent {
    pub(crate) fn id(&self) -> TxId {
        self.tx.id()
    }

    /// Its nonce.
    pub(crate) fn nonce(&self) -> u64 {
        self.tx.body.nonce
    }
}

/// A transaction that a node took.
struct Submitted {
    /// Which of the actions it is for.
    at: usize,
    tx: Tx,
    /// Why it fails, if the node reported it: a block charges it then.
    failing: Option<ChainError>,
}

/// How a submitted transaction ended.
enum Fate {
    Included(Included),
    /// It failed in the block of this height, which charged its fee.
    Charged(Height),
    /// Its nonce went to another.
    Overtaken(TxId),
    /// The load has made fees greater than what it offers: no node keeps it.
    Cheap(ChainError),
    Failed(ChainError),
}

impl Chain {
    /// Signs these actions with consecutive nonces, and waits until all are in blocks.
    pub(crate) async fn send(
        &self,
        key: &Keypair,
        actions: Vec<Action>,
        overtaken: Overtaken,
        events: &Events,
    ) -> Result<Vec<Included>, ChainError> {
        let mut done: BTreeMap<usize, Included> = BTreeMap::new();
        let mut tried: BTreeMap<usize, Vec<TxId>> = BTreeMap::new();
        let mut last = None;
        for _ in 0..ROUNDS {
            let open: Vec<(usize, &Action)> =
                actions.iter().enumerate().filter(|(at, _)| !done.contains_key(at)).collect();
            if open.is_empty() {
                break;
            }
            let submitted = self.submit_batch(key, &open).await?;
            let fates = join_all(submitted.iter().map(|one| self.settle(&one.tx, events))).await;
            for (Submitted { at, tx, failing }, fate) in submitted.into_iter().zip(fates) {
                let fate = self.fate_of_all(tried.get(&at), fate).await;
                tried.entry(at).or_default().push(tx.id());
                match fate {
                    Fate::Included(included) => _ = done.insert(at, included),
                    Fate::Charged(height) => {
                        return Err(failing.unwrap_or(ChainError::Charged { tx: tx.id(), height }));
                    }
                    Fate::Overtaken(tx) if overtaken == Overtaken::Report => return Err(ChainError::Overtaken { tx }),
                    Fate::Overtaken(tx) => last = Some(ChainError::Overtaken { tx }),
                    Fate::Cheap(error) => last = Some(error),
                    Fate::Failed(error) => return Err(error),
                }
            }
        }
        match last {
            Some(error) if done.len() < actions.len() => Err(error),
            _ => Ok(done.into_values().collect()),
        }
    }

    /// Signs this with the next nonce, and hands it to a node. Those that follow are signed with the nonces after it.
    pub(crate) async fn begin(&self, key: &Keypair, action: Action) -> Result<Sent, ChainError> {
        let mut submitted = self.submit_batch(key, &[(0, &action)]).await?;
        let Submitted { tx, failing, .. } = submitted.pop().expect("one action is submitted, or an error says why not");
        Ok(Sent { tx, failing })
    }

    /// Waits until it is in a block. One that has become too cheap is signed again, with another nonce.
    pub(crate) async fn finish(&self, key: &Keypair, sent: &Sent) -> Result<Included, ChainError> {
        let Sent { tx, failing } = sent;
        let (before, none) = (vec![tx.id()], Events::none());
        match self.settle(tx, &none).await {
            Fate::Included(included) => Ok(included),
            Fate::Charged(height) => Err(failing.clone().unwrap_or(ChainError::Charged { tx: tx.id(), height })),
            Fate::Overtaken(tx) => Err(ChainError::Overtaken { tx }),
            Fate::Failed(error) => Err(error),
            Fate::Cheap(_) => match self.send(key, vec![tx.body.action.clone()], Overtaken::Report, &none).await {
                Err(ChainError::Overtaken { tx }) => match self.fate_of_all(Some(&before), Fate::Overtaken(tx)).await {
                    Fate::Included(included) => Ok(included),
                    _ => Err(ChainError::Overtaken { tx }),
                },
                sent => sent?.pop().ok_or(ChainError::NotIncluded { tx: tx.id(), until: tx.body.valid_until }),
            },
        }
    }

    /// What was remembered of the account's next nonce may be wrong.
    pub(crate) async fn forget_nonces(&self, account: AccountId) {
        self.inner.nonces.forget(&account).await;
    }

    /// What was signed before for the same and found too cheap may be what took the nonce in the end.
    async fn fate_of_all(&self, before: Option<&Vec<TxId>>, fate: Fate) -> Fate {
        if let (Fate::Overtaken(_), Some(before)) = (&fate, before) {
            for tx in before {
                if let Ok(Reply { value: Some(place), .. }) = self.find_transaction(*tx).await
                    && !place.is_charged()
                {
                    return Fate::Included(Included { tx: *tx, height: place.height });
                }
            }
        }
        fate
    }

    /// Signs and submits in order. A refusal after the first leaves the rest for the next round.
    async fn submit_batch(&self, key: &Keypair, actions: &[(usize, &Action)]) -> Result<Vec<Submitted>, ChainError> {
        let account: AccountId = key.public();
        let mut turn = self.inner.nonces.turn().await;
        let (head, on_chain) = self.recent(account).await?;
        self.forget_recent();
        let until = Height(head.height.0.saturating_add(VALID_BLOCKS));
        let mut nonce = turn.next(&account).map_or(on_chain.nonce, |next| on_chain.nonce.max(next));
        let deadline = Instant::now() + NONCE_WAIT;
        let (mut submitted, mut open, mut refused, mut is_walking) = (Vec::new(), actions, 0, false);
        while let [(at, action), rest @ ..] = open {
            let run: Vec<Tx> = (nonce..)
                .zip(&open[..open.len().min(RUN)])
                .map(|(nonce, (_, action))| self.sign(key, nonce, until, (*action).clone()))
                .collect();
            let run = fitting(run);
            let taken = if run.len() > 1 { self.submit_run(&run).await? } else { Vec::new() };
            if !taken.is_empty() {
                let (count, all) = (taken.len(), run.len());
                let taken = open.iter().zip(run).zip(taken);
                submitted.extend(taken.map(|(((at, _), tx), failing)| Submitted { at: *at, tx, failing }));
                nonce += u64::try_from(count).expect("a count fits");
                turn.set(&account, nonce);
                if count < all {
                    return Ok(submitted);
                }
                open = &open[count..];
                continue;
            }
            // Alone it is brought to several nodes, until one takes it.
            let tx = self.sign(key, nonce, until, (*action).clone());
            match self.submit(&tx).await {
                Ok(failing) => {
                    submitted.push(Submitted { at: *at, tx, failing });
                    nonce += 1;
                    turn.set(&account, nonce);
                    open = rest;
                }
                Err(error @ ChainError::Refused { .. }) if submitted.is_empty() => {
                    turn.forget(&account);
                    // With the newest fees, too: what it signs next offers those.
                    let (_, account) = futures::try_join!(self.head(), self.account(account))?;
                    refused += usize::from(is_final(&error) && account.nonce == nonce);
                    if refused >= REFUSALS || account.nonce <= nonce && Instant::now() >= deadline {
                        return Err(error);
                    }
                    is_walking = nonce_is_taken(&error) && (is_walking || account.nonce == nonce);
                    match is_walking {
                        // Transactions of another machine wait: the first free nonce after theirs.
                        true => nonce = account.nonce.max(nonce + 1),
                        false => {
                            nonce = account.nonce;
                            sleep(PAUSE).await;
                        }
                    }
                }
                Err(ChainError::Refused { .. }) => return Ok(submitted),
                Err(error) => return Err(error),
            }
        }
        Ok(submitted)
    }

    /// Hands consecutive transactions to any node concurrently; says how many of the first it took, and why one fails.
    async fn submit_run(&self, txs: &[Tx]) -> Result<Vec<Option<ChainError>>, ChainError> {
        let call = wire::chain::submit(txs.iter(), Relayed::No);
        let mut survey = self.survey(Reach::ANY, |node| self.ask_node(node, call.clone()), |_| true).await;
        match survey.answers.pop() {
            // A node takes none behind one that it refused.
            Some(said) => {
                let taken: Vec<_> =
                    said.value.into_iter().map_while(|verdict| taken_by(said.node, verdict).ok()).collect();
                txs.iter().zip(&taken).for_each(|(tx, _)| self.inner.nodes.taken(tx.id(), said.node));
                Ok(taken)
            }
            None => match self.unanswered(survey) {
                ChainError::Refused { .. } => Ok(Vec::new()),
                error => Err(error),
            },
        }
    }

    fn sign(&self, key: &Keypair, nonce: u64, valid_until: Height, action: Action) -> Tx {
        let (rules, mut salt) = (self.rules(), [0; 8]);
        (self.inner.random)(&mut salt);
        let salt = u64::from_le_bytes(salt);
        let mut body = TxBody { account: key.public(), nonce, valid_until, salt, fee: Amount::ZERO, action };
        body.fee = rules.offer(&body);
        Tx::sign(body, key, &rules.chain)
    }

    /// Hands the transaction to any node; says why it fails, if the node took it to be charged.
    async fn submit(&self, tx: &Tx) -> Result<Option<ChainError>, ChainError> {
        let call = wire::chain::submit(std::iter::once(tx), Relayed::No);
        let alone = async |node| {
            let Reply { value, .. } = self.ask_node(node, call.clone()).await?;
            // Another may take what this node does not.
            let refused = |refusal| (node, AskError::new(node, Failure::Refused(refusal)).into());
            let verdict = value.into_iter().next().unwrap_or(Ok(()));
            taken_by(node, verdict).map(|value| Reply { node, value }).map_err(refused)
        };
        let mut survey = self.survey(Reach::ANY, alone, |_| true).await;
        let Some(said) = survey.answers.pop() else { return Err(self.unanswered(survey)) };
        let id = tx.id();
        for denier in survey.called_invalid() {
            self.inner.nodes.contradict(denier, format!("transaction {id} is against the rules"));
        }
        self.inner.nodes.taken(id, said.node);
        Ok(said.value)
    }

    /// Waits until it is in a block, or can no longer be.
    async fn settle(&self, tx: &Tx, events: &Events) -> Fate {
        match awake::timeout(INCLUSION_WAIT, self.wait_for_fate(tx, events)).await {
            Ok(fate) => fate,
            Err(_) => {
                self.inner.nonces.forget(&tx.body.account).await;
                Fate::Failed(ChainError::NotIncluded { tx: tx.id(), until: tx.body.valid_until })
            }
        }
    }

    async fn wait_for_fate(&self, tx: &Tx, events: &Events) -> Fate {
        let (id, mut again) = (tx.id(), Instant::now() + SUBMIT_AGAIN);
        loop {
            let height = self.trust().height();
            match self.find_transaction(id).await {
                Ok(said) => {
                    if let Some(place) = said.value {
                        return fate_at(id, place);
                    }
                    if Instant::now() >= again {
                        again = Instant::now() + SUBMIT_AGAIN;
                        self.tell_wait(id, events).await;
                        if let Some(fate) = self.look_closer(tx, said.node).await {
                            return fate;
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, "looking for transaction {id}"),
            }
            // What no block has yet, a later one may have; where there is none, it is submitted again.
            let _none = timeout(SUBMIT_AGAIN, self.block_after(height)).await;
        }
    }

    async fn tell_wait(&self, tx: TxId, events: &Events) {
        // Where no node says its height, there is nothing to tell.
        if let Ok(head) = self.head().await {
            events.tell(Event::Pending { tx, height: head.height });
        }
    }

    /// Asks one node, so that the answers are of one history, whether the nonce went to another; else submits again, to
    /// another node.
    async fn look_closer(&self, tx: &Tx, node: NodeId) -> Option<Fate> {
        let (id, account) = (tx.id(), tx.body.account);
        let nonce = self.account_by(node, account).await.ok()?.value.nonce;
        if nonce > tx.body.nonce {
            return self.find_spent(node, id).await;
        }
        self.inner.nodes.demote(node);
        match self.submit(tx).await {
            Err(error @ ChainError::Refused { .. }) if is_final(&error) => {
                let cheap = self.head().await.is_ok() && self.rules().fee(&tx.body) > tx.body.fee;
                if !cheap && nonce != tx.body.nonce {
                    return None;
                }
                self.inner.nonces.forget(&account).await;
                Some(if cheap { Fate::Cheap(error) } else { Fate::Failed(error) })
            }
            _ => None,
        }
    }

    /// Where the transaction is whose nonce was taken, by it or another. That no block has it is what several
    /// nodes claim, not one alone.
    async fn find_spent(&self, node: NodeId, tx: TxId) -> Option<Fate> {
        let found = match self.find_transaction_at(node, tx).await.ok()?.value {
            Some(place) => Some(place),
            None => self.witnessed(node, tx).await,
        };
        Some(found.map_or(Fate::Overtaken(tx), |place| fate_at(tx, place)))
    }

    /// Waits until enough of `holders` have the block of this height; says how many have.
    ///
    /// Under the solo order a new block is on one machine at first: an add is acknowledged when it is on so many that
    /// those who can still read the object can also find it.
    pub(crate) async fn spread(&self, height: Height, holders: &[NodeId], wanted: usize) -> usize {
        let deadline = Instant::now() + SPREAD_WAIT;
        let mut reached = 0;
        let reports: Vec<_> = holders.iter().map(|node| self.has_reached(*node, height, deadline)).collect();
        let mut reports = stream::iter(reports).buffer_unordered(SPREAD_CONCURRENT);
        while reached < wanted
            && let Some(has) = reports.next().await
        {
            reached += usize::from(has);
        }
        reached
    }

    /// Whether the node comes to have the block before the deadline.
    async fn has_reached(&self, node: NodeId, height: Height, deadline: Instant) -> bool {
        while Instant::now() < deadline {
            let asked = timeout_at(deadline, self.tip_of(node, Some(height))).await;
            match asked {
                Ok(Ok(said)) if said.value >= height => return true,
                // It waited for the block in vain; ask again.
                Ok(Ok(_) | Err((_, Silence::Behind(..)))) => sleep(PAUSE).await,
                _ => return false,
            }
        }
        false
    }
}

/// How a transaction ended that is at this place.
const fn fate_at(tx: TxId, TxPlace { height, list, .. }: TxPlace) -> Fate {
    match list {
        TxList::Applied => Fate::Included(Included { tx, height }),
        TxList::Charged => Fate::Charged(height),
    }
}

/// A verdict of a node that took the transaction: why it fails, if it is to be charged.
fn taken_by(node: NodeId, verdict: Result<(), Refusal>) -> Result<Option<ChainError>, Refusal> {
    match verdict {
        Ok(()) => Ok(None),
        Err(refusal) if refusal.code == RefusalCode::Charged => Ok(Some(ChainError::Refused { node, refusal })),
        Err(refusal) => Err(refusal),
    }
}

/// As many of the first as one request may carry.
fn fitting(txs: Vec<Tx>) -> Vec<Tx> {
    let mut bytes = size_of::<u32>();
    let fits = |tx: &Tx| {
        bytes += codec::encode(tx).len();
        bytes <= limits::SUBMIT
    };
    txs.into_iter().take_while(fits).collect()
}

/// Whether the node refuses the transaction for its nonce alone.
fn nonce_is_taken(error: &ChainError) -> bool {
    matches!(error, ChainError::Refused { refusal, .. } if refusal.code == RefusalCode::Nonce)
}

/// Whether the ledger's rules refuse the transaction, as opposed to a node that is busy.
fn is_final(error: &ChainError) -> bool {
    matches!(error, ChainError::Refused { refusal, .. } if refusal.code == RefusalCode::Invalid)
}
