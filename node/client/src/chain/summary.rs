//! What the ledger says of itself as a whole: an epoch, and where all money is.

use ostrakon_proto::{
    id::{Amount, Epoch, Height},
    ledger::state::{EpochRecord, Key, ProofSpace, Record, Running},
};
use serde::{Serialize, Serializer};

use super::{Chain, ChainError, EpochFaults, Head};

/// An epoch, as the ledger recorded it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EpochSummary {
    /// Its number.
    pub epoch: Epoch,
    /// Time of its first block, in milliseconds of Unix time.
    pub start_ms: u64,
    /// Its first block.
    pub first: Height,
    /// Its beacon, once that is complete.
    #[serde(serialize_with = "hex_if_any")]
    pub beacon: Option<[u8; 32]>,
    /// Providers that can be drawn in it.
    pub providers: usize,
    /// Bytes that they could take together when it began.
    pub weight: u128,
    /// How many of its blocks after the beacon had space for proofs.
    pub proof_space: ProofSpace,
    /// Providers that proved what they store.
    pub proven: u32,
    /// Bytes that they proved.
    pub proven_bytes: u128,
    /// Bytes that were to be proven: of all slots when it began.
    pub stored_bytes: u128,
    /// Who did not, and what else there is against providers.
    #[serde(flatten)]
    pub faults: EpochFaults,
}

/// All money, by where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// The newest block.
    pub height: Height,
    /// All money in existence: the sum of what follows.
    pub minted: Amount,
    /// In accounts.
    pub balances: Amount,
    /// In bonds and deposits.
    pub bonds: Amount,
    /// In commitments.
    pub escrow: Amount,
    /// The validators', until the epoch turns.
    pub pools: Amount,
    /// Destroyed.
    pub burnt: Amount,
}

/// All money, and how much of it is not in accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Supply {
    /// All money in existence.
    pub minted: Amount,
    /// Money locked in bonds.
    pub bonded: Amount,
    /// Money locked in commitments.
    pub escrowed: Amount,
    /// The validators' money, which they share when the epoch turns.
    pub pool: Amount,
    /// Fees destroyed.
    pub burnt: Amount,
}

impl Supply {
    pub(super) const fn of(running: &Running) -> Self {
        let Running { minted, bonded, escrowed, pool, burnt, .. } = *running;
        Self { minted, bonded, escrowed, pool, burnt }
    }
}

impl Head {
    /// All money, by where it is.
    pub fn totals(&self) -> Totals {
        let (height, Supply { minted, bonded: bonds, escrowed: escrow, pool: pools, burnt }) =
            (self.height, self.supply);
        let elsewhere = [bonds, escrow, pools, burnt].iter().fold(0_u64, |sum, amount| sum.saturating_add(amount.0));
        Totals { height, minted, balances: Amount(minted.0.saturating_sub(elsewhere)), bonds, escrow, pools, burnt }
    }
}

fn hex_if_any<S: Serializer>(bytes: &Option<[u8; 32]>, serializer: S) -> Result<S::Ok, S::Error> {
    bytes.map(hex::encode).serialize(serializer)
}

impl Chain {
    /// What the ledger recorded of `epoch`; `None` for the one in progress. One whose draws have expired is forgotten.
    ///
    /// # Errors
    /// [`ChainError`] when no node responds with a valid proof, or the ledger does not have the epoch.
    pub async fn epoch(&self, epoch: Option<Epoch>) -> Result<EpochSummary, ChainError> {
        let epoch = match epoch {
            Some(epoch) => epoch,
            None => self.head().await?.epoch,
        };
        let (_, found) = self.records(&[Key::Running, Key::Epoch(epoch)]).await?;
        let [Some(Record::Running(running)), Some(Record::Epoch(record))] = found.as_slice() else {
            let what = format!("record of epoch {epoch}: it has not begun, or is so old that its record was pruned");
            return Err(ChainError::Unknown { what });
        };
        let EpochRecord { epoch, start_ms, first, beacon, ref roster, space: proof_space, ref audit } = *record;
        let clock = running.clock;
        let ended = Some(audit).filter(|_| epoch < clock.epoch);
        let faults = self.faults(epoch, ended, clock.excused_of(epoch, epoch) > 0).await?;
        Ok(EpochSummary {
            epoch,
            start_ms,
            first,
            beacon,
            providers: roster.providers.groups(),
            weight: roster.root.weight,
            proof_space,
            proven: audit.providers,
            proven_bytes: audit.proven,
            stored_bytes: audit.frozen,
            faults,
        })
    }
}
