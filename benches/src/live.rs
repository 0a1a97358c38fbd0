//! Ledgers to measure on: a genesis with as much money as anyone needs, and live commitments by the thousand.

use std::{collections::BTreeMap, ops::Range};

use ostrakon_proto::{
    codec,
    id::{AccountId, Amount, ColumnId, Epoch, NodeId, ObjectId},
    ledger::{
        Genesis, GenesisAccount, GenesisValidator, MemoryRecords,
        state::{
            Changes, Commitment, CommitmentId, Domain, Key, Membership, ObjectOwner, ObjectRecord, Record, Records,
            Running, Slot, SlotState,
        },
        tree,
        vote::ValidatorKeys,
    },
    params::{Code, Params},
    sign::Keypair,
};

/// What each account begins with.
const BALANCE: Amount = Amount(1_000_000_000_000);

/// The keys of the one validator.
pub fn validator() -> ValidatorKeys {
    ValidatorKeys::from_seed(&[1; 32])
}

/// The key of its node.
pub fn node() -> Keypair {
    Keypair::from_seed(&[8; 32])
}

/// A network of these accounts and one validator.
pub fn genesis(accounts: &[AccountId]) -> Genesis {
    let (keys, node) = (validator(), node());
    let validator = GenesisValidator {
        owner: node.public(),
        key: keys.vote.public(),
        node: node.public(),
        addresses: vec!["/ip4/127.0.0.1/tcp/1".into()],
        beacon_key: keys.beacon.public(),
        bond: Params::default().bonds.validator,
        domain: Domain { operator: "o".into(), infrastructure: "i".into(), region: "r".into() },
    };
    Genesis {
        name: "bench".into(),
        time_ms: 1,
        bootstrap: Vec::new(),
        membership: Membership::Permissionless,
        params: Params::default(),
        accounts: accounts.iter().map(|account| GenesisAccount { account: *account, balance: BALANCE }).collect(),
        validators: vec![validator],
        providers: Vec::new(),
    }
}

/// What makes commitments of these numbers, without the transactions for them; their tree is that of the records.
///
/// # Panics
/// When the tree of `state` is not whole.
pub fn with_commitments(state: &MemoryRecords, numbers: Range<u32>, code: Code) -> Changes {
    let slots = vec![slot(NodeId::new([1; 32])); usize::from(code.n)];
    let commitments = numbers.map(|number| commitment(number, code, slots.clone(), Epoch(1_000)));
    with_records(state, state.tip().running, commitments.flat_map(records_of).collect())
}

/// A slot of this provider.
pub const fn slot(provider: NodeId) -> Slot {
    Slot {
        provider,
        column: ColumnId::new([2; 32]),
        since: Epoch(0),
        ask: Amount(1),
        cap: Amount(1),
        collateral: Amount(1),
        base: 0,
        state: SlotState::Live,
    }
}

/// The account that owns the commitments made here.
pub const OWNER: AccountId = AccountId::new([3; 32]);

/// A commitment of an object that this number names.
pub fn commitment(number: u32, code: Code, slots: Vec<Slot>, end: Epoch) -> Commitment {
    let object = ObjectId::new(*blake3::hash(&number.to_be_bytes()).as_bytes());
    Commitment {
        id: CommitmentId { object, extent: 0, owner: OWNER },
        size: 1,
        extents: 1,
        code,
        column_len: 64,
        slots,
        start: Epoch(0),
        end,
        until: end,
        escrow: Amount(0),
        fund: Amount(0),
        ticket: None,
    }
}

/// The records of a commitment that is the only one of its object.
pub fn records_of(commitment: Commitment) -> [(Key, Option<Record>); 3] {
    let (id, end) = (commitment.id, commitment.end);
    let owners = [(id.owner, ObjectOwner { extents: 1, end })].into();
    [
        (Key::Ending(end, id), Some(Record::Mark)),
        (Key::Object(id.object), Some(Record::Object(ObjectRecord { owners }))),
        (Key::Commitment(id), Some(Record::Commitment(commitment))),
    ]
}

/// What writes these records and running values, as a block without transactions of the next height.
///
/// # Panics
/// When the tree of `state` is not whole.
pub fn with_records(state: &MemoryRecords, running: Running, mut records: BTreeMap<Key, Option<Record>>) -> Changes {
    let mut tip = state.tip();
    let parent = tip.height.0;
    (tip.height, tip.running) = (tip.height.next(), running);
    records.insert(Key::Running, Some(Record::Running(tip.running.clone())));
    let leaves = records.iter().filter(|(key, _)| key.is_proven());
    let leaves = leaves.map(|(key, record)| (key.to_bytes(), record.as_ref().map(codec::encode)));
    let tree = tree::update(state, Some(parent), tip.height.0, leaves).expect("the tree is whole");
    tip.state = tree.root;
    Changes { tip, records, tree, history: Vec::new(), rosters: state.rosters() }
}
