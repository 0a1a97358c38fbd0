//! The verbs against fake nodes, on virtual time: sizes, ranges, and holders that fail in every way.

use std::{
    collections::BTreeSet,
    future::IntoFuture,
    sync::{Arc, Mutex},
};

use futures::StreamExt;
use ostrakon_net::{lock, sim::SimConfig};
use ostrakon_proto::{
    id::{AccountId, Amount, BlockId, Height, NodeId},
    ledger::{
        state::{ProposalOutcome, ProposedChange},
        tx::{Action, Anchor, Ballot, Propose, Transfer},
    },
    light::{self, Checkpoint, activity::AccountTx},
    limits,
    link::Link,
    params::Code,
    seal::ObjectKey,
    sign::Keypair,
};
use tokio::{
    io::{AsyncReadExt, AsyncSeekExt},
    time::{Duration, Instant},
};

use crate::{
    Activity, Add, AddError, Added, Client, ColumnCheck, Error, ErrorKind, Event, Events, GetError, Hint,
    StatusOptions, StatusState,
    chain::ChainError,
    fake::{Fault, Lie, World, account, crowd},
};

mod single_files;

const CODE: Code = Code { k: 4, n: 9 };

/// An add of these bytes, whose length is announced.
fn adding(client: &Client, data: &[u8]) -> Add<'static> {
    client.add_bytes(data.to_vec()).code(CODE).epochs(10)
}

/// An add of these bytes, whose length is found out.
fn streaming<'a>(client: &Client, data: &'a [u8]) -> Add<'a> {
    client.add_reader(data).code(CODE).epochs(10)
}

fn bytes(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(b"content").finalize_xof().fill(&mut bytes);
    bytes
}

async fn add(client: &Client, data: &[u8]) -> Added {
    adding(client, data).await.expect("added")
}

async fn get(client: &Client, link: &Link) -> Result<(Vec<u8>, crate::Fetched), Error> {
    let mut out = Vec::new();
    let fetched = client.get(link).write_to(&mut out).await?;
    Ok((out, fetched))
}

fn holders(added: &Added) -> Vec<NodeId> {
    added.slots.iter().map(|slot| slot.provider).collect()
}

/// Notes what it is told.
fn listener() -> (impl Fn(Event) + Send + Sync + 'static, Arc<Mutex<Vec<Event>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&told);
    (move |event| lock(&to).push(event), told)
}

