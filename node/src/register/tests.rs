//! A late node without money, and one that moves while it stores and votes.

use std::time::Duration;

use ostrakon_proto::{
    id::{Amount, Height},
    ledger::tx::{Action, Release, Transfer},
    sign::Keypair,
};

use super::{ProviderOffer, Standing};
use crate::{
    chain::store::LedgerStore,
    node::Settings,
    world::{CODE, TestObject, World, commit, domain, genesis, node_id, until, validator_keys},
};

#[tokio::test(start_paused = true)]
async fn without_money_a_node_waits_and_registers_when_it_has_some() {
    let mut world = World::new(4);
    world.genesis = genesis(3);
    let nodes = world.start_all().await;
    let owner = Keypair::from_seed(&[77; 32]);
    let (addresses, price) = (vec!["/ip4/127.0.0.1/tcp/1".to_owned()], Amount(5));
    let offer =
        ProviderOffer { owner: owner.clone(), addresses, domain: domain(3), price, capacity: 1 << 20, bond: None };
    let disk = world.disk();
    let node = world.start_with(3, &disk, Settings { offer: Some(offer), ..Settings::default() }).await;
    let (standing, mut needed) = (node.standing(), Amount::ZERO);
    until("it waits", async || match *standing.borrow() {
        Some(Standing::Unfunded { owner: account, have: Amount::ZERO, need }) if account == owner.public() => {
            needed = need;
            true
        }
        _ => false,
    })
    .await;
    // One short of enough is not enough.
    let (client, to) = (world.client(250), owner.public());
    let pay = |nonce, amount| world.tx(nonce, Height(1000), Action::Transfer(Transfer { to, amount }));
    client.submit(0, &pay(0, Amount(needed.0 - 1))).await.expect("taken");
    until(
        "it sees the money",
        async || matches!(*standing.borrow(), Some(Standing::Unfunded { have, need, .. }) if have.0 == need.0 - 1),
    )
    .await;
    client.submit(0, &pay(1, Amount(1))).await.expect("taken");
    let funded = tokio::time::Instant::now();
    until("it is registered", async || disk.ledger.view().provider(&node_id(3)).is_some()).await;
    assert!(
        funded.elapsed() < Duration::from_secs(10),
        "with the next blocks, not after a pause: {:?}",
        funded.elapsed()
    );
    let drawn = async || matches!(*standing.borrow(), Some(Standing::Registered { drawn_from: Some(_) }));
    until("it knows from when on it is drawn", drawn).await;
    let Some(Standing::Registered { drawn_from: Some(from) }) = *standing.borrow() else { panic!("just seen") };
    let head = nodes[0].0.chain().head();
    assert!(from <= head.epoch.after(1), "{from} in epoch {}", head.epoch);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_moves_tells_the_ledger_what_it_takes() {
    let world = World::voting(4, 4);
    let nodes = world.start_all().await;
    let (object, client) = (TestObject::new(1000, CODE), world.client(250));
    commit(&world, &object, 0, 100).await;
    let disk = &nodes[3].1;
    let provider = async || disk.ledger.view().provider(&node_id(3)).expect("of the genesis");
    until("the column is committed", async || provider().await.used > 0).await;
    let before = provider().await;
    let addresses = vec!["/dns/elsewhere.example/tcp/4001".to_owned()];
    let offer = ProviderOffer {
        owner: world.account.clone(),
        addresses: addresses.clone(),
        domain: domain(9),
        price: before.price,
        capacity: before.capacity,
        bond: None,
    };
    nodes[3].0.offer(Some(offer));
    let vote_key = validator_keys(3).vote.public();
    let validator = async || disk.ledger.view().validator(&vote_key).expect("it votes").addresses;
    until("its validator has moved", async || validator().await == addresses).await;
    assert_eq!((provider().await.addresses, provider().await.domain), (addresses, domain(3)), "it stores a column");
    let release = Action::Release(Release { object: object.id, extent: 0 });
    client.submit(0, &world.tx(3, Height(1000), release)).await.expect("taken");
    until("its domain follows", async || provider().await.domain == domain(9)).await;
}
