//! Keys of the state's records, and their bytes, which sort as the keys do.
//!
//! The bytes are a tag and then the parts, numbers big-endian (SPEC, "State"). A store sorts by them, and their hash is
//! the place of a leaf in the state tree.

use std::cmp::Reverse;

use crate::id::{AccountId, Epoch, Id, NodeId, ObjectId, VoteKey};

use super::{CommitmentId, HeldId, Prefix, Tag};

/// Bytes of the longest key.
pub const KEY_MAX: usize = 1 + 8 + 68;

/// Key of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The values of the chain as a whole: one record.
    Running,
    /// The chain's parameter table: one record.
    Params,
    /// An account.
    Account(AccountId),
    /// A provider.
    Provider(NodeId),
    /// A validator that votes.
    Validator(VoteKey),
    /// The owners of an object's commitments.
    Object(ObjectId),
    /// A commitment.
    Commitment(CommitmentId),
    /// Roster and beacon of an epoch.
    Epoch(Epoch),
    /// A name of an account.
    Name(AccountId, [u8; 32]),
    /// Membership and protocol version: one record.
    Charter,
    /// A proposal, by its number.
    Proposal(u64),
    /// Usage of an infrastructure, by its tag.
    Infrastructure(Tag),
    /// Mark: this node may register with a permissioned network.
    AdmittedProvider(NodeId),
    /// Mark: this key may join a permissioned network.
    AdmittedValidator(VoteKey),
    /// Mark: the validator with this key equivocated, and the key may never vote again.
    Barred(VoteKey),
    /// A pulse, by its number.
    Pulse(u64),
    /// A validator that does not vote any more, until its bond returns.
    FormerValidator(VoteKey),
    /// An owner of an object that is not listed with it.
    Unlisted(ObjectId, AccountId),
    /// Slots of a commitment that left their providers in an epoch.
    Departed(Epoch, CommitmentId),
    /// What rebuilders say of a commitment's columns.
    Doubts(CommitmentId),
    /// How a commitment is renewed when it would end.
    Renewal(CommitmentId),
    /// What there is against a provider of an epoch.
    Fault(Epoch, NodeId),
    /// Where the tickets continue that are looked at for columns of providers that were written off: one record, until
    /// all were looked at.
    Sweep,
    /// Mark: a commitment ends in an epoch. An index over commitments, so not in the state tree.
    Ending(Epoch, CommitmentId),
    /// Mark: a bond returns in an epoch. An index over providers and validators that have left.
    Unbonding(Epoch, Bonded),
    /// Mark: a provider has bytes to prove, and nothing is settled of it from this epoch on. An index over providers.
    Unproven(Epoch, NodeId),
    /// Mark: an infrastructure stores so much. An index over infrastructures; the largest comes first.
    Stored(Reverse<u128>, Tag),
    /// A column in a provider's inventory. Follows from commitments and departed slots.
    Held(NodeId, HeldId),
    /// Bytes of a part of a provider's inventory.
    HeldSum(NodeId, Prefix),
    /// Price of one epoch of a provider's slots that end in this epoch. Follows from commitments.
    Rate(NodeId, Epoch),
    /// Mark: a commitment is to be repaired, which has so many columns more than it needs. An index over commitments;
    /// the most endangered come first.
    Ticket(u8, CommitmentId),
    /// Mark: a provider lost a column of a commitment in this epoch, and has not paid for it. An index over
    /// commitments.
    Lost(Epoch, CommitmentId),
    /// Mark: what a provider stores counts as lost. An index over providers.
    WrittenOff(NodeId),
    /// Mark: since this epoch fewer columns of a commitment are stored than it takes to read it. An index over
    /// commitments.
    Unreadable(Epoch, CommitmentId),
}

/// Owner of an unbonding bond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bonded {
    /// A provider's.
    Provider(NodeId),
    /// A validator's.
    Validator(VoteKey),
}

