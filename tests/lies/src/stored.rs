//! Lies in what a provider keeps for others: bytes of columns, manifests, and that it keeps them.

use ostrakon_proto::wire::{Frame, Protocol, get, put};

use crate::{Lie, Question, say};

/// In bytes of a column.
pub const BYTES: [Lie; 3] = [
    Lie::new("bytes-altered", |question| {
        bytes(question, |_, bytes| bytes.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1))
    }),
    Lie::new("bytes-cut", |question| bytes(question, |_, bytes| _ = bytes.pop())),
    Lie::new("bytes-with-another-proof", |question| bytes(question, |siblings, _| siblings.push([7; 32]))),
];

/// In a manifest.
pub const MANIFEST: [Lie; 1] = [Lie::new("manifest-altered", |question| {
    let ((), body) = question.answer().filter(|_| question.protocol == Protocol::Manifest)?;
    let mut bytes = body.to_vec();
    *bytes.last_mut()? ^= 1;
    Some(say((), bytes))
})];

/// In what is taken of an upload already.
pub const OPENED: [Lie; 1] = [Lie::new("all-is-here-already", |question| {
    let (put::PutResponse::Opened(mut taken), body) = answer(question)? else { return None };
    taken.next = u64::MAX;
    Some(say(put::PutResponse::Opened(taken), body))
})];

/// In what has come.
pub const READY: [Lie; 1] = [Lie::new("more-came-than-was-sent", |question| {
    let (put::PutResponse::Ready { next }, body) = answer(question)? else { return None };
    Some(say(put::PutResponse::Ready { next: next.saturating_add(1 << 40) }, body))
})];

/// In what is signed for.
pub const RECEIPT: [Lie; 1] = [Lie::new("receipt-forged", |question| {
    let (put::PutResponse::Receipt(mut signature), body) = answer(question)? else { return None };
    signature.0[0] ^= 1;
    Some(say(put::PutResponse::Receipt(signature), body))
})];

fn answer(question: &Question<'_>) -> Option<(put::PutResponse, bytes::Bytes)> {
    question.answer().filter(|_| question.protocol == Protocol::Put)
}

fn bytes(question: &Question<'_>, alter: fn(&mut Vec<[u8; 32]>, &mut Vec<u8>)) -> Option<Frame> {
    let (get::GetResponse { mut siblings }, body) = question.answer().filter(|_| question.protocol == Protocol::Get)?;
    let mut bytes = body.to_vec();
    alter(&mut siblings, &mut bytes);
    Some(say(get::GetResponse { siblings }, bytes))
}
