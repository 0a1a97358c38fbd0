//! A network as its clients see it: chain/1 over libp2p, and every block checked by its certificate.

use std::sync::Arc;

use anyhow::{Context, Result};
use ostrakon::Profile;
use ostrakon_net::{
    Peers, ask, identity,
    swarm::{Swarm, SwarmConfig},
};
use ostrakon_proto::{
    id::{AccountId, Height, NodeId},
    ledger::{
        Rules,
        state::{Account, Key, Record},
        tx::DecidedBlock,
        verify_header,
        vote::ValidatorSet,
    },
    light::{Answer, CertifiedHeader, records},
    sign::Keypair,
    wire::{
        Call,
        chain::{self, Head},
    },
};
use ostrakon_tests::devnet::Devnet;

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
        let info = devnet.status()?;
        let profile = Profile::open(&info.profile)?;
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
        let nodes = info.api.iter().map(learn).collect::<Result<_>>()?;
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
        self.ask(index, chain::head()).await
    }

    /// Accounts as of the tip of node `index`, each proven against the tip's certificate.
    ///
    /// # Errors
    /// When it does not say, or does not prove it.
    pub(crate) async fn accounts(&self, index: usize, ids: &[AccountId]) -> Result<Vec<Account>> {
        let keys: Vec<Key> = ids.iter().map(|id| Key::Account(*id)).collect();
        let call = chain::records(Height(0), keys.iter().map(Key::to_bytes).collect());
        let Answer { tip: CertifiedHeader { header, certificate }, said } = self.ask(index, call).await?;
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
        let blocks = self.ask(index, chain::blocks(from)).await?;
        for DecidedBlock { block, certificate } in &blocks {
            verify_header(&self.rules.chain, &self.set, &block.header, certificate)?;
        }
        Ok(blocks)
    }

    /// What node `index` answers.
    ///
    /// # Errors
    /// When it has no answer.
    pub(crate) async fn ask<T: 'static>(&self, index: usize, call: Call<T>) -> Result<T> {
        let node = *self.nodes.get(index).context("a node of this network")?;
        Ok(ask(self.peers.as_ref(), node, call).await?)
    }
}
