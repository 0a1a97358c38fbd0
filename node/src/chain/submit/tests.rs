//! What is submitted and fails: in a network of simulated nodes, with as many receipts as a commit can have.

use std::time::Duration;

use ostrakon_proto::{
    id::{ColumnId, Epoch, ObjectId},
    ledger::{
        GenesisProvider,
        state::Records,
        tx::{Commit, Receipt, SlotClaim, Transfer, TxPlace, columns_hash},
    },
    params::Code,
    placement::{self, Caps, Draw, DrawSeed, RosterEntry},
    sign::Purpose,
};

use super::*;
use crate::{
    node::Node,
    world::{Client, World, until},
};

/// Nodes that run; the first three are validators.
const RUNNING: usize = 4;
const CODE: Code = Code { k: 85, n: 255 };

/// The key of a provider that does not run.
fn absent(number: usize) -> Keypair {
    Keypair::from_seed(blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// A network with enough providers for the largest code, few of which run.
async fn network() -> (World, Vec<Node>) {
    let mut world = World::voting(RUNNING, 3);
    let like = world.genesis.providers[0].clone();
    let more = (RUNNING..300).map(|number| GenesisProvider {
        node: absent(number).public(),
        domain: crate::world::domain(number),
        ..like.clone()
    });
    world.genesis.providers.extend(more);
    let mut nodes = Vec::new();
    for number in 0..RUNNING {
        nodes.push(world.start(number, &world.disk()).await);
    }
    for node in &nodes {
        node.chain().wait(Height(2)).await;
    }
    (world, nodes)
}

/// A commit of 255 columns with their receipts, of which the last is for another column.
fn failing(world: &World, records: &dyn Records) -> Commit {
    let (account, draw) = (world.payer(), Draw { epoch: Epoch(0), number: 0 });
    let (object, column_len) = (ObjectId::new([1; 32]), 64);
    let (record, rosters) = (records.epoch(draw.epoch).expect("it has begun"), records.rosters());
    let randomness = record.beacon.expect("it is complete");
    let seed = DrawSeed { randomness, account, draw, extent: 0 };
    let caps = Caps::of(&record.roster, CODE, 1).expect("the network is large enough");
    let drawn = placement::draw(rosters.of(draw.epoch).expect("kept"), &seed, CODE, &caps).expect("large enough");
    let keys = || (0..RUNNING).map(crate::world::node_key).chain((RUNNING..300).map(absent));
    let (until, columns) = (Epoch(5), columns_hash((0..CODE.n).map(|index| ColumnId::new([index; 32]))));
    let claim = |(index, entry): (u8, &RosterEntry)| {
        let (provider, ask) = (entry.provider, entry.offer.price);
        let (extent, code) = (0, CODE);
        let receipt = Receipt { account, object, extent, index, draw, columns, code, column_len, ask, until };
        let key = keys().find(|key| key.public::<ostrakon_proto::id::NodeKind>() == provider).expect("one of them");
        let receipt = Some(key.sign(Purpose::Receipt, &world.genesis.id(), &receipt));
        SlotClaim { provider, column: ColumnId::new([index; 32]), cap: ask, receipt }
    };
    let mut slots: Vec<SlotClaim> = (0..CODE.n).zip(drawn).map(claim).collect();
    slots[254].receipt = slots[253].receipt;
    Commit { object, extent: 0, extents: 1, size: 1, code: CODE, column_len, draw, slots, until, end: until }
}

async fn refusal(client: &Client, node: usize, tx: &Tx) -> Refusal {
    client.submit(node, tx).await.expect_err("refused")
}

#[tokio::test(start_paused = true)]
async fn who_has_254_receipts_verified_for_nothing_pays() {
    let (world, nodes) = network().await;
    let client = world.client(250);
    let commit = nodes[3].chain().look(|records| failing(&world, records));
    let before = client.account(&world, 3, world.payer()).await;
    let tx = world.tx(0, Height(1_000), Action::Commit(commit));
    // By a node that does not validate.
    let told = refusal(&client, 3, &tx).await;
    assert_eq!(told.code, RefusalCode::Charged);
    assert!(told.reason.contains("slot 254: invalid receipt") && told.reason.contains("fee is charged"), "{told}");
    // Neither is its nonce free, nor does what follows it wait for the sender.
    let other = Action::Transfer(Transfer { to: AccountId::new([9; 32]), amount: Amount(5) });
    assert_eq!(refusal(&client, 3, &world.tx(0, Height(1_000), other.clone())).await.code, RefusalCode::Nonce);
    let next = world.tx(1, Height(1_000), other);
    assert_eq!(client.submit(3, &next).await, Ok(()));
    until("both are in blocks", async || client.account(&world, 3, world.payer()).await.nonce == 2).await;
    let after = client.account(&world, 3, world.payer()).await;
    assert_eq!(after.balance, Amount(before.balance.0 - tx.body.fee.0 - next.body.fee.0 - 5));
    let chain = nodes[3].chain();
    let place = async |tx: &Tx| {
        let answer = chain.inclusion(tx.id()).await.expect("answered");
        let found = answer.said.expect("it is in a block");
        found.verify(&answer.tip.header, tx.id()).expect("proven")
    };
    let (failed, applied): (TxPlace, TxPlace) = (place(&tx).await, place(&next).await);
    assert!(failed.is_charged() && !applied.is_charged(), "{failed} {applied}");
    // Submitted again, it is known.
    assert_eq!(client.submit(0, &tx).await, Ok(()));
    assert!(nodes.iter().all(|node| node.chain().shared.pool().is_empty()), "nothing is left");
    tokio::time::sleep(Duration::from_secs(1)).await;
}
