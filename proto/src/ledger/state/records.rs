//! Records of the state, and how the rules read them: one at a time by its [`Key`], or in the order of keys.

use crate::{
    id::{AccountId, Amount, BlockId, Epoch, Height, NodeId, ObjectId, VoteKey},
    ledger::{history::Peaks, load::FeeFactor, repair::TicketPlace, roster::Rosters, tree::Nodes, vote::ValidatorSet},
    params::Params,
};
use borsh::{BorshDeserialize, BorshSerialize};

use super::{
    Account, Bonded, Charter, Commitment, CommitmentId, DepartedSlot, Doubt, EpochClock, EpochRecord, Fault, Held,
    HeldSum, Infrastructure, Key, NameRecord, ObjectOwner, ObjectRecord, Proposal, Provider, Renewal, Tag, Validator,
    ValidatorStatus,
};

/// A record: the value under a [`Key`] of its kind.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Record {
    /// Under [`Key::Running`].
    Running(Running),
    /// Under [`Key::Params`].
    Params(Params),
    /// Under [`Key::Account`].
    Account(Account),
    /// Under [`Key::Provider`].
    Provider(Provider),
    /// Under [`Key::Validator`] or [`Key::FormerValidator`].
    Validator(Validator),
    /// Under [`Key::Object`].
    Object(ObjectRecord),
    /// Under [`Key::Commitment`].
    Commitment(Commitment),
    /// Under [`Key::Epoch`].
    Epoch(EpochRecord),
    /// Under a key without a value: an index entry, or an admission.
    Mark,
    /// Under [`Key::Name`].
    Name(NameRecord),
    /// Under [`Key::Charter`].
    Charter(Charter),
    /// Under [`Key::Proposal`].
    Proposal(Proposal),
    /// Under [`Key::Infrastructure`].
    Infrastructure(Infrastructure),
    /// Under [`Key::Pulse`].
    Pulse([u8; 32]),
    /// Under [`Key::Unlisted`].
    Owner(ObjectOwner),
    /// Under [`Key::Departed`].
    Departed(Vec<DepartedSlot>),
    /// Under [`Key::Doubts`].
    Doubts(Vec<Doubt>),
    /// Under [`Key::Renewal`].
    Renewal(Renewal),
    /// Under [`Key::Fault`].
    Fault(Fault),
    /// Under [`Key::Sweep`].
    Sweep(TicketPlace),
    /// Under [`Key::Held`].
    Held(Held),
    /// Under [`Key::HeldSum`].
    HeldSum(HeldSum),
    /// Under [`Key::Rate`].
    Rate(Amount),
}

impl Record {
    /// Voting power of a validator; 0 for any other record.
    pub(super) fn voting_power(&self) -> u64 {
        if let Self::Validator(validator) = self { validator.voting_power() } else { 0 }
    }

    /// Keys of the marks that follow from this record alone. All index entries follow from records, so that the records
    /// in the state tree determine the state; those that follow from several are `inventory`'s.
    pub fn marks(&self) -> Vec<Key> {
        match self {
            Self::Commitment(commitment) => commitment.marks().collect(),
            Self::Infrastructure(infrastructure) => vec![infrastructure.mark()],
            Self::Provider(provider) => provider.marks().collect(),
            Self::Validator(validator) => match validator.status {
                ValidatorStatus::Left { until } | ValidatorStatus::Removed { until } => {
                    vec![Key::Unbonding(until, Bonded::Validator(validator.key))]
                }
                ValidatorStatus::Active | ValidatorStatus::Condemned => vec![],
            },
            _ => vec![],
        }
    }
}

/// Values of the chain as a whole, which every block changes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Running {
    /// Time of the last block, in milliseconds of Unix time.
    pub time_ms: u64,
    /// The epoch in progress.
    pub clock: EpochClock,
    /// The beacon signatures of all proposers so far, mixed: what the next one signs.
    pub mix: [u8; 32],
    /// What the order of turns to propose follows from: the last beacon.
    pub turns_seed: [u8; 32],
    /// The history of the chain before the last block.
    pub history: Peaks,
    /// All money: constant after genesis.
    pub minted: Amount,
    /// Money locked in bonds and deposits.
    pub bonded: Amount,
    /// Money locked in commitments.
    pub escrowed: Amount,
    /// Money of the validators, which they share at each turn of an epoch.
    pub pool: Amount,
    /// Fees and penalties burnt.
    pub burnt: Amount,
    /// Bytes of all live slots together.
    pub stored: u128,
    /// Multiple of the fees in the next block, from the load of the last ones.
    pub fee_factor: FeeFactor,
}

