//! Offers this node to the ledger as a provider, and keeps the offer what the operator set.
//!
//! In comes the offer and the owner's key, out goes a register transaction whenever the ledger says something else. Not
//! here: whether the offer is a good one, which is the ledger's and the operator's business.

use std::time::Duration;

use ostrakon_proto::{
    id::{AccountId, Amount, Height, NodeId},
    ledger::{
        state::{Account, Domain, Provider},
        tx::{Action, Consent, Register, Tx, TxBody},
    },
    sign::{Keypair, Purpose, Signature},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::chain::{Chain, submit::SubmitError};

/// Blocks for which a register transaction is good.
const VALID_BLOCKS: u64 = 600;
/// Blocks in which it should be taken.
const TAKEN_IN: u64 = 5;
/// Pause after a failure: the owner may have to get money first.
const AGAIN: Duration = Duration::from_secs(15);

/// What a node offers.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Key of the account that is paid, and that bonds.
    pub owner: Keypair,
    /// Where the node is reached, without the peer id.
    pub addresses: Vec<String>,
    /// What it fails together with.
    pub domain: Domain,
    /// Price of one GiB for one epoch.
    pub price: Amount,
    /// Bytes offered.
    pub capacity: u64,
}

impl Offer {
    /// Whether the ledger says the same.
    pub fn stands(&self, provider: &Provider) -> bool {
        self.addresses == provider.addresses
            && self.domain == provider.domain
            && self.price == provider.price
            && self.capacity == provider.capacity
    }

    fn action(&self, node: NodeId, consent: Signature) -> Action {
        let Self { addresses, domain, price, capacity, .. } = self.clone();
        Action::Register(Register { node, addresses, domain, price, capacity, consent })
    }
}

/// Keeps the ledger's record of the node of `keypair` what `offer` says, until `stop`.
pub async fn run(chain: Chain, keypair: Keypair, offer: Offer, stop: CancellationToken) {
    let node: NodeId = keypair.public();
    let owner: AccountId = offer.owner.public();
    let consent = keypair.sign(Purpose::Consent, &chain.rules().chain, &Consent { owner, node });
    let keep = async {
        loop {
            synced(&chain).await;
            let (provider, account) =
                chain.read(move |records| (records.provider(&node), records.account(&owner))).await;
            if provider.is_some_and(|provider| offer.stands(&provider)) {
                return;
            }
            match register(&chain, &offer, account, offer.action(node, consent)).await {
                Ok(height) => {
                    chain.wait(Height(height.0 + TAKEN_IN)).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "this node is not registered as its configuration says; trying again");
                    sleep(AGAIN).await;
                }
            }
        }
    };
    if stop.run_until_cancelled(keep).await.is_some() {
        tracing::info!(%node, "the ledger has this node's offer");
    }
}

/// Waits until the ledger here is as others have it: an old one gives a used nonce.
async fn synced(chain: &Chain) {
    let mut heads = chain.subscribe();
    while !chain.is_synced() {
        heads.next().await;
    }
}

/// Submits the transaction; returns the height at which it was.
async fn register(chain: &Chain, offer: &Offer, account: Account, action: Action) -> Result<Height, SubmitError> {
    let (rules, height) = (chain.rules(), chain.head().height);
    let valid_until = Height(height.0 + VALID_BLOCKS);
    let mut body =
        TxBody { account: offer.owner.public(), nonce: account.nonce, valid_until, fee: Amount::ZERO, action };
    body.fee = rules.offer(&body);
    chain.submit(Tx::sign(body, &offer.owner, &rules.chain)).await.map(|()| height)
}
