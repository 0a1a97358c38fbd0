//! Blocks come: quickly, in the right turns, and also when some validators are gone.

use std::time::Duration;

use ostrakon_net::sim::SimConfig;

use super::world::{World, seeds};
use crate::chain::order::Awaited;

#[test]
fn all_decide_the_same_blocks() {
    for count in [1, 2, 4, 7] {
        seeds(0..3, async |seed| {
            let world = World::running(seed, count);
            world.reach(0..count, 20).await;
            world.check(0..count);
            for certificate in world.machines[0].ledger.certificates() {
                assert_eq!(certificate.round, 0, "nobody is missing");
            }
            // The first block and the pace between two, and at most four trips of 20 ms.
            let slowest = world.machines[0].ledger.waits().into_iter().max().expect("twenty");
            assert!(slowest <= Duration::from_millis(200), "{slowest:?}");
        });
    }
}

#[test]
fn the_same_seed_lives_the_same_life() {
    let live = |seed| {
        let trace = std::sync::Mutex::new([0; 32]);
        seeds(seed..seed + 1, async |seed| {
            let mut world = World::running(seed, 4);
            world.reach(0..4, 5).await;
            world.crash(1);
            world.reach([0, 2, 3], 10).await;
            world.start(1);
            world.reach(0..4, 20).await;
            *trace.lock().expect("no holder panics") = world.net.trace_hash();
        });
        trace.into_inner().expect("no holder panics")
    };
    assert_eq!(live(1), live(1));
    assert_ne!(live(1), live(2));
}

#[test]
fn power_counts_and_turns_follow_it() {
    seeds(0..2, async |seed| {
        let mut world = World::new(seed, &[5, 3, 1, 1], SimConfig::default());
        world.start_all();
        world.reach(0..4, 41).await;
        world.check(0..4);
        let proposers = world.machines[0].ledger.proposers();
        let shares = (0..4).map(|number| {
            let key = world.machines[number].voter();
            proposers[1..41].iter().filter(|proposer| **proposer == key).count()
        });
        assert_eq!(shares.collect::<Vec<_>>(), [20, 12, 4, 4]);
    });
}

#[test]
fn a_dead_proposer_costs_little_and_is_passed_over() {
    seeds(0..3, async |seed| {
        let mut world = World::running(seed, 4);
        world.reach(0..4, 4).await;
        world.crash(2);
        let from = usize::try_from(world.height(0)).expect("few");
        world.reach([0, 1, 3], 44).await;
        world.check([0, 1, 3]);
        let waits = world.machines[0].ledger.waits();
        let slowest = waits[from - 1..].iter().max().expect("forty");
        assert!(*slowest < Duration::from_millis(1500), "{slowest:?}");
        // Without being passed over it would have missed one turn in four.
        let missed = waits[from - 1..].iter().filter(|wait| **wait > Duration::from_millis(500)).count();
        assert!((1..=3).contains(&missed), "{missed} of 40 turns missed");
    });
}

