//! A network of five nodes, all of which vote, and the first of which lies. One leaves, so that there is a handover to
//! lie about; those that are left can do without the liar.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use ostrakon::{Client, ClientParts, Profile};
use ostrakon_net::{
    AskError, Failure, Peers, Workers,
    swarm::{Swarm, SwarmConfig, SwarmHandle},
};
use ostrakon_proto::{
    id::NodeId,
    ledger::Genesis,
    sign::Keypair,
    wire::{Frame, Protocol, chain::ChainRequest},
};
use ostrakon_tests::{
    cluster::{Binaries, Cluster, NodeInfo, Running, Shape, until},
    liar,
    lies::Lie,
};
use tokio::time::sleep;

/// How long anything may take.
pub(super) const LIMIT: Duration = Duration::from_secs(60);
/// The first so many nodes tell clients their tips, the liar among them; and how much longer the liar takes.
const TIPS: usize = 3;
const MOMENT: Duration = Duration::from_millis(20);
/// The node that lies: the first of the genesis, so that who asks in order asks it first.
const LIAR: usize = 0;
/// The validator that leaves.
const LEAVES: usize = 3;

/// The network as a client sees it that hears the liar out. A client looks at the tips of three nodes before it asks
/// anything, and asks that one of them next which answered last: here, only the liar and two others tell their tips,
/// and the liar a moment after them.
#[derive(Debug)]
struct Ear {
    swarm: SwarmHandle,
    liar: NodeId,
    without_tips: Vec<NodeId>,
}

impl Peers for Ear {
    fn local(&self) -> NodeId {
        self.swarm.local()
    }

    fn learn(&self, node: NodeId, addresses: &[String]) {
        self.swarm.learn(node, addresses);
    }

    fn call(&self, to: NodeId, protocol: Protocol, request: Frame) -> BoxFuture<'static, Result<Frame, AskError>> {
        let is_tip = protocol == Protocol::Chain && matches!(request.decode(), Ok(ChainRequest::Tip { .. }));
        if is_tip && self.without_tips.contains(&to) {
            return Box::pin(async move { Err(AskError::new(to, Failure::Unreachable("by the scenario".into()))) });
        }
        let (call, is_late) = (self.swarm.call(to, protocol, request), is_tip && to == self.liar);
        Box::pin(async move {
            if is_late {
                sleep(MOMENT).await;
            }
            call.await
        })
    }
}

/// The network, and who lies in it.
pub(super) struct Network {
    pub(super) cluster: Cluster,
    pub(super) nodes: Vec<NodeInfo>,
    pub(super) genesis: Genesis,
    /// The node that lies.
    pub(super) liar: NodeId,
    account: Keypair,
    liar_dir: PathBuf,
    _process: Running,
    clients: Mutex<u64>,
}

impl Network {
    pub(super) fn start(binaries: &Binaries) -> Result<Self> {
        let cluster = Cluster::start(Shape { nodes: 5, domains: 5, validators: 5 })?;
        let nodes = cluster.status()?.nodes;
        let liar_dir = nodes[LIAR].data_dir.clone();
        cluster.kill(&[LIAR])?;
        let process = Running::start(&binaries.liar, &["run".as_ref(), "--dir".as_ref(), liar_dir.as_os_str()])?;
        let profile = Profile::open(cluster.profile())?;
        let (genesis, account) = (profile.genesis().clone(), profile.keypair().clone());
        let liar = genesis.providers.get(LIAR).context("five providers")?.node;
        let leaving = nodes[LEAVES].data_dir.to_string_lossy().into_owned();
        let leave = ["validator", "leave", "--dir", &leaving];
        Running::start(&binaries.node, &leave)?.wait(LIMIT)?.expect_code(0)?;
        let clients = Mutex::new(0);
        let network = Self { cluster, nodes, genesis, liar, account, liar_dir, _process: process, clients };
        until("the liar answers as all do", LIMIT, || {
            let listed: serde_json::Value = network.cluster.run(&["providers"])?.json()?;
            Ok(listed["providers"].as_array().is_some_and(|all| all.len() == network.nodes.len()))
        })?;
        Ok(network)
    }

    /// The id of the liar, as operators know it.
    pub(super) fn liar_id(&self) -> &str {
        &self.nodes[LIAR].provider
    }

    /// All nodes but the liar.
    pub(super) fn honest(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|index| *index != LIAR).collect()
    }

    /// From now on this is what the liar says.
    pub(super) fn lie(&self, lie: Option<Lie>) -> Result<()> {
        liar::tell_from_now_on(&self.liar_dir, lie)
    }

    /// How often it told this one.
    pub(super) fn times_told(&self, lie: Lie) -> usize {
        liar::times_told(&self.liar_dir, lie)
    }

    /// What the liar and the commands know of the chain is forgotten: the next command begins with the genesis.
    pub(super) fn forget_trust(&self) -> Result<()> {
        let path = self.cluster.profile().join("trust");
        if path.exists() { Ok(fs::remove_file(path)?) } else { Ok(()) }
    }

    /// A client that knows nothing but the genesis, and asks the liar first.
    pub(super) async fn client(&self) -> Result<Client> {
        let number = {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            *clients += 1;
            *clients
        };
        let seed = *blake3::Hasher::new_derive_key("ostrakon tests client")
            .update(&number.to_le_bytes())
            .finalize()
            .as_bytes();
        let (swarm, _nobody_asks) =
            Swarm::start_here(SwarmConfig::client(self.genesis.id(), Keypair::from_seed(&seed))).await?;
        let without_tips = self.genesis.providers.iter().skip(TIPS).map(|provider| provider.node).collect();
        let count = Mutex::new(0_u64);
        let random = move |bytes: &mut [u8]| {
            let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
            // The first random choice of a client is with which node it begins: with the first, which lies.
            if *count == 0 {
                bytes.fill(0);
            } else {
                blake3::Hasher::new_keyed(&seed).update(&count.to_le_bytes()).finalize_xof().fill(bytes);
            }
            *count += 1;
        };
        Ok(Client::new(ClientParts {
            peers: Arc::new(Ear { swarm, liar: self.liar, without_tips }),
            workers: Workers::pool(1),
            genesis: self.genesis.clone(),
            trust: None,
            clock: ostrakon::system_clock(),
            account: Some(self.account.clone()),
            random: Arc::new(random),
            profile: None,
        }))
    }
}
