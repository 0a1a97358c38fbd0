//! What a devnet is to be: its keys, domains, ports and genesis. Pure: seeds, ports and the time come in; what is to be
//! written comes out. Writing it is [`super::files`].

use std::path::{Path, PathBuf};

use ostrakon::{
    Amount, Domain, Genesis, Keypair, NodeId,
    ledger::{
        Audits, Bonds, GenesisAccount, GenesisProvider, GenesisValidator, Governance, Membership, Params, Repair,
        Timing, ValidatorKeys,
    },
};
use serde::{Deserialize, Serialize};

use crate::args::EPOCH_SECONDS;

/// Bytes that each node offers: more than a test can fill, whatever the disk has.
pub(crate) const CAPACITY: u64 = 1 << 40;
/// What the profile's account begins with, in obols.
const PLENTY: u64 = 1_000_000_000;
/// What each node's account begins with, in obols: enough for fees.
const POCKET: u64 = 1_000;
/// What a spare node's account begins with, in obols: enough for the bond of all that it offers as well.
const SPARE_POCKET: u64 = 5_000;
/// Price of one GiB for one epoch.
const PRICE: Amount = Amount(1_000);

/// The longest time between two blocks, in milliseconds.
const BLOCK_MS: u64 = 500;
/// Threads of one node: many nodes share this machine.
const WORKERS: usize = 4;
/// Bytes of the disk that nodes leave free: a machine to try things on may have little.
const DISK_RESERVE: u64 = 256 << 20;
/// Seconds that a drawn node has to rebuild columns, before another is drawn.
const TURN_SECONDS: u64 = 10;
/// File of a node's key in its data directory.
pub(crate) const NODE_KEY: &str = "node.key";
/// Bytes of disk for the ledger of each node.
const LEDGER_BUDGET: u64 = 1 << 30;

/// How large a devnet is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// How many nodes.
    pub(crate) nodes: u16,
    /// Over how many domains.
    pub(crate) domains: u16,
    /// How many of them validate.
    pub(crate) validators: u16,
    /// Whether the profile's account decides who takes part, instead of all who bond.
    pub(crate) permissioned: bool,
    /// Least length of an epoch.
    pub(crate) epoch_seconds: u64,
    /// How many more nodes are made, which are not in the genesis: each joins when it is started.
    pub(crate) spares: u16,
    /// Whether validators store nothing.
    pub(crate) validators_apart: bool,
}

impl Shape {
    /// So many nodes over so many domains, with one validator, open to all.
    pub(crate) const fn of(nodes: u16, domains: u16) -> Self {
        let (permissioned, validators_apart, spares) = (false, false, 0);
        Self { nodes, domains, validators: 1, permissioned, epoch_seconds: EPOCH_SECONDS, spares, validators_apart }
    }
}

/// One node that is to be.
#[derive(Debug)]
pub(crate) struct PlannedNode {
    /// Its key.
    pub(crate) key: Keypair,
    /// Seed of its validator's keys, if it validates.
    pub(crate) validator: Option<[u8; 32]>,
    /// What `devnet.toml` says of it.
    pub(crate) entry: NodeEntry,
}

/// One node of a devnet, as `devnet.toml` keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeEntry {
    /// Its number, from 0 on.
    pub(crate) index: u16,
    /// Its identity.
    pub(crate) provider: NodeId,
    /// Its TCP port on 127.0.0.1.
    pub(crate) port: u16,
    /// Whether it validates.
    pub(crate) validator: bool,
    /// Whether it is not in the genesis.
    #[serde(default)]
    pub(crate) spare: bool,
    /// What it fails together with.
    pub(crate) domain: Domain,
}

impl NodeEntry {
    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("/ip4/127.0.0.1/tcp/{}", self.port)
    }

    /// The same with the node's id, as others dial it.
    pub(crate) fn dial(&self) -> String {
        format!("{}/p2p/{}", self.address(), self.provider)
    }

    /// Its data directory in the devnet's `dir`.
    pub(crate) fn data_dir(&self, dir: &Path) -> PathBuf {
        dir.join(format!("node-{:02}", self.index))
    }
}

