//! What a network of validators is to be, and its files: random keys, a genesis with a witness, free ports.

use std::{
    collections::hash_map::RandomState,
    fs,
    hash::BuildHasher,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use ostrakon::key_file;
use ostrakon_node::chain::order::sign_state;
use ostrakon_proto::{
    id::Amount,
    ledger::{
        Genesis, GenesisAccount, GenesisProvider, GenesisValidator,
        state::{Domain, Membership},
        vote::ValidatorKeys,
    },
    params::{Governance, Params},
    seed::Seed,
    sign::Keypair,
};

use crate::distant::timing;

/// Where free ports are looked for: outside of the range from which systems give ports to connections.
const PORTS: std::ops::Range<u16> = 10_240..32_768;
/// What each validator locks, in obols, and what the witness does: the least.
const BOND: u64 = 100_000;
const WITNESS_BOND: u64 = 1_000;
/// What each account begins with, in obols.
const MONEY: u64 = 1_000_000;

/// A network that is to be.
#[derive(Debug)]
pub struct Plan {
    /// What founds it.
    pub genesis: Genesis,
    /// Its validators.
    pub validators: Vec<Planned>,
    /// The witness, who listens on no port that is known before.
    pub witness: Planned,
    /// Keys of its accounts.
    pub accounts: Vec<Keypair>,
}

/// A validator that is to be.
#[derive(Debug)]
pub struct Planned {
    /// Its node's key.
    pub node: Keypair,
    seed: [u8; 32],
    port: u16,
}

impl Planned {
    fn new() -> Result<Self> {
        Ok(Self { node: Keypair::from_seed(&random()), seed: random(), port: free_port()? })
    }

    /// What it votes with.
    pub fn keys(&self) -> ValidatorKeys {
        ValidatorKeys::from_seed(&self.seed)
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("/ip4/127.0.0.1/tcp/{}", self.port)
    }
}

impl Plan {
    /// So many validators of equal power, and so many accounts.
    ///
    /// # Errors
    /// When no ports are free.
    pub fn new(validators: usize, accounts: usize) -> Result<Self> {
        let all = (0..validators).map(|_| Planned::new()).collect::<Result<Vec<_>>>()?;
        let accounts: Vec<Keypair> = (0..accounts).map(|_| Keypair::from_seed(&random())).collect();
        let witness = Planned::new()?;
        let genesis = genesis(&all, &witness, &accounts)?;
        Ok(Self { genesis, validators: all, witness, accounts })
    }
}

/// Writes the data directory of a validator, who finds the witness at this address.
///
/// # Errors
/// When the disk refuses.
pub(super) fn write(home: &Path, planned: &Planned, genesis: &Genesis, witness: &str) -> Result<()> {
    fs::create_dir_all(home)?;
    let settings = format!(
        "listen = [\"{}\"]\nbootstrap = [\"{witness}\"]\nworker_threads = 2\n\
         disk_reserve_bytes = 1\n",
        planned.address()
    );
    fs::write(home.join("node.toml"), settings)?;
    fs::write(home.join("genesis.toml"), toml::to_string(genesis)?)?;
    key_file::write(home.join("node.key"), &Seed::from(planned.node.seed()))?;
    sign_state::begin(&home.join("sign-state"))?;
    key_file::write(home.join("validator.key"), &Seed::new(planned.seed))?;
    Ok(())
}

fn genesis(all: &[Planned], witness: &Planned, accounts: &[Keypair]) -> Result<Genesis> {
    let obols = |count| Amount::obols(count).context("a constant that fits");
    let mut bonded: Vec<(&Planned, u64)> = all.iter().map(|planned| (planned, BOND)).collect();
    bonded.push((witness, WITNESS_BOND));
    let validator = |(number, (planned, bond)): (usize, (&Planned, u64))| {
        let keys = planned.keys();
        Ok(GenesisValidator {
            owner: planned.node.public(),
            key: keys.vote.public(),
            node: planned.node.public(),
            addresses: vec![planned.address()],
            beacon_key: keys.beacon.public(),
            bond: obols(bond)?,
            domain: domain(number),
        })
    };
    let provider = |(planned, number): (&Planned, usize)| GenesisProvider {
        owner: planned.node.public(),
        node: planned.node.public(),
        addresses: vec![planned.address()],
        domain: domain(number),
        price: Amount(1_000),
        capacity: 1 << 30,
        bond: None,
        proven: None,
    };
    let balance = obols(MONEY)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(Genesis {
        name: "validators under watch".to_owned(),
        time_ms: u64::try_from(since.as_millis())?,
        bootstrap: vec![],
        membership: Membership::default(),
        params: Params {
            time: timing(),
            min_domains: 1,
            // Four that are nearly equal each have a fourth.
            governance: Governance { max_power_share: 100, ..Governance::default() },
            ..Params::default()
        },
        accounts: accounts.iter().map(|key| GenesisAccount { account: key.public(), balance }).collect(),
        validators: bonded.into_iter().enumerate().map(validator).collect::<Result<Vec<_>>>()?,
        providers: all.iter().zip(0..).map(provider).collect(),
    })
}

fn domain(number: usize) -> Domain {
    Domain {
        operator: format!("operator-{number}"),
        infrastructure: format!("infrastructure-{number}"),
        region: format!("region-{number}"),
    }
}

/// A port on which nobody listens now.
fn free_port() -> Result<u16> {
    let span = u64::from(PORTS.end - PORTS.start);
    let candidates = (0..1_000).map(|_| {
        let [at, ..] = random();
        let at = u64::from(at) * 256 + u64::from(random()[0]);
        PORTS.start + u16::try_from(at % span).expect("less than a u16's span")
    });
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    candidates.into_iter().find(free).context("no port is free on 127.0.0.1")
}

/// Bytes that nobody knows before: networks of two runs never mix.
fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    for (number, part) in bytes.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&RandomState::new().hash_one(number).to_le_bytes());
    }
    bytes
}
