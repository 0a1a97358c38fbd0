//! Adds while holders are dead: what is stored now, what is locked for the rest, and what is said of its repair.

use super::*;
use crate::{Repairs, StatusRepair, ledger::TicketPlace};

/// How holders fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// Their processes are gone.
    Gone,
    /// They do not respond.
    Silent,
    /// They take everything, and sign nothing.
    Unsigned,
}

impl Death {
    fn of(self, world: &World, count: usize) {
        for node in &world.nodes[1..=count] {
            match self {
                Self::Gone => world.network.crash(*node),
                Self::Silent => world.fault(*node, Fault::Silent),
                Self::Unsigned => world.fault(*node, Fault::KeepsReceipts),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_add_does_not_wait_for_the_dead() {
    let check = async |nodes: u8, dead: usize, stored: Result<usize, (usize, usize)>| {
        for (death, len) in [(Death::Gone, 1000), (Death::Silent, 3 << 20), (Death::Unsigned, 1 << 20)] {
            let world = World::on_one_machine(nodes);
            death.of(&world, dead);
            let (client, data, begun) = (world.client(), bytes(len), Instant::now());
            let added = client.add_bytes(data.clone()).epochs(10).await;
            let took = begun.elapsed();
            match (added, stored) {
                (Ok(added), Ok(stored)) => {
                    // Who takes a column and does not sign is given up late, and so may be who takes it then.
                    let most = Duration::from_secs(if let Death::Unsigned = death { 70 } else { 30 });
                    assert!(took < most, "{nodes} nodes, {dead} {death:?}: {took:?}");
                    assert_eq!(added.stored(), stored, "{nodes} nodes, {dead} {death:?}");
                    let spare = stored - usize::from(added.code.k);
                    assert_eq!(added.survives.nodes, spare, "what is stored now");
                    world.heal();
                    assert!(get(&client, &added.link).await.expect("got").0 == data);
                }
                (Err(error), Err((have, need))) => {
                    let few = matches!(error.downcast_ref(), Some(AddError::TooFewHolders { have: h, need: n, .. })
                        if (*h, *n) == (have, need));
                    assert!(few, "{nodes} nodes, {dead} {death:?}: {error}");
                }
                (added, stored) => panic!("{nodes} nodes, {dead} {death:?}: {added:?}, not {stored:?}"),
            }
        }
    };
    check(4, 1, Ok(3)).await;
    check(4, 2, Err((2, 3))).await;
    check(6, 1, Ok(5)).await;
    check(6, 2, Err((4, 5))).await;
    check(14, 2, Ok(12)).await;
    check(14, 3, Ok(11)).await;
    check(14, 5, Ok(9)).await;
    check(14, 6, Err((8, 9))).await;
}

#[tokio::test(start_paused = true)]
async fn the_repair_of_what_has_no_holder_is_paid_for_beforehand() {
    let world = World::new(14);
    let client = world.client();
    let data = bytes(20 << 20);
    let of_twelve = || client.add_bytes(data.clone()).code(Code { k: 4, n: 12 }).epochs(10);
    let quote = of_twelve().quote().await.expect("possible");
    assert_eq!(of_twelve().all().quote().await.expect("possible").repair, Amount::ZERO);

    Death::Gone.of(&world, 5);
    let before = client.balance().await.expect("known");
    let added = of_twelve().await.expect("nine do");
    let [commitment] = client.chain().object(added.link.object).await.expect("known").try_into().expect("one extent");
    assert_eq!((commitment.live(), commitment.absent().count()), (9, 3));
    assert!(commitment.fund > Amount::ZERO);
    assert_eq!(commitment.fund, quote.repair, "what was locked at most");
    let paid = before.minus(client.balance().await.expect("known")).expect("it paid");
    let locked = commitment.escrow.plus(commitment.fund).expect("small");
    let fee = paid.minus(locked).expect("both are locked");
    let most = quote.locked.plus(quote.repair).and_then(|most| most.plus(quote.fee)).expect("small");
    assert!(paid <= most && fee <= quote.fee, "{paid} of {most}, {fee} of {}", quote.fee);
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_repaired_is_shown() {
    let world = World::new(14);
    let client = world.client();
    let of_twelve = |data: &[u8]| client.add_bytes(data.to_vec()).code(Code { k: 4, n: 12 }).epochs(10);
    let whole = of_twelve(b"whole").await.expect("all are well");
    assert_eq!(client.repairs(64).await.expect("listed"), Repairs::default());

    Death::Gone.of(&world, 3);
    let added = of_twelve(b"endangered").await.expect("eleven do");
    let status = client.status(&added.link, StatusOptions { probe: false }).await.expect("known");
    let missing: Vec<u8> =
        status.slots.iter().filter(|slot| slot.state == StatusState::Missing).map(|slot| slot.index).collect();
    let since_epoch = client.chain().head().await.expect("known").epoch;
    assert_eq!((status.live, status.tolerates, missing.len()), (11, 7, 1));
    assert_eq!(status.repair, Some(StatusRepair { since_epoch, extents: 1 }));
    let other = client.status(&whole.link, StatusOptions { probe: false }).await.expect("known");
    assert_eq!((other.live, other.repair), (12, None));

    let Repairs { open, more } = client.repairs_of(added.link.object).await.expect("proven");
    let [repair] = open.as_slice() else { panic!("{open:?}") };
    assert!((repair.live, repair.threshold, more) == (11, 9, false) && repair.slots == missing, "{repair:?}");
    assert_eq!((repair.object, repair.since_epoch), (added.link.object, since_epoch));
    // Who is not drawn for it has a column already; that the others are dead is not known yet.
    let rebuilder = repair.rebuilder.expect("three are left to draw");
    assert!(world.nodes[1..=3].contains(&rebuilder), "{repair:?}");
    assert!(repair.deadline_epoch > Some(since_epoch) && repair.blocked_by.is_none(), "{repair:?}");
    assert_eq!(client.repairs(64).await.expect("listed").open, open);
    assert_eq!(client.repairs_of(whole.link.object).await.expect("proven"), Repairs::default());
    let nobody = ostrakon_proto::id::ObjectId::new([1; 32]);
    assert_eq!(client.repairs_of(nobody).await.expect_err("never added").kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_long_list_of_repairs_is_read_in_pages() {
    let world = World::new(14);
    let client = world.client();
    Death::Gone.of(&world, 3);
    for number in 0..limits::TICKETS + 3 {
        let data = number.to_le_bytes().to_vec();
        client.add_bytes(data).public().code(Code { k: 4, n: 12 }).epochs(10).await.expect("eleven do");
    }
    let check = async |most: usize, listed, more| {
        let repairs = client.repairs(most).await.expect("listed");
        let objects: BTreeSet<_> = repairs.open.iter().map(|repair| repair.object).collect();
        assert_eq!((repairs.open.len(), objects.len(), repairs.more), (listed, listed, more), "{most}");
    };
    check(1, 1, true).await;
    check(limits::TICKETS, limits::TICKETS, true).await;
    check(limits::TICKETS + 3, limits::TICKETS + 3, false).await;
    check(usize::MAX, limits::TICKETS + 3, false).await;
    let none = client.chain().tickets(TicketPlace { spare: 9, ..TicketPlace::FIRST }, 10).await;
    assert_eq!(none.expect("listed"), [], "none has so many to spare");
}
