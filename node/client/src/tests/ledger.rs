//! The ledger against fake nodes: payments and terms, nonces and fees, pages of transactions, checkpoints, proposals.

use ostrakon_proto::{
    ledger::{
        state::{Domain, Renewal},
        tx::{Join, Seat},
        vote::ValidatorKeys,
    },
    sign::Purpose,
};

use super::*;

#[tokio::test(start_paused = true)]
async fn money_and_terms() {
    let world = World::new(14);
    let client = world.client();
    let to = NodeId::new([9; 32]);
    let to = ostrakon_proto::id::AccountId::new(*to.bytes());
    client.transfer(to, Amount(5_000)).await.expect("paid");
    assert_eq!(client.chain().account(to).await.expect("known").balance, Amount(5_000));
    let too_much = client.transfer(to, Amount(u64::MAX)).await.expect_err("not that rich");
    assert!(matches!(too_much.downcast_ref(), Some(ChainError::Refused { .. })), "{too_much}");

    let added = add(&client, &bytes(1 << 20)).await;
    let object = added.link.object;
    assert_eq!(client.extend(object, 5, Amount::ZERO).await.expect("extended"), added.term.end.after(5));
    let before = client.balance().await.expect("known");
    client.release(object).await.expect("released");
    assert!(client.balance().await.expect("known") > before, "the escrow comes back");
    let again = client.release(object).await.expect_err("it ends with the epoch");
    assert!(matches!(again.downcast_ref(), Some(ChainError::Ending { .. })), "{again}");
    assert_eq!(client.account(), Some(account().public()));
}

/// A public object that was released is stored until the epoch ends: adding it again pays for it again.
#[tokio::test(start_paused = true)]
async fn a_public_object_that_is_ending_is_paid_for_again_when_it_is_added_again() {
    let world = World::new(14);
    let client = world.client();
    let add = async || client.add_bytes(bytes(5_000)).public().await.expect("added");
    let first = add().await;
    client.release(first.link.object).await.expect("released");
    let ends = async || {
        let made = client.chain().object(first.link.object).await.expect("stored");
        made.iter().map(|commitment| commitment.end).collect::<Vec<_>>()
    };
    assert!(ends().await.iter().all(|end| *end < first.term.end));
    let second = add().await;
    assert_eq!((second.link.object, second.term.existing), (first.link.object, true));
    assert!(second.term.end >= first.term.end && ends().await.iter().all(|end| *end == second.term.end));
}

/// With the commit, in one transaction; and where the same public object is stored already, in one of its own.
#[tokio::test(start_paused = true)]
async fn an_add_has_the_ledger_renew_what_it_stores() {
    let world = World::new(14);
    let client = world.client();
    let renewal = async |added: &Added| {
        let status = client.status(&added.link, StatusOptions { probe: false }).await.expect("known");
        status.lease.renewal.map(|renewal| renewal.epochs)
    };
    let plain = add(&client, &bytes(5_000)).await;
    assert_eq!((plain.term.renewal, renewal(&plain).await), (None, None));
    let auto = || adding(&client, &bytes(5_001)).auto_renew();
    let (fee, more) = (adding(&client, &bytes(5_001)).quote().await, auto().quote().await);
    assert!(more.expect("possible").fee > fee.expect("possible").fee, "a second action");
    let before = world.transactions();
    let added = auto().await.expect("added");
    assert_eq!(world.transactions(), before + 1);
    assert_eq!(added.term.renewal, Some(Renewal { epochs: 10, most: Amount::ZERO }));
    assert_eq!(renewal(&added).await, Some(10));

    let public = || adding(&client, &bytes(5_000)).public();
    assert_eq!(renewal(&public().await.expect("added")).await, None);
    let again = public().auto_renew().await.expect("it is there");
    assert_eq!((again.term.existing, renewal(&again).await), (true, Some(10)));
    let (before, unchanged) = (world.transactions(), public().auto_renew().await.expect("it is there"));
    assert_eq!((unchanged.term.renewal, world.transactions()), (again.term.renewal, before), "nothing is left to do");
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
    let least = client.chain().rules().params.fees.base.0;
    assert!(paid > 2 * least, "enough for some more full blocks: {paid}");
    assert_eq!(client.chain().account(account().public()).await.expect("asked").nonce, 1);
}

