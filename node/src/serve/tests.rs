//! The four protocols, asked over the simulated network: what is answered, and what is refused and why.

use bytes::Bytes;
use ostrakon_proto::{
    id::{Amount, ColumnId, Epoch, Height, NodeId, ObjectId, TxId},
    ledger::{
        repair::{ListedTicket, TicketPlace},
        state::{Key, Record},
        tx::{Action, DecidedBlock, Receipt, Transfer, Tx, columns_hash},
        verify_header,
    },
    light::{
        Activity, Handover, Inclusion, PastBlock,
        activity::{AccountTx, ActivityQuery},
    },
    limits,
    placement::{Caps, Draw, DrawSeed, draw},
    seal::ObjectKey,
    sign::{Keypair, Purpose, Signature, verify},
    tree::verify_range,
    wire::{Protocol, Refusal, RefusalCode, chain, get, manifest, put},
};

use crate::{
    store::Columns,
    world::{CODE, Client, TestObject, World, node_id},
};

fn code<T: std::fmt::Debug>(answer: Result<T, Refusal>) -> RefusalCode {
    answer.expect_err("refused").code
}

fn group() -> u32 {
    u32::try_from(limits::GROUP).expect("small")
}

#[tokio::test(start_paused = true)]
async fn a_column_goes_in_for_a_receipt_and_comes_out_verified() {
    let world = World::new(4);
    let _nodes = world.start_all().await;
    let (client, object) = (world.client(250), TestObject::new(300_000, CODE));
    let receipt = client.store(&world, 1, &object, 2).await;
    let open = world.open(1, &object, 2);
    let said = Receipt {
        account: world.payer(),
        object: object.id,
        extent: 0,
        index: 2,
        draw: Draw { epoch: Epoch(0), number: 0 },
        columns: columns_hash((0..usize::from(CODE.n)).map(|index| object.column(index))),
        code: CODE,
        column_len: object.column_len(),
        ask: open.ask,
        until: open.until,
    };
    assert_eq!(verify(&node_id(1), &receipt, Purpose::Receipt, &world.genesis.id(), &said), Ok(()));

    let upload = open.upload;
    let again = client.put(1, &put::PutRequest::Finish { upload }, object.bytes.clone()).await;
    assert_eq!(again, Ok(put::PutResponse::Receipt(receipt)), "the first answer may be lost");

    let request = get::GetRequest {
        column: object.column(2),
        access: get::ReadAccess::Token(object.key.read_token(0, 2)),
        start: u64::from(group()) * 2,
        length: group() * 2,
    };
    let (head, bytes): (get::GetResponse, Bytes) =
        client.ask(1, Protocol::Get, &request, Bytes::new()).await.expect("answered");
    let range = ostrakon_proto::tree::Range { start: request.start, length: request.length };
    let verified = verify_range(&request.column, object.column_len(), range, &bytes, &head.siblings);
    verified.expect("the range is the column's");

    let request = manifest::ManifestRequest { object: object.id };
    let (_, bytes): ((), Bytes) = client.ask(1, Protocol::Manifest, &request, Bytes::new()).await.expect("answered");
    assert_eq!(bytes, object.bytes);
}

#[tokio::test(start_paused = true)]
async fn a_short_column_goes_with_its_opening() {
    let world = World::new(4);
    let _nodes = world.start_all().await;
    let (client, object) = (world.client(250), TestObject::new(1000, CODE));
    let ask = |upload: u8, manifest: usize| {
        let upload = put::UploadId([upload; 16]);
        let put::PutRequest::Open { open, signature, .. } =
            world.sign(&put::Open { upload, ..world.open(1, &object, 2) })
        else {
            panic!("an opening")
        };
        put::PutRequest::Open { open, signature, manifest: u32::try_from(manifest).expect("small") }
    };
    let (listed, all) =
        (object.bytes.len(), |index: usize| Bytes::from([&object.bytes[..], &object.columns[index]].concat()));
    let refused = async |upload, manifest, body| code(client.put(1, &ask(upload, manifest), body).await);
    assert_eq!(refused(3, listed, all(1)).await, RefusalCode::Corrupt, "another column");
    let stored = client.put(1, &ask(1, listed), all(2)).await;
    assert!(matches!(stored, Ok(put::PutResponse::Receipt(_))), "{stored:?}");
    assert_eq!(client.put(1, &ask(1, listed), all(2)).await, stored, "the first answer may be lost");
    assert_eq!(refused(2, listed + 1, object.bytes.clone()).await, RefusalCode::BadRequest);
    assert_eq!(refused(2, listed, object.bytes.clone()).await, RefusalCode::BadRequest, "no column");
    let begun = client.put(1, &ask(4, 0), object.columns[2].clone()).await;
    let next = object.column_len();
    assert_eq!(begun, Ok(put::PutResponse::Opened(put::Taken { next, early: 0 })), "without a manifest");
}

