//! A node's candidacy as a validator: the join action, with the consent of all its keys.
//!
//! In come the keys and the operator's settings, out goes the action for the owner to sign. Not here: whether the
//! ledger accepts it, and voting itself, which starts when the ledger has the key ([`crate::node::Node::vote`]).

use ostrakon_proto::{
    id::{AccountId, Amount, ChainId},
    ledger::{
        state::Domain,
        tx::{Action, Join, Seat},
        vote::ValidatorKeys,
    },
    sign::{Keypair, Purpose},
};

/// The operator's settings for a validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidacy {
    /// The account that bonds, and that manages the validator.
    pub owner: AccountId,
    /// The node's addresses, without `/p2p/`.
    pub addresses: Vec<String>,
    /// Its failure domain.
    pub domain: Domain,
    /// The bond to lock.
    pub bond: Amount,
}

impl Candidacy {
    /// The action by which the node of this key joins the validators with `keys`.
    pub fn join(self, node: &Keypair, keys: &ValidatorKeys, chain: &ChainId) -> Action {
        let Self { owner, addresses, domain, bond } = self;
        let (key, beacon_key) = (keys.vote.public(), keys.beacon.public());
        let seat = Seat { owner, key, node: node.public(), beacon_key };
        Action::Join(Join {
            key,
            node: seat.node,
            addresses,
            beacon_key,
            bond,
            domain,
            consent: node.sign(Purpose::Seat, chain, &seat),
            vote_consent: keys.vote.sign(Purpose::Seat, chain, &seat),
            beacon_proof: keys.beacon.prove(&seat.statement(chain)),
        })
    }
}
