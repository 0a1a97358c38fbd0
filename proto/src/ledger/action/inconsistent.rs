//! inconsistent: the columns of a commitment are no codeword, so no repair can ever be right: it ends.
//!
//! The code works byte by byte, so leaves of one number, of k + 1 columns, are each a part of a codeword; from k of
//! them the other follows. Where it does not, the extent was encoded wrongly. Its holders did nothing wrong:
//! they are paid up to now, and pay for nothing that they lost. Who proves it gets the bounty of one column.

use crate::{
    erasure,
    id::Amount,
    ledger::{
        action::{ActionContext, release},
        error::TxError,
        money::{self, Pool},
        repair::{RepairError, bounty},
        slots,
        state::Commitment,
        tx::{ColumnLeaf, Inconsistent},
    },
    tree,
};

pub(super) fn apply(context: &mut ActionContext<'_, '_>, proof: &Inconsistent) -> Result<(), TxError> {
    let mut commitment = context.any_running(&proof.commitment)?;
    check(context, &commitment, proof)?;
    let absent: Vec<u8> = commitment.absent().collect();
    for index in absent {
        slots::charge(context.draft, &mut commitment.slots[usize::from(index)], Amount::ZERO);
    }
    // The index of unpaid losses follows from the record.
    context.draft.put_commitment(commitment.clone());
    let left = release::end(context.draft, &commitment);
    let reward = bounty(&context.rules.params.repair, commitment.code, commitment.column_len, 1).min(left);
    money::unlock(context.draft, &context.account, reward, Pool::Escrow);
    let rest = left.minus(reward).expect("no more than is left");
    money::unlock(context.draft, &commitment.id.owner, rest, Pool::Escrow);
    Ok(())
}

/// Checks that the leaves are of the commitment's columns, and of no codeword.
fn check(
    context: &mut ActionContext<'_, '_>,
    commitment: &Commitment,
    proof: &Inconsistent,
) -> Result<(), RepairError> {
    let (code, have, need) = (commitment.code, proof.leaves.len(), usize::from(commitment.code.k) + 1);
    let rises = proof.leaves.windows(2).all(|pair| pair[0].index < pair[1].index);
    let last = proof.leaves.last().filter(|last| have == need && rises && last.index < code.n);
    let last = last.ok_or(RepairError::Leaves { have, need })?;
    context.is_costly = true;
    let mut cells: Vec<Option<&[u8]>> = vec![None; usize::from(code.n)];
    for ColumnLeaf { index, leaf } in &proof.leaves {
        let column = &commitment.slots[usize::from(*index)].column;
        tree::verify_leaf(column, commitment.column_len, proof.leaf, &leaf.data, &leaf.siblings)?;
        cells[usize::from(*index)] = Some(&leaf.data);
    }
    // Of the first k.
    let wanted = usize::from(last.index);
    let made = erasure::reconstruct(code, &cells, &[wanted]).ok_or(RepairError::Leaves { have, need })?;
    if made.first().is_some_and(|made| made[..] == last.leaf.data[..]) {
        return Err(RepairError::Consistent);
    }
    Ok(())
}
