//! Processes die at any instant, also within a write: nobody ever contradicts itself, and nothing is lost.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use ostrakon_net::sim::SimConfig;

use super::world::{World, seeds};
use crate::chain::order::{
    OrderError,
    sign_state::{SignMemory, SignRecord, SignStore},
    wal::{Wal, WalMemory},
};

/// Numbers that follow from a seed.
pub(super) struct SeededRng(pub(super) u64);

impl SeededRng {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// Of one of so many.
    pub(super) fn index(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).expect("few");
        usize::try_from(self.below(count)).expect("few")
    }
}

/// A disk on which the process dies at some write, of which a part remains.
#[derive(Debug, Default)]
pub(super) struct Dying {
    wal: WalMemory,
    signatures: SignMemory,
    /// Writes until then, and how much of that one remains, in thousandths.
    pub(super) fuse: Mutex<Option<(u64, u64)>>,
}

impl Dying {
    /// The disk as an order sees it, with the memory of a new key.
    pub(super) fn halves(disk: &Arc<Self>) -> (Arc<dyn Wal>, Arc<dyn SignStore>) {
        disk.signatures.save(&SignRecord::unused().encode()).expect("memory");
        (Arc::new(DyingWal(Arc::clone(disk))), Arc::new(DyingSignatures(Arc::clone(disk))))
    }

    /// What is left of this write; `None` when it succeeds.
    fn burn(&self, length: usize) -> Option<usize> {
        let mut fuse = self.fuse.lock().expect("no holder panics");
        let (writes, part) = fuse.as_mut()?;
        if *writes > 0 {
            *writes -= 1;
            return None;
        }
        Some(length * usize::try_from(*part).expect("small") / 1000)
    }
}

#[derive(Debug)]
struct DyingWal(Arc<Dying>);

impl Wal for DyingWal {
    fn load(&self) -> io::Result<Vec<u8>> {
        self.0.wal.load()
    }

    fn cut(&self, length: usize) -> io::Result<()> {
        self.0.wal.cut(length)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        match self.0.burn(bytes.len()) {
            None => self.0.wal.append(bytes),
            Some(left) => {
                self.0.wal.append(&bytes[..left])?;
                Err(io::ErrorKind::Other.into())
            }
        }
    }
}

#[derive(Debug)]
struct DyingSignatures(Arc<Dying>);

impl SignStore for DyingSignatures {
    fn load(&self) -> io::Result<Option<Vec<u8>>> {
        self.0.signatures.load()
    }

    /// A slot is written whole or not at all.
    fn save(&self, bytes: &[u8]) -> io::Result<()> {
        match self.0.burn(bytes.len()) {
            None => self.0.signatures.save(bytes),
            Some(left) => {
                if left * 2 > bytes.len() {
                    self.0.signatures.save(bytes)?;
                }
                Err(io::ErrorKind::Other.into())
            }
        }
    }
}

#[test]
fn one_that_dies_at_any_write_continues_without_contradiction() {
    seeds(0..12, async |seed| {
        let (mut world, mut chance) = (World::new(seed, &[1; 4], SimConfig::default()), SeededRng(seed));
        let disks: Vec<Arc<Dying>> = (0..4).map(|_| Arc::default()).collect();
        for (machine, disk) in world.machines.iter_mut().zip(&disks) {
            (machine.wal, machine.signatures) = Dying::halves(disk);
        }
        world.start_all();
        for _ in 0..15 {
            let number = chance.index(4);
            *disks[number].fuse.lock().expect("no holder panics") = Some((chance.below(12), chance.below(1001)));
            for _ in 0..2000 {
                if !world.machines[number].runs() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert!(!world.machines[number].runs(), "an order that cannot write ends");
            world.crash(number);
            *disks[number].fuse.lock().expect("no holder panics") = None;
            tokio::time::sleep(Duration::from_millis(chance.below(1000))).await;
            world.start(number);
        }
        let height = (0..4).map(|number| world.height(number)).max().expect("four");
        world.reach(0..4, height + 5).await;
        world.check(0..4);
    });
}

#[test]
fn one_that_dies_at_any_instant_continues_without_contradiction() {
    seeds(0..12, async |seed| {
        let (mut world, mut chance) = (World::running(seed, 4), SeededRng(seed));
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(chance.below(700))).await;
            let number = chance.index(4);
            world.crash(number);
            tokio::time::sleep(Duration::from_millis(chance.below(700))).await;
            world.start(number);
        }
        let height = (0..4).map(|number| world.height(number)).max().expect("four");
        world.reach(0..4, height + 5).await;
        world.check(0..4);
    });
}

#[test]
fn one_that_dies_again_and_again_at_one_height_still_knows_what_it_said() {
    seeds(0..12, async |seed| {
        let (mut world, mut chance) = (World::new(seed, &[1; 4], SimConfig::default()), SeededRng(seed));
        let disks: Vec<Arc<Dying>> = (0..4).map(|_| Arc::default()).collect();
        for (machine, disk) in world.machines.iter_mut().zip(&disks) {
            (machine.wal, machine.signatures) = Dying::halves(disk);
        }
        // One is dead, so that nothing continues without any of the others.
        (0..3).for_each(|number| world.start(number));
        for _ in 0..30 {
            let number = chance.index(3);
            *disks[number].fuse.lock().expect("no holder panics") = Some((chance.below(6), chance.below(1001)));
            tokio::time::sleep(Duration::from_millis(chance.below(150))).await;
            world.crash(number);
            *disks[number].fuse.lock().expect("no holder panics") = None;
            world.start(number);
        }
        let height = world.height(0);
        world.reach(0..3, height + 2).await;
        world.check(0..4);
    });
}

#[test]
fn all_killed_together_resume_immediately() {
    seeds(0..12, async |seed| {
        let (mut world, mut chance) = (World::running(seed, 4), SeededRng(seed));
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(100 + chance.below(500))).await;
            (0..4).for_each(|number| world.crash(number));
            let height = (0..4).map(|number| world.height(number)).max().expect("four");
            world.start_all();
            let took = world.reach(0..4, height + 1).await;
            assert!(took < Duration::from_secs(2), "{took:?}");
        }
        world.check(0..4);
    });
}

#[test]
fn one_that_is_alone_continues_too() {
    seeds(0..6, async |seed| {
        let (mut world, mut chance) = (World::running(seed, 1), SeededRng(seed));
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(chance.below(400))).await;
            world.crash(0);
            let height = world.height(0);
            world.start(0);
            let took = world.reach([0], height + 2).await;
            assert!(took < Duration::from_secs(1), "{took:?}");
        }
        // The log is lost: nobody received what it said.
        tokio::time::sleep(Duration::from_millis(chance.below(400))).await;
        world.crash(0);
        world.machines[0].wal = Arc::new(WalMemory::default());
        let height = world.height(0);
        world.start(0);
        world.reach([0], height + 5).await;
        world.check(0..1);
    });
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_write_that_fails_ends_the_order_with_an_error() {
    let (mut world, disk) = (World::new(1, &[1], SimConfig::default()), Arc::new(Dying::default()));
    world.machines[0].wal = Arc::new(DyingWal(Arc::clone(&disk)));
    world.start_all();
    world.reach([0], 2).await;
    *disk.fuse.lock().expect("no holder panics") = Some((0, 0));
    while world.machines[0].runs() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ended = world.machines[0].ended.lock().expect("no holder panics").take();
    assert!(matches!(ended, Some(Err(OrderError::Wal(_)))), "{ended:?}");
}
