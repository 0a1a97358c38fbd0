//! What goes wrong in a simulated world, and when: pure, from a seed.
//!
//! In goes chance and the size of the world; out comes a list of instants and faults, each with its end where it has
//! one. Carrying them out is [`super::world`]'s. The schedule never destroys more than codes allow: at most
//! [`WIPES`] disks are lost and [`ROTTEN`] columns rot, which is less than any code in use can lose.

use std::time::Duration;

use rand_chacha::{ChaCha8Rng, rand_core::Rng};

/// Disks lost in one world at most.
pub const WIPES: usize = 2;
/// Columns that rot in one world at most.
pub const ROTTEN: usize = 2;
/// Incidents of one world.
const INCIDENTS: u64 = 8;
/// The first and the last instant of an incident, in milliseconds after the start.
const WHEN: (u64, u64) = (200, 90_000);
/// How long an incident that ends may last, in milliseconds.
const LONG: (u64, u64) = (500, 40_000);

/// Something that goes wrong, or right again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies; what it had promised is on its disk.
    Crash(usize),
    /// It starts again.
    Restart(usize),
    /// Its disk is lost, and it starts with an empty one.
    Wipe(usize),
    /// These nodes are cut off from the others.
    Partition(Vec<usize>),
    /// Every cut is healed.
    Heal,
    /// One bit of one stored column flips; which one, by this number.
    Rot(usize, u64),
    /// Its disk is full.
    Full(usize),
    /// There is room again.
    Room(usize),
    /// Reads from its disk fail.
    ReadsFail(usize),
    /// They work again.
    ReadsWork(usize),
    /// This many of a thousand messages from it are lost, and all are slow.
    Slow(usize, u16),
    /// Its network is as good as the others'.
    Quick(usize),
    /// Its clock is so many milliseconds from the true time.
    Clock(usize, i64),
}

/// A fault and when it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// After the start.
    pub at: Duration,
    /// What.
    pub fault: Fault,
}

/// A number from `least` up to before `end`.
pub fn between(chance: &mut ChaCha8Rng, least: u64, end: u64) -> u64 {
    least + chance.next_u64() % (end - least).max(1)
}

/// An index below `count`.
pub fn index(chance: &mut ChaCha8Rng, count: usize) -> usize {
    let end = u64::try_from(count).expect("a length fits 64 bits");
    usize::try_from(between(chance, 0, end)).expect("less than a length")
}

/// What goes wrong in a world of `nodes` nodes, of which so many validate, in the order of time.
pub fn schedule(chance: &mut ChaCha8Rng, nodes: usize, validators: usize) -> Vec<Step> {
    let (mut wipes, mut rotten) = (0, 0);
    let mut steps = if validators > 1 { council(chance, validators) } else { Vec::new() };
    for _ in 0..INCIDENTS {
        let (begin, length) = (between(chance, WHEN.0, WHEN.1), between(chance, LONG.0, LONG.1));
        let node = index(chance, nodes);
        let (fault, end) = match between(chance, 0, 10) {
            0..=2 => (Fault::Crash(node), Some(Fault::Restart(node))),
            3 | 4 => (Fault::Partition(minority(chance, nodes)), Some(Fault::Heal)),
            5 => (Fault::Full(node), Some(Fault::Room(node))),
            6 => (Fault::ReadsFail(node), Some(Fault::ReadsWork(node))),
            7 => (Fault::Slow(node, 300), Some(Fault::Quick(node))),
            8 if wipes < WIPES && node >= validators => {
                wipes += 1;
                (Fault::Wipe(node), None)
            }
            _ if rotten < ROTTEN => {
                rotten += 1;
                (Fault::Rot(node, chance.next_u64()), None)
            }
            _ => (Fault::Crash(node), Some(Fault::Restart(node))),
        };
        steps.push(Step { at: Duration::from_millis(begin), fault });
        steps.extend(end.map(|fault| Step { at: Duration::from_millis(begin + length), fault }));
    }
    steps.sort_by_key(|step| step.at);
    steps
}

/// What goes wrong besides where nodes from 0 on agree on blocks: they die, are cut off from each other, and disagree
/// on what time it is. At most one of them loses its disk.
pub fn council(chance: &mut ChaCha8Rng, validators: usize) -> Vec<Step> {
    let clock = |number| {
        let skew_ms = [0, 300, -300, 4_000, -4_000][index(chance, 5)];
        Step { at: Duration::ZERO, fault: Fault::Clock(number, skew_ms) }
    };
    let mut steps: Vec<Step> = (0..validators).map(clock).collect();
    for number in 0..INCIDENTS {
        let (begin, length) = (between(chance, WHEN.0, WHEN.1), between(chance, LONG.0, LONG.1));
        let node = index(chance, validators);
        let (fault, end) = match between(chance, 0, 8) {
            0..=3 => (Fault::Crash(node), Some(Fault::Restart(node))),
            4 | 5 => (Fault::Partition(minority(chance, validators)), Some(Fault::Heal)),
            6 => (Fault::Slow(node, 300), Some(Fault::Quick(node))),
            _ if number == 0 => (Fault::Wipe(node), None),
            _ => (Fault::Clock(node, [3_600_000, -3_600_000][index(chance, 2)]), Some(Fault::Clock(node, 0))),
        };
        steps.push(Step { at: Duration::from_millis(begin), fault });
        steps.extend(end.map(|fault| Step { at: Duration::from_millis(begin + length), fault }));
    }
    steps
}

/// Up to half of the nodes.
fn minority(chance: &mut ChaCha8Rng, nodes: usize) -> Vec<usize> {
    let count = 1 + index(chance, nodes / 2);
    let mut all: Vec<usize> = (0..nodes).collect();
    (0..count).map(|_| all.swap_remove(index(chance, all.len()))).collect()
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn schedules_follow_the_seed_and_keep_their_bounds() {
        let of = |seed| schedule(&mut ChaCha8Rng::seed_from_u64(seed), 40, 1);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        for seed in 0..500 {
            let steps = of(seed);
            let count = |wanted: fn(&Fault) -> bool| steps.iter().filter(|step| wanted(&step.fault)).count();
            assert!(count(|fault| matches!(fault, Fault::Wipe(_))) <= WIPES, "seed {seed}");
            assert!(count(|fault| matches!(fault, Fault::Rot(..))) <= ROTTEN, "seed {seed}");
            assert_eq!(count(|fault| matches!(fault, Fault::Wipe(0))), 0, "seed {seed}");
            assert!(steps.is_sorted_by_key(|step| step.at), "seed {seed}");
        }
    }
}
