//! A network of which a scenario watches what is stored: by the ledger's records, which the light client proves.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use ostrakon::{AccountId, Amount, Client, Commitment, Height, Link, NodeId, ObjectId, Profile, Provider};
use ostrakon_proto::{
    ledger::state::{Key, Record, Slot, SlotState},
    light::activity::AccountTx,
    params::{Code, Params},
};
use ostrakon_tests::{
    cluster::{Cluster, Shape},
    content,
};
use serde::Deserialize;
use tokio::runtime::Runtime;

/// The pause between two looks at the ledger.
const LOOK: Duration = Duration::from_millis(500);

/// An object that was added.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) link: String,
    pub(crate) id: ObjectId,
    pub(crate) hash: blake3::Hash,
}

/// Who did not prove an epoch.
#[derive(Debug, Deserialize)]
pub(crate) struct EpochProofs {
    pub(crate) amnesty: bool,
    pub(crate) missed: Vec<NodeId>,
    pub(crate) faults: Vec<RecordedFault>,
    pub(crate) faults_complete: bool,
    pub(crate) beacon: Option<String>,
}

/// What `governance propose` prints.
#[derive(Debug, Deserialize)]
struct Proposal {
    number: u64,
}

/// What there is against a provider, by one evidence.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct RecordedFault {
    pub(crate) provider: NodeId,
    pub(crate) reasons: Vec<String>,
    pub(crate) evidence: String,
}

impl EpochProofs {
    /// What there is against a node.
    pub(crate) fn of(&self, node: NodeId) -> Vec<&RecordedFault> {
        self.faults.iter().filter(|fault| fault.provider == node).collect()
    }
}

/// What an account has, and the provider that it owns, as of one block.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    pub(crate) height: Height,
    pub(crate) balance: Amount,
    pub(crate) provider: Option<Provider>,
}

/// A network, and a client that reads its ledger.
pub(crate) struct Watched {
    pub(crate) cluster: Cluster,
    runtime: Runtime,
    client: Client,
}

impl Watched {
    /// Starts a network with epochs of so many seconds, and with nodes that may join later.
    pub(crate) fn start(shape: Shape, epoch_seconds: u64, spares: usize, flags: &[&str]) -> Result<Self> {
        let (epoch, spares) = (epoch_seconds.to_string(), spares.to_string());
        let flags = [&["--epoch", &epoch, "--spares", &spares], flags].concat();
        let cluster = Cluster::start_as(shape, &flags)?;
        let runtime = Runtime::new()?;
        let client = runtime.block_on(async { Profile::open(cluster.profile())?.connect() })?;
        Ok(Self { cluster, runtime, client })
    }

    /// Adds a file of random bytes.
    pub(crate) fn add(&self, seed: u64, bytes: u64, flags: &[&str]) -> Result<Object> {
        let file = self.cluster.files.join("to-add");
        let hash = content::write_file(&file, seed, bytes)?;
        let link = self.cluster.add(&file, flags)?.link;
        let id = link.parse::<Link>().context("`add` prints a link")?.object;
        Ok(Object { link, id, hash })
    }

    /// The commitments of an object.
    pub(crate) fn commitments(&self, object: &Object) -> Result<Vec<Commitment>> {
        Ok(self.runtime.block_on(self.client.chain().object(object.id))?)
    }

    /// How many columns are stored of the extent that has fewest, and how many there should be.
    pub(crate) fn live(&self, object: &Object) -> Result<(usize, usize)> {
        let commitments = self.commitments(object)?;
        let fewest = commitments.iter().map(|made| (made.live(), made.slots.len())).min();
        fewest.context("an object that was added has a commitment")
    }

    /// The account that adds.
    pub(crate) fn account(&self) -> Result<AccountId> {
        self.client.account().context("the profile has an account")
    }

    /// The epoch in progress.
    pub(crate) fn epoch(&self) -> Result<u64> {
        Ok(self.runtime.block_on(self.client.chain().head())?.epoch.0)
    }

    /// What the ledger says of an epoch's proofs, as `ledger epoch` prints it.
    pub(crate) fn proofs_of(&self, epoch: u64) -> Result<EpochProofs> {
        self.cluster.run(&["ledger", "epoch", &epoch.to_string()])?.json()
    }

    /// The record of a provider.
    pub(crate) fn provider(&self, node: NodeId) -> Result<Provider> {
        let found = self.runtime.block_on(self.client.chain().provider(node))?;
        found.with_context(|| format!("{node} is not a provider"))
    }