/// The last block, and the values of the chain after it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Tip {
    /// Height of the last block.
    pub height: Height,
    /// The last block.
    pub block: BlockId,
    /// Root of the state tree after it: nodes with the same root have the same state.
    pub state: [u8; 32],
    /// The running values after it.
    pub running: Running,
}

/// Read access to the state and its tree. An implementation is a consistent view of one height.
pub trait Records: Nodes + std::fmt::Debug {
    /// The last block.
    fn tip(&self) -> Tip;

    /// The rosters: they follow from the records.
    fn rosters(&self) -> Rosters;

    /// The record under this key.
    fn get(&self, key: &Key) -> Option<Record>;

    /// Up to `limit` records from `first` to `last`, both included and of one kind, in the order of keys.
    fn scan(&self, first: &Key, last: &Key, limit: usize) -> Vec<(Key, Record)>;

    /// The parameter table.
    fn params(&self) -> Params {
        match self.get(&Key::Params) {
            Some(Record::Params(params)) => params,
            _ => unreachable!("invariant: genesis writes the parameters, and nothing removes them"),
        }
    }

    /// The account; an empty one when there is no record.
    fn account(&self, id: &AccountId) -> Account {
        match self.get(&Key::Account(*id)) {
            Some(Record::Account(account)) => account,
            _ => Account::default(),
        }
    }

    /// The provider with this node.
    fn provider(&self, id: &NodeId) -> Option<Provider> {
        match self.get(&Key::Provider(*id))? {
            Record::Provider(provider) => Some(provider),
            _ => None,
        }
    }

    /// All providers, in the order of node ids.
    fn providers(&self) -> Vec<Provider> {
        let all = self.scan(&Key::Provider(NodeId::LEAST), &Key::Provider(NodeId::GREATEST), usize::MAX);
        let provider = |(_, record)| if let Record::Provider(provider) = record { Some(provider) } else { None };
        all.into_iter().filter_map(provider).collect()
    }

    /// The validator with this vote key: one that votes, or one whose bond is unbonding.
    fn validator(&self, key: &VoteKey) -> Option<Validator> {
        match self.get(&Key::Validator(*key)).or_else(|| self.get(&Key::FormerValidator(*key)))? {
            Record::Validator(validator) => Some(validator),
            _ => None,
        }
    }

    /// The validators that vote, in the order of vote keys: at most [`crate::limits::VALIDATORS`].
    fn validators(&self) -> Vec<Validator> {
        let all = self.scan(&Key::Validator(VoteKey::LEAST), &Key::Validator(VoteKey::GREATEST), usize::MAX);
        let validator = |(_, record)| if let Record::Validator(validator) = record { Some(validator) } else { None };
        all.into_iter().filter_map(validator).collect()
    }

    /// The validators of the next block with their power.
    fn validator_set(&self) -> ValidatorSet {
        ValidatorSet::new(self.validators().iter().map(|validator| (validator.key, validator.voting_power())))
    }

