//! What the ledger has against a provider, epoch by epoch: why, and what shows it (ARCHITECTURE 5.8).
//!
//! A record is kept for [`crate::limits::PROVEN_EPOCHS`] epochs. Nothing follows from it: what a fault costs is in the
//! records of the provider and of its commitments. Not here: when a record is written, which `faults` does.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::CommitmentId;
use crate::{codec, id::Epoch};

/// Why a provider has a record of an epoch.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum FaultReason {
    /// It did not prove the epoch.
    Missed,
    /// It did not prove the epoch, of which all who did not are excused.
    Excused,
    /// It did not prove the epoch, for which it had announced to be away: no fault.
    Maintenance,
    /// With this epoch it has missed so many in a row that nobody is offered to it.
    Suspended,
    /// With this epoch it has been silent for so long that what it stores counts as lost.
    WrittenOff,
    /// It said that it lost a column.
    LossReported,
    /// It paid for a column that it had lost.
    Forfeited,
}

impl FaultReason {
    /// Every reason, in order.
    pub const ALL: [Self; 7] = [
        Self::Missed,
        Self::Excused,
        Self::Maintenance,
        Self::Suspended,
        Self::WrittenOff,
        Self::LossReported,
        Self::Forfeited,
    ];

    /// Its name, for machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::Excused => "excused",
            Self::Maintenance => "maintenance",
            Self::Suspended => "suspended",
            Self::WrittenOff => "written-off",
            Self::LossReported => "loss-reported",
            Self::Forfeited => "forfeited",
        }
    }

    /// Whether the provider owed a proof of the epoch and did not bring it: it had not announced to be away.
    pub const fn is_missed(self) -> bool {
        matches!(self, Self::Missed | Self::Excused)
    }
}

impl std::fmt::Display for FaultReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What the ledger has against a provider of one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Fault {
    /// Bytes that it had to prove of the epoch and did not; those of all providers are what is missing in the epoch's
    /// record.
    pub unproven: u64,
    /// Why, and the hash of what shows it: of silence [`crate::audit::silence`], of a reported loss the first
    /// transaction that reports one, of a payment the first column that it is for, [`Fault::lost_column`].
    pub reasons: BTreeMap<FaultReason, [u8; 32]>,
}

impl Fault {
    /// The evidence of what is paid for: a column of a commitment, lost in an epoch.
    pub fn lost_column(commitment: &CommitmentId, index: u8, since: Epoch) -> [u8; 32] {
        blake3::derive_key("ostrakon lost column 1", &codec::encode(&(commitment, index, since)))
    }

    /// The reasons that have the same evidence, each evidence once.
    pub fn by_evidence(&self) -> Vec<([u8; 32], Vec<FaultReason>)> {
        let mut all: Vec<([u8; 32], Vec<FaultReason>)> = Vec::new();
        for (reason, evidence) in &self.reasons {
            match all.iter_mut().find(|(known, _)| known == evidence) {
                Some((_, reasons)) => reasons.push(*reason),
                None => all.push((*evidence, vec![*reason])),
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_one_name_for_machines() {
        for (number, reason) in (0_u8..).zip(FaultReason::ALL) {
            assert_eq!(codec::encode(&reason), [number]);
            assert_eq!(toml::Value::try_from(reason), Ok(reason.name().into()));
        }
        assert_eq!(codec::decode::<FaultReason>(&[7], 1).ok(), None, "no others");
    }

    #[test]
    fn reasons_with_one_evidence_come_together() {
        let reasons =
            [(FaultReason::Missed, [1; 32]), (FaultReason::Suspended, [1; 32]), (FaultReason::LossReported, [2; 32])];
        let fault = Fault { unproven: 5, reasons: reasons.into() };
        let silence = ([1; 32], vec![FaultReason::Missed, FaultReason::Suspended]);
        assert_eq!(fault.by_evidence(), [silence, ([2; 32], vec![FaultReason::LossReported])]);
        assert_eq!(Fault::default().by_evidence(), []);
    }
}
