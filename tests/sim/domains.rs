//! A whole domain is killed and wiped, and one node more, while every object lacks a column: each of ten domains, four
//! of which have a validator. All objects read immediately, and are above the threshold of repair within five minutes.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use ostrakon::Client;
use ostrakon_node::{chain::store::LedgerStore, store::Columns};
use ostrakon_proto::{
    id::Amount,
    ledger::{
        Genesis, GenesisAccount, GenesisProvider,
        state::{Slot, SlotState},
    },
    params::{Repair, Timing},
};
use ostrakon_tests::sim::{
    faults::{Fault, index},
    workload::{Read, Stored, read},
    world::{Machine, Scale, World},
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use tokio::time::{Instant, sleep};

use crate::simulate;

/// Two nodes in each domain. The code of such a network is 4/12, which is repaired from 9 columns down.
const SCALE: Scale = Scale { nodes: 20, validators: 4, domains: 10, users: 1, epoch_ms: 10_000 };
/// Nodes that are away while objects are added: of 20 so many that fewer than 12 are left.
const AWAY: usize = 9;
const OBJECTS: usize = 4;
const BYTES: usize = 100_000;
/// Five minutes: 30 epochs of a devnet, which have at most 600 blocks.
const LIMIT: Duration = Duration::from_secs(300);
const EPOCHS: u64 = 30;

/// The pace of `ostrakon devnet up`, with money for what nodes report; but the domain rule of a permanent network,
/// which a devnet lifts.
fn devnet(genesis: &mut Genesis) {
    let params = &mut genesis.params;
    params.time = Timing { block_ms: 500, window_blocks: 5, beacon_blocks: 2, ..params.time };
    params.repair = Repair { suspect_epochs: 3, turn_epochs: 1, ..params.repair };
    let balance = Amount::obols(1_000).expect("a constant that fits");
    let owner = |provider: &GenesisProvider| GenesisAccount { account: provider.owner, balance };
    genesis.accounts.extend(genesis.providers.iter().map(owner));
}

#[test]
fn any_domain_and_one_node_more_may_be_lost() {
    let next = AtomicUsize::new(0);
    let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let lives = || {
        let mine = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < SCALE.domains));
        mine.map(|domain| simulate(lose(domain))).collect::<Vec<_>>()
    };
    let lost = thread::scope(|scope| {
        let threads: Vec<_> = (0..processors).map(|_| scope.spawn(lives)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a domain's loss is survived")).collect::<Vec<_>>()
    });
    lost.iter().for_each(|said| println!("{said}"));
    assert_eq!(lost.len(), SCALE.domains);
}

/// The loss of a domain; says how long its repair took.
async fn lose(domain: usize) -> String {
    let seed = u64::try_from(domain).expect("few domains");
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut world = World::start_as(seed, SCALE, devnet, &mut chance).await;
    let stored = add_without_all(&mut world, domain, &mut chance).await;
    let reader = world.client(1, &mut chance);

    let in_domain = |number: &usize| number % SCALE.domains == domain;
    let holds = |number: usize| stored[0].slots.iter().any(|slot| slot.provider == world.machines[number].id());
    let more = (SCALE.validators..SCALE.nodes).find(|number| !in_domain(number) && holds(*number));
    let more = more.expect("of eleven holders six are neither validators nor in this domain");
    (0..SCALE.nodes).filter(in_domain).chain([more]).for_each(|number| world.destroy(number));
    let left = fewest(&world, &stored);
    assert!(left >= usize::from(stored[0].code.k), "domain {domain}: {left} columns are left");
    assert!(is_behind(&world, &stored), "domain {domain}: {left} columns are left, and nothing is to be repaired");
    read_all(&reader, &stored, domain).await;

    let (since, (epoch, height)) = (Instant::now(), clock(&world));
    while is_behind(&world, &stored) {
        let left = fewest(&world, &stored);
        assert!(since.elapsed() < LIMIT, "domain {domain}: after {LIMIT:?} an object has {left} columns");
        sleep(Duration::from_secs(1)).await;
    }
    let (seconds, now) = (since.elapsed().as_secs(), clock(&world));
    let (epochs, blocks) = (now.0 - epoch, now.1 - height);
    assert!(epochs <= EPOCHS, "domain {domain}: {epochs} epochs in {seconds} s");
    read_all(&reader, &stored, domain).await;
    format!(
        "domain {domain}: {left} columns of an object were left, and enough stored after {seconds} s, {epochs} epochs, \
         {blocks} blocks"
    )
}

/// Adds objects while nodes of other domains are away, and has these back then: each object lacks a column.
async fn add_without_all(world: &mut World, domain: usize, chance: &mut ChaCha8Rng) -> Vec<Stored> {
    let others = (SCALE.validators..SCALE.nodes).filter(|number| number % SCALE.domains != domain);
    let mut others: Vec<usize> = others.collect();
    let away = [(); AWAY].map(|()| others.swap_remove(index(chance, others.len())));
    away.iter().for_each(|number| world.crash(*number));
    let (client, mut stored) = (world.client(0, chance), Vec::new());
    for _ in 0..OBJECTS {
        let mut content = vec![0; BYTES];
        chance.fill_bytes(&mut content);
        let added = client.add_bytes(content.clone()).epochs(1_000).await;
        let added = added.unwrap_or_else(|error| panic!("domain {domain}: an add with eleven nodes: {error}"));
        stored.push(Stored { link: added.link, content, code: added.code, slots: added.slots });
    }
    for number in away {
        world.apply(&Fault::Restart(number)).await;
    }
    for object in &stored {
        let is_missing = slots(world, object).iter().any(|slot| slot.state == SlotState::Missing);
        assert!(is_missing, "domain {domain}: {} has all columns of {}", object.link, object.code);
    }
    stored
}

async fn read_all(reader: &Client, stored: &[Stored], domain: usize) {
    for object in stored {
        assert_eq!(read(reader, object).await, Read::Right, "domain {domain}: {}", object.link);
    }
}

/// A machine that runs and has the newest block.
fn newest(world: &World) -> &Machine {
    let running = world.machines.iter().filter(|machine| machine.runs());
    running.max_by_key(|machine| machine.height()).expect("most run")
}

/// Epoch and height of the ledger.
fn clock(world: &World) -> (u64, u64) {
    let tip = newest(world).ledger.view().tip();
    (tip.running.clock.epoch.0, tip.height.0)
}

/// An object's slots, as the ledger has them.
fn slots(world: &World, object: &Stored) -> Vec<Slot> {
    let of_object = newest(world).ledger.view().commitments_of(&object.link.object, 1);
    of_object.into_iter().flat_map(|commitment| commitment.slots).collect()
}

/// Columns of an object that are where the ledger has them, on machines that run.
fn live(world: &World, object: &Stored) -> usize {
    let is_live = |slot: &&Slot| {
        let holder = world.machines.iter().find(|machine| machine.runs() && machine.id() == slot.provider);
        let has = |machine: &Machine| machine.columns.column(&slot.column).is_ok_and(|info| info.is_some());
        slot.state == SlotState::Live && holder.is_some_and(has)
    };
    slots(world, object).iter().filter(is_live).count()
}

fn fewest(world: &World, stored: &[Stored]) -> usize {
    stored.iter().map(|object| live(world, object)).min().expect("there are some")
}

/// Whether an object has so few columns that it is to be repaired.
fn is_behind(world: &World, stored: &[Stored]) -> bool {
    let params = &world.genesis.params;
    stored.iter().any(|object| live(world, object) <= usize::from(params.repair_threshold(object.code)))
}
