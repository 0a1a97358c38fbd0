//! A network whose nodes are in places of their own, joined by a router: far from each other, or from their clients.
//!
//! In go places and links; out comes a network of real nodes, of which some validate and all provide, watched from one
//! place more. Clients have places and lines of their own.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use ostrakon::{Profile, Protection, key_file};
use ostrakon_net::{
    Peers, ask,
    swarm::{Swarm, SwarmConfig},
};
use ostrakon_node::chain::order::sign_state;
use ostrakon_proto::{
    id::{Amount, Height, NodeId},
    ledger::{
        Genesis, GenesisAccount, GenesisProvider, GenesisValidator, state::Domain, tx::DecidedBlock,
        vote::ValidatorKeys,
    },
    params::{Fees, Governance, Params, Timing},
    seed::Seed,
    sign::Keypair,
    wire::chain,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    process::{Daemon, until},
    router::{Link, Router, Site},
};

/// Where every node listens, in its own place.
const PORT: u16 = 4_001;
/// The longest time between two blocks, in milliseconds.
const INTERVAL_MS: u64 = 500;

/// Epochs of ten seconds.
pub(crate) fn timing() -> Timing {
    let (epoch_ms, block_ms) = (10_000, INTERVAL_MS);
    Timing { epoch_ms, window_blocks: 5, beacon_blocks: 2, block_ms, ..Timing::default() }
}
/// What a node logs, in its directory.
const LOG: &str = "node.log";
/// How long the network may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// The network.
#[derive(Debug)]
pub struct Network {
    /// What joins the places.
    pub router: Router,
    /// The nodes' places, by index: the first of them validate.
    pub places: Vec<Site>,
    /// The nodes.
    pub nodes: Vec<NodeId>,
    /// What the network began with.
    pub genesis: Genesis,
    /// The network as it is seen from the place that watches.
    pub peers: Arc<dyn Peers>,
    /// Where calls run.
    pub runtime: Runtime,
    homes: Vec<PathBuf>,
    program: PathBuf,
    // Ended before their directory is deleted.
    processes: Vec<Daemon>,
    directory: TempDir,
}

/// Places for nodes, joined by a router, and one place more.
#[derive(Debug)]
pub struct Places {
    /// What joins them: clients may have places as well.
    pub router: Router,
    places: Vec<Site>,
    watching: Site,
}

impl Places {
    /// So many places; `network` tells them from those of other routers.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new(network: u8, nodes: u8) -> Result<Self> {
        let mut router = Router::new("ost-far", network)?;
        let places = (0..nodes).map(|number| router.place(&format!("n{number}"))).collect::<Result<_>>()?;
        let watching = router.here()?;
        Ok(Self { router, places, watching })
    }
}

impl Network {
    /// A node of this program in each place, in `directory`, of which the first `validators` validate with equal power,
    /// and these accounts, all with this link. All run and have a block.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn start(
        (program, directory): (&Path, TempDir),
        (on, validators): (Places, usize),
        accounts: &[Keypair],
        link: Link,
    ) -> Result<Self> {
        let Places { router, places, watching } = on;
        let count = u8::try_from(places.len()).context("too many nodes")?;
        let keys: Vec<Keypair> = (0..count).map(|number| key("node", number)).collect();
        let genesis = genesis((&keys, validators), &places, accounts)?;
        let (mut processes, mut homes) = (Vec::new(), Vec::new());
        for (number, place) in (0..).zip(&places) {
            let home = directory.path().join(format!("node-{number}"));
            let validates = usize::from(number) < validators;
            write(&home, &keys[usize::from(number)], validates.then(|| vote_seed(number)), &genesis)?;
            processes.push(run(program, &home, place)?);
            homes.push(home);
            router.set(place, link);
        }
        router.set(&watching, Link { delay: Duration::ZERO, ..link });
        let config = SwarmConfig::client(genesis.id(), key("watch", 0));
        let (swarm, _) = Swarm::start(config)?;
        let nodes: Vec<NodeId> = keys.iter().map(Keypair::public).collect();
        for (node, place) in nodes.iter().zip(&places) {
            swarm.learn(*node, &[address(place)]);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let peers: Arc<dyn Peers> = Arc::new(swarm);
        let program = program.to_owned();
        let network = Self { router, places, nodes, genesis, peers, runtime, homes, program, processes, directory };
        network.reach(1, PATIENCE)?;
        Ok(network)
    }

    /// Kills a node and starts it again in another place, which the ledger does not have. It answers there, and nothing
    /// does where it was.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn move_to(&mut self, number: usize, place: &Site, link: Link) -> Result<()> {
        drop(self.processes.remove(number));
        self.router.set(&self.places[number], Link { is_up: false, ..link });
        self.router.set(place, link);
        self.processes.insert(number, run(&self.program, &self.homes[number], place)?);
        self.places[number] = place.clone();
        self.peers.learn(self.nodes[number], &[address(place)]);
        self.peers.reconnect(self.nodes[number]);
        until("a node answers at its new place", PATIENCE, || Ok(self.height(number).is_some()))
            .with_context(|| self.last_words())
    }

    /// The height of a node; nothing when it does not answer.
    pub fn height(&self, number: usize) -> Option<u64> {
        let head = ask(self.peers.as_ref(), self.nodes[number], chain::head());
        self.runtime.block_on(head).ok().map(|head| head.height.0)
    }

    /// The greatest height of any.
    pub fn top(&self) -> u64 {
        (0..self.nodes.len()).filter_map(|number| self.height(number)).max().unwrap_or(0)
    }

    /// Waits until all nodes have a block of this height.
    ///
    /// # Errors
    /// When they do not in time.
    pub fn reach(&self, height: u64, limit: Duration) -> Result<()> {
        let all = || Ok((0..self.nodes.len()).all(|number| self.height(number) >= Some(height)));
        until(&format!("all nodes at height {height}"), limit, all).with_context(|| {
            let heights: Vec<_> = (0..self.nodes.len()).map(|number| self.height(number)).collect();
            format!("heights {heights:?}, {} packets dropped\n{}", self.router.dropped(), self.last_words())
        })
    }

    /// Writes a profile of this account into the directory, for a client in a place of its own.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn profile(&self, name: &str, account: &Keypair) -> Result<PathBuf> {
        let home = self.directory.path().join(name);
        Profile::init_with(&home, &self.genesis, account, &Protection::None)?;
        Ok(home)
    }

    /// The end of what each node logged.
    pub fn last_words(&self) -> String {
        let words = self.homes.iter().map(|home| {
            let log = std::fs::read_to_string(home.join(LOG)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            format!("{}\n{}", home.display(), lines[lines.len().saturating_sub(8)..].join("\n"))
        });
        words.collect::<Vec<_>>().join("\n")
    }

    /// The decided blocks from `from` to `to`, as one node has them.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn blocks(&self, from: u64, to: u64) -> Result<Vec<DecidedBlock>> {
        let mut blocks: Vec<DecidedBlock> = Vec::new();
        let mut next = from;
        while next <= to {
            let more = ask(self.peers.as_ref(), self.nodes[0], chain::blocks(Height(next)));
            blocks.extend(self.runtime.block_on(more)?);
            next = blocks.last().context("no blocks in an answer")?.block.header.height.0 + 1;
        }
        blocks.retain(|decided| decided.block.header.height.0 <= to);
        Ok(blocks)
    }
}