impl Key {
    /// First byte of its encoding: the kind of its record.
    pub const fn tag(&self) -> u8 {
        match self {
            Self::Running => 0,
            Self::Params => 1,
            Self::Account(_) => 2,
            Self::Provider(_) => 3,
            Self::Validator(_) => 4,
            Self::Object(_) => 5,
            Self::Commitment(_) => 6,
            Self::Epoch(_) => 7,
            Self::Name(..) => 8,
            Self::Charter => 9,
            Self::Proposal(_) => 10,
            Self::Infrastructure(_) => 11,
            Self::AdmittedProvider(_) => 12,
            Self::AdmittedValidator(_) => 13,
            Self::Barred(_) => 14,
            Self::Pulse(_) => 15,
            Self::FormerValidator(_) => 16,
            Self::Unlisted(..) => 17,
            Self::Departed(..) => 18,
            Self::Doubts(_) => 19,
            Self::Renewal(_) => 20,
            Self::Fault(..) => 21,
            Self::Sweep => 22,
            Self::Ending(..) => 64,
            Self::Unbonding(..) => 65,
            Self::Unproven(..) => 66,
            Self::Stored(..) => 67,
            Self::Held(..) => 68,
            Self::HeldSum(..) => 69,
            Self::Rate(..) => 70,
            Self::Ticket(..) => 71,
            Self::Lost(..) => 72,
            Self::WrittenOff(_) => 73,
            Self::Unreadable(..) => 74,
        }
    }

    /// Whether its record is in the state tree. Index entries are not: they follow from other records.
    pub const fn is_proven(&self) -> bool {
        self.tag() < 64
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(KEY_MAX);
        bytes.push(self.tag());
        match self {
            Self::Running | Self::Params | Self::Charter | Self::Sweep => {}
            Self::Account(id) => bytes.extend(id.bytes()),
            Self::Provider(id) | Self::WrittenOff(id) => bytes.extend(id.bytes()),
            Self::Validator(id) | Self::FormerValidator(id) => bytes.extend(id.bytes()),
            Self::Object(id) => bytes.extend(id.bytes()),
            Self::Unlisted(object, owner) => {
                bytes.extend(object.bytes());
                bytes.extend(owner.bytes());
            }
            Self::Commitment(id) | Self::Doubts(id) | Self::Renewal(id) => put_commitment(&mut bytes, id),
            Self::Epoch(epoch) => bytes.extend(epoch.0.to_be_bytes()),
            Self::Name(owner, name) => {
                bytes.extend(owner.bytes());
                bytes.extend(name);
            }
            Self::Proposal(number) | Self::Pulse(number) => bytes.extend(number.to_be_bytes()),
            Self::Infrastructure(tag) => bytes.extend(tag),
            Self::AdmittedProvider(id) => bytes.extend(id.bytes()),
            Self::AdmittedValidator(id) | Self::Barred(id) => bytes.extend(id.bytes()),
            Self::Ticket(spare, id) => {
                bytes.push(*spare);
                put_commitment(&mut bytes, id);
            }
            Self::Ending(epoch, id)
            | Self::Departed(epoch, id)
            | Self::Lost(epoch, id)
            | Self::Unreadable(epoch, id) => {
                bytes.extend(epoch.0.to_be_bytes());
                put_commitment(&mut bytes, id);
            }
            Self::Unproven(epoch, node) | Self::Fault(epoch, node) => {
                bytes.extend(epoch.0.to_be_bytes());
                bytes.extend(node.bytes());
            }
            Self::Stored(Reverse(stored), tag) => {
                bytes.extend((!stored).to_be_bytes());
                bytes.extend(tag);
            }
            Self::Held(node, place) => {
                bytes.extend(node.bytes());
                bytes.extend(place);
            }
            Self::HeldSum(node, prefix) => {
                bytes.extend(node.bytes());
                bytes.push(prefix.level);
                bytes.extend(prefix.bits.to_be_bytes());
            }
            Self::Rate(node, end) => {
                bytes.extend(node.bytes());
                bytes.extend(end.0.to_be_bytes());
            }
            Self::Unbonding(epoch, bonded) => {
                bytes.extend(epoch.0.to_be_bytes());
                put_bonded(&mut bytes, bonded);
            }
        }
        bytes
    }

