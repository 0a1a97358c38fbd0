//! Fake nodes that make false claims ([`ostrakon_lies`]): the client has what is true, and names the node.

use std::collections::BTreeMap;

use ostrakon_proto::audit;

use super::*;
use crate::{
    EpochFaults,
    ledger::{FaultReason, TicketPlace},
};

/// Whether the answer itself shows that it is false; of the others, only other nodes' answers do.
fn is_refuted(lie: &Lie) -> bool {
    !["old-as-new", "withheld", "no-such-transaction", "payment-left-out"].contains(&lie.name)
}

fn lie(name: &str) -> Fault {
    Fault::Lies(Lie::named(name).expect("there is such a lie"))
}

/// Clients that each begin with another node all get the truth, some find the first node out, and none blames another.
async fn first_is_caught(world: &World, lie: &Lie, truth: impl AsyncFn(&Chain)) {
    let mut caught = false;
    for number in 240..250 {
        let client = world.client_as(number);
        truth(client.chain()).await;
        let liars: Vec<NodeId> = client.chain().invalid_proofs().into_keys().collect();
        assert!(liars.is_empty() || liars == world.nodes[..1], "{lie:?}");
        caught |= !liars.is_empty();
    }
    assert!(caught, "{lie:?} is never found out");
}

/// Whatever one node claims falsely: the client returns what is true, and names the node.
#[tokio::test(start_paused = true)]
async fn every_lie_about_the_ledger_is_found_out() {
    let tables = [&proven::ANY[..], &proven::RECORDS, &proven::TRANSACTION, &proven::BLOCK];
    // The fake ledger has one validator, whose signature is never too few.
    let can_be_told = |lie: &Lie| lie.name != "too-few-signatures";
    for lie in tables.concat().into_iter().filter(is_refuted).filter(can_be_told) {
        let world = World::new(4);
        let (to, nobody) = (AccountId::new([9; 32]), ostrakon_proto::id::ObjectId::new([1; 32]));
        let paid = world.client().transfer(to, Amount(5_000)).await.expect("paid");
        world.fault(world.nodes[0], Fault::Lies(lie));
        let truth = async |chain: &Chain| {
            assert_eq!(chain.account(to).await.expect("known").balance, Amount(5_000), "{lie:?}");
            let absent = chain.object(nobody).await.expect_err("never added");
            assert!(matches!(absent, ChainError::NoObject { .. }), "{lie:?}: {absent}");
            assert_eq!(
                chain.inclusion(paid.tx).await.expect("known").map(|place| place.height),
                Some(paid.height),
                "{lie:?}"
            );
            let block = chain.block(paid.height).await.expect("known").expect("it is past");
            assert_eq!(block.block.txs.len(), 1, "{lie:?}");
        };
        first_is_caught(&world, &lie, truth).await;
    }
}

/// Whatever one node adds, changes or leaves out: the client has what is true, and names the node.
#[tokio::test(start_paused = true)]
async fn every_lie_about_an_account_s_transactions_is_found_out() {
    for lie in proven::ACTIVITY {
        let world = busy();
        world.fault(world.nodes[0], Fault::Lies(lie));
        let truth = async |chain: &Chain| {
            let all = chain.activity(account().public(), None, 100).await.expect("the others tell the truth");
            assert_eq!(amounts(&all), [5, 4, 3, 0, 2, 1], "{lie:?}");
        };
        first_is_caught(&world, &lie, truth).await;
    }
}

/// Nobody can prove a list of repairs; one that cannot be is noticed.
#[tokio::test(start_paused = true)]
async fn impossible_repairs_are_found_out() {
    for lie in hints::TICKETS {
        let world = World::new(4);
        world.fault(world.nodes[0], Fault::Lies(lie));
        let truth = async |chain: &Chain| {
            assert_eq!(chain.tickets(TicketPlace::FIRST, 100).await.expect("the others tell the truth"), []);
        };
        first_is_caught(&world, &lie, truth).await;
    }
}

