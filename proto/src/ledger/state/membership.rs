//! Who may take part in a network, and who decides on proposals: from its genesis, changed by proposals (ARCHITECTURE
//! 5.6).

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{
    id::{AccountId, Amount, Epoch, Height, NodeId, VoteKey},
    ledger::rules,
    params::Params,
};

/// Who admits validators and providers, and who decides on proposals.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "rule", rename_all = "lowercase")]
pub enum Membership {
    /// Anyone who bonds may join. More than two thirds of the voting power, which is by bond, decide.
    #[default]
    Permissionless,
    /// Permissioned: one account decides.
    Single {
        /// The account.
        operator: AccountId,
    },
    /// Permissioned: more than half of the accounts that own validators decide.
    Majority,
    /// Permissioned: more than half of a fixed council, and more than half of the accounts that own validators.
    Hybrid {
        /// Accounts of the council.
        council: BTreeSet<AccountId>,
    },
}

impl Membership {
    /// Whether anyone may join without admission.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Permissionless)
    }

    /// Voting power of a validator with this bond: 1 in a permissioned network.
    pub fn power(&self, bond: Amount) -> u64 {
        if self.is_open() { rules::power(bond) } else { 1 }
    }
}

/// Membership and protocol version: what is decided besides the parameter table.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Charter {
    /// Who admits members and decides.
    #[serde(flatten)]
    pub membership: Membership,
    /// Protocol version in force.
    pub protocol: u32,
    /// Scheduled upgrade, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Upgrade>,
    /// Number of the next proposal.
    #[serde(rename = "next_proposal")]
    pub proposals: u64,
}

/// A scheduled change of the protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Upgrade {
    /// The new version.
    pub protocol: u32,
    /// The epoch that begins with it.
    pub epoch: Epoch,
}

/// What a proposal would change.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProposedChange {
    /// The whole parameter table.
    Params(Box<Params>),
    /// This node may register.
    AdmitProvider(NodeId),
    /// This node may not register any more; if it is a provider, it drains.
    ExpelProvider(NodeId),
    /// This key may join.
    AdmitValidator(VoteKey),
    /// This key may not join any more; if it votes, it leaves.
    ExpelValidator(VoteKey),
    /// Another protocol version.
    Upgrade(Upgrade),
}

/// A proposed change and its votes. It stays in the state until its last epoch is over, decided or not; one that has
/// passed may be removed earlier to make room for another.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
pub struct Proposal {
    /// Its number; numbers are not reused.
    pub number: u64,
    /// Who made it.
    pub proposer: AccountId,
    /// The change.
    pub change: ProposedChange,
    /// Deposit of its proposer; zero once it has passed.
    pub deposit: Amount,
    /// The epoch at whose begin it is removed.
    #[serde(rename = "until_epoch")]
    pub until: Epoch,
    /// Votes by account: whether in favour. Votes of accounts that lost their vote are dropped when votes are counted.
    pub votes: BTreeMap<AccountId, bool>,
    /// Its outcome.
    #[serde(flatten)]
    pub outcome: ProposalOutcome,
}

/// Outcome of a proposal. One that is not decided in time is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize)]
#[serde(tag = "state", content = "decided_at", rename_all = "lowercase")]
pub enum ProposalOutcome {
    /// Can be voted on.
    Open,
    /// Passed, and took effect in the block of this height.
    Passed(Height),
    /// Another parameter table passed in the block of this height, so that this one is stale.
    Superseded(Height),
}
