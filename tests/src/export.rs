//! What nodes of a network say of its chain, in one file for a program that is not ours: `verifier/verify.py`.
//!
//! In comes a devnet and what its commands printed; out comes a JSON file with the genesis, all blocks, handovers, a
//! snapshot, proven records, and the answers to draws with what this implementation makes of them, as bytes in
//! hexadecimal. Nothing is checked here.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use borsh::BorshSerialize;
use ostrakon::read_genesis;
use ostrakon_net::{
    Peers, ask,
    swarm::{Swarm, SwarmConfig, SwarmHandle},
};
use ostrakon_node::config::GENESIS_FILE;
use ostrakon_proto::{
    codec,
    id::{AccountId, Epoch, Height, NodeId},
    ledger::{
        DrawChance, Genesis,
        snapshot::SnapshotRestore,
        state::{Account, EpochRecord, Key, Record},
        tx::{Action, DecidedBlock},
    },
    light::CertifiedHeader,
    limits,
    params::Code,
    placement::{Caps, Draw, DrawSeed, draw},
    sign::Keypair,
    wire::{Call, chain},
};
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::{
    cluster::{Cluster, NodeInfo},
    process::until,
    stranger::id_of,
};

/// How long a node may take to have a snapshot, or a record.
const PATIENCE: Duration = Duration::from_secs(40);

/// The file, by the names that the verifier knows.
#[derive(Debug, Serialize)]
struct Written {
    genesis: String,
    blocks: Vec<String>,
    handovers: Vec<String>,
    /// The block of the snapshot, with its certificate.
    snapshot: String,
    chunks: Vec<String>,
    records: Vec<String>,
    draws: Vec<WrittenDraw>,
    /// What commands printed: lists of `blocks`, `epochs` and `added`.
    printed: Value,
}

#[derive(Debug, Serialize)]
struct WrittenDraw {
    seed: String,
    code: Code,
    answer: String,
    drawn: Vec<String>,
}

/// A state, and the newest epoch that providers can be drawn in by it.
#[derive(Debug)]
struct Snapshot {
    block: CertifiedHeader,
    chunks: Vec<String>,
    epoch: Epoch,
}

/// One node of a network, which is asked for everything.
#[derive(Debug)]
pub struct Exporter {
    runtime: Runtime,
    peers: SwarmHandle,
    node: NodeId,
    genesis: Genesis,
    text: String,
}

impl Exporter {
    /// One that asks this node.
    ///
    /// # Errors
    /// When the genesis cannot be read, or the system refuses.
    pub fn start(cluster: &Cluster, node: &NodeInfo) -> Result<Self> {
        let file = cluster.profile().join(GENESIS_FILE);
        let (genesis, text, node) = (read_genesis(&file)?, fs::read_to_string(file)?, id_of(node)?);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (peers, _nobody_asks_it) = Swarm::start(SwarmConfig::client(genesis.id(), Keypair::from_seed(&[77; 32])))?;
        let own = genesis.providers.iter().find(|provider| provider.node == node).context("it is a provider")?;
        peers.learn(node, &own.addresses);
        Ok(Self { runtime, peers, node, genesis, text })
    }

    /// Writes all up to a snapshot that is not below `height`, with the draws of every commit and, for each of `codes`,
    /// of `seeds` made-up accounts in the first and the newest epoch.
    ///
    /// # Errors
    /// When the node does not answer, or the file cannot be written.
    pub fn write(&self, file: &Path, height: u64, (seeds, codes): (u8, &[Code]), printed: Value) -> Result<()> {
        let snapshot = self.snapshot(height)?;
        let last = snapshot.block.header.height;
        let mut blocks = self.blocks(1, last)?;
        let mut draws = self.draws_of(&blocks)?;
        for (number, code) in (0..seeds).flat_map(|number| codes.iter().map(move |code| (number, *code))) {
            for epoch in [Epoch(0), snapshot.epoch] {
                let draw = Draw { epoch, number: u32::from(number) };
                draws.push(self.draw(AccountId::new([number; 32]), draw, 0, code)?);
            }
        }
        let (tip, records) = self.records(&self.keys(&blocks, snapshot.epoch))?;
        blocks.extend(self.blocks(last.0 + 1, tip)?);
        let written = Written {
            genesis: self.text.clone(),
            blocks: blocks.iter().map(hex).collect(),
            handovers: self.ask(chain::handovers(Height(0)))?.iter().map(hex).collect(),
            snapshot: hex(&snapshot.block),
            chunks: snapshot.chunks,
            records,
            draws,
            printed,
        };
        Ok(fs::write(file, serde_json::to_vec(&written)?)?)
    }

