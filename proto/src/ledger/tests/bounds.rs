//! What a block costs in hashes, in a network of 100,000 providers and ten million slots: counted, so that the figures
//! are the same on every machine.

use std::collections::BTreeMap;

use super::world::{World, genesis, key, object};
use crate::{
    id::{Amount, ColumnId, Epoch, NodeId},
    ledger::{
        Genesis, GenesisAccount, GenesisProvider, ProposedBlock,
        state::{Changes, Domain, Key, Record, Records},
        tree,
        tx::{Action, Commit, Receipt, SlotClaim, Tx},
    },
    params::Code,
    placement::Draw,
    sign::{Keypair, Purpose},
};

const PROVIDERS: u32 = 100_000;
/// Records of ten million slots: of each twelve, the commitment and its object.
const RECORDS: u32 = 2 * 10_000_000 / 12;
/// More than a block has commits.
const CLIENTS: u32 = 500;
const SMALL: Code = Code { k: 4, n: 12 };
const LARGE: Code = Code { k: 20, n: 50 };

fn numbered(kind: u8, number: u32) -> Keypair {
    let mut seed = [kind; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    Keypair::from_seed(&seed)
}

fn client(number: u32) -> Keypair {
    numbered(1, number)
}

/// What a block changed, and what that took.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Slots that began or ended.
    slots: usize,
    /// Nodes of the state tree that were written, and of the roster that were hashed.
    nodes: usize,
    /// Hashes computed for both.
    hashes: usize,
}

/// A network, and the keys of its providers.
struct Vast {
    world: World,
    keys: BTreeMap<NodeId, Keypair>,
}

fn founding(nodes: impl Iterator<Item = NodeId>) -> Genesis {
    let provider = |(index, node): (usize, NodeId)| GenesisProvider {
        owner: key(4).public(),
        node,
        addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
        price: Amount(1),
        capacity: 1 << 30,
        bond: None,
        proven: None,
        domain: Domain {
            operator: format!("operator-{index}"),
            infrastructure: format!("cloud-{}", index % 90),
            region: format!("region-{}", index % 30),
        },
    };
    let account = |number| GenesisAccount { account: client(number).public(), balance: Amount::OBOL };
    let mut genesis = genesis();
    genesis.params.time.epoch_ms = 6_000;
    genesis.accounts.extend((0..CLIENTS).map(account));
    genesis.providers = nodes.enumerate().map(provider).collect();
    genesis
}

impl Vast {
    fn new() -> Self {
        let keys: Vec<Keypair> = (0..PROVIDERS).map(|number| numbered(2, number)).collect();
        let nodes = || keys.iter().map(Keypair::public);
        let world = World::founded(&founding(nodes()));
        let mut vast = Self { keys: nodes().zip(keys.iter().cloned()).collect(), world };
        // The beacon.
        vast.block(vec![]);
        vast.crowd();
        vast
    }

    /// Leaves of so many records, without the records, which no block here reads.
    fn crowd(&mut self) {
        let state = &mut self.world.state;
        let mut tip = state.tip();
        let parent = tip.height.0;
        tip.height = tip.height.next();
        let leaves = (0..RECORDS).map(|number| (number.to_be_bytes(), Some([0])));
        let tree = tree::update(state, Some(parent), tip.height.0, leaves).expect("the tree is whole");
        tip.state = tree.root;
        state.commit(&Changes { tip, records: BTreeMap::new(), tree, history: vec![], rosters: state.rosters() });
    }

    /// Proposes a block of these, as many as fit, and commits it.
    fn block(&mut self, txs: Vec<Tx>) -> Cost {
        let ProposedBlock { block, changes, rejected } = self.world.propose(txs);
        assert_eq!((rejected, block.charged), (vec![], vec![]));
        assert_eq!(changes.rosters.live().unhashed(), 0, "nothing is left for the block that freezes it");
        let cost = self.cost(&changes);
        self.world.state.commit(&changes);
        cost
    }

    fn cost(&self, changes: &Changes) -> Cost {
        let before = self.world.state.rosters();
        let roster = changes.rosters.live().new_since(before.live());
        let records = || changes.records.iter().filter(|(key, _)| key.is_proven());
        // The hash of a record's key, and that of its value.
        let of_records: usize = records().map(|(_, record)| 1 + usize::from(record.is_some())).sum();
        let commitment = |(key, record): (&Key, &Option<Record>)| match (key, record) {
            (Key::Commitment(_), Some(Record::Commitment(begun))) => Some(begun.clone()),
            (Key::Commitment(id), None) => self.world.state.commitment(id),
            _ => None,
        };
        let slots = records().filter_map(commitment).map(|commitment| commitment.slots.len()).sum();
        Cost { slots, nodes: roster + changes.tree.nodes.len(), hashes: roster + changes.tree.hashes() + of_records }
    }

    /// A proper commit of an object of the client with this number.
    fn commit(&self, number: u32, code: Code) -> Tx {
        let (world, client) = (&self.world, client(number));
        let draw = Draw { epoch: Epoch(0), number: 0 };
        let claim = |(index, provider): (u8, NodeId)| SlotClaim {
            provider,
            column: ColumnId::new([index; 32]),
            cap: Amount(1),
            receipt: None,
        };
        let mut commit = Commit {
            object: object(u8::try_from(number % 251).expect("small")),
            extent: 0,
            extents: 1,
            size: 100,
            code,
            column_len: 64,
            draw,
            slots: (0..code.n).zip(world.drawn(&client, draw, code)).map(claim).collect(),
            until: world.rules.params.receipt_end(draw, 1),
            end: Epoch(1),
        };
        let of_all = commit.receipt(client.public());
        for (index, slot) in (0..).zip(&mut commit.slots) {
            let receipt = Receipt { index, ask: Amount(1), ..of_all };
            slot.receipt = Some(self.keys[&slot.provider].sign(Purpose::Receipt, &world.rules.chain, &receipt));
        }
        world.tx(&client, Action::Commit(commit))
    }
}

/// A node of the state tree has sixteen children, and its hash takes fifteen however few of them changed. So a commit
/// that is alone in its block takes more hashes for each slot than one of many, which share what is near the root.
#[test]
fn what_a_block_hashes_is_bounded_by_its_slots() {
    let mut vast = Vast::new();
    let check = |desc: &str, Cost { slots, nodes, hashes }: Cost, most: usize| {
        let figures = format!("{desc}: {slots} slots, {nodes} nodes, {hashes} hashes");
        assert!(slots > 0 && nodes <= 32 * slots && hashes <= most * slots, "{figures}");
        slots
    };
    let (one, wide) = (vast.commit(0, SMALL), vast.commit(1, LARGE));
    check("one commit", vast.block(vec![one]), 192);
    check("one of 50 columns", vast.block(vec![wide]), 144);
    let commits = (2..CLIENTS).map(|number| vast.commit(number, SMALL)).collect();
    let begun = check("as many as fit", vast.block(commits), 64);
    vast.block(vec![]);
    assert_eq!(check("their ends", vast.block(vec![]), 64), begun + 12 + 50);
}