/// A devnet that is to be.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Key of the profile's account.
    pub(crate) account: Keypair,
    /// Who may take part, and who decides.
    pub(crate) membership: Membership,
    /// The parameter table.
    pub(crate) params: Params,
    /// Bytes that each node offers.
    pub(crate) capacity: u64,
    /// The nodes; the first ones validate.
    pub(crate) nodes: Vec<PlannedNode>,
    /// Whether those store nothing.
    validators_apart: bool,
}

impl Plan {
    /// A devnet of this shape, one node a port, with seeds from `random`.
    pub(crate) fn new(shape: Shape, ports: &[u16], mut random: impl FnMut() -> [u8; 32]) -> Self {
        let node = |(index, port): (u16, &u16)| {
            let key = Keypair::from_seed(&random());
            let beyond = index.checked_sub(shape.nodes);
            let entry = NodeEntry {
                index,
                provider: key.public(),
                port: *port,
                validator: index < shape.validators,
                spare: beyond.is_some(),
                // Those who join later are operators of their own.
                domain: domain(beyond.map_or(index % shape.domains, |beyond| shape.domains + beyond)),
            };
            let validator = entry.validator.then(&mut random);
            PlannedNode { key, validator, entry }
        };
        let nodes = (0..shape.nodes + shape.spares).zip(ports).map(node).collect();
        let account = Keypair::from_seed(&random());
        let membership = match shape.permissioned {
            true => Membership::Single { operator: account.public() },
            false => Membership::Permissionless,
        };
        let Shape { epoch_seconds, validators_apart, .. } = shape;
        Self { account, membership, params: params(epoch_seconds), capacity: CAPACITY, nodes, validators_apart }
    }

    /// The profile's account, and one of each node: what a node has to say to the ledger costs a fee.
    fn accounts(&self) -> Vec<GenesisAccount> {
        let begin = |key: &Keypair, obols| GenesisAccount {
            account: key.public(),
            balance: Amount::obols(obols).expect("a constant that fits"),
        };
        let pocket = |node: &PlannedNode| if node.entry.spare { SPARE_POCKET } else { POCKET };
        let nodes = self.nodes.iter().map(|node| begin(&node.key, pocket(node)));
        [begin(&self.account, PLENTY)].into_iter().chain(nodes).collect()
    }

    /// The genesis that makes it one network.
    pub(crate) fn genesis(&self, name: &str, time_ms: u64) -> Genesis {
        let founders = || self.nodes.iter().filter(|node| !node.entry.spare);
        let holds = |node: &&PlannedNode| !(self.validators_apart && node.entry.validator);
        Genesis {
            name: name.to_owned(),
            time_ms,
            membership: self.membership.clone(),
            params: self.params.clone(),
            accounts: self.accounts(),
            validators: self.nodes.iter().filter_map(validator).collect(),
            providers: founders().filter(holds).map(|node| provider(node, self.capacity)).collect(),
            bootstrap: founders().map(|node| node.entry.dial()).collect(),
        }
    }
}

