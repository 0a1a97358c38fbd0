//! Lies in what proves itself or is asked about further, and in parts of snapshots.

use borsh::BorshDeserialize;
use ostrakon_proto::{
    codec,
    id::{Epoch, NodeId},
    ledger::repair::{ListedTicket, TicketPlace},
    light::{CertifiedHeader, Handover},
    limits,
    params::Code,
    wire::{
        Frame, RefusalCode,
        chain::{ChainRequest, ChainResponse},
    },
};

use crate::{Lie, Question, forge, refuse, say, say_of};

/// The bytes of a key and of its record.
type Pair = (Vec<u8>, Vec<u8>);

/// In who hands over to whom.
pub const HANDOVERS: [Lie; 3] = [
    Lie::new("handover-to-strangers", |question| {
        let mut handovers: Vec<Handover> =
            hints(question, |request| matches!(request, ChainRequest::Handovers { .. }))?;
        handovers.iter_mut().for_each(|handover| handover.next = forge::strangers());
        (!handovers.is_empty()).then(|| say_of(ChainResponse::Hints, &handovers))
    }),
    Lie::new("handover-altered", |question| {
        let mut handovers: Vec<Handover> =
            hints(question, |request| matches!(request, ChainRequest::Handovers { .. }))?;
        for handover in &mut handovers {
            handover.next = forge::strangers();
            handover.header.next_validators = handover.next.hash();
        }
        (!handovers.is_empty()).then(|| say_of(ChainResponse::Hints, &handovers))
    }),
    Lie::new("handovers-withheld", |question| {
        let handovers: Vec<Handover> = hints(question, |request| matches!(request, ChainRequest::Handovers { .. }))?;
        (!handovers.is_empty()).then(|| say_of(ChainResponse::Hints, &Vec::<Handover>::new()))
    }),
];

/// In which providers there are.
pub const PROVIDERS: [Lie; 4] = [
    Lie::new("provider-left-out", |question| providers(question, |nodes| _ = nodes.pop())),
    Lie::new("provider-invented", |question| providers(question, |nodes| nodes.push(NodeId::GREATEST))),
    Lie::new("providers-all-hidden", |question| providers(question, Vec::clear)),
    Lie::new("providers-in-circles", |question| match question.chain()? {
        ChainRequest::Providers { after } => {
            question.honest?;
            Some(say_of(ChainResponse::Hints, &vec![after.unwrap_or(NodeId::new([1; 32]))]))
        }
        _ => None,
    }),
];

/// In what is to be repaired.
pub const TICKETS: [Lie; 2] = [
    Lie::new("ticket-of-no-code", |question| tickets(question, |all| all[0].code.k = all[0].code.n)),
    Lie::new("tickets-in-circles", |question| tickets(question, |all| all.extend_from_within(..))),
];

/// In who did not prove an epoch.
pub const FAULTS: [Lie; 2] = [
    Lie::new("fault-invented", |question| faults(question, |nodes| nodes.push(NodeId::GREATEST))),
    Lie::new("faults-in-circles", |question| faults(question, |nodes| nodes.extend([NodeId::GREATEST; 2]))),
];

/// In which snapshots there are.
pub const SNAPSHOTS: [Lie; 2] = [
    Lie::new("snapshot-invented", |question| {
        let mut offers: Vec<CertifiedHeader> = hints(question, |request| matches!(request, ChainRequest::Snapshots))?;
        for offer in &mut offers {
            offer.header.state[0] ^= 1;
            *offer = forge::signed_by_strangers(question.chain, offer.header.clone());
        }
        (!offers.is_empty()).then(|| say_of(ChainResponse::Hints, &offers))
    }),
    Lie::new("snapshot-of-usurpers", |question| {
        let offers: Vec<CertifiedHeader> = hints(question, |request| matches!(request, ChainRequest::Snapshots))?;
        let header = offers.last()?.header.clone();
        Some(say_of(ChainResponse::Hints, &vec![forge::tip_of_usurpers(question.chain, header)]))
    }),
];

