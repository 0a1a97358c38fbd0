//! What a node says to the ledger when it is to vote: that all its keys agree to it.
//!
//! In come the keys and what the operator chose, out goes the action for the owner to sign. Not here: whether the
//! ledger takes it, and voting itself, which begins when the ledger has the key ([`crate::node::Node::vote`]).

use ostrakon_proto::{
    id::{AccountId, Amount, ChainId},
    ledger::{
        state::Domain,
        tx::{Action, Join, Seat},
        vote::ValidatorKeys,
    },
    sign::{Keypair, Purpose},
};

/// What an operator chooses for a validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidacy {
    /// The account that bonds, and that speaks for the validator.
    pub owner: AccountId,
    /// Where the node is reached, without the peer id.
    pub addresses: Vec<String>,
    /// What it fails together with.
    pub domain: Domain,
    /// Money to lock.
    pub bond: Amount,
}

impl Candidacy {
    /// Asks for the node of this key to vote with `keys` on this chain.
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
