//! Adds against fake nodes: holders that fail in every way, lost messages, and what is refused before a byte is sent.

use super::*;

#[tokio::test(start_paused = true)]
async fn holders_that_fail_during_an_add_are_replaced() {
    let world = World::new(14);
    let client = world.client();
    let data = bytes(20 << 20);
    world.fault(world.nodes[2], Fault::Full);
    world.fault(world.nodes[5], Fault::StallsAfter(6));
    world.fault(world.nodes[6], Fault::StallsAfter(0));
    world.fault(world.nodes[9], Fault::Silent);
    let (listen, told) = listener();
    let added = adding(&client, &data).all().on_event(listen).await.expect("ten are well");
    let stored: BTreeSet<_> = holders(&added).into_iter().collect();
    assert_eq!(stored.len(), 9);
    let ill = [2, 5, 6, 9].map(|number| world.nodes[number]);
    assert!(ill.iter().all(|node| !stored.contains(node)), "{:?}", lock(&told));
    world.heal();
    assert!(get(&client, &added.link).await.expect("got").0 == data);
    let verified = client.verify(&added.link, &Events::none()).await.expect("verified");
    assert_eq!((verified.problem(), verified.columns.len()), (None, 9));
}

/// They sign for their column all the same, and the ledger refuses a commit that names them.
#[tokio::test(start_paused = true)]
async fn holders_that_leave_before_the_commit_are_replaced() {
    let world = Arc::new(World::new(11));
    let (client, data) = (world.client(), bytes(5_000));
    let owners = [100, 101].map(|number| Keypair::from_seed(&[number + 1; 32]));
    let to = |key: &Keypair| Action::Transfer(Transfer { to: key.public(), amount: Amount(1_000_000_000) });
    world.act(&[(&account(), to(&owners[0])), (&account(), to(&owners[1]))]);
    let (left, leaving) = ([world.nodes[0], world.nodes[1]], (Arc::clone(&world), OnceLock::new()));
    let (listen, told) = listener();
    let leave_once = move |event: Event| {
        let (world, done) = &leaving;
        if matches!(event, Event::Progress { .. }) && done.set(()).is_ok() {
            let drain = |at: usize| (&owners[at], Action::Drain(Drain { node: world.nodes[at] }));
            world.act(&[drain(0), drain(1)]);
        }
        listen(event);
    };
    let added = adding(&client, &data).all().on_event(leave_once).await.expect("nine are left");
    let departed = |event: &Event| matches!(event, Event::HolderFailed { provider, .. } if left.contains(provider));
    assert!(lock(&told).iter().any(departed), "one of them had signed: {:?}", lock(&told));
    let stored = holders(&added);
    assert!(stored.len() == 9 && !left.iter().any(|node| stored.contains(node)), "{stored:?}");
    assert!(get(&client, &added.link).await.expect("got").0 == data);
}

#[tokio::test(start_paused = true)]
async fn an_add_is_whole_or_says_what_is_missing() {
    // Nine columns and one spare: two that are full leave one column without a holder, four leave three.
    let world = World::new(10);
    let client = world.client();
    world.fault(world.nodes[3], Fault::Full);
    world.fault(world.nodes[4], Fault::Full);
    let data = bytes(1000);
    let all = adding(&client, &data).all().await.expect_err("one has no holder");
    assert!(
        matches!(all.downcast_ref(), Some(AddError::Partial { .. })) && all.kind() == ErrorKind::Network,
        "{all:?}"
    );
    for node in &world.nodes[5..7] {
        world.fault(*node, Fault::Full);
    }
    let some = adding(&client, &data).await.expect_err("seven receipts certify 4/9");
    assert!(matches!(some.downcast_ref(), Some(AddError::TooFewHolders { have: 6, need: 7, .. })), "{some:?}");

    world.heal();
    world.fault(world.nodes[3], Fault::Full);
    world.fault(world.nodes[4], Fault::Full);
    let (listen, told) = listener();
    let added = adding(&client, &data).on_event(listen).await.expect("eight do");
    assert!(lock(&told).contains(&Event::Incomplete { extent: 0, columns: 1 }));
    assert_eq!((added.slots.len(), added.stored(), added.survives.nodes), (9, 8, 4), "what is true now");
    assert!(get(&client, &added.link).await.expect("got").0 == data);
    let status = client.status(&added.link, StatusOptions { probe: true }).await.expect("known");
    assert_eq!((status.live, status.tolerates, status.lease.expires_epoch), (8, 4, added.term.end));
    assert_eq!(client.verify(&added.link, &Events::none()).await.expect("read").problem(), Some(ErrorKind::Partial));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused_before_a_byte_is_sent() {
    let world = World::new(14);
    let client = world.client();
    let kind = async |add: Add<'_>| add.await.expect_err("refused").kind();
    let ten = || streaming(&client, &[0; 10]);
    assert_eq!(kind(ten().size(11)).await, ErrorKind::Other);
    assert_eq!(kind(ten().size(9)).await, ErrorKind::Other);
    assert_eq!(kind(ten().epochs(0)).await, ErrorKind::Usage);
    assert_eq!(kind(ten().size(1 << 40).epochs(80_000)).await, ErrorKind::Funds);
    assert_eq!(kind(ten().code(Code { k: 10, n: 20 })).await, ErrorKind::Usage);
    assert_eq!(kind(ten().code(Code { k: 12, n: 13 })).await, ErrorKind::Usage);
    assert_eq!(ten().quote().await.expect_err("its length is not known").kind(), ErrorKind::Usage);
    let quote = ten().size(1 << 20).quote().await.expect("possible");
    assert!(quote.price > Amount::ZERO && quote.price < quote.balance, "{quote:?}");
    let nobody = Link { object: ostrakon_proto::id::ObjectId::new([1; 32]), key: None };
    assert_eq!(get(&client, &nobody).await.expect_err("never added").kind(), ErrorKind::NotFound);
    let added = add(&client, b"secret").await;
    let check = async |key: Option<ObjectKey>, expect| {
        let link = Link { key, ..added.link.clone() };
        assert_eq!(get(&client, &link).await.expect_err("no key, no bytes").kind(), expect);
    };
    check(None, ErrorKind::Usage).await;
    check(Some(ObjectKey::from_bytes([1; 32])), ErrorKind::Integrity).await;
}

#[tokio::test(start_paused = true)]
async fn lost_messages_and_crashes_cost_time_and_no_bytes() {
    for seed in 0..3 {
        let lossy = SimConfig { loss_per_mille: 5, ..SimConfig::default() };
        let world = World::with(14, lossy, seed);
        let client = world.client();
        let data = bytes(9 << 20);
        let added = add(&client, &data).await;
        let crashes = async {
            for node in &holders(&added)[..5] {
                tokio::time::sleep(Duration::from_millis(17)).await;
                world.network.crash(*node);
            }
        };
        let (got, ()) = futures::join!(get(&client, &added.link), crashes);
        assert!(got.expect("four are left").0 == data, "seed {seed}");
    }
}