/// Parameters of a network with epochs of this many seconds: a beacon of an eighth of an epoch's blocks, and a window
/// of a quarter of them; draws valid for an hour, longer than any upload here takes, and trash kept as long, as the
/// rules require; bonds of validators back after five minutes, and of providers after the last draw that may name them;
/// ten minutes to vote; what nobody proves for three epochs lost, and ten seconds to rebuild it before it is another's
/// turn; and no least number of domains and no share of an infrastructure, for all are on one machine.
pub(crate) fn params(epoch_seconds: u64) -> Params {
    let (epoch_ms, epochs_in) = (epoch_seconds * 1_000, |seconds: u64| seconds.div_ceil(epoch_seconds).max(2));
    let blocks = epoch_ms / BLOCK_MS;
    Params {
        time: Timing {
            epoch_ms,
            window_blocks: (blocks / 4).max(2),
            beacon_blocks: (blocks / 8).clamp(1, Timing::default().beacon_blocks),
            block_ms: BLOCK_MS,
            trash_epochs: epochs_in(3_600),
        },
        draw_epochs: epochs_in(3_600),
        min_domains: 1,
        bonds: Bonds { unbonding_epochs: epochs_in(300), ..Bonds::default() },
        governance: Governance { proposal_epochs: epochs_in(600), max_power_share: 100, max_stored_share: 100 },
        // Nobody waits for a network of one machine to trust its nodes.
        audits: Audits { ramp_epochs: 0, ..Audits::default() },
        repair: Repair {
            suspect_epochs: 3,
            turn_epochs: TURN_SECONDS.div_ceil(epoch_seconds),
            forfeit_epochs: epochs_in(600),
            lost_epochs: epochs_in(2_400),
            ..Repair::default()
        },
        ..Params::default()
    }
}

/// What `node.toml` says; the rest are the node's defaults.
#[derive(Debug, Serialize)]
struct NodeToml {
    listen: Vec<String>,
    worker_threads: usize,
    disk_reserve_bytes: u64,
    ledger_budget_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<OfferToml>,
}

/// What a spare node registers with when it is started: its owner is itself. The others are in the genesis.
#[derive(Debug, Serialize)]
struct OfferToml {
    owner_key_file: &'static str,
    addresses: Vec<String>,
    price_obols: String,
    capacity_bytes: u64,
    domain: Domain,
}

/// The configuration of a node.
///
/// # Errors
/// Never for what a plan has.
pub(crate) fn node_toml(node: &NodeEntry, capacity_bytes: u64) -> Result<String, toml::ser::Error> {
    toml::to_string(&NodeToml {
        listen: vec![node.address()],
        worker_threads: WORKERS,
        disk_reserve_bytes: DISK_RESERVE,
        ledger_budget_bytes: LEDGER_BUDGET,
        provider: node.spare.then(|| OfferToml {
            owner_key_file: NODE_KEY,
            addresses: vec![node.address()],
            price_obols: PRICE.to_string(),
            capacity_bytes,
            domain: node.domain.clone(),
        }),
    })
}

/// What the genesis says of a node that validates.
fn validator(node: &PlannedNode) -> Option<GenesisValidator> {
    let keys = ValidatorKeys::from_seed(node.validator.as_ref()?);
    Some(GenesisValidator {
        owner: node.key.public(),
        key: keys.vote.public(),
        node: node.entry.provider,
        addresses: vec![node.entry.address()],
        beacon_key: keys.beacon.public(),
        bond: Params::default().bonds.validator,
        domain: node.entry.domain.clone(),
    })
}

/// Each node is its own owner: its key is an account as well.
fn provider(node: &PlannedNode, capacity: u64) -> GenesisProvider {
    GenesisProvider {
        owner: node.key.public(),
        node: node.entry.provider,
        addresses: vec![node.entry.address()],
        domain: node.entry.domain.clone(),
        price: PRICE,
        capacity,
        bond: None,
        proven: None,
    }
}

