//! A network as its clients see it: chain/1 over libp2p, and every block checked by its certificate.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use ostrakon::Profile;
use ostrakon_benches::devnet::Devnet;
use ostrakon_net::{
    Peers, identity,
    swarm::{Swarm, SwarmConfig},
};
use ostrakon_proto::{
    codec,
    id::{AccountId, Height, NodeId},
    ledger::{
        Rules,
        state::{Account, Key, Record},
        tx::DecidedBlock,
        verify_header,
        vote::ValidatorSet,
    },
    light::{Answer, CertifiedHeader, ProvenRecord, records},
    limits,
    sign::Keypair,
    wire::{
        Frame, Protocol, Refusal,
        chain::{Head, Relayed, Request, Response},
    },
};

/// A network, joined.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    peers: Arc<dyn Peers>,
    /// Its nodes, by index.
    nodes: Vec<NodeId>,
    set: ValidatorSet,
    rules: Rules,
    treasurer: Keypair,
}

impl Network {
    /// Joins this devnet, with its account.
    ///
    /// # Errors
    /// When its profile cannot be read, or no network is had.
    pub(crate) fn join(devnet: &Devnet) -> Result<Self> {
        let profile = Profile::open(devnet.profile())?;
        let genesis = profile.genesis();
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).context("the system gives no randomness")?;
        let (swarm, _nobody_asks) = Swarm::start(SwarmConfig::client(genesis.id(), Keypair::from_seed(&seed)))?;
        let peers: Arc<dyn Peers> = Arc::new(swarm);
        let learn = |address: &String| {
            let (node, address) = identity::parse_address(address).context("a devnet says where its nodes are")?;
            peers.learn(node, &[address]);
            Ok(node)
        };
        let nodes = devnet.api().iter().map(learn).collect::<Result<_>>()?;
        let (set, rules, treasurer) = (genesis.validator_set(), Rules::from(genesis), profile.keypair().clone());
        Ok(Self { peers, nodes, set, rules, treasurer })
    }

    /// The rules of its ledger.
    pub(crate) const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Who has all the money.
    pub(crate) const fn treasurer(&self) -> &Keypair {
        &self.treasurer
    }

    /// The tip of node `index`.
    ///
    /// # Errors
    /// When it does not say.
    pub(crate) async fn head(&self, index: usize) -> Result<Head> {
        match self.ask(index, &Request::Head, Bytes::new()).await? {
            (Response::Head(head), _) => Ok(head),
            (other, _) => bail!("asked for its tip, a node says {other:?}"),
        }
    }

    /// Accounts as of the tip of node `index`, each proven against the tip's certificate.
    ///
    /// # Errors
    /// When it does not say, or does not prove it.
    pub(crate) async fn accounts(&self, index: usize, ids: &[AccountId]) -> Result<Vec<Account>> {
        let keys: Vec<Key> = ids.iter().map(|id| Key::Account(*id)).collect();
        let request = Request::Records { from: Height(0), keys: keys.iter().map(Key::to_bytes).collect() };
        let (response, body) = self.ask(index, &request, Bytes::new()).await?;
        ensure!(response == Response::Answer, "asked for accounts, a node says {response:?}");
        let Answer { tip: CertifiedHeader { header, certificate }, said } =
            codec::decode::<Answer<Vec<ProvenRecord>>>(&body, limits::CHAIN_BODY)?;
        verify_header(&self.rules.chain, &self.set, &header, &certificate)?;
        let account = |record| match record {
            Some(Record::Account(account)) => account,
            _ => Account::default(),
        };
        Ok(records(&said, &header, &keys)?.into_iter().map(account).collect())
    }

    /// Decided blocks from `from` on, once node `index` has the first; none when that takes long.
    ///
    /// # Errors
    /// When the node says something else, or gives a block that nobody certified.
    pub(crate) async fn blocks(&self, index: usize, from: Height) -> Result<Vec<DecidedBlock>> {
        let (response, body) = self.ask(index, &Request::Blocks { from }, Bytes::new()).await?;
        ensure!(response == Response::Blocks, "asked for blocks, a node says {response:?}");
        let blocks: Vec<DecidedBlock> = codec::decode(&body, limits::CHAIN_BODY)?;
        for DecidedBlock { block, certificate } in &blocks {
            verify_header(&self.rules.chain, &self.set, &block.header, certificate)?;
        }
        Ok(blocks)
    }

    /// Submits the transactions of `body` to node `index`; gives what it says of each.
    ///
    /// # Errors
    /// When it says nothing of that kind.
    pub(crate) async fn submit(&self, index: usize, body: Bytes) -> Result<Vec<Result<(), Refusal>>> {
        let (response, body) = self.ask(index, &Request::Submit { relayed: Relayed::No }, body).await?;
        ensure!(response == Response::Verdicts, "given transactions, a node says {response:?}");
        Ok(codec::decode(&body, limits::CHAIN_BODY)?)
    }

    async fn ask(&self, index: usize, request: &Request, body: Bytes) -> Result<(Response, Bytes)> {
        let node = *self.nodes.get(index).context("a node of this network")?;
        let answer = self.peers.call(node, Protocol::Chain, Frame::new(request, body)).await?;
        let response = answer.decode::<Result<Response, Refusal>>()??;
        Ok((response, answer.body))
    }
}
