//! What users do while things break: they add objects, read some of them back, and wait a while.
//!
//! In comes a client and chance; out comes a record of what was acknowledged, for [`super::checker`]. Any operation may
//! fail in a broken network; what it may never do is succeed with the wrong bytes, or fail after wrong ones.

use std::time::Duration;

use ostrakon::{AddedSlot, Client};
use ostrakon_proto::{limits::PIECE, link::Link, params::Code};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use tokio::time::sleep;

use super::{
    faults::{between, index},
    world::World,
};

/// Adds and reads of one user.
const OPERATIONS: usize = 5;
/// Sizes to store: around what begins and ends in an object, and small, because every byte is coded and hashed.
const SIZES: [usize; 8] = [0, 1, 64, 65, 1_000, PIECE, PIECE + 1, 2 * PIECE + 4_321];
/// Longest pause between two operations, in milliseconds: all of them together last about as long as the faults.
const PAUSE: u64 = 30_000;

/// An acknowledged object.
#[derive(Debug)]
pub struct Stored {
    /// What reads it.
    pub link: Link,
    /// What it is.
    pub content: Vec<u8>,
    /// Its code.
    pub code: Code,
    /// Who keeps it.
    pub slots: Vec<AddedSlot>,
}

/// Someone who uses the network.
#[derive(Debug)]
pub struct User {
    client: Client,
    chance: ChaCha8Rng,
    /// What was acknowledged.
    pub stored: Vec<Stored>,
    /// Adds that failed.
    pub failed_adds: usize,
    /// Reads that succeeded.
    pub reads: usize,
    /// Reads that gave other bytes than were stored.
    pub wrong: Vec<Link>,
}

impl User {
    /// User `number` of this world.
    pub fn new(world: &World, number: usize, chance: &mut ChaCha8Rng) -> Self {
        let client = world.client(number, chance);
        let chance = ChaCha8Rng::seed_from_u64(chance.next_u64());
        Self { client, chance, stored: Vec::new(), failed_adds: 0, reads: 0, wrong: Vec::new() }
    }

    /// Does everything this user does.
    pub async fn work(&mut self) {
        for _ in 0..OPERATIONS {
            sleep(Duration::from_millis(between(&mut self.chance, 0, PAUSE))).await;
            match between(&mut self.chance, 0, 5) {
                0..=2 => self.add().await,
                _ => self.read_one().await,
            }
        }
    }

    async fn add(&mut self) {
        let mut content = vec![0; SIZES[index(&mut self.chance, SIZES.len())]];
        self.chance.fill_bytes(&mut content);
        let code = match between(&mut self.chance, 0, 6) {
            0 => None,
            1 | 2 => Some(Code { k: 2, n: 6 }),
            3 => Some(Code { k: 3, n: 9 }),
            _ => Some(Code { k: 4, n: 12 }),
        };
        let add = self.client.add_bytes(content.clone()).epochs(1_000);
        let add = if let Some(code) = code { add.code(code) } else { add };
        let add = if between(&mut self.chance, 0, 3) == 0 { add.public() } else { add };
        match add.await {
            Ok(added) => self.stored.push(Stored { link: added.link, content, code: added.code, slots: added.slots }),
            Err(_) => self.failed_adds += 1,
        }
    }

    async fn read_one(&mut self) {
        if self.stored.is_empty() {
            return;
        }
        let stored = &self.stored[index(&mut self.chance, self.stored.len())];
        match read(&self.client, stored).await {
            Read::Right => self.reads += 1,
            Read::Wrong => self.wrong.push(stored.link.clone()),
            Read::Failed(_) => {}
        }
    }
}

/// The result of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The bytes that were stored.
    Right,
    /// Others, whether or not it then failed.
    Wrong,
    /// An error, and nothing wrong before it.
    Failed(String),
}

/// Reads an object and compares.
pub async fn read(client: &Client, stored: &Stored) -> Read {
    let mut bytes = Vec::new();
    let outcome = Box::pin(client.get(&stored.link).write_to(&mut bytes)).await;
    match outcome {
        Ok(_) if bytes == stored.content => Read::Right,
        Err(error) if stored.content.starts_with(&bytes) => Read::Failed(error.to_string()),
        _ => Read::Wrong,
    }
}
