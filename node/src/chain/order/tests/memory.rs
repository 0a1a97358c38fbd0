//! Disks from the past, machines that were cloned: a validator that may have forgotten what it sent does not sign.

use std::{sync::Arc, time::Duration};

use ostrakon_net::sim::{LinkConditions, SimConfig};
use ostrakon_proto::id::NodeId;

use super::world::{World, machine, seeds};
use crate::chain::order::{
    sign_state::{SignMemory, SignStore},
    wal::{Wal, WalMemory},
};

/// The disk of a machine as an image has it.
struct Image {
    log: Vec<u8>,
    signed: Option<Vec<u8>>,
    blocks: usize,
}

fn image(world: &World, number: usize) -> Image {
    let machine = &world.machines[number];
    let blocks = machine.ledger.ids().len();
    Image { log: machine.wal.load().expect("memory"), signed: machine.signatures.load().expect("memory"), blocks }
}

fn restore(world: &mut World, number: usize, image: &Image) {
    let machine = &mut world.machines[number];
    let (wal, signatures) = (WalMemory::default(), SignMemory::default());
    wal.append(&image.log).expect("memory");
    if let Some(signed) = &image.signed {
        signatures.save(signed).expect("memory");
    }
    (machine.wal, machine.signatures) = (Arc::new(wal), Arc::new(signatures));
    machine.ledger = Arc::new(machine.ledger.restored(image.blocks));
}

#[test]
fn an_old_image_of_everything_contradicts_nothing() {
    seeds(0..8, async |seed| {
        let mut world = World::running(seed, 4);
        world.reach(0..4, 5 + seed % 3).await;
        tokio::time::sleep(Duration::from_millis(seed * 23)).await;
        let old = image(&world, 3);
        tokio::time::sleep(Duration::from_millis(40 * (1 + seed % 4))).await;
        world.crash(3);
        restore(&mut world, 3, &old);
        world.start(3);
        let height = world.height(0);
        world.reach(0..4, height + 150).await;
        world.check(0..4);
        assert!(world.judge.said_from(&world.machines[3].voter(), height + 100) > 5, "it speaks again in the end");
    });
}

#[test]
fn a_very_old_image_says_nothing_of_what_is_decided() {
    seeds(0..4, async |seed| {
        let mut world = World::running(seed, 4);
        world.reach(0..4, 5).await;
        let old = image(&world, 3);
        world.reach(0..4, 60).await;
        world.crash(3);
        // The others, too, have forgotten what they received.
        for number in 0..3 {
            world.crash(number);
            world.start(number);
        }
        restore(&mut world, 3, &old);
        world.start(3);
        let height = world.height(0);
        world.reach(0..4, height + 10).await;
        world.check(0..4);
    });
}

#[test]
fn an_empty_disk_does_not_sign_at_first() {
    seeds(0..6, async |seed| {
        let mut world = World::running(seed, 4);
        world.reach(0..4, 10).await;
        tokio::time::sleep(Duration::from_millis(seed * 31)).await;
        world.crash(3);
        let nothing = Image { log: Vec::new(), signed: None, blocks: 0 };
        restore(&mut world, 3, &nothing);
        let height = world.height(0);
        world.start(3);
        world.reach(0..4, height + 150).await;
        world.check(0..4);
        assert!(world.judge.said_from(&world.machines[3].voter(), height + 100) > 5, "it speaks again in the end");
    });
}

#[test]
fn an_image_from_before_the_last_words_does_not_say_others() {
    seeds(0..16, async |seed| {
        let mut world = World::running(seed, 4);
        world.reach(0..4, 5).await;
        tokio::time::sleep(Duration::from_millis(seed * 13)).await;
        let old = image(&world, 3);
        // The height stays open, and one other is left to hear what is said.
        world.crash(0);
        world.crash(1);
        tokio::time::sleep(Duration::from_millis(150)).await;
        world.crash(3);
        restore(&mut world, 3, &old);
        for number in [0, 1, 3] {
            world.start(number);
        }
        let height = world.height(2);
        world.reach(0..4, height + 10).await;
        world.check(0..3);
        // What reached nobody is not known to anybody.
        assert_eq!(world.delivered.contradictions(&[world.machines[3].voter()]), []);
    });
}