/// What there is against a provider is proven, whatever nodes list.
#[tokio::test(start_paused = true)]
async fn nobody_is_accused_by_a_node_s_word() {
    for lie in hints::FAULTS {
        let world = World::new(4);
        world.fault(world.nodes[0], Fault::Lies(lie));
        let mut doubted = false;
        for number in 240..250 {
            let client = world.client_as(number);
            let summary = client.chain().epoch(None).await.expect("the others tell the truth");
            assert_eq!(summary.faults, EpochFaults::default(), "{lie:?}");
            let liars = [client.chain().contradicted(), client.chain().invalid_proofs()].map(BTreeMap::into_keys);
            doubted |= liars.into_iter().flatten().any(|node| node == world.nodes[0]);
        }
        assert!(doubted, "{lie:?}");
    }
}

/// A world whose providers never prove: once the epoch is over and settled, all holders are named, with evidence that
/// anyone can compute; and where nodes leave them out, that shows.
#[tokio::test(start_paused = true)]
async fn who_missed_an_epoch_is_listed_and_the_list_is_known_to_be_whole() {
    let world = World::hasty(9, 60, 24);
    let client = world.client();
    let pass = || (0..61).for_each(|_| world.act(&[(&crowd(), Action::Anchor(Anchor { hash: [1; 32] }))]));
    pass();
    let added = adding(&client, &bytes(5_000)).all().await.expect("added");
    pass();
    let epoch = client.chain().head().await.expect("known").epoch;
    let unsettled = client.chain().epoch(Some(epoch)).await.expect("in progress").faults;
    assert_eq!(unsettled, EpochFaults::default());
    pass();
    let summary = client.chain().epoch(Some(epoch)).await.expect("known");
    let faults = &summary.faults;
    let mut all = holders(&added);
    all.sort_unstable();
    // All are missing, so it is a storm.
    assert!(faults.is_complete && faults.amnesty && faults.missed == all, "{summary:?}");
    let beacon = summary.beacon.expect("it is over");
    let size = u64::try_from(summary.stored_bytes).expect("small") / 9;
    for fault in &faults.faults {
        assert_eq!(fault.reasons, [FaultReason::Excused]);
        assert_eq!(fault.evidence, audit::silence(&beacon, &fault.provider, size));
    }
    world.hide_faults();
    let hidden = client.chain().epoch(Some(epoch)).await.expect("known").faults;
    assert!(hidden.missed.is_empty() && !hidden.is_complete, "what all hide is missed");
}

/// What the account's record proves needs no second node; what others paid to it does.
#[tokio::test(start_paused = true)]
async fn a_node_alone_can_leave_out_no_more_than_what_others_paid() {
    for lie in proven::ACTIVITY {
        let world = busy();
        for node in &world.nodes {
            world.fault(*node, Fault::Lies(lie));
        }
        let client = world.client();
        match client.chain().activity(account().public(), None, 100).await {
            Ok(all) => assert_eq!((is_refuted(&lie), amounts(&all)), (false, vec![5, 3, 0, 1]), "{lie:?}"),
            Err(error) => {
                assert!(is_refuted(&lie) && matches!(error, ChainError::InvalidProof { .. }), "{lie:?}: {error}");
                assert_eq!(client.chain().invalid_proofs().len(), 4, "{lie:?}");
            }
        }
    }
}

/// What a node is taken at its word for is asked of others too; the one whose claim was contradicted is known.
#[tokio::test(start_paused = true)]
async fn a_contradicted_claim_is_doubted() {
    for name in ["no-such-transaction", "providers-all-hidden", "taken-and-dropped"] {
        let world = World::new(4);
        let to = AccountId::new([9; 32]);
        let mut paid = world.client().transfer(to, Amount(5_000)).await.expect("paid");
        world.fault(world.nodes[0], lie(name));
        let mut doubted = false;
        for number in 240..250 {
            let client = world.client_as(number);
            let chain = client.chain();
            assert_eq!(
                chain.inclusion(paid.tx).await.expect("known").map(|place| place.height),
                Some(paid.height),
                "{name}"
            );
            assert_eq!(chain.all_providers().await.expect("known").len(), 4, "{name}");
            paid = client.transfer(to, Amount(5_000)).await.expect("paid");
            assert!(chain.invalid_proofs().is_empty(), "{name}: a word is no proof");
            let doubts: Vec<NodeId> = chain.contradicted().into_keys().collect();
            assert!(doubts.is_empty() || doubts == world.nodes[..1], "{name}");
            doubted |= !doubts.is_empty();
        }
        assert!(doubted, "{name} is never doubted");
    }
}

