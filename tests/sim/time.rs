//! Epochs are time: neither haste nor a flood of transactions makes them pass faster, and a halt ends no term.

use std::time::Duration;

use ostrakon_node::chain::store::LedgerStore;
use ostrakon_proto::{
    id::{Amount, Epoch},
    ledger::state::EpochClock,
};
use ostrakon_tests::sim::{
    faults::Fault,
    world::{Scale, World, user_key},
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use tokio::time::{Instant, sleep};

use crate::{number, simulate};

const SCALE: Scale = Scale { nodes: 4, validators: 4, domains: 4, users: 1, epoch_ms: 60_000 };
/// The most that one validator's clock may be ahead before the others refuse its blocks.
const HURRY_MS: i64 = 9_900;
/// What each payment of the spammer has: the first begins an account.
const AMOUNT: Amount = Amount(1_000);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

fn clock(world: &World) -> EpochClock {
    world.machines[1].ledger.view().tip().running.clock
}

#[test]
fn nobody_hurries_epochs() {
    // A simulated hour takes minutes.
    let minutes = if number("OSTRAKON_LONG").is_some() { 60 } else { 2 };
    simulate(async {
        let mut chance = ChaCha8Rng::seed_from_u64(1);
        let mut world = World::start(1, SCALE, &mut chance).await;
        world.apply(&Fault::Clock(0, HURRY_MS)).await;
        let (spammer, other) = (world.client(0, &mut chance), user_key(7).public());
        let (begin, height) = (Instant::now(), world.machines[1].height());
        let spam = async {
            loop {
                let _busy = spammer.transfer(other, AMOUNT).await;
            }
        };
        tokio::select! {
            biased;
            () = spam => {}
            () = sleep(Duration::from_secs(60 * minutes)) => {}
        }
        let lived = u64::try_from(begin.elapsed().as_millis()).expect("an hour") + HURRY_MS.unsigned_abs();
        let (epochs, blocks) = (clock(&world).epoch.0, world.machines[1].height().0 - height.0);
        let due = lived / world.genesis.params.time.epoch_ms;
        let paid = world.machines[1].ledger.view().account(&user_key(0).public()).nonce;
        println!("{minutes} minutes, {blocks} blocks, {epochs} epochs of {due}");
        assert!(blocks > 60 * minutes, "{blocks} blocks: nobody was in a hurry");
        assert!(paid > 60 * minutes, "{paid} payments: there was no flood");
        assert!(epochs * 100 <= due * 101, "{epochs} epochs where {due} were due");
    });
}

#[test]
fn a_week_without_blocks_is_one_epoch() {
    simulate(async {
        let mut chance = ChaCha8Rng::seed_from_u64(2);
        let mut world = World::start(2, SCALE, &mut chance).await;
        let client = world.client(0, &mut chance);
        let added = client.add_bytes(vec![7; 1_000]).epochs(20).await.expect("all nodes are well");
        let before = clock(&world);
        (0..SCALE.nodes).for_each(|number| world.crash(number));
        sleep(WEEK).await;
        let restarted = Instant::now();
        world.recover().await;
        // The first is in the window that the old epoch still lacked.
        assert!(world.advances().await && world.advances().await, "blocks come again");
        let after = clock(&world);
        assert!(after.start_ms > before.start_ms + 6 * 86_400_000, "an epoch began after the week: {after:?}");
        let since = u64::try_from(restarted.elapsed().as_millis()).expect("minutes") / SCALE.epoch_ms;
        assert!(after.epoch <= before.epoch.after(1 + since), "{before:?} {after:?}, {since} epochs since");
        let until = client.status(&added.link, ostrakon::StatusOptions::default()).await.expect("it is there");
        assert!(after.epoch < until.lease.expires_epoch && until.lease.expires_epoch <= Epoch(before.epoch.0 + 20));
    });
}