    /// The key with these bytes; `None` when they are not a key's.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (tag, mut rest) = bytes.split_first()?;
        let key = match tag {
            0 => Self::Running,
            1 => Self::Params,
            2 => Self::Account(take_id(&mut rest)?),
            3 => Self::Provider(take_id(&mut rest)?),
            4 => Self::Validator(take_id(&mut rest)?),
            5 => Self::Object(take_id(&mut rest)?),
            6 => Self::Commitment(take_commitment(&mut rest)?),
            7 => Self::Epoch(Epoch(take_u64(&mut rest)?)),
            8 => Self::Name(take_id(&mut rest)?, take(&mut rest)?),
            9 => Self::Charter,
            10 => Self::Proposal(take_u64(&mut rest)?),
            11 => Self::Infrastructure(take(&mut rest)?),
            12 => Self::AdmittedProvider(take_id(&mut rest)?),
            13 => Self::AdmittedValidator(take_id(&mut rest)?),
            14 => Self::Barred(take_id(&mut rest)?),
            15 => Self::Pulse(take_u64(&mut rest)?),
            16 => Self::FormerValidator(take_id(&mut rest)?),
            17 => Self::Unlisted(take_id(&mut rest)?, take_id(&mut rest)?),
            18 => Self::Departed(Epoch(take_u64(&mut rest)?), take_commitment(&mut rest)?),
            19 => Self::Doubts(take_commitment(&mut rest)?),
            20 => Self::Renewal(take_commitment(&mut rest)?),
            21 => Self::Fault(Epoch(take_u64(&mut rest)?), take_id(&mut rest)?),
            22 => Self::Sweep,
            64 => Self::Ending(Epoch(take_u64(&mut rest)?), take_commitment(&mut rest)?),
            65 => Self::Unbonding(Epoch(take_u64(&mut rest)?), take_bonded(&mut rest)?),
            66 => Self::Unproven(Epoch(take_u64(&mut rest)?), take_id(&mut rest)?),
            67 => Self::Stored(Reverse(!u128::from_be_bytes(take(&mut rest)?)), take(&mut rest)?),
            68 => Self::Held(take_id(&mut rest)?, take(&mut rest)?),
            69 => Self::HeldSum(take_id(&mut rest)?, take_prefix(&mut rest)?),
            70 => Self::Rate(take_id(&mut rest)?, Epoch(take_u64(&mut rest)?)),
            71 => {
                let [spare] = take(&mut rest)?;
                Self::Ticket(spare, take_commitment(&mut rest)?)
            }
            72 => Self::Lost(Epoch(take_u64(&mut rest)?), take_commitment(&mut rest)?),
            73 => Self::WrittenOff(take_id(&mut rest)?),
            74 => Self::Unreadable(Epoch(take_u64(&mut rest)?), take_commitment(&mut rest)?),
            _ => return None,
        };
        rest.is_empty().then_some(key)
    }
}

fn put_commitment(bytes: &mut Vec<u8>, id: &CommitmentId) {
    bytes.extend(id.object.bytes());
    bytes.extend(id.extent.to_be_bytes());
    bytes.extend(id.owner.bytes());
}

