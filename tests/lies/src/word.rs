//! Lies in a node's bare word, and in the blocks that it sends on to other nodes.

use ostrakon_proto::{
    codec,
    id::{BlockId, Height},
    ledger::tx::{DecidedBlock, Tx},
    limits,
    wire::{
        Frame, Refusal, RefusalCode,
        chain::{ChainRequest, ChainResponse},
    },
};

use crate::{Lie, Question, forge, say, say_of};

/// Blocks that a node has not and says it has.
const AHEAD: u64 = 1_000;

/// In how far the node is.
pub const HEAD: [Lie; 1] = [Lie::new("head-far-ahead", |question| match question.chain()? {
    ChainRequest::Head => {
        let (ChainResponse::Head(mut head), _) = question.answer()? else { return None };
        head.height = Height(head.height.0 + AHEAD);
        head.block = BlockId::new([7; 32]);
        Some(say(ChainResponse::Head(head), vec![]))
    }
    ChainRequest::Blocks { .. } => Some(say_of(ChainResponse::Blocks, &Vec::<DecidedBlock>::new())),
    _ => None,
})];

/// In which transactions are taken: by a client, or by a node that brings them on.
pub const VERDICTS: [Lie; 3] = [
    Lie::new("taken-and-dropped", |question| verdicts(question, |count| vec![Ok(()); count])),
    Lie::new("called-invalid", |question| {
        verdicts(question, |count| vec![Err(Refusal::new(RefusalCode::Invalid, "the ledger's rules forbid it")); count])
    }),
    Lie::new("one-verdict-too-few", |question| verdicts(question, |count| vec![Ok(()); count - 1])),
];

/// In the blocks that follow.
pub const BLOCKS: [Lie; 5] = [
    Lie::new("sent-block-altered", |question| blocks(question, |_, decided| decided.block.header.state[0] ^= 1)),
    Lie::new("sent-block-lacks-transactions", |question| blocks(question, |_, decided| decided.block.txs.clear())),
    Lie::new("sent-block-unsigned", |question| blocks(question, |_, decided| decided.certificate.signatures.clear())),
    Lie::new("sent-block-of-strangers", |question| {
        blocks(question, |question, decided| {
            decided.block.header.time_ms += 1;
            decided.certificate = forge::signed_by_strangers(question.chain, decided.block.header.clone()).certificate;
        })
    }),
    Lie::new("sent-blocks-withheld", |question| match question.chain()? {
        ChainRequest::Blocks { .. } => Some(say_of(ChainResponse::Blocks, &Vec::<DecidedBlock>::new())),
        _ => None,
    }),
];

/// Says this of as many transactions as were handed over.
fn verdicts(question: &Question<'_>, say: fn(usize) -> Vec<Result<(), Refusal>>) -> Option<Frame> {
    matches!(question.chain()?, ChainRequest::Submit { .. }).then_some(())?;
    let txs: Vec<Tx> = codec::decode(&question.request.body, limits::SUBMIT).ok()?;
    (!txs.is_empty()).then(|| say_of(ChainResponse::Verdicts, &say(txs.len())))
}

/// Other blocks than those that were decided.
fn blocks(question: &Question<'_>, alter: fn(&Question<'_>, &mut DecidedBlock)) -> Option<Frame> {
    matches!(question.chain()?, ChainRequest::Blocks { .. }).then_some(())?;
    let honest: Vec<DecidedBlock> = question.body(&ChainResponse::Blocks)?;
    let mut blocks = honest.clone();
    blocks.iter_mut().for_each(|decided| alter(question, decided));
    (blocks != honest).then(|| say_of(ChainResponse::Blocks, &blocks))
}