    /// What an account has, and a provider.
    pub(crate) fn books(&self, account: AccountId, node: NodeId) -> Result<Books> {
        let keys = [Key::Account(account), Key::Provider(node)];
        let (header, records) = self.runtime.block_on(self.client.chain().records(&keys))?;
        let mut books = Books { height: header.height, balance: Amount::ZERO, provider: None };
        for record in records.into_iter().flatten() {
            match record {
                Record::Account(account) => books.balance = account.balance,
                Record::Provider(provider) => books.provider = Some(provider),
                other => bail!("asked for an account and a provider, and got {other:?}"),
            }
        }
        Ok(books)
    }

    /// What an account paid in fees after a block, for all that it sent.
    pub(crate) fn fees_since(&self, account: AccountId, height: Height) -> Result<Amount> {
        let activity = self.runtime.block_on(self.client.chain().activity(account, None, usize::MAX))?;
        let of_account = |entry: &&AccountTx| entry.tx.body.account == account && entry.place.height > height;
        let fees = activity.txs.iter().filter(of_account).map(|entry| entry.tx.body.fee.0);
        Ok(Amount(fees.sum()))
    }

    /// Has the account that decides alone, in a network that was started as permissioned, change parameters.
    pub(crate) fn change_params(&self, changes: &str) -> Result<()> {
        let file = self.cluster.files.join("changes.toml");
        fs::write(&file, changes)?;
        let propose = ["governance", "propose", "params", &file.to_string_lossy()];
        let Proposal { number } = self.cluster.run(&propose)?.json()?;
        self.cluster.run(&["governance", "vote", &number.to_string(), "yes"])?.expect_code(0).map(drop)
    }

    /// Waits until each extent of the objects has at least `wanted` columns, by its code, on nodes that are not `dead`,
    /// whatever the ledger knows of these; how long that took.
    fn wait_live(
        &self,
        objects: &[Object],
        dead: &[NodeId],
        limit: Duration,
        wanted: impl Fn(Code) -> u8,
    ) -> Result<Duration> {
        let since = Instant::now();
        loop {
            let mut behind = Vec::new();
            for object in objects {
                let commitments = self.commitments(object)?;
                ensure!(!commitments.is_empty(), "the ledger has {} no more", object.id);
                for Commitment { code, slots, .. } in commitments {
                    let is_live = |slot: &&Slot| slot.state == SlotState::Live && !dead.contains(&slot.provider);
                    let live = slots.iter().filter(is_live).count();
                    if live < usize::from(wanted(code)) {
                        behind.push(format!("{} has {live} of {}", object.id, code.n));
                    }
                }
            }
            if behind.is_empty() {
                return Ok(since.elapsed());
            }
            let late = since.elapsed() < limit;
            ensure!(late, "after {limit:?} not enough columns are stored: {}", behind.join(", "));
            thread::sleep(LOOK);
        }
    }

    /// The network's parameters.
    pub(crate) fn params(&self) -> Params {
        self.client.chain().rules().params.clone()
    }

    /// Waits until all objects are above the threshold at which a repair begins, without these nodes.
    pub(crate) fn wait_repaired(&self, objects: &[Object], dead: &[NodeId], limit: Duration) -> Result<Duration> {
        let params = self.params();
        self.wait_live(objects, dead, limit, |code| params.repair_threshold(code) + 1)
    }

    /// Waits until all columns of all objects are stored.
    pub(crate) fn wait_whole(&self, objects: &[Object], limit: Duration) -> Result<Duration> {
        self.wait_live(objects, &[], limit, |code| code.n)
    }

    /// What the ledger calls these nodes.
    pub(crate) fn names(&self, indexes: &[usize]) -> Result<Vec<NodeId>> {
        let nodes = self.cluster.status()?.nodes;
        let name = |index: &usize| {
            let node = nodes.iter().find(|node| node.index == *index).context("a node of the network")?;
            node.provider.parse().context("a node's name")
        };
        indexes.iter().map(name).collect()
    }

    /// Reads each object, and compares.
    pub(crate) fn read_all(&self, objects: &[Object]) -> Result<()> {
        for object in objects {
            self.cluster.expect_read(&object.link, &object.hash)?;
        }
        Ok(())
    }

    /// The indexes of nodes that do not validate, the spare ones last.
    pub(crate) fn holders(&self) -> Result<Vec<usize>> {
        let nodes = self.cluster.status()?.nodes;
        Ok(nodes.iter().filter(|node| !node.validator).map(|node| node.index).collect())
    }
}