fn put_bonded(bytes: &mut Vec<u8>, bonded: &Bonded) {
    match bonded {
        Bonded::Provider(id) => {
            bytes.push(0);
            bytes.extend(id.bytes());
        }
        Bonded::Validator(id) => {
            bytes.push(1);
            bytes.extend(id.bytes());
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (part, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*part)
}

fn take_id<K>(rest: &mut &[u8]) -> Option<Id<K>> {
    take(rest).map(Id::new)
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(u64::from_be_bytes)
}

fn take_commitment(rest: &mut &[u8]) -> Option<CommitmentId> {
    let object = take_id(rest)?;
    let extent = u32::from_be_bytes(take(rest)?);
    Some(CommitmentId { object, extent, owner: take_id(rest)? })
}

fn take_prefix(rest: &mut &[u8]) -> Option<Prefix> {
    let [level] = take(rest)?;
    Some(Prefix { level, bits: u16::from_be_bytes(take(rest)?) })
}

fn take_bonded(rest: &mut &[u8]) -> Option<Bonded> {
    match take(rest)? {
        [0] => take_id(rest).map(Bonded::Provider),
        [1] => take_id(rest).map(Bonded::Validator),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<Key> {
        let commitment = |object, extent, owner| CommitmentId {
            object: ObjectId::new([object; 32]),
            extent,
            owner: AccountId::new([owner; 32]),
        };
        vec![
            Key::Running,
            Key::Params,
            Key::Account(AccountId::new([1; 32])),
            Key::Account(AccountId::new([2; 32])),
            Key::Provider(NodeId::new([1; 32])),
            Key::Validator(VoteKey::new([1; 32])),
            Key::Object(ObjectId::new([1; 32])),
            Key::Commitment(commitment(1, 0, 9)),
            Key::Commitment(commitment(1, 1, 2)),
            Key::Commitment(commitment(1, 256, 1)),
            Key::Commitment(commitment(2, 0, 0)),
            Key::Epoch(Epoch(1)),
            Key::Epoch(Epoch(256)),
            Key::Name(AccountId::new([1; 32]), [2; 32]),
            Key::Name(AccountId::new([2; 32]), [1; 32]),
            Key::Charter,
            Key::Proposal(1),
            Key::Proposal(256),
            Key::Infrastructure([7; 16]),
            Key::AdmittedProvider(NodeId::new([1; 32])),
            Key::AdmittedValidator(VoteKey::new([1; 32])),
            Key::Barred(VoteKey::new([1; 32])),
            Key::Departed(Epoch(1), commitment(9, 9, 9)),
            Key::Doubts(commitment(9, 9, 9)),
            Key::Renewal(commitment(9, 9, 9)),
            Key::Fault(Epoch(1), NodeId::new([9; 32])),
            Key::Fault(Epoch(256), NodeId::new([1; 32])),
            Key::Sweep,
            Key::Ending(Epoch(1), commitment(9, 9, 9)),
            Key::Ending(Epoch(256), commitment(1, 0, 0)),
            Key::Unbonding(Epoch(1), Bonded::Validator(VoteKey::new([1; 32]))),
            Key::Unbonding(Epoch(256), Bonded::Provider(NodeId::new([2; 32]))),
            Key::Unbonding(Epoch(256), Bonded::Validator(VoteKey::new([1; 32]))),
            Key::Unproven(Epoch(256), NodeId::new([1; 32])),
            Key::Stored(Reverse(256), [9; 16]),
            Key::Stored(Reverse(1), [1; 16]),
            Key::Held(NodeId::new([1; 32]), [2; 16]),
            Key::HeldSum(NodeId::new([1; 32]), Prefix { level: 1, bits: 0x2000 }),
            Key::HeldSum(NodeId::new([1; 32]), Prefix { level: 2, bits: 0x1000 }),
            Key::Rate(NodeId::new([1; 32]), Epoch(256)),
            Key::Ticket(1, commitment(2, 0, 0)),
            Key::Ticket(2, commitment(1, 0, 0)),
            Key::Lost(Epoch(256), commitment(1, 0, 0)),
            Key::WrittenOff(NodeId::new([1; 32])),
            Key::Unreadable(Epoch(1), commitment(9, 9, 9)),
            Key::Unreadable(Epoch(256), commitment(1, 0, 0)),
        ]
    }

    #[test]
    fn bytes_sort_as_keys_do_and_come_back() {
        let keys = keys();
        assert!(keys.is_sorted());
        let bytes: Vec<_> = keys.iter().map(Key::to_bytes).collect();
        assert!(bytes.is_sorted());
        for (key, bytes) in keys.iter().zip(&bytes) {
            assert!(bytes.len() <= KEY_MAX);
            assert_eq!(Key::from_bytes(bytes), Some(*key));
            assert_eq!(Key::from_bytes(&[bytes.as_slice(), &[0]].concat()), None);
            assert_eq!(Key::from_bytes(&bytes[..bytes.len() - 1]), None, "{key:?}");
        }
        assert_eq!(Key::from_bytes(&[200]), None);
    }
}
