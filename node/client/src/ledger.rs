//! The ledger's own types, for applications that read blocks and records, submit actions of their own, or make a
//! network: what [`Chain`](crate::Chain) returns, and what [`Client::perform`](crate::Client::perform) takes. What they
//! mean is said where they are.

pub use ostrakon_proto::{
    id::VoteKey,
    ledger::{
        GenesisAccount, GenesisProvider, GenesisValidator, full_bond,
        repair::{ListedTicket, TicketPlace},
        state::{
            Account, Charter, CommitmentId, DrawIdentity, EpochClock, FaultReason, Maintenance, Membership, NameRecord,
            Proposal, ProposalOutcome, ProposedChange, ProviderStatus, Slot, SlotState, Upgrade, Validator,
            ValidatorStatus,
        },
        tx::{
            Anchor, Ballot, Commit, DecidedBlock, DrawAs, DrawPermission, Evidence, Maintain, Propose, Repaired,
            ReportLoss, Restore, SetName, SetRenewal, Together, TogetherError, Transfer, Tx, TxBody,
        },
        vote::ValidatorKeys,
    },
    light::{
        CertifiedHeader,
        activity::{AccountTx, Direction},
    },
    params::{Audits, Bonds, Fees, Governance, Params, Repair, Timing},
};
