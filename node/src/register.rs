//! Registers this node with the ledger as a provider, and updates its records when the operator changes the offer or
//! moves the node.
//!
//! In come offers with the owner's key, out goes a transaction whenever the ledger differs: of the provider, and of the
//! addresses of the owner's validator on this node. Without money for it, the owner's account is watched. The ledger
//! takes no capacity below what is committed, and no other domain while anything is: then its record has what it takes,
//! and follows with each epoch. A provider that was suspended and has nothing to prove registers again, by which the
//! ledger knows that it is there. Not here: whether the ledger accepts the offer, and that the node takes no more than
//! it offers ([`crate::capacity`]).

use std::{future::pending, time::Duration};

use ostrakon_proto::{
    id::{AccountId, Amount, Epoch, NodeId},
    ledger::{
        Rules, full_bond,
        state::{Account, Domain, Provider, ProviderStatus, Records, Validator},
        tx::{Action, Consent, Move, Register},
    },
    params::Bonds,
    sign::{Keypair, Purpose},
};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::chain::Chain;

mod standing;

pub use standing::Standing;

/// Pause after a failure: the ledger may accept the offer later.
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
        let possible = self.beside(Some(provider), bonds);
        possible.bond == Some(provider.bond)
            && possible.addresses == provider.addresses
            && possible.domain == provider.domain
            && possible.price == provider.price
            && possible.capacity == provider.capacity
    }

    /// As far as the ledger takes it when it has this record, with the whole bond.
    fn beside(&self, provider: Option<&Provider>, bonds: &Bonds) -> Self {
        let bond = self.bond.unwrap_or_else(|| full_bond(bonds, self.capacity, self.price));
        match provider {
            None => Self { bond: Some(bond), ..self.clone() },
            Some(Provider { used, bond: locked, domain, .. }) => Self {
                bond: Some(bond.max(*locked)),
                capacity: self.capacity.max(*used),
                domain: if *used > 0 { domain.clone() } else { self.domain.clone() },
                ..self.clone()
            },
        }
    }

    /// What registers it.
    fn action(self, keypair: &Keypair, rules: &Rules) -> Action {
        let (node, owner): (NodeId, AccountId) = (keypair.public(), self.owner.public());
        let consent = keypair.sign(Purpose::Consent, &rules.chain, &Consent { owner, node });
        let Self { addresses, domain, price, capacity, bond, .. } = self;
        Action::Register(Register { node, addresses, domain, price, capacity, bond: bond.unwrap_or_default(), consent })
    }
}

/// What the ledger has of a node and its owner.
struct Known {
    provider: Option<Provider>,
    validator: Option<Validator>,
    account: Account,
    epoch: Epoch,
}

impl Known {
    /// Whether the ledger takes nothing else as a sign that the provider is there.
    fn must_show(&self, provider: &Provider) -> bool {
        provider.status == ProviderStatus::Suspended && provider.used == 0 && provider.frozen_bytes(self.epoch) == 0
    }

    fn read(records: &dyn Records, node: &NodeId, owner: &AccountId) -> Self {
        let votes_here = |validator: &Validator| validator.node == *node && validator.votes();
        Self {
            provider: records.provider(node),
            validator: records.validators().into_iter().find(votes_here),
            account: records.account(owner),
            epoch: records.tip().running.clock.epoch,
        }
    }

    /// What the ledger must be told, and what that locks; `None` when it has the offer.
    fn wanted(&self, offer: &ProviderOffer, keypair: &Keypair, rules: &Rules) -> Option<(Action, Amount)> {
        let bonds = &rules.params.bonds;
        let provider = self.provider.as_ref();
        let is_current = |provider: &Provider| offer.matches(provider, bonds) && !self.must_show(provider);
        if provider.is_none_or(|provider| !is_current(provider)) {
            let offer = offer.beside(provider, bonds);
            let locked = provider.map_or(Amount::ZERO, |provider| provider.bond);
            let more = offer.bond.unwrap_or_default().minus(locked).unwrap_or_default();
            return Some((offer.action(keypair, rules), more));
        }
        let moves = |validator: &&Validator| validator.addresses != offer.addresses;
        let Validator { key, owner, .. } = self.validator.as_ref().filter(moves)?;
        if *owner != offer.owner.public() {
            tracing::warn!(
                validator = %key, %owner,
                "cannot change the addresses of this node's validator in the ledger, as it has another owner: run \
                 `ostrakon-node validator move` with the owner's key"
            );
            return None;
        }
        Some((Action::Move(Move { key: *key, addresses: offer.addresses.clone() }), Amount::ZERO))
    }
}

