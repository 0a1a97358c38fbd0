//! An account's transactions: outgoing and incoming, newest first.
//!
//! In goes an account, out come transactions, each with a proof. Several nodes are asked, and the union of their
//! answers counts. A node that omits what the account sent is found out by its nonces, and a node that omits what
//! another node has, by that: both are excluded. An incoming payment that all of the nodes asked omit is not found.

use std::{collections::BTreeMap, time::Duration};

use ostrakon_proto::{
    id::{AccountId, Height, NodeId},
    json,
    ledger::state::Account,
    light::{
        self, BadAnswer, CertifiedHeader, TxPlace,
        activity::{AccountTx, ActivityQuery, ProvenActivity},
    },
    limits, wire,
};
use serde::Serialize;

use super::{
    Chain, ChainError, Silence,
    ask::{Reach, Reply},
};

/// Nodes that are asked for the same page.
const WITNESSES: usize = 3;
/// How long one of them may take: it may have to read a block for each transaction.
const WAIT: Duration = Duration::from_secs(5);
/// Pages of one node at most: a malicious one could send them without end.
const PAGES_MAX: usize = 4_096;

/// Outgoing and incoming transactions of an account.
#[derive(Clone, Debug, Serialize)]
pub struct Activity {
    /// The account, as of the newest block.
    #[serde(flatten)]
    pub account: Account,
    /// The transactions, newest first.
    #[serde(rename = "transactions")]
    pub txs: Vec<AccountTx>,
    /// The place to continue from; `None` when the nodes have no more.
    #[serde(serialize_with = "json::text_of", skip_serializing_if = "Option::is_none")]
    pub next: Option<TxPlace>,
    /// How many transactions the account sent before all of these; `None` where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_before: Option<u64>,
    /// The oldest block that any of the nodes has: transactions in older blocks are not listed.
    #[serde(rename = "first_block")]
    pub first: Height,
    /// How many nodes agree on the last page.
    pub witnesses: usize,
}

impl Chain {
    /// The newest `limit` transactions that this account sent, or that pay it, of those before a place.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof.
    pub async fn activity(
        &self,
        account: AccountId,
        before: Option<TxPlace>,
        limit: usize,
    ) -> Result<Activity, ChainError> {
        self.catch_up().await;
        let mut wanted = ActivityQuery { account, before, nonce: None };
        let mut all: Vec<AccountTx> = Vec::new();
        for _ in 0..PAGES_MAX {
            let left = (limit - all.len()).clamp(1, limits::ACTIVITY);
            let page = self.activity_page(&wanted, left).await?;
            wanted.nonce = page.sent_before;
            wanted.before = page.txs.last().map(|entry| entry.place).or(wanted.before);
            all.extend(page.txs);
            if page.next.is_none() || all.len() >= limit {
                return Ok(Activity { txs: all, sent_before: wanted.nonce, ..page });
            }
        }
        Err(ChainError::TooMany { account, pages: PAGES_MAX })
    }

    /// The next page, from several nodes.
    async fn activity_page(&self, wanted: &ActivityQuery, limit: usize) -> Result<Activity, ChainError> {
        let reach = Reach { concurrent: WITNESSES, answers: WITNESSES };
        loop {
            let survey = self.survey(reach, |node| self.activity_of(node, *wanted, limit), |_| false).await;
            if survey.answers.is_empty() {
                return Err(self.unanswered(survey));
            }
            let all: BTreeMap<TxPlace, AccountTx> =
                survey.answers.iter().flat_map(|said| places(&said.value)).collect();
            let valid: Vec<ProvenActivity> =
                survey.answers.into_iter().filter_map(|said| self.unless_excluded(said, &all)).collect();
            // Each round without a valid answer has one node less to ask.
            if let Some(page) = page(&valid, all, limit) {
                let sent = page.txs.iter().rev().find(|entry| entry.tx.body.account == wanted.account);
                let newest = wanted.nonce.or_else(|| wanted.before.is_none().then_some(page.account.nonce));
                return Ok(Activity { sent_before: sent.map(|entry| entry.tx.body.nonce).or(newest), ..page });
            }
        }
    }

    /// The node's answer, unless it omits one of `all`: then the node is excluded.
    fn unless_excluded(
        &self,
        said: Reply<ProvenActivity>,
        all: &BTreeMap<TxPlace, AccountTx>,
    ) -> Option<ProvenActivity> {
        let Some(missing) = said.value.left_out(all.values()) else { return Some(said.value) };
        self.inner.nodes.exclude(said.node, BadAnswer::Concealed { tx: missing.tx.id() }.to_string());
        None
    }

    async fn activity_of(
        &self,
        node: NodeId,
        wanted: ActivityQuery,
        limit: usize,
    ) -> Result<Reply<ProvenActivity>, (NodeId, Silence)> {
        let ActivityQuery { account, before, .. } = wanted;
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let request = |from| wire::chain::activity(from, account, before, limit).within(WAIT);
        let read = |said: light::Activity, tip: &CertifiedHeader| said.verify(&tip.header, &wanted);
        self.prove_node(node, &request, read).await
    }
}

fn places(proven: &ProvenActivity) -> impl Iterator<Item = (TxPlace, AccountTx)> + '_ {
    proven.txs.iter().map(|entry| (entry.place, entry.clone()))
}

/// The newest of `all`, as far back as every valid answer goes.
fn page(valid: &[ProvenActivity], all: BTreeMap<TxPlace, AccountTx>, limit: usize) -> Option<Activity> {
    let newest = valid.iter().max_by_key(|proven| proven.tip)?;
    let first = valid.iter().map(|proven| proven.first).min()?;
    let ends = valid.iter().filter(|proven| proven.more).filter_map(|proven| proven.txs.last());
    let end = ends.map(|entry| entry.place).max();
    let count = all.len();
    let within = all.into_values().rev().take_while(|entry| end.is_none_or(|end| entry.place >= end));
    let txs: Vec<AccountTx> = within.take(limit).collect();
    let has_more = txs.len() < count || end.is_some();
    let next = txs.last().map(|entry| entry.place).filter(|_| has_more);
    Some(Activity { account: newest.account, txs, next, sent_before: None, first, witnesses: valid.len() })
}