#[test]
fn a_lost_log_silences_for_the_height() {
    let silenced = std::sync::atomic::AtomicUsize::new(0);
    seeds(0..24, async |seed| {
        let mut world = World::running(seed, 4);
        world.reach(0..4, 4).await;
        tokio::time::sleep(Duration::from_millis(seed * 17)).await;
        world.crash(2);
        world.machines[2].wal = Arc::new(WalMemory::default());
        let (key, open) = (world.machines[2].voter(), world.height(2) + 1);
        let said = world.judge.said_at(&key, open);
        world.start(2);
        world.reach(0..4, open + 40).await;
        world.check(0..4);
        if said > 0 {
            assert_eq!(world.judge.said_at(&key, open), said, "it may be locked, and does not know on what");
            silenced.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        assert!(world.judge.said_from(&key, open + 1) > 5, "it speaks again");
    });
    assert!(silenced.into_inner() > 2, "the test looked at nothing");
}

#[test]
fn a_clone_that_starts_later_never_speaks() {
    seeds(0..3, async |seed| {
        let mut world = World::running(seed, 4);
        world.reach(0..4, 10).await;
        // The same vote key on another node, with the disk as it was copied.
        let old = image(&world, 1);
        let clone = machine(&world.network, world.machines[1].key.clone(), NodeId::new([200; 32]));
        world.machines.push(clone);
        let blocks = world.machines[1].ledger.restored(old.blocks);
        restore(&mut world, 4, &Image { blocks: 0, ..old });
        world.machines[4].ledger = Arc::new(blocks);
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.start(4);
        world.reach([0, 1, 2, 3], 40).await;
        world.check(0..4);
        // Its blocks come from the others' ledgers, when it asks for them.
        world.reach([4], 40).await;
        assert!(world.machines[4].runs() && world.machines[1].runs());
        assert_eq!(world.judge.voted(&world.machines[4].node), None);
    });
}

#[test]
fn a_clone_of_one_that_is_always_late_never_speaks() {
    seeds(0..2, async |seed| {
        let mut world = World::running(seed, 4);
        world.reach(0..4, 5).await;
        let slow =
            LinkConditions { latency: Duration::from_millis(20)..=Duration::from_millis(200), loss_per_mille: 50 };
        for other in [0, 2, 3] {
            let (one, other) = (world.machines[1].node, world.machines[other].node);
            world.net.set_link(one, other, Some(slow.clone()));
            world.net.set_link(other, one, Some(slow.clone()));
        }
        let old = image(&world, 1);
        let clone = machine(&world.network, world.machines[1].key.clone(), NodeId::new([200; 32]));
        world.machines.push(clone);
        restore(&mut world, 4, &Image { blocks: 0, ..old });
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.start(4);
        world.reach([0, 2, 3], 250).await;
        world.check(0..4);
        assert_eq!(world.judge.voted(&world.machines[4].node), None);
    });
}

#[test]
fn one_that_was_silent_speaks_when_nothing_continues_without_it() {
    seeds(0..6, async |seed| {
        let mut world = World::running(seed, 4);
        world.reach(0..4, 5).await;
        let old = image(&world, 3);
        world.reach(0..4, 10).await;
        world.crash(3);
        restore(&mut world, 3, &old);
        world.start(3);
        let height = world.height(0);
        world.reach(0..4, height + 6).await;
        world.crash(0);
        world.reach(1..4, height + 20).await;
        world.check(0..4);
    });
}

#[test]
fn one_that_never_spoke_may_begin_when_it_is_needed() {
    seeds(0..3, async |seed| {
        let mut world = World::new(seed, &[1; 4], SimConfig::default());
        (0..3).for_each(|number| world.start(number));
        world.reach(0..3, 10).await;
        world.crash(0);
        world.start(3);
        world.reach(1..4, 20).await;
        world.check(0..4);
    });
}

/// A world whose second validator has two processes, the last of its machines the other one, with the same disk.
async fn with_a_copy(seed: u64, powers: &[u64]) -> World {
    let latency = Duration::from_millis(5)..=Duration::from_millis(80);
    let mut world = World::new(seed, powers, SimConfig { latency, loss_per_mille: 50, ..SimConfig::default() });
    world.interval = Duration::from_secs(20);
    world.start_all();
    world.reach(0..powers.len(), 5).await;
    world.crash(1);
    let copied = image(&world, 1);
    let clone = machine(&world.network, world.machines[1].key.clone(), NodeId::new([200; 32]));
    world.machines.push(clone);
    world.machines[powers.len()].ledger = Arc::new(world.machines[1].ledger.restored(copied.blocks));
    restore(&mut world, powers.len(), &copied);
    world
}

#[test]
fn of_two_that_start_together_one_speaks() {
    let spoke = std::sync::atomic::AtomicUsize::new(0);
    seeds(0..24, async |seed| {
        let powers = vec![1; 4 + usize::from(seed % 2 == 0)];
        let mut world = with_a_copy(seed, &powers).await;
        world.start(1);
        world.start(powers.len());
        let height = world.height(0);
        world.reach([0, 2, 3], height + 60).await;
        world.check(0..powers.len());
        let key = world.machines[1].voter();
        spoke
            .fetch_add(usize::from(world.judge.said_from(&key, height + 40) > 5), std::sync::atomic::Ordering::Relaxed);
    });
    assert!(spoke.into_inner() > 12, "one of the two is let speak, mostly immediately");
}

#[test]
fn one_that_was_let_speak_long_ago_asks_again() {
    seeds(0..4, async |seed| {
        let mut world = with_a_copy(seed, &[1; 4]).await;
        world.reach([0, 2, 3], 20).await;
        for machine in &world.machines {
            machine.ledger.set_work(false);
        }
        // Both are behind, and the chain rests: when the second one asks, the first has said nothing yet.
        world.start(1);
        tokio::time::sleep(Duration::from_secs(12)).await;
        world.start(4);
        for _ in 0..12 {
            world.reach([0, 2, 3], world.height(0) + 1).await;
        }
        world.check(0..4);
    });
}

/// A virtual machine that is cloned while it runs: both are the same process to the others.
#[test]
fn of_two_with_one_life_the_one_that_hears_the_other_stops() {
    seeds(0..3, async |seed| {
        let mut world = World::new(seed, &[1; 4], SimConfig::default());
        let clone = machine(&world.network, world.machines[1].key.clone(), NodeId::new([200; 32]));
        world.machines.push(clone);
        world.start(4);
        world.incarnations -= 1;
        [1, 0, 2, 3].into_iter().for_each(|number| world.start(number));
        world.reach(0..4, 30).await;
        // The one that the others know hears what it never said, and stops; the other receives nothing and continues.
        let last = |number: usize| world.judge.voted(&world.machines[number].node);
        assert!(last(1).is_none_or(|height| height < 10), "{:?}", last(1));
        assert!(last(4).is_some_and(|height| height >= 10) || last(1).is_some(), "{:?}", last(4));
        assert!(world.machines[1].runs());
        world.check([0, 2, 3]);
    });
}