#[tokio::test(start_paused = true)]
async fn reads_are_refused_without_the_right_token_or_range() {
    let world = World::new(4);
    let _nodes = world.start_all().await;
    let (client, object) = (world.client(250), TestObject::new(300_000, CODE));
    client.store(&world, 1, &object, 2).await;
    let good = get::GetRequest {
        column: object.column(2),
        access: get::ReadAccess::Token(object.key.read_token(0, 2)),
        start: 0,
        length: group(),
    };
    let check = async |request: get::GetRequest, expect| {
        let answer = client.ask::<_, get::GetResponse>(1, Protocol::Get, &request, Bytes::new()).await;
        assert_eq!(answer.err().map(|refusal| refusal.code), expect, "{request:?}");
    };
    check(good.clone(), None).await;
    check(get::GetRequest { access: get::ReadAccess::Public, ..good.clone() }, Some(RefusalCode::Denied)).await;
    check(
        get::GetRequest { access: get::ReadAccess::Token(object.key.read_token(0, 1)), ..good.clone() },
        Some(RefusalCode::Denied),
    )
    .await;
    let stranger = ObjectKey::from_bytes([1; 32]).read_token(0, 2);
    check(get::GetRequest { access: get::ReadAccess::Token(stranger), ..good.clone() }, Some(RefusalCode::Denied))
        .await;
    check(get::GetRequest { column: ColumnId::new([1; 32]), ..good.clone() }, Some(RefusalCode::NotFound)).await;
    check(get::GetRequest { start: 1, ..good.clone() }, Some(RefusalCode::BadRequest)).await;
    check(get::GetRequest { length: 1000, ..good.clone() }, Some(RefusalCode::BadRequest)).await;
    check(get::GetRequest { length: group() * 32, ..good.clone() }, Some(RefusalCode::BadRequest)).await;
    check(get::GetRequest { start: 1 << 40, ..good.clone() }, Some(RefusalCode::BadRequest)).await;

    let missing = manifest::ManifestRequest { object: ObjectId::new([1; 32]) };
    let answer = client.ask::<_, ()>(1, Protocol::Manifest, &missing, Bytes::new()).await;
    assert_eq!(code(answer), RefusalCode::NotFound);
    let malformed = client.ask::<_, ()>(1, Protocol::Manifest, &(7u8, missing), Bytes::new()).await;
    assert_eq!(code(malformed), RefusalCode::BadRequest);
}

