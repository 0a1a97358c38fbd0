//! Objects that an account pays for, and a profile has no link to: what was added after the backup that it was restored
//! from. Found in the account's own transactions, which the ledger proves.
//!
//! In goes an account with the objects that are known, out come those that are not. Public ones among them can be read
//! by their CID; the keys of private ones are lost unless somebody has the link.

use std::collections::BTreeSet;

use ostrakon_proto::{
    id::{AccountId, Height, ObjectId},
    ledger::tx::{Action, Release},
};
use serde::Serialize;

use crate::{Client, chain::ChainError};

/// Transactions that are asked for in one go.
const PAGE: usize = 1_000;

/// An object that the account pays for and the profile has no link to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MissingObject {
    /// The object.
    pub cid: ObjectId,
    /// The block that committed it.
    pub height: Height,
    /// That block's time, in milliseconds of Unix time.
    pub time_ms: u64,
}

/// What the ledger has of an account's objects, beside those that are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingObjects {
    /// Those that are missing, the newest first.
    pub missing: Vec<MissingObject>,
    /// How many of the account's oldest transactions could not be looked at: no node has their blocks any more.
    pub not_looked_at: u64,
    /// The oldest block that was looked at.
    pub first_block: Height,
}

impl Client {
    /// The objects that `account` pays for now and that are not among `known`.
    ///
    /// # Errors
    /// [`ChainError`] when no node gives an answer that can be proven.
    pub async fn missing_objects(&self, account: AccountId, known: &[ObjectId]) -> Result<MissingObjects, ChainError> {
        let mut settled: BTreeSet<ObjectId> = known.iter().copied().collect();
        let (mut before, mut found) = (None, Vec::new());
        let last = loop {
            let page = self.chain().activity(account, before, PAGE).await?;
            let sent = page.txs.iter().filter(|entry| entry.tx.body.account == account && !entry.place.is_charged());
            let done =
                sent.flat_map(|entry| entry.tx.body.action.parts().iter().rev().map(move |action| (entry, action)));
            // The newest first: what comes later of the same object is history.
            for (entry, action) in done {
                match action {
                    Action::Commit(commit) if settled.insert(commit.object) => found.push(MissingObject {
                        cid: commit.object,
                        height: entry.place.height,
                        time_ms: entry.time_ms,
                    }),
                    Action::Release(Release { object, .. }) => {
                        settled.insert(*object);
                    }
                    _ => {}
                }
            }
            match page.next {
                Some(next) => before = Some(next),
                None => break page,
            }
        };
        let mut missing = Vec::new();
        for object in found {
            if self.is_paid_for(account, object.cid).await? {
                missing.push(object);
            }
        }
        Ok(MissingObjects { missing, not_looked_at: last.sent_before.unwrap_or(0), first_block: last.first })
    }

    async fn is_paid_for(&self, account: AccountId, object: ObjectId) -> Result<bool, ChainError> {
        match self.chain().object(object).await {
            Ok(commitments) => Ok(commitments.iter().any(|commitment| commitment.id.owner == account)),
            Err(ChainError::NoObject { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
