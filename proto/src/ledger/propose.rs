//! Builds a block to propose: the counterpart of [`judge`](super::judge).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    audit::StorageProof,
    beacon::{BeaconSecret, BeaconTurn},
    id::{AccountId, TxId, VoteKey},
    ledger::{
        apply::{BlockError, Execution, NotCharged, Outcome, check_protocol},
        checked::CheckedTx,
        error::TxError,
        proofs::{self, ProofKey, Proofs},
        rules::Rules,
        state::{Changes, Records},
        tx::{Block, Header, Roots},
    },
    limits,
};

/// Who proposes a block, in which round, at what time.
#[derive(Clone, Copy, Debug)]
pub struct Proposer<'a> {
    /// Its vote key.
    pub key: VoteKey,
    /// Its beacon key.
    pub beacon: &'a BeaconSecret,
    /// The round that it proposes in.
    pub round: u32,
    /// Its clock, in milliseconds of Unix time.
    pub now_ms: u64,
}

/// A block built for proposal.
#[derive(Clone, Debug)]
pub struct ProposedBlock {
    /// The block; it is decided once it has a certificate.
    pub block: Block,
    /// What it changes.
    pub changes: Changes,
    /// Transactions that the rules reject now, and why. Those neither here nor in the block did not fit, or come after
    /// one of their account that failed. One that is to be [charged](TxError::Charged) is here when a block charges no
    /// more.
    pub rejected: Vec<(TxId, TxError)>,
}

/// What may go into a block.
#[derive(Clone, Copy, Debug)]
pub struct Pending<'a> {
    /// Transactions, in the order in which they are tried.
    pub txs: &'a [Arc<CheckedTx>],
    /// Storage proofs of the epoch in progress.
    pub proofs: &'a BTreeMap<ProofKey, Arc<StorageProof>>,
}

impl<'a> Pending<'a> {
    /// Transactions alone.
    pub const fn txs(txs: &'a [Arc<CheckedTx>]) -> Self {
        static NONE: BTreeMap<ProofKey, Arc<StorageProof>> = BTreeMap::new();
        Self { txs, proofs: &NONE }
    }
}

/// Builds the next block from what is `pending`, as far as it fits. The block's time is the proposer's, or one
/// millisecond after the last block's when the proposer's clock is behind that.
///
/// # Errors
/// [`BlockError::Upgrade`] when this program does not support the next block's protocol version.
pub fn propose(
    rules: &Rules,
    base: &dyn Records,
    pending: Pending<'_>,
    proposer: &Proposer<'_>,
) -> Result<ProposedBlock, BlockError> {
    let (tip, round) = (base.tip(), proposer.round);
    let time_ms = proposer.now_ms.max(tip.running.time_ms.saturating_add(1));
    check_protocol(base, time_ms)?;
    let mut execution = Execution::new(rules, base, time_ms, round);
    let proofs = fill_lane(&mut execution, pending.proofs, &proposer.key);
    let Filled { applied, charged, rejected } = fill(&mut execution, pending.txs);
    let height = tip.height.next();
    let beacon = proposer.beacon.sign(&BeaconTurn { chain: &rules.chain, height, mix: &tip.running.mix });
    let Outcome { mut changes, history, next } = execution.finish(&beacon, &proofs);
    let ids = |txs: &[&CheckedTx]| txs.iter().map(|tx| tx.id()).collect::<Vec<_>>();
    let header = Header {
        height,
        round,
        parent: tip.block,
        time_ms,
        roots: Roots::new(&ids(&applied), &ids(&charged), &proofs),
        state: changes.tip.state,
        history,
        validators: base.validator_set().hash(),
        next_validators: next.hash(),
        proposer: proposer.key,
        beacon,
    };
    changes.tip.block = header.id();
    let bare = |txs: Vec<&CheckedTx>| txs.into_iter().map(|tx| tx.tx().clone()).collect();
    let (txs, charged) = (bare(applied), bare(charged));
    Ok(ProposedBlock { block: Block { header, txs, charged, proofs }, changes, rejected })
}

/// Applies the proofs that count, until their lane is full.
fn fill_lane(
    execution: &mut Execution<'_>,
    pending: &BTreeMap<ProofKey, Arc<StorageProof>>,
    proposer: &VoteKey,
) -> Proofs {
    let (mut lane, mut bytes) = (Proofs::new(), 0);
    for (key, proof) in pending {
        if !proofs::has_space(bytes) {
            break;
        }
        if execution.prove(key, proof, proposer).is_ok() {
            bytes += proofs::bytes_of_one(key, proof);
            lane.insert(*key, StorageProof::clone(proof));
        }
    }
    lane
}

/// The transactions of a block that is being built.
#[derive(Default)]
struct Filled<'a> {
    applied: Vec<&'a CheckedTx>,
    charged: Vec<&'a CheckedTx>,
    rejected: Vec<(TxId, TxError)>,
}

/// Applies what fits, and then charges what failed after costly checks. The first that does not fit ends it, so that
/// smaller transactions cannot overtake a large one indefinitely.
fn fill<'a>(execution: &mut Execution<'_>, txs: &'a [Arc<CheckedTx>]) -> Filled<'a> {
    let (mut filled, mut failed) = (Filled::default(), Vec::new());
    // Their next transactions need a nonce that is used after all others.
    let mut waiting: BTreeSet<AccountId> = BTreeSet::new();
    let mut room = limits::BLOCK;
    for tx in txs {
        let account = tx.tx().body.account;
        if waiting.contains(&account) {
            continue;
        }
        if room < tx.bytes() {
            break;
        }
        match execution.apply(tx) {
            Ok(()) => {
                room -= tx.bytes();
                filled.applied.push(tx);
            }
            Err(TxError::Charged(_)) if failed.len() < limits::CHARGED => {
                room -= tx.bytes();
                waiting.insert(account);
                failed.push(&**tx);
            }
            Err(error) => {
                if matches!(error, TxError::Charged(_)) {
                    waiting.insert(account);
                }
                filled.rejected.push((tx.id(), error));
            }
        }
    }
    for tx in failed {
        match execution.charge(tx) {
            Ok(()) => filled.charged.push(tx),
            // What came after it made it good: it waits for the next block.
            Err(NotCharged::Applies) => {}
            Err(NotCharged::Refused(error)) => filled.rejected.push((tx.id(), error)),
        }
    }
    filled
}
