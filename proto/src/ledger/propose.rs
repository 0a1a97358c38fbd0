//! Builds a block to propose: the counterpart of [`judge`](super::judge).

use std::sync::Arc;

use crate::{
    beacon::{BeaconSecret, BeaconTurn},
    id::{TxId, VoteKey},
    ledger::{
        apply::{BlockError, Execution, Outcome, check_protocol},
        checked::CheckedTx,
        error::TxError,
        proofs::{Proofs, proof_root},
        rules::Rules,
        state::{Changes, Records},
        tx::{Block, Header, Roots, tx_root},
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
    /// Transactions that the rules reject now, and why. Those neither here nor in the block did not fit.
    pub rejected: Vec<(TxId, TxError)>,
}

/// Builds the next block from `txs`, in their order, as far as they fit. The block's time is the proposer's, or one
/// millisecond after the last block's when the proposer's clock is behind that.
///
/// # Errors
/// [`BlockError::Upgrade`] when this program does not support the next block's protocol version.
pub fn propose(
    rules: &Rules,
    base: &dyn Records,
    txs: &[Arc<CheckedTx>],
    proposer: &Proposer<'_>,
) -> Result<ProposedBlock, BlockError> {
    let (tip, round) = (base.tip(), proposer.round);
    let time_ms = proposer.now_ms.max(tip.running.time_ms.saturating_add(1));
    check_protocol(base, time_ms)?;
    let mut execution = Execution::new(rules, base, time_ms, round);
    let (applied, rejected) = fill(&mut execution, txs);
    let (height, proofs) = (tip.height.next(), Proofs::new());
    let beacon = proposer.beacon.sign(&BeaconTurn { chain: &rules.chain, height, mix: &tip.running.mix });
    let Outcome { mut changes, history, next } = execution.finish(&beacon, &proofs);
    let ids: Vec<_> = applied.iter().map(|tx| tx.id()).collect();
    let header = Header {
        height,
        round,
        parent: tip.block,
        time_ms,
        roots: Roots { txs: tx_root(&ids), proofs: proof_root(&proofs) },
        state: changes.tip.state,
        history,
        validators: base.validator_set().hash(),
        next_validators: next.hash(),
        proposer: proposer.key,
        beacon,
    };
    changes.tip.block = header.id();
    let txs = applied.into_iter().map(|tx| tx.tx().clone()).collect();
    Ok(ProposedBlock { block: Block { header, txs, proofs }, changes, rejected })
}

/// Applies what fits: returns the applied and the rejected. The first that does not fit ends it, so that smaller
/// transactions cannot overtake a large one indefinitely.
fn fill<'a>(execution: &mut Execution<'_>, txs: &'a [Arc<CheckedTx>]) -> (Vec<&'a CheckedTx>, Vec<(TxId, TxError)>) {
    let (mut applied, mut rejected) = (Vec::new(), Vec::new());
    let mut room = limits::BLOCK;
    for tx in txs {
        if room < tx.bytes() {
            break;
        }
        match execution.apply(tx) {
            Ok(()) => {
                room -= tx.bytes();
                applied.push(&**tx);
            }
            Err(error) => rejected.push((tx.id(), error)),
        }
    }
    (applied, rejected)
}
