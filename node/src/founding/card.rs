//! What a node brings to a network that is to be founded: its public keys, its addresses and its offer, signed by all
//! of its keys (SPEC, "Genesis").
//!
//! A genesis asks nobody for consent, so that the cards do: who founds a network knows that each operator has the keys,
//! and that nothing was changed on the way.

use borsh::{BorshDeserialize, BorshSerialize};
use ostrakon_proto::{
    beacon::{self, BeaconKey, BeaconSignature},
    codec,
    id::{AccountId, Amount, ChainId, NodeId, VoteKey},
    ledger::{state::Domain, vote::ValidatorKeys},
    sign::{Keypair, Purpose, Signature, verify},
};
use serde::{Deserialize, Serialize};

/// There is no chain yet.
const NO_CHAIN: ChainId = ChainId::new([0; 32]);

/// A node that will be a member.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// The account that owns it and is paid.
    pub owner: AccountId,
    /// Its public addresses, without `/p2p/`.
    pub addresses: Vec<String>,
    /// Price of one GiB for one epoch.
    pub price_obols: Amount,
    /// Bytes it offers.
    pub capacity_bytes: u64,
    /// Its failure domain.
    pub domain: Domain,
    /// Its keys as a validator, if it is to be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator: Option<MemberValidator>,
}

/// Keys of a validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberValidator {
    /// Its vote key.
    pub key: VoteKey,
    /// Its BLS key.
    pub beacon_key: BeaconKey,
}

/// A member, and its signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// The member.
    pub member: Member,
    signatures: Signatures,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signatures {
    node: Signature,
    owner: Signature,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Signature>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beacon: Option<BeaconSignature>,
}

/// The secret keys of a member.
#[derive(Debug)]
pub struct CardKeys {
    /// The node's.
    pub node: Keypair,
    /// Its owner's.
    pub owner: Keypair,
    /// Those of its validator.
    pub validator: Option<ValidatorKeys>,
}

/// A card that its member did not sign: ask the operator for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not signed by its {0}: it was changed, or is damaged; ask its operator for a new card")]
pub struct BadCard(&'static str);

impl CardKeys {
    /// The public keys of a validator, if there are any.
    pub fn validator(&self) -> Option<MemberValidator> {
        let keys = self.validator.as_ref();
        keys.map(|keys| MemberValidator { key: keys.vote.public(), beacon_key: keys.beacon.public() })
    }
}

impl Card {
    /// Signs `member`, which has the public halves of `keys`.
    pub fn sign(member: Member, keys: &CardKeys) -> Self {
        let sign = |key: &Keypair| key.sign(Purpose::Card, &NO_CHAIN, &member);
        let (validator, statement) = (keys.validator.as_ref(), statement(&member));
        let signatures = Signatures {
            node: sign(&keys.node),
            owner: sign(&keys.owner),
            key: validator.map(|keys| sign(&keys.vote)),
            beacon: validator.map(|keys| keys.beacon.prove(&statement)),
        };
        Self { member, signatures }
    }

    /// Checks that all keys of the member signed it.
    ///
    /// # Errors
    /// [`BadCard`] names a key that did not.
    pub fn verify(&self) -> Result<(), BadCard> {
        let Self { member, signatures } = self;
        verify(&member.node, &signatures.node, Purpose::Card, &NO_CHAIN, member).map_err(|_| BadCard("node"))?;
        verify(&member.owner, &signatures.owner, Purpose::Card, &NO_CHAIN, member).map_err(|_| BadCard("owner"))?;
        let Some(MemberValidator { key, beacon_key }) = &member.validator else { return Ok(()) };
        let signature = signatures.key.ok_or(BadCard("vote key"))?;
        verify(key, &signature, Purpose::Card, &NO_CHAIN, member).map_err(|_| BadCard("vote key"))?;
        let proof = signatures.beacon.ok_or(BadCard("beacon key"))?;
        beacon::verify_proof(beacon_key, &proof, &statement(member)).map_err(|_| BadCard("beacon key"))
    }
}

/// What the beacon key signs.
fn statement(member: &Member) -> Vec<u8> {
    [NO_CHAIN.bytes().as_slice(), &codec::encode(member)].concat()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::world;

    /// The card of a member of this number, which validates or does not.
    pub(in crate::founding) fn card(number: u8, validates: bool) -> Card {
        let key = |kind: u8| Keypair::from_seed(&[kind + number; 32]);
        let validator = validates.then(|| ValidatorKeys::from_seed(&[200 + number; 32]));
        let keys = CardKeys { node: key(1), owner: key(100), validator };
        let member = Member {
            node: keys.node.public(),
            owner: keys.owner.public(),
            addresses: vec![format!("/ip4/192.0.2.{number}/tcp/4001")],
            price_obols: Amount(1_000),
            capacity_bytes: 1 << 40,
            domain: world::domain(number.into()),
            validator: keys.validator(),
        };
        Card::sign(member, &keys)
    }

    #[test]
    fn a_card_survives_its_file() {
        for card in [card(1, false), card(2, true)] {
            let text = toml::to_string(&card).expect("TOML");
            let read: Card = toml::from_str(&text).expect("a card");
            assert_eq!((&read, read.verify()), (&card, Ok(())), "{text}");
        }
    }

    #[test]
    fn whatever_is_changed_is_found() {
        let check = |change: &dyn Fn(&mut Card), expect| {
            let mut card = card(1, true);
            change(&mut card);
            assert_eq!(card.verify(), expect);
        };
        check(&|_| {}, Ok(()));
        check(&|card| card.member.price_obols = Amount(1), Err(BadCard("node")));
        check(&|card| card.member.addresses.clear(), Err(BadCard("node")));
        check(&|card| card.member.validator = None, Err(BadCard("node")));
        check(&|card| card.signatures.owner = card.signatures.node, Err(BadCard("owner")));
        check(&|card| card.signatures.key = None, Err(BadCard("vote key")));
        check(&|card| card.signatures.key = Some(card.signatures.node), Err(BadCard("vote key")));
        check(&|card| card.signatures.beacon = None, Err(BadCard("beacon key")));
        check(&|card| card.signatures.beacon = Some(BeaconSignature([7; 48])), Err(BadCard("beacon key")));
    }
}