#[tokio::test(start_paused = true)]
async fn what_was_added_comes_back() {
    let world = World::new(14);
    let client = world.client();
    // Nothing; a short stripe; a whole piece of each kind; one row and a bit; many rows; more than is read ahead.
    for len in [0, 1, 100, 65_520, 65_536, 4 * 65_536, 1_048_577, 7 << 20, (16 << 20) + 1] {
        let data = bytes(len);
        for public in [false, true] {
            for size in [None, Some(u64::try_from(len).expect("small"))] {
                let mut add = streaming(&client, &data);
                (add.options.public, add.options.size) = (public, size);
                let added = add.await.expect("added");
                assert_eq!(
                    (added.size, added.slots.len(), added.link.key.is_none()),
                    (u64::try_from(len).expect("small"), 9, public)
                );
                assert_eq!(
                    added.term.existing,
                    public && size.is_some(),
                    "{len}: the second of two public ones is there"
                );
                let (got, fetched) = get(&client, &added.link).await.expect("got");
                assert!(got == data, "{len} {public} {size:?}");
                assert_eq!((fetched.blake3, fetched.reconstructed), (Some(blake3::hash(&data).into()), false));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ranges_read_what_they_need() {
    let world = World::new(14);
    let client = world.client();
    let data = bytes(3 << 20);
    let len = u64::try_from(data.len()).expect("small");
    for public in [false, true] {
        let mut add = adding(&client, &data);
        add.options.public = public;
        let added = add.await.expect("added");
        for (start, end) in
            [(0, 0), (0, 1), (65_519, 65_537), (1_000_000, 1_100_000), (len - 1, len), (5, len), (len, len)]
        {
            world.take_reads();
            let out = client.get(&added.link).range(start..end).bytes().await.expect("got");
            let at = |at: u64| usize::try_from(at.min(len)).expect("small");
            assert!(out == data[at(start)..at(end)], "{public} {start}..{end}");
            let read: usize = world.take_reads().iter().sum();
            let most = if end - start > 20 { usize::MAX } else { 2 * 65_536 };
            assert!(read <= most, "{public} {start}..{end}: {read} bytes");
        }
        assert!(client.get(&added.link).last(5).bytes().await.expect("got") == data[data.len() - 5..]);
        let error = client.get(&added.link).range(len..).bytes().await.expect_err("starts at the end");
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}

/// Of a reader, a stream, and all concurrently; what is limited takes its time.
#[tokio::test(start_paused = true)]
async fn bytes_come_in_every_way() {
    let world = World::new(14);
    let client = world.client();
    let data = bytes(12 << 20);
    let link = add(&client, &data).await.link;
    let mut streamed = Vec::new();
    let mut stream = client.get(&link).range(100..).stream();
    while let Some(bytes) = stream.next().await {
        streamed.extend(bytes.expect("read"));
    }
    assert!(streamed == data[100..]);
    let mut reader = client.get(&link).range(1_000..11_000_000).reader().await.expect("opened");
    assert_eq!(reader.size(), 10_999_000);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).await.expect("read");
    assert!(all == data[1_000..11_000_000]);
    for (from, len) in [(0, 1), (9_000_000, 100_000), (70_000, 10), (70_010, 10), (70_100, 65_536), (10_998_999, 1)] {
        world.take_reads();
        reader.seek(std::io::SeekFrom::Start(from)).await.expect("there");
        let mut part = vec![0; len];
        reader.read_exact(&mut part).await.expect("read");
        let start = 1_000 + usize::try_from(from).expect("small");
        assert!(part == data[start..start + len], "{from} {len}");
        let read: usize = world.take_reads().iter().sum();
        assert!(read <= len + 3 * 65_536, "{from} {len}: {read} bytes");
    }
    assert_eq!(reader.read(&mut [0; 10]).await.expect("read"), 0);
    assert!(reader.seek(std::io::SeekFrom::Current(-20_000_000)).await.is_err());
    let since = Instant::now();
    let few = client.get(&link).limit_download(1 << 20).parallel(std::num::NonZeroUsize::MIN);
    assert!(few.bytes().await.expect("got") == data);
    assert!(since.elapsed() > Duration::from_secs(10), "{:?}", since.elapsed());
}

/// A reader that has been open for long reads from whom the ledger lists by then.
#[tokio::test(start_paused = true)]
async fn a_reader_takes_up_holders_that_came_back() {
    let world = World::new(14);
    let client = world.client();
    let data = bytes(3 << 20);
    let added = add(&client, &data).await;
    let mut reader = client.get(&added.link).reader().await.expect("opened");
    let mut part = [0; 10];
    reader.read_exact(&mut part).await.expect("read");
    holders(&added)[..7].iter().for_each(|node| world.fault(*node, Fault::Silent));
    reader.seek(std::io::SeekFrom::Start(2_000_000)).await.expect("there");
    let error = reader.read_exact(&mut part).await.expect_err("two are left");
    assert!(error.to_string().contains("are missing"), "{error}");
    world.heal();
    tokio::time::sleep(Duration::from_secs(60)).await;
    reader.read_exact(&mut part).await.expect("all are back");
    assert_eq!(part, data[2_000_000..2_000_010]);
}

#[tokio::test(start_paused = true)]
async fn any_k_columns_are_enough_and_failures_are_named() {
    let world = World::new(14);
    let client = world.client();
    let data = bytes(5 << 20);
    let added = add(&client, &data).await;
    let holders = holders(&added);
    world.fault(holders[0], Fault::Corrupt);
    world.fault(holders[1], Fault::Silent);
    holders[2..5].iter().for_each(|node| world.network.crash(*node));
    let (got, fetched) = get(&client, &added.link).await.expect("four are left");
    assert!(got == data && fetched.reconstructed);
    let failed: BTreeSet<_> = fetched.columns_failed.iter().filter_map(|column| column.provider).collect();
    assert!(failed.contains(&holders[0]), "{failed:?}");
    let wrong = fetched.columns_failed.iter().find(|column| column.corrupt).expect("one is corrupt");
    assert_eq!((wrong.index, wrong.provider), (0, Some(holders[0])));

    world.network.crash(holders[8]);
    let began = Instant::now();
    let error = get(&client, &added.link).await.expect_err("three are left");
    let Some(GetError::NotEnoughColumns(error)) = error.get_ref().downcast_ref() else { panic!("{error}") };
    assert_eq!((error.have, error.need, error.missing.len()), (3, 4, 6));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    world.heal();
    let (got, _) = get(&client, &added.link).await.expect("two came back");
    assert!(got == data);
}

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

#[tokio::test(start_paused = true)]
async fn an_add_is_whole_or_says_what_is_missing() {
    // All ten are needed for nine columns and one spare: two that are full leave one column without a holder.
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
    let some = adding(&client, &data).await.expect_err("nine receipts certify 4/9");
    assert!(matches!(some.downcast_ref(), Some(AddError::TooFewHolders { have: 8, need: 9, .. })), "{some:?}");

    let (listen, told) = listener();
    let loose = adding(&client, &data).code(Code { k: 2, n: 9 });
    let added = loose.on_event(listen).await.expect("eight do");
    assert!(lock(&told).contains(&Event::Incomplete { extent: 0, columns: 1 }));
    assert_eq!((added.slots.len(), added.stored(), added.survives.nodes), (9, 8, 6), "what is true now");
    assert!(get(&client, &added.link).await.expect("got").0 == data);
    let status = client.status(&added.link, StatusOptions { probe: true }).await.expect("known");
    assert_eq!((status.live, status.tolerates, status.expires_epoch), (8, 6, added.term.end));
    assert_eq!(client.verify(&added.link, &Events::none()).await.expect("read").problem(), Some(ErrorKind::Partial));
}

#[tokio::test(start_paused = true)]
async fn verify_and_status_find_what_is_wrong() {
    let world = World::new(14);
    let client = world.client();
    let added = add(&client, &bytes(3 << 20)).await;
    let holders = holders(&added);
    world.fault(holders[3], Fault::Corrupt);
    world.network.crash(holders[7]);
    let verified = client.verify(&added.link, &Events::none()).await.expect("read");
    assert_eq!((verified.problem(), verified.inconsistent), (Some(ErrorKind::Integrity), false));
    assert!(matches!(verified.columns[3].state, ColumnCheck::Corrupt(_)));
    assert!(matches!(verified.columns[7].state, ColumnCheck::Missing(_)));
    assert_eq!(verified.columns.iter().filter(|column| column.state == ColumnCheck::Ok).count(), 7);
    let status = client.status(&added.link, StatusOptions { probe: true }).await.expect("known");
    assert_eq!((status.live, status.tolerates), (7, 3));
    assert!(matches!(status.slots[7].state, StatusState::Unreachable(_)));
    let by_ledger = client.status(&added.link, StatusOptions::default()).await.expect("known");
    assert_eq!(by_ledger.live, 9);
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
async fn money_and_terms() {
    let world = World::new(14);
    let client = world.client();
    let to = NodeId::new([9; 32]);
    let to = ostrakon_proto::id::AccountId::new(*to.bytes());
    client.transfer(to, Amount(5)).await.expect("paid");
    assert_eq!(client.chain().account(to).await.expect("known").balance, Amount(5));
    let too_much = client.transfer(to, Amount(u64::MAX)).await.expect_err("not that rich");
    assert!(matches!(too_much.downcast_ref(), Some(ChainError::Refused { .. })), "{too_much}");

    let added = add(&client, &bytes(1 << 20)).await;
    let object = added.link.object;
    assert_eq!(client.extend(object, 5).await.expect("extended"), added.term.end.after(5));
    let before = client.balance().await.expect("known");
    client.release(object).await.expect("released");
    assert!(client.balance().await.expect("known") > before, "the escrow comes back");
    assert_eq!(client.release(object).await.expect_err("gone").kind(), ErrorKind::NotFound);
    assert_eq!(client.account(), Some(account().public()));
}

/// A rush makes fees greater while a transaction waits: it is signed again, once, with what is asked for by then.
#[tokio::test(start_paused = true)]
async fn what_a_rush_makes_too_cheap_is_paid_for_again() {
    let world = World::new(3);
    let client = world.client();
    let (before, to, amount) = (client.balance().await.expect("asked"), AccountId::new([9; 32]), Amount(1_000));
    world.rush_next();
    client.transfer(to, amount).await.expect("paid in the end");
    assert_eq!(client.chain().account(to).await.expect("asked").balance, amount, "and paid once");
    let paid = before.0 - client.balance().await.expect("asked").0 - amount.0;
    let least = client.chain().rules().params.fee_base.0;
    assert!(paid > 2 * least, "enough for some more full blocks: {paid}");
    assert_eq!(client.chain().account(account().public()).await.expect("asked").nonce, 1);
}

#[tokio::test(start_paused = true)]
async fn two_clients_of_one_account_do_not_disturb_each_other() {
    let world = World::new(14);
    let clients = [world.client_as(250), world.client_as(251)];
    let adds = (0..8u8).map(|number| {
        let client = clients[usize::from(number % 2)].clone();
        async move { add(&client, &[number; 100]).await.link }
    });
    let links = futures::future::join_all(adds).await;
    for (number, link) in (0u8..).zip(links) {
        assert_eq!(get(&clients[0], &link).await.expect("got").0, [number; 100]);
    }
}

#[tokio::test(start_paused = true)]
async fn futures_can_be_spawned() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let world = World::new(14);
    let client = world.client();
    let none = Events::none();
    let added = is_send(client.add_bytes("bytes").into_future()).await.expect("added");
    let mut out = Vec::new();
    is_send(client.get(&added.link).write_to(&mut out)).await.expect("got");
    assert_eq!(is_send(client.get(&added.link).bytes()).await.expect("got"), out);
    assert!(is_send(client.get(&added.link).stream()).all(|bytes| std::future::ready(bytes.is_ok())).await);
    let mut reader = is_send(client.get(&added.link).reader()).await.expect("opened");
    assert_eq!(is_send(reader.read(&mut [0; 9])).await.expect("read"), 5);
    let directory = tempfile::tempdir().expect("a directory");
    is_send(client.get(&added.link).save(directory.path().join("x"))).await.expect("saved");
    is_send(client.verify(&added.link, &none)).await.expect("verified");
    is_send(client.status(&added.link, StatusOptions { probe: true })).await.expect("known");
    is_send(client.release(added.link.object).into_future()).await.expect("released");
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

/// Whatever one node claims falsely: the client returns what is true, and names the node.
#[tokio::test(start_paused = true)]
async fn every_lie_about_the_ledger_is_found_out() {
    for lie in Lie::REFUTED {
        let world = World::new(4);
        let (to, nobody) = (AccountId::new([9; 32]), ostrakon_proto::id::ObjectId::new([1; 32]));
        let paid = world.client().transfer(to, Amount(5)).await.expect("paid");
        world.fault(world.nodes[0], Fault::Lies(lie));
        // Each begins with another node.
        let mut caught = false;
        for number in 240..250 {
            let client = world.client_as(number);
            let chain = client.chain();
            assert_eq!(chain.account(to).await.expect("known").balance, Amount(5), "{lie:?}");
            let absent = chain.object(nobody).await.expect_err("never added");
            assert!(matches!(absent, ChainError::NoObject { .. }), "{lie:?}: {absent}");
            assert_eq!(chain.inclusion(paid.tx).await.expect("known"), Some(paid.height), "{lie:?}");
            let block = chain.block(paid.height).await.expect("known").expect("it is past");
            assert_eq!(block.block.txs.len(), 1, "{lie:?}");
            let liars: Vec<NodeId> = chain.invalid_proofs().into_keys().collect();
            assert!(liars.is_empty() || liars == world.nodes[..1], "{lie:?}");
            caught |= !liars.is_empty();
        }
        assert!(caught, "{lie:?} is never found out");
    }
}

/// Four transactions of the account's own, with those of another between them, of which two pay it.
fn busy() -> World {
    let world = World::new(4);
    let (own, other) = (account(), crowd());
    let pay = |to: &Keypair, amount| Action::Transfer(Transfer { to: to.public(), amount: Amount(amount) });
    let anchor = || Action::Anchor(Anchor { hash: [1; 32] });
    world.act(&[(&own, pay(&other, 1)), (&other, anchor())]);
    world.act(&[(&other, pay(&own, 2)), (&own, anchor()), (&own, pay(&other, 3)), (&other, pay(&own, 4))]);
    world.act(&[(&own, pay(&own, 5)), (&other, anchor())]);
    world
}

/// Amounts of what is listed; anchors are 0.
fn amounts(activity: &Activity) -> Vec<u64> {
    let amount = |entry: &AccountTx| match &entry.tx.body.action {
        Action::Transfer(transfer) => transfer.amount.0,
        _ => 0,
    };
    activity.txs.iter().map(amount).collect()
}

#[tokio::test(start_paused = true)]
async fn an_account_s_transactions_come_in_pages_of_any_size() {
    let world = busy();
    let client = world.client();
    let (chain, own) = (client.chain(), account().public());
    let all = chain.activity(own, None, 100).await.expect("proven");
    assert_eq!(amounts(&all), [5, 4, 3, 0, 2, 1]);
    assert_eq!((all.next, all.first, all.witnesses, all.account.nonce), (None, Height(1), 3, 4));
    for limit in 1..=6 {
        let (mut got, mut before) = (Vec::new(), None);
        loop {
            let page = chain.activity(own, before, limit).await.expect("proven");
            got.extend(amounts(&page));
            match page.next {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        assert_eq!(got, [5, 4, 3, 0, 2, 1], "{limit} at a time");
    }
    let stranger = chain.activity(AccountId::new([77; 32]), None, 5).await.expect("proven");
    assert_eq!((stranger.txs.len(), stranger.next), (0, None));
    let own = account();
    let many = vec![(&own, Action::Anchor(Anchor { hash: [1; 32] })); 2 * limits::ACTIVITY];
    world.act(&many);
    let all = client.chain().activity(own.public(), None, 1_000).await.expect("more than one answer has");
    assert_eq!((all.txs.len(), all.next), (2 * limits::ACTIVITY + 6, None));
}

/// Whatever one node adds, changes or leaves out: the client has what is true, and names the node.
#[tokio::test(start_paused = true)]
async fn every_lie_about_an_account_s_transactions_is_found_out() {
    for lie in Lie::ABOUT_ACTIVITY {
        let world = busy();
        world.fault(world.nodes[0], Fault::Lies(lie));
        // Each begins with another node.
        let mut caught = false;
        for number in 240..250 {
            let client = world.client_as(number);
            let chain = client.chain();
            let all = chain.activity(account().public(), None, 100).await.expect("the others tell the truth");
            assert_eq!(amounts(&all), [5, 4, 3, 0, 2, 1], "{lie:?}");
            let liars: Vec<NodeId> = chain.invalid_proofs().into_keys().collect();
            assert!(liars.is_empty() || liars == world.nodes[..1], "{lie:?}");
            caught |= !liars.is_empty();
        }
        assert!(caught, "{lie:?} is never found out");
    }
}

/// What the account's record proves needs no second node; what others paid to it does.
#[tokio::test(start_paused = true)]
async fn a_node_alone_can_leave_out_no_more_than_what_others_paid() {
    for lie in Lie::ABOUT_ACTIVITY {
        let world = busy();
        for node in &world.nodes {
            world.fault(*node, Fault::Lies(lie));
        }
        let client = world.client();
        match client.chain().activity(account().public(), None, 100).await {
            Ok(all) => assert_eq!((lie, amounts(&all)), (Lie::Unpaid, vec![5, 3, 0, 1])),
            Err(error) => {
                assert!(lie != Lie::Unpaid && matches!(error, ChainError::InvalidProof { .. }), "{lie:?}: {error}");
                assert_eq!(client.chain().invalid_proofs().len(), 4, "{lie:?}");
            }
        }
    }
}

/// What a node is taken at its word for is asked of others too; the one whose claim was contradicted is known.
#[tokio::test(start_paused = true)]
async fn a_contradicted_claim_is_doubted() {
    for lie in [Lie::Unheard, Lie::NoProvider, Lie::Dropped] {
        let world = World::new(4);
        let to = AccountId::new([9; 32]);
        let mut paid = world.client().transfer(to, Amount(5)).await.expect("paid");
        world.fault(world.nodes[0], Fault::Lies(lie));
        let mut doubted = false;
        for number in 240..250 {
            let client = world.client_as(number);
            let chain = client.chain();
            assert_eq!(chain.inclusion(paid.tx).await.expect("known"), Some(paid.height), "{lie:?}");
            assert_eq!(chain.all_providers().await.expect("known").len(), 4, "{lie:?}");
            paid = client.transfer(to, Amount(5)).await.expect("paid");
            assert!(chain.invalid_proofs().is_empty(), "{lie:?}: a word is no proof");
            let doubts: Vec<NodeId> = chain.contradicted().into_keys().collect();
            assert!(doubts.is_empty() || doubts == world.nodes[..1], "{lie:?}");
            doubted |= !doubts.is_empty();
        }
        assert!(doubted, "{lie:?} is never doubted");
    }
}

/// Where nobody else says anything, one node's word that there is none is not taken.
#[tokio::test(start_paused = true)]
async fn one_node_s_word_is_not_believed_while_the_others_do_not_respond() {
    let world = World::new(4);
    let paid = world.client().transfer(AccountId::new([9; 32]), Amount(5)).await.expect("paid");
    world.fault(world.nodes[0], Fault::Lies(Lie::Unheard));
    world.nodes[1..].iter().for_each(|node| world.fault(*node, Fault::Silent));
    let client = world.client();
    let error = client.chain().inclusion(paid.tx).await.expect_err("nobody else answers");
    assert!(
        matches!(error, ChainError::Unconfirmed { node, tx } if node == world.nodes[0] && tx == paid.tx),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Network);
}

/// Who was away for so long that former validators could have made a chain up says where to begin.
#[tokio::test(start_paused = true)]
async fn what_is_believed_grows_old_until_a_user_says_where_to_begin() {
    let (world, to) = (World::new(4), AccountId::new([9; 32]));
    let keeps = light::trust_period_ms(&world.genesis.params);
    let client = world.client();
    let paid = client.transfer(to, Amount(5)).await.expect("paid");
    let newest = client.chain().head().await.expect("known");
    world.set_clock(newest.time_ms + keeps);
    assert_eq!(client.chain().account(to).await.expect("it is just young enough").balance, Amount(5));
    world.set_clock(newest.time_ms + keeps + 1);
    let chain = client.chain();
    let expired = |error: Error| {
        assert!(matches!(error.downcast_ref(), Some(ChainError::Expired(_))), "{error}");
        assert_eq!((error.kind(), error.hint()), (ErrorKind::Usage, Some(Hint::TrustCheckpoint)));
    };
    expired(chain.account(to).await.expect_err("too old").into());
    expired(chain.inclusion(paid.tx).await.expect_err("too old").into());
    expired(client.transfer(to, Amount(5)).await.expect_err("too old"));
    expired(world.client_as(249).chain().head().await.expect_err("genesis is older still").into());
    assert!(chain.invalid_proofs().is_empty() && chain.heights().await.is_empty());

    let checkpoint = Checkpoint { height: newest.height, block: newest.block };
    let forged = Checkpoint { block: BlockId::new([7; 32]), ..checkpoint };
    let other = chain.trust_checkpoint(forged).await.expect_err("nobody has it");
    assert!(matches!(other, ChainError::Refused { .. }), "{other}");
    expired(chain.account(to).await.expect_err("still too old").into());
    chain.trust_checkpoint(checkpoint).await.expect("all have it");
    expired(chain.account(to).await.expect_err("the block is as old").into());
    world.set_clock(newest.time_ms + keeps);
    assert_eq!(chain.account(to).await.expect("young").balance, Amount(5));
    let young = world.client_as(248);
    young.chain().trust_checkpoint(checkpoint).await.expect("all have it");
    assert_eq!(young.chain().account(to).await.expect("proven").balance, Amount(5));
}

#[tokio::test(start_paused = true)]
async fn where_only_liars_answer_the_error_names_one() {
    let world = World::new(1);
    world.fault(world.nodes[0], Fault::Lies(Lie::Richer));
    let error = world.client().balance().await.expect_err("no node tells the truth");
    let liar = world.nodes[0];
    let lied = |error: &ChainError| matches!(error, ChainError::InvalidProof { node, caught: 1, .. } if *node == liar);
    assert!(error.downcast_ref().is_some_and(lied), "{error}");
    assert_eq!(error.kind(), ErrorKind::Integrity);
}

#[tokio::test(start_paused = true)]
async fn proposals_are_listed_with_their_outcome() {
    let world = World::new(3);
    let client = world.client();
    let none = client.chain().proposals().await.expect("proven");
    assert_eq!((none.0.proposals, none.1), (0, Vec::new()));
    for share in [25, 30, 35] {
        let mut params = world.genesis.params.clone();
        params.governance.max_power_share = share;
        let change = ProposedChange::Params(Box::new(params));
        client.perform(Action::Propose(Propose { change })).await.expect("proposed");
    }
    let vote = Action::Vote(Ballot { proposal: 1, yes: true });
    client.perform(vote).await.expect("voted");
    let (charter, proposals) = client.chain().proposals().await.expect("proven");
    let [first, second, third] = proposals.as_slice() else { panic!("three were made: {proposals:?}") };
    assert_eq!((charter.proposals, [first.number, second.number, third.number]), (3, [0, 1, 2]));
    let ProposalOutcome::Passed(height) = second.outcome else { panic!("it was voted for: {second:?}") };
    assert_eq!(
        (first.outcome, third.outcome),
        (ProposalOutcome::Superseded(height), ProposalOutcome::Superseded(height))
    );
    client.chain().head().await.expect("proven");
    assert_eq!(client.chain().rules().params.governance.max_power_share, 30);
}
