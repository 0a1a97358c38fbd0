//! Proofs on their way to the ledger, among validators in memory.

use ostrakon_proto::{
    id::{Amount, BlockId, Height},
    ledger::{
        state::ValidatorStatus,
        tx::Transfer,
        vote::{BlockProposal, SignedProposal, SignedVote, Vote, VoteKind},
    },
};

use super::*;
use crate::world::{World, until, validator_keys};

/// Two votes of validator `number` at `height`, the greater block first.
fn double_vote(chain: &Chain, number: usize, height: Height) -> Equivocation {
    let vote = |block| Vote { kind: VoteKind::Precommit, height, round: 0, block };
    let sign = |block| SignedVote::sign(vote(block), &validator_keys(number).vote, &chain.rules().chain);
    Equivocation::Votes(sign(Some(BlockId::new([7; 32]))), sign(None))
}

async fn status(chain: &Chain, number: usize) -> Option<ValidatorStatus> {
    let key = validator_keys(number).vote.public();
    chain.read(move |records| records.validator(&key).map(|validator| validator.status)).await
}

#[tokio::test(start_paused = true)]
async fn a_validator_that_equivocates_is_slashed_once() {
    let world = World::voting(4, 4);
    let nodes = world.start_all().await;
    let chain = nodes[1].0.chain().clone();
    let (reporter, submitter) = reporting(world.account.clone());
    for height in [1, 2, 1] {
        reporter.report(double_vote(&chain, 3, Height(height)));
    }
    drop(reporter);
    // Ends when nothing waits any more.
    submitter.run(chain.clone(), CancellationToken::new()).await;
    assert!(matches!(status(&chain, 3).await, Some(ValidatorStatus::Removed { .. })));
    let payer = world.payer();
    assert_eq!(chain.read(move |records| records.account(&payer).nonce).await, 1);
    assert_eq!(chain.validators().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_paid_yet_is_said_later() {
    let world = World::voting(4, 4);
    let nodes = world.start_all().await;
    let (chain, poor) = (nodes[0].0.chain().clone(), Keypair::from_seed(&[77; 32]));
    let (reporter, submitter) = reporting(poor.clone());
    reporter.report(double_vote(&chain, 2, Height(1)));
    let running = tokio::spawn(submitter.run(chain.clone(), CancellationToken::new()));
    drop(reporter);
    chain.wait(Height(60)).await;
    assert_eq!(status(&chain, 2).await, Some(ValidatorStatus::Active));
    let gift = Action::Transfer(Transfer { to: poor.public(), amount: Amount(1_000_000) });
    chain.submit(world.tx(0, Height(1000), gift)).await.expect("taken");
    until("it is reported", async || matches!(status(&chain, 2).await, Some(ValidatorStatus::Removed { .. }))).await;
    running.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn one_block_proposed_twice_is_no_proof() {
    let chain = World::voting(4, 4).genesis.id();
    let proposal = BlockProposal { height: Height(1), round: 2, valid_round: None, block: BlockId::new([1; 32]) };
    let sign = |proposal| SignedProposal::sign(proposal, &validator_keys(0).vote, &chain);
    let (first, again) = (sign(proposal), sign(BlockProposal { valid_round: Some(0), ..proposal }));
    let other = sign(BlockProposal { block: BlockId::new([0; 32]), ..proposal });
    assert_eq!(in_order(Equivocation::Proposals(first, again)), None);
    let expect = Some(tx::Evidence::Proposals(other, first));
    assert_eq!(in_order(Equivocation::Proposals(first, other)), expect);
    assert_eq!(in_order(Equivocation::Proposals(other, first)), expect);
}