/// Its nonce is used and its fee is paid, so that what comes after it takes the next.
#[tokio::test(start_paused = true)]
async fn what_is_charged_is_reported_and_what_comes_next_is_included() {
    let world = World::new(4);
    let client = world.client();
    let (chain, owner) = (world.genesis.id(), account().public());
    let (keys, node) = (ValidatorKeys::from_seed(&[77; 32]), Keypair::from_seed(&[78; 32]));
    let seat = Seat { owner, key: keys.vote.public(), node: node.public(), beacon_key: keys.beacon.public() };
    let name = || "other".to_owned();
    let join = Join {
        key: seat.key,
        node: seat.node,
        addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
        beacon_key: seat.beacon_key,
        bond: world.genesis.params.bonds.validator,
        domain: Domain { operator: name(), infrastructure: name(), region: name() },
        consent: node.sign(Purpose::Seat, &chain, &seat),
        vote_consent: keys.vote.sign(Purpose::Seat, &chain, &seat),
        beacon_proof: keys.beacon.prove(b"another statement"),
    };
    let error = client.perform(Action::Join(join)).await.expect_err("the beacon key is not proven");
    let Some(ChainError::Charged { tx, height }) = error.downcast_ref() else { panic!("{error}") };
    let place = client.chain().inclusion(*tx).await.expect("known").expect("in a block");
    assert!(place.is_charged() && place.height == *height);
    client.transfer(AccountId::new([9; 32]), Amount(1_000)).await.expect("paid");
    let activity = client.chain().activity(owner, None, 10).await.expect("proven");
    let charged: Vec<bool> = activity.txs.iter().map(|entry| entry.place.is_charged()).collect();
    assert_eq!((charged, activity.account.nonce), (vec![false, true], 2));
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

/// On two machines, of which neither knows of the other: what both sign for one nonce is not one transaction.
#[tokio::test(start_paused = true)]
async fn equal_payments_of_two_clients_are_both_made_or_reported() {
    let world = World::new(14);
    let clients = [world.client_as(250), world.client_as(251)];
    let (to, amount) = (AccountId::new([9; 32]), Amount(5_000));
    let paid = futures::future::join_all(clients.iter().map(|client| client.transfer(to, amount).into_future())).await;
    let made = paid.iter().filter(|paid| paid.is_ok()).map(|_| amount.0).sum();
    let balance = clients[0].chain().account(to).await.expect("known").balance;
    assert_eq!(balance, Amount(made), "{paid:?}");
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

/// Who was away for so long that former validators could have made a chain up says where to begin.
#[tokio::test(start_paused = true)]
async fn what_is_believed_grows_old_until_a_user_says_where_to_begin() {
    let (world, to) = (World::new(4), AccountId::new([9; 32]));
    let keeps = light::trust_period_ms(&world.genesis.params);
    let client = world.client();
    let paid = client.transfer(to, Amount(5_000)).await.expect("paid");
    let newest = client.chain().head().await.expect("known");
    world.set_clock(newest.time_ms + keeps);
    assert_eq!(client.chain().account(to).await.expect("it is just young enough").balance, Amount(5_000));
    world.set_clock(newest.time_ms + keeps + 1);
    let chain = client.chain();
    let expired = |error: Error| {
        assert!(matches!(error.downcast_ref(), Some(ChainError::Expired(_))), "{error}");
        assert_eq!((error.kind(), error.hint()), (ErrorKind::Usage, Some(Hint::TrustCheckpoint)));
    };
    expired(chain.account(to).await.expect_err("too old").into());
    expired(chain.inclusion(paid.tx).await.expect_err("too old").into());
    expired(client.transfer(to, Amount(5_000)).await.expect_err("too old"));
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
    assert_eq!(chain.account(to).await.expect("young").balance, Amount(5_000));
    let young = world.client_as(248);
    young.chain().trust_checkpoint(checkpoint).await.expect("all have it");
    assert_eq!(young.chain().account(to).await.expect("proven").balance, Amount(5_000));
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
