//! Which owners of an object are listed with it: those who pay longest (ARCHITECTURE 5.2).
//!
//! One record lists the owners of an object, so that one proof shows a reader all of them. Its length is bounded, and
//! those who pay longest are on it: nobody can keep others off it with commitments that cost little. An owner that is
//! not listed has a record of its own, and is listed when another leaves or when it pays for longer.

use crate::{
    id::{AccountId, Epoch, ObjectId},
    ledger::{
        draft::Draft,
        state::{CommitmentId, Key, ObjectOwner, Record, Records},
    },
    limits,
};

/// A commitment was written that ends at `end`; `new` when there was none before.
pub(super) fn note(draft: &mut Draft<'_>, id: &CommitmentId, end: Epoch, new: bool) {
    let mut owner = find(draft, id).unwrap_or_default();
    owner.extents = owner.extents.saturating_add(u32::from(new));
    owner.end = owner.end.max(end);
    let listed = draft.object(&id.object).map(|object| object.owners).unwrap_or_default();
    if listed.contains_key(&id.owner) || listed.len() < limits::OWNERS {
        return list(draft, id.object, id.owner, owner);
    }
    let least = listed.iter().map(|(account, listed)| (listed.end, *account)).min().expect("the list is full");
    if least.0 < owner.end {
        let displaced = listed[&least.1];
        draft.object_mut(&id.object).owners.remove(&least.1);
        draft.put(Key::Unlisted(id.object, least.1), Record::Owner(displaced));
        list(draft, id.object, id.owner, owner);
    } else {
        draft.put(Key::Unlisted(id.object, id.owner), Record::Owner(owner));
    }
}

/// A commitment was removed.
pub(super) fn forget(draft: &mut Draft<'_>, id: &CommitmentId) {
    let Some(mut owner) = find(draft, id) else { return };
    owner.extents = owner.extents.saturating_sub(1);
    let unlisted = Key::Unlisted(id.object, id.owner);
    match (draft.get(&unlisted).is_some(), owner.extents) {
        (true, 0) => draft.remove(unlisted),
        (true, _) => draft.put(unlisted, Record::Owner(owner)),
        (false, 0) => unlist(draft, id),
        (false, _) => list(draft, id.object, id.owner, owner),
    }
}

/// Takes the owner from the list; another takes its place where there is one.
fn unlist(draft: &mut Draft<'_>, id: &CommitmentId) {
    draft.object_mut(&id.object).owners.remove(&id.owner);
    let (first, last) = (Key::Unlisted(id.object, AccountId::LEAST), Key::Unlisted(id.object, AccountId::GREATEST));
    if let [(Key::Unlisted(object, account), Record::Owner(next))] = draft.scan(&first, &last, 1).as_slice() {
        draft.remove(Key::Unlisted(*object, *account));
        list(draft, *object, *account, *next);
    } else if draft.object_mut(&id.object).owners.is_empty() {
        draft.remove(Key::Object(id.object));
    }
}

fn list(draft: &mut Draft<'_>, object: ObjectId, account: AccountId, owner: ObjectOwner) {
    let unlisted = Key::Unlisted(object, account);
    if draft.get(&unlisted).is_some() {
        draft.remove(unlisted);
    }
    draft.object_mut(&object).owners.insert(account, owner);
}

/// The owner of a commitment, listed or not.
fn find(draft: &Draft<'_>, id: &CommitmentId) -> Option<ObjectOwner> {
    let listed = draft.object(&id.object).and_then(|object| object.owners.get(&id.owner).copied());
    listed.or_else(|| match draft.get(&Key::Unlisted(id.object, id.owner))? {
        Record::Owner(owner) => Some(owner),
        _ => None,
    })
}