/// How many providers can be drawn is proven, and does not depend on the nodes that list them.
#[tokio::test(start_paused = true)]
async fn providers_that_all_nodes_hide_are_missed() {
    let world = World::new(4);
    world.nodes.iter().for_each(|node| world.fault(*node, lie("providers-all-hidden")));
    let found = world.client().chain().all_providers().await;
    assert!(matches!(found, Err(ChainError::ProvidersMissing { listed: 0, all: 4 })), "{found:?}");
}

/// Where nobody else says anything, one node's word that there is none is not taken.
#[tokio::test(start_paused = true)]
async fn one_node_s_word_is_not_believed_while_the_others_do_not_respond() {
    let world = World::new(4);
    let paid = world.client().transfer(AccountId::new([9; 32]), Amount(5_000)).await.expect("paid");
    world.fault(world.nodes[0], lie("no-such-transaction"));
    world.nodes[1..].iter().for_each(|node| world.fault(*node, Fault::Silent));
    let client = world.client();
    let error = client.chain().inclusion(paid.tx).await.expect_err("nobody else answers");
    assert!(
        matches!(error, ChainError::Unconfirmed { node, tx } if node == world.nodes[0] && tx == paid.tx),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Network);
}

#[tokio::test(start_paused = true)]
async fn where_only_liars_answer_the_error_names_one() {
    let world = World::new(1);
    world.fault(world.nodes[0], lie("richer"));
    let error = world.client().balance().await.expect_err("no node tells the truth");
    let liar = world.nodes[0];
    let lied = |error: &ChainError| matches!(error, ChainError::InvalidProof { node, caught: 1, .. } if *node == liar);
    assert!(error.downcast_ref().is_some_and(lied), "{error}");
    assert_eq!(error.kind(), ErrorKind::Integrity);
}

/// A validator that signs a false header for clients alone is liable: the header that they were shown accuses it.
#[tokio::test(start_paused = true)]
async fn who_signed_a_false_header_is_accused() {
    let (world, keys) = (World::new(4), validator(0));
    let client = world.client();
    for _ in 0..4 {
        client.transfer(AccountId::new([9; 32]), Amount(5_000)).await.expect("paid");
    }
    let chain = client.chain();
    let mut newest = chain.head().await.expect("proven").height;
    // After an even number of blocks no tree of the history merges with the next.
    if newest.0 % 2 == 1 {
        newest = client.transfer(AccountId::new([9; 32]), Amount(5_000)).await.expect("paid").height;
    }
    let height = Height(newest.0 - 2);
    let DecidedBlock { block, certificate } = chain.block(height).await.expect("proven").expect("it is past");
    let good = CertifiedHeader { header: block.header.clone(), certificate };
    let sign = |header: Header| {
        let (height, round, block) = (header.height, 9, header.id());
        let vote = Vote { kind: VoteKind::Precommit, height, round, block: Some(block) };
        let signed = SignedVote::sign(vote, &keys.vote, &chain.rules().chain);
        let signatures = [(signed.voter, signed.signature)].into();
        CertifiedHeader { header, certificate: QuorumCertificate { height, round, block, signatures } }
    };
    let forged = sign(Header { history: [9; 32], ..block.header.clone() });
    let later = sign(Header { height: Height(newest.0 + 1), ..forged.header.clone() });
    let first = sign(Header { height: Height(0), ..forged.header.clone() });
    let none = chain.accuse(&[good.clone(), later.clone(), first.clone()]).await;
    assert_eq!(none.expect("all nodes prove the chain"), []);
    let evidence = chain.accuse(&[first, forged.clone(), good, forged, later]).await.expect("proven");
    let [one] = evidence.as_slice() else { panic!("it is one validator: {evidence:?}") };
    assert_eq!((one.accused(), one.height()), (keys.vote.public(), height));
    assert!(matches!(one, Evidence::Header(_)));
    world.act(&[(&account(), Action::Evidence(one.clone()))]);
}
