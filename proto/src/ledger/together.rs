//! Several actions in one transaction, all or none (SPEC, "Transactions").
//!
//! What cannot be together cannot be a [`Together`]: [`Together::new`] is the only way to make one, also for what is
//! decoded. So neither the rules nor anything else has to look for actions within actions. Not here: how the parts are
//! applied, which `action` does.

use std::{
    collections::BTreeSet,
    io::{self, Read},
};

use borsh::{BorshDeserialize, BorshSerialize, de::EnumExt};
use serde::Serialize;

use crate::{
    codec,
    ledger::tx::{Action, SetName},
    limits,
};

/// The byte that a [`Together`] begins with as an action.
const TAG: u8 = 15;

/// Bytes of a transaction beside its actions, at most.
const BESIDE: usize = 256;

/// 1 to [`limits::PARTS`] actions of one transaction: they are applied in their order, and when one fails, none is.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, Serialize)]
pub struct Together {
    parts: Vec<Action>,
}

/// Why actions cannot be in one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TogetherError {
    /// Use several transactions.
    #[error("a transaction has 1 to {max} actions, {count} were given: use several transactions", max = limits::PARTS)]
    Count {
        /// Actions given.
        count: usize,
    },
    /// Give it a transaction of its own.
    #[error(
        "action {index} cannot be combined with others: validator, governance and evidence actions need a transaction \
         of their own"
    )]
    Alone {
        /// The action's index.
        index: usize,
    },
    /// Set each name once.
    #[error("action {index} sets a name for the second time: set each name once in a transaction")]
    NameTwice {
        /// The action's index.
        index: usize,
    },
}

impl Together {
    /// These actions, together.
    ///
    /// # Errors
    /// [`TogetherError`] when they are none or too many, one needs a transaction of its own, or two set the same name:
    /// a name's version is the transaction's nonce, so both would have the same.
    pub fn new(parts: Vec<Action>) -> Result<Self, TogetherError> {
        let count = parts.len();
        if count == 0 || count > limits::PARTS {
            return Err(TogetherError::Count { count });
        }
        if let Some(index) = parts.iter().position(|part| !may_be_part(part)) {
            return Err(TogetherError::Alone { index });
        }
        let mut names = BTreeSet::new();
        let is_again = |part: &Action| matches!(part, Action::SetName(SetName { name, .. }) if !names.insert(*name));
        match parts.iter().position(is_again) {
            Some(index) => Err(TogetherError::NameTwice { index }),
            None => Ok(Self { parts }),
        }
    }

    /// The actions, in their order.
    pub fn parts(&self) -> &[Action] {
        &self.parts
    }
}

/// The same in as few actions as they fit in, each for one transaction, in their order. What cannot be together with
/// others stays as it is.
pub fn batches(actions: Vec<Action>) -> Vec<Action> {
    let (mut all, mut open, mut bytes) = (Vec::new(), Vec::new(), 0);
    for action in actions {
        let len = codec::encode(&action).len();
        if bytes + len > limits::TX - BESIDE || open.len() == limits::PARTS {
            close(&mut all, std::mem::take(&mut open));
            bytes = 0;
        }
        bytes += len;
        open.push(action);
    }
    close(&mut all, open);
    all
}

fn close(all: &mut Vec<Action>, open: Vec<Action>) {
    match Together::new(open.clone()) {
        Ok(together) if open.len() > 1 => all.push(Action::Together(together)),
        _ => all.extend(open),
    }
}

impl BorshDeserialize for Together {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let count = u32::deserialize_reader(reader)?;
        let mut part = |index| match u8::deserialize_reader(reader)? {
            // Not even read, so that hostile bytes cannot nest.
            TAG => Err(invalid(TogetherError::Alone { index })),
            tag => Action::deserialize_variant(reader, tag),
        };
        // One too many is enough to refuse any number.
        let parts = (0..=limits::PARTS).zip(0..count).map(|(index, _)| part(index)).collect::<io::Result<_>>()?;
        Self::new(parts).map_err(invalid)
    }
}

impl Action {
    /// What a transaction with this action does, in order: the actions that are [`Together`] in it, or this one.
    pub fn parts(&self) -> &[Self] {
        match self {
            Self::Together(together) => together.parts(),
            one => std::slice::from_ref(one),
        }
    }
}

