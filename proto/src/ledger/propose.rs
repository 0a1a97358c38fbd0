//! Makes a block: the proposer's side of [`execute`](super::execute).

use crate::{
    beacon::BeaconSecret,
    codec,
    ledger::{
        apply::Execution,
        error::TxError,
        rules::Rules,
        state::{Changes, Records},
        tx::{Block, Decided, Header, Tx, tx_root},
    },
    limits,
    sign::{Keypair, Purpose},
};

/// The keys of a validator.
#[derive(Clone, Copy, Debug)]
pub struct Proposer<'a> {
    /// Its node's key, which signs headers.
    pub key: &'a Keypair,
    /// Its beacon key.
    pub beacon: &'a BeaconSecret,
}

/// A block that was made.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The block, decided: under the solo order the proposer's signature decides.
    pub decided: Decided,
    /// What it changes.
    pub changes: Changes,
    /// Transactions that the rules refuse now, and why. Those neither here nor in the block had no room.
    pub rejected: Vec<(Tx, TxError)>,
}

/// Makes the next block of `txs`, in their order, as far as it has room. The block's time is `time_ms`, or just after
/// the last block's when the clock stands behind it.
pub fn propose(rules: &Rules, base: &dyn Records, time_ms: u64, txs: Vec<Tx>, proposer: &Proposer<'_>) -> Proposal {
    let tip = base.tip();
    let time_ms = time_ms.max(tip.time_ms.saturating_add(1));
    let mut execution = Execution::new(rules, base, time_ms);
    let (txs, rejected) = fill(&mut execution, txs);
    let height = tip.height.next();
    let beacon = proposer.beacon.sign(&rules.chain, height);
    let mut changes = execution.finish(&beacon);
    let ids: Vec<_> = txs.iter().map(Tx::id).collect();
    let header = Header {
        height,
        parent: tip.block,
        time_ms,
        txs: tx_root(&ids),
        digest: changes.tip.digest,
        proposer: proposer.key.public(),
        beacon,
    };
    changes.tip.block = header.id();
    let certificate = proposer.key.sign(Purpose::Header, &rules.chain, &header);
    Proposal { decided: Decided { block: Block { header, txs }, certificate }, changes, rejected }
}

/// Applies what has room: the applied and the refused. The first without room ends it, so that nobody is overtaken by
/// smaller transactions for ever.
fn fill(execution: &mut Execution<'_>, txs: Vec<Tx>) -> (Vec<Tx>, Vec<(Tx, TxError)>) {
    let (mut applied, mut rejected) = (Vec::new(), Vec::new());
    let mut room = limits::BLOCK;
    for tx in txs {
        let len = codec::encode(&tx).len();
        if room < len {
            break;
        }
        match execution.apply(&tx) {
            Ok(()) => {
                room -= len;
                applied.push(tx);
            }
            Err(error) => rejected.push((tx, error)),
        }
    }
    (applied, rejected)
}