/// Keeps the ledger's record of the node of `keypair` as the newest of `offers` has it, until `stop`. `told` has where
/// that stands.
pub async fn run(
    chain: Chain,
    keypair: Keypair,
    mut offers: watch::Receiver<Option<ProviderOffer>>,
    told: watch::Sender<Option<Standing>>,
    stop: CancellationToken,
) {
    let keep = async {
        loop {
            let offer = offers.borrow_and_update().clone();
            tokio::select! {
                biased;
                changed = offers.changed() => if changed.is_err() { return },
                () = keep(&chain, &keypair, offer, &told) => return,
            }
        }
    };
    // Cancelled or not: the node stops.
    let _stopped = stop.run_until_cancelled(keep).await;
}

/// Keeps the record as `offer` has it. Does not return.
async fn keep(chain: &Chain, keypair: &Keypair, offer: Option<ProviderOffer>, told: &watch::Sender<Option<Standing>>) {
    let Some(offer) = offer else {
        told.send_replace(None);
        return pending().await;
    };
    loop {
        let epoch = chain.head().epoch;
        let provider = register(chain, keypair, &offer, told).await;
        if provider.capacity != offer.capacity || provider.domain != offer.domain {
            let (capacity, domain) = (provider.capacity, &provider.domain);
            tracing::info!(
                capacity, %domain,
                "the ledger has this capacity and domain, and not those of [provider]: while the node stores columns, \
                 the domain cannot change, nor the capacity fall below what is stored; it is tried again in each epoch"
            );
        }
        // It may be suspended meanwhile.
        chain.subscribe().until(|head| head.epoch > epoch).await;
    }
}

/// Tells the ledger until it has `offer`, as far as it takes it; returns the provider then.
async fn register(
    chain: &Chain,
    keypair: &Keypair,
    offer: &ProviderOffer,
    told: &watch::Sender<Option<Standing>>,
) -> Provider {
    let (node, owner): (NodeId, AccountId) = (keypair.public(), offer.owner.public());
    loop {
        synced(chain).await;
        let mut heads = chain.subscribe();
        let epoch = heads.see().epoch;
        let (rules, known) = (chain.rules(), chain.read(move |records| Known::read(records, &node, &owner)).await);
        let (action, locked) = match (known.wanted(offer, keypair, &rules), known.provider) {
            (Some(wanted), _) => wanted,
            (None, provider) => {
                let provider = provider.expect("a node without a record is registered");
                tell(told, Standing::Registered { drawn_from: provider.listing.drawn_from(epoch, epoch) });
                return provider;
            }
        };
        let (have, body) = (known.account.balance, chain.offered(owner, known.account.nonce, action));
        match locked.plus(body.fee) {
            Some(need) if need <= have => tell(told, Standing::Pending),
            need => {
                let need = need.unwrap_or(Amount(u64::MAX));
                tell(told, Standing::Unfunded { owner, have, need });
                heads.next().await;
                continue;
            }
        }
        if let Err(error) = chain.perform(&offer.owner, body).await {
            tracing::warn!(%node, account = %owner, %error, "cannot register this node as a provider; retrying");
            sleep(AGAIN).await;
        }
    }
}

/// Notes where the registration stands; the operator is told once.
fn tell(told: &watch::Sender<Option<Standing>>, standing: Standing) {
    let is_new = told.send_if_modified(|before| match (*before, standing) {
        // Of one that has been drawn since before, each epoch is the first that it is drawn from now.
        (Some(Standing::Registered { drawn_from: Some(_) }), Standing::Registered { drawn_from: Some(_) }) => false,
        _ => before.replace(standing) != Some(standing),
    });
    match standing {
        _ if !is_new => {}
        Standing::Unfunded { .. } => tracing::warn!("this node as a provider: {standing}"),
        Standing::Registered { .. } | Standing::Pending => tracing::info!("this node as a provider: {standing}"),
    }
}

/// Waits until this node has all blocks: a stale ledger has a stale nonce.
async fn synced(chain: &Chain) {
    let mut heads = chain.subscribe();
    while !chain.is_synced() {
        heads.next().await;
    }
}

#[cfg(test)]
mod tests;
