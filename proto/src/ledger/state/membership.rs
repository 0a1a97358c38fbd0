//! Who may take part in a network and who changes its rules: what its genesis says of that, and what was decided since
//! (ARCHITECTURE 5.6).

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::{
    id::{AccountId, Amount, Epoch, Height, NodeId, VoteKey},
    ledger::rules,
    params::Params,
};

/// Who lets validators and providers in, and who decides on proposals.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "rule", rename_all = "lowercase")]
pub enum Membership {
    /// Anyone who bonds. More than two thirds of the voting power decide, which is by bond.
    #[default]
    Permissionless,
    /// Permissioned: this account decides alone.
    Single {
        /// Which.
        operator: AccountId,
    },
    /// Permissioned: more than half of those who own validators decide.
    Majority,
    /// Permissioned: more than half of a fixed council, together with more than half of those who own validators.
    Hybrid {
        /// The council.
        council: BTreeSet<AccountId>,
    },
}

impl Membership {
    /// Whether anyone may join.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Permissionless)
    }

    /// The votes of a validator with this bond: where each is let in by the others, all have the same.
    pub fn power(&self, bond: Amount) -> u64 {
        if self.is_open() { rules::power(bond) } else { 1 }
    }
}

/// What was founded and decided beside the parameter table.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Charter {
    /// Who decides.
    pub membership: Membership,
    /// The version of the rules in force.
    pub protocol: u32,
    /// The version to come.
    pub upgrade: Option<Upgrade>,
    /// How many proposals there ever were: the number of the next.
    pub proposals: u64,
}

/// From a height on, the rules are another version's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Upgrade {
    /// The version.
    pub protocol: u32,
    /// The first height that it rules.
    pub height: Height,
}

/// What a proposal would change.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ProposedChange {
    /// The whole parameter table.
    Params(Box<Params>),
    /// This node may register.
    AdmitProvider(NodeId),
    /// This node may register no more; if it is a provider, it drains.
    ExpelProvider(NodeId),
    /// This key may join.
    AdmitValidator(VoteKey),
    /// This key may join no more; if it votes, it leaves.
    ExpelValidator(VoteKey),
    /// Another version of the rules.
    Upgrade(Upgrade),
}

/// A change that is voted on. It stays in the state until its last epoch is over, decided or not; one that has passed
/// may have to make room for another before.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// Its number; none is given twice.
    pub number: u64,
    /// Who made it.
    pub proposer: AccountId,
    /// What it would change.
    pub change: ProposedChange,
    /// What its proposer locked; nothing once it has passed.
    pub deposit: Amount,
    /// The first epoch in which it is gone.
    pub until: Epoch,
    /// Who voted, and whether for it. Votes of those who have none any more are dropped when they are counted.
    pub votes: BTreeMap<AccountId, bool>,
    /// What became of it.
    pub outcome: ProposalOutcome,
}

/// What became of a proposal. One that is not decided in time is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ProposalOutcome {
    /// Can be voted on.
    Open,
    /// Was carried out in the block of this height.
    Passed(Height),
    /// Another parameter table passed in the block of this height: this one was made of an older one.
    Overtaken(Height),
}