#[tokio::test(start_paused = true)]
async fn space_is_refused_to_those_who_must_not_have_it() {
    let world = World::new(4);
    let _nodes = world.start_all().await;
    let (client, object) = (world.client(250), TestObject::new(1000, CODE));
    let good = world.open(1, &object, 2);
    let check = async |open: put::Open, expect, words: &str| {
        let answer = client.put(1, &world.sign(&open), Bytes::new()).await;
        let refusal = answer.expect_err("refused");
        assert!(refusal.code == expect && refusal.reason.contains(words), "{refusal:?} for {open:?}");
    };
    check(put::Open { holder: node_id(2), ..good.clone() }, RefusalCode::Denied, "is for node").await;
    check(
        put::Open { code: ostrakon_proto::params::Code { k: 4, n: 4 }, ..good.clone() },
        RefusalCode::BadRequest,
        "invalid code",
    )
    .await;
    check(put::Open { index: 4, ..good.clone() }, RefusalCode::BadRequest, "column index 4").await;
    check(put::Open { extent: 5000, ..good.clone() }, RefusalCode::BadRequest, "extent").await;
    check(put::Open { until: Epoch(0), ..good.clone() }, RefusalCode::Denied, "must end after epoch 0").await;
    check(put::Open { until: Epoch(u64::MAX), ..good.clone() }, RefusalCode::Denied, "must end after epoch 0").await;
    check(put::Open { ask: Amount(good.ask.0 - 1), ..good.clone() }, RefusalCode::Denied, "by the draw").await;
    check(put::Open { reserve: 0, ..good.clone() }, RefusalCode::BadRequest, "bytes").await;
    check(put::Open { reserve: limits::COLUMN + 1, ..good.clone() }, RefusalCode::BadRequest, "bytes").await;
    check(put::Open { draw: Draw { epoch: Epoch(9), number: 0 }, ..good.clone() }, RefusalCode::Busy, "epoch 9").await;
    let last = Draw { epoch: Epoch(0), number: world.genesis.params.draws };
    check(put::Open { draw: last, ..good.clone() }, RefusalCode::Denied, "16 draws").await;

    let mut request = world.sign(&good);
    if let put::PutRequest::Open { signature: Signature(bytes), .. } = &mut request {
        bytes[10] ^= 1;
    }
    assert_eq!(code(client.put(1, &request, Bytes::new()).await), RefusalCode::Denied);
    let poor = ostrakon_proto::sign::Keypair::from_seed(&[9; 32]);
    let open = put::Open { account: poor.public(), ..good.clone() };
    let signature = poor.sign(Purpose::Put, &world.genesis.id(), &open);
    assert_eq!(
        code(client.put(1, &put::PutRequest::Open { open, signature, manifest: 0 }, Bytes::new()).await),
        RefusalCode::NoCredit
    );
    let opened = Ok(put::PutResponse::Opened(put::Taken::default()));
    assert_eq!(client.put(1, &world.sign(&good), Bytes::new()).await, opened);
}

/// Accounts fill the space for what is not paid for bit by bit, and an account with more money gets some all the same.
#[tokio::test(start_paused = true)]
async fn space_for_what_is_not_paid_for_is_shared() {
    let world = World::new(4);
    let nodes = world.start_all().await;
    let (client, object) = (world.client(250), TestObject::new(1000, CODE));
    let poor: Vec<Keypair> = (41..=44).map(|number| Keypair::from_seed(&[number; 32])).collect();
    for (nonce, key) in (0..).zip(&poor) {
        let pay = Action::Transfer(Transfer { to: key.public(), amount: Amount(200) });
        client.submit(1, &world.tx(nonce, Height(100), pay)).await.expect("taken");
    }
    let paid = async || client.account(&world, 1, world.payer()).await.nonce == 4;
    crate::world::until("all have money", paid).await;

    let upload = |who: usize, number: u8| {
        let mut upload = put::UploadId([number; 16]);
        upload.0[0] = u8::try_from(who).expect("few");
        upload
    };
    let open = |key: &Keypair, upload, reserve| {
        let open = put::Open { account: key.public(), upload, reserve, ..world.open(1, &object, 2) };
        let signature = key.sign(Purpose::Put, &world.genesis.id(), &open);
        put::PutRequest::Open { open, signature, manifest: 0 }
    };
    let mut opened = Vec::new();
    for (who, key) in poor.iter().enumerate() {
        let mut number = 0;
        let refused = loop {
            match client.put(1, &open(key, upload(who, number), 1), Bytes::new()).await {
                Ok(_) => number += 1,
                Err(refusal) => break refusal,
            }
        };
        assert_eq!(refused.code, RefusalCode::Full, "{refused}");
        opened.push(number);
    }
    // A tenth of a gibibyte has 102 of these, each charged with a manifest; a third of what is left is the most. The
    // twelfth of the last account has twice the standing of the first one's, and needs the space of four of them.
    assert_eq!(opened, [25, 19, 14, 12]);
    let left = 25 - 4 + 19 + 14 + 12;
    assert_eq!(nodes[1].1.columns.usage().temporary_bytes, left);

    let large = open(&world.account, upload(9, 9), 9 << 20);
    assert_eq!(client.put(1, &large, Bytes::new()).await, Ok(put::PutResponse::Opened(put::Taken::default())));
    let send = async |number| {
        let chunk = put::PutRequest::Chunk { upload: upload(0, number), offset: 0 };
        client.put(1, &chunk, Bytes::from_static(b"x")).await.map_err(|refusal| refusal.code)
    };
    for number in 0..8 {
        assert_eq!(send(number).await, Err(RefusalCode::NotFound), "four more had to yield");
    }
    assert_eq!(send(8).await, Ok(put::PutResponse::Ready { next: 1 }));
    assert_eq!(nodes[1].1.columns.usage().upload_bytes, left - 4 + (9 << 20));
}