    fn ask<A: 'static>(&self, call: Call<A>) -> Result<A> {
        Ok(self.runtime.block_on(ask(&self.peers, self.node, call))?)
    }

    /// The newest snapshot, once it is not below this height.
    fn snapshot(&self, height: u64) -> Result<Snapshot> {
        let newest = || Ok::<_, anyhow::Error>(self.ask(chain::snapshots())?.pop());
        until("the node has a snapshot", PATIENCE, || Ok(newest()?.is_some_and(|one| one.header.height.0 >= height)))?;
        let block = newest()?.context("a snapshot is kept until there is another")?;
        let (mut restore, mut chunks) = (SnapshotRestore::new(block.clone()), Vec::new());
        while !restore.is_complete() {
            let chunk = self.ask(chain::snapshot_part(block.header.height, restore.after()))?;
            restore.take(&chunk)?;
            chunks.push(hex(&chunk));
        }
        let epoch = restore.finish()?.tip.running.clock.drawable().context("the first epoch is long over")?;
        Ok(Snapshot { block, chunks, epoch })
    }

    fn blocks(&self, from: u64, to: Height) -> Result<Vec<DecidedBlock>> {
        let mut blocks = Vec::new();
        let mut next = from;
        while next <= to.0 {
            let more = self.ask(chain::blocks(Height(next)))?;
            next += u64::try_from(more.len())?;
            blocks.extend(more);
        }
        Ok(blocks)
    }

    /// Some keys of each kind of record, and of some that no record has.
    fn keys(&self, blocks: &[DecidedBlock], epoch: Epoch) -> Vec<Key> {
        let mut keys = vec![Key::Running, Key::Params, Key::Charter, Key::Epoch(epoch), Key::Pulse(0)];
        keys.extend(self.genesis.accounts.iter().map(|one| Key::Account(one.account)));
        keys.extend(self.genesis.providers.iter().take(100).map(|one| Key::Provider(one.node)));
        keys.extend(self.genesis.validators.iter().map(|one| Key::Validator(one.key)));
        keys.extend((0..20).map(|number| Key::Account(AccountId::new([number; 32]))));
        for (_, action) in actions(blocks) {
            if let Action::Commit(commit) = action {
                keys.push(Key::Object(commit.object));
            }
        }
        keys
    }

    /// The answer with these records, and its height.
    fn records(&self, keys: &[Key]) -> Result<(Height, Vec<String>)> {
        let (mut tip, mut answers) = (Height(0), Vec::new());
        for page in keys.chunks(limits::PAGE) {
            let answer = self.ask(chain::records(tip, page.iter().map(Key::to_bytes).collect()))?;
            tip = answer.tip.header.height;
            answers.push(hex(&answer));
        }
        Ok((tip, answers))
    }

    fn record(&self, key: Key) -> Result<Option<Record>> {
        let answer = self.ask(chain::records(Height(0), vec![key.to_bytes()]))?;
        let value = answer.said.into_iter().next().and_then(|one| one.value);
        Ok(value.map(|value| codec::decode(&value, limits::CHAIN_BODY)).transpose()?)
    }

    fn epoch(&self, draw: Draw) -> Result<EpochRecord> {
        match self.record(Key::Epoch(draw.epoch))? {
            Some(Record::Epoch(record)) => Ok(record),
            _ => bail!("epoch {} has no record", draw.epoch.0),
        }
    }

    /// The draw of each commit.
    fn draws_of(&self, blocks: &[DecidedBlock]) -> Result<Vec<WrittenDraw>> {
        let mut draws = Vec::new();
        for (account, action) in actions(blocks) {
            if let Action::Commit(commit) = action {
                draws.push(self.draw(account, commit.draw, commit.extent, commit.code)?);
            }
        }
        Ok(draws)
    }

    fn draw(&self, account: AccountId, number: Draw, extent: u32, code: Code) -> Result<WrittenDraw> {
        let epoch = self.epoch(number)?;
        let identity = match self.record(Key::Account(account))? {
            Some(Record::Account(found)) => found.draw_identity(account),
            _ => Account::default().draw_identity(account),
        };
        let randomness = match DrawChance::of(epoch.first, identity.since, self.genesis.params.time.beacon_blocks) {
            DrawChance::Beacon => epoch.beacon.context("the epoch has a beacon")?,
            DrawChance::Pulse(number) => match self.record(Key::Pulse(number))? {
                Some(Record::Pulse(pulse)) => pulse,
                _ => bail!("pulse {number} is not there"),
            },
        };
        let seed = DrawSeed { randomness, account: identity.account, draw: number, extent };
        let answer = self.ask(chain::draw(Height(0), seed, code))?;
        let caps = Caps::of(&epoch.roster, code, self.genesis.params.min_domains)?;
        let drawn = draw(&answer.said, &seed, code, &caps)?;
        let drawn = drawn.into_iter().map(|entry| hex(&entry.provider)).collect();
        Ok(WrittenDraw { seed: hex(&seed), code, answer: hex(&answer), drawn })
    }
}

/// All actions of these blocks, with who sent them.
fn actions(blocks: &[DecidedBlock]) -> impl Iterator<Item = (AccountId, &Action)> {
    let bodies = blocks.iter().flat_map(|decided| &decided.block.txs).map(|tx| &tx.body);
    bodies.flat_map(|body| body.action.parts().iter().map(|action| (body.account, action)))
}

fn hex<T: BorshSerialize>(value: &T) -> String {
    hex::encode(codec::encode(value))
}
