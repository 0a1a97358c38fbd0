//! All that a read begins with, in one answer: the owners of an object, its commitments, and the addresses of their
//! holders.
//!
//! In goes an object; out come the keys of the records to prove. Of an object with many of them, an answer has the
//! first: a client asks for the others by their keys, as it does when a node left some out.

use std::collections::{BTreeMap, BTreeSet};

use super::{BadAnswer, ProvenRecord};
use crate::{
    id::{AccountId, ObjectId},
    ledger::{
        state::{Commitment, Key, ObjectOwner, Provider, Record, Records},
        tx::Header,
    },
    limits,
};

/// The keys of the records to prove to a reader of the object as of `records`: the object, its first commitments, and
/// the first providers in their slots, [`limits::OBJECT_HOLDERS`] at most.
pub fn object_keys(object: ObjectId, records: &dyn Records) -> Vec<Key> {
    let commitments = records.commitments_of(&object, limits::OBJECT_COMMITMENTS);
    let mut seen = BTreeSet::new();
    let slots = commitments.iter().flat_map(|commitment| &commitment.slots);
    let holders = slots.map(|slot| slot.provider).filter(|provider| seen.insert(*provider));
    let holders = holders.take(limits::OBJECT_HOLDERS).map(Key::Provider);
    let own = commitments.iter().map(|commitment| Key::Commitment(commitment.id));
    [Key::Object(object)].into_iter().chain(own).chain(holders).collect()
}

/// What a read begins with, proven.
#[derive(Clone, Debug, Default)]
pub struct ProvenObject {
    /// The object's owners; none of an object that the ledger does not have.
    pub owners: BTreeMap<AccountId, ObjectOwner>,
    /// Commitments, in the order of the answer; not all, where there are many.
    pub commitments: Vec<Commitment>,
    /// Providers, with their addresses.
    pub providers: Vec<Provider>,
}

impl ProvenObject {
    /// What these records show of the object after the block with this header.
    ///
    /// # Errors
    /// [`BadAnswer`] when one is not proven, or is of something else.
    pub fn verify(items: &[ProvenRecord], object: ObjectId, header: &Header) -> Result<Self, BadAnswer> {
        let others = || BadAnswer::OtherKeys { asked: items.len() };
        let keys: Option<Vec<Key>> = items.iter().map(|item| Key::from_bytes(&item.key)).collect();
        let keys = keys.filter(|keys| keys.first() == Some(&Key::Object(object))).ok_or_else(others)?;
        let mut proven = Self::default();
        for (key, record) in keys.iter().zip(super::records(items, header, &keys)?) {
            match (key, record) {
                (Key::Object(id), Some(Record::Object(found))) if *id == object => proven.owners = found.owners,
                (Key::Commitment(id), Some(Record::Commitment(found))) if id.object == object => {
                    proven.commitments.push(found);
                }
                (Key::Provider(_), Some(Record::Provider(found))) => proven.providers.push(found),
                // One that deregistered is still named by slots.
                (Key::Object(_) | Key::Provider(_), None) => {}
                _ => return Err(others()),
            }
        }
        Ok(proven)
    }
}
