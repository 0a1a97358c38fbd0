//! Where each record of the state is: keys, and their bytes, whose order is that of the keys.
//!
//! The bytes are a tag and then the parts, numbers big-endian (SPEC, "State"). A store sorts by them, and the state
//! tree names its leaves by their hash.

use crate::id::{AccountId, Epoch, Id, NodeId, ObjectId, VoteKey};

use super::CommitmentId;

/// Bytes of the longest key.
pub const KEY_MAX: usize = 1 + 8 + 68;

/// The name of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The chain's running values: one record.
    Running,
    /// The chain's parameter table: one record.
    Params,
    /// An account.
    Account(AccountId),
    /// A provider.
    Provider(NodeId),
    /// A validator.
    Validator(VoteKey),
    /// Who has commitments of an object.
    Object(ObjectId),
    /// A commitment.
    Commitment(CommitmentId),
    /// What an epoch froze.
    Epoch(Epoch),
    /// A name of an account's.
    Name(AccountId, [u8; 32]),
    /// What was founded and decided beside the parameter table: one record.
    Charter,
    /// A proposal, by its number.
    Proposal(u64),
    /// What the providers of an infrastructure keep: by [`Key::infrastructure`].
    Infrastructure([u8; 32]),
    /// That this node may register, where not everyone may.
    AdmittedProvider(NodeId),
    /// That this key may join, where not everyone may.
    AdmittedValidator(VoteKey),
    /// That this key was a validator's who signed two things.
    Barred(VoteKey),
    /// That a commitment ends in an epoch. An index over commitments, so not in the state tree.
    Ending(Epoch, CommitmentId),
    /// That a bond comes back in an epoch. An index over providers and validators that have left.
    Unbonding(Epoch, Bonded),
}

/// Whose bond it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bonded {
    /// A provider's.
    Provider(NodeId),
    /// A validator's.
    Validator(VoteKey),
}

impl Key {
    /// What kind of record it names.
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
            Self::Ending(..) => 64,
            Self::Unbonding(..) => 65,
        }
    }

    /// Where the record of this infrastructure is.
    pub fn infrastructure(name: &str) -> Self {
        Self::Infrastructure(blake3::derive_key("ostrakon infrastructure 1", name.as_bytes()))
    }

    /// Whether the state tree has it. Indexes follow from other records, and are not.
    pub const fn is_proven(&self) -> bool {
        self.tag() < 64
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(KEY_MAX);
        bytes.push(self.tag());
        match self {
            Self::Running | Self::Params | Self::Charter => {}
            Self::Account(id) => bytes.extend(id.bytes()),
            Self::Provider(id) => bytes.extend(id.bytes()),
            Self::Validator(id) => bytes.extend(id.bytes()),
            Self::Object(id) => bytes.extend(id.bytes()),
            Self::Commitment(id) => put_commitment(&mut bytes, id),
            Self::Epoch(epoch) => bytes.extend(epoch.0.to_be_bytes()),
            Self::Name(owner, name) => {
                bytes.extend(owner.bytes());
                bytes.extend(name);
            }
            Self::Proposal(number) => bytes.extend(number.to_be_bytes()),
            Self::Infrastructure(hash) => bytes.extend(hash),
            Self::AdmittedProvider(id) => bytes.extend(id.bytes()),
            Self::AdmittedValidator(id) | Self::Barred(id) => bytes.extend(id.bytes()),
            Self::Ending(epoch, id) => {
                bytes.extend(epoch.0.to_be_bytes());
                put_commitment(&mut bytes, id);
            }
            Self::Unbonding(epoch, bonded) => {
                bytes.extend(epoch.0.to_be_bytes());
                put_bonded(&mut bytes, bonded);
            }
        }
        bytes
    }

    /// The key with these bytes; `None` when there is none.
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
            64 => Self::Ending(Epoch(take_u64(&mut rest)?), take_commitment(&mut rest)?),
            65 => Self::Unbonding(Epoch(take_u64(&mut rest)?), take_bonded(&mut rest)?),
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
            Key::infrastructure("cloud"),
            Key::AdmittedProvider(NodeId::new([1; 32])),
            Key::AdmittedValidator(VoteKey::new([1; 32])),
            Key::Barred(VoteKey::new([1; 32])),
            Key::Ending(Epoch(1), commitment(9, 9, 9)),
            Key::Ending(Epoch(256), commitment(1, 0, 0)),
            Key::Unbonding(Epoch(1), Bonded::Validator(VoteKey::new([1; 32]))),
            Key::Unbonding(Epoch(256), Bonded::Provider(NodeId::new([2; 32]))),
            Key::Unbonding(Epoch(256), Bonded::Validator(VoteKey::new([1; 32]))),
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