const fn may_be_part(action: &Action) -> bool {
    match action {
        Action::Transfer(_)
        | Action::Register(_)
        | Action::Commit(_)
        | Action::Extend(_)
        | Action::Release(_)
        | Action::Drain(_)
        | Action::Withdraw(_)
        | Action::SetName(_)
        | Action::Anchor(_)
        | Action::DrawAs(_)
        | Action::Repaired(_)
        | Action::Restore(_)
        | Action::ReportLoss(_)
        | Action::Mismatch(_)
        | Action::SetRenewal(_)
        | Action::Maintain(_) => true,
        Action::Join(_)
        | Action::Bond(_)
        | Action::Leave(_)
        | Action::Move(_)
        | Action::Evidence(_)
        | Action::Inconsistent(_)
        | Action::Propose(_)
        | Action::Vote(_)
        | Action::Together(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::{self, DecodeError},
        id::{AccountId, Amount, Epoch, NodeId, ObjectId, VoteKey},
        ledger::{
            state::{CommitmentId, ProposedChange},
            tx::{Anchor, Ballot, Bond, Drain, Extend, Leave, Move, Propose, Release, Transfer, Withdraw},
        },
    };

    fn anchor(byte: u8) -> Action {
        Action::Anchor(Anchor { hash: [byte; 32] })
    }

    fn set(name: u8) -> Action {
        Action::SetName(SetName { name: [name; 32], version: 0, value: None })
    }

    /// The same verdict for actions that are given and for their bytes.
    fn check(parts: Vec<Action>, expect: Option<TogetherError>) {
        let made = Together::new(parts.clone());
        assert_eq!(made.as_ref().err(), expect.as_ref(), "{parts:?}");
        let bytes = [vec![TAG], codec::encode(&parts)].concat();
        let read = codec::decode::<Action>(&bytes, limits::TX);
        assert_eq!(read, made.map(Action::Together).map_err(|_| DecodeError::Malformed), "{parts:?}");
    }

    #[test]
    fn some_actions_may_be_together() {
        let (object, node) = (ObjectId::new([1; 32]), NodeId::new([2; 32]));
        let all = vec![
            Action::Transfer(Transfer { to: AccountId::new([3; 32]), amount: Amount(4) }),
            Action::Extend(Extend { commitment: CommitmentId::first_of(object), end: Epoch(6), most: Amount(0) }),
            Action::Release(Release { object, extent: 7 }),
            Action::Drain(Drain { node }),
            Action::Withdraw(Withdraw { node }),
            set(8),
            set(9),
            anchor(10),
            anchor(10),
        ];
        check(all, None);
        check((0..16).map(anchor).collect(), None);
        check(vec![anchor(1)], None);
        assert_eq!((anchor(1).parts(), limits::PARTS), ([anchor(1)].as_slice(), 16));
    }

    #[test]
    fn others_may_not() {
        check(vec![], Some(TogetherError::Count { count: 0 }));
        check((0..17).map(anchor).collect(), Some(TogetherError::Count { count: 17 }));
        check(vec![set(1), anchor(1), set(2), set(1)], Some(TogetherError::NameTwice { index: 3 }));
        let key = VoteKey::new([1; 32]);
        let inner = Together::new(vec![anchor(1)]).expect("one is enough");
        let alone = [
            Action::Bond(Bond { key, amount: Amount(1) }),
            Action::Leave(Leave { key }),
            Action::Move(Move { key, addresses: vec!["/x".to_owned()] }),
            Action::Propose(Propose { change: ProposedChange::ExpelValidator(key) }),
            Action::Vote(Ballot { proposal: 1, yes: true }),
            Action::Together(inner),
        ];
        for action in alone {
            check(vec![anchor(1), action.clone()], Some(TogetherError::Alone { index: 1 }));
            check(vec![action, anchor(1)], Some(TogetherError::Alone { index: 0 }));
        }
    }

    #[test]
    fn hostile_bytes_neither_nest_nor_allocate() {
        let nested = [TAG, 1, 0, 0, 0].repeat(1 << 20);
        assert!(Action::try_from_slice(&nested).is_err());
        let many = [&[TAG], u32::MAX.to_le_bytes().as_slice(), &codec::encode(&anchor(1)).repeat(1 << 10)].concat();
        assert!(Action::try_from_slice(&many).is_err());
        assert!(Action::try_from_slice(&many[..100]).is_err());
    }

    #[test]
    fn many_go_in_as_few_transactions_as_they_fit() {
        let release = |extent| Action::Release(Release { object: ObjectId::new([1; 32]), extent });
        let leave = Action::Leave(Leave { key: VoteKey::new([1; 32]) });
        let counts = |actions: Vec<Action>| -> Vec<usize> {
            let all = batches(actions.clone());
            let parts: Vec<Action> = all.iter().flat_map(Action::parts).cloned().collect();
            assert_eq!(parts, actions, "none is lost, in their order");
            all.iter().map(|action| action.parts().len()).collect()
        };
        assert_eq!(counts(vec![]), [] as [usize; 0]);
        assert_eq!(counts(vec![release(0)]), [1]);
        assert_eq!(counts((0..40).map(release).collect()), [16, 16, 8]);
        assert_eq!(counts(vec![release(0), leave, release(1)]), [1, 1, 1]);
        let long = |byte| {
            let value = Some(vec![byte; 20_000]);
            Action::SetName(SetName { name: [byte; 32], version: 0, value })
        };
        assert_eq!(counts((0..7).map(long).collect()), [3, 3, 1]);
    }
}