#[tokio::test(start_paused = true)]
async fn only_drawn_nodes_take_a_column() {
    let world = World::new(5);
    let nodes = world.start_all().await;
    let narrow = ostrakon_proto::params::Code { k: 1, n: 2 };
    let (client, object) = (world.client(250), TestObject::new(1000, narrow));
    let record = nodes[0].0.chain().read(|records| records.epoch(Epoch(0))).await.expect("kept");
    let (randomness, draw_as) = (record.beacon.expect("complete"), Draw { epoch: Epoch(0), number: 0 });
    let seed = DrawSeed { randomness, account: world.payer(), draw: draw_as, extent: 0 };
    let rosters = nodes[0].0.chain().read(|records| records.rosters()).await;
    let (roster, caps) = (rosters.of(Epoch(0)).expect("kept"), Caps::of(&record.roster, narrow, 1).expect("five"));
    let drawn = draw(roster, &seed, narrow, &caps).expect("drawn");
    let drawn: Vec<NodeId> = drawn.iter().map(|candidate| candidate.provider).collect();
    assert_eq!(drawn.len(), 4);
    for number in 0..5 {
        let answer = client.put(number, &world.sign(&world.open(number, &object, 0)), Bytes::new()).await;
        assert_eq!(answer.is_ok(), drawn.contains(&node_id(number)), "node {number}: {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn uploads_that_break_their_promise_are_refused() {
    let world = World::new(4);
    let _nodes = world.start_all().await;
    let (client, other, object) = (world.client(250), world.client(251), TestObject::new(1000, CODE));
    let open = world.open(1, &object, 2);
    let upload = open.upload;
    let chunk = |offset| put::PutRequest::Chunk { upload, offset };
    let column = object.columns[2].clone();
    assert_eq!(code(client.put(1, &chunk(0), column.clone()).await), RefusalCode::NotFound);
    assert_eq!(
        code(client.put(1, &put::PutRequest::Finish { upload }, object.bytes.clone()).await),
        RefusalCode::NotFound
    );
    assert_eq!(code(client.put(1, &put::PutRequest::Abort { upload }, Bytes::new()).await), RefusalCode::NotFound);

    let begin = async || {
        let opened = Ok(put::PutResponse::Opened(put::Taken::default()));
        assert_eq!(client.put(1, &world.sign(&open), Bytes::new()).await, opened);
    };
    begin().await;
    assert_eq!(code(other.put(1, &chunk(0), column.clone()).await), RefusalCode::NotFound, "not the other's upload");
    assert_eq!(code(client.put(1, &chunk(1), column.clone()).await), RefusalCode::BadRequest);
    assert_eq!(code(client.put(1, &chunk(0), Bytes::new()).await), RefusalCode::BadRequest);
    assert_eq!(code(client.put(1, &chunk(0), vec![0; limits::CHUNK + 1]).await), RefusalCode::BadRequest);
    assert_eq!(code(client.put(1, &chunk(1 << 40), column.clone()).await), RefusalCode::BadRequest);

    let finish = async |manifest: Bytes, expect| {
        begin().await;
        assert!(client.put(1, &chunk(0), column.clone()).await.is_ok());
        assert_eq!(code(client.put(1, &put::PutRequest::Finish { upload }, manifest).await), expect);
        assert_eq!(code(client.put(1, &chunk(0), column.clone()).await), RefusalCode::NotFound, "given up");
    };
    client.put(1, &put::PutRequest::Abort { upload }, Bytes::new()).await.expect("aborted");
    finish(Bytes::from_static(b"no manifest"), RefusalCode::BadRequest).await;
    finish(TestObject::new(1000, ostrakon_proto::params::Code { k: 1, n: 4 }).bytes, RefusalCode::BadRequest).await;
    finish(TestObject::new(1001, CODE).bytes, RefusalCode::Corrupt).await;
    finish(TestObject::new(500_000, CODE).bytes, RefusalCode::Corrupt).await;
    client.store(&world, 1, &object, 2).await;
}

#[tokio::test(start_paused = true)]
async fn any_node_tells_of_the_ledger() {
    let world = World::new(4);
    let nodes = world.start_all().await;
    let client = world.client(250);
    let tip = chain::ChainRequest::Tip { from: Height(2) };
    let (header, ()) = client.answer(&world, 3, &tip).await.expect("waited for");
    assert!(header.height >= Height(2));
    assert_eq!(
        client.chain(3, &chain::ChainRequest::Head).await,
        Ok(chain::ChainResponse::Head(nodes[3].0.chain().head()))
    );
    assert_eq!(client.account(&world, 2, world.payer()).await.balance, Amount(1_000_000_000));

    let listed = chain::ChainRequest::Providers { after: None };
    let (_, all): (_, Vec<NodeId>) = client.body(1, &listed).await.expect("listed");
    assert_eq!(all.len(), 4);
    let rest = chain::ChainRequest::Providers { after: Some(all[1]) };
    assert_eq!(client.body::<Vec<NodeId>>(1, &rest).await, Ok((chain::ChainResponse::Hints, all[2..].to_vec())));
    let repairs = chain::ChainRequest::Tickets { from: TicketPlace::FIRST, limit: 0 };
    assert_eq!(client.body::<Vec<ListedTicket>>(1, &repairs).await, Ok((chain::ChainResponse::Hints, vec![])));
    let nobody = NodeId::new([77; 32]);
    let keys = [Key::Provider(all[3]), Key::Provider(nobody), Key::Epoch(Epoch(0)), Key::Epoch(Epoch(99))];
    let found = client.records(&world, 1, &keys).await;
    assert!(matches!(&found[0], Some(Record::Provider(provider)) if provider.node == all[3]));
    assert!(matches!(&found[2], Some(Record::Epoch(epoch)) if epoch.roster.providers.groups() == 4));
    assert_eq!((&found[1], &found[3]), (&None, &None), "and that is proven");
    for keys in [vec![], vec![vec![200]], vec![Key::Running.to_bytes(); limits::PAGE + 1]] {
        let request = chain::ChainRequest::Records { from: Height(1), keys };
        assert_eq!(code(client.chain(1, &request).await), RefusalCode::BadRequest);
    }

    let old = chain::ChainRequest::Block { from: Height(2), height: Height(1) };
    let (tip, block): (_, PastBlock) = client.answer(&world, 1, &old).await.expect("kept");
    let decided = block.verify(&tip, Height(1)).expect("it is on the chain");
    assert_eq!(nodes[2].0.chain().block(Height(1)).await.expect("read"), Some(decided));
    for height in [0, 1_000_000] {
        let none = chain::ChainRequest::Block { from: Height(2), height: Height(height) };
        assert_eq!(code(client.chain(1, &none).await), RefusalCode::NotFound);
    }
    let handovers = chain::ChainRequest::Handovers { from: Height(0) };
    assert_eq!(client.body::<Vec<Handover>>(1, &handovers).await, Ok((chain::ChainResponse::Hints, vec![])));

    let blocks = chain::ChainRequest::Blocks { from: Height(1) };
    let (response, body): (chain::ChainResponse, Bytes) =
        client.ask(1, Protocol::Chain, &blocks, Bytes::new()).await.expect("answered");
    assert_eq!(response, chain::ChainResponse::Blocks);
    let blocks: Vec<DecidedBlock> = ostrakon_proto::codec::decode(&body, limits::CHAIN_BODY).expect("canonical");
    assert!(blocks.len() >= 2 && blocks[0].block.header.height == Height(1));
    let (chain, set) = (world.genesis.id(), world.genesis.validator_set());
    for decided in &blocks {
        verify_header(&chain, &set, &decided.block.header, &decided.certificate).expect("decided");
    }
}

#[tokio::test(start_paused = true)]
async fn transactions_are_taken_once_and_found() {
    let world = World::new(4);
    let nodes = world.start_all().await;
    let client = world.client(250);
    let transfer =
        |amount| Action::Transfer(Transfer { to: ostrakon_proto::id::AccountId::new([1; 32]), amount: Amount(amount) });
    let tx = world.tx(0, Height(100), transfer(5));
    for _ in 0..2 {
        assert_eq!(client.submit(3, &tx).await, Ok(()));
    }
    let head = nodes[3].0.chain().head().height;
    nodes[3].0.chain().wait(Height(head.0 + 2)).await;
    assert_eq!(client.submit(3, &tx).await, Ok(()), "a block has it");
    let where_is = |id| chain::ChainRequest::Transaction { from: Height(1), id };
    let (tip, found): (_, Option<Inclusion>) = client.answer(&world, 3, &where_is(tx.id())).await.expect("answered");
    assert!(found.expect("a block has it").verify(&tip, tx.id()).expect("it is there").height < tip.height);
    let nothing: (_, Option<Inclusion>) =
        client.answer(&world, 3, &where_is(TxId::new([9; 32]))).await.expect("answered");
    assert_eq!(nothing.1, None);
    assert_eq!(client.account(&world, 3, world.payer()).await.nonce, 1);

    let activity = async |account, before, limit| {
        let request = chain::ChainRequest::Activity { from: Height(1), account, before, limit };
        let (tip, said): (_, Activity) = client.answer(&world, 3, &request).await.expect("answered");
        said.verify(&tip, &ActivityQuery { account, before, nonce: None }).expect("proven and whole")
    };
    let (paid, other) = (ostrakon_proto::id::AccountId::new([1; 32]), ostrakon_proto::id::AccountId::new([2; 32]));
    for limit in [0, 1, u32::MAX] {
        let sent = activity(world.payer(), None, limit).await;
        assert_eq!((&sent.txs[0].tx, sent.txs.len(), sent.first, sent.more), (&tx, 1, Height(1), false));
        let (received, before) = (activity(paid, None, limit).await.txs, Some(sent.txs[0].place));
        assert_eq!(received, [AccountTx::new(paid, sent.txs[0].place, sent.txs[0].time_ms, tx.clone())]);
        assert_eq!(activity(paid, before, limit).await.txs, []);
    }
    assert_eq!(activity(other, None, 5).await.txs, []);

    for (tx, expect) in [
        (world.tx(0, Height(100), transfer(6)), RefusalCode::Nonce),
        (world.tx(1, Height(0), transfer(6)), RefusalCode::Invalid),
        (world.tx(1, Height(100), transfer(u64::MAX)), RefusalCode::Invalid),
        (world.tx(99, Height(100), transfer(1)), RefusalCode::Nonce),
    ] {
        for node in [0, 3] {
            assert_eq!(code(client.submit(node, &tx).await), expect, "{tx:?}");
        }
    }
    let mut forged = world.tx(1, Height(100), transfer(6));
    forged.body.fee = Amount(9_999_999);
    assert_eq!(code(client.submit(3, &forged).await), RefusalCode::Invalid);
    let request = chain::ChainRequest::Submit { relayed: chain::Relayed::No };
    let garbage = client.ask::<_, chain::ChainResponse>(3, Protocol::Chain, &request, vec![1, 2, 3]).await;
    assert_eq!(code(garbage), RefusalCode::BadRequest);

    // What comes before its time waits for what is missing.
    let (second, first) = (world.tx(2, Height(100), transfer(2)), world.tx(1, Height(100), transfer(1)));
    assert!(client.submit(3, &second).await.is_ok() && client.submit(2, &first).await.is_ok());
    crate::world::until("both are included", async || client.account(&world, 3, world.payer()).await.nonce == 3).await;
}

/// What is submitted together is judged each by itself, in order: by an entry node and by the validator alike.
#[tokio::test(start_paused = true)]
async fn many_are_submitted_together() {
    let world = World::new(4);
    let _nodes = world.start_all().await;
    let client = world.client(250);
    let transfer = |nonce, amount| {
        let to = ostrakon_proto::id::AccountId::new([1; 32]);
        world.tx(nonce, Height(100), Action::Transfer(Transfer { to, amount: Amount(amount) }))
    };
    for (node, from) in [(3, 0), (0, 40)] {
        let mut txs: Vec<Tx> = (from..from + 40).map(|nonce| transfer(nonce, 1)).collect();
        txs[37] = transfer(from + 37, u64::MAX);
        txs[39].signature.0[3] ^= 1;
        let verdicts = client.submit_many(node, &txs, chain::Relayed::No).await.expect("answered");
        let taken: Vec<usize> = (0..40).filter(|at| verdicts[*at].is_ok()).collect();
        // What comes behind one that is refused is not left waiting for it.
        assert_eq!(taken, (0..37).collect::<Vec<_>>());
        let codes: Vec<RefusalCode> =
            verdicts.into_iter().filter_map(Result::err).map(|refusal| refusal.code).collect();
        assert_eq!(codes, [RefusalCode::Invalid, RefusalCode::Nonce, RefusalCode::Invalid]);
        let rest: Vec<Tx> = (from + 37..from + 40).map(|nonce| transfer(nonce, 2)).collect();
        assert_eq!(client.submit_many(node, &rest, chain::Relayed::No).await, Ok(vec![Ok(()); 3]));
        assert_eq!(client.submit_many(node, &rest, chain::Relayed::Yes).await, Ok(vec![Ok(()); 3]), "they wait");
        let done = async || client.account(&world, node, world.payer()).await.nonce == from + 40;
        crate::world::until("all are included", done).await;
    }
    assert_eq!(client.submit_many(3, &[], chain::Relayed::No).await, Ok(Vec::new()));
    let too_many = vec![transfer(80, 1); limits::SUBMIT_COUNT + 1];
    assert_eq!(code(client.submit_many(3, &too_many, chain::Relayed::No).await), RefusalCode::BadRequest);
}

/// Else it would be in the pool for nothing, and hurry the next block.
#[tokio::test(start_paused = true)]
async fn a_payment_too_small_to_begin_an_account_is_refused_before_a_block() {
    let mut world = World::new(4);
    world.genesis.params.bonds.account = Amount(100);
    let nodes = world.start_all().await;
    let client = world.client(250);
    let transfer = |nonce, to, amount| {
        let to = ostrakon_proto::id::AccountId::new([to; 32]);
        world.tx(nonce, Height(100), Action::Transfer(Transfer { to, amount: Amount(amount) }))
    };
    for node in [0, 3] {
        assert_eq!(code(client.submit(node, &transfer(0, 1, 99)).await), RefusalCode::Invalid);
    }
    let verdicts = client.submit_many(3, &[transfer(0, 1, 100), transfer(1, 1, 1)], chain::Relayed::No).await;
    assert_eq!(verdicts, Ok(vec![Ok(()), Ok(())]), "the first begins the account that the second pays");
    let done = async || client.account(&world, 3, world.payer()).await.nonce == 2;
    crate::world::until("both are included", done).await;
    let height = nodes[3].0.chain().head().height;
    nodes[3].0.chain().wait(height.next()).await;
    assert_eq!(client.submit(3, &transfer(2, 1, 1)).await, Ok(()), "it exists");
}

#[tokio::test(start_paused = true)]
async fn who_sends_forgeries_is_not_listened_to_for_a_minute() {
    let world = World::new(4);
    let _nodes = world.start_all().await;
    let (forger, client) = (world.client(250), world.client(251));
    let transfer = |nonce| {
        let to = ostrakon_proto::id::AccountId::new([1; 32]);
        world.tx(nonce, Height(1_000), Action::Transfer(Transfer { to, amount: Amount(1) }))
    };
    let forged: Vec<Tx> = (0..100)
        .map(|nonce| {
            let mut tx = transfer(0);
            tx.body.nonce = nonce + 1;
            tx
        })
        .collect();
    for (node, codes) in
        [(0, [RefusalCode::Invalid, RefusalCode::Denied]), (3, [RefusalCode::Invalid, RefusalCode::Denied])]
    {
        for expect in codes {
            let verdicts = forger.submit_many(node, &forged, chain::Relayed::Yes).await.expect("answered");
            assert!(verdicts.iter().all(|verdict| matches!(verdict, Err(refusal) if refusal.code == expect)));
        }
        assert_eq!(code(forger.submit(node, &transfer(0)).await), RefusalCode::Denied);
    }
    assert_eq!(client.submit(3, &transfer(0)).await, Ok(()), "others are listened to");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(forger.submit(3, &transfer(1)).await, Ok(()));
}

/// How many requests of one node may wait is bounded; those that do not wait are still answered.
#[tokio::test(start_paused = true)]
async fn waiting_is_bounded() {
    let world = World::new(4);
    let _nodes = world.start_all().await;
    let client: &Client = &world.client(250);
    let far = chain::ChainRequest::Tip { from: Height(1_000_000) };
    let waits = (0..80).map(|_| client.chain(1, &far));
    let head = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let asked = tokio::time::Instant::now();
        client.chain(1, &chain::ChainRequest::Head).await.map(|_| asked.elapsed())
    };
    let (waited, head) = futures::future::join(futures::future::join_all(waits), head).await;
    let busy =
        waited.iter().filter(|answer| answer.as_ref().is_err_and(|refusal| refusal.code == RefusalCode::Busy)).count();
    assert_eq!(busy, 80 - super::WAITING.node);
    let took = head.expect("answered");
    assert!(took < std::time::Duration::from_secs(1), "those that wait have no turn: {took:?}");
}
