//! A network of thousands of providers, of which few run and have nearly all of the weight: what an add must know of
//! the others is little, and the holders are those that run.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use ostrakon::Genesis;
use ostrakon_proto::{
    id::{AccountId, NodeId},
    ledger::{GenesisProvider, state::Domain},
    sign::Keypair,
};
use ostrakon_tests::{
    cluster::{Cluster, Shape, is_long},
    content,
    scenarios::Stage,
};

/// The others have one part in this many of the weight together.
const PART: u64 = 10_000;

pub(crate) fn run(_stage: &Stage) -> Result<String> {
    let (nodes, providers, code, dead) = if is_long() { (60, 20_000, "20/50", 5) } else { (8, 2_000, "3/6", 1) };
    let cluster = Cluster::start(Shape::new(nodes, nodes))?;
    found_again(&cluster, providers)?;
    let (mut added, file) = (Vec::new(), cluster.files.join("file"));
    for round in 0..2 {
        let hash = content::write_file(&file, round, 1 << 20)?;
        let one = cluster.add(&file, &["--code", code])?;
        added.push((one.link.clone(), hash));
        cluster.holders(&one)?;
        // The next finds holders among those that are left.
        let dying: Vec<usize> = (1..=dead).collect();
        cluster.kill(&dying)?;
    }
    for (link, hash) in &added {
        cluster.expect_read(link, hash)?;
    }
    let running = nodes - dead;
    Ok(format!("{code} of {providers} providers, {nodes} of which ran at first, then {running}; both read back"))
}

/// Founds the network again, with so many providers.
pub(crate) fn found_again(cluster: &Cluster, providers: usize) -> Result<()> {
    let running = cluster.status()?.nodes.len();
    cluster.found_again(|genesis| {
        let mut genesis: Genesis = toml::from_str(genesis)?;
        ensure!(genesis.providers.len() == running, "every node is a provider");
        let weight: u64 = genesis.providers.iter().map(|provider| provider.capacity).sum();
        let each = weight / PART / u64::try_from(providers)?;
        genesis.providers.extend((running..providers).map(|number| absent(number, each, &genesis)).collect::<Vec<_>>());
        genesis.time_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
        Ok(toml::to_string(&genesis)?)
    })
}

/// A provider that does not run.
fn absent(number: usize, capacity: u64, genesis: &Genesis) -> GenesisProvider {
    let key = Keypair::from_seed(blake3::hash(&number.to_le_bytes()).as_bytes());
    let (owner, node): (AccountId, NodeId) = (key.public(), key.public());
    let domain = Domain {
        operator: format!("absent-{number}"),
        infrastructure: format!("absent-{}", number % 300),
        region: format!("absent-{}", number % 20),
    };
    let price = genesis.providers[0].price;
    GenesisProvider {
        owner,
        node,
        addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
        domain,
        price,
        capacity,
        bond: None,
        proven: None,
    }
}
