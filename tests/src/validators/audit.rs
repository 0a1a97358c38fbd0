//! What the validators' blocks say, once all of them are compared and executed again from the genesis.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, Result, ensure};
use ostrakon_net::{Peers, ask};
use ostrakon_proto::{
    id::{Height, NodeId, TxId},
    ledger::{Genesis, MemoryRecords, Rules, execute, state::Records, tx::DecidedBlock},
    wire::chain::{self, Head},
};

/// One history: that of all nodes.
#[derive(Debug)]
pub struct History {
    /// Its blocks, from the first on, as the node that has most of them has them.
    pub decided: Vec<DecidedBlock>,
    /// Heights of the blocks that have each transaction.
    pub applied: BTreeMap<TxId, Vec<Height>>,
    /// The heights that the nodes had reached.
    pub heights: Vec<u64>,
}

/// The blocks of all these nodes: one history, each block valid above the one before and decided by a quorum, and after
/// each the money adds up to what was minted at the beginning.
///
/// # Errors
/// The first height at which it does not hold.
pub async fn audit(peers: Arc<dyn Peers>, genesis: &Genesis, nodes: &[NodeId]) -> Result<History> {
    let mut histories = Vec::new();
    for node in nodes {
        histories.push(blocks(&peers, *node).await?);
    }
    let heights = histories.iter().map(|blocks| u64::try_from(blocks.len())).collect::<Result<Vec<_>, _>>()?;
    histories.sort_by_key(Vec::len);
    let decided = histories.pop().context("nobody to compare")?;
    for shorter in &histories {
        for (mine, longest) in shorter.iter().zip(&decided) {
            let (height, id, other) = (mine.block.header.height, mine.block.header.id(), longest.block.header.id());
            ensure!(id == other, "FORK: at height {height} one node has {id} and another {other}");
        }
    }
    let applied = replay(genesis, &decided)?;
    Ok(History { decided, applied, heights })
}

/// Executes all blocks from the genesis on; says where each transaction is.
fn replay(genesis: &Genesis, decided: &[DecidedBlock]) -> Result<BTreeMap<TxId, Vec<Height>>> {
    let (rules, mut records) = (Rules::from(genesis), MemoryRecords::new(&genesis.changes()));
    let (minted, mut applied) = (records.tip().running.minted, BTreeMap::<TxId, Vec<Height>>::new());
    for one in decided {
        let height = one.block.header.height;
        let changes = execute(&rules, &records, one).with_context(|| format!("block {height} is not valid"))?;
        records.commit(&changes);
        let total = records.total();
        ensure!(total == u128::from(minted.0), "after block {height} there is {total} of {minted} money");
        one.block.txs.iter().for_each(|tx| applied.entry(tx.id()).or_default().push(height));
    }
    Ok(applied)
}

/// All blocks of a node, up to the tip that it says it has.
async fn blocks(peers: &Arc<dyn Peers>, node: NodeId) -> Result<Vec<DecidedBlock>> {
    let top = head(Arc::clone(peers), node).await?.height;
    let mut blocks: Vec<DecidedBlock> = Vec::new();
    let mut from = Height(1);
    while from <= top {
        let more = ask(peers.as_ref(), node, chain::blocks(from)).await?;
        ensure!(more.first().is_some_and(|first| first.block.header.height == from), "no block {from}");
        from = Height(from.0 + u64::try_from(more.len())?);
        blocks.extend(more);
    }
    Ok(blocks)
}

/// The tip of a node.
///
/// # Errors
/// When it does not answer.
pub async fn head(peers: Arc<dyn Peers>, node: NodeId) -> Result<Head> {
    Ok(ask(peers.as_ref(), node, chain::head()).await?)
}
