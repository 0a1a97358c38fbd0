//! Registers this node with the ledger as a provider, and updates its record when the operator changes the offer.
//!
//! In come the offer and the owner's key, out goes a register transaction whenever the ledger's record differs. Not
//! here: whether the ledger accepts the offer.

use std::time::Duration;

use ostrakon_proto::{
    id::{AccountId, Amount, NodeId},
    ledger::{
        full_bond,
        state::{Domain, Provider},
        tx::{Action, Consent, Register},
    },
    params::Bonds,
    sign::{Keypair, Purpose, Signature},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::chain::Chain;

/// Pause after a failure: the owner's account may need money first.
const AGAIN: Duration = Duration::from_secs(15);

/// What a node offers as a provider.
#[derive(Clone, Debug)]
pub struct ProviderOffer {
    /// Key of the account that is paid and that bonds.
    pub owner: Keypair,
    /// The node's addresses, without `/p2p/`.
    pub addresses: Vec<String>,
    /// Its failure domain.
    pub domain: Domain,
    /// Price of one GiB for one epoch.
    pub price: Amount,
    /// Capacity in bytes.
    pub capacity: u64,
    /// The whole bond; `None` for as much as stands behind the whole capacity.
    pub bond: Option<Amount>,
}

impl ProviderOffer {
    /// Whether the ledger has the same. A bond above the offer's stays: only who leaves gets it back.
    pub fn matches(&self, provider: &Provider, bonds: &Bonds) -> bool {
        self.bond(bonds) <= provider.bond
            && self.addresses == provider.addresses
            && self.domain == provider.domain
            && self.price == provider.price
            && self.capacity == provider.capacity
    }

    fn bond(&self, bonds: &Bonds) -> Amount {
        self.bond.unwrap_or_else(|| full_bond(bonds, self.capacity, self.price))
    }

    /// What registers it, where `locked` is bonded already.
    fn action(&self, node: NodeId, bonds: &Bonds, locked: Amount, consent: Signature) -> Action {
        let (bond, Self { addresses, domain, price, capacity, .. }) = (self.bond(bonds).max(locked), self.clone());
        Action::Register(Register { node, addresses, domain, price, capacity, bond, consent })
    }
}

/// Registers the node of `keypair` until the ledger's record matches `offer`, or until `stop`.
pub async fn run(chain: Chain, keypair: Keypair, offer: ProviderOffer, stop: CancellationToken) {
    let node: NodeId = keypair.public();
    let owner: AccountId = offer.owner.public();
    let consent = keypair.sign(Purpose::Consent, &chain.rules().chain, &Consent { owner, node });
    let keep = async {
        loop {
            synced(&chain).await;
            let (provider, account) =
                chain.read(move |records| (records.provider(&node), records.account(&owner))).await;
            let bonds = chain.rules().params.bonds;
            if provider.as_ref().is_some_and(|provider| offer.matches(provider, &bonds)) {
                return;
            }
            let locked = provider.map_or(Amount::ZERO, |provider| provider.bond);
            let action = offer.action(node, &bonds, locked, consent);
            if let Err(error) = chain.perform(&offer.owner, account.nonce, action).await {
                tracing::warn!(%node, account = %owner, %error, "cannot register this node as a provider; retrying");
                sleep(AGAIN).await;
            }
        }
    };
    if stop.run_until_cancelled(keep).await.is_some() {
        tracing::info!(%node, "registered as a provider with the configured offer");
    }
}

/// Waits until this node has all blocks: a stale ledger has a stale nonce.
async fn synced(chain: &Chain) {
    let mut heads = chain.subscribe();
    while !chain.is_synced() {
        heads.next().await;
    }
}
