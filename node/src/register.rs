//! Registers this node with the ledger as a provider, and updates its record when the operator changes the offer.
//!
//! In come offers with the owner's key, out goes a register transaction whenever the ledger's record differs. The
//! ledger takes no capacity below what is committed: then the record has that, and follows it down with each epoch. Not
//! here: whether the ledger accepts the offer, and that the node takes no more than it offers ([`crate::capacity`]).

use std::{future::pending, time::Duration};

use ostrakon_proto::{
    id::{AccountId, Amount, NodeId},
    ledger::{
        Rules, full_bond,
        state::{Domain, Provider},
        tx::{Action, Consent, Register},
    },
    params::Bonds,
    sign::{Keypair, Purpose},
};
use tokio::{sync::watch, time::sleep};
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
    /// Whether the ledger has the same, as far as it can. A bond above the offer's stays: only who leaves gets it back.
    pub fn matches(&self, provider: &Provider, bonds: &Bonds) -> bool {
        self.bond(bonds) <= provider.bond
            && self.addresses == provider.addresses
            && self.domain == provider.domain
            && self.price == provider.price
            && self.capacity_above(provider.used) == provider.capacity
    }

    /// The capacity that the ledger takes when so much is committed.
    fn capacity_above(&self, used: u64) -> u64 {
        self.capacity.max(used)
    }

    fn bond(&self, bonds: &Bonds) -> Amount {
        self.bond.unwrap_or_else(|| full_bond(bonds, self.capacity, self.price))
    }

    /// What registers it, where `locked` is bonded and `used` is committed already.
    fn action(&self, keypair: &Keypair, rules: &Rules, (locked, used): (Amount, u64)) -> Action {
        let (node, owner): (NodeId, AccountId) = (keypair.public(), self.owner.public());
        let consent = keypair.sign(Purpose::Consent, &rules.chain, &Consent { owner, node });
        let (bond, capacity) = (self.bond(&rules.params.bonds).max(locked), self.capacity_above(used));
        let Self { addresses, domain, price, .. } = self.clone();
        Action::Register(Register { node, addresses, domain, price, capacity, bond, consent })
    }
}

/// Keeps the ledger's record of the node of `keypair` as the newest of `offers` has it, until `stop`.
pub async fn run(
    chain: Chain,
    keypair: Keypair,
    mut offers: watch::Receiver<Option<ProviderOffer>>,
    stop: CancellationToken,
) {
    let keep = async {
        loop {
            let offer = offers.borrow_and_update().clone();
            tokio::select! {
                biased;
                changed = offers.changed() => if changed.is_err() { return },
                () = keep(&chain, &keypair, offer) => return,
            }
        }
    };
    // Cancelled or not: the node stops.
    let _stopped = stop.run_until_cancelled(keep).await;
}

/// Keeps the record as `offer` has it. Does not return.
async fn keep(chain: &Chain, keypair: &Keypair, offer: Option<ProviderOffer>) {
    let Some(offer) = offer else { return pending().await };
    loop {
        let epoch = chain.head().epoch;
        if register(chain, keypair, &offer).await <= offer.capacity {
            return pending().await;
        }
        chain.subscribe().until(|head| head.epoch > epoch).await;
    }
}

/// Registers the node until the ledger's record matches `offer`; returns what is committed then.
async fn register(chain: &Chain, keypair: &Keypair, offer: &ProviderOffer) -> u64 {
    let (node, owner): (NodeId, AccountId) = (keypair.public(), offer.owner.public());
    let rules = chain.rules();
    loop {
        synced(chain).await;
        let (provider, account) = chain.read(move |records| (records.provider(&node), records.account(&owner))).await;
        if let Some(provider) = provider.as_ref().filter(|provider| offer.matches(provider, &rules.params.bonds)) {
            tracing::info!(%node, capacity = provider.capacity, "registered as a provider with the configured offer");
            return provider.used;
        }
        let has = provider.map_or((Amount::ZERO, 0), |provider| (provider.bond, provider.used));
        let action = offer.action(keypair, &rules, has);
        if let Err(error) = chain.perform(&offer.owner, account.nonce, action).await {
            tracing::warn!(%node, account = %owner, %error, "cannot register this node as a provider; retrying");
            sleep(AGAIN).await;
        }
    }
}

/// Waits until this node has all blocks: a stale ledger has a stale nonce.
async fn synced(chain: &Chain) {
    let mut heads = chain.subscribe();
    while !chain.is_synced() {
        heads.next().await;
    }
}