/// The key of this kind and number: namespaces are of this machine alone, so that it need not be secret.
pub fn key(kind: &str, number: u8) -> Keypair {
    Keypair::from_seed(blake3::hash(format!("{kind} {number}").as_bytes()).as_bytes())
}

fn vote_seed(number: u8) -> [u8; 32] {
    *blake3::hash(format!("vote {number}").as_bytes()).as_bytes()
}

fn run(program: &Path, home: &Path, place: &Site) -> Result<Daemon> {
    let mut command = place.command(program);
    command.args(["run".as_ref(), "--dir".as_ref(), home.as_os_str()]);
    Daemon::start(command, &home.join(LOG))
}

fn address(place: &Site) -> String {
    format!("/ip4/{}/tcp/{PORT}", place.address)
}

/// Writes the data directory of a node, which validates if it has the seed of a vote key.
fn write(home: &Path, node: &Keypair, vote: Option<[u8; 32]>, genesis: &Genesis) -> Result<()> {
    std::fs::create_dir_all(home)?;
    let settings = format!(
        "listen = [\"/ip4/0.0.0.0/tcp/{PORT}\"]\nworker_threads = 2\n\
         disk_reserve_bytes = 1\n"
    );
    std::fs::write(home.join("node.toml"), settings)?;
    std::fs::write(home.join("genesis.toml"), toml::to_string(genesis)?)?;
    key_file::write(home.join("node.key"), &Seed::from(node.seed()))?;
    if let Some(vote) = vote {
        sign_state::begin(&home.join("sign-state"))?;
        key_file::write(home.join("validator.key"), &Seed::new(vote))?;
    }
    Ok(())
}

/// Transactions are free: a load of full blocks would otherwise raise fees until nobody can pay.
fn genesis((keys, validators): (&[Keypair], usize), places: &[Site], accounts: &[Keypair]) -> Result<Genesis> {
    let obols = |count| Amount::obols(count).context("a constant that fits");
    let (bond, balance) = (obols(100_000)?, obols(1_000)?);
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let domain = |number: usize| Domain {
        operator: format!("operator-{number}"),
        infrastructure: format!("infrastructure-{number}"),
        region: format!("region-{number}"),
    };
    let mut numbers = 0..;
    let validator = |(number, (node, place)): (usize, (&Keypair, &Site))| {
        let keys = ValidatorKeys::from_seed(&vote_seed(numbers.next().unwrap_or_default()));
        GenesisValidator {
            owner: node.public(),
            key: keys.vote.public(),
            node: node.public(),
            addresses: vec![address(place)],
            beacon_key: keys.beacon.public(),
            bond,
            domain: domain(number),
        }
    };
    let provider = |(number, (node, place)): (usize, (&Keypair, &Site))| GenesisProvider {
        owner: node.public(),
        node: node.public(),
        addresses: vec![address(place)],
        domain: domain(number),
        price: Amount(1_000),
        capacity: 1 << 36,
        bond: None,
        proven: None,
    };
    let bootstrap = keys.iter().zip(places).map(|(node, place)| {
        let id: NodeId = node.public();
        format!("{}/p2p/{id}", address(place))
    });
    Ok(Genesis {
        name: "nodes far from each other".to_owned(),
        time_ms: u64::try_from(since.as_millis())?,
        bootstrap: bootstrap.collect(),
        membership: Default::default(),
        params: Params {
            time: timing(),
            min_domains: 1,
            fees: Fees { base: Amount::ZERO, byte: Amount::ZERO },
            governance: Governance { max_power_share: 100, ..Governance::default() },
            ..Params::default()
        },
        accounts: accounts.iter().map(|key| GenesisAccount { account: key.public(), balance }).collect(),
        validators: keys.iter().zip(places).take(validators).enumerate().map(validator).collect(),
        providers: keys.iter().zip(places).enumerate().map(provider).collect(),
    })
}