    /// The owners of the object's commitments.
    fn object(&self, id: &ObjectId) -> Option<ObjectRecord> {
        match self.get(&Key::Object(*id))? {
            Record::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The commitment with this key.
    fn commitment(&self, id: &CommitmentId) -> Option<Commitment> {
        match self.get(&Key::Commitment(*id))? {
            Record::Commitment(commitment) => Some(commitment),
            _ => None,
        }
    }

    /// All commitments of the object, in the order of (extent, owner), at most `limit`.
    fn commitments_of(&self, object: &ObjectId, limit: usize) -> Vec<Commitment> {
        let (first, last) = (CommitmentId::first_of(*object), CommitmentId::last_of(*object));
        let all = self.scan(&Key::Commitment(first), &Key::Commitment(last), limit);
        let commitment =
            |(_, record)| if let Record::Commitment(commitment) = record { Some(commitment) } else { None };
        all.into_iter().filter_map(commitment).collect()
    }

    /// Up to `limit` commitments that end in or before `epoch`, in the order of (end, id).
    fn ending(&self, epoch: Epoch, limit: usize) -> Vec<CommitmentId> {
        self.marked(Key::Ending, epoch, limit)
    }

    /// Up to `limit` commitments that have such a mark of `last` or an earlier epoch, in the order of (epoch, id).
    fn marked(&self, mark: fn(Epoch, CommitmentId) -> Key, last: Epoch, limit: usize) -> Vec<CommitmentId> {
        let first = mark(Epoch(0), CommitmentId::first_of(ObjectId::LEAST));
        let last = mark(last, CommitmentId::last_of(ObjectId::GREATEST));
        let id = |(key, _)| match key {
            Key::Ending(_, id) | Key::Lost(_, id) | Key::Unreadable(_, id) => Some(id),
            _ => None,
        };
        self.scan(&first, &last, limit).into_iter().filter_map(id).collect()
    }

    /// Up to `limit` commitments that are to be repaired, the most endangered first.
    fn tickets(&self, limit: usize) -> Vec<CommitmentId> {
        let first = Key::Ticket(0, CommitmentId::first_of(ObjectId::LEAST));
        let last = Key::Ticket(u8::MAX, CommitmentId::last_of(ObjectId::GREATEST));
        let id = |(key, _)| if let Key::Ticket(_, id) = key { Some(id) } else { None };
        self.scan(&first, &last, limit).into_iter().filter_map(id).collect()
    }

    /// How the commitment is renewed when it would end; `None` when it is not.
    fn renewal(&self, id: &CommitmentId) -> Option<Renewal> {
        match self.get(&Key::Renewal(*id)) {
            Some(Record::Renewal(renewal)) => Some(renewal),
            _ => None,
        }
    }

    /// What rebuilders say of the commitment's columns.
    fn doubts(&self, id: &CommitmentId) -> Vec<Doubt> {
        match self.get(&Key::Doubts(*id)) {
            Some(Record::Doubts(doubts)) => doubts,
            _ => Vec::new(),
        }
    }

    /// What there is against a provider of an epoch; `None` where there is nothing, and after it was forgotten.
    fn fault(&self, epoch: Epoch, node: &NodeId) -> Option<Fault> {
        match self.get(&Key::Fault(epoch, *node))? {
            Record::Fault(fault) => Some(fault),
            _ => None,
        }
    }

    /// Up to `limit` providers against which there is something of an epoch: the first after `after`, in the order of
    /// node ids.
    fn at_fault(&self, epoch: Epoch, after: Option<NodeId>, limit: usize) -> Vec<NodeId> {
        let first = Key::Fault(epoch, after.unwrap_or(NodeId::LEAST));
        let all = self.scan(&first, &Key::Fault(epoch, NodeId::GREATEST), limit.saturating_add(1));
        let node = |(key, _)| if let Key::Fault(_, node) = key { Some(node) } else { None };
        all.into_iter().filter_map(node).filter(|node| Some(*node) != after).take(limit).collect()
    }

    /// Up to `limit` bonds that return in or before `epoch`, in the order of (epoch, owner).
    fn unbonding(&self, epoch: Epoch, limit: usize) -> Vec<(Epoch, Bonded)> {
        let first = Key::Unbonding(Epoch(0), Bonded::Provider(NodeId::LEAST));
        let last = Key::Unbonding(epoch, Bonded::Validator(VoteKey::GREATEST));
        let due = |(key, _)| if let Key::Unbonding(epoch, bonded) = key { Some((epoch, bonded)) } else { None };
        self.scan(&first, &last, limit).into_iter().filter_map(due).collect()
    }

    /// Usage of the infrastructure with this tag.
    fn infrastructure(&self, tag: &Tag) -> Infrastructure {
        match self.get(&Key::Infrastructure(*tag)) {
            Some(Record::Infrastructure(infrastructure)) => infrastructure,
            _ => Infrastructure { tag: *tag, used: 0 },
        }
    }

    /// Membership, and protocol version.
    fn charter(&self) -> Charter {
        match self.get(&Key::Charter) {
            Some(Record::Charter(charter)) => charter,
            _ => unreachable!("invariant: genesis writes the charter, and nothing removes it"),
        }
    }

    /// The proposal with this number; `None` after it was removed.
    fn proposal(&self, number: u64) -> Option<Proposal> {
        match self.get(&Key::Proposal(number))? {
            Record::Proposal(proposal) => Some(proposal),
            _ => None,
        }
    }

    /// All proposals, in the order of numbers; at most [`crate::limits::PROPOSALS`].
    fn proposals(&self) -> Vec<Proposal> {
        let all = self.scan(&Key::Proposal(0), &Key::Proposal(u64::MAX), usize::MAX);
        let proposal = |(_, record)| if let Record::Proposal(proposal) = record { Some(proposal) } else { None };
        all.into_iter().filter_map(proposal).collect()
    }

    /// The account's name.
    fn name(&self, owner: &AccountId, name: &[u8; 32]) -> Option<NameRecord> {
        match self.get(&Key::Name(*owner, *name))? {
            Record::Name(record) => Some(record),
            _ => None,
        }
    }

    /// The pulse with this number; `None` before it is complete, and after it was removed.
    fn pulse(&self, number: u64) -> Option<[u8; 32]> {
        match self.get(&Key::Pulse(number))? {
            Record::Pulse(pulse) => Some(pulse),
            _ => None,
        }
    }

    /// Roster and beacon of the epoch; `None` after they were removed.
    fn epoch(&self, epoch: Epoch) -> Option<EpochRecord> {
        match self.get(&Key::Epoch(epoch))? {
            Record::Epoch(record) => Some(record),
            _ => None,
        }
    }
}