#[test]
fn an_idle_chain_rests_and_work_of_anyone_wakes_it() {
    seeds(0..2, async |seed| {
        let mut world = World::new(seed, &[1; 4], SimConfig::default());
        world.interval = Duration::from_secs(30);
        for machine in &world.machines {
            machine.ledger.set_work(false);
        }
        world.start_all();
        world.reach(0..4, 3).await;
        let rested = world.machines[0].ledger.waits();
        // From the start of one to the start of the next; what a block takes to be decided is not always the same.
        assert!(rested.iter().all(|wait| *wait >= Duration::from_secs(29)), "{rested:?}");
        for number in 0..4 {
            // Whether or not it is this one's turn.
            let before = world.height(0);
            tokio::time::sleep(Duration::from_secs(5)).await;
            world.machines[number].ledger.set_work(true);
            let took = world.reach(0..4, before + 1).await;
            assert!(took < Duration::from_millis(1500), "{took:?}");
            world.machines[number].ledger.set_work(false);
            // The next may have begun before.
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        world.check(0..4);
    });
}

#[test]
fn two_of_four_decide_nothing_and_resume_when_a_third_is_back() {
    seeds(0..3, async |seed| {
        let mut world = World::running(seed, 4);
        world.reach(0..4, 5).await;
        world.crash(0);
        world.crash(1);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let before = world.height(2).max(world.height(3));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(world.height(2).max(world.height(3)) <= before + 1, "what was decided before may arrive");
        let stuck = world.height(2).max(world.height(3));
        world.start(0);
        let took = world.reach([0, 2, 3], stuck + 3).await;
        assert!(took < Duration::from_secs(15), "{took:?}");
        world.check([0, 2, 3]);
    });
}

#[test]
fn a_halted_chain_reports_whom_it_waits_for() {
    seeds(0..2, async |seed| {
        let mut world = World::running(seed, 4);
        world.reach(0..4, 5).await;
        world.crash(0);
        world.crash(1);
        tokio::time::sleep(Duration::from_secs(30)).await;
        let halt = |world: &World, number: usize| world.machines[number].ledger.halt();
        let found = halt(&world, 2).expect("a halt");
        assert_eq!(found.height.0, world.height(2) + 1);
        assert!(found.elapsed >= Duration::from_secs(10), "{found:?}");
        let away = [world.machines[0].node, world.machines[1].node];
        assert!(away.iter().all(|node| found.missing.contains(node)), "{found:?}");
        assert!(!found.missing.contains(&world.machines[2].node), "{found:?}");
        assert_eq!(found.awaited, Awaited::Votes);
        world.crash(2);
        world.start(2);
        tokio::time::sleep(Duration::from_secs(15)).await;
        let asks = halt(&world, 2).expect("a halt");
        assert_eq!(asks.awaited, Awaited::LastSeen, "only one of the others answers");
        assert!(away.iter().all(|node| asks.missing.contains(node)), "{asks:?}");
        world.start(0);
        world.reach([0, 2, 3], found.height.0 + 3).await;
        assert_eq!((halt(&world, 2), halt(&world, 3)), (None, None));
    });
}

#[test]
fn a_validator_that_votes_is_synced() {
    seeds(0..2, async |seed| {
        let world = World::running(seed, 4);
        assert!(world.machines.iter().all(|machine| !machine.ledger.is_synced()), "nothing is decided yet");
        world.reach(0..4, 5).await;
        assert!(world.machines.iter().all(|machine| machine.ledger.is_synced()));
    });
}

#[test]
fn a_partition_decides_nothing_and_heals() {
    seeds(0..3, async |seed| {
        let world = World::running(seed, 4);
        world.reach(0..4, 5).await;
        let nodes: Vec<_> = world.machines.iter().map(|machine| machine.node).collect();
        world.net.partition(&[nodes[..2].to_vec(), nodes[2..].to_vec()]);
        tokio::time::sleep(Duration::from_secs(20)).await;
        let stuck = (0..4).map(|number| world.height(number)).max().expect("four");
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!((0..4).map(|number| world.height(number)).max(), Some(stuck));
        world.net.heal();
        let took = world.reach(0..4, stuck + 3).await;
        assert!(took < Duration::from_secs(12), "{took:?}");
        world.check(0..4);
    });
}

#[test]
fn a_validator_that_was_away_catches_up() {
    seeds(0..3, async |seed| {
        let mut world = World::running(seed, 4);
        world.reach(0..4, 3).await;
        world.crash(3);
        world.reach(0..3, 120).await;
        world.start(3);
        let took = world.reach([3], 120).await;
        assert!(took < Duration::from_secs(6), "{took:?}");
        let from = world.height(3);
        world.reach(0..4, from + 20).await;
        assert!(world.judge.said_from(&world.machines[3].voter(), from + 1) > 10, "it takes part again");
        world.check(0..4);
    });
}

#[test]
fn lost_messages_only_delay() {
    seeds(0..6, async |seed| {
        let config = SimConfig { loss_per_mille: 100, ..SimConfig::default() };
        let mut world = World::new(seed, &[1; 4], config);
        world.start_all();
        world.reach(0..4, 20).await;
        world.check(0..4);
    });
}