fn domain(number: u16) -> Domain {
    Domain {
        operator: format!("operator-{number}"),
        infrastructure: format!("infra-{number}"),
        region: format!("region-{number}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn plan(nodes: u16, domains: u16) -> Plan {
        let ports: Vec<u16> = (0..nodes).map(|index| 20_000 + index).collect();
        let mut count = 0u8;
        Plan::new(Shape::of(nodes, domains), &ports, || {
            count += 1;
            [count; 32]
        })
    }

    #[test]
    fn nodes_are_spread_over_the_domains_and_one_validates() {
        let plan = plan(14, 7);
        let domains: BTreeSet<&Domain> = plan.nodes.iter().map(|node| &node.entry.domain).collect();
        let providers: BTreeSet<NodeId> = plan.nodes.iter().map(|node| node.entry.provider).collect();
        assert_eq!((plan.nodes.len(), domains.len(), providers.len()), (14, 7, 14));
        assert_eq!(plan.nodes[9].entry.domain, domain(2));
        let validators: Vec<u16> =
            plan.nodes.iter().filter(|node| node.entry.validator).map(|node| node.entry.index).collect();
        assert_eq!(validators, [0]);
    }

    #[test]
    fn the_genesis_is_valid_and_survives_its_file() {
        for (nodes, domains) in [(3, 1), (3, 3), (14, 7), (5, 9), (100, 10)] {
            let genesis = plan(nodes, domains).genesis("devnet", 1_700_000_000_000);
            genesis.validate().expect("valid");
            let text = toml::to_string(&genesis).expect("serialises");
            let read: Genesis = toml::from_str(&text).expect("parses");
            assert_eq!(read.id(), genesis.id(), "{nodes} nodes, {domains} domains");
        }
    }

    #[test]
    fn where_taking_part_is_by_permission_the_profile_s_account_decides() {
        let shape = Shape { permissioned: true, ..Shape::of(2, 2) };
        let plan = Plan::new(shape, &[20_000, 20_001], || [7; 32]);
        let genesis = plan.genesis("devnet", 1);
        assert_eq!(genesis.membership, Membership::Single { operator: plan.account.public() });
    }

    #[test]
    fn a_node_listens_where_the_genesis_says() {
        let plan = plan(2, 1);
        let text = node_toml(&plan.nodes[1].entry, 7).expect("serialises");
        let expect = "listen = [\"/ip4/127.0.0.1/tcp/20001\"]\nworker_threads = 4\n\
                      disk_reserve_bytes = 268435456\nledger_budget_bytes = 1073741824\n";
        assert_eq!(text, expect);
        let spare = node_toml(&NodeEntry { spare: true, ..plan.nodes[1].entry.clone() }, 7).expect("serialises");
        let settings: toml::Table = spare.parse().expect("parses");
        let offer = &settings["provider"];
        assert_eq!(offer["addresses"].as_array().map(|all| all[0].as_str()), Some(Some("/ip4/127.0.0.1/tcp/20001")));
        let price = offer["price_obols"].as_str();
        assert_eq!((price, offer["domain"]["operator"].as_str()), (Some("0.001"), Some("operator-0")));
    }

    #[test]
    fn spare_nodes_have_money_and_domains_of_their_own_and_are_not_in_the_genesis() {
        let shape = Shape { spares: 2, ..Shape::of(3, 2) };
        let mut count = 0u8;
        let plan = Plan::new(shape, &[1, 2, 3, 4, 5], || {
            count += 1;
            [count; 32]
        });
        let genesis = plan.genesis("devnet", 1);
        genesis.validate().expect("valid");
        assert_eq!((plan.nodes.len(), genesis.providers.len(), genesis.bootstrap.len()), (5, 3, 3));
        let spares: Vec<&Domain> =
            plan.nodes.iter().filter(|node| node.entry.spare).map(|node| &node.entry.domain).collect();
        assert_eq!(spares, [&domain(2), &domain(3)]);
        let bond = ostrakon::ledger::full_bond(&plan.params.bonds, CAPACITY, PRICE);
        assert!(genesis.accounts[4].balance > bond, "{} of {bond}", genesis.accounts[4].balance);
    }

    #[test]
    fn every_node_can_be_dialled_from_the_genesis() {
        let plan = plan(3, 3);
        let genesis = plan.genesis("devnet", 1);
        assert_eq!(genesis.bootstrap.len(), 3);
        assert!(genesis.bootstrap[2].starts_with("/ip4/127.0.0.1/tcp/20002/p2p/ostnode1"), "{}", genesis.bootstrap[2]);
        assert_eq!(genesis.providers[2].addresses, ["/ip4/127.0.0.1/tcp/20002"]);
    }
}