/// In the history.
pub const PAST: [Lie; 2] = [
    Lie::new("history-altered", |question| {
        let mut hashes: Vec<[u8; 32]> = hints(question, |request| matches!(request, ChainRequest::Past(_)))?;
        hashes.first_mut()?[0] ^= 1;
        Some(say_of(ChainResponse::Hints, &hashes))
    }),
    Lie::new("history-withheld", |question| {
        matches!(question.chain()?, ChainRequest::Past(_)).then(|| refuse(RefusalCode::NotFound, "there is none"))
    }),
];

/// In a part of a snapshot.
pub const CHUNK: [Lie; 4] = [
    Lie::new("chunk-altered", |question| {
        chunk(question, |records| {
            if let Some((_, value)) = records.last_mut() {
                value.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1);
            }
        })
    }),
    Lie::new("chunk-lacks-a-record", |question| chunk(question, |records| _ = records.remove(records.len() / 2))),
    Lie::new("chunk-has-a-record-twice", |question| {
        chunk(question, |records| records.extend_from_within(records.len() - 1..))
    }),
    Lie::new("chunk-withheld", |question| {
        matches!(question.chain()?, ChainRequest::Chunk { .. }).then(|| refuse(RefusalCode::NotFound, "there is none"))
    }),
];

/// Strangers say that they have the power by now.
pub(super) fn usurped(question: &Question<'_>) -> Option<Frame> {
    let handovers: Vec<Handover> = hints(question, |request| matches!(request, ChainRequest::Handovers { .. }))?;
    let all = [handovers, vec![forge::usurpation(question.chain)]].concat();
    Some(say_of(ChainResponse::Hints, &all))
}

/// The honest hints, where such a question was asked.
fn hints<T: BorshDeserialize + borsh::BorshSerialize>(
    question: &Question<'_>,
    asked: fn(&ChainRequest) -> bool,
) -> Option<Vec<T>> {
    question.chain().filter(asked)?;
    question.body(&ChainResponse::Hints)
}

fn providers(question: &Question<'_>, alter: fn(&mut Vec<NodeId>)) -> Option<Frame> {
    let honest: Vec<NodeId> = hints(question, |request| matches!(request, ChainRequest::Providers { .. }))?;
    let mut nodes = honest.clone();
    if !nodes.is_empty() {
        alter(&mut nodes);
    }
    (nodes != honest).then(|| say_of(ChainResponse::Hints, &nodes))
}

fn faults(question: &Question<'_>, alter: fn(&mut Vec<NodeId>)) -> Option<Frame> {
    let honest: Vec<NodeId> = hints(question, |request| matches!(request, ChainRequest::Faults { after: None, .. }))?;
    let mut nodes = honest.clone();
    alter(&mut nodes);
    (nodes != honest).then(|| say_of(ChainResponse::Hints, &nodes))
}

fn tickets(question: &Question<'_>, alter: fn(&mut Vec<ListedTicket>)) -> Option<Frame> {
    let mut all: Vec<ListedTicket> = hints(question, |request| matches!(request, ChainRequest::Tickets { .. }))?;
    if all.is_empty() {
        let TicketPlace { commitment, .. } = TicketPlace::FIRST;
        let code = Code { k: 1, n: 3 };
        all.push(ListedTicket { commitment, code, absent: vec![1, 2], since: Epoch(1), turn: None });
    }
    alter(&mut all);
    Some(say_of(ChainResponse::Hints, &all))
}

fn chunk(question: &Question<'_>, alter: fn(&mut Vec<Pair>)) -> Option<Frame> {
    matches!(question.chain()?, ChainRequest::Chunk { .. }).then_some(())?;
    let (_, body) = question.answer::<ChainResponse>().filter(|(head, _)| *head == ChainResponse::Chunk)?;
    let mut edges = body.as_ref();
    let mut records: Vec<Pair> = BorshDeserialize::deserialize(&mut edges).ok()?;
    alter(&mut records);
    let lie = [codec::encode(&records).as_slice(), edges].concat();
    (lie.len() <= limits::CHAIN_BODY).then(|| say(ChainResponse::Chunk, lie))
}
